// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_world.c */
/*
 * selftests/onetime_race.c - who is first at an address: two clients at one instant on two CPUs, a
 * first client that never ends its handshake, many addresses. Real sockets of the kernel, with and
 * without SYN cookies; beside each refusal genuine clients are served.
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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_world.h"

#define ROUNDS	 400   /* of each of six */
#define SPIN	 10000 /* looks before the CPU is given up */
#define MANY	 1000000
#define SERVED	 10000
#define CLAIM_MS 1500

static bool supported;

static int set_up(void **state)
{
	(void)state;
	supported = !oworld_open();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	oworld_close();
	return 0;
}

static int clear(void **state)
{
	(void)state;
	if (!supported)
		return 0;
	oworld_clear();
	oworld_sysctl("net.ipv4.tcp_syncookies", 1);
	return 0;
}

static void need_support(void)
{
	if (supported)
		return;
	print_message("no cgroup2 is mounted\n");
	skip();
}

static void drop(int fd)
{
	static const struct linger now = { .l_onoff = 1 };

	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(fd);
}

/* ---- two at once */

/* Racer 0 is the test itself. */
static struct {
	struct packet syn[2];
	int socket[2];
	atomic_int round, done;
	atomic_bool stop;
	int delay; /* of the first, more when it wins: so both are nearly at once */
} race;

static void wait_for(atomic_int *value, int wanted)
{
	for (int i = 0; atomic_load(value) < wanted && !atomic_load(&race.stop); i++)
		if (i > SPIN)
			sched_yield();
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* with one CPU both share it */
}

static void *second_racer(void *unused)
{
	(void)unused;
	stay_on(1);
	for (int round = 1;; round++) {
		wait_for(&race.round, round);
		if (atomic_load(&race.stop))
			return NULL;
		assume_packet_send(race.socket[1], &race.syn[1]);
		atomic_store(&race.done, round);
	}
}

static void both_send(int round)
{
	atomic_store(&race.round, round);
	for (int i = 0; i < race.delay; i++)
		atomic_load(&race.done);
	assume_packet_send(race.socket[0], &race.syn[0]);
	wait_for(&race.done, round);
}

static void lose(const struct oworld_hand *loser, bool reset)
{
	struct oworld_seen seen;

	if (!reset) {
		/* What would come was sent before the winner's SYN-ACK, or with it. */
		assert_false(oworld_receive(loser, &seen, 0));
		return;
	}
	assert_true(oworld_sees(loser, PACKET_RST | PACKET_ACK, &seen));
	assert_int_equal(seen.ack, loser->seq + 1);
	assert_int_equal(seen.seq, 0);
}

/* Exactly one of two has the address, and the connection; the other cannot go on as if it had. */
static void one_round(int round, bool reset, int first_won[2])
{
	struct isthmus_addr ssa = oworld_ssa(reset, round);
	struct oworld_hand hands[2] = { oworld_hand(2 * round, &ssa),
					oworld_hand(2 * round + 1, &ssa) };
	struct onetime_addr record;
	struct oworld_seen seen;
	int winner, fd;

	oworld_give(&ssa, round % 4);
	for (int i = 0; i < 2; i++)
		oworld_frame(&hands[i], PACKET_SYN, NULL, &race.syn[i]);
	both_send(round);
	record = oworld_get(&ssa);
	assert_int_equal(record.state, ONETIME_STATE_CLAIMED);
	winner = !!memcmp(&record.peer, &hands[0].me, 16);
	assert_memory_equal(&record.peer, &hands[winner].me, 16);
	first_won[winner]++;
	if (!winner)
		race.delay += 64;
	else if (race.delay)
		race.delay -= 64;
	/* The two answers may come in any order: the loser's is looked for in the next packets. */
	if (reset)
		lose(&hands[!winner], true);
	else
		assert_true(oworld_sees(&hands[winner], PACKET_SYN | PACKET_ACK, &seen));
	if (!reset)
		lose(&hands[!winner], false);
	if (reset) {
		/* The SYN again, by whom it is: it is answered again. */
		assume_packet_send(race.socket[0], &race.syn[winner]);
		assert_true(oworld_sees(&hands[winner], PACKET_SYN | PACKET_ACK, &seen));
	}
	for (int i = 0; i < 2; i++) {
		int at = i ? winner : !winner; /* the loser first */

		hands[at].seq++;
		hands[at].ack = seen.seq + 1;
		oworld_send(&hands[at], PACKET_ACK, NULL);
	}
	fd = oworld_accept(ow.listener, &ssa, OWORLD_PORT, &hands[winner].me, hands[winner].port);
	assert_int_equal(oworld_state(&ssa), ONETIME_STATE_LIVE);
	drop(fd);
	assert_int_equal(oworld_state(&ssa), ONETIME_STATE_CLOSING);
	oworld_flush();
}

