// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_family.c - initiators and responders of different families (W13, W19; RFC
 * 7915): every packet is compared with one laid out in the other family from scratch.
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
#define DPORT 33434

static struct gfix fx;

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

struct ends {
	const char *name;
	int host, peer;
	bool masked, v6; /* v6: the initiator */
	struct isthmus_addr initiator, waypoint, router;
	struct isthmus_addr seen, inside, hop, seen_router, gateway;
	__u16 mss;
};

/* 198.51.100.7 and 203.0.113.99 under 2001:db8:64::/96. */
#define EMBEDDED(a, b, c, d)                                                                       \
	{                                                                                          \
		{                                                                                  \
			0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, a, b, c, d              \
		}                                                                                  \
	}

static const struct ends all[] = {
	{ "IPv4 to IPv6", GFIX_PLAIN6, GFIX_W1, false, false, GFIX_INITIATOR, GFIX_WAYPOINT,
	  GFIX_ROUTER, EMBEDDED(198, 51, 100, 7), PACKET_V6(1, 16 + GFIX_PLAIN6), GFIX_HOP6,
	  EMBEDDED(203, 0, 113, 99), GFIX_INSIDE6, 1400 },
	{ "IPv4 to masked IPv6", GFIX_MASKED6, GFIX_W6, true, false, GFIX_INITIATOR, GFIX_WAYPOINT,
	  GFIX_ROUTER, GFIX_INSIDE6, PACKET_V6(1, 16 + GFIX_MASKED6), GFIX_HOP6, GFIX_INSIDE6,
	  GFIX_INSIDE6, 1380 },
	{ "IPv6 to IPv4", GFIX_PLAIN, GFIX_W1, true, true, GFIX_INITIATOR6, GFIX_WAYPOINT6,
	  GFIX_ROUTER6, GFIX_INSIDE, PACKET_V4(192, 168, 1, 16 + GFIX_PLAIN), GFIX_HOP, GFIX_INSIDE,
	  GFIX_INSIDE, 1380 },
	{ "IPv6 to masked IPv4", GFIX_MASKED, GFIX_W6, true, true, GFIX_INITIATOR6, GFIX_WAYPOINT6,
	  GFIX_ROUTER6, GFIX_INSIDE, PACKET_V4(192, 168, 1, 16 + GFIX_MASKED), GFIX_HOP,
	  GFIX_INSIDE, GFIX_INSIDE, 1360 },
};

#define ALL (sizeof(all) / sizeof(*all))

static const enum gfix_program ups[] = { GFIX_UP_XDP, GFIX_UP_TC };
static const enum gfix_program lans[] = { GFIX_LAN_XDP, GFIX_LAN_TC };

static void to_responder(const struct ends *e, struct packet *frame)
{
	__u8 mac[6];

	gfix_host_mac(e->host, mac);
	gfix_frame(frame, mac, fx.lan_mac);
}

static void from_lan(struct packet *frame)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };

	gfix_frame(frame, fx.lan_mac, mac);
}

static __u16 mask_port(const struct ends *e, __u16 sport, __u16 dport, __u8 proto)
{
	struct gateway_mask_key key = { .initiator = e->initiator,
					.waypoint = e->waypoint,
					.initiator_port = htons(sport),
					.waypoint_port = htons(dport),
					.proto = proto };
	__be16 port;

	if (!e->masked)
		return sport;
	assert_true(gfix_get(&fx, "gateway_mask", &key, &port));
	assert_in_range(ntohs(port), GATEWAY_LOW_PORT, GATEWAY_HIGH_PORT);
	return ntohs(port);
}

/* What a translator makes has no flow label; in IPv4 it has DF, or, if it is short, any number. */
static void translated(struct packet *want, size_t at, const struct packet *got, size_t got_at)
{
	struct packet_view view = { .l3 = at };
	__u8 *ip = want->b + at;

	if (ip[0] >> 4 == 6) {
		packet_put32(ip, packet_get32(ip) & 0xfff00000);
		return;
	}
	if (packet_get16(ip + 6) & 0x3fff)
		return; /* a fragment has its own */
	packet_put16(ip + 6, packet_get16(ip + 2) > 1260 ? 0x4000 : 0);
	packet_put16(ip + 4, packet_get16(ip + 2) > 1260 ? 0 : packet_get16(got->b + got_at + 4));
	packet_put16(ip + 10, packet_ip_check(want, &view));
}

