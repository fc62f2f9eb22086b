// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/resoa/frame.c */
/*
 * Frames that A is sent (agents/resoa/frame.c), byte by byte: RST and ICMP for a SYN, a datagram as
 * ICMP quotes it, a SYN's checksum. Every expected byte is written here; sums are made from
 * scratch, over 16-bit words as RFC 1071 says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../agents/resoa/resoa.h"

#define MAC 0x02, 0x11, 0x22, 0x33, 0x44, 0x55

/* 192.0.2.1:40000 -> 198.51.100.2:80, sequence number 0x01020304, MSS 1460; checksums not made. */
static const uint8_t syn4[] = {
	MAC,  MAC,  0x08, 0x00,							/* Ethernet */
	0x45, 0x00, 0x00, 0x2c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x00, 0x00, /* IPv4 */
	192,  0,    2,	  1,	198,  51,   100,  2,	0x9c, 0x40, 0x00, 0x50,
	0x01, 0x02, 0x03, 0x04, 0,    0,    0,	  0, /* TCP */
	0x60, 0x02, 0xfa, 0xf0, 0xaa, 0xaa, 0,	  0,	2,    4,    0x05, 0xb4,
};

/* [2001:db8::1]:40000 -> [2001:db8::2]:80 */
static const uint8_t syn6[] = {
	MAC,  MAC,  0x86, 0xdd,				/* Ethernet */
	0x60, 0x01, 0x02, 0x03, 0x00, 0x18, 0x06, 0x40, /* IPv6 */
	0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,	  0,	0,    0,    0,	  0,	0, 0, 0,
	1,    0x20, 0x01, 0x0d, 0xb8, 0,    0,	  0,	0,    0,    0,	  0,	0, 0, 0,
	0,    2,    0x9c, 0x40, 0x00, 0x50, 0xff, 0xff, 0xff, 0xff, 0,	  0,	0, 0, /* TCP */
	0x60, 0x02, 0xfa, 0xf0, 0xaa, 0xaa, 0,	  0,	2,    4,    0x05, 0xb4,
};

/* ---- sums */

static uint16_t sum16(const uint8_t *pseudo, size_t pseudo_len, const uint8_t *bytes, size_t len)
{
	uint64_t sum = 0;
	uint8_t all[4096] = { 0 };

	memcpy(all, pseudo, pseudo_len);
	memcpy(all + pseudo_len, bytes, len);
	for (size_t i = 0; i < pseudo_len + len; i += 2)
		sum += all[i] * 256 + all[i + 1];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(0xffff - sum);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value & 255;
}

/* Writes the checksum at `at` of the payload, which is zero there now. */
static void sum_payload(uint8_t *frame, size_t len, uint8_t proto, size_t at)
{
	uint8_t pseudo[40] = { 0 };
	bool is_v4 = frame[12] == 8;
	size_t head = is_v4 ? 34 : 54, addresses = is_v4 ? 8 : 32;

	memcpy(pseudo, frame + (is_v4 ? 26 : 22), addresses);
	if (is_v4)
		pseudo[addresses + 1] = proto;
	else
		pseudo[addresses + 7] = proto;
	put16(pseudo + addresses + 2, len - head);
	put16(frame + head + at, sum16(pseudo, proto == 1 ? 0 : addresses + (is_v4 ? 4 : 8),
				       frame + head, len - head));
}

static void sum_ip(uint8_t *frame)
{
	put16(frame + 24, sum16(NULL, 0, frame + 14, 20));
}

static void same(const uint8_t *got, size_t got_len, const uint8_t *want, size_t want_len)
{
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
}

/* ---- RST */

