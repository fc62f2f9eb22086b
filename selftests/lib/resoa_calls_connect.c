// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: connect, with every way that it may fail. See resoa_calls.h. */
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <time.h>

#include "resoa_calls.h"

static void connect_names(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	say_local(fd);
	say_remote(fd);
	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	say_remote(fd);
	peer_accepts(fd);
	say_error(fd);
	say_state(fd, TCP_ESTABLISHED);
	DO(connect_to(fd, peer_of(family), port));
	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	DO(listen(fd, 1));
}

static void connect_far(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	DO(connect_to(fd, far_of(family), port));
	say_remote(fd);
	peer_accepts(fd);
	DO(send(fd, "far", 3, 0));
	peer_say("read");
}

static void connect_refused(int family)
{
	int fd = tcp(family), port;

	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	say_error(fd);
	say_state(fd, TCP_CLOSE);
	say_remote(fd);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	port = peer_port("tcp %d", family);
	DO(connect_to(fd, peer_of(family), port)); /* the same socket may try elsewhere */
	peer_accepts(fd);
}

static void connect_errors(int family)
{
	DO(connect_to(tcp(family), refuses_of(family), 80));
	DO(connect_to(tcp(family), filters_of(family), 80));
	DO(connect_to(tcp(family), absent_of(family), 80));
	DO(connect_to(tcp(family), noroute_of(family), 80));
	DO(connect_to(tcp(family), any_of(family), CLOSED_PORT));
	DO(connect_to(tcp(family), peer_of(family), 0));
}

/* The server's own routes of other types. */
static void connect_policy(int family)
{
	DO(connect_to(tcp(family), family == 6 ? "2001:db8:f1::1" : "10.1.0.1",
		      80)); /* unreachable */
	DO(connect_to(tcp(family), family == 6 ? "2001:db8:f2::1" : "10.2.0.1", 80)); /* prohibit */
	DO(connect_to(tcp(family), family == 6 ? "2001:db8:f3::1" : "10.3.0.1",
		      80)); /* blackhole */
	DO(send_to(udp(family), family == 6 ? "2001:db8:f1::1" : "10.1.0.1", 80, "x"));
	DO(send_to(udp(family), family == 6 ? "2001:db8:f2::1" : "10.2.0.1", 80, "x"));
	DO(send_to(udp(family), family == 6 ? "2001:db8:f3::1" : "10.3.0.1", 80, "x"));
}

static void connect_wrong(int family)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(peer_of(family), 80, &name);
	int fd = tcp(family);

	DO(connect(fd, (struct sockaddr *)&name, 4));
	DO(connect(fd, NULL, len));
	DO(connect_to(fd, peer_of(10 - family), 80));
	name.ss_family = 77;
	DO(connect(fd, (struct sockaddr *)&name, len));
	DO(connect_to(fd, family == 6 ? "ff02::1" : "224.0.0.1", 80));
	if (family == 4)
		DO(connect_to(fd, "255.255.255.255", 80));
	DO(connect_to(0x7fff, peer_of(family), 80));
}

static void say_seconds(const struct timespec *begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	say("after %.0f s", (now.tv_sec - begin->tv_sec) + (now.tv_nsec - begin->tv_nsec) / 1e9);
}

static void connect_timeout(int family)
{
	struct timespec begin;
	int fd = tcp(family);

	clock_gettime(CLOCK_MONOTONIC, &begin);
	set(fd, IPPROTO_TCP, TCP_SYNCNT, 1);
	DO(connect_to(fd, silent_of(family), 80));
	say_seconds(&begin);
	say_error(fd);
	say_remote(fd);
}

static void connect_user_timeout(int family)
{
	struct timespec begin;
	int fd = tcp(family);

	clock_gettime(CLOCK_MONOTONIC, &begin);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 2000);
	DO(connect_to(fd, silent_of(family), 80));
	say_seconds(&begin);
}

static void connect_sndtimeo(int family)
{
	struct timeval time = { .tv_usec = 200000 };
	int fd = tcp(family);

	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	DO(connect_to(fd, silent_of(family), 80));
	DO(connect_to(fd, silent_of(family), 80));
	say_error(fd);
}

/* ---- non-blocking */

static int nonblocking(int family)
{
	int fd = tcp(family);

	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	return fd;
}

