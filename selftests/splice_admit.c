// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_admit.c - who is let in: packets without a leg, at both hooks.
 *
 * A row says what is announced and stored before one packet of side 0 comes, and what each hook
 * makes of it. Nothing that is refused may leave a trace in the tables, or be sent anywhere.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define SECOND_NS  1000000000ull
#define PORT_OTHER 4444

enum kind { SYN, DATAGRAM, ACK, RST, FIN, ICMP, KINDS };

static struct splice_fixture fx;

struct row {
	const char *name;
	void (*prepare)(const struct splice_session *session);
	enum kind kind;
	struct packet_spec packet; /* address, port, lies: what differs from side 0's */
	enum splice_reason xdp, tc;
};

static void change_side(const struct splice_session *session, int side,
			void (*change)(struct splice_side *value))
{
	struct splice_local_key key;
	struct splice_side value;

	splice_fixture_side(session, side, &key, &value);
	change(&value);
	splice_fixture_put(&fx, "splice_side", &key, &value);
}

static void announced(const struct splice_session *session)
{
	splice_fixture_announce(&fx, session);
}

static void nothing(const struct splice_session *session)
{
	(void)session;
}

static void make_over(struct splice_side *side)
{
	side->expires_ns = splice_fixture_now() - 1;
}

static void over(const struct splice_session *session)
{
	announced(session);
	change_side(session, 0, make_over);
}

static void make_unknown(struct splice_side *side)
{
	side->known = 0;
}

static void no_probe_yet(const struct splice_session *session)
{
	announced(session);
	change_side(session, 0, make_unknown);
}

static void make_neighbour(struct splice_side *side)
{
	side->expected.b[15]++;
}

static void other_source(const struct splice_session *session)
{
	announced(session);
	change_side(session, 0, make_neighbour);
}

static void make_far(struct splice_side *side)
{
	side->expected.b[12]++;
}

static void far_source(const struct splice_session *session)
{
	announced(session);
	change_side(session, 0, make_far);
}

static void join_gone(const struct splice_session *session)
{
	announced(session);
	assert_int_equal(bpf_map_delete_elem(splice_fixture_map(&fx, "splice_join"), &session->id),
			 0);
}

/* A SYN of this side is stored: so old, from this port. */
static void stored(const struct splice_session *session, int side, __u64 age_ns, __u16 port)
{
	struct splice_join join;

	announced(session);
	splice_fixture_get_join(&fx, session, &join);
	join.state = SPLICE_SYN_LOOKUP;
	join.syn[side].seen_ns = splice_fixture_now() - age_ns;
	join.syn[side].remote_port = htons(port);
	join.syn[side].hop = session->end[side].hop;
	splice_fixture_set_join(&fx, session, &join);
}

static void own_port_stored(const struct splice_session *session)
{
	stored(session, 0, SECOND_NS, session->end[0].remote_port);
}

static void other_port_stored(const struct splice_session *session)
{
	stored(session, 0, SECOND_NS, PORT_OTHER);
}

static void other_port_stored_20s(const struct splice_session *session)
{
	stored(session, 0, 20 * SECOND_NS, PORT_OTHER);
}

static void other_port_stored_22s(const struct splice_session *session)
{
	stored(session, 0, 22 * SECOND_NS, PORT_OTHER);
}

static void far_side_20s(const struct splice_session *session)
{
	stored(session, 1, 20 * SECOND_NS, session->end[1].remote_port);
}

static void far_side_22s(const struct splice_session *session)
{
	stored(session, 1, 22 * SECOND_NS, session->end[1].remote_port);
}

/* Another CPU stored it with a clock that is ahead. */
static void far_side_ahead(const struct splice_session *session)
{
	stored(session, 1, -SECOND_NS, session->end[1].remote_port);
}

static void joined_by_another(const struct splice_session *session)
{
	struct splice_join join;

	stored(session, 0, SECOND_NS, PORT_OTHER);
	splice_fixture_get_join(&fx, session, &join);
	join.state = SPLICE_SYN_RCVD;
	splice_fixture_set_join(&fx, session, &join);
}

static void far_side_gone(const struct splice_session *session)
{
	struct splice_local_key key;
	struct splice_side side;

	far_side_20s(session);
	splice_fixture_side(session, 1, &key, &side);
	assert_int_equal(bpf_map_delete_elem(splice_fixture_map(&fx, "splice_side"), &key), 0);
}

static void make_strange(struct splice_side *side)
{
	side->rendezvous++;
}

static void far_side_of_another(const struct splice_session *session)
{
	far_side_20s(session);
	change_side(session, 1, make_strange);
}

static void make_portless(struct splice_side *side)
{
	side->other.port = 0;
}

