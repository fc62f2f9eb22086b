// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * maps/portset.h against published examples, and every (a, k, PSID) against a bitmap of all ports
 * that is filled by RFC 7597's generalised modulus (appendix B.1) instead of by fields of bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "maps/portset.h"

#define PORTS  65536
#define NOBODY UINT32_MAX

/* ---- published examples */

struct ranges_row {
	const char *source;
	struct portset set;
	uint32_t ranges;
	struct {
		uint16_t low, high;
	} first[3], last[2];
};

/* `last` is not compared where the source does not tell it. */
static const struct ranges_row ranges_rows[] = {
	{ "RFC 7597 A examples 1 and 5, RFC 7599 A examples 1 and 5 with erratum 5324",
	  { 6, 8, 0x34 },
	  63,
	  { { 1232, 1235 }, { 2256, 2259 }, { 3280, 3283 } },
	  { { 63696, 63699 }, { 64720, 64723 } } },
	{ "RFC 7597 B.2, PSID 0",
	  { 6, 8, 0 },
	  63,
	  { { 1024, 1027 }, { 2048, 2051 }, { 3072, 3075 } },
	  { { 63488, 63491 }, { 64512, 64515 } } },
	{ "RFC 7599 A example 5 as printed: 0x20 is another set",
	  { 6, 8, 0x20 },
	  63,
	  { { 1152, 1155 }, { 2176, 2179 }, { 3200, 3203 } },
	  {} },
	{ "RFC 7597 B.2, contiguous", { 0, 6, 0 }, 1, { { 0, 1023 } }, {} },
	{ "RFC 7618: a 0, k 6, PSID 1", { 0, 6, 1 }, 1, { { 1024, 2047 } }, {} },
	{ "RFC 7597 5.1: prefix 0.0/8", { 0, 8, 0 }, 1, { { 0, 255 } }, {} },
	{ "RFC 7597 5.1: prefix 255.0/8", { 0, 8, 0xff }, 1, { { 65280, 65535 } }, {} },
	{ "openwrt/openwrt#14449",
	  { 6, 6, 0x11 },
	  63,
	  { { 1296, 1311 }, { 2320, 2335 }, { 3344, 3359 } },
	  {} },
	{ "Snabb, k 6", { 0, 6, 4 }, 1, { { 4096, 5119 } }, {} },
	{ "Snabb, k 4, PSID 0", { 0, 4, 0 }, 1, { { 0, 4095 } }, {} },
	{ "Snabb, k 4, PSID 1", { 0, 4, 1 }, 1, { { 4096, 8191 } }, {} },
	{ "Snabb, a single port", { 0, 16, 80 }, 1, { { 80, 80 } }, {} },
};

static void check_range(const struct ranges_row *row, uint32_t number, uint16_t low, uint16_t high)
{
	uint32_t first = portset_range_first(&row->set, number);
	uint32_t last = first + portset_range_ports(&row->set) - 1;

	if (first != low || last != high)
		fail_msg("%s: range %u is %u-%u, not %u-%u", row->source, number, first, last, low,
			 high);
}

static void test_published_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ranges_rows) / sizeof(*ranges_rows); i++) {
		const struct ranges_row *row = &ranges_rows[i];
		uint32_t count = portset_ranges(&row->set);

		assert_true(portset_valid(&row->set));
		assert_int_equal(count, row->ranges);
		for (uint32_t n = 0; n < 3 && n < count; n++)
			check_range(row, n, row->first[n].low, row->first[n].high);
		for (uint32_t n = 0; n < 2 && row->last[1].high; n++)
			check_range(row, count - 2 + n, row->last[n].low, row->last[n].high);
	}
}

struct port_row {
	const char *source;
	__u8 a, k;
	uint16_t port;
	uint32_t psid; /* or NOBODY */
};

