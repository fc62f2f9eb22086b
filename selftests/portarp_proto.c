// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_proto.c - what has no ports (paper III): learned from what sharers send, by
 * pseudo-port or by who spoke last; nobody takes over what another one has.
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

#define A	  0x34
#define B	  0x40
#define STRANGER  0x7777
#define A_PORT	  1232
#define FREE_PORT 500 /* in nobody's set */
#define GRE	  47
#define ESP	  50
#define AH	  51
#define SCTP	  132
#define OTHER	  253
#define FLOWS	  64 /* the bench's table */

static struct pfix fx;
static struct portarp_addr one, two;
static const struct isthmus_addr one_addr = PFIX_ONE_ADDR, peer_addr = PFIX_PEER_ADDR,
				 other_peer = PACKET_V4(192, 0, 2, 11);

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
	pfix_sharer(&fx, PFIX_ONE, A, A);
	pfix_sharer(&fx, PFIX_ONE, B, B);
	return 0;
}

struct payload {
	__u8 proto, b[32];
	size_t len;
};

static struct payload esp(__u32 spi)
{
	struct payload p = { .proto = ESP, .len = 24 };

	packet_put32(p.b, spi);
	return p;
}

static struct payload ah(__u32 spi)
{
	struct payload p = { .proto = AH, .b = { 6, 4 }, .len = 24 };

	packet_put32(p.b + 4, spi);
	return p;
}

static struct payload gre(bool checksum, bool keyed, __u32 key)
{
	struct payload p = { .proto = GRE, .len = 20 };

	packet_put16(p.b, (checksum ? 0x8000 : 0) | (keyed ? 0x2000 : 0));
	packet_put16(p.b + 2, 0x0800);
	if (keyed)
		packet_put32(p.b + (checksum ? 8 : 4), key);
	return p;
}

/* RFC 2637: key flag, version 1, payload length, the receiver's call. */
static struct payload pptp(__u16 call)
{
	struct payload p = { .proto = GRE, .len = 20 };

	packet_put16(p.b, 0x2001);
	packet_put16(p.b + 2, 0x880b);
	packet_put16(p.b + 4, 12);
	packet_put16(p.b + 6, call);
	return p;
}

static struct payload sctp(__u16 from, __u16 to)
{
	struct payload p = { .proto = SCTP, .len = 16 };

	packet_put16(p.b, from);
	packet_put16(p.b + 2, to);
	return p;
}

static struct payload unknown(size_t len)
{
	return (struct payload){ .proto = OTHER, .len = len };
}

static void build(const struct payload *p, int from, const struct isthmus_addr *peer,
		  struct packet *in)
{
	struct packet_spec spec = { .src = from < 0 ? *peer : one_addr,
				    .dst = from < 0 ? one_addr : *peer,
				    .proto = p->proto,
				    .data = p->b,
				    .data_len = p->len };

	memcpy(spec.dst_mac, from < 0 ? fx.up_mac : fx.lan_mac, 6);
	pfix_mac(from < 0 ? STRANGER : from, spec.src_mac);
	packet_build(&spec, in);
}

/* Both hooks take turns, so that what one learned the other knows. */
static enum pfix_program next_hook(bool lan)
{
	static int turn;

	return (lan ? PFIX_LAN_XDP : PFIX_UP_XDP) + (turn++ & 1);
}

static void expect(const struct packet *in, bool lan, int reason, int to)
{
	enum pfix_program program = next_hook(lan);
	struct packet want = *in;
	struct pfix_result result;
	__u8 mac[6];

	pfix_mac(to, mac);
	if (reason == PORTARP_DELIVERED)
		pfix_forwarded(in, fx.lan_mac, mac, &want);
	pfix_run(&fx, program, in, &result);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_true(pfix_same(&result.out, &want));
}

static void out(struct payload p, int from, int reason)
{
	struct packet in;

	build(&p, from, &peer_addr, &in);
	expect(&in, true, reason, 0);
}

