// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_icmp.c - echoes by their identifiers; errors about both directions' packets,
 * whose payload is translated as its flow is (5.3); errors that the gateway itself sends.
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

#define SPORT 40000
#define DPORT 33434
#define PING  "0123456789abcdef"

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

/* Who talks to whom in one row, and how the responder sees it. */
struct ends {
	const char *name;
	int host;
	bool v6;
	struct isthmus_addr initiator, waypoint, router; /* outside */
	struct isthmus_addr seen, inside, hop;		 /* inside: initiator, responder, router */
	struct isthmus_addr seen_router;
	struct isthmus_addr gateway;
};

static const struct ends all[] = {
	{ "plain", GFIX_PLAIN, false, GFIX_INITIATOR, GFIX_WAYPOINT, GFIX_ROUTER, GFIX_INITIATOR,
	  PACKET_V4(192, 168, 1, 16 + GFIX_PLAIN), GFIX_HOP, GFIX_ROUTER, GFIX_INSIDE },
	{ "masked", GFIX_MASKED, false, GFIX_INITIATOR, GFIX_WAYPOINT, GFIX_ROUTER, GFIX_INSIDE,
	  PACKET_V4(192, 168, 1, 16 + GFIX_MASKED), GFIX_HOP, GFIX_INSIDE, GFIX_INSIDE },
	{ "aware", GFIX_AWARE, false, GFIX_INITIATOR, GFIX_WAYPOINT, GFIX_ROUTER, GFIX_INITIATOR,
	  GFIX_WAYPOINT, GFIX_HOP, GFIX_ROUTER, GFIX_INSIDE },
	{ "plain IPv6", GFIX_PLAIN6, true, GFIX_INITIATOR6, GFIX_WAYPOINT6, GFIX_ROUTER6,
	  GFIX_INITIATOR6, PACKET_V6(1, 16 + GFIX_PLAIN6), GFIX_HOP6, GFIX_ROUTER6, GFIX_INSIDE6 },
	{ "masked IPv6", GFIX_MASKED6, true, GFIX_INITIATOR6, GFIX_WAYPOINT6, GFIX_ROUTER6,
	  GFIX_INSIDE6, PACKET_V6(1, 16 + GFIX_MASKED6), GFIX_HOP6, GFIX_INSIDE6, GFIX_INSIDE6 },
};

#define ALL (sizeof(all) / sizeof(*all))

static bool masked(const struct ends *e)
{
	return e->host == GFIX_MASKED || e->host == GFIX_MASKED6;
}

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

/* The port or identifier that the masked flow was given. */
static __u16 mask_port(const struct ends *e, __u16 sport, __u16 dport, __u8 proto)
{
	struct gateway_mask_key key = { .initiator = e->initiator,
					.waypoint = e->waypoint,
					.initiator_port = htons(sport),
					.waypoint_port = htons(dport),
					.proto = proto };
	__be16 port;

	if (!masked(e))
		return sport;
	assert_true(gfix_get(&fx, "gateway_mask", &key, &port));
	assert_in_range(ntohs(port), GATEWAY_LOW_PORT, GATEWAY_HIGH_PORT);
	return ntohs(port);
}

/* ---- echo */

static void ping(const struct ends *e, enum gfix_program up, enum gfix_program lan, __u64 sequence)
{
	__u16 id = 0x4711, inside_id;
	struct gfix_icmp asked = { .src = e->initiator,
				   .dst = e->waypoint,
				   .ttl = 9,
				   .type = e->v6 ? 128 : 8,
				   .rest = id << 16 | 5,
				   .data = PING,
				   .data_len = 16 };
	struct packet in, sealed, want;
	struct gfix_result result;

	gfix_icmp_build(&asked, &in);
	gfix_seal(&fx, GFIX_W1, e->host, &in, &sealed);
	gfix_run(&fx, up, &sealed, &result);
	assert_string_equal(gfix_reason_name(result.reason), "DELIVERED");
	inside_id = mask_port(e, id, id, e->v6 ? 58 : 1);
	asked.src = e->seen;
	asked.dst = e->inside;
	asked.ttl = 8;
	asked.rest = inside_id << 16 | 5;
	gfix_icmp_build(&asked, &want);
	to_responder(e, &want);
	assert_true(gfix_same(&result.out, &want));

	asked.src = e->inside;
	asked.dst = e->seen;
	asked.type = e->v6 ? 129 : 0;
	gfix_icmp_build(&asked, &in);
	from_lan(&in);
	asked.src = e->waypoint;
	asked.dst = e->initiator;
	asked.rest = id << 16 | 5;
	asked.ttl = 7;
	gfix_icmp_build(&asked, &want);
	gfix_answer(&fx, GFIX_W1, e->host, sequence, &want, &sealed);
	assert_true(gfix_becomes(&fx, lan, &in, GATEWAY_ANSWERED, &sealed));

	/* What a responder asks itself is the kernel's. */
	asked.src = e->inside;
	asked.dst = e->seen;
	asked.type = e->v6 ? 128 : 8;
	asked.rest = inside_id << 16 | 5;
	gfix_icmp_build(&asked, &in);
	from_lan(&in);
	assert_true(gfix_becomes(&fx, lan, &in, GATEWAY_OTHER, &in));
}

