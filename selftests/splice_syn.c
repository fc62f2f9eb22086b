// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_syn.c - two SYNs become two SYNACKs (thesis, figure 4.4): what each carries.
 *
 *	side 0          tc          side 1
 *	  |---- SYN ---->| held       |
 *	  |              |<--- SYN ---|
 *	  |<-- SYNACK ---|-- SYNACK ->|      left: the clone, read at far end 0; right: the packet
 *
 * and the other way round.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

static struct splice_fixture fx;

/* What a present Linux offers; the two differ in everything. */
static const struct splice_model_syn usual[2] = {
	{ .isn = 0x11111111,
	  .window = 64240,
	  .mss = 1460,
	  .wscale = 7,
	  .sack = true,
	  .ts = true,
	  .tsval = 0xaaaa0001 },
	{ .isn = 0xffffffff,
	  .window = 29200,
	  .mss = 1400,
	  .wscale = 9,
	  .sack = true,
	  .ts = true,
	  .tsval = 0xbbbb0002 },
};

static void assert_reason(const struct splice_result *result, enum splice_reason reason)
{
	assert_string_equal(splice_reason_name(result->reason), splice_reason_name(reason));
	assert_int_equal(result->verdict, splice_fixture_verdict(FIXTURE_TC, reason, false));
}

static void assert_synack(const struct splice_session *session, int side,
			  const struct packet *packet, const struct splice_model_syn *to,
			  const struct splice_model_syn *from)
{
	struct splice_model_syn got, want;

	assert_true(splice_model_read_synack(session, side, packet, &got));
	splice_model_synack(to, from, &want);
	assert_true(splice_model_same_syn(&got, &want));
}

static void assert_event(const struct splice_result *result, const struct splice_session *session,
			 int side, enum splice_event_kind kind)
{
	assert_int_equal(result->events, 1);
	assert_int_equal(result->event.rendezvous, session->id);
	assert_int_equal(result->event.kind, kind);
	assert_int_equal(result->event.side, side);
	assert_memory_equal(&result->event.remote, &session->end[side].remote, 16);
	assert_int_equal(result->event.remote_port, htons(session->end[side].remote_port));
}

/* First the SYN of `first`, then the other side's; both SYNACKs are compared. */
static void join_packets(const struct splice_session *session, int first,
			 const struct packet packets[2], const struct splice_model_syn syns[2])
{
	struct splice_result result;
	struct packet clone;

	splice_fixture_announce(&fx, session);
	splice_fixture_run(&fx, FIXTURE_TC, first, &packets[first], &result);
	assert_reason(&result, SPLICE_SYN_HELD);
	assert_event(&result, session, first, SPLICE_EVENT_SYN);
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));

	splice_fixture_run(&fx, FIXTURE_TC, !first, &packets[!first], &result);
	assert_reason(&result, SPLICE_JOINED);
	assert_event(&result, session, !first, SPLICE_EVENT_JOINED);
	assert_synack(session, !first, &result.out, &syns[!first], &syns[first]);
	assert_true(splice_fixture_receive(&fx, first, &clone));
	assert_synack(session, first, &clone, &syns[first], &syns[!first]);
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
}

static void join(const struct splice_session *session, int first,
		 const struct splice_model_syn syns[2])
{
	struct packet packets[2];

	for (int i = 0; i < 2; i++)
		splice_model_syn_packet(&fx, session, i, &syns[i], &packets[i]);
	join_packets(session, first, packets, syns);
}

static bool same_delta(__u16 a, __u16 b)
{
	return a % 0xffff == b % 0xffff;
}

