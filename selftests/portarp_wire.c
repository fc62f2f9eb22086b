// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_wire.c - the programs attached, with the kernel's own way beside them.
 *
 *	router up_far ─── uplink 192.0.2.1   gateway   203.0.113.254 lan ─── lan_far sharers
 *	192.0.2.10                           forwards
 *
 * What the fast way leaves to the kernel comes to the owner too: options, packets to be cut, its
 * own errors. The kernel knows one MAC for the shared address, which nobody has.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/portarp_fixture.h"

#define WAIT_MS	 2000
#define FRAMES	 32 /* of other kinds before one that is looked for */
#define A	 0x34
#define A_PORT	 1232
#define B	 0x33
#define B_PORT	 1228
#define LAN_MTU	 1400
#define NO_FRAME 100 /* ms */

static struct pfix fx;
static struct portarp_addr one, two;
static const __u8 router_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const struct isthmus_addr one_addr = PFIX_ONE_ADDR, peer_addr = PFIX_PEER_ADDR;

static int set_up(void **state)
{
	int err = pfix_open(&fx, PORTARP_GATEWAY);

	(void)state;
	if (err)
		return err;
	assume_run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0");
	assume_run("ip addr add 192.0.2.1/24 dev uplink");
	assume_run("ip addr add 203.0.113.254/24 dev lan");
	assume_run("ip link set lan mtu %d", LAN_MTU);
	assume_run("ip neigh add 192.0.2.10 lladdr 02:00:00:00:00:09 dev uplink nud permanent");
	assume_run("ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:fe dev lan nud permanent");
	return 0;
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
	one.mtu = LAN_MTU;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &one);
	pfix_sharer(&fx, PFIX_ONE, A, A);
	return 0;
}

/* The next frame of IPv4 or ARP that is not a group's. */
static bool receive(int fd, struct packet *packet, int ms)
{
	for (int i = 0; i < FRAMES; i++) {
		__u16 type;

		memset(packet, 0, sizeof(*packet));
		if (!assume_packet_receive(fd, packet, assume_ms(ms)))
			return false;
		type = packet_get16(packet->b + 12);
		if (!(packet->b[0] & 1) && (type == 0x0800 || type == 0x0806))
			return true;
	}
	return false;
}

static void expect_at(int fd, const struct packet *want)
{
	struct packet got;

	assert_true(receive(fd, &got, WAIT_MS));
	assert_true(pfix_same(&got, want));
}

static void build(struct packet_spec *spec, int from, struct packet *in)
{
	spec->src = from < 0 ? peer_addr : one_addr;
	memcpy(spec->dst_mac, from < 0 ? fx.up_mac : fx.lan_mac, 6);
	memcpy(spec->src_mac, router_mac, 6);
	if (from >= 0)
		pfix_mac(from, spec->src_mac);
	packet_build(spec, in);
}

/* Through the program; the same whether it is at XDP or tc. */
static void run_fast(void)
{
	struct packet_spec spec = { .dst = one_addr, .dport = A_PORT, .sport = 5, .data_len = 50 };
	struct packet in, want;
	__u8 mac[6];

	build(&spec, -1, &in);
	pfix_mac(A, mac);
	pfix_forwarded(&in, fx.lan_mac, mac, &want);
	assume_packet_send(fx.up_far, &in);
	expect_at(fx.lan_far, &want);
	/* One sharer to another one of the same address. */
	spec.dport = B_PORT;
	spec.sport = A_PORT;
	build(&spec, A, &in);
	pfix_mac(B, mac);
	pfix_forwarded(&in, fx.lan_mac, mac, &want);
	assume_packet_send(fx.lan_far, &in);
	expect_at(fx.lan_far, &want);
	/* Outward: the kernel routes it. */
	spec.dst = peer_addr;
	build(&spec, A, &in);
	pfix_forwarded(&in, fx.up_mac, router_mac, &want);
	assume_packet_send(fx.lan_far, &in);
	expect_at(fx.up_far, &want);
}

/* A spoofed one is not seen anywhere, and the next one is: nothing was merely slow. */
static void run_spoofed(void)
{
	struct packet_spec spec = { .dst = peer_addr, .dport = 7, .sport = B_PORT, .data_len = 9 };
	struct packet in, want;

	build(&spec, A, &in);
	assume_packet_send(fx.lan_far, &in);
	spec.sport = A_PORT;
	build(&spec, A, &in);
	pfix_forwarded(&in, fx.up_mac, router_mac, &want);
	assume_packet_send(fx.lan_far, &in);
	expect_at(fx.up_far, &want);
}

static void run_options(void)
{
	struct packet_spec spec = { .dst = one_addr,
				    .dport = A_PORT,
				    .data_len = 50,
				    .ip_opt = "\1\1\1\1",
				    .ip_opt_len = 4 };
	struct packet in, want;
	__u8 mac[6];

	build(&spec, -1, &in);
	pfix_mac(A, mac);
	pfix_forwarded(&in, fx.lan_mac, mac, &want);
	assume_packet_send(fx.up_far, &in);
	expect_at(fx.lan_far, &want);
}