static void far_side_not_chosen(const struct splice_session *session)
{
	announced(session);
	change_side(session, 0, make_portless);
}

#define PLAIN(...)                                                                                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define AS_IS	    PLAIN(.id = 0)
#define OTHER_LOCAL .dst = { { 0xff } } /* replaced by an address that is not ours */

static const struct row rows[] = {
	{ "a first SYN", announced, SYN, AS_IS, SPLICE_TO_TC, SPLICE_SYN_HELD },
	{ "a first datagram", announced, DATAGRAM, AS_IS, SPLICE_TO_TC, SPLICE_UDP_HELD },
	{ "an ACK before any SYN", announced, ACK, AS_IS, SPLICE_NO_SESSION, SPLICE_NO_SESSION },
	{ "a RST before any SYN", announced, RST, AS_IS, SPLICE_NO_SESSION, SPLICE_NO_SESSION },
	{ "a FIN before any SYN", announced, FIN, AS_IS, SPLICE_NO_SESSION, SPLICE_NO_SESSION },
	{ "an ICMP echo", announced, ICMP, AS_IS, SPLICE_OTHER, SPLICE_OTHER },

	{ "an unannounced SYN", nothing, SYN, AS_IS, SPLICE_UNANNOUNCED, SPLICE_UNANNOUNCED },
	{ "an unannounced datagram", nothing, DATAGRAM, AS_IS, SPLICE_UNANNOUNCED,
	  SPLICE_UNANNOUNCED },
	{ "an ACK to nothing", nothing, ACK, AS_IS, SPLICE_NO_SESSION, SPLICE_NO_SESSION },
	{ "a RST to nothing", nothing, RST, AS_IS, SPLICE_NO_SESSION, SPLICE_NO_SESSION },
	{ "a SYN below our ports", nothing, SYN, PLAIN(.dport = FIXTURE_LOW - 1), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a SYN at our lowest port", nothing, SYN, PLAIN(.dport = FIXTURE_LOW), SPLICE_UNANNOUNCED,
	  SPLICE_UNANNOUNCED },
	{ "a SYN at our highest port", nothing, SYN, PLAIN(.dport = FIXTURE_HIGH),
	  SPLICE_UNANNOUNCED, SPLICE_UNANNOUNCED },
	{ "a SYN above our ports", nothing, SYN, PLAIN(.dport = FIXTURE_HIGH + 1), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a datagram below our ports", nothing, DATAGRAM, PLAIN(.dport = FIXTURE_LOW - 1),
	  SPLICE_OTHER, SPLICE_OTHER },
	{ "a datagram above our ports", nothing, DATAGRAM, PLAIN(.dport = 53000), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a SYN to another's address", announced, SYN, PLAIN(OTHER_LOCAL), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a datagram to another's address", announced, DATAGRAM, PLAIN(OTHER_LOCAL), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "an ACK to another's address", announced, ACK, PLAIN(OTHER_LOCAL), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a SYN to the port beside", announced, SYN, PLAIN(.dport = 20003), SPLICE_UNANNOUNCED,
	  SPLICE_UNANNOUNCED },

	{ "a SYN after the end", over, SYN, AS_IS, SPLICE_EXPIRED, SPLICE_EXPIRED },
	{ "a datagram after the end", over, DATAGRAM, AS_IS, SPLICE_EXPIRED, SPLICE_EXPIRED },
	{ "a SYN before the probe", no_probe_yet, SYN, AS_IS, SPLICE_UNANNOUNCED,
	  SPLICE_UNANNOUNCED },
	{ "a datagram before the probe", no_probe_yet, DATAGRAM, AS_IS, SPLICE_UNANNOUNCED,
	  SPLICE_UNANNOUNCED },
	{ "a SYN of the expected address's neighbour", other_source, SYN, AS_IS,
	  SPLICE_WRONG_SOURCE, SPLICE_WRONG_SOURCE },
	{ "a SYN of an address far from the expected", far_source, SYN, AS_IS, SPLICE_WRONG_SOURCE,
	  SPLICE_WRONG_SOURCE },
	{ "a datagram of another address", other_source, DATAGRAM, AS_IS, SPLICE_WRONG_SOURCE,
	  SPLICE_WRONG_SOURCE },
	{ "a SYN whose rendezvous is gone", join_gone, SYN, AS_IS, SPLICE_TO_TC, SPLICE_EXPIRED },

	{ "the stored SYN's port again", own_port_stored, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SYN_HELD },
	{ "another port's SYN is stored", other_port_stored, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SIDE_TAKEN },
	{ "another port's datagram is stored", other_port_stored, DATAGRAM, AS_IS, SPLICE_TO_TC,
	  SPLICE_SIDE_TAKEN },
	{ "another port's SYN is 20 s old", other_port_stored_20s, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SIDE_TAKEN },
	{ "another port's SYN is 22 s old", other_port_stored_22s, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SYN_HELD },
	{ "another port has joined", joined_by_another, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SIDE_TAKEN },
	{ "the other side's SYN is 20 s old", far_side_20s, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_JOINED },
	{ "the other side's SYN is ahead of our clock", far_side_ahead, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_JOINED },
	{ "the other side's SYN is 22 s old", far_side_22s, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_SYN_HELD },
	{ "the other side's datagram is 20 s old", far_side_20s, DATAGRAM, AS_IS, SPLICE_TO_TC,
	  SPLICE_JOINED },
	{ "the other side's datagram is 22 s old", far_side_22s, DATAGRAM, AS_IS, SPLICE_TO_TC,
	  SPLICE_UDP_HELD },
	{ "the other side's endpoint is gone", far_side_gone, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_EXPIRED },
	{ "the other endpoint is another session's", far_side_of_another, SYN, AS_IS, SPLICE_TO_TC,
	  SPLICE_EXPIRED },
	{ "the other endpoint is not chosen yet (pure)", far_side_not_chosen, SYN, AS_IS,
	  SPLICE_TO_TC, SPLICE_SYN_HELD },

	{ "a malformed SYN, announced", announced, SYN, PLAIN(.doff = 15), SPLICE_MALFORMED,
	  SPLICE_MALFORMED },
	{ "a malformed SYN, unannounced", nothing, SYN, PLAIN(.doff = 15), SPLICE_MALFORMED,
	  SPLICE_MALFORMED },
	{ "a malformed datagram, announced", announced, DATAGRAM, PLAIN(.udp_len = 999),
	  SPLICE_MALFORMED, SPLICE_MALFORMED },
	{ "a malformed datagram, unannounced", nothing, DATAGRAM, PLAIN(.udp_len = 7),
	  SPLICE_MALFORMED, SPLICE_MALFORMED },
	{ "a malformed SYN for others", nothing, SYN, PLAIN(.doff = 15, .dport = 80), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "a tag before a first SYN", announced, SYN, PLAIN(.tag = { { 0x8100, 7 } }), SPLICE_TO_TC,
	  SPLICE_NO_HOP },
	{ "two tags before an unannounced SYN", nothing, SYN,
	  PLAIN(.tag = { { 0x88a8, 7 }, { 0x8100, 8 } }), SPLICE_UNANNOUNCED, SPLICE_UNANNOUNCED },
	{ "three tags are not looked through", nothing, SYN,
	  PLAIN(.tag = { { 0x88a8, 7 }, { 0x8100, 8 }, { 0x8100, 9 } }), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "an EtherType that is not IP", announced, SYN, PLAIN(.ethertype = 0x88b5), SPLICE_OTHER,
	  SPLICE_OTHER },
	{ "an IP version of another EtherType", announced, SYN, PLAIN(.version = 5), SPLICE_OTHER,
	  SPLICE_OTHER },
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static void build(const struct row *row, const struct splice_session *session,
		  struct packet *packet)
{
	static const __u8 flags[KINDS] = { [SYN] = PACKET_SYN,
					   [ACK] = PACKET_ACK,
					   [RST] = PACKET_RST,
					   [FIN] = PACKET_FIN | PACKET_ACK };
	struct packet_spec spec = row->packet;

	splice_fixture_spec(&fx, session, 0, &spec);
	spec.flags = flags[row->kind];
	spec.data_len = spec.data_len ? spec.data_len : 12;
	if (row->kind == ICMP)
		spec.proto = packet_addr_v4(&spec.src) ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (row->packet.dport)
		spec.dport = row->packet.dport;
	if (row->packet.dst.b[0] == 0xff)
		spec.dst.b[15] += 5;
	packet_build(&spec, packet);
}

static void clear_clones(void)
{
	for (int i = 0; i < 2; i++)
		while (!splice_fixture_silent(&fx, i))
			;
}

static void run_row(const struct row *row, enum fixture_hook hook, bool v6, bool pure)
{
	enum splice_reason reason = hook == FIXTURE_XDP ? row->xdp : row->tc;
	struct splice_session session;
	struct splice_result result;
	struct packet packet;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, v6, row->kind == DATAGRAM ? IPPROTO_UDP : IPPROTO_TCP, pure,
			       &session);
	row->prepare(&session);
	build(row, &session, &packet);
	splice_fixture_run(&fx, hook, 0, &packet, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, reason, false));
	if (reason == SPLICE_JOINED) {
		assert_int_equal(splice_fixture_live_legs(&fx), 2);
		clear_clones();
		return;
	}
	assert_int_equal(splice_fixture_live_legs(&fx), 0);
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
	if (reason != SPLICE_SYN_HELD && reason != SPLICE_UDP_HELD)
		assert_true(splice_model_same(&result.out, &packet));
}

