// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_port.c - port ignore: which ports reach the socket, which leave, and which the
 * session is known by afterwards (table I).
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

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

/* The socket's ports, and others. */
enum { PEER = 40000, OWN = 80, PEER_2 = 41000, OWN_2 = 443 };

#define each_state(state)                                                                          \
	for (int state = ONETIME_STATE_CLAIMED; state <= ONETIME_STATE_CLOSING; state++)

static struct ofix fx;

static const struct isthmus_addr *const ssa = ofix_ssa[OFIX_SILENT], *const alice = ofix_alice;

static int set_up(void **state)
{
	(void)state;
	return ofix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	ofix_clear(&fx);
	return 0;
}

/* ---- packets and sessions */

static struct packet_spec spec_in(int v4, __u8 proto, __u16 sport, __u16 dport)
{
	return (struct packet_spec){ .src = alice[v4],
				     .dst = ssa[v4],
				     .proto = proto,
				     .sport = sport,
				     .dport = dport,
				     .flags = PACKET_ACK | PACKET_PSH,
				     .data_len = 101 };
}

static struct packet_spec spec_out(int v4, __u8 proto, __u16 sport, __u16 dport)
{
	struct packet_spec spec = spec_in(v4, proto, sport, dport);

	spec.src = ssa[v4];
	spec.dst = alice[v4];
	return spec;
}

static void session(int v4, __u8 use, __u32 state, __u8 mode, __u8 proto)
{
	struct onetime_addr record = ofix_session(use, state, mode, proto, &alice[v4], PEER, OWN);

	ofix_addr_put(&fx, &ssa[v4], &record);
}

/* All that a packet may change of a session is its wire ports. */
static void check_session(const struct onetime_addr *was, int v4, __u16 wire, __u16 wire_peer)
{
	struct onetime_addr want = *was, now = ofix_addr(&fx, &ssa[v4]);

	want.wire_port = htons(wire);
	want.wire_peer_port = htons(wire_peer);
	now.until_ns = want.until_ns; /* UDP is kept */
	assert_memory_equal(&now, &want, sizeof(now));
}

/* ---- in */

struct in_row {
	const char *name;
	__u16 sport, dport; /* as it comes */
	__u8 ssa, ea;	    /* bits of the modes in which it is of the session */
	int refused;	    /* the reason in L2, of a SSA; an EA's: WRONG_PORT */
	bool rewritten;	    /* ports of the socket's instead */
	int refused_aware;
};

enum {
	L0 = 1 << ONETIME_L0,
	L1 = 1 << ONETIME_L1,
	L2 = 1 << ONETIME_L2,
	AWARE = 1 << ONETIME_AWARE
};

static const struct in_row in_rows[] = {
	{ "its own ports", PEER, OWN, L0 | L1 | L2 | AWARE, L0 | L1 | L2 | AWARE, 0, false, 0 },
	{ "another port of ours", PEER, OWN_2, L0 | L1 | L2, L0 | L1, 0, true, ONETIME_WRONG_PORT },
	{ "another port of the peer", PEER_2, OWN, L0 | L1, L0 | L1 | L2, ONETIME_TAKEN, true,
	  ONETIME_TAKEN },
	{ "two other ports", PEER_2, OWN_2, L0 | L1, L0 | L1, ONETIME_TAKEN, true, ONETIME_TAKEN },
	{ "both exchanged", OWN, PEER, L0 | L1, L0 | L1, ONETIME_TAKEN, true, ONETIME_TAKEN },
	{ "no ports", 0, 0, L0 | L1, L0 | L1, ONETIME_TAKEN, true, ONETIME_TAKEN },
	{ "the highest ports", 65535, 65535, L0 | L1, L0 | L1, ONETIME_TAKEN, true, ONETIME_TAKEN },
};

