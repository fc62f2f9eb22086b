// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_state.c - a session's life: what its packets leave on the legs (figure 5.2).
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define STEPS	 8
#define LEG_KEPT (SPLICE_LEG_PURE | SPLICE_LEG_PROVIDER | SPLICE_LEG_ROUTED)

static struct splice_fixture fx;

/* One packet, and the flags that both legs have afterwards. */
struct step {
	int from;
	__u16 tcp_flags;
	__u8 leg[2];
};

struct row {
	const char *name;
	struct step steps[STEPS]; /* tcp_flags 0 ends */
};

#define A SPLICE_LEG_ACKED
#define F SPLICE_LEG_FIN
#define R SPLICE_LEG_RST

static const struct row rows[] = {
	{ "each side's first ACK", { { 0, PACKET_ACK, { A, 0 } }, { 1, PACKET_ACK, { A, A } } } },
	{ "data without ACK does not answer a SYNACK",
	  { { 0, PACKET_PSH, { 0, 0 } }, { 0, PACKET_ACK, { A, 0 } } } },
	{ "half-close: the sender of FIN still acknowledges, the other still sends",
	  { { 0, PACKET_ACK, { A, 0 } },
	    { 1, PACKET_ACK, { A, A } },
	    { 0, PACKET_FIN | PACKET_ACK, { A | F, A } },
	    { 1, PACKET_ACK | PACKET_PSH, { A | F, A } },
	    { 0, PACKET_ACK, { A | F, A } },
	    { 0, PACKET_FIN | PACKET_ACK, { A | F, A } },
	    { 1, PACKET_FIN | PACKET_ACK, { A | F, A | F } },
	    { 0, PACKET_ACK, { A | F, A | F } } } },
	{ "simultaneous close",
	  { { 0, PACKET_FIN | PACKET_ACK, { A | F, 0 } },
	    { 1, PACKET_FIN | PACKET_ACK, { A | F, A | F } },
	    { 0, PACKET_ACK, { A | F, A | F } },
	    { 1, PACKET_ACK, { A | F, A | F } } } },
	{ "a RST stays while nothing follows",
	  { { 1, PACKET_ACK, { 0, A } },
	    { 0, PACKET_RST, { R, A } },
	    { 0, PACKET_RST | PACKET_ACK, { R | A, A } } } },
	{ "a forged RST is disproved by its side's next packet",
	  { { 0, PACKET_ACK, { A, 0 } },
	    { 0, PACKET_RST, { A | R, 0 } },
	    { 0, PACKET_ACK | PACKET_PSH, { A, 0 } } } },
	{ "a RST is not disproved by the other side",
	  { { 0, PACKET_RST, { R, 0 } },
	    { 1, PACKET_ACK, { R, A } },
	    { 1, PACKET_ACK, { R, A } } } },
	{ "a RST of each side",
	  { { 0, PACKET_RST, { R, 0 } },
	    { 1, PACKET_RST | PACKET_ACK, { R, R | A } },
	    { 1, PACKET_ACK, { R, A } } } },
	{ "FIN and RST",
	  { { 0, PACKET_FIN | PACKET_ACK, { F | A, 0 } }, { 0, PACKET_RST, { F | A | R, 0 } } } },
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static void forward(const struct splice_session *session, int from, enum fixture_hook hook,
		    const struct packet_spec *changes, enum splice_reason reason)
{
	struct packet_spec spec = *changes;
	struct splice_result result;
	struct packet in, want;

	splice_fixture_spec(&fx, session, from, &spec);
	packet_build(&spec, &in);
	assert_int_equal(splice_model_forward(session, from, hook, &in, &want), SPLICE_FORWARDED);
	splice_fixture_run(&fx, hook, from, &in, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, reason, false));
	assert_true(splice_model_same(&result.out, &want));
}

static __u8 leg_flags(const struct splice_session *session, int from)
{
	struct splice_leg leg;

	assert_true(splice_fixture_get_leg(&fx, session, from, &leg));
	return leg.flags & ~LEG_KEPT;
}

