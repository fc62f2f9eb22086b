// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: listen, accept, and what comes from the peer. See resoa_calls.h. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "resoa_calls.h"

/* accept() with the name that it tells, which must be that of the peer's last connect. */
static int take(int listener, int flags)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd;

	if (!ready_quiet(listener, POLLIN)) {
		say("accept: nothing");
		return -1;
	}
	fd = accept4(listener, (struct sockaddr *)&name, &len, flags);
	if (fd < 0)
		did("accept4", fd);
	else
		say_name("accept4", (struct sockaddr *)&name, len);
	return fd;
}

/* The peer's connect; its port is known as "peer" then. */
static void come(int family, int port)
{
	const char *told;
	int from = 0;

	told = peer("connect %s %d", own_of(family), port);
	if (sscanf(told, "connected %d", &from) == 1)
		know(from, "peer");
	say("peer connect: %s", from ? "connected" : told);
}

static void listen_accept(int family)
{
	char text[6];
	int listener = tcp(family), fd;

	DO(bind_to(listener, any_of(family), 0));
	know(port_of(listener), "listener");
	SAY_OPTION(listener, SOL_SOCKET, SO_ACCEPTCONN);
	DO(listen(listener, 5));
	SAY_OPTION(listener, SOL_SOCKET, SO_ACCEPTCONN);
	say_state(listener, TCP_LISTEN);
	come(family, port_of(listener));
	fd = take(listener, 0);
	say_local(fd);
	say_remote(fd);
	say_local(listener);
	SAY_OPTION(fd, SOL_SOCKET, SO_ACCEPTCONN);
	DO(send(fd, "welcome", 7, 0));
	peer_say("read");
	peer_say("send thanks");
	DO_READ(recv(fd, text, 6, MSG_WAITALL), text);
	close(fd);
	peer_say("eat");
}

/* Ports that a program has told others, or that they know. */
static void listen_port(int family)
{
	int listener = tcp(family), fd;

	set(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(listener, own_of(family), OWN_PORT + 30));
	DO(listen(listener, 5));
	come(family, OWN_PORT + 30);
	fd = take(listener, 0);
	say_local(fd);
	close(fd);
	close(listener);
	come(family, OWN_PORT + 30);
}

static void listen_unbound(int family)
{
	int listener = tcp(family);

	DO(listen(listener, 5));
	know(port_of(listener), "listener");
	say_local(listener);
	come(family, port_of(listener));
	say_local(take(listener, 0));
}

static void listen_loopback(int family)
{
	int listener = tcp(family);

	DO(bind_to(listener, loop_of(family), 0));
	DO(listen(listener, 5));
	come(family, port_of(listener));
}

static void accept_flags(int family)
{
	int listener = tcp_listener(family, 5), fd;

	come(family, port_of(listener));
	fd = take(listener, SOCK_NONBLOCK | SOCK_CLOEXEC);
	say("flags %o %o", fcntl(fd, F_GETFL) & O_NONBLOCK, fcntl(fd, F_GETFD));
	DO(recv(fd, &(char){ 0 }, 1, 0));
	MUST(fcntl(listener, F_SETFL, O_NONBLOCK));
	come(family, port_of(listener));
	fd = take(listener, 0);
	say("flags %o %o", fcntl(fd, F_GETFL) & O_NONBLOCK, fcntl(fd, F_GETFD));
	MADE(accept(listener, NULL, NULL));
	MADE(accept4(listener, NULL, NULL, 1));
}

