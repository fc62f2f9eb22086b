// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * bind() and socket() of programs under `run` (agents/resoa/notify.c, bind.c, filter.c): children
 * have the filter and call, the supervisor is this process, and the server is a table of ports. No
 * BPF program is there: what is refused is refused by the answer, what is granted is looked up in
 * what would be resoa_port.
 */
/* link: agents/resoa/notify.c agents/resoa/bind.c agents/resoa/filter.c agents/resoa/packet.c */
/* link: agents/resoa/rsock.c agents/lib/ep.c agents/lib/address.c agents/lib/log.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agents/resoa/control.h"
#include "agents/resoa/filter.h"
#include "agents/resoa/resoa.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* What the server says of a port. */
#define PORT_GRANTED 2080 /* and all that are not below */
#define PORT_TAKEN   2081 /* EADDRINUSE */
#define PORT_DENIED  2082 /* EACCES */
#define PORT_SILENT  2083 /* no answer */
#define PORT_LATE    2084 /* after 50 ms */
#define PORT_TAKEN4  2085 /* EADDRINUSE for IPv4 */
#define LEASE_LOW    4000
#define LEASE_HIGH   4099

#define TEST_S 20

static struct resoa resoa;
static struct lhp *const server = (struct lhp *)&resoa; /* not NULL: registered */
static int asked, closed, late_us;
static int granted[65536][2][2]; /* port, UDP, IPv6 */
static int other_ns;		 /* where sockets of --dual are made */

/* ---- the core, as little as there must be */

struct answer {
	uint32_t rsock;
	struct ep_message message;
};

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct answer *answer = arg;
	struct rsock *rsock = rsock_of_id(&resoa, answer->rsock);

	(void)fd, (void)what;
	if (rsock)
		bind_message(rsock, &answer->message);
	free(answer);
}

static void server_bind(uint32_t rsock, const struct ep_message *message)
{
	struct timeval when = { .tv_usec = late_us };
	struct answer *answer = calloc(1, sizeof(*answer));

	asked++;
	answer->rsock = rsock;
	answer->message.type = EP_RESULT;
	answer->message.name = message->name;
	switch (ntohs(message->name.port)) {
	case PORT_TAKEN:
		answer->message.error = EADDRINUSE;
		break;
	case PORT_DENIED:
		answer->message.error = EACCES;
		break;
	case PORT_LATE:
		when.tv_usec = 50000;
		break;
	case PORT_TAKEN4:
		answer->message.error = message->name.family == 4 ? EADDRINUSE : 0;
		break;
	case PORT_SILENT:
		free(answer);
		return;
	}
	event_base_once(resoa.base, -1, EV_TIMEOUT, on_answer, answer, &when);
}

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count)
{
	struct ep_message message;

	assert_ptr_equal(lhp, server);
	assert_int_equal(class, LHP_RELIABLE);
	assert_true(count >= 1);
	assert_int_equal(ep_parse(parts[0].iov_base, parts[0].iov_len, &message), 0);
	if (message.type == EP_BIND)
		server_bind(stream, &message);
	else if (message.type == EP_CLOSE)
		closed++;
	else
		fail();
	return 0;
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	(void)lhp, (void)stream;
}

void udp_end(struct rsock *rsock)
{
	(void)rsock;
}

void syn_free(struct rsock *rsock)
{
	(void)rsock;
}

void tcp_end(struct rsock *rsock)
{
	(void)rsock;
}

int program_port(struct program *program, const struct resoa_port_key *key, bool is)
{
	int *count = &granted[ntohs(key->port)][key->proto == IPPROTO_UDP][key->family == 6];

	(void)program;
	*count += is ? 1 : -1;
	assert_true(*count >= 0);
	return 0;
}

int net_socket(const struct net *net, enum net_place place, int family, int type, int proto)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	(void)net;
	assert_int_equal(place, NET_A);
	assert_int_equal(setns(other_ns, CLONE_NEWNET), 0);
	fd = socket(family, type, proto);
	if (fd < 0)
		fd = -errno;
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return fd;
}

/* ---- a child with the filter */

struct child {
	pid_t pid;
	int fd; /* to it */
	int status;
};

