// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/*
 * selftests/resoa_read.c - how far a program of A has read: what the daemon is told, compared with
 * what the program's own calls have given it. Both ends are in A, on loopback; only one of them
 * reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fixture.h"

#define LONG  3000
#define BULK  200000
#define QUICK 20 /* ms: an event is there when the call has returned */

static struct rfix fx;
static struct bpf_link *link_;
static int other, create = -1;

static const struct kind {
	const char *address, *socket_address; /* of who listens */
	const char *from, *socket_from;	      /* of who connects */
	int family;
} kinds[] = {
	{ RFIX_A4, RFIX_A4, RFIX_B4, RFIX_B4, 4 },
	{ RFIX_A6, RFIX_A6, RFIX_B6, RFIX_B6, 6 },
	{ RFIX_A4, "::ffff:" RFIX_A4, RFIX_B4, "::ffff:" RFIX_B4, 4 },
};
#define each_kind(kind) for (const struct kind *kind = kinds; kind < kinds + 3; kind++)

/* The reader was connected (or accepted) by a socket with this cookie. */
struct pair {
	const struct kind *kind;
	int reader, writer;
	__u64 cookie;
	struct resoa_names names;
	__u64 read;
};

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_read"))
		return -1;
	other = assume_ns_new();
	assume_run("ip addr add " RFIX_A4 "/32 dev lo");
	assume_run("ip -6 addr add " RFIX_A6 "/128 dev lo nodad");
	assume_run("ip addr add " RFIX_B4 "/32 dev lo");
	assume_run("ip -6 addr add " RFIX_B6 "/128 dev lo nodad");
	if (rfix_cgroup(&fx))
		create = rfix_attach_cgroup(&fx, fx.skel->progs.resoa_create,
					    BPF_CGROUP_INET_SOCK_CREATE);
	link_ = bpf_program__attach(fx.skel->progs.resoa_read);
	return link_ ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	bpf_link__destroy(link_);
	if (create >= 0)
		close(create);
	close(other);
	rfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	rfix_conf(&fx, rfix_netns_cookie(), 0);
	rfix_clear(&fx);
	return 0;
}

/* ---- connections */

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	must(getsockname(fd, (void *)&name, &len));
	return ntohs(name.sin6_port);
}

static struct pair pair_open(const struct kind *kind, bool accepted)
{
	struct sockaddr_in6 to;
	socklen_t len = rfix_sockaddr(kind->socket_address, 0, &to);
	int listener = must(socket(to.sin6_family, SOCK_STREAM, 0)), one = 1;
	int fd = must(socket(to.sin6_family, SOCK_STREAM, 0)), other_fd;
	struct pair pair = { .kind = kind };