static void run_rounds(int cookies, bool reset)
{
	int rounds = ROUNDS / assume_ms(1), won[2] = {};
	pthread_t thread;

	oworld_clear();
	oworld_sysctl("net.ipv4.tcp_syncookies", cookies);
	atomic_store(&race.done, 0);
	atomic_store(&race.round, 0);
	atomic_store(&race.stop, false);
	assert_int_equal(pthread_create(&thread, NULL, second_racer, NULL), 0);
	for (int round = 1; round <= rounds; round++)
		one_round(round, reset, won);
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	assert_true(oworld_nobody(ow.listener));
	oworld_counted(ONETIME_CLAIMED, rounds);
	oworld_counted(ONETIME_LIVE, rounds);
	oworld_counted(ONETIME_CLOSED, rounds);
	/* The other's SYN and ACK. */
	oworld_counted(ONETIME_TAKEN, 2 * rounds);
	oworld_counted(ONETIME_REFUSED_RST, reset ? 2 * rounds : 0);
	print_message("cookies %d, %s: %d addresses, first sender won %d, second %d\n", cookies,
		      reset ? "reset" : "silent", rounds, won[0], won[1]);
}

static void test_two_at_once(void **state)
{
	(void)state;
	need_support();
	stay_on(0);
	assume_ns_enter(ow.clients);
	for (int i = 0; i < 2; i++)
		race.socket[i] = assume_packet_socket("eth0");
	assume_ns_enter(ow.ns);
	for (int cookies = 0; cookies <= 2; cookies++)
		for (int reset = 0; reset < 2; reset++)
			run_rounds(cookies, reset);
	for (int i = 0; i < 2; i++)
		close(race.socket[i]);
}

/* ---- half-open */

/* Refused, and told nothing. */
static void refused(const struct oworld_hand *hand, enum onetime_reason reason)
{
	__u64 before = oworld_count(reason);

	oworld_send(hand, PACKET_SYN, NULL);
	assert_true(oworld_hears_nothing(hand));
	oworld_counted(reason, before + 1);
}

static struct oworld_hand half_open(__u32 number, const struct isthmus_addr *ssa)
{
	struct oworld_hand hand = oworld_hand(number, ssa);
	struct oworld_seen seen;

	oworld_give(ssa, ONETIME_L0);
	oworld_send(&hand, PACKET_SYN, NULL);
	assert_true(oworld_sees(&hand, PACKET_SYN | PACKET_ACK, &seen));
	hand.seq++;
	hand.ack = seen.seq + 1;
	return hand;
}

static void may_end(struct oworld_hand *first)
{
	char got[8];
	int fd;

	oworld_send(first, PACKET_ACK | PACKET_PSH, "late");
	fd = oworld_accept(ow.listener, &first->ssa, OWORLD_PORT, &first->me, first->port);
	assert_int_equal(read(fd, got, sizeof(got)), 4);
	assert_memory_equal(got, "late", 4);
	assert_int_equal(oworld_state(&first->ssa), ONETIME_STATE_LIVE);
	close(fd);
}