static void echoes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		ping(&all[i], GFIX_UP_XDP, GFIX_LAN_XDP, 2 * i + 1);
		ping(&all[i], GFIX_UP_TC, GFIX_LAN_TC, 2 * i + 2);
	}
}

/* ---- errors about flows */

/* What is quoted, from both sides' view; the flow is begun. */
struct quote {
	struct packet outside_asked, inside_asked;   /* the initiator's packet */
	struct packet outside_answer, inside_answer; /* the responder's */
};

static void begin(const struct ends *e, __u8 proto, enum packet_check check, struct quote *q)
{
	struct packet_spec spec = { .src = e->initiator,
				    .dst = e->waypoint,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = proto,
				    .check = check,
				    .ttl = 5,
				    .data_len = 40 };
	struct packet sealed;

	packet_build(&spec, &q->outside_asked);
	gfix_seal(&fx, GFIX_W1, e->host, &q->outside_asked, &sealed);
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &sealed, GATEWAY_DELIVERED, NULL));
	spec.src = e->waypoint;
	spec.dst = e->initiator;
	spec.sport = DPORT;
	spec.dport = SPORT;
	packet_build(&spec, &q->outside_answer);
	spec.src = e->inside;
	spec.dst = e->seen;
	spec.dport = proto == 50 ? 0 : mask_port(e, SPORT, DPORT, proto);
	packet_build(&spec, &q->inside_answer);
	spec.sport = spec.dport;
	spec.dport = DPORT;
	spec.src = e->seen;
	spec.dst = e->inside;
	packet_build(&spec, &q->inside_asked);
}

/* Lengths of what is quoted: 8 bytes of the transport (RFC 792), some more, all. */
static size_t quoted_len(const struct packet *whole, int much)
{
	size_t ip = whole->b[12] == 8 ? 20 : 40;

	return much == 2 ? whole->len - 14 : ip + (much ? 20 : 8);
}

struct error {
	const char *name;
	__u8 type, code, type6, code6;
	__u32 rest;
};

static const struct error errors[] = {
	{ "port unreachable", 3, 3, 1, 4, 0 },
	{ "time exceeded", 11, 0, 3, 0, 0 },
	{ "too long", 3, 4, 2, 0, 1280 },
	{ "parameter problem", 12, 0, 4, 1, 0 },
};

static void error_from(const struct ends *e, const struct error *error, struct gfix_icmp *icmp)
{
	memset(icmp, 0, sizeof(*icmp));
	icmp->ttl = 33;
	icmp->type = e->v6 ? error->type6 : error->type;
	icmp->code = e->v6 ? error->code6 : error->code;
	icmp->rest = error->rest;
}

/* From the responder or a router inside: goes out with the waypoint's address (traceroute). */
static void error_inside(const struct ends *e, const struct error *error, const struct quote *q,
			 bool router, int much, enum gfix_program lan, __u64 sequence)
{
	struct packet in, want, sealed;
	struct gfix_icmp icmp;

	error_from(e, error, &icmp);
	icmp.src = router ? e->hop : e->inside;
	icmp.dst = e->seen;
	icmp.data = q->inside_asked.b + 14;
	icmp.data_len = quoted_len(&q->inside_asked, much);
	gfix_icmp_build(&icmp, &in);
	from_lan(&in);
	icmp.src = e->waypoint;
	icmp.dst = e->initiator;
	icmp.data = q->outside_asked.b + 14;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	gfix_answer(&fx, GFIX_W1, e->host, sequence, &want, &sealed);
	assert_true(gfix_becomes(&fx, lan, &in, GATEWAY_ANSWERED, &sealed));
}

static void error_outside(const struct ends *e, const struct error *error, const struct quote *q,
			  bool router, int much, enum gfix_program up)
{
	struct packet in, want, sealed;
	struct gfix_icmp icmp;

	error_from(e, error, &icmp);
	icmp.src = router ? e->router : e->initiator;
	icmp.dst = e->waypoint;
	icmp.data = q->outside_answer.b + 14;
	icmp.data_len = quoted_len(&q->outside_answer, much);
	gfix_icmp_build(&icmp, &in);
	gfix_seal(&fx, GFIX_W1, e->host, &in, &sealed);
	icmp.src = router ? e->seen_router : e->seen;
	icmp.dst = e->inside;
	icmp.data = q->inside_answer.b + 14;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	to_responder(e, &want);
	assert_true(gfix_becomes(&fx, up, &sealed, GATEWAY_DELIVERED, &want));
}