static void run_row(const struct row *row, enum fixture_hook hook, bool v6, int swap)
{
	struct splice_session session;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, v6, IPPROTO_TCP, false, &session);
	splice_fixture_legs(&fx, &session);
	for (const struct step *step = row->steps; step < row->steps + STEPS && step->tcp_flags;
	     step++) {
		struct packet_spec spec = { .flags = step->tcp_flags, .data_len = 3 };

		forward(&session, step->from ^ swap, hook, &spec, SPLICE_FORWARDED);
		assert_int_equal(leg_flags(&session, swap), step->leg[0]);
		assert_int_equal(leg_flags(&session, !swap), step->leg[1]);
	}
}

static void test_row(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		run_row(*state, bits & 1 ? FIXTURE_TC : FIXTURE_XDP, bits & 2, bits >> 2);
}

/* Packets and bytes add up for each direction alone; padding is not counted. */
static void test_counters(void **state)
{
	struct splice_session session;
	struct splice_leg leg[2];
	__u64 bytes[2] = { 0 }, packets[2] = { 0 };

	(void)state;
	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, true, IPPROTO_UDP, false, &session);
	splice_fixture_legs(&fx, &session);
	for (int i = 0; i < 100; i++) {
		struct packet_spec spec = { .data_len = i * 13, .trailer = i % 7 };
		int from = i % 3 == 0;

		forward(&session, from, i & 1 ? FIXTURE_TC : FIXTURE_XDP, &spec, SPLICE_FORWARDED);
		bytes[from] += 40 + 8 + i * 13;
		packets[from]++;
	}
	for (int from = 0; from < 2; from++) {
		assert_true(splice_fixture_get_leg(&fx, &session, from, &leg[from]));
		assert_int_equal(leg[from].bytes, bytes[from]);
		assert_int_equal(leg[from].packets, packets[from]);
	}
}

/* A GSO packet counts as many packets as it will be on the wire, for the leg and for the reason. */
static void test_gso_counts_segments(void **state)
{
	struct packet_spec spec = { .flags = PACKET_ACK, .data_len = 1300 };
	struct splice_session session;
	struct splice_leg leg;

	(void)state;
	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	splice_fixture_legs(&fx, &session);
	fx.gso_size = 500;
	fx.gso_segments = 3;
	forward(&session, 0, FIXTURE_TC, &spec, SPLICE_FORWARDED);
	fx.gso_size = fx.gso_segments = 0;
	forward(&session, 0, FIXTURE_TC, &spec, SPLICE_FORWARDED);
	assert_true(splice_fixture_get_leg(&fx, &session, 0, &leg));
	assert_int_equal(leg.packets, 4);
	assert_int_equal(leg.bytes, 2 * 1340);
}

/* The first datagram waits for nobody: it is dropped; the second is forwarded, then both ways. */
static void run_udp(bool v6, bool pure, int first)
{
	struct packet_spec spec = { .data_len = 30 };
	struct splice_session session;
	struct splice_result result;
	struct packet packet;
	struct splice_leg leg;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, v6, IPPROTO_UDP, pure, &session);
	splice_fixture_announce(&fx, &session);
	for (int i = 0; i < 3; i++) {
		struct packet_spec held = spec;

		splice_fixture_spec(&fx, &session, first, &held);
		packet_build(&held, &packet);
		splice_fixture_run_both(&fx, first, &packet, &result);
		assert_int_equal(result.reason, SPLICE_UDP_HELD);
		assert_int_equal(result.verdict,
				 splice_fixture_verdict(FIXTURE_TC, SPLICE_UDP_HELD, false));
	}
	forward(&session, !first, FIXTURE_TC, &spec, SPLICE_JOINED);
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
	assert_true(splice_fixture_get_leg(&fx, &session, !first, &leg));
	assert_int_equal(leg.packets, 1);
	assert_true(splice_fixture_get_leg(&fx, &session, first, &leg));
	assert_int_equal(leg.packets, 0);
	forward(&session, first, FIXTURE_XDP, &spec, SPLICE_FORWARDED);
	forward(&session, !first, FIXTURE_TC, &spec, SPLICE_FORWARDED);
	forward(&session, !first, FIXTURE_XDP, &spec, SPLICE_FORWARDED);
}

static void test_udp_join(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 8; bits++)
		run_udp(bits & 1, bits & 2, bits >> 2);
}