static void assert_leg(const struct splice_session *session, int from, __u64 before)
{
	struct splice_leg leg, want;

	splice_fixture_leg(session, from, &want);
	assert_true(splice_fixture_get_leg(&fx, session, from, &leg));
	assert_memory_equal(&leg.remote, &want.remote, 16);
	assert_int_equal(leg.remote_port, want.remote_port);
	assert_int_equal(leg.rendezvous, want.rendezvous);
	assert_memory_equal(&leg.new_src, &want.new_src, 16);
	assert_memory_equal(&leg.new_dst, &want.new_dst, 16);
	assert_int_equal(leg.new_sport, want.new_sport);
	assert_int_equal(leg.new_dport, want.new_dport);
	assert_true(same_delta(leg.addr_delta, want.addr_delta));
	assert_true(same_delta(leg.port_delta, want.port_delta));
	assert_memory_equal(&leg.hop, &want.hop, sizeof(leg.hop));
	assert_int_equal(leg.epoch, want.epoch);
	assert_int_equal(leg.flags, want.flags | SPLICE_LEG_ROUTED);
	assert_in_range(leg.seen_ns, before, splice_fixture_now());
	assert_in_range(leg.checked_ns, before, splice_fixture_now());
	assert_int_equal(leg.packets, 0);
	assert_int_equal(leg.bytes, 0);
}

static void each_kind(void (*run)(const struct splice_session *, int))
{
	struct splice_session session;

	for (unsigned int bits = 0; bits < 8; bits++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, bits & 1, IPPROTO_TCP, bits & 2, &session);
		run(&session, bits >> 2);
	}
}

static void run_join(const struct splice_session *session, int first)
{
	__u64 before = splice_fixture_now();
	struct splice_join state;

	join(session, first, usual);
	assert_leg(session, 0, before);
	assert_leg(session, 1, before);
	splice_fixture_get_join(&fx, session, &state);
	assert_int_equal(state.state, SPLICE_SYN_RCVD);
	assert_in_range(state.joined_ns, before, splice_fixture_now());
}

static void test_join(void **state)
{
	(void)state;
	each_kind(run_join);
}

static void vary(const struct splice_model_syn *usual_syn, unsigned int bits,
		 struct splice_model_syn *syn)
{
	*syn = *usual_syn;
	syn->mss = bits & 1 ? syn->mss : 0;
	syn->wscale = bits & 2 ? syn->wscale : -1;
	syn->sack = bits & 4;
	syn->ts = bits & 8;
	syn->tsval = bits & 8 ? syn->tsval : 0;
	syn->ecn = bits & 16;
}

static void run_every_offer(const struct splice_session *session, int first)
{
	struct splice_model_syn syns[2];

	if (session->pure)
		return;
	for (unsigned int bits = 0; bits < 1024; bits++) {
		vary(&usual[0], bits & 31, &syns[0]);
		vary(&usual[1], bits >> 5, &syns[1]);
		splice_fixture_clear(&fx);
		join(session, first, syns);
	}
}

/* All that two sides may offer, 32 by 32. */
static void test_every_offer(void **state)
{
	(void)state;
	each_kind(run_every_offer);
}

static void run_values(const struct splice_session *session, int first)
{
	static const struct splice_model_syn edges[] = {
		{ .isn = 0xffffffff,
		  .window = 0xffff,
		  .mss = 0xffff,
		  .wscale = 14,
		  .ts = true,
		  .tsval = 0xffffffff },
		{ .isn = 0, .window = 0, .mss = 1, .wscale = 0, .ts = true, .tsval = 0 },
		{ .isn = 0x80000000, .window = 1, .mss = 536, .wscale = 15, .sack = true },
		{ .isn = 0xfffffffe,
		  .window = 0x8000,
		  .mss = 9000,
		  .wscale = 255 - 256,
		  .ecn = true },
	};
	struct splice_model_syn syns[2];

	for (unsigned int i = 0; i < 16; i++) {
		syns[0] = edges[i % 4];
		syns[1] = edges[i / 4];
		splice_fixture_clear(&fx);
		join(session, first, syns);
	}
}

static void test_values_at_their_edges(void **state)
{
	(void)state;
	each_kind(run_values);
}

/* Option lists as bytes: what is taken from them, or that they are refused. */
struct option_row {
	const char *name;
	const char *bytes;
	int len;
	struct splice_model_syn offer; /* of options only */
	bool bad;
};