static uint64_t cookie_of(int fd, int option)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, option, &cookie, &len);
	return cookie;
}

__attribute__((noreturn)) static void run_child(int fd, bool sockets, int (*body)(int fd))
{
	int listener = filter_install(sockets);
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(TEST_S);
	if (listener < 0 || control_send(fd, "", 1, listener) || read(fd, &go, 1) != 1)
		_exit(99);
	close(listener);
	_exit(body(fd));
}

static struct child begin(bool sockets, int (*body)(int fd))
{
	struct child child = { .status = -1 };
	int pair[2], listener;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	child.pid = fork();
	if (!child.pid) {
		close(pair[0]);
		run_child(pair[1], sockets, body);
	}
	close(pair[1]);
	child.fd = pair[0];
	assert_int_equal(control_receive(child.fd, &byte, 1, &listener), 0);
	assert_true(listener >= 0);
	assert_int_equal(notify_add(&resoa, listener), 0);
	assert_int_equal(write(child.fd, "g", 1), 1);
	return child;
}

static void turn(int ms)
{
	struct timeval wait = { .tv_usec = ms * 1000 };

	event_base_loopexit(resoa.base, &wait);
	event_base_dispatch(resoa.base);
}

/* Its exit status. */
static int wait_child(struct child *child)
{
	int status = 0;

	for (int i = 0; i < TEST_S * 500 && waitpid(child->pid, &status, WNOHANG) == 0; i++)
		turn(2);
	close(child->fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static int run(bool sockets, int (*body)(int fd))
{
	struct child child = begin(sockets, body);

	return wait_child(&child);
}

/* Until what was granted and not BOUND is given back. */
static void wait_closed(int count)
{
	for (int i = 0; i < 400 && closed < count; i++)
		turn(10);
	assert_int_equal(closed, count);
}

/* ---- what children call: 0 or the errno */

static int try_bind(int fd, const char *address, int port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	if (strchr(address, ':')) {
		inet_pton(AF_INET6, address, &a6.sin6_addr);
		return bind(fd, (struct sockaddr *)&a6, sizeof(a6)) ? errno : 0;
	}
	inet_pton(AF_INET, address, &a4.sin_addr);
	return bind(fd, (struct sockaddr *)&a4, sizeof(a4)) ? errno : 0;
}

static int bind_new(int type, const char *address, int port, bool only6)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET, one = only6;
	int fd = socket(family, type, 0), error;

	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	error = try_bind(fd, address, port);
	close(fd);
	return error;
}

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
	{ "granted, but the kernel knows better", SOCK_STREAM, "198.51.100.9", PORT_GRANTED, false,
	  EADDRNOTAVAIL, 1, 1 },
	{ "automatic port", SOCK_STREAM, "0.0.0.0", 0, false, 0, 0, 0 },
	{ "port of the block", SOCK_STREAM, "0.0.0.0", LEASE_LOW + 5, false, 0, 0, 0 },
	{ "port that REGISTERED granted", SOCK_STREAM, "0.0.0.0", 3000, false, 0, 1, 1 },
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
	return bind_new(row->type, row->address, port, row->only6);
}

static void is_all_given_back(void)
{
	for (int port = 0; port < 65536; port++)
		for (int i = 0; i < 4; i++)
			assert_int_equal(granted[port][i / 2][i % 2],
					 port == 3000 || (port >= LEASE_LOW && port <= LEASE_HIGH));
}

static void test_rows(void **state)
{
	int sum = 0;

	(void)state;
	closed = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		row = &rows[i];
		asked = 0;
		print_message("%s\n", row->name);
		assert_int_equal(run(false, row_child), row->error);
		assert_int_equal(asked, row->asked);
		sum += row->closed;
	}
	assert_true(closed < sum);
	wait_closed(sum);
	turn(400); /* those of loopback, of which no CLOSE tells */
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
	if (setns(other_ns, CLONE_NEWNET))
		return 1;
	return bind_new(SOCK_STREAM, "0.0.0.0", PORT_TAKEN, false);
}

static void test_others(void **state)
{
	(void)state;
	asked = 0;
	assert_int_equal(run(false, other_child), 0);
	assert_int_equal(asked, 1);
	assert_int_equal(run(false, elsewhere_child), 0);
	assert_int_equal(asked, 1);
}