	must(bind(listener, (void *)&to, len));
	must(listen(listener, 1));
	rfix_sockaddr(kind->socket_from, 0, &to);
	must(bind(fd, (void *)&to, len));
	rfix_sockaddr(kind->socket_address, port_of(listener), &to);
	must(connect(fd, (void *)&to, len));
	other_fd = must(accept(listener, NULL, NULL));
	pair.cookie = create < 0 ? 0 : rfix_socket_cookie(accepted ? listener : fd);
	pair.reader = accepted ? other_fd : fd;
	pair.writer = accepted ? fd : other_fd;
	pair.names = rfix_names(accepted ? kind->address : kind->from, port_of(pair.reader),
				accepted ? kind->from : kind->address, port_of(pair.writer));
	must(setsockopt(pair.writer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	close(listener);
	return pair;
}

static void pair_close(struct pair *pair)
{
	close(pair->reader);
	close(pair->writer);
}

/* So many bytes wait in the reader's queue. */
static void fill(struct pair *pair, int len)
{
	static char bytes[BULK];
	__u64 end = assume_now_ms() + assume_ms(LONG);
	int there = 0;

	assert_int_equal(send(pair->writer, bytes, len, 0), len);
	while (there < len && assume_now_ms() < end)
		must(ioctl(pair->reader, FIONREAD, &there));
	assert_int_equal(there, len);
}

static void take(struct pair *pair, int len, int flags)
{
	static char bytes[BULK];

	assert_int_equal(recv(pair->reader, bytes, len, flags | MSG_WAITALL), len);
	if (!(flags & MSG_PEEK))
		pair->read += len;
}

static bool event_is(const struct resoa_event *event, const struct pair *pair)
{
	struct resoa_event want = { .type = RESOA_EVENT_READ,
				    .family = pair->kind->family,
				    .proto = IPPROTO_TCP,
				    .pid = getpid(),
				    .cookie = pair->cookie,
				    .number = pair->read,
				    .names = pair->names };

	if (event && event->number != pair->read)
		fprintf(stderr, "told %llu, should be %llu\n", event->number, pair->read);
	return event && !memcmp(event, &want, sizeof(want));
}

static void assert_told(const struct pair *pair)
{
	assert_true(event_is(rfix_event(&fx, QUICK), pair));
	assert_null(rfix_event(&fx, 0));
}

/* ---- tests */

/* Told when the queue is empty, and after so many bytes; not at each call. */
static void run_steps(const struct kind *kind, bool accepted)
{
	struct pair pair = pair_open(kind, accepted);
	int events = 0;

	rfix_clear(&fx);
	fill(&pair, 10);
	take(&pair, 3, MSG_PEEK);
	take(&pair, 10, MSG_PEEK);
	take(&pair, 4, 0);
	assert_null(rfix_event(&fx, 0));
	take(&pair, 6, 0);
	assert_told(&pair);
	events++;
	fill(&pair, 2 * RESOA_READ_STEP + 100);
	take(&pair, RESOA_READ_STEP - 1, 0);
	assert_null(rfix_event(&fx, 0));
	take(&pair, 1, 0);
	assert_told(&pair);
	events++;
	take(&pair, RESOA_READ_STEP, MSG_TRUNC); /* thrown away is read */
	assert_told(&pair);
	events++;
	take(&pair, 99, 0);
	assert_null(rfix_event(&fx, 0));
	take(&pair, 1, 0);
	assert_told(&pair);
	events++;
	assert_true(rfix_counts(&fx, { RESOA_READ, events }));
	pair_close(&pair);
}

static void test_steps(void **unused)
{
	(void)unused;
	each_kind(kind)
	{
		run_steps(kind, false);
		run_steps(kind, true);
	}
}

/* What arrives in odd pieces is told to a byte, in order, and never more than was read. */
static void test_bulk(void **unused)
{
	(void)unused;
	each_kind(kind)
	{
		struct pair pair = pair_open(kind, false);
		const struct resoa_event *event;
		__u64 last = 0;

		rfix_clear(&fx);
		srand(7);
		while (pair.read < 20 * BULK) {
			static char bytes[BULK];

			send(pair.writer, bytes, rand() % BULK + 1, MSG_DONTWAIT);
			pair.read += must(recv(pair.reader, bytes, rand() % BULK + 1, 0));
			while ((event = rfix_event(&fx, 0))) {
				assert_in_range(event->number, last + 1, pair.read);
				last = event->number;
			}
			assert_in_range(pair.read - last, 0, RESOA_READ_STEP - 1);
		}
		pair_close(&pair);
	}
}

/* A FIN is no byte, whether it comes with the last data or behind it. */
static void run_end(const struct kind *kind, bool with_data, bool apart)
{
	struct pair pair = pair_open(kind, true);
	int cork = 1;
	char byte;

	rfix_clear(&fx);
	if (with_data)
		must(setsockopt(pair.writer, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork)));
	assert_int_equal(send(pair.writer, "0123456789", 10, 0), 10);
	must(shutdown(pair.writer, SHUT_WR));
	usleep(assume_ms(20) * 1000);
	if (apart) {
		take(&pair, 9, 0);
		assert_null(rfix_event(&fx, 0));
		take(&pair, 1, 0);
	} else {
		take(&pair, 10, 0);
	}
	assert_told(&pair);
	assert_int_equal(recv(pair.reader, &byte, 1, 0), 0);
	assert_int_equal(recv(pair.reader, &byte, 1, 0), 0);
	assert_null(rfix_event(&fx, 0));
	pair_close(&pair);
}

static void test_end(void **unused)
{
	(void)unused;
	each_kind(kind) for (int i = 0; i < 4; i++) run_end(kind, i & 1, i & 2);
}

/* splice() reads end-of-file with the data. */
static void test_splice(void **unused)
{
	(void)unused;
	each_kind(kind)
	{
		struct pair pair = pair_open(kind, false);
		int pipes[2], more, cork = 1;

		rfix_clear(&fx);
		must(pipe(pipes));
		must(setsockopt(pair.writer, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork)));
		assert_int_equal(send(pair.writer, "0123456789", 10, 0), 10);
		must(shutdown(pair.writer, SHUT_WR));
		usleep(assume_ms(20) * 1000);
		while ((more = must(splice(pair.reader, NULL, pipes[1], NULL, 100, 0))) > 0)
			pair.read += more;
		assert_int_equal(pair.read, 10);
		assert_told(&pair);
		close(pipes[0]);
		close(pipes[1]);
		pair_close(&pair);
	}
}

