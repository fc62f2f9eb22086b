// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/tunnel.c agents/lib/tunnel_ends.c selftests/lib/tunnel_world.c */
/*
 * selftests/tunnel_ends.c - both ends of a tunnel's handshake against each other, over a network
 * that loses, repeats and mixes up, through renewals, restarts, new secrets, moves and silence.
 * lib/tunnel_world.c fails at any time at which one end seals what the other would not open.
 *
 * TUNNEL_SEED repeats one seed of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "selftests/lib/tunnel_world.h"

#define SECOND	  1000ull
#define MINUTE	  (60 * SECOND)
#define HOUR	  (60 * MINUTE)
#define SETTLE_MS (5 * MINUTE) /* at 30 % loss each try, of 8 s at most, succeeds in one of two */

static struct world w;

/* Runs story for each seed, and says which one it was that failed. */
static void for_seeds(uint64_t count, void (*story)(uint64_t seed))
{
	const char *one = getenv("TUNNEL_SEED");

	if (one) {
		story(strtoull(one, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= count; seed++)
		story(seed);
}

static void expect(bool is, const char *what)
{
	if (!is)
		fail_msg("seed %llu, at %llu ms: not so: %s", (unsigned long long)w.seed,
			 (unsigned long long)w.now_ms, what);
}

static void weather(unsigned int loss, unsigned int twice, unsigned int delay_max)
{
	w.loss = loss;
	w.twice = twice;
	w.delay_max = delay_max;
}

static void begin(uint64_t seed)
{
	world_start(&w, seed);
	world_secret(&w, WORLD_BOTH, 1);
}

/* ---- a good network */

static void test_at_once(void **state)
{
	(void)state;
	begin(1);
	/* Five messages of 30 ms at most, in ticks of 50. */
	expect(world_settle(&w, SECOND) <= 250, "up after five messages");
	expect(w.counts.taken == 1 && w.counts.handshakes == 1, "one handshake");
	world_run(&w, MINUTE);
	expect(w.counts.handshakes == 1 && world_settled(&w), "it stays");
}

static void test_a_day(void **state)
{
	struct tunnel_session before;

	(void)state;
	begin(2);
	world_settle(&w, SECOND);
	for (unsigned int hour = 1; hour <= 24; hour++) {
		before = w.gateway.session;
		world_run(&w, HOUR + SECOND);
		expect(world_settled(&w), "up after the renewal");
		expect(w.counts.handshakes == hour + 1, "one renewal an hour");
		assert_memory_not_equal(before.to_waypoint, w.gateway.session.to_waypoint, 16);
		assert_memory_not_equal(before.to_gateway, w.gateway.session.to_gateway, 16);
	}
	expect(w.counts.gone_gateway + w.counts.gone_waypoint == 0, "never gone");
	expect(w.counts.black_ms == 0, "all that was sealed would have been opened");
	expect(w.counts.keys_most <= 3, "few keys");
}

/* ---- a bad one */

static void bad_story(uint64_t seed)
{
	begin(seed);
	weather(30, 10, 400);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up under one session");
}

static void test_loss(void **state)
{
	(void)state;
	for_seeds(4000, bad_story);
}

static void renewals_story(uint64_t seed)
{
	begin(seed);
	weather(10, 10, 400);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up under one session");
	world_run(&w, 3 * HOUR + MINUTE);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up after renewals");
	expect(w.counts.handshakes >= 4, "renewed");
	expect(w.counts.gone_gateway + w.counts.gone_waypoint == 0, "never gone");
	expect(w.counts.keys_most <= 8, "few keys");
}

static void test_renewals_with_loss(void **state)
{
	(void)state;
	for_seeds(60, renewals_story);
}

/* Beyond the round trip of any satellite: answers come when the next question is on its way. */
static void test_slow(void **state)
{
	(void)state;
	begin(3);
	w.delay_min = 900;
	w.delay_max = 1100;
	expect(world_settle(&w, MINUTE) < MINUTE, "up");
	world_run(&w, 10 * MINUTE);
	expect(w.counts.handshakes <= 2, "no handshake again and again");
	expect(world_settled(&w) && !w.counts.black_ms, "it stays");
}

/* ---- what happens to ends; each at a random time, also within a handshake */

static void restart_story(uint64_t seed, int ends, bool maps)
{
	begin(seed);
	weather(seed % 2 ? 0 : 15, 10, 200);
	for (uint32_t i = 0; i < 3; i++) {
		world_run(&w, world_random(&w, i ? 20000 : 1000));
		world_restart(&w, ends, maps);
		world_run(&w, world_random(&w, 3000)); /* until it has logged in again */
		world_secret(&w, WORLD_BOTH, 2 + i);
	}
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up again");
	world_run(&w, MINUTE);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "it stays");
	if (!w.loss && !maps)
		expect(w.counts.black_ms == 0, "all that was sealed would have been opened");
}

static void story_waypoint(uint64_t seed)
{
	restart_story(seed, WORLD_WAYPOINT, seed / 2 % 2);
}

static void story_gateway(uint64_t seed)
{
	restart_story(seed, WORLD_GATEWAY, seed / 2 % 2);
}

static void story_both(uint64_t seed)
{
	restart_story(seed, WORLD_BOTH, seed / 2 % 2);
}

static void test_waypoint_restarts(void **state)
{
	(void)state;
	for_seeds(1000, story_waypoint);
}

static void test_gateway_restarts(void **state)
{
	(void)state;
	for_seeds(1000, story_gateway);
}

static void test_both_restart(void **state)
{
	(void)state;
	for_seeds(1000, story_both);
}

/* The two ends get it one after the other, whatever the handshake has come to. */
static void secret_story(uint64_t seed)
{
	int first = seed / 2 % 2 ? WORLD_GATEWAY : WORLD_WAYPOINT;

	begin(seed);
	weather(seed % 2 ? 0 : 15, 10, 200);
	for (uint32_t i = 0; i < 5; i++) {
		world_run(&w, world_random(&w, i % 2 ? 400 : 20000));
		world_secret(&w, first, 2 + i);
		world_run(&w, world_random(&w, 4000));
		world_secret(&w, WORLD_BOTH ^ first, 2 + i);
	}
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up under the newest secret");
	assert_memory_equal(w.gateway.secret, w.waypoint.secret, TUNNEL_SECRET_BYTES);
	if (!w.loss)
		expect(w.counts.black_ms == 0, "all that was sealed would have been opened");
	world_run(&w, MINUTE);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "it stays");
}

