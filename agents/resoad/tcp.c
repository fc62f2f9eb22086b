// SPDX-License-Identifier: GPL-3.0-or-later
/* A connection's begin and end, and its messages: see tcp.h. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcp.h"

#define CLOSE_S 60 /* what is queued after CLOSE has so long without progress */

static struct tcp *tcp_new(struct sock *sock)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return NULL;
	tcp->sock = sock;
	sock->state = tcp;
	return tcp;
}

void tcp_end(struct sock *sock)
{
	struct tcp *tcp = sock->state;

	if (!tcp)
		return;
	tcp_in_end(tcp);
	tcp_out_end(tcp);
	free(tcp);
	sock->state = NULL;
}

bool tcp_is_done(const struct sock *sock)
{
	const struct tcp *tcp = sock->state;

	if (sock->kind != SOCK_CONNECTED)
		return sock->kind == SOCK_UDP || sock->kind == SOCK_LISTENER;
	return tcp->closing || (tcp->fin_sent && tcp->fin_done && !tcp->first);
}

void tcp_finish(struct tcp *tcp)
{
	struct sock *sock = tcp->sock;

	tcp_in_take_all(tcp);
	sock_end(sock, -1);
}

/* ---- connecting */

/* RESULT with an error is the end of an rsockID. */
static void fail(struct sock *sock, int error)
{
	sock_result(sock, error);
	sock_end(sock, -1);
}

static int get_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
}

/* To a name server on the server's own loopback: its name here is not what the client sees. */
static bool is_elsewhere(const struct sock *sock, struct ep_name *real)
{
	policy_destination(sock->client->resoad, &sock->remote, real);
	return !ep_name_equal(real, &sock->remote);
}

static void read_local(struct sock *sock)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ep_name name;

	if (is_elsewhere(sock, &name))
		return;
	if (!getsockname(sock->fd, (struct sockaddr *)&address, &len) &&
	    !ep_from_sockaddr((struct sockaddr *)&address, len, IPPROTO_TCP, false, &name))
		sock->local = name;
}

static void on_connected(struct sock *sock)
{
	int error = get_error(sock->fd);

	if (!error) {
		read_local(sock);
		error = -tcp_start(sock);
	}
	if (error) {
		fail(sock, error);
		return;
	}
	sock_result(sock, 0);
	tcp_out_credit(sock->state, true);
	tcp_out_flush(sock->state);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct sock *sock = arg;
	struct tcp *tcp = sock->state;
	struct client *client = sock->client;
	uint32_t id = sock->id;

	(void)fd;
	if (sock->kind == SOCK_CONNECTING) {
		if (what & EV_WRITE)
			on_connected(sock);
		return;
	}
	if (what & EV_TIMEOUT) {
		sock_abort(sock);
		sock_end(sock, -1);
		return;
	}
	if (what & EV_WRITE && !tcp->writable) {
		tcp->writable = true;
		tcp_out_flush(tcp);
		if (sock_find(client, id) != sock)
			return;
	}
	if (what & (EV_READ | EV_CLOSED) && !tcp->closing) {
		tcp->readable = true;
		tcp->hung_up |= what & EV_CLOSED;
		tcp_in_ready(tcp);
	}
}

static int watch(struct sock *sock)
{
	short what = EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST;

	sock->event = event_new(sock->client->resoad->base, sock->fd, what, on_event, sock);
	return sock->event && !event_add(sock->event, NULL) ? 0 : -ENOMEM;
}

/*
 * The port is the one that the client's socket has, so that both have one name. SO_REUSEADDR is
 * ours: without it a second connection from one port, to another peer, could not be bound to it;
 * whether the program may do that its own kernel has decided.
 */
