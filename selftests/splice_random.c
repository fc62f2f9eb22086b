// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_random.c - random packets of random sessions against the reference model.
 *
 *	splice_random [SEED]	the seed is printed; another one makes another run
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define SESSIONS 10000
#define PER_FILL 500 /* sessions at once in the table */
#define OWNED	 15  /* addresses of each family */
#define PORTS	 200 /* of each address */

static struct splice_fixture fx;
static __u64 seed = 20261120, state64;

/* xorshift64* (Vigna, 2016). */
static __u32 random_word(void)
{
	state64 ^= state64 >> 12;
	state64 ^= state64 << 25;
	state64 ^= state64 >> 27;
	return state64 * 0x2545f4914f6cdd1dull >> 32;
}

static __u32 random_below(__u32 bound)
{
	return random_word() % bound;
}

static void random_bytes(__u8 *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = random_word();
}

/* Words of all zeros and all ones are frequent: there the carries are. */
static void random_address(bool v6, struct isthmus_addr *addr)
{
	static const struct isthmus_addr mapped = PACKET_V4(0, 0, 0, 0);
	size_t from = v6 ? 0 : 12;

	*addr = mapped;
	random_bytes(addr->b + from, 16 - from);
	for (size_t i = from; i < 16; i += 2) {
		if (random_below(8) == 0)
			memset(addr->b + i, random_below(2) ? 0xff : 0, 2);
	}
	if (v6)
		addr->b[0] = 0x20;
}

static void random_hop(struct splice_hop *hop, bool tagged)
{
	memset(hop, 0, sizeof(*hop));
	hop->ifindex = fx.ifindex[random_below(2)];
	random_bytes(hop->dst_mac, 6);
	random_bytes(hop->src_mac, 6);
	if (!tagged)
		return;
	packet_put16((__u8 *)&hop->vlan_proto, random_below(2) ? 0x8100 : 0x88a8);
	random_bytes((__u8 *)&hop->vlan_tci, 2);
}

/* Addresses of ours: of each family so many, each with so many ports. */
static struct {
	struct isthmus_addr addr;
	__u16 low;
} owned[2][OWNED];

static void own_addresses(void)
{
	for (int i = 0; i < 2 * OWNED; i++) {
		struct isthmus_addr *addr = &owned[i & 1][i / 2].addr;

		random_address(i & 1, addr);
		addr->b[15] = i; /* no two are the same */
		owned[i & 1][i / 2].low = random_below(0x10000 - PORTS);
		splice_fixture_own(&fx, addr, owned[i & 1][i / 2].low,
				   owned[i & 1][i / 2].low + PORTS - 1);
	}
}

/* An endpoint that no session has yet. */
static void random_endpoint(struct splice_session *session, int side, bool v6)
{
	struct splice_end *end = &session->end[side];
	struct splice_leg leg;

	do {
		int i = random_below(OWNED);

		end->local = owned[v6][i].addr;
		end->local_port = owned[v6][i].low + random_below(PORTS);
	} while (splice_fixture_get_leg(&fx, session, side, &leg));
}

static void random_session(struct splice_session *session, bool tagged)
{
	bool v6 = random_below(2);

	memset(session, 0, sizeof(*session));
	session->proto = random_below(2) ? IPPROTO_TCP : IPPROTO_UDP;
	session->pure = random_below(2);
	do {
		random_endpoint(session, 0, v6);
		random_endpoint(session, 1, v6);
	} while (!memcmp(&session->end[0].local, &session->end[1].local, 16) &&
		 session->end[0].local_port == session->end[1].local_port);
	for (int i = 0; i < 2; i++) {
		struct splice_end *end = &session->end[i];

		random_address(v6, &end->remote);
		end->remote_port = session->pure ? session->end[!i].local_port : random_word();
		end->link = random_below(2);
		random_hop(&end->hop, tagged);
	}
}

static void random_extras(struct packet_spec *spec, __u8 *options)
{
	static const __u8 extensions[] = { 0, 60, 44 };
	bool v4 = packet_addr_v4(&spec->src);

	random_bytes(options, 80);
	spec->opt = (const char *)options;
	spec->ip_opt = (const char *)options + 40;
	if (spec->proto == IPPROTO_TCP && random_below(2))
		spec->opt_len = random_below(11) * 4;
	if (v4 && random_below(4) == 0)
		spec->ip_opt_len = random_below(11) * 4;
	if (!v4)
		spec->exts = random_below(4) ? 0 : random_below(3);
	for (int i = 0; i < spec->exts; i++)
		spec->ext[i] = extensions[i ? 1 + random_below(2) : random_below(3)];
	if (spec->exts == 2 && spec->ext[0] == 44 && spec->ext[1] == 44)
		spec->ext[1] = 60;
}