static void delivered(const struct ends *e, enum gfix_program up, const struct packet *in,
		      struct gfix_result *result)
{
	struct packet sealed;

	gfix_seal(&fx, e->peer, e->host, in, &sealed);
	gfix_run(&fx, up, &sealed, result);
	assert_string_equal(gfix_reason_name(result->reason), "DELIVERED");
}

static void check_delivered(const struct ends *e, struct packet *want,
			    const struct gfix_result *result)
{
	to_responder(e, want);
	translated(want, 14, &result->out, 14);
	assert_true(gfix_same(&result->out, want));
}

static void check_answered(const struct ends *e, enum gfix_program lan, const struct packet *in,
			   struct packet *want)
{
	struct gfix_result result;
	struct packet sealed;

	gfix_run(&fx, lan, in, &result);
	assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
	translated(want, 14, &result.out, seal_inner_at(&result.out));
	gfix_answer(&fx, e->peer, e->host, seal_sequence(&result.out), want, &sealed);
	assert_true(gfix_same(&result.out, &sealed));
}

/* ---- TCP and UDP */

struct row {
	const char *name;
	__u8 proto;
	__u16 flags, data_len;
	__u8 tos, ip_opt_len;
	__u8 exts;
};

static const struct row rows[] = {
	{ "TCP", 6, PACKET_ACK, 50, 0, 0, 0 },
	{ "SYN", 6, PACKET_SYN, 0, 0, 0, 0 },
	{ "TCP, odd, class of service", 6, PACKET_ACK, 7, 0xb9, 0, 0 },
	{ "TCP with options or extensions", 6, PACKET_ACK, 100, 0, 8, 1 },
	{ "UDP", 17, 0, 33, 0, 0, 0 },
	{ "long UDP", 17, 0, 1300, 0, 0, 0 },
	{ "ESP", 50, 0, 64, 0, 0, 0 },
};

static struct packet_spec spec_of(const struct row *row, const struct isthmus_addr *src,
				  const struct isthmus_addr *dst, bool with_options)
{
	struct packet_spec spec = { .src = *src,
				    .dst = *dst,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = row->proto,
				    .flags = row->flags,
				    .tos = row->tos,
				    .ttl = 40,
				    .data_len = row->data_len };

	if (row->flags & PACKET_SYN) {
		spec.opt = "\x02\x04\x05\xb4\x01\x03\x03\x07";
		spec.opt_len = 8;
	}
	if (with_options) {
		spec.ip_opt = "\x94\x04\0\0\x01\x01\x01\0";
		spec.ip_opt_len = row->ip_opt_len;
		spec.exts = row->exts;
		spec.ext[0] = 60;
	}
	return spec;
}

static void clamp(const struct ends *e, struct packet_spec *spec, char opt[8])
{
	if (!spec->opt)
		return;
	memcpy(opt, spec->opt, 8);
	packet_put16((__u8 *)opt + 2, e->mss);
	spec->opt = opt;
}

static void exchange(const struct ends *e, const struct row *row, int hook)
{
	struct packet_spec spec = spec_of(row, &e->initiator, &e->waypoint, true);
	struct gfix_result result;
	struct packet in, want;
	char opt[8];
	__u16 port;

	packet_build(&spec, &in);
	delivered(e, ups[hook], &in, &result);
	port = row->proto == 50 ? 0 : mask_port(e, SPORT, DPORT, row->proto);
	spec = spec_of(row, &e->seen, &e->inside, false);
	spec.sport = port;
	spec.ttl--;
	clamp(e, &spec, opt);
	packet_build(&spec, &want);
	check_delivered(e, &want, &result);

	spec = spec_of(row, &e->inside, &e->seen, true);
	spec.sport = DPORT;
	spec.dport = port;
	packet_build(&spec, &in);
	from_lan(&in);
	spec = spec_of(row, &e->waypoint, &e->initiator, false);
	spec.sport = DPORT;
	spec.dport = SPORT;
	spec.ttl--;
	clamp(e, &spec, opt);
	packet_build(&spec, &want);
	check_answered(e, lans[hook], &in, &want);
}

