// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint.c - what a waypoint does with packets of bindings: sealed and opened to the
 * byte, lengths, bad input.
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

/* ---- bound */

static void test_sealed_to_the_byte(void **state)
{
	static const __u8 protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };
	static const __u16 lengths[] = { 0, 1, 2, 7, 8, 9, 31, 32, 33, 63, 500, 1000, 1400 };

	(void)state;
	for (int peer = WFIX_G1; peer < WFIX_PEERS; peer++) {
		if (peer == WFIX_DOWN)
			continue;
		wfix_bind(&fx, &wfix_alice, &wfix_w1, peer, 300 + peer);
		for (size_t i = 0; i < sizeof(protos); i++)
			for (size_t j = 0; j < sizeof(lengths) / sizeof(*lengths); j++) {
				struct packet_spec spec =
					wfix_spec(&wfix_alice, &wfix_w1, protos[i], PACKET_ACK);

				spec.data_len =
					peer == WFIX_G6 && lengths[j] > 1350 ? 1350 : lengths[j];
				spec.tos = 0xb8 | (j & 3);
				spec.trailer = j % 2 ? 6 : 0;
				wfix_each_hook(hook) assert_true(wfix_seals(
					&fx, hook, spec, WAYPOINT_SEALED, peer, 300 + peer));
			}
	}
}

/* Sequences never repeat: CPU and a counter that grows by one. */
static void test_sequences(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct wfix_result result;
	struct packet in;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 3);
	wfix_frame(&fx, &spec, &in);
	for (__u64 i = 1; i <= 20; i++) {
		wfix_run(&fx, i % 2 ? WFIX_XDP : WFIX_TC, &in, &result);
		assert_int_equal(seal_sequence(&result.out), i);
	}
}

static void test_opened_to_the_byte(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_TCP, PACKET_ACK);
	struct packet inner, frame, want;

	(void)state;
	for (int peer = WFIX_G1; peer < WFIX_PEERS; peer++) {
		if (peer == WFIX_DOWN)
			continue;
		wfix_bind(&fx, &wfix_alice, &wfix_w1, peer, 9);
		/* Before the initiator has sent anything no way back is known. */
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, peer, 9, &inner, &frame);
		assert_true(wfix_becomes(&fx, WFIX_XDP, &frame, WAYPOINT_NO_HOP, NULL));
		assert_true(wfix_seals(&fx, WFIX_XDP, request, WAYPOINT_SEALED, peer, 9));
		for (int i = 0; i < 40; i++)
			wfix_each_hook(hook)
			{
				reply.data_len = i * 33;
				packet_build(&reply, &inner);
				wfix_from_gateway(&fx, peer, 9, &inner, &frame);
				wfix_aged(&fx, reply, &want);
				wfix_macs(&fx, false, &want);
				assert_true(
					wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, &want));
			}
	}
}

/* A gateway answers for who is bound to it and its host, and nobody else. */
static void test_foreign(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet_spec stranger = wfix_spec(&wfix_w1, &wfix_bob, IPPROTO_UDP, 0);
	struct packet_spec other = wfix_spec(&wfix_carol, &wfix_alice, IPPROTO_UDP, 0);
	struct packet inner, frame;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 9);
	wfix_each_hook(hook)
	{
		assert_true(wfix_seals(&fx, hook, request, WAYPOINT_SEALED, WFIX_G1, 9));
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 8, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		wfix_from_gateway(&fx, WFIX_G2, 9, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		packet_build(&stranger, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 9, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		packet_build(&other, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 9, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 9, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, NULL));
	}
}

/* An IPv6 initiator is bound to nobody: the address is one responder's. */
static void test_six(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_six, &wfix_w6, IPPROTO_TCP, PACKET_SYN);
	struct isthmus_addr nobody = wfix_w6;

	(void)state;
	wfix_each_hook(hook)
	{
		spec.opt = NULL;
		assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 7));
		spec.flags = PACKET_ACK;
		assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 7));
		spec.ttl = 1;
		assert_true(wfix_spec_tells(&fx, hook, spec, WAYPOINT_TTL));
		spec.ttl = 0;
		spec.data_len = 1400;
		assert_true(wfix_spec_tells(&fx, hook, spec, WAYPOINT_TOO_LONG));
		spec.data_len = 100;
	}
	nobody.b[15]++;
	spec.dst = nobody;
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_OTHER));
}

