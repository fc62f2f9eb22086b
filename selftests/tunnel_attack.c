// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/tunnel.c agents/lib/tunnel_ends.c selftests/lib/tunnel_world.c */
/*
 * selftests/tunnel_attack.c - who reads all that two ends of a tunnel send, and adds to it whatever
 * he likes from whatever address, but knows no secret: the tunnel comes up, stays, is renewed, and
 * what is kept of him is bounded. What each attack sends is counted, so that none is idle.
 *
 * Not here: an ALIVE whose copy comes from elsewhere before itself. It moves the gateway until the
 * next one, as a NAT's would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "selftests/lib/tunnel_world.h"

#define SECOND	 1000ull
#define MINUTE	 (60 * SECOND)
#define HOUR	 (60 * MINUTE)
#define ATTACKER 999 /* his place */
#define LATE_MS	 200 /* after this a packet has come, or is lost */
#define TYPE_AT	 12
#define ID_AT	 19
#define NONCE_W	 40

static struct world w;
static unsigned int sent, opens;

static void expect(bool is, const char *what)
{
	if (!is)
		fail_msg("seed %llu, at %llu ms: not so: %s", (unsigned long long)w.seed,
			 (unsigned long long)w.now_ms, what);
}

static void inject(enum world_end to, uint32_t place, const uint8_t *bytes, size_t len)
{
	sent++;
	opens += to == WORLD_WAYPOINT && len == TUNNEL_CONTROL_BYTES &&
		 bytes[TYPE_AT] == TUNNEL_OPEN;
	world_inject(&w, to, place, bytes, len);
}

/* The newest, one of the newest, or any of all that was sent; NULL = nothing yet. */
static const struct world_packet *heard(void)
{
	unsigned int count = w.tapped_count < WORLD_TAPPED ? w.tapped_count : WORLD_TAPPED;
	const unsigned int among[] = { 1, 8, WORLD_TAPPED };
	unsigned int back = among[world_random(&w, 3)];

	back = world_random(&w, back < count ? back : count);
	return count ? &w.tapped[(w.tapped_count - 1 - back) % WORLD_TAPPED] : NULL;
}

/* ---- attacks: one packet each */

static void replay(const struct world_packet *packet)
{
	inject(packet->to, packet->gateway_place, packet->bytes, packet->len);
}

static void replay_from_elsewhere(const struct world_packet *packet)
{
	if (packet->to == WORLD_WAYPOINT && packet->at_ms + LATE_MS < w.now_ms)
		inject(WORLD_WAYPOINT, ATTACKER, packet->bytes, packet->len);
}

static void reflect(const struct world_packet *packet)
{
	inject(WORLD_BOTH ^ packet->to, w.gateway_place, packet->bytes, packet->len);
}

static void as_another_type(const struct world_packet *packet)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];

	memcpy(bytes, packet->bytes, sizeof(bytes));
	bytes[TYPE_AT] = (uint8_t)(1 + world_random(&w, 7));
	if (bytes[TYPE_AT] == TUNNEL_COOKIE) /* an attack of its own */
		return;
	inject(packet->to, packet->gateway_place, bytes, sizeof(bytes));
	inject(WORLD_BOTH ^ packet->to, w.gateway_place, bytes, sizeof(bytes));
}

static void as_another_gateway(const struct world_packet *packet)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];

	memcpy(bytes, packet->bytes, sizeof(bytes));
	bytes[ID_AT] ^= 1 << world_random(&w, 8);
	inject(packet->to, packet->gateway_place, bytes, sizeof(bytes));
}

static void flip(const struct world_packet *packet)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];
	uint32_t bit = world_random(&w, TUNNEL_CONTROL_BYTES * 8);

	if (packet->bytes[TYPE_AT] == TUNNEL_COOKIE)
		return;
	memcpy(bytes, packet->bytes, sizeof(bytes));
	bytes[bit / 8] ^= 1 << bit % 8;
	inject(packet->to, packet->gateway_place, bytes, sizeof(bytes));
}

static void cut_or_longer(const struct world_packet *packet)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES + 8] = { 0 };
	uint32_t len = world_random(&w, sizeof(bytes) + 1);

	memcpy(bytes, packet->bytes, TUNNEL_CONTROL_BYTES);
	if (len != TUNNEL_CONTROL_BYTES)
		inject(packet->to, packet->gateway_place, bytes, len);
}

