// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_sharer.c - a host that shares an address: what it lets in and out, byte for
 * byte (paper II.A, RFC 7618, 7.1).
 *
 * It has PSID 0x34 of 203.0.113.1 (a = 6, k = 8: 1232-1235, 2256-2259, ...) and port 80. Sharer
 * 0x33 is known, 0x36 is not.
 */
#include <arpa/inet.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/portarp_fixture.h"

#define OWN	1232 /* ours */
#define OWN_TOO 2259
#define OTHERS	1228 /* of 0x33, who is known */
#define UNKNOWN 1240 /* of 0x36 */
#define NO_SET	1000
#define OPTIONS "\x07\x07\x04....\x01"

static struct pfix fx;
static struct portarp_addr one;
static const struct isthmus_addr shared = PFIX_ONE_ADDR, peer = PFIX_PEER_ADDR;

static int set_up(void **state)
{
	(void)state;
	return pfix_open(&fx, PORTARP_HOST);
}

static int tear_down(void **state)
{
	(void)state;
	pfix_close(&fx);
	return 0;
}

static void put_mine(__u64 expires_ns)
{
	const struct portarp_mine mine = { .set = { 6, 8, 0x34 },
					   .sets = 1,
					   .range = { { 80, 80 } },
					   .ranges = 1,
					   .ifindex = fx.lan,
					   .expires_ns = expires_ns };

	pfix_put(&fx, "portarp_mine", &(__be32){ PFIX_ONE }, &mine);
}

static int fill(void **state)
{
	struct portarp_conf conf;

	(void)state;
	pfix_clear(&fx);
	pfix_address(&fx, PFIX_ONE, 6, 8, 0, 0, &one);
	for (__u32 i = 0; i < 256; i++)
		pfix_owner(&fx, i, i, 0);
	pfix_owner(&fx, 0x33, 0x33, PORTARP_OWNER_KNOWN);
	pfix_owner(&fx, 0x34, 0, PORTARP_OWNER_NONE);
	put_mine(0);
	pfix_get_conf(&fx, &conf);
	conf.own[0] = PFIX_ONE;
	pfix_set_conf(&fx, &conf);
	return 0;
}

/* One program, one packet; want NULL: as it was. */
static void expect(const char *what, enum pfix_program program, const struct packet *in, int reason,
		   const struct packet *want)
{
	struct pfix_result result;

	pfix_run(&fx, program, in, &result);
	if (result.reason != reason)
		fprintf(stderr, "%s, program %d\n", what, program);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_true(pfix_same(&result.out, want ? want : in));
}

/* From the peer to us, as the gateway sends it. */
static void inward(struct packet_spec *spec, struct packet *in)
{
	memcpy(spec->dst_mac, fx.lan_mac, 6);
	pfix_mac(0x7777, spec->src_mac);
	if (spec->dst.b[12] == 0)
		spec->dst = shared;
	if (spec->src.b[12] == 0)
		spec->src = peer;
	packet_build(spec, in);
}

/* From us, as the kernel hands it to the device. */
static void outward(struct packet_spec *spec, struct packet *in)
{
	memcpy(spec->src_mac, fx.lan_mac, 6);
	pfix_mac(0x7777, spec->dst_mac);
	if (spec->src.b[12] == 0)
		spec->src = shared;
	if (spec->dst.b[12] == 0)
		spec->dst = peer;
	packet_build(spec, in);
}

static void expect_in(const char *what, const struct packet *in, int reason,
		      const struct packet *want)
{
	expect(what, PFIX_LAN_XDP, in, reason, want);
	expect(what, PFIX_LAN_TC, in, reason, want);
}

/* ---- ports */

