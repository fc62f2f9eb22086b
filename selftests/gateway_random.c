// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_random.c - random packets, some of them damaged, through both hooks: they agree
 * byte for byte, each packet is counted under one reason, and a checksum that was right is right
 * afterwards, one that was wrong is wrong. GATEWAY_SEED repeats a run.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "selftests/lib/gateway_fixture.h"
#include "selftests/lib/seal.h"

#define RUNS	20000
#define PORTS	2 /* few, so that flows are met again and tables do not fill */
#define OPTIONS "\x02\x04\x05\xb4\x01\x03\x03\x07\x04\x02\x08\x0a\0\0\0\1\0\0\0\2"

static struct gfix fx;
static unsigned int seed;
static int counts[GATEWAY_REASON_COUNT];

static int set_up(void **state)
{
	(void)state;
	seed = getenv("GATEWAY_SEED") ? atoi(getenv("GATEWAY_SEED")) : time(NULL);
	print_message("GATEWAY_SEED=%u\n", seed);
	return gfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	gfix_close(&fx);
	return 0;
}

static unsigned int below(unsigned int limit)
{
	return rand_r(&seed) % limit;
}

static void random_packet(struct packet *packet, bool v6, const struct isthmus_addr *src,
			  const struct isthmus_addr *dst)
{
	static const __u8 protos[] = { 6, 6, 6, 17, 17, 50, 47, 132, 33, 136, 1, 58 };
	static const __u8 types[] = { 0, 8, 3, 11, 12, 128, 129, 1, 2, 4, 5, 13 };
	struct packet_spec spec = { .src = *src, .dst = *dst, .tos = below(256) };

	spec.sport = 1000 + below(PORTS);
	spec.dport = 1000 + below(PORTS);
	spec.proto = protos[below(sizeof(protos))];
	spec.ttl = below(20) ? 2 + below(200) : 1;
	spec.data_len = below(4) ? below(64) : below(1300);
	spec.flags = below(64);
	spec.opt = OPTIONS;
	spec.opt_len = below(3) ? 0 : below(21);
	spec.check = below(8) ? PACKET_CHECK_GOOD : below(2) ? PACKET_CHECK_NONE : PACKET_CHECK_BAD;
	spec.icmp_type = types[below(sizeof(types))];
	spec.icmp_rest = (1000 + below(PORTS)) << 16;
	spec.id = 1 + below(0xffff);
	if (!below(6))
		spec.frag = below(2) ? 0x2000 : below(100);
	if (!v6 && !below(6)) {
		spec.ip_opt = "\x94\x04\0\0\x01\x01\x01\0\0\0\0";
		spec.ip_opt_len = 4 * (1 + below(3));
	}
	if (v6 && !below(4)) {
		static const __u8 kinds[] = { 0, 60, 44, 43 };

		spec.exts = 1 + below(3);
		for (int i = 0; i < spec.exts; i++)
			spec.ext[i] = kinds[below(4)];
		spec.v6_frag = below(2) ? 1 : below(100) * 8;
	}
	packet_build(&spec, packet);
	for (int damage = below(5) ? 0 : 1 + below(3); damage > 0; damage--)
		packet->b[14 + below(packet->len - 14)] ^= 1 << below(8);
}

/* Of an IPv6 packet made IPv4 the identification is any. */
static void level(struct packet *packet, size_t at)
{
	if (packet->len < at + 20 || packet->b[at] >> 4 != 4)
		return;
	packet_put16(packet->b + at + 4, 0);
	packet_put16(packet->b + at + 10, 0);
}

/* The inner packet as a frame. */
static void unsealed(const struct packet *frame, struct packet *inner)
{
	size_t at = seal_inner_at(frame);

	memset(inner, 0, sizeof(*inner));
	memcpy(inner->b, frame->b, 14);
	packet_put16(inner->b + 12, frame->b[at] >> 4 == 4 ? 0x0800 : 0x86dd);
	memcpy(inner->b + 14, frame->b + at, frame->len - at);
	inner->len = 14 + frame->len - at;
}

/* It has a checksum that can be told to be right; no UDP without one, which IPv6 has not. */
static bool is_checked(const struct packet *packet)
{
	struct packet_view view;

	if (!packet_parse(packet, &view) || view.fragment)
		return false;
	return view.proto == IPPROTO_TCP ||
	       (view.proto == IPPROTO_UDP && packet_get_l4_check(packet, &view));
}

