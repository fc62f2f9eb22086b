// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * isthmus-portarp on real maps, without the datapath: the test plays the datapath's part, word by
 * word, also between two of the agent's steps.
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
#include <linux/ip.h>
#include <string.h>

#include "lib/portarp_agent.h"

static const uint8_t host1[6] = { 2, 0, 0, 0, 0, 1 }, host2[6] = { 2, 0, 0, 0, 0, 2 };

#define ADDR	 "'address':'192.0.2.1'"
#define OPEN	 "{'op':'address-add'," ADDR ",'a':6,'k':4,'open':true}"
#define CLOSED	 "{'op':'address-add'," ADDR ",'a':6,'k':4}"
#define SET(n)	 "'a':6,'k':4,'psid':" #n
#define MAC(n)	 "'mac':'02:00:00:00:00:0" #n "'"
#define PORT_OF3 (1024 + 3 * 64 + 5) /* a 6, k 4: m is 6 */

static int open_gateway(void **arg)
{
	(void)arg;
	fixture_open(PORTARP_GATEWAY);
	return 0;
}

static int close_gateway(void **arg)
{
	(void)arg;
	fixture_close();
	return 0;
}

static union owner_word word(uint32_t owner)
{
	return owner_load(&fixture->agent.maps.owner.word[owner]);
}

static uint32_t owner_of(uint16_t port)
{
	const struct shared *shared = table_find(&fixture->agent.table, inet_addr("192.0.2.1"));

	return table_owner_of(&fixture->agent.table, shared, port);
}

static void claim_set(const uint8_t mac[6], uint16_t psid, uint16_t port, uint8_t flags)
{
	struct arp_message claim = { .addr_be = inet_addr("192.0.2.1"),
				     .port = port,
				     .flags = PORTARP_ARP_SET | flags,
				     .set = { 6, 4, psid } };

	memcpy(claim.from, mac, 6);
	fixture_claim(&claim);
}

static void claim_range(const uint8_t mac[6], uint16_t low, uint16_t high, uint16_t port)
{
	struct arp_message claim = { .addr_be = inet_addr("192.0.2.1"),
				     .port = port,
				     .flags = PORTARP_ARP_RANGE,
				     .low = low,
				     .high = high };

	memcpy(claim.from, mac, 6);
	fixture_claim(&claim);
}

static void is_known(uint32_t owner, const uint8_t mac[6])
{
	union owner_word now = word(owner);

	assert_memory_equal(now.owner.mac, mac, 6);
	assert_int_equal(now.owner.wait, PORTARP_OWNER_KNOWN);
}

/* ---- resolution */

static void held_packets_go_in_order(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	for (uint8_t i = 0; i < 5; i++)
		assert_true(fixture_packet(owner, PORT_OF3, i));
	assert_int_equal(fixture_questions(), 1);
	assert_int_equal(fixture_packets(), 0);
	claim_set(host1, 3, PORT_OF3, 0);
	assert_int_equal(fixture_packets(), 5);
	for (uint8_t i = 0; i < 5; i++) {
		const struct sent *sent = fixture_ip(i);
		struct iphdr ip;

		assert_int_equal(fixture_mark(sent), i);
		assert_int_equal(sent->ifindex, LAN_IF);
		assert_memory_equal(sent->frame, host1, 6);
		assert_memory_equal(sent->frame + 6, our_mac, 6);
		memcpy(&ip, sent->frame + 14, sizeof(ip));
		assert_int_equal(ip.ttl, 63);
		assert_int_equal(frame_sum(&ip, sizeof(ip), 0), 0xffff);
	}
	is_known(owner, host1);
}

static uint32_t race_owner;
static uint8_t race_next, race_end;

/* While the agent sends, one more packet comes. */
static void one_more(struct fixture *f)
{
	(void)f;
	if (race_next < race_end && fixture_packet(race_owner, PORT_OF3, race_next))
		race_next++;
}

static void packets_that_race_with_the_answer(void **arg)
{
	(void)arg;
	assert_null(fixture_op(OPEN));
	race_owner = owner_of(PORT_OF3);
	race_next = 1;
	race_end = 40;
	assert_true(fixture_packet(race_owner, PORT_OF3, 0));
	fixture->racing = one_more;
	claim_set(host1, 3, PORT_OF3, 0);
	fixture->racing = NULL;
	assert_int_equal(race_next, race_end);
	assert_int_equal(fixture_packets(), race_end);
	for (uint8_t i = 0; i < race_end; i++)
		assert_int_equal(fixture_mark(fixture_ip(i)), i);
	is_known(race_owner, host1);
	assert_false(fixture_packet(race_owner, PORT_OF3, 99)); /* the datapath's own now */
	is_known(race_owner, host1);
}