static void test_others_pass(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_bob, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	wfix_each_hook(hook)
	{
		assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_OTHER));
		spec.ethertype = 0x0806;
		assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_OTHER));
		spec.ethertype = 0;
	}
}

/* ---- length */

static void test_mss(void **state)
{
	static const struct {
		const char *in, *out;
		__u8 len;
	} rows[] = {
		{ "\2\4\5\xb4", "\2\4\5\x78", 4 },		   /* 1460 becomes 1400 */
		{ "\2\4\5\x78", "\2\4\5\x78", 4 },		   /* fits */
		{ "\2\4\2\x18", "\2\4\2\x18", 4 },		   /* small */
		{ "\1\2\4\5\xb4\1\1\1", "\1\2\4\5\x78\1\1\1", 8 }, /* at an odd place */
		{ "\4\2\1\1\2\4\5\xb4", "\4\2\1\1\2\4\5\x78", 8 }, /* behind others */
		{ "\0\0\2\4\5\xb4\0\0", "\0\0\2\4\5\xb4\0\0", 8 }, /* behind the end */
		{ "\3\0\2\4\5\xb4\0\0", "\3\0\2\4\5\xb4\0\0", 8 }, /* an option without length */
		{ "\2\3\5\xb4", "\2\3\5\xb4", 4 },		   /* a wrong length */
	};

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		wfix_each_hook(hook)
		{
			struct packet_spec spec =
				wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
			struct packet in, inner, want;
			struct wfix_result result;

			spec.opt_len = rows[i].len;
			spec.opt = rows[i].in;
			wfix_frame(&fx, &spec, &in);
			spec.opt = rows[i].out;
			wfix_aged(&fx, spec, &inner);
			wfix_run(&fx, hook, &in, &result);
			assert_int_equal(result.reason, WAYPOINT_SEALED);
			wfix_sealed(&fx, WFIX_G1, 5, seal_sequence(&result.out), &inner, &want);
			assert_true(wfix_same(&result.out, &want));
		}
}

/* XDP leaves to tc what may be cut. */
static void test_left_to_tc(void **state)
{
	struct packet_spec big = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet in;

	(void)state;
	big.data_len = 1472;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &big, &in);
	assert_true(wfix_becomes(&fx, WFIX_XDP, &in, WAYPOINT_TO_TC, &in));
}

/* The first fragment is what the packet becomes; the next one begins where it ends. */
static void test_cut(void **state)
{
	struct packet_spec big = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet whole, first, want;
	struct wfix_result result;

	(void)state;
	big.data_len = 1472;
	big.id = 77;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &big, &whole);
	wfix_run(&fx, WFIX_TC, &whole, &result);
	assert_int_equal(result.reason, WAYPOINT_CUT);
	big.ttl = 63;
	wfix_frame(&fx, &big, &whole);
	packet_fragment(&whole, 0, (WFIX_ROOM - 20) & ~7, 77, &first);
	wfix_sealed(&fx, WFIX_G1, 5, seal_sequence(&result.out), &first, &want);
	assert_true(wfix_same(&result.out, &want));
}

/* ---- bad input */

static void test_unfinished(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_ACK);

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	spec.data_len = 1300;
	fx.gso_size = 600;
	fx.gso_segments = 3;
	assert_true(wfix_spec_becomes(&fx, WFIX_TC, spec, WAYPOINT_UNFINISHED));
	fx.gso_size = fx.gso_segments = 0;
	assert_true(wfix_seals(&fx, WFIX_TC, spec, WAYPOINT_SEALED, WFIX_G1, 5));
}

static void test_malformed(void **state)
{
	struct packet_spec good = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0), bad;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_each_hook(hook)
	{
		bad = good;
		bad.tot_len = 400;
		assert_true(wfix_spec_becomes(&fx, hook, bad, WAYPOINT_MALFORMED));
		bad.tot_len = 24; /* half a UDP header */
		assert_true(wfix_spec_becomes(&fx, hook, bad, WAYPOINT_MALFORMED));
		assert_true(wfix_seals(&fx, hook, good, WAYPOINT_SEALED, WFIX_G1, 5));
	}
}

static void test_no_tunnel(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_DOWN, 5);
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_NO_PEER));
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_sealed_to_the_byte),
		test(test_sequences),
		test(test_opened_to_the_byte),
		test(test_foreign),
		test(test_six),
		test(test_others_pass),
		test(test_mss),
		test(test_left_to_tc),
		test(test_cut),
		test(test_unfinished),
		test(test_malformed),
		test(test_no_tunnel),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