static void send_syn(const struct splice_session *session, int side, enum splice_reason reason)
{
	struct splice_model_syn syn = {
		.isn = 100 + side, .window = 1000, .mss = 1460, .wscale = -1
	};
	struct splice_result result;
	struct packet packet;

	splice_model_syn_packet(&fx, session, side, &syn, &packet);
	splice_fixture_run_both(&fx, side, &packet, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
}

/* A packet of a session that is over: its legs are free, but hold what they held. */
static void late(const struct splice_session *session, int from, enum fixture_hook hook)
{
	struct packet_spec spec = { .flags = PACKET_ACK };
	struct splice_result result;
	struct packet packet;

	splice_fixture_spec(&fx, session, from, &spec);
	packet_build(&spec, &packet);
	splice_fixture_run(&fx, hook, from, &packet, &result);
	assert_string_equal(splice_reason_name(result.reason), "NO_SESSION");
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, result.reason, false));
}

/* From the first SYN to the last ACK as a host sees it where XDP is attached. */
static void run_life(bool v6, bool pure)
{
	struct packet_spec ack = { .flags = PACKET_ACK },
			   fin = { .flags = PACKET_FIN | PACKET_ACK };
	struct splice_session session;
	struct packet packet;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, v6, IPPROTO_TCP, pure, &session);
	splice_fixture_announce(&fx, &session);
	send_syn(&session, 0, SPLICE_SYN_HELD);
	send_syn(&session, 1, SPLICE_JOINED);
	assert_true(splice_fixture_receive(&fx, 0, &packet));
	forward(&session, 1, FIXTURE_XDP, &ack, SPLICE_FORWARDED);
	assert_int_equal(leg_flags(&session, 0), 0);
	send_syn(&session, 0, SPLICE_SYN_AGAIN); /* its SYNACK was lost */
	forward(&session, 0, FIXTURE_XDP, &ack, SPLICE_FORWARDED);
	assert_int_equal(leg_flags(&session, 0), SPLICE_LEG_ACKED);
	assert_int_equal(leg_flags(&session, 1), SPLICE_LEG_ACKED);
	forward(&session, 0, FIXTURE_XDP, &fin, SPLICE_FORWARDED);
	forward(&session, 1, FIXTURE_XDP, &fin, SPLICE_FORWARDED);
	forward(&session, 0, FIXTURE_XDP, &ack, SPLICE_FORWARDED);
	splice_fixture_end(&fx, &session);
	for (int bits = 0; bits < 4; bits++)
		late(&session, bits & 1, bits & 2 ? FIXTURE_TC : FIXTURE_XDP);
	send_syn(&session, 0, SPLICE_SIDE_TAKEN); /* a rendezvous is for one session */
}

static void test_whole_life(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 4; bits++)
		run_life(bits & 1, bits & 2);
}

/* Legs need neither rendezvous nor agent: what flows goes on when both are gone or over. */
static void test_legs_outlive_their_rendezvous(void **state)
{
	struct packet_spec ack = { .flags = PACKET_ACK, .data_len = 10 };
	struct splice_local_key key;
	struct splice_session session;
	struct splice_side side;

	(void)state;
	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	splice_fixture_announce(&fx, &session);
	splice_fixture_legs(&fx, &session);
	for (int i = 0; i < 2; i++) {
		splice_fixture_side(&session, i, &key, &side);
		side.expires_ns = 1;
		splice_fixture_put(&fx, "splice_side", &key, &side);
		forward(&session, 0, i ? FIXTURE_TC : FIXTURE_XDP, &ack, SPLICE_FORWARDED);
	}
	for (int i = 0; i < 2; i++) {
		splice_fixture_side(&session, i, &key, &side);
		assert_int_equal(bpf_map_delete_elem(splice_fixture_map(&fx, "splice_side"), &key),
				 0);
	}
	assert_int_equal(bpf_map_delete_elem(splice_fixture_map(&fx, "splice_join"), &session.id),
			 0);
	forward(&session, 0, FIXTURE_XDP, &ack, SPLICE_FORWARDED);
	forward(&session, 1, FIXTURE_TC, &ack, SPLICE_FORWARDED);
}