static const struct port_row port_rows[] = {
	{ "RFC 7599 A example 2", 6, 8, 1232, 0x34 },
	{ "RFC 7597: below A > 0", 6, 8, 1023, NOBODY },
	{ "RFC 7597: the first of A > 0", 6, 8, 1024, 0 },
	{ "RFC 7597: a 4 leaves out 4095", 4, 4, 4095, NOBODY },
	{ "VPP", 4, 4, 10000, 7 },
	{ "VPP", 4, 4, 30000, 5 },
	{ "VPP", 6, 4, 0xabcd, 0xf },
	{ "VPP", 6, 4, 16606, 3 },
	{ "VPP, a spoofed one", 6, 4, 16862, 7 },
	{ "Snabb, k 6", 0, 6, 4095, 3 },
	{ "Snabb, k 6", 0, 6, 5120, 5 },
	{ "Snabb, a single port", 0, 16, 79, 79 },
	{ "Jool", 0, 16, 1234, 0x4d2 },
	{ "Jool", 0, 8, 1234, 4 },
	{ "Jool", 8, 8, 1234, 0xd2 },
	{ "Jool", 0, 7, 1234, 2 },
	{ "Jool", 7, 9, 1234, 0xd2 },
	{ "Jool", 0, 9, 1234, 9 },
	{ "Jool", 9, 7, 1234, 0x52 },
	{ "Jool", 6, 8, 1234, 0x34 },
};

static void test_published_ports(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(port_rows) / sizeof(*port_rows); i++) {
		const struct port_row *row = &port_rows[i];
		uint32_t psid = portset_in_sets(row->a, row->port)
					? portset_psid(row->a, row->k, row->port)
					: NOBODY;
		struct portset set = { row->a, row->k, row->psid };

		if (psid != row->psid)
			fail_msg("%s: a %u k %u port %u: PSID %#x, not %#x", row->source, row->a,
				 row->k, row->port, psid, row->psid);
		assert_int_equal(portset_has(&set, row->port), row->psid != NOBODY);
	}
}

struct wire_row {
	const char *source;
	__u8 k;
	__u16 psid, field;
};

static const struct wire_row wire_rows[] = {
	{ "RFC 7618, a 6 k 8 PSID 0x34", 8, 0x34, 0x3400 },
	{ "RFC 7618, a 0 k 6 PSID 1", 6, 1, 0x0400 },
	{ "openwrt/odhcp6c#176", 3, 2, 0x4000 },
	{ "isc-projects/kea#63", 4, 0, 0x0000 },
	{ "k 0: the field is ignored", 0, 0, 0x0000 },
	{ "k 16: the whole field", 16, 0xabcd, 0xabcd },
};

static void test_wire(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wire_rows) / sizeof(*wire_rows); i++) {
		const struct wire_row *row = &wire_rows[i];
		const struct portset set = { 0, row->k, row->psid };

		if (portset_psid_to_wire(&set) != row->field)
			fail_msg("%s: %#x is written %#x", row->source, row->psid,
				 portset_psid_to_wire(&set));
		if (portset_psid_from_wire(row->k, row->field) != row->psid)
			fail_msg("%s: %#x is read %#x", row->source, row->field,
				 portset_psid_from_wire(row->k, row->field));
	}
}

static void test_valid(void **state)
{
	(void)state;
	for (uint32_t a = 0; a < 256; a++)
		for (uint32_t k = 0; k < 256; k++) {
			const struct portset least = { a, k, 0 }, most = { a, k, 0xffff };
			bool may = a <= 15 && k <= 16 && a + k <= 16;

			assert_int_equal(portset_valid(&least), may);
			assert_int_equal(portset_valid(&most), may && k == 16);
		}
	for (uint32_t k = 0; k < 16; k++) {
		const struct portset fits = { 0, k, (1u << k) - 1 }, over = { 0, k, 1u << k };

		assert_true(portset_valid(&fits));
		assert_false(portset_valid(&over));
	}
}

/* ---- every set of every (a, k) */

/*
 * Owner of each port by the generalised modulus: R = 2^k hosts, M = 2^m ports in a row, P = R M i +
 * M PSID + j; i begins at 1 if a > 0.
 */