#define OFFER(...)                                                                                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define MSS_1300  "\x02\x04\x05\x14"
#define WSCALE_3  "\x03\x03\x03"
#define SACK_OK	  "\x04\x02"
#define TIMES	  "\x08\x0a\x12\x34\x56\x78\x00\x00\x00\x00"
#define MPTCP	  "\x1e\x0c\x01\x00\x11\x22\x33\x44\x55\x66\x77\x88"
#define FAST_OPEN "\x22\x0a\x01\x02\x03\x04\x05\x06\x07\x08"
#define NOP	  "\x01"
#define ALL	  .mss = 1300, .wscale = 3, .sack = true, .ts = true, .tsval = 0x12345678

static const struct option_row option_rows[] = {
	{ "none", "", 0, OFFER(.wscale = -1), false },
	{ "scale first, MSS last", WSCALE_3 TIMES SACK_OK NOP MSS_1300, 20, OFFER(ALL), false },
	{ "times first", TIMES WSCALE_3 MSS_1300 SACK_OK NOP, 20, OFFER(ALL), false },
	{ "without any alignment", SACK_OK WSCALE_3 MSS_1300 TIMES NOP, 20, OFFER(ALL), false },
	{ "NOPs between all", NOP NOP MSS_1300 NOP WSCALE_3 NOP NOP SACK_OK NOP TIMES NOP NOP, 28,
	  OFFER(ALL), false },
	{ "forty NOPs",
	  NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP
		  NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP,
	  40, OFFER(.wscale = -1), false },
	{ "end of list at once", "\0" MSS_1300 WSCALE_3, 8, OFFER(.wscale = -1), false },
	{ "end of list after MSS", MSS_1300 "\0" WSCALE_3, 8, OFFER(.mss = 1300, .wscale = -1),
	  false },
	{ "rubbish after the end", MSS_1300 "\0\xff\0\x01", 8, OFFER(.mss = 1300, .wscale = -1),
	  false },
	{ "MPTCP is not passed on", MSS_1300 MPTCP SACK_OK NOP NOP, 20,
	  OFFER(.mss = 1300, .wscale = -1, .sack = true), false },
	{ "Fast Open is not passed on", FAST_OPEN SACK_OK MSS_1300, 16,
	  OFFER(.mss = 1300, .wscale = -1, .sack = true), false },
	{ "an unknown option", "\xfd\x04\xab\xcd" MSS_1300, 8, OFFER(.mss = 1300, .wscale = -1),
	  false },
	{ "an MSS of another length is none", "\x02\x05\x05\x14\x00" NOP NOP NOP, 8,
	  OFFER(.wscale = -1), false },
	{ "a scale of another length is none", "\x03\x04\x03\x03", 4, OFFER(.wscale = -1), false },
	{ "times of another length are none", "\x08\x0c\x12\x34\x56\x78\x00\x00\x00\x00\x00\x00",
	  12, OFFER(.wscale = -1), false },
	{ "a scale of 200 counts as 14", "\x03\x03\xc8" NOP, 4, OFFER(.wscale = 14), false },
	{ "times up to the last byte",
	  NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP NOP
		  NOP NOP NOP NOP NOP NOP NOP NOP TIMES,
	  40, OFFER(.wscale = -1, .ts = true, .tsval = 0x12345678), false },
	{ "length 0", MSS_1300 "\x05\x00\x00\x00", 8, OFFER(.wscale = -1), true },
	{ "length 1", MSS_1300 "\x05\x01\x00\x00", 8, OFFER(.wscale = -1), true },
	{ "MSS with length 0", "\x02\x00\x05\x14", 4, OFFER(.wscale = -1), true },
	{ "one byte too long", NOP NOP "\x04\x03", 4, OFFER(.wscale = -1), true },
	{ "length 255", "\x05\xff\x00\x00", 4, OFFER(.wscale = -1), true },
	{ "a kind without length at the end", NOP NOP NOP "\x02", 4, OFFER(.wscale = -1), true },
	{ "times cut off", NOP NOP "\x08\x0a\x12\x34\x56\x78", 8, OFFER(.wscale = -1), true },
	{ "MD5",
	  "\x13\x12"
	  "0123456789abcdef" NOP NOP,
	  20, OFFER(.wscale = -1), true },
	{ "authentication option",
	  "\x1d\x10"
	  "0123456789abcd",
	  16, OFFER(.wscale = -1), true },
	{ "authentication option behind others", MSS_1300 NOP WSCALE_3 "\x1d\x04\x01\x02", 12,
	  OFFER(.wscale = -1), true },
};

