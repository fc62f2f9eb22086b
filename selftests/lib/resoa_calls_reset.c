// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: ends out of order, in and out. See resoa_calls.h. */
#include <netinet/tcp.h>
#include <signal.h>

#include "resoa_calls.h"

static char text[200];
static volatile int pipes;

static void on_pipe(int number)
{
	(void)number;
	pipes++;
}

/* Everything that a program may ask of a connection that was reset. */
static void after_reset(int fd)
{
	ready_quiet(fd, POLLIN | POLLRDHUP);
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	say_remote(fd);
	say_state(fd, TCP_CLOSE);
	say_error(fd);
}

static void reset_in(int family)
{
	int fd = tcp_open(family);

	peer_say("rst");
	after_reset(fd);
}

static void reset_in_error(int family)
{
	int fd = tcp_open(family);

	peer_say("rst");
	ready(fd, POLLIN);
	say_error(fd);
	ready(fd, POLLIN | POLLOUT);
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
}

/* Bytes that came before it may still be read. */
static void reset_in_data(int family)
{
	int fd = tcp_open(family);

	peer_say("send unread");
	wait_bytes(fd, 6);
	peer_say("rst");
	nap(100);
	after_reset(fd);
}

/* They come with it, in one go. */
static void reset_in_behind(int family)
{
	static uint8_t bytes[20000];
	int fd = tcp_open(family);

	peer_say("chars 20000");
	wait_bytes(fd, 20000);
	peer_say("rst");
	ready(fd, POLLRDHUP);
	DO_READ(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), bytes);
	DO(recv(fd, bytes, 1, 0));
}

static void reset_in_after_end(int family)
{
	int fd = tcp_open(family);

	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	peer_say("rst");
	say_state(fd, TCP_CLOSE);
	after_reset(fd);
}

static void reset_in_after_shutdown(int family)
{
	int fd = tcp_open(family);

	DO(shutdown(fd, SHUT_WR));
	say_state(fd, TCP_FIN_WAIT2);
	peer_say("rst");
	after_reset(fd);
}

static void reset_in_accepted(int family)
{
	int listener, fd = tcp_accepted(family, &listener);

	peer_say("rst");
	after_reset(fd);
}

static void reset_pipe(int family)
{
	int fd = tcp_open(family);

	signal(SIGPIPE, on_pipe);
	peer_say("rst");
	ready(fd, POLLIN);
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	say("SIGPIPE %d", pipes);
	DO(send(fd, "x", 1, 0));
	say("SIGPIPE %d", pipes);
	DO(write(fd, "x", 1));
	say("SIGPIPE %d", pipes);
	fd = tcp_open(family);
	shutdown(fd, SHUT_WR);
	DO(write(fd, "x", 1));
	say("SIGPIPE %d", pipes);
}

/* Somebody waits in a call. */
static void reset_waiting(int family)
{
	int fd = tcp_open(family);

	peer_ask("rst");
	DO(recv(fd, text, 1, 0));
	peer_answer();
	fd = tcp_open(family);
	peer_ask("rst");
	ready(fd, POLLIN);
	peer_answer();
}

static void hard_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	DO(close(fd));
}

static void reset_out(int family)
{
	int fd = tcp_open(family);

	DO(send(fd, "sent", 4, 0));
	wait_acknowledged(fd);
	peer_say("read");
	hard_close(fd);
	peer_say("eat");
}

static void reset_out_after_end(int family)
{
	int fd = tcp_open(family);

	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	hard_close(fd);
	peer_say("eat");
}

static void reset_out_after_shutdown(int family)
{
	int fd = tcp_open(family);

	shutdown(fd, SHUT_WR);
	say_state(fd, TCP_FIN_WAIT2);
	peer_say("eat");
	hard_close(fd);
	settle();
	peer_say("send x");
	peer_say("state 7");
}

static void reset_out_accepted(int family)
{
	int listener, fd = tcp_accepted(family, &listener);

	hard_close(fd);
	peer_say("eat");
}

/* Bytes that nobody has read: the other end hears of it. */
static void close_unread(int family)
{
	int fd = tcp_open(family);

	peer_say("send unread");
	wait_bytes(fd, 6);
	DO(close(fd));
	peer_say("eat");
}

/* They come when it is too late. */
static void close_late(int family)
{
	int fd = tcp_open(family);

	DO(close(fd));
	peer_say("eat");
	peer_say("send late");
	peer_say("state 7");
	peer_say("send later");
}

