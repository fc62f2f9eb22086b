// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_guard.c - which packets pass at a pool's device, by an address' state. How an
 * address is taken is in onetime_claim.c, what no packet should look like in onetime_shape.c.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

#define each_use(use) for (int use = ONETIME_SSA; use <= ONETIME_EA; use++)

static struct ofix fx;

static int set_up(void **state)
{
	(void)state;
	return ofix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	ofix_clear(&fx);
	return 0;
}

/* ---- addresses without an entry */

static void test_no_entry(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		const struct isthmus_addr *to = &ofix_ssa[reset][v4];

		ofix_refuses(&fx, reset,
			     ofix_spec(&ofix_alice[v4], to, ofix_protos[udp], PACKET_SYN),
			     ONETIME_FREE);
		ofix_refuses(&fx, reset,
			     ofix_spec(&ofix_alice[v4], to, ofix_protos[udp], PACKET_ACK),
			     ONETIME_FREE);
		ofix_refuses(&fx, reset,
			     ofix_spec(&ofix_ssa[0][v4], to, ofix_protos[udp], PACKET_SYN),
			     ONETIME_FREE);
		assert_int_equal(ofix_entries(&fx, "onetime_addr"), 0);
	}
}

static void test_outside(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		ofix_passes(&fx,
			    ofix_spec(&ofix_alice[v4], &ofix_bob[v4], ofix_protos[udp], PACKET_SYN),
			    ONETIME_OTHER);
		ofix_each_pool(reset) ofix_refuses(&fx, reset,
						   ofix_spec(&ofix_ssa[reset][v4], &ofix_bob[v4],
							     ofix_protos[udp], PACKET_SYN),
						   ONETIME_SPOOFED);
	}
}

/* Within the host addresses of pools talk to all others. */
static void test_loopback(void **unused)
{
	__u32 net = fx.net;

	(void)unused;
	fx.net = 1;
	ofix_each_family(v4) ofix_passes(
		&fx, ofix_spec(&ofix_ssa[0][v4], &ofix_bob[v4], IPPROTO_TCP, PACKET_SYN),
		ONETIME_OTHER);
	fx.net = net;
}

/* ---- a packet of alice's and of bob's, in each state of alice's session */

struct state_row {
	__u32 state;
	bool over;	/* until_ns has passed */
	int first[2];	/* of alice, TCP and UDP: what begins a session */
	int later[2];	/* of alice: an ACK */
	int strange[2]; /* of bob: a first one */
};

#define BOTH(reason)                                                                               \
	{                                                                                          \
		ONETIME_##reason, ONETIME_##reason                                                 \
	}
#define EACH(tcp, udp)                                                                             \
	{                                                                                          \
		ONETIME_##tcp, ONETIME_##udp                                                       \
	}

static const struct state_row state_rows[] = {
	{ ONETIME_STATE_FREE, false, BOTH(FREE), BOTH(FREE), BOTH(FREE) },
	{ ONETIME_STATE_RESERVED, false, BOTH(NOT_OURS_YET), BOTH(NOT_OURS_YET),
	  BOTH(NOT_OURS_YET) },
	{ ONETIME_STATE_RESERVED, true, BOTH(NOT_OURS_YET), BOTH(NOT_OURS_YET),
	  BOTH(NOT_OURS_YET) },
	{ ONETIME_STATE_PENDING, true, BOTH(EXPIRED), BOTH(EXPIRED), BOTH(EXPIRED) },
	{ ONETIME_STATE_TAKING, false, BOTH(TAKEN), BOTH(TAKEN), BOTH(TAKEN) },
	{ ONETIME_STATE_CLAIMED, false, BOTH(SESSION), BOTH(SESSION), BOTH(TAKEN) },
	{ ONETIME_STATE_CLAIMED, true, BOTH(FREE), BOTH(FREE), BOTH(FREE) },
	{ ONETIME_STATE_LIVE, false, BOTH(SESSION), BOTH(SESSION), BOTH(TAKEN) },
	{ ONETIME_STATE_LIVE, true, EACH(SESSION, FREE), EACH(SESSION, FREE), EACH(TAKEN, FREE) },
	{ ONETIME_STATE_CLOSING, false, EACH(ENDED, SESSION), BOTH(SESSION), EACH(ENDED, TAKEN) },
	{ ONETIME_STATE_CLOSING, true, BOTH(FREE), BOTH(FREE), BOTH(FREE) },
	{ ONETIME_STATE_DEAD, false, BOTH(FREE), BOTH(FREE), BOTH(FREE) },
	{ ONETIME_STATE_DEAD + 1, false, BOTH(FREE), BOTH(FREE), BOTH(FREE) },
};

static void run_row(int reset, struct packet_spec spec, bool of_session, int reason)
{
	if (reason == ONETIME_SESSION)
		ofix_passes(&fx, spec, reason);
	else /* what a session's own end sends late is never answered */
		ofix_refuses(&fx, of_session && reason == ONETIME_FREE ? OFIX_SILENT : reset, spec,
			     reason);
}

