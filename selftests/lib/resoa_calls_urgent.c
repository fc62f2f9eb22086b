// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: urgent data. See resoa_calls.h. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "resoa_calls.h"

static char text[200];

static void say_mark(int fd)
{
	int mark = -1;

	MUST(ioctl(fd, SIOCATMARK, &mark));
	say("SIOCATMARK %d", mark);
}

/* abc ! def, all of it there. */
static void urgent_come(int fd)
{
	peer_say("send abc");
	peer_say("oob !");
	peer_say("send def");
	ready(fd, POLLPRI);
	nap(150);
}

static void urgent_in(int family)
{
	int fd = tcp_open(family), there = 0;

	DO(recv(fd, text, 1, MSG_OOB));
	urgent_come(fd);
	ready(fd, POLLIN | POLLPRI);
	MUST(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	say_mark(fd);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_mark(fd);
	DO_READ(recv(fd, text, 1, MSG_OOB | MSG_PEEK), text);
	DO_READ(recv(fd, text, 1, MSG_OOB), text);
	DO(recv(fd, text, 1, MSG_OOB));
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_mark(fd);
	ready_after(fd, POLLIN | POLLPRI, 0);
}

/* The mark is passed, and the byte with it. */
static void urgent_passed(int family)
{
	int fd = tcp_open(family);

	urgent_come(fd);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(recv(fd, text, 1, MSG_OOB));
	say_mark(fd);
}

static void urgent_inline(int family)
{
	int fd = tcp_open(family);

	set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	urgent_come(fd);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_mark(fd);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO(recv(fd, text, 1, MSG_OOB));
	say_mark(fd);
}

static void urgent_first(int family)
{
	int fd = tcp_open(family);

	peer_say("oob X");
	ready(fd, POLLPRI);
	ready_after(fd, POLLIN | POLLPRI, 0);
	say_mark(fd);
	DO_READ(recv(fd, text, 1, MSG_OOB), text);
	DO(recv(fd, text, 1, MSG_DONTWAIT));
	ready_after(fd, POLLIN | POLLPRI, 0);
}

/* The later mark takes the earlier one's place. */
static void urgent_twice(int family)
{
	int fd = tcp_open(family);

	urgent_come(fd);
	peer_say("oob ?");
	peer_say("send ghi");
	wait_bytes(fd, 7);
	nap(150);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_mark(fd);
	DO_READ(recv(fd, text, 1, MSG_OOB), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
}

static void urgent_out(int family)
{
	int fd = tcp_open(family);

	peer_say("inline");
	DO(send(fd, "abc", 3, 0));
	DO(send(fd, "!", 1, MSG_OOB));
	nap(100);
	DO(send(fd, "def", 3, 0));
	peer_say("marks");
	DO(send(fd, "12345", 5, MSG_OOB)); /* the last of them is urgent */
	peer_say("marks");
	DO(send(fd, "", 0, MSG_OOB));
	close(fd);
	peer_say("marks");
}

static void urgent_end(int family)
{
	int fd = tcp_open(family);

	peer_say("send abc");
	peer_say("oob !");
	peer_say("fin");
	ready(fd, POLLPRI);
	say_state(fd, TCP_CLOSE_WAIT);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, 1, MSG_OOB), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
}

static volatile int signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

static void urgent_signal(int family)
{
	int fd = tcp_open(family), tries;

	signal(SIGURG, on_signal);
	DO(fcntl(fd, F_SETOWN, getpid()));
	peer_say("oob !");
	for (tries = 0; tries < 200 && !signals; tries++)
		nap(10);
	say("SIGURG %d", signals);
	DO_READ(recv(fd, text, 1, MSG_OOB), text);
}

const struct calls_case calls_urgent[] = {
	{ "urgent_in", urgent_in, CALLS_BOTH },
	{ "urgent_passed", urgent_passed, CALLS_BOTH },
	{ "urgent_inline", urgent_inline, CALLS_BOTH },
	{ "urgent_first", urgent_first, CALLS_BOTH },
	{ "urgent_twice", urgent_twice, CALLS_BOTH },
	{ "urgent_out", urgent_out, CALLS_BOTH },
	{ "urgent_end", urgent_end, CALLS_BOTH },
	{ "urgent_signal", urgent_signal, CALLS_BOTH },
	{ 0 },
};
