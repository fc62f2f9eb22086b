// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * Sessions are plain hashes: BPF_NOEXIST decides a race between CPUs, a full table refuses and
 * keeps what it has, a spin lock guards a record, and an agent without any capability still reads
 * and writes through descriptors that it opened before.
 */
#include <bpf/bpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "selftests/assume/map.h"
#include "selftests/lib/assume.h"

#define WORKERS 2
#define ROUNDS	200

static struct packet frame;
static pthread_barrier_t start;

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static __u64 counted(__u32 which)
{
	__u64 values[256] = {}, sum = 0;

	must(libbpf_num_possible_cpus() <= 256 ? 0 : -1);
	must(bpf_map_lookup_elem(assume_map_fd("counts"), &which, values));
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		sum += values[cpu];
	return sum;
}

/* ---- BPF_NOEXIST */

static void *claim(void *arg)
{
	run_on((long)arg);
	for (__u32 from = 0; from < MAP_KEYS; from += MAP_STEP) {
		pthread_barrier_wait(&start);
		if (!arg) {
			const struct map_state state = { .from = from };

			assume_var_set(".bss", &state);
		}
		pthread_barrier_wait(&start);
		assume_run_tc("map_claim", &frame, 0);
	}
	return NULL;
}

static void run_workers(void *(*worker)(void *arg))
{
	pthread_t thread[WORKERS];

	pthread_barrier_init(&start, NULL, WORKERS);
	for (long i = 0; i < WORKERS; i++)
		pthread_create(&thread[i], NULL, worker, (void *)i);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&start);
}

static void check_noexist(void)
{
	__u64 won, lost, value, by[WORKERS] = {};

	run_workers(claim);
	won = counted(0);
	lost = counted(1);
	assume(won == MAP_KEYS && lost == (WORKERS - 1) * (__u64)MAP_KEYS,
	       "of all that claim a key exactly one wins", "%llu won, %llu lost, %d keys",
	       (unsigned long long)won, (unsigned long long)lost, MAP_KEYS);
	for (__u32 key = 0; key < MAP_KEYS; key++) {
		must(bpf_map_lookup_elem(assume_map_fd("claims"), &key, &value));
		by[(value - 1) % WORKERS]++;
	}
	assume(sysconf(_SC_NPROCESSORS_ONLN) < WORKERS || (by[0] && by[1]),
	       "control: both CPUs won some", "%llu and %llu", (unsigned long long)by[0],
	       (unsigned long long)by[1]);
}

/* ---- a full table */

static void check_full(void)
{
	__u64 value = 99, kept = 0;
	__u32 key = MAP_KEYS;
	int fd = assume_map_fd("claims");
	int err = bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST);

	assume(err == -E2BIG, "a full hash refuses with E2BIG", "%d", err);
	for (key = 0; key < MAP_KEYS; key++)
		kept += !bpf_map_lookup_elem(fd, &key, &value);
	assume(kept == MAP_KEYS, "and keeps all that it has", "%llu of %d",
	       (unsigned long long)kept, MAP_KEYS);
	key = 5;
	value = 77;
	assume(!bpf_map_update_elem(fd, &key, &value, BPF_EXIST),
	       "an entry of a full hash is still written", "%s", strerror(errno));
	must(bpf_map_delete_elem(fd, &key));
	key = MAP_KEYS;
	assume(!bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST),
	       "a deleted entry's place is free at once", "%s", strerror(errno));
}

/* ---- spin lock */

static void *add(void *arg)
{
	run_on((long)arg);
	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++)
		assume_run_tc("map_add", &frame, 0);
	return NULL;
}

static void check_lock(void)
{
	const struct map_locked zero = {};
	struct map_locked value = {};
	int fd = assume_map_fd("locked");
	__u32 key = 1;

	must(bpf_map_update_elem(fd, &key, &zero, BPF_ANY));
	run_workers(add);
	must(bpf_map_lookup_elem_flags(fd, &key, &value, BPF_F_LOCK));
	assume(value.first == WORKERS * ROUNDS * 64 && value.first == value.second,
	       "no addition under a spin lock is lost", "%llu and %llu",
	       (unsigned long long)value.first, (unsigned long long)value.second);
}

/* ---- without capabilities */

static int batch_read(int fd, unsigned int *read)
{
	__u32 count = MAP_KEYS, position;
	__u32 *keys = calloc(count, sizeof(*keys));
	__u64 *values = calloc(count, sizeof(*values));
	int err = bpf_map_lookup_batch(fd, NULL, &position, keys, values, &count, NULL);

	*read = count;
	free(keys);
	free(values);
	return err == -ENOENT ? 0 : err; /* ENOENT: that was all */
}

static int batch_delete(int fd)
{
	__u32 keys[3] = { 10, 11, 12 }, count = 3;

	return bpf_map_delete_batch(fd, keys, &count, NULL);
}

static void check_unprivileged(void)
{
	int claims = assume_map_fd("claims"), locked = assume_map_fd("locked");
	struct map_locked record = {};
	__u32 key = 1, next;
	__u64 value = 5;
	unsigned int read = 0;
	int err;

	capng_clear(CAPNG_SELECT_BOTH);
	must(capng_apply(CAPNG_SELECT_BOTH));
	assume(bpf_map_create(BPF_MAP_TYPE_ARRAY, "no", 4, 4, 1, NULL) == -EPERM,
	       "control: without capabilities no map is made", "one was");
	assume(!bpf_map_update_elem(claims, &key, &value, BPF_ANY) &&
		       !bpf_map_lookup_elem(claims, &key, &value) && value == 5,
	       "descriptors still write and read", "%s", strerror(errno));
	assume(!bpf_map_lookup_elem_flags(locked, &key, &record, BPF_F_LOCK) && record.first,
	       "also under a record's lock", "%s", strerror(errno));
	assume(!bpf_map_get_next_key(claims, NULL, &next), "also the next key", "%s",
	       strerror(errno));
	err = batch_read(claims, &read);
	assume(!err && read == MAP_KEYS, "also a whole table at once", "%u entries, %s", read,
	       strerror(-err));
	err = batch_delete(claims);
	assume(!err, "also deletion of many at once", "%s", strerror(-err));
	key = 20;
	assume(!bpf_map_delete_elem(claims, &key), "also deletion", "%s", strerror(errno));
}

int main(int argc, char **argv)
{
	const struct packet_spec spec = { .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1) };

	(void)argc;
	assume_begin(argv[0], true);
	packet_build(&spec, &frame);
	check_noexist();
	check_full();
	check_lock();
	check_unprivileged();
	return assume_end();
}
