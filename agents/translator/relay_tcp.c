// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * TCP through this process: a listener for each side; one connection each, from the probed address;
 * then bytes both ways. A FIN is passed on after the bytes before it, an abort as RST.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "relay.h"

#define BACKLOG	     16
#define READS_A_CALL 4 /* then other sessions have their turn */

static void hold(struct relay_side *from, const uint8_t *bytes, size_t len)
{
	if (!from->held)
		from->held = malloc(RELAY_BUFFER);
	if (!from->held)
		return;
	memcpy(from->held, bytes, len);
	from->held_at = 0;
	from->held_len = len;
}

enum flow { FLOW_BLOCKED, FLOW_MORE, FLOW_BROKEN };

/* Until all of `held` is written, nothing more is read from this side. */
static enum flow write_held(struct relay_side *from, struct relay_side *to)
{
	while (from->held_len) {
		ssize_t len = send(to->fd, from->held + from->held_at, from->held_len,
				   MSG_NOSIGNAL | MSG_DONTWAIT);

		if (len < 0)
			return errno == EAGAIN ? FLOW_BLOCKED : FLOW_BROKEN;
		from->held_at += len;
		from->held_len -= len;
	}
	return FLOW_MORE;
}

static enum flow pass_on(struct relay_side *from, struct relay_side *to, const uint8_t *bytes,
			 size_t len)
{
	ssize_t sent = send(to->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && errno != EAGAIN)
		return FLOW_BROKEN;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent == len)
		return FLOW_MORE;
	hold(from, bytes + sent, len - sent);
	return from->held ? FLOW_BLOCKED : FLOW_BROKEN;
}

static enum flow pass_fin(struct relay_side *from, struct relay_side *to)
{
	if (from->eof && !from->held_len && !from->shut) {
		if (shutdown(to->fd, SHUT_WR))
			return FLOW_BROKEN;
		from->shut = true;
	}
	return FLOW_BLOCKED;
}

/* Moves what `from` has sent, as far as `to` takes it. */
static enum flow pump(struct relay_session *r, int index)
{
	struct relay_side *from = &r->side[index], *to = &r->side[!index];
	uint8_t *buffer = relay_of(r)->buffer;
	enum flow flow = write_held(from, to);

	for (int i = 0; flow == FLOW_MORE && !from->eof && i < READS_A_CALL; i++) {
		ssize_t len = recv(from->fd, buffer, RELAY_BUFFER, MSG_DONTWAIT);

		if (len < 0)
			return errno == EAGAIN ? FLOW_MORE : FLOW_BROKEN;
		if (len == 0) {
			from->eof = true;
			break;
		}
		r->traffic.packets[index]++; /* reads: this engine sees no packets */
		r->traffic.bytes[index] += len;
		flow = pass_on(from, to, buffer, len);
	}
	if (flow == FLOW_BROKEN || pass_fin(from, to) == FLOW_BROKEN)
		return FLOW_BROKEN;
	return flow;
}

static void run_flow(struct relay_session *r, int index)
{
	struct relay_side *from = &r->side[index], *to = &r->side[!index];
	enum flow flow = pump(r, index);

	r->seen_ns = now_ns();
	if (flow == FLOW_BROKEN) {
		rendezvous_end(r->session->translator, r->session, END_RESET);
		return;
	}
	if (from->shut && to->shut) {
		rendezvous_end(r->session->translator, r->session, END_DONE);
		return;
	}
	if (flow == FLOW_BLOCKED)
		event_add(to->write_event, NULL);
	if (flow == FLOW_BLOCKED || from->eof)
		event_del(from->read_event);
	else
		event_add(from->read_event, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct relay_side *side = arg;

	(void)fd;
	(void)what;
	run_flow(side->relay, side->index);
}

/* This side takes bytes again: the other's flow goes on. */
static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct relay_side *side = arg;

	(void)fd;
	(void)what;
	run_flow(side->relay, !side->index);
}

static int start_flows(struct relay_session *r)
{
	for (int i = 0; i < 2; i++) {
		struct relay_side *side = &r->side[i];

		event_free(side->listen_event);
		close(side->listener);
		side->listen_event = NULL;
		side->listener = -1;
		side->read_event =
			event_new(relay_base(r), side->fd, EV_READ | EV_PERSIST, on_readable, side);
		side->write_event = event_new(relay_base(r), side->fd, EV_WRITE, on_writable, side);
		if (!side->read_event || !side->write_event || event_add(side->read_event, NULL))
			return -ENOMEM;
	}
	return 0;
}

/* A connection of the announced host, or a reason to refuse it. */
static enum splice_reason admit(const struct relay_side *side, const struct isthmus_addr *from)
{
	const struct session *s = side->relay->session;

	if (!s->side[side->index].probed)
		return SPLICE_UNANNOUNCED;
	if (!address_equal(&s->side[side->index].remote, from))
		return SPLICE_WRONG_SOURCE;
	return side->fd < 0 ? SPLICE_JOINED : SPLICE_SIDE_TAKEN;
}

static void take(struct relay_side *side, int fd)
{
	struct relay_session *r = side->relay;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	side->fd = fd;
	if (r->side[!side->index].fd < 0)
		return;
	if (start_flows(r))
		rendezvous_end(r->session->translator, r->session, END_RESET);
	else
		relay_joined(r);
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct relay_side *side = arg;
	struct session *s = side->relay->session;
	struct linger linger = { 1, 0 };
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	enum splice_reason reason = SPLICE_MALFORMED;
	struct isthmus_addr from;
	uint16_t port;
	int fd = accept4(listener, (struct sockaddr *)&storage, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!address_from_sockaddr((struct sockaddr *)&storage, &from, &port))
		reason = admit(side, &from);
	if (reason == SPLICE_JOINED) {
		take(side, fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	rendezvous_refused(s->translator, s, reason);
}

int relay_tcp_open(struct relay_session *r, int index)
{
	struct relay_side *side = &r->side[index];
	int fd = relay_bind(r->session, index, SOCK_STREAM);

	if (fd < 0)
		return fd;
	side->listener = fd;
	if (listen(fd, BACKLOG))
		return -errno;
	side->listen_event =
		event_new(relay_base(r), fd, EV_READ | EV_PERSIST, on_connection, side);
	if (!side->listen_event || event_add(side->listen_event, NULL))
		return -ENOMEM;
	return 0;
}
