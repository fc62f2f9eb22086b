// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_frag.c - fragments: the later ones have no ports and follow the first.
 *
 * A datagram of a session is cut in pieces; what leaves is compared piece by piece, put together
 * again, and must be the datagram that would have left whole.
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

#define PIECES 3
#define ID     0x4711

static struct splice_fixture fx;

struct setting {
	enum fixture_hook hook;
	int from;
	struct splice_session session;
};

static const size_t cuts[PIECES + 1] = { 0, 512, 1024, 1208 };

/* A datagram of 1208 bytes with its header, whole and in pieces. */
static void cut(const struct setting *at, __u32 id, struct packet *whole,
		struct packet pieces[PIECES])
{
	bool tcp = at->session.proto == IPPROTO_TCP;
	struct packet_spec spec = { .flags = PACKET_ACK, .data_len = tcp ? 1188 : 1200 };

	splice_fixture_spec(&fx, &at->session, at->from, &spec);
	packet_build(&spec, whole);
	for (int i = 0; i < PIECES; i++)
		packet_fragment(whole, cuts[i], cuts[i + 1], id, &pieces[i]);
}

static void run_piece(const struct setting *at, const struct packet *in, enum splice_reason reason,
		      struct packet *out)
{
	struct splice_result result;
	struct packet want = *in;

	if (reason == SPLICE_FORWARDED)
		assert_int_equal(splice_model_forward(&at->session, at->from, at->hook, in, &want),
				 SPLICE_FORWARDED);
	splice_fixture_run(&fx, at->hook, at->from, in, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
	assert_int_equal(result.verdict, splice_fixture_verdict(at->hook, reason, false));
	assert_true(splice_model_same(&result.out, &want));
	if (out)
		*out = result.out;
}

static void each_setting(void (*run)(const struct setting *))
{
	struct setting at;

	for (unsigned int bits = 0; bits < 32; bits++) {
		at.hook = bits & 1 ? FIXTURE_TC : FIXTURE_XDP;
		at.from = bits >> 1 & 1;
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, bits & 4, bits & 8 ? IPPROTO_UDP : IPPROTO_TCP,
				       bits & 16, &at.session);
		splice_fixture_legs(&fx, &at.session);
		run(&at);
	}
}

static void run_order(const struct setting *at, const int order[PIECES])
{
	struct packet whole, pieces[PIECES], out[PIECES], joined, want;
	struct packet_view view;
	struct splice_leg leg;
	size_t bytes = 0;

	splice_fixture_clear(&fx);
	splice_fixture_legs(&fx, &at->session);
	cut(at, ID, &whole, pieces);
	for (int i = 0; i < PIECES; i++) {
		run_piece(at, &pieces[order[i]], SPLICE_FORWARDED, &out[i]);
		bytes += pieces[i].len - 14;
	}
	assert_true(packet_join(out, PIECES, &joined));
	assert_true(packet_parse(&joined, &view));
	assert_int_equal(packet_get_l4_check(&joined, &view), packet_l4_check(&joined, &view));
	splice_model_forward(&at->session, at->from, at->hook, &whole, &want);
	assert_memory_equal(joined.b + view.l4, want.b + view.l4, view.end - view.l4);
	assert_true(splice_fixture_get_leg(&fx, &at->session, at->from, &leg));
	assert_int_equal(leg.packets, PIECES);
	assert_int_equal(leg.bytes, bytes);
}

static void run_orders(const struct setting *at)
{
	static const int orders[][PIECES] = { { 0, 1, 2 }, { 0, 2, 1 } };

	run_order(at, orders[0]);
	run_order(at, orders[1]);
}

static void test_first_then_the_rest(void **state)
{
	(void)state;
	each_setting(run_orders);
}

/* One that overtook its first is left to the host, untouched; after the first it would pass. */
static void run_early(const struct setting *at)
{
	struct packet whole, pieces[PIECES];

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[1], SPLICE_FRAGMENT, NULL);
	run_piece(at, &pieces[2], SPLICE_FRAGMENT, NULL);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	run_piece(at, &pieces[2], SPLICE_FORWARDED, NULL);
}

