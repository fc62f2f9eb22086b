// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/onetime_states.c - addresses in every state, and neighbour messages about them.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/onetime_states.h"

#define S(name) ONETIME_STATE_##name
const struct ostate ostates[OSTATES] = {
	{ "free", S(FREE), 0, 0, 0, 0, 0, S(FREE), S(FREE) },
	{ "reserved", S(RESERVED), ONETIME_SSA, IPPROTO_TCP, 0, 0, 1, S(RESERVED), S(DEAD) },
	{ "reserved, EA", S(RESERVED), ONETIME_EA, 0, 0, 0, 1, S(RESERVED), S(DEAD) },
	{ "pending", S(PENDING), ONETIME_SSA, IPPROTO_TCP, 0, 1, 1, S(PENDING), S(DEAD) },
	{ "taking", S(TAKING), ONETIME_SSA, IPPROTO_TCP, 0, 1, 1, S(TAKING), S(TAKING) },
	{ "claimed", S(CLAIMED), ONETIME_SSA, IPPROTO_TCP, 0, 1, 1, S(CLAIMED), S(CLAIMED) },
	{ "live", S(LIVE), ONETIME_SSA, IPPROTO_TCP, 0, 1, 1, S(LIVE), S(LIVE) },
	{ "live, past until", S(LIVE), ONETIME_SSA, IPPROTO_TCP, 1, 1, 1, S(LIVE), S(LIVE) },
	{ "live UDP", S(LIVE), ONETIME_SSA, IPPROTO_UDP, 0, 1, 1, S(LIVE), S(LIVE) },
	{ "live EA", S(LIVE), ONETIME_EA, IPPROTO_TCP, 0, 1, 1, S(LIVE), S(LIVE) },
	{ "of many", S(LIVE), ONETIME_MANY, IPPROTO_TCP, 0, 1, 1, S(LIVE), S(LIVE) },
	{ "closing", S(CLOSING), ONETIME_SSA, IPPROTO_TCP, 0, 1, 1, S(CLOSING), S(CLOSING) },
	{ "dead", S(DEAD), ONETIME_SSA, IPPROTO_TCP, 0, 0, 0, S(DEAD), S(DEAD) },
	{ "pending, late", S(PENDING), ONETIME_SSA, IPPROTO_TCP, 1, 0, 0, S(DEAD), S(PENDING) },
	{ "claimed, late", S(CLAIMED), ONETIME_SSA, IPPROTO_TCP, 1, 0, 0, S(DEAD), S(CLAIMED) },
	{ "idle UDP", S(LIVE), ONETIME_SSA, IPPROTO_UDP, 1, 0, 0, S(DEAD), S(LIVE) },
	{ "closing, late", S(CLOSING), ONETIME_SSA, IPPROTO_TCP, 1, 0, 0, S(DEAD), S(CLOSING) },
};

void ostate_put(struct ofix *fx, const struct ostate *row, const struct isthmus_addr *addr)
{
	const struct isthmus_addr peer = OFIX_ALICE6;
	struct onetime_addr record =
		ofix_session(row->use, row->state, ONETIME_L0, row->proto, &peer, 40000, 80);

	if (row->expired)
		record.until_ns = ofix_now() - 1;
	record.since_ns = 1;
	if (row->state)
		ofix_addr_put(fx, addr, &record);
	else
		bpf_map_delete_elem(ofix_map(fx, "onetime_addr"), addr);
}

/* Nothing of the record but its state and the time of that may have changed. */
void ostate_check(struct ofix *fx, const struct ostate *row, const struct isthmus_addr *addr,
		  bool claimed)
{
	struct onetime_addr record = ofix_addr(fx, addr), want;
	__u32 state = claimed ? row->claimed : row->state;

	assert_int_equal(record.state, state);
	if (state == row->state)
		assert_int_equal(record.since_ns, row->state ? 1 : 0);
	else
		assert_in_range(record.since_ns, ofix_now() - OFIX_S, ofix_now());
	ostate_put(fx, row, addr);
	want = ofix_addr(fx, addr);
	want.state = record.state;
	want.since_ns = record.since_ns;
	want.until_ns = record.until_ns;
	assert_memory_equal(&record, &want, sizeof(want));
}

/* ---- what is expected of a message */

static void check_event(const struct ofix *fx, const struct ostate *row, const struct oexpected *e)
{
	const struct onetime_event *event = &fx->event[0];
	struct onetime_event want = {
		.time_ns = event->time_ns,
		.kind = ONETIME_EVENT_CONFLICT,
		.state = row->is,
		.addr = *e->about,
		.peer = *e->from,
		.ifindex = fx->net,
	};

	memcpy(want.mac, e->mac, 6);
	assert_int_equal(fx->events, 1);
	assert_in_range(event->time_ns, ofix_now() - OFIX_S, ofix_now());
	assert_memory_equal(event, &want, sizeof(want));
}

int ostate_reason(const struct ostate *row, enum oasked asked, bool arp)
{
	switch (asked) {
	case ASKED_WHERE:
		if (!row->answers)
			return ONETIME_ND_SILENT;
		return arp ? ONETIME_ARP_PASSED : ONETIME_ND_ANSWERED;
	case ASKED_WHETHER:
		if (!row->defends)
			return ONETIME_ND_SILENT;
		return arp ? ONETIME_ARP_PASSED : ONETIME_ND_DEFENDED;
	case ASKED_CLAIM:
		return ONETIME_ND_CONFLICT;
	case ASKED_SILENT:
		return ONETIME_ND_SILENT;
	default:
		return ONETIME_OTHER;
	}
}

bool ostate_is_told(const struct ostate *row, enum oasked asked)
{
	return asked == ASKED_CLAIM || (asked == ASKED_WHETHER && !row->defends);
}

static void expect(struct ofix *fx, const char *what, const struct ostate *row,
		   const struct packet *in, bool arp, const struct oexpected *e)
{
	bool detection = e->asked == ASKED_WHETHER;
	int reason = ostate_reason(row, e->asked, arp);
	int entries = ofix_entries(fx, "onetime_addr");
	struct isthmus_count before = fx->seen[reason];
	struct packet want = *in;
	bool same;

	if (reason == ONETIME_ND_ANSWERED || reason == ONETIME_ND_DEFENDED)
		nb_answer(in, fx->mac, e->about, detection ? NULL : e->from, e->mac, &want);
	same = ofix_becomes(fx, OFIX_IN, in, reason, OFIX_ALONE, &want);
	if (!same)
		fprintf(stderr, "%s, %s\n", what, row->name);
	assert_true(same);
	assert_int_equal(fx->seen[reason].bytes - before.bytes, in->len);
	assert_int_equal(ofix_entries(fx, "onetime_addr"), entries);
	if (ostate_is_told(row, e->asked))
		check_event(fx, row, e);
	else
		assert_int_equal(fx->events, 0);
	ostate_check(fx, row, e->about, e->asked == ASKED_CLAIM);
	ostates_forget_told(fx);
}

void ostates_run(struct ofix *fx, const char *what, const struct packet *in, bool arp,
		 const struct oexpected *expected)
{
	for (int i = 0; i < OSTATES; i++) {
		ostate_put(fx, &ostates[i], expected->about);
		expect(fx, what, &ostates[i], in, arp, expected);
	}
}

void ostates_forget_told(struct ofix *fx)
{
	static const struct onetime_told none;

	for (__u32 i = 0; i < ONETIME_LINKS; i++)
		ofix_put(fx, "onetime_told", &i, &none);
}