static void run_in(const struct in_row *row, struct packet_spec spec, int mode, int v4)
{
	struct onetime_addr was = ofix_addr(&fx, &ssa[v4]);
	bool ea = was.use == ONETIME_EA, fits = (ea ? row->ea : row->ssa) & 1 << mode;
	int refused = mode == ONETIME_AWARE ? row->refused_aware
		      : ea		    ? ONETIME_WRONG_PORT
					    : row->refused;
	struct packet in, want;

	spec.sport = row->sport;
	spec.dport = row->dport;
	ofix_frame(&fx, OFIX_IN, &spec, &in);
	if (fits) {
		spec.sport = PEER;
		spec.dport = OWN;
	}
	ofix_frame(&fx, OFIX_IN, &spec, &want);
	if (!ofix_becomes(&fx, OFIX_IN, &in, fits ? ONETIME_SESSION : refused,
			  fits && row->rewritten ? ONETIME_REWRITTEN : OFIX_ALONE, &want))
		fail_msg("%s, mode %d, proto %d, IPv%d", row->name, mode, spec.proto, v4 ? 4 : 6);
	check_session(&was, v4, fits ? row->dport : OWN, fits ? row->sport : PEER);
}

static void test_in(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(in_rows) / sizeof(*in_rows); i++)
		ofix_each_family(v4) ofix_each_proto(udp) ofix_each_mode(mode) each_state(state)
		{
			session(v4, ONETIME_SSA, state, mode, ofix_protos[udp]);
			run_in(&in_rows[i], spec_in(v4, ofix_protos[udp], 0, 0), mode, v4);
			session(v4, ONETIME_EA, state, mode, ofix_protos[udp]);
			run_in(&in_rows[i], spec_in(v4, ofix_protos[udp], 0, 0), mode, v4);
		}
}

/* The same of packets that are unusual. */
static void test_in_shapes(void **unused)
{
	static const struct packet_spec shapes[] = {
		{ .flags = PACKET_ACK, .tag = { { 0x8100, 5 } } },
		{ .flags = PACKET_ACK, .tag = { { 0x88a8, 5 }, { 0x8100, 6 } } },
		{ .flags = PACKET_ACK, .data_len = 1 },
		{ .flags = PACKET_FIN | PACKET_ACK },
		{ .flags = PACKET_RST },
		{ .flags = PACKET_ACK | PACKET_URG | PACKET_ECE | PACKET_CWR, .tos = 3 },
		{ .flags = 0, .data_len = 1200 },
		{ .flags = PACKET_ACK, .trailer = 9 },
		{ .flags = PACKET_ACK, .check = PACKET_CHECK_NONE },
		{ .flags = PACKET_ACK, .ttl = 1, .opt_len = 12, .opt = "\1\1\10\12abcdefgh" },
		{ .flags = PACKET_ACK, .exts = 1, .ext = { IPPROTO_HOPOPTS } },
		{ .flags = PACKET_ACK, .exts = 2, .ext = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS } },
		{ .flags = PACKET_ACK, .exts = 1, .ext = { IPPROTO_FRAGMENT } },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		ofix_each_family(v4) ofix_each_proto(udp) ofix_each_mode(mode)
		{
			struct packet_spec spec = shapes[i];

			if (!udp && spec.check == PACKET_CHECK_NONE)
				continue;
			spec.src = alice[v4];
			spec.dst = ssa[v4];
			spec.proto = ofix_protos[udp];
			spec.exts = v4 ? 0 : spec.exts;
			for (int row = 0; row < 4; row++) {
				session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, mode,
					ofix_protos[udp]);
				run_in(&in_rows[row], spec, mode, v4);
			}
		}
}

/* A SYN is a packet like others while the session lives. */
static void test_in_syn(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_mode(mode)
	{
		struct packet_spec spec = spec_in(v4, IPPROTO_TCP, 0, 0);

		for (__u16 flags = 0; flags < 64; flags++) {
			spec.flags = flags;
			session(v4, ONETIME_SSA, ONETIME_STATE_CLAIMED, mode, IPPROTO_TCP);
			run_in(&in_rows[flags % 4], spec, mode, v4);
			session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, mode, IPPROTO_TCP);
			run_in(&in_rows[flags % 4], spec, mode, v4);
		}
	}
}