static void test_ports_in(void **state)
{
	static const struct {
		const char *what;
		__u8 proto;
		__u16 port;
		int reason;
	} rows[] = {
		{ "TCP to our set", IPPROTO_TCP, OWN, PORTARP_ADMITTED },
		{ "UDP to our set", IPPROTO_UDP, OWN_TOO, PORTARP_ADMITTED },
		{ "TCP to our port", IPPROTO_TCP, 80, PORTARP_ADMITTED },
		{ "TCP to another's", IPPROTO_TCP, OTHERS, PORTARP_NOT_MINE },
		{ "UDP to another's", IPPROTO_UDP, 1236, PORTARP_NOT_MINE },
		{ "UDP to no set", IPPROTO_UDP, NO_SET, PORTARP_NOT_MINE },
		{ "TCP below our port", IPPROTO_TCP, 79, PORTARP_NOT_MINE },
		{ "TCP above our port", IPPROTO_TCP, 81, PORTARP_NOT_MINE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet_spec spec = { .proto = rows[i].proto,
					    .sport = 4242,
					    .dport = rows[i].port,
					    .flags = PACKET_ACK,
					    .data_len = 33 };
		struct packet in;

		inward(&spec, &in);
		expect_in(rows[i].what, &in, rows[i].reason, NULL);
	}
}

static void test_ports_out(void **state)
{
	static const struct {
		const char *what;
		__u8 proto;
		__u16 port;
		int reason;
	} rows[] = {
		{ "TCP from our set", IPPROTO_TCP, OWN, PORTARP_ADMITTED },
		{ "UDP from our set", IPPROTO_UDP, OWN_TOO, PORTARP_ADMITTED },
		{ "UDP from our port", IPPROTO_UDP, 80, PORTARP_ADMITTED },
		{ "TCP from another's", IPPROTO_TCP, OTHERS, PORTARP_PORT_DENIED },
		{ "UDP from no set", IPPROTO_UDP, NO_SET, PORTARP_PORT_DENIED },
	};
	struct packet_spec dhcp = { .proto = IPPROTO_UDP, .sport = 68, .dport = 67, .data_len = 8 };
	struct packet in;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet_spec spec = { .proto = rows[i].proto,
					    .sport = rows[i].port,
					    .dport = 4242,
					    .flags = PACKET_ACK,
					    .data_len = 7 };

		outward(&spec, &in);
		expect(rows[i].what, PFIX_OUT, &in, rows[i].reason, NULL);
	}
	outward(&dhcp, &in);
	expect("a renewal", PFIX_OUT, &in, PORTARP_ADMITTED, NULL);
	dhcp.dport = 68;
	outward(&dhcp, &in);
	expect("no renewal", PFIX_OUT, &in, PORTARP_PORT_DENIED, NULL);
}

static void test_others_pass(void **state)
{
	const struct isthmus_addr private = PACKET_V4(10, 0, 0, 9);
	struct packet_spec spec = { .proto = IPPROTO_UDP, .dst = private, .dport = 7 };
	struct packet in;

	(void)state;
	inward(&spec, &in);
	expect_in("another address of ours", &in, PORTARP_OTHER, NULL);
	spec = (struct packet_spec){ .proto = IPPROTO_UDP, .dport = NO_SET };
	inward(&spec, &in);
	memcpy(in.b, (__u8[]){ 2, 9, 9, 9, 9, 9 }, 6);
	expect_in("a frame for another", &in, PORTARP_OTHER, NULL);
	spec = (struct packet_spec){ .proto = IPPROTO_UDP, .src = private, .sport = NO_SET };
	outward(&spec, &in);
	expect("from another address of ours", PFIX_OUT, &in, PORTARP_OTHER, NULL);
	spec = (struct packet_spec){
		.proto = IPPROTO_UDP, .dport = 7, .frag = 100, .data_len = 64
	};
	inward(&spec, &in);
	expect_in("a later fragment", &in, PORTARP_ADMITTED, NULL);
}

static void test_lease_over(void **state)
{
	struct packet_spec in_spec = { .proto = IPPROTO_UDP, .sport = 9, .dport = OWN };
	struct packet_spec out_spec = { .proto = IPPROTO_UDP, .sport = OWN, .dport = 9 };
	struct packet in, out;

	(void)state;
	inward(&in_spec, &in);
	outward(&out_spec, &out);
	put_mine(pfix_now() - 1);
	expect_in("in after the lease", &in, PORTARP_NOT_MINE, NULL);
	expect("out after the lease", PFIX_OUT, &out, PORTARP_PORT_DENIED, NULL);
	put_mine(pfix_now() + 60000000000ull);
	expect_in("in before its end", &in, PORTARP_ADMITTED, NULL);
	expect("out before its end", PFIX_OUT, &out, PORTARP_ADMITTED, NULL);
}

/* ---- ARP */

static void expect_arp(const char *what, const struct pfix_arp *arp, bool out, int reason,
		       const struct pfix_arp *want)
{
	struct packet in, made;

	pfix_arp_build(arp, &in);
	pfix_arp_build(want ? want : arp, &made);
	if (out)
		expect(what, PFIX_OUT, &in, reason, &made);
	else
		expect_in(what, &in, reason, &made);
}