#define OPTION_ROWS (sizeof(option_rows) / sizeof(*option_rows))

static void options_packet(const struct option_row *row, const struct splice_session *session,
			   int side, struct packet *packet)
{
	struct packet_spec spec = {
		.flags = PACKET_SYN,
		.seq = 0x01020304,
		.window = 1000,
		.opt = row->bytes,
		.opt_len = row->len,
	};

	splice_fixture_spec(&fx, session, side, &spec);
	packet_build(&spec, packet);
}

static void run_refused(const struct splice_session *session, int side, const struct packet *packet)
{
	struct splice_result result;
	struct splice_join state;

	splice_fixture_announce(&fx, session);
	splice_fixture_run(&fx, FIXTURE_TC, side, packet, &result);
	assert_reason(&result, SPLICE_BAD_SYN);
	assert_event(&result, session, side, SPLICE_EVENT_REFUSED);
	assert_int_equal(result.event.reason, SPLICE_BAD_SYN);
	splice_fixture_get_join(&fx, session, &state);
	assert_int_equal(state.state, SPLICE_LISTEN);
	assert_int_equal(state.syn[side].seen_ns, 0);
}

static void test_options(void **state)
{
	const struct option_row *row = *state;
	struct splice_model_syn syns[2] = { row->offer, usual[1] };
	struct splice_session session;
	struct packet packets[2];

	syns[0].isn = 0x01020304;
	syns[0].window = 1000;
	for (unsigned int bits = 0; bits < 4; bits++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, bits & 1, IPPROTO_TCP, false, &session);
		options_packet(row, &session, 0, &packets[0]);
		splice_model_syn_packet(&fx, &session, 1, &syns[1], &packets[1]);
		if (row->bad)
			run_refused(&session, 0, &packets[0]);
		else
			join_packets(&session, bits >> 1, packets, syns);
	}
}

/* SYNs of other shapes: each joins all the same, or is refused. */
struct shape_row {
	const char *name;
	struct packet_spec packet;
	enum splice_reason reason; /* of the first SYN */
};

#define SHAPE(...) OFFER(__VA_ARGS__)

