// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/onetime/counter.c agents/onetime/counter_db.c agents/onetime/generate.c */
/* link: agents/lib/address.c selftests/lib/onetime_counters.c */
/*
 * No address is given out twice (agents/onetime/counter.c) although the agent is killed, the power
 * is cut or the disk is full while it gives them out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/onetime_counters.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, counters_setup, counters_teardown)

/* ---- what a power cut leaves: each file as it was when it was last synced */

static bool saving;

static void copy_file(const char *from, const char *to)
{
	static char bytes[1 << 16];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t len;

	if (in < 0 || out < 0)
		abort();
	while ((len = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, len) != len)
			abort();
	close(in);
	close(out);
}

static int sync_and_save(long call, int fd)
{
	char link[64], name[PATH_MAX + 8] = "", to[PATH_MAX + 8];
	int result = syscall(call, fd);

	if (!saving)
		return result;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, name, sizeof(name) - 1) > 0 && !strncmp(name, path, strlen(path))) {
		snprintf(to, sizeof(to), "%.4000s%.8s", saved, name + strlen(path));
		copy_file(link, to);
	}
	return result;
}

/* Instead of the C library's, also for SQLite. */
int fsync(int fd)
{
	return sync_and_save(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_and_save(SYS_fdatasync, fd);
}

static void cut_power(void)
{
	static const char *const suffixes[] = { "", "-wal" };
	char from[PATH_MAX + 8], to[PATH_MAX + 8];

	for (size_t i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s%s", saved, suffixes[i]);
		snprintf(to, sizeof(to), "%s%s", path, suffixes[i]);
		unlink(to);
		if (!access(from, F_OK))
			copy_file(from, to);
	}
}

/* ---- processes that end */

static const char keyed_prefix[] = "2001:db8:a::", mixed_prefix[] = "2001:db8:b::",
		  small_prefix[] = "2001:db8:c::", v4_prefix[] = "198.51.0.0";

static void tell(int fd, const struct isthmus_addr *address)
{
	if (write(fd, address, sizeof(*address)) != sizeof(*address))
		_exit(2);
}

/* One of the pools whose method changes; an operator may be earlier or later than the agent. */
static void choose(int fd)
{
	struct isthmus_addr address = parse(mixed_prefix);
	int err;

	address.b[13] = random() & 3;
	address.b[14] = random();
	address.b[15] = random();
	err = counter_take_address(counters, &address);
	if (!err)
		tell(fd, &address);
	else if (err != -EEXIST && err != -EADDRNOTAVAIL)
		_exit(3);
}

/* A process that gives out addresses until it is killed or has given `count`. */
static void issue(int fd, int run, int count)
{
	struct counter_pool *pools[4];
	struct isthmus_addr address;
	uint64_t counter;
	int err;

	srandom(run);
	open_counters();
	pools[0] = use(keyed_prefix, 64, GENERATE_KEYED);
	pools[1] = use(mixed_prefix, 106, run % GENERATE_METHODS);
	pools[2] = use(small_prefix, 112, GENERATE_SEQUENTIAL);
	pools[3] = use(v4_prefix, 112, GENERATE_RANDOM);
	for (int i = 0; i < count; i++) {
		err = counter_next(pools[random() % 4], &address, &counter);
		if (!err)
			tell(fd, &address);
		else if (err != -ENOSPC)
			_exit(4);
		if (i % 100 == 0)
			choose(fd);
		if (i % 1000 == 999)
			use(mixed_prefix, 106, random() % GENERATE_METHODS);
	}
	_exit(0);
}

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/*
 * What it told; it is killed when this were so many addresses, or after so many milliseconds.
 * Returns its status.
 */
static int collect(pid_t child, int fd, size_t addresses, int64_t ms)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };
	size_t end = given_count + addresses;
	int64_t end_ms = now_ms() + ms;
	struct isthmus_addr address;
	bool killed = false;
	int status;

	for (;;) {
		int64_t left = end_ms - now_ms();

		if (!killed && (left <= 0 || given_count >= end)) {
			kill(child, SIGKILL);
			killed = true;
		}
		if (!killed && !poll(&poll_fd, 1, left))
			continue;
		if (read(fd, &address, sizeof(address)) != sizeof(address))
			break;
		give(&address);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static int run_child(int run, int count, size_t addresses, int64_t ms)
{
	int fds[2], status;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (!child) {
		close(fds[0]);
		issue(fds[1], run, count);
	}
	close(fds[1]);
	status = collect(child, fds[0], addresses, ms);
	close(fds[0]);
	return status;
}

static void killed(void **state)
{
	(void)state;
	srandom(1);
	for (int run = 0; run < 100; run++) {
		/* Some while they open the file or draw the first block. */
		int64_t ms = run % 4 ? 60000 : random() % 40;
		int status = run_child(run, 1000000, random() % 600, ms);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	assert_true(given_count > 15000); /* 75 runs of 300 and more on average */
	assert_int_equal(repeats(), 0);
}

/* A process ends without a word, and only what it had synced is there for the next one. */
static void power_cuts(void **state)
{
	(void)state;
	srandom(2);
	saving = true;
	for (int run = 0; run < 25; run++) {
		int status = run_child(run, random() % 3000, SIZE_MAX / 2, 60000);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		cut_power();
	}
	saving = false;
	assert_true(given_count > 10000);
	assert_int_equal(repeats(), 0);
}

/* The control of both: an older copy of the file is what must repeat. */
static void older_copy(void **state)
{
	(void)state;
	saving = true;
	run_child(0, 10, SIZE_MAX / 2, 60000);
	saving = false;
	run_child(0, 10000, SIZE_MAX / 2, 60000);
	assert_int_equal(repeats(), 0);
	cut_power();
	run_child(0, 10000, SIZE_MAX / 2, 60000);
	assert_true(repeats() > 100);
}

/* Nothing can be written: no address, and none twice when it works again. */
static void disk_full(void **state)
{
	struct isthmus_addr address = { .b = { 1 } }, none = address;
	struct rlimit limit, full;
	struct counter_pool *pool;
	uint64_t counter = 42;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	full = (struct rlimit){ 0, limit.rlim_max };
	for (int method = 0; method < GENERATE_METHODS; method++) {
		open_counters();
		pool = use("198.51.100.0", 120, method);
		for (int round = 0; round < 20; round++) {
			next(pool);
			setrlimit(RLIMIT_FSIZE, &full);
			while (!counter_next(pool, &address, &counter)) {
				give(&address);
				none = address;
			}
			assert_int_equal(counter_next(pool, &address, &counter), -EIO);
			assert_memory_equal(&address, &none, sizeof(none));
			assert_int_not_equal(strlen(counters_error(counters)), 0);
			assert_int_equal(counter_take_address(counters, &none), -EEXIST);
			setrlimit(RLIMIT_FSIZE, &limit);
		}
		reopen();
		drain(use("198.51.100.0", 120, method));
		assert_int_equal(repeats(), 0);
		assert_int_equal(given_count, 254);
		counters_teardown(NULL);
		counters_setup(NULL);
	}
	signal(SIGXFSZ, SIG_DFL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(killed),
		TEST(power_cuts),
		TEST(older_copy),
		TEST(disk_full),
	};

	return cmocka_run_group_tests(tests, counters_group_setup, counters_group_teardown);
}
