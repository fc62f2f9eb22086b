// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: poll, select, epoll, ioctl, signals. See resoa_calls.h. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/time.h>

#include "resoa_calls.h"

static char text[200];

static void say_epoll(int epoll, int wait_ms)
{
	struct epoll_event event = { 0 };
	int count = epoll_wait(epoll, &event, 1, wait_ms);

	say("epoll_wait = %d %x", count, count > 0 ? event.events : 0);
}

static int watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	int epoll = MUST(epoll_create1(EPOLL_CLOEXEC));

	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static void ready_poll(int family)
{
	int fd = tcp(family);

	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0);
	fd = udp(family);
	ready_after(fd, POLLIN | POLLOUT, 0);
	fd = tcp_open(family);
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0);
	ready_after(fd, POLLIN, 50);
	peer_say("send x");
	ready(fd, POLLIN);
	ready(fd, POLLIN | POLLOUT);
	DO(recv(fd, text, 10, 0));
	ready_after(fd, POLLIN, 0);
	close(fd);
	ready_after(fd, POLLIN, 0);
}

static void ready_select(int family)
{
	struct timeval time = { .tv_usec = 100000 };
	int fd = tcp_open(family);
	fd_set in, out, other;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	DO(select(fd + 1, &in, NULL, NULL, &time));
	peer_say("send x");
	ready_quiet(fd, POLLIN);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = other = in;
	time = (struct timeval){ .tv_sec = 1 };
	DO(select(fd + 1, &in, &out, &other, &time));
	say("in %d out %d other %d", !!FD_ISSET(fd, &in), !!FD_ISSET(fd, &out),
	    !!FD_ISSET(fd, &other));
}

static void epoll_level(int family)
{
	int fd = tcp_open(family), epoll = watch(fd, EPOLLIN | EPOLLRDHUP);

	say_epoll(epoll, 50);
	peer_say("send abc");
	say_epoll(epoll, 2000);
	say_epoll(epoll, 0);
	DO(recv(fd, text, 1, 0));
	say_epoll(epoll, 0);
	DO(recv(fd, text, 10, 0));
	say_epoll(epoll, 50);
	peer_say("fin");
	say_epoll(epoll, 2000);
	say_epoll(epoll, 0);
}

static void epoll_edge(int family)
{
	int fd = tcp_open(family), epoll = watch(fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);

	say_epoll(epoll, 1000);
	say_epoll(epoll, 50);
	peer_say("send abc");
	say_epoll(epoll, 2000);
	say_epoll(epoll, 50);
	DO(recv(fd, text, 1, 0));
	say_epoll(epoll, 50);
	peer_say("send more");
	say_epoll(epoll, 2000);
	DO(recv(fd, text, 100, 0));
	say_epoll(epoll, 50);
	peer_say("fin");
	say_epoll(epoll, 2000);
	say_epoll(epoll, 50);
}

static void epoll_oneshot(int family)
{
	struct epoll_event again = { .events = EPOLLIN | EPOLLONESHOT };
	int fd = tcp_open(family), epoll = watch(fd, EPOLLIN | EPOLLONESHOT);

	peer_say("send abc");
	say_epoll(epoll, 2000);
	say_epoll(epoll, 0);
	DO(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &again));
	say_epoll(epoll, 0);
	DO(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &again));
	DO(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
	say_epoll(epoll, 0);
}

static void epoll_connect(int family)
{
	int port = peer_port("tcp %d", family), fd = tcp(family), epoll;

	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	epoll = watch(fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);
	say_epoll(epoll, 0);
	say_epoll(epoll, 0);
	DO(connect_to(fd, peer_of(family), port));
	say_epoll(epoll, 2000);
	say_epoll(epoll, 50);
	fd = tcp(family);
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	epoll = watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	say_epoll(epoll, 2000);
	say_error(fd);
}

static void epoll_reset(int family)
{
	int fd = tcp_open(family), epoll = watch(fd, EPOLLIN | EPOLLRDHUP);

	peer_say("rst");
	say_epoll(epoll, 2000);
	DO(recv(fd, text, 10, 0));
	say_epoll(epoll, 0);
}

static void epoll_listener(int family)
{
	int fd = tcp_listener(family, 5), epoll = watch(fd, EPOLLIN | EPOLLET);

	say_epoll(epoll, 50);
	peer_say("connect %s %d", own_of(family), port_of(fd));
	say_epoll(epoll, 2000);
	say_epoll(epoll, 50);
	MADE(accept(fd, NULL, NULL));
	peer_say("connect %s %d", own_of(family), port_of(fd));
	say_epoll(epoll, 2000);
}

