// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Datagrams: one socket for each rsockID, bound to the client's address and port. What a client
 * sends goes out with the TTL and TOS that its program chose; what peers send, and ICMP errors, go
 * to the client at once. Groups and broadcasts have sockets of their own: group.c.
 *
 * A socket begins with the first datagram (delayed creation, 4.3), or with LISTEN when the program
 * has bound a port and waits for peers; it ends with the program's.
 */
#include "udp.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"

#define BUFFER_BYTES  (1 << 20)
#define ERRORS_A_TURN 64
#define IDLE_S	      120

/* ---- from peers */

/* A client's programs have from their own kernel what they send to many: A loops it, too. */
static bool is_own(const struct sock *sock, const struct datagram *datagram)
{
	const struct client *client = sock->client;
	const struct sock *other;
	unsigned int i;

	for (i = 0; i < client->table_size; i++)
		for (other = client->table[i]; other; other = other->next)
			if (other->kind == SOCK_UDP && other->local.port == datagram->from.port &&
			    other->family == datagram->from.family &&
			    address_equal(&other->local.address, &datagram->from.address))
				return true;
	return false;
}

void udp_to_client(struct sock *sock, const struct ep_name *name, const struct datagram *datagram)
{
	struct ep_message message = { .type = EP_DATAGRAM,
				      .ttl = datagram->ttl,
				      .tos = datagram->tos,
				      .name = *name,
				      .body = datagram->bytes,
				      .body_len = datagram->len };

	if (name != &sock->local && is_own(sock, datagram))
		return;
	/* A rate is for both directions, and what is beyond it is lost, as on a link that is slow.
	 */
	if (client_allowance(sock->client, datagram->len) < datagram->len)
		return;
	policy_source(sock->client->resoad, &datagram->from, &message.other);
	sock->client->bytes_in += datagram->len;
	ep_send(sock->client->lhp, sock->id, &message);
}

/* What ICMP would have said of an error that this host's own stack found. */
static void as_icmp(struct datagram_error *error)
{
	const bool v6 = error->to.family == 6;

	error->type = v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH;
	switch (error->error) {
	case EMSGSIZE:
		error->type = v6 ? ICMP6_PACKET_TOO_BIG : ICMP_DEST_UNREACH;
		error->code = v6 ? 0 : ICMP_FRAG_NEEDED;
		break;
	case EACCES:
	case EPERM:
		error->code = v6 ? ICMP6_DST_UNREACH_ADMIN : ICMP_PKT_FILTERED;
		break;
	case ENETUNREACH:
		error->code = v6 ? ICMP6_DST_UNREACH_NOROUTE : ICMP_NET_UNREACH;
		break;
	case ECONNREFUSED:
		error->code = v6 ? ICMP6_DST_UNREACH_NOPORT : ICMP_PORT_UNREACH;
		break;
	default:
		error->code = v6 ? ICMP6_DST_UNREACH_ADDR : ICMP_HOST_UNREACH;
		break;
	}
}

static void tell_error(struct sock *sock, struct datagram_error *error)
{
	uint8_t body[sizeof(error->by) + UDP_QUOTE];
	const size_t quoted = error->len < UDP_QUOTE ? error->len : UDP_QUOTE;
	struct ep_message message = { .type = EP_ERROR,
				      .name = sock->local,
				      .error = error->error,
				      .body = body,
				      .body_len = sizeof(error->by) + quoted };

	policy_source(sock->client->resoad, &error->to, &message.other);
	if (!error->type)
		as_icmp(error);
	message.icmp_type = error->type;
	message.icmp_code = error->code;
	message.number = error->info;
	memcpy(body, &error->by, sizeof(error->by));
	if (quoted)
		memcpy(body + sizeof(error->by), error->bytes, quoted);
	ep_send(sock->client->lhp, sock->id, &message);
}

