// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_random.c - every (a, k) of RFC 7597 with random ports, sizes and owners,
 * against a model that has nothing in common with the programs: the standard's own formula
 * (appendix B), P = R * M * i + M * PSID + j, by division.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/portarp_fixture.h"

#define SEED	 7597
#define PORTS	 24 /* of each (a, k) */
#define SINGLES	 6
#define NOBODY	 -1
#define GARBAGE	 4000
#define A_SINGLE 70000 /* owners of single ports */

static struct pfix fx;

/* What the agent was told. */
static struct {
	int a, k;
	__u32 first;
	struct {
		__u16 port;
		__u32 owner;
	} single[SINGLES];
	int singles;
} model;

static int model_owner(__u32 port)
{
	__u32 r = 1, m = 1;

	for (int i = 0; i < model.singles; i++)
		if (model.single[i].port == port)
			return model.single[i].owner;
	for (int i = 0; i < model.k; i++)
		r *= 2;
	for (int i = 0; i < 16 - model.a - model.k; i++)
		m *= 2;
	if (model.a && port / (r * m) == 0)
		return NOBODY;
	return model.first + port % (r * m) / m;
}

static int set_up(void **state)
{
	(void)state;
	srandom(SEED);
	return pfix_open(&fx, PORTARP_GATEWAY);
}

static int tear_down(void **state)
{
	(void)state;
	pfix_close(&fx);
	return 0;
}

/* Ports near each border of blocks and sets, and anywhere. */
static __u16 some_port(void)
{
	__u32 block = 1u << (16 - model.a), set = 1u << (16 - model.a - model.k);
	__u32 near = random() % 3 - 1;

	switch (random() % 5) {
	case 0:
		return block + near;
	case 1:
		return random() % 65536 / set * set + near;
	case 2:
		return random() % 65536 / block * block + near;
	case 3:
		return model.singles ? model.single[random() % model.singles].port + near : near;
	default:
		return random();
	}
}

static void some_address(void)
{
	struct portarp_addr addr;

	model.first = random() % (65536 - 1) & ~1u;
	model.singles = random() % (SINGLES + 1);
	memset(fx.port, 0, sizeof(*fx.port) << 16);
	for (int i = 0; i < model.singles; i++) {
		model.single[i].port = random();
		for (int j = 0; j < i; j++)
			if (model.single[j].port == model.single[i].port)
				model.single[i].port = model.single[j].port + 1;
		model.single[i].owner = A_SINGLE + i;
		fx.port[model.single[i].port].owner = 1 + A_SINGLE + i;
	}
	pfix_address(&fx, PFIX_ONE, model.a, model.k, model.first, model.singles ? 1 : 0, &addr);
}

static void fill_owners(void)
{
	for (int i = 0; i < PFIX_OWNERS; i++)
		pfix_owner(&fx, i, i, PORTARP_OWNER_KNOWN);
}

static void check(enum pfix_program program, const struct packet *in, int reason, int owner)
{
	struct packet want = *in;
	struct pfix_result result;
	__u8 mac[6];

	pfix_mac(owner, mac);
	if (reason == PORTARP_DELIVERED)
		pfix_forwarded(in, fx.lan_mac, mac, &want);
	if (reason == PORTARP_ADMITTED)
		memcpy(want.b, mac, 6);
	pfix_run(&fx, program, in, &result);
	if (result.reason != reason)
		fprintf(stderr, "a %d, k %d, first %u, program %d, ports %u %u\n", model.a, model.k,
			model.first, program, packet_get16(in->b + 34), packet_get16(in->b + 36));
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_true(pfix_same(&result.out, &want));
}

