// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_frag.c - fragments of both directions, packets that are cut for the tunnel, and
 * what cannot be sealed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/gateway_fixture.h"
#include "selftests/lib/seal.h"

#define SPORT 40000
#define DPORT 22

static struct gfix fx;
static const struct isthmus_addr initiator = GFIX_INITIATOR, waypoint = GFIX_WAYPOINT,
				 inside = GFIX_INSIDE;
static const enum gfix_program ups[] = { GFIX_UP_XDP, GFIX_UP_TC };
static const enum gfix_program lans[] = { GFIX_LAN_XDP, GFIX_LAN_TC };

static int set_up(void **state)
{
	(void)state;
	return gfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	gfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	gfix_clear(&fx);
	return 0;
}

static struct packet_spec from_initiator(__u8 proto, __u16 sport, __u16 flags)
{
	return (struct packet_spec){ .src = initiator,
				     .dst = waypoint,
				     .sport = sport,
				     .dport = DPORT,
				     .proto = proto,
				     .flags = flags,
				     .data_len = 20 };
}

static int up_spec(const struct packet_spec *spec, int host, int hook)
{
	struct gfix_result result;
	struct packet in, sealed;

	packet_build(spec, &in);
	gfix_seal(&fx, GFIX_W1, host, &in, &sealed);
	gfix_run(&fx, ups[hook], &sealed, &result);
	return result.reason;
}

static int up(__u8 proto, __u16 sport, __u16 flags, int host, int hook)
{
	struct packet_spec spec = from_initiator(proto, sport, flags);

	return up_spec(&spec, host, hook);
}

static int lan(__u8 proto, __u16 dport, __u16 flags, int host, int hook)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };
	struct packet_spec spec = { .src = gfix_host_addr(host),
				    .dst = host == GFIX_MASKED ? inside : initiator,
				    .sport = DPORT,
				    .dport = dport,
				    .proto = proto,
				    .flags = flags,
				    .data_len = 20 };
	struct gfix_result result;
	struct packet in;

	packet_build(&spec, &in);
	gfix_frame(&in, fx.lan_mac, mac);
	gfix_run(&fx, lans[hook], &in, &result);
	return result.reason;
}

/* ---- what cannot be sealed */

/* A GSO packet cannot be sealed. */
static void unfinished(void **state)
{
	(void)state;
	assert_int_equal(up(6, SPORT, 0, GFIX_PLAIN, 0), GATEWAY_DELIVERED);
	fx.gso_segments = 2;
	fx.gso_size = 10;
	assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, 1), GATEWAY_UNFINISHED);
	fx.gso_segments = fx.gso_size = 0;
	assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, 1), GATEWAY_ANSWERED);
}

/*
 * At tc a checksum that is to be finished is the pseudo-header's sum. A finished one may be the
 * same; XDP knows no others.
 */
static void unfinished_checksum(void **state)
{
	static const __u8 protos[] = { 6, 17 };
	struct packet_view view;
	struct packet in;
	__u8 ends[12] = { 0 };
	__u16 pseudo;

	(void)state;
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct packet_spec spec = { .src = gfix_host_addr(GFIX_PLAIN),
					    .dst = initiator,
					    .sport = DPORT,
					    .dport = SPORT,
					    .proto = protos[i],
					    .data_len = 700 };

		assert_int_equal(up(protos[i], SPORT, 0, GFIX_PLAIN, 0), GATEWAY_DELIVERED);
		packet_build(&spec, &in);
		gfix_frame(&in, fx.lan_mac, fx.up_mac);
		assert_true(packet_parse(&in, &view));
		memcpy(ends, in.b + 26, 8);
		ends[9] = protos[i];
		packet_put16(ends + 10, view.end - view.l4);
		pseudo = packet_sum(ends, 12, 0);
		packet_set_l4_check(&in, &view, pseudo);
		assert_true(gfix_becomes(&fx, GFIX_LAN_TC, &in, GATEWAY_UNFINISHED, NULL));
		assert_true(gfix_becomes(&fx, GFIX_LAN_XDP, &in, GATEWAY_ANSWERED, NULL));
		packet_aim_l4_check(&in, pseudo);
		assert_true(packet_checks_good(&in));
		assert_int_equal(packet_get_l4_check(&in, &view), pseudo);
		assert_true(gfix_becomes(&fx, GFIX_LAN_TC, &in, GATEWAY_ANSWERED, NULL));
	}
}

/* ---- fragments */

static void pieces_of(const struct packet_spec *spec, struct packet pieces[3])
{
	struct packet whole;

	packet_build(spec, &whole);
	for (int i = 0; i < 3; i++)
		packet_fragment(&whole, i * 400, i * 400 + 400, 0x4711, &pieces[i]);
}