static void exchanges(void **state)
{
	for (size_t i = 0; i < ALL; i++) {
		for (size_t j = 0; j < sizeof(rows) / sizeof(*rows); j++) {
			print_message("%s: %s\n", all[i].name, rows[j].name);
			fill(state);
			exchange(&all[i], &rows[j], 0);
			exchange(&all[i], &rows[j], 1);
		}
	}
}

/* ---- ICMP */

static void ping(const struct ends *e, int hook)
{
	struct gfix_icmp echo = { .src = e->initiator,
				  .dst = e->waypoint,
				  .ttl = 9,
				  .type = e->v6 ? 128 : 8,
				  .rest = 0x4711 << 16 | 5,
				  .data = "0123456789abcde",
				  .data_len = 15 };
	struct gfix_result result;
	struct packet in, want;
	__u16 id;

	gfix_icmp_build(&echo, &in);
	delivered(e, ups[hook], &in, &result);
	id = mask_port(e, 0x4711, 0x4711, e->v6 ? 58 : 1);
	echo.src = e->seen;
	echo.dst = e->inside;
	echo.ttl = 8;
	echo.type = e->v6 ? 8 : 128;
	echo.rest = id << 16 | 5;
	gfix_icmp_build(&echo, &want);
	check_delivered(e, &want, &result);

	echo.src = e->inside;
	echo.dst = e->seen;
	echo.type = e->v6 ? 0 : 129;
	gfix_icmp_build(&echo, &in);
	from_lan(&in);
	echo.src = e->waypoint;
	echo.dst = e->initiator;
	echo.ttl = 7;
	echo.type = e->v6 ? 129 : 0;
	echo.rest = 0x4711 << 16 | 5;
	gfix_icmp_build(&echo, &want);
	check_answered(e, lans[hook], &in, &want);
}

static void echoes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		ping(&all[i], 0);
		ping(&all[i], 1);
	}
}

/* RFC 7915, 4.2 and 5.2, as tables. -1: has no other form. */
struct form {
	int type, code;
	__u32 rest;
	int other_type, other_code;
	__u32 other_rest;
};

static const struct form to6[] = {
	{ 3, 0, 0, 1, 0, 0 },	       { 3, 1, 0, 1, 0, 0 },	     { 3, 2, 0, 4, 1, 6 },
	{ 3, 3, 0, 1, 4, 0 },	       { 3, 4, 1400, 2, 0, 1420 },   { 3, 4, 0, 2, 0, 1280 },
	{ 3, 5, 0, 1, 0, 0 },	       { 3, 9, 0, 1, 1, 0 },	     { 3, 10, 0, 1, 1, 0 },
	{ 3, 12, 0, 1, 0, 0 },	       { 3, 13, 0, 1, 1, 0 },	     { 3, 14, 0, -1, 0, 0 },
	{ 3, 15, 0, 1, 1, 0 },	       { 4, 0, 0, -1, 0, 0 },	     { 11, 0, 0, 3, 0, 0 },
	{ 11, 1, 0, 3, 1, 0 },	       { 12, 0, 0 << 24, 4, 0, 0 },  { 12, 0, 2 << 24, 4, 0, 4 },
	{ 12, 0, 8 << 24, 4, 0, 7 },   { 12, 2, 9 << 24, 4, 0, 6 },  { 12, 0, 12 << 24, 4, 0, 8 },
	{ 12, 0, 17 << 24, 4, 0, 24 }, { 12, 0, 5 << 24, -1, 0, 0 }, { 12, 1, 0, -1, 0, 0 },
};