/* The first client has the address as long as its claim lasts, and nobody has it afterwards. */
static void half_open_with(int cookies)
{
	struct isthmus_addr kept = oworld_ssa(false, 10 * cookies + 1),
			    left = oworld_ssa(false, 10 * cookies + 2);
	struct oworld_hand first, slow, second;
	struct oworld_seen seen;

	oworld_clear();
	oworld_sysctl("net.ipv4.tcp_syncookies", cookies);
	ow.conf.claim_ns = assume_ms(CLAIM_MS) * (OWORLD_S / 1000);
	oworld_put_conf();
	first = half_open(1, &kept);
	slow = half_open(2, &left);
	second = oworld_hand(3, &kept);
	refused(&second, ONETIME_TAKEN);
	second.ssa = left;
	refused(&second, ONETIME_TAKEN);
	if (cookies != 2) {
		/* Of the repeated SYN-ACKs, after a second. */
		assert_true(oworld_receive(&first, &seen, assume_ms(1400)));
		assert_int_equal(seen.flags, PACKET_SYN | PACKET_ACK);
		assert_int_equal(seen.seq + 1, first.ack);
	}
	may_end(&first);
	assert_true(oworld_becomes(&left, ONETIME_STATE_DEAD) ||
		    oworld_becomes(&left, ONETIME_STATE_DEAD));
	oworld_flush();
	refused(&second, ONETIME_FREE);
	refused(&slow, ONETIME_FREE);
	oworld_send(&slow, PACKET_ACK, NULL);
	assert_true(oworld_nobody(ow.listener));
	oworld_counted(ONETIME_FREE, 3);
	oworld_counted(ONETIME_TAKEN, 2);
	/* Where no guard is, the kernel may still know of the handshake; the address is dead. */
	slow.dev = OWORLD_OPEN;
	oworld_send(&slow, PACKET_ACK, NULL);
	if (cookies != 2)
		drop(oworld_accept(ow.listener, &left, OWORLD_PORT, &slow.me, slow.port));
	assert_true(oworld_nobody(ow.listener));
	oworld_counted(ONETIME_CLAIMED, 2);
	oworld_counted(ONETIME_LIVE, 1);
	assert_int_equal(oworld_state(&left), ONETIME_STATE_DEAD);
}

static void test_half_open(void **state)
{
	(void)state;
	need_support();
	for (int cookies = 0; cookies <= 2; cookies++)
		half_open_with(cookies);
}

/* ---- very many */

static void fill(void)
{
	enum { BATCH = 10000 };
	struct onetime_addr record = oworld_pending(ONETIME_L1, 0), *records;
	struct isthmus_addr *keys;
	__u32 count;

	records = calloc(BATCH, sizeof(*records));
	keys = calloc(BATCH, sizeof(*keys));
	assert_non_null(records);
	assert_non_null(keys);
	for (int i = 0; i < BATCH; i++)
		records[i] = record;
	for (int from = 0; from < MANY; from += BATCH) {
		for (int i = 0; i < BATCH; i++)
			keys[i] = oworld_ssa(false, from + i);
		count = BATCH;
		must(bpf_map_update_batch(bpf_map__fd(ow.skel->maps.onetime_addr), keys, records,
					  &count, NULL));
		assert_int_equal(count, BATCH);
	}
	free(records);
	free(keys);
}

static void print_memory(void)
{
	char path[64], line[256];
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
		 bpf_map__fd(ow.skel->maps.onetime_addr));
	info = fopen(path, "re");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info))
		if (!strncmp(line, "memlock:", 8))
			print_message("%d addresses: %lld MB\n", MANY, atoll(line + 8) >> 20);
	fclose(info);
}

static __u32 any_number(unsigned int *random)
{
	return (((__u32)rand_r(random) << 12) ^ rand_r(random)) % MANY;
}

/* Random ones of them, each once: claimed by who comes, and the connection is that one's. */
static void test_very_many(void **state)
{
	unsigned int random = 5;
	int served = SERVED / assume_ms(1), again = 0;
	struct isthmus_addr outside = oworld_ssa(false, MANY);
	struct oworld_hand stranger;

	(void)state;
	need_support();
	fill();
	print_memory();
	for (int i = 0; i < served; i++) {
		struct isthmus_addr ssa = oworld_ssa(false, any_number(&random));
		struct oworld_hand hand = oworld_hand(i, &ssa);

		if (oworld_state(&ssa) != ONETIME_STATE_PENDING) {
			oworld_send(&hand, PACKET_SYN, NULL);
			again++;
			continue;
		}
		drop(oworld_establish(&hand));
		assert_int_equal(oworld_state(&ssa), ONETIME_STATE_CLOSING);
		oworld_flush();
	}
	stranger = oworld_hand(1, &outside);
	refused(&stranger, ONETIME_FREE);
	oworld_counted(ONETIME_CLAIMED, served - again);
	oworld_counted(ONETIME_LIVE, served - again);
	oworld_counted(ONETIME_CLOSED, served - again);
	oworld_counted(ONETIME_ENDED, again);
	assert_true(oworld_nobody(ow.listener));
	print_message("%d of them served, %d a second time refused\n", served - again, again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_half_open, clear),
		cmocka_unit_test_setup(test_very_many, clear),
		cmocka_unit_test_setup(test_two_at_once, clear),
	};

	return cmocka_run_group_tests_name("onetime_race", tests, set_up, tear_down);
}