/* The peer has gone without a word. */
static void muted_timeout(int family)
{
	int fd = tcp_open(family);

	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
	peer_say("mute");
	DO(send(fd, "x", 1, 0));
	ready_after(fd, POLLIN, 6000);
	DO(recv(fd, text, 1, 0));
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void keep_alive(int fd)
{
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 1);
}

static void muted_keepalive(int family)
{
	int fd = tcp_open(family);

	keep_alive(fd);
	peer_say("mute");
	ready_after(fd, POLLIN, 6000);
	DO(recv(fd, text, 1, 0));
	say_error(fd);
}

static void muted_accepted(int family)
{
	int listener, fd = tcp_accepted(family, &listener);

	keep_alive(fd);
	peer_say("mute");
	ready_after(fd, POLLIN, 6000);
	DO(recv(fd, text, 1, 0));
	DO(close(listener));
}

/* What had come before may be read. */
static void muted_unread(int family)
{
	int fd = tcp_open(family);

	keep_alive(fd);
	peer_say("send unread");
	wait_bytes(fd, 6);
	peer_say("mute");
	ready_after(fd, POLLERR, 6000);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_error(fd);
	DO(recv(fd, text, 1, 0));
}

/* The program has sent all that it may. */
static void muted_full(int family)
{
	int fd = tcp_open(family), full = 0;

	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 2500);
	peer_say("mute");
	while (full < 3)
		if (send(fd, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			full++;
			nap(100);
		}
	ready_after(fd, POLLIN, 9000);
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void muted_after_end(int family)
{
	int fd = tcp_open(family);

	keep_alive(fd);
	peer_say("fin");
	say_state(fd, TCP_CLOSE_WAIT);
	peer_say("mute");
	ready_after(fd, POLLERR, 6000);
	say_error(fd);
	DO(recv(fd, text, 1, 0));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void muted_after_shutdown(int family)
{
	int fd = tcp_open(family);

	keep_alive(fd);
	DO(shutdown(fd, SHUT_WR));
	peer_say("eat");
	say_state(fd, TCP_FIN_WAIT2);
	peer_say("mute");
	ready_after(fd, POLLIN, 6000);
	DO(recv(fd, text, 1, 0));
	DO(recv(fd, text, 1, 0));
}

/* Not silence: a router says that nobody is there, which TCP believes when its time is over. */
static void left(int family)
{
	int fd = tcp_open_to(family, leaves_of(family));

	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
	peer_say("leave %s", leaves_of(family));
	DO(send(fd, "x", 1, 0));
	ready_after(fd, POLLIN, 6000);
	DO(recv(fd, text, 1, 0));
	DO(recv(fd, text, 1, 0));
}

const struct calls_case calls_reset[] = {
	{ "reset_in", reset_in, CALLS_BOTH },
	{ "reset_in_error", reset_in_error, CALLS_BOTH },
	{ "reset_in_data", reset_in_data, CALLS_BOTH },
	{ "reset_in_behind", reset_in_behind, CALLS_BOTH },
	{ "reset_in_after_end", reset_in_after_end, CALLS_BOTH },
	{ "reset_in_after_shutdown", reset_in_after_shutdown, CALLS_BOTH },
	{ "reset_in_accepted", reset_in_accepted, CALLS_BOTH },
	{ "reset_pipe", reset_pipe, CALLS_BOTH },
	{ "reset_waiting", reset_waiting, CALLS_BOTH },
	{ "reset_out", reset_out, CALLS_BOTH },
	{ "reset_out_after_end", reset_out_after_end, CALLS_BOTH },
	{ "reset_out_after_shutdown", reset_out_after_shutdown, CALLS_BOTH },
	{ "reset_out_accepted", reset_out_accepted, CALLS_BOTH },
	{ "close_unread", close_unread, CALLS_BOTH },
	{ "close_late", close_late, CALLS_BOTH },
	{ "muted_timeout", muted_timeout, CALLS_BOTH },
	{ "muted_keepalive", muted_keepalive, CALLS_BOTH },
	{ "muted_accepted", muted_accepted, CALLS_6 },
	{ "muted_unread", muted_unread, CALLS_4 },
	{ "muted_full", muted_full, CALLS_6 },
	{ "muted_after_end", muted_after_end, CALLS_4 },
	{ "muted_after_shutdown", muted_after_shutdown, CALLS_6 },
	{ "left", left, CALLS_BOTH },
	{ 0 },
};
