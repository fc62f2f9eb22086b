// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/onetime/counter.c agents/onetime/counter_db.c agents/onetime/generate.c */
/* link: agents/lib/address.c selftests/lib/onetime_counters.c */
/*
 * Addresses that are given out once (agents/onetime/counter.c): whole pools, changes of method,
 * overlapping pools and an operator's own addresses; who had one; files that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/onetime_counters.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, counters_setup, counters_teardown)

/* ---- whole pools */

static void whole_pools(void **state)
{
	static const struct {
		const char *prefix;
		unsigned int bits;
		size_t addresses;
	} rows[] = {
		{ "192.0.2.0", 124, 14 },
		{ "192.0.2.16", 127, 2 },
		{ "192.0.2.18", 128, 1 },
		{ "198.51.100.0", 120, 254 },
		{ "2001:db8::100", 120, 255 },
		{ "2001:db8:1::", 128, 0 }, /* its identifier is 0 */
		{ "2001:db8:1::fdff:ffff:ffff:0", 112, 65536 - 1 - 128 },
		{ "2001:db8:1::8:0", 109, (1 << 19) - 1 },
	};

	(void)state;
	for (int method = 0; method < GENERATE_METHODS; method++) {
		open_counters();
		/* The last is too large to be found used up by chance. */
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows) - (method == GENERATE_RANDOM);
		     i++)
			assert_int_equal(drain(use(rows[i].prefix, rows[i].bits, method)),
					 rows[i].addresses);
		assert_int_equal(repeats(), 0);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* An orderly end costs nothing. */
