// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * An owner of portarp is one word of a mapped array: programs on all CPUs and the agent change it
 * by atomic operations, and none is lost. What is handed over is as long as it says, from a per-CPU
 * value. A mapped array's values are eight bytes apart, also if they are four long.
 */
#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/assume/word.h"
#include "selftests/lib/assume.h"

#define WORKERS 2
#define TRIES	1000
#define ROUNDS	500

static struct packet frame;
static __u64 *words;
static volatile bool stop;

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *add(void *arg)
{
	run_on((long)arg);
	for (int i = 0; i < ROUNDS; i++)
		assume_run_tc("word_add", &frame, 0);
	return NULL;
}

/* Takes all there is by compare-and-exchange, over and over. */
static void *take(void *arg)
{
	__u64 *taken = arg;

	while (!stop) {
		__u64 seen = __atomic_load_n(&words[1], __ATOMIC_SEQ_CST);

		if (seen && __atomic_compare_exchange_n(&words[1], &seen, 0, false,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			*taken += seen;
	}
	return NULL;
}

static void *map_memory(const char *name)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, assume_map_fd(name), 0);

	must(at == MAP_FAILED ? -1 : 0);
	return at;
}

static void add_round(void)
{
	pthread_t worker[WORKERS];

	for (long i = 0; i < WORKERS; i++)
		pthread_create(&worker[i], NULL, add, (void *)i);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(worker[i], NULL);
}

static void check_atomics(void)
{
	__u64 taken = 0, all = 0;
	pthread_t taker;

	words = map_memory("words");
	pthread_create(&taker, NULL, take, &taken);
	/* On few CPUs the taker may have to wait for its turn. */
	for (int i = 0; i < TRIES && !__atomic_load_n(&taken, __ATOMIC_RELAXED); i++) {
		add_round();
		all += (__u64)WORKERS * ROUNDS * WORD_STEP;
	}
	stop = true;
	pthread_join(taker, NULL);
	assume(words[1] + words[2] + taken == all,
	       "no change of a word is lost between programs and user space",
	       "%llu + %llu + %llu of %llu", (unsigned long long)words[1],
	       (unsigned long long)words[2], (unsigned long long)taken, (unsigned long long)all);
	assume(taken && words[2], "control: both took some", "%llu, %llu",
	       (unsigned long long)taken, (unsigned long long)words[2]);
}

static size_t got;
static struct word_event event;

static int take_event(void *unused, void *data, size_t len)
{
	(void)unused;
	got = len;
	memcpy(&event, data, len < sizeof(event) ? len : sizeof(event));
	return 0;
}

static void check_lengths(void)
{
	static const __u32 lengths[] = { 14, 17, 60, 61, 1000, 1513, 1514 };
	struct ring_buffer *ring = ring_buffer__new(assume_map_fd("ring"), take_event, NULL, NULL);
	bool same = true;

	must(ring ? 0 : -1);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const struct word_state state = { .length = lengths[i] };

		assume_var_set(".bss", &state);
		same &= assume_run_tc("word_hand_over", &frame, 0) == 0;
		must(ring_buffer__consume(ring));
		same &= got == 8 + lengths[i] && event.length == lengths[i] &&
			!memcmp(event.frame, frame.b, lengths[i]);
	}
	assume(same, "a record is as long as it is said to be, from a per-CPU value", "%zu", got);
	ring_buffer__free(ring);
}

static void check_stride(void)
{
	__u32 *halves = map_memory("halves");

	assume_run_tc("word_half", &frame, 0);
	assume(halves[3 * 2] == 77 && !halves[3], "values of four bytes are eight bytes apart",
	       "%u, %u", halves[3 * 2], halves[3]);
}

int main(int argc, char **argv)
{
	const struct packet_spec spec = { .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1),
					  .data_len = 1460 };

	(void)argc;
	assume_begin(argv[0], true);
	packet_build(&spec, &frame);
	check_atomics();
	check_lengths();
	check_stride();
	return assume_end();
}
