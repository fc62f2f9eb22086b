// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway.c - an initiator's packet out of the tunnel, the responder's answer into it:
 * each is compared with one laid out from scratch, at both hooks.
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

static struct gfix fx;

static const struct isthmus_addr initiator = GFIX_INITIATOR, waypoint = GFIX_WAYPOINT,
				 inside = GFIX_INSIDE, initiator6 = GFIX_INITIATOR6,
				 waypoint6 = GFIX_WAYPOINT6, inside6 = GFIX_INSIDE6;

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

/* What there is of an exchange besides addresses. */
struct row {
	const char *name;
	int host, peer;
	__u8 proto;
	bool v6;
	enum packet_check check;
	__u16 flags;
	const char *opt, *opt_clamped;
	__u8 opt_len;
	__u16 data_len;
	__u16 aim; /* the checksum that the first packet is to have, where not 0 */
	bool aimed;
	__u8 ip_opt_len;
	__u8 tos;
};

#define SPORT 40000
#define DPORT 22

/* Options: MSS 1460, window scale; with the tunnel's it is 1400. An odd one: a NOP before it. */
#define MSS	    "\x02\x04\x05\xb4\x01\x03\x03\x07"
#define MSS_CLAMPED "\x02\x04\x05\x78\x01\x03\x03\x07"
#define ODD	    "\x01\x02\x04\x05\xb4\x01\x01\x01"
#define ODD_CLAMPED "\x01\x02\x04\x05\x78\x01\x01\x01"
#define LOW	    "\x02\x04\x05\x00"
#define CUT	    "\x01\x01\x02\x04"
#define ZERO	    "\x08\x00\x02\x04\x05\xb4\x00\x00"

