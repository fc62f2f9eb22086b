// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_icmp.c - ICMP at the gateway: queries by identifier (RFC 7596, 8.1), errors by
 * what they quote (RFC 5508, REQ-3), where others read a port that is none.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/portarp_fixture.h"

#define ONE_ADDR   PFIX_ONE_ADDR
#define PEER_ADDR  PFIX_PEER_ADDR
#define OTHER_ADDR PACKET_V4(192, 0, 2, 11)
#define MINE	   1232	 /* of sharer 0x34 */
#define BLOCK0	   1000	 /* nobody's */
#define TRAP	   0x800 /* type and code of an echo request, read as a port: sharer 0 */

static struct pfix fx;
static struct portarp_addr one, two;
static const struct isthmus_addr one_addr = ONE_ADDR, peer_addr = PEER_ADDR, other = OTHER_ADDR;

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

/* Frame from the uplink, or from sharer `from` on the LAN (-1: the uplink). */
static void build(struct packet_spec *spec, int from, struct packet *in)
{
	if (!spec->proto)
		spec->proto = IPPROTO_ICMP;
	memcpy(spec->dst_mac, from < 0 ? fx.up_mac : fx.lan_mac, 6);
	pfix_mac(from < 0 ? 0x7777 : from, spec->src_mac);
	packet_build(spec, in);
}

/* At both hooks; `to`: whose it is, if it is delivered. */
static void expect(const char *what, const struct packet *in, int from, int reason, int to)
{
	enum pfix_program first = from < 0 ? PFIX_UP_XDP : PFIX_LAN_XDP;

	for (enum pfix_program program = first; program <= first + 1; program++) {
		struct packet want = *in;
		struct pfix_result result;
		__u8 mac[6];

		pfix_mac(to, mac);
		if (reason == PORTARP_DELIVERED)
			pfix_forwarded(in, fx.lan_mac, mac, &want);
		pfix_run(&fx, program, in, &result);
		if (result.reason != reason)
			fprintf(stderr, "%s, program %d\n", what, program);
		assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
		assert_int_equal(result.verdict, pfix_verdict(program, reason));
		assert_true(pfix_same(&result.out, &want));
	}
}

/* ---- queries */

static void run_query(const char *what, __u8 type, __u16 id, int from, int reason, int to)
{
	struct packet_spec spec = { .src = from < 0 ? peer_addr : one_addr,
				    .dst = from < 0 ? one_addr : peer_addr,
				    .icmp_type = type,
				    .icmp_rest = (__u32)id << 16 | 0x0102,
				    .data_len = 40 };
	struct packet in;

	build(&spec, from, &in);
	expect(what, &in, from, reason, to);
}

static void test_identifiers(void **state)
{
	static const __u8 queries[] = { 8, 13, 15, 17 }, answers[] = { 0, 14, 16, 18 };
	static const __u8 others[] = { 1, 6, 9, 10, 30, 40, 255 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		run_query("query to an owner", queries[i], MINE, -1, PORTARP_DELIVERED, 0x34);
		run_query("answer to an owner", answers[i], MINE, -1, PORTARP_DELIVERED, 0x34);
		run_query("query without one", queries[i], BLOCK0, -1, PORTARP_ECHO_DENIED, 0);
		run_query("query to nobody", queries[i], 1236, -1, PORTARP_ECHO_DENIED, 0);
		run_query("answer without one", answers[i], BLOCK0, -1, PORTARP_NO_OWNER, 0);
		run_query("answer to nobody", answers[i], 1236, -1, PORTARP_NO_OWNER, 0);
		run_query("own query", queries[i], MINE, 0x34, PORTARP_CHECKED, 0);
		run_query("own answer", answers[i], MINE, 0x34, PORTARP_CHECKED, 0);
		run_query("a neighbour's query", queries[i], MINE, 0x33, PORTARP_SPOOFED, 0);
		run_query("a neighbour's answer", answers[i], MINE, 0x33, PORTARP_SPOOFED, 0);
		run_query("nobody's answer", answers[i], BLOCK0, 0x34, PORTARP_SPOOFED, 0);
	}
	for (size_t i = 0; i < sizeof(others); i++) {
		run_query("no query", others[i], MINE, -1, PORTARP_NO_OWNER, 0);
		run_query("no query sent", others[i], MINE, 0x34, PORTARP_SPOOFED, 0);
	}
}

