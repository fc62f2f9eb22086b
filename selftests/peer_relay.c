// SPDX-License-Identifier: GPL-3.0-or-later
/* The peer's relay over loopback: bytes, half-close, abort, back-pressure; by splice(2) and copied.
 */
/* link: agents/peer/relay.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../agents/peer/relay.h"

#define PATIENCE_MS 5000

/* client <-> [inner a  relay  inner b] <-> server */
struct path {
	struct event_base *base;
	struct relay *relay;
	int client, server, inner[2];
	bool over;
	int error;
};

static void tcp_pair(int fd[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&address, &len);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&address, len), 0);
	fd[1] = accept(listener, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(listener);
	for (int i = 0; i < 2; i++)
		fcntl(fd[i], F_SETFL, O_NONBLOCK);
}

static void relay_over(int error, void *arg)
{
	struct path *path = arg;

	path->over = true;
	path->error = error;
}

static void path_open(struct path *path)
{
	int a[2], b[2];

	*path = (struct path){ .base = event_base_new() };
	tcp_pair(a);
	tcp_pair(b);
	path->client = a[0];
	path->server = b[0];
	path->inner[0] = a[1];
	path->inner[1] = b[1];
	path->relay = relay_new(path->base, a[1], b[1], relay_over, path);
	assert_non_null(path->relay);
}

static void path_close(struct path *path)
{
	relay_free(path->relay);
	if (path->client >= 0)
		close(path->client);
	if (path->server >= 0)
		close(path->server);
	event_base_free(path->base);
}

