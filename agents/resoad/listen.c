// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Listeners: a peer's connection is accepted here and told to the client (INCOMING), whose daemon
 * connects to the program's listener; if that fails the peer gets RST. Before, the client was asked
 * (knock.c), so it does not fail as a rule.
 *
 * A program that listens at `::` takes IPv4, too; here it has one socket for each of its addresses,
 * for a socket at `::` would listen at those of other clients.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcp.h"

#define ACCEPTS 64  /* with one event */
#define FULL_MS 100 /* until accept() is tried again */
#define PASSING 128 /* connections that wait to be accepted here, at least */

struct listener {
	struct sock *sock;
	int fd[2]; /* the second for IPv4 at `::`, or -1; the first is the sock's */
	struct event *event[2];
	struct ep_name second; /* its name, with its port taken */
	uint64_t cookie;       /* of the second socket */
	int backlog;	       /* the program's */
	bool paused;	       /* no socket more: the client's limit, or the daemon's */
	struct listener *next_paused;
	struct listener *next_double;
};

static void fail(struct sock *sock, int error)
{
	sock_result(sock, error);
	sock_end(sock, -1);
}

static uint32_t next_id(struct client *client)
{
	uint32_t id;

	do {
		id = EP_OF_SERVER | (client->next_id++ & ~EP_OF_SERVER);
	} while (id == EP_OF_SERVER || sock_find(client, id));
	return id;
}

/* ---- accept */

static void pause_all(struct listener *listener)
{
	struct client *client = listener->sock->client;

	if (listener->paused)
		return;
	for (int i = 0; i < 2; i++)
		if (listener->event[i])
			event_del(listener->event[i]);
	listener->paused = true;
	listener->next_paused = client->paused;
	client->paused = listener;
}

static void unpause(struct listener *listener)
{
	struct listener **at = &listener->sock->client->paused;

	if (!listener->paused)
		return;
	while (*at != listener)
		at = &(*at)->next_paused;
	*at = listener->next_paused;
	listener->paused = false;
}

void listen_room(struct client *client)
{
	struct listener *listener = client->paused;

	if (!listener || !client->lhp)
		return;
	unpause(listener);
	for (int i = 0; i < 2; i++)
		if (listener->event[i])
			event_add(listener->event[i], NULL);
}

static void tell_incoming(const struct listener *listener, const struct sock *sock)
{
	ep_send(sock->client->lhp, listener->sock->id,
		&(struct ep_message){ .type = EP_INCOMING,
				      .id = sock->id,
				      .name = sock->local,
				      .other = sock->remote });
}

static int read_names(struct sock *sock, const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);

	if (getsockname(sock->fd, (struct sockaddr *)&own, &len))
		return -errno;
	if (ep_from_sockaddr((struct sockaddr *)&own, len, IPPROTO_TCP, true, &sock->local))
		return -EAFNOSUPPORT;
	sock->family = sock->local.family;
	sock->proto = IPPROTO_TCP;
	return ep_from_sockaddr((const struct sockaddr *)peer, peer_len, IPPROTO_TCP, true,
				&sock->remote);
}

static void incoming(struct listener *listener, int fd, const struct sockaddr_storage *peer,
		     socklen_t len)
{
	struct client *client = listener->sock->client;
	struct sock *sock = sock_new(client, next_id(client));

	if (!sock) {
		close(fd);
		return;
	}
	sock->fd = fd;
	if (client_is_spent(client) || read_names(sock, peer, len) || tcp_incoming(sock)) {
		sock_abort(sock);
		sock_end(sock, -1);
		return;
	}
	sock_set_fd(sock, fd);
	tell_incoming(listener, sock);
	if (client->resoad->fin)
		fin_accepted(client->resoad->fin, sock);
}

/* The daemon has no descriptor left, or the host no memory: another client may have given some
 * back. */
static void pause_a_while(struct listener *listener)
{
	const struct timeval later = { .tv_usec = FULL_MS * 1000 };
	struct client *client = listener->sock->client;

	pause_all(listener);
	if (!evtimer_pending(client->refill, NULL))
		evtimer_add(client->refill, &later);
}

