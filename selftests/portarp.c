// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp.c - the gateway's common packets: whose they are, what leaves, what is refused.
 *
 * ONE has a = 6, k = 8 (RFC 7597, appendix A: PSID 0x34 has 1232-1235, 2256-2259 ...), owner PSID
 * is sharer PSID. TWO has a = 0, k = 4 and single ports.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/portarp_fixture.h"

#define ONE	  htonl(0xcb007101) /* 203.0.113.1 */
#define TWO	  htonl(0xcb007102)
#define ONE_ADDR  PACKET_V4(203, 0, 113, 1)
#define TWO_ADDR  PACKET_V4(203, 0, 113, 2)
#define PEER_ADDR PACKET_V4(192, 0, 2, 10)
#define TWO_FIRST 256
#define WEB_OWNER 300 /* who has port 80 of TWO */
#define UP_OWNER  301 /* PSID 3 of TWO is beyond the uplink */

static struct pfix fx;
static struct portarp_addr one, two;
static const __u8 router_mac[6] = { 2, 0, 0, 0, 0, 9 };

static int set_up(void **state)
{
	(void)state;
	return pfix_open(&fx, PORTARP_GATEWAY);
}

static int tear_down(void **state)
{
	(void)state;
	pfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	pfix_clear(&fx);
	fx.gso_size = fx.gso_segments = 0;
	pfix_address(&fx, ONE, 6, 8, 0, 0, &one);
	pfix_address(&fx, TWO, 0, 4, TWO_FIRST, 1, &two);
	for (int i = 0; i < 256; i++)
		pfix_owner(&fx, i, i, PORTARP_OWNER_KNOWN);
	for (int i = 0; i < 16; i++)
		pfix_owner(&fx, TWO_FIRST + i, 0x1000 + i, PORTARP_OWNER_KNOWN);
	pfix_owner(&fx, 0x35, 0x35, PORTARP_OWNER_NONE);
	pfix_owner(&fx, 0x36, 0x36, PORTARP_OWNER_KNOWN | PORTARP_OWNER_STALE);
	pfix_owner(&fx, WEB_OWNER, 0x2000, PORTARP_OWNER_KNOWN);
	fx.port[80].owner = 1 + WEB_OWNER;
	pfix_owner(&fx, UP_OWNER, 0x3000, PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
	fx.port[90].owner = 1 + UP_OWNER;
	return 0;
}

/* ---- rows: one packet, what it comes to, whose it is */

struct row {
	const char *name;
	struct packet_spec spec;
	int reason;
	int sharer;	/* DELIVERED: which one gets it; from the LAN: who sends it */
	bool other_mac; /* the frame is another machine's */
};

static void run_row(const struct row *row, enum pfix_program program)
{
	bool lan = program == PFIX_LAN_XDP || program == PFIX_LAN_TC;
	struct packet_spec spec = row->spec;
	struct packet in, want;
	struct pfix_result result;
	__u8 mac[6];

	memcpy(spec.dst_mac, lan ? fx.lan_mac : fx.up_mac, 6);
	memcpy(spec.src_mac, router_mac, 6);
	if (row->other_mac)
		spec.dst_mac[5] ^= 1;
	pfix_mac(row->sharer, mac);
	if (lan)
		memcpy(spec.src_mac, mac, 6);
	packet_build(&spec, &in);
	want = in;
	if (row->reason == PORTARP_DELIVERED)
		pfix_forwarded(&in, fx.lan_mac, mac, &want);
	pfix_run(&fx, program, &in, &result);
	if (result.reason != row->reason)
		fprintf(stderr, "row: %s, program %d\n", row->name, program);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(row->reason));
	assert_int_equal(result.verdict, pfix_verdict(program, row->reason));
	assert_true(pfix_same(&result.out, &want));
	assert_int_equal(result.events, 0);
}

