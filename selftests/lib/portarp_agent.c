// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../agents/portarp/lan.h"
#include "../../agents/portarp/restore.h"
#include "../../agents/portarp/rt.h"
#include "../../agents/portarp/state.h"
#include "portarp_agent.h"
#include "portarp_maps.h"

#define IP_BYTES    28 /* IPv4 and UDP */
#define FRAME_BYTES (14 + IP_BYTES + 1)

struct fixture *fixture;

const uint8_t our_mac[6] = { 2, 0, 0, 0, 1, 1 };
static const uint8_t router_mac[6] = { 2, 0, 0, 0, 2, 2 };
static struct state *state; /* outlives an agent */

static int on_send(struct agent *agent, uint32_t ifindex, const void *frame, size_t len)
{
	struct sent *sent = &fixture->sent[fixture->sents];
	void (*racing)(struct fixture *) = fixture->racing;

	(void)agent;
	assert_true(fixture->sents < SENT_MAX && len <= FRAME_MAX);
	sent->ifindex = ifindex;
	sent->len = len;
	memcpy(sent->frame, frame, len);
	fixture->sents++;
	if (racing)
		racing(fixture);
	return 0;
}

static uint64_t clock_ms(void)
{
	return fixture->now_ms;
}

static int64_t clock_s(void)
{
	return fixture->now_s;
}

static void start(void)
{
	struct agent *agent = &fixture->agent;
	char error[256] = "";

	memset(agent, 0, sizeof(*agent));
	settings_default(&agent->settings);
	if (maps_open(&agent->maps, fixture->instance, error, sizeof(error)))
		fail_msg("%s", error);
	assert_int_equal(agent_init(agent), 0);
	agent->send = on_send;
	agent->clock_ms = clock_ms;
	agent->clock_s = clock_s;
	agent->state = state;
	if (fixture->has_rt) {
		agent->lan = calloc(1, sizeof(*agent->lan));
		assert_non_null(agent->lan);
		agent->lan->rt = rt_open();
		assert_non_null(agent->lan->rt);
	}
	if (restore(agent, error, sizeof(error)))
		fail_msg("%s", error);
}

static void end(void)
{
	agent_free(&fixture->agent);
	lan_free(&fixture->agent);
	maps_close(&fixture->agent.maps);
	settings_free(&fixture->agent.settings);
}

static void open_fixture(enum portarp_role role, uint32_t lan_ifindex, bool has_rt)
{
	struct portarp_conf conf = {
		.role = role,
		.links = 2,
		.link = { { .ifindex = lan_ifindex, .mtu = 1500, .side = PORTARP_LAN },
			  { .ifindex = UP_IF, .mtu = 1500, .side = PORTARP_UPLINK } }
	};
	char error[256] = "";

	fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	memcpy(conf.link[0].mac, our_mac, 6);
	memcpy(conf.link[1].mac, our_mac, 6);
	snprintf(fixture->instance, sizeof(fixture->instance), "test-%d", getpid());
	fixture->lan_ifindex = lan_ifindex;
	fixture->has_rt = has_rt;
	fixture->now_ms = 1000000;
	fixture->now_s = 1700000000;
	portarp_maps_pin(fixture->instance, &conf);
	state = state_open(NULL, error, sizeof(error));
	assert_non_null(state);
	start();
}

void fixture_open(enum portarp_role role)
{
	open_fixture(role, LAN_IF, false);
}

void fixture_open_on(enum portarp_role role, uint32_t lan_ifindex)
{
	open_fixture(role, lan_ifindex, true);
}

void fixture_reopen(void)
{
	end();
	fixture->sents = 0;
	start();
}

void fixture_close(void)
{
	end();
	state_close(state);
	portarp_maps_unpin(fixture->instance);
	free(fixture);
	fixture = NULL;
}

void fixture_pass(unsigned int ms)
{
	for (unsigned int passed = 0; passed < ms; passed += 50) {
		fixture->now_ms += 50;
		agent_tick(&fixture->agent);
		if (fixture->now_ms % 1000)
			continue;
		fixture->now_s++;
		agent_slow(&fixture->agent);
	}
}

/* ---- the datapath's part */

static size_t make_frame(uint16_t port, uint8_t mark, uint8_t *frame)
{
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .tot_len = htons(IP_BYTES + 1),
			    .saddr = inet_addr("198.51.100.9"),
			    .daddr = inet_addr("192.0.2.1") };
	uint16_t udp[4] = { htons(4242), htons(port), htons(9), 0 };

	ip.check = htons(~frame_sum(&ip, sizeof(ip), 0));
	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, router_mac, 6);
	frame[12] = 8;
	frame[13] = 0;
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, udp, sizeof(udp));
	frame[42] = mark;
	return FRAME_BYTES;
}