static void in(struct payload p, int reason, int to)
{
	struct packet packet;

	build(&p, -1, &peer_addr, &packet);
	expect(&packet, false, reason, to);
}

#define LOST PORTARP_PROTO_UNKNOWN
#define GOOD PORTARP_CHECKED
#define SENT PORTARP_DELIVERED

static void test_learned_from_outbound(void **state)
{
	struct payload all[] = { esp(0x1111), ah(0x1111), gre(false, false, 0), pptp(7),
				 unknown(12) };

	for (int i = 0; i < 5; i++) {
		struct packet from_other;

		fill(state);
		in(all[i], LOST, 0);
		out(all[i], STRANGER, PORTARP_SPOOFED);
		in(all[i], LOST, 0);
		out(all[i], A, GOOD);
		in(all[i], SENT, A);
		build(&all[i], -1, &other_peer, &from_other);
		expect(&from_other, false, LOST, 0);
	}
}

/* Two users of IPsec to one peer: each SPI stays with who had it first. */
static void test_two_esp(void **state)
{
	(void)state;
	out(esp(0xa1), A, GOOD);
	in(esp(0x1a), SENT, A); /* A's inbound SPI is bound to it */
	out(esp(0xb1), B, GOOD);
	in(esp(0x1b), SENT, B); /* the last that began */
	in(esp(0x1a), SENT, A);
	out(esp(0xa1), A, GOOD);
	in(esp(0x1b), SENT, B);
	in(esp(0x1c), SENT, B);		    /* A only goes on */
	out(esp(0xa1), B, PORTARP_SPOOFED); /* the peer gave this SPI to A */
	in(esp(0x1d), SENT, B);
	out(esp(0xa2), A, GOOD);
	in(esp(0x1e), SENT, A);
	in(ah(0x1a), LOST, 0);	/* another protocol */
	out(ah(0xa1), A, GOOD); /* its SPI is not at ESP's place */
	in(ah(0x1a), SENT, A);
	out(ah(0xb1), B, GOOD);
	in(ah(0x1b), SENT, B);
	in(ah(0x1a), SENT, A);
}

/* Quoted by an error: the SPI that was sent, not the one received. */
static void test_errors_about_esp(void **state)
{
	static const __u32 spi[] = { 0xa1, 0xb1, 0xc1 };
	static const int owner[] = { A, B, B };

	(void)state;
	out(esp(0xa1), A, GOOD);
	out(esp(0xb1), B, GOOD);
	for (int i = 0; i < 3; i++) {
		struct payload p = esp(spi[i]);
		struct packet_spec spec = { .src = peer_addr,
					    .dst = one_addr,
					    .proto = 1,
					    .icmp_type = 3,
					    .icmp_code = 4,
					    .data_len = 28 };
		struct packet quoted, packet;

		build(&p, A, &peer_addr, &quoted);
		spec.data = quoted.b + 14;
		memcpy(spec.dst_mac, fx.up_mac, 6);
		packet_build(&spec, &packet);
		expect(&packet, false, SENT, owner[i]);
	}
}

static void test_gre_keys(void **state)
{
	(void)state;
	out(gre(false, true, 5), A, GOOD);
	out(gre(true, true, 6), B, GOOD);
	in(gre(true, true, 5), SENT, A); /* a checksum before the key */
	in(gre(false, true, 6), SENT, B);
	in(gre(false, false, 0), SENT, B);
	in(gre(false, true, 7), SENT, B);
	out(gre(false, true, 5), B, PORTARP_SPOOFED);
	in(gre(false, true, 5), SENT, A);
	out(gre(false, true, 0), A, GOOD); /* key 0 is none */
}

/* A GRE keep-alive's answer is four bytes; a key that is cut off is none. */
static void test_short(void **state)
{
	struct payload p = gre(false, false, 0);

	(void)state;
	p.len = 4;
	out(p, A, GOOD);
	in(p, SENT, A);
	p.len = 3;
	in(p, PORTARP_MALFORMED, 0);
	p = gre(false, true, 1);
	p.len = 7;
	in(p, PORTARP_MALFORMED, 0);
	p = esp(1);
	p.len = 7;
	in(p, PORTARP_MALFORMED, 0);
	out(p, A, PORTARP_MALFORMED);
	p = unknown(0);
	out(p, A, GOOD);
	in(p, SENT, A);
}

