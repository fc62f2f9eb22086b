// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_icmp.c - ICMP to a pool: errors about a session's packets, and all other.
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

/* Ports of the last packet that came, and of none. */
enum { WIRE_PEER = 41000, WIRE = 443, NO_PEER = 42000, NO_PORT = 8443 };
enum { ETH = 14, IP4 = 20, IP6 = 40, ICMP = 8 };

static struct ofix fx;

static const struct isthmus_addr *const ssa = ofix_ssa[OFIX_SILENT];
static const struct isthmus_addr router[2] = { PACKET_V6(5, 1), PACKET_V4(203, 0, 114, 1) };

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

/* ---- an error of the router's about a packet that was sent */

struct error {
	__u8 type, code;
	struct packet_spec sent;
	size_t bytes; /* of the quoted packet; 0 = all */
	int cut;      /* bytes of the frame that are not there */
};

static struct error error_of(int v4, __u8 proto, __u16 sport, __u16 dport)
{
	struct packet_spec sent = ofix_spec(&ssa[v4], &ofix_alice[v4], proto, PACKET_ACK);

	sent.sport = sport;
	sent.dport = dport;
	return (struct error){ .type = v4 ? 3 : 1, .code = 4, .sent = sent };
}

static void error_frame(const struct error *error, int v4, struct packet *frame)
{
	struct packet_spec spec = { .src = router[v4],
				    .dst = ssa[v4],
				    .proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				    .icmp_type = error->type,
				    .icmp_code = error->code,
				    .icmp_rest = 1400 };
	__u8 message[ICMP + PACKET_MAX / 2] = { error->type, error->code };
	struct packet sent;

	packet_build(&error->sent, &sent);
	spec.data_len = error->bytes ? error->bytes : sent.len - ETH;
	spec.data = sent.b + ETH;
	if (!v4) { /* the builder knows the header of ICMP alone */
		packet_put32(message + 4, 1400);
		memcpy(message + ICMP, spec.data, spec.data_len);
		spec.data_len += ICMP;
		spec.data = message;
	}
	ofix_frame(&fx, OFIX_IN, &spec, frame);
	if (!v4)
		packet_put16(frame->b + ETH + IP6 + 2,
			     ofix_icmp6_check(frame, ETH, ETH + IP6, frame->len));
	frame->len -= error->cut;
}

/* The same frame with other ports in its quote, summed anew. Returns where they are. */
static void ports_in_quote(struct packet *frame, int v4, size_t at, __u16 sport, __u16 dport)
{
	size_t icmp = ETH + (v4 ? IP4 : IP6);

	packet_put16(frame->b + at, sport);
	packet_put16(frame->b + at + 2, dport);
	if (v4) {
		packet_put16(frame->b + icmp + 2, 0);
		packet_put16(frame->b + icmp + 2,
			     ~packet_sum(frame->b + icmp, frame->len - icmp, 0));
		return;
	}
	packet_put16(frame->b + icmp + 2, ofix_icmp6_check(frame, ETH, icmp, frame->len));
}

static size_t ports_at(int v4)
{
	return ETH + 2 * (v4 ? IP4 : IP6) + ICMP;
}

static void put_session(int v4, __u32 state, __u8 mode, __u8 proto)
{
	struct onetime_addr record =
		ofix_session(ONETIME_SSA, state, mode, proto, &ofix_alice[v4], OFIX_PEER, OFIX_OWN);

	if (mode != ONETIME_AWARE) {
		record.wire_port = htons(WIRE);
		record.wire_peer_port = htons(WIRE_PEER);
	}
	ofix_addr_put(&fx, &ssa[v4], &record);
}

static void becomes(const struct error *error, int v4, int reason)
{
	struct onetime_addr was = ofix_addr(&fx, &ssa[v4]), now;
	struct packet frame;

	error_frame(error, v4, &frame);
	if (!ofix_becomes(&fx, OFIX_IN, &frame, reason, OFIX_ALONE, NULL))
		fail_msg("IPv%d, type %d", v4 ? 4 : 6, error->type);
	now = ofix_addr(&fx, &ssa[v4]);
	assert_memory_equal(&now, &was, sizeof(now));
}

/* It passes with the socket's ports in its quote, which are at `at`. */
static void rewritten(const struct error *error, int v4, size_t at)
{
	struct packet frame, want;

	error_frame(error, v4, &frame);
	want = frame;
	ports_in_quote(&want, v4, at, OFIX_OWN, OFIX_PEER);
	assert_true(ofix_becomes(&fx, OFIX_IN, &frame, ONETIME_ICMP, ONETIME_REWRITTEN, &want));
}

