// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_cut.c - frames that end too early, at every byte.
 *
 * A cut frame of a session, of a rendezvous or of nobody is MALFORMED or OTHER, its bytes are not
 * changed and nothing in the tables is; the whole frame is forwarded. So are frames whose every
 * single byte is set to extremes: any reason, but never a leg's rewriting of bytes that are not
 * headers.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

static struct splice_fixture fx;

struct row {
	const char *name;
	struct packet_spec packet;
	bool v6, udp;
};

#define PLAIN(...)                                                                                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define TIMES	     "\x01\x01\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08"
#define ROUTER_ALERT "\x94\x04\x00\x00\x94\x04\x00\x00"

static const struct row rows[] = {
	{ "IPv4 TCP", PLAIN(.flags = PACKET_ACK, .data_len = 20), false, false },
	{ "IPv4 TCP with options",
	  PLAIN(.flags = PACKET_ACK, .opt = TIMES, .opt_len = 12, .ip_opt = ROUTER_ALERT,
		.ip_opt_len = 8),
	  false, false },
	{ "IPv4 SYN", PLAIN(.flags = PACKET_SYN, .opt = TIMES, .opt_len = 12), false, false },
	{ "IPv4 UDP", PLAIN(.data_len = 20), false, true },
	{ "IPv6 TCP", PLAIN(.flags = PACKET_ACK, .data_len = 20), true, false },
	{ "IPv6 TCP behind extensions",
	  PLAIN(.flags = PACKET_ACK, .exts = 3, .ext = { 0, 60, 44 }, .opt = TIMES, .opt_len = 12),
	  true, false },
	{ "IPv6 SYN", PLAIN(.flags = PACKET_SYN, .opt = TIMES, .opt_len = 12), true, false },
	{ "IPv6 UDP", PLAIN(.data_len = 20), true, true },
	{ "a tag", PLAIN(.flags = PACKET_ACK, .tag = { { 0x8100, 5 } }), false, false },
	{ "two tags", PLAIN(.flags = PACKET_ACK, .tag = { { 0x88a8, 5 }, { 0x8100, 6 } }), true,
	  false },
};

#define ROWS	 (sizeof(rows) / sizeof(*rows))
#define SYN_ROWS 2

/* A test run at tc wants the IP header to be there: shorter ones come by splice_wire.c's link. */
static size_t shortest(const struct row *row, enum fixture_hook hook)
{
	if (hook == FIXTURE_XDP)
		return 14;
	return 14 + (row->packet.tag[0].proto ? 8 : row->v6 ? 40 : 20);
}

static void legs_untouched(const struct splice_session *session)
{
	struct splice_leg leg;

	for (int i = 0; i < 2; i++) {
		if (!splice_fixture_get_leg(&fx, session, i, &leg))
			continue;
		assert_int_equal(leg.packets, 0);
		assert_int_equal(leg.bytes, 0);
		assert_int_equal(leg.flags & ~SPLICE_LEG_PROVIDER, 0);
	}
}

static void joins_untouched(const struct splice_session *session)
{
	struct splice_join join;

	splice_fixture_get_join(&fx, session, &join);
	assert_int_equal(join.state, SPLICE_LISTEN);
	assert_int_equal(join.syn[0].seen_ns, 0);
}

static void cut_everywhere(const struct row *row, enum fixture_hook hook,
			   const struct splice_session *session, const struct packet *whole)
{
	struct splice_result result;
	struct packet part;

	for (size_t len = shortest(row, hook); len < whole->len; len++) {
		part = *whole;
		part.len = len;
		memset(part.b + len, 0, sizeof(part.b) - len);
		splice_fixture_run(&fx, hook, 0, &part, &result);
		if (result.reason != SPLICE_MALFORMED)
			assert_string_equal(splice_reason_name(result.reason), "OTHER");
		assert_int_equal(result.verdict,
				 splice_fixture_verdict(hook, result.reason, false));
		assert_true(splice_model_same(&result.out, &part));
	}
	legs_untouched(session);
	joins_untouched(session);
}