/* He has a cookie of his own, and another pair's secret. */
static void open_by_another_secret(const struct world_packet *packet)
{
	struct tunnel_message message;
	uint8_t bytes[TUNNEL_CONTROL_BYTES];
	static const uint8_t secret[TUNNEL_SECRET_BYTES] = { 1 };
	uint32_t place = ATTACKER;

	if (tunnel_read(packet->bytes, packet->len, &message))
		return;
	message.type = TUNNEL_OPEN;
	message.number = ~0ull;
	message.nonce_gateway[0] ^= (uint8_t)world_random(&w, 256);
	assert_int_equal(
		tunnel_cookie(w.cookie_secret, &place, 4, &message, message.nonce_waypoint), 0);
	assert_int_equal(tunnel_write(&message, secret, bytes), 0);
	inject(WORLD_WAYPOINT, ATTACKER, bytes, sizeof(bytes));
}

/* COOKIE has no MAC: who has read HELLO can answer it. */
static void cookie_of_his_own(const struct world_packet *packet)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];

	if (packet->bytes[TYPE_AT] != TUNNEL_HELLO)
		return;
	memcpy(bytes, packet->bytes, sizeof(bytes));
	bytes[TYPE_AT] = TUNNEL_COOKIE;
	bytes[NONCE_W] = (uint8_t)world_random(&w, 256);
	inject(WORLD_GATEWAY, w.gateway_place, bytes, sizeof(bytes));
}

static void (*const attacks[])(const struct world_packet *packet) = {
	replay,		 replay_from_elsewhere,	 reflect,
	as_another_type, as_another_gateway,	 flip,
	cut_or_longer,	 open_by_another_secret, cookie_of_his_own,
};

#define ATTACKS (sizeof(attacks) / sizeof(*attacks))

/* `which`: an attack, or ATTACKS for all of them. */
static void attack(size_t which)
{
	const struct world_packet *packet = heard();
	struct world_packet copy;

	if (!packet)
		return;
	copy = *packet; /* what it causes is heard, too */
	attacks[which < ATTACKS ? which : world_random(&w, ATTACKS)](&copy);
}

static void run_attacked(uint64_t ms, uint64_t each_ms, size_t which)
{
	for (uint64_t end = w.now_ms + ms; w.now_ms < end;) {
		world_run(&w, each_ms);
		attack(which);
	}
}

static void begin(uint64_t seed)
{
	sent = opens = 0;
	world_start(&w, seed);
	world_secret(&w, WORLD_BOTH, 1);
}

/* ---- stories */

static void check_unharmed(unsigned int handshakes)
{
	expect(world_settled(&w), "up under one session");
	expect(w.counts.handshakes == handshakes, "the genuine handshakes and no others");
	expect(w.counts.gone_gateway + w.counts.gone_waypoint == 0, "never gone");
	expect(w.counts.black_ms == 0, "all that was sealed would have been opened");
	expect(w.known_place == w.gateway_place && !w.counts.moved, "the gateway is where it is");
	expect(w.counts.keys_most <= 4, "few keys");
}

static void beginning(size_t which)
{
	unsigned int all = 0;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		begin(seed);
		run_attacked(20 * SECOND, 5, which);
		check_unharmed(1);
		all += sent;
	}
	assert_true(all > 300);
}

static void run_to_renewal(size_t which)
{
	uint64_t near = w.gateway.began_ms + HOUR - 10 * SECOND;

	run_attacked(near - w.now_ms, SECOND, which);
	run_attacked(20 * SECOND, 5, which);
}

/* Renewals at every hour: packets of handshakes long ago are replayed, too. */
static void hours(size_t which)
{
	begin(which + 1);
	world_settle(&w, MINUTE);
	for (unsigned int hour = 1; hour <= 12; hour++) {
		run_to_renewal(which);
		check_unharmed(hour + 1);
	}
	assert_true(sent > 1000);
}

#define TEST(attack, number)                                                                       \
	static void test_##attack(void **state)                                                    \
	{                                                                                          \
		(void)state;                                                                       \
		beginning(number);                                                                 \
		hours(number);                                                                     \
	}

