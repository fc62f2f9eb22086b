// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/gateway_ends.h"
#include "selftests/lib/seal.h"

/* 198.51.100.7 and 203.0.113.99 under 2001:db8:64::/96. */
#define EMBEDDED(a, b, c, d)                                                                       \
	{                                                                                          \
		{                                                                                  \
			0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, a, b, c, d              \
		}                                                                                  \
	}

const struct ends ends_all[ENDS_ALL] = {
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

const enum gfix_program ends_ups[2] = { GFIX_UP_XDP, GFIX_UP_TC };
const enum gfix_program ends_lans[2] = { GFIX_LAN_XDP, GFIX_LAN_TC };

void ends_to_responder(const struct gfix *fx, const struct ends *e, struct packet *frame)
{
	__u8 mac[6];

	gfix_host_mac(e->host, mac);
	gfix_frame(frame, mac, fx->lan_mac);
}

void ends_from_lan(const struct gfix *fx, struct packet *frame)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };

	gfix_frame(frame, fx->lan_mac, mac);
}

__u16 ends_port(const struct gfix *fx, const struct ends *e, __u16 sport, __u16 dport, __u8 proto)
{
	struct gateway_mask_key key = { .initiator = e->initiator,
					.waypoint = e->waypoint,
					.initiator_port = htons(sport),
					.waypoint_port = htons(dport),
					.proto = proto };
	__be16 port;

	if (!e->masked)
		return sport;
	assert_true(gfix_get(fx, "gateway_mask", &key, &port));
	assert_in_range(ntohs(port), GATEWAY_LOW_PORT, GATEWAY_HIGH_PORT);
	return ntohs(port);
}

/* What a translator makes has no flow label; in IPv4 it has DF, or, if it is short, any number. */
void ends_translated(struct packet *want, size_t at, const struct packet *got, size_t got_at)
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

void ends_delivered(struct gfix *fx, const struct ends *e, enum gfix_program up,
		    const struct packet *in, struct gfix_result *result)
{
	struct packet sealed;

	gfix_seal(fx, e->peer, e->host, in, &sealed);
	gfix_run(fx, up, &sealed, result);
	assert_string_equal(gfix_reason_name(result->reason), "DELIVERED");
}

void ends_check_delivered(const struct gfix *fx, const struct ends *e, struct packet *want,
			  const struct gfix_result *result)
{
	ends_to_responder(fx, e, want);
	ends_translated(want, 14, &result->out, 14);
	assert_true(gfix_same(&result->out, want));
}

void ends_check_answered(struct gfix *fx, const struct ends *e, enum gfix_program lan,
			 const struct packet *in, struct packet *want)
{
	struct gfix_result result;
	struct packet sealed;

	gfix_run(fx, lan, in, &result);
	assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
	ends_translated(want, 14, &result.out, seal_inner_at(&result.out));
	gfix_answer(fx, e->peer, e->host, seal_sequence(&result.out), want, &sealed);
	assert_true(gfix_same(&result.out, &sealed));
}

void ends_begin(struct gfix *fx, const struct ends *e, __u8 proto, struct quote *q)
{
	struct packet_spec spec = { .src = e->initiator,
				    .dst = e->waypoint,
				    .sport = ENDS_SPORT,
				    .dport = ENDS_DPORT,
				    .proto = proto,
				    .ttl = 5,
				    .id = 77,
				    .data_len = 40 };
	struct gfix_result result;
	__u16 port;

	packet_build(&spec, &q->outside_asked);
	ends_delivered(fx, e, GFIX_UP_XDP, &q->outside_asked, &result);
	port = ends_port(fx, e, ENDS_SPORT, ENDS_DPORT, proto);
	spec.src = e->seen;
	spec.dst = e->inside;
	spec.sport = port;
	packet_build(&spec, &q->inside_asked);
	spec.src = e->inside;
	spec.dst = e->seen;
	spec.sport = ENDS_DPORT;
	spec.dport = port;
	packet_build(&spec, &q->inside_answer);
	spec.src = e->waypoint;
	spec.dst = e->initiator;
	spec.dport = ENDS_SPORT;
	packet_build(&spec, &q->outside_answer);
}
