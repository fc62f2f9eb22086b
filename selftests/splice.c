// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice.c - packets of joined sessions: every byte that leaves, the verdict, its reason
 * and counters, the leg's record.
 *
 * A row runs at both hooks, from both sides, for IPv4 and IPv6, passive and pure, TCP and UDP, to
 * another link and back by the same one, unless it says otherwise.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

enum only { ANY, ONLY_TCP = 1, ONLY_UDP = 2, ONLY_V4 = 4, ONLY_V6 = 8 };

struct row {
	const char *name;
	struct packet_spec packet;
	unsigned int only; /* enum only */
	enum splice_reason reason;
	__u8 flags; /* SPLICE_LEG_ that the leg has afterwards, besides PURE and PROVIDER */
};

#define LEG_KEPT (SPLICE_LEG_PURE | SPLICE_LEG_PROVIDER)

static struct splice_fixture fx;

#define PLAIN(...)                                                                                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define TIMESTAMPS "\x01\x01\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08"
#define SACK_BLOCK "\x01\x01\x05\x0a\x00\x00\x10\x00\x00\x00\x20\x00"
#define MD5_OPTION                                                                                 \
	"\x13\x12"                                                                                 \
	"0123456789abcdef"                                                                         \
	"\x01\x01"
#define ROUTER_ALERT "\x94\x04\x00\x00"
#define RECORD_ROUTE                                                                               \
	"\x07\x27\x04"                                                                             \
	"....................................\x01"

