// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a SETUP makes of the maps (AVES 3.3, agents/waypoint/bind.c): waits, bindings, refusals, and
 * what an agent finds again that is started after another one.
 */
/* link: agents/waypoint/bind.c agents/waypoint/state.c agents/waypoint/ask.c agents/lib/setup.c */
/* link: agents/lib/setup_send.c agents/lib/setup_receive.c agents/lib/address.c */
/* link: agents/lib/log.c agents/lib/map_sweep.c agents/lib/work.c maps/pin.c */
/* link: selftests/lib/tunnel_maps.c selftests/lib/waypoint_agent.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/waypoint_agent.h"

static void put_reject(const char *initiator, const char *address, int left_ms)
{
	struct waypoint_pair pair = { v4(initiator), v4(address) };
	uint64_t now = waypoint_now_ns();
	struct waypoint_reject reject = { now - NS_PER_S, now + left_ms * NS_PER_MS };

	assert_int_equal(bpf_map_update_elem(w->map[MAP_REJECT], &pair, &reject, BPF_ANY), 0);
	w->rejects = 1; /* as the datapath's event has it */
}

static struct setup answer_to(const struct setup *ask)
{
	struct setup answer = *ask;

	bind_ask(w, ask, &answer);
	return answer;
}

static void accepted(const struct setup *ask)
{
	assert_int_equal(answer_to(ask).type, SETUP_ACCEPT);
}

static void rejected(const struct setup *ask, enum setup_why why)
{
	struct setup answer = answer_to(ask);

	assert_int_equal(answer.type, SETUP_REJECT);
	assert_int_equal(answer.why, why);
	assert_int_equal(answer.ms, 0);
}

/* ---- bind_ask() as a table: what there is, who asks, the answer */

struct row {
	const char *name;
	struct {
		const char *prefix; /* NULL = no wait is running */
		uint8_t bits;
		uint32_t host;
		uint32_t left_ms; /* that the wait still has */
		bool contended;
	} wait;
	uint32_t bound_to; /* host that ALICE is bound to by W1; 0 = none */
	bool bound_over, refused;
	const char *waypoint;
	uint32_t gateway;
	uint8_t mode;
	const char *initiator;
	uint8_t bits;
	uint32_t host, ms;
	uint8_t type, why;
	uint32_t answer_ms; /* or up to LATE_MS fewer */
	bool enters;	    /* another wait */
};

#define KNOWN	SETUP_KNOWN, ALICE, 32
#define ANYONE	SETUP_DELAYED, "0.0.0.0", 0
#define NETWORK SETUP_DELAYED, "198.51.100.0", 24
#define WAIT(prefix, bits, host, left_ms)                                                          \
	{                                                                                          \
		prefix, bits, host, left_ms, false                                                 \
	}
#define CONTENDED(prefix, bits, host, left_ms)                                                     \
	{                                                                                          \
		prefix, bits, host, left_ms, true                                                  \
	}
#define YES(ms)	    SETUP_ACCEPT, 0, ms, false
#define ENTERED(ms) SETUP_ACCEPT, 0, ms, true
#define NO(why)	    SETUP_REJECT, why, 0, false
#define FRESH_MS    120000

