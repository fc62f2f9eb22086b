// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What goes to many: a socket for each group that a program has joined, bound to the group and the
 * program's port, so that it has no other's datagrams; and two for broadcasts, where the program
 * has bound any address. The device is that of the client's address.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "udp.h"

/* ---- devices */

static const struct ifaddrs *find_address(const struct ifaddrs *list, const struct ep_name *local)
{
	struct isthmus_addr address;
	__be16 port;

	for (; list; list = list->ifa_next)
		if (list->ifa_addr && !address_from_sockaddr(list->ifa_addr, &address, &port) &&
		    address_equal(&address, &local->address))
			return list;
	return NULL;
}

unsigned int group_interface(const struct ep_name *local)
{
	const struct ifaddrs *found;
	unsigned int ifindex = 0;
	struct ifaddrs *list;

	if (getifaddrs(&list))
		return 0;
	found = find_address(list, local);
	if (found)
		ifindex = if_nametoindex(found->ifa_name);
	freeifaddrs(list);
	return ifindex;
}

/* By its prefix, for that is what the kernel goes by. False: there is none. */
static bool subnet_broadcast(const struct ep_name *local, struct ep_name *broadcast)
{
	const struct ifaddrs *found;
	struct ifaddrs *list;
	uint32_t mask = ~0u;

	if (getifaddrs(&list))
		return false;
	found = find_address(list, local);
	if (found && found->ifa_netmask && found->ifa_flags & IFF_BROADCAST)
		mask = ((const struct sockaddr_in *)found->ifa_netmask)->sin_addr.s_addr;
	freeifaddrs(list);
	*broadcast = *local;
	for (int i = 0; i < 4; i++)
		broadcast->address.b[12 + i] |= (uint8_t) ~((const uint8_t *)&mask)[i];
	return !ep_name_equal(broadcast, local) && ntohl(mask) < 0xfffffffe;
}

/* ---- extras */