static const struct row rows[] = {
	{ "a bare ACK", PLAIN(.flags = PACKET_ACK), ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "data", PLAIN(.flags = PACKET_ACK | PACKET_PSH, .data_len = 100, .seq = 0xfffffff0),
	  ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "an odd number of bytes", PLAIN(.flags = PACKET_ACK, .data_len = 101), ONLY_TCP,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "a full frame", PLAIN(.flags = PACKET_ACK, .data_len = 1400), ONLY_TCP, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "timestamps", PLAIN(.flags = PACKET_ACK, .opt = TIMESTAMPS, .opt_len = 12, .data_len = 9),
	  ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "timestamps and a SACK block",
	  PLAIN(.flags = PACKET_ACK, .opt = TIMESTAMPS SACK_BLOCK, .opt_len = 24), ONLY_TCP,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "forty bytes of options",
	  PLAIN(.flags = PACKET_ACK, .opt = MD5_OPTION MD5_OPTION, .opt_len = 40), ONLY_TCP,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "no flags at all", PLAIN(.data_len = 4), ONLY_TCP, SPLICE_FORWARDED, 0 },
	{ "all flags but SYN", PLAIN(.flags = 0xfd, .data_len = 4), ONLY_TCP, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED | SPLICE_LEG_FIN | SPLICE_LEG_RST },
	{ "reserved flag bits", PLAIN(.flags = PACKET_ACK | 0xf00), ONLY_TCP, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "FIN, ACK", PLAIN(.flags = PACKET_FIN | PACKET_ACK), ONLY_TCP, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED | SPLICE_LEG_FIN },
	{ "FIN with data", PLAIN(.flags = PACKET_FIN | PACKET_ACK | PACKET_PSH, .data_len = 33),
	  ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED | SPLICE_LEG_FIN },
	{ "RST", PLAIN(.flags = PACKET_RST), ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_RST },
	{ "RST, ACK", PLAIN(.flags = PACKET_RST | PACKET_ACK), ONLY_TCP, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED | SPLICE_LEG_RST },
	{ "URG, ECE, CWR", PLAIN(.flags = PACKET_ACK | PACKET_URG | PACKET_ECE | PACKET_CWR),
	  ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "a zero window", PLAIN(.flags = PACKET_ACK, .window = PACKET_ZERO), ONLY_TCP,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "a wrong TCP checksum stays as wrong",
	  PLAIN(.flags = PACKET_ACK, .data_len = 8, .check = PACKET_CHECK_BAD), ONLY_TCP,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "a wrong IP checksum stays as wrong",
	  PLAIN(.flags = PACKET_ACK, .data_len = 8, .ip_check = PACKET_CHECK_BAD),
	  ONLY_TCP | ONLY_V4, SPLICE_FORWARDED, SPLICE_LEG_ACKED },

	{ "a datagram", PLAIN(.data_len = 32), ONLY_UDP, SPLICE_FORWARDED, 0 },
	{ "an empty datagram", PLAIN(.id = 1), ONLY_UDP, SPLICE_FORWARDED, 0 },
	{ "a datagram of odd length", PLAIN(.data_len = 1), ONLY_UDP, SPLICE_FORWARDED, 0 },
	{ "a datagram without checksum", PLAIN(.data_len = 32, .check = PACKET_CHECK_NONE),
	  ONLY_UDP | ONLY_V4, SPLICE_FORWARDED, 0 },
	{ "a wrong UDP checksum stays as wrong", PLAIN(.data_len = 8, .check = PACKET_CHECK_BAD),
	  ONLY_UDP, SPLICE_FORWARDED, 0 },
	{ "bytes after the datagram in the IP packet",
	  PLAIN(.data_len = 16, .udp_len = 12, .check = PACKET_CHECK_NONE), ONLY_UDP | ONLY_V4,
	  SPLICE_FORWARDED, 0 },

	{ "the last hop that may be made", PLAIN(.flags = PACKET_ACK, .ttl = 2), ANY,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "TTL 255", PLAIN(.flags = PACKET_ACK, .ttl = 255), ANY, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "TTL 1", PLAIN(.flags = PACKET_ACK, .ttl = 1), ANY, SPLICE_TTL, 0 },
	{ "TTL 0", PLAIN(.flags = PACKET_ACK, .ttl = PACKET_ZERO), ANY, SPLICE_TTL, 0 },
	{ "type of service and ECN bits", PLAIN(.flags = PACKET_ACK, .tos = 0xbb), ANY,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "do not fragment, with an identification",
	  PLAIN(.flags = PACKET_ACK, .id = 0xbeef, .frag = 0x4000), ONLY_V4, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "an IP option",
	  PLAIN(.flags = PACKET_ACK, .ip_opt = ROUTER_ALERT, .ip_opt_len = 4, .data_len = 5),
	  ONLY_V4, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "forty bytes of IP options",
	  PLAIN(.flags = PACKET_ACK, .ip_opt = RECORD_ROUTE, .ip_opt_len = 40, .data_len = 5),
	  ONLY_V4, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "forty bytes of IP options, forty of TCP's",
	  PLAIN(.flags = PACKET_ACK, .ip_opt = RECORD_ROUTE, .ip_opt_len = 40,
		.opt = MD5_OPTION MD5_OPTION, .opt_len = 40, .data_len = 500),
	  ONLY_V4 | ONLY_TCP, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "hop-by-hop options", PLAIN(.flags = PACKET_ACK, .exts = 1, .ext = { 0 }, .data_len = 5),
	  ONLY_V6, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "destination options", PLAIN(.flags = PACKET_ACK, .exts = 1, .ext = { 60 }), ONLY_V6,
	  SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "hop-by-hop and destination options",
	  PLAIN(.flags = PACKET_ACK, .exts = 2, .ext = { 0, 60 }), ONLY_V6, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "an atomic fragment", PLAIN(.flags = PACKET_ACK, .exts = 1, .ext = { 44 }, .id = 9),
	  ONLY_V6, SPLICE_FORWARDED, SPLICE_LEG_ACKED },
	{ "Ethernet padding stays", PLAIN(.flags = PACKET_ACK, .trailer = 6), ANY, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },
	{ "much padding stays", PLAIN(.flags = PACKET_ACK, .trailer = 301), ANY, SPLICE_FORWARDED,
	  SPLICE_LEG_ACKED },

	{ "an IP length beyond the frame", PLAIN(.flags = PACKET_ACK, .tot_len = 400), ANY,
	  SPLICE_MALFORMED, 0 },
	{ "an IP length below its own header", PLAIN(.flags = PACKET_ACK, .tot_len = 19), ONLY_V4,
	  SPLICE_MALFORMED, 0 },
	{ "an IP length without TCP", PLAIN(.flags = PACKET_ACK, .tot_len = 20), ONLY_V4 | ONLY_TCP,
	  SPLICE_MALFORMED, 0 },
	{ "an IP length with half of TCP", PLAIN(.flags = PACKET_ACK, .tot_len = 39),
	  ONLY_V4 | ONLY_TCP, SPLICE_MALFORMED, 0 },
	{ "a payload length with half of TCP", PLAIN(.flags = PACKET_ACK, .tot_len = 19),
	  ONLY_V6 | ONLY_TCP, SPLICE_MALFORMED, 0 },
	{ "an IP length with half of UDP", PLAIN(.tot_len = 27, .data_len = 40), ONLY_V4 | ONLY_UDP,
	  SPLICE_MALFORMED, 0 },
	{ "data offset 0", PLAIN(.flags = PACKET_ACK, .doff = PACKET_ZERO), ONLY_TCP,
	  SPLICE_MALFORMED, 0 },
	{ "data offset 4", PLAIN(.flags = PACKET_ACK, .doff = 4), ONLY_TCP, SPLICE_MALFORMED, 0 },
	{ "data offset beyond the packet", PLAIN(.flags = PACKET_ACK, .doff = 6), ONLY_TCP,
	  SPLICE_MALFORMED, 0 },
	{ "data offset 15 in the padding", PLAIN(.flags = PACKET_ACK, .doff = 15, .trailer = 64),
	  ONLY_TCP, SPLICE_MALFORMED, 0 },
	{ "a UDP length of 7", PLAIN(.data_len = 8, .udp_len = 7), ONLY_UDP, SPLICE_MALFORMED, 0 },
	{ "a UDP length of 0", PLAIN(.data_len = 8, .udp_len = PACKET_ZERO), ONLY_UDP,
	  SPLICE_MALFORMED, 0 },
	{ "a UDP length beyond the packet", PLAIN(.data_len = 8, .udp_len = 17), ONLY_UDP,
	  SPLICE_MALFORMED, 0 },
};

