// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/neighbour.c selftests/lib/onetime_states.c */
/* link: selftests/lib/onetime_fixture.c selftests/lib/assume.c */
/*
 * selftests/onetime_arp.c - ARP about an IPv4 pool's addresses (RFC 826, 5227): every state by
 * every kind of message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/onetime_states.h"

#define HOST_MAC  2, 0x5a, 0, 0, 0, 0x34
#define OTHER_MAC 2, 0x5a, 0, 0, 0, 0x35
#define GROUP_MAC 0x33, 0x33, 0, 0, 0, 1

static struct ofix fx;
static const struct isthmus_addr ours4 = OFIX_SSA4(11);
static const __u8 host_mac[6] = { HOST_MAC }, other_mac[6] = { OTHER_MAC };
static const __u8 alice[4] = { 198, 51, 100, 7 };

static int set_up(void **state)
{
	(void)state;
	return ofix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	ofix_clear(&fx);
	ostates_forget_told(&fx);
	return 0;
}

static void arp_states(const char *what, const struct nb_arp *arp, enum oasked kind,
		       const __u8 *mac)
{
	struct isthmus_addr from = PACKET_V4(0, 0, 0, 0);
	struct oexpected e = { &ours4, &from, mac, kind };
	struct packet in;

	memcpy(from.b + 12, arp->sender, 4);
	nb_arp_build(arp, &in);
	ostates_run(&fx, what, &in, true, &e);
}

#define ARP_FROM(mac)                                                                              \
	.dst_mac = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, .src_mac = { mac },                     \
	.target = { 192, 0, 2, 11 }
#define ALICE4 .sender = { 198, 51, 100, 7 }
#define OURS4  .sender = { 192, 0, 2, 11 }

static void test_arp(void **state)
{
	struct nb_arp arp = { ARP_FROM(HOST_MAC), ALICE4 };

	(void)state;
	arp_states("request", &arp, ASKED_WHERE, host_mac);
	memcpy(arp.dst_mac, fx.mac, 6);
	arp_states("request to us", &arp, ASKED_WHERE, host_mac);
	memcpy(arp.dst_mac, other_mac, 6);
	arp_states("request to another host", &arp, ASKED_SILENT, host_mac);
	arp = (struct nb_arp){ ARP_FROM(HOST_MAC), ALICE4, .tag = { { 0x8100, 5 } } };
	arp_states("tagged", &arp, ASKED_WHERE, host_mac);
	arp = (struct nb_arp){ ARP_FROM(HOST_MAC), ALICE4, .len = 42 };
	arp_states("without padding", &arp, ASKED_WHERE, host_mac);
	arp = (struct nb_arp){ ARP_FROM(HOST_MAC) };
	arp_states("probe", &arp, ASKED_WHETHER, host_mac);
	memcpy(arp.src_mac, fx.mac, 6);
	arp_states("our probe", &arp, ASKED_SILENT, host_mac);
	arp = (struct nb_arp){ ARP_FROM(HOST_MAC), OURS4 };
	arp_states("announcement", &arp, ASKED_CLAIM, host_mac);
	memcpy(arp.sender_mac, other_mac, 6);
	arp_states("announcement of another MAC", &arp, ASKED_CLAIM, other_mac);
	memcpy(arp.sender_mac, fx.mac, 6);
	arp_states("a proxy's", &arp, ASKED_SILENT, host_mac);
	arp = (struct nb_arp){ ARP_FROM(HOST_MAC), OURS4, .op = 2 };
	arp_states("reply", &arp, ASKED_CLAIM, host_mac);
	memcpy(arp.target, alice, 4);
	arp_states("reply to another host", &arp, ASKED_CLAIM, host_mac);
	arp.op = 1;
	arp_states("request from a pool's address", &arp, ASKED_CLAIM, host_mac);
}

static void test_arp_left_alone(void **state)
{
	static const struct nb_arp left[] = {
		{ ARP_FROM(HOST_MAC), ALICE4, .op = 2 },
		{ ARP_FROM(HOST_MAC), ALICE4, .op = 24 },
		{ ARP_FROM(HOST_MAC), ALICE4, .hardware = 6 },
		{ ARP_FROM(HOST_MAC), ALICE4, .protocol = 0x86dd },
		{ ARP_FROM(HOST_MAC), ALICE4, .hardware_len = 8 },
		{ ARP_FROM(HOST_MAC), ALICE4, .protocol_len = 16 },
		{ ARP_FROM(HOST_MAC), ALICE4, .len = 41 },
		{ ARP_FROM(HOST_MAC), ALICE4, .len = 14 },
		{ .dst_mac = { GROUP_MAC }, ALICE4, .target = { 198, 51, 100, 1 } },
	};
	struct packet in;

	(void)state;
	for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
		nb_arp_build(&left[i], &in);
		assert_true(ofix_becomes(&fx, OFIX_IN, &in, ONETIME_OTHER, OFIX_ALONE, NULL));
		assert_int_equal(fx.events, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_arp, clear),
		cmocka_unit_test_setup(test_arp_left_alone, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