static bool is_full(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* What has come is told before the next SYN is asked for. */
static void accept_all(struct listener *listener, int fd)
{
	struct client *client = listener->sock->client;
	struct sockaddr_storage peer;
	socklen_t len;
	int connection;

	for (int i = 0; i < ACCEPTS; i++) {
		/* As of a process without descriptors: who waits goes on waiting. */
		if (client->socks >= client->conf->sockets) {
			pause_all(listener);
			return;
		}
		len = sizeof(peer);
		connection =
			accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (connection < 0) {
			if (is_full(errno))
				pause_a_while(listener);
			return;
		}
		incoming(listener, connection, &peer, len);
	}
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	accept_all(arg, fd);
}

/* How many wait to be accepted, of one of its sockets. */
static unsigned int waiting(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? 0 : info.tcpi_unacked;
}

bool listen_accept(struct sock *sock)
{
	struct listener *listener = sock->state;

	for (int i = 0; i < 2; i++)
		if (listener->fd[i] >= 0 && !listener->paused)
			accept_all(listener, listener->fd[i]);
	return !listener->paused || waiting(listener->fd[0]) + waiting(listener->fd[1]) <=
					    (unsigned int)listener->backlog;
}

struct sock *listen_of_cookie(struct resoad *resoad, uint64_t cookie)
{
	struct sock *sock = sock_of_cookie(resoad, cookie);

	if (sock)
		return sock->kind == SOCK_LISTENER ? sock : NULL;
	for (struct listener *l = resoad->doubles; l; l = l->next_double)
		if (l->cookie == cookie)
			return l->sock;
	return NULL;
}

/* ---- listen */

/* Who waits here is on the way to the client, whose own queue says whether one more may come: no
 * place for the program's backlog, unless SYNs are not asked for. */
static int backlog_of(const struct listener *listener)
{
	bool asks = listener->sock->client->resoad->knocks;

	return asks && listener->backlog < PASSING ? PASSING : listener->backlog;
}

static void set_backlog(struct listener *listener, const struct ep_message *message)
{
	listener->backlog = message->number > 65535 ? 65535 : (int)message->number;
}

static int bind_at(struct client *client, int fd, const struct ep_name *name)
{
	const int one = 1;

	/* As in bind.c. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (name->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))))
		return -errno;
	return bind_fd(client, fd, name);
}

static int start_listening(struct listener *listener, int i)
{
	struct resoad *resoad = listener->sock->client->resoad;
	int fd = listener->fd[i];

	if (resoad->fin)
		fin_arm(resoad->fin, fd, true);
	if (listen(fd, backlog_of(listener)))
		return -errno;
	listener->event[i] = event_new(resoad->base, fd, EV_READ | EV_PERSIST, on_accept, listener);
	return listener->event[i] && !event_add(listener->event[i], NULL) ? 0 : -ENOMEM;
}

/* Of BIND, or a new one: with the options that the program has set, and no other. */
static int make_socket(struct sock *sock, const struct ep_name *name, int *result)
{
	int fd = bind_socket(sock->client, name), before = sock->fd, err;
	bool bound = fd >= 0;

	if (!bound)
		fd = socket(name->family == 4 ? AF_INET : AF_INET6,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (before < 0) {
		sock_set_fd(sock, fd);
	} else { /* the second one: options go to it by the same hand */
		sock->fd = fd;
		option_apply(sock);
		sock->fd = before;
	}
	*result = fd;
	err = bound ? 0 : bind_at(sock->client, fd, name);
	return err;
}

static bool is_any(const struct ep_name *name)
{
	static const struct isthmus_addr any;

	return !memcmp(&name->address, &any, sizeof(any));
}

static int take_port(struct sock *sock)
{
	int err = port_take(sock->client, &sock->local);

	sock->has_port = !err;
	return err;
}

/* The IPv4 half of `::`. No IPv4 address, no half. */
static int listen_second(struct listener *listener, const struct ep_message *message)
{
	struct sock *sock = listener->sock;
	struct ep_name wanted = { .family = 4, .port = message->name.port, .proto = IPPROTO_TCP };
	struct ep_name local;
	socklen_t len = sizeof(listener->cookie);
	int err = policy_local(sock->client, &wanted, &local);

	if (err)
		return 0;
	err = port_take(sock->client, &local);
	if (err)
		return err;
	listener->second = local;
	err = make_socket(sock, &local, &listener->fd[1]);
	if (err)
		return err;
	getsockopt(listener->fd[1], SOL_SOCKET, SO_COOKIE, &listener->cookie, &len);
	listener->next_double = sock->client->resoad->doubles;
	sock->client->resoad->doubles = listener;
	return start_listening(listener, 1);
}

static bool takes_both(const struct sock *sock, const struct ep_message *message)
{
	return message->name.family == 6 && is_any(&message->name) && !option_v6only(sock);
}

static int start(struct sock *sock, const struct ep_message *message)
{
	bool both = sock->local.family == 6 && takes_both(sock, message);
	struct listener *listener;
	int err = take_port(sock), fd;

	if (err)
		return err;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->sock = sock;
	set_backlog(listener, message);
	listener->fd[0] = listener->fd[1] = -1;
	sock->state = listener;
	sock->kind = SOCK_LISTENER;
	err = make_socket(sock, &sock->local, &fd);
	if (err)
		return err;
	listener->fd[0] = fd;
	err = start_listening(listener, 0);
	return err || !both ? err : listen_second(listener, message);
}

static void listen_again(struct sock *sock, const struct ep_message *message)
{
	struct listener *listener = sock->state;

	set_backlog(listener, message);
	for (int i = 0; i < 2; i++)
		if (listener->fd[i] >= 0)
			listen(listener->fd[i], backlog_of(listener));
	sock_result(sock, 0);
}

/* A program that listens at `::` of a server without IPv6 listens at its IPv4 address. */
static int choose_local(struct sock *sock, const struct ep_message *message)
{
	struct ep_name wanted = message->name;
	int err = policy_local(sock->client, &wanted, &sock->local);

	if (err != -EAFNOSUPPORT || !takes_both(sock, message))
		return err;
	wanted.family = 4;
	return policy_local(sock->client, &wanted, &sock->local);
}

void listen_message(struct sock *sock, const struct ep_message *message)
{
	int err;

	if (message->name.proto == IPPROTO_UDP) {
		udp_message(sock, message);
		return;
	}
	if (sock->kind == SOCK_LISTENER) {
		listen_again(sock, message);
		return;
	}
	if (sock->kind != SOCK_NEW || sock->state) {
		client_end(sock->client, "it listens with a socket that does something else");
		return;
	}
	sock->proto = IPPROTO_TCP;
	sock->local = message->name;
	err = choose_local(sock, message);
	sock->family = sock->local.family;
	if (!err)
		err = start(sock, message);
	if (err)
		fail(sock, -err);
	else
		sock_result(sock, 0);
}

int listen_second_fd(const struct sock *sock)
{
	const struct listener *listener = sock->state;

	return listener ? listener->fd[1] : -1;
}

static void forget_double(const struct listener *listener)
{
	struct listener **at = &listener->sock->client->resoad->doubles;

	while (*at && *at != listener)
		at = &(*at)->next_double;
	if (*at)
		*at = listener->next_double;
}

void listen_end(struct sock *sock)
{
	struct listener *listener = sock->state;

	if (!listener)
		return;
	unpause(listener);
	for (int i = 0; i < 2; i++)
		if (listener->event[i])
			event_free(listener->event[i]);
	forget_double(listener);
	if (sock->fd >= 0)
		close(sock_give_fd(sock));
	if (listener->fd[1] >= 0)
		close(listener->fd[1]);
	knock_refuse(sock->client, sock->id);
	if (listener->second.family)
		port_release(sock->client, &listener->second);
	free(listener);
	sock->state = NULL;
}
