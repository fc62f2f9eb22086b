// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/neighbour.c selftests/lib/onetime_states.c */
/* link: selftests/lib/onetime_fixture.c selftests/lib/assume.c */
/*
 * selftests/onetime_nd_random.c - neighbour messages and ARP, right ones and random changes of
 * them, about addresses in every state: answered if, and only if, selftests/lib/neighbour.c says
 * that it must be, and then byte for byte; every other verdict is the one that it expects.
 */
#include <linux/pkt_cls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_states.h"

#define SEED   4861
#define RUNS   100000
#define EVENTS 32 /* read after so many runs: the ring keeps more */

static struct ofix fx;
static __u64 tally[ONETIME_REASON_COUNT], told;

static int set_up(void **state)
{
	(void)state;
	srandom(SEED);
	return ofix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&fx);
	return 0;
}

static __u32 below(__u32 limit)
{
	return random() % limit;
}

/* ---- addresses: row n of ostates is host 0x10 + n of both pools */

static struct isthmus_addr address_of(int row, bool v4)
{
	struct isthmus_addr addr6 = OFIX_SSA6(0x10), addr4 = OFIX_SSA4(0x10);

	addr6.b[15] += row;
	addr4.b[15] += row;
	return v4 ? addr4 : addr6;
}

/* -1: none is there, so it is free. */
static int row_of(const struct isthmus_addr *addr)
{
	for (int row = 0; row < OSTATES; row++)
		for (int v4 = 0; v4 < 2; v4++) {
			struct isthmus_addr each = address_of(row, v4);

			if (!memcmp(&each, addr, sizeof(each)))
				return row;
		}
	return -1;
}

static bool in_pool(const struct isthmus_addr *addr)
{
	static const struct isthmus_addr six[] = { OFIX_POOL6, OFIX_RST_POOL6 };
	static const struct isthmus_addr four[] = { OFIX_POOL4, OFIX_RST_POOL4 };

	return !memcmp(addr, &six[0], 8) || !memcmp(addr, &six[1], 8) ||
	       !memcmp(addr, &four[0], 15) || !memcmp(addr, &four[1], 15);
}

static void put_all(void)
{
	for (int row = 0; row < OSTATES; row++)
		for (int v4 = 0; v4 < 2; v4++) {
			struct isthmus_addr addr = address_of(row, v4);

			ostate_put(&fx, &ostates[row], &addr);
		}
}

/* ---- messages */

static void random_mac(__u8 *mac)
{
	for (int i = 0; i < 6; i++)
		mac[i] = random();
	mac[0] &= 0xfe;
	if (!below(20))
		memcpy(mac, fx.mac, 6);
}

static void random_options(struct nb_message *m, bool detection)
{
	__u8 mac[6];

	for (__u32 left = below(3); left; left--) {
		__u8 type = below(3) ? (m->type == NB_SOLICIT ? 1 : 2) : random();

		random_mac(mac);
		if (!detection || type != 1)
			nb_option(m, type, 1 + !below(4), mac);
	}
}

static void random_message(struct packet *frame)
{
	static const struct isthmus_addr alice = OFIX_ALICE6, nobody;
	struct nb_message m = { .type = below(4) ? NB_SOLICIT : NB_ADVERTISE };
	bool detection = m.type == NB_SOLICIT && below(2);

	m.target = address_of(below(OSTATES), false);
	m.src = detection ? nobody : below(10) ? alice : address_of(below(OSTATES), false);
	m.dst = detection || below(2) ? nb_group(&m.target) : m.target;
	if (m.dst.b[0] == 0xff)
		nb_group_mac(&m.dst, m.dst_mac);
	else
		memcpy(m.dst_mac, fx.mac, 6);
	m.flags = m.type == NB_ADVERTISE ? below(8) << 5 : 0;
	random_mac(m.src_mac);
	random_options(&m, detection);
	if (!below(4))
		m.tag[0] = (struct packet_tag){ 0x8100, random() };
	if (m.tag[0].proto && below(2))
		m.tag[1] = (struct packet_tag){ 0x88a8, random() };
	m.trailer = below(4) ? 0 : below(20);
	nb_build(&m, frame);
}

static void random_arp(struct packet *frame)
{
	struct isthmus_addr target = address_of(below(OSTATES), true);
	struct isthmus_addr sender = address_of(below(OSTATES), true);
	struct nb_arp arp = { .op = 1 + !below(4), .sender = { 198, 51, 100, 7 } };

	memcpy(arp.target, target.b + 12, 4);
	if (!below(3))
		memcpy(arp.sender, sender.b + 12, 4);
	else if (below(2))
		memset(arp.sender, 0, 4);
	memset(arp.dst_mac, 0xff, 6);
	random_mac(arp.src_mac);
	if (!below(4))
		random_mac(arp.sender_mac);
	if (!below(4))
		arp.tag[0] = (struct packet_tag){ 0x8100, random() };
	nb_arp_build(&arp, frame);
}