TEST(replay, 0)
TEST(replay_from_elsewhere, 1)
TEST(reflect, 2)
TEST(as_another_type, 3)
TEST(as_another_gateway, 4)
TEST(flip, 5)
TEST(cut_or_longer, 6)
TEST(open_by_another_secret, 7)
TEST(all, ATTACKS)

static void test_cookie_of_his_own(void **state)
{
	(void)state;
	beginning(8);
	begin(9);
	world_settle(&w, MINUTE);
	for (unsigned int hour = 1; hour <= 3; hour++) {
		run_to_renewal(8);
		check_unharmed(hour + 1);
	}
	assert_true(sent > 10);
}

/*
 * OPENs that never came, each of a handshake that the gateway has given up: he has held them back,
 * and lets them come while the next handshake runs.
 */
static void held_back_story(uint64_t seed)
{
	struct world_packet held[6];

	begin(seed);
	world_settle(&w, MINUTE);
	for (unsigned int i = 0; i < 6; i++) {
		world_secret(&w, WORLD_GATEWAY, 1); /* begins again under the same secret */
		do {
			world_run(&w, 5);
			held[i] = w.tapped[(w.tapped_count - 1) % WORLD_TAPPED];
		} while (held[i].bytes[TYPE_AT] != TUNNEL_OPEN);
		w.flying = 0;
	}
	world_secret(&w, WORLD_GATEWAY, 1);
	for (int i = 0; i < 4000; i++) {
		const struct world_packet *packet = &held[world_random(&w, 6)];

		world_run(&w, 5);
		inject(WORLD_WAYPOINT, packet->gateway_place, packet->bytes, packet->len);
	}
	expect(world_settled(&w), "up under one session");
	expect(w.counts.handshakes == 2, "the genuine handshakes and no others");
	expect(w.counts.black_ms == 0, "all that was sealed would have been opened");
	expect(w.counts.keys_most <= 6 + 2, "few keys");
	expect(opens == 4000 && w.counts.bad_cookie == 0, "none of them failed for its cookie");
}

static void test_held_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++)
		held_back_story(seed);
}

/* A CLOSE needs the session's key, and is good once; after it the next ALIVE opens again. */
static void test_close(void **state)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];
	struct tunnel_message message = {
		.type = TUNNEL_CLOSE, .cpus = 2, .gateway = WORLD_ID, .vni = 1
	};

	(void)state;
	begin(1);
	world_settle(&w, MINUTE);
	world_run(&w, MINUTE);
	message.vni = w.gateway.session.vni_gateway;
	message.number = w.gateway.number + 1;
	assert_int_equal(tunnel_write(&message, w.gateway.secret, bytes), 0);
	inject(WORLD_WAYPOINT, w.gateway_place, bytes, sizeof(bytes));
	check_unharmed(1);
	message.number = w.gateway.number;
	assert_int_equal(tunnel_write(&message, w.gateway.session.control, bytes), 0);
	inject(WORLD_WAYPOINT, w.gateway_place, bytes, sizeof(bytes));
	check_unharmed(1);
	message.number = ++w.gateway.number;
	assert_int_equal(tunnel_write(&message, w.gateway.session.control, bytes), 0);
	inject(WORLD_WAYPOINT, w.gateway_place, bytes, sizeof(bytes));
	assert_false(w.maps_waypoint.up);
	world_run(&w, 20 * SECOND);
	assert_true(w.maps_waypoint.up && world_settled(&w));
	for (int i = 0; i < 100; i++) {
		inject(WORLD_WAYPOINT, w.gateway_place, bytes, sizeof(bytes));
		assert_true(w.maps_waypoint.up);
		world_run(&w, SECOND);
	}
	assert_true(world_settled(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_replay_from_elsewhere),
		cmocka_unit_test(test_reflect),
		cmocka_unit_test(test_as_another_type),
		cmocka_unit_test(test_as_another_gateway),
		cmocka_unit_test(test_flip),
		cmocka_unit_test(test_cut_or_longer),
		cmocka_unit_test(test_open_by_another_secret),
		cmocka_unit_test(test_cookie_of_his_own),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