static void turn(struct path *path)
{
	struct timeval wait = { .tv_usec = 1000 };

	event_base_loopexit(path->base, &wait);
	event_base_loop(path->base, EVLOOP_ONCE);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The result of a read that waits, with the relay turning. */
static ssize_t receive(struct path *path, int fd, void *bytes, size_t len)
{
	long long end = now_ms() + PATIENCE_MS;

	while (now_ms() < end) {
		ssize_t n = recv(fd, bytes, len, MSG_DONTWAIT);

		if (n >= 0 || errno != EAGAIN)
			return n;
		turn(path);
	}
	errno = ETIMEDOUT;
	return -1;
}

static void say(struct path *path, int from, int to, const char *text)
{
	char got[64] = { 0 };

	assert_int_equal(send(from, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	assert_int_equal(receive(path, to, got, sizeof(got)), strlen(text));
	assert_string_equal(got, text);
}

static void bytes_both_ways(void **state)
{
	struct path path;

	(void)state;
	path_open(&path);
	say(&path, path.client, path.server, "request");
	say(&path, path.server, path.client, "a longer response");
	assert_int_equal(relay_bytes_from_a(path.relay), 7);
	assert_int_equal(relay_bytes_from_b(path.relay), 17);
	assert_false(path.over);
	path_close(&path);
}

/* One side's FIN arrives as FIN, and the other direction goes on for as long as it likes. */
static void half_close(void **state)
{
	struct path path;
	char byte;

	(void)state;
	path_open(&path);
	say(&path, path.client, path.server, "last words");
	assert_int_equal(shutdown(path.client, SHUT_WR), 0);
	assert_int_equal(receive(&path, path.server, &byte, 1), 0);
	for (int i = 0; i < 50; i++)
		say(&path, path.server, path.client, "still speaking");
	assert_false(path.over);
	assert_int_equal(shutdown(path.server, SHUT_WR), 0);
	assert_int_equal(receive(&path, path.client, &byte, 1), 0);
	for (int i = 0; i < 100 && !path.over; i++)
		turn(&path);
	assert_true(path.over);
	assert_int_equal(path.error, 0);
	path_close(&path);
}

static void data_before_fin_is_kept(void **state)
{
	static uint8_t sent[300000], got[sizeof(sent)];
	struct path path;
	size_t have = 0;
	ssize_t n;

	(void)state;
	path_open(&path);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = i * 7 + i / 251;
	assert_int_equal(fcntl(path.client, F_SETFL, 0), 0);
	for (size_t done = 0; done < sizeof(sent);) {
		n = send(path.client, sent + done, sizeof(sent) - done, MSG_DONTWAIT);
		done += n > 0 ? n : 0;
		turn(&path);
	}
	close(path.client);
	path.client = -1;
	while ((n = receive(&path, path.server, got + have, sizeof(got) - have)) > 0)
		have += n;
	assert_int_equal(n, have == sizeof(got) ? n : 0);
	assert_int_equal(have, sizeof(sent));
	assert_memory_equal(sent, got, sizeof(sent));
	path_close(&path);
}

static void abort_travels(struct path *path, int from, int to)
{
	char byte;

	relay_reset(from);
	assert_int_equal(receive(path, to, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_true(path->over);
	assert_int_not_equal(path->error, 0);
}

static void abort_is_an_abort(void **state)
{
	struct path path;

	(void)state;
	path_open(&path);
	say(&path, path.client, path.server, "x");
	abort_travels(&path, path.client, path.server);
	path.client = -1;
	path_close(&path);
	path_open(&path);
	abort_travels(&path, path.server, path.client);
	path.server = -1;
	path_close(&path);
}

/* After a FIN nothing is read any more, so the reset shows as the socket's error. */
static void abort_after_fin(void **state)
{
	struct path path;
	int error = 0;
	socklen_t len = sizeof(error);
	char byte;

	(void)state;
	path_open(&path);
	shutdown(path.client, SHUT_WR);
	assert_int_equal(receive(&path, path.server, &byte, 1), 0);
	assert_false(path.over);
	relay_reset(path.client);
	path.client = -1;
	for (int i = 0; i < 1000 && !path.over; i++)
		turn(&path);
	assert_true(path.over);
	assert_int_not_equal(path.error, 0);
	getsockopt(path.server, SOL_SOCKET, SO_ERROR, &error, &len);
	assert_int_not_equal(error, 0);
	path_close(&path);
}

/* Fills the path until neither socket nor relay takes more for 100 turns, or for `most` turns. */
static size_t fill(struct path *path, int most)
{
	static const uint8_t zeros[65536];
	size_t taken = 0;

	for (int quiet = 0; quiet < 100 && most; quiet++, most--) {
		ssize_t n = send(path->client, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			taken += n;
			quiet = 0;
		}
		turn(path);
	}
	return taken;
}

static void small_buffers(const struct path *path)
{
	const int size = 16384;

	setsockopt(path->client, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(path->server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(path->inner[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(path->inner[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void back_pressure(void **state)
{
	static uint8_t got[65536];
	struct path path;
	size_t taken, have = 0;
	ssize_t n;

	(void)state;
	path_open(&path);
	small_buffers(&path);
	taken = fill(&path, 5000);
	/* Socket buffers and a pipe, not all that the client would like to send. */
	assert_in_range(taken, 16384, 2 << 20);
	shutdown(path.client, SHUT_WR);
	while ((n = receive(&path, path.server, got, sizeof(got))) > 0)
		have += n;
	assert_int_equal(n, 0);
	assert_int_equal(have, taken);
	path_close(&path);
}

static void abort_under_back_pressure(void **state)
{
	static uint8_t got[65536];
	struct path path;
	ssize_t n;

	(void)state;
	path_open(&path);
	small_buffers(&path);
	fill(&path, 5000);
	relay_reset(path.client);
	path.client = -1;
	for (int i = 0; i < 1000 && !path.over; i++)
		turn(&path);
	assert_true(path.over);
	while ((n = receive(&path, path.server, got, sizeof(got))) > 0)
		;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	path_close(&path);
}

/* An idle relay holds two descriptors, and a finished one none. */
static unsigned int descriptors(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void no_descriptor_is_left(void **state)
{
	struct path path;
	unsigned int before;

	(void)state;
	relay_drop_pipes();
	before = descriptors();
	for (int i = 0; i < 20; i++) {
		path_open(&path);
		say(&path, path.client, path.server, "x");
		path_close(&path);
		path_open(&path);
		small_buffers(&path);
		fill(&path, 50); /* closed with something in the pipe */
		path_close(&path);
	}
	relay_drop_pipes();
	assert_int_equal(descriptors(), before);
}

static int by_splice(void **state)
{
	(void)state;
	relay_set_copy(false);
	return 0;
}

static int by_copy(void **state)
{
	(void)state;
	relay_set_copy(true);
	return 0;
}

#define TESTS(setup)                                                                               \
	cmocka_unit_test_setup(bytes_both_ways, setup), cmocka_unit_test_setup(half_close, setup), \
		cmocka_unit_test_setup(data_before_fin_is_kept, setup),                            \
		cmocka_unit_test_setup(abort_is_an_abort, setup),                                  \
		cmocka_unit_test_setup(abort_after_fin, setup),                                    \
		cmocka_unit_test_setup(back_pressure, setup),                                      \
		cmocka_unit_test_setup(abort_under_back_pressure, setup),                          \
		cmocka_unit_test_setup(no_descriptor_is_left, setup)

int main(void)
{
	const struct CMUnitTest tests[] = { TESTS(by_splice), TESTS(by_copy) };

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
