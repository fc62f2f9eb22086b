// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_hold.c - packets that wait for an owner: counted, bounded, handed over whole;
 * and while both CPUs send, an agent answers by the protocol of maps/portarp.h: nothing is lost,
 * doubled or overtaken.
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/portarp_fixture.h"

#define PORT 1244 /* of the owner that is asked */

static struct pfix fx;
static struct portarp_addr one, two;

static int set_up(void **state)
{
	(void)state;
	return pfix_open(&fx, PORTARP_GATEWAY);
}

static int tear_down(void **state)
{
	(void)state;
	pfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	pfix_fill_gateway(&fx, &one, &two);
	return 0;
}

static void build(enum pfix_program program, __u16 port, __u32 mark, struct packet *in)
{
	struct packet_spec spec = { .src = PFIX_PEER_ADDR,
				    .dst = PFIX_ONE_ADDR,
				    .proto = IPPROTO_UDP,
				    .sport = 7,
				    .dport = port,
				    .data = &mark,
				    .data_len = sizeof(mark) };

	memcpy(spec.dst_mac, program < PFIX_LAN_XDP ? fx.up_mac : fx.lan_mac, 6);
	pfix_mac(9, spec.src_mac);
	packet_build(&spec, in);
}

static void expect(enum pfix_program program, const struct packet *in, int reason, int events)
{
	struct pfix_result result;

	pfix_run(&fx, program, in, &result);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_int_equal(result.events, events);
	if (reason != PORTARP_DELIVERED)
		assert_true(pfix_same(&result.out, in));
}

static void check_event(enum pfix_program program, const struct packet *in, int number)
{
	const struct pfix_event *at = &fx.event[0];

	assert_int_equal(at->event.kind,
			 program == PFIX_OUT ? PORTARP_EVENT_HELD_OWN : PORTARP_EVENT_HELD);
	assert_int_equal(at->event.addr, PFIX_ONE);
	assert_int_equal(at->event.port, htons(PORT));
	assert_int_equal(at->event.proto, IPPROTO_UDP);
	assert_int_equal(at->event.owner, PFIX_ASKED);
	assert_int_equal(at->event.ifindex, program < PFIX_LAN_XDP ? fx.up : fx.lan);
	assert_int_equal(at->event.number, number);
	assert_in_range(at->event.time_ns, pfix_now() - 10000000000ull, pfix_now());
	assert_true(pfix_same(&at->frame, in));
}

static void test_waiting(void **state)
{
	struct packet in;

	for (enum pfix_program program = 0; program < PFIX_PROGRAMS; program++) {
		fill(state);
		for (__u32 i = 1; i <= PORTARP_HOLD; i++) {
			build(program, PORT, i, &in);
			expect(program, &in, PORTARP_HELD, 1);
			check_event(program, &in, i);
			assert_int_equal(fx.owner[PFIX_ASKED].wait, i);
		}
		expect(program, &in, PORTARP_HELD_FULL, 0);
		assert_int_equal(fx.owner[PFIX_ASKED].wait, PORTARP_HOLD);
		build(program, 1236, 0, &in);
		expect(program, &in, PORTARP_NO_OWNER, 0);
		assert_int_equal(fx.owner[PFIX_NOBODY].wait, PORTARP_OWNER_NONE);
	}
}

/* Known again: what waits is the agent's, new packets are sent. */
static void test_known_while_others_wait(void **state)
{
	struct packet in;

	(void)state;
	pfix_owner(&fx, PFIX_ASKED, 5, PORTARP_OWNER_KNOWN | 3);
	build(PFIX_UP_XDP, PORT, 0, &in);
	for (int program = 0; program < PFIX_OUT; program++) {
		build(program, PORT, 0, &in);
		expect(program, &in, PORTARP_DELIVERED, 0);
	}
	assert_int_equal(fx.owner[PFIX_ASKED].wait, PORTARP_OWNER_KNOWN | 3);
}