static void run_state(const struct state_row *row, int use, int mode, int reset, int v4, int udp)
{
	struct onetime_addr record = ofix_session(use, row->state, mode, ofix_protos[udp],
						  &ofix_alice[v4], OFIX_PEER, OFIX_OWN);
	const struct isthmus_addr *to = &ofix_ssa[reset][v4];

	if (row->over)
		record.until_ns = ofix_now();
	ofix_addr_put(&fx, to, &record);
	run_row(reset, ofix_spec(&ofix_alice[v4], to, ofix_protos[udp], PACKET_SYN), true,
		row->first[udp]);
	run_row(reset, ofix_spec(&ofix_alice[v4], to, ofix_protos[udp], PACKET_ACK), true,
		row->later[udp]);
	run_row(reset, ofix_spec(&ofix_bob[v4], to, ofix_protos[udp], PACKET_SYN), false,
		row->strange[udp]);
}

static void test_states(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(state_rows) / sizeof(*state_rows); i++)
		ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp) ofix_each_mode(mode)
			each_use(use) run_state(&state_rows[i], use, mode, reset, v4, udp);
}

/* The session's other end by the other protocol. */
static void test_other_protocol(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		struct onetime_addr record =
			ofix_session(ONETIME_SSA, ONETIME_STATE_LIVE, mode, ofix_protos[!udp],
				     &ofix_alice[v4], OFIX_PEER, OFIX_OWN);

		ofix_addr_put(&fx, &ofix_ssa[reset][v4], &record);
		ofix_refuses(&fx, reset,
			     ofix_spec(&ofix_alice[v4], &ofix_ssa[reset][v4], ofix_protos[udp],
				       PACKET_SYN),
			     ONETIME_TAKEN);
	}
}

/* CLOSING: what the other end has still to say; of that, nothing that would begin anew. */
static void test_closing(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset)
		ofix_each_mode(mode) for (__u16 flags = 0; flags < 64; flags++)
	{
		struct onetime_addr record =
			ofix_session(ONETIME_SSA, ONETIME_STATE_CLOSING, mode, IPPROTO_TCP,
				     &ofix_alice[v4], OFIX_PEER, OFIX_OWN);
		struct packet_spec spec =
			ofix_spec(&ofix_alice[v4], &ofix_ssa[reset][v4], IPPROTO_TCP, flags);

		ofix_addr_put(&fx, &spec.dst, &record);
		if (flags & PACKET_SYN)
			ofix_refuses(&fx, reset, spec, ONETIME_ENDED);
		else
			ofix_passes(&fx, spec, ONETIME_SESSION);
		record.until_ns = ofix_now();
		ofix_addr_put(&fx, &spec.dst, &record);
		ofix_refuses(&fx, OFIX_SILENT, spec, ONETIME_FREE);
	}
}

/* ---- how long UDP lives */

static void run_kept(enum ofix_hook hook, __u64 left, __u64 want, int v4)
{
	struct onetime_addr record =
		ofix_session(ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0, IPPROTO_UDP,
			     &ofix_alice[v4], OFIX_PEER, OFIX_OWN);
	struct packet_spec spec = ofix_spec(&ofix_alice[v4], &ofix_ssa[0][v4], IPPROTO_UDP, 0);
	__u64 before = ofix_now(), until;

	if (hook == OFIX_OUT) {
		spec = ofix_spec(&ofix_ssa[0][v4], &ofix_alice[v4], IPPROTO_UDP, 0);
		spec.sport = OFIX_OWN;
		spec.dport = OFIX_PEER;
	}
	record.until_ns = left == ONETIME_UNTIL_CLOSE ? left : before + left;
	ofix_addr_put(&fx, &ofix_ssa[0][v4], &record);
	assert_true(ofix_spec_becomes(
		&fx, hook, spec, hook == OFIX_IN ? ONETIME_SESSION : ONETIME_SENT, OFIX_ALONE));
	until = ofix_addr(&fx, &ofix_ssa[0][v4]).until_ns;
	if (want == left) {
		assert_int_equal(until, record.until_ns);
		return;
	}
	assert_true(until >= before + want && until <= ofix_now() + want);
}

static void test_udp_kept(void **unused)
{
	const __u64 whole = ONETIME_UDP_S * OFIX_S;

	(void)unused;
	ofix_each_family(v4) for (int hook = OFIX_IN; hook < OFIX_HOOKS; hook++)
	{
		run_kept(hook, OFIX_S, whole, v4);
		run_kept(hook, whole - whole / 8 - OFIX_S, whole, v4);
		run_kept(hook, whole - whole / 8 + OFIX_S, whole - whole / 8 + OFIX_S, v4);
		run_kept(hook, whole, whole, v4);
		run_kept(hook, ONETIME_UNTIL_CLOSE, ONETIME_UNTIL_CLOSE, v4);
	}
}