static int bind_local(const struct sock *sock)
{
	const int one = 1;

	if (setsockopt(sock->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	return bind_fd(sock->client, sock->fd, &sock->local);
}

static int make_socket(struct sock *sock, const struct ep_name *real)
{
	struct fin *fin = sock->client->resoad->fin;
	bool elsewhere = !ep_name_equal(real, &sock->remote);
	int fd = elsewhere ? -1 : bind_socket(sock->client, &sock->local);
	bool bound = fd >= 0;

	if (!bound)
		fd = socket(real->family == 4 ? AF_INET : AF_INET6,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	sock_set_fd(sock, fd);
	if (fin)
		fin_arm(fin, fd, false);
	return bound || elsewhere ? 0 : bind_local(sock);
}

static int start_connect(struct sock *sock)
{
	struct sockaddr_storage address;
	struct ep_name real;
	socklen_t len;
	int err;

	is_elsewhere(sock, &real);
	err = make_socket(sock, &real);
	if (err)
		return err;
	len = ep_to_sockaddr(&real, &address);
	if (connect(sock->fd, (struct sockaddr *)&address, len) && errno != EINPROGRESS)
		return -errno;
	sock->kind = SOCK_CONNECTING;
	return tcp_new(sock) ? watch(sock) : -ENOMEM;
}

/* What only this client has needs no entry: of a block and an address of its own. */
static int take_port(struct sock *sock)
{
	int err;

	if (!sock->local.port || port_is_leased(sock->client, &sock->local))
		return 0;
	err = port_take(sock->client, &sock->local);
	sock->has_port = !err;
	return err;
}

void tcp_connect(struct sock *sock, const struct ep_message *message)
{
	int err;

	if (sock->kind != SOCK_NEW || sock->state) {
		client_end(sock->client, "it connects a socket twice");
		return;
	}
	sock->proto = IPPROTO_TCP;
	sock->remote = message->other;
	sock->local = message->name;
	sock->family = message->other.family;
	err = policy_local(sock->client, &message->name, &sock->local);
	if (!err && sock->local.family != sock->family)
		err = -EAFNOSUPPORT;
	if (!err && (!policy_allows(sock->client->conf, IPPROTO_TCP, &message->other) ||
		     client_is_spent(sock->client)))
		err = -EACCES;
	if (!err)
		err = take_port(sock);
	if (!err)
		err = start_connect(sock);
	if (err)
		fail(sock, -err);
}

/* ---- connected */

int tcp_start(struct sock *sock)
{
	struct tcp *tcp = sock->state ? sock->state : tcp_new(sock);
	int err = tcp ? tcp_in_start(tcp) : -ENOMEM;

	if (err)
		return err;
	tcp->writable = true;
	sock->kind = SOCK_CONNECTED;
	return sock->event ? 0 : watch(sock);
}

int tcp_incoming(struct sock *sock)
{
	return tcp_new(sock) ? 0 : -ENOMEM;
}

static void on_accepted(struct sock *sock)
{
	int err;

	if (sock->kind != SOCK_NEW || sock->fd < 0)
		return;
	err = tcp_start(sock);
	if (err) {
		sock_end(sock, -err);
		return;
	}
	tcp_out_credit(sock->state, true);
	tcp_in_ready(sock->state);
}

static void on_close(struct sock *sock)
{
	const struct timeval limit = { .tv_sec = CLOSE_S };
	struct tcp *tcp = sock->state;

	tcp->closing = tcp->fin_wanted = true;
	tcp_in_end(tcp);
	event_add(sock->event, &limit);
	tcp_out_flush(tcp);
}

static void on_delivered(struct sock *sock, const struct ep_message *message)
{
	const struct tcp *tcp = sock->state;
	struct fin *fin = sock->client->resoad->fin;

	if (fin && tcp->fin_known && message->number >= tcp->fin_at)
		fin_open(fin, sock);
}

void tcp_message(struct sock *sock, const struct ep_message *message)
{
	struct tcp *tcp = sock->state;

	if (message->type == EP_ACCEPTED) {
		on_accepted(sock);
		return;
	}
	if ((sock->kind != SOCK_CONNECTED && sock->kind != SOCK_CONNECTING) || tcp->closing)
		return;
	switch ((enum ep_type)message->type) {
	case EP_DATA:
	case EP_URGENT:
		tcp_out_data(tcp, message);
		break;
	case EP_FIN:
		tcp_out_fin(tcp);
		break;
	case EP_CREDIT:
		tcp_in_credit(tcp, message);
		break;
	case EP_DELIVERED:
		on_delivered(sock, message);
		break;
	case EP_CLOSE:
		on_close(sock);
		break;
	case EP_RESET:
		sock_abort(sock);
		sock_end(sock, -1);
		break;
	default:
		client_end(sock->client, "a message that no connection has");
	}
}

void tcp_figures(const struct sock *sock, json_t *object)
{
	const struct tcp *tcp = sock->state;

	json_object_update_new(object,
			       json_pack("{s:I, s:I, s:I, s:I, s:b}", "in", (json_int_t)tcp->sent,
					 "taken", (json_int_t)tcp->taken, "credit",
					 (json_int_t)(tcp->credit - tcp->sent), "out",
					 (json_int_t)tcp->put, "plain", (int)tcp->plain));
}