/* Connected: answers of the name server, which are for the socket itself. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_extra *extra = arg;
	struct sock *sock = extra->sock;
	const struct ep_name *name = extra->members ? &extra->name : &sock->local;
	struct datagram datagram;
	int i, rc = 0;

	(void)what;
	for (i = 0; i < DATAGRAM_TURN && !rc && udp_may_receive(sock); i++) {
		rc = datagram_receive(fd, &datagram);
		if (!rc)
			udp_to_client(sock, name, &datagram);
	}
	if (rc)
		udp_tell_errors(sock, fd);
}

static void free_extra(struct udp *udp, struct udp_extra *extra)
{
	struct udp_extra **at = &udp->extras;

	while (*at && *at != extra)
		at = &(*at)->next;
	if (*at) {
		*at = extra->next;
		udp->extra_count--;
	}
	if (extra->event)
		event_free(extra->event);
	if (extra->fd >= 0)
		close(extra->fd);
	free(extra);
}

static struct udp_extra *find_extra(const struct udp *udp, const struct ep_name *name)
{
	struct udp_extra *extra = udp->extras;

	while (extra && !ep_name_equal(&extra->name, name))
		extra = extra->next;
	return extra;
}

/* Others on this host may have the same group and port. */
static int open_socket(const struct ep_name *name)
{
	const int one = 1;
	int rc, fd = socket(name->family == 6 ? AF_INET6 : AF_INET,
			    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	rc = datagram_prepare(fd, name->family, false);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* NULL and *error, a negative errno. */
static struct udp_extra *make_extra(struct sock *sock, const struct ep_name *name, int *error)
{
	struct event_base *base = sock->client->resoad->base;
	struct udp *udp = sock->state;
	struct udp_extra *extra;

	*error = -ENOBUFS;
	if (udp->extra_count >= UDP_EXTRAS)
		return NULL;
	*error = -ENOMEM;
	extra = calloc(1, sizeof(*extra));
	if (!extra)
		return NULL;
	extra->sock = sock;
	extra->name = *name;
	extra->next = udp->extras;
	udp->extras = extra;
	udp->extra_count++;
	extra->fd = open_socket(name);
	*error = extra->fd < 0 ? extra->fd : 0;
	if (!*error)
		extra->event = event_new(base, extra->fd, EV_READ | EV_PERSIST, on_readable, extra);
	if (extra->event && !event_add(extra->event, NULL))
		return extra;
	free_extra(udp, extra);
	*error = *error ? *error : -ENOMEM;
	return NULL;
}

static int bind_extra(const struct udp_extra *extra, unsigned int ifindex)
{
	struct sockaddr_storage address;
	struct ep_name name = extra->name;
	socklen_t len;

	if (name.family == 6 && !name.scope)
		name.scope = ifindex;
	len = ep_to_sockaddr(&name, &address);
	return bind(extra->fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

static struct udp_extra *bound_extra(struct sock *sock, const struct ep_name *name)
{
	struct udp *udp = sock->state;
	struct udp_extra *extra = find_extra(udp, name);
	int error;

	if (extra)
		return extra;
	extra = make_extra(sock, name, &error);
	if (!extra || !bind_extra(extra, udp->ifindex))
		return extra;
	free_extra(udp, extra);
	return NULL;
}

/* ---- groups */

/* MCAST_* are the same for both families. */
static int change(int fd, const struct ep_message *message, unsigned int ifindex)
{
	const int level = message->name.family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
	const bool join = message->number, source = message->other.family;
	struct group_source_req request = { .gsr_interface = ifindex };
	struct group_req group = { .gr_interface = ifindex };
	const void *value = source ? (void *)&request : (void *)&group;
	int option;

	ep_to_sockaddr(&message->name, &group.gr_group);
	ep_to_sockaddr(&message->name, &request.gsr_group);
	ep_to_sockaddr(&message->other, &request.gsr_source);
	if (source)
		option = join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP;
	else
		option = join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP;
	return setsockopt(fd, level, option, value, source ? sizeof(request) : sizeof(group))
		       ? -errno
		       : 0;
}

static void join(struct sock *sock, const struct ep_message *message, unsigned int ifindex)
{
	struct udp_extra *extra;
	int rc;

	if (!policy_allows(sock->client->conf, IPPROTO_UDP, &message->name)) {
		sock->client->refused++;
		return;
	}
	extra = bound_extra(sock, &message->name);
	if (!extra)
		return;
	rc = change(extra->fd, message, ifindex);
	/* Another socket of the same port has joined before: it is one here. */
	if (!rc || rc == -EADDRINUSE)
		extra->members++;
	else if (!extra->members)
		free_extra(sock->state, extra);
}

static void leave(struct sock *sock, const struct ep_message *message, unsigned int ifindex)
{
	struct udp_extra *extra = find_extra(sock->state, &message->name);

	if (!extra || !extra->members)
		return;
	if (!--extra->members)
		free_extra(sock->state, extra);
	else if (message->other.family)
		change(extra->fd, message, ifindex);
}

void group_message(struct sock *sock, const struct ep_message *message)
{
	const struct udp *udp = sock->state;
	struct ep_message group = *message;
	const unsigned int ifindex = message->id ? message->id : udp->ifindex;

	if (group.name.family != sock->family || !ep_name_is_many(&group.name))
		return;
	group.name.proto = IPPROTO_UDP;
	group.name.port = sock->local.port;
	if (message->number)
		join(sock, &group, ifindex);
	else
		leave(sock, &group, ifindex);
}

/* ---- broadcasts, the name server */

void group_broadcasts(struct sock *sock)
{
	struct ep_name names[2] = { { .family = 4 }, { .family = 4 } };
	struct udp_extra *extra;
	unsigned int i, count = 1;

	if (sock->family != 4)
		return;
	names[0].address = (struct isthmus_addr){ .b = { [10] = 0xff, 0xff, 255, 255, 255, 255 } };
	if (subnet_broadcast(&sock->local, &names[1]))
		count++;
	for (i = 0; i < count; i++) {
		names[i].proto = IPPROTO_UDP;
		names[i].port = sock->local.port;
		extra = bound_extra(sock, &names[i]);
		if (extra)
			extra->members = 1;
	}
}

/* A name server on loopback answers loopback addresses only. */
int group_resolver(struct sock *sock, const struct ep_name *server)
{
	struct sockaddr_storage address;
	struct udp *udp = sock->state;
	struct udp_extra *extra = find_extra(udp, server);
	socklen_t len = ep_to_sockaddr(server, &address);
	int error;

	if (extra)
		return extra->fd;
	extra = make_extra(sock, server, &error);
	if (!extra)
		return error;
	if (!connect(extra->fd, (struct sockaddr *)&address, len))
		return extra->fd;
	error = -errno;
	free_extra(udp, extra);
	return error;
}

void group_pause(struct udp *udp, bool pause)
{
	struct udp_extra *extra;

	for (extra = udp->extras; extra; extra = extra->next)
		if (pause)
			event_del(extra->event);
		else
			event_add(extra->event, NULL);
}

void group_end(struct udp *udp)
{
	while (udp->extras)
		free_extra(udp, udp->extras);
}