/* An agent that does not read: nothing waits that it will never see. */
static void test_full_ring(void **state)
{
	struct isthmus_count lost = { 0 }, before;
	struct packet in, out;
	int sent = 0;

	(void)state;
	pfix_count(&fx, PORTARP_EVENT_LOST, &before);
	build(PFIX_UP_TC, PORT, 0, &in);
	in.len = 1514;
	while (lost.packets == 0 && sent++ < 10000) {
		fx.owner[PFIX_ASKED].wait = 7;
		pfix_run_uncounted(&fx, PFIX_UP_TC, &in, &out);
		pfix_count(&fx, PORTARP_EVENT_LOST, &lost);
		lost.packets -= before.packets;
	}
	assert_in_range(sent, PORTARP_EVENT_BYTES / 1600, PORTARP_EVENT_BYTES / 1500);
	assert_int_equal(fx.owner[PFIX_ASKED].wait, 7);
}

/* ---- the race */

#define SENDERS	   2
#define PACKETS	   150000
#define LIFETIMES  200000 /* at most: the owner goes and comes again */
#define GIVE_UP_MS 40000

static struct {
	struct {
		__u8 delivered[PACKETS], held[PACKETS];
		__u32 last_held; /* what the agent sent last */
	} sender[SENDERS];
	bool stuck;
	atomic_int done, doubled, overtaken, lifetimes;
	struct ring_buffer *ring;
	__u32 owed; /* sent by the agent, still in the count */
} race;

static __u64 *owner_word(void)
{
	return (__u64 *)&fx.owner[PFIX_ASKED];
}

/* The frame's last four bytes: sender and number. */
static __u32 mark_of(const __u8 *frame, size_t len)
{
	__u32 mark;

	memcpy(&mark, frame + len - sizeof(mark), sizeof(mark));
	return mark;
}

/* "Sends" a packet: it is seen at the far end. */
static int agent_take(void *unused, void *data, size_t len)
{
	__u32 mark = mark_of(data, len), who = mark >> 24, number = mark & 0xffffff;

	(void)unused;
	if (who >= SENDERS || number >= PACKETS)
		return 0;
	if (race.sender[who].held[number]++)
		race.doubled++;
	if (number < race.sender[who].last_held)
		race.overtaken++;
	race.sender[who].last_held = number;
	race.owed++;
	return 0;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* with one CPU both share it */
}