static void errors_of(const struct ends *e, __u8 proto, enum packet_check check, __u64 *sequence)
{
	struct quote q;

	begin(e, proto, check, &q);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		for (int much = 0; much < 3; much++) {
			for (int router = 0; router < 2; router++) {
				error_inside(e, &errors[i], &q, router, much, GFIX_LAN_XDP,
					     ++*sequence);
				error_inside(e, &errors[i], &q, router, much, GFIX_LAN_TC,
					     ++*sequence);
				error_outside(e, &errors[i], &q, router, much, GFIX_UP_XDP);
				error_outside(e, &errors[i], &q, router, much, GFIX_UP_TC);
			}
		}
	}
}

static void errors_about_flows(void **state)
{
	__u64 sequence = 0;

	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		errors_of(&all[i], IPPROTO_TCP, PACKET_CHECK_GOOD, &sequence);
		errors_of(&all[i], IPPROTO_UDP, PACKET_CHECK_GOOD, &sequence);
		errors_of(&all[i], IPPROTO_UDP, PACKET_CHECK_NONE, &sequence);
		errors_of(&all[i], 50, PACKET_CHECK_GOOD, &sequence);
	}
}

/* About nothing that is known: from outside dropped, from inside the kernel's own. */
static void errors_about_nothing(void **state)
{
	struct packet quoted, in, sealed;
	struct gfix_icmp icmp = { .type = 3, .code = 3 };

	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		const struct ends *e = &all[i];
		struct packet_spec spec = {
			.src = e->waypoint, .dst = e->initiator, .sport = DPORT, .dport = SPORT
		};

		icmp.type = e->v6 ? 1 : 3;
		packet_build(&spec, &quoted);
		icmp.src = e->initiator;
		icmp.dst = e->waypoint;
		icmp.data = quoted.b + 14;
		icmp.data_len = 60;
		gfix_icmp_build(&icmp, &in);
		gfix_seal(&fx, GFIX_W1, e->host, &in, &sealed);
		assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &sealed, GATEWAY_NO_FLOW, NULL));
		gfix_seal(&fx, GFIX_W1, e->host, &in, &sealed);
		assert_true(gfix_becomes(&fx, GFIX_UP_TC, &sealed, GATEWAY_NO_FLOW, NULL));
		spec.src = e->seen;
		spec.dst = e->inside;
		packet_build(&spec, &quoted);
		icmp.src = e->hop;
		icmp.dst = e->seen;
		gfix_icmp_build(&icmp, &in);
		from_lan(&in);
		assert_true(gfix_becomes(&fx, GFIX_LAN_XDP, &in, GATEWAY_OTHER, &in));
		assert_true(gfix_becomes(&fx, GFIX_LAN_TC, &in, GATEWAY_OTHER, &in));
	}
}

/* About a flow's answer, but from a waypoint address that the flow did not come by. */
static void errors_about_another_waypoint(void **state)
{
	struct packet_spec spec = { .src = GFIX_WAYPOINT2,
				    .dst = GFIX_INITIATOR,
				    .sport = DPORT,
				    .dport = SPORT,
				    .proto = IPPROTO_UDP };
	struct gfix_icmp icmp = { .src = GFIX_ROUTER, .dst = GFIX_WAYPOINT2, .type = 11 };
	struct packet quoted, in, sealed;
	struct quote q;

	(void)state;
	begin(&all[0], IPPROTO_UDP, PACKET_CHECK_GOOD, &q);
	for (int i = 0; i < 4; i++) {
		packet_build(&spec, &quoted);
		icmp.data = quoted.b + 14;
		icmp.data_len = 28;
		gfix_icmp_build(&icmp, &in);
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, &in, &sealed);
		assert_true(gfix_becomes(&fx, i % 2 ? GFIX_UP_XDP : GFIX_UP_TC, &sealed,
					 i < 2 ? GATEWAY_NO_FLOW : GATEWAY_DELIVERED, NULL));
		if (i == 1)
			spec.src = icmp.dst = (struct isthmus_addr)GFIX_WAYPOINT;
	}
}

/* ---- errors of the gateway itself */

/* The gateway's own packets have no flow label. */
static void own_build(const struct gfix_icmp *icmp, struct packet *packet)
{
	gfix_icmp_build(icmp, packet);
	if (packet->b[12] == 0x86)
		memset(packet->b + 15, 0, 3);
}