static void random_spec(struct packet_spec *spec, bool tagged, __u8 *options, __u8 *data)
{
	spec->tos = random_word();
	spec->id = random_word();
	spec->frag = random_below(2) ? 0x4000 : 0;
	spec->ttl = random_below(8) ? random_below(256) : random_below(4);
	spec->ttl = spec->ttl ? spec->ttl : PACKET_ZERO;
	spec->flags = random_word() & 0xfff;
	if ((spec->flags & (PACKET_SYN | PACKET_ACK)) == PACKET_SYN)
		spec->flags |= PACKET_ACK; /* SYNs open sessions: splice_syn.c */
	spec->seq = random_word();
	spec->ack = random_word();
	spec->window = 1 + random_below(0xffff);
	spec->data_len = random_below(2) ? random_below(1400) : random_below(20);
	spec->data = data;
	random_bytes(data, spec->data_len);
	spec->check = random_below(16) ? PACKET_CHECK_GOOD : PACKET_CHECK_BAD;
	if (spec->proto == IPPROTO_UDP && random_below(8) == 0)
		spec->check = PACKET_CHECK_NONE;
	spec->ip_check = random_below(32) ? PACKET_CHECK_GOOD : PACKET_CHECK_BAD;
	spec->trailer = random_below(4) ? 0 : random_below(60);
	if (tagged) {
		spec->tag[0].proto = random_below(2) ? 0x8100 : 0x88a8;
		spec->tag[0].tci = random_word();
	}
	random_extras(spec, options);
}

/* A wrong checksum's error plus a right one may come out as either zero. */
static void even_zeros(const struct packet_spec *spec, const struct packet *want,
		       struct packet *got)
{
	struct packet_view view;

	if (!packet_parse(want, &view))
		return;
	if (spec->ip_check == PACKET_CHECK_BAD && !view.v6 &&
	    packet_get16(want->b + view.l3 + 10) % 0xffff == 0 &&
	    packet_get16(got->b + view.l3 + 10) % 0xffff == 0)
		memcpy(got->b + view.l3 + 10, want->b + view.l3 + 10, 2);
	if (spec->check == PACKET_CHECK_BAD && packet_get_l4_check(want, &view) % 0xffff == 0 &&
	    packet_get_l4_check(got, &view) % 0xffff == 0)
		packet_set_l4_check(got, &view, packet_get_l4_check(want, &view));
}

struct tally {
	int sent, dropped;
};

static void one_packet(const struct splice_session *session, bool tagged, struct tally *tally)
{
	enum fixture_hook hook = tagged || random_below(2) ? FIXTURE_XDP : FIXTURE_TC;
	int from = random_below(2);
	struct packet_spec spec = { 0 };
	__u8 options[80], data[1400];
	struct splice_result result;
	struct packet in, want;
	enum splice_reason reason;

	splice_fixture_spec(&fx, session, from, &spec);
	random_spec(&spec, tagged, options, data);
	packet_build(&spec, &in);
	reason = splice_model_forward(session, from, hook, &in, &want);
	splice_fixture_run(&fx, hook, session->end[from].link, &in, &result);
	even_zeros(&spec, &want, &result.out);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
	assert_int_equal(result.verdict,
			 splice_fixture_verdict(hook, reason,
						session->end[!from].hop.ifindex ==
							fx.ifindex[session->end[from].link]));
	assert_true(splice_model_same(&result.out, &want));
	tally->sent += reason == SPLICE_FORWARDED;
	tally->dropped += reason != SPLICE_FORWARDED;
}

/* Sessions are filled in before any packet comes, so that look-ups have neighbours to confuse. */
static void test_random_sessions(void **state)
{
	static struct splice_session sessions[PER_FILL];
	struct tally tally = { 0 };

	(void)state;
	for (int done = 0; done < SESSIONS; done += PER_FILL) {
		bool tagged = done / PER_FILL % 4 == 3;

		splice_fixture_clear(&fx);
		for (int i = 0; i < PER_FILL; i++) {
			random_session(&sessions[i], tagged);
			splice_fixture_legs(&fx, &sessions[i]);
		}
		for (int i = 0; i < PER_FILL; i++)
			one_packet(&sessions[i], tagged, &tally);
	}
	printf("%d packets sent, %d dropped\n", tally.sent, tally.dropped);
	assert_in_range(tally.sent, SESSIONS * 8 / 10, SESSIONS);
	assert_in_range(tally.dropped, 100, SESSIONS);
}

/* Frames of nothing but chance: never anything but a counted verdict, and those that pass are
 * untouched. */
static void test_random_bytes(void **state)
{
	struct splice_result result;
	struct packet in;

	(void)state;
	splice_fixture_clear(&fx);
	for (int i = 0; i < SESSIONS; i++) {
		enum fixture_hook hook = random_below(2) ? FIXTURE_XDP : FIXTURE_TC;

		memset(&in, 0, sizeof(in));
		in.len = 54 + random_below(200); /* a tc test run wants the IP header */
		random_bytes(in.b, in.len);
		packet_put16(in.b + 12, random_below(2) ? 0x0800 : 0x86dd);
		in.b[14] = in.b[12] == 8 ? 0x40 | (in.b[14] & 15) : 0x60;
		splice_fixture_run(&fx, hook, 0, &in, &result);
		assert_int_equal(result.verdict,
				 splice_fixture_verdict(hook, result.reason, false));
		assert_true(result.reason == SPLICE_OTHER || result.reason == SPLICE_FRAGMENT);
		assert_true(splice_model_same(&result.out, &in));
	}
}

static int set_up(void **state)
{
	(void)state;
	printf("seed %llu\n", seed);
	state64 = seed;
	if (splice_fixture_open(&fx, NULL))
		return -1;
	own_addresses();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	splice_fixture_close(&fx);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sessions),
		cmocka_unit_test(test_random_bytes),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (!seed) {
		fprintf(stderr, "the seed must be a number other than 0\n");
		return 2;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
