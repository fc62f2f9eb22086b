// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: control messages of datagrams, there and at the peer. See resoa_calls.h. */
#include <arpa/inet.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <time.h>

#include "resoa_calls.h"

static void say_info(const struct cmsghdr *c)
{
	const struct in_pktinfo *four = (const void *)CMSG_DATA(c);
	const struct in6_pktinfo *six = (const void *)CMSG_DATA(c);
	bool is_six = c->cmsg_level == IPPROTO_IPV6;
	char address[INET6_ADDRSTRLEN], device[IF_NAMESIZE] = "none";

	inet_ntop(is_six ? AF_INET6 : AF_INET,
		  is_six ? (const void *)&six->ipi6_addr : &four->ipi_addr, address,
		  sizeof(address));
	if_indextoname(is_six ? six->ipi6_ifindex : (unsigned int)four->ipi_ifindex, device);
	say("PKTINFO %s %s", address, device);
}

static void say_control(struct msghdr *message)
{
	struct cmsghdr *c;
	int value = 0;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		memcpy(&value, CMSG_DATA(c),
		       c->cmsg_len >= CMSG_LEN(sizeof(value)) ? sizeof(value) : 1);
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			say_info(c);
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			say_info(c);
		else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			say("IP_TOS %d", *CMSG_DATA(c));
		else if (c->cmsg_level == SOL_SOCKET)
			say("SOL_SOCKET %d, %d bytes", c->cmsg_type, (int)c->cmsg_len);
		else
			say("control %d %d: %d", c->cmsg_level, c->cmsg_type, value);
	}
}

static void read_message(int fd)
{
	char text[100], space[512];
	struct iovec part = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };

	if (!ready_quiet(fd, POLLIN)) {
		say("recvmsg: nothing");
		return;
	}
	DO_READ(recvmsg(fd, &message, 0), text);
	say_control(&message);
	say("flags %x", message.msg_flags);
}

/* The options of either family, by what they do. */
static void set_either(int fd, int family, int four, int six, int value)
{
	set(fd, family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, family == 6 ? six : four, value);
}

static void control_in(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	set_either(fd, family, IP_PKTINFO, IPV6_RECVPKTINFO, 1);
	set_either(fd, family, IP_RECVTTL, IPV6_RECVHOPLIMIT, 1);
	set_either(fd, family, IP_RECVTOS, IPV6_RECVTCLASS, 1);
	set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	DO(send_to(fd, peer_of(family), port, "hello"));
	peer("from");
	peer_say("back plain");
	read_message(fd);
	peer_say("ttl 5");
	peer_say("tos 40");
	peer_say("back marked");
	read_message(fd);
	set(fd, SOL_SOCKET, SO_TIMESTAMP, 0);
	set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set_either(fd, family, IP_RECVTTL, IPV6_RECVHOPLIMIT, 0);
	peer_say("back stamped");
	read_message(fd);
}

static void say_arrival(void)
{
	const char *told = peer("from");
	int at = 0;

	sscanf(told, "%*s %*d %n", &at);
	say("peer from: %s", told + at);
}

static void control_out(int family)
{
	int fd = udp(family), port = peer_port("udp %d", family);

	DO(send_to(fd, peer_of(family), port, "plain"));
	say_arrival();
	set_either(fd, family, IP_TTL, IPV6_UNICAST_HOPS, 7);
	set_either(fd, family, IP_TOS, IPV6_TCLASS, 0x28);
	DO(send_to(fd, peer_of(family), port, "marked"));
	say_arrival();
	MUST(connect_to(fd, peer_of(family), port));
	set_either(fd, family, IP_TTL, IPV6_UNICAST_HOPS, 9);
	DO(send(fd, "connected", 9, 0));
	say_arrival();
}

/* For this datagram only. */
static void control_each(int family)
{
	struct sockaddr_storage name;
	char space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec part = { "once", 4 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_name = &name,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fd = udp(family), port = peer_port("udp %d", family);

	message.msg_namelen = make_name(peer_of(family), port, &name);
	c->cmsg_level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = family == 6 ? IPV6_HOPLIMIT : IP_TTL;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)CMSG_DATA(c) = 11;
	DO(sendmsg(fd, &message, 0));
	say_arrival();
	c->cmsg_type = family == 6 ? IPV6_TCLASS : IP_TOS;
	*(int *)CMSG_DATA(c) = 0x10;
	DO(sendmsg(fd, &message, 0));
	say_arrival();
	DO(send_to(fd, peer_of(family), port, "after"));
	say_arrival();
	c->cmsg_type = 7777;
	DO(sendmsg(fd, &message, 0));
}

static void control_source(int family)
{
	struct sockaddr_storage name, source;
	char space[CMSG_SPACE(sizeof(struct in6_pktinfo))] = "";
	struct iovec part = { "from", 4 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_name = &name, .msg_control = space
	};
	struct cmsghdr *c = (void *)space;
	int fd = udp(family), port = peer_port("udp %d", family);

	message.msg_namelen = make_name(peer_of(family), port, &name);
	make_name(own_of(family), 0, &source);
	c->cmsg_level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = family == 6 ? IPV6_PKTINFO : IP_PKTINFO;
	if (family == 6) {
		c->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
		((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr =
			((struct sockaddr_in6 *)&source)->sin6_addr;
	} else {
		c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
		((struct in_pktinfo *)CMSG_DATA(c))->ipi_spec_dst =
			((struct sockaddr_in *)&source)->sin_addr;
	}
	message.msg_controllen = CMSG_ALIGN(c->cmsg_len);
	DO(sendmsg(fd, &message, 0));
	say_arrival();
	make_name(foreign_of(family), 0, &source);
	if (family == 6)
		((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr =
			((struct sockaddr_in6 *)&source)->sin6_addr;
	else
		((struct in_pktinfo *)CMSG_DATA(c))->ipi_spec_dst =
			((struct sockaddr_in *)&source)->sin_addr;
	DO(sendmsg(fd, &message, 0));
}

static void control_truncated(int family)
{
	char text[10], space[4];
	struct iovec part = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	int fd = udp(family), port = peer_port("udp %d", family);

	set_either(fd, family, IP_PKTINFO, IPV6_RECVPKTINFO, 1);
	MUST(connect_to(fd, peer_of(family), port));
	DO(send(fd, "x", 1, 0));
	peer("from");
	peer_say("back y");
	ready(fd, POLLIN);
	DO(recvmsg(fd, &message, 0));
	say("flags %x", message.msg_flags);
}

const struct calls_case calls_udp_more[] = {
	{ "control_in", control_in, CALLS_BOTH },
	{ "control_out", control_out, CALLS_BOTH },
	{ "control_each", control_each, CALLS_BOTH },
	{ "control_source", control_source, CALLS_BOTH },
	{ "control_truncated", control_truncated, CALLS_BOTH },
	{ 0 },
};