static const struct row rows[] = {
	{ .name = "TCP",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_ACK,
	  .data_len = 100 },
	{ .name = "TCP, odd length", .host = GFIX_PLAIN, .peer = GFIX_W1, .data_len = 7 },
	{ .name = "TCP with IP options",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .ip_opt_len = 8,
	  .data_len = 9 },
	{ .name = "TCP, class of service", .host = GFIX_PLAIN, .peer = GFIX_W1, .tos = 0xb9 },
	{ .name = "SYN, MSS clamped",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_SYN,
	  .opt = MSS,
	  .opt_clamped = MSS_CLAMPED,
	  .opt_len = 8 },
	{ .name = "SYN, MSS at an odd place",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_SYN,
	  .opt = ODD,
	  .opt_clamped = ODD_CLAMPED,
	  .opt_len = 8 },
	{ .name = "SYN, MSS low enough",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_SYN,
	  .opt = LOW,
	  .opt_len = 4 },
	{ .name = "SYN, MSS cut off",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_SYN,
	  .opt = CUT,
	  .opt_len = 4 },
	{ .name = "SYN, an option of length 0",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_SYN,
	  .opt = ZERO,
	  .opt_len = 8 },
	{ .name = "MSS without SYN is data's",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .flags = PACKET_ACK,
	  .opt = MSS,
	  .opt_len = 8 },
	{ .name = "UDP", .host = GFIX_PLAIN, .peer = GFIX_W1, .proto = 17, .data_len = 33 },
	{ .name = "UDP without a checksum",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .proto = 17,
	  .check = PACKET_CHECK_NONE,
	  .data_len = 33 },
	{ .name = "UDP, empty", .host = GFIX_PLAIN, .peer = GFIX_W1, .proto = 17 },
	{ .name = "a wrong checksum stays wrong",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .check = PACKET_CHECK_BAD,
	  .data_len = 10 },
	{ .name = "masked TCP", .host = GFIX_MASKED, .peer = GFIX_W1, .data_len = 50 },
	{ .name = "masked UDP", .host = GFIX_MASKED, .peer = GFIX_W1, .proto = 17, .data_len = 51 },
	{ .name = "masked UDP without a checksum",
	  .host = GFIX_MASKED,
	  .peer = GFIX_W1,
	  .proto = 17,
	  .check = PACKET_CHECK_NONE,
	  .data_len = 51 },
	{ .name = "aware TCP", .host = GFIX_AWARE, .peer = GFIX_W1, .data_len = 50 },
	{ .name = "aware ESP", .host = GFIX_AWARE, .peer = GFIX_W1, .proto = 50, .data_len = 50 },
	{ .name = "ESP", .host = GFIX_PLAIN, .peer = GFIX_W1, .proto = 50, .data_len = 50 },
	{ .name = "GRE", .host = GFIX_PLAIN, .peer = GFIX_W1, .proto = 47, .data_len = 50 },
	{ .name = "SCTP", .host = GFIX_PLAIN, .peer = GFIX_W1, .proto = 132, .data_len = 50 },
	{ .name = "masked ESP", .host = GFIX_MASKED, .peer = GFIX_W1, .proto = 50, .data_len = 50 },
	{ .name = "nothing but an IP header",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_W1,
	  .proto = 50,
	  .data_len = 0 },
	{ .name = "IPv6 TCP", .host = GFIX_PLAIN6, .peer = GFIX_W1, .v6 = true, .data_len = 50 },
	{ .name = "IPv6 UDP",
	  .host = GFIX_PLAIN6,
	  .peer = GFIX_W1,
	  .v6 = true,
	  .proto = 17,
	  .data_len = 50 },
	{ .name = "IPv6 masked TCP",
	  .host = GFIX_MASKED6,
	  .peer = GFIX_W1,
	  .v6 = true,
	  .data_len = 50 },
	{ .name = "IPv6 ESP",
	  .host = GFIX_PLAIN6,
	  .peer = GFIX_W1,
	  .v6 = true,
	  .proto = 50,
	  .data_len = 50 },
	{ .name = "straight TCP", .host = GFIX_PLAIN, .peer = GFIX_STRAIGHT, .data_len = 50 },
	{ .name = "straight masked UDP",
	  .host = GFIX_MASKED,
	  .peer = GFIX_STRAIGHT,
	  .proto = 17,
	  .data_len = 50 },
	{ .name = "outer IPv6", .host = GFIX_PLAIN, .peer = GFIX_W6, .data_len = 50 },
	{ .name = "IPv6 in IPv6",
	  .host = GFIX_PLAIN6,
	  .peer = GFIX_W6,
	  .v6 = true,
	  .data_len = 50 },
	{ .name = "tags of headers only",
	  .host = GFIX_PLAIN,
	  .peer = GFIX_HEADERS,
	  .data_len = 500 },
};

static bool masked(const struct row *row)
{
	return row->host == GFIX_MASKED || row->host == GFIX_MASKED6;
}

static bool ported(const struct row *row)
{
	return !row->proto || row->proto == IPPROTO_TCP || row->proto == IPPROTO_UDP;
}

/* Port that the masked flow was given; it must be of the range. */
static __u16 mask_port(const struct row *row)
{
	struct gateway_mask_key key = { .initiator = row->v6 ? initiator6 : initiator,
					.waypoint = row->v6 ? waypoint6 : waypoint,
					.initiator_port = htons(SPORT),
					.waypoint_port = htons(DPORT),
					.proto = row->proto ? row->proto : IPPROTO_TCP };
	__be16 port;

	assert_true(gfix_get(&fx, "gateway_mask", &key, &port));
	assert_in_range(ntohs(port), GATEWAY_LOW_PORT, GATEWAY_HIGH_PORT);
	return ntohs(port);
}