static void test_short_icmp(void **state)
{
	struct packet_spec spec = { .src = PEER_ADDR,
				    .dst = ONE_ADDR,
				    .icmp_rest = MINE << 16,
				    .tot_len = 27,
				    .trailer = 20 };
	struct packet in;

	(void)state;
	build(&spec, -1, &in);
	expect("7 bytes of ICMP", &in, -1, PORTARP_MALFORMED, 0);
	spec.tot_len = 28;
	build(&spec, -1, &in);
	expect("8 bytes", &in, -1, PORTARP_DELIVERED, 0x34);
}

static void set_echo(__u8 policy, __u32 owner)
{
	one.echo = policy;
	one.echo_owner = owner;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &one);
}

static void echo_key(struct portarp_flow_key *key)
{
	memset(key, 0, sizeof(*key));
	key->addr = PFIX_ONE;
	key->peer = PFIX_PEER;
	key->id = htonl(BLOCK0);
	key->proto = IPPROTO_ICMP;
	key->kind = PORTARP_FLOW_ECHO;
}

static void test_echo_policy(void **state)
{
	struct portarp_flow_key key;
	struct portarp_flow flow;

	(void)state;
	echo_key(&key);
	set_echo(PORTARP_ECHO_LOCAL, 0);
	run_query("local", 8, BLOCK0, -1, PORTARP_TO_STACK, 0);
	run_query("local, with an owner", 8, MINE, -1, PORTARP_DELIVERED, 0x34);
	run_query("local, an answer", 0, BLOCK0, -1, PORTARP_NO_OWNER, 0);
	assert_int_equal(pfix_entries(&fx, "portarp_flow"), 0);

	set_echo(PORTARP_ECHO_OWNER, 0x50);
	run_query("nothing asked yet", 0, BLOCK0, 0x50, PORTARP_SPOOFED, 0);
	run_query("the one who answers", 8, BLOCK0, -1, PORTARP_DELIVERED, 0x50);
	run_query("with an owner", 8, MINE, -1, PORTARP_DELIVERED, 0x34);
	assert_int_equal(pfix_entries(&fx, "portarp_flow"), 1);
	assert_true(pfix_get(&fx, "portarp_flow", &key, &flow));
	assert_int_equal(flow.owner, 0x50);
	assert_in_range(flow.expires_ns, pfix_now() + 59000000000ull, pfix_now() + 60000000000ull);
	run_query("its answer", 0, BLOCK0, 0x50, PORTARP_CHECKED, 0);
	run_query("not its query", 8, BLOCK0, 0x50, PORTARP_SPOOFED, 0);
	run_query("another's answer", 0, BLOCK0, 0x51, PORTARP_SPOOFED, 0);
	run_query("another identifier", 0, BLOCK0 + 1, 0x50, PORTARP_SPOOFED, 0);
	flow.expires_ns = pfix_now() - 1;
	pfix_put(&fx, "portarp_flow", &key, &flow);
	run_query("too late", 0, BLOCK0, 0x50, PORTARP_SPOOFED, 0);
}

static void test_echo_full(void **state)
{
	struct portarp_flow flow = { .owner = 1, .expires_ns = ~0ull };
	struct portarp_flow_key key;

	(void)state;
	echo_key(&key);
	set_echo(PORTARP_ECHO_OWNER, 0x50);
	for (int i = 0; i < 64; i++) {
		key.id = htonl(0x10000 + i);
		pfix_put(&fx, "portarp_flow", &key, &flow);
	}
	run_query("no room", 8, BLOCK0, -1, PORTARP_FLOW_FULL, 0);
	bpf_map_delete_elem(pfix_map(&fx, "portarp_flow"), &key);
	run_query("room", 8, BLOCK0, -1, PORTARP_DELIVERED, 0x50);
}

/* ---- errors */

/* `inner` as the packet that was sent; so many bytes of its IP header and what follows. */
static void build_error(__u8 type, const struct packet_spec *inner, size_t bytes, int from,
			struct packet *in)
{
	struct packet_spec spec = { .src = from < 0 ? peer_addr : one_addr,
				    .dst = from < 0 ? one_addr : peer_addr,
				    .icmp_type = type,
				    .icmp_code = 1 };
	struct packet quoted;

