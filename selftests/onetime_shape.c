// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_shape.c - packets to a pool that are cut short, lie about their lengths, hide
 * behind tags and extension headers, or are of another protocol: what does not pass, takes nothing.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

enum { ETH = 14, IP4 = 20, IP6 = 40, TCP = 20, UDP = 8 };

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

/* ---- an address that is free, given out, or alice's */

enum { FREE, PENDING, LIVE, KINDS };

static void put_kind(int kind, int reset, int v4, int udp)
{
	const struct isthmus_addr *to = &ofix_ssa[reset][v4];
	struct onetime_addr record;

	bpf_map_delete_elem(ofix_map(&fx, "onetime_addr"), to);
	if (kind == FREE)
		return;
	record = kind == LIVE ? ofix_session(ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0,
					     ofix_protos[udp], &ofix_alice[v4], OFIX_PEER, OFIX_OWN)
			      : ofix_record(ONETIME_SSA, ONETIME_STATE_PENDING, ONETIME_L0,
					    ofix_protos[udp]);
	ofix_addr_put(&fx, to, &record);
}

static struct packet_spec first(int reset, int v4, int udp)
{
	return ofix_spec(&ofix_alice[v4], &ofix_ssa[reset][v4], ofix_protos[udp], PACKET_SYN);
}

/* The frame gets this reason and nothing changes. */
static void refuses(const struct packet *frame, const struct isthmus_addr *to, int reason,
		    const char *what)
{
	struct onetime_addr was = ofix_addr(&fx, to), now;

	if (!ofix_becomes(&fx, OFIX_IN, frame, reason, OFIX_ALONE, NULL))
		fail_msg("%s", what);
	assert_int_equal(fx.events, 0);
	now = ofix_addr(&fx, to);
	assert_memory_equal(&now, &was, sizeof(now));
}

#define each_case                                                                                  \
	ofix_each_family(v4) ofix_each_pool(reset)                                                 \
		ofix_each_proto(udp) for (int kind = FREE; kind < KINDS; kind++)

/* ---- cut short */

/* Shorter ones than an IP header cannot be run; the kernel refuses them before it looks at
 * addresses. */
static void test_cut(void **unused)
{
	(void)unused;
	each_case
	{
		struct packet_spec spec = first(reset, v4, udp);
		size_t l4 = ETH + (v4 ? IP4 : IP6);
		struct packet whole, cut;

		put_kind(kind, reset, v4, udp);
		ofix_frame(&fx, OFIX_IN, &spec, &whole);
		cut = whole;
		for (cut.len = l4; cut.len < whole.len; cut.len++)
			refuses(&cut, &spec.dst,
				cut.len < l4 + (udp ? UDP : TCP) ? ONETIME_PROTOCOL
								 : ONETIME_MALFORMED,
				"cut");
	}
}

/* ---- lengths */

struct lie {
	const char *name;
	bool v4, v6, tcp, udp;
	struct packet_spec spec; /* lies alone */
	int reason;
};

static const struct lie lies[] = {
	{ "TCP header of 16 bytes", 1, 1, 1, 0, { .doff = 4 }, ONETIME_MALFORMED },
	{ "TCP header longer than the packet", 1, 1, 1, 0, { .doff = 15 }, ONETIME_MALFORMED },
	{ "UDP length of 7", 1, 1, 0, 1, { .udp_len = 7 }, ONETIME_MALFORMED },
	{ "UDP longer than the packet", 1, 1, 0, 1, { .udp_len = 29 }, ONETIME_MALFORMED },
	{ "IPv4 longer than the frame", 1, 0, 1, 1, { .tot_len = 100 }, ONETIME_MALFORMED },
	{ "IPv4 of its header alone", 1, 0, 1, 1, { .tot_len = 20 }, ONETIME_MALFORMED },
	{ "IPv4 shorter than its header", 1, 0, 1, 1, { .tot_len = 19 }, ONETIME_MALFORMED },
	{ "IPv4 that ends in a TCP header", 1, 0, 1, 0, { .tot_len = 39 }, ONETIME_MALFORMED },
	{ "IPv4 that ends in a UDP header", 1, 0, 0, 1, { .tot_len = 27 }, ONETIME_MALFORMED },
	{ "IPv4 header of 16 bytes", 1, 0, 1, 1, { .ihl = 4 }, ONETIME_OTHER },
	{ "IPv4 header of 60 bytes", 1, 0, 1, 0, { .ihl = 15 }, ONETIME_PROTOCOL },
	{ "IPv4 of version 6", 1, 0, 1, 1, { .version = 6 }, ONETIME_OTHER },
	{ "IPv6 of version 4", 0, 1, 1, 1, { .version = 4 }, ONETIME_OTHER },
	{ "IPv6 longer than the frame", 0, 1, 1, 1, { .tot_len = 60 }, ONETIME_MALFORMED },
	{ "IPv6 that ends in a TCP header", 0, 1, 1, 0, { .tot_len = 19 }, ONETIME_MALFORMED },
	{ "IPv6 that ends in a UDP header", 0, 1, 0, 1, { .tot_len = 7 }, ONETIME_MALFORMED },
};

