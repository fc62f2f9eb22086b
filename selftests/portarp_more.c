// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * isthmus-portarp on real maps: fragments, use of ports, cascade, bridge, learned flows, and what a
 * stranger can cause at most.
 */
/* link: agents/portarp/agent.c agents/portarp/age.c agents/portarp/arp.c agents/portarp/claim.c */
/* link: agents/portarp/events.c agents/portarp/frag.c agents/portarp/frame.c */
/* link: agents/portarp/hold.c agents/portarp/host.c agents/portarp/lan.c agents/portarp/maps.c */
/* link: agents/portarp/mine.c agents/portarp/net.c agents/portarp/op.c agents/portarp/owner.c */
/* link: agents/portarp/restore.c agents/portarp/rt.c agents/portarp/settings.c */
/* link: agents/lib/rtnl.c */
/* link: agents/portarp/state.c agents/portarp/status.c agents/portarp/table.c */
/* link: agents/portarp/upstream.c agents/portarp/use.c agents/portarp/cli.c */
/* link: agents/lib/conf.c agents/lib/log.c agents/lib/metrics.c agents/lib/address.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_socket.c agents/lib/msg_tls.c */
/* link: maps/pin.c selftests/lib/portarp_maps.c selftests/lib/portarp_agent.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "lib/portarp_agent.h"

#define ADDR	"'address':'192.0.2.1'"
#define OPEN	"{'op':'address-add'," ADDR ",'a':6,'k':4,'open':true}"
#define CLOSED	"{'op':'address-add'," ADDR ",'a':6,'k':4}"
#define SET(n)	"'a':6,'k':4,'psid':" #n
#define MAC(n)	"'mac':'02:00:00:00:00:0" #n "'"
#define PORT(n) (1024 + (n)*64 + 5)

static const uint8_t host1[6] = { 2, 0, 0, 0, 0, 1 }, above[6] = { 2, 0, 0, 0, 0, 9 };

static int open_gateway(void **arg)
{
	(void)arg;
	fixture_open(PORTARP_GATEWAY);
	return 0;
}

static int open_bridge(void **arg)
{
	(void)arg;
	fixture_open(PORTARP_BRIDGE);
	return 0;
}

static int close_agent(void **arg)
{
	(void)arg;
	fixture_close();
	return 0;
}

static struct shared *shared(void)
{
	return table_find(&fixture->agent.table, inet_addr("192.0.2.1"));
}

static uint32_t owner_of(uint16_t port)
{
	return table_owner_of(&fixture->agent.table, shared(), port);
}

static union owner_word word(uint16_t port)
{
	return owner_load(&fixture->agent.maps.owner.word[owner_of(port)]);
}

static void answer(uint16_t psid)
{
	struct arp_message claim = { .addr_be = inet_addr("192.0.2.1"),
				     .port = PORT(psid),
				     .flags = PORTARP_ARP_SET,
				     .set = { 6, 4, psid } };

	memcpy(claim.from, host1, 6);
	fixture_claim(&claim);
}

/* ---- fragments */

static struct portarp_frag_key key_of(uint16_t id)
{
	return (struct portarp_frag_key){ .src = inet_addr("198.51.100.9"),
					  .dst = inet_addr("192.0.2.1"),
					  .id = htons(id),
					  .proto = 17 };
}

static void first_came(uint16_t id, uint16_t psid)
{
	struct portarp_frag_key key = key_of(id);
	struct portarp_frag frag = { .owner = owner_of(PORT(psid)), .known = 1 };

	assert_int_equal(map_put(&fixture->agent.maps, MAP_FRAG, &key, &frag), 0);
}

