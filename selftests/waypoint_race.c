// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_race.c - first packets on two CPUs at once, in one wait: of two initiators,
 * of one, and of one whose binding to another responder is over.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_fixture.h"

enum { BATCHES = 40, ROUNDS = 30, SPINS = 100000, CPUS_MAX = 256, HOST = 5, OLD_HOST = 6 };

static struct wfix fx;
static struct packet frames[2][ROUNDS];
static int arrived;   /* at the next packet, of both CPUs */
static int sealed[2]; /* by each CPU, for the right responder */

static int set_up(void **state)
{
	(void)state;
	return wfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	wfix_close(&fx);
	return 0;
}

static __u64 count_of(__u32 reason)
{
	struct isthmus_count each[CPUS_MAX];
	__u64 sum = 0;

	must(bpf_map_lookup_elem(wfix_map(&fx, "waypoint_stats"), &reason, each));
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += each[i].packets;
	return sum;
}

static struct isthmus_addr initiator(int number)
{
	struct isthmus_addr address = PACKET_V4(100, 64, 0, 0);

	address.b[15] = number;
	return address;
}

/* ---- two CPUs */

static bool is_for_host(const struct packet *out)
{
	return out->b[5] == WFIX_G1 && packet_get32(out->b + seal_geneve_at(out) + 20) == HOST;
}

/* A sleeper would be woken too late to meet the other one. */
static void meet(int round)
{
	__sync_fetch_and_add(&arrived, 1);
	for (int i = 0; __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < 2 * (round + 1); i++)
		if (i > SPINS)
			sched_yield();
}

static void run_one(int cpu, int round, const struct packet *in)
{
	struct xdp_md xdp = { .ingress_ifindex = fx.net, .data_end = in->len };
	struct packet out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = out.b, .data_size_out = sizeof(out.b), .repeat = 1, .ctx_in = &xdp,
		    .ctx_size_in = sizeof(xdp));

	meet(round);
	must(bpf_prog_test_run_opts(fx.program[WFIX_XDP], &opts));
	sealed[cpu] += opts.retval == XDP_REDIRECT && is_for_host(&out);
}

static void *run_all(void *argument)
{
	int cpu = argument != NULL;
	cpu_set_t mine;

	CPU_ZERO(&mine);
	CPU_SET(cpu, &mine);
	must(sched_setaffinity(0, sizeof(mine), &mine));
	for (int i = 0; i < ROUNDS; i++)
		run_one(cpu, i, &frames[cpu][i]);
	return NULL;
}

static void run_both(void)
{
	pthread_t thread;

	memset(sealed, 0, sizeof(sealed));
	arrived = 0;
	assert_int_equal(pthread_create(&thread, NULL, run_all, &fx), 0);
	run_all(NULL);
	pthread_join(thread, NULL);
	assert_int_equal(sealed[0], ROUNDS);
	assert_int_equal(sealed[1], ROUNDS);
}

static __u32 bound_in_wait(void)
{
	struct waypoint_wait wait;
	__u32 first = 0;

	assert_true(wfix_get(&fx, "waypoint_wait", &first, &wait));
	return wait.bound;
}

/* As many bindings, all to the one that is waited for. */
static void check_bindings(int number)
{
	struct waypoint_bind bind;

	assert_int_equal(wfix_entries(&fx, "waypoint_bind"), number);
	for (int i = 0; i < number; i++) {
		struct isthmus_addr address = initiator(i);
		struct waypoint_pair pair = wfix_pair(&address, &wfix_w1);

		assert_true(wfix_get(&fx, "waypoint_bind", &pair, &bind));
		assert_int_equal(bind.peer, WFIX_G1);
		assert_int_equal(bind.host, HOST);
	}
}

static void first_packet(int cpu, int round, int number)
{
	struct isthmus_addr address = initiator(number);
	struct packet_spec spec = wfix_spec(&address, &wfix_w1, IPPROTO_TCP, PACKET_SYN);

	spec.sport += cpu;
	wfix_frame(&fx, &spec, &frames[cpu][round]);
}

/* ---- tests */

static void test_two_initiators(void **state)
{
	(void)state;
	for (int batch = 0; batch < BATCHES; batch++) {
		__u64 before = count_of(WAYPOINT_BOUND);

		wfix_clear(&fx);
		wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, HOST, 20000);
		for (int i = 0; i < 2 * ROUNDS; i++)
			first_packet(i % 2, i / 2, i);
		run_both();
		assert_int_equal(count_of(WAYPOINT_BOUND) - before, 2 * ROUNDS);
		assert_int_equal(bound_in_wait(), 2 * ROUNDS);
		check_bindings(2 * ROUNDS);
	}
}

/* One makes the binding, the other finds it; both connections are its. */
static void test_one_initiator(void **state)
{
	(void)state;
	for (int batch = 0; batch < BATCHES; batch++) {
		__u64 bound = count_of(WAYPOINT_BOUND), found = count_of(WAYPOINT_SEALED);

		wfix_clear(&fx);
		wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, HOST, 20000);
		for (int i = 0; i < 2 * ROUNDS; i++)
			first_packet(i % 2, i / 2, i / 2);
		run_both();
		assert_int_equal(count_of(WAYPOINT_BOUND) - bound, ROUNDS);
		assert_int_equal(count_of(WAYPOINT_SEALED) - found, ROUNDS);
		assert_int_equal(bound_in_wait(), ROUNDS);
		check_bindings(ROUNDS);
	}
}

/*
 * Neither packet goes to whom it was bound before, and what is left is one binding. Now and then it
 * is made twice: what one CPU has just made the other takes for the old one, and clears it away.
 */
static void test_bound_anew(void **state)
{
	struct waypoint_bind over = { .peer = WFIX_G2, .host = OLD_HOST };
	__u64 twice = 0;

	(void)state;
	for (int batch = 0; batch < BATCHES; batch++) {
		__u64 bound = count_of(WAYPOINT_BOUND);

		wfix_clear(&fx);
		wfix_wait(&fx, 0, 0, NULL, 0, WFIX_G1, HOST, 20000);
		for (int i = 0; i < 2 * ROUNDS; i++) {
			struct isthmus_addr address = initiator(i / 2);
			struct waypoint_pair pair = wfix_pair(&address, &wfix_w1);

			first_packet(i % 2, i / 2, i / 2);
			wfix_put(&fx, "waypoint_bind", &pair, &over);
		}
		run_both();
		check_bindings(ROUNDS);
		bound = count_of(WAYPOINT_BOUND) - bound;
		assert_int_equal(bound_in_wait(), bound);
		assert_in_range(bound, ROUNDS, 2 * ROUNDS);
		twice += bound - ROUNDS;
	}
	print_message("made twice: %llu of %d\n", twice, BATCHES * ROUNDS);
}

static int need_two(void **state)
{
	(void)state;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		print_message("one CPU\n");
		skip();
	}
	return 0;
}

#define test(name) cmocka_unit_test_setup(name, need_two)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_two_initiators),
		test(test_one_initiator),
		test(test_bound_anew),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
