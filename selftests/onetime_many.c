// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_many.c - addresses of many sessions (table I, U(*)): clients are told apart by
 * address and port, the server's port is ignored unless it is port aware.
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

enum { OWN_2 = 443, OWN_3 = 8443, CLIENTS = 50 };

static struct ofix fx;

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

/* ---- an address, its clients */

static void put_many(int reset, int v4, __u8 mode, int udp)
{
	struct onetime_addr record =
		ofix_record(ONETIME_MANY, ONETIME_STATE_LIVE, mode, ofix_protos[udp]);

	record.port = 0;
	record.until_ns = 0;
	ofix_addr_put(&fx, &ofix_ssa[reset][v4], &record);
}

static struct packet_spec in_of(int v4, int udp, int client, __u16 dport, __u16 flags)
{
	struct packet_spec spec =
		ofix_spec(&ofix_alice[v4], &ofix_ssa[OFIX_SILENT][v4], ofix_protos[udp], flags);

	spec.src.b[15] += client / 2;
	spec.sport += client % 2;
	spec.dport = dport;
	return spec;
}

static struct packet_spec out_of(int v4, int udp, int client, __u16 sport)
{
	struct packet_spec in = in_of(v4, udp, client, sport, PACKET_ACK), out = in;

	out.src = in.dst;
	out.dst = in.src;
	out.sport = in.dport;
	out.dport = in.sport;
	return out;
}

/* It comes through at `hook` with these ports of the server's. */
static void becomes(enum ofix_hook hook, struct packet_spec spec, __u16 port)
{
	__u16 *own = hook == OFIX_IN ? &spec.dport : &spec.sport;
	struct packet in, want;
	bool same = *own == port;

	ofix_frame(&fx, hook, &spec, &in);
	*own = port;
	ofix_frame(&fx, hook, &spec, &want);
	assert_true(ofix_becomes(&fx, hook, &in, hook == OFIX_IN ? ONETIME_SHARED : ONETIME_SENT,
				 same ? OFIX_ALONE : ONETIME_REWRITTEN, &want));
}

static int modes[] = { ONETIME_L0, ONETIME_L1, ONETIME_L2 };

#define each_ignored(mode) for (int *mode = modes; mode < modes + 3; mode++)

/* ---- rows */

/* The socket sees the first port, the client the one that it used last. */
static void test_ports(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) each_ignored(mode)
	{
		ofix_clear(&fx);
		put_many(OFIX_SILENT, v4, *mode, udp);
		becomes(OFIX_IN, in_of(v4, udp, 0, OFIX_OWN, PACKET_SYN), OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, udp, 0, OFIX_OWN), OFIX_OWN);
		becomes(OFIX_IN, in_of(v4, udp, 0, OWN_2, PACKET_ACK), OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, udp, 0, OFIX_OWN), OWN_2);
		becomes(OFIX_IN, in_of(v4, udp, 0, OWN_3, PACKET_SYN), OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, udp, 0, OFIX_OWN), OWN_3);
		becomes(OFIX_IN, in_of(v4, udp, 0, OFIX_OWN, PACKET_FIN | PACKET_ACK), OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, udp, 0, OFIX_OWN), OFIX_OWN);
		assert_int_equal(fx.events, 0);
		assert_int_equal(ofix_entries(&fx, "onetime_flow"), 1);
	}
}

/* Each client has its own first port and its own last one. */
static void test_clients(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		ofix_clear(&fx);
		put_many(OFIX_SILENT, v4, ONETIME_L2, udp);
		for (int i = 0; i < CLIENTS; i++)
			becomes(OFIX_IN, in_of(v4, udp, i, 1000 + i, PACKET_SYN), 1000 + i);
		for (int i = 0; i < CLIENTS; i++)
			becomes(OFIX_IN, in_of(v4, udp, i, 2000 + i, PACKET_ACK), 1000 + i);
		for (int i = 0; i < CLIENTS; i++)
			becomes(OFIX_OUT, out_of(v4, udp, i, 1000 + i), 2000 + i);
		assert_int_equal(ofix_entries(&fx, "onetime_flow"), CLIENTS);
	}
}

/* An unconnected listener answers from its own port, and from the address that was asked. */
static void test_udp_listener(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct packet_spec in = in_of(v4, 1, 0, OFIX_OWN, 0);
		struct onetime_udp_key key = { .peer = in.src, .peer_port = htons(in.sport) };
		struct onetime_listener listener;
		struct onetime_udp udp;
		__u32 index = OFIX_UDP;

		put_many(OFIX_SILENT, v4, ONETIME_L2, 1);
		becomes(OFIX_IN, in, OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, 1, 0, OFIX_UDP_PORT), OFIX_OWN);
		assert_true(ofix_get(&fx, "onetime_listener", &index, &listener));
		key.cookie = listener.cookie;
		assert_true(ofix_get(&fx, "onetime_udp", &key, &udp));
		assert_memory_equal(&udp.addr, &in.dst, 16);
	}
}