/* ---- lives */

/* Binds, tells its cookie, and ends when it is told to. */
static int holder_child(int fd)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t cookie = cookie_of(s, SO_COOKIE);
	char byte;

	if (try_bind(s, "0.0.0.0", PORT_GRANTED) || write(fd, &cookie, sizeof(cookie)) < 0)
		return 1;
	return read(fd, &byte, 1) < 0;
}

static uint64_t holder_cookie(const struct child *child)
{
	uint64_t cookie = 0;

	for (int i = 0; i < 500; i++) {
		if (recv(child->fd, &cookie, sizeof(cookie), MSG_DONTWAIT) == sizeof(cookie))
			return cookie;
		turn(2);
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
	struct child one, two;
	uint64_t first, second;

	(void)state;
	asked = closed = 0;
	one = begin(false, holder_child);
	first = holder_cookie(&one);
	tell_bound(first);
	for (int i = 0; i < 260; i++) /* more than the time for BOUND */
		turn(10);
	assert_int_equal(closed, 0);
	assert_int_equal(granted[PORT_GRANTED][0][0], 1);
	assert_int_equal(write(one.fd, "e", 1), 1);
	assert_int_equal(wait_child(&one), 0);
	two = begin(false, holder_child);
	second = holder_cookie(&two);
	assert_int_equal(asked, 1); /* it has it already */
	tell_bound(second);
	bind_gone(&resoa, first);
	assert_int_equal(closed, 0);
	bind_gone(&resoa, second);
	assert_int_equal(closed, 1);
	assert_int_equal(granted[PORT_GRANTED][0][0], 0);
	assert_int_equal(write(two.fd, "e", 1), 1);
	assert_int_equal(wait_child(&two), 0);
}

/* A server that is lost and found again hears of what is bound. */
static void test_again(void **state)
{
	struct child child;
	uint64_t cookie;

	(void)state;
	asked = closed = 0;
	child = begin(false, holder_child);
	cookie = holder_cookie(&child);
	tell_bound(cookie);
	resoa.lhp = NULL;
	bind_lost(&resoa);
	assert_int_equal(granted[PORT_GRANTED][0][0], 0);
	row = &rows[0];
	assert_int_equal(run(false, row_child), ENETDOWN);
	resoa.lhp = server;
	bind_registered(&resoa);
	turn(50);
	assert_int_equal(asked, 2);
	assert_int_equal(granted[PORT_GRANTED][0][0], 1);
	bind_gone(&resoa, cookie);
	assert_int_equal(closed, 1);
	assert_int_equal(write(child.fd, "e", 1), 1);
	assert_int_equal(wait_child(&child), 0);
	is_all_given_back();
}

static int silent_child(int fd)
{
	(void)fd;
	return bind_new(SOCK_STREAM, "0.0.0.0", PORT_SILENT, false);
}

/* Killed while the server thinks; its answer comes afterwards. */
static void test_killed(void **state)
{
	struct ep_message message = { .type = EP_RESULT };
	struct child child;
	struct rsock *rsock = NULL;

	(void)state;
	asked = closed = 0;
	child = begin(false, silent_child);
	for (int i = 0; i < 500 && !asked; i++)
		turn(2);
	assert_int_equal(asked, 1);
	kill(child.pid, SIGKILL);
	assert_int_equal(wait_child(&child), 100 + SIGKILL);
	turn(20);
	for (uint32_t id = 1; id < 1000 && !rsock; id++)
		rsock = rsock_of_id(&resoa, id);
	assert_non_null(rsock);
	bind_message(rsock, &message);
	wait_closed(1);
	is_all_given_back();
}

/* The server ends while one waits, and one has ended before. */
static void test_lost(void **state)
{
	struct child child;

	(void)state;
	asked = closed = 0;
	child = begin(false, silent_child);
	for (int i = 0; i < 500 && !asked; i++)
		turn(2);
	bind_lost(&resoa);
	assert_int_equal(wait_child(&child), ENETDOWN);
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
	return bind_new(SOCK_STREAM, "0.0.0.0", PORT_LATE, false);
}

static void test_signal(void **state)
{
	(void)state;
	asked = closed = 0;
	assert_int_equal(run(false, signal_child), 0);
	wait_closed(asked);
}

/* ---- many */

#define THREADS 8
#define EACH	125
#define FIRST	10000

static void *many_thread(void *arg)
{
	intptr_t first = (intptr_t)arg, bad = 0;

	for (int i = 0; i < EACH; i++)
		bad += bind_new(i % 2 ? SOCK_STREAM : SOCK_DGRAM, "0.0.0.0", (int)first + i,
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
	asked = closed = 0;
	late_us = 300;
	assert_int_equal(run(false, many_child), 0);
	late_us = 0;
	assert_int_equal(asked, THREADS * EACH);
	wait_closed(THREADS * EACH);
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
			_exit(bind_new(SOCK_STREAM, "0.0.0.0", PORT_TAKEN, false));
		_exit(waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1);
	}
	(void)fd;
	return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1;
}

static void test_forks(void **state)
{
	(void)state;
	asked = closed = 0;
	assert_int_equal(run(false, forks_child), EADDRINUSE);
	assert_int_equal(asked, 1);
	turn(50);
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
	if (s < 0 || cookie_of(s, SO_NETNS_COOKIE) != cookie)
		return 2;
	if (!(fcntl(s, F_GETFL) & O_NONBLOCK) || fcntl(s, F_GETFD) != FD_CLOEXEC)
		return 3;
	if (cookie_of(plain, SO_NETNS_COOKIE) != cookie || fcntl(plain, F_GETFD) ||
	    fcntl(plain, F_GETFL) & O_NONBLOCK)
		return 4;
	if (cookie_of(unix_fd, SO_NETNS_COOKIE) == cookie)
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
	struct child child = begin(true, dual_child);
	int fd = net_socket(NULL, NET_A, AF_INET, SOCK_DGRAM, 0);
	uint64_t cookie = cookie_of(fd, SO_NETNS_COOKIE);

	(void)state;
	close(fd);
	assert_int_equal(write(child.fd, &cookie, sizeof(cookie)), sizeof(cookie));
	assert_int_equal(wait_child(&child), 0);
}

/* What is no listener is closed, and not asked. */
static void test_no_listener(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(notify_add(&resoa, fd), -EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* ---- a namespace */

static void address4(const char *text)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = { .ifr_name = "lo" };
	struct sockaddr_in address = { .sin_family = AF_INET };

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	strcpy(request.ifr_name, "lo:1");
	inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
	close(fd);
}

static void address6(const char *text)
{
	struct {
		struct in6_addr address;
		uint32_t prefix;
		int ifindex;
	} request = { .prefix = 128, .ifindex = (int)if_nametoindex("lo") };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, text, &request.address);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
	close(fd);
}

static int open_ns(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int setup(void **state)
{
	int fd;

	(void)state;
	other_ns = open_ns();
	open_ns();
	address4("192.0.2.1");
	address6("2001:db8::1");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	resoa.net.cookie[NET_A] = cookie_of(fd, SO_NETNS_COOKIE);
	close(fd);
	resoa.base = event_base_new();
	resoa.rsocks = rsocks_new();
	resoa.lhp = server;
	resoa.registered =
		json_pack("{s:[i,i], s:[i]}", "ports", LEASE_LOW, LEASE_HIGH, "granted", 3000);
	assert_int_equal(bind_open(&resoa), 0);
	bind_registered(&resoa);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bind_close(&resoa);
	notify_close(&resoa);
	rsocks_free(resoa.rsocks);
	json_decref(resoa.registered);
	event_base_free(resoa.base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	      cmocka_unit_test(test_others),
		cmocka_unit_test(test_until_its_end), cmocka_unit_test(test_again),
		cmocka_unit_test(test_killed),	      cmocka_unit_test(test_lost),
		cmocka_unit_test(test_signal),	      cmocka_unit_test(test_many),
		cmocka_unit_test(test_forks),	      cmocka_unit_test(test_dual),
		cmocka_unit_test(test_no_listener),
	};

	if (geteuid()) {
		printf("skip resoa_notify # network namespaces need root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
