// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c */
/*
 * selftests/packet.c - the ruler is measured: packets whose bytes are known, against the builder.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/packet.h"

#define MACS .dst_mac = { 2, 0, 0, 0, 0, 2 }, .src_mac = { 2, 0, 0, 0, 0, 1 }

static const struct packet_spec syn_spec = {
	MACS,
	.src = PACKET_V4(192, 0, 2, 10),
	.dst = PACKET_V4(203, 0, 113, 1),
	.sport = 40001,
	.dport = 20001,
	.flags = PACKET_SYN,
	.seq = 0x11223344,
	.id = 0x1234,
	.frag = 0x4000,
	.opt = "\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02\x03\x04\x00\x00\x00\x00\x01\x03\x03\x07",
	.opt_len = 20,
};
/* Summed by another program. */
static const char syn_bytes[] = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00\x45\x00"
				"\x00\x3c\x12\x34\x40\x00\x40\x06\x2a\x7c\xc0\x00\x02\x0a\xcb\x00"
				"\x71\x01\x9c\x41\x4e\x21\x11\x22\x33\x44\x00\x00\x00\x00\xa0\x02"
				"\xfa\xf0\x1c\x34\x00\x00\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02"
				"\x03\x04\x00\x00\x00\x00\x01\x03\x03\x07";

static const struct packet_spec udp_spec = {
	MACS,
	.tag = { { 0x8100, 0x64 } },
	.src = PACKET_V6(0xa, 0x10),
	.dst = PACKET_V6(0xff, 1),
	.sport = 5000,
	.dport = 6000,
	.proto = IPPROTO_UDP,
	.data = "abc",
	.data_len = 3,
};
static const char udp_bytes[] = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x81\x00\x00\x64"
				"\x86\xdd\x60\x01\x23\x45\x00\x0b\x11\x40\x20\x01\x0d\xb8\x00\x0a"
				"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x20\x01\x0d\xb8\x00\xff"
				"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x13\x88\x17\x70\x00\x0b"
				"\xb3\xf1\x61\x62\x63";

static void assert_bytes(const struct packet_spec *spec, const char *bytes, size_t len)
{
	struct packet packet;

	packet_build(spec, &packet);
	assert_int_equal(packet.len, len);
	assert_memory_equal(packet.b, bytes, len);
	assert_true(packet_checks_good(&packet));
}

static void test_known_frames(void **state)
{
	(void)state;
	assert_bytes(&syn_spec, syn_bytes, sizeof(syn_bytes) - 1);
	assert_bytes(&udp_spec, udp_bytes, sizeof(udp_bytes) - 1);
}

/* The examples of RFC 1071, section 3, and of a header known from many books. */
static void test_known_sums(void **state)
{
	static const char header[] =
		"\x45\x00\x00\x73\x00\x00\x40\x00\x40\x11\x00\x00\xc0\xa8\x00\x01\xc0\xa8\x00\xc7";

	(void)state;
	assert_int_equal(packet_sum("\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8, 0), 0xddf2);
	assert_int_equal((__u16)~packet_sum(header, 20, 0), 0xb861);
	assert_int_equal(packet_sum("\xff", 1, 0), 0xff00);
	assert_int_equal(packet_sum("\xff\xff\x00\x01", 4, 0), 1);
}

/* Each changed bit behind the addresses is noticed by a checksum, or by the parser. */
static void test_checks_notice(void **state)
{
	struct packet packet, changed;

	(void)state;
	for (int which = 0; which < 2; which++) {
		packet_build(which ? &udp_spec : &syn_spec, &packet);
		for (size_t bit = (which ? 24 : 14) * 8; bit < packet.len * 8; bit++) {
			changed = packet;
			changed.b[bit / 8] ^= 1 << bit % 8;
			if (which && bit / 8 == 25)
				continue; /* the hop limit: in no sum */
			assert_false(packet_checks_good(&changed));
		}
	}
}

static void test_aim(void **state)
{
	static const __u16 targets[] = { 0x0000, 0x0001, 0x8000, 0xfffe, 0xffff };
	struct packet_spec spec = syn_spec;
	struct packet_view view;
	struct packet packet;

	(void)state;
	spec.data_len = 10;
	for (int i = 0; i < 4; i++) {
		packet_build(&spec, &packet);
		packet_aim_l4_check(&packet, targets[i]);
		assert_true(packet_checks_good(&packet));
		assert_true(packet_parse(&packet, &view));
		assert_int_equal(packet_get_l4_check(&packet, &view), targets[i]);
	}
	packet_build(&spec, &packet);
	packet_aim_l4_check(&packet, 0xffff); /* no whole sum gives this zero */
	assert_false(packet_checks_good(&packet));
}

static void test_pieces(void **state)
{
	struct packet whole, piece[3], joined;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct packet_spec spec = v6 ? udp_spec : syn_spec;

		spec.frag = 0;
		spec.data = NULL;
		spec.data_len = 1000;
		packet_build(&spec, &whole);
		packet_fragment(&whole, 0, 400, 0x1234, &piece[0]);
		packet_fragment(&whole, 400, 800, 0x1234, &piece[2]);
		packet_fragment(&whole, 800, v6 ? 1008 : 1040, 0x1234, &piece[1]);
		assert_true(packet_join(piece, 3, &joined));
		assert_int_equal(joined.len, whole.len);
		assert_memory_equal(joined.b, whole.b, whole.len);
		assert_false(packet_join(piece, 2, &joined));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_frames),  cmocka_unit_test(test_known_sums),
		cmocka_unit_test(test_checks_notice), cmocka_unit_test(test_aim),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
