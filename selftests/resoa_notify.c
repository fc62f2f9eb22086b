// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * bind() and socket() of programs under `run` (agents/resoa/notify.c, bind.c, filter.c): children
 * have the filter and call, the supervisor is this process, and the server is a table of ports. No
 * BPF program is there: what is refused is refused by the answer, what is granted is looked up in
 * what would be resoa_port.
 */
/* link: agents/resoa/value.c agents/resoa/heard.c */
/* link: agents/resoa/notify.c agents/resoa/bind.c agents/resoa/filter.c agents/resoa/packet.c */
/* link: selftests/lib/resoa_supervised.c agents/resoa/rsock.c */
/* link: agents/lib/ep.c agents/lib/address.c agents/lib/log.c agents/lib/datagram.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/resoa_supervised.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- what is asked, and what comes of it */

static const struct row {
	const char *name;
	int type;
	const char *address;
	int port;
	bool only6;
	int error;  /* of bind() */
	int asked;  /* BINDs */
	int closed; /* of them, when all is over */
} rows[] = {
	{ "TCP", SOCK_STREAM, "0.0.0.0", PORT_GRANTED, false, 0, 1, 1 },
	{ "UDP", SOCK_DGRAM, "0.0.0.0", PORT_GRANTED, false, 0, 1, 1 },
	{ "own address", SOCK_STREAM, "192.0.2.1", PORT_GRANTED, false, 0, 1, 1 },
	{ "late answer", SOCK_STREAM, "0.0.0.0", PORT_LATE, false, 0, 1, 1 },
	{ "taken at the server", SOCK_STREAM, "0.0.0.0", PORT_TAKEN, false, EADDRINUSE, 1, 1 },
	{ "taken, UDP", SOCK_DGRAM, "0.0.0.0", PORT_TAKEN, false, EADDRINUSE, 1, 1 },
	{ "denied", SOCK_STREAM, "0.0.0.0", PORT_DENIED, false, EACCES, 1, 1 },
	{ "notify_granted, but the kernel knows better", SOCK_STREAM, "198.51.100.9", PORT_GRANTED,
	  false, EADDRNOTAVAIL, 1, 1 },
	{ "automatic port", SOCK_STREAM, "0.0.0.0", 0, false, 0, 0, 0 },
	{ "port of the block", SOCK_STREAM, "0.0.0.0", LEASE_LOW + 5, false, 0, 1, 1 },
	{ "port that REGISTERED notify_granted", SOCK_STREAM, "0.0.0.0", 3000, false, 0, 1, 1 },
	{ "loopback", SOCK_STREAM, "127.0.0.1", PORT_TAKEN, false, 0, 0, 0 },
	{ "loopback, IPv6", SOCK_STREAM, "::1", PORT_TAKEN, false, 0, 0, 0 },
	{ "IPv6 and IPv4", SOCK_STREAM, "::", PORT_GRANTED, false, 0, 2, 2 },
	{ "IPv6 only", SOCK_STREAM, "::", PORT_GRANTED, true, 0, 1, 1 },
	{ "IPv6 and IPv4, which is taken", SOCK_STREAM, "::", PORT_TAKEN4, false, EADDRINUSE, 2,
	  2 },
	{ "IPv6 only, of which IPv4 is taken", SOCK_STREAM, "::", PORT_TAKEN4, true, 0, 1, 1 },
	{ "IPv4 mapped, taken", SOCK_STREAM, "::ffff:192.0.2.1", PORT_TAKEN4, false, EADDRINUSE, 1,
	  1 },
	{ "IPv6 address", SOCK_STREAM, "2001:db8::1", PORT_GRANTED, false, 0, 1, 1 },
};

static const struct row *row;

static int row_child(int fd)
{
	int port = row->port == PORT_GRANTED ? PORT_GRANTED + 20 + (int)(row - rows) : row->port;

	(void)fd;
	return notify_bind_new(row->type, row->address, port, row->only6);
}

static void is_all_given_back(void)
{
	for (int port = 0; port < 65536; port++)
		for (int i = 0; i < 4; i++)
			assert_int_equal(notify_granted[port][i / 2][i % 2],
					 port == 3000 || (port >= LEASE_LOW && port <= LEASE_HIGH));
}

static void test_rows(void **state)
{
	int sum = 0;

	(void)state;
	notify_closed = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		row = &rows[i];
		notify_asked = 0;
		print_message("%s\n", row->name);
		assert_int_equal(notify_run(false, row_child), row->error);
		assert_int_equal(notify_asked, row->asked);
		sum += row->closed;
	}
	assert_true(notify_closed < sum);
	notify_wait_closed(sum);
	notify_turn(400); /* those of loopback, of which no CLOSE tells */
	is_all_given_back();
}