void udp_tell_errors(struct sock *sock, int fd)
{
	struct datagram_error error;
	unsigned int i;

	for (i = 0; i < ERRORS_A_TURN && !datagram_error(fd, &error); i++)
		tell_error(sock, &error);
}

static void pause_all(struct sock *sock, bool pause)
{
	struct udp *udp = sock->state;

	udp->paused = pause;
	if (pause)
		event_del(sock->event);
	else
		event_add(sock->event, NULL);
	group_pause(udp, pause);
}

bool udp_may_receive(struct sock *sock)
{
	if (lhp_room(sock->client->lhp))
		return true;
	pause_all(sock, true);
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct datagram datagram;
	struct sock *sock = arg;
	int i, rc = 0;

	(void)what;
	for (i = 0; i < DATAGRAM_TURN && !rc && udp_may_receive(sock); i++) {
		rc = datagram_receive(fd, &datagram);
		if (!rc)
			udp_to_client(sock, &sock->local, &datagram);
	}
	/* An error of an earlier datagram makes receiving fail, too. */
	if (rc)
		udp_tell_errors(sock, fd);
}

void udp_writable(struct client *client)
{
	struct sock *sock;
	unsigned int i;

	for (i = 0; i < client->table_size; i++)
		for (sock = client->table[i]; sock; sock = sock->next)
			if (sock->kind == SOCK_UDP && sock->state &&
			    ((struct udp *)sock->state)->paused)
				pause_all(sock, false);
}

/* ---- a socket's life */

/*
 * From time to time the client is asked whether it still has it: what it does not know it answers
 * with RESET. Its CLOSE may have overtaken a datagram, which made this socket again.
 */
static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct sock *sock = arg;

	(void)fd;
	(void)what;
	sock_result(sock, 0);
}

static int make_state(struct sock *sock)
{
	struct event_base *base = sock->client->resoad->base;
	const struct timeval idle = { .tv_sec = IDLE_S };
	struct udp *udp = calloc(1, sizeof(*udp));

	if (!udp)
		return -ENOMEM;
	sock->state = udp;
	sock->kind = SOCK_UDP;
	udp->ifindex = group_interface(&sock->local);
	udp->idle = event_new(base, -1, EV_PERSIST, on_idle, sock);
	sock->event = event_new(base, sock->fd, EV_READ | EV_PERSIST, on_readable, sock);
	if (!udp->idle || !sock->event)
		return -ENOMEM;
	event_add(udp->idle, &idle);
	event_add(sock->event, NULL);
	return 0;
}

