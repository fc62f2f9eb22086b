// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "address.h"
#include "tunnel_socket.h"

#define PACKETS_A_CALL 256
#define RECEIVE_BYTES  (1 << 20)

static socklen_t to_sockaddr(const struct tunnel_socket *end, const struct isthmus_addr *address,
			     __be16 port, struct sockaddr_storage *storage)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	if (!end->mapped)
		return address_to_sockaddr(address, port, storage);
	memset(storage, 0, sizeof(*storage));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = port;
	memcpy(&in6->sin6_addr, address->b, 16);
	return sizeof(*in6);
}

static void from_sockaddr(const struct tunnel_socket *end, const struct sockaddr_storage *storage,
			  struct tunnel_place *place)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
	uint16_t port;

	if (end->mapped) {
		memcpy(place->address.b, &in6->sin6_addr, 16);
		place->port = in6->sin6_port;
		return;
	}
	address_from_sockaddr((const struct sockaddr *)storage, &place->address, &port);
	place->port = port;
}

static void on_packet(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel_socket *end = arg;

	(void)what;
	for (int i = 0; i < PACKETS_A_CALL; i++) {
		uint8_t bytes[TUNNEL_CONTROL_BYTES + 1];
		struct sockaddr_storage from = { 0 };
		socklen_t from_len = sizeof(from);
		struct tunnel_place place = { 0 };
		ssize_t len = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC,
				       (struct sockaddr *)&from, &from_len);

		if (len < 0)
			return;
		if ((size_t)len > sizeof(bytes))
			continue;
		from_sockaddr(end, &from, &place);
		end->control(&place, bytes, (size_t)len, end->arg);
	}
}

/* Both families at once, or IPv4 on a system without IPv6. */
static int open_any(struct tunnel_socket *end)
{
	int no = 0;

	end->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (end->fd >= 0 && !setsockopt(end->fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no))) {
		end->mapped = true;
		return 0;
	}
	if (end->fd >= 0)
		close(end->fd);
	address_parse("0.0.0.0", &end->from);
	end->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return end->fd < 0 ? -errno : 0;
}

static int open_one(struct tunnel_socket *end)
{
	int yes = 1;
	bool v4 = address_is_v4(&end->from);

	end->fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (end->fd < 0)
		return -errno;
	if (!v4 && setsockopt(end->fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)))
		return -errno;
	return 0;
}

int tunnel_socket_open(struct tunnel_socket *end, struct event_base *base,
		       const struct isthmus_addr *from, __be16 port, tunnel_control control,
		       void *arg)
{
	struct sockaddr_storage storage;
	int bytes = RECEIVE_BYTES, err;
	socklen_t len;

	end->control = control;
	end->arg = arg;
	if (from)
		end->from = *from;
	err = from ? open_one(end) : open_any(end);
	if (err)
		return err;
	setsockopt(end->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	len = to_sockaddr(end, &end->from, port, &storage);
	if (bind(end->fd, (struct sockaddr *)&storage, len))
		return -errno;
	end->readable = event_new(base, end->fd, EV_READ | EV_PERSIST, on_packet, end);
	return end->readable && !event_add(end->readable, NULL) ? 0 : -ENOMEM;
}

void tunnel_socket_close(struct tunnel_socket *end)
{
	if (end->readable)
		event_free(end->readable);
	if (end->fd >= 0)
		close(end->fd);
	end->readable = NULL;
	end->fd = -1;
}

int tunnel_socket_send(const struct tunnel_socket *end, const struct tunnel_place *to,
		       const uint8_t bytes[TUNNEL_CONTROL_BYTES])
{
	struct sockaddr_storage storage;
	socklen_t len;

	if (end->fd < 0 ||
	    (!end->mapped && address_is_v4(&end->from) != address_is_v4(&to->address)))
		return -EAFNOSUPPORT;
	len = to_sockaddr(end, &to->address, to->port, &storage);
	if (sendto(end->fd, bytes, TUNNEL_CONTROL_BYTES, MSG_DONTWAIT, (struct sockaddr *)&storage,
		   len) < 0)
		return -errno;
	return 0;
}