	packet_build(inner, &quoted);
	spec.data = quoted.b + 14;
	spec.data_len = bytes ? bytes : quoted.len - 14;
	build(&spec, from, in);
}

static void run_error(const char *what, const struct packet_spec *inner, size_t bytes, int from,
		      int reason, int to)
{
	static const __u8 types[] = { 3, 4, 5, 11, 12 };
	struct packet in;

	for (int i = 0; i < 5; i++) {
		build_error(types[i], inner, bytes, from, &in);
		expect(what, &in, from, reason, to);
	}
}

#define SENT(proto_, port)                                                                         \
	{                                                                                          \
		.src = ONE_ADDR, .dst = PEER_ADDR, .proto = proto_, .sport = port, .dport = 53,    \
		.data_len = 20, .ttl = 1                                                           \
	}

struct quote {
	const char *name;
	struct packet_spec inner;
	size_t bytes;
	int reason, to;
};

/* clang-format off */
static const struct quote quotes[] = {
	{ "UDP", SENT(17, MINE), 28, PORTARP_DELIVERED, 0x34 },
	{ "UDP, all of it", SENT(17, MINE), 0, PORTARP_DELIVERED, 0x34 },
	{ "TCP, 8 bytes", SENT(6, MINE), 28, PORTARP_DELIVERED, 0x34 },
	{ "one byte too few", SENT(6, MINE), 27, PORTARP_MALFORMED, 0 },
	{ "half an IP header", SENT(6, MINE), 12, PORTARP_MALFORMED, 0 },
	{ "nobody's port", SENT(17, BLOCK0), 28, PORTARP_NO_OWNER, 0 },
	{ "IP options: no port at byte 20", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .data_len = 8,
	  .ip_opt = "\x94\x04\x08\0", .ip_opt_len = 4 }, 0, PORTARP_DELIVERED, 0x34 },
	{ "40 bytes of options", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .data_len = 8,
	  .ip_opt = "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", .ip_opt_len = 40 }, 0, PORTARP_DELIVERED, 0x34 },
	{ "its options cut off", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .data_len = 8,
	  .ip_opt = "\x94\x04\x08\0", .ip_opt_len = 4 }, 28, PORTARP_MALFORMED, 0 },
	{ "echo request: its identifier, not its type", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 1, .icmp_type = 8,
	  .icmp_rest = MINE << 16 | TRAP }, 0, PORTARP_DELIVERED, 0x34 },
	{ "echo reply", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 1, .icmp_rest = MINE << 16 }, 0, PORTARP_DELIVERED, 0x34 },
	{ "an error: never about an error", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 1, .icmp_type = 3,
	  .icmp_rest = MINE << 16, .data_len = 40 }, 0, PORTARP_MALFORMED, 0 },
	{ "not sent from here", { .src = OTHER_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE }, 28, PORTARP_MALFORMED, 0 },
	{ "sent to here", { .src = PEER_ADDR, .dst = ONE_ADDR, .proto = 17, .sport = MINE, .dport = MINE }, 28, PORTARP_MALFORMED, 0 },
	{ "IP version 6", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .version = 6 }, 28, PORTARP_MALFORMED, 0 },
	{ "a header of 16 bytes", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .ihl = 4 }, 28, PORTARP_MALFORMED, 0 },
	{ "a first fragment", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .frag = 0x2000 }, 28, PORTARP_DELIVERED, 0x34 },
	{ "a later fragment, never seen", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 17, .sport = MINE, .frag = 0x0010, .id = 9 }, 28, PORTARP_NO_OWNER, 0 },
	{ "ESP, never seen", { .src = ONE_ADDR, .dst = PEER_ADDR, .proto = 50, .data_len = 20 }, 0, PORTARP_NO_OWNER, 0 },
};
/* clang-format on */

static void test_errors_in(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(quotes) / sizeof(*quotes); i++)
		run_error(quotes[i].name, &quotes[i].inner, quotes[i].bytes, -1, quotes[i].reason,
			  quotes[i].to);
	assert_int_equal(pfix_entries(&fx, "portarp_flow"), 0);
	assert_int_equal(pfix_entries(&fx, "portarp_frag"), 0);
}