/* Sums of all values, 0 and 0xffff among them. */
static void test_in_checksums(void **unused)
{
	static const __u16 checks[] = { 0x0000, 0x0001, 0x7fff, 0x8000, 0xfffe, 0xffff };

	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) for (int i = 0; i < 300; i++)
	{
		__u16 sport = i * 219 + 1, dport = i * 7919 + 3;
		struct packet_spec spec = spec_in(v4, ofix_protos[udp], sport, dport);
		struct packet in, want;
		__u16 check = checks[i % 6];

		if (udp && !check)
			continue; /* it would say that there is none: test_udp_sums */
		spec.data_len = 100;
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L1, ofix_protos[udp]);
		ofix_frame(&fx, OFIX_IN, &spec, &in);
		packet_aim_l4_check(&in, check);
		want = in;
		packet_put16(want.b + (v4 ? 34 : 54), PEER);
		packet_put16(want.b + (v4 ? 36 : 56), OWN);
		{
			struct packet_view view;

			assert_true(packet_parse(&want, &view));
			packet_set_l4_check(&want, &view, packet_l4_check(&want, &view));
		}
		assert_true(
			ofix_becomes(&fx, OFIX_IN, &in, ONETIME_SESSION, ONETIME_REWRITTEN, &want));
	}
}

/* The data is aimed at a sum that becomes 0 for the socket's ports: sent as 0xffff (RFC 768). */
static void test_udp_sums(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct packet_spec spec = spec_in(v4, IPPROTO_UDP, PEER, OWN);
		struct packet in, want;
		struct packet_view view;

		spec.data_len = 100;
		ofix_frame(&fx, OFIX_IN, &spec, &want);
		packet_aim_l4_check(&want, 0xffff);
		in = want;
		assert_true(packet_parse(&in, &view));
		packet_put16(in.b + view.l4, PEER_2);
		packet_put16(in.b + view.l4 + 2, OWN_2);
		packet_set_l4_check(&in, &view, packet_l4_check(&in, &view));
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_UDP);
		assert_true(
			ofix_becomes(&fx, OFIX_IN, &in, ONETIME_SESSION, ONETIME_REWRITTEN, &want));
	}
}

/* A sum that was wrong is wrong afterwards: the socket refuses it, not we. */
static void test_in_bad_checksum(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec spec = spec_in(v4, ofix_protos[udp], PEER_2, OWN_2);
		struct ofix_result result;
		struct packet in;

		spec.check = PACKET_CHECK_BAD;
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0, ofix_protos[udp]);
		ofix_frame(&fx, OFIX_IN, &spec, &in);
		ofix_run(&fx, OFIX_IN, &in, &result);
		assert_int_equal(result.reason, ONETIME_SESSION);
		assert_false(packet_checks_good(&result.out));
	}
}

/* ---- fragments */

static void run_pieces(enum ofix_hook hook, const struct packet *whole, const struct packet *want,
		       int reason)
{
	enum { CUT = 64, END = 4096 };
	struct packet_view view;
	struct packet in[2], out[2];

	assert_true(packet_parse(whole, &view));
	for (int i = 0; i < 2; i++) {
		size_t from = i ? CUT : 0, to = i ? view.end - view.l4 : CUT;

		packet_fragment(whole, from, to, 77, &in[i]);
		packet_fragment(want, from, to, 77, &out[i]);
		if (!ofix_becomes(&fx, hook, &in[i], reason, i ? OFIX_ALONE : ONETIME_REWRITTEN,
				  &out[i]))
			fail_msg("fragment %d", i);
	}
}