static void fragments_wait_for_their_first(void **arg)
{
	struct portarp_frag_key key = key_of(1);

	(void)arg;
	assert_null(fixture_op(CLOSED));
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) "}"));
	fixture_fragment(&key, 1);
	fixture_fragment(&key, 2);
	assert_int_equal(fixture_packets(), 0);
	first_came(1, 3);
	fixture_first_known(&key, owner_of(PORT(3)));
	assert_int_equal(fixture_packets(), 2);
	assert_int_equal(fixture_mark(fixture_ip(0)), 1);
	assert_int_equal(fixture_mark(fixture_ip(1)), 2);
	assert_memory_equal(fixture_ip(1)->frame, host1, 6);
	fixture_fragment(&key, 3); /* the event came when the first one was there already */
	assert_int_equal(fixture_packets(), 3);
	key = key_of(2); /* its FRAG_KNOWN event was lost */
	fixture_fragment(&key, 4);
	first_came(2, 3);
	fixture_pass(100);
	assert_int_equal(fixture_packets(), 4);
	assert_int_equal(fixture->agent.fragment_count, 0);
}

static void fragments_of_an_unknown_owner_wait_with_the_rest(void **arg)
{
	struct portarp_frag_key key = key_of(1);
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT(3));
	fixture_fragment(&key, 1);
	assert_true(fixture_packet(owner, PORT(3), 0)); /* the first one */
	fixture_first_known(&key, owner);
	assert_int_equal(fixture_packets(), 0);
	answer(3);
	assert_int_equal(fixture_packets(), 2);
	assert_int_equal(fixture_mark(fixture_ip(0)), 0);
	assert_int_equal(fixture_mark(fixture_ip(1)), 1);
	assert_int_equal(word(PORT(3)).owner.wait, PORTARP_OWNER_KNOWN);
}

static void fragments_are_bounded(void **arg)
{
	struct portarp_frag_key key = key_of(1);

	(void)arg;
	assert_null(fixture_op(CLOSED));
	for (int i = 0; i < 70; i++)
		fixture_fragment(&key, i);
	assert_int_equal(fixture->agent.fragment_count, 64);
	for (int i = 2; i < 1200; i++) {
		key = key_of(i);
		fixture_fragment(&key, i);
	}
	assert_int_equal(fixture->agent.fragment_count, 1024);
	fixture_pass(4800);
	assert_int_equal(fixture->agent.fragment_count, 1024);
	fixture_pass(400);
	assert_int_equal(fixture->agent.fragment_count, 0);
	assert_int_equal(fixture->agent.counter[COUNT_FRAGMENTS_DROPPED], 70 + 1198);
	assert_int_equal(fixture_packets(), 0);
}

/* ---- use */

static void mark_used(uint16_t port, bool udp)
{
	unsigned int half = fixture->agent.maps.conf.generation & 1;

	fixture->agent.maps.use.word[(shared()->record.use - 1) * PORTARP_USE_WORDS +
				     half * PORTARP_USE_HALF + udp * 1024 + port / 64] |=
		1ULL << (port % 64);
}

static const struct grant *grant(void)
{
	return TAILQ_FIRST(&shared()->grants);
}

static void used_ports_are_counted(void **arg)
{
	const struct portset set = { 6, 4, 3 };
	uint32_t ports = portset_ports(&set);

	(void)arg;
	fixture->agent.settings.alarm = 80;
	assert_null(fixture_op(CLOSED));
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) "}"));
	mark_used(PORT(3), false);
	mark_used(PORT(3) + 1, false);
	mark_used(PORT(3), true);
	mark_used(PORT(4), true); /* not in the set */
	use_switch(&fixture->agent);
	assert_int_equal(fixture->agent.maps.conf.generation, 1);
	assert_int_equal(grant()->used_tcp, 2);
	assert_int_equal(grant()->used_udp, 1);
	use_switch(&fixture->agent);
	assert_int_equal(fixture->agent.maps.conf.generation, 0);
	assert_int_equal(grant()->used_tcp, 0); /* nothing in the second interval */
	for (uint32_t i = 0; i < ports * 79 / 100; i++)
		mark_used(portset_port(&set, i), false);
	use_switch(&fixture->agent);
	assert_false(grant()->alarmed);
	for (uint32_t i = 0; i < ports * 81 / 100; i++)
		mark_used(portset_port(&set, i), true);
	use_switch(&fixture->agent);
	assert_true(grant()->alarmed);
	for (uint32_t i = 0; i < ports * 75 / 100; i++)
		mark_used(portset_port(&set, i), true);
	use_switch(&fixture->agent);
	assert_true(grant()->alarmed);
	use_switch(&fixture->agent);
	assert_false(grant()->alarmed);
}

