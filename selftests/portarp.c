// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp.c - the gateway's common packets: whose they are, what leaves, what is refused.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/portarp_fixture.h"

#define ONE_ADDR  PFIX_ONE_ADDR
#define TWO_ADDR  PFIX_TWO_ADDR
#define PEER_ADDR PFIX_PEER_ADDR

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
	pfix_fill_gateway(&fx, &one, &two);
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

/* ---- what rows cannot say */

static void build(const struct isthmus_addr *src, __u16 sport, const struct isthmus_addr *dst,
		  __u16 dport, bool lan, int sharer, struct packet *in)
{
	struct packet_spec spec = { .src = *src,
				    .dst = *dst,
				    .sport = sport,
				    .dport = dport,
				    .proto = IPPROTO_UDP,
				    .data_len = 20 };

	memcpy(spec.dst_mac, lan ? fx.lan_mac : fx.up_mac, 6);
	pfix_mac(sharer, spec.src_mac);
	packet_build(&spec, in);
}

static const struct isthmus_addr one_addr = ONE_ADDR, two_addr = TWO_ADDR, peer_addr = PEER_ADDR;

static void expect(enum pfix_program program, const struct packet *in, int reason,
		   const struct packet *want)
{
	struct pfix_result result;

	pfix_run(&fx, program, in, &result);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_true(pfix_same(&result.out, want ? want : in));
}

/* Two sharers of one address, and of two: straight back to the LAN, if the sender may. */
static void test_between_sharers(void **state)
{
	struct packet in, want;
	__u8 mac[6];

	(void)state;
	for (int program = PFIX_LAN_XDP; program <= PFIX_LAN_TC; program++) {
		build(&one_addr, 1232, &one_addr, 1228, true, 0x34, &in);
		pfix_mac(0x33, mac);
		pfix_forwarded(&in, fx.lan_mac, mac, &want);
		expect(program, &in, PORTARP_DELIVERED, &want);
		build(&one_addr, 1232, &two_addr, 80, true, 0x34, &in);
		pfix_mac(0x2000, mac);
		pfix_forwarded(&in, fx.lan_mac, mac, &want);
		expect(program, &in, PORTARP_DELIVERED, &want);
		build(&one_addr, 1228, &two_addr, 80, true, 0x34, &in);
		expect(program, &in, PORTARP_SPOOFED, NULL);
		/* From inside, by who has no shared address. */
		build(&peer_addr, 5, &one_addr, 1232, true, 0x77, &in);
		pfix_mac(0x34, mac);
		pfix_forwarded(&in, fx.lan_mac, mac, &want);
		expect(program, &in, PORTARP_DELIVERED, &want);
		/* Multicast from a shared address is checked, and then the kernel's. */
		build(&one_addr, 1232, &peer_addr, 5, true, 0x34, &in);
		memset(in.b, 0xff, 6);
		expect(program, &in, PORTARP_CHECKED, NULL);
		build(&one_addr, 1228, &peer_addr, 5, true, 0x34, &in);
		memset(in.b, 0xff, 6);
		expect(program, &in, PORTARP_SPOOFED, NULL);
	}
}

/* Cascade: the port is behind the gateway above. */
static void test_beyond_uplink(void **state)
{
	static const __u8 gateway_mac[6] = { 2, 0x5a, 0, 0, 0x30, 0 };
	struct portarp_conf conf;
	struct packet in, want;

	(void)state;
	pfix_get_conf(&fx, &conf);
	conf.up_ifindex = fx.up;
	memcpy(conf.up_mac, fx.up_mac, 6);
	pfix_set_conf(&fx, &conf);
	for (int program = PFIX_UP_XDP; program <= PFIX_LAN_TC; program++) {
		build(&peer_addr, 5, &two_addr, 90, program >= PFIX_LAN_XDP, 0x77, &in);
		pfix_forwarded(&in, fx.up_mac, gateway_mac, &want);
		expect(program, &in, PORTARP_DELIVERED, &want);
	}
	/* What the kernel sends keeps its TTL. */
	want = in;
	memcpy(want.b, gateway_mac, 6);
	memcpy(want.b + 6, fx.up_mac, 6);
	expect(PFIX_OUT, &in, PORTARP_DELIVERED, &want);
}

