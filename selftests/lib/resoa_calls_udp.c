// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: datagrams. See resoa_calls.h. */
#include <fcntl.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "resoa_calls.h"

static uint8_t bytes[70000];

/* The next datagram at the peer, without its sender's port, which must be fd's. */
static void arrives(int fd)
{
	const char *told = peer("from");
	char address[64] = "";
	int port = 0, at = 0;

	if (sscanf(told, "%63s %d %n", address, &port, &at) < 2)
		say("peer from: %s", told);
	else
		say("peer from: %s %s %s", address, port == port_of(fd) ? "own" : "another port",
		    told + at);
}

static void udp_unconnected(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	say_local(fd);
	DO(send_to(fd, peer_of(family), port, "hello"));
	say_local(fd);
	say_remote(fd);
	arrives(fd);
	peer_say("back answer");
	say_from(fd);
	DO(send_to(fd, peer_of(family), port, "")); /* empty */
	arrives(fd);
	peer_say("size 0");
	say_from(fd);
	DO(send(fd, "x", 1, 0));
	DO(recv(fd, bytes, 1, MSG_DONTWAIT));
}

static void udp_two_peers(int family)
{
	int fd = udp(family), one = peer_port("udp %d", family), two;

	DO(send_to(fd, peer_of(family), one, "one"));
	arrives(fd);
	peer_say("back from-one");
	say_from(fd);
	two = peer_port("udp %d", family);
	know(two, "second");
	DO(send_to(fd, far_of(family), two, "two"));
	arrives(fd);
	peer_say("back from-two");
	say_from(fd);
}

static void udp_connected(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	say_remote(fd);
	DO(send(fd, "hello", 5, 0));
	arrives(fd);
	peer_say("back answer");
	say_from(fd);
	DO(send_to(fd, peer_of(family), port, "named"));
	arrives(fd);
	DO(dissolve(fd));
	say_local(fd);
	say_remote(fd);
	DO(send(fd, "x", 1, 0));
	DO(connect_to(fd, far_of(family), port));
	say_local(fd);
	DO(send(fd, "again", 5, 0));
	arrives(fd);
}

/* What others send does not come in. */
static void udp_connected_filter(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	DO(connect_to(fd, peer_of(family), port));
	DO(send(fd, "hello", 5, 0));
	arrives(fd);
	peer_port("udp %d", family); /* another */
	peer_say("to %s %d stranger", own_of(family), port_of(fd));
	ready_after(fd, POLLIN, 300);
}

static void udp_bound(int family)
{
	int fd = udp(family);

	DO(bind_to(fd, any_of(family), OWN_PORT + 50));
	peer_port("udp %d", family);
	settle();
	peer_say("to %s %d unasked", own_of(family), OWN_PORT + 50);
	say_from(fd);
	say_local(fd);
	close(fd);
	fd = udp(family);
	DO(bind_to(fd, own_of(family), OWN_PORT + 50));
	settle();
	peer_say("to %s %d unasked", own_of(family), OWN_PORT + 50);
	say_from(fd);
	DO(bind_to(udp(family), any_of(family), OWN_PORT + 50));
	DO(bind_to(udp(family), own_of(family), OWN_PORT + 50));
	DO(bind_to(udp(family), any_of(family), TAKEN_PORT));
}

/* One that is bound to port 0 is reached by whoever knows its port. */
static void udp_auto(int family)
{
	int fd = udp(family);

	DO(bind_to(fd, any_of(family), 0));
	peer_port("udp %d", family);
	settle();
	peer_say("to %s %d unasked", own_of(family), port_of(fd));
	say_from(fd);
}