static void unanswered_packets_are_dropped(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	for (int i = 0; i < PORTARP_HOLD; i++)
		assert_true(fixture_packet(owner, PORT_OF3, i));
	assert_false(fixture_packet(owner, PORT_OF3, 64));
	assert_int_equal(owner_waiting(word(owner)), PORTARP_HOLD);
	fixture_pass(900);
	assert_int_equal(fixture_questions(), 4); /* at once, 250, 500, 750 ms */
	assert_int_equal(owner_waiting(word(owner)), PORTARP_HOLD);
	fixture_pass(200);
	assert_int_equal(word(owner).word, 0);
	assert_int_equal(fixture->agent.counter[COUNT_UNANSWERED], PORTARP_HOLD);
	assert_int_equal(fixture->agent.held_packets, 0);
	assert_int_equal(fixture->agent.held_bytes, 0);
	fixture_pass(2000);
	assert_int_equal(fixture_questions(), 4);
	assert_int_equal(fixture_packets(), 0);
}

/* An event that was lost must not keep its owner unknown for ever, answered or not. */
static void lost_events_are_given_up(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	fixture->agent.maps.owner.word[owner] += 3 * PORTARP_OWNER_ONE;
	assert_true(fixture_packet(owner, PORT_OF3, 7));
	claim_set(host1, 3, PORT_OF3, 0);
	assert_int_equal(fixture_packets(), 1);
	assert_false(word(owner).owner.wait & PORTARP_OWNER_KNOWN);
	fixture_pass(200);
	is_known(owner, host1);
	assert_int_equal(fixture->agent.counter[COUNT_LOST], 3);
}

static void a_restart_forgets_what_waited(void **arg)
{
	uint32_t owner, known;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	known = owner_of(PORT_OF3 + 64);
	claim_set(host2, 4, PORT_OF3 + 64, 0);
	assert_true(fixture_packet(owner, PORT_OF3, 1));
	fixture_reopen();
	is_known(known, host2);
	assert_int_equal(owner_waiting(word(owner)), 1);
	fixture_pass(2500);
	assert_int_equal(word(owner).word, 0);
	is_known(known, host2);
	assert_int_equal(fixture->agent.table.grant_count, 1);
}

/* ---- claims */

static void a_lease_is_believed_against_claims(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(CLOSED));
	owner = owner_of(PORT_OF3);
	assert_int_equal(word(owner).owner.wait, PORTARP_OWNER_NONE);
	claim_set(host1, 3, PORT_OF3, 0); /* nobody was given it */
	assert_int_equal(word(owner).owner.wait, PORTARP_OWNER_NONE);
	assert_int_equal(fixture->agent.counter[COUNT_REFUSED_UNGIVEN], 1);
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) ",'seconds':100}"));
	is_known(owner, host1);
	claim_set(host2, 3, PORT_OF3, 0);
	is_known(owner, host1);
	assert_int_equal(fixture->agent.counter[COUNT_REFUSED_LEASE], 1);
	assert_string_equal(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(2) "}"), "taken");
	claim_set(host1, 3, PORT_OF3, 0);
	assert_int_equal(fixture->agent.counter[COUNT_ANSWERS], 1);
}

static void a_lease_ends(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(CLOSED));
	owner = owner_of(PORT_OF3);
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) ",'seconds':100}"));
	fixture_pass(50000);
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) ",'seconds':100}"));
	fixture_reopen();
	fixture_pass(90000);
	is_known(owner, host1);
	fixture_pass(11000);
	assert_int_equal(word(owner).word,
			 ((union owner_word){ .owner = { .wait = PORTARP_OWNER_NONE } }).word);
	assert_int_equal(fixture->agent.counter[COUNT_EXPIRED], 1);
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(2) "}"));
	is_known(owner, host2);
}

static void the_first_claim_stands_while_it_is_answered(void **arg)
{
	uint32_t owner;
	unsigned int asked;

	(void)arg;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	claim_set(host1, 3, PORT_OF3, PORTARP_ARP_ANNOUNCE);
	is_known(owner, host1);
	claim_set(host2, 3, PORT_OF3, 0);
	asked = fixture_questions();
	assert_int_equal(asked, 1);
	assert_memory_equal(fixture->sent[fixture->sents - 1].frame, host1, 6); /* unicast */
	fixture_pass(300);
	claim_set(host1, 3, PORT_OF3, 0);
	fixture_pass(5000);
	is_known(owner, host1);
	claim_set(host2, 3, PORT_OF3, 0); /* and now the holder is silent */
	fixture_pass(450);
	is_known(owner, host1);
	fixture_pass(700);
	is_known(owner, host2);
	assert_int_equal(fixture_questions(), asked + 2);
	claim_set(host2, 3, PORT_OF3, PORTARP_ARP_RELEASE);
	assert_int_equal(word(owner).word, 0);
}