static const struct form to4[] = {
	{ 1, 0, 0, 3, 1, 0 },	      { 1, 1, 0, 3, 10, 0 },	     { 1, 2, 0, 3, 1, 0 },
	{ 1, 3, 0, 3, 1, 0 },	      { 1, 4, 0, 3, 3, 0 },	     { 1, 5, 0, -1, 0, 0 },
	{ 2, 0, 1300, 3, 4, 1280 },   { 2, 0, 1000, 3, 4, 1260 },    { 2, 0, 70000, 3, 4, 65515 },
	{ 3, 0, 0, 11, 0, 0 },	      { 3, 1, 0, 11, 1, 0 },	     { 4, 0, 0, 12, 0, 0 },
	{ 4, 0, 4, 12, 0, 2u << 24 }, { 4, 0, 6, 12, 0, 9 << 24 },   { 4, 0, 7, 12, 0, 8 << 24 },
	{ 4, 0, 9, 12, 0, 12 << 24 }, { 4, 0, 30, 12, 0, 16 << 24 }, { 4, 0, 40, -1, 0, 0 },
	{ 4, 0, 3, -1, 0, 0 },	      { 4, 1, 6, 3, 2, 0 },	     { 4, 2, 6, -1, 0, 0 },
};

struct quote {
	struct packet outside_asked, inside_asked, outside_answer, inside_answer;
};

static void begin(const struct ends *e, __u8 proto, struct quote *q)
{
	struct packet_spec spec = { .src = e->initiator,
				    .dst = e->waypoint,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = proto,
				    .ttl = 5,
				    .id = 77,
				    .data_len = 40 };
	struct gfix_result result;
	__u16 port;

	packet_build(&spec, &q->outside_asked);
	delivered(e, GFIX_UP_XDP, &q->outside_asked, &result);
	port = mask_port(e, SPORT, DPORT, proto);
	spec.src = e->seen;
	spec.dst = e->inside;
	spec.sport = port;
	packet_build(&spec, &q->inside_asked);
	spec.src = e->inside;
	spec.dst = e->seen;
	spec.sport = DPORT;
	spec.dport = port;
	packet_build(&spec, &q->inside_answer);
	spec.src = e->waypoint;
	spec.dst = e->initiator;
	spec.dport = SPORT;
	packet_build(&spec, &q->outside_answer);
}

/* What an error quotes in the other family: the same bytes of the transport, another header. */
static size_t requote(const struct packet *from, size_t l4_len, const struct packet *other,
		      const struct packet *got, size_t got_at, __u8 *to, size_t *from_len)
{
	struct packet copy = *other;
	size_t from_ip = from->b[12] == 8 ? 20 : 40, to_ip = other->b[12] == 8 ? 20 : 40;

	*from_len = from_ip + l4_len;
	translated(&copy, 14, got, got_at);
	memcpy(to, copy.b + 14, to_ip + l4_len);
	return to_ip + l4_len;
}

static void error_outside(const struct ends *e, const struct quote *q, const struct form *form,
			  size_t l4_len, int hook)
{
	struct gfix_icmp icmp = { .src = e->router,
				  .dst = e->waypoint,
				  .ttl = 33,
				  .type = form->type,
				  .code = form->code,
				  .rest = form->rest };
	struct packet in, want, sealed;
	struct gfix_result result;
	__u8 quoted[PACKET_MAX];

	icmp.data = q->outside_answer.b + 14;
	icmp.data_len = (e->v6 ? 40 : 20) + l4_len;
	gfix_icmp_build(&icmp, &in);
	gfix_seal(&fx, e->peer, e->host, &in, &sealed);
	gfix_run(&fx, ups[hook], &sealed, &result);
	if (form->other_type < 0) {
		assert_string_equal(gfix_reason_name(result.reason), "UNTRANSLATABLE");
		return;
	}
	assert_string_equal(gfix_reason_name(result.reason), "DELIVERED");
	icmp.data_len = requote(&q->outside_answer, l4_len, &q->inside_answer, &result.out,
				14 + (e->v6 ? 28 : 48), quoted, &icmp.data_len);
	icmp.data = quoted;
	icmp.src = e->seen_router;
	icmp.dst = e->inside;
	icmp.type = form->other_type;
	icmp.code = form->other_code;
	icmp.rest = form->other_rest;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	check_delivered(e, &want, &result);
}