static void test_new_secrets(void **state)
{
	(void)state;
	for_seeds(2000, secret_story);
}

/* ---- moves, silence, sleep */

static void move_story(uint64_t seed)
{
	unsigned int moved = 0;

	begin(seed);
	weather(seed % 2 ? 0 : 15, 10, 200);
	expect(world_settle(&w, SETTLE_MS) < SETTLE_MS, "up");
	for (uint32_t i = 0; i < 10; i++) {
		w.gateway_place++;
		for (int s = 0; s < 120 && w.known_place != w.gateway_place; s++)
			world_run(&w, SECOND);
		expect(w.known_place == w.gateway_place, "the waypoint knows where it is now");
		moved += 1;
		world_run(&w, world_random(&w, 30000));
	}
	if (!w.loss) {
		expect(w.counts.moved == moved, "told by ALIVE");
		expect(w.counts.handshakes == 1, "without a handshake");
	}
}

static void test_moves(void **state)
{
	(void)state;
	for_seeds(200, move_story);
}

static void silence_story(uint64_t seed)
{
	begin(seed);
	expect(world_settle(&w, MINUTE) < MINUTE, "up");
	world_run(&w, world_random(&w, 40000));
	w.cut = 1 + (int)(seed % 3);
	world_run(&w, TUNNEL_SILENCE_MS + 25 * SECOND);
	expect(w.counts.gone_gateway == 1 && !w.maps_gateway.up, "the gateway calls it gone");
	expect(w.counts.gone_waypoint == 1 && !w.maps_waypoint.up, "the waypoint, too");
	world_run(&w, world_random(&w, 600000));
	w.cut = 0;
	expect(world_settle(&w, 20 * SECOND) <= 18 * SECOND, "up again after a back-off");
	expect(w.counts.gone_gateway == 1 && w.counts.gone_waypoint == 1, "told once");
}

static void test_silence(void **state)
{
	(void)state;
	for_seeds(300, silence_story);
}

/* A gateway that had no time (a virtual machine was halted) begins where it was. */
static void sleep_story(uint64_t seed)
{
	begin(seed);
	expect(world_settle(&w, MINUTE) < MINUTE, "up");
	world_run(&w, world_random(&w, 40000));
	w.gateway_stopped = true;
	world_run(&w, world_random(&w, 5 * MINUTE));
	w.gateway_stopped = false;
	world_run(&w, 10 * SECOND);
	expect(world_settle(&w, 20 * SECOND) < 20 * SECOND, "up again");
}

static void test_sleep(void **state)
{
	(void)state;
	for_seeds(500, sleep_story);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_a_day),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_renewals_with_loss),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_waypoint_restarts),
		cmocka_unit_test(test_gateway_restarts),
		cmocka_unit_test(test_both_restart),
		cmocka_unit_test(test_new_secrets),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