static void tells_initiator(const struct ends *e, enum gfix_program up, size_t data_len,
			    __u64 sequence)
{
	struct packet_spec spec = { .src = e->initiator,
				    .dst = e->waypoint,
				    .sport = SPORT,
				    .dport = DPORT,
				    .ttl = 1,
				    .data_len = data_len };
	struct gfix_icmp icmp = { .src = e->waypoint, .dst = e->initiator, .type = e->v6 ? 3 : 11 };
	struct packet in, sealed, error, want;

	packet_build(&spec, &in);
	gfix_seal(&fx, GFIX_W1, e->host, &in, &sealed);
	icmp.data = in.b + 14;
	icmp.data_len = in.len - 14 < 128 ? in.len - 14 : 128;
	own_build(&icmp, &error);
	gfix_answer(&fx, GFIX_W1, e->host, sequence, &error, &want);
	assert_true(gfix_tells(&fx, up, &sealed, GATEWAY_TTL, &want));
}

static void tells_responder(const struct ends *e, enum gfix_program lan, bool too_long,
			    size_t data_len)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };
	struct packet_spec spec = { .src = e->inside,
				    .dst = e->seen,
				    .sport = DPORT,
				    .ttl = too_long ? 64 : 1,
				    .frag = 0x4000,
				    .data_len = data_len };
	struct gfix_icmp icmp = { .src = e->gateway, .dst = e->inside, .type = e->v6 ? 3 : 11 };
	struct packet in, want;

	spec.dport = mask_port(e, SPORT, DPORT, IPPROTO_TCP);
	if (too_long) {
		icmp.type = e->v6 ? 2 : 3;
		icmp.code = e->v6 ? 0 : 4;
		icmp.rest = GFIX_MTU - TUNNEL_HEADERS_V4;
	}
	packet_build(&spec, &in);
	from_lan(&in);
	icmp.data = in.b + 14;
	icmp.data_len = in.len - 14 < 128 ? in.len - 14 : 128;
	own_build(&icmp, &want);
	gfix_frame(&want, mac, fx.lan_mac);
	assert_true(gfix_tells(&fx, lan, &in, too_long ? GATEWAY_TOO_LONG : GATEWAY_TTL, &want));
}

static void tells(void **state)
{
	struct quote q;

	for (size_t i = 0; i < ALL; i++) {
		print_message("%s\n", all[i].name);
		fill(state);
		tells_initiator(&all[i], GFIX_UP_XDP, 0, 1);
		tells_initiator(&all[i], GFIX_UP_TC, 7, 2);
		tells_initiator(&all[i], GFIX_UP_XDP, 1300, 3);
		tells_initiator(&all[i], GFIX_UP_TC, 1301, 4);
		assert_int_equal(gfix_entries(&fx, "gateway_flow"), 0);
		begin(&all[i], IPPROTO_TCP, PACKET_CHECK_GOOD, &q);
		tells_responder(&all[i], GFIX_LAN_XDP, false, 5);
		tells_responder(&all[i], GFIX_LAN_TC, false, 1000);
		tells_responder(&all[i], GFIX_LAN_XDP, true, 1420);
		tells_responder(&all[i], GFIX_LAN_TC, true, 1440);
	}
}

/* Ten a second to one address; no errors about errors and later fragments. */
static void tells_not_too_often(void **state)
{
	struct packet_spec spec = {
		.src = all[0].initiator, .dst = all[0].waypoint, .sport = SPORT, .ttl = 1
	};
	struct packet in, sealed;
	struct gfix_result result;
	int told = 0, runs = 60;

	(void)state;
	packet_build(&spec, &in);
	for (int i = 0; i < runs; i++) {
		gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, &in, &sealed);
		gfix_run(&fx, GFIX_UP_XDP, &sealed, &result);
		assert_string_equal(gfix_reason_name(result.reason), "TTL");
		told += result.told;
	}
	/* The runs are of one second, or of two, or of more on a slow machine. */
	assert_in_range(told, GATEWAY_ERRORS_A_S, runs - 1);
	spec.src = (struct isthmus_addr)GFIX_OTHER;
	spec.frag = 8;
	packet_build(&spec, &in);
	gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, &in, &sealed);
	gfix_run(&fx, GFIX_UP_XDP, &sealed, &result);
	assert_string_equal(gfix_reason_name(result.reason), "TTL");
	assert_false(result.told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(echoes, fill),
		cmocka_unit_test_setup(errors_about_flows, fill),
		cmocka_unit_test_setup(errors_about_nothing, fill),
		cmocka_unit_test_setup(errors_about_another_waypoint, fill),
		cmocka_unit_test_setup(tells, fill),
		cmocka_unit_test_setup(tells_not_too_often, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