static const struct shape_row shape_rows[] = {
	{ "data in a SYN is not acknowledged", SHAPE(.flags = PACKET_SYN, .data_len = 777),
	  SPLICE_SYN_HELD },
	{ "padding after a SYN is cut off", SHAPE(.flags = PACKET_SYN, .trailer = 200),
	  SPLICE_SYN_HELD },
	{ "IP options are not answered",
	  SHAPE(.flags = PACKET_SYN, .ip_opt = "\x94\x04\x00\x00\x07\x07\x04\x01\x02\x03\x04",
		.ip_opt_len = 11),
	  SPLICE_SYN_HELD },
	{ "forty bytes of IP options",
	  SHAPE(.flags = PACKET_SYN,
		.ip_opt = "\x07\x27\x04"
			  "....................................\x01",
		.ip_opt_len = 40, .data_len = 3),
	  SPLICE_SYN_HELD },
	{ "destination options", SHAPE(.flags = PACKET_SYN, .exts = 1, .ext = { 60 }),
	  SPLICE_SYN_HELD },
	{ "type of service", SHAPE(.flags = PACKET_SYN, .tos = 0xb9), SPLICE_SYN_HELD },
	{ "SYN, PSH, URG", SHAPE(.flags = PACKET_SYN | PACKET_PSH | PACKET_URG), SPLICE_SYN_HELD },
	{ "CWR alone asks for nothing", SHAPE(.flags = PACKET_SYN | PACKET_CWR), SPLICE_SYN_HELD },
	{ "ECE alone asks for nothing", SHAPE(.flags = PACKET_SYN | PACKET_ECE), SPLICE_SYN_HELD },
	{ "reserved bits are not answered", SHAPE(.flags = PACKET_SYN | 0xf00), SPLICE_SYN_HELD },
	{ "an acknowledgement number without ACK", SHAPE(.flags = PACKET_SYN, .ack = 0x5555),
	  SPLICE_SYN_HELD },
	{ "a SYN whose checksum is wrong", SHAPE(.flags = PACKET_SYN, .check = PACKET_CHECK_BAD),
	  SPLICE_BAD_SYN },
	{ "a SYN with data whose checksum is wrong",
	  SHAPE(.flags = PACKET_SYN, .check = PACKET_CHECK_BAD, .data_len = 501), SPLICE_BAD_SYN },
	{ "a full frame of SYN data", SHAPE(.flags = PACKET_SYN, .data_len = 1400),
	  SPLICE_SYN_HELD },
	{ "SYN, FIN", SHAPE(.flags = PACKET_SYN | PACKET_FIN), SPLICE_BAD_SYN },
	{ "SYN, RST", SHAPE(.flags = PACKET_SYN | PACKET_RST), SPLICE_BAD_SYN },
	{ "all flags but ACK", SHAPE(.flags = 0xef), SPLICE_BAD_SYN },
	{ "SYN, ACK", SHAPE(.flags = PACKET_SYN | PACKET_ACK), SPLICE_NO_SESSION },
	{ "all flags", SHAPE(.flags = 0xff), SPLICE_NO_SESSION },
};

#define SHAPE_ROWS (sizeof(shape_rows) / sizeof(*shape_rows))

static void join_shape(const struct splice_session *session, int first, const struct packet *packet)
{
	struct splice_model_syn syns[2] = { { .window = 64240, .wscale = -1 }, usual[1] };
	struct packet packets[2];

	packets[0] = *packet;
	syns[1].ecn = true; /* so that only the shape's flags decide */
	splice_model_syn_packet(&fx, session, 1, &syns[1], &packets[1]);
	join_packets(session, first, packets, syns);
}

static void test_shape(void **state)
{
	const struct shape_row *row = *state;
	struct splice_session session;
	struct splice_result result;
	struct packet packet;

	for (unsigned int bits = 0; bits < 4; bits++) {
		struct packet_spec spec = row->packet;

		if (bits & 1 ? spec.ip_opt_len : spec.exts)
			continue;
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, bits & 1, IPPROTO_TCP, false, &session);
		splice_fixture_spec(&fx, &session, 0, &spec);
		packet_build(&spec, &packet);
		if (row->reason == SPLICE_SYN_HELD) {
			join_shape(&session, bits >> 1, &packet);
		} else if (row->reason == SPLICE_BAD_SYN) {
			run_refused(&session, 0, &packet);
		} else {
			splice_fixture_announce(&fx, &session);
			splice_fixture_run(&fx, FIXTURE_TC, 0, &packet, &result);
			assert_reason(&result, row->reason);
		}
	}
}