/* Only first packets begin a session: a flood of others leaves no trace. */
static void test_no_syn(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		put_many(OFIX_SILENT, v4, ONETIME_L2, 0);
		for (int i = 0; i < CLIENTS; i++)
			becomes(OFIX_IN, in_of(v4, 0, i, OWN_2, PACKET_ACK), OWN_2);
		assert_int_equal(ofix_entries(&fx, "onetime_flow"), 0);
		/* The kernel's reset of it. */
		becomes(OFIX_OUT, out_of(v4, 0, 0, OWN_2), OWN_2);
	}
}

/* A reset for a port that is not the connection's does not become the connection's. */
static void test_strange_reset(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		put_many(OFIX_SILENT, v4, ONETIME_L2, 0);
		becomes(OFIX_IN, in_of(v4, 0, 0, OFIX_OWN, PACKET_SYN), OFIX_OWN);
		becomes(OFIX_IN, in_of(v4, 0, 0, OWN_2, PACKET_ACK), OFIX_OWN);
		becomes(OFIX_OUT, out_of(v4, 0, 0, OWN_3), OWN_3);
	}
}

static void test_aware(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		__u16 port = udp ? OFIX_UDP_PORT : OFIX_TCP_PORT;
		struct onetime_addr record;

		ofix_clear(&fx);
		put_many(OFIX_SILENT, v4, ONETIME_AWARE, udp);
		becomes(OFIX_IN, in_of(v4, udp, 0, port, PACKET_SYN), port);
		becomes(OFIX_OUT, out_of(v4, udp, 0, port), port);
		ofix_refuses(&fx, OFIX_SILENT, in_of(v4, udp, 0, OWN_2, PACKET_SYN),
			     ONETIME_WRONG_PORT);
		ofix_refuses(&fx, OFIX_SILENT, in_of(v4, udp, 0, OWN_2, PACKET_ACK),
			     ONETIME_WRONG_PORT);
		assert_int_equal(ofix_entries(&fx, "onetime_flow"), 0);
		/* The address' own port, if it has one. */
		record = ofix_addr(&fx, &ofix_ssa[OFIX_SILENT][v4]);
		record.port = htons(OWN_2);
		ofix_addr_put(&fx, &ofix_ssa[OFIX_SILENT][v4], &record);
		becomes(OFIX_IN, in_of(v4, udp, 0, OWN_2, PACKET_SYN), OWN_2);
		ofix_refuses(&fx, OFIX_SILENT, in_of(v4, udp, 0, port, PACKET_SYN),
			     ONETIME_WRONG_PORT);
	}
}

static void test_refused(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		struct onetime_addr record;
		struct packet_spec spec = in_of(v4, !udp, 0, OFIX_OWN, PACKET_SYN);

		spec.dst = ofix_ssa[reset][v4];
		put_many(reset, v4, mode, udp);
		ofix_refuses(&fx, reset, spec, ONETIME_WRONG_PORT);
		spec = in_of(v4, udp, 0, udp ? OFIX_UDP_PORT : OFIX_TCP_PORT, PACKET_SYN);
		spec.dst = ofix_ssa[reset][v4];
		spec.src = ofix_ssa[!reset][v4];
		ofix_refuses(&fx, reset, spec, ONETIME_SPOOFED);
		spec.src = ofix_alice[v4];
		record = ofix_addr(&fx, &spec.dst);
		record.listener = OFIX_NOBODY;
		record.port = htons(spec.dport);
		ofix_addr_put(&fx, &spec.dst, &record);
		ofix_refuses(&fx, reset, spec, ONETIME_NO_LISTENER);
		assert_int_equal(ofix_entries(&fx, "onetime_flow"), 0);
		assert_int_equal(ofix_entries(&fx, "onetime_udp"), 0);
	}
}