/* Bytes of Ethernet's padding are no quotation. */
static void test_padding_is_no_quote(void **state)
{
	struct packet_spec inner = SENT(17, MINE);
	struct packet in;

	(void)state;
	build_error(3, &inner, 28, -1, &in);
	packet_put16(in.b + 14 + 2, 20 + 8 + 27);
	packet_put16(in.b + 14 + 10, 0);
	packet_put16(in.b + 14 + 10, ~packet_sum(in.b + 14, 20, 0));
	expect("a quotation that ends in padding", &in, -1, PORTARP_MALFORMED, 0);
}

/* What a sharer's host says about a packet that it got. */
static void test_errors_out(void **state)
{
	struct packet_spec got = { .src = PEER_ADDR,
				   .dst = ONE_ADDR,
				   .proto = IPPROTO_UDP,
				   .sport = 53,
				   .dport = MINE,
				   .data_len = 20 };

	(void)state;
	run_error("about its own port", &got, 28, 0x34, PORTARP_CHECKED, 0);
	run_error("about a neighbour's", &got, 28, 0x33, PORTARP_SPOOFED, 0);
	got.dst = other;
	run_error("about another address", &got, 28, 0x34, PORTARP_SPOOFED, 0);
	got.dst = one_addr;
	got.dport = BLOCK0;
	run_error("about nobody's", &got, 28, 0x34, PORTARP_SPOOFED, 0);
	got.proto = IPPROTO_ICMP;
	got.icmp_type = 8;
	got.icmp_rest = MINE << 16;
	run_error("about an echo request", &got, 0, 0x34, PORTARP_CHECKED, 0);
	run_error("about a neighbour's", &got, 0, 0x33, PORTARP_SPOOFED, 0);
	got.icmp_type = 11;
	run_error("about an error", &got, 0, 0x34, PORTARP_MALFORMED, 0);
}

/* Who answers for the address may also be told that its answer did not arrive, and tell. */
static void test_errors_about_remembered(void **state)
{
	struct packet_spec answer = {
		.src = ONE_ADDR, .dst = PEER_ADDR, .proto = IPPROTO_ICMP, .icmp_rest = BLOCK0 << 16
	};
	struct packet_spec query = { .src = PEER_ADDR,
				     .dst = ONE_ADDR,
				     .proto = IPPROTO_ICMP,
				     .icmp_type = 8,
				     .icmp_rest = BLOCK0 << 16 };

	(void)state;
	set_echo(PORTARP_ECHO_OWNER, 0x50);
	run_error("nothing remembered", &answer, 0, -1, PORTARP_NO_OWNER, 0);
	run_query("request", 8, BLOCK0, -1, PORTARP_DELIVERED, 0x50);
	run_error("its answer", &answer, 0, -1, PORTARP_DELIVERED, 0x50);
	run_error("about the request", &query, 0, 0x50, PORTARP_CHECKED, 0);
	run_error("by another", &query, 0, 0x51, PORTARP_SPOOFED, 0);
}

/* The kernel's own errors find the owner's MAC. */
static void test_own_errors(void **state)
{
	struct packet_spec inner = SENT(17, MINE);
	struct packet in, want;
	struct pfix_result result;

	(void)state;
	build_error(11, &inner, 28, -1, &in);
	want = in;
	pfix_mac(0x34, want.b);
	pfix_run(&fx, PFIX_OUT, &in, &result);
	assert_int_equal(result.reason, PORTARP_ADMITTED);
	assert_int_equal(result.verdict, pfix_verdict(PFIX_OUT, PORTARP_ADMITTED));
	assert_true(pfix_same(&result.out, &want));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identifiers, fill),
		cmocka_unit_test_setup(test_short_icmp, fill),
		cmocka_unit_test_setup(test_echo_policy, fill),
		cmocka_unit_test_setup(test_echo_full, fill),
		cmocka_unit_test_setup(test_errors_in, fill),
		cmocka_unit_test_setup(test_padding_is_no_quote, fill),
		cmocka_unit_test_setup(test_errors_out, fill),
		cmocka_unit_test_setup(test_errors_about_remembered, fill),
		cmocka_unit_test_setup(test_own_errors, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
