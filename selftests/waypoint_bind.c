// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_bind.c - who is bound to whom: figure 6 of the AVES paper, the ends of
 * bindings (5.2), what scanning costs (6.2).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_fixture.h"

static struct wfix fx;

static int set_up(void **state)
{
	(void)state;
	return wfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	wfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	wfix_clear(&fx);
	return 0;
}

/* ---- figure 6 */

/* A new connection is a SYN or what is not TCP; the first one in a wait is bound, whole. */
static void test_first_packet_binds(void **state)
{
	static const __u8 protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 47 };

	(void)state;
	for (size_t i = 0; i < sizeof(protos); i++)
		wfix_each_hook(hook)
		{
			struct packet_spec spec =
				wfix_spec(&wfix_alice, &wfix_w1, protos[i], PACKET_SYN);
			struct waypoint_pair pair = wfix_pair(&wfix_alice, &wfix_w1);
			struct waypoint_bind bind;

			wfix_clear(&fx);
			wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 2000);
			assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_BOUND, WFIX_G1, 5));
			assert_int_equal(fx.events, 1);
			assert_int_equal(fx.event[0].kind, WAYPOINT_EVENT_BOUND);
			assert_int_equal(fx.event[0].serial, 1005);
			assert_true(wfix_get(&fx, "waypoint_bind", &pair, &bind));
			assert_int_equal(bind.peer, WFIX_G1);
			assert_int_equal(bind.host, 5);
			spec.flags = PACKET_ACK;
			assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
		}
}

static void test_what_is_no_connection(void **state)
{
	struct packet_spec ack = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_ACK);
	struct packet_spec synack =
		wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN | PACKET_ACK);
	struct packet_spec later = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);

	(void)state;
	later.frag = 0x2000 | 10;
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	wfix_each_hook(hook)
	{
		assert_true(wfix_spec_becomes(&fx, hook, ack, WAYPOINT_UNBOUND));
		assert_true(wfix_spec_becomes(&fx, hook, synack, WAYPOINT_UNBOUND));
		assert_true(wfix_spec_becomes(&fx, hook, later, WAYPOINT_UNBOUND));
	}
	assert_int_equal(wfix_entries(&fx, "waypoint_bind"), 0);
}

static void test_nobody_waits(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_wait(&fx, 1, 0, NULL, 0, WFIX_G1, 5, 20000); /* the other address does */
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, syn, WAYPOINT_UNSOLICITED));
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, -1); /* over */
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, syn, WAYPOINT_UNSOLICITED));
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	assert_true(wfix_seals(&fx, WFIX_XDP, syn, WAYPOINT_BOUND, WFIX_G1, 5));
}

/* The wait goes on after one has come, strangers and all, and ends in time. */
static void test_wait_is_fixed(void **state)
{
	struct packet_spec alice = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec bob = wfix_spec(&wfix_bob, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct waypoint_wait wait;
	__u32 first = 0;

	(void)state;
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	assert_true(wfix_seals(&fx, WFIX_XDP, alice, WAYPOINT_BOUND, WFIX_G1, 5));
	assert_true(wfix_seals(&fx, WFIX_TC, bob, WAYPOINT_BOUND, WFIX_G1, 5));
	assert_true(wfix_get(&fx, "waypoint_wait", &first, &wait));
	assert_int_equal(wait.bound, 2);
	assert_true(wait.until_ns > wfix_now());
}

static void test_prefixes_wait_beside_each_other(void **state)
{
	struct packet_spec alice = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec carol = wfix_spec(&wfix_carol, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct isthmus_addr dave = PACKET_V4(192, 0, 2, 200);
	struct packet_spec stranger = wfix_spec(&dave, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_wait(&fx, 0, 0, &wfix_alice, 24, WFIX_G1, 5, 20000);
	wfix_wait(&fx, 0, 7, &wfix_carol, 24, WFIX_G2, 6, 20000);
	assert_true(wfix_spec_becomes(&fx, WFIX_XDP, stranger, WAYPOINT_UNSOLICITED));
	assert_true(wfix_seals(&fx, WFIX_XDP, carol, WAYPOINT_BOUND, WFIX_G2, 6));
	assert_true(wfix_seals(&fx, WFIX_TC, alice, WAYPOINT_BOUND, WFIX_G1, 5));
}

/* Bound to another responder: dropped now, refused from the wait's end on, told each time. */
static void test_violator(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec ack = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_ACK);
	struct waypoint_pair pair = wfix_pair(&wfix_alice, &wfix_w1);
	struct waypoint_reject reject;
	struct waypoint_wait wait;
	__u32 first = 0;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 6, 20000);
	assert_true(wfix_get(&fx, "waypoint_wait", &first, &wait));
	wfix_each_hook(hook)
	{
		assert_true(wfix_spec_tells(&fx, hook, syn, WAYPOINT_VIOLATED));
		assert_int_equal(fx.event[0].kind, WAYPOINT_EVENT_REJECTED);
		/* What it has goes on. */
		assert_true(wfix_seals(&fx, hook, ack, WAYPOINT_SEALED, WFIX_G1, 5));
	}
	assert_true(wfix_get(&fx, "waypoint_reject", &pair, &reject));
	assert_int_equal(reject.from_ns, wait.until_ns);
	assert_int_equal(reject.until_ns, wait.until_ns + WAYPOINT_REJECT_S * WFIX_S);

	/* The wait is over. */
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 6, -1);
	reject.from_ns = wfix_now() - WFIX_S;
	wfix_put(&fx, "waypoint_reject", &pair, &reject);
	wfix_each_hook(hook)
	{
		assert_true(wfix_spec_tells(&fx, hook, syn, WAYPOINT_REFUSED));
		assert_true(wfix_seals(&fx, hook, ack, WAYPOINT_SEALED, WFIX_G1, 5));
	}
	reject.until_ns = wfix_now();
	wfix_put(&fx, "waypoint_reject", &pair, &reject);
	wfix_each_hook(hook) assert_true(wfix_seals(&fx, hook, syn, WAYPOINT_SEALED, WFIX_G1, 5));
}