static void test_fragments(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec spec = in_of(v4, udp, 0, OWN_2, PACKET_ACK), first = spec;
		struct packet whole, want, in[2], out[2];

		put_many(OFIX_SILENT, v4, ONETIME_L2, udp);
		first.dport = OFIX_OWN;
		first.flags = PACKET_SYN;
		becomes(OFIX_IN, first, OFIX_OWN);
		spec.data_len = 200;
		ofix_frame(&fx, OFIX_IN, &spec, &whole);
		spec.dport = OFIX_OWN;
		ofix_frame(&fx, OFIX_IN, &spec, &want);
		for (int i = 0; i < 2; i++) {
			packet_fragment(&whole, i * 64, i ? 208 : 64, 5, &in[i]);
			packet_fragment(&want, i * 64, i ? 208 : 64, 5, &out[i]);
			assert_true(ofix_becomes(&fx, OFIX_IN, &in[i], ONETIME_SHARED,
						 i ? OFIX_ALONE : ONETIME_REWRITTEN, &out[i]));
		}
	}
}

/* ---- ICMP errors */

static void error_frame(int v4, const struct packet_spec *sent, struct packet *frame)
{
	enum { ETH = 14, IP6 = 40, QUOTED = 60 };
	struct packet_spec spec = { .src = ofix_bob[v4],
				    .dst = ofix_ssa[OFIX_SILENT][v4],
				    .proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				    .icmp_type = 3,
				    .icmp_code = 4,
				    .data_len = QUOTED };
	__u8 message[8 + QUOTED] = { 2 };
	struct packet quoted;

	packet_build(sent, &quoted);
	memcpy(message + 8, quoted.b + ETH, QUOTED);
	spec.data = v4 ? message + 8 : message;
	spec.data_len += v4 ? 0 : 8;
	ofix_frame(&fx, OFIX_IN, &spec, frame);
	if (!v4)
		packet_put16(frame->b + ETH + IP6 + 2,
			     ofix_icmp6_check(frame, ETH, ETH + IP6, frame->len));
}

static void error_becomes(int v4, struct packet_spec sent, int reason, __u16 port)
{
	bool same = sent.sport == port;
	struct packet frame, want;

	sent.data_len = 12; /* the quote is cut behind it, or before */
	error_frame(v4, &sent, &frame);
	sent.sport = port;
	sent.check = PACKET_CHECK_NONE;
	error_frame(v4, &sent, &want);
	/* The quoted checksum stays: it is the wire's. */
	assert_true(ofix_becomes(&fx, OFIX_IN, &frame, reason,
				 same ? OFIX_ALONE : ONETIME_REWRITTEN, same ? NULL : &want));
}

static void test_icmp(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec own = out_of(v4, udp, 0, OFIX_OWN),
				   wire = out_of(v4, udp, 0, OWN_2),
				   other = out_of(v4, udp, 1, OFIX_OWN);

		own.check = wire.check = other.check = PACKET_CHECK_NONE;
		ofix_clear(&fx);
		put_many(OFIX_SILENT, v4, ONETIME_L2, udp);
		error_becomes(v4, own, ONETIME_ICMP_DROPPED, OFIX_OWN);
		becomes(OFIX_IN, in_of(v4, udp, 0, OFIX_OWN, PACKET_SYN), OFIX_OWN);
		becomes(OFIX_IN, in_of(v4, udp, 0, OWN_2, PACKET_ACK), OFIX_OWN);
		error_becomes(v4, own, ONETIME_ICMP, OFIX_OWN);
		error_becomes(v4, wire, ONETIME_ICMP, OFIX_OWN);
		error_becomes(v4, other, ONETIME_ICMP_DROPPED, OFIX_OWN);
		own.sport = OWN_3;
		error_becomes(v4, own, ONETIME_ICMP_DROPPED, OWN_3);
	}
}

static void test_icmp_aware(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		__u16 port = udp ? OFIX_UDP_PORT : OFIX_TCP_PORT;

		put_many(OFIX_SILENT, v4, ONETIME_AWARE, udp);
		error_becomes(v4, out_of(v4, udp, 0, port), ONETIME_ICMP, port);
		error_becomes(v4, out_of(v4, udp, 0, port + 1), ONETIME_ICMP_DROPPED, port + 1);
		error_becomes(v4, out_of(v4, !udp, 0, port), ONETIME_ICMP_DROPPED, port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ports, clear),
		cmocka_unit_test_setup(test_clients, clear),
		cmocka_unit_test_setup(test_udp_listener, clear),
		cmocka_unit_test_setup(test_no_syn, clear),
		cmocka_unit_test_setup(test_strange_reset, clear),
		cmocka_unit_test_setup(test_aware, clear),
		cmocka_unit_test_setup(test_refused, clear),
		cmocka_unit_test_setup(test_fragments, clear),
		cmocka_unit_test_setup(test_icmp, clear),
		cmocka_unit_test_setup(test_icmp_aware, clear),
	};

	return cmocka_run_group_tests_name("onetime_many", tests, set_up, tear_down);
}
