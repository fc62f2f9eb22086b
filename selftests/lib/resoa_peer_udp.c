// SPDX-License-Identifier: GPL-3.0-or-later
/* What resoa_peer does with datagrams. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resoa_calls_bytes.h"
#include "resoa_peer.h"

static int udp = -1, udp_family;
static struct sockaddr_storage last; /* whose datagram came last */
static socklen_t last_len;

static void do_udp(const char *args)
{
	static const struct {
		int level, option;
	} told[] = {
		{ IPPROTO_IP, IP_RECVTTL },	   { IPPROTO_IP, IP_RECVTOS },
		{ IPPROTO_IP, IP_PKTINFO },	   { IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
		{ IPPROTO_IPV6, IPV6_RECVTCLASS }, { IPPROTO_IPV6, IPV6_RECVPKTINFO },
	};
	int port = 0;
	size_t i;

	udp_family = 4;
	sscanf(args, "%d %d", &udp_family, &port);
	udp = bound(udp_family, SOCK_DGRAM, port);
	for (i = 0; udp >= 0 && i < sizeof(told) / sizeof(*told); i++)
		if ((told[i].level == IPPROTO_IPV6) == (udp_family == 6))
			setsockopt(udp, told[i].level, told[i].option, &(int){ 1 }, sizeof(int));
	if (udp < 0)
		answer_errno();
	else
		answer("%d", local_port(udp));
}

struct told {
	int ttl, tos;
	char to[INET6_ADDRSTRLEN];
};

static void read_control(struct msghdr *message, struct told *told)
{
	struct cmsghdr *c;

	*told = (struct told){ .ttl = -1, .tos = -1 };
	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		bool six = c->cmsg_level == IPPROTO_IPV6;

		if (c->cmsg_type == (six ? IPV6_HOPLIMIT : IP_TTL))
			memcpy(&told->ttl, CMSG_DATA(c), sizeof(int));
		else if (c->cmsg_type == (six ? IPV6_TCLASS : IP_TOS))
			told->tos = *CMSG_DATA(c);
		else if (six && c->cmsg_type == IPV6_PKTINFO)
			inet_ntop(AF_INET6, &((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr,
				  told->to, sizeof(told->to));
		else if (!six && c->cmsg_type == IP_PKTINFO)
			inet_ntop(AF_INET, &((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr, told->to,
				  sizeof(told->to));
	}
}

static void do_from(const char *args)
{
	uint8_t space[512];
	struct iovec part = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	struct msghdr message = { .msg_name = &last,
				  .msg_namelen = sizeof(last),
				  .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	struct told told;
	char before[200];
	long len;

	if (!comes(udp, POLLIN, *args ? atoi(args) : WAIT_MS)) {
		answer("nothing");
		return;
	}
	len = recvmsg(udp, &message, 0);
	if (len < 0) {
		answer_errno();
		return;
	}
	last_len = message.msg_namelen;
	read_control(&message, &told);
	snprintf(before, sizeof(before), "%s %s ttl=%d tos=%d: ", text_of(&last), told.to, told.ttl,
		 told.tos);
	answer_bytes(before, buffer, len);
}

static void do_back(const char *args)
{
	answer_result(sendto(udp, args, strlen(args), 0, (struct sockaddr *)&last, last_len));
}

static void do_size(const char *args)
{
	bytes_make(buffer, 0, atoi(args));
	answer_result(sendto(udp, buffer, atoi(args), 0, (struct sockaddr *)&last, last_len));
}

static void do_to(const char *args)
{
	char address[64] = "", text[64] = "";
	struct sockaddr_storage name;
	socklen_t len;
	int port = 0;

	sscanf(args, "%63s %d %63s", address, &port, text);
	len = name_of(address, port, &name);
	answer_result(sendto(udp, text, strlen(text), 0, (struct sockaddr *)&name, len));
}

static void udp_option(int option4, int option6, const char *args)
{
	int value = atoi(args);

	answer_result(setsockopt(udp, udp_family == 6 ? IPPROTO_IPV6 : IPPROTO_IP,
				 udp_family == 6 ? option6 : option4, &value, sizeof(value)));
}

static void do_ttl(const char *args)
{
	udp_option(IP_TTL, IPV6_UNICAST_HOPS, args);
}

static void do_tos(const char *args)
{
	udp_option(IP_TOS, IPV6_TCLASS, args);
}

static void do_broadcast(const char *args)
{
	(void)args;
	answer_result(setsockopt(udp, SOL_SOCKET, SO_BROADCAST, &(int){ 1 }, sizeof(int)));
}

static void do_join(const char *args)
{
	struct group_req group = { .gr_interface = if_nametoindex("e0") };
	struct sockaddr_storage name;

	name_of(args, 0, &name);
	group.gr_group = name;
	answer_result(setsockopt(udp, udp_family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_JOIN_GROUP,
				 &group, sizeof(group)));
}

static void do_interface(const char *args)
{
	struct ip_mreqn interface = { .imr_ifindex = if_nametoindex("e0") };

	(void)args;
	if (udp_family == 6)
		answer_result(setsockopt(udp, IPPROTO_IPV6, IPV6_MULTICAST_IF,
					 &interface.imr_ifindex, sizeof(int)));
	else
		answer_result(setsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, &interface,
					 sizeof(interface)));
}

static void do_unudp(const char *args)
{
	(void)args;
	answer_result(close(udp));
}

const struct peer_command peer_udp[] = {
	{ "udp", do_udp },     { "from", do_from },
	{ "back", do_back },   { "size", do_size },
	{ "to", do_to },       { "ttl", do_ttl },
	{ "tos", do_tos },     { "broadcast", do_broadcast },
	{ "join", do_join },   { "interface", do_interface },
	{ "unudp", do_unudp }, { 0 },
};
