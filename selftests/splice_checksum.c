// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_checksum.c - checksum updates where one's complement arithmetic has its corners.
 *
 * A sweep lets both checksums take every value there is; rows aim at the two zeros, at carries and
 * at deltas that are zero.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define VALUES 0x10000

static struct splice_fixture fx;

static const __u16 corners[] = { 0x0000, 0x0001, 0x00ff, 0x0100, 0x7fff,
				 0x8000, 0xfeff, 0xff00, 0xfffe, 0xffff };

#define CORNERS (sizeof(corners) / sizeof(*corners))

/* The packet with this payload word; both checksums are good. */
static void build(const struct splice_session *session, int from, __u16 word, struct packet *packet)
{
	struct packet_spec spec = { .flags = PACKET_ACK, .id = word, .data_len = 2 };
	__u8 data[2] = { word >> 8, word & 0xff };

	spec.data = data;
	splice_fixture_spec(&fx, session, from, &spec);
	packet_build(&spec, packet);
}

static void check_forward(const struct splice_session *session, int from, enum fixture_hook hook,
			  const struct packet *in)
{
	struct splice_result result;
	struct packet want;

	assert_int_equal(splice_model_forward(session, from, hook, in, &want), SPLICE_FORWARDED);
	splice_fixture_run_uncounted(&fx, hook, from, in, &result);
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, SPLICE_FORWARDED, false));
	assert_true(splice_model_same(&result.out, &want));
}

static void sweep(bool v6, __u8 proto, bool pure)
{
	struct splice_session session;
	struct packet in;

	splice_fixture_session(&fx, v6, proto, pure, &session);
	splice_fixture_legs(&fx, &session);
	/* An emulated machine looks at fewer values. */
	for (__u32 word = 0; word < VALUES; word += splice_fixture_slow()) {
		build(&session, 0, word, &in);
		check_forward(&session, 0, FIXTURE_XDP, &in);
		check_forward(&session, 0, FIXTURE_TC, &in);
	}
}

static void test_every_value_tcp(void **state)
{
	(void)state;
	sweep(false, IPPROTO_TCP, false);
	sweep(false, IPPROTO_TCP, true);
	sweep(true, IPPROTO_TCP, false);
	sweep(true, IPPROTO_TCP, true);
}

static void test_every_value_udp(void **state)
{
	(void)state;
	sweep(false, IPPROTO_UDP, false);
	sweep(false, IPPROTO_UDP, true);
	sweep(true, IPPROTO_UDP, false);
	sweep(true, IPPROTO_UDP, true);
}

static void each_session(void (*run)(const struct splice_session *, int, enum fixture_hook))
{
	struct splice_session session;

	for (unsigned int bits = 0; bits < 32; bits++) {
		splice_fixture_session(&fx, bits & 1, bits & 2 ? IPPROTO_UDP : IPPROTO_TCP,
				       bits & 4, &session);
		splice_fixture_legs(&fx, &session);
		run(&session, bits >> 3 & 1, bits & 16 ? FIXTURE_TC : FIXTURE_XDP);
	}
}

/* The checksum that comes is a corner. TCP's 0xffff is the other zero: no sender makes it, a
 * receiver takes it. */
static void run_incoming(const struct splice_session *session, int from, enum fixture_hook hook)
{
	struct packet in;

	for (size_t i = 0; i < CORNERS; i++) {
		if (!corners[i] && session->proto == IPPROTO_UDP)
			continue;
		build(session, from, 0, &in);
		packet_aim_l4_check(&in, corners[i]);
		check_forward(session, from, hook, &in);
	}
}

static void test_incoming_corners(void **state)
{
	(void)state;
	each_session(run_incoming);
}

/* The checksum that leaves is a corner: the payload is chosen so. */
static void run_outgoing(const struct splice_session *session, int from, enum fixture_hook hook)
{
	struct packet_view view;
	struct packet in, out;

	for (size_t i = 0; i < CORNERS; i++) {
		if (corners[i] == (session->proto == IPPROTO_UDP ? 0x0000 : 0xffff))
			continue; /* never made from scratch */
		build(session, from, 0, &in);
		splice_model_forward(session, from, hook, &in, &out);
		packet_aim_l4_check(&out, corners[i]);
		assert_true(packet_parse(&in, &view));
		memcpy(in.b + view.end - 2, out.b + view.end - 2, 2);
		packet_set_l4_check(&in, &view, packet_l4_check(&in, &view));
		splice_model_forward(session, from, hook, &in, &out);
		assert_int_equal(packet_get_l4_check(&out, &view), corners[i]);
		check_forward(session, from, hook, &in);
	}
}

static void test_outgoing_corners(void **state)
{
	(void)state;
	each_session(run_outgoing);
}

static void run_no_checksum(const struct splice_session *session, int from, enum fixture_hook hook)
{
	struct packet_view view;
	struct splice_result result;
	struct packet in;

	if (session->proto != IPPROTO_UDP || !packet_addr_v4(&session->end[0].remote))
		return;
	build(session, from, 0x1234, &in);
	assert_true(packet_parse(&in, &view));
	packet_set_l4_check(&in, &view, 0);
	splice_fixture_run_uncounted(&fx, hook, from, &in, &result);
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, SPLICE_FORWARDED, false));
	assert_int_equal(packet_get_l4_check(&result.out, &view), 0);
	assert_int_equal(packet_get16(result.out.b + view.l3 + 10),
			 packet_ip_check(&result.out, &view));
}

