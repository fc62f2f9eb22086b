// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_forged.c - of forged, replayed, reflected and wrong-key tunnel packets none is
 * opened; beside each one a genuine packet is.
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

static void test_forged(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet inner, frame, bad;
	struct wfix_result result;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	assert_true(wfix_seals(&fx, WFIX_XDP, request, WAYPOINT_SEALED, WFIX_G1, 5));
	packet_build(&reply, &inner);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	for (size_t bit = seal_geneve_at(&frame) * 8; bit < frame.len * 8; bit++) {
		bad = frame;
		bad.b[bit / 8] ^= 1 << bit % 8;
		wfix_run(&fx, bit & 8 ? WFIX_XDP : WFIX_TC, &bad, &result);
		assert_string_not_equal(wfix_reason_name(result.reason), "OPENED");
		assert_string_not_equal(wfix_reason_name(result.reason), "not exactly one");
	}
	assert_true(wfix_becomes(&fx, WFIX_XDP, &frame, WAYPOINT_OPENED, NULL));
	wfix_each_hook(hook) assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_REPLAYED, NULL));
	/* Late, within the window and behind it. */
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	fx.sequence += TUNNEL_WINDOW - 64 - 2; /* a window is moved by words */
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &bad);
	assert_true(wfix_becomes(&fx, WFIX_XDP, &bad, WAYPOINT_OPENED, NULL));
	assert_true(wfix_becomes(&fx, WFIX_TC, &frame, WAYPOINT_OPENED, NULL));
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	fx.sequence += TUNNEL_WINDOW + 64;
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &bad);
	assert_true(wfix_becomes(&fx, WFIX_XDP, &bad, WAYPOINT_OPENED, NULL));
	assert_true(wfix_becomes(&fx, WFIX_TC, &frame, WAYPOINT_REPLAYED, NULL));
}

/* What a waypoint has sealed itself is nothing that a gateway sent. */
static void test_reflected(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct wfix_result result;
	struct packet in;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &request, &in);
	wfix_run(&fx, WFIX_XDP, &in, &result);
	assert_int_equal(result.reason, WAYPOINT_SEALED);
	packet_put16(result.out.b + 14 + 20 + 2, TUNNEL_PORT);
	wfix_macs(&fx, true, &result.out);
	wfix_each_hook(hook)
		assert_true(wfix_becomes(&fx, hook, &result.out, WAYPOINT_VNI_UNKNOWN, NULL));
}

/* A key past its time opens nothing; a packet from elsewhere is opened and told. */
static void test_keys_and_places(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	__u32 vni = wfix_vni(WFIX_G1);
	struct packet inner, frame;
	struct tunnel_key key;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	assert_true(wfix_seals(&fx, WFIX_XDP, request, WAYPOINT_SEALED, WFIX_G1, 5));
	packet_build(&reply, &inner);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	frame.b[14 + 12 + 3] ^=
		0xff; /* outer source, and its checksum left wrong: XDP trusts the tag */
	assert_true(wfix_becomes(&fx, WFIX_XDP, &frame, WAYPOINT_OPENED, NULL));
	assert_int_equal(fx.events, 1);
	assert_int_equal(fx.event[0].kind, WAYPOINT_EVENT_MOVED);
	assert_int_equal(fx.event[0].peer, WFIX_G1);
	assert_true(wfix_get(&fx, "waypoint_key", &vni, &key));
	key.until_ns = wfix_now() - WFIX_S;
	wfix_put(&fx, "waypoint_key", &vni, &key);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	wfix_each_hook(hook)
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_VNI_UNKNOWN, NULL));
}

static void test_control(void **state)
{
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet inner, frame;

	(void)state;
	packet_build(&reply, &inner);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
	frame.b[seal_geneve_at(&frame) + 1] |= 0x80;
	wfix_each_hook(hook) assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_CONTROL, &frame));
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_forged),
		test(test_reflected),
		test(test_keys_and_places),
		test(test_control),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