static void one_packet(void)
{
	struct packet_spec spec = { .src = PFIX_PEER_ADDR,
				    .dst = PFIX_ONE_ADDR,
				    .sport = random(),
				    .dport = some_port(),
				    .proto = random() % 2 ? IPPROTO_TCP : IPPROTO_UDP,
				    .ttl = 2 + random() % 254,
				    .tos = random(),
				    .id = random(),
				    .seq = random(),
				    .data_len = random() % 1400 };
	int owner = model_owner(spec.dport);
	int reason = owner == NOBODY ? PORTARP_NO_OWNER : PORTARP_DELIVERED;
	struct packet in;

	memcpy(spec.dst_mac, fx.up_mac, 6);
	packet_build(&spec, &in);
	check(PFIX_UP_XDP, &in, reason, owner);
	check(PFIX_UP_TC, &in, reason, owner);
	check(PFIX_OUT, &in, owner == NOBODY ? PORTARP_NO_OWNER : PORTARP_ADMITTED, owner);
}

/* From its owner, or from one beside it. */
static void one_from_inside(void)
{
	struct packet_spec spec = { .src = PFIX_ONE_ADDR,
				    .dst = PFIX_PEER_ADDR,
				    .dport = random(),
				    .sport = some_port(),
				    .proto = random() % 2 ? IPPROTO_TCP : IPPROTO_UDP,
				    .data_len = random() % 1400 };
	int owner = model_owner(spec.sport), sender = owner + random() % 3 - 1;
	bool good = owner != NOBODY && sender == owner;
	struct packet in;

	if (spec.sport == 68)
		return; /* a DHCP client's, if it is to port 67 */
	memcpy(spec.dst_mac, fx.lan_mac, 6);
	pfix_mac(sender, spec.src_mac);
	packet_build(&spec, &in);
	check(PFIX_LAN_XDP, &in, good ? PORTARP_CHECKED : PORTARP_SPOOFED, 0);
	check(PFIX_LAN_TC, &in, good ? PORTARP_CHECKED : PORTARP_SPOOFED, 0);
}

static void test_every_set(void **state)
{
	int sets = 0;

	(void)state;
	pfix_clear(&fx);
	fill_owners();
	for (model.a = 0; model.a <= 15; model.a++)
		for (model.k = 0; model.k <= 16 - model.a; model.k++) {
			some_address();
			for (int i = 0; i < PORTS; i++) {
				one_packet();
				one_from_inside();
			}
			sets++;
		}
	assert_int_equal(sets, 152);
}

/* Published vectors: RFC 7597 appendix A and B.2, 7599, and what others' tests have. */
static void test_vectors(void **state)
{
	static const struct {
		int a, k;
		__u16 port;
		int psid;
	} vectors[] = {
		{ 6, 8, 1232, 0x34 },  { 6, 8, 64723, 0x34 },  { 6, 8, 1027, 0 },
		{ 6, 8, 64515, 0 },    { 0, 6, 1023, 0 },      { 0, 6, 1024, 1 },
		{ 4, 4, 10000, 7 },    { 4, 4, 30000, 5 },     { 6, 4, 0xabcd, 0xf },
		{ 6, 4, 16606, 3 },    { 6, 4, 16862, 7 },     { 6, 6, 1296, 0x11 },
		{ 6, 6, 3359, 0x11 },  { 0, 6, 4096, 4 },      { 0, 6, 5120, 5 },
		{ 0, 16, 80, 80 },     { 0, 16, 1234, 1234 },  { 8, 8, 1234, 0xd2 },
		{ 7, 9, 1234, 0xd2 },  { 9, 7, 1234, 0x52 },   { 0, 9, 1234, 9 },
		{ 6, 8, 64, NOBODY },  { 6, 8, 1023, NOBODY }, { 4, 4, 4095, NOBODY },
		{ 10, 6, 63, NOBODY }, { 10, 6, 64, 0 },
	};
	struct portarp_addr addr;

	(void)state;
	pfix_clear(&fx);
	fill_owners();
	model.singles = 0;
	model.first = 0;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		struct packet_spec spec = { .src = PFIX_PEER_ADDR,
					    .dst = PFIX_ONE_ADDR,
					    .dport = vectors[i].port };
		int reason = vectors[i].psid < 0 ? PORTARP_NO_OWNER : PORTARP_DELIVERED;
		struct packet in;

		model.a = vectors[i].a;
		model.k = vectors[i].k;
		assert_int_equal(model_owner(vectors[i].port), vectors[i].psid);
		pfix_address(&fx, PFIX_ONE, model.a, model.k, 0, 0, &addr);
		memcpy(spec.dst_mac, fx.up_mac, 6);
		packet_build(&spec, &in);
		check(PFIX_UP_XDP, &in, reason, vectors[i].psid);
		check(PFIX_UP_TC, &in, reason, vectors[i].psid);
	}
}