static int prepare(struct sock *sock)
{
	const int one = 1, bytes = BUFFER_BYTES;

	/* Whether a broadcast was allowed is what the program's own kernel has decided. */
	setsockopt(sock->fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	setsockopt(sock->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(sock->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return datagram_prepare(sock->fd, sock->family, false);
}

void udp_end(struct sock *sock)
{
	struct udp *udp = sock->state;

	if (!udp)
		return;
	group_end(udp);
	if (udp->idle)
		event_free(udp->idle);
	if (sock->event)
		event_free(sock->event);
	sock->event = NULL;
	sock->state = NULL;
	free(udp);
}

static int bind_local(struct sock *sock)
{
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(&sock->local, &address);
	const int one = 1;

	if (sock->family == 6)
		setsockopt(sock->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return bind(sock->fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

/* What BIND has reserved, or a new one. */
static int make_socket(struct sock *sock)
{
	int fd = bind_socket(sock->client, &sock->local), rc;

	if (fd >= 0) {
		sock_set_fd(sock, fd);
		return 0;
	}
	fd = socket(sock->family == 6 ? AF_INET6 : AF_INET,
		    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	sock_set_fd(sock, fd);
	rc = bind_local(sock);
	return rc;
}

static int make(struct sock *sock, const struct ep_name *wanted)
{
	int rc = policy_local(sock->client, wanted, &sock->local);

	if (rc)
		return rc;
	sock->family = sock->local.family;
	sock->proto = sock->local.proto = IPPROTO_UDP;
	rc = port_take(sock->client, &sock->local);
	if (rc)
		return rc;
	sock->has_port = true;
	rc = make_socket(sock);
	if (!rc)
		rc = prepare(sock);
	return rc ? rc : make_state(sock);
}

/* ---- from the client */

static void refuse(struct sock *sock, const struct ep_message *message, int error)
{
	struct datagram_error refused = { .to = message->other,
					  .by = sock->local.address,
					  .error = error,
					  .bytes = message->body,
					  .len = message->body_len };

	tell_error(sock, &refused);
}

/* A socket with an error of an earlier datagram would refuse this one for it. */
static int send_on(struct sock *sock, int fd, const struct datagram *datagram)
{
	const struct iovec part = { (void *)datagram->bytes, datagram->len };
	int rc = datagram_send(fd, datagram, &part, 1);

	if (!rc || rc == -EAGAIN || rc == -ENOBUFS)
		return 0;
	udp_tell_errors(sock, fd);
	rc = datagram_send(fd, datagram, &part, 1);
	if (rc != -EMSGSIZE)
		return rc == -EAGAIN || rc == -ENOBUFS ? 0 : rc;
	/* The stack has told of it in the queue, with the MTU. */
	udp_tell_errors(sock, fd);
	return 0;
}

static bool is_link_local(const struct ep_name *name)
{
	return name->family == 6 && name->address.b[0] == 0xfe &&
	       (name->address.b[1] & 0xc0) == 0x80;
}

static int socket_for(struct sock *sock, const struct ep_name *to, struct datagram *datagram)
{
	const struct udp *udp = sock->state;

	policy_destination(sock->client->resoad, to, &datagram->to);
	if (!ep_name_equal(to, &datagram->to))
		return group_resolver(sock, &datagram->to);
	/* The client knows no devices of this host: that of its address is meant. */
	if (ep_name_is_many(to) || is_link_local(to))
		datagram->ifindex = to->scope ? to->scope : udp->ifindex;
	datagram->to.scope = datagram->ifindex;
	return sock->fd;
}

static void send_datagram(struct sock *sock, const struct ep_message *message)
{
	struct datagram datagram = { .ttl = message->ttl,
				     .tos = message->tos,
				     .bytes = message->body,
				     .len = message->body_len };
	struct client *client = sock->client;
	int fd;

	if (!policy_allows(client->conf, IPPROTO_UDP, &message->other) || client_is_spent(client)) {
		client->refused++;
		refuse(sock, message, EACCES);
		return;
	}
	if (client_allowance(client, message->body_len) < message->body_len)
		return;
	fd = socket_for(sock, &message->other, &datagram);
	if (fd >= 0)
		fd = send_on(sock, fd, &datagram);
	if (fd < 0)
		refuse(sock, message, -fd);
	else
		client->bytes_out += message->body_len;
}

/* False: it has ended, or cannot be. */
static bool is_ready(struct sock *sock, const struct ep_name *local)
{
	int rc;

	if (sock->state)
		return sock->kind == SOCK_UDP;
	rc = sock->fd < 0 ? make(sock, local) : -EINVAL;
	if (!rc)
		return true;
	sock_end(sock, -rc);
	return false;
}

void udp_message(struct sock *sock, const struct ep_message *message)
{
	switch (message->type) {
	case EP_LISTEN:
		if (!is_ready(sock, &message->name))
			break;
		if (ep_name_is_any(&message->name))
			group_broadcasts(sock);
		sock_result(sock, 0);
		break;
	case EP_DATAGRAM:
		if (is_ready(sock, &message->name) && message->other.family == sock->family)
			send_datagram(sock, message);
		break;
	case EP_GROUP:
		if (sock->state)
			group_message(sock, message);
		break;
	case EP_CLOSE:
	case EP_RESET:
		sock_end(sock, -1);
		break;
	}
}