/* The kernel cuts it; every piece comes to the owner, and they are the datagram. */
static void run_cut(void)
{
	struct packet_spec spec = {
		.dst = one_addr, .dport = A_PORT, .proto = IPPROTO_UDP, .data_len = 1472, .id = 77
	};
	struct packet in, pieces[2], whole;
	__u8 mac[6];

	build(&spec, -1, &in);
	pfix_mac(A, mac);
	assume_packet_send(fx.up_far, &in);
	for (int i = 0; i < 2; i++) {
		assert_true(receive(fx.lan_far, &pieces[i], WAIT_MS));
		assert_memory_equal(pieces[i].b, mac, 6);
		assert_memory_equal(pieces[i].b + 6, fx.lan_mac, 6);
		assert_in_range(pieces[i].len, 20, LAN_MTU + 14);
	}
	assert_true(packet_join(pieces, 2, &whole));
	assert_int_equal(whole.len, in.len);
	assert_memory_equal(whole.b + 34, in.b + 34, in.len - 34);
}

/* TTL 1 from the router; TTL 1 from a sharer, which is told by the kernel at its own MAC. */
static void run_ttl(void)
{
	struct packet_spec spec = { .dst = one_addr, .dport = A_PORT, .ttl = 1, .data_len = 20 };
	struct packet in, got;
	__u8 mac[6];

	build(&spec, -1, &in);
	assume_packet_send(fx.up_far, &in);
	assert_true(receive(fx.up_far, &got, WAIT_MS));
	assert_int_equal(got.b[14 + 20], 11);
	assert_memory_equal(got.b, router_mac, 6);
	spec.dst = peer_addr;
	spec.sport = A_PORT;
	spec.dport = 33434;
	spec.proto = IPPROTO_UDP;
	build(&spec, A, &in);
	assume_packet_send(fx.lan_far, &in);
	assert_true(receive(fx.lan_far, &got, WAIT_MS));
	pfix_mac(A, mac);
	assert_memory_equal(got.b, mac, 6);
	assert_int_equal(got.b[14 + 20], 11);
	assert_memory_equal(got.b + 14 + 28 + 12, in.b + 14 + 12, 16); /* it quotes that packet */
	assert_false(receive(fx.up_far, &got, NO_FRAME));
}

/* DF and too long: the sender is told the LAN's MTU. */
static void run_df(void)
{
	struct packet_spec spec = {
		.dst = one_addr, .dport = A_PORT, .frag = 0x4000, .data_len = 1440
	};
	struct packet in, got;

	build(&spec, -1, &in);
	assume_packet_send(fx.up_far, &in);
	assert_true(receive(fx.up_far, &got, WAIT_MS));
	assert_int_equal(packet_get16(got.b + 34), 0x0304);
	assert_int_equal(packet_get16(got.b + 40), LAN_MTU);
}

static void run_arp(void)
{
	struct pfix_arp arp = { .dst_mac = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
				.sender_mac = { 2, 0x5a, 0, 0, 0, A },
				.sender = { 203, 0, 113, 77 },
				.target = { 203, 0, 113, 1 } };
	struct packet in, got;

	memcpy(arp.src_mac, arp.sender_mac, 6);
	pfix_arp_build(&arp, &in);
	assume_packet_send(fx.lan_far, &in);
	assert_true(receive(fx.lan_far, &got, WAIT_MS));
	assert_memory_equal(got.b, arp.sender_mac, 6);
	assert_int_equal(packet_get16(got.b + 20), 2);
	assert_memory_equal(got.b + 22, fx.lan_mac, 6);
	assert_memory_equal(got.b + 28, arp.target, 4);
}

static void run_all(bool xdp)
{
	assert_int_equal(pfix_attach(&fx, xdp), 0);
	run_fast();
	run_spoofed();
	run_options();
	run_cut();
	run_ttl();
	run_df();
	run_arp();
	pfix_detach(&fx);
}

static void test_tc(void **state)
{
	(void)state;
	run_all(false);
}

static void test_generic_xdp(void **state)
{
	(void)state;
	run_all(true);
}

/* Control: without the programs the kernel's neighbour gets it all. */
static void test_without(void **state)
{
	static const __u8 nobody[6] = { 2, 0, 0, 0, 0, 0xfe };
	struct packet_spec spec = { .dst = one_addr, .dport = A_PORT, .data_len = 50 };
	struct packet in, want;

	(void)state;
	build(&spec, -1, &in);
	pfix_forwarded(&in, fx.lan_mac, nobody, &want);
	assume_packet_send(fx.up_far, &in);
	expect_at(fx.lan_far, &want);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_without, fill),
		cmocka_unit_test_setup(test_tc, fill),
		cmocka_unit_test_setup(test_generic_xdp, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