#define STRANGER 2, 9, 9, 9, 9, 9
#define SHARED_4 203, 0, 113, 1
#define PEER_4	 192, 0, 2, 10

static void test_arp_in(void **state)
{
	struct pfix_arp ask = { .dst_mac = { 255, 255, 255, 255, 255, 255 },
				.src_mac = { STRANGER },
				.sender_mac = { STRANGER },
				.sender = { PEER_4 },
				.target = { SHARED_4 } };
	struct pfix_arp pe = { .dst_mac = { 255, 255, 255, 255, 255, 255 },
			       .src_mac = { STRANGER },
			       .op = 24,
			       .sender_mac = { STRANGER },
			       .target = { SHARED_4 },
			       .port = OWN };
	struct pfix_arp answer = pe;

	(void)state;
	expect_arp("who has the shared address", &ask, false, PORTARP_ARP_SILENCED, NULL);
	memcpy(ask.sender, (__u8[]){ SHARED_4 }, 4);
	memcpy(ask.target, (__u8[]){ PEER_4 }, 4);
	expect_arp("someone says that it is his", &ask, false, PORTARP_ARP_SILENCED, NULL);
	memcpy(ask.sender, (__u8[]){ 192, 0, 2, 11 }, 4);
	expect_arp("others' ARP", &ask, false, PORTARP_ARP_OTHER, NULL);

	memcpy(answer.dst_mac, answer.src_mac, 6);
	memcpy(answer.target_mac, answer.sender_mac, 6);
	memcpy(answer.src_mac, fx.lan_mac, 6);
	memcpy(answer.sender_mac, fx.lan_mac, 6);
	answer.op = 25;
	answer.flags = PORTARP_ARP_SET;
	answer.a = 6;
	answer.k = 8;
	answer.psid = 0x3400;
	expect_arp("who has our port", &pe, false, PORTARP_ARP_ANSWERED, &answer);
	pe.port = answer.port = 80;
	answer.flags |= PORTARP_ARP_RANGE;
	answer.low = answer.high = 80;
	expect_arp("who has port 80", &pe, false, PORTARP_ARP_ANSWERED, &answer);
	pe.port = OTHERS;
	expect_arp("who has another's", &pe, false, PORTARP_ARP_OTHER, NULL);
	put_mine(pfix_now() - 1);
	pe.port = OWN;
	expect_arp("our port after the lease", &pe, false, PORTARP_ARP_OTHER, NULL);
}

static void test_arp_out(void **state)
{
	struct pfix_arp ask = { .dst_mac = { 255, 255, 255, 255, 255, 255 },
				.sender = { SHARED_4 },
				.target = { PEER_4 } };
	struct pfix_arp cleared;

	(void)state;
	memcpy(ask.src_mac, fx.lan_mac, 6);
	memcpy(ask.sender_mac, fx.lan_mac, 6);
	cleared = ask;
	memset(cleared.sender, 0, 4);
	expect_arp("a request", &ask, true, PORTARP_ARP_CLEARED, &cleared);
	memcpy(ask.target, ask.sender, 4);
	expect_arp("an announcement", &ask, true, PORTARP_ARP_SILENCED, NULL);
	memset(ask.sender, 0, 4);
	expect_arp("a probe", &ask, true, PORTARP_ARP_SILENCED, NULL);
	memcpy(ask.sender, ask.target, 4);
	memcpy(ask.target, (__u8[]){ PEER_4 }, 4);
	ask.op = 2;
	expect_arp("an answer", &ask, true, PORTARP_ARP_SILENCED, NULL);
	memcpy(ask.sender, (__u8[]){ 10, 0, 0, 9 }, 4);
	expect_arp("of another address", &ask, true, PORTARP_ARP_OTHER, NULL);
	ask.op = 25;
	memset(ask.sender, 0, 4);
	memcpy(ask.target, (__u8[]){ SHARED_4 }, 4);
	expect_arp("our own PE-ARP", &ask, true, PORTARP_ARP_OTHER, NULL);
}

/* ---- echo identifiers */

static void echo(__u8 type, __u16 id, const char *options, struct packet_spec *spec)
{
	*spec = (struct packet_spec){ .proto = IPPROTO_ICMP,
				      .icmp_type = type,
				      .icmp_rest = (__u32)id << 16 | 0x0102,
				      .ip_opt = options,
				      .ip_opt_len = options ? 8 : 0,
				      .data_len = 41 };
}

