// SPDX-License-Identifier: GPL-3.0-or-later
/* What the agent clears away: bindings, reject times and connections that are over, and no others.
 */
/* link: agents/waypoint/bind.c agents/waypoint/state.c agents/waypoint/ask.c agents/lib/setup.c */
/* link: agents/lib/setup_send.c agents/lib/setup_receive.c agents/lib/address.c */
/* link: agents/lib/log.c agents/lib/map_sweep.c agents/lib/work.c maps/pin.c */
/* link: agents/waypoint/sweep.c selftests/lib/tunnel_maps.c selftests/lib/waypoint_agent.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include <linux/bpf.h>

#include "lib/waypoint_agent.h"

#define RUN_MS 600 /* six steps of the sweep */

static struct waypoint_conn_key conn_key(const char *initiator, uint16_t port)
{
	struct waypoint_conn_key key = { { v4(initiator), v4(W1) }, htons(port), htons(80) };

	return key;
}

static void put_conn(const char *initiator, uint16_t port, uint32_t number, uint64_t seen_ns)
{
	struct waypoint_conn_key key = conn_key(initiator, port);
	struct waypoint_conn conn = { .seen_ns = seen_ns, .number = number };

	assert_int_equal(bpf_map_update_elem(w->map[MAP_CONN], &key, &conn, BPF_ANY), 0);
}

static bool has_conn(const char *initiator, uint16_t port)
{
	struct waypoint_conn_key key = conn_key(initiator, port);
	struct waypoint_conn conn;

	return !bpf_map_lookup_elem(w->map[MAP_CONN], &key, &conn);
}

static void run_sweep(void)
{
	const struct timeval end = { .tv_usec = RUN_MS * 1000 };

	assert_int_equal(sweep_start(w), 0);
	event_base_loopexit(w->base, &end);
	event_base_dispatch(w->base);
	sweep_free(w);
}

/* A connection of an earlier binding is over, however its pair is bound now; a young one waits. */
static void connections(void **state)
{
	uint64_t now = waypoint_now_ns(), old = now > 90 * NS_PER_S ? now - 90 * NS_PER_S : 1;
	struct waypoint_bind bind = { .peer = GATEWAY, .seen_ns = now, .number = 5 };

	(void)state;
	bind.fresh_ns = now + 100 * NS_PER_S;
	put_bind(ALICE, W1, &bind);
	put_conn(ALICE, 1, 5, old);
	put_conn(ALICE, 2, 4, old);
	put_conn(ALICE, 3, 4, now);
	put_conn("198.51.100.8", 4, 5, old);
	put_conn("198.51.100.8", 5, 5, now);
	run_sweep();
	assert_true(has_conn(ALICE, 1));
	assert_false(has_conn(ALICE, 2));
	assert_true(has_conn(ALICE, 3));
	assert_false(has_conn("198.51.100.8", 4));
	assert_true(has_conn("198.51.100.8", 5));
}

static void bindings(void **state)
{
	uint64_t now = waypoint_now_ns();
	struct waypoint_bind bind = { .peer = GATEWAY, .seen_ns = 1, .fresh_ns = 1 };

	(void)state;
	put_bind("198.51.100.8", W1, &bind);
	bind.fresh_ns = now + 100 * NS_PER_S;
	put_bind(ALICE, W1, &bind);
	run_sweep();
	assert_true(read_bind(ALICE, W1, &bind));
	assert_false(read_bind("198.51.100.8", W1, &bind));
	assert_int_equal(w->binds, 1);
	assert_int_equal(w->counters.ended, 1);
}

/* While the map was not seen there may be some; then as many as run. */
static void reject_times(void **state)
{
	struct waypoint_pair pair = { v4(ALICE), v4(W1) }, over = { v4(ALICE), v4(W2) };
	uint64_t now = waypoint_now_ns();
	struct waypoint_reject running = { now, now + 100 * NS_PER_S }, ended = { 1, 2 };

	(void)state;
	assert_int_equal(bpf_map_update_elem(w->map[MAP_REJECT], &pair, &running, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(w->map[MAP_REJECT], &over, &ended, BPF_ANY), 0);
	run_sweep();
	assert_int_equal(w->rejects, 1);
	assert_int_equal(bpf_map_lookup_elem(w->map[MAP_REJECT], &pair, &running), 0);
	assert_int_not_equal(bpf_map_lookup_elem(w->map[MAP_REJECT], &over, &ended), 0);
	bpf_map_delete_elem(w->map[MAP_REJECT], &pair);
	run_sweep();
	w->rest_reject = 0;
	run_sweep();
	assert_int_equal(w->rejects, 0);
}

#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, wagent_set_up, wagent_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { AGENT_TEST(connections), AGENT_TEST(bindings),
					    AGENT_TEST(reject_times) };

	return cmocka_run_group_tests_name("waypoint_sweep", tests, NULL, NULL);
}