static void run_cuts(const struct row *row, enum fixture_hook hook, bool joined, bool announced)
{
	struct packet_spec spec = row->packet;
	struct splice_session session;
	struct packet whole;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, row->v6, row->udp ? IPPROTO_UDP : IPPROTO_TCP, false, &session);
	splice_fixture_announce(&fx, &session);
	if (joined)
		splice_fixture_legs(&fx, &session);
	if (!announced)
		session.end[0].local_port++;
	splice_fixture_spec(&fx, &session, 0, &spec);
	if (!announced)
		session.end[0].local_port--;
	packet_build(&spec, &whole);
	cut_everywhere(row, hook, &session, &whole);
}

static void test_cut(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		run_cuts(*state, bits & 1 ? FIXTURE_TC : FIXTURE_XDP, bits & 2, bits & 4);
}

/* The control: a frame that is not cut goes its way. */
static void test_whole(void **state)
{
	const struct row *row = *state;
	struct packet_spec spec = row->packet;
	struct splice_session session;
	struct splice_result result;
	struct packet whole;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, row->v6, row->udp ? IPPROTO_UDP : IPPROTO_TCP, false, &session);
	splice_fixture_announce(&fx, &session);
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &whole);
	if (spec.flags == PACKET_SYN) {
		splice_fixture_run(&fx, FIXTURE_XDP, 0, &whole, &result);
		assert_int_equal(result.reason, SPLICE_TO_TC);
		splice_fixture_run(&fx, FIXTURE_TC, 0, &whole, &result);
		assert_int_equal(result.reason, SPLICE_SYN_HELD);
		return;
	}
	splice_fixture_legs(&fx, &session);
	splice_fixture_run(&fx, FIXTURE_XDP, 0, &whole, &result);
	assert_true(result.reason == SPLICE_FORWARDED ||
		    (spec.tag[0].proto &&
		     result.reason == (spec.tag[1].proto ? SPLICE_NO_HOP : SPLICE_TO_TC)));
}

static void run_byte(enum fixture_hook hook, const struct splice_session *session,
		     const struct packet *in)
{
	struct splice_result result;
	struct packet want;

	splice_fixture_legs(&fx, session);
	splice_fixture_run(&fx, hook, 0, in, &result);
	assert_int_not_equal(result.reason, -1);
	assert_int_equal(result.verdict, splice_fixture_verdict(hook, result.reason, false));
	if (result.reason == SPLICE_FORWARDED) {
		assert_int_equal(splice_model_forward(session, 0, hook, in, &want),
				 SPLICE_FORWARDED);
		assert_true(splice_model_same(&result.out, &want));
	} else {
		assert_true(splice_model_same(&result.out, in));
	}
}

/* Each byte of the headers takes every value; what is still forwarded is what the model makes. */
static void test_every_byte(void **state)
{
	const struct row *row = *state;
	struct packet_spec spec = row->packet;
	struct splice_session session;
	struct packet whole, changed;

	splice_fixture_clear(&fx);
	splice_fixture_session(&fx, row->v6, row->udp ? IPPROTO_UDP : IPPROTO_TCP, false, &session);
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &whole);
	for (size_t at = 12; at < whole.len && at < 110; at++) {
		for (unsigned int value = 0; value < 256; value++) {
			changed = whole;
			changed.b[at] = value;
			run_byte(value & 1 ? FIXTURE_XDP : FIXTURE_TC, &session, &changed);
		}
	}
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
	static struct CMUnitTest tests[3 * ROWS - SYN_ROWS];
	static char names[3 * ROWS - SYN_ROWS][64];
	size_t n = 0;
	static const struct {
		const char *name;
		CMUnitTestFunction run;
	} kinds[] = {
		{ "cut", test_cut },
		{ "whole", test_whole },
		{ "every byte", test_every_byte },
	};

	for (size_t i = 0; i < 3 * ROWS; i++) {
		const struct row *row = &rows[i / 3];

		if (kinds[i % 3].run == test_every_byte && row->packet.flags == PACKET_SYN)
			continue; /* splice_syn.c */
		snprintf(names[n], sizeof(names[n]), "%s: %s", row->name, kinds[i % 3].name);
		tests[n] =
			(struct CMUnitTest){ names[n], kinds[i % 3].run, NULL, NULL, (void *)row };
		n++;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
