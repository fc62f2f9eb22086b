// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_instant.c - first packets of two clients for one address, on two CPUs in one
 * instant, 100,000 times (half of them TCP): one takes it, and the entry is that one's, whole.
 */
#include <arpa/inet.h>
#include <linux/pkt_cls.h>
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
#include "selftests/lib/onetime_fixture.h"

enum { ADDRESSES = 50000, CPUS = 2, SPINS = 2000, CPUS_MAX = 256, NOT_RUN = 99 };

/* One CPU's client, its packet for each address in turn, and what became of it. */
struct side {
	int cpu;
	__u32 delay; /* changes, so that each CPU comes first now and then */
	struct packet frame;
	__s8 verdict[ADDRESSES];
};

static struct ofix fx;
static struct side side[CPUS];
static int arrived;

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

/* ---- addresses: 2001:db8:100::9:0 and on */

static struct isthmus_addr address_of(int round)
{
	struct isthmus_addr addr = OFIX_SSA6(0);

	addr.b[12] = 9;
	packet_put32(addr.b + 12, 0x09000000 | round);
	return addr;
}

static void give_all(__u8 proto)
{
	struct onetime_addr record =
		ofix_record(ONETIME_SSA, ONETIME_STATE_PENDING, ONETIME_L2, proto);

	record.until_ns += ONETIME_CLAIM_S * 10 * OFIX_S;
	for (int i = 0; i < ADDRESSES; i++) {
		struct isthmus_addr addr = address_of(i);

		ofix_addr_put(&fx, &addr, &record);
	}
}

/* ---- two CPUs */

/* The clients' every byte differs, as do their ports: a torn entry would be neither's. */
static struct packet_spec client(int number, __u8 proto)
{
	struct isthmus_addr to = address_of(0);
	struct packet_spec spec = ofix_spec(&ofix_alice[0], &to, proto, PACKET_SYN);

	memset(spec.src.b + 4, number ? 0xee : 0x11, 12);
	spec.sport = number ? 0xeeee : 0x1111;
	spec.dport = number ? 0xcccc : 0x3333;
	return spec;
}

/* A sleeper would be woken too late to meet the other one. */
static void meet(int round)
{
	__atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
	for (int i = 0; __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < CPUS * (round + 1); i++)
		if (i > SPINS)
			sched_yield();
}

static int run_one(struct side *mine, int round)
{
	struct __sk_buff skb = { .ifindex = fx.net };
	struct isthmus_addr to = address_of(round);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = mine->frame.b,
		    .data_size_in = mine->frame.len, .repeat = 1, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));

	/* The checksum is wrong for it: who looks at it comes later. */
	memcpy(mine->frame.b + 14 + 24, &to, 16);
	meet(round);
	for (__u32 i = round * 7919u % 512 * mine->delay; i; i--)
		__asm__ volatile("");
	must(bpf_prog_test_run_opts(fx.program[OFIX_IN], &opts));
	return (int)opts.retval;
}

static void *run_all(void *argument)
{
	struct side *mine = argument;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(mine->cpu, &cpu);
	must(sched_setaffinity(0, sizeof(cpu), &cpu));
	for (int i = 0; i < ADDRESSES; i++)
		mine->verdict[i] = run_one(mine, i);
	return NULL;
}

static void run_both(__u8 proto)
{
	pthread_t thread[CPUS];
	cpu_set_t all;

	must(sched_getaffinity(0, sizeof(all), &all));
	arrived = 0;
	for (int i = 0; i < CPUS; i++) {
		struct packet_spec spec = client(i, proto);

		side[i].cpu = i;
		side[i].delay = i;
		memset(side[i].verdict, NOT_RUN, sizeof(side[i].verdict));
		ofix_frame(&fx, OFIX_IN, &spec, &side[i].frame);
		assert_int_equal(pthread_create(&thread[i], NULL, run_all, &side[i]), 0);
	}
	for (int i = 0; i < CPUS; i++)
		pthread_join(thread[i], NULL);
	must(sched_setaffinity(0, sizeof(all), &all));
}

/* ---- what became of it */

static __u64 count_of(__u32 reason)
{
	struct isthmus_count each[CPUS_MAX];
	__u64 sum = 0;

	must(bpf_map_lookup_elem(ofix_map(&fx, "onetime_stats"), &reason, each));
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += each[i].packets;
	return sum;
}

/* Returns who has won. */
static int check_address(int round, __u8 proto)
{
	struct isthmus_addr addr = address_of(round);
	struct onetime_addr record = ofix_addr(&fx, &addr);
	int winner = side[0].verdict[round] == TC_ACT_UNSPEC ? 0 : 1;
	struct packet_spec spec = client(winner, proto);

	assert_int_equal(side[winner].verdict[round], TC_ACT_UNSPEC);
	assert_int_equal(side[!winner].verdict[round], TC_ACT_SHOT);
	assert_int_equal(record.state,
			 proto == IPPROTO_TCP ? ONETIME_STATE_CLAIMED : ONETIME_STATE_LIVE);
	assert_memory_equal(&record.peer, &spec.src, 16);
	assert_int_equal(record.peer_port, htons(spec.sport));
	assert_int_equal(record.wire_peer_port, htons(spec.sport));
	assert_int_equal(record.port, htons(proto == IPPROTO_TCP ? spec.dport : OFIX_UDP_PORT));
	assert_int_equal(record.wire_port, htons(spec.dport));
	return winner;
}

static void run_proto(__u8 proto)
{
	__u64 claimed = count_of(ONETIME_CLAIMED), taken = count_of(ONETIME_TAKEN);
	int won[CPUS] = {};

	give_all(proto);
	run_both(proto);
	for (int i = 0; i < ADDRESSES; i++)
		won[check_address(i, proto)]++;
	assert_int_equal(count_of(ONETIME_CLAIMED) - claimed, ADDRESSES);
	assert_int_equal(count_of(ONETIME_TAKEN) - taken, ADDRESSES);
	printf("first on CPU 0 %d times, on CPU 1 %d times\n", won[0], won[1]);
	/* They have met, else this proves nothing. */
	assert_true(won[0] > ADDRESSES / 100 && won[1] > ADDRESSES / 100);
}

static void test_two(void **state)
{
	(void)state;
	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS) {
		puts("one CPU: nothing happens in one instant");
		skip();
	}
	ofix_clear(&fx);
	run_proto(IPPROTO_TCP);
	ofix_clear(&fx);
	run_proto(IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two),
	};

	return cmocka_run_group_tests_name("onetime_instant", tests, set_up, tear_down);
}