static void connect_nonblock(int family)
{
	int fd = nonblocking(family), port = peer_port("tcp %d", family);

	ready_after(fd, POLLIN | POLLOUT, 0);
	DO(connect_to(fd, peer_of(family), port));
	ready(fd, POLLIN | POLLOUT);
	say_error(fd);
	say_remote(fd);
	DO(connect_to(fd, peer_of(family), port));
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
}

static void connect_nonblock_refused(int family)
{
	int fd = nonblocking(family);

	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	say_remote(fd);
	say_error(fd);
	say_error(fd);
	ready(fd, POLLIN | POLLOUT | POLLRDHUP);
	fd = nonblocking(family);
	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	ready(fd, POLLOUT);
	DO(connect_to(fd, peer_of(family), CLOSED_PORT)); /* tells of the first */
	fd = nonblocking(family);
	DO(connect_to(fd, peer_of(family), CLOSED_PORT));
	ready(fd, POLLOUT);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	DO(recv(fd, &(char){ 0 }, 1, 0));
}

static void connect_nonblock_error(int family)
{
	int fd = nonblocking(family);

	DO(connect_to(fd, refuses_of(family), 80));
	ready_quiet(fd, POLLIN | POLLOUT); /* before connect() returns, on veth: another state */
	say_error(fd);
	fd = nonblocking(family);
	DO(connect_to(fd, absent_of(family), 80));
	ready(fd, POLLIN | POLLOUT);
	say_error(fd);
	DO(connect_to(nonblocking(family), noroute_of(family), 80));
}

static void connect_nonblock_silent(int family)
{
	int fd = nonblocking(family);

	DO(connect_to(fd, silent_of(family), 80));
	ready_after(fd, POLLIN | POLLOUT, 100);
	say_local(fd);
	say_remote(fd);
	say_error(fd);
	say_state(fd, TCP_SYN_SENT);
	DO(connect_to(fd, silent_of(family), 80));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	DO(recv(fd, &(char){ 0 }, 1, 0));
	DO(bind_to(fd, any_of(family), 0));
	DO(listen(fd, 1));
	DO(shutdown(fd, SHUT_WR));
	ready_after(fd, POLLIN | POLLOUT, 0);
	DO(close(fd));
}

static void connect_nonblock_timeout(int family)
{
	int fd = nonblocking(family);

	set(fd, IPPROTO_TCP, TCP_SYNCNT, 1);
	DO(connect_to(fd, silent_of(family), 80));
	ready_after(fd, POLLIN | POLLOUT, 5000);
	say_error(fd);
}

/* ---- AF_UNSPEC */

static void connect_dissolve(int family)
{
	int fd = tcp_open(family), port;

	DO(dissolve(fd));
	peer_say("eat");
	say_remote(fd);
	say_state(fd, TCP_CLOSE);
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	port = peer_port("tcp %d", family);
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
	DO(send(fd, "again", 5, 0));
	peer_say("read");
}

static void connect_dissolve_early(int family)
{
	int fd = nonblocking(family), port = peer_port("tcp %d", family);

	DO(dissolve(fd));
	DO(connect_to(fd, silent_of(family), 80));
	DO(dissolve(fd));
	DO(connect_to(fd, peer_of(family), port));
	ready(fd, POLLOUT);
	peer_accepts(fd);
}

/* ---- other ways */

static void connect_mapped(int family)
{
	int fd = tcp(6), port = peer_port("tcp 4");

	(void)family;
	DO(connect_to(fd, "::ffff:198.51.100.2", port));
	say_local(fd);
	say_remote(fd);
	peer_accepts(fd);
	DO(send(fd, "mapped", 6, 0));
	peer_say("read");
	fd = tcp(6);
	DO(connect_to(fd, "::ffff:198.51.100.2", CLOSED_PORT));
	fd = tcp(6);
	set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	DO(connect_to(fd, "::ffff:198.51.100.2", port));
}

static void connect_fastopen(int family)
{
	struct sockaddr_storage name;
	int fd = tcp(family), port = peer_port("tcp %d", family);
	socklen_t len = make_name(peer_of(family), port, &name);

	DO(sendto(fd, "first", 5, MSG_FASTOPEN, (struct sockaddr *)&name, len));
	peer_accepts(fd);
	peer_say("read");
	fd = tcp(family);
	DO(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 1 }, sizeof(int)));
	DO(connect_to(fd, peer_of(family), port));
	DO(send(fd, "second", 6, 0));
	peer_accepts(fd);
	peer_say("read");
	len = make_name(peer_of(family), CLOSED_PORT, &name);
	DO(sendto(tcp(family), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&name, len));
}