/* ---- what is none of ours */

static int other_child(int fd)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0resoa-notify" };
	struct sockaddr_in unspec = { .sin_family = AF_UNSPEC, .sin_port = htons(PORT_TAKEN) };
	struct sockaddr address = { .sa_family = AF_NETLINK };
	char netlink[12] = { 0 };
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), in = socket(AF_INET, SOCK_STREAM, 0);

	(void)fd;
	memcpy(netlink, &address.sa_family, sizeof(address.sa_family));
	if (bind(s, (struct sockaddr *)&name, sizeof(name)))
		return 1;
	if (bind(socket(AF_NETLINK, SOCK_RAW, 0), (struct sockaddr *)netlink, sizeof(netlink)))
		return 2;
	if (!bind(in, NULL, 16) || errno != EFAULT)
		return 3;
	if (!bind(in, (struct sockaddr *)&unspec, 1) || errno != EINVAL)
		return 4;
	if (!bind(-1, (struct sockaddr *)&unspec, 16) || errno != EBADF)
		return 5;
	if (!bind(0, (struct sockaddr *)&unspec, 16) || errno != ENOTSOCK)
		return 6;
	if (!bind(in, (struct sockaddr *)&unspec, 4096) || errno != EINVAL)
		return 7;
	/* IPv4 takes this for AF_INET: the one that is asked for. */
	return !bind(in, (struct sockaddr *)&unspec, 16) || errno != EADDRINUSE ? 8 : 0;
}

static int elsewhere_child(int fd)
{
	(void)fd;
	if (setns(notify_other_ns, CLONE_NEWNET))
		return 1;
	return notify_bind_new(SOCK_STREAM, "0.0.0.0", PORT_TAKEN, false);
}

static void test_others(void **state)
{
	(void)state;
	notify_asked = 0;
	assert_int_equal(notify_run(false, other_child), 0);
	assert_int_equal(notify_asked, 1);
	assert_int_equal(notify_run(false, elsewhere_child), 0);
	assert_int_equal(notify_asked, 1);
}

/* ---- lives */

/* Binds, tells its cookie, and ends when it is told to. */
static int holder_child(int fd)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t cookie = notify_cookie_of(s, SO_COOKIE);
	char byte;

	if (notify_try_bind(s, "0.0.0.0", PORT_GRANTED) || write(fd, &cookie, sizeof(cookie)) < 0)
		return 1;
	return read(fd, &byte, 1) < 0;
}

static uint64_t holder_cookie(const struct notify_child *child)
{
	uint64_t cookie = 0;

	for (int i = 0; i < 500; i++) {
		if (recv(child->fd, &cookie, sizeof(cookie), MSG_DONTWAIT) == sizeof(cookie))
			return cookie;
		notify_turn(2);
	}
	fail();
	return 0;
}

static void tell_bound(uint64_t cookie)
{
	struct resoa_event event = { .type = RESOA_EVENT_BOUND,
				     .family = 4,
				     .proto = IPPROTO_TCP,
				     .cookie = cookie,
				     .names.local_port = htons(PORT_GRANTED) };

	memset(event.names.local.b + 10, 0xff, 2);
	bind_event(&resoa, &event);
}

/* The port is the server's until the last socket that is bound to it has ended. */
static void test_until_its_end(void **state)
{
	struct notify_child one, two;
	uint64_t first, second;

	(void)state;
	notify_asked = notify_closed = 0;
	one = notify_begin(false, holder_child);
	first = holder_cookie(&one);
	tell_bound(first);
	for (int i = 0; i < 260; i++) /* more than the time for BOUND */
		notify_turn(10);
	assert_int_equal(notify_closed, 0);
	assert_int_equal(notify_granted[PORT_GRANTED][0][0], 1);
	assert_int_equal(write(one.fd, "e", 1), 1);
	assert_int_equal(notify_wait_child(&one), 0);
	two = notify_begin(false, holder_child);
	second = holder_cookie(&two);
	assert_int_equal(notify_asked, 1); /* it has it already */
	tell_bound(second);
	bind_gone(&resoa, first);
	assert_int_equal(notify_closed, 0);
	bind_gone(&resoa, second);
	assert_int_equal(notify_closed, 1);
	assert_int_equal(notify_granted[PORT_GRANTED][0][0], 0);
	assert_int_equal(write(two.fd, "e", 1), 1);
	assert_int_equal(notify_wait_child(&two), 0);
}

