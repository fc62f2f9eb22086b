// SPDX-License-Identifier: GPL-3.0-or-later
/* Sockets as cases want them. See resoa_calls.h. */
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <time.h>

#include "resoa_calls.h"

#define TRIES 200 /* of 10 ms */

/* ---- the network */

#define ADDRESSES(what, v4, v6)                                                                    \
	const char *what##_of(int family)                                                          \
	{                                                                                          \
		return family == 6 ? v6 : v4;                                                      \
	}

ADDRESSES(peer, "198.51.100.2", "2001:db8::2")
ADDRESSES(own, "198.51.100.1", "2001:db8::1")
ADDRESSES(far, "203.0.113.1", "2001:db8:1::1")
ADDRESSES(leaves, "203.0.113.2", "2001:db8:1::2")
ADDRESSES(silent, "203.0.113.66", "2001:db8:1::66")
ADDRESSES(refuses, "203.0.113.67", "2001:db8:1::67")
ADDRESSES(filters, "203.0.113.68", "2001:db8:1::68")
ADDRESSES(absent, "198.51.100.77", "2001:db8::77")
ADDRESSES(noroute, "10.9.9.9", "2001:db8:9::9")
ADDRESSES(foreign, "192.0.2.77", "2001:db8:77::77")
ADDRESSES(any, "0.0.0.0", "::")
ADDRESSES(loop, "127.0.0.1", "::1")

/* ---- names */

socklen_t make_name(const char *address, int port, struct sockaddr_storage *name)
{
	struct sockaddr_in *in = (void *)name;
	struct sockaddr_in6 *in6 = (void *)name;

	memset(name, 0, sizeof(*name));
	if (strchr(address, ':')) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		inet_pton(AF_INET6, address, &in6->sin6_addr);
		if (!strncmp(address, "ff", 2) || !strncmp(address, "fe80", 4))
			in6->sin6_scope_id = if_nametoindex("e0");
		return sizeof(*in6);
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	inet_pton(AF_INET, address, &in->sin_addr);
	return sizeof(*in);
}

int connect_to(int fd, const char *address, int port)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(address, port, &name);

	return connect(fd, (struct sockaddr *)&name, len);
}

int bind_to(int fd, const char *address, int port)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(address, port, &name);

	return bind(fd, (struct sockaddr *)&name, len);
}

long send_to(int fd, const char *address, int port, const char *text)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(address, port, &name);

	return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&name, len);
}

long say_from(int fd)
{
	static uint8_t bytes[70000];
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	long got;

	if (!ready_quiet(fd, POLLIN)) {
		say("recvfrom: nothing");
		return -1;
	}
	got = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&name, &len);
	did_read("recvfrom", got, bytes);
	if (got >= 0)
		say_name("recvfrom", (struct sockaddr *)&name, len);
	return got;
}

/* ---- sockets */

int tcp(int family)
{
	return MUST(socket(family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int udp(int family)
{
	return MUST(socket(family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

int tcp_open_to(int family, const char *address)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	MUST(connect_to(fd, address, port));
	if (!strcmp(peer("accept"), "nothing")) {
		say("the peer has not accepted");
		exit(1);
	}
	return fd;
}

int tcp_open(int family)
{
	return tcp_open_to(family, peer_of(family));
}

int tcp_listener(int family, int backlog)
{
	int fd = tcp(family);

	MUST(bind_to(fd, any_of(family), 0));
	MUST(listen(fd, backlog));
	know(port_of(fd), "listener");
	return fd;
}

int tcp_accepted(int family, int *listener)
{
	int fd;

	*listener = tcp_listener(family, 5);
	if (strncmp(peer("connect %s %d", own_of(family), port_of(*listener)), "connected", 9) ||
	    !ready_quiet(*listener, POLLIN)) {
		say("the peer has not connected");
		exit(1);
	}
	fd = MUST(accept4(*listener, NULL, NULL, SOCK_CLOEXEC));
	return fd;
}

long dissolve(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return connect(fd, &none, sizeof(none));
}

/* ---- readiness */

static const char *events_text(short events)
{
	static const struct {
		short bit;
		const char *name;
	} bits[] = { { POLLIN, "IN" },	     { POLLPRI, "PRI" }, { POLLOUT, "OUT" },
		     { POLLRDHUP, "RDHUP" }, { POLLERR, "ERR" }, { POLLHUP, "HUP" },
		     { POLLNVAL, "NVAL" } };
	static char text[60];
	size_t i;

	text[0] = 0;
	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		if (events & bits[i].bit)
			sprintf(text + strlen(text), "%s%s", text[0] ? "," : "", bits[i].name);
	return text[0] ? text : "-";
}

bool ready_quiet(int fd, short events)
{
	struct pollfd one = { .fd = fd, .events = events };

	return poll(&one, 1, 2000) == 1;
}

void ready_after(int fd, short events, int wait_ms)
{
	struct pollfd one = { .fd = fd, .events = events };
	int count = poll(&one, 1, wait_ms);

	say("poll = %d %s", count, events_text(one.revents));
}

/* What comes next is given a moment: an error is told before the state has changed. */
void ready(int fd, short events)
{
	ready_quiet(fd, events);
	nap(20);
	ready_after(fd, events, 0);
}

void say_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	say("SO_ERROR %s", error_name(error));
}

static const char *state_name(int state)
{
	static const char *const names[] = { "0",	   "ESTABLISHED", "SYN_SENT",  "SYN_RECV",
					     "FIN_WAIT1",  "FIN_WAIT2",	  "TIME_WAIT", "CLOSE",
					     "CLOSE_WAIT", "LAST_ACK",	  "LISTEN",    "CLOSING" };

	return state < 12 ? names[state] : "?";
}

void say_state(int fd, int state)
{
	struct tcp_info info = { 0 };
	socklen_t len;
	int tries;

	for (tries = 0; tries < TRIES; tries++) {
		len = sizeof(info);
		MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
		if (info.tcpi_state == state)
			break;
		nap(10);
	}
	say("state %s", state_name(info.tcpi_state));
}

void wait_bytes(int fd, int bytes)
{
	int tries, there = 0;

	for (tries = 0; tries < TRIES && !ioctl(fd, FIONREAD, &there) && there < bytes; tries++)
		nap(10);
}

void wait_acknowledged(int fd)
{
	int tries, there = 0;

	for (tries = 0; tries < TRIES && !ioctl(fd, SIOCOUTQ, &there) && there; tries++)
		nap(10);
	if (there)
		say("SIOCOUTQ is not 0");
}

void set(int fd, int level, int name, int value)
{
	MUST(setsockopt(fd, level, name, &value, sizeof(value)));
}

void say_option(const char *text, int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, level, name, &value, &len))
		say("%s: %s", text, error_name(errno));
	else
		say("%s: %d (%d)", text, value, (int)len);
}

void set_option(const char *text, int fd, int level, int name, int value)
{
	int result = setsockopt(fd, level, name, &value, sizeof(value));

	say("%s = %d: %s", text, value, error_name(result ? errno : 0));
	say_option(text, fd, level, name);
}

void settle(void)
{
	nap(150);
}

void nap(int milliseconds)
{
	struct timespec time = { .tv_sec = milliseconds / 1000,
				 .tv_nsec = milliseconds % 1000 * 1000000L };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}