#define INTO(address, proto_, port)                                                                \
	.spec = { .src = PEER_ADDR,                                                                \
		  .dst = address,                                                                  \
		  .proto = proto_,                                                                 \
		  .sport = 7,                                                                      \
		  .dport = port,                                                                   \
		  .data_len = 11

/* clang-format off */
static const struct row in_rows[] = {
	{ "TCP, first port of PSID 0x34", INTO(ONE_ADDR, 6, 1232) }, PORTARP_DELIVERED, 0x34 },
	{ "TCP, last port of its first range", INTO(ONE_ADDR, 6, 1235) }, PORTARP_DELIVERED, 0x34 },
	{ "UDP, last port of all of PSID 0x34", INTO(ONE_ADDR, 17, 64723) }, PORTARP_DELIVERED, 0x34 },
	{ "one port before", INTO(ONE_ADDR, 17, 64719) }, PORTARP_DELIVERED, 0x33 },
	{ "a stale owner is served", INTO(ONE_ADDR, 17, 1240) }, PORTARP_DELIVERED, 0x36 },
	{ "an owner that nobody is", INTO(ONE_ADDR, 17, 1236) }, PORTARP_NO_OWNER },
	{ "PSID 0, first port of all", INTO(ONE_ADDR, 6, 1024) }, PORTARP_DELIVERED, 0 },
	{ "block 0 is in no set (RFC 7597, 5.1)", INTO(ONE_ADDR, 6, 1023) }, PORTARP_NO_OWNER },
	{ "nor what others take for it: 64", INTO(ONE_ADDR, 6, 64) }, PORTARP_NO_OWNER },
	{ "DCCP has ports at the same place", INTO(ONE_ADDR, 33, 0), .data = "\x00\x07\x04\xd0" "abcdefgh" }, PORTARP_DELIVERED, 0x34 },
	{ "UDP-Lite too", INTO(ONE_ADDR, 136, 0), .data = "\x00\x07\x04\xd0\x00\x08zzabcd" }, PORTARP_DELIVERED, 0x34 },
	{ "UDP without checksum", INTO(ONE_ADDR, 17, 1232), .check = PACKET_CHECK_NONE }, PORTARP_DELIVERED, 0x34 },
	{ "a wrong TCP checksum is not ours to judge", INTO(ONE_ADDR, 6, 1232), .check = PACKET_CHECK_BAD }, PORTARP_DELIVERED, 0x34 },
	{ "TCP options", INTO(ONE_ADDR, 6, 1232), .opt = "\x02\x04\x05\xb4", .opt_len = 4 }, PORTARP_DELIVERED, 0x34 },
	{ "DSCP, DF, TTL 255", INTO(ONE_ADDR, 6, 1232), .tos = 0xb9, .frag = 0x4000, .ttl = 255 }, PORTARP_DELIVERED, 0x34 },
	{ "TTL 2", INTO(ONE_ADDR, 6, 1232), .ttl = 2 }, PORTARP_DELIVERED, 0x34 },
	{ "TTL 1 is the kernel's to answer", INTO(ONE_ADDR, 6, 1232), .ttl = 1 }, PORTARP_TTL },
	{ "TTL 0", INTO(ONE_ADDR, 6, 1232), .ttl = PACKET_ZERO }, PORTARP_TTL },
	{ "Ethernet padding", INTO(ONE_ADDR, 17, 1232), .trailer = 9 }, PORTARP_DELIVERED, 0x34 },
	{ "IP options are the kernel's", INTO(ONE_ADDR, 6, 1232), .ip_opt = "\x94\x04\0\0", .ip_opt_len = 4 }, PORTARP_TO_STACK },
	{ "a = 0: port 0 of PSID 0", INTO(TWO_ADDR, 17, 0) }, PORTARP_DELIVERED, 0x1000 },
	{ "a = 0: 4095", INTO(TWO_ADDR, 17, 4095) }, PORTARP_DELIVERED, 0x1000 },
	{ "a = 0: 4096", INTO(TWO_ADDR, 17, 4096) }, PORTARP_DELIVERED, 0x1001 },
	{ "a = 0: 65535", INTO(TWO_ADDR, 6, 65535) }, PORTARP_DELIVERED, 0x100f },
	{ "a single port given to one", INTO(TWO_ADDR, 6, 80) }, PORTARP_DELIVERED, 0x2000 },
	{ "its neighbour by set", INTO(TWO_ADDR, 6, 81) }, PORTARP_DELIVERED, 0x1000 },
	{ "an address that is not shared", INTO(PEER_ADDR, 6, 80) }, PORTARP_OTHER },
	{ "a frame for another machine", INTO(ONE_ADDR, 6, 1232) }, PORTARP_OTHER, .other_mac = true },
	{ "IPv6", .spec = { .src = PACKET_V6(1, 1), .dst = PACKET_V6(1, 2), .dport = 1232 }, PORTARP_OTHER },
	{ "a tag: a VLAN device's", INTO(ONE_ADDR, 6, 1232), .tag = { { 0x8100, 5 } } }, PORTARP_OTHER },
	{ "802.1ad", INTO(ONE_ADDR, 6, 1232), .tag = { { 0x88a8, 5 }, { 0x8100, 6 } } }, PORTARP_OTHER },
	{ "IP version 5", INTO(ONE_ADDR, 6, 1232), .version = 5 }, PORTARP_OTHER },
	{ "an IP header of 16 bytes", INTO(ONE_ADDR, 6, 1232), .ihl = 4 }, PORTARP_OTHER },
	{ "a total length beyond the frame", INTO(ONE_ADDR, 6, 1232), .tot_len = 52 }, PORTARP_MALFORMED },
	{ "a total length within the header", INTO(ONE_ADDR, 6, 1232), .tot_len = 19 }, PORTARP_MALFORMED },
	{ "a TCP header cut off by it", INTO(ONE_ADDR, 6, 1232), .tot_len = 39 }, PORTARP_MALFORMED },
	{ "a UDP header cut off by it", INTO(ONE_ADDR, 17, 1232), .tot_len = 27 }, PORTARP_MALFORMED },
	{ "MTU", INTO(ONE_ADDR, 17, 1232) + 1461 }, PORTARP_DELIVERED, 0x34 },
	{ "one more", INTO(ONE_ADDR, 17, 1232) + 1462 }, PORTARP_TOO_BIG },
};

