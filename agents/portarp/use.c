// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which ports of each set are used. The datapath sets a bit for each port that sends, in one of two
 * halves; at each switch the half that was written until now is counted and the other one is
 * emptied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "agent.h"

#define CALM_PERCENT 10 /* below the threshold: then an alarm ends */

struct use {
	struct event *timer;
};

static uint32_t count_ports(const uint64_t *bits, const struct ports *ports)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < ports_count(ports); i++) {
		uint16_t port = ports_nth(ports, i);

		used += bits[port / 64] >> (port % 64) & 1;
	}
	return used;
}

static void alarm_of(struct agent *agent, struct grant *grant)
{
	uint32_t ports = ports_count(&grant->ports);
	uint32_t used = grant->used_tcp > grant->used_udp ? grant->used_tcp : grant->used_udp;
	uint32_t percent = (uint64_t)used * 100 / ports, threshold = agent->settings.alarm;
	uint32_t calm = threshold > CALM_PERCENT ? threshold - CALM_PERCENT : 0;
	const uint8_t *addr = (const uint8_t *)&grant->shared->addr_be;

	if (!grant->alarmed && percent >= threshold && ports > 1) {
		grant->alarmed = true;
		log_warn("%u.%u.%u.%u: %u of the %u ports from %u on are used (RFC 7422): its host "
			 "needs more",
			 addr[0], addr[1], addr[2], addr[3], used, ports,
			 ports_first(&grant->ports));
	} else if (grant->alarmed && percent < calm) {
		grant->alarmed = false;
	}
}

static void count_address(struct agent *agent, const struct shared *shared, unsigned int half)
{
	const uint64_t *bits;
	struct grant *grant;

	if (!shared->record.use)
		return;
	bits = &agent->maps.use.word[(size_t)(shared->record.use - 1) * PORTARP_USE_WORDS +
				     half * PORTARP_USE_HALF];
	TAILQ_FOREACH(grant, &shared->grants, link)
	{
		grant->used_tcp = count_ports(bits, &grant->ports);
		grant->used_udp = count_ports(bits + 65536 / 64, &grant->ports);
		alarm_of(agent, grant);
	}
}

static void clear_half(struct agent *agent, const struct shared *shared, unsigned int half)
{
	if (shared->record.use)
		memset(&agent->maps.use.word[(size_t)(shared->record.use - 1) * PORTARP_USE_WORDS +
					     half * PORTARP_USE_HALF],
		       0, PORTARP_USE_HALF * sizeof(uint64_t));
}

void use_switch(struct agent *agent)
{
	struct shared *shared;
	unsigned int old;

	if (maps_read_conf(&agent->maps))
		return;
	old = agent->maps.conf.generation & 1;
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	clear_half(agent, shared, !old);
	agent->maps.conf.generation = !old;
	maps_write_conf(&agent->maps);
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	count_address(agent, shared, old);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	use_switch(arg);
}

int use_start(struct agent *agent)
{
	struct timeval often = { agent->settings.use_s, 0 };

	agent->use = calloc(1, sizeof(*agent->use));
	if (!agent->use)
		return -ENOMEM;
	agent->use->timer = event_new(agent->base, -1, EV_PERSIST, on_timer, agent);
	if (!agent->use->timer || event_add(agent->use->timer, &often))
		return -ENOMEM;
	return 0;
}

void use_free(struct agent *agent)
{
	if (agent->use && agent->use->timer)
		event_free(agent->use->timer);
	free(agent->use);
	agent->use = NULL;
}