/* What is over, what has closed, and what a stranger sends, keeps nothing. */
static void test_udp_not_kept(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct onetime_addr record = ofix_session(ONETIME_SSA, ONETIME_STATE_LIVE,
							  ONETIME_L0, IPPROTO_UDP, &ofix_alice[v4],
							  OFIX_PEER, OFIX_OWN),
				    now;
		struct packet_spec out =
			ofix_spec(&ofix_ssa[0][v4], &ofix_alice[v4], IPPROTO_UDP, 0);

		out.sport = OFIX_OWN;
		out.dport = OFIX_PEER;
		record.until_ns = ofix_now();
		ofix_addr_put(&fx, &ofix_ssa[0][v4], &record);
		assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, ONETIME_SENT, OFIX_ALONE));
		now = ofix_addr(&fx, &ofix_ssa[0][v4]);
		assert_memory_equal(&now, &record, sizeof(now));
		record.until_ns = ofix_now() + OFIX_S;
		ofix_addr_put(&fx, &ofix_ssa[0][v4], &record);
		ofix_refuses(&fx, OFIX_SILENT,
			     ofix_spec(&ofix_bob[v4], &ofix_ssa[0][v4], IPPROTO_UDP, 0),
			     ONETIME_TAKEN);
		record.state = ONETIME_STATE_CLOSING;
		ofix_addr_put(&fx, &ofix_ssa[0][v4], &record);
		ofix_passes(&fx, ofix_spec(&ofix_alice[v4], &ofix_ssa[0][v4], IPPROTO_UDP, 0),
			    ONETIME_SESSION);
		now = ofix_addr(&fx, &ofix_ssa[0][v4]);
		assert_memory_equal(&now, &record, sizeof(now));
	}
}

/* ---- what leaves an address without a session */

/* The kernel's reset goes. */
static void test_out(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset)
	{
		struct packet_spec out = ofix_spec(&ofix_ssa[reset][v4], &ofix_alice[v4],
						   IPPROTO_TCP, PACKET_RST | PACKET_ACK);
		struct onetime_addr record;

		assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, ONETIME_OTHER, OFIX_ALONE));
		record = ofix_record(ONETIME_SSA, ONETIME_STATE_PENDING, ONETIME_L0, IPPROTO_TCP);
		ofix_addr_put(&fx, &ofix_ssa[reset][v4], &record);
		assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, ONETIME_OTHER, OFIX_ALONE));
		out.src = ofix_bob[v4];
		assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, ONETIME_OTHER, OFIX_ALONE));
	}
}

static void not_given(const struct isthmus_addr *from, int v4, int udp, int reason)
{
	struct packet_spec out =
		ofix_spec(from, &ofix_alice[v4], ofix_protos[udp], udp ? 0 : PACKET_SYN);

	assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, reason, OFIX_ALONE));
	out.flags = PACKET_ACK;
	assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, reason, OFIX_ALONE));
	if (v4) {
		out.frag = 0x2000 | 100;
	} else {
		out.exts = 1;
		out.ext[0] = IPPROTO_FRAGMENT;
		out.v6_frag = 800 | 1;
	}
	assert_true(ofix_spec_becomes(&fx, OFIX_OUT, out, reason, OFIX_ALONE));
}

/* Any user can bind an address of a pool: what he sends from it does not leave. */
static void test_out_not_given(void **unused)
{
	static const __u32 states[] = { ONETIME_STATE_RESERVED, ONETIME_STATE_PENDING,
					ONETIME_STATE_DEAD };
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		const struct isthmus_addr *ssa = &ofix_ssa[reset][v4];
		struct onetime_addr record;

		ofix_clear(&fx);
		not_given(ssa, v4, udp, ONETIME_NOT_GIVEN);
		for (int i = 0; i < 3; i++) {
			record = ofix_record(ONETIME_SSA, states[i], ONETIME_L0, ofix_protos[udp]);
			ofix_addr_put(&fx, ssa, &record);
			not_given(ssa, v4, udp, ONETIME_NOT_GIVEN);
		}
		record = ofix_session(ONETIME_SSA, ONETIME_STATE_LIVE, ONETIME_L0, ofix_protos[udp],
				      &ofix_bob[v4], OFIX_PEER, OFIX_OWN);
		ofix_addr_put(&fx, ssa, &record);
		not_given(ssa, v4, udp, ONETIME_NOT_GIVEN);
		record.use = ONETIME_EA;
		record.port = htons(OFIX_PEER); /* sends to somebody else, too */
		ofix_addr_put(&fx, ssa, &record);
		not_given(ssa, v4, udp, udp ? ONETIME_OTHER : ONETIME_NOT_GIVEN);
		not_given(&ofix_bob[v4], v4, udp, ONETIME_OTHER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_entry, clear),
		cmocka_unit_test_setup(test_outside, clear),
		cmocka_unit_test_setup(test_loopback, clear),
		cmocka_unit_test_setup(test_states, clear),
		cmocka_unit_test_setup(test_other_protocol, clear),
		cmocka_unit_test_setup(test_closing, clear),
		cmocka_unit_test_setup(test_udp_kept, clear),
		cmocka_unit_test_setup(test_udp_not_kept, clear),
		cmocka_unit_test_setup(test_out, clear),
		cmocka_unit_test_setup(test_out_not_given, clear),
	};

	return cmocka_run_group_tests_name("onetime_guard", tests, set_up, tear_down);
}