/* To itself: both open at once. */
static void connect_self(int family)
{
	char text[4];
	int fd = tcp(family);

	DO(bind_to(fd, own_of(family), 0));
	know(port_of(fd), "own");
	DO(connect_to(fd, own_of(family), port_of(fd)));
	say_local(fd);
	say_remote(fd);
	DO(send(fd, "self", 4, 0));
	DO_READ(recv(fd, text, 4, MSG_WAITALL), text);
}

static void through(int family, const char *address)
{
	char text[4];
	int listener = tcp_listener(family, 5), fd = tcp(family), accepted;

	DO(connect_to(fd, address, port_of(listener)));
	accepted = MADE(accept(listener, NULL, NULL));
	say_local(fd);
	say_remote(fd);
	say_remote(accepted);
	DO(send(fd, "home", 4, 0));
	DO_READ(recv(accepted, text, 4, MSG_WAITALL), text);
}

static void connect_home(int family)
{
	DO(connect_to(tcp(family), own_of(family), CLOSED_PORT));
	DO(connect_to(tcp(family), loop_of(family), CLOSED_PORT));
	through(family, own_of(family));
	through(family, loop_of(family));
}

/* The server's program on its own address, by the server's address. */
static void connect_taken(int family)
{
	char text[6] = "";
	int fd = tcp(family);

	DO(connect_to(fd, own_of(family), TAKEN_PORT));
	DO_READ(recv(fd, text, sizeof(text), MSG_WAITALL), text);
}

static void connect_many(int family)
{
	int fds[20], port = peer_port("tcp %d", family), i;

	for (i = 0; i < 20; i++) {
		fds[i] = nonblocking(family);
		connect_to(fds[i], peer_of(family), port);
	}
	for (i = 0; i < 20; i++) {
		ready_quiet(fds[i], POLLOUT);
		say_error(fds[i]);
	}
	for (i = 0; i < 20; i++)
		peer("accept");
	for (i = 0; i < 20; i++) {
		send(fds[i], "many", 4, 0);
		close(fds[i]);
	}
	for (i = 0; i < 20; i++) {
		peer("use %d", i);
		peer_say("eat");
	}
}

/* Gives up before the answer: the peer is told nothing, and the port is free at once. */
static void connect_closed(int family)
{
	int fd = nonblocking(family);

	DO(bind_to(fd, own_of(family), OWN_PORT + 20));
	DO(connect_to(fd, silent_of(family), 80));
	DO(close(fd));
	fd = nonblocking(family);
	DO(bind_to(fd, own_of(family), OWN_PORT + 20));
}

const struct calls_case calls_connect[] = {
	{ "connect_names", connect_names, CALLS_BOTH },
	{ "connect_far", connect_far, CALLS_BOTH },
	{ "connect_refused", connect_refused, CALLS_BOTH },
	{ "connect_errors", connect_errors, CALLS_BOTH },
	{ "connect_policy", connect_policy, CALLS_BOTH },
	{ "connect_wrong", connect_wrong, CALLS_BOTH },
	{ "connect_timeout", connect_timeout, CALLS_BOTH },
	{ "connect_user_timeout", connect_user_timeout, CALLS_BOTH },
	{ "connect_sndtimeo", connect_sndtimeo, CALLS_BOTH },
	{ "connect_nonblock", connect_nonblock, CALLS_BOTH },
	{ "connect_nonblock_refused", connect_nonblock_refused, CALLS_BOTH },
	{ "connect_nonblock_error", connect_nonblock_error, CALLS_BOTH },
	{ "connect_nonblock_silent", connect_nonblock_silent, CALLS_BOTH },
	{ "connect_nonblock_timeout", connect_nonblock_timeout, CALLS_BOTH },
	{ "connect_dissolve", connect_dissolve, CALLS_BOTH },
	{ "connect_dissolve_early", connect_dissolve_early, CALLS_BOTH },
	{ "connect_mapped", connect_mapped, CALLS_6 },
	{ "connect_fastopen", connect_fastopen, CALLS_BOTH },
	{ "connect_self", connect_self, CALLS_BOTH },
	{ "connect_home", connect_home, CALLS_BOTH },
	{ "connect_taken", connect_taken, CALLS_BOTH },
	{ "connect_many", connect_many, CALLS_BOTH },
	{ "connect_closed", connect_closed, CALLS_BOTH },
	{ 0 },
};