/* What the kernel sends: the owner's MAC, nothing else; a multicast frame stays. */
static void test_own_packets(void **state)
{
	struct packet_spec spec = { .src = PEER_ADDR,
				    .dst = ONE_ADDR,
				    .sport = 5,
				    .dport = 1232,
				    .ttl = 1,
				    .ip_opt = "\x94\x04\0\0",
				    .ip_opt_len = 4,
				    .data_len = 30,
				    .check = PACKET_CHECK_BAD };
	struct packet in, want;

	(void)state;
	memcpy(spec.dst_mac, router_mac, 6);
	memcpy(spec.src_mac, fx.lan_mac, 6);
	packet_build(&spec, &in);
	want = in;
	pfix_mac(0x34, want.b);
	expect(PFIX_OUT, &in, PORTARP_ADMITTED, &want);
	memset(in.b, 0xff, 6);
	expect(PFIX_OUT, &in, PORTARP_OTHER, NULL);
	spec.dport = 1236;
	packet_build(&spec, &in);
	expect(PFIX_OUT, &in, PORTARP_NO_OWNER, NULL);
	spec.dst = peer_addr;
	packet_build(&spec, &in);
	expect(PFIX_OUT, &in, PORTARP_OTHER, NULL);
	/* Not by this device. */
	two.ifindex = fx.up;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_TWO }, &two);
	spec.dst = two_addr;
	packet_build(&spec, &in);
	expect(PFIX_OUT, &in, PORTARP_OTHER, NULL);
}

/* Segments count, and it is they that the MTU is for. */
static void test_gso(void **state)
{
	struct packet_spec spec = {
		.src = PEER_ADDR, .dst = ONE_ADDR, .dport = 1232, .data_len = 2800
	};
	struct packet in, want;
	__u8 mac[6];

	(void)state;
	memcpy(spec.dst_mac, fx.up_mac, 6);
	pfix_mac(0x34, mac);
	packet_build(&spec, &in);
	expect(PFIX_UP_TC, &in, PORTARP_TOO_BIG, NULL);
	fx.gso_size = 1400;
	fx.gso_segments = 2;
	pfix_forwarded(&in, fx.lan_mac, mac, &want);
	expect(PFIX_UP_TC, &in, PORTARP_DELIVERED, &want);
	fx.gso_size = 1460;
	expect(PFIX_UP_TC, &in, PORTARP_DELIVERED, &want);
	fx.gso_size = 1461;
	expect(PFIX_UP_TC, &in, PORTARP_TOO_BIG, NULL);
}

/* Unknown owner of a source port: asked for, with no packet kept. */
static void test_unverified(void **state)
{
	struct pfix_result result;
	struct packet in;

	(void)state;
	for (int program = PFIX_LAN_XDP; program <= PFIX_LAN_TC; program++) {
		const struct portarp_event *event = &fx.event[0].event;

		build(&one_addr, 1244, &peer_addr, 5, true, 0x37, &in);
		pfix_run(&fx, program, &in, &result);
		assert_int_equal(result.reason, PORTARP_UNVERIFIED);
		assert_int_equal(result.events, 1);
		assert_int_equal(event->kind, PORTARP_EVENT_ASK);
		assert_int_equal(event->owner, PFIX_ASKED);
		assert_int_equal(event->addr, PFIX_ONE);
		assert_int_equal(event->port, htons(1244));
		assert_int_equal(event->proto, IPPROTO_UDP);
		assert_int_equal(event->ifindex, fx.lan);
		assert_int_equal(event->length, 0);
		assert_int_equal(fx.owner[PFIX_ASKED].wait, 0);
	}
}

/* Questions stop at half of the ring: the rest is for packets that wait. */
static void test_questions_bounded(void **state)
{
	struct isthmus_count lost, before;
	struct packet in, out;

	(void)state;
	build(&one_addr, 1244, &peer_addr, 5, true, 0x37, &in);
	pfix_count(&fx, PORTARP_EVENT_LOST, &before);
	for (int i = 0; i < PORTARP_EVENT_BYTES / 48; i++)
		pfix_run_uncounted(&fx, PFIX_LAN_TC, &in, &out);
	pfix_count(&fx, PORTARP_EVENT_LOST, &lost);
	assert_in_range(lost.packets - before.packets, PORTARP_EVENT_BYTES / 48 / 2 - 10,
			PORTARP_EVENT_BYTES / 48 / 2 + 10);
	build(&peer_addr, 5, &one_addr, 1244, false, 9, &in);
	pfix_run_uncounted(&fx, PFIX_UP_TC, &in, &out);
	assert_int_equal(fx.owner[PFIX_ASKED].wait, 1);
}

static bool used(__u32 half, bool udp, __u16 port)
{
	__u32 word = half * PORTARP_USE_HALF + (udp ? PORTARP_USE_HALF / 2 : 0) + port / 64;

	return fx.use[word] >> port % 64 & 1;
}

static int used_all(void)
{
	int all = 0;

	for (int i = 0; i < PORTARP_USE_WORDS; i++)
		all += __builtin_popcountll(fx.use[i]);
	return all;
}

