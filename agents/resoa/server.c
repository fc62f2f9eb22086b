// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The connection to the server, made again when it is over:
 *
 *	wait ──> lhp_connect ──> opened: REGISTER ──> REGISTERED ──> messages by rsockID
 *	  ^  0.2 s to 10 s, twice as long each time         │
 *	  └──────────────── closed, silent for 15 s ────────┘  connections get ECONNRESET
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "resoa.h"

#define RETRY_FIRST_MS 200
#define RETRY_MAX_MS   10000
#define HOPE_MS	       10000 /* new connects wait so long for a server */
#define PING_S	       5
#define SILENCE_MS     15000
#define LINE_LEN       512

struct server {
	struct resoa *resoa;
	struct lhp *lhp;
	unsigned int turn; /* which of settings->servers is next */
	unsigned int retry_ms;
	struct event *retry, *ping;
	uint64_t heard_ms, lost_ms;
	bool registered;
	char why[LINE_LEN]; /* the last end */
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_ms(void)
{
	return now_us() / 1000;
}

static void retry_later(struct server *server)
{
	const struct timeval delay = { .tv_sec = server->retry_ms / 1000,
				       .tv_usec = server->retry_ms % 1000 * 1000 };

	evtimer_add(server->retry, &delay);
	server->retry_ms *= 2;
	if (server->retry_ms > RETRY_MAX_MS)
		server->retry_ms = RETRY_MAX_MS;
}

/* What the server knew of is gone: connections are reset, what is bound or listens is told again.
 */
static void lose(struct server *server)
{
	struct resoa *resoa = server->resoa;

	server->lhp = NULL;
	if (server->registered) {
		server->lost_ms = now_ms();
		server->registered = false;
		resoa->lhp = NULL;
		tcp_lost(resoa);
		bind_lost(resoa);
		reserve_lost(resoa);
	}
	event_del(server->ping);
	retry_later(server);
}

static void on_closed(struct lhp *lhp, const char *why, void *arg)
{
	struct server *server = arg;

	snprintf(server->why, sizeof(server->why), "%s: %s", lhp_peer(lhp), why);
	log_warn("the connection to the server has ended: %s", server->why);
	lose(server);
}

static void leave(struct server *server, const char *why)
{
	struct lhp *lhp = server->lhp;

	on_closed(lhp, why, server);
	lhp_free(lhp);
}

/* ---- messages of stream 0 */

static json_t *read_json(const struct ep_message *message)
{
	json_error_t error;
	json_t *json = json_loadb(message->body, message->body_len, 0, &error);

	if (json && json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

bool server_is_own(const struct resoa *resoa, const struct ep_name *name)
{
	const json_t *all = json_object_get(resoa->registered, "addresses"), *item;
	struct isthmus_addr address;
	size_t i;

	json_array_foreach (all, i, item)
		if (!address_parse(json_string_value(json_object_get(item, "address")), &address) &&
		    address_equal(&address, &name->address))
			return true;
	return !all; /* not known: it is asked for as it is */
}

static void registered(struct server *server, json_t *told)
{
	struct resoa *resoa = server->resoa;
	char error[LINE_LEN];
	bool is_first = !resoa->registered;

	json_decref(resoa->registered);
	resoa->registered = told;
	resoa->lhp = server->lhp;
	server->registered = true;
	server->lost_ms = 0;
	server->retry_ms = RETRY_FIRST_MS;
	log_info("registered as %s by %s", lhp_name(server->lhp), lhp_peer(server->lhp));
	if (!is_first) {
		net_change(&resoa->net, told);
		program_conf(resoa->program);
	} else if (daemon_registered(resoa, error, sizeof(error))) {
		log_error("%s", error);
		event_base_loopbreak(resoa->base);
		return;
	}
	bind_registered(resoa);
	reserve_registered(resoa);
	udp_registered(resoa);
	listen_registered(resoa);
	control_registered(resoa);
}

/* CHANGED: members that are different now. */
static void changed(struct server *server, json_t *told)
{
	struct resoa *resoa = server->resoa;

	if (resoa->lhp) {
		json_object_update(resoa->registered, told);
		net_change(&resoa->net, told);
		program_conf(resoa->program);
		bind_registered(resoa);
		reserve_registered(resoa);
		control_registered(resoa);
	}
	json_decref(told);
}

static void take_json(struct server *server, const struct ep_message *message)
{
	json_t *told = read_json(message);

	if (!told)
		leave(server, "it sent no JSON");
	else if (message->type == EP_REGISTERED && !server->registered)
		registered(server, told);
	else
		changed(server, told);
}

static void take_of_client(struct server *server, const struct ep_message *message)
{
	const struct ep_message pong = { .type = EP_PONG, .number = message->number };
	char line[LINE_LEN];

	switch (message->type) {
	case EP_REGISTERED:
	case EP_CHANGED:
		take_json(server, message);
		break;
	case EP_PING:
		ep_send(server->lhp, 0, &pong);
		break;
	case EP_PONG:
		server->resoa->ping_us = (uint32_t)(now_us() - message->number);
		break;
	case EP_REFUSED:
		snprintf(line, sizeof(line), "refused: %.*s", (int)message->body_len,
			 (const char *)message->body);
		leave(server, line);
		break;
	}
}

/* ---- messages of rsockIDs */

static void take_of_rsock(struct rsock *rsock, const struct ep_message *message)
{
	if (message->type == EP_VALUE) {
		value_message(rsock, message);
		return;
	}
	switch (rsock->kind) {
	case RSOCK_SYN:
		syn_message(rsock, message);
		break;
	case RSOCK_UDP:
		udp_message(rsock, message);
		break;
	case RSOCK_BIND:
		bind_message(rsock, message);
		break;
	case RSOCK_RESERVED:
		reserve_message(rsock, message);
		break;
	default:
		tcp_message(rsock, message);
	}
}

/* For an rsockID that has ended here: it was under way then. A connection of a listener is another
 * rsockID, which nobody here will take. */
static void take_late(struct server *server, uint32_t stream, const struct ep_message *message)
{
	const struct ep_message reset = { .type = EP_RESET, .error = ECONNREFUSED };

	if (message->type == EP_INCOMING) {
		ep_send(server->lhp, message->id, &reset);
		lhp_forget(server->lhp, message->id);
	} else if (message->type == EP_RESULT) {
		/* It asks, perhaps, whether there still is such a socket (UDP). */
		ep_send(server->lhp, stream, &reset);
	} else if (message->type != EP_CLOSE && message->type != EP_RESET) {
		log_debug("%s for rsock %u, which has ended", ep_type_name(message->type), stream);
	}
}

static void on_message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
		       void *arg)
{
	struct server *server = arg;
	struct ep_message message;
	struct rsock *rsock;

	(void)lhp;
	server->heard_ms = now_ms();
	if (ep_parse(bytes, len, &message)) {
		leave(server, "it sent what is no message");
		return;
	}
	if (!stream) {
		take_of_client(server, &message);
		return;
	}
	rsock = server->registered ? rsock_of_id(server->resoa, stream) : NULL;
	if (rsock)
		take_of_rsock(rsock, &message);
	else
		take_late(server, stream, &message);
}

static void on_opened(struct lhp *lhp, void *arg)
{
	struct server *server = arg;
	const struct settings *settings = server->resoa->settings;
	json_t *asked =
		json_pack("{s:i, s:s*}", "version", EP_VERSION, "address", settings->address);
	char *text = asked ? json_dumps(asked, JSON_COMPACT) : NULL;
	const struct ep_message message = {
		.type = EP_REGISTER,
		.body = text,
		.body_len = text ? strlen(text) : 0,
	};
	const struct timeval interval = { .tv_sec = PING_S };

	server->heard_ms = now_ms();
	event_add(server->ping, &interval);
	ep_send(lhp, 0, &message);
	free(text);
	json_decref(asked);
}

static void on_writable(struct lhp *lhp, void *arg)
{
	struct server *server = arg;

	(void)lhp;
	if (!server->registered)
		return;
	tcp_writable(server->resoa);
	udp_writable(server->resoa);
}

static const struct lhp_handler handler = {
	.opened = on_opened,
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

/* ---- connecting */

/* The LHP's own socket belongs to the host. */
static void connect_one(struct server *server)
{
	struct resoa *resoa = server->resoa;
	const struct conf_list *places = &resoa->settings->servers;
	const char *place = places->item[server->turn++ % places->count];
	char error[LINE_LEN];

	if (resoa->program)
		net_enter(&resoa->net, NET_HOME);
	server->lhp = lhp_connect(resoa->base, place, &resoa->identity, &handler, server, error,
				  sizeof(error));
	if (resoa->program)
		net_enter(&resoa->net, NET_W);
	if (server->lhp)
		return;
	if (strcmp(server->why, error))
		log_warn("%s: %s", place, error);
	snprintf(server->why, sizeof(server->why), "%s", error);
	retry_later(server);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	connect_one(arg);
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	const struct ep_message ping = { .type = EP_PING, .number = now_us() };

	(void)fd;
	(void)what;
	if (now_ms() - server->heard_ms > SILENCE_MS)
		leave(server, "it is silent");
	else if (server->registered)
		ep_send(server->lhp, 0, &ping);
}

bool server_hopes(const struct resoa *resoa)
{
	const struct server *server = resoa->server;

	return server->registered || now_ms() - server->lost_ms < HOPE_MS;
}

int server_open(struct resoa *resoa, char *error, size_t error_len)
{
	struct server *server = calloc(1, sizeof(*server));

	snprintf(error, error_len, "out of memory");
	if (!server)
		return -ENOMEM;
	resoa->server = server;
	server->resoa = resoa;
	server->retry_ms = RETRY_FIRST_MS;
	server->retry = evtimer_new(resoa->base, on_retry, server);
	server->ping = event_new(resoa->base, -1, EV_PERSIST, on_ping, server);
	if (!server->retry || !server->ping)
		return -ENOMEM;
	if (!resoa->settings->servers.count) {
		snprintf(error, error_len, "no server is named: --server PLACE");
		return -EINVAL;
	}
	/* Clients begin at different ones: so several servers share them. */
	if (getrandom(&server->turn, sizeof(server->turn), 0) < 0)
		server->turn = 0;
	connect_one(server);
	return 0;
}

void server_close(struct resoa *resoa)
{
	struct server *server = resoa->server;

	if (!server)
		return;
	if (server->lhp)
		lhp_free(server->lhp);
	if (server->retry)
		event_free(server->retry);
	if (server->ping)
		event_free(server->ping);
	free(server);
	resoa->server = NULL;
	resoa->lhp = NULL;
}