static void fragments_of(int host, int hook)
{
	bool masked = host == GFIX_MASKED;
	struct packet_spec spec = from_initiator(17, SPORT, 0);
	struct packet in[3], want[3], sealed;
	struct gateway_mask_key key = { .initiator = initiator,
					.waypoint = waypoint,
					.initiator_port = htons(SPORT),
					.waypoint_port = htons(DPORT),
					.proto = 17 };
	__be16 port = htons(SPORT);
	struct gfix_result result;
	__u8 mac[6];

	spec.data_len = 1192;
	pieces_of(&spec, in);
	gfix_host_mac(host, mac);
	for (int i = 0; i < 3; i++) {
		gfix_seal(&fx, GFIX_W1, host, &in[i], &sealed);
		gfix_run(&fx, ups[hook], &sealed, &result);
		assert_string_equal(gfix_reason_name(result.reason), "DELIVERED");
		if (!i) {
			if (masked)
				assert_true(gfix_get(&fx, "gateway_mask", &key, &port));
			spec.src = masked ? inside : initiator;
			spec.dst = gfix_host_addr(host);
			spec.sport = ntohs(port);
			spec.ttl = 63;
			pieces_of(&spec, want);
		}
		gfix_frame(&want[i], mac, fx.lan_mac);
		assert_true(gfix_same(&result.out, &want[i]));
	}
	spec.dst = spec.src;
	spec.src = gfix_host_addr(host);
	spec.sport = DPORT;
	spec.dport = ntohs(port);
	spec.ttl = 64;
	pieces_of(&spec, in);
	spec.src = waypoint;
	spec.dst = initiator;
	spec.dport = SPORT;
	spec.ttl = 63;
	pieces_of(&spec, want);
	/* Before the first one: whose it is tells the pair, where initiators are not masked. */
	gfix_frame(&in[2], fx.lan_mac, mac);
	assert_true(gfix_becomes(&fx, lans[hook], &in[2], masked ? GATEWAY_OTHER : GATEWAY_ANSWERED,
				 masked ? &in[2] : NULL));
	for (int i = 0; i < 3; i++) {
		gfix_frame(&in[i], fx.lan_mac, mac);
		gfix_run(&fx, lans[hook], &in[i], &result);
		assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
		gfix_answer(&fx, GFIX_W1, host, seal_sequence(&result.out), &want[i], &sealed);
		assert_true(gfix_same(&result.out, &sealed));
	}
}

static void fragments(void **state)
{
	for (int hook = 0; hook < 2; hook++) {
		fill(state);
		fragments_of(GFIX_PLAIN, hook);
		fill(state);
		fragments_of(GFIX_MASKED, hook);
	}
}

/* Without DF and too long: XDP leaves it to tc, which sends fragments, one for each copy. */
static void cut_for_the_tunnel(void **state)
{
	struct packet_spec spec = from_initiator(17, SPORT, 0);
	struct packet in, whole, piece, sealed;
	__u32 most = (GFIX_MTU - TUNNEL_HEADERS_V4 - 20) & ~7u, place = 0;
	size_t payload = 2908;

	(void)state;
	assert_int_equal(up_spec(&spec, GFIX_PLAIN, 0), GATEWAY_DELIVERED);
	spec.dst = spec.src;
	spec.src = gfix_host_addr(GFIX_PLAIN);
	spec.sport = DPORT;
	spec.dport = SPORT;
	spec.data_len = payload - 8;
	spec.id = 0x4711;
	packet_build(&spec, &in);
	gfix_frame(&in, fx.lan_mac, fx.up_mac);
	assert_true(gfix_becomes(&fx, GFIX_LAN_XDP, &in, GATEWAY_TO_TC, &in));
	spec.src = waypoint;
	spec.dst = initiator;
	spec.ttl = 63;
	packet_build(&spec, &whole);
	for (__u64 sequence = 1; place < payload; sequence++) {
		packet_fragment(&whole, place, place + most < payload ? place + most : payload,
				0x4711, &piece);
		gfix_answer(&fx, GFIX_W1, GFIX_PLAIN, sequence, &piece, &sealed);
		/* As bpf/gateway_cut.bpf.h marks the copies that it makes. */
		fx.mark = place ? 0x6a7e0000 | place / 8 : 0;
		assert_true(gfix_becomes(&fx, GFIX_LAN_TC, &in, GATEWAY_CUT, &sealed));
		place += most;
	}
	assert_int_equal(place / most, 3);
	fx.mark = 0;
	/* With options it is not cut. */
	spec.src = gfix_host_addr(GFIX_PLAIN);
	spec.ip_opt = "\x94\x04\0";
	spec.ip_opt_len = 4;
	packet_build(&spec, &in);
	gfix_frame(&in, fx.lan_mac, fx.up_mac);
	assert_true(gfix_becomes(&fx, GFIX_LAN_TC, &in, GATEWAY_TOO_LONG, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unfinished, fill),
		cmocka_unit_test_setup(unfinished_checksum, fill),
		cmocka_unit_test_setup(fragments, fill),
		cmocka_unit_test_setup(cut_for_the_tunnel, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