/* ---- rows */

static void test_ports(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		__u8 proto = ofix_protos[udp];
		struct error own = error_of(v4, proto, OFIX_OWN, OFIX_PEER),
			     wire = error_of(v4, proto, WIRE, WIRE_PEER),
			     half = error_of(v4, proto, WIRE, OFIX_PEER),
			     none = error_of(v4, proto, NO_PORT, NO_PEER);

		put_session(v4, ONETIME_STATE_LIVE, mode, proto);
		becomes(&own, v4, ONETIME_ICMP);
		becomes(&half, v4, ONETIME_ICMP_DROPPED);
		becomes(&none, v4, ONETIME_ICMP_DROPPED);
		if (mode == ONETIME_AWARE)
			becomes(&wire, v4, ONETIME_ICMP_DROPPED);
		else
			rewritten(&wire, v4, ports_at(v4));
	}
}

static void test_types(void **unused)
{
	(void)unused;
	ofix_each_family(v4) for (int type = 0; type < 256; type++)
	{
		struct error error = error_of(v4, IPPROTO_TCP, WIRE, WIRE_PEER);
		bool passes = v4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;

		if (!v4 && type >= 133 && type <= 137)
			continue; /* neighbours' */
		error.type = type;
		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_TCP);
		if (passes)
			rewritten(&error, v4, ports_at(v4));
		else
			becomes(&error, v4, ONETIME_ICMP_DROPPED);
	}
}

static void test_states(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		__u8 proto = ofix_protos[udp];
		struct error error = error_of(v4, proto, OFIX_OWN, OFIX_PEER);

		ofix_clear(&fx);
		becomes(&error, v4, ONETIME_ICMP_DROPPED);
		for (int state = ONETIME_STATE_RESERVED; state <= ONETIME_STATE_DEAD; state++) {
			bool passes = state == ONETIME_STATE_CLAIMED ||
				      state == ONETIME_STATE_LIVE || state == ONETIME_STATE_CLOSING;
			struct onetime_addr record;

			put_session(v4, state, ONETIME_L0, proto);
			becomes(&error, v4, passes ? ONETIME_ICMP : ONETIME_ICMP_DROPPED);
			record = ofix_addr(&fx, &ssa[v4]);
			record.until_ns = ofix_now();
			ofix_addr_put(&fx, &ssa[v4], &record);
			passes = state == ONETIME_STATE_LIVE && !udp;
			becomes(&error, v4, passes ? ONETIME_ICMP : ONETIME_ICMP_DROPPED);
		}
	}
}

/* About a packet of somebody else, to somebody else, by the other protocol. */
static void test_others(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct error error = error_of(v4, ofix_protos[udp], OFIX_OWN, OFIX_PEER), other;

		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, ofix_protos[udp]);
		other = error;
		other.sent.dst = ofix_bob[v4];
		becomes(&other, v4, ONETIME_ICMP_DROPPED);
		other = error;
		other.sent.src.b[15]++;
		becomes(&other, v4, ONETIME_ICMP_DROPPED);
		other = error;
		other.sent.proto = ofix_protos[!udp];
		becomes(&other, v4, ONETIME_ICMP_DROPPED);
		other = error; /* a packet that had come */
		other.sent.src = ofix_alice[v4];
		other.sent.dst = ssa[v4];
		becomes(&other, v4, ONETIME_ICMP_DROPPED);
		becomes(&error, v4, ONETIME_ICMP);
	}
}

/* RFC 792: 8 bytes behind the IP header are enough; ports must be there whole. */
static void test_cut(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct error error = error_of(v4, ofix_protos[udp], WIRE, WIRE_PEER);
		size_t head = v4 ? IP4 : IP6;

		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L1, ofix_protos[udp]);
		for (error.bytes = 1; error.bytes < head + 4; error.bytes++)
			becomes(&error, v4, ONETIME_ICMP_DROPPED);
		for (error.bytes = head + 4; error.bytes < head + 16; error.bytes++)
			rewritten(&error, v4, ports_at(v4));
		error.bytes = 0;
		for (error.cut = 1; error.cut < 48; error.cut++)
			becomes(&error, v4, ONETIME_MALFORMED);
	}
}

