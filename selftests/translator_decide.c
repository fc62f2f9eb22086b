// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * When a session ends: a table of cases, and then every combination of flags and silences against
 * a model written as the sentences of maps/splice.h and figure 5.2 say it.
 */
/* link: agents/translator/decide.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>

#include "../agents/translator/decide.h"

#define S 1000000000ULL
#define A SPLICE_LEG_ACKED
#define F SPLICE_LEG_FIN
#define R SPLICE_LEG_RST

static const struct splice_conf conf = {
	.half_open_ns = 21 * S,
	.tcp_idle_s = 7440,
	.half_closed_s = 3000,
	.time_wait_s = 120,
	.reset_s = 10,
	.udp_idle_s = 300,
};

static const uint64_t now = 1000000 * S;

static const struct {
	const char *name;
	uint8_t proto, flags[2];
	uint64_t silence_s[2];
	enum verdict verdict;
} cases[] = {
	{ "established, fresh", IPPROTO_TCP, { A, A }, { 1, 1 }, VERDICT_KEEP },
	{ "established, silent for 2 h", IPPROTO_TCP, { A, A }, { 7200, 7200 }, VERDICT_KEEP },
	{ "established, idle", IPPROTO_TCP, { A, A }, { 7441, 7441 }, VERDICT_IDLE },
	{ "one side alone sends", IPPROTO_TCP, { A, A }, { 9999, 5 }, VERDICT_KEEP },
	{ "one never acked", IPPROTO_TCP, { A, 0 }, { 22, 22 }, VERDICT_HALF_OPEN },
	{ "one never acked yet", IPPROTO_TCP, { A, 0 }, { 20, 22 }, VERDICT_KEEP },
	{ "half-closed", IPPROTO_TCP, { A | F, A }, { 2999, 2999 }, VERDICT_KEEP },
	{ "half-closed too long", IPPROTO_TCP, { A, A | F }, { 3001, 3001 }, VERDICT_IDLE },
	{ "both FINs, just now", IPPROTO_TCP, { A | F, A | F }, { 1, 1 }, VERDICT_KEEP },
	{ "both FINs", IPPROTO_TCP, { A | F, A | F }, { 3, 3 }, VERDICT_FINISHED },
	{ "both FINs, 2 MSL", IPPROTO_TCP, { A | F, A | F }, { 121, 121 }, VERDICT_TIME_WAIT },
	{ "last ACK repeated", IPPROTO_TCP, { A | F, A | F }, { 200, 1 }, VERDICT_KEEP },
	{ "reset, just now", IPPROTO_TCP, { A | R, A }, { 9, 9 }, VERDICT_KEEP },
	{ "reset", IPPROTO_TCP, { A | R, A }, { 11, 11 }, VERDICT_RESET },
	{ "reset, the other goes on", IPPROTO_TCP, { A | R, A }, { 60, 2 }, VERDICT_KEEP },
	{ "reset after both FINs", IPPROTO_TCP, { A | F, A | F | R }, { 11, 11 }, VERDICT_RESET },
	{ "UDP", IPPROTO_UDP, { 0, 0 }, { 299, 600 }, VERDICT_KEEP },
	{ "UDP idle", IPPROTO_UDP, { 0, 0 }, { 301, 600 }, VERDICT_IDLE },
};

static void table(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct leg_view leg[2];

		for (int j = 0; j < 2; j++)
			leg[j] = (struct leg_view){ cases[i].flags[j],
						    now - cases[i].silence_s[j] * S };
		for (int j = 0; j < 2; j++) {
			enum verdict verdict =
				decide_session(cases[i].proto, leg[j], leg[!j], now, &conf);

			if (verdict != cases[i].verdict)
				fail_msg("%s, order %d: verdict %d, not %d", cases[i].name, j,
					 verdict, cases[i].verdict);
		}
	}
}

/* The model: first the state, then its time; nothing of the code under test. */
enum model_state { OPENING, OPEN, HALF, CLOSED, BROKEN, DATAGRAMS };

static enum verdict model(bool udp, unsigned int a, unsigned int b, uint64_t quiet_s)
{
	const unsigned int limit_s[] = { 21, 7440, 3000, 120, 10, 300 };
	const enum verdict end[] = { VERDICT_HALF_OPEN, VERDICT_IDLE,  VERDICT_IDLE,
				     VERDICT_TIME_WAIT, VERDICT_RESET, VERDICT_IDLE };
	int fins = !!(a & F) + !!(b & F), acks = !!(a & A) + !!(b & A),
	    rsts = !!(a & R) + !!(b & R);
	enum model_state state = OPEN;

	if (fins == 1)
		state = HALF;
	if (fins == 2)
		state = CLOSED;
	if (acks < 2)
		state = OPENING;
	if (rsts > 0)
		state = BROKEN;
	if (udp)
		state = DATAGRAMS;
	if (quiet_s > limit_s[state])
		return end[state];
	if (state == CLOSED && quiet_s > 2)
		return VERDICT_FINISHED;
	return VERDICT_KEEP;
}

static const uint64_t quiets[] = { 0,	1,   2,	  3,   10,   11,   21,	 22,
				   120, 121, 300, 301, 3000, 3001, 7440, 7441 };
#define QUIETS (sizeof(quiets) / sizeof(quiets[0]))

static void every_combination(void **state)
{
	unsigned int seen[VERDICT_IDLE + 1] = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 2 * 32 * 32 * QUIETS * QUIETS; i++) {
		unsigned int rest = i, udp = rest % 2, a = (rest /= 2) % 32, b = (rest /= 32) % 32;
		uint64_t qa = quiets[(rest /= 32) % QUIETS], qb = quiets[rest / QUIETS];
		enum verdict expected = model(udp, a, b, qa < qb ? qa : qb);
		struct leg_view leg_a = { a, now - qa * S }, leg_b = { b, now - qb * S };
		uint8_t proto = udp ? IPPROTO_UDP : IPPROTO_TCP;
		enum verdict verdict = decide_session(proto, leg_a, leg_b, now, &conf);

		if (verdict != expected)
			fail_msg("proto %u flags %#x %#x quiet %llu %llu: %d, not %d", proto, a, b,
				 (unsigned long long)qa, (unsigned long long)qb, verdict, expected);
		/* What the sweep does not look at must not have ended. */
		if (verdict != VERDICT_KEEP && (!decide_may_end(proto, leg_a, now, &conf) ||
						!decide_may_end(proto, leg_b, now, &conf)))
			fail_msg("flags %#x %#x quiet %llu %llu: overlooked", a, b,
				 (unsigned long long)qa, (unsigned long long)qb);
		seen[verdict]++;
	}
	for (int i = 0; i <= VERDICT_IDLE; i++)
		assert_true(seen[i] > 0);
}

static void busy_sessions_cost_nothing(void **state)
{
	(void)state;
	assert_false(decide_may_end(IPPROTO_TCP, (struct leg_view){ A, now - S }, now, &conf));
	assert_false(decide_may_end(IPPROTO_UDP, (struct leg_view){ 0, now - 60 * S }, now, &conf));
}

static void clocks_apart(void **state)
{
	struct leg_view ahead = { A, now + 5 * S };

	(void)state;
	assert_int_equal(decide_session(IPPROTO_TCP, ahead, ahead, now, &conf), VERDICT_KEEP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(every_combination),
		cmocka_unit_test(busy_sessions_cost_nothing),
		cmocka_unit_test(clocks_apart),
	};

	return cmocka_run_group_tests_name("translator_decide", tests, NULL, NULL);
}
