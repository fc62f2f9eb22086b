// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_error.c - ICMP errors: to the byte, limited, never to where none belongs; and
 * those about replies.
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

/* What becomes of `in`, from scratch: an ICMP error of type, code, MTU that quotes `quote` bytes.
 */
static void error_frame(const struct packet *in, __u8 type, __u8 code, __u32 rest, size_t quote,
			struct packet *want)
{
	struct packet_spec spec = { .src = wfix_w1,
				    .dst = wfix_alice,
				    .proto = 1,
				    .tos = 0xc0,
				    .icmp_type = type,
				    .icmp_code = code,
				    .icmp_rest = rest,
				    .data = in->b + 14,
				    .data_len = quote };

	packet_build(&spec, want);
	wfix_macs(&fx, false, want);
}

static void test_errors_to_the_byte(void **state)
{
	struct packet_spec syn = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_SYN);
	struct packet_spec last = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec big = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_TCP, PACKET_ACK);
	struct packet in, want;

	(void)state;
	last.ttl = 1;
	big.frag = 0x4000;
	big.data_len = WFIX_ROOM - 40 + 1;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_each_hook(hook)
	{
		wfix_frame(&fx, &last, &in);
		error_frame(&in, 11, 0, 0, 128, &want);
		assert_true(wfix_tells(&fx, hook, &in, WAYPOINT_TTL, &want));
		last.data_len = 20; /* 48 bytes: a header and eight bytes are quoted */
		wfix_frame(&fx, &last, &in);
		error_frame(&in, 11, 0, 0, 28, &want);
		assert_true(wfix_tells(&fx, hook, &in, WAYPOINT_TTL, &want));
		last.data_len = 100;
		wfix_frame(&fx, &big, &in);
		error_frame(&in, 3, 4, WFIX_ROOM, 128, &want);
		assert_true(wfix_tells(&fx, hook, &in, WAYPOINT_TOO_LONG, &want));
		big.data_len--;
		assert_true(wfix_seals(&fx, hook, big, WAYPOINT_SEALED, WFIX_G1, 5));
		big.data_len++;
	}
	wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, 6, 20000);
	wfix_each_hook(hook)
	{
		wfix_frame(&fx, &syn, &in);
		error_frame(&in, 3, 1, 0, 128, &want);
		assert_true(wfix_tells(&fx, hook, &in, WAYPOINT_VIOLATED, &want));
	}
}

static void test_errors_are_limited(void **state)
{
	struct packet_spec last = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec bob = wfix_spec(&wfix_bob, &wfix_w1, IPPROTO_UDP, 0);
	struct wfix_result result;
	struct packet in;
	int sent = 0, limited = 0;

	(void)state;
	last.ttl = bob.ttl = 1;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_bind(&fx, &wfix_bob, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &last, &in);
	for (int i = 0; i < 40; i++) {
		wfix_run(&fx, i % 2 ? WFIX_XDP : WFIX_TC, &in, &result);
		assert_int_equal(result.reason, WAYPOINT_TTL);
		sent += result.told;
		limited += result.limited;
	}
	/* The second may have changed once meanwhile. */
	assert_in_range(sent, WAYPOINT_ERRORS_A_S, 2 * WAYPOINT_ERRORS_A_S);
	assert_int_equal(limited, 40 - sent);
	assert_true(wfix_spec_tells(&fx, WFIX_XDP, bob, WAYPOINT_TTL)); /* another's are his own */
}

/* Never in answer to an error, a later fragment, a group's frame or an address of nobody. */
static void test_errors_never(void **state)
{
	static const struct isthmus_addr sources[] = { PACKET_V4(0, 0, 0, 1),
						       PACKET_V4(127, 0, 0, 1),
						       PACKET_V4(224, 0, 0, 1),
						       PACKET_V4(255, 255, 255, 255) };
	struct packet_spec last = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet in;

	(void)state;
	last.ttl = 1;
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		last.src = sources[i];
		wfix_bind(&fx, &sources[i], &wfix_w1, WFIX_G1, 5);
		wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, last, WAYPOINT_TTL));
	}
	last.src = wfix_alice;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &last, &in);
	in.b[0] |= 1;
	wfix_each_hook(hook) assert_true(wfix_becomes(&fx, hook, &in, WAYPOINT_OTHER, NULL));
	last.frag = 0x2000 | 8;
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, last, WAYPOINT_TTL));
	last.frag = 0;
	wfix_each_hook(hook) assert_true(wfix_spec_tells(&fx, hook, last, WAYPOINT_TTL));
}

/* An error about a reply goes to the gateway of whom it quotes; about anything else it is dropped.
 */
static void test_error_about_a_reply(void **state)
{
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0), error;
	struct packet quoted;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	packet_build(&reply, &quoted);
	error = wfix_spec(&wfix_carol, &wfix_w1, IPPROTO_ICMP, 0);
	error.icmp_type = 3;
	error.icmp_code = 4;
	error.icmp_rest = 1400;
	error.data = quoted.b + 14;
	error.data_len = 60;
	wfix_each_hook(hook) assert_true(wfix_seals(&fx, hook, error, WAYPOINT_SEALED, WFIX_G1, 5));
	reply.dst = wfix_bob;
	packet_build(&reply, &quoted);
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, error, WAYPOINT_UNBOUND));
	reply.src = wfix_w2;
	packet_build(&reply, &quoted);
	wfix_each_hook(hook) assert_true(wfix_spec_becomes(&fx, hook, error, WAYPOINT_MALFORMED));
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_errors_to_the_byte),
		test(test_errors_are_limited),
		test(test_errors_never),
		test(test_error_about_a_reply),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