static void restarts(void **state)
{
	(void)state;
	for (int method = 0; method < GENERATE_METHODS; method++) {
		for (int i = 0; i < 62; i++) {
			open_counters();
			next(use("192.0.2.0", 122, method));
			counters_teardown(NULL);
		}
		assert_int_equal(repeats(), 0);
		open_counters();
		assert_int_equal(drain(use("192.0.2.0", 122, method)), 0);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* ---- several generators */

static struct counter_trace trace(const struct isthmus_addr *address)
{
	struct counter_trace result;

	assert_int_equal(counter_trace(counters, address, &result), 0);
	return result;
}

static void check_trace(const struct isthmus_addr *address, const char *prefix, unsigned int bits,
			enum generate_method method, uint64_t counter)
{
	struct counter_trace is = trace(address);
	struct isthmus_addr want = parse(prefix);

	assert_false(is.chosen);
	assert_memory_equal(&is.pool.prefix, &want, sizeof(want));
	assert_int_equal(is.pool.bits, bits);
	assert_int_equal(is.method, method);
	assert_int_equal(is.counter, counter);
}

/* Whatever the order of methods: each address once, all of them, and each is traced to who gave it.
 */
static void methods(void **state)
{
	struct {
		struct isthmus_addr address;
		enum generate_method method;
		uint64_t counter;
	} had[254] = { 0 };
	struct counter_pool *pool;
	int count = 0, err = 0;

	(void)state;
	srandom(3);
	open_counters();
	while (!err) {
		int method = random() % GENERATE_METHODS;

		if (random() % 4 == 0)
			reopen();
		pool = use("192.0.2.0", 120, method);
		for (int i = random() % 20; i >= 0 && !err && count < 254; i--) {
			had[count].method = method;
			err = counter_next(pool, &had[count].address, &had[count].counter);
			count += !err;
		}
		err = count == 254 ? -ENOSPC : err == -ENOSPC ? 0 : err;
	}
	assert_int_equal(err, -ENOSPC);
	for (int method = 0; method < GENERATE_METHODS; method++)
		assert_int_equal(drain(use("192.0.2.0", 120, method)), 0);
	reopen();
	for (int i = 0; i < count; i++) {
		give(&had[i].address);
		check_trace(&had[i].address, "192.0.2.0", 120, had[i].method, had[i].counter);
	}
	assert_int_equal(repeats(), 0);
}

/* What one pool has given, or has in its block, the others pass over. */
static void overlaps(void **state)
{
	(void)state;
	for (int round = 0; round < GENERATE_METHODS * GENERATE_METHODS * GENERATE_METHODS;
	     round++) {
		static const char prefix[] = "2001:db8::1:0";
		struct counter_pool *pools[3], *whole;
		struct isthmus_addr address;
		uint64_t counter;

		open_counters();
		pools[0] = use(prefix, 116, round % 3);
		pools[1] = use(prefix, 120, round / 3 % 3);
		pools[2] = use(prefix, 122, round / 9);
		for (int i = 0; i < 60 * 3; i++) {
			int err = counter_next(pools[i % 3], &address, &counter);

			if (!err)
				give(&address);
			else /* the others have had the smallest one's */
				assert_true(i % 3 == 2 && err == -ENOSPC);
		}
		counters_teardown(NULL);
		open_counters();
		whole = use(prefix, 116, GENERATE_KEYED);
		drain(whole);
		assert_int_equal(repeats(), 0);
		assert_in_range(given_count, 4095 - 64, 4095);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* The same counters give other addresses in another file: each has a key of its own. */
static void own_keys(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		open_counters();
		for (int j = 0; j < 1000; j++)
			next(use("2001:db8::", 64, GENERATE_KEYED));
		counters_teardown(NULL);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(repeats(), 0);
}

/* ---- an operator's own */

static int take(const char *text)
{
	struct isthmus_addr address = parse(text);

	return counter_take_address(counters, &address);
}

static void chosen(void **state)
{
	struct isthmus_addr address;
	struct counter_pool *pool;

	(void)state;
	for (int method = 0; method < GENERATE_METHODS; method++) {
		open_counters();
		assert_int_equal(take("192.0.2.5"), 0); /* before there is a pool */
		assert_int_equal(take("192.0.2.5"), -EEXIST);
		address = parse("192.0.2.5");
		assert_true(trace(&address).chosen);
		give(&address);
		pool = use("192.0.2.0", 120, method);
		assert_int_equal(take("192.0.2.0"), -EADDRNOTAVAIL);
		assert_int_equal(take("192.0.2.255"), -EADDRNOTAVAIL);
		address = next(pool);
		assert_int_equal(counter_take_address(counters, &address), -EEXIST);
		reopen();
		assert_int_equal(counter_take_address(counters, &address), -EEXIST);
		assert_int_equal(take("192.0.2.5"), -EEXIST);
		assert_int_equal(drain(use("192.0.2.0", 120, method)), 252);
		assert_int_equal(repeats(), 0);
		for (size_t i = 0; i < given_count; i++)
			assert_int_equal(counter_take_address(counters, &given[i]), -EEXIST);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* One that waits in a block is still free: the generator passes over it, also when it comes again.
 */
static void chosen_of_block(void **state)
{
	struct counter_pool *pool;
	struct isthmus_addr address;

	(void)state;
	for (int again = 0; again < 2; again++) {
		open_counters();
		pool = use("2001:db8::", 64, GENERATE_SEQUENTIAL);
		next(pool);
		assert_int_equal(take("2001:db8::2"), 0);
		assert_int_equal(take("2001:db8::4"), 0);
		assert_int_equal(take("2001:db8::1"), -EEXIST);
		assert_int_equal(take("2001:db8::2"), -EEXIST);
		if (again) {
			reopen();
			pool = use("2001:db8::", 64, GENERATE_SEQUENTIAL);
		}
		for (int i = 3; i < 10; i += i == 3 ? 2 : 1) {
			address = next(pool);
			assert_int_equal(address.b[15], i);
		}
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* ---- who had it */

static void journal(void **state)
{
	struct isthmus_addr first, second, own = parse("2001:db8::77");
	struct counter_trace is = { .counter = 42 };
	struct counter_pool *pool;
	uint64_t counter;
	time_t before = time(NULL);

	(void)state;
	open_counters();
	pool = use("2001:db8::", 64, GENERATE_KEYED);
	assert_int_equal(counter_trace(counters, &own, &is), -ENOENT);
	assert_int_equal(is.counter, 42);
	assert_int_equal(counter_next(pool, &first, &counter), 0);
	assert_int_equal(counter, 0);
	assert_int_equal(counter_note(counters, &first, "www.example.net", "192.0.2.1"), 0);
	second = next(pool);
	assert_int_equal(take("2001:db8::77"), 0);
	assert_int_equal(counter_note(counters, &own, "", "operator"), 0);
	for (int again = 0; again < 2; again++, reopen()) {
		check_trace(&first, "2001:db8::", 64, GENERATE_KEYED, 0);
		is = trace(&first);
		assert_true(is.noted);
		assert_string_equal(is.name, "www.example.net");
		assert_string_equal(is.client, "192.0.2.1");
		assert_in_range(is.time, before, time(NULL));
		check_trace(&second, "2001:db8::", 64, GENERATE_KEYED, 1);
		is = trace(&second);
		assert_false(is.noted);
		assert_string_equal(is.name, "");
		is = trace(&own);
		assert_true(is.chosen && is.noted);
		assert_string_equal(is.client, "operator");
	}
}

static void set_address(struct isthmus_addr *address, unsigned int i)
{
	*address = (struct isthmus_addr){ .b = { 0x20, 0x01, [14] = i >> 8, [15] = i } };
}

/* More than the memory for notes holds; names that are too long. */
static void many_notes(void **state)
{
	char name[COUNTER_NAME_LEN + 1], client[COUNTER_CLIENT_LEN + 1];
	struct isthmus_addr address;

	(void)state;
	memset(name, 'n', sizeof(name));
	memset(client, 'c', sizeof(client));
	name[COUNTER_NAME_LEN] = client[COUNTER_CLIENT_LEN] = 0;
	open_counters();
	set_address(&address, 0);
	assert_int_equal(counter_take_address(counters, &address), 0);
	assert_int_equal(counter_note(counters, &address, name, ""), -ENAMETOOLONG);
	assert_int_equal(counter_note(counters, &address, "", client), -ENAMETOOLONG);
	name[COUNTER_NAME_LEN - 1] = client[COUNTER_CLIENT_LEN - 1] = 0;
	for (unsigned int i = 0; i < 3 * COUNTER_NOTES_MAX; i++) {
		set_address(&address, i);
		assert_int_equal(counter_note(counters, &address, name, client), 0);
	}
	set_address(&address, 0);
	assert_string_equal(trace(&address).name, name);
	assert_string_equal(trace(&address).client, client);
	assert_int_equal(counter_prune(counters, 0), 10000);
	assert_int_equal(counter_prune(counters, 0), 3 * COUNTER_NOTES_MAX - 10000);
	assert_int_equal(counter_prune(counters, 0), 0);
}

/* By age, and no address comes again by it. */
static void pruned(void **state)
{
	(void)state;
	for (int method = 0; method < GENERATE_METHODS; method++) {
		struct isthmus_addr address[3];
		struct counter_pool *pool;

		open_counters();
		pool = use("192.0.2.0", 124, method);
		for (int i = 0; i < 3; i++) {
			address[i] = next(pool);
			assert_int_equal(counter_note(counters, &address[i], i ? "b" : "a", "c"),
					 0);
		}
		assert_int_equal(take(method ? "192.0.2.200" : "192.0.2.201"), 0);
		assert_int_equal(counter_prune(counters, 3600), 0);
		counters_teardown(NULL);
		query("UPDATE given SET time = time - 3600 WHERE name = 'a'");
		open_counters();
		assert_int_equal(counter_prune(counters, 3600), 1);
		assert_false(trace(&address[0]).noted);
		assert_int_equal(trace(&address[0]).method, method);
		assert_true(trace(&address[1]).noted);
		assert_int_equal(counter_prune(counters, 0), 2);
		assert_int_equal(take(method ? "192.0.2.200" : "192.0.2.201"), -EEXIST);
		for (int i = 0; i < 3; i++)
			assert_int_equal(counter_take_address(counters, &address[i]), -EEXIST);
		assert_int_equal(drain(use("192.0.2.0", 124, method)), 11);
		assert_int_equal(repeats(), 0);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
}

/* ---- files */

/* Refused with this error and these words, and not changed. */
static void check_refused(int err, const char *words)
{
	struct counters *none = NULL;
	char error[256] = "";

	assert_int_equal(counters_open(path, &none, error, sizeof(error)), err);
	assert_null(none);
	if (!strstr(error, words) || !strstr(error, path))
		fail_msg("%s", error);
}

static void write_file(off_t offset, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char bytes[8192];

	memset(bytes, 0x5a, sizeof(bytes));
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, offset), len);
	close(fd);
}

/* With one generator; its table is the file's second page. */
static void make_database(const char *change)
{
	counters_setup(NULL);
	open_counters();
	next(use("2001:db8::", 64, GENERATE_KEYED));
	counters_teardown(NULL);
	if (change)
		query(change);
}

static void refused(void **state)
{
	static const char *const damages[] = {
		"UPDATE generators SET key = x'00'",	  "UPDATE generators SET method = 3",
		"UPDATE generators SET high = -1",	  "UPDATE generators SET bits = 48",
		"UPDATE generators SET prefix = x'2001'",
	};

	(void)state;
	write_file(0, 8192);
	check_refused(-EIO, "not a database");
	counters_setup(NULL);
	query("CREATE TABLE leases (a); PRAGMA user_version = 1;");
	check_refused(-EPROTO, "another program's");
	query("PRAGMA application_id = 0x69736f74; PRAGMA user_version = 2;");
	check_refused(-EPROTO, "a newer version's");
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		make_database(damages[i]);
		if (i == 3) /* a prefix of this length, too: the row can be */
			query("UPDATE generators SET prefix = x'20010db8000000000001000000000000'");
		check_refused(-EBADMSG, "damaged");
	}
	make_database("DROP TABLE owned");
	check_refused(-EIO, "no such table");
	make_database(NULL);
	write_file(4096, 4096);
	check_refused(-EBADMSG, "damaged");
}

static void no_file(void **state)
{
	char whole[sizeof(path)];

	(void)state;
	memcpy(whole, path, sizeof(path));
	strcat(path, "/counters");
	check_refused(-ENOENT, "No such file");
	memcpy(path, whole, sizeof(path));
	*strrchr(path, '/') = 0;
	check_refused(-EISDIR, "Is a directory");
	memcpy(path, whole, sizeof(path));
}

/* It has keys: for its owner alone. Two agents would give the same. */
static void alone(void **state)
{
	struct stat file, wal;
	char name[sizeof(path) + 8];

	(void)state;
	query("PRAGMA journal_mode = WAL");
	assert_int_equal(chmod(path, 0644), 0);
	open_counters();
	next(use("2001:db8::", 64, GENERATE_KEYED));
	snprintf(name, sizeof(name), "%s-wal", path);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(stat(name, &wal), 0);
	assert_int_equal(file.st_mode & 07777, 0600);
	assert_int_equal(wal.st_mode & 07777, 0600);
	check_refused(-EIO, "locked");
	next(use("2001:db8::", 64, GENERATE_KEYED));
}

static void bad_pools(void **state)
{
	struct isthmus_addr prefix = parse("2001:db8::1"), *none = &prefix;
	struct counter_pool *pool = (struct counter_pool *)none;

	(void)state;
	open_counters();
	assert_int_equal(counters_pool(counters, &prefix, 64, GENERATE_KEYED, &pool), -EINVAL);
	assert_int_equal(counters_pool(counters, &prefix, 129, GENERATE_KEYED, &pool), -EINVAL);
	assert_int_equal(counters_pool(counters, &prefix, 128, GENERATE_METHODS, &pool), -EINVAL);
	assert_ptr_equal(pool, none);
	assert_ptr_equal(use("2001:db8::", 64, GENERATE_KEYED),
			 use("2001:db8::", 64, GENERATE_RANDOM));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(whole_pools), TEST(restarts),  TEST(methods),	   TEST(overlaps),
		TEST(own_keys),	   TEST(chosen),    TEST(chosen_of_block), TEST(journal),
		TEST(many_notes),  TEST(pruned),    TEST(refused),	   TEST(no_file),
		TEST(alone),	   TEST(bad_pools),
	};

	return cmocka_run_group_tests(tests, counters_group_setup, counters_group_teardown);
}