static void model_fill(uint32_t owner[PORTS], uint32_t a, uint32_t k)
{
	uint32_t m = 1, r = 1, blocks = 1;

	for (uint32_t i = 0; i < a; i++)
		blocks *= 2;
	for (uint32_t i = 0; i < k; i++)
		r *= 2;
	m = PORTS / blocks / r;
	for (uint32_t port = 0; port < PORTS; port++)
		owner[port] = NOBODY;
	for (uint32_t i = a ? 1 : 0; i < blocks; i++)
		for (uint32_t psid = 0; psid < r; psid++)
			for (uint32_t j = 0; j < m; j++)
				owner[r * m * i + m * psid + j] = psid;
}

static void check_ports(const uint32_t owner[PORTS], __u8 a, __u8 k)
{
	for (uint32_t port = 0; port < PORTS; port++) {
		bool in_sets = portset_in_sets(a, port);
		struct portset set = { a, k, portset_psid(a, k, port) };
		struct portset next = { a, k, owner[port] + 1 };

		if (in_sets != (owner[port] != NOBODY))
			fail_msg("a %u k %u: port %u is in a set: %d", a, k, port, in_sets);
		if (in_sets && set.psid != owner[port])
			fail_msg("a %u k %u: port %u has PSID %u, not %u", a, k, port, set.psid,
				 owner[port]);
		if (portset_has(&set, port) != in_sets ||
		    (in_sets && k && portset_has(&next, port)))
			fail_msg("a %u k %u: port %u: wrong in set %u", a, k, port, owner[port]);
	}
}

/* Both enumerations of a set: each port of it once, rising, none of another's. */
static uint32_t check_set(const uint32_t owner[PORTS], const struct portset *set)
{
	uint32_t ports = portset_ports(set), each = portset_range_ports(set), n = 0;
	int64_t before = -1;

	assert_int_equal(portset_ranges(set) * each, ports);
	for (uint32_t range = 0; range < portset_ranges(set); range++)
		for (uint32_t j = 0; j < each; j++, n++) {
			uint32_t port = portset_range_first(set, range) + j;

			if (port >= PORTS || owner[port] != set->psid || (int64_t)port <= before ||
			    portset_port(set, n) != port)
				fail_msg("a %u k %u PSID %u: number %u is %u", set->a, set->k,
					 set->psid, n, port);
			before = port;
		}
	return n;
}

static void test_every_set(void **state)
{
	static uint32_t owner[PORTS];
	uint32_t pairs = 0;

	(void)state;
	for (uint32_t a = 0; a <= 15; a++)
		for (uint32_t k = 0; a + k <= 16; k++, pairs++) {
			uint32_t enumerated = 0, owned = 0;

			model_fill(owner, a, k);
			check_ports(owner, a, k);
			for (uint32_t psid = 0; psid < 1u << k; psid++) {
				const struct portset set = { a, k, psid };

				enumerated += check_set(owner, &set);
			}
			for (uint32_t port = 0; port < PORTS; port++)
				owned += owner[port] != NOBODY;
			assert_int_equal(enumerated, owned); /* no port is left out */
			assert_int_equal(owned, a ? PORTS - (PORTS >> a) : PORTS);
		}
	assert_int_equal(pairs, 152); /* 17 + 16 + ... + 2 */
}

static void test_wire_of_every_set(void **state)
{
	(void)state;
	for (uint32_t k = 0; k <= 16; k++)
		for (uint32_t psid = 0; psid < 1u << k; psid++) {
			const struct portset set = { 0, k, psid };
			uint32_t field = psid;

			for (uint32_t shift = k; shift < 16; shift++)
				field *= 2;
			assert_int_equal(portset_psid_to_wire(&set), field);
			assert_int_equal(portset_psid_from_wire(k, field), psid);
			/* padding is ignored */
			assert_int_equal(portset_psid_from_wire(k, field | (0xffffu >> k)), psid);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_ranges),
		cmocka_unit_test(test_published_ports),
		cmocka_unit_test(test_wire),

		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_every_set),
		cmocka_unit_test(test_wire_of_every_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