/* ---- garbage: any bytes, any length */

static void garbage(struct packet *in)
{
	static const __u8 protos[] = { 1, 6, 17, 33, 47, 50, 51, 132, 136, 253 };
	struct packet_spec spec = { .src = PFIX_PEER_ADDR,
				    .dst = PFIX_ONE_ADDR,
				    .data_len = random() % 90,
				    .sport = random(),
				    .dport = random(),
				    .icmp_rest = random(),
				    .proto = protos[random() % 10],
				    .ip_opt = "\1\1\1\1\1\1\1\1",
				    .ip_opt_len = random() % 3 * 4,
				    .frag = random() % 4 ? 0 : random(),
				    .icmp_type = random() % 20 };

	if (random() % 2) {
		spec.src = spec.dst;
		pfix_mac(random() % 4, spec.src_mac);
	}
	memcpy(spec.dst_mac, random() % 2 ? fx.up_mac : fx.lan_mac, 6);
	packet_build(&spec, in);
	if (random() % 4 == 0)
		packet_put16(in->b + 12, 0x0806);
	for (int i = random() % 4; i > 0; i--)
		in->b[12 + random() % (in->len - 12)] = random();
	if (random() % 3 == 0)
		in->len = 14 + random() % (in->len - 13);
}

/* One reason each, a whole frame or none, and only MACs and TTL may change in what goes on. */
static void check_garbage(enum pfix_program program, const struct packet *in)
{
	struct pfix_result result;
	struct packet out;

	/* The kernel gives tc no test packet without an IP header. */
	if (program != PFIX_UP_XDP && program != PFIX_LAN_XDP && in->len < 34)
		return;
	pfix_run(&fx, program, in, &result);
	assert_int_not_equal(result.reason, -1);
	assert_int_equal(result.verdict, pfix_verdict(program, result.reason));
	assert_int_equal(result.out.len, in->len);
	out = result.out;
	if (result.reason == PORTARP_DELIVERED) {
		assert_true(in->b[14] == 0x45 && in->b[22] >= 2 && in->b[22] - 1 == out.b[22]);
		memcpy(out.b + 22, in->b + 22, 4); /* TTL, protocol, checksum */
	}
	if (result.reason == PORTARP_DELIVERED || result.reason == PORTARP_ADMITTED)
		memcpy(out.b, in->b, 12);
	if (result.reason != PORTARP_ARP_PROXIED)
		assert_true(pfix_same(&out, in));
	for (int i = 0; i < result.events; i++)
		if (fx.event[i].frame.len)
			assert_true(pfix_same(&fx.event[i].frame, in));
}

static void test_garbage(void **state)
{
	struct portarp_addr addr;
	struct packet in;

	(void)state;
	pfix_clear(&fx);
	for (int i = 0; i < 512; i++)
		pfix_owner(&fx, i, i % 4, i % 3 ? PORTARP_OWNER_KNOWN : 0);
	pfix_address(&fx, PFIX_ONE, 0, 8, 0, 0, &addr);
	addr.echo = PORTARP_ECHO_OWNER;
	addr.echo_owner = 1;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &addr);
	for (int i = 0; i < 4; i++)
		pfix_sharer(&fx, PFIX_ONE, i, i);
	for (int i = 0; i < GARBAGE; i++) {
		garbage(&in);
		for (enum pfix_program program = 0; program < PFIX_PROGRAMS; program++)
			check_garbage(program, &in);
		if (i % 64 == 0)
			for (int owner = 0; owner < 512; owner++)
				fx.owner[owner].wait &= PORTARP_OWNER_KNOWN;
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_set),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