static void test_rst4(void **state)
{
	uint8_t want[] = {
		MAC,  MAC,  0x08, 0x00, 0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40,
		0x00, 0x40, 0x06, 0x00, 0x00, 198,  51,	  100,	2,    192,  0,
		2,    1,    0x00, 0x50, 0x9c, 0x40, 0,	  0,	0,    0,    0x01,
		0x02, 0x03, 0x05, 0x50, 0x14, 0,    0,	  0,	0,    0,    0,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_ip(want);
	sum_payload(want, sizeof(want), 6, 16);
	same(out, frame_rst(syn4, sizeof(syn4), out), want, sizeof(want));
}

/* The sequence number after the last one is 0. */
static void test_rst6(void **state)
{
	uint8_t want[] = {
		MAC,  MAC,  0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, 0x20,
		0x01, 0x0d, 0xb8, 0,	0,    0,    0,	  0,	0,    0,    0,	  0,	0,
		0,    2,    0x20, 0x01, 0x0d, 0xb8, 0,	  0,	0,    0,    0,	  0,	0,
		0,    0,    0,	  0,	1,    0x00, 0x50, 0x9c, 0x40, 0,    0,	  0,	0,
		0,    0,    0,	  0,	0x50, 0x14, 0,	  0,	0,    0,    0,	  0,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_payload(want, sizeof(want), 6, 16);
	same(out, frame_rst(syn6, sizeof(syn6), out), want, sizeof(want));
}

/* ---- ICMP */

static void test_icmp4(void **state)
{
	uint8_t want[34 + 8 + 44] = {
		MAC,  MAC,  0x08, 0x00, 0x45, 0x00, 0x00, 0x48, 0x00, 0x00, 0x40,
		0x00, 0x40, 0x01, 0x00, 0x00, 198,  51,	  100,	2,    192,  0,
		2,    1,    3,	  1,	0,    0,    0,	  0,	0,    0,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	memcpy(want + 42, syn4 + 14, 44);
	sum_ip(want);
	sum_payload(want, sizeof(want), 1, 2);
	same(out, frame_icmp(syn4, sizeof(syn4), 3, 1, 0, out), want, sizeof(want));
}

static void test_icmp6(void **state)
{
	uint8_t want[54 + 8 + 64] = {
		MAC,  MAC,  0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x48, 0x3a, 0x40, 0x20,
		0x01, 0x0d, 0xb8, 0,	0,    0,    0,	  0,	0,    0,    0,	  0,	0,
		0,    2,    0x20, 0x01, 0x0d, 0xb8, 0,	  0,	0,    0,    0,	  0,	0,
		0,    0,    0,	  0,	1,    2,    0,	  0,	0,    0,    0,	  0x05, 0x78,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	memcpy(want + 62, syn6 + 14, 64);
	sum_payload(want, sizeof(want), 58, 2);
	same(out, frame_icmp(syn6, sizeof(syn6), 2, 0, 1400, out), want, sizeof(want));
}

/* Of a long packet ICMP quotes what keeps its own within 576 and 1,280 bytes. */
static void test_quote(void **state)
{
	uint8_t packet[FRAME_MAX] = { 0 }, out[FRAME_MAX];

	(void)state;
	memcpy(packet, syn4, sizeof(syn4));
	put16(packet + 16, 1500);
	assert_int_equal(frame_icmp(packet, sizeof(packet), 3, 3, 0, out), 14 + 576);
	memcpy(packet, syn6, sizeof(syn6));
	put16(packet + 18, 1460);
	assert_int_equal(frame_icmp(packet, sizeof(packet), 1, 4, 0, out), 14 + 1280);
}

/* ---- others */

static void check_checksum(const uint8_t *syn, size_t len, size_t head)
{
	uint8_t want[128], got[128];

	memcpy(got, syn, len);
	memcpy(want, syn, len);
	put16(want + head + 16, 0);
	sum_payload(want, len, 6, 16);
	frame_checksum(got, len);
	assert_memory_equal(got, want, len);
}

static void test_checksum(void **state)
{
	(void)state;
	check_checksum(syn4, sizeof(syn4), 34);
	check_checksum(syn6, sizeof(syn6), 54);
}

static void test_datagram(void **state)
{
	const struct net net = { .mac = { MAC } };
	const struct ep_name from = {
		{ { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 } }, htons(40000), 4, IPPROTO_UDP, 0
	};
	const struct ep_name to = {
		{ { [10] = 0xff, [11] = 0xff, 198, 51, 100, 2 } }, htons(53), 4, IPPROTO_UDP, 0
	};
	uint8_t want[] = {
		MAC,  MAC,  0x08, 0x00, 0x45, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x40, 0x00,
		0x40, 0x11, 0x00, 0x00, 192,  0,    2,	  1,	198,  51,   100,  2,
		0x9c, 0x40, 0x00, 0x35, 0x00, 0x0b, 0,	  0,	'a',  'b',  'c',
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_ip(want);
	sum_payload(want, sizeof(want), 17, 6);
	same(out, frame_datagram(&net, &from, &to, "abc", 3, out), want, sizeof(want));
}

static void test_datagram6(void **state)
{
	const struct net net = { .mac = { MAC } };
	const struct ep_name from = {
		{ { 0x20, 1, 0x0d, 0xb8, [15] = 1 } }, htons(40000), 6, IPPROTO_UDP, 0
	};
	const struct ep_name to = {
		{ { 0x20, 1, 0x0d, 0xb8, [15] = 2 } }, htons(53), 6, IPPROTO_UDP, 0
	};
	uint8_t want[] = {
		MAC,  MAC,  0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x11, 0x40, 0x20, 0x01,
		0x0d, 0xb8, 0,	  0,	0,    0,    0,	  0,	0,    0,    0,	  0,	0,    1,
		0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,
		0,    2,    0x9c, 0x40, 0x00, 0x35, 0x00, 0x0b, 0,    0,    'a',  'b',	'c',
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_payload(want, sizeof(want), 17, 6);
	same(out, frame_datagram(&net, &from, &to, "abc", 3, out), want, sizeof(want));
}

static void test_segment(void **state)
{
	const struct net net = { .mac = { MAC } };
	const struct resoa_names names = {
		.local = { { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 } },
		.remote = { { [10] = 0xff, [11] = 0xff, 198, 51, 100, 2 } },
		.local_port = htons(40000),
		.remote_port = htons(80),
	};
	uint8_t want[] = {
		MAC,  MAC,  0x08, 0x00, 0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40,
		0x00, 0x40, 0x06, 0x00, 0x00, 192,  0,	  2,	1,    198,  51,
		100,  2,    0x9c, 0x40, 0x00, 0x50, 0xfe, 0xdc, 0xba, 0x98, 0,
		0,    0,    0,	  0x50, 0x10, 0,    0,	  0,	0,    0,    0,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_ip(want);
	sum_payload(want, sizeof(want), 6, 16);
	same(out, frame_segment(&net, 4, &names, 0xfedcba98, out), want, sizeof(want));
}

static void test_segment6(void **state)
{
	const struct net net = { .mac = { MAC } };
	const struct resoa_names names = {
		.local = { { 0x20, 1, 0x0d, 0xb8, [15] = 1 } },
		.remote = { { 0x20, 1, 0x0d, 0xb8, [15] = 2 } },
		.local_port = htons(40000),
		.remote_port = htons(80),
	};
	uint8_t want[] = {
		MAC,  MAC,  0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, 0x20,
		0x01, 0x0d, 0xb8, 0,	0,    0,    0,	  0,	0,    0,    0,	  0,	0,
		0,    1,    0x20, 0x01, 0x0d, 0xb8, 0,	  0,	0,    0,    0,	  0,	0,
		0,    0,    0,	  0,	2,    0x9c, 0x40, 0x00, 0x50, 0,    0,	  0,	1,
		0,    0,    0,	  0,	0x50, 0x10, 0,	  0,	0,    0,    0,	  0,
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	sum_payload(want, sizeof(want), 6, 16);
	same(out, frame_segment(&net, 6, &names, 1, out), want, sizeof(want));
}

/* Which ICMP error the kernel makes an errno of (Linux's icmp_err_convert, tab_unreach). */
static void test_error(void **state)
{
	static const struct {
		int error;
		uint8_t type4, code4, type6, code6;
		bool known;
	} rows[] = {
		{ ENETUNREACH, 3, 0, 1, 0, true },   { EHOSTUNREACH, 3, 1, 1, 3, true },
		{ ECONNREFUSED, 3, 3, 1, 4, true },  { ENOPROTOOPT, 3, 2, 1, 3, true },
		{ EACCES, 3, 13, 1, 1, true },	     { EHOSTDOWN, 3, 7, 1, 3, true },
		{ ETIMEDOUT, 3, 1, 1, 3, false },    { ECONNRESET, 3, 1, 1, 3, false },
		{ ECONNABORTED, 3, 1, 1, 3, false },
	};
	uint8_t out[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(frame_has_icmp(rows[i].error), rows[i].known);
		assert_int_equal(frame_error(syn4, sizeof(syn4), rows[i].error, out), 34 + 8 + 44);
		assert_int_equal(out[34], rows[i].type4);
		assert_int_equal(out[35], rows[i].code4);
		assert_int_equal(frame_error(syn6, sizeof(syn6), rows[i].error, out), 54 + 8 + 64);
		assert_int_equal(out[54], rows[i].type6);
		assert_int_equal(out[55], rows[i].code6);
	}
}

/* Exactly so many bytes are there: a read beyond them is seen by the sanitizer. */
static void cut(const uint8_t *syn, size_t len, size_t least)
{
	for (size_t n = 0; n < len; n++) {
		uint8_t *part = malloc(n ? n : 1), out[FRAME_MAX];

		assert_non_null(part);
		memcpy(part, syn, n);
		if (n < least)
			assert_int_equal(frame_rst(part, n, out), 0);
		frame_rst(part, n, out);
		frame_icmp(part, n, 3, 1, 0, out);
		frame_error(part, n, ENETUNREACH, out);
		frame_checksum(part, n);
		free(part);
	}
}

static void test_cut(void **state)
{
	(void)state;
	cut(syn4, sizeof(syn4), 54);
	cut(syn6, sizeof(syn6), 74);
}

/* Lengths in headers that the frame has not. */
static void test_lies(void **state)
{
	uint8_t packet[sizeof(syn4)], out[FRAME_MAX];

	(void)state;
	memcpy(packet, syn4, sizeof(syn4));
	packet[14] = 0x4f; /* a header of 60 bytes */
	assert_int_equal(frame_rst(packet, sizeof(packet), out), 0);
	packet[14] = 0x44;
	assert_int_equal(frame_rst(packet, sizeof(packet), out), 0);
	packet[14] = 0x45;
	put16(packet + 16, 20);
	assert_int_equal(frame_rst(packet, sizeof(packet), out), 0);
	put16(packet + 16, 19);
	assert_int_equal(frame_icmp(packet, sizeof(packet), 3, 1, 0, out), 0);
	put16(packet + 16, 65535);
	assert_int_equal(frame_icmp(packet, sizeof(packet), 3, 1, 0, out), 14 + 28 + 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rst4),	 cmocka_unit_test(test_rst6),
		cmocka_unit_test(test_icmp4),	 cmocka_unit_test(test_icmp6),
		cmocka_unit_test(test_quote),	 cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_datagram), cmocka_unit_test(test_datagram6),
		cmocka_unit_test(test_segment),	 cmocka_unit_test(test_segment6),
		cmocka_unit_test(test_error),	 cmocka_unit_test(test_cut),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
