// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_race.c - both CPUs at one rendezvous: exactly one of them joins.
 *
 * Two threads, one on each CPU, run one packet each at the same time. What became of the two
 * is compared after each round.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define ROUNDS	   2000
#define PORT_OTHER 4444
#define SPIN	   10000 /* looks before the CPU is given up */

static struct splice_fixture fx;

struct racer {
	struct packet packet;
	int link;
	struct splice_result result;
};

/* Racer 0 is the test itself. */
static struct {
	struct racer racer[2];
	atomic_int round, done;
	atomic_bool stop;
} race;

static void wait_for(atomic_int *value, int wanted)
{
	for (int i = 0; atomic_load(value) < wanted && !atomic_load(&race.stop); i++)
		if (i > SPIN)
			sched_yield(); /* one CPU only, or one that is busy */
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* with one CPU both share it */
}

static void racer_run(struct racer *racer)
{
	splice_fixture_run_uncounted(&fx, FIXTURE_TC, racer->link, &racer->packet, &racer->result);
}

static void *second_racer(void *unused)
{
	(void)unused;
	stay_on(1);
	for (int round = 1;; round++) {
		wait_for(&race.round, round);
		if (atomic_load(&race.stop))
			return NULL;
		racer_run(&race.racer[1]);
		atomic_store(&race.done, round);
	}
}

static __u64 counted(enum splice_reason reason)
{
	struct isthmus_count count;

	splice_fixture_count(&fx, reason, &count);
	return count.packets;
}

struct outcome {
	__u64 joined, held, taken, again;
};

static void count_outcome(struct outcome *outcome)
{
	outcome->joined = counted(SPLICE_JOINED);
	outcome->held = counted(SPLICE_SYN_HELD) + counted(SPLICE_UDP_HELD);
	outcome->taken = counted(SPLICE_SIDE_TAKEN);
	outcome->again = counted(SPLICE_SYN_AGAIN);
}

static void one_round(int round, struct outcome *change)
{
	struct outcome before;

	count_outcome(&before);
	atomic_store(&race.round, round);
	for (int i = 0; i < round % 64 * 8; i++)
		atomic_load(&race.done); /* the start is shifted a little, each round otherwise */
	racer_run(&race.racer[0]);
	wait_for(&race.done, round);
	count_outcome(change);
	change->joined -= before.joined;
	change->held -= before.held;
	change->taken -= before.taken;
	change->again -= before.again;
	ring_buffer__consume(fx.ring);
}

static bool both_legs(const struct splice_session *session)
{
	struct splice_leg leg;

	return splice_fixture_get_leg(&fx, session, 0, &leg) &&
	       splice_fixture_get_leg(&fx, session, 1, &leg);
}

/* Runs `rounds`; `prepare` puts the rendezvous, `right` says whether a round came out right. */
static int run_rounds(const struct splice_session *session,
		      void (*prepare)(const struct splice_session *),
		      bool (*right)(const struct outcome *),
		      bool (*legs)(const struct splice_session *))
{
	pthread_t thread;
	struct outcome change = { 0 };
	int round = 0, wrong = 0, rounds = ROUNDS / splice_fixture_slow();

	atomic_store(&race.done, 0);
	atomic_store(&race.round, 0);
	atomic_store(&race.stop, false);
	stay_on(0);
	assert_int_equal(pthread_create(&thread, NULL, second_racer, NULL), 0);
	while (round < rounds && !wrong) {
		splice_fixture_end(&fx, session);
		prepare(session);
		one_round(++round, &change);
		if (!right(&change) || !legs(session))
			wrong++;
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	if (wrong)
		fprintf(stderr, "round %d: %llu joined, %llu held, %llu taken, %llu again\n", round,
			change.joined, change.held, change.taken, change.again);
	return wrong;
}

static void packet_of(const struct splice_session *session, int racer, int side)
{
	struct packet_spec spec = { .flags = PACKET_SYN, .seq = 1000 + side };

	splice_fixture_spec(&fx, session, side, &spec);
	packet_build(&spec, &race.racer[racer].packet);
	race.racer[racer].link = side;
}

static void prepare_empty(const struct splice_session *session)
{
	splice_fixture_announce(&fx, session);
}

/* Side 0's SYN is there. */
static void prepare_half(const struct splice_session *session)
{
	struct splice_join join;

	splice_fixture_announce(&fx, session);
	splice_fixture_get_join(&fx, session, &join);
	join.state = SPLICE_SYN_LOOKUP;
	join.syn[0].seen_ns = splice_fixture_now();
	join.syn[0].remote_port = htons(session->end[0].remote_port);
	join.syn[0].hop = session->end[0].hop;
	splice_fixture_set_join(&fx, session, &join);
}

static bool one_joined_one_held(const struct outcome *o)
{
	return o->joined == 1 && o->held == 1 && !o->taken && !o->again;
}

static bool one_joined_one_refused(const struct outcome *o)
{
	return o->joined == 1 && !o->held && o->taken + o->again == 1;
}

static bool one_joined_one_taken(const struct outcome *o)
{
	return o->joined == 1 && !o->held && o->taken == 1 && !o->again;
}

static void each_family(__u8 proto, void (*run)(const struct splice_session *))
{
	struct splice_session session;

	for (int v6 = 0; v6 < 2; v6++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, v6, proto, false, &session);
		run(&session);
	}
}

static void run_both_sides(const struct splice_session *session)
{
	packet_of(session, 0, 0);
	packet_of(session, 1, 1);
	assert_int_equal(run_rounds(session, prepare_empty, one_joined_one_held, both_legs), 0);
}

/* Both sides' SYNs at once, nothing stored: whichever is second joins. */
static void test_both_sides_syn(void **state)
{
	(void)state;
	each_family(IPPROTO_TCP, run_both_sides);
}

static void test_both_sides_udp(void **state)
{
	(void)state;
	each_family(IPPROTO_UDP, run_both_sides);
}

static void run_same_syn(const struct splice_session *session)
{
	packet_of(session, 0, 1);
	packet_of(session, 1, 1);
	assert_int_equal(run_rounds(session, prepare_half, one_joined_one_refused, both_legs), 0);
}

/* The second side's SYN twice at once: one joins, the other is answered again or comes too early.
 */
static void test_same_syn_twice(void **state)
{
	(void)state;
	each_family(IPPROTO_TCP, run_same_syn);
}

/* Both sides' legs, and the second side's is one of the two ports'. */
static bool legs_of_one(const struct splice_session *session)
{
	struct splice_leg leg;

	return both_legs(session) && splice_fixture_get_leg(&fx, session, 1, &leg) &&
	       (leg.remote_port == htons(session->end[1].remote_port) ||
		leg.remote_port == htons(PORT_OTHER));
}

static void run_two_ports(const struct splice_session *session)
{
	struct splice_session other = *session;

	other.end[1].remote_port = PORT_OTHER;
	packet_of(session, 0, 1);
	packet_of(&other, 1, 1);
	assert_int_equal(run_rounds(session, prepare_half, one_joined_one_taken, legs_of_one), 0);
}

/* Two ports of the second side's host at once: one joins, the other finds its side taken. */
static void test_two_ports(void **state)
{
	(void)state;
	each_family(IPPROTO_TCP, run_two_ports);
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
		cmocka_unit_test(test_both_sides_syn),
		cmocka_unit_test(test_both_sides_udp),
		cmocka_unit_test(test_same_syn_twice),
		cmocka_unit_test(test_two_ports),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
