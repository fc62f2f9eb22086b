// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * BIND: a program's socket has a port before it connects or listens. The port is really bound here,
 * with the program's SO_REUSEADDR, so that EADDRINUSE is true also against programs of the server
 * and what they have left; the first CONNECT or LISTEN of that name goes on with this socket.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "../lib/datagram.h"
#include "resoad.h"

static int bind_here(struct sock *sock)
{
	const int one = 1;
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(&sock->local, &address);
	int type = sock->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(sock->family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	if (fd < 0)
		return -errno;
	sock_set_fd(sock, fd);
	if (sock->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		return -errno;
	/* Its own connections of this port, which may end later here, are its kernel's to judge. */
	if (sock->proto == IPPROTO_TCP)
		return bind_fd(sock->client, fd, &sock->local);
	return bind(fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

static int take(struct sock *sock, const struct ep_message *message)
{
	int err = policy_local(sock->client, &message->name, &sock->local);

	/* All addresses of a family that has none: nobody can have the port of them either. */
	if (err == -EAFNOSUPPORT && ep_name_is_any(&message->name)) {
		sock->local = message->name;
		return 0;
	}
	if (err)
		return err;
	sock->family = sock->local.family;
	sock->proto = sock->local.proto;
	if (sock->proto != IPPROTO_TCP && sock->proto != IPPROTO_UDP)
		return -EPROTONOSUPPORT;
	err = port_take(sock->client, &sock->local);
	if (err)
		return err;
	sock->has_port = true;
	/* Conflicts within a client are its own kernel's to find. */
	if (port_count(sock->client, &sock->local) > 1)
		return 0;
	err = bind_here(sock);
	if (!err)
		port_set_bound(sock->client, &sock->local, sock);
	return err;
}

void bind_message(struct sock *sock, const struct ep_message *message)
{
	int err;

	if (sock->kind != SOCK_NEW || sock->state) {
		client_end(sock->client, "it binds a socket that does something else");
		return;
	}
	err = take(sock, message);
	if (err && !sock->local.family)
		sock->local = message->name;
	sock_result(sock, -err);
	if (err)
		sock_end(sock, -1);
	else
		sock->kind = SOCK_BOUND;
}

struct sharing {
	const struct ep_name *name;
	bool found;
};

static void share_fd(int fd)
{
	const int one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
}

static void share(struct sock *sock, void *arg)
{
	struct sharing *sharing = arg;
	const struct ep_name *name = sharing->name;

	if (sock->proto != IPPROTO_TCP || sock->local.port != name->port || sock->fd < 0)
		return;
	sharing->found = true;
	share_fd(sock->fd);
	if (sock->kind == SOCK_LISTENER)
		share_fd(listen_second_fd(sock));
}

/* ---- a client's sockets are gone through once for a port, not with each conflict */

void bind_count(struct sock *sock)
{
	struct client *client = sock->client;

	if (sock->proto != IPPROTO_TCP || !sock->local.port)
		return;
	if (!client->ports)
		client->ports = calloc(UINT16_MAX + 1, sizeof(*client->ports));
	if (client->ports)
		sock->counted = &client->ports[sock->local.port];
	if (sock->counted)
		sock->counted->sockets++;
}

void bind_uncount(struct sock *sock)
{
	if (sock->counted && !--sock->counted->sockets)
		sock->counted->shared = false;
	sock->counted = NULL;
}

static bool is_shared(const struct client *client, __be16 port)
{
	return client->ports && client->ports[port].shared;
}

/* False: none of its other sockets has it. */
static bool share_port(struct client *client, const struct ep_name *name)
{
	struct sharing sharing = { .name = name };

	if (!client->ports || client->ports[name->port].sockets < 2)
		return false;
	client_each_sock(client, share, &sharing);
	client->ports[name->port].shared = sharing.found;
	return sharing.found;
}

int bind_fd(struct client *client, int fd, const struct ep_name *name)
{
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(name, &address);
	bool shared = is_shared(client, name->port);

	if (shared)
		share_fd(fd);
	if (!bind(fd, (struct sockaddr *)&address, len))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (shared || !share_port(client, name))
		return -EADDRINUSE;
	share_fd(fd);
	return bind(fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

int bind_socket(struct client *client, const struct ep_name *name)
{
	struct sock *sock = port_bound(client, name);

	if (!sock || sock->fd < 0)
		return -1;
	port_set_bound(client, name, NULL);
	return sock_give_fd(sock);
}

void bind_end(struct sock *sock)
{
	if (port_bound(sock->client, &sock->local) == sock)
		port_set_bound(sock->client, &sock->local, NULL);
}