static void compare(const struct packet *in, struct gfix_result *xdp, struct gfix_result *tc)
{
	assert_int_not_equal(xdp->reason, -1);
	assert_string_equal(gfix_reason_name(xdp->reason), gfix_reason_name(tc->reason));
	counts[xdp->reason]++;
	if (xdp->told != tc->told)
		return; /* between them a second ended, or its number of errors was reached */
	if (!xdp->told && xdp->verdict == gfix_verdict(GFIX_UP_XDP, GATEWAY_FORGED))
		return; /* dropped */
	level(&xdp->out, 14);
	level(&tc->out, 14);
	assert_true(gfix_same(&xdp->out, &tc->out));
	if (xdp->reason == GATEWAY_SEND_FAILED)
		packet_print_diff(in, in);
	assert_int_not_equal(xdp->reason, GATEWAY_SEND_FAILED);
}

static void check_sums(const struct packet *in, const struct packet *out)
{
	if (!is_checked(in))
		return;
	assert_true(is_checked(out));
	if (packet_checks_good(in) != packet_checks_good(out))
		packet_print_diff(in, out);
	assert_int_equal(packet_checks_good(in), packet_checks_good(out));
}

static void from_outside(int host)
{
	const struct isthmus_addr from[2] = { GFIX_INITIATOR, GFIX_OTHER }, from6 = GFIX_INITIATOR6,
				  to = GFIX_WAYPOINT, to6 = GFIX_WAYPOINT6;
	bool v6 = below(2);
	struct gfix_result xdp, tc;
	struct packet in, sealed;

	random_packet(&in, v6, v6 ? &from6 : &from[below(2)], v6 ? &to6 : &to);
	gfix_seal(&fx, GFIX_W1, host, &in, &sealed);
	gfix_run(&fx, GFIX_UP_XDP, &sealed, &xdp);
	if (xdp.reason == GATEWAY_DELIVERED)
		check_sums(&in, &xdp.out);
	gfix_seal(&fx, GFIX_W1, host, &in, &sealed);
	gfix_run(&fx, GFIX_UP_TC, &sealed, &tc);
	if (xdp.told && tc.told) { /* sealed under another sequence */
		struct packet one, two;

		unsealed(&xdp.out, &one);
		unsealed(&tc.out, &two);
		xdp.out = one;
		tc.out = two;
	}
	compare(&in, &xdp, &tc);
}

static void from_inside(int host)
{
	const struct isthmus_addr initiator = GFIX_INITIATOR, initiator6 = GFIX_INITIATOR6,
				  inside = GFIX_INSIDE, inside6 = GFIX_INSIDE6;
	const struct isthmus_addr embedded = gfix_embedded(initiator), src = gfix_host_addr(host);
	bool v6 = !packet_addr_v4(&src), masked = host == GFIX_MASKED || host == GFIX_MASKED6;
	const struct isthmus_addr *to = v6 ? below(2) ? &initiator6 : &embedded : &initiator;
	struct gfix_result xdp, tc;
	struct packet in, one, two;

	if (masked)
		to = v6 ? &inside6 : &inside;
	random_packet(&in, v6, &src, to);
	gfix_frame(&in, fx.lan_mac, fx.up_mac);
	gfix_run(&fx, GFIX_LAN_XDP, &in, &xdp);
	gfix_run(&fx, GFIX_LAN_TC, &in, &tc);
	if (xdp.reason == GATEWAY_ANSWERED && tc.reason == GATEWAY_ANSWERED) {
		unsealed(&xdp.out, &one);
		unsealed(&tc.out, &two);
		check_sums(&in, &one);
		xdp.out = one;
		tc.out = two;
	}
	/* At tc a wrong checksum may be taken for an unfinished one. */
	if (tc.reason == GATEWAY_UNFINISHED)
		return;
	compare(&in, &xdp, &tc);
}

static void random_packets(void **state)
{
	static const int hosts[] = { GFIX_PLAIN, GFIX_MASKED, GFIX_AWARE, GFIX_PLAIN6,
				     GFIX_MASKED6 };

	(void)state;
	for (int i = 0; i < RUNS; i++) {
		int host = hosts[below(5)];

		if (i % 2000 == 0)
			gfix_clear(&fx);
		if (below(2))
			from_outside(host);
		else
			from_inside(host);
	}
	for (int i = 0; i < GATEWAY_REASON_COUNT; i++)
		if (counts[i])
			print_message("%s %d\n", gfix_reason_name(i), counts[i]);
	/* What the run was about has happened. */
	assert_in_range(counts[GATEWAY_DELIVERED], RUNS / 10, RUNS);
	assert_in_range(counts[GATEWAY_ANSWERED], RUNS / 50, RUNS);
	assert_in_range(counts[GATEWAY_MALFORMED], RUNS / 200, RUNS);
	assert_in_range(counts[GATEWAY_UNTRANSLATABLE], RUNS / 200, RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_packets) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