static void stranger(const struct splice_session *session, enum fixture_hook hook, __u16 tcp_flags,
		     const char *reason)
{
	struct packet_spec spec = { .flags = tcp_flags, .data_len = 4 };
	struct splice_result result;
	struct packet packet;

	splice_fixture_spec(&fx, session, 0, &spec);
	packet_build(&spec, &packet);
	splice_fixture_run(&fx, hook, 0, &packet, &result);
	assert_string_equal(splice_reason_name(result.reason), reason);
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, result.reason, false));
}

/* Packets to a live session's endpoint from elsewhere: another port, a neighbour, another protocol.
 */
static void run_strangers(const struct splice_session *session, enum fixture_hook hook,
			  bool announced)
{
	bool udp = session->proto == IPPROTO_UDP;
	const char *opens =
		announced ? hook == FIXTURE_XDP ? "TO_TC" : "SIDE_TAKEN" : "UNANNOUNCED";
	struct splice_session other = *session;
	struct splice_leg leg;

	other.end[0].remote_port++;
	stranger(&other, hook, PACKET_ACK, udp ? opens : "NO_SESSION");
	stranger(&other, hook, PACKET_RST, udp ? opens : "NO_SESSION");
	stranger(&other, hook, PACKET_SYN, opens);
	other = *session;
	other.end[0].remote.b[15]++;
	if (announced)
		opens = "WRONG_SOURCE";
	stranger(&other, hook, PACKET_ACK, udp ? opens : "NO_SESSION");
	stranger(&other, hook, PACKET_SYN, opens);
	other = *session;
	other.proto = udp ? IPPROTO_TCP : IPPROTO_UDP;
	stranger(&other, hook, PACKET_ACK, udp ? "NO_SESSION" : "UNANNOUNCED");
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_int_equal(leg.packets, 0);
	assert_int_equal(leg.flags & ~LEG_KEPT, 0);
	assert_int_equal(splice_fixture_live_legs(&fx), 2);
}

static void test_strangers_at_a_live_endpoint(void **state)
{
	struct splice_session session;
	struct splice_join join;

	(void)state;
	for (unsigned int bits = 0; bits < 16; bits++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, bits & 1, bits & 2 ? IPPROTO_UDP : IPPROTO_TCP, false,
				       &session);
		if (bits & 8) {
			splice_fixture_announce(&fx, &session);
			splice_fixture_get_join(&fx, &session, &join);
			join.state = SPLICE_SYN_RCVD;
			splice_fixture_set_join(&fx, &session, &join);
		}
		splice_fixture_legs(&fx, &session);
		run_strangers(&session, bits & 4 ? FIXTURE_TC : FIXTURE_XDP, bits & 8);
	}
}

/* Nobody reads the events: each is counted as lost, and the session is made all the same. */
static void test_events_lost(void **state)
{
	struct splice_session session;
	struct splice_result result;
	struct isthmus_count before, after;
	struct packet packet;
	struct packet_spec spec = { .flags = PACKET_SYN };

	(void)state;
	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	splice_fixture_announce(&fx, &session);
	session.end[0].remote.b[15]++; /* WRONG_SOURCE tells an event at tc */
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &packet);
	splice_fixture_count(&fx, SPLICE_EVENT_LOST, &before);
	assert_int_equal(before.packets, 0);
	for (int i = 0; i < SPLICE_EVENT_BYTES / 48 + 100; i++)
		splice_fixture_run_uncounted(&fx, FIXTURE_TC, 0, &packet, &result);
	splice_fixture_count(&fx, SPLICE_EVENT_LOST, &after);
	assert_in_range(after.packets, 100, 200);
	splice_fixture_clear(&fx);
	session.end[0].remote.b[15]--;
	splice_fixture_announce(&fx, &session);
	send_syn(&session, 0, SPLICE_SYN_HELD);
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
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_gso_counts_segments),
		cmocka_unit_test(test_udp_join),
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_legs_outlive_their_rendezvous),
		cmocka_unit_test(test_strangers_at_a_live_endpoint),
		cmocka_unit_test(test_events_lost),
	};
	static struct CMUnitTest tests[ROWS + 7];
	size_t n = 0;

	for (; n < ROWS; n++)
		tests[n] =
			(struct CMUnitTest){ rows[n].name, test_row, NULL, NULL, (void *)&rows[n] };
	memcpy(&tests[n], single, sizeof(single));
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
