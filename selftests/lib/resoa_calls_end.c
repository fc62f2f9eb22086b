// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: ends in order: shutdown, close, linger. See resoa_calls.h. */
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "resoa_calls.h"

static char text[200];

static void shutdown_write(int family)
{
	int fd = tcp_open(family);

	DO(send(fd, "last", 4, 0));
	DO(shutdown(fd, SHUT_WR));
	say_state(fd, TCP_FIN_WAIT2);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	peer_say("eat");
	peer_say("send still");
	DO_READ(recv(fd, text, 5, MSG_WAITALL), text);
	DO(shutdown(fd, SHUT_WR));
	peer_say("close");
	ready(fd, POLLIN | POLLRDHUP);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(shutdown(fd, SHUT_WR));
	say_remote(fd);
}

static void shutdown_read(int family)
{
	int fd = tcp_open(family);

	peer_say("send before");
	wait_bytes(fd, 6);
	DO(shutdown(fd, SHUT_RD));
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	peer_say("send after");
	wait_bytes(fd, 5);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(send(fd, "written", 7, 0));
	peer_say("read");
	say_state(fd, TCP_ESTABLISHED);
}

static void shutdown_both(int family)
{
	int fd = tcp_open(family);

	DO(shutdown(fd, SHUT_RDWR));
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	peer_say("eat");
	say_state(fd, TCP_FIN_WAIT2);
	peer_say("close");
	say_state(fd, TCP_CLOSE);
	DO(shutdown(fd, SHUT_RDWR));
}

static void shutdown_wrong(int family)
{
	int fd = tcp(family);

	DO(shutdown(fd, SHUT_WR));
	DO(shutdown(fd, 77));
	DO(shutdown(0x7fff, SHUT_WR));
	DO(shutdown(0, SHUT_WR));
	DO(shutdown(udp(family), SHUT_WR));
}

static void end_in(int family)
{
	int fd = tcp_open(family);

	peer_say("send bye");
	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	DO(send(fd, "answer", 6, 0));
	peer_say("read");
	DO(shutdown(fd, SHUT_WR));
	peer_say("eat");
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP, 500);
	say_state(fd, TCP_CLOSE);
	say_error(fd);
}

/* An end without a byte. */
static void end_empty(int family)
{
	int fd = tcp_open(family);

	peer_say("fin");
	DO(recv(fd, text, 1, 0));
	close(fd);
	peer_say("eat");
	fd = tcp_open(family);
	close(fd);
	peer_say("eat");
}

static void end_half_long(int family)
{
	static uint8_t bytes[200000];
	int fd = tcp_open(family);

	peer_say("send bye");
	peer_say("fin");
	DO_READ(recv(fd, text, 3, MSG_WAITALL), text);
	DO(recv(fd, text, 1, 0));
	bytes_make(bytes, 0, sizeof(bytes));
	peer_ask("eat");
	DO(send(fd, bytes, sizeof(bytes), 0));
	DO(shutdown(fd, SHUT_WR));
	say("peer eat: %s", peer_answer());
}

/* The other end has closed both halves: what is sent is answered by RST. */
static void end_then_send(int family)
{
	int fd = tcp_open(family);

	signal(SIGPIPE, SIG_IGN);
	peer_say("close");
	ready(fd, POLLIN | POLLRDHUP);
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, 0));
	ready(fd, POLLERR);
	DO(send(fd, "x", 1, 0));
	DO(recv(fd, text, 1, 0));
	say_error(fd);
}

static void close_data(int family)
{
	static uint8_t bytes[100000];
	int fd = tcp_open(family);

	bytes_make(bytes, 0, sizeof(bytes));
	peer_ask("eat");
	DO(send(fd, bytes, sizeof(bytes), 0));
	DO(close(fd));
	say("peer eat: %s", peer_answer());
}

/* Nobody reads; close() gives up its descriptor at once, the bytes arrive. */
static void close_unsent(int family)
{
	static uint8_t bytes[100000];
	int fd = tcp_open(family);

	bytes_make(bytes, 0, sizeof(bytes));
	DO(send(fd, bytes, sizeof(bytes), 0));
	DO(close(fd));
	nap(200);
	peer_say("eat");
}

static long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

static void close_linger(int family)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	int fd = tcp_open(family);
	long begin;

	DO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	DO(send(fd, "all of it", 9, 0));
	begin = milliseconds();
	DO(close(fd));
	say("close took %s", milliseconds() - begin < 1000 ? "less than 1 s" : "long");
	peer_say("eat");
}

/* Both shut down before either has heard of the other. */
static void end_simultaneous(int family)
{
	int fd = tcp_open(family);

	peer_ask("fin");
	DO(shutdown(fd, SHUT_WR));
	say("peer fin: %s", peer_answer());
	DO(recv(fd, text, 1, 0));
	peer_say("eat");
	say_state(fd, TCP_CLOSE);
	DO(recv(fd, text, 1, 0));
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	close(fd);
}

static void end_states(int family)
{
	int fd = tcp_open(family);

	say_state(fd, TCP_ESTABLISHED);
	shutdown(fd, SHUT_WR);
	say_state(fd, TCP_FIN_WAIT2);
	peer_say("state 8");
	peer_say("fin");
	say_state(fd, TCP_CLOSE);
	fd = tcp_open(family);
	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	peer_say("state 5");
	shutdown(fd, SHUT_WR);
	say_state(fd, TCP_CLOSE);
}

/* The port of an active close is in TIME_WAIT; so SO_REUSEADDR counts. */
static void end_time_wait(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	MUST(bind_to(fd, own_of(family), OWN_PORT + 40));
	MUST(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	peer_say("close");
	DO(recv(fd, text, 1, 0));
	close(fd);
	nap(100);
	fd = tcp(family);
	DO(bind_to(fd, own_of(family), OWN_PORT + 40));
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(fd, own_of(family), OWN_PORT + 40));
}

const struct calls_case calls_end[] = {
	{ "shutdown_write", shutdown_write, CALLS_BOTH },
	{ "shutdown_read", shutdown_read, CALLS_BOTH },
	{ "shutdown_both", shutdown_both, CALLS_BOTH },
	{ "shutdown_wrong", shutdown_wrong, CALLS_BOTH },
	{ "end_in", end_in, CALLS_BOTH },
	{ "end_empty", end_empty, CALLS_BOTH },
	{ "end_half_long", end_half_long, CALLS_BOTH },
	{ "end_then_send", end_then_send, CALLS_BOTH },
	{ "close_data", close_data, CALLS_BOTH },
	{ "close_unsent", close_unsent, CALLS_BOTH },
	{ "close_linger", close_linger, CALLS_BOTH },
	{ "end_simultaneous", end_simultaneous, CALLS_BOTH },
	{ "end_states", end_states, CALLS_BOTH },
	{ "end_time_wait", end_time_wait, CALLS_BOTH },
	{ 0 },
};