static void error_inside(const struct ends *e, const struct quote *q, const struct form *form,
			 size_t l4_len, int hook)
{
	struct gfix_icmp icmp = { .src = e->hop,
				  .dst = e->seen,
				  .ttl = 33,
				  .type = form->type,
				  .code = form->code,
				  .rest = form->rest };
	struct gfix_result result;
	struct packet in, want, sealed;
	__u8 quoted[PACKET_MAX];
	size_t none;

	icmp.data = q->inside_asked.b + 14;
	icmp.data_len = (e->v6 ? 20 : 40) + l4_len;
	gfix_icmp_build(&icmp, &in);
	from_lan(&in);
	gfix_run(&fx, lans[hook], &in, &result);
	if (form->other_type < 0) {
		assert_string_equal(gfix_reason_name(result.reason), "UNTRANSLATABLE");
		return;
	}
	assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
	icmp.data_len = requote(&q->inside_asked, l4_len, &q->outside_asked, &result.out,
				seal_inner_at(&result.out) + (e->v6 ? 48 : 28), quoted, &none);
	icmp.data = quoted;
	icmp.src = e->waypoint;
	icmp.dst = e->initiator;
	icmp.type = form->other_type;
	icmp.code = form->other_code;
	icmp.rest = form->other_rest;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	translated(&want, 14, &result.out, seal_inner_at(&result.out));
	gfix_answer(&fx, e->peer, e->host, seal_sequence(&result.out), &want, &sealed);
	assert_true(gfix_same(&result.out, &sealed));
}

static void errors_of(const struct ends *e, const struct quote *q)
{
	static const size_t lens[] = { 8, 20, 48 };
	const struct form *outside = e->v6 ? to4 : to6, *inside = e->v6 ? to6 : to4;
	size_t outsides = e->v6 ? sizeof(to4) / sizeof(*to4) : sizeof(to6) / sizeof(*to6);
	size_t insides = e->v6 ? sizeof(to6) / sizeof(*to6) : sizeof(to4) / sizeof(*to4);

	for (size_t i = 0; i < outsides; i++)
		for (int hook = 0; hook < 2; hook++)
			error_outside(e, q, &outside[i], lens[i % 3], hook);
	for (size_t i = 0; i < insides; i++)
		for (int hook = 0; hook < 2; hook++)
			error_inside(e, q, &inside[i], lens[i % 3], hook);
}

static void errors(void **state)
{
	struct quote q;

	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		fill(state);
		begin(&all[i], IPPROTO_TCP, &q);
		errors_of(&all[i], &q);
		begin(&all[i], IPPROTO_UDP, &q);
		errors_of(&all[i], &q);
	}
}

/* ---- fragments */

static void pieces_of(const struct ends *e, const struct isthmus_addr *src,
		      const struct isthmus_addr *dst, __u16 sport, __u16 dport, __u8 ttl,
		      struct packet pieces[3])
{
	struct packet_spec spec = { .src = *src,
				    .dst = *dst,
				    .sport = sport,
				    .dport = dport,
				    .proto = IPPROTO_UDP,
				    .ttl = ttl,
				    .data_len = 1200 - 8 };
	struct packet whole;

	(void)e;
	packet_build(&spec, &whole);
	for (int i = 0; i < 3; i++)
		packet_fragment(&whole, i * 400, i * 400 + 400, 0x4712, &pieces[i]);
}

static void fragments_of(const struct ends *e, int hook)
{
	struct packet in[3], want[3];
	struct gfix_result result;
	__u16 port;

	pieces_of(e, &e->initiator, &e->waypoint, SPORT, DPORT, 9, in);
	for (int i = 0; i < 3; i++) {
		delivered(e, ups[hook], &in[i], &result);
		if (!i) {
			port = mask_port(e, SPORT, DPORT, IPPROTO_UDP);
			pieces_of(e, &e->seen, &e->inside, port, DPORT, 8, want);
		}
		check_delivered(e, &want[i], &result);
	}
	pieces_of(e, &e->inside, &e->seen, DPORT, port, 9, in);
	pieces_of(e, &e->waypoint, &e->initiator, DPORT, SPORT, 8, want);
	for (int i = 0; i < 3; i++) {
		from_lan(&in[i]);
		check_answered(e, lans[hook], &in[i], &want[i]);
	}
}