#define ROWS (sizeof(rows) / sizeof(*rows))

struct setting {
	enum fixture_hook hook;
	bool v6, udp, pure, same_link;
	int from;
};

static bool wanted(const struct row *row, const struct setting *at)
{
	unsigned int only = row->only;

	if (only & (ONLY_TCP | ONLY_UDP) && !(only & (at->udp ? ONLY_UDP : ONLY_TCP)))
		return false;
	return !(only & (ONLY_V4 | ONLY_V6)) || only & (at->v6 ? ONLY_V6 : ONLY_V4);
}

static void check_leg(const struct row *row, const struct setting *at,
		      const struct splice_session *session, size_t ip_bytes, __u64 before)
{
	bool sent = row->reason == SPLICE_FORWARDED;
	__u8 flags = (at->pure ? SPLICE_LEG_PURE : 0) | (at->from ? SPLICE_LEG_PROVIDER : 0);
	struct splice_leg leg, other;

	assert_true(splice_fixture_get_leg(&fx, session, at->from, &leg));
	assert_true(splice_fixture_get_leg(&fx, session, !at->from, &other));
	assert_int_equal(leg.flags, flags | (at->udp ? 0 : row->flags));
	assert_int_equal(leg.packets, sent);
	assert_int_equal(leg.bytes, sent ? ip_bytes : 0);
	assert_int_equal(other.packets, 0);
	assert_int_equal(other.bytes, 0);
	assert_int_equal(other.flags & ~LEG_KEPT, 0);
	assert_int_equal(other.seen_ns, 1);
	if (sent)
		assert_in_range(leg.seen_ns, before, splice_fixture_now());
	else
		assert_int_equal(leg.seen_ns, 1);
}

/* As joined, and not seen for long. */
static void put_legs(const struct splice_session *session)
{
	struct splice_leg leg;

	for (int from = 0; from < 2; from++) {
		splice_fixture_leg(session, from, &leg);
		leg.seen_ns = 1;
		splice_fixture_put_leg(&fx, session, from, &leg);
	}
}

static void run_row(const struct row *row, const struct setting *at)
{
	struct packet_spec spec = row->packet;
	struct splice_result result;
	struct splice_session session;
	struct packet in, want;
	size_t ip_bytes;
	__u64 before;

	splice_fixture_session(&fx, at->v6, at->udp ? IPPROTO_UDP : IPPROTO_TCP, at->pure,
			       &session);
	if (at->same_link)
		session.end[!at->from].hop.ifindex = fx.ifindex[at->from];
	put_legs(&session);
	splice_fixture_spec(&fx, &session, at->from, &spec);
	packet_build(&spec, &in);
	ip_bytes = in.len - 14 - spec.trailer;
	assert_int_equal(splice_model_forward(&session, at->from, at->hook, &in, &want),
			 row->reason);
	before = splice_fixture_now();
	splice_fixture_run(&fx, at->hook, at->from, &in, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(row->reason));
	assert_int_equal(result.verdict,
			 splice_fixture_verdict(at->hook, row->reason, at->same_link));
	assert_true(splice_model_same(&result.out, &want));
	check_leg(row, at, &session, ip_bytes, before);
}

static void each_setting(const struct row *row,
			 void (*run)(const struct row *, const struct setting *))
{
	for (unsigned int bits = 0; bits < 64; bits++) {
		struct setting at = {
			.hook = bits & 1 ? FIXTURE_TC : FIXTURE_XDP,
			.v6 = bits & 2,
			.udp = bits & 4,
			.pure = bits & 8,
			.same_link = bits & 16,
			.from = bits >> 5,
		};

		if (wanted(row, &at))
			run(row, &at);
	}
}

static void test_row(void **state)
{
	each_setting(*state, run_row);
}

/* As attached where a device is a veth: redirected, also back to where the packet came from. */
static void test_without_tx(void **state)
{
	struct splice_fixture_options options = { .no_tx = true };
	struct packet_spec spec = { .flags = PACKET_ACK };
	struct splice_session session;
	struct splice_result result;
	struct packet in;

	(void)state;
	splice_fixture_close(&fx);
	assert_int_equal(splice_fixture_open(&fx, &options), 0);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	session.end[1].hop.ifindex = fx.ifindex[0];
	splice_fixture_legs(&fx, &session);
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &in);
	splice_fixture_run(&fx, FIXTURE_XDP, 0, &in, &result);
	assert_int_equal(result.reason, SPLICE_FORWARDED);
	assert_int_equal(result.verdict,
			 splice_fixture_verdict(FIXTURE_XDP, SPLICE_FORWARDED, false));
}

static int set_up(void **state)
{
	(void)state;
	return splice_fixture_open(&fx, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	splice_fixture_close(&fx);
	return 0;
}

int main(void)
{
	static struct CMUnitTest tests[ROWS + 1] = { [ROWS] = cmocka_unit_test(test_without_tx) };

	for (size_t i = 0; i < ROWS; i++)
		tests[i] =
			(struct CMUnitTest){ rows[i].name, test_row, NULL, NULL, (void *)&rows[i] };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