static void udp_reuse(int family)
{
	int one = udp(family), two = udp(family), count = 0, i;

	set(one, SOL_SOCKET, SO_REUSEPORT, 1);
	set(two, SOL_SOCKET, SO_REUSEPORT, 1);
	DO(bind_to(one, any_of(family), OWN_PORT + 51));
	DO(bind_to(two, any_of(family), OWN_PORT + 51));
	settle();
	for (i = 0; i < 8; i++) {
		peer_port("udp %d", family);
		peer("to %s %d each", own_of(family), OWN_PORT + 51);
	}
	nap(300);
	while (recv(one, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
		count++;
	while (recv(two, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
		count++;
	say("came %d", count);
}

static void udp_sizes(int family)
{
	static const int sizes[] = { 1, 1472, 1473, 9000, 32768, 65507 };
	int fd = udp(family), port = peer_port("udp %d", family);
	size_t i;

	set(fd, SOL_SOCKET, SO_SNDBUF, 400000);
	set(fd, SOL_SOCKET, SO_RCVBUF, 400000);
	MUST(connect_to(fd, peer_of(family), port));
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		bytes_make(bytes, 0, sizes[i]);
		DO(send(fd, bytes, sizes[i], 0));
		arrives(fd);
		peer_say("size %d", sizes[i]);
		say_from(fd);
	}
	DO(send(fd, bytes, 65528, 0));
}

static void udp_dont_fragment(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	if (family == 4)
		set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	else
		set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
	MUST(connect_to(fd, peer_of(family), port));
	DO(send(fd, bytes, 1400, 0));
	DO(send(fd, bytes, 3000, 0));
	if (family == 4)
		SAY_OPTION(fd, IPPROTO_IP, IP_MTU);
	else
		SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MTU);
}

static void udp_truncated(int family)
{
	char text[10];
	struct iovec part = { text, 4 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = udp(family), port = peer_port("udp %d", family), there = 0;

	MUST(connect_to(fd, peer_of(family), port));
	DO(send(fd, "hello", 5, 0));
	arrives(fd);
	peer_say("back first-one");
	peer_say("back second");
	peer_say("back third");
	ready(fd, POLLIN);
	MUST(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	DO_READ(recv(fd, text, 4, MSG_PEEK), text);
	DO_READ(recv(fd, text, 4, MSG_PEEK | MSG_TRUNC), "");
	DO(recvmsg(fd, &message, 0));
	say("flags %x", message.msg_flags);
	DO_READ(recv(fd, text, 4, 0), text);
	DO(recv(fd, text, 0, 0));
	DO(recv(fd, text, 1, MSG_DONTWAIT));
}

static void udp_more_parts(int family)
{
	struct iovec parts[] = { { "in ", 3 }, { "parts", 5 } };
	int fd = udp(family), port = peer_port("udp %d", family);

	MUST(connect_to(fd, peer_of(family), port));
	DO(writev(fd, parts, 2));
	arrives(fd);
	DO(send(fd, "corked ", 7, MSG_MORE));
	DO(send(fd, "together", 8, 0));
	arrives(fd);
	set(fd, IPPROTO_UDP, UDP_CORK, 1);
	DO(send(fd, "by ", 3, 0));
	DO(send(fd, "option", 6, 0));
	set(fd, IPPROTO_UDP, UDP_CORK, 0);
	arrives(fd);
}

static void udp_segments(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	MUST(connect_to(fd, peer_of(family), port));
	bytes_make(bytes, 0, 2500);
	DO(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &(int){ 1000 }, sizeof(int)));
	DO(send(fd, bytes, 2500, 0));
	arrives(fd);
	arrives(fd);
	arrives(fd);
}

static void udp_messages(int family)
{
	char text[3][20];
	struct sockaddr_storage name;
	struct iovec out[3] = { { "one", 3 }, { "two", 3 }, { "three", 5 } };
	struct iovec in[3] = { { text[0], 20 }, { text[1], 20 }, { text[2], 20 } };
	struct mmsghdr messages[3] = { 0 };
	int fd = udp(family), port = peer_port("udp %d", family), i;

	for (i = 0; i < 3; i++)
		messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = out + i,
					 .msg_iovlen = 1,
					 .msg_name = &name,
					 .msg_namelen = make_name(peer_of(family), port, &name) };
	DO(sendmmsg(fd, messages, 3, 0));
	for (i = 0; i < 3; i++)
		arrives(fd);
	peer_say("back a");
	peer_say("back bc");
	peer_say("back def");
	nap(200);
	for (i = 0; i < 3; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = in + i, .msg_iovlen = 1 };
	DO(recvmmsg(fd, messages, 3, MSG_WAITFORONE, NULL));
	say("%u %u %u", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len);
}

static void udp_waits(int family)
{
	struct timeval time = { .tv_usec = 100000 };
	int fd = udp(family), port = peer_port("udp %d", family);

	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	MUST(bind_to(fd, any_of(family), 0));
	DO(recv(fd, bytes, 10, 0));
	DO(recv(fd, bytes, 10, MSG_DONTWAIT));
	ready_after(fd, POLLIN | POLLOUT, 0);
	MUST(connect_to(fd, peer_of(family), port));
	DO(send(fd, "x", 1, 0));
	arrives(fd);
	peer_say("back y");
	ready(fd, POLLIN);
	DO(shutdown(fd, SHUT_RD));
	DO_READ(recv(fd, bytes, 10, 0), bytes);
	DO(recv(fd, bytes, 10, MSG_DONTWAIT));
	DO(shutdown(fd, SHUT_WR));
	DO(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void udp_home(int family)
{
	int one = udp(family), two = udp(family);

	MUST(bind_to(one, own_of(family), 0));
	know(port_of(one), "one");
	DO(send_to(two, own_of(family), port_of(one), "home"));
	know(port_of(two), "two");
	say_from(one);
	one = udp(family);
	MUST(bind_to(one, loop_of(family), 0));
	know(port_of(one), "one");
	DO(send_to(two, loop_of(family), port_of(one), "loop"));
	say_from(one);
}

static void udp_mapped(int family)
{
	int fd = udp(6), port = peer_port("udp 4");

	(void)family;
	DO(send_to(fd, "::ffff:198.51.100.2", port, "mapped"));
	say_local(fd);
	arrives(fd);
	peer_say("back answer");
	say_from(fd);
	DO(connect_to(fd, "::ffff:198.51.100.2", port));
	say_local(fd);
	say_remote(fd);
}

static void udp_many(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family), i;

	MUST(connect_to(fd, peer_of(family), port));
	for (i = 0; i < 50; i++) {
		char text[20];

		snprintf(text, sizeof(text), "number %d", i);
		MUST(send(fd, text, strlen(text), 0));
	}
	for (i = 0; i < 50; i++)
		arrives(fd);
}

const struct calls_case calls_udp[] = {
	{ "udp_unconnected", udp_unconnected, CALLS_BOTH },
	{ "udp_two_peers", udp_two_peers, CALLS_BOTH },
	{ "udp_connected", udp_connected, CALLS_BOTH },
	{ "udp_filter", udp_connected_filter, CALLS_BOTH },
	{ "udp_bound", udp_bound, CALLS_BOTH },
	{ "udp_auto", udp_auto, CALLS_BOTH },
	{ "udp_reuse", udp_reuse, CALLS_BOTH },
	{ "udp_sizes", udp_sizes, CALLS_BOTH },
	{ "udp_dont_fragment", udp_dont_fragment, CALLS_BOTH },
	{ "udp_truncated", udp_truncated, CALLS_BOTH },
	{ "udp_more_parts", udp_more_parts, CALLS_BOTH },
	{ "udp_segments", udp_segments, CALLS_BOTH },
	{ "udp_messages", udp_messages, CALLS_BOTH },
	{ "udp_waits", udp_waits, CALLS_BOTH },
	{ "udp_home", udp_home, CALLS_BOTH },
	{ "udp_mapped", udp_mapped, CALLS_6 },
	{ "udp_many", udp_many, CALLS_BOTH },
	{ 0 },
};