static void fragments(void **state)
{
	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		fill(state);
		fragments_of(&all[i], 0);
		fragments_of(&all[i], 1);
	}
}

/* ---- what has no other form, and what is too long in it */

static void untranslatable(void **state)
{
	struct packet_spec spec = { .src = GFIX_INITIATOR,
				    .dst = GFIX_WAYPOINT,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = IPPROTO_UDP,
				    .check = PACKET_CHECK_NONE,
				    .data_len = 20 };
	struct packet in, sealed;
	struct gateway_conf conf;

	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		packet_build(&spec, &in);
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN6, &in, &sealed);
		assert_true(gfix_becomes(&fx, ups[hook], &sealed, GATEWAY_UNTRANSLATABLE, NULL));
		spec.check = PACKET_CHECK_GOOD;
		packet_build(&spec, &in);
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN6, &in, &sealed);
		assert_true(gfix_becomes(&fx, ups[hook], &sealed, GATEWAY_DELIVERED, NULL));
		spec.check = PACKET_CHECK_NONE;
	}
	/* Without a prefix an IPv4 initiator has no form; masked it needs none. */
	gfix_get_conf(&fx, &conf);
	memset(conf.prefix64, 0, sizeof(conf.prefix64));
	gfix_set_conf(&fx, &conf);
	gfix_seal(&fx, GFIX_W1, GFIX_PLAIN6, &in, &sealed);
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &sealed, GATEWAY_UNTRANSLATABLE, NULL));
	gfix_seal(&fx, GFIX_W1, GFIX_MASKED6, &in, &sealed);
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &sealed, GATEWAY_DELIVERED, NULL));
}

/* The responder is told its own family's MTU: the tunnel's, and the headers' difference. */
static void too_long(void **state)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };

	for (size_t i = 0; i < ALL; i++) {
		const struct ends *e = &all[i];
		__u32 room =
			GFIX_MTU - (e->peer == GFIX_W6 ? TUNNEL_HEADERS_V6 : TUNNEL_HEADERS_V4);
		__u32 mtu = e->v6 ? room - 20 : room + 20;
		struct packet_spec spec = {
			.src = e->inside, .dst = e->seen, .sport = DPORT, .frag = 0x4000
		};
		struct gfix_icmp icmp = { .src = e->gateway,
					  .dst = e->inside,
					  .type = e->v6 ? 3 : 2,
					  .code = e->v6 ? 4 : 0,
					  .rest = mtu,
					  .data_len = 128 };
		struct packet in, want;
		struct quote q;

		fill(state);
		begin(e, IPPROTO_TCP, &q);
		spec.dport = mask_port(e, SPORT, DPORT, IPPROTO_TCP);
		for (int hook = 0; hook < 2; hook++) {
			spec.data_len = mtu - (e->v6 ? 40 : 60);
			packet_build(&spec, &in);
			from_lan(&in);
			assert_true(gfix_becomes(&fx, lans[hook], &in, GATEWAY_ANSWERED, NULL));
			spec.data_len++;
			packet_build(&spec, &in);
			from_lan(&in);
			icmp.data = in.b + 14;
			gfix_icmp_build(&icmp, &want);
			if (!e->v6)
				memset(want.b + 15, 0, 3);
			gfix_frame(&want, mac, fx.lan_mac);
			assert_true(gfix_tells(&fx, lans[hook], &in, GATEWAY_TOO_LONG, &want));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(exchanges, fill),
		cmocka_unit_test_setup(echoes, fill),
		cmocka_unit_test_setup(errors, fill),
		cmocka_unit_test_setup(fragments, fill),
		cmocka_unit_test_setup(untranslatable, fill),
		cmocka_unit_test_setup(too_long, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