static void test_row(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		run_row(*state, bits & 1 ? FIXTURE_TC : FIXTURE_XDP, bits & 2, bits & 4);
}

static enum splice_reason run_syn(const struct splice_session *session, int side,
				  struct splice_result *result)
{
	struct packet_spec spec = { .flags = PACKET_SYN, .seq = 1000 + side, .data_len = 4 };
	struct packet packet;

	splice_fixture_spec(&fx, session, side, &spec);
	packet_build(&spec, &packet);
	splice_fixture_run(&fx, FIXTURE_TC, side, &packet, result);
	clear_clones();
	return result->reason;
}

/* Side 0's endpoint is empty again after a join that failed, so that its next SYN may join. */
static void test_failed_join_waits(void **state)
{
	struct splice_session session;
	struct splice_result result;
	struct splice_local_key key;
	struct splice_side side;

	(void)state;
	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	far_side_gone(&session);
	assert_int_equal(run_syn(&session, 0, &result), SPLICE_EXPIRED);
	assert_int_equal(result.event.kind, SPLICE_EVENT_REFUSED);
	assert_int_equal(result.event.reason, SPLICE_EXPIRED);
	splice_fixture_side(&session, 1, &key, &side);
	splice_fixture_put(&fx, "splice_side", &key, &side);
	assert_int_equal(run_syn(&session, 1, &result),
			 SPLICE_SYN_HELD); /* side 0's is forgotten */
	assert_int_equal(run_syn(&session, 0, &result), SPLICE_JOINED);
	assert_int_equal(splice_fixture_live_legs(&fx), 2);
}

