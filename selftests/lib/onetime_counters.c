// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../agents/lib/address.h"
#include "onetime_counters.h"

static char folder[] = "/tmp/isthmus-onetime-XXXXXX";
char path[PATH_MAX], saved[PATH_MAX];
struct counters *counters;

/* ---- the set of what was given */

struct isthmus_addr *given;
size_t given_count;
static size_t given_room;

void give(const struct isthmus_addr *address)
{
	if (given_count == given_room) {
		given_room = given_room ? 2 * given_room : 1024;
		given = realloc(given, given_room * sizeof(*given));
		assert_non_null(given);
	}
	given[given_count++] = *address;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct isthmus_addr));
}

size_t repeats(void)
{
	size_t count = 0;

	qsort(given, given_count, sizeof(*given), compare);
	for (size_t i = 1; i < given_count; i++)
		count += !compare(&given[i], &given[i - 1]);
	return count;
}

/* ---- a database for each test */

static void remove_files(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char name[PATH_MAX + 16];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
		snprintf(name, sizeof(name), "%s%s", saved, suffixes[i]);
		unlink(name);
	}
}

int counters_setup(void **state)
{
	(void)state;
	remove_files();
	given_count = 0;
	return 0;
}

int counters_teardown(void **state)
{
	(void)state;
	counters_close(counters);
	counters = NULL;
	return 0;
}

int counters_group_setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/counters", folder);
	snprintf(saved, sizeof(saved), "%s/saved", folder);
	return 0;
}

int counters_group_teardown(void **state)
{
	(void)state;
	remove_files();
	free(given);
	return rmdir(folder);
}

void open_counters(void)
{
	char error[256] = "";

	if (counters_open(path, &counters, error, sizeof(error)))
		fail_msg("%s", error);
}

void reopen(void)
{
	counters_close(counters);
	counters = NULL;
	open_counters();
}

struct isthmus_addr parse(const char *text)
{
	struct isthmus_addr address;

	if (address_parse(text, &address))
		fail_msg("%s is no address", text);
	return address;
}

struct counter_pool *use(const char *prefix, unsigned int bits, enum generate_method method)
{
	struct isthmus_addr address = parse(prefix);
	struct counter_pool *pool = NULL;

	assert_int_equal(counters_pool(counters, &address, bits, method, &pool), 0);
	return pool;
}

struct isthmus_addr next(struct counter_pool *pool)
{
	struct isthmus_addr address;
	uint64_t counter;

	assert_int_equal(counter_next(pool, &address, &counter), 0);
	give(&address);
	return address;
}

/* All that a pool has left. */
size_t drain(struct counter_pool *pool)
{
	struct isthmus_addr address = { 0 }, before;
	uint64_t counter = 42;
	size_t count = 0;
	int err;

	for (; !(err = counter_next(pool, &address, &counter)); count++)
		give(&address);
	assert_int_equal(err, -ENOSPC);
	before = address;
	assert_int_equal(counter_next(pool, &address, &counter), -ENOSPC);
	assert_memory_equal(&address, &before, sizeof(address));
	return count;
}

void query(const char *text)
{
	sqlite3 *handle;
	char *error = NULL;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	if (sqlite3_exec(handle, text, NULL, NULL, &error))
		fail_msg("%s: %s", text, error);
	sqlite3_close(handle);
}