/* Sends an echo request with this identifier: what it has on the network, -1 if it was not sent. */
static int ping(__u16 id, const char *options)
{
	struct packet_view view;
	struct packet_spec spec;
	struct pfix_result result;
	struct packet in, want;

	echo(8, id, options, &spec);
	outward(&spec, &in);
	pfix_run(&fx, PFIX_OUT, &in, &result);
	if (result.reason == PORTARP_ECHO_FULL)
		return -1;
	assert_true(result.reason == PORTARP_ECHO_MAPPED || result.reason == PORTARP_ADMITTED);
	view.l4 = 14 + (result.out.b[14] & 15) * 4;
	echo(8, packet_get16(result.out.b + view.l4 + 4), options, &spec);
	outward(&spec, &want); /* its checksum from scratch */
	assert_true(pfix_same(&result.out, &want));
	assert_int_equal(result.reason == PORTARP_ADMITTED,
			 packet_get16(result.out.b + view.l4 + 4) == id);
	return packet_get16(result.out.b + view.l4 + 4);
}

static bool is_own(int id)
{
	return id == 80 || (id >= 1024 && (id >> 2 & 0xff) == 0x34);
}

static void test_echo(void **state)
{
	struct packet_spec spec;
	struct packet in, want;
	int id, again, other;

	(void)state;
	id = ping(0xbeef, NULL);
	assert_true(is_own(id));
	again = ping(0xbeef, OPTIONS);
	assert_int_equal(again, id);
	other = ping(0xbee0, NULL);
	assert_true(is_own(other) && other != id);
	assert_int_equal(ping(OWN_TOO, NULL), OWN_TOO); /* free and ours: kept */

	echo(0, id, NULL, &spec);
	inward(&spec, &in);
	echo(0, 0xbeef, NULL, &spec);
	inward(&spec, &want);
	expect_in("the answer", &in, PORTARP_ECHO_MAPPED, &want);
	echo(0, id, OPTIONS, &spec);
	inward(&spec, &in);
	echo(0, 0xbeef, OPTIONS, &spec);
	inward(&spec, &want);
	expect_in("the answer with options", &in, PORTARP_ECHO_MAPPED, &want);
	echo(0, id ^ 4096, NULL, &spec);
	inward(&spec, &in);
	expect_in("nobody's answer", &in, PORTARP_ADMITTED, NULL);
	echo(8, OWN, NULL, &spec);
	inward(&spec, &in);
	expect_in("a query to us", &in, PORTARP_ADMITTED, NULL);
	echo(0, 0x4321, NULL, &spec);
	outward(&spec, &in);
	expect("our answer", PFIX_OUT, &in, PORTARP_ADMITTED, NULL);
}

/* Two sockets of two processes may have the same identifier towards one peer only once. */
static void test_echo_full(void **state)
{
	const struct portarp_mine two_ports = { .range = { { 80, 81 } },
						.ranges = 1,
						.ifindex = fx.lan };
	struct portarp_ident_key key = { .addr = PFIX_ONE,
					 .peer = PFIX_PEER,
					 .way = PORTARP_IDENT_IN };
	struct portarp_ident ident;
	int first, second;

	(void)state;
	pfix_put(&fx, "portarp_mine", &(__be32){ PFIX_ONE }, &two_ports);
	first = ping(5000, NULL);
	second = ping(5001, NULL);
	assert_int_equal(first + second, 80 + 81);
	assert_int_equal(ping(5002, NULL), -1);
	key.id = htons(first);
	assert_true(pfix_get(&fx, "portarp_ident", &key, &ident));
	assert_int_equal(ident.id, htons(5000));
	ident.expires_ns = 1; /* the first socket is long gone */
	pfix_put(&fx, "portarp_ident", &key, &ident);
	assert_int_equal(ping(5002, NULL), first);
}

/* An ICMP error about a packet of ours: `quoted` from its IP header on. */
static void build_error(const struct packet *quoted, size_t bytes, struct packet *in)
{
	struct packet_spec spec = { .proto = IPPROTO_ICMP,
				    .icmp_type = 3,
				    .icmp_code = 1,
				    .data = quoted->b + 14,
				    .data_len = bytes };

	inward(&spec, in);
}

