// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: what ICMP tells of datagrams. See resoa_calls.h. */
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <sys/time.h>

#include "resoa_calls.h"

static char text[300];

static void error_connected(int family)
{
	int fd = udp(family);

	MUST(connect_to(fd, peer_of(family), CLOSED_PORT));
	DO(send(fd, "x", 1, 0));
	ready_quiet(fd, POLLIN);
	ready(fd, POLLIN | POLLOUT);
	DO(recv(fd, text, 1, 0));
	DO(recv(fd, text, 1, MSG_DONTWAIT));
	DO(send(fd, "x", 1, 0));
	ready(fd, POLLIN);
	DO(send(fd, "x", 1, 0)); /* tells of the one before */
	ready(fd, POLLIN);
	say_error(fd);
	say_error(fd);
}

static void error_unconnected(int family)
{
	struct timeval time = { .tv_usec = 300000 };
	int fd = udp(family), port = peer_port("udp %d", family);

	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	DO(send_to(fd, peer_of(family), CLOSED_PORT, "x"));
	DO(recv(fd, text, 1, 0));
	ready_after(fd, POLLIN | POLLOUT, 0);
	say_error(fd);
	DO(send_to(fd, peer_of(family), port, "goes on"));
	peer("from");
	peer_say("back answer");
	say_from(fd);
}

static void error_routes(int family)
{
	int fd = udp(family);

	DO(send_to(fd, noroute_of(family), 80, "x"));
	DO(connect_to(fd, noroute_of(family), 80));
	fd = udp(family);
	MUST(connect_to(fd, refuses_of(family), 80));
	DO(send(fd, "x", 1, 0));
	ready_after(fd, POLLIN, 1500);
	say_error(fd);
	fd = udp(family);
	MUST(connect_to(fd, filters_of(family), 80));
	DO(send(fd, "x", 1, 0));
	ready_after(fd, POLLIN, 1500);
	say_error(fd);
	DO(send_to(fd, peer_of(family), 0, "x"));
	DO(send_to(fd, peer_of(10 - family), 80, "x"));
}

static void say_offender(const struct sock_extended_err *error)
{
	struct sockaddr_storage name = { 0 };
	const struct sockaddr *from = SO_EE_OFFENDER(error);
	socklen_t len = from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						    : sizeof(struct sockaddr_in);

	if (from->sa_family == AF_UNSPEC)
		return;
	memcpy(&name, from, len);
	say_name("offender", (struct sockaddr *)&name, len);
}

/* One entry of the error queue, with what it quotes. */
static void say_queue(int fd)
{
	char space[512];
	struct sockaddr_storage name = { 0 };
	struct iovec part = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_name = &name,
				  .msg_namelen = sizeof(name),
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	const struct sock_extended_err *error;
	struct cmsghdr *c;

	if (DO_READ(recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT), text) < 0)
		return;
	say_name("to", (struct sockaddr *)&name, message.msg_namelen);
	say("flags %x", message.msg_flags);
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type != IP_RECVERR && c->cmsg_type != IPV6_RECVERR)
			continue;
		error = (const void *)CMSG_DATA(c);
		say("%s origin %d type %d code %d info %u", error_name(error->ee_errno),
		    error->ee_origin, error->ee_type, error->ee_code, error->ee_info);
		say_offender(error);
	}
}

static int with_recverr(int family)
{
	int fd = udp(family);

	set(fd, family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, family == 6 ? IPV6_RECVERR : IP_RECVERR,
	    1);
	return fd;
}

static void queue_refused(int family)
{
	int fd = with_recverr(family);

	DO(recvmsg(fd, &(struct msghdr){ 0 }, MSG_ERRQUEUE));
	DO(send_to(fd, peer_of(family), CLOSED_PORT, "quoted payload"));
	ready(fd, POLLIN);
	say_queue(fd);
	ready_after(fd, POLLIN, 0);
	say_queue(fd);
	DO(send_to(fd, peer_of(family), CLOSED_PORT, "once more"));
	ready(fd, POLLIN);
	DO(recv(fd, text, 10, MSG_DONTWAIT));
	say_queue(fd);
	DO(recv(fd, text, 10, MSG_DONTWAIT));
}

static void queue_unreachable(int family)
{
	int fd = with_recverr(family);

	DO(send_to(fd, refuses_of(family), 7000, "to nowhere"));
	ready(fd, POLLIN);
	say_queue(fd);
	DO(send_to(fd, filters_of(family), 7000, "filtered"));
	ready(fd, POLLIN);
	say_queue(fd);
}

/* On the way: the peer is a router, too. */
static void queue_ttl(int family)
{
	int fd = with_recverr(family);

	if (family == 6)
		set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1);
	else
		set(fd, IPPROTO_IP, IP_TTL, 1);
	DO(send_to(fd, family == 6 ? "2001:db8:1:1::5" : "203.0.113.133", 33434, "trace"));
	ready(fd, POLLIN);
	say_queue(fd);
}

static void queue_mtu(int family)
{
	static uint8_t bytes[1400];
	const char *narrow = family == 6 ? "2001:db8:1:2::5" : "203.0.113.197";
	int fd = with_recverr(family);

	if (family == 6)
		set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	else
		set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	MUST(connect_to(fd, narrow, 7000));
	DO(send(fd, bytes, sizeof(bytes), 0));
	ready(fd, POLLIN);
	say_queue(fd);
	if (family == 6)
		SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MTU);
	else
		SAY_OPTION(fd, IPPROTO_IP, IP_MTU);
	DO(send(fd, bytes, sizeof(bytes), 0));
	say_queue(fd);
}

static void queue_two(int family)
{
	int fd = with_recverr(family);

	DO(send_to(fd, peer_of(family), CLOSED_PORT, "first"));
	ready(fd, POLLIN);
	DO(send_to(fd, peer_of(family), CLOSED_PORT, "fails by the first"));
	DO(send_to(fd, far_of(family), CLOSED_PORT, "second"));
	nap(300);
	say_queue(fd);
	say_queue(fd);
	say_queue(fd);
}

const struct calls_case calls_udp_error[] = {
	{ "error_connected", error_connected, CALLS_BOTH },
	{ "error_unconnected", error_unconnected, CALLS_BOTH },
	{ "error_routes", error_routes, CALLS_BOTH },
	{ "queue_refused", queue_refused, CALLS_BOTH },
	{ "queue_unreachable", queue_unreachable, CALLS_BOTH },
	{ "queue_ttl", queue_ttl, CALLS_BOTH },
	{ "queue_mtu", queue_mtu, CALLS_BOTH },
	{ "queue_two", queue_two, CALLS_BOTH },
	{ 0 },
};