static void run_lie(const struct lie *lie, int reset, int v4, int udp)
{
	struct packet_spec spec = first(reset, v4, udp);
	struct packet frame;

	spec.doff = lie->spec.doff;
	spec.udp_len = lie->spec.udp_len;
	spec.tot_len = lie->spec.tot_len;
	spec.ihl = lie->spec.ihl;
	spec.version = lie->spec.version;
	ofix_frame(&fx, OFIX_IN, &spec, &frame);
	refuses(&frame, &spec.dst, lie->reason, lie->name);
}

static void test_lies(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		each_case
		{
			put_kind(kind, reset, v4, udp);
			if ((v4 ? lies[i].v4 : lies[i].v6) && (udp ? lies[i].udp : lies[i].tcp))
				run_lie(&lies[i], reset, v4, udp);
		}
}

/* What Ethernet pads is no lie. */
static void test_padding(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct packet_spec spec = first(OFIX_SILENT, v4, udp);

		spec.data_len = 0;
		spec.trailer = 18;
		put_kind(PENDING, OFIX_SILENT, v4, udp);
		ofix_passes(&fx, spec, ONETIME_CLAIMED);
		ofix_passes(&fx, spec, ONETIME_SESSION);
	}
}

/* ---- tags, extension headers, options */

static void test_tags(void **unused)
{
	static const __u16 protos[] = { 0x8100, 0x88a8 };

	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) for (int tags = 0; tags <= 3; tags++)
	{
		struct packet_spec spec = first(OFIX_SILENT, v4, udp);
		struct packet frame;

		for (int i = 0; i < tags; i++)
			spec.tag[i].proto = protos[i % 2];
		put_kind(PENDING, OFIX_SILENT, v4, udp);
		if (tags < 3) {
			ofix_passes(&fx, spec, ONETIME_CLAIMED);
			ofix_passes(&fx, spec, ONETIME_SESSION);
			continue;
		}
		ofix_frame(&fx, OFIX_IN, &spec, &frame);
		refuses(&frame, &spec.dst, ONETIME_MALFORMED, "three tags");
	}
}

struct exts {
	__u8 count, ext[4];
	bool passes;
};

static const struct exts exts[] = {
	{ 1, { IPPROTO_HOPOPTS }, true },
	{ 1, { IPPROTO_DSTOPTS }, true },
	{ 1, { IPPROTO_FRAGMENT }, true }, /* alone in its datagram, RFC 6946 */
	{ 2, { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS }, true },
	{ 3, { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT }, true },
	{ 4, { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS }, false },
	{ 1, { IPPROTO_ROUTING }, false },
	{ 2, { IPPROTO_DSTOPTS, IPPROTO_ROUTING }, false },
	{ 1, { IPPROTO_AH }, false },
	{ 1, { 135 }, false }, /* mobility */
};

static void test_extensions(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(exts) / sizeof(*exts); i++)
		ofix_each_proto(udp)
		{
			struct packet_spec spec = first(OFIX_SILENT, 0, udp);
			struct packet frame;

			spec.exts = exts[i].count;
			memcpy(spec.ext, exts[i].ext, 4);
			put_kind(PENDING, OFIX_SILENT, 0, udp);
			if (exts[i].passes) {
				ofix_passes(&fx, spec, ONETIME_CLAIMED);
				ofix_passes(&fx, spec, ONETIME_SESSION);
				continue;
			}
			ofix_frame(&fx, OFIX_IN, &spec, &frame);
			refuses(&frame, &spec.dst, ONETIME_PROTOCOL, "extension headers");
		}
}