/* Another session's leg is at an endpoint: neither leg is made, and that one is kept. */
static void test_endpoint_of_another_session(void **state)
{
	struct splice_session session;
	struct splice_result result;
	struct splice_leg leg, kept;

	(void)state;
	for (int taken = 0; taken < 2; taken++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
		announced(&session);
		assert_int_equal(run_syn(&session, 0, &result), SPLICE_SYN_HELD);
		splice_fixture_leg(&session, taken, &leg);
		leg.remote.b[15]++;
		splice_fixture_put_leg(&fx, &session, taken, &leg);
		assert_int_equal(run_syn(&session, 1, &result), SPLICE_SIDE_TAKEN);
		assert_int_equal(result.event.kind, SPLICE_EVENT_REFUSED);
		assert_int_equal(splice_fixture_live_legs(&fx), 1);
		assert_true(splice_fixture_get_leg(&fx, &session, taken, &kept));
		assert_memory_equal(&kept, &leg, sizeof(leg));
	}
}

/* One side came by IPv4, the other by IPv6: not joined, because nothing translates between them
 * here. */
static void test_families_differ(void **state)
{
	struct splice_session session, other;
	struct splice_result result;

	(void)state;
	for (int first = 0; first < 2; first++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
		splice_fixture_session(&fx, true, IPPROTO_TCP, false, &other);
		session.end[1] = other.end[1];
		announced(&session);
		assert_int_equal(run_syn(&session, first, &result), SPLICE_SYN_HELD);
		run_syn(&session, !first, &result);
		assert_int_equal(result.verdict,
				 splice_fixture_verdict(FIXTURE_TC, SPLICE_SIDE_TAKEN, false));
		assert_int_equal(result.event.kind, SPLICE_EVENT_REFUSED);
		assert_int_equal(splice_fixture_live_legs(&fx), 0);
	}
}

/* The control of WRONG_SOURCE: with the check off, the same packet is let in. */
static void test_source_check_off(void **state)
{
	struct splice_fixture_options options = { .any_source = true };
	struct splice_session session;
	struct splice_result result;

	(void)state;
	splice_fixture_close(&fx);
	assert_int_equal(splice_fixture_open(&fx, &options), 0);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	other_source(&session);
	assert_int_equal(run_syn(&session, 0, &result), SPLICE_SYN_HELD);
}

static int set_up(void **state)
{
	(void)state;
	/* Rows store SYNs 22 s ago; a clock that started later cannot say so. */
	while (splice_fixture_now() < 23 * SECOND_NS)
		sleep(1);
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
		cmocka_unit_test(test_failed_join_waits),
		cmocka_unit_test(test_endpoint_of_another_session),
		cmocka_unit_test(test_families_differ),
		cmocka_unit_test(test_source_check_off),
	};
	static struct CMUnitTest tests[ROWS + 4];
	size_t n = 0;

	for (; n < ROWS; n++)
		tests[n] =
			(struct CMUnitTest){ rows[n].name, test_row, NULL, NULL, (void *)&rows[n] };
	memcpy(&tests[n], single, sizeof(single));
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