/* The same responder again is no violation. */
static void test_same_responder(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	wfix_each_hook(hook) assert_true(wfix_seals(&fx, hook, syn, WAYPOINT_SEALED, WFIX_G1, 5));
	assert_int_equal(wfix_entries(&fx, "waypoint_reject"), 0);
}

static void test_table_full(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec bob = wfix_spec(&wfix_bob, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_bind(&fx, &wfix_bob, &wfix_w1, WFIX_G1, 5);
	for (__u8 i = 0; i < 63; i++) {
		struct isthmus_addr someone = PACKET_V4(100, 64, 0, 0);

		someone.b[15] = i;
		wfix_bind(&fx, &someone, &wfix_w1, WFIX_G1, 5);
	}
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	wfix_each_hook(hook)
	{
		assert_true(wfix_spec_becomes(&fx, hook, syn, WAYPOINT_BIND_FULL));
		assert_true(wfix_seals(&fx, hook, bob, WAYPOINT_SEALED, WFIX_G1, 5));
	}
}

/* ---- ends */

static void age_bind(const struct isthmus_addr *initiator, __u64 idle_s)
{
	struct waypoint_pair pair = wfix_pair(initiator, &wfix_w1);
	struct waypoint_bind bind;

	assert_true(wfix_get(&fx, "waypoint_bind", &pair, &bind));
	bind.seen_ns = wfix_now() - idle_s * WFIX_S;
	bind.fresh_ns = 0; /* long ago, even on a machine that was just started */
	wfix_put(&fx, "waypoint_bind", &pair, &bind);
}

/* Section 5.2: one minute for ICMP, 15 for UDP, 30 for TCP, 15 for a mix, 20 for port 80. */
static void test_idle_times(void **state)
{
	static const struct {
		__u8 first, second;
		__u16 port;
		int idle_s;
	} rows[] = {
		{ IPPROTO_ICMP, 0, 22, 60 },
		{ IPPROTO_UDP, 0, 22, 900 },
		{ IPPROTO_TCP, 0, 22, 1800 },
		{ IPPROTO_TCP, IPPROTO_UDP, 22, 900 },
		{ IPPROTO_TCP, 0, 80, 1200 },
		{ 47, 0, 22, 900 },
		{ IPPROTO_TCP, IPPROTO_ICMP, 22, 900 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		wfix_each_hook(hook)
		{
			struct packet_spec spec =
				wfix_spec(&wfix_alice, &wfix_w1, rows[i].first, PACKET_SYN);

			wfix_clear(&fx);
			spec.dport = rows[i].port;
			wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
			assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
			if (rows[i].second) {
				spec.proto = rows[i].second;
				spec.icmp_type = 8;
				assert_true(
					wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
			}
			age_bind(&wfix_alice, rows[i].idle_s - 1);
			assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
			age_bind(&wfix_alice, rows[i].idle_s + 1);
			assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_UNSOLICITED));
		}
}

static void segment(enum wfix_hook hook, __u16 sport, __u16 flags)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, flags);

	spec.sport = sport;
	assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
}

static void reply_segment(enum wfix_hook hook, __u16 dport, __u16 flags)
{
	struct packet_spec spec = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_TCP, flags);
	struct packet inner, frame;

	spec.sport = 22;
	spec.dport = dport;
	packet_build(&spec, &inner);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, NULL));
}

static struct waypoint_bind bind_now(void)
{
	struct waypoint_pair pair = wfix_pair(&wfix_alice, &wfix_w1);
	struct waypoint_bind bind;