static struct packet_spec spec_of(const struct row *row)
{
	struct packet_spec spec = { .src = row->v6 ? initiator6 : initiator,
				    .dst = row->v6 ? waypoint6 : waypoint,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = row->proto,
				    .flags = row->flags,
				    .check = row->check,
				    .opt = row->opt,
				    .opt_len = row->opt_len,
				    .ip_opt_len = row->ip_opt_len,
				    .ip_opt = "\x94\x04\0\0\x01\x01\x01\0",
				    .tos = row->tos,
				    .seq = 0xfffffff0,
				    .ttl = 17,
				    .data_len = row->data_len };

	return spec;
}

/* The initiator's packet as the responder is sent it. */
static void check_up(const struct row *row, enum gfix_program program)
{
	struct packet_spec spec = spec_of(row);
	struct packet in, sealed, want;
	struct gfix_result result;
	__u8 mac[6];

	packet_build(&spec, &in);
	gfix_seal(&fx, row->peer, row->host, &in, &sealed);
	gfix_run(&fx, program, &sealed, &result);
	assert_string_equal(gfix_reason_name(result.reason), "DELIVERED");
	assert_int_equal(result.verdict, gfix_verdict(program, GATEWAY_DELIVERED));
	if (row->host != GFIX_AWARE)
		spec.dst = gfix_host_addr(row->host);
	if (masked(row)) {
		spec.src = row->v6 ? inside6 : inside;
		if (ported(row))
			spec.sport = mask_port(row);
	}
	spec.ttl--;
	if (row->opt_clamped)
		spec.opt = row->opt_clamped;
	packet_build(&spec, &want);
	gfix_host_mac(row->host, mac);
	gfix_frame(&want, mac, fx.lan_mac);
	assert_true(gfix_same(&result.out, &want));
}

/* The responder's answer as it goes to the waypoint, or straight. */
static void check_lan(const struct row *row, enum gfix_program program, __u64 sequence)
{
	struct packet_spec spec = spec_of(row);
	struct packet in, want, sealed;
	struct tunnel_peer peer;
	__u32 index = row->peer;
	__u8 mac[6];

	spec.src = row->host == GFIX_AWARE ? waypoint : gfix_host_addr(row->host);
	spec.dst = masked(row) ? row->v6 ? inside6 : inside : row->v6 ? initiator6 : initiator;
	spec.sport = DPORT;
	spec.dport = masked(row) && ported(row) ? mask_port(row) : SPORT;
	if (row->flags & PACKET_SYN)
		spec.flags |= PACKET_ACK;
	packet_build(&spec, &in);
	gfix_host_mac(row->host, mac);
	gfix_frame(&in, fx.lan_mac, mac);
	spec.src = row->v6 ? waypoint6 : waypoint;
	spec.dst = row->v6 ? initiator6 : initiator;
	spec.dport = SPORT;
	spec.ttl--;
	if (row->opt_clamped)
		spec.opt = row->opt_clamped;
	packet_build(&spec, &want);
	assert_true(gfix_get(&fx, "gateway_peer", &index, &peer));
	if (row->peer == GFIX_STRAIGHT) {
		gfix_frame(&want, peer.dst_mac, peer.src_mac);
		assert_true(gfix_becomes(&fx, program, &in, GATEWAY_STRAIGHT, &want));
		return;
	}
	gfix_answer(&fx, row->peer, row->host, sequence, &want, &sealed);
	assert_true(gfix_becomes(&fx, program, &in, GATEWAY_ANSWERED, &sealed));
}

static void exchanges(void **state, enum gfix_program up, enum gfix_program lan)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i].name);
		fill(state);
		check_up(&rows[i], up);
		check_lan(&rows[i], lan, 1);
		check_up(&rows[i], up);
		check_lan(&rows[i], lan, 2);
	}
}

static void exchanges_xdp(void **state)
{
	exchanges(state, GFIX_UP_XDP, GFIX_LAN_XDP);
}

static void exchanges_tc(void **state)
{
	exchanges(state, GFIX_UP_TC, GFIX_LAN_TC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(exchanges_xdp, fill),
		cmocka_unit_test_setup(exchanges_tc, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
