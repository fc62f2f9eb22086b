// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state: names, the lock, and what is refused. Needs root and a BPF file system. */
/* link: maps/pin.c */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "maps/pin.h"

static char instance[32];

static void test_path(void **state)
{
	char path[128] = "untouched";

	(void)state;
	assert_int_equal(pin_path(NULL, NULL, NULL, path, sizeof(path)), 0);
	assert_string_equal(path, ISTHMUS_PIN_ROOT);
	assert_int_equal(pin_path("", "splice", NULL, path, sizeof(path)), 0);
	assert_string_equal(path, ISTHMUS_PIN_ROOT "/splice");
	assert_int_equal(pin_path("a_B-9", "splice", "splice_leg", path, sizeof(path)), 0);
	assert_string_equal(path, ISTHMUS_PIN_ROOT "/a_B-9/splice/splice_leg");
}

static void test_path_refuses(void **state)
{
	static const char *const bad[] = { "..",
					   "a/b",
					   "a b",
					   "a.b",
					   "splice@new",
					   "\xc3\xa4",
					   "abcdefghijklmnopqrstuvwxyz0123456" };
	char path[128] = "untouched";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pin_path(bad[i], "splice", NULL, path, sizeof(path)), -EINVAL);
	assert_int_equal(
		pin_path("abcdefghijklmnopqrstuvwxyz012345", NULL, NULL, path, sizeof(path)),
		0); /* 32 are allowed */
	strcpy(path, "untouched");
	assert_int_equal(pin_path("a", "splice", NULL, path, strlen(ISTHMUS_PIN_ROOT "/a/splice")),
			 -ENAMETOOLONG);
	assert_string_equal(path, "untouched");
}

static void test_lock_makes_directories(void **state)
{
	struct stat found;
	char path[128];
	int fd = pin_lock(instance);

	(void)state;
	assert_true(fd >= 0);
	pin_path(instance, NULL, NULL, path, sizeof(path));
	assert_int_equal(stat(path, &found), 0);
	assert_true(S_ISDIR(found.st_mode));
	close(fd);
	assert_true((fd = pin_lock(instance)) >= 0); /* closing unlocked it */
	close(fd);
	assert_int_equal(pin_lock("a/b"), -EINVAL);
}

/* A child holds the lock for a while, then removes the directory if asked to. */
static pid_t hold(unsigned int ms, int remove)
{
	int ready[2];
	char path[128], byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		int fd = pin_lock(instance);

		if (fd < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		usleep(ms * 1000);
		if (remove && !pin_path(instance, NULL, NULL, path, sizeof(path)))
			rmdir(path);
		_exit(0);
	}
	close(ready[1]); /* a child that fails is an end of file here */
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void test_lock_waits(void **state)
{
	pid_t child = hold(300, 0);
	double before = seconds();
	int fd = pin_lock(instance);

	(void)state;
	assert_true(fd >= 0);
	assert_true(seconds() - before > 0.2);
	close(fd);
	waitpid(child, NULL, 0);
}

static void test_lock_gives_up(void **state)
{
	pid_t child = hold(20000, 0);
	double before = seconds();

	(void)state;
	assert_int_equal(pin_lock(instance), -EBUSY);
	assert_true(seconds() - before > 4 && seconds() - before < 9);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Whoever waited must lock the new directory, not the removed one. */
static void test_lock_of_removed_directory(void **state)
{
	pid_t child = hold(300, 1);
	struct stat held, named;
	char path[128];
	int fd = pin_lock(instance);

	(void)state;
	assert_true(fd >= 0);
	pin_path(instance, NULL, NULL, path, sizeof(path));
	assert_int_equal(fstat(fd, &held), 0);
	assert_int_equal(stat(path, &named), 0);
	assert_int_equal(held.st_ino, named.st_ino);
	close(fd);
	waitpid(child, NULL, 0);
}

static void test_lock_of_a_stranger(void **state)
{
	char path[128];
	int fd = pin_lock(instance);

	(void)state;
	close(fd);
	pin_path(instance, NULL, NULL, path, sizeof(path));
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(pin_lock(instance), -EPERM);
	assert_int_equal(chown(path, 0, 0), 0);
	assert_true((fd = pin_lock(instance)) >= 0);
	close(fd);
}

/* One agent for what is attached: a second one is told, and one that comes after the first is not.
 */
static void test_hold(void **state)
{
	char path[128];
	double before;
	int fd;

	(void)state;
	assert_int_equal(pin_hold(instance, "pin_test"), -ENOENT);
	assert_int_equal(pin_hold("a/b", "pin_test"), -EINVAL);
	close(pin_lock(instance));
	pin_path(instance, "pin_test", NULL, path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	fd = pin_hold(instance, "pin_test");
	assert_true(fd >= 0);
	before = seconds();
	assert_int_equal(pin_hold(instance, "pin_test"), -EBUSY);
	assert_true(seconds() - before > 2.5 && seconds() - before < 8);
	close(fd);
	fd = pin_hold(instance, "pin_test");
	assert_true(fd >= 0);
	close(fd);
	rmdir(path);
}

static void test_open_map(void **state)
{
	int lock = pin_lock(instance);
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, "pin_test", 4, 8, 1, NULL);
	char path[128];
	int fd;

	(void)state;
	pin_path(instance, NULL, "pin_test", path, sizeof(path));
	assert_true(map >= 0);
	assert_int_equal(pin_open_map(instance, NULL, "pin_test", 4, 8), -ENOENT);
	assert_int_equal(bpf_obj_pin(map, path), 0);
	fd = pin_open_map(instance, NULL, "pin_test", 4, 8);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pin_open_map(instance, NULL, "pin_test", 8, 8), -EPROTO);
	assert_int_equal(pin_open_map(instance, NULL, "pin_test", 4, 16), -EPROTO);
	assert_int_equal(unlink(path), 0);
	close(map);
	close(lock);
}

static int make_name(void **state)
{
	(void)state;
	snprintf(instance, sizeof(instance), "pin-%d", getpid());
	return 0;
}

static int remove_directories(void **state)
{
	char path[128];

	(void)state;
	if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
		rmdir(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_path_refuses),
		cmocka_unit_test(test_lock_makes_directories),
		cmocka_unit_test(test_lock_waits),
		cmocka_unit_test(test_lock_gives_up),
		cmocka_unit_test(test_lock_of_removed_directory),
		cmocka_unit_test(test_lock_of_a_stranger),
		cmocka_unit_test(test_open_map),
		cmocka_unit_test(test_hold),
	};

	return cmocka_run_group_tests(tests, make_name, remove_directories);
}
