// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/* link: selftests/lib/gateway_ends.c */
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

#include "selftests/lib/gateway_ends.h"
#include "selftests/lib/seal.h"

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
				    .sport = ENDS_SPORT,
				    .dport = ENDS_DPORT,
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
	ends_delivered(&fx, e, ends_ups[hook], &in, &result);
	port = row->proto == 50 ? 0 : ends_port(&fx, e, ENDS_SPORT, ENDS_DPORT, row->proto);
	spec = spec_of(row, &e->seen, &e->inside, false);
	spec.sport = port;
	spec.ttl--;
	clamp(e, &spec, opt);
	packet_build(&spec, &want);
	ends_check_delivered(&fx, e, &want, &result);

	spec = spec_of(row, &e->inside, &e->seen, true);
	spec.sport = ENDS_DPORT;
	spec.dport = port;
	packet_build(&spec, &in);
	ends_from_lan(&fx, &in);
	spec = spec_of(row, &e->waypoint, &e->initiator, false);
	spec.sport = ENDS_DPORT;
	spec.dport = ENDS_SPORT;
	spec.ttl--;
	clamp(e, &spec, opt);
	packet_build(&spec, &want);
	ends_check_answered(&fx, e, ends_lans[hook], &in, &want);
}

static void exchanges(void **state)
{
	for (size_t i = 0; i < ENDS_ALL; i++) {
		for (size_t j = 0; j < sizeof(rows) / sizeof(*rows); j++) {
			print_message("%s: %s\n", ends_all[i].name, rows[j].name);
			fill(state);
			exchange(&ends_all[i], &rows[j], 0);
			exchange(&ends_all[i], &rows[j], 1);
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
	ends_delivered(&fx, e, ends_ups[hook], &in, &result);
	id = ends_port(&fx, e, 0x4711, 0x4711, e->v6 ? 58 : 1);
	echo.src = e->seen;
	echo.dst = e->inside;
	echo.ttl = 8;
	echo.type = e->v6 ? 8 : 128;
	echo.rest = id << 16 | 5;
	gfix_icmp_build(&echo, &want);
	ends_check_delivered(&fx, e, &want, &result);

	echo.src = e->inside;
	echo.dst = e->seen;
	echo.type = e->v6 ? 0 : 129;
	gfix_icmp_build(&echo, &in);
	ends_from_lan(&fx, &in);
	echo.src = e->waypoint;
	echo.dst = e->initiator;
	echo.ttl = 7;
	echo.type = e->v6 ? 129 : 0;
	echo.rest = 0x4711 << 16 | 5;
	gfix_icmp_build(&echo, &want);
	ends_check_answered(&fx, e, ends_lans[hook], &in, &want);
}

static void echoes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENDS_ALL; i++) {
		print_message("%s\n", ends_all[i].name);
		ping(&ends_all[i], 0);
		ping(&ends_all[i], 1);
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

	pieces_of(e, &e->initiator, &e->waypoint, ENDS_SPORT, ENDS_DPORT, 9, in);
	for (int i = 0; i < 3; i++) {
		ends_delivered(&fx, e, ends_ups[hook], &in[i], &result);
		if (!i) {
			port = ends_port(&fx, e, ENDS_SPORT, ENDS_DPORT, IPPROTO_UDP);
			pieces_of(e, &e->seen, &e->inside, port, ENDS_DPORT, 8, want);
		}
		ends_check_delivered(&fx, e, &want[i], &result);
	}
	pieces_of(e, &e->inside, &e->seen, ENDS_DPORT, port, 9, in);
	pieces_of(e, &e->waypoint, &e->initiator, ENDS_DPORT, ENDS_SPORT, 8, want);
	for (int i = 0; i < 3; i++) {
		ends_from_lan(&fx, &in[i]);
		ends_check_answered(&fx, e, ends_lans[hook], &in[i], &want[i]);
	}
}

static void fragments(void **state)
{
	for (size_t i = 0; i < ENDS_ALL; i++) {
		print_message("%s\n", ends_all[i].name);
		fill(state);
		fragments_of(&ends_all[i], 0);
		fragments_of(&ends_all[i], 1);
	}
}

/* ---- what has no other form, and what is too long in it */

static void untranslatable(void **state)
{
	struct packet_spec spec = { .src = GFIX_INITIATOR,
				    .dst = GFIX_WAYPOINT,
				    .sport = ENDS_SPORT,
				    .dport = ENDS_DPORT,
				    .proto = IPPROTO_UDP,
				    .check = PACKET_CHECK_NONE,
				    .data_len = 20 };
	struct packet in, sealed;
	struct gateway_conf conf;

	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		packet_build(&spec, &in);
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN6, &in, &sealed);
		assert_true(
			gfix_becomes(&fx, ends_ups[hook], &sealed, GATEWAY_UNTRANSLATABLE, NULL));
		spec.check = PACKET_CHECK_GOOD;
		packet_build(&spec, &in);
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN6, &in, &sealed);
		assert_true(gfix_becomes(&fx, ends_ups[hook], &sealed, GATEWAY_DELIVERED, NULL));
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

	for (size_t i = 0; i < ENDS_ALL; i++) {
		const struct ends *e = &ends_all[i];
		__u32 room =
			GFIX_MTU - (e->peer == GFIX_W6 ? TUNNEL_HEADERS_V6 : TUNNEL_HEADERS_V4);
		__u32 mtu = e->v6 ? room - 20 : room + 20;
		struct packet_spec spec = {
			.src = e->inside, .dst = e->seen, .sport = ENDS_DPORT, .frag = 0x4000
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
		ends_begin(&fx, e, IPPROTO_TCP, &q);
		spec.dport = ends_port(&fx, e, ENDS_SPORT, ENDS_DPORT, IPPROTO_TCP);
		for (int hook = 0; hook < 2; hook++) {
			spec.data_len = mtu - (e->v6 ? 40 : 60);
			packet_build(&spec, &in);
			ends_from_lan(&fx, &in);
			assert_true(
				gfix_becomes(&fx, ends_lans[hook], &in, GATEWAY_ANSWERED, NULL));
			spec.data_len++;
			packet_build(&spec, &in);
			ends_from_lan(&fx, &in);
			icmp.data = in.b + 14;
			gfix_icmp_build(&icmp, &want);
			if (!e->v6)
				memset(want.b + 15, 0, 3);
			gfix_frame(&want, mac, fx.lan_mac);
			assert_true(gfix_tells(&fx, ends_lans[hook], &in, GATEWAY_TOO_LONG, &want));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(exchanges, fill),
		cmocka_unit_test_setup(echoes, fill),
		cmocka_unit_test_setup(fragments, fill),
		cmocka_unit_test_setup(untranslatable, fill),
		cmocka_unit_test_setup(too_long, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