/* ---- cascade */

static void the_rest_is_upstream(void **arg)
{
	uint32_t addr = inet_addr("192.0.2.1");
	struct portarp_mine mine;
	struct arp_message told;

	(void)arg;
	assert_null(fixture_op("{'op':'upstream'," ADDR ",'a':6,'k':2,'psid':1,"
			       "'gateway_mac':'02:00:00:00:00:09'}"));
	assert_int_equal(map_get(&fixture->agent.maps, MAP_MINE, &addr, &mine), 0);
	assert_int_equal(mine.set.k, 2);
	assert_int_equal(mine.ifindex, UP_IF);
	assert_int_equal(fixture->agent.maps.conf.up_ifindex, UP_IF);
	assert_int_equal(fixture->sent[0].ifindex, UP_IF);
	assert_int_equal(arp_parse(fixture->sent[0].frame, fixture->sent[0].len,
				   htons(PORTARP_OP_REPLY), &told),
			 0);
	assert_int_equal(told.set.psid, 1);
	assert_null(fixture_op(CLOSED));
	for (uint16_t psid = 0; psid < 16; psid++) { /* k 4: PSIDs 4 to 7 are of our set */
		union owner_word now = word(PORT(psid));

		if (psid / 4 == 1) {
			assert_int_equal(now.owner.wait, PORTARP_OWNER_NONE);
			continue;
		}
		assert_int_equal(now.owner.wait, PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
		assert_memory_equal(now.owner.mac, above, 6);
	}
	assert_string_equal(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) "}"),
			    "bad-request");
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(5) "," MAC(1) "}"));
	fixture_reopen();
	assert_int_equal(fixture->agent.table.grant_count, 1);
	assert_memory_equal(word(PORT(5)).owner.mac, host1, 6);
	assert_memory_equal(word(PORT(8)).owner.mac, above, 6);
	assert_true(shared()->up);
}

/* ---- bridge */

static void a_bridge_is_no_hop(void **arg)
{
	static const uint8_t router[6] = { 2, 0, 0, 0, 2, 2 };

	(void)arg;
	assert_null(fixture_op(OPEN));
	assert_true(fixture_packet(owner_of(PORT(3)), PORT(3), 1));
	answer(3);
	assert_int_equal(fixture_packets(), 1);
	assert_memory_equal(fixture_ip(0)->frame, host1, 6);
	/* A sharer's own switch must not learn the sender at the bridge. */
	assert_memory_not_equal(fixture_ip(0)->frame + 6, router, 6);
	assert_int_equal(fixture_ip(0)->frame[22], 64);
	assert_string_equal(fixture_op("{'op':'use'," ADDR "," SET(3) "}"), "wrong-role");
}

/* ---- what was learned, and what strangers can cause */

static void learned_flows_end(void **arg)
{
	struct portarp_flow_key key = { .addr = inet_addr("192.0.2.1"), .proto = 50, .kind = 2 };
	struct portarp_flow flow = { .expires_ns = (fixture->now_ms + 15000) * NS_PER_MS };
	struct portarp_ident_key ident_key = { .addr = key.addr };
	struct portarp_ident ident = { .expires_ns = flow.expires_ns };

	(void)arg;
	assert_int_equal(map_put(&fixture->agent.maps, MAP_FLOW, &key, &flow), 0);
	assert_int_equal(map_put(&fixture->agent.maps, MAP_IDENT, &ident_key, &ident), 0);
	fixture_pass(14000);
	assert_int_equal(map_get(&fixture->agent.maps, MAP_FLOW, &key, &flow), 0);
	assert_int_equal(map_get(&fixture->agent.maps, MAP_IDENT, &ident_key, &ident), 0);
	fixture_pass(12000);
	assert_int_not_equal(map_get(&fixture->agent.maps, MAP_FLOW, &key, &flow), 0);
	assert_int_not_equal(map_get(&fixture->agent.maps, MAP_IDENT, &ident_key, &ident), 0);
}

