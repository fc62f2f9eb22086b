// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: multicast and broadcast. See resoa_calls.h. */
#include <arpa/inet.h>
#include <net/if.h>

#include "resoa_calls.h"

#define GROUP_PORT (OWN_PORT + 60)

static const char *group_of(int family)
{
	return family == 6 ? "ff05::1:2" : "239.1.2.3";
}

static long group_do(int fd, int family, int option)
{
	struct group_req group = { .gr_interface = if_nametoindex("e0") };
	struct sockaddr_storage name;

	make_name(group_of(family), 0, &name);
	group.gr_group = name;
	return setsockopt(fd, family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, option, &group,
			  sizeof(group));
}

/* The peer sends to the group until something comes, for a join takes its time. */
static void come(int fd, int family)
{
	int tries;

	for (tries = 0; tries < 15; tries++) {
		struct pollfd one = { .fd = fd, .events = POLLIN };

		peer("to %s %d to-the-group", group_of(family), GROUP_PORT);
		if (poll(&one, 1, 100) == 1)
			break;
	}
	if (tries < 15)
		say_from(fd);
	else
		say("nothing came");
}

static void drain(int fd)
{
	char text[100];

	nap(150);
	while (recv(fd, text, sizeof(text), MSG_DONTWAIT) >= 0)
		;
}

static void group_join(int family)
{
	int fd = udp(family);

	peer_port("udp %d", family);
	peer_say("interface");
	DO(bind_to(fd, any_of(family), GROUP_PORT));
	DO(group_do(fd, family, MCAST_JOIN_GROUP));
	DO(group_do(fd, family, MCAST_JOIN_GROUP));
	come(fd, family);
	drain(fd);
	DO(group_do(fd, family, MCAST_LEAVE_GROUP));
	DO(group_do(fd, family, MCAST_LEAVE_GROUP));
	nap(200);
	peer("to %s %d left", group_of(family), GROUP_PORT);
	ready_after(fd, POLLIN, 300);
}

/* The older way. */
static void group_membership(int family)
{
	struct ip_mreqn four = { .imr_ifindex = if_nametoindex("e0") };
	struct ipv6_mreq six = { .ipv6mr_interface = if_nametoindex("e0") };
	int fd = udp(family);

	peer_port("udp %d", family);
	peer_say("interface");
	MUST(bind_to(fd, group_of(family), GROUP_PORT));
	inet_pton(AF_INET, group_of(4), &four.imr_multiaddr);
	inet_pton(AF_INET6, group_of(6), &six.ipv6mr_multiaddr);
	if (family == 6)
		DO(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof(six)));
	else
		DO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four)));
	come(fd, family);
	drain(fd);
	close(fd); /* leaves */
	fd = udp(family);
	MUST(bind_to(fd, any_of(family), GROUP_PORT));
	if (family == 4) {
		four.imr_ifindex = 0;
		four.imr_address.s_addr = inet_addr(own_of(4));
		DO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four)));
		come(fd, family);
		inet_pton(AF_INET, "192.0.2.1", &four.imr_multiaddr);
		DO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four)));
	}
}

static void say_arrival(void)
{
	const char *told = peer("from");
	int at = 0;

	sscanf(told, "%*s %*d %n", &at);
	say("peer from: %s", told + at);
}

static void choose_device(int fd, int family)
{
	struct ip_mreqn device = { .imr_ifindex = if_nametoindex("e0") };

	if (family == 6)
		DO(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &device.imr_ifindex,
			      sizeof(int)));
	else
		DO(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &device, sizeof(device)));
}

static void group_send(int family)
{
	int fd = udp(family), port = peer_port("udp %d %d", family, GROUP_PORT);

	know(port, "peer");
	peer_say("join %s", group_of(family));
	choose_device(fd, family);
	DO(send_to(fd, group_of(family), GROUP_PORT, "to-all"));
	say_arrival();
	if (family == 6)
		SET_OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 5);
	else
		SET_OPTION(fd, IPPROTO_IP, IP_MULTICAST_TTL, 5);
	DO(send_to(fd, group_of(family), GROUP_PORT, "to-all"));
	say_arrival();
	peer_say("back for-you");
	say_from(fd);
	DO(connect_to(fd, group_of(family), GROUP_PORT));
	say_local(fd);
	DO(send(fd, "connected", 9, 0));
	say_arrival();
}

static void group_loop(int family)
{
	int in = udp(family), out = udp(family);

	MUST(bind_to(in, any_of(family), GROUP_PORT));
	DO(group_do(in, family, MCAST_JOIN_GROUP));
	choose_device(out, family);
	DO(send_to(out, group_of(family), GROUP_PORT, "to-myself"));
	know(port_of(out), "out");
	say_from(in);
	ready_after(in, POLLIN, 200); /* not twice */
	if (family == 6)
		SET_OPTION(out, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	else
		SET_OPTION(out, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
	DO(send_to(out, group_of(family), GROUP_PORT, "not-to-myself"));
	ready_after(in, POLLIN, 300);
}

static void broadcast_out(int family)
{
	int fd = udp(family), port = peer_port("udp 4");

	DO(send_to(fd, "255.255.255.255", port, "x"));
	DO(send_to(fd, "198.51.100.255", port, "x"));
	DO(connect_to(fd, "198.51.100.255", port));
	SET_OPTION(fd, SOL_SOCKET, SO_BROADCAST, 1);
	DO(send_to(fd, "198.51.100.255", port, "to-the-net"));
	say_arrival();
	peer_say("back answer");
	say_from(fd);
	DO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "e0", 3));
	DO(send_to(fd, "255.255.255.255", port, "to-all"));
	say_arrival();
}

static void broadcast_in(int family)
{
	int fd = udp(family);

	MUST(bind_to(fd, "0.0.0.0", GROUP_PORT + 1));
	peer_port("udp 4");
	peer_say("broadcast");
	settle();
	peer_say("to 198.51.100.255 %d to-the-net", GROUP_PORT + 1);
	say_from(fd);
	DO(bind_to(udp(family), "198.51.100.255", GROUP_PORT + 2));
}

const struct calls_case calls_group[] = {
	{ "group_join", group_join, CALLS_BOTH },
	{ "group_membership", group_membership, CALLS_BOTH },
	{ "group_send", group_send, CALLS_BOTH },
	{ "group_loop", group_loop, CALLS_BOTH },
	{ "broadcast_out", broadcast_out, CALLS_4 },
	{ "broadcast_in", broadcast_in, CALLS_4 },
	{ 0 },
};