static void what_is_forgotten_is_asked(void **arg)
{
	uint32_t owner;

	(void)arg;
	assert_null(fixture_op(CLOSED));
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) "}"));
	assert_null(fixture_op("{'op':'forget'," ADDR "," SET(3) "}"));
	owner = owner_of(PORT_OF3);
	assert_int_equal(word(owner).word, 0);
	assert_true(fixture_packet(owner, PORT_OF3, 1));
	claim_set(host2, 3, PORT_OF3, 0);
	assert_int_equal(fixture_packets(), 0);
	claim_set(host1, 3, PORT_OF3, 0);
	assert_int_equal(fixture_packets(), 1);
	is_known(owner, host1);
}

/* ---- ranges */

static void ranges_override_sets(void **arg)
{
	(void)arg;
	assert_null(fixture_op(CLOSED));
	assert_null(fixture_op("{'op':'lease'," ADDR "," SET(3) "," MAC(1) "}"));
	assert_null(fixture_op("{'op':'lease'," ADDR ",'low':80,'high':80," MAC(2) "}"));
	assert_null(fixture_op("{'op':'lease'," ADDR ",'low':1216,'high':1219," MAC(2) "}"));
	is_known(owner_of(80), host2);
	is_known(owner_of(1219), host2);
	is_known(owner_of(1220), host1);
	assert_int_equal(owner_of(81), UINT32_MAX);
	assert_string_equal(fixture_op("{'op':'lease'," ADDR ",'low':1219,'high':1230," MAC(1) "}"),
			    "overlap");
	assert_string_equal(fixture_op("{'op':'lease'," ADDR ",'low':80,'high':80," MAC(1) "}"),
			    "taken");
	fixture_reopen();
	is_known(owner_of(1219), host2);
	assert_int_equal(fixture->agent.table.grant_count, 3);
	assert_null(fixture_op("{'op':'release'," ADDR ",'low':1216,'high':1219," MAC(2) "}"));
	is_known(owner_of(1219), host1);
	assert_null(fixture_op("{'op':'release'," ADDR ",'low':80,'high':80," MAC(2) "}"));
	assert_int_equal(owner_of(80), UINT32_MAX);
	assert_int_equal(table_find(&fixture->agent.table, inet_addr("192.0.2.1"))->record.block,
			 0);
}

/* The paper's protocol: an open address of one set, whose hosts claim ranges. */
static void claimed_ranges_get_what_waits_for_them(void **arg)
{
	uint32_t everything;

	(void)arg;
	assert_null(fixture_op("{'op':'address-add'," ADDR ",'a':0,'k':0,'open':true}"));
	everything = owner_of(5000);
	assert_true(fixture_packet(everything, 5000, 1));
	assert_true(fixture_packet(everything, 9000, 2));
	assert_true(fixture_packet(everything, 5001, 3));
	claim_range(host1, 4000, 5999, 5000);
	assert_int_equal(fixture_packets(), 2);
	assert_int_equal(fixture_mark(fixture_ip(0)), 1);
	assert_int_equal(fixture_mark(fixture_ip(1)), 3);
	is_known(owner_of(5000), host1);
	assert_int_equal(owner_waiting(word(everything)), 1);
	claim_range(host2, 8000, 9999, 9000);
	assert_int_equal(fixture_packets(), 3);
	assert_memory_equal(fixture_ip(2)->frame, host2, 6);
	assert_int_equal(word(everything).word, 0);
	claim_range(host2, 5500, 8100, 5600); /* over another's */
	is_known(owner_of(5600), host1);
	assert_true(fixture->agent.counter[COUNT_REFUSED_TAKEN] == 1);
	fixture_reopen();
	is_known(owner_of(5600), host1);
	assert_int_equal(fixture->agent.table.grant_count, 2);
}

/* ---- age */

static void age_marks_and_an_answer_clears(void **arg)
{
	uint32_t owner;

	(void)arg;
	fixture->agent.settings.age_s = 300;
	assert_null(fixture_op(OPEN));
	owner = owner_of(PORT_OF3);
	claim_set(host1, 3, PORT_OF3, 0);
	fixture_pass(290000);
	assert_int_equal(fixture_questions(), 0);
	fixture_pass(20000);
	assert_int_equal(fixture_questions(), 3);
	assert_memory_equal(fixture->sent[0].frame, host1, 6);
	assert_int_equal(word(owner).owner.wait, PORTARP_OWNER_KNOWN | PORTARP_OWNER_STALE);
	assert_memory_equal(word(owner).owner.mac, host1, 6);
	claim_set(host1, 3, PORT_OF3, 0);
	is_known(owner, host1);
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, open_gateway, close_gateway)
	const struct CMUnitTest tests[] = {
		ROW(held_packets_go_in_order),
		ROW(packets_that_race_with_the_answer),
		ROW(unanswered_packets_are_dropped),
		ROW(lost_events_are_given_up),
		ROW(a_restart_forgets_what_waited),
		ROW(a_lease_is_believed_against_claims),
		ROW(a_lease_ends),
		ROW(the_first_claim_stands_while_it_is_answered),
		ROW(what_is_forgotten_is_asked),
		ROW(ranges_override_sets),
		ROW(claimed_ranges_get_what_waits_for_them),
		ROW(age_marks_and_an_answer_clears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