static int drop_frame(struct agent *agent, uint32_t ifindex, const void *frame, size_t len)
{
	(void)agent;
	(void)ifindex;
	(void)frame;
	(void)len;
	return 0;
}

/* A scan of all sets must not become a storm of questions. */
static void questions_are_bounded(void **arg)
{
	(void)arg;
	fixture->agent.send = drop_frame;
	assert_null(fixture_op("{'op':'address-add'," ADDR ",'a':0,'k':9,'open':true}"));
	for (int round = 0; round < 4; round++) {
		for (uint32_t port = 0; port < 65536; port += 128)
			fixture_packet(owner_of(port), port, 0);
		fixture_pass(250);
	}
	assert_in_range(fixture->agent.counter[COUNT_ASKED], 512, 2000);
	assert_true(fixture->agent.counter[COUNT_ASK_LIMITED] > 0);
	fixture_pass(3000);
	assert_int_equal(fixture->agent.held_packets, 0);
	for (uint32_t port = 0; port < 65536; port += 128)
		assert_int_equal(fixture->agent.maps.owner.word[owner_of(port)], 0);
}

static void a_host_has_few_ranges(void **arg)
{
	struct arp_message claim = { .addr_be = inet_addr("192.0.2.1"),
				     .flags = PORTARP_ARP_RANGE,
				     .from = { 2, 0, 0, 0, 0, 1 } };

	(void)arg;
	assert_null(fixture_op("{'op':'address-add'," ADDR ",'a':0,'k':0,'open':true}"));
	for (int i = 0; i < 40; i++) {
		claim.low = claim.high = claim.port = 1000 + 2 * i;
		fixture_claim(&claim);
	}
	assert_int_equal(fixture->agent.table.grant_count, PORTARP_RANGES);
	assert_int_equal(fixture->agent.counter[COUNT_REFUSED_FULL], 40 - PORTARP_RANGES);
}

static void no_room_is_told(void **arg)
{
	(void)arg;
	assert_null(fixture_op(CLOSED));
	assert_string_equal(fixture_op("{'op':'address-add','address':'192.0.2.2','a':0,'k':10}"),
			    "full");
	assert_null(fixture_op("{'op':'address-add','address':'192.0.2.2','a':0,'k':9}"));
	assert_null(fixture_op(CLOSED)); /* as it is */
	assert_string_equal(fixture_op(OPEN), "taken");
	assert_string_equal(fixture_op("{'op':'address-add','address':'192.0.2.3','a':9,'k':9}"),
			    "bad-request");
	assert_string_equal(
		fixture_op("{'op':'lease','address':'192.0.2.3'," SET(1) "," MAC(1) "}"),
		"unknown-address");
	assert_null(fixture_op("{'op':'address-del','address':'192.0.2.2'}"));
	assert_null(fixture_op("{'op':'address-add','address':'192.0.2.4','a':0,'k':9}"));
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, open_gateway, close_agent)
	const struct CMUnitTest tests[] = {
		ROW(fragments_wait_for_their_first),
		ROW(fragments_of_an_unknown_owner_wait_with_the_rest),
		ROW(fragments_are_bounded),
		ROW(used_ports_are_counted),
		ROW(the_rest_is_upstream),
		cmocka_unit_test_setup_teardown(a_bridge_is_no_hop, open_bridge, close_agent),
		ROW(learned_flows_end),
		ROW(questions_are_bounded),
		ROW(a_host_has_few_ranges),
		ROW(no_room_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