/* An urgent byte takes its place in the stream. */
static void test_urgent(void **unused)
{
	(void)unused;
	each_kind(kind)
	{
		struct pair pair = pair_open(kind, false);
		struct pollfd waits = { .fd = pair.reader, .events = POLLPRI };
		char bytes[16];

		rfix_clear(&fx);
		assert_int_equal(send(pair.writer, "abc!", 4, MSG_OOB), 4);
		assert_int_equal(send(pair.writer, "def", 3, 0), 3);
		assert_int_equal(poll(&waits, 1, assume_ms(LONG)), 1);
		usleep(assume_ms(20) * 1000);
		assert_int_equal(recv(pair.reader, bytes, 1, MSG_OOB), 1);
		assert_int_equal(recv(pair.reader, bytes, 16, 0), 3); /* up to the mark */
		assert_null(rfix_event(&fx, 0));
		assert_int_equal(recv(pair.reader, bytes, 16, 0), 3);
		pair.read = 7;
		assert_told(&pair);
		pair_close(&pair);
	}
}

static void run_untold(struct pair *pair)
{
	rfix_clear(&fx);
	fill(pair, RESOA_READ_STEP + 1000);
	take(pair, RESOA_READ_STEP + 1000, 0);
	assert_true(rfix_counts(&fx, { RFIX_NONE, 0 }));
	assert_null(rfix_event(&fx, 0));
	pair_close(pair);
}

static void test_not_ours(void **unused)
{
	const struct kind home = { "127.0.0.1", "127.0.0.1", "127.0.0.9", "127.0.0.9", 4 };
	struct pair pair;

	(void)unused;
	assume_ns_enter(other);
	pair = pair_open(&home, false);
	run_untold(&pair);
	assume_ns_enter(fx.home);
	rfix_conf(&fx, 0, 0);
	pair = pair_open(&kinds[0], false);
	run_untold(&pair);
}

/* Made before A was named: it has no cookie there, and is told by its names. */
static void test_older(void **unused)
{
	struct pair pair;

	(void)unused;
	rfix_conf(&fx, 0, 0);
	pair = pair_open(&kinds[0], false);
	clear(NULL);
	pair.cookie = 0;
	fill(&pair, 10);
	take(&pair, 10, 0);
	assert_told(&pair);
	fill(&pair, 10);
	take(&pair, 10, 0);
	assert_told(&pair);
	pair_close(&pair);
}

/* The daemon does not read its ring: the next event tells all. */
static void test_ring_full(void **unused)
{
	const int most = RESOA_EVENT_BYTES / sizeof(struct resoa_event) + 1;
	struct pair pair = pair_open(&kinds[0], false);

	(void)unused;
	for (int i = 0; i < most && !rfix_counted(&fx, RESOA_EVENT_LOST); i++) {
		fill(&pair, 1);
		take(&pair, 1, 0);
	}
	assert_int_equal(rfix_counted(&fx, RESOA_EVENT_LOST), 1);
	assert_int_equal(rfix_counted(&fx, RESOA_READ), pair.read - 1);
	while (rfix_event(&fx, 0))
		;
	fill(&pair, 1);
	take(&pair, 1, 0);
	assert_told(&pair);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_steps, clear),
		cmocka_unit_test_setup(test_bulk, clear),
		cmocka_unit_test_setup(test_end, clear),
		cmocka_unit_test_setup(test_splice, clear),
		cmocka_unit_test_setup(test_urgent, clear),
		cmocka_unit_test_setup(test_not_ours, clear),
		cmocka_unit_test_setup(test_older, clear),
		cmocka_unit_test_setup(test_ring_full, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
