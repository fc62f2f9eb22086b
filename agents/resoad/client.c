// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * One registered client: its connection, its rsockIDs, its limits and its end (4.4).
 *
 * What a client can do wrong ends that client alone; what it may use is bounded: sockets by its
 * limit, messages by the LHP, bytes by credit, and its turn by tcp.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/log.h"
#include "resoad.h"

#define TABLE_FIRST 64 /* buckets, a power of 2 */

/* ---- rsockIDs */

static struct sock **bucket(const struct client *client, uint32_t id)
{
	uint32_t h = id * 2654435761u;

	return &client->table[(h ^ h >> 16) & (client->table_size - 1)];
}

struct sock *sock_find(struct client *client, uint32_t id)
{
	struct sock *sock = *bucket(client, id);

	while (sock && sock->id != id)
		sock = sock->next;
	return sock;
}

static void grow(struct client *client)
{
	struct client bigger = { .table_size = client->table_size * 2 };
	struct sock *sock, *next, **at;

	bigger.table = calloc(bigger.table_size, sizeof(struct sock *));
	if (!bigger.table)
		return; /* longer chains, no more */
	for (unsigned int i = 0; i < client->table_size; i++)
		for (sock = client->table[i]; sock; sock = next) {
			next = sock->next;
			at = bucket(&bigger, sock->id);
			sock->next = *at;
			*at = sock;
		}
	free(client->table);
	client->table = bigger.table;
	client->table_size = bigger.table_size;
}

static void send_reset(struct client *client, uint32_t id, int error)
{
	const struct ep_message reset = { .type = error ? EP_RESET : EP_CLOSE, .error = error };

	if (!client->lhp)
		return;
	ep_send(client->lhp, id, &reset);
	lhp_forget(client->lhp, id);
}

/* ENOBUFS: what connect(2) says on a host that has no room for one more socket. */
struct sock *sock_new(struct client *client, uint32_t id)
{
	struct sock *sock = NULL;

	if (client->socks < client->conf->sockets)
		sock = calloc(1, sizeof(*sock));
	if (!sock) {
		client->refused++;
		client->ended[id & (CLIENT_ENDED - 1)] = id;
		send_reset(client, id, ENOBUFS);
		return NULL;
	}
	sock->id = id;
	sock->fd = -1;
	sock->client = client;
	if (client->socks >= client->table_size)
		grow(client);
	sock->next = *bucket(client, id);
	*bucket(client, id) = sock;
	client->socks++;
	return sock;
}

static struct sock **cookie_bucket(struct resoad *resoad, uint64_t cookie)
{
	return &resoad->by_cookie[cookie & (RESOAD_COOKIES - 1)];
}

struct sock *sock_of_cookie(struct resoad *resoad, uint64_t cookie)
{
	struct sock *sock = *cookie_bucket(resoad, cookie);

	while (sock && sock->cookie != cookie)
		sock = sock->by_cookie;
	return sock;
}

static void forget_cookie(struct sock *sock)
{
	struct sock **at = cookie_bucket(sock->client->resoad, sock->cookie);

	if (!sock->cookie)
		return;
	while (*at && *at != sock)
		at = &(*at)->by_cookie;
	if (*at)
		*at = sock->by_cookie;
	sock->cookie = 0;
}

void sock_set_fd(struct sock *sock, int fd)
{
	struct sock **at;
	socklen_t len = sizeof(sock->cookie);

	forget_cookie(sock);
	bind_uncount(sock);
	sock->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &sock->cookie, &len))
		sock->cookie = 0;
	if (sock->cookie) {
		at = cookie_bucket(sock->client->resoad, sock->cookie);
		sock->by_cookie = *at;
		*at = sock;
	}
	option_apply(sock);
	bind_count(sock);
}

int sock_give_fd(struct sock *sock)
{
	int fd = sock->fd;

	bind_uncount(sock);
	forget_cookie(sock);
	sock->fd = -1;
	return fd;
}