/* Also with a result of 0xffff nearby, 0 means "none" and stays (RFC 768). */
static void test_no_checksum_stays(void **state)
{
	(void)state;
	each_session(run_no_checksum);
}

static void swap_words(const struct isthmus_addr *from, size_t at, struct isthmus_addr *to)
{
	*to = *from;
	for (; at < 16; at += 4) {
		memcpy(to->b + at, from->b + at + 2, 2);
		memcpy(to->b + at + 2, from->b + at, 2);
	}
}

/* The far ends have the same words as the near ones, in another order: the delta is one of the
 * zeros. */
static void run_zero_delta(bool v6, __u8 proto, enum fixture_hook hook)
{
	struct splice_session session;
	struct packet in;

	splice_fixture_session(&fx, v6, proto, false, &session);
	swap_words(&session.end[0].local, v6 ? 0 : 12, &session.end[1].remote);
	swap_words(&session.end[0].remote, v6 ? 0 : 12, &session.end[1].local);
	session.end[1].remote_port = session.end[0].local_port;
	session.end[1].local_port = session.end[0].remote_port;
	if (proto == IPPROTO_TCP && hook == FIXTURE_XDP)
		splice_fixture_own(&fx, &session.end[1].local, session.end[1].local_port,
				   session.end[1].local_port);
	splice_fixture_legs(&fx, &session);
	for (size_t i = 0; i < CORNERS; i++) {
		build(&session, 0, corners[i], &in);
		check_forward(&session, 0, hook, &in);
	}
}

static void test_zero_delta(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 8; bits++)
		run_zero_delta(bits & 1, bits & 2 ? IPPROTO_UDP : IPPROTO_TCP,
			       bits & 4 ? FIXTURE_TC : FIXTURE_XDP);
}

static void try_extreme(const __u8 remote, const __u8 local, enum fixture_hook hook, __u8 proto)
{
	struct splice_session session;
	struct packet in;

	splice_fixture_session(&fx, false, proto, false, &session);
	memset(session.end[0].remote.b + 12, remote, 4);
	memset(session.end[0].local.b + 12, local, 4);
	memset(session.end[1].remote.b + 12, ~remote, 4);
	memset(session.end[1].local.b + 12, ~local, 4);
	session.end[0].remote_port = remote << 8 | local;
	session.end[0].local_port = 1;
	session.end[1].remote_port = 0xffff;
	session.end[1].local_port = 2;
	splice_fixture_legs(&fx, &session);
	for (size_t i = 0; i < CORNERS; i++) {
		build(&session, 0, corners[i], &in);
		check_forward(&session, 0, hook, &in);
	}
}

/* Words of all zeros and all ones on both sides: the largest carries. */
static void test_extreme_words(void **state)
{
	static const __u8 bytes[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
	struct isthmus_addr local = PACKET_V4(0, 0, 0, 0);

	(void)state;
	for (unsigned int i = 0; i < sizeof(bytes); i++) {
		memset(local.b + 12, bytes[i], 4);
		splice_fixture_own(&fx, &local, 1, 2);
	}
	for (unsigned int i = 0; i < 144; i++)
		try_extreme(bytes[i % 6], bytes[i / 6 % 6], i & 1 ? FIXTURE_TC : FIXTURE_XDP,
			    i < 72 ? IPPROTO_TCP : IPPROTO_UDP);
}

static void run_complete(const struct splice_session *session, int from, enum fixture_hook hook)
{
	struct packet in;

	if (hook != FIXTURE_TC)
		return;
	for (size_t i = 0; i < CORNERS; i++) {
		build(session, from, corners[i], &in);
		check_forward(session, from, hook, &in);
	}
}

/* A NIC that sums the whole frame (CHECKSUM_COMPLETE): the kernel looks at its sum afterwards. */
static void test_checksum_complete(void **state)
{
	struct splice_session session;
	struct splice_result result;
	struct packet packet;

	(void)state;
	fx.complete = true;
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	build(&session, 0, 0, &packet);
	splice_fixture_run_uncounted(&fx, FIXTURE_TC, 0, &packet, &result);
	if (result.verdict == -EINVAL) {
		fx.complete = false;
		printf("test runs with CHECKSUM_COMPLETE need Linux 6.15\n");
		skip();
	}
	each_session(run_complete);
	fx.complete = false;
}

static int set_up(void **state)
{
	(void)state;
	return splice_fixture_open(&fx, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	splice_fixture_close(&fx);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_value_tcp),	  cmocka_unit_test(test_every_value_udp),
		cmocka_unit_test(test_incoming_corners),  cmocka_unit_test(test_outgoing_corners),
		cmocka_unit_test(test_no_checksum_stays), cmocka_unit_test(test_zero_delta),
		cmocka_unit_test(test_extreme_words),	  cmocka_unit_test(test_checksum_complete),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