#define FROM_TO(address, proto_, port, to)                                                         \
	.spec = { .src = address, .dst = PEER_ADDR, .proto = proto_, .sport = port, .dport = to,   \
		  .data_len = 11
#define FROM(address, proto_, port)                                                                \
	.spec = { .src = address, .dst = PEER_ADDR, .proto = proto_, .sport = port, .dport = 7,    \
		  .data_len = 11

static const struct row from_rows[] = {
	{ "own port, TCP", FROM(ONE_ADDR, 6, 1232) }, PORTARP_CHECKED, 0x34 },
	{ "own port, UDP", FROM(ONE_ADDR, 17, 64723) }, PORTARP_CHECKED, 0x34 },
	{ "own port, DCCP", FROM(ONE_ADDR, 33, 0), .data = "\x04\xd0\x00\x07" "abcdefgh" }, PORTARP_CHECKED, 0x34 },
	{ "IP options", FROM(ONE_ADDR, 6, 1232), .ip_opt = "\x94\x04\0\0", .ip_opt_len = 4 }, PORTARP_CHECKED, 0x34 },
	{ "TTL 1", FROM(ONE_ADDR, 6, 1232), .ttl = 1 }, PORTARP_CHECKED, 0x34 },
	{ "a neighbour's port", FROM(ONE_ADDR, 6, 1228) }, PORTARP_SPOOFED, 0x34 },
	{ "a neighbour's port, IP options", FROM(ONE_ADDR, 6, 1228), .ip_opt = "\x94\x04\0\0", .ip_opt_len = 4 }, PORTARP_SPOOFED, 0x34 },
	{ "own port by a neighbour", FROM(ONE_ADDR, 6, 1232) }, PORTARP_SPOOFED, 0x33 },
	{ "nobody's port", FROM(ONE_ADDR, 6, 1236) }, PORTARP_SPOOFED, 0x35 },
	{ "a port of block 0", FROM(ONE_ADDR, 6, 1023) }, PORTARP_SPOOFED, 0xff },
	{ "one beyond the uplink", FROM(TWO_ADDR, 6, 90) }, PORTARP_SPOOFED, 0x3000 },
	{ "a single port by its owner", FROM(TWO_ADDR, 6, 80) }, PORTARP_CHECKED, 0x2000 },
	{ "a single port by the set's", FROM(TWO_ADDR, 6, 80) }, PORTARP_SPOOFED, 0x1000 },
	{ "a DHCP client", FROM_TO(ONE_ADDR, 17, 68, 67) }, PORTARP_CHECKED, 0x77 },
	{ "not to a server", FROM_TO(ONE_ADDR, 17, 68, 68) }, PORTARP_SPOOFED, 0x77 },
	{ "not by TCP", FROM_TO(ONE_ADDR, 6, 68, 67) }, PORTARP_SPOOFED, 0x77 },
	{ "from an address that is not shared", FROM(PEER_ADDR, 6, 1232) }, PORTARP_OTHER, 0x99 },
	{ "a frame for another machine", FROM(ONE_ADDR, 6, 1232) }, PORTARP_OTHER, 0x33, true },
	{ "IPv6", .spec = { .src = PACKET_V6(1, 1), .dst = PACKET_V6(1, 2) }, PORTARP_OTHER },
	{ "a tag", FROM(ONE_ADDR, 6, 1228), .tag = { { 0x8100, 5 } } }, PORTARP_OTHER, 0x34 },
	{ "a TCP header cut off", FROM(ONE_ADDR, 6, 1232), .tot_len = 39 }, PORTARP_MALFORMED, 0x34 },
};
/* clang-format on */

static void test_to_owners(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(in_rows) / sizeof(*in_rows); i++) {
		run_row(&in_rows[i], PFIX_UP_XDP);
		run_row(&in_rows[i], PFIX_UP_TC);
	}
}

static void test_from_sharers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from_rows) / sizeof(*from_rows); i++) {
		run_row(&from_rows[i], PFIX_LAN_XDP);
		run_row(&from_rows[i], PFIX_LAN_TC);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_to_owners, fill),
		cmocka_unit_test_setup(test_from_sharers, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