/* Full, and then there is room again: one edge. */
static void epoll_room(int family)
{
	static uint8_t bytes[100000];
	int fd = tcp_open(family), epoll;
	struct pollfd one = { .fd = fd, .events = POLLOUT };

	set(fd, SOL_SOCKET, SO_SNDBUF, 30000);
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	do {
		while (send(fd, bytes, sizeof(bytes), 0) > 0)
			;
	} while (poll(&one, 1, 500) == 1);
	epoll = watch(fd, EPOLLOUT | EPOLLET);
	say_epoll(epoll, 100);
	peer_ask("read");
	peer_answer();
	peer_ask("eat");
	say_epoll(epoll, 3000);
	close(fd);
	close(epoll);
	peer_answer();
}

static void ioctl_bytes(int family)
{
	int fd = tcp_open(family), there = -1;

	MUST(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	peer_say("send abcde");
	wait_bytes(fd, 5);
	MUST(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	MUST(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	DO(ioctl(tcp_listener(family, 1), FIONREAD, &there));
	DO(ioctl(fd, 0x7777, &there));
}

/* ---- signals */

static volatile int signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

/* SIGALRM once after so many milliseconds. */
static void signal_after(int milliseconds, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	struct itimerval timer = { .it_value.tv_usec = milliseconds * 1000 };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void interrupted(int family)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd = tcp_open(family), listener = tcp_listener(family, 5), datagrams = udp(family);

	signal_after(100, 0);
	DO(recv(fd, text, 1, 0));
	signal_after(100, 0);
	MADE(accept(listener, NULL, NULL));
	signal_after(100, 0);
	ready_after(fd, POLLIN, 2000);
	say("poll: %s", error_name(errno));
	signal_after(100, SA_RESTART);
	ready_after(fd, POLLIN, 2000);
	say("poll: %s", error_name(errno));
	MUST(bind_to(datagrams, any_of(family), 0));
	signal_after(100, 0);
	DO(recvfrom(datagrams, text, 1, 0, (struct sockaddr *)&name, &len));
	say("signals %d", signals);
}

static void interrupted_restart(int family)
{
	int fd = tcp_open(family), pid;

	signal_after(100, SA_RESTART);
	pid = fork();
	if (!pid) {
		nap(400);
		peer("send restarted");
		_exit(0);
	}
	DO_READ(recv(fd, text, 9, MSG_WAITALL), text);
	say("signals %d", signals);
}

static void interrupted_connect(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	signal_after(100, 0);
	DO(connect_to(fd, silent_of(family), 80));
	DO(fcntl(fd, F_SETFL, O_NONBLOCK));
	DO(connect_to(fd, silent_of(family), 80));
	ready_after(fd, POLLOUT, 0);
	DO(dissolve(fd));
	DO(fcntl(fd, F_SETFL, 0));
	DO(connect_to(fd, peer_of(family), port));
}

static void interrupted_send(int family)
{
	static uint8_t bytes[20000000];
	int fd = tcp_open(family);
	long sent;

	signal_after(700, 0);
	sent = send(fd, bytes, sizeof(bytes), 0);
	say("send %s", sent > 0 && sent < (long)sizeof(bytes) ? "some" : error_name(errno));
	do { /* until not a byte goes */
		signal_after(300, 0);
		sent = send(fd, bytes, sizeof(bytes), 0);
	} while (sent > 0);
	say("send %s, signals %s", error_name(errno), signals > 1 ? "came" : "are missing");
}

static void signal_io(int family)
{
	int fd = tcp_open(family), tries;

	signal(SIGIO, on_signal);
	DO(fcntl(fd, F_SETOWN, getpid()));
	DO(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	signals = 0;
	peer_say("send x");
	for (tries = 0; tries < 200 && !signals; tries++)
		nap(10);
	say("SIGIO %s", signals ? "came" : "did not come");
	DO(recv(fd, text, 10, 0));
}

const struct calls_case calls_ready[] = {
	{ "ready_poll", ready_poll, CALLS_BOTH },
	{ "ready_select", ready_select, CALLS_BOTH },
	{ "epoll_level", epoll_level, CALLS_BOTH },
	{ "epoll_edge", epoll_edge, CALLS_BOTH },
	{ "epoll_oneshot", epoll_oneshot, CALLS_BOTH },
	{ "epoll_connect", epoll_connect, CALLS_BOTH },
	{ "epoll_reset", epoll_reset, CALLS_BOTH },
	{ "epoll_listener", epoll_listener, CALLS_BOTH },
	{ "epoll_room", epoll_room, CALLS_BOTH },
	{ "ioctl_bytes", ioctl_bytes, CALLS_BOTH },
	{ "interrupted", interrupted, CALLS_BOTH },
	{ "interrupted_restart", interrupted_restart, CALLS_BOTH },
	{ "interrupted_connect", interrupted_connect, CALLS_BOTH },
	{ "interrupted_send", interrupted_send, CALLS_BOTH },
	{ "signal_io", signal_io, CALLS_BOTH },
	{ 0 },
};