static void accept_wrong(int family)
{
	struct timeval time = { .tv_usec = 100000 };
	int listener = tcp_listener(family, 5), fd = tcp(family);

	MADE(accept(fd, NULL, NULL));
	DO(connect_to(listener, peer_of(family), 80));
	DO(send(listener, "x", 1, MSG_NOSIGNAL));
	DO(recv(listener, &(char){ 0 }, 1, 0));
	MUST(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	MADE(accept(listener, NULL, NULL));
	MADE(accept(udp(family), NULL, NULL));
	DO(listen(udp(family), 1));
	DO(listen(0x7fff, 1));
}

static void accept_inherits(int family)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 3 };
	int listener = tcp(family), fd;

	set(listener, IPPROTO_TCP, TCP_NODELAY, 1);
	set(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(listener, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(listener, SOL_SOCKET, SO_RCVBUF, 20000);
	set(listener, SOL_SOCKET, SO_OOBINLINE, 1);
	MUST(setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	MUST(bind_to(listener, any_of(family), 0));
	MUST(listen(listener, 5));
	know(port_of(listener), "listener");
	come(family, port_of(listener));
	fd = take(listener, 0);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
	SAY_OPTION(fd, SOL_SOCKET, SO_KEEPALIVE);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	SAY_OPTION(fd, SOL_SOCKET, SO_RCVBUF);
	SAY_OPTION(fd, SOL_SOCKET, SO_OOBINLINE);
	SAY_OPTION(fd, SOL_SOCKET, SO_LINGER);
	SAY_OPTION(fd, SOL_SOCKET, SO_REUSEADDR);
}

/* As many may wait as the backlog says, and one more; the rest go on trying. Who is accepted makes
 * room. */
static void backlog_of(int family, int number)
{
	int listener = tcp_listener(family, number), i;

	for (i = 0; i < number + 2; i++)
		come(family, port_of(listener));
	take(listener, 0);
	come(family, port_of(listener));
	for (i = 0; i < number + 1; i++)
		take(listener, 0);
	come(family, port_of(listener));
}

static void backlog_none(int family)
{
	backlog_of(family, 0);
}

static void backlog(int family)
{
	backlog_of(family, 1);
}

static void backlog_more(int family)
{
	backlog_of(family, 5);
}

static void backlog_changed(int family)
{
	int listener = tcp_listener(family, 0), i;

	come(family, port_of(listener));
	come(family, port_of(listener));
	DO(listen(listener, 2));
	for (i = 0; i < 3; i++)
		come(family, port_of(listener));
	DO(listen(listener, 0));
	take(listener, 0);
	come(family, port_of(listener));
}

/* Another process, which ends with it. */
static void listen_exit(int family)
{
	int listener = tcp(family), port;
	pid_t child;

	MUST(bind_to(listener, any_of(family), 0));
	port = port_of(listener);
	child = fork();
	if (!child)
		_exit(listen(listener, 5) != 0);
	close(listener);
	MUST(waitpid(child, NULL, 0));
	come(family, port);
}

/* Who comes after close() is refused, however soon. */
static void listen_close(int family)
{
	int i;

	for (i = 0; i < 20; i++) {
		int listener = tcp_listener(family, 5), port = port_of(listener);

		come(family, port);
		close(listener);
		come(family, port);
	}
}

static void listen_ready(int family)
{
	int listener = tcp_listener(family, 5), fd;

	ready_after(listener, POLLIN | POLLOUT, 0);
	come(family, port_of(listener));
	ready(listener, POLLIN | POLLOUT);
	fd = take(listener, 0);
	ready_after(listener, POLLIN | POLLOUT, 0);
	ready_after(fd, POLLIN | POLLOUT, 0);
	peer_say("send hello");
	ready(fd, POLLIN);
}

static void listen_again(int family)
{
	int listener = tcp_listener(family, 1);

	DO(listen(listener, 7));
	say_local(listener);
	come(family, port_of(listener));
	take(listener, 0);
	DO(listen(listener, 0));
	come(family, port_of(listener));
	take(listener, 0);
}

/* shutdown() of a listener ends it; listen() makes it one again, on its port. */
static void listen_shutdown(int family)
{
	int listener = tcp_listener(family, 5), port = port_of(listener);

	DO(shutdown(listener, SHUT_RD));
	MADE(accept(listener, NULL, NULL));
	say_state(listener, TCP_CLOSE);
	say_local(listener);
	come(family, port);
	DO(listen(listener, 5));
	come(family, port);
	take(listener, 0);
}

static void listen_close_pending(int family)
{
	int listener = tcp_listener(family, 5), port = port_of(listener);

	come(family, port);
	ready(listener, POLLIN);
	close(listener);
	peer_say("eat");
	come(family, port);
}

static void accept_closed(int family)
{
	char text[20];
	int listener = tcp_listener(family, 5), fd;

	come(family, port_of(listener));
	peer_say("send early");
	peer_say("fin");
	nap(100);
	fd = take(listener, 0);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_state(fd, TCP_CLOSE_WAIT);
	DO(send(fd, "late", 4, 0));
	close(fd);
	peer_say("eat");
}

static void accept_reset(int family)
{
	char text[20];
	int listener = tcp_listener(family, 5), fd;

	come(family, port_of(listener));
	peer_say("rst");
	nap(200);
	ready_after(listener, POLLIN, 0);
	fd = take(listener, 0);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	say_remote(fd);
	say_error(fd);
}

static void accept_dual(int family)
{
	int listener = tcp_listener(6, 5), fd;

	(void)family;
	come(4, port_of(listener));
	fd = take(listener, 0);
	say_local(fd);
	say_remote(fd);
	come(6, port_of(listener));
	fd = take(listener, 0);
	say_local(fd);
	listener = tcp(6);
	set(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	MUST(bind_to(listener, "::", 0));
	MUST(listen(listener, 5));
	come(4, port_of(listener));
}

static void accept_many(int family)
{
	char text[20];
	int listener = tcp_listener(family, 50), i, fd;

	for (i = 0; i < 20; i++)
		come(family, port_of(listener));
	for (i = 0; i < 20; i++) {
		peer("use %d", i);
		peer("send number%02d", i);
	}
	for (i = 0; i < 20; i++) {
		fd = MUST(accept(listener, NULL, NULL));
		DO_READ(recv(fd, text, 8, MSG_WAITALL), text);
		close(fd);
	}
}

static void accept_reuseport(int family)
{
	int listeners[2], i, count = 0, port = 0;
	struct pollfd two[2];

	for (i = 0; i < 2; i++) {
		listeners[i] = tcp(family);
		set(listeners[i], SOL_SOCKET, SO_REUSEPORT, 1);
		MUST(bind_to(listeners[i], any_of(family), port));
		port = port_of(listeners[i]);
		DO(listen(listeners[i], 20));
		two[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	}
	for (i = 0; i < 10; i++)
		come(family, port);
	while (poll(two, 2, 200) > 0)
		for (i = 0; i < 2; i++)
			count += two[i].revents && accept(listeners[i], NULL, NULL) >= 0;
	say("accepted %d", count);
	close(listeners[0]);
	come(family, port);
	take(listeners[1], 0);
}

/* The same port for a connect while it listens, as a peer-to-peer program does it. */
static void listen_connect(int family)
{
	int listener = tcp(family), fd = tcp(family), port = peer_port("tcp %d", family);

	set(listener, SOL_SOCKET, SO_REUSEPORT, 1);
	set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	DO(bind_to(listener, own_of(family), OWN_PORT + 31));
	DO(bind_to(fd, own_of(family), OWN_PORT + 31));
	DO(listen(listener, 5));
	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	peer_accepts(fd);
	come(family, OWN_PORT + 31);
	say_local(take(listener, 0));
}

const struct calls_case calls_listen[] = {
	{ "listen_accept", listen_accept, CALLS_BOTH },
	{ "listen_port", listen_port, CALLS_BOTH },
	{ "listen_unbound", listen_unbound, CALLS_BOTH },
	{ "listen_loopback", listen_loopback, CALLS_BOTH },
	{ "accept_flags", accept_flags, CALLS_BOTH },
	{ "accept_wrong", accept_wrong, CALLS_BOTH },
	{ "accept_inherits", accept_inherits, CALLS_BOTH },
	{ "backlog_none", backlog_none, CALLS_BOTH },
	{ "backlog", backlog, CALLS_BOTH },
	{ "backlog_more", backlog_more, CALLS_BOTH },
	{ "backlog_changed", backlog_changed, CALLS_BOTH },
	{ "listen_exit", listen_exit, CALLS_BOTH },
	{ "listen_close", listen_close, CALLS_BOTH },
	{ "listen_ready", listen_ready, CALLS_BOTH },
	{ "listen_again", listen_again, CALLS_BOTH },
	{ "listen_shutdown", listen_shutdown, CALLS_BOTH },
	{ "listen_close_pending", listen_close_pending, CALLS_BOTH },
	{ "accept_closed", accept_closed, CALLS_BOTH },
	{ "accept_reset", accept_reset, CALLS_BOTH },
	{ "accept_dual", accept_dual, CALLS_6 },
	{ "accept_many", accept_many, CALLS_BOTH },
	{ "accept_reuseport", accept_reuseport, CALLS_BOTH },
	{ "listen_connect", listen_connect, CALLS_BOTH },
	{ 0 },
};