/* A few bits, a byte, the end; most often the checksum is right afterwards. */
static void change(struct packet *frame)
{
	for (__u32 left = below(4); left; left--) {
		size_t at = below(3) ? below(frame->len) : 12 + below(frame->len - 12);

		if (below(2))
			frame->b[at] ^= 1 << below(8);
		else
			frame->b[at] = below(4) ? random() : below(2) ? 0 : 0xff;
	}
	if (!below(10)) {
		size_t len = 14 + below(frame->len);

		if (len < frame->len) /* what a frame has not must not count */
			memset(frame->b + len, 0xa5, frame->len - len);
		frame->len = len;
	}
	if (below(4))
		nb_mend(frame);
}

/* A test run takes no frame without a whole IP header. */
static bool can_run(const struct packet *frame)
{
	__u16 type = packet_get16(frame->b + 12);

	return frame->len >= (type == 0x86dd ? 54 : type == 0x0800 ? 34 : 15);
}

/* ---- one run */

static enum oasked asked(const struct nb_meaning *meaning)
{
	if (meaning->ours)
		return ASKED_SILENT;
	if (meaning->kind == NB_CLAIMS)
		return ASKED_CLAIM;
	if (meaning->others)
		return ASKED_SILENT;
	return meaning->kind == NB_DETECTS ? ASKED_WHETHER : ASKED_WHERE;
}

static bool answered(int reason)
{
	return reason == ONETIME_ND_ANSWERED || reason == ONETIME_ND_DEFENDED;
}

/* What is to become of a neighbour message; -1: the rest of the guard judges it. */
static int reason_of(const struct nb_meaning *meaning, const struct ostate *row)
{
	if (meaning->kind == NB_NOTHING)
		return -1;
	return meaning->kind == NB_BAD
		       ? ONETIME_ND_BAD
		       : ostate_reason(row, asked(meaning), packet_addr_v4(&meaning->about));
}

static int run(const struct packet *in, struct packet *out)
{
	struct __sk_buff skb = { .ifindex = fx.net };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = out->b, .data_size_out = PACKET_MAX, .repeat = 1, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));

	memset(out, 0, sizeof(*out));
	must(bpf_prog_test_run_opts(fx.program[OFIX_IN], &opts));
	out->len = opts.data_size_out;
	return (int)opts.retval;
}

/* After a claim the state is what it must be, and is made what it was. */
static void check_claim(const struct nb_meaning *meaning, int at)
{
	if (at >= 0)
		ostate_check(&fx, &ostates[at], &meaning->about, true);
}

static void check(const struct packet *in, int number)
{
	struct nb_meaning meaning;
	struct packet out, want = *in;
	int at, reason, verdict;

	nb_judge(in, fx.mac, in_pool, &meaning);
	at = row_of(&meaning.about);
	reason = reason_of(&meaning, &ostates[at < 0 ? 0 : at]);
	verdict = run(in, &out);
	if (reason >= 0)
		tally[reason]++;
	if (answered(reason))
		nb_answer(in, fx.mac, &meaning.about,
			  reason == ONETIME_ND_DEFENDED ? NULL : &meaning.from, meaning.mac, &want);
	if ((verdict == TC_ACT_REDIRECT) != answered(reason) ||
	    (reason >= 0 && !ofix_same(&out, &want))) {
		packet_print_diff(&out, &want);
		fail_msg("run %d: verdict %d, expected %s", number, verdict,
			 ofix_reason_name(reason));
	}
	if (reason < 0 || reason == ONETIME_ND_BAD)
		return;
	told += ostate_is_told(&ostates[at < 0 ? 0 : at], asked(&meaning));
	if (reason == ONETIME_ND_CONFLICT)
		check_claim(&meaning, at);
}

static __u64 count_of(__u32 reason)
{
	struct isthmus_count each[256];
	__u64 sum = 0;
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= 256 ? 0 : -1);
	must(bpf_map_lookup_elem(ofix_map(&fx, "onetime_stats"), &reason, each));
	for (int i = 0; i < cpus; i++)
		sum += each[i].packets;
	return sum;
}

static void test_random(void **state)
{
	static const int reasons[] = {
		ONETIME_ND_DEFENDED, ONETIME_ND_ANSWERED, ONETIME_ND_SILENT,
		ONETIME_ND_CONFLICT, ONETIME_ND_BAD,	  ONETIME_ARP_PASSED
	};
	__u64 events = 0;

	(void)state;
	put_all();
	for (int i = 0; i < RUNS; i++) {
		struct packet in;

		do {
			if (below(4))
				random_message(&in);
			else
				random_arp(&in);
			if (below(5))
				change(&in);
		} while (!can_run(&in));
		check(&in, i);
		if (i % EVENTS)
			continue;
		must(ring_buffer__consume(fx.ring));
		events += fx.events;
		fx.events = 0;
		put_all(); /* their time goes on */
	}
	must(ring_buffer__consume(fx.ring));
	events += fx.events;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		assert_int_equal(count_of(reasons[i]), tally[reasons[i]]);
		assert_true(tally[reasons[i]] > RUNS / 100); /* each has been tried */
	}
	assert_int_equal(events + count_of(ONETIME_ND_UNTOLD), told);
	assert_int_equal(count_of(ONETIME_EVENT_LOST), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