void sock_abort(const struct sock *sock)
{
	const struct linger linger = { .l_onoff = 1 };

	if (sock->fd >= 0)
		setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* What its kind's file keeps. */
static void end_state(struct sock *sock)
{
	switch ((enum sock_kind)sock->kind) {
	case SOCK_NEW:
	case SOCK_CONNECTING:
	case SOCK_CONNECTED:
		tcp_end(sock);
		break;
	case SOCK_BOUND:
		bind_end(sock);
		break;
	case SOCK_LISTENER:
		listen_end(sock);
		break;
	case SOCK_UDP:
		udp_end(sock);
		break;
	}
	option_end(sock);
}

void sock_end(struct sock *sock, int error)
{
	struct client *client = sock->client;
	struct sock **at = bucket(client, sock->id);

	end_state(sock);
	if (sock->event)
		event_free(sock->event);
	fin_forget(sock);
	bind_uncount(sock);
	forget_cookie(sock);
	if (error > 0)
		sock_abort(sock);
	if (sock->fd >= 0)
		close(sock->fd);
	if (sock->has_port)
		port_release(client, &sock->local);
	while (*at != sock)
		at = &(*at)->next;
	*at = sock->next;
	client->socks--;
	client->ended[sock->id & (CLIENT_ENDED - 1)] = sock->id;
	if (error >= 0)
		send_reset(client, sock->id, error);
	else if (client->lhp)
		lhp_forget(client->lhp, sock->id);
	free(sock);
	listen_room(client);
}

void sock_result(struct sock *sock, int error)
{
	struct ep_message result = { .type = EP_RESULT, .error = error, .name = sock->local };

	ep_send(sock->client->lhp, sock->id, &result);
}

void client_each_sock(struct client *client, void (*each)(struct sock *sock, void *arg), void *arg)
{
	struct sock *sock, *next;

	for (unsigned int i = 0; i < client->table_size; i++)
		for (sock = client->table[i]; sock; sock = next) {
			next = sock->next;
			each(sock, arg);
		}
}

/* ---- registration */

static void send_json(struct client *client, uint8_t type, const json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	struct ep_message message = { .type = type, .body = text };

	if (!text)
		return;
	message.body_len = strlen(text);
	if (message.body_len > EP_BODY_MAX || ep_send(client->lhp, 0, &message))
		client_end(client, "what it must be told is too long");
	free(text);
}

void client_tell(struct client *client, uint8_t type, json_t *all, const json_t *body)
{
	json_decref(client->told);
	client->told = json_incref(all);
	send_json(client, type, body);
}

/* A client that comes again was cut off: its older connection is dead, or will be. */
static void end_namesakes(const struct client *client)
{
	for (struct client *other = client->resoad->clients; other; other = other->next)
		if (other != client && other->conf == client->conf &&
		    (other->registered || other->lease))
			client_end(other, "the client has registered again");
}

void client_register(struct client *client)
{
	json_t *body = export_registered(client->resoad, client);

	if (!body) {
		client_end(client, "out of memory");
		return;
	}
	client->registered = true;
	client_tell(client, EP_REGISTERED, body, body);
	json_decref(body);
	log_info("client %s: registered, by %s from %s", client->conf->identity.name,
		 lhp_provider(client->lhp), lhp_peer(client->lhp));
}

static void on_register(struct client *client)
{
	int err;

	if (client->registered || client->lease) {
		client_end(client, "it registers twice");
		return;
	}
	end_namesakes(client);
	err = client->conf->dhcp ? lease_take(client) : 0;
	if (!err)
		client_register(client);
	else if (err != -EAGAIN)
		client_end(client, "out of memory");
}

static void on_control(struct client *client, const struct ep_message *message)
{
	struct ep_message pong = { .type = EP_PONG, .number = message->number };

	if (message->type == EP_REGISTER)
		on_register(client);
	else if (message->type == EP_PING)
		ep_send(client->lhp, 0, &pong);
	else if (message->type != EP_PONG)
		client_end(client, "a message of a socket on stream 0");
}

/* ---- messages of sockets */

static bool makes_sock(uint8_t type)
{
	return type == EP_BIND || type == EP_CONNECT || type == EP_LISTEN || type == EP_OPTION ||
	       type == EP_ASK || type == EP_DATAGRAM || type == EP_GROUP;
}

/* NULL: not of a socket, or of one that has ended. */
static struct sock *sock_for(struct client *client, uint32_t id, uint8_t type)
{
	struct sock *sock = sock_find(client, id);

	if (sock || !makes_sock(type) || id & EP_OF_SERVER ||
	    client->ended[id & (CLIENT_ENDED - 1)] == id)
		return sock;
	return sock_new(client, id);
}

static void on_message_of(struct sock *sock, const struct ep_message *message)
{
	switch ((enum ep_type)message->type) {
	case EP_BIND:
		bind_message(sock, message);
		break;
	case EP_CONNECT:
		tcp_connect(sock, message);
		break;
	case EP_LISTEN:
		listen_message(sock, message);
		break;
	case EP_OPTION:
	case EP_ASK:
		option_message(sock, message);
		break;
	case EP_DATAGRAM:
	case EP_GROUP:
		udp_message(sock, message);
		break;
	case EP_RESET:
	case EP_CLOSE:
		if (sock->kind == SOCK_CONNECTED) {
			tcp_message(sock, message); /* what is queued goes first */
			break;
		}
		if (message->type == EP_RESET)
			sock_abort(sock);
		sock_end(sock, -1);
		break;
	case EP_ADMIT:
		knock_message(sock, message);
		break;
	default:
		tcp_message(sock, message);
	}
}

static void on_message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
		       void *arg)
{
	struct client *client = arg;
	struct ep_message message;
	struct sock *sock;

	(void)lhp;
	if (client->ending)
		return;
	if (ep_parse(bytes, len, &message)) {
		client_end(client, "a message that is none of the protocol");
		return;
	}
	if (!stream) {
		on_control(client, &message);
		return;
	}
	if (!client->registered) {
		client_end(client, "it has not registered");
		return;
	}
	sock = sock_for(client, stream, message.type);
	if (sock)
		on_message_of(sock, &message);
}