/* What Ethernet has padded is not quoted. */
static void test_padding(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct error error = error_of(v4, IPPROTO_TCP, WIRE, WIRE_PEER);
		struct packet frame;

		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L1, IPPROTO_TCP);
		error_frame(&error, v4, &frame);
		packet_put16(frame.b + ETH + (v4 ? 2 : 4), ports_at(v4) + 3 - ETH - (v4 ? 0 : IP6));
		assert_true(
			ofix_becomes(&fx, OFIX_IN, &frame, ONETIME_ICMP_DROPPED, OFIX_ALONE, NULL));
	}
}

/* ---- fragments, options, lies in the quote */

static void test_quoted_fragment(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct error error = error_of(v4, ofix_protos[udp], WIRE, WIRE_PEER);

		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, ofix_protos[udp]);
		error.sent.exts = v4 ? 0 : 1;
		error.sent.ext[0] = IPPROTO_FRAGMENT;
		error.sent.frag = 0x2000;
		error.sent.v6_frag = 1;
		rewritten(&error, v4, ports_at(v4) + (v4 ? 0 : 8));
		error.sent.frag = 0x2001;
		error.sent.v6_frag = 9;
		becomes(&error, v4, ONETIME_ICMP_DROPPED);
		error.sent.ext[0] = IPPROTO_DSTOPTS;
		becomes(&error, v4, ONETIME_ICMP_DROPPED);
	}
}

static void test_quoted_options(void **unused)
{
	struct error error = error_of(1, IPPROTO_TCP, WIRE, WIRE_PEER);

	(void)unused;
	put_session(1, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_TCP);
	error.sent.ip_opt = "\1\1\1\1\1\1\1\1";
	error.sent.ip_opt_len = 8;
	rewritten(&error, 1, ports_at(1) + 8);
	error.sent.ihl = 15;
	error.bytes = 40;
	becomes(&error, 1, ONETIME_ICMP_DROPPED);
	error.sent.ihl = 4;
	becomes(&error, 1, ONETIME_ICMP_DROPPED);
}

static void test_quoted_version(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct error error = error_of(v4, IPPROTO_TCP, WIRE, WIRE_PEER);

		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_TCP);
		error.sent.version = v4 ? 6 : 4;
		becomes(&error, v4, ONETIME_ICMP_DROPPED);
	}
}

/* ---- no error */

static void test_echo(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset)
	{
		struct packet_spec spec = ofix_spec(&ofix_alice[v4], &ofix_ssa[reset][v4],
						    v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);

		spec.icmp_type = 8;
		spec.data = v4 ? NULL : "\200\0\0\0\0\0\0\0abcdefghijklmn";
		ofix_passes(&fx, spec, ONETIME_ICMP_DROPPED);
		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_TCP);
		ofix_passes(&fx, spec, ONETIME_ICMP_DROPPED);
		spec.data_len = 0; /* no header */
		ofix_passes(&fx, spec, ONETIME_ICMP_DROPPED);
		spec.dst = ofix_bob[v4];
		ofix_passes(&fx, spec, ONETIME_OTHER);
	}
}

/* Whole, or not at all: what is behind the fragment header is not looked at. */
static void test_fragmented(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct packet_spec spec =
			ofix_spec(&router[v4], &ssa[v4], v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);

		spec.icmp_type = 3;
		spec.frag = 0x2000;
		spec.exts = v4 ? 0 : 1;
		spec.ext[0] = IPPROTO_FRAGMENT;
		spec.v6_frag = 1;
		spec.data = v4 ? NULL : "\1\4\0\0\0\0\0\0abcdefghijklmn";
		put_session(v4, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_TCP);
		ofix_passes(&fx, spec, ONETIME_PROTOCOL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ports, clear),
		cmocka_unit_test_setup(test_types, clear),
		cmocka_unit_test_setup(test_states, clear),
		cmocka_unit_test_setup(test_others, clear),
		cmocka_unit_test_setup(test_cut, clear),
		cmocka_unit_test_setup(test_padding, clear),
		cmocka_unit_test_setup(test_quoted_fragment, clear),
		cmocka_unit_test_setup(test_quoted_options, clear),
		cmocka_unit_test_setup(test_quoted_version, clear),
		cmocka_unit_test_setup(test_echo, clear),
		cmocka_unit_test_setup(test_fragmented, clear),
	};

	return cmocka_run_group_tests_name("onetime_icmp", tests, set_up, tear_down);
}