static void test_fragments(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec in = spec_in(v4, ofix_protos[udp], PEER, OWN_2),
				   in_want = spec_in(v4, ofix_protos[udp], PEER, OWN),
				   out = spec_out(v4, ofix_protos[udp], OWN, PEER),
				   out_want = spec_out(v4, ofix_protos[udp], OWN_2, PEER);
		struct packet whole, want;

		in.data_len = in_want.data_len = out.data_len = out_want.data_len = 301;
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L2, ofix_protos[udp]);
		ofix_frame(&fx, OFIX_IN, &in, &whole);
		ofix_frame(&fx, OFIX_IN, &in_want, &want);
		run_pieces(OFIX_IN, &whole, &want, ONETIME_SESSION);
		ofix_frame(&fx, OFIX_OUT, &out, &whole);
		ofix_frame(&fx, OFIX_OUT, &out_want, &want);
		run_pieces(OFIX_OUT, &whole, &want, ONETIME_SENT);
	}
}

/* ---- out */

/* The last packet came from `wire_peer` for `wire`. */
static void wire(int v4, __u16 wire_port, __u16 wire_peer)
{
	struct onetime_addr record = ofix_addr(&fx, &ssa[v4]);

	record.wire_port = htons(wire_port);
	record.wire_peer_port = htons(wire_peer);
	ofix_addr_put(&fx, &ssa[v4], &record);
}

static void run_out(struct packet_spec spec, __u16 sport, __u16 dport, int reason, int beside)
{
	struct packet in, want;

	ofix_frame(&fx, OFIX_OUT, &spec, &in);
	spec.sport = sport;
	spec.dport = dport;
	ofix_frame(&fx, OFIX_OUT, &spec, &want);
	if (!ofix_becomes(&fx, OFIX_OUT, &in, reason, beside, &want))
		fail_msg("proto %d, flags %x", spec.proto, spec.flags);
}

static void test_out(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) ofix_each_mode(mode) each_state(state)
	{
		struct packet_spec spec = spec_out(v4, ofix_protos[udp], OWN, PEER);
		bool aware = mode == ONETIME_AWARE;

		for (int use = ONETIME_SSA; use <= ONETIME_EA; use++) {
			session(v4, use, state, mode, ofix_protos[udp]);
			run_out(spec, OWN, PEER, ONETIME_SENT, OFIX_ALONE);
			wire(v4, OWN_2, PEER);
			run_out(spec, aware ? OWN : OWN_2, PEER, ONETIME_SENT,
				aware ? OFIX_ALONE : ONETIME_REWRITTEN);
			wire(v4, OWN_2, PEER_2);
			run_out(spec, aware ? OWN : OWN_2, aware ? PEER : PEER_2, ONETIME_SENT,
				aware ? OFIX_ALONE : ONETIME_REWRITTEN);
		}
	}
}

/* What comes decides what leaves, from one packet to the next. */
static void test_out_follows(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L1, ofix_protos[udp]);
		for (int i = 1; i < 50; i++) {
			__u16 sport = i * 1301, dport = i * 977;
			struct packet_spec in = spec_in(v4, ofix_protos[udp], sport, dport);
			struct packet frame;
			struct ofix_result result;

			ofix_frame(&fx, OFIX_IN, &in, &frame);
			ofix_run(&fx, OFIX_IN, &frame, &result);
			assert_int_equal(result.reason, ONETIME_SESSION);
			run_out(spec_out(v4, ofix_protos[udp], OWN, PEER), dport, sport,
				ONETIME_SENT, ONETIME_REWRITTEN);
		}
	}
}

static void test_out_gso(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec spec = spec_out(v4, ofix_protos[udp], OWN, PEER);

		spec.data_len = 2500;
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0, ofix_protos[udp]);
		wire(v4, OWN_2, PEER_2);
		fx.gso_size = 1000;
		fx.gso_segments = 3;
		run_out(spec, OWN_2, PEER_2, ONETIME_SENT, ONETIME_REWRITTEN);
		fx.gso_size = fx.gso_segments = 0;
	}
}