static void test_later_before_first(void **state)
{
	(void)state;
	each_setting(run_early);
}

static void run_foreign(const struct setting *at)
{
	struct packet whole, pieces[PIECES];
	struct setting other = *at;

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	/* Another identification, another source, another protocol, another destination. */
	cut(at, ID + 1, &whole, pieces);
	run_piece(at, &pieces[1], SPLICE_FRAGMENT, NULL);
	other.session.end[at->from].remote.b[15]++;
	cut(&other, ID, &whole, pieces);
	run_piece(&other, &pieces[1], SPLICE_FRAGMENT, NULL);
	other = *at;
	other.session.proto = at->session.proto == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
	cut(&other, ID, &whole, pieces);
	run_piece(&other, &pieces[1], SPLICE_FRAGMENT, NULL);
	other = *at;
	other.session.end[at->from].local.b[15]++;
	cut(&other, ID, &whole, pieces);
	run_piece(&other, &pieces[1], SPLICE_OTHER, NULL);
}

static void test_other_datagrams(void **state)
{
	(void)state;
	each_setting(run_foreign);
}

/* The first fragment of a datagram that is no session's is remembered for nobody. */
static void run_unowned(const struct setting *at)
{
	struct packet whole, pieces[PIECES];
	struct setting other = *at;

	other.session.end[at->from].local_port = FIXTURE_HIGH + 5;
	cut(&other, ID, &whole, pieces);
	run_piece(&other, &pieces[0], SPLICE_OTHER, NULL);
	run_piece(&other, &pieces[1], SPLICE_FRAGMENT, NULL);
}

static void test_not_a_session(void **state)
{
	(void)state;
	each_setting(run_unowned);
}

static void run_expired(const struct setting *at)
{
	int map = splice_fixture_map(&fx, "splice_frag");
	struct packet whole, pieces[PIECES];
	struct splice_frag_key key;
	struct splice_frag frag;

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	assert_int_equal(bpf_map_get_next_key(map, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &frag), 0);
	assert_in_range(frag.expires_ns, splice_fixture_now() + 29000000000ull,
			splice_fixture_now() + 30000000000ull);
	frag.expires_ns = splice_fixture_now() - 1;
	assert_int_equal(bpf_map_update_elem(map, &key, &frag, BPF_ANY), 0);
	run_piece(at, &pieces[1], SPLICE_FRAGMENT, NULL);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL); /* the first again: known again */
	run_piece(at, &pieces[1], SPLICE_FORWARDED, NULL);
}

static void test_forgotten_after_30s(void **state)
{
	(void)state;
	each_setting(run_expired);
}

static void run_new_ports(const struct setting *at)
{
	struct packet whole, pieces[PIECES];
	struct setting other = *at;

	if (at->session.pure)
		return;
	other.session.end[at->from].local_port += 9;
	other.session.end[!at->from].local_port += 9;
	other.session.end[at->from].remote_port += 9;
	splice_fixture_legs(&fx, &other.session);
	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	cut(&other, ID, &whole, pieces);
	run_piece(&other, &pieces[0], SPLICE_FORWARDED, NULL);
	run_piece(&other, &pieces[1], SPLICE_FORWARDED, NULL);
}

/* An identification that comes round again belongs to its latest first fragment. */
static void test_identification_reused(void **state)
{
	(void)state;
	each_setting(run_new_ports);
}

static void set_ttl(struct packet *packet, __u8 ttl)
{
	struct packet_view view;

	assert_true(packet_parse(packet, &view));
	packet->b[view.l3 + (view.v6 ? 7 : 8)] = ttl;
	if (!view.v6)
		packet_put16(packet->b + view.l3 + 10, packet_ip_check(packet, &view));
}

static void run_ttl(const struct setting *at)
{
	struct packet whole, pieces[PIECES];

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	set_ttl(&pieces[1], 1);
	set_ttl(&pieces[2], 2);
	run_piece(at, &pieces[1], SPLICE_TTL, NULL);
	run_piece(at, &pieces[2], SPLICE_FORWARDED, NULL);
}

static void test_ttl_of_later_ones(void **state)
{
	(void)state;
	each_setting(run_ttl);
}