/* clang-format off */
static const struct row rows[] = {
	/* mode 2 */
	{ "nothing there", {}, 0, 0, 0, W1, GATEWAY, ANYONE, 1, 0, ENTERED(2000) },
	{ "a shorter wait", {}, 0, 0, 0, W1, GATEWAY, ANYONE, 1, 700, ENTERED(700) },
	{ "a longer one", {}, 0, 0, 0, W1, GATEWAY, ANYONE, 1, 9000, ENTERED(2000) },
	{ "not ours", {}, 0, 0, 0, W3, GATEWAY, ANYONE, 1, 0, NO(SETUP_UNKNOWN_ADDRESS) },
	{ "no tunnel", {}, 0, 0, 0, W1, NO_TUNNEL, ANYONE, 1, 0, NO(SETUP_NO_TUNNEL) },
	{ "unknown", {}, 0, 0, 0, W1, STRANGER, ANYONE, 1, 0, NO(SETUP_NO_TUNNEL) },
	{ "another's", WAIT(ALICE, 32, 2, 1500), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, NO(SETUP_WAITING) },
	{ "another's, wider", WAIT("0.0.0.0", 0, 2, 1500), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, NO(SETUP_WAITING) },
	{ "another's, disjoint", WAIT("192.0.2.0", 24, 2, 1500), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, ENTERED(2000) },
	{ "another's, over", WAIT("0.0.0.0", 0, 2, 0), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, ENTERED(2000) },
	{ "the same number of another gateway", WAIT("0.0.0.0", 0, 1, 1500), 0, 0, 0, W1, GATEWAY2, NETWORK, 1, 0, NO(SETUP_WAITING) },
	{ "its own", WAIT("198.51.100.0", 24, 1, 1900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, YES(1900) },
	{ "its own, wider", WAIT("0.0.0.0", 0, 1, 1900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, YES(1900) },
	{ "its own, narrower", WAIT(ALICE, 32, 1, 1900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, ENTERED(2000) },
	{ "its own, disjoint", WAIT("192.0.2.0", 24, 1, 1900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, ENTERED(2000) },
	{ "its own, nearly over", WAIT("0.0.0.0", 0, 1, 900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, ENTERED(2000) },
	{ "and contended", CONTENDED("0.0.0.0", 0, 1, 900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, NO(SETUP_WAITING) },
	{ "contended, long enough", CONTENDED("0.0.0.0", 0, 1, 1900), 0, 0, 0, W1, GATEWAY, NETWORK, 1, 0, YES(1900) },
	{ "somebody is bound elsewhere", {}, 2, 0, 0, W1, GATEWAY, ANYONE, 1, 0, ENTERED(2000) },
	/* mode 1 */
	{ "known", {}, 0, 0, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "known, no tunnel", {}, 0, 0, 0, W1, NO_TUNNEL, KNOWN, 1, 0, NO(SETUP_NO_TUNNEL) },
	{ "bound to it", {}, 1, 0, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "bound to another", {}, 2, 0, 0, W1, GATEWAY, KNOWN, 1, 0, NO(SETUP_BOUND_ELSEWHERE) },
	{ "its number elsewhere", {}, 1, 0, 0, W1, GATEWAY2, KNOWN, 1, 0, NO(SETUP_BOUND_ELSEWHERE) },
	{ "that is over", {}, 2, 1, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "another's wait", WAIT("0.0.0.0", 0, 2, 1500), 0, 0, 0, W1, GATEWAY, KNOWN, 1, 0, NO(SETUP_WAITING) },
	{ "another's, disjoint", WAIT("192.0.2.0", 24, 2, 1500), 0, 0, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "its own wait", WAIT("0.0.0.0", 0, 1, 1500), 0, 0, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "bound, another's wait", WAIT("0.0.0.0", 0, 2, 1500), 1, 0, 0, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
	{ "reject time", {}, 0, 0, 1, W1, GATEWAY, KNOWN, 1, 0, NO(SETUP_WAITING) },
	{ "bound, reject time", {}, 1, 0, 1, W1, GATEWAY, KNOWN, 1, 0, YES(FRESH_MS) },
};
/* clang-format on */

static void give_wait(const struct row *row)
{
	struct setup ask =
		ask_of(SETUP_DELAYED, row->wait.prefix, row->wait.bits, GATEWAY, row->wait.host);
	struct wait *wait = &w->address[0].wait[0];
	struct waypoint_wait record;
	uint32_t place = w->address[0].number * WAYPOINT_WAITS;

	accepted(&ask);
	record = read_wait(W1, 0);
	record.until_ns = wait->until_ns = waypoint_now_ns() + row->wait.left_ms * NS_PER_MS;
	wait->contended = row->wait.contended;
	assert_int_equal(bpf_map_update_elem(w->map[MAP_WAIT], &place, &record, BPF_ANY), 0);
}

static void give(const struct row *row)
{
	uint64_t now = waypoint_now_ns();
	struct waypoint_bind bind = { .peer = GATEWAY,
				      .host = row->bound_to,
				      .carried = WAYPOINT_CARRIED_UDP,
				      .seen_ns = now,
				      .fresh_ns = now };

	if (row->bound_over)
		bind.carried = 0;
	if (row->bound_to)
		put_bind(ALICE, W1, &bind);
	if (row->refused)
		put_reject(ALICE, W1, 100000);
	if (row->wait.prefix)
		give_wait(row);
}

static unsigned int waits_running(const char *address)
{
	uint64_t now = waypoint_now_ns();
	unsigned int count = 0;

	for (uint32_t i = 0; i < WAYPOINT_WAITS; i++)
		count += read_wait(address, i).until_ns > now;
	return count;
}

static void expect_row(const struct row *row)
{
	struct setup ask = ask_of(row->mode, row->initiator, row->bits, row->gateway, row->host),
		     answer;
	unsigned int before;
	bool is_bound;
	struct waypoint_bind bind;

	ask.waypoint = v4(row->waypoint);
	ask.ms = row->ms;
	give(row);
	before = waits_running(W1);
	answer = answer_to(&ask);
	if (answer.type != row->type || answer.why != row->why || answer.ms > row->answer_ms ||
	    answer.ms + LATE_MS < row->answer_ms)
		fail_msg("%s: type %d, why %d, %u ms", row->name, answer.type, answer.why,
			 answer.ms);
	if (waits_running(W1) != before + row->enters)
		fail_msg("%s: %u waits of %u before", row->name, waits_running(W1), before);
	is_bound = read_bind(ALICE, W1, &bind);
	if (row->mode == SETUP_KNOWN && row->type == SETUP_ACCEPT &&
	    (!is_bound || bind.host != row->host || bind.peer != row->gateway))
		fail_msg("%s: no binding", row->name);
	if (row->type == SETUP_REJECT && is_bound != (row->bound_to != 0))
		fail_msg("%s: a binding came or went", row->name);
	if (row->type == SETUP_REJECT && is_bound && bind.host != row->bound_to)
		fail_msg("%s: the binding is another", row->name);
}

static void asks_table(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		expect_row(&rows[i]);
		wagent_tear_down(state);
		wagent_set_up(state);
	}
}

/* ---- the records */

static void wait_record(void **state)
{
	struct setup ask = ask_of(SETUP_DELAYED, "198.51.100.0", 24, GATEWAY, 9);
	uint64_t begin = waypoint_now_ns(), end;
	struct waypoint_wait wait;
	struct waypoint_addr addr;
	__be32 key = v4(W1);

	(void)state;
	accepted(&ask);
	end = waypoint_now_ns();
	wait = read_wait(W1, 0);
	assert_in_range(wait.until_ns, begin + WAIT_MS * NS_PER_MS, end + WAIT_MS * NS_PER_MS);
	assert_int_equal(wait.serial, ask.serial);
	assert_int_equal(wait.prefix, v4("198.51.100.0"));
	assert_int_equal(wait.mask, v4("255.255.255.0"));
	assert_int_equal(wait.peer, GATEWAY);
	assert_int_equal(wait.host, 9);
	assert_int_equal(wait.bound, 0);
	assert_int_equal(bpf_map_lookup_elem(w->map[MAP_ADDR], &key, &addr), 0);
	assert_int_equal(addr.waits_until_ns, wait.until_ns);
	key = v4(W2);
	assert_int_equal(bpf_map_lookup_elem(w->map[MAP_ADDR], &key, &addr), 0);
	assert_int_equal(addr.waits_until_ns, 0);
	for (uint32_t i = 1; i < WAYPOINT_WAITS; i++)
		assert_int_equal(read_wait(W1, i).until_ns, 0);
}

/* Whoever asks, and whatever is answered. */
static void end_of_a_wait_stays(void **state)
{
	struct setup ask = ask_of(SETUP_DELAYED, "0.0.0.0", 0, GATEWAY, 1);
	struct waypoint_wait before, after;

	(void)state;
	accepted(&ask);
	before = read_wait(W1, 0);
	for (int i = 0; i < 40; i++) {
		ask = ask_of(i % 2 ? SETUP_DELAYED : SETUP_KNOWN, ALICE, 32, GATEWAY, 1 + i % 3);
		answer_to(&ask);
	}
	for (int i = 0; i < 10 && waypoint_now_ns() < before.until_ns; i++) {
		usleep(100000);
		ask = ask_of(SETUP_DELAYED, "0.0.0.0", 0, GATEWAY, 1);
		answer_to(&ask);
	}
	after = read_wait(W1, 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void eight_places(void **state)
{
	struct setup ask;
	char prefix[20];

	(void)state;
	w->settings.wait_ms = 60000;
	for (uint32_t i = 0; i < WAYPOINT_WAITS; i++) {
		snprintf(prefix, sizeof(prefix), "198.51.%u.0", i);
		ask = ask_of(SETUP_DELAYED, prefix, 24, GATEWAY, i);
		accepted(&ask);
		assert_int_equal(read_wait(W1, i).host, i);
	}
	ask = ask_of(SETUP_DELAYED, "198.51.99.0", 24, GATEWAY, 99);
	rejected(&ask, SETUP_WAITING);
	ask.waypoint = v4(W2);
	accepted(&ask);
	w->address[0].wait[3].until_ns = waypoint_now_ns();
	ask.waypoint = v4(W1);
	accepted(&ask);
	assert_int_equal(read_wait(W1, 3).host, 99);
	ask.initiator = v4("198.51.98.0");
	ask.host = 98;
	rejected(&ask, SETUP_WAITING);
}

static void bind_record(void **state)
{
	struct setup ask = ask_of(SETUP_KNOWN, ALICE, 32, GATEWAY, 9);
	uint64_t begin = waypoint_now_ns(), end;
	struct waypoint_bind first, second;

	(void)state;
	accepted(&ask);
	end = waypoint_now_ns();
	assert_true(read_bind(ALICE, W1, &first));
	assert_int_equal(first.peer, GATEWAY);
	assert_int_equal(first.host, 9);
	assert_in_range(first.seen_ns, begin, end);
	assert_int_equal(first.fresh_ns, first.seen_ns + wagent_conf.fresh_ns);
	assert_int_equal(first.carried | first.ended | first.conns | (int)first.ifindex, 0);
	assert_false(read_bind(ALICE, W2, &second));
	/* Told of again, with less than half of the time left: fresh again, and else as it was. */
	first.fresh_ns -= wagent_conf.fresh_ns * 2 / 3;
	first.carried = WAYPOINT_CARRIED_TCP;
	first.conns = 2;
	first.ifindex = 4;
	put_bind(ALICE, W1, &first);
	begin = waypoint_now_ns();
	accepted(&ask);
	end = waypoint_now_ns();
	assert_true(read_bind(ALICE, W1, &second));
	assert_in_range(second.fresh_ns, begin + wagent_conf.fresh_ns, end + wagent_conf.fresh_ns);
	first.fresh_ns = second.fresh_ns;
	assert_memory_equal(&first, &second, sizeof(first));
	/* With more than that it is not written, so nothing of the datapath's is lost. */
	accepted(&ask);
	assert_true(read_bind(ALICE, W1, &second));
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(w->counters.bound, 1);
}

static void table_is_full(void **state)
{
	struct waypoint_bind bind;
	struct setup ask;
	char initiator[20];

	(void)state;
	assert_int_equal(w->binds_max, BINDS);
	for (int i = 0; i < BINDS; i++) {
		snprintf(initiator, sizeof(initiator), "192.0.2.%d", 1 + i);
		ask = ask_of(SETUP_KNOWN, initiator, 32, GATEWAY, 1);
		accepted(&ask);
	}
	ask = ask_of(SETUP_KNOWN, ALICE, 32, GATEWAY, 1);
	rejected(&ask, SETUP_FULL);
	assert_false(read_bind(ALICE, W1, &bind));
	ask = ask_of(SETUP_DELAYED, "0.0.0.0", 0, GATEWAY, 1);
	w->binds = BINDS; /* as a sweep has counted */
	rejected(&ask, SETUP_FULL);
	assert_int_equal(read_wait(W1, 0).until_ns, 0);
	w->binds = BINDS - 1;
	accepted(&ask);
}

/* ---- an agent that was killed, and the next one with other addresses */

static uint32_t number_of(const char *address)
{
	struct waypoint_addr value;
	__be32 key = v4(address);

	return bpf_map_lookup_elem(w->map[MAP_ADDR], &key, &value) ? UINT32_MAX : value.number;
}

static void restart(void **state)
{
	static const char *const later[] = { W3, W2 };
	struct setup ask = ask_of(SETUP_DELAYED, "198.51.100.0", 24, GATEWAY, 1);
	struct waypoint_wait before, after;
	uint32_t number = number_of(W2);

	(void)state;
	w->settings.wait_ms = 60000;
	accepted(&ask);
	ask.waypoint = v4(W2);
	accepted(&ask);
	before = read_wait(W2, 0);
	assert_int_not_equal(number_of(W1), number);
	wagent_end();
	wagent_start(later, COUNT(later));
	assert_int_equal(number_of(W2), number);
	assert_int_equal(number_of(W1), UINT32_MAX);
	assert_int_not_equal(number_of(W3), number);
	assert_int_not_equal(number_of(W3), UINT32_MAX);
	ask.host = 2;
	rejected(&ask, SETUP_WAITING); /* the wait was read back */
	ask.host = 1;
	accepted(&ask);
	assert_int_equal(waits_running(W2), 1);
	after = read_wait(W2, 0);
	assert_memory_equal(&before, &after, sizeof(before));
	ask.waypoint = v4(W1);
	rejected(&ask, SETUP_UNKNOWN_ADDRESS);
}

#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, wagent_set_up, wagent_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGENT_TEST(asks_table),	  AGENT_TEST(wait_record), AGENT_TEST(end_of_a_wait_stays),
		AGENT_TEST(eight_places), AGENT_TEST(bind_record), AGENT_TEST(table_is_full),
		AGENT_TEST(restart),
	};

	return cmocka_run_group_tests_name("waypoint_agent", tests, NULL, NULL);
}