/* ---- begin and end */

static void on_opened(struct lhp *lhp, void *arg)
{
	struct client *client = arg;

	log_debug("client %s: connected by %s", client->conf->identity.name, lhp_provider(lhp));
}

static void on_writable(struct lhp *lhp, void *arg)
{
	(void)lhp;
	tcp_writable(arg);
	udp_writable(arg);
}

/* 4.4: who has been told everything ends in order, the others learn that it did not. */
static void end_sock(struct sock *sock, void *arg)
{
	(void)arg;
	if (!tcp_is_done(sock))
		sock_abort(sock);
	sock_end(sock, -1);
}

static void client_free(struct client *client)
{
	struct client **at = &client->resoad->clients;

	while (*at && *at != client)
		at = &(*at)->next;
	if (*at)
		*at = client->next;
	client->lhp = NULL;
	client_each_sock(client, end_sock, NULL);
	port_release_all(client);
	lease_drop(client);
	event_free(client->refill);
	event_free(client->over);
	json_decref(client->told);
	free(client->table);
	free(client->ports);
	free(client);
}

static void on_closed(struct lhp *lhp, const char *why, void *arg)
{
	struct client *client = arg;

	(void)lhp;
	log_info("client %s: gone: %s", client->conf->identity.name,
		 client->ending ? client->ending : why);
	client_free(client);
}

static const struct lhp_handler handler = {
	.opened = on_opened,
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

static void end_now(struct client *client, const char *why)
{
	struct lhp *lhp = client->lhp;

	log_info("client %s: ended: %s", client->conf->identity.name, why);
	client_free(client);
	lhp_free(lhp);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;

	(void)fd;
	(void)what;
	end_now(client, client->ending);
}

static void refuse(struct client *client, const char *why)
{
	struct ep_message refused = { .type = EP_REFUSED, .error = EPROTO, .body = why };

	refused.body_len = strlen(why);
	ep_send(client->lhp, 0, &refused);
}

void client_end(struct client *client, const char *why)
{
	const struct timeval now = { 0 };

	if (client->ending)
		return;
	client->ending = why;
	refuse(client, why);
	evtimer_add(client->over, &now);
}

void client_refuse_now(struct client *client, const char *why)
{
	if (!client->ending)
		refuse(client, why);
	end_now(client, why);
}

static bool lives_on(const struct client_conf *before, const struct client_conf *now)
{
	return now && !memcmp(before->identity.key, now->identity.key, LHP_KEY_BYTES) &&
	       !memcmp(before->address, now->address, sizeof(now->address)) &&
	       !memcmp(before->own, now->own, sizeof(now->own)) && before->dhcp == now->dhcp &&
	       (!now->dhcp || !memcmp(before->mac, now->mac, sizeof(now->mac))) &&
	       before->port_low == now->port_low && before->port_high == now->port_high;
}

void client_reload(struct resoad *resoad, struct registry *fresh)
{
	const struct client_conf *conf;
	struct client *client, *next;

	for (client = resoad->clients; client; client = next) {
		next = client->next;
		conf = registry_find(fresh, client->conf->identity.name);
		if (lives_on(client->conf, conf))
			client->conf = conf;
		else
			end_now(client, conf ? "its key, address or ports have changed"
					     : "it is no client any more");
	}
	registry_free(resoad->registry);
	resoad->registry = fresh;
	export_tell(resoad);
}

void client_free_all(struct resoad *resoad)
{
	while (resoad->clients)
		end_now(resoad->clients, "the server ends");
}

static struct client *client_new(struct resoad *resoad, const struct client_conf *conf,
				 struct lhp *lhp)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->resoad = resoad;
	client->conf = conf;
	client->lhp = lhp;
	client->next_id = 1;
	client->table_size = TABLE_FIRST;
	client->table = calloc(client->table_size, sizeof(struct sock *));
	client->refill = evtimer_new(resoad->base, client_refilled, client);
	client->over = evtimer_new(resoad->base, on_over, client);
	if (client->table && client->refill && client->over)
		return client;
	if (client->refill)
		event_free(client->refill);
	if (client->over)
		event_free(client->over);
	free(client->table);
	free(client);
	return NULL;
}

void client_accepted(struct lhp *lhp, void *arg)
{
	struct resoad *resoad = arg;
	const struct client_conf *conf = registry_find(resoad->registry, lhp_name(lhp));
	struct client *client = conf ? client_new(resoad, conf, lhp) : NULL;

	if (!client) {
		log_warn("client %s: not taken", lhp_name(lhp));
		lhp_free(lhp);
		return;
	}
	client->next = resoad->clients;
	resoad->clients = client;
	lhp_set_handler(lhp, &handler, client);
}