/* KNOWN, if as many have been sent as have come. */
static bool agent_answer(void)
{
	__u64 before = __atomic_load_n(owner_word(), __ATOMIC_SEQ_CST);
	struct portarp_owner owner;

	memcpy(&owner, &before, sizeof(owner));
	if ((owner.wait & PORTARP_OWNER_WAIT) != race.owed)
		return false;
	pfix_mac(5, owner.mac);
	owner.wait = PORTARP_OWNER_KNOWN;
	if (!__atomic_compare_exchange_n(owner_word(), &before, *(__u64 *)&owner, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;
	race.owed = 0;
	return true;
}

/* The owner goes: nothing is known of it, the count stays as it is. */
static void agent_forget(void)
{
	__u64 before = __atomic_load_n(owner_word(), __ATOMIC_SEQ_CST), after;
	struct portarp_owner owner;

	do {
		memcpy(&owner, &before, sizeof(owner));
		memset(owner.mac, 0xee, 6);
		owner.wait &= PORTARP_OWNER_WAIT;
		memcpy(&after, &owner, sizeof(after));
	} while (!__atomic_compare_exchange_n(owner_word(), &before, after, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
}

static void pause_us(int us)
{
	struct timespec time = { .tv_nsec = us * 1000 };

	nanosleep(&time, NULL);
}

static void *agent(void *unused)
{
	__u64 end = pfix_now() + assume_ms(GIVE_UP_MS) * 1000000ull;

	(void)unused;
	/* The count is read last: who was done had added before. */
	while (race.done < SENDERS || race.owed || fx.owner[PFIX_ASKED].wait & PORTARP_OWNER_WAIT) {
		ring_buffer__consume(race.ring);
		race.stuck = pfix_now() > end;
		if (race.stuck)
			return NULL; /* a count that nobody takes back */
		if (!agent_answer())
			continue;
		race.lifetimes++;
		if (race.lifetimes > LIFETIMES)
			continue;
		pause_us(race.lifetimes % 7);
		agent_forget();
		pause_us(race.lifetimes % 5);
	}
	return NULL;
}

static void *send_all(void *arg)
{
	__u32 who = (long)arg;
	enum pfix_program program = who ? PFIX_UP_TC : PFIX_UP_XDP;
	struct packet in, out;
	__u8 mac[6];

	stay_on(who);
	pfix_mac(5, mac);
	build(program, PORT, who << 24, &in);
	for (__u32 i = 0; i < PACKETS; i++) {
		__u32 mark = who << 24 | i;

		memcpy(in.b + in.len - sizeof(mark), &mark, sizeof(mark));
		if (pfix_run_uncounted(&fx, program, &in, &out) !=
		    pfix_verdict(program, PORTARP_DELIVERED))
			continue;
		race.sender[who].delivered[i] = 1;
		/* What this sender sent before is with the owner by now. */
		if (memcmp(out.b, mac, 6))
			race.overtaken++;
		if (i && !race.sender[who].delivered[i - 1] && !race.sender[who].held[i - 1])
			race.sender[who].delivered[i] = 2; /* unless it was dropped: see below */
	}
	race.done++;
	return NULL;
}

static void test_race(void **state)
{
	struct isthmus_count count, full, held, none;
	pthread_t thread[SENDERS + 1];
	__u64 delivered = 0, waited = 0, lost = 0, early = 0;

	(void)state;
	memset(&race, 0, sizeof(race));
	race.ring = ring_buffer__new(pfix_map(&fx, "portarp_event"), agent_take, NULL, NULL);
	pfix_count(&fx, PORTARP_HELD_FULL, &full);
	pfix_count(&fx, PORTARP_HELD, &held);
	pfix_count(&fx, PORTARP_DELIVERED, &none);
	for (long i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_all, (void *)i), 0);
	assert_int_equal(pthread_create(&thread[SENDERS], NULL, agent, NULL), 0);
	for (int i = 0; i <= SENDERS; i++)
		pthread_join(thread[i], NULL);
	ring_buffer__free(race.ring);
	for (int who = 0; who < SENDERS; who++)
		for (int i = 0; i < PACKETS; i++) {
			bool sent = race.sender[who].delivered[i];

			delivered += sent;
			waited += race.sender[who].held[i];
			lost += !sent && !race.sender[who].held[i];
			assert_int_equal(sent && race.sender[who].held[i], 0);
			/* Delivered although the one before came to the agent only later. */
			early += race.sender[who].delivered[i] == 2 && race.sender[who].held[i - 1];
		}
	assert_false(race.stuck);
	assert_int_equal(race.doubled, 0);
	assert_int_equal(race.overtaken, 0);
	assert_int_equal(early, 0);
	pfix_count(&fx, PORTARP_HELD_FULL, &count);
	assert_int_equal(lost, count.packets - full.packets);
	pfix_count(&fx, PORTARP_HELD, &count);
	assert_int_equal(waited, count.packets - held.packets);
	pfix_count(&fx, PORTARP_DELIVERED, &count);
	assert_int_equal(delivered, count.packets - none.packets);
	assert_int_equal(fx.owner[PFIX_ASKED].wait & PORTARP_OWNER_WAIT, 0);
	/* Controls: both ways were gone, often. */
	assert_true(race.lifetimes > 10);
	assert_true(waited > 100);
	assert_true(delivered > 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_waiting, fill),
		cmocka_unit_test_setup(test_known_while_others_wait, fill),
		cmocka_unit_test_setup(test_full_ring, fill),
		cmocka_unit_test_setup(test_race, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