/* A server that is lost and found again hears of what is bound. */
static void test_again(void **state)
{
	struct notify_child child;
	uint64_t cookie;

	(void)state;
	notify_asked = notify_closed = 0;
	child = notify_begin(false, holder_child);
	cookie = holder_cookie(&child);
	tell_bound(cookie);
	resoa.lhp = NULL;
	bind_lost(&resoa);
	assert_int_equal(notify_granted[PORT_GRANTED][0][0], 0);
	row = &rows[0];
	assert_int_equal(notify_run(false, row_child), ENETDOWN);
	resoa.lhp = notify_server;
	bind_registered(&resoa);
	notify_turn(50);
	assert_int_equal(notify_asked, 2);
	assert_int_equal(notify_granted[PORT_GRANTED][0][0], 1);
	bind_gone(&resoa, cookie);
	assert_int_equal(notify_closed, 1);
	assert_int_equal(write(child.fd, "e", 1), 1);
	assert_int_equal(notify_wait_child(&child), 0);
	is_all_given_back();
}

static int silent_child(int fd)
{
	(void)fd;
	return notify_bind_new(SOCK_STREAM, "0.0.0.0", PORT_SILENT, false);
}

/* Killed while the server thinks; its answer comes afterwards. */
static void test_killed(void **state)
{
	struct ep_message message = { .type = EP_RESULT };
	struct notify_child child;
	struct rsock *rsock = NULL;

	(void)state;
	notify_asked = notify_closed = 0;
	child = notify_begin(false, silent_child);
	for (int i = 0; i < 500 && !notify_asked; i++)
		notify_turn(2);
	assert_int_equal(notify_asked, 1);
	kill(child.pid, SIGKILL);
	assert_int_equal(notify_wait_child(&child), 100 + SIGKILL);
	notify_turn(20);
	for (uint32_t id = 1; id < 1000 && !rsock; id++)
		rsock = rsock_of_id(&resoa, id);
	assert_non_null(rsock);
	bind_message(rsock, &message);
	notify_wait_closed(1);
	is_all_given_back();
}

/* The server ends while one waits, and one has ended before. */
static void test_lost(void **state)
{
	struct notify_child child;

	(void)state;
	notify_asked = notify_closed = 0;
	child = notify_begin(false, silent_child);
	for (int i = 0; i < 500 && !notify_asked; i++)
		notify_turn(2);
	bind_lost(&resoa);
	assert_int_equal(notify_wait_child(&child), ENETDOWN);
	is_all_given_back();
}

static void on_signal(int number)
{
	(void)number;
}

/* bind() has no EINTR, also where it waits for the server. */
static int signal_child(int fd)
{
	struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART */
	struct itimerval timer = { { 0, 3000 }, { 0, 3000 } };

	(void)fd;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	return notify_bind_new(SOCK_STREAM, "0.0.0.0", PORT_LATE, false);
}

static void test_signal(void **state)
{
	(void)state;
	notify_asked = notify_closed = 0;
	assert_int_equal(notify_run(false, signal_child), 0);
	notify_wait_closed(notify_asked);
}

/* ---- many */

#define THREADS 8
#define EACH	125
#define FIRST	10000

static void *many_thread(void *arg)
{
	intptr_t first = (intptr_t)arg, bad = 0;

	for (int i = 0; i < EACH; i++)
		bad += notify_bind_new(i % 2 ? SOCK_STREAM : SOCK_DGRAM, "0.0.0.0", (int)first + i,
				       false) != 0;
	return (void *)bad;
}

static int many_child(int fd)
{
	pthread_t thread[THREADS];
	intptr_t bad = 0;
	void *one;

	(void)fd;
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, many_thread, (void *)(FIRST + i * EACH));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &one);
		bad += (intptr_t)one;
	}
	return bad > 90 ? 90 : (int)bad;
}

static void test_many(void **state)
{
	(void)state;
	notify_asked = notify_closed = 0;
	notify_late_us = 300;
	assert_int_equal(notify_run(false, many_child), 0);
	notify_late_us = 0;
	assert_int_equal(notify_asked, THREADS * EACH);
	notify_wait_closed(THREADS * EACH);
	is_all_given_back();
}

/* The filter is that of children, too, and the listener ends with the last of them. */
static int forks_child(int fd)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		pid = fork();
		if (!pid)
			_exit(notify_bind_new(SOCK_STREAM, "0.0.0.0", PORT_TAKEN, false));
		_exit(waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1);
	}
	(void)fd;
	return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1;
}

static void test_forks(void **state)
{
	(void)state;
	notify_asked = notify_closed = 0;
	assert_int_equal(notify_run(false, forks_child), EADDRINUSE);
	assert_int_equal(notify_asked, 1);
	notify_turn(50);
	assert_null(resoa.notifies);
}

/* ---- socket() */

