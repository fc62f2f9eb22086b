// SPDX-License-Identifier: GPL-3.0-or-later
/* The agent's lists, clocks and way out. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../lib/log.h"
#include "agent.h"
#include "host.h"

#define TICK_MS 50
#define WARN_MS 1000

static const struct {
	const char *name, *help;
} counters[AGENT_COUNTER_COUNT] = {
#define COUNTER_ROW(name, text, help) [COUNT_##name] = { text, help },
	AGENT_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *agent_counter_name(enum agent_counter counter)
{
	return counters[counter].name;
}

const char *agent_counter_help(enum agent_counter counter)
{
	return counters[counter].help;
}

/* ---- clocks and the way out */

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * MS_PER_S + now.tv_nsec / 1000000;
}

static int64_t clock_s(void)
{
	return time(NULL);
}

static int send_frame(struct agent *agent, uint32_t ifindex, const void *frame, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = ifindex, .sll_halen = 6 };

	memcpy(to.sll_addr, frame, 6);
	return sendto(agent->packet_fd, frame, len, MSG_DONTWAIT, (struct sockaddr *)&to,
		      sizeof(to)) < 0
		       ? -errno
		       : 0;
}

/* ---- timers */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	agent->ticking = false;
	agent_tick(agent);
}

static void on_slow(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	agent_slow(arg);
}

void agent_arm(struct agent *agent)
{
	struct timeval soon = { 0, TICK_MS * 1000 };

	if (!agent->tick || agent->ticking)
		return;
	agent->ticking = !event_add(agent->tick, &soon);
}

void agent_tick(struct agent *agent)
{
	bool waits = hold_tick(agent);

	waits |= frag_tick(agent);
	waits |= claim_tick(agent);
	if (waits)
		agent_arm(agent);
}

void agent_slow(struct agent *agent)
{
	age_slow(agent);
}

/* ---- what all parts need */

const struct portarp_link *agent_link(const struct agent *agent, uint32_t ifindex)
{
	const struct portarp_conf *conf = &agent->maps.conf;

	for (int i = 0; i < conf->links && i < PORTARP_LINKS; i++)
		if (conf->link[i].ifindex == ifindex)
			return &conf->link[i];
	return NULL;
}

bool agent_may_warn(struct agent *agent)
{
	uint64_t now_ms = agent->clock_ms();

	if (agent->warned_ms && now_ms - agent->warned_ms < WARN_MS)
		return false;
	agent->warned_ms = now_ms;
	return true;
}

bool agent_take(struct agent *agent, struct budget *budget, unsigned int each_second)
{
	uint64_t now_ms = agent->clock_ms();

	if (!budget->filled_ms || now_ms - budget->filled_ms >= MS_PER_S) {
		budget->filled_ms = now_ms;
		budget->left = each_second;
	}
	if (!budget->left)
		return false;
	budget->left--;
	return true;
}

void agent_ask(struct agent *agent, const struct shared *shared, uint16_t port, const uint8_t *mac)
{
	struct arp_message question = { .addr_be = shared->addr_be, .port = port };
	uint8_t frame[ARP_FRAME_BYTES];

	if (!mac && !agent_take(agent, &agent->asks, ASKS_A_SECOND)) {
		agent->counter[COUNT_ASK_LIMITED]++;
		return;
	}
	memcpy(question.from, shared->record.src_mac, 6);
	if (mac)
		memcpy(question.to, mac, 6);
	arp_build(&question, agent->maps.conf.op_request, frame);
	agent->counter[COUNT_ASKED]++;
	if (agent->send(agent, shared->record.ifindex, frame, sizeof(frame)))
		agent->counter[COUNT_SEND_FAILED]++;
}

static void describe(const struct grant *grant, const char *what, char *line, size_t len)
{
	const struct ports *ports = &grant->ports;
	const uint8_t *mac = grant->mac, *addr = (const uint8_t *)&grant->shared->addr_be;
	char which[64];

	if (ports->range)
		snprintf(which, sizeof(which), "range");
	else
		snprintf(which, sizeof(which), "set a=%u k=%u psid=%u", ports->set.a, ports->set.k,
			 ports->set.psid);
	snprintf(line, len,
		 "%s %u.%u.%u.%u %s first=%u last=%u ports=%u mac=%02x:%02x:%02x:%02x:%02x:%02x "
		 "%s",
		 what, addr[0], addr[1], addr[2], addr[3], which, ports_first(ports),
		 ports_nth(ports, ports_count(ports) - 1), ports_count(ports), mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5], grant->leased ? "leased" : "claimed");
}

void agent_assignment(struct agent *agent, const struct grant *grant, const char *what)
{
	char line[256], stamp[32];
	time_t now = agent->clock_s();
	struct tm utc;

	if (agent->restoring)
		return;
	describe(grant, what, line, sizeof(line));
	log_info("%s", line);
	if (!agent->assignments)
		return;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	fprintf(agent->assignments, "%s %s\n", stamp, line);
	fflush(agent->assignments);
}

/* ---- start and end */

int agent_init(struct agent *agent)
{
	struct timeval second = { 1, 0 };

	TAILQ_INIT(&agent->waitings);
	TAILQ_INIT(&agent->fragments);
	TAILQ_INIT(&agent->contests);
	TAILQ_INIT(&agent->own);
	agent->send = send_frame;
	agent->clock_ms = clock_ms;
	agent->clock_s = clock_s;
	agent->started_ms = clock_ms();
	agent->role = agent->maps.conf.role;
	if (!agent->base)
		return table_init(&agent->table, &agent->maps);
	agent->tick = evtimer_new(agent->base, on_tick, agent);
	agent->slow = event_new(agent->base, -1, EV_PERSIST, on_slow, agent);
	if (!agent->tick || !agent->slow || event_add(agent->slow, &second))
		return -ENOMEM;
	return table_init(&agent->table, &agent->maps);
}

void agent_free(struct agent *agent)
{
	if (agent->table.place) {
		claim_free(agent);
		frag_free(agent);
		hold_free(agent);
		host_free(agent);
		table_free(&agent->table);
	}
	if (agent->tick)
		event_free(agent->tick);
	if (agent->slow)
		event_free(agent->slow);
	agent->tick = agent->slow = NULL;
}