static void test_use_marks(void **state)
{
	struct portarp_conf conf;
	struct packet in;

	(void)state;
	build(&one_addr, 1232, &peer_addr, 5, true, 0x34, &in);
	expect(PFIX_LAN_XDP, &in, PORTARP_CHECKED, NULL);
	assert_int_equal(used_all(), 0); /* not watched */
	one.use = 1;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &one);
	expect(PFIX_LAN_XDP, &in, PORTARP_CHECKED, NULL);
	expect(PFIX_LAN_TC, &in, PORTARP_CHECKED, NULL);
	assert_true(used(0, true, 1232));
	assert_int_equal(used_all(), 1);
	pfix_get_conf(&fx, &conf);
	conf.generation = 1;
	pfix_set_conf(&fx, &conf);
	in.b[14 + 9] = IPPROTO_TCP;
	expect(PFIX_LAN_TC, &in, PORTARP_CHECKED, NULL);
	assert_true(used(1, false, 1232));
	build(&one_addr, 64723, &peer_addr, 5, true, 0x34, &in);
	expect(PFIX_LAN_XDP, &in, PORTARP_CHECKED, NULL);
	assert_true(used(1, true, 64723));
	assert_int_equal(used_all(), 3);
	build(&one_addr, 1228, &peer_addr, 5, true, 0x34, &in);
	expect(PFIX_LAN_XDP, &in, PORTARP_SPOOFED, NULL);
	assert_int_equal(used_all(), 3);
	conf.generation = 0;
	pfix_set_conf(&fx, &conf);
}

/* The plain way keeps an address for an epoch: never for another one, and not for longer. */
static void test_kept_for_an_epoch(void **state)
{
	const struct isthmus_addr same_slot = PACKET_V4(203, 0, 129, 1);
	const __be32 same_key = htonl(0xcb008101);
	struct packet in[2], want[2], out;
	struct portarp_addr record;
	__u8 mac[6];

	(void)state;
	pfix_address(&fx, same_key, 0, 4, 256, 0, &record);
	build(&peer_addr, 5, &one_addr, 1232, false, 9, &in[0]);
	pfix_mac(0x34, mac);
	pfix_forwarded(&in[0], fx.lan_mac, mac, &want[0]);
	build(&peer_addr, 5, &same_slot, 1232, false, 9, &in[1]);
	pfix_mac(0x1000, mac);
	pfix_forwarded(&in[1], fx.lan_mac, mac, &want[1]);
	for (int i = 0; i < 200; i++) {
		pfix_run_uncounted(&fx, PFIX_UP_XDP, &in[i % 2], &out);
		assert_true(pfix_same(&out, &want[i % 2]));
	}
	pfix_run_uncounted(&fx, PFIX_UP_XDP, &in[0], &out);
	/* A change counts from the epoch that the agent raises after it, not before. */
	one.first = 2;
	pfix_mac(0x36, mac);
	pfix_forwarded(&in[0], fx.lan_mac, mac, &want[0]);
	assert_int_equal(bpf_map_update_elem(pfix_map(&fx, "portarp_addr"), &(__be32){ PFIX_ONE },
					     &one, BPF_ANY),
			 0);
	pfix_run_uncounted(&fx, PFIX_UP_XDP, &in[0], &out);
	assert_false(pfix_same(&out, &want[0]));
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &one);
	pfix_run_uncounted(&fx, PFIX_UP_XDP, &in[0], &out);
	assert_true(pfix_same(&out, &want[0]));
}

/* The header's sum after TTL, from each value that it can have before. */
static void test_all_checksums(void **state)
{
	struct packet_spec spec = { .src = PEER_ADDR, .dst = ONE_ADDR, .dport = 1232 };
	struct packet in, out;

	(void)state;
	memcpy(spec.dst_mac, fx.up_mac, 6);
	for (int id = 0; id < 65536; id++) {
		spec.id = id;
		packet_build(&spec, &in);
		pfix_run_uncounted(&fx, id % 256 ? PFIX_UP_XDP : PFIX_UP_TC, &in, &out);
		assert_int_equal(out.b[22], in.b[22] - 1);
		assert_true(packet_ip4_check_good(&out));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_to_owners, fill),
		cmocka_unit_test_setup(test_from_sharers, fill),
		cmocka_unit_test_setup(test_between_sharers, fill),
		cmocka_unit_test_setup(test_beyond_uplink, fill),
		cmocka_unit_test_setup(test_own_packets, fill),
		cmocka_unit_test_setup(test_gso, fill),
		cmocka_unit_test_setup(test_unverified, fill),
		cmocka_unit_test_setup(test_questions_bounded, fill),
		cmocka_unit_test_setup(test_use_marks, fill),
		cmocka_unit_test_setup(test_kept_for_an_epoch, fill),
		cmocka_unit_test_setup(test_all_checksums, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