/* The ring buffer: an event is taken when the one before it is done with. */
static struct {
	uint8_t *record[SENT_MAX];
	size_t len[SENT_MAX];
	unsigned int head, tail;
	bool busy;
} ring;

static void ring_run(void)
{
	if (ring.busy)
		return;
	ring.busy = true;
	for (; ring.head != ring.tail; ring.head++) {
		events_take(&fixture->agent, ring.record[ring.head % SENT_MAX],
			    ring.len[ring.head % SENT_MAX]);
		free(ring.record[ring.head % SENT_MAX]);
	}
	ring.busy = false;
}

static void hand_over(const struct portarp_event *event, const uint8_t *frame)
{
	size_t len = sizeof(*event) + event->length;
	uint8_t *record = malloc(len);

	assert_non_null(record);
	memcpy(record, event, sizeof(*event));
	if (event->length)
		memcpy(record + sizeof(*event), frame, event->length);
	ring.record[ring.tail % SENT_MAX] = record;
	ring.len[ring.tail++ % SENT_MAX] = len;
	ring_run();
}

bool fixture_packet(uint32_t owner, uint16_t port, uint8_t mark)
{
	uint64_t *word = &fixture->agent.maps.owner.word[owner];
	struct portarp_event event = { .kind = PORTARP_EVENT_HELD,
				       .addr = inet_addr("192.0.2.1"),
				       .port = htons(port),
				       .proto = IPPROTO_UDP,
				       .owner = owner,
				       .ifindex = UP_IF };
	union owner_word before = { .word = __atomic_fetch_add(word, PORTARP_OWNER_ONE,
							       __ATOMIC_ACQ_REL) };
	uint8_t frame[FRAME_BYTES];

	if (before.owner.wait & (PORTARP_OWNER_KNOWN | PORTARP_OWNER_NONE) ||
	    owner_waiting(before) >= PORTARP_HOLD) {
		owner_subtract(word, 1);
		return false;
	}
	event.number = owner_waiting(before) + 1;
	event.length = make_frame(port, mark, frame);
	hand_over(&event, frame);
	return true;
}

void fixture_fragment(const struct portarp_frag_key *key, uint8_t mark)
{
	struct portarp_event event = {
		.kind = PORTARP_EVENT_FRAG, .addr = key->dst, .ifindex = UP_IF, .frag = *key
	};
	uint8_t frame[FRAME_BYTES];

	event.length = make_frame(0, mark, frame);
	hand_over(&event, frame);
}

void fixture_first_known(const struct portarp_frag_key *key, uint32_t owner)
{
	const struct portarp_event event = {
		.kind = PORTARP_EVENT_FRAG_KNOWN, .addr = key->dst, .owner = owner, .frag = *key
	};

	hand_over(&event, NULL);
}

void fixture_claim(const struct arp_message *claim)
{
	struct portarp_event event = { .kind = PORTARP_EVENT_ARP,
				       .ifindex = fixture->lan_ifindex,
				       .length = ARP_FRAME_BYTES };
	uint8_t frame[ARP_FRAME_BYTES];

	arp_build(claim, htons(PORTARP_OP_REPLY), frame);
	hand_over(&event, frame);
}

/* ---- what was sent */

static bool is_arp(const struct sent *sent)
{
	return sent->frame[12] == 8 && sent->frame[13] == 6;
}

unsigned int fixture_questions(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < fixture->sents; i++)
		count += is_arp(&fixture->sent[i]) && fixture->sent[i].frame[21] == 24;
	return count;
}

unsigned int fixture_packets(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < fixture->sents; i++)
		count += !is_arp(&fixture->sent[i]);
	return count;
}

const struct sent *fixture_ip(unsigned int n)
{
	for (unsigned int i = 0; i < fixture->sents; i++)
		if (!is_arp(&fixture->sent[i]) && !n--)
			return &fixture->sent[i];
	fail_msg("fewer packets were sent");
	return NULL;
}

uint8_t fixture_mark(const struct sent *sent)
{
	return sent->frame[sent->len - 1];
}

const char *fixture_op(const char *request)
{
	struct op_result result;
	char text[512];
	json_t *message;

	snprintf(text, sizeof(text), "%s", request);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	message = json_loads(text, 0, NULL);
	assert_non_null(message);
	op_run(&fixture->agent, message, &result);
	json_decref(message);
	json_decref(result.body);
	return result.code;
}