static void test_errors(void **state)
{
	struct packet_spec spec = { .proto = IPPROTO_UDP, .sport = OWN, .dport = 9, .data_len = 9 };
	struct packet sent, seen, in, want;
	int id;

	(void)state;
	outward(&spec, &sent);
	build_error(&sent, 28, &in);
	expect_in("about our datagram", &in, PORTARP_ADMITTED, NULL);
	spec.sport = OTHERS;
	outward(&spec, &sent);
	build_error(&sent, 28, &in);
	expect_in("about another's", &in, PORTARP_NOT_MINE, NULL);
	build_error(&sent, 24, &in);
	expect_in("cut off", &in, PORTARP_NOT_MINE, NULL);

	id = ping(0xbeef, NULL);
	echo(8, 0xbeef, NULL, &spec);
	outward(&spec, &sent);
	echo(8, id, NULL, &spec);
	outward(&spec, &seen);
	build_error(&seen, 28 + 41, &in);
	build_error(&sent, 28 + 41, &want); /* both checksums from scratch */
	expect_in("about our ping", &in, PORTARP_ECHO_MAPPED, &want);
}

/* ---- to sharers */

static void test_to_sharers(void **state)
{
	struct packet_spec spec = { .proto = IPPROTO_TCP,
				    .dst = shared,
				    .sport = OWN,
				    .dport = OWN_TOO,
				    .flags = PACKET_SYN };
	struct pfix_result result;
	struct packet in, want;

	(void)state;
	outward(&spec, &in);
	want = in;
	memcpy(want.b, fx.lan_mac, 6);
	expect("to ourselves", PFIX_OUT, &in, PORTARP_LOOPED, &want);
	spec.dport = OTHERS;
	outward(&spec, &in);
	want = in;
	pfix_mac(0x33, want.b);
	expect("to one that is known", PFIX_OUT, &in, PORTARP_ADMITTED, &want);
	spec.dport = UNKNOWN;
	outward(&spec, &in);
	pfix_events_clear(&fx);
	pfix_run(&fx, PFIX_OUT, &in, &result);
	assert_string_equal(pfix_reason_name(result.reason), "HELD");
	assert_int_equal(result.events, 1);
	assert_int_equal(fx.event[0].event.kind, PORTARP_EVENT_HELD_OWN);
	assert_int_equal(fx.event[0].event.owner, 0x36);
	assert_true(pfix_same(&fx.event[0].frame, &in));
	spec.dport = NO_SET;
	outward(&spec, &in);
	expect("to nobody", PFIX_OUT, &in, PORTARP_NO_OWNER, NULL);
	spec.sport = OTHERS;
	spec.dport = OWN;
	outward(&spec, &in);
	expect("from a port that is not ours", PFIX_OUT, &in, PORTARP_PORT_DENIED, NULL);
}

/* A ping between sharers carries the identifier of who is asked; the answer goes to who has asked.
 */
static void test_ping_between(void **state)
{
	struct packet_spec spec;
	struct packet in, want;

	(void)state;
	echo(8, OTHERS, NULL, &spec);
	spec.dst = shared;
	outward(&spec, &in);
	want = in;
	pfix_mac(0x33, want.b);
	expect("asked", PFIX_OUT, &in, PORTARP_ADMITTED, &want);
	echo(8, OWN, NULL, &spec);
	spec.dst = shared;
	outward(&spec, &in);
	want = in;
	memcpy(want.b, fx.lan_mac, 6);
	expect("asking ourselves", PFIX_OUT, &in, PORTARP_LOOPED, &want);

	echo(8, OWN_TOO, NULL, &spec);
	spec.src = shared;
	inward(&spec, &in);
	pfix_mac(0x33, in.b + 6);
	expect_in("another asks us", &in, PORTARP_ADMITTED, NULL);
	echo(0, OWN_TOO, NULL, &spec);
	spec.dst = shared;
	outward(&spec, &in);
	want = in;
	pfix_mac(0x33, want.b);
	expect("and gets the answer", PFIX_OUT, &in, PORTARP_ADMITTED, &want);
}

#define TEST(function) cmocka_unit_test_setup(function, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ports_in),   TEST(test_ports_out),	TEST(test_others_pass),
		TEST(test_lease_over), TEST(test_arp_in),	TEST(test_arp_out),
		TEST(test_echo),       TEST(test_echo_full),	TEST(test_errors),
		TEST(test_to_sharers), TEST(test_ping_between),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