static void test_sctp(void **state)
{
	(void)state;
	/* By set, as TCP: nothing is learned. */
	out(sctp(A_PORT, 9), A, GOOD);
	out(sctp(A_PORT, 9), B, PORTARP_SPOOFED);
	assert_int_equal(pfix_entries(&fx, "portarp_flow"), 0);
	in(sctp(9, A_PORT), SENT, A);
	/* By none. */
	in(sctp(9, FREE_PORT), LOST, 0);
	out(sctp(FREE_PORT, 9), B, GOOD);
	in(sctp(9, FREE_PORT), SENT, B);
	out(sctp(FREE_PORT, 9), A, PORTARP_SPOOFED);
	in(sctp(9, A_PORT), SENT, A);
	in(sctp(9, FREE_PORT + 1), SENT, B);
}

/* All flows have just been used; now they end then. Keys first: a changed entry moves. */
static __u32 each_flow(__u64 expires_ns)
{
	int map = pfix_map(&fx, "portarp_flow");
	struct portarp_flow_key key[FLOWS], *from = NULL;
	struct portarp_flow flow;
	__u32 count = 0;

	while (count < FLOWS && !bpf_map_get_next_key(map, from, &key[count]))
		from = &key[count++];
	for (__u32 i = 0; i < count; i++) {
		assert_int_equal(bpf_map_lookup_elem(map, &key[i], &flow), 0);
		assert_in_range(flow.expires_ns, pfix_now() + 599000000000ull,
				pfix_now() + 600000000000ull);
		flow.expires_ns = expires_ns;
		assert_int_equal(bpf_map_update_elem(map, &key[i], &flow, BPF_EXIST), 0);
	}
	return count;
}

static void test_expiry(void **state)
{
	(void)state;
	out(esp(0xa1), A, GOOD);
	in(esp(0x1a), SENT, A);
	assert_int_equal(each_flow(pfix_now() + 1000000000ull), 3);
	in(esp(0x1a), SENT, A); /* refreshed by what comes, too */
	out(esp(0xa1), A, GOOD);
	assert_int_equal(each_flow(pfix_now() - 1), 3);
	in(esp(0x1a), LOST, 0);
	in(esp(0x1e), LOST, 0);
	out(esp(0xa1), B, GOOD); /* and then another's */
	in(esp(0x1a), SENT, B);
}

static void test_full(void **state)
{
	struct portarp_flow_key key = { .kind = PORTARP_FLOW_PROTO };
	struct portarp_flow flow = { .owner = 1, .expires_ns = ~0ull };

	(void)state;
	out(unknown(9), A, GOOD);
	for (int i = 0; i < FLOWS - 1; i++) {
		key.id = i;
		pfix_put(&fx, "portarp_flow", &key, &flow);
	}
	out(unknown(9), A, GOOD); /* live ones go on */
	in(unknown(9), SENT, A);
	out(esp(1), A, PORTARP_FLOW_FULL);
	in(esp(1), LOST, 0);
	bpf_map_delete_elem(pfix_map(&fx, "portarp_flow"), &key);
	out(gre(false, false, 0), A, GOOD);
	in(gre(false, false, 0), SENT, A);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_learned_from_outbound, fill),
		cmocka_unit_test_setup(test_two_esp, fill),
		cmocka_unit_test_setup(test_errors_about_esp, fill),
		cmocka_unit_test_setup(test_gre_keys, fill),
		cmocka_unit_test_setup(test_short, fill),
		cmocka_unit_test_setup(test_sctp, fill),
		cmocka_unit_test_setup(test_expiry, fill),
		cmocka_unit_test_setup(test_full, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
