// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/map_sweep.c */
/*
 * selftests/map_sweep.c - going through a kernel's hash map: each entry that is there all the time
 * is visited once, what is over is deleted and nothing else, and it ends, also while others write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "agents/lib/map_sweep.h"

#define ENTRIES	   20000
#define ROOM	   65536
#define STEPS_MAX  1000
#define ROUNDS_MAX 100
#define WRITES_MAX 100000000 /* some minutes */
#define LATER	   1000000   /* keys from here on come while it is swept */

struct key {
	uint32_t number, pad;
};

struct value {
	uint64_t over, check;
	uint32_t number, pad;
};

struct seen {
	uint8_t times[ENTRIES];
	unsigned int others, wrong;
};

static int fd = -1;

static int setup(void **state)
{
	(void)state;
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "sweep_test", sizeof(struct key),
			    sizeof(struct value), ROOM, NULL);
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(fd);
}

static int write_entry(uint32_t number, bool over)
{
	struct key key = { .number = number };
	struct value value = { .over = over, .check = ~(uint64_t)number, .number = number };

	return bpf_map_update_elem(fd, &key, &value, BPF_ANY);
}

static bool is_there(uint32_t number)
{
	struct key key = { .number = number };
	struct value value;

	return !bpf_map_lookup_elem(fd, &key, &value);
}

/* A third of them, in no order that the map knows. */
static bool is_over(uint32_t number)
{
	return number * 2654435761u % 3 == 0;
}

static bool visit(const void *key, const void *value, void *arg)
{
	const struct key *at = key;
	const struct value *is = value;
	struct seen *seen = arg;

	if (at->number != is->number || is->check != ~(uint64_t)is->number)
		seen->wrong++;
	else if (at->number < ENTRIES)
		seen->times[at->number]++;
	else
		seen->others++;
	return is->over;
}

static unsigned int sweep_all(struct map_sweep *sweep)
{
	for (unsigned int steps = 1; steps < STEPS_MAX; steps++) {
		int rc = map_sweep_step(sweep);

		if (rc == 1)
			return steps;
		assert_int_equal(rc, 0);
	}
	fail_msg("no end after %d steps", STEPS_MAX);
	return 0;
}

static void fill(void)
{
	for (uint32_t i = 0; i < ENTRIES; i++)
		assert_int_equal(write_entry(i, is_over(i)), 0);
}

static void check_left(void)
{
	for (uint32_t i = 0; i < ENTRIES; i++)
		if (is_there(i) == is_over(i))
			fail_msg("entry %u is %s", i, is_over(i) ? "left" : "gone");
}

static void test_empty(void **state)
{
	struct seen seen = { 0 };
	struct map_sweep *sweep =
		map_sweep_new(fd, sizeof(struct key), sizeof(struct value), visit, &seen);

	(void)state;
	assert_non_null(sweep);
	for (int i = 0; i < 3; i++)
		assert_int_equal(map_sweep_step(sweep), 1);
	assert_int_equal(seen.others + seen.wrong, 0);
	map_sweep_free(sweep);
}

static void test_each_once(void **state)
{
	static struct seen seen;
	struct map_sweep *sweep =
		map_sweep_new(fd, sizeof(struct key), sizeof(struct value), visit, &seen);

	(void)state;
	assert_non_null(sweep);
	fill();
	for (int round = 0; round < 3; round++) { /* after the end it begins anew */
		memset(&seen, 0, sizeof(seen));
		assert_true(sweep_all(sweep) > 1);
		assert_int_equal(seen.wrong, 0);
		for (uint32_t i = 0; i < ENTRIES; i++)
			assert_int_equal(seen.times[i], !round || !is_over(i));
		check_left();
	}
	map_sweep_free(sweep);
}

static atomic_bool stop;
static atomic_uint added;

/* As a datapath does: new entries come and go; of those that stay a quarter is over. */
static void *write_along(void *arg)
{
	uint32_t room = ROOM - ENTRIES - 4096;

	(void)arg;
	for (uint32_t i = 0; !atomic_load(&stop) && i < WRITES_MAX; i++) {
		if (!write_entry(LATER + i % room, i % 4 == 0))
			atomic_fetch_add(&added, 1);
		if (i % 3 == 0) {
			struct key key = { .number = LATER + i / 2 % room };

			bpf_map_delete_elem(fd, &key);
		}
	}
	return NULL;
}

/* Returns how much was written meanwhile. */
static unsigned int sweep_along(struct map_sweep *sweep, struct seen *seen)
{
	unsigned int before;

	fill();
	memset(seen, 0, sizeof(*seen));
	before = atomic_load(&added);
	sweep_all(sweep);
	before = atomic_load(&added) - before;
	assert_int_equal(seen->wrong, 0);
	for (uint32_t i = 0; i < ENTRIES; i++)
		assert_int_equal(seen->times[i], 1);
	check_left();
	return before;
}

static void test_while_written(void **state)
{
	static struct seen seen;
	struct map_sweep *sweep =
		map_sweep_new(fd, sizeof(struct key), sizeof(struct value), visit, &seen);
	unsigned int written = 0, others = 0;
	pthread_t thread;

	(void)state;
	assert_non_null(sweep);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, write_along, NULL), 0);
	for (int i = 0; i < ROUNDS_MAX && (written < 1000 || others < 1000); i++) {
		written += sweep_along(sweep, &seen);
		others += seen.others;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	assert_true(written >= 1000);
	assert_true(others >= 1000);
	map_sweep_free(sweep);
}

/* What the kernel refuses is told, each time. */
static void test_no_map(void **state)
{
	struct seen seen = { 0 };
	struct map_sweep *sweep =
		map_sweep_new(-1, sizeof(struct key), sizeof(struct value), visit, &seen);

	(void)state;
	assert_non_null(sweep);
	assert_int_equal(map_sweep_step(sweep), -EBADF);
	assert_int_equal(map_sweep_step(sweep), -EBADF);
	assert_int_equal(seen.others + seen.wrong, 0);
	map_sweep_free(sweep);
	map_sweep_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_written, setup, teardown),
		cmocka_unit_test(test_no_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