/* A repeated SYN before the other side's: held again, told once; the newest counts. */
static void run_again_before(const struct splice_session *session, int first)
{
	struct splice_model_syn syns[2] = { usual[0], usual[1] };
	struct splice_result result;
	struct packet packets[2];

	splice_fixture_announce(&fx, session);
	splice_model_syn_packet(&fx, session, first, &syns[first], &packets[first]);
	splice_fixture_run(&fx, FIXTURE_TC, first, &packets[first], &result);
	assert_reason(&result, SPLICE_SYN_HELD);
	for (int i = 0; i < 3; i++) {
		syns[first].tsval += 1000;
		syns[first].isn += i;
		splice_model_syn_packet(&fx, session, first, &syns[first], &packets[first]);
		splice_fixture_run(&fx, FIXTURE_TC, first, &packets[first], &result);
		assert_reason(&result, SPLICE_SYN_HELD);
		assert_int_equal(result.events, 0);
	}
	splice_model_syn_packet(&fx, session, !first, &syns[!first], &packets[!first]);
	splice_fixture_run(&fx, FIXTURE_TC, !first, &packets[!first], &result);
	assert_reason(&result, SPLICE_JOINED);
	assert_synack(session, !first, &result.out, &syns[!first], &syns[first]);
	assert_true(splice_fixture_receive(&fx, first, &packets[0]));
	assert_synack(session, first, &packets[0], &syns[first], &syns[!first]);
}

static void test_repeated_before_join(void **state)
{
	(void)state;
	each_kind(run_again_before);
}

/* A lost SYNACK: the SYN comes again, with a newer timestamp, and is answered from the stored one.
 */
static void run_again_after(const struct splice_session *session, int first)
{
	struct splice_model_syn syns[2] = { usual[0], usual[1] };
	struct splice_result result;
	struct packet packet;

	join(session, first, usual);
	for (int i = 0; i < 6; i++) {
		syns[i & 1].tsval = usual[i & 1].tsval + 1000 * i;
		splice_model_syn_packet(&fx, session, i & 1, &syns[i & 1], &packet);
		splice_fixture_run(&fx, FIXTURE_TC, i & 1, &packet, &result);
		assert_reason(&result, SPLICE_SYN_AGAIN);
		assert_int_equal(result.events, 0);
		assert_synack(session, i & 1, &result.out, &syns[i & 1], &usual[!(i & 1)]);
		assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
	}
}

static void test_repeated_after_join(void **state)
{
	(void)state;
	each_kind(run_again_after);
}

/* Another connection from the same port is not this session's. */
static void run_new_isn(const struct splice_session *session, int first)
{
	struct splice_model_syn syn = usual[first];
	struct splice_result result;
	struct packet packet;
	struct splice_leg leg;

	join(session, first, usual);
	syn.isn ^= 1;
	splice_model_syn_packet(&fx, session, first, &syn, &packet);
	splice_fixture_run(&fx, FIXTURE_TC, first, &packet, &result);
	assert_reason(&result, SPLICE_SIDE_TAKEN);
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_true(splice_fixture_get_leg(&fx, session, 1, &leg));
	splice_model_syn_packet(&fx, session, first, &usual[first], &packet);
	splice_fixture_run(&fx, FIXTURE_TC, first, &packet, &result);
	assert_reason(&result, SPLICE_SYN_AGAIN);
}

static void test_new_isn_after_join(void **state)
{
	(void)state;
	each_kind(run_new_isn);
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
	static const struct CMUnitTest single[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_every_offer),
		cmocka_unit_test(test_values_at_their_edges),
		cmocka_unit_test(test_repeated_before_join),
		cmocka_unit_test(test_repeated_after_join),
		cmocka_unit_test(test_new_isn_after_join),
	};
	static struct CMUnitTest tests[6 + OPTION_ROWS + SHAPE_ROWS];
	size_t n = sizeof(single) / sizeof(*single);

	memcpy(tests, single, sizeof(single));
	for (size_t i = 0; i < OPTION_ROWS; i++)
		tests[n++] = (struct CMUnitTest){ option_rows[i].name, test_options, NULL, NULL,
						  (void *)&option_rows[i] };
	for (size_t i = 0; i < SHAPE_ROWS; i++)
		tests[n++] = (struct CMUnitTest){ shape_rows[i].name, test_shape, NULL, NULL,
						  (void *)&shape_rows[i] };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