/* The session ends between two fragments: nothing is sent by a leg that is gone. */
static void run_gone(const struct setting *at)
{
	struct packet whole, pieces[PIECES];

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	splice_fixture_end(&fx, &at->session);
	run_piece(at, &pieces[1], SPLICE_NO_SESSION, NULL);
}

static void test_session_ended_between(void **state)
{
	(void)state;
	each_setting(run_gone);
}

static void run_lies(const struct setting *at)
{
	struct packet whole, pieces[PIECES];
	struct packet_view view;
	__u8 *at_len;

	cut(at, ID, &whole, pieces);
	run_piece(at, &pieces[0], SPLICE_FORWARDED, NULL);
	for (int i = 0; i < PIECES; i++) {
		assert_true(packet_parse(&pieces[i], &view));
		at_len = pieces[i].b + view.l3 + (view.v6 ? 4 : 2);
		packet_put16(at_len, packet_get16(at_len) + 1);
		run_piece(at, &pieces[i], SPLICE_MALFORMED, NULL);
	}
}

static void test_length_beyond_the_frame(void **state)
{
	(void)state;
	each_setting(run_lies);
}

/* A first fragment too short for its header, as overlapping-fragment tricks use (RFC 1858). */
static void run_tiny(const struct setting *at)
{
	struct packet whole, piece;
	struct splice_result result;
	struct packet unused[PIECES];

	if (at->session.proto != IPPROTO_TCP)
		return;
	cut(at, ID, &whole, unused);
	packet_fragment(&whole, 0, 8, ID, &piece);
	splice_fixture_run(&fx, at->hook, at->from, &piece, &result);
	assert_true(result.reason == SPLICE_OTHER || result.reason == SPLICE_MALFORMED);
	assert_true(splice_model_same(&result.out, &piece));
	piece.len += 40; /* the rest of a header in Ethernet's padding is not a header */
	splice_fixture_run(&fx, at->hook, at->from, &piece, &result);
	assert_true(result.reason == SPLICE_OTHER || result.reason == SPLICE_MALFORMED);
	assert_true(splice_model_same(&result.out, &piece));
}

static void test_tiny_first(void **state)
{
	(void)state;
	each_setting(run_tiny);
}

/* The datagram that joins comes in pieces: the later ones follow their first, which was the second
 * side's. */
static void run_joining(const struct setting *at)
{
	struct packet whole, pieces[PIECES], want;
	struct setting first = *at;
	struct splice_result result;

	if (at->session.proto != IPPROTO_UDP || at->hook != FIXTURE_TC)
		return;
	splice_fixture_clear(&fx);
	splice_fixture_announce(&fx, &at->session);
	first.from = !at->from;
	cut(&first, ID, &whole, pieces);
	run_piece(&first, &pieces[0], SPLICE_UDP_HELD, NULL);
	run_piece(&first, &pieces[1], SPLICE_FRAGMENT, NULL);
	cut(at, ID + 1, &whole, pieces);
	splice_model_forward(&at->session, at->from, at->hook, &pieces[0], &want);
	splice_fixture_run(&fx, at->hook, at->from, &pieces[0], &result);
	assert_int_equal(result.reason, SPLICE_JOINED);
	assert_true(splice_model_same(&result.out, &want));
	run_piece(at, &pieces[1], SPLICE_FORWARDED, NULL);
	run_piece(at, &pieces[2], SPLICE_FORWARDED, NULL);
}

static void test_joining_datagram(void **state)
{
	(void)state;
	each_setting(run_joining);
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
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_then_the_rest),
		cmocka_unit_test(test_later_before_first),
		cmocka_unit_test(test_other_datagrams),
		cmocka_unit_test(test_not_a_session),
		cmocka_unit_test(test_forgotten_after_30s),
		cmocka_unit_test(test_identification_reused),
		cmocka_unit_test(test_ttl_of_later_ones),
		cmocka_unit_test(test_session_ended_between),
		cmocka_unit_test(test_length_beyond_the_frame),
		cmocka_unit_test(test_tiny_first),
		cmocka_unit_test(test_joining_datagram),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
