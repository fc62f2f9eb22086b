// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/lhp_stream.c */
/* link: agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c agents/lib/lhp_stream_place.c */
/* link: agents/lib/conf.c agents/lib/address.c selftests/lib/lhp_ends.c */
/* Places of the stream providers, and key files. */
#include "selftests/lib/lhp_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool never(struct lhp_identity *identity, void *arg)
{
	(void)identity;
	(void)arg;
	return false;
}

static int try_listen(struct event_base *base, const char *place, char error[200])
{
	struct lhp_listener *listener = lhp_listen(base, place, never, NULL, NULL, error, 200);

	lhp_listener_free(listener);
	return listener ? 0 : -1;
}

static void test_places(void **state)
{
	static const char *const wrong[] = {
		"",
		"tls",
		"tls:",
		"tls:host",
		"tls:host:1",
		"tls:1.2.3.4",
		"tls:1.2.3.4:0",
		"tls:1.2.3.4:x",
		"tls:::1:4242",
		"tls:[::1]:65536",
		"unix",
		"unix:",
		"vsock:",
		"vsock:1",
		"vsock:x:1",
		"vsock:1:",
		"vsock:1:-1",
		"vsock:-1:1",
		"vsock:1:2x",
		"vsock:1:4294967295",
		"udp:1.2.3.4:5",
		"tlsx:1.2.3.4:5",
		"unix:/tmp/x#9",
		"unix:/tmp/x#",
		"unix:/tmp/x#1777",
	};
	struct event_base *base = event_base_new();
	struct lhp_identity identity = { .name = "c1" };
	char error[200], path[300] = "unix:/tmp/";

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error[0] = 0;
		if (!try_listen(base, wrong[i], error) || !strstr(error, " is no "))
			fail_msg("'%s' is a place: %s", wrong[i], error);
		error[0] = 0;
		/* Modes are the listener's. */
		if (!strchr(wrong[i], '#') &&
		    (lhp_connect(base, wrong[i], &identity, &end_handler, NULL, error, 200) ||
		     !strstr(error, " is no ")))
			fail_msg("'%s' is a place: %s", wrong[i], error);
	}
	memset(path + 10, 'x', 200);
	assert_int_equal(try_listen(base, path, error), -1);
	assert_null(lhp_connect(base, "tls::4242", &identity, &end_handler, NULL, error, 200));
	assert_null(lhp_connect(base, "vsock::42", &identity, &end_handler, NULL, error, 200));
	strcpy(identity.name, "c 1");
	assert_null(lhp_connect(base, "unix:/tmp/x", &identity, &end_handler, NULL, error, 200));
	event_base_free(base);
}

static void test_any_address(void **state)
{
	char place[32], error[200];

	(void)state;
	ends_listen("tls");
	snprintf(place, sizeof(place), "tls:%s", strrchr(ends.place, ':'));
	/* Somebody has it on 127.0.0.1. */
	assert_int_equal(try_listen(ends.server.base, place, error), -1);
	assert_non_null(strstr(error, "in use"));
	lhp_listener_free(ends.listener);
	ends.listener = NULL;
	assert_int_equal(try_listen(ends.server.base, place, error), 0);
	ends_close();
}

static unsigned int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	return st.st_mode & 07777;
}

static void test_socket_file(void **state)
{
	char error[200], place[200];
	struct lhp_listener *second;

	(void)state;
	ends_listen("unix");
	assert_int_equal(mode_of(ends.place + 5), 0600);
	assert_int_equal(try_listen(ends.server.base, ends.place, error), -1);
	assert_non_null(strstr(error, strerror(EADDRINUSE)));
	/* One that nobody listens on: as a killed daemon leaves it. */
	snprintf(place, sizeof(place), "%s.2", ends.place + 5);
	assert_int_equal(rename(ends.place + 5, place), 0);
	lhp_listener_free(ends.listener);
	assert_int_equal(rename(place, ends.place + 5), 0);
	snprintf(place, sizeof(place), "%s#0660", ends.place);
	second = lhp_listen(ends.server.base, place, never, NULL, NULL, error, sizeof(error));
	assert_non_null(second);
	assert_int_equal(mode_of(ends.place + 5), 0660);
	lhp_listener_free(second);
	assert_int_equal(access(ends.place + 5, F_OK), -1);
	ends.listener = NULL;
	ends_close();
}

/* A file that is no socket is not removed. */
static void test_other_file(void **state)
{
	char error[200], place[64];
	int fd;

	(void)state;
	snprintf(place, sizeof(place), "unix:/tmp/lhp_stream_refuse.%d", getpid());
	fd = open(place + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ends_listen("unix");
	assert_int_equal(try_listen(ends.server.base, place, error), -1);
	assert_int_equal(unlink(place + 5), 0);
	ends_close();
}

/* ---- key files */

static int read_line(const char *line, mode_t mode, struct lhp_identity *identity)
{
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/tmp/lhp_key.%d", getpid());
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	fchmod(fd, mode);
	close(fd);
	rc = lhp_read_identity(path, identity);
	unlink(path);
	return rc;
}

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static void test_identity(void **state)
{
	struct lhp_identity identity = { .name = "before" };

	(void)state;
	assert_int_equal(lhp_read_identity("/nonexistent/key", &identity), -ENOENT);
	assert_int_equal(read_line("c_1:" KEY "\n", 0644, &identity), -EPERM);
	assert_int_equal(read_line("c_1:" KEY "\n", 0640, &identity), -EPERM);
	assert_int_equal(read_line("", 0600, &identity), -EINVAL);
	assert_int_equal(read_line(KEY, 0600, &identity), -EINVAL);
	assert_int_equal(read_line(":" KEY, 0600, &identity), -EINVAL);
	assert_int_equal(read_line("c 1:" KEY, 0600, &identity), -EINVAL);
	assert_int_equal(read_line("c1:" KEY "0", 0600, &identity), -EINVAL);
	assert_int_equal(read_line("c1:0" KEY "0", 0600, &identity), -EINVAL);
	assert_int_equal(read_line("c1:" KEY " ", 0600, &identity), -EINVAL);
	assert_int_equal(read_line("c1:g" KEY, 0600, &identity), -EINVAL);
	assert_int_equal(read_line("a23456789012345678901234567890123:" KEY, 0600, &identity),
			 -EINVAL);
	assert_string_equal(identity.name, "before");
	assert_int_equal(read_line("c_1:" KEY "\n", 0600, &identity), 0);
	assert_string_equal(identity.name, "c_1");
	for (int i = 0; i < LHP_KEY_BYTES; i++)
		assert_int_equal(identity.key[i], i);
	assert_int_equal(read_line("a2345678901234567890123456789012:" KEY, 0400, &identity), 0);
	assert_string_equal(identity.name, "a2345678901234567890123456789012");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),	    cmocka_unit_test(test_any_address),
		cmocka_unit_test(test_socket_file), cmocka_unit_test(test_other_file),
		cmocka_unit_test(test_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