	assert_true(wfix_get(&fx, "waypoint_bind", &pair, &bind));
	return bind;
}

/* The last of its connections ends it, 120 s later; FINs are repeated and count once. */
static void test_last_fin(void **state)
{
	(void)state;
	wfix_each_hook(hook)
	{
		wfix_clear(&fx);
		wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
		segment(hook, 1000, PACKET_SYN);
		segment(hook, 1000, PACKET_SYN); /* repeated */
		segment(hook, 1001, PACKET_SYN);
		assert_int_equal(bind_now().conns, 2);
		segment(hook, 1000, PACKET_FIN | PACKET_ACK);
		assert_int_equal(bind_now().conns, 2);
		reply_segment(hook, 1000, PACKET_FIN | PACKET_ACK);
		reply_segment(hook, 1000, PACKET_FIN | PACKET_ACK);
		assert_int_equal(bind_now().conns, 1);
		assert_int_equal(bind_now().ended, 0);
		reply_segment(hook, 1001, PACKET_RST);
		assert_int_equal(bind_now().conns, 0);
		assert_int_equal(bind_now().ended, 1);
		segment(hook, 1001, PACKET_ACK); /* what follows a FIN still passes */
		age_bind(&wfix_alice, WAYPOINT_LINGER_S + 1);
		assert_true(wfix_spec_becomes(
			&fx, hook, wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_ACK),
			WAYPOINT_UNBOUND));
	}
}

/* A new connection within the linger time makes it live as before. */
static void test_connection_after_the_last(void **state)
{
	(void)state;
	wfix_each_hook(hook)
	{
		wfix_clear(&fx);
		wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
		segment(hook, 1000, PACKET_SYN);
		segment(hook, 1000, PACKET_RST);
		assert_int_equal(bind_now().ended, 1);
		segment(hook, 1002, PACKET_SYN);
		assert_int_equal(bind_now().ended, 0);
		assert_int_equal(bind_now().conns, 1);
		age_bind(&wfix_alice, WAYPOINT_LINGER_S + 1);
		segment(hook, 1002, PACKET_ACK);
	}
}

/* One that has ended is made anew by the next wait, for another responder too. */
static void test_bound_anew(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_each_hook(hook)
	{
		wfix_clear(&fx);
		wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
		assert_true(wfix_seals(&fx, hook, syn, WAYPOINT_SEALED, WFIX_G1, 5));
		age_bind(&wfix_alice, WAYPOINT_TCP_S + 1);
		wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G2, 8, 20000);
		assert_true(wfix_seals(&fx, hook, syn, WAYPOINT_BOUND, WFIX_G2, 8));
	}
}

/* ---- strangers (6.2) */

/* Scanning makes a source wait between its bindings, and nobody else. */
static void test_penalty(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec bob = wfix_spec(&wfix_bob, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec second = wfix_spec(&wfix_alice, &wfix_w2, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	for (int i = 0; i < WAYPOINT_SCANS; i++)
		assert_true(wfix_spec_becomes(&fx, WFIX_XDP, syn, WAYPOINT_UNSOLICITED));
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	wfix_wait(&fx, 1, 0, NULL, 0, WFIX_G1, 5, 20000);
	assert_true(wfix_seals(&fx, WFIX_XDP, syn, WAYPOINT_BOUND, WFIX_G1, 5));
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, second, WAYPOINT_PENALISED));
	assert_true(wfix_seals(&fx, WFIX_XDP, syn, WAYPOINT_SEALED, WFIX_G1, 5));
	assert_true(wfix_seals(&fx, WFIX_XDP, bob, WAYPOINT_BOUND, WFIX_G1, 5));
}

/* Who was bound of late is never penalised: another can write his address on packets. */
static void test_exempt(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec second = wfix_spec(&wfix_alice, &wfix_w2, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 5, 20000);
	assert_true(wfix_seals(&fx, WFIX_XDP, syn, WAYPOINT_BOUND, WFIX_G1, 5));
	for (int i = 0; i < 5 * WAYPOINT_SCANS; i++)
		assert_true(wfix_spec_becomes(&fx, WFIX_XDP, second, WAYPOINT_UNSOLICITED));
	wfix_wait(&fx, 1, 0, NULL, 0, WFIX_G1, 5, 20000);
	assert_true(wfix_seals(&fx, WFIX_XDP, second, WAYPOINT_BOUND, WFIX_G1, 5));
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_first_packet_binds),
		test(test_what_is_no_connection),
		test(test_nobody_waits),
		test(test_wait_is_fixed),
		test(test_prefixes_wait_beside_each_other),
		test(test_violator),
		test(test_same_responder),
		test(test_table_full),
		test(test_idle_times),
		test(test_last_fin),
		test(test_connection_after_the_last),
		test(test_bound_anew),
		test(test_penalty),
		test(test_exempt),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