static void test_options(void **unused)
{
	(void)unused;
	ofix_each_proto(udp) for (int len = 4; len <= 40; len += 4)
	{
		struct packet_spec spec = first(OFIX_SILENT, 1, udp);
		char nops[40];

		memset(nops, 1, sizeof(nops));
		spec.ip_opt = nops;
		spec.ip_opt_len = len;
		put_kind(PENDING, OFIX_SILENT, 1, udp);
		ofix_passes(&fx, spec, ONETIME_CLAIMED);
		ofix_passes(&fx, spec, ONETIME_SESSION);
	}
}

/* ---- other protocols */

static void test_protocols(void **unused)
{
	static const __u8 others[] = { 2, 4, 41, 47, 50, 59, 89, 132, 136, 255 };

	(void)unused;
	for (size_t i = 0; i < sizeof(others); i++)
		each_case
		{
			struct packet_spec spec = first(reset, v4, udp);
			struct packet frame;

			spec.proto = others[i];
			put_kind(kind, reset, v4, udp);
			ofix_frame(&fx, OFIX_IN, &spec, &frame);
			refuses(&frame, &spec.dst, ONETIME_PROTOCOL, "protocol");
			spec.dst = ofix_bob[v4];
			ofix_passes(&fx, spec, ONETIME_OTHER);
			spec.src = ofix_ssa[reset][v4];
			ofix_frame(&fx, OFIX_IN, &spec, &frame);
			refuses(&frame, &spec.dst, ONETIME_SPOOFED, "protocol, spoofed");
		}
}

/* What is neither IPv4 nor IPv6. */
static void test_ethertypes(void **unused)
{
	static const __u16 types[] = { 0x0001, 0x0600, 0x8863, 0x8864, 0x8847, 0x88cc, 0xffff };

	(void)unused;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		ofix_each_family(v4)
		{
			struct packet_spec spec = first(OFIX_SILENT, v4, 0);

			put_kind(PENDING, OFIX_SILENT, v4, 0);
			spec.ethertype = types[i];
			ofix_passes(&fx, spec, ONETIME_OTHER);
		}
}

/* ---- IPv6 packets whose addresses are mapped IPv4 ones */

static void mapped(const struct packet_spec *spec, bool from, bool to, struct packet *frame)
{
	struct packet_spec six = *spec;
	struct packet_view view;

	six.src = ofix_alice[0];
	six.dst = ofix_ssa[OFIX_SILENT][0];
	ofix_frame(&fx, OFIX_IN, &six, frame);
	if (from)
		memcpy(frame->b + ETH + 8, &spec->src, 16);
	if (to)
		memcpy(frame->b + ETH + 24, &spec->dst, 16);
	assert_true(packet_parse(frame, &view));
	packet_set_l4_check(frame, &view, packet_l4_check(frame, &view));
}

static void test_mapped(void **unused)
{
	(void)unused;
	ofix_each_pool(reset) ofix_each_proto(udp) for (int kind = FREE; kind < KINDS; kind++)
	{
		struct packet_spec spec = first(reset, 1, udp);
		struct packet frame;

		put_kind(kind, reset, 1, udp);
		put_kind(kind, OFIX_SILENT, 0, udp);
		mapped(&spec, true, true, &frame);
		refuses(&frame, &spec.dst, ONETIME_MALFORMED, "both mapped");
		mapped(&spec, false, true, &frame);
		refuses(&frame, &spec.dst, ONETIME_MALFORMED, "destination mapped");
		mapped(&spec, true, false, &frame);
		refuses(&frame, &ofix_ssa[OFIX_SILENT][0], ONETIME_MALFORMED, "source mapped");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_cut, clear),
		cmocka_unit_test_setup(test_lies, clear),
		cmocka_unit_test_setup(test_padding, clear),
		cmocka_unit_test_setup(test_tags, clear),
		cmocka_unit_test_setup(test_extensions, clear),
		cmocka_unit_test_setup(test_options, clear),
		cmocka_unit_test_setup(test_protocols, clear),
		cmocka_unit_test_setup(test_ethertypes, clear),
		cmocka_unit_test_setup(test_mapped, clear),
	};

	return cmocka_run_group_tests_name("onetime_shape", tests, set_up, tear_down);
}