/* An unconnected UDP listener answers from its own port. */
/* What the session's socket has not sent is no answer of it: another one is bound to the address.
 */
static void test_out_udp_other(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_mode(mode)
	{
		struct packet_spec spec = spec_out(v4, IPPROTO_UDP, OFIX_UDP_PORT, PEER);

		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, mode, IPPROTO_UDP);
		if (!ofix_spec_becomes(&fx, OFIX_OUT, spec, ONETIME_NOT_GIVEN, OFIX_ALONE))
			fail_msg("mode %d", mode);
	}
}

/* The kernel's reset of what was no session's does not become one of the session; other packets
 * that are not its socket's do not leave. */
static void test_out_strange(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct packet_spec spec = spec_out(v4, IPPROTO_TCP, OWN_2, PEER);

		spec.flags = PACKET_RST | PACKET_ACK;
		session(v4, ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L2, IPPROTO_TCP);
		wire(v4, 22, PEER);
		run_out(spec, OWN_2, PEER, ONETIME_OTHER, OFIX_ALONE);
		spec = spec_out(v4, IPPROTO_TCP, OWN, PEER_2);
		run_out(spec, OWN, PEER_2, ONETIME_NOT_GIVEN, OFIX_ALONE);
		spec = spec_out(v4, IPPROTO_UDP, OWN, PEER);
		run_out(spec, OWN, PEER, ONETIME_NOT_GIVEN, OFIX_ALONE);
		spec = spec_out(v4, IPPROTO_TCP, OWN, PEER);
		spec.dst.b[15]++;
		run_out(spec, OWN, PEER, ONETIME_NOT_GIVEN, OFIX_ALONE);
	}
}

/* ---- an EA's port is the kernel's choice, and known with its first packet */

static void test_ea_port(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		struct onetime_addr record = ofix_session(ONETIME_EA, ONETIME_STATE_LIVE, mode,
							  ofix_protos[udp], &alice[v4], OWN, 0);
		struct packet_spec in = spec_in(v4, ofix_protos[udp], OWN, 50000), strange,
				   out = spec_out(v4, ofix_protos[udp], 50000, OWN);

		ofix_addr_put(&fx, &ssa[v4], &record);
		assert_true(ofix_spec_becomes(&fx, OFIX_IN, in, ONETIME_SESSION, OFIX_ALONE));
		check_session(&record, v4, 0, OWN);
		strange = spec_out(v4, ofix_protos[!udp], 50001, OWN);
		assert_true(
			ofix_spec_becomes(&fx, OFIX_OUT, strange, ONETIME_NOT_GIVEN, OFIX_ALONE));
		check_session(&record, v4, 0, OWN);
		assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, ONETIME_SENT, OFIX_ALONE));
		record.port = htons(50000);
		check_session(&record, v4, 50000, OWN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_in, clear),
		cmocka_unit_test_setup(test_in_shapes, clear),
		cmocka_unit_test_setup(test_in_syn, clear),
		cmocka_unit_test_setup(test_in_checksums, clear),
		cmocka_unit_test_setup(test_udp_sums, clear),
		cmocka_unit_test_setup(test_in_bad_checksum, clear),
		cmocka_unit_test_setup(test_fragments, clear),
		cmocka_unit_test_setup(test_out, clear),
		cmocka_unit_test_setup(test_out_follows, clear),
		cmocka_unit_test_setup(test_out_gso, clear),
		cmocka_unit_test_setup(test_out_udp_other, clear),
		cmocka_unit_test_setup(test_out_strange, clear),
		cmocka_unit_test_setup(test_ea_port, clear),
	};

	return cmocka_run_group_tests_name("onetime_port", tests, set_up, tear_down);
}