static int dual_child(int fd)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0), plain = socket(AF_INET6, SOCK_DGRAM, 0);
	uint64_t cookie;

	if (read(fd, &cookie, sizeof(cookie)) != sizeof(cookie))
		return 1;
	if (s < 0 || notify_cookie_of(s, SO_NETNS_COOKIE) != cookie)
		return 2;
	if (!(fcntl(s, F_GETFL) & O_NONBLOCK) || fcntl(s, F_GETFD) != FD_CLOEXEC)
		return 3;
	if (notify_cookie_of(plain, SO_NETNS_COOKIE) != cookie || fcntl(plain, F_GETFD) ||
	    fcntl(plain, F_GETFL) & O_NONBLOCK)
		return 4;
	if (notify_cookie_of(unix_fd, SO_NETNS_COOKIE) == cookie)
		return 5;
	if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 || errno != EPERM)
		return 6;
	if (socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP) >= 0 || errno != EPROTONOSUPPORT)
		return 7;
	if (socket(AF_INET, SOCK_SEQPACKET, 0) >= 0 || errno != ESOCKTNOSUPPORT)
		return 8;
	if (syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno != ENOSYS)
		return 9;
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? 10 : 0;
}

static void test_dual(void **state)
{
	struct notify_child child = notify_begin(true, dual_child);
	int fd = net_socket(NULL, NET_A, AF_INET, SOCK_DGRAM, 0);
	uint64_t cookie = notify_cookie_of(fd, SO_NETNS_COOKIE);

	(void)state;
	close(fd);
	assert_int_equal(write(child.fd, &cookie, sizeof(cookie)), sizeof(cookie));
	assert_int_equal(notify_wait_child(&child), 0);
}

/* ---- getsockopt() */

static int value(int fd, int level, int name, void *bytes, socklen_t room)
{
	memset(bytes, 0xee, room);
	return getsockopt(fd, level, name, bytes, &room) ? -errno : (int)room;
}

static int value_child(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0), number;
	uint64_t cookie = notify_cookie_of(s, SO_COOKIE);
	struct tcp_info info;
	char byte;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &len) ||
	    connect(s, (struct sockaddr *)&address, len))
		return 1;
	if (value(s, IPPROTO_TCP, TCP_INFO, &info, sizeof(info)) <= NOTIFY_INFO_LEN)
		return 2; /* not the server's */
	if (write(fd, &cookie, sizeof(cookie)) < 0 || read(fd, &byte, 1) != 1)
		return 3;
	if (value(s, IPPROTO_TCP, TCP_INFO, &info, sizeof(info)) != NOTIFY_INFO_LEN ||
	    info.tcpi_rtt != NOTIFY_RTT || info.tcpi_state != TCP_ESTABLISHED)
		return 4;
	if (value(s, IPPROTO_TCP, TCP_INFO, &info, 1) != 1 || info.tcpi_state != TCP_ESTABLISHED)
		return 5;
	if (getsockopt(s, IPPROTO_TCP, TCP_INFO, NULL, &len) != -1 || errno != EFAULT)
		return 6;
	if (value(s, IPPROTO_IP, IP_MTU, &number, sizeof(number)) != sizeof(number) ||
	    number < 32768) /* the server knows none: that of lo */
		return 7;
	if (value(s, IPPROTO_TCP, TCP_MAXSEG, &number, sizeof(number)) != sizeof(number) ||
	    number < 1000)
		return 8;
	return value(s, IPPROTO_TCP, TCP_NODELAY, &number, sizeof(number)) != sizeof(number) ? 9
											     : 0;
}

/* The server's values for a connection; the kernel's for what is none, and if no answer comes. */
static void test_values(void **state)
{
	struct notify_child child = notify_begin(false, value_child);
	struct rsock *rsock = rsock_new(&resoa, 0, RSOCK_CONNECT);
	uint64_t cookie = holder_cookie(&child);

	(void)state;
	notify_asked = 0;
	rsock_set_cookie(rsock, cookie);
	assert_int_equal(write(child.fd, "g", 1), 1);
	assert_int_equal(notify_wait_child(&child), 0);
	assert_int_equal(notify_asked, 5);
	rsock_end(rsock, -1);
}

/* What is no listener is closed, and not asked. */
static void test_no_listener(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(notify_add(&resoa, fd), -EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	      cmocka_unit_test(test_others),
		cmocka_unit_test(test_until_its_end), cmocka_unit_test(test_again),
		cmocka_unit_test(test_killed),	      cmocka_unit_test(test_lost),
		cmocka_unit_test(test_signal),	      cmocka_unit_test(test_many),
		cmocka_unit_test(test_forks),	      cmocka_unit_test(test_dual),
		cmocka_unit_test(test_values),	      cmocka_unit_test(test_no_listener),
	};

	if (geteuid()) {
		printf("skip resoa_notify # network namespaces need root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, notify_setup, notify_teardown);
}
