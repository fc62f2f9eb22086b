// SPDX-License-Identifier: GPL-3.0-or-later
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "broker.h"
#include "peer.h"

#define CLIENTS_MAX 32
#define LIST_MS	    10000
#define PAGE_ITEMS  64 /* of at most 800 bytes: below MSG_LINE_MAX */

/* A command's connection. */
struct client {
	struct peer *peer;
	struct msg_conn *conn;
	struct waiting *waiting;
};

/* A request that the broker must answer first; its command may be gone by then. */
struct waiting {
	struct peer *peer;
	struct client *client;
	json_t *request;
};

static struct waiting *wait_for_broker(struct client *client, json_t *request)
{
	struct waiting *waiting = client->waiting ? NULL : calloc(1, sizeof(*waiting));

	if (!waiting)
		return NULL;
	waiting->peer = client->peer;
	waiting->client = client;
	waiting->request = json_incref(request);
	client->waiting = waiting;
	return waiting;
}

/* The command's connection, or NULL. */
static struct msg_conn *waited(struct waiting *waiting)
{
	struct client *client = waiting->client;

	if (!client)
		return NULL;
	client->waiting = NULL;
	return client->conn;
}

static void waiting_free(struct waiting *waiting)
{
	json_decref(waiting->request);
	free(waiting);
}

static const char *error_code(int error)
{
	switch (error) {
	case -EEXIST:
		return "exists";
	case -ENOSPC:
		return "limit";
	case -EINVAL:
		return "bad-message";
	case -ENOENT:
		return "not-found";
	}
	return "internal";
}

/* ---- provide */

static void provide_published(const char *error, void *arg)
{
	struct waiting *waiting = arg;
	struct msg_conn *conn = waited(waiting);

	if (conn && error)
		msg_reply_error(conn, waiting->request, "denied",
				"the broker does not publish it: %s", error);
	else if (conn)
		msg_reply(conn, waiting->request, json_pack("{s:b}", "published", 1));
	waiting_free(waiting);
}

static void on_provide(struct client *client, json_t *request)
{
	struct peer *peer = client->peer;
	struct waiting *waiting;
	struct service *service;
	const char *name, *bad;
	int error = service_add(peer, request, &bad);

	if (error) {
		msg_reply_error(client->conn, request, error_code(error), "%s", bad);
		return;
	}
	msg_get_string(request, "service", &name);
	service = service_find(peer, name);
	daemon_save(peer);
	waiting = wait_for_broker(client, request);
	if (waiting && !broker_publish(peer->broker, service, provide_published, waiting))
		return;
	if (waiting) {
		waited(waiting);
		waiting_free(waiting);
	}
	msg_reply(client->conn, request, json_pack("{s:b}", "published", 0));
}

static void on_unprovide(struct client *client, json_t *request)
{
	struct peer *peer = client->peer;
	const char *name = "";
	struct service *service;

	msg_get_string(request, "service", &name);
	service = service_find(peer, name);
	if (!service) {
		msg_reply_error(client->conn, request, "not-found", "no service %s is provided",
				name);
		return;
	}
	broker_unpublish(peer->broker, service->name);
	service_remove(peer, service);
	daemon_save(peer);
	msg_reply(client->conn, request, NULL);
}

/* ---- services */

static void services_listed(struct msg_conn *broker, json_t *answer, void *arg)
{
	struct waiting *waiting = arg;
	struct msg_conn *conn = waited(waiting);
	json_t *services = answer ? json_object_get(answer, "services") : NULL;

	(void)broker;
	if (conn && services)
		msg_reply(conn, waiting->request, json_pack("{s:O}", "services", services));
	else if (conn)
		msg_reply_error(conn, waiting->request, "internal", "the broker gave no list");
	waiting_free(waiting);
}

/* Asks the broker; the answer goes to `listed`. */
static void ask_list(struct client *client, json_t *request, const char *match, msg_answer listed)
{
	struct waiting *waiting = wait_for_broker(client, request);
	json_t *list = json_pack("{s:s, s:s}", "op", "list", "match", match);

	if (waiting && !broker_request(client->peer->broker, list, LIST_MS, listed, waiting))
		return;
	if (!waiting)
		json_decref(list);
	msg_reply_error(client->conn, request, "offline",
			"no connection to the broker: see isthmus-peer status");
	if (waiting) {
		waited(waiting);
		waiting_free(waiting);
	}
}

static void on_services(struct client *client, json_t *request)
{
	const char *match = "";

	msg_get_string(request, "match", &match);
	ask_list(client, request, match, services_listed);
}

/* ---- subscribe */

static void subscribe(struct peer *peer, struct msg_conn *conn, const json_t *request,
		      const char *proto)
{
	const char *user, *service, *bind = "";
	struct subscription *added;
	char error[256] = "user, service, proto or port is missing or wrong";
	int64_t port;
	int code = -EINVAL;

	msg_get_string(request, "bind", &bind);
	if (msg_get_string(request, "user", &user) && name_valid(user) &&
	    msg_get_string(request, "service", &service) && name_valid(service) &&
	    proto_parse(proto) >= 0 && msg_get_integer(request, "port", 0, 65535, &port))
		code = subscription_add(peer, user, service, proto_parse(proto), bind, port, !port,
					error, sizeof(error), &added);
	if (code) {
		msg_reply_error(conn, request, error_code(code), "%s", error);
		return;
	}
	daemon_save(peer);
	msg_reply(conn, request,
		  json_pack("{s:s, s:i}", "proto", proto_text(added->proto), "port", added->port));
}

/* The service's own entry in a list; NULL if it is not there. */
static const char *listed_proto(const json_t *answer, const json_t *request)
{
	const char *user = "", *service = "", *each_user, *each_service, *proto;
	const json_t *each;
	size_t i;

	msg_get_string(request, "user", &user);
	msg_get_string(request, "service", &service);
	json_array_foreach (json_object_get(answer, "services"), i, each)
		if (msg_get_string(each, "user", &each_user) && !strcmp(each_user, user) &&
		    msg_get_string(each, "service", &each_service) &&
		    !strcmp(each_service, service) && msg_get_string(each, "proto", &proto))
			return proto;
	return NULL;
}

static void subscribe_listed(struct msg_conn *broker, json_t *answer, void *arg)
{
	struct waiting *waiting = arg;
	struct msg_conn *conn = waited(waiting);
	const char *proto = answer ? listed_proto(answer, waiting->request) : NULL;

	(void)broker;
	if (conn && proto)
		subscribe(waiting->peer, conn, waiting->request, proto);
	else if (conn)
		msg_reply_error(conn, waiting->request, "not-found",
				"the broker lists no such service: see isthmus-peer services, or "
				"say --tcp or --udp");
	waiting_free(waiting);
}

static void on_subscribe(struct client *client, json_t *request)
{
	const char *proto, *user = "", *service = "";
	char match[REFERENCE_LEN];

	if (msg_get_string(request, "proto", &proto)) {
		subscribe(client->peer, client->conn, request, proto);
		return;
	}
	msg_get_string(request, "user", &user);
	msg_get_string(request, "service", &service);
	snprintf(match, sizeof(match), "%.32s/%.32s", user, service);
	ask_list(client, request, match, subscribe_listed);
}

static void on_unsubscribe(struct client *client, json_t *request)
{
	const char *user = "", *service = "";
	struct subscription *subscription;

	msg_get_string(request, "user", &user);
	msg_get_string(request, "service", &service);
	subscription = subscription_find(client->peer, user, service);
	if (!subscription) {
		msg_reply_error(client->conn, request, "not-found", "%s/%s is not subscribed", user,
				service);
		return;
	}
	subscription_remove(subscription);
	daemon_save(client->peer);
	msg_reply(client->conn, request, NULL);
}

/* ---- status */

static void on_status(struct client *client, json_t *request)
{
	struct peer *peer = client->peer;
	const struct totals *t = &peer->totals;
	json_t *body = json_pack("{s:o, s:s, s:s, s:i, s:{s:I, s:I, s:I, s:I, s:I}}", "broker",
				 broker_json(peer->broker), "version", ISTHMUS_VERSION, "dir",
				 peer->dir, "sessions_now", (int)peer->session_count, "totals",
				 "sessions", (json_int_t)t->sessions, "failed",
				 (json_int_t)t->failed, "unauthenticated",
				 (json_int_t)t->unauthenticated, "denied", (json_int_t)t->denied,
				 "datagrams_dropped", (json_int_t)t->datagrams_dropped);

	msg_reply(client->conn, request, body);
}

static json_t *service_item(const struct service *service)
{
	json_t *item = service_json(service);

	json_object_set_new(item, "allow", json_integer(service->allow_count));
	json_object_set_new(item, "clients", json_integer(service->active));
	json_object_set_new(item, "error", json_string(service->error));
	return item;
}

static json_t *subscription_item(const struct subscription *subscription)
{
	json_t *item = subscription_json(subscription);
	const struct session *session;
	int ready = 0, clients = 0;

	TAILQ_FOREACH(session, &subscription->peer->sessions, link)
	{
		if (session->subscription != subscription)
			continue;
		ready += session->state == SESSION_READY;
		clients += session->state == SESSION_RELAY;
	}
	json_object_set_new(item, "ready", json_integer(ready));
	json_object_set_new(item, "clients", json_integer(clients));
	json_object_set_new(item, "error", json_string(subscription->error));
	return item;
}

/* True while entry `i` is within the page; false after it, with more set. */
static bool on_page(json_int_t i, json_int_t offset, bool *more)
{
	*more = *more || i >= offset + PAGE_ITEMS;
	return i >= offset && i < offset + PAGE_ITEMS;
}

static void on_items(struct client *client, json_t *request)
{
	struct peer *peer = client->peer;
	const struct subscription *subscription;
	const struct session *session;
	const struct service *service;
	json_t *items = json_array();
	const char *what = "";
	int64_t offset = 0, i = 0;
	bool more = false;

	msg_get_string(request, "what", &what);
	msg_get_integer(request, "offset", 0, INT32_MAX, &offset);
	if (!strcmp(what, "services"))
		TAILQ_FOREACH(service, &peer->services, link)
	if (on_page(i++, offset, &more))
		json_array_append_new(items, service_item(service));
	if (!strcmp(what, "subscriptions"))
		TAILQ_FOREACH(subscription, &peer->subscriptions, link)
	if (on_page(i++, offset, &more))
		json_array_append_new(items, subscription_item(subscription));
	if (!strcmp(what, "sessions"))
		TAILQ_FOREACH(session, &peer->sessions, link)
	if (on_page(i++, offset, &more))
		json_array_append_new(items, session_json(session));
	msg_reply(client->conn, request, json_pack("{s:o, s:b}", "items", items, "more", more));
}

static void on_reload(struct client *client, json_t *request)
{
	broker_reload(client->peer->broker);
	msg_reply(client->conn, request, NULL);
}

/* ---- the socket */

static const struct {
	const char *op;
	void (*run)(struct client *client, json_t *request);
} operations[] = {
	{ "provide", on_provide },   { "unprovide", on_unprovide },
	{ "services", on_services }, { "subscribe", on_subscribe },
	{ "status", on_status },     { "unsubscribe", on_unsubscribe },
	{ "items", on_items },	     { "reload", on_reload },
};

static void client_message(struct msg_conn *conn, json_t *message, void *arg)
{
	const char *op = "";

	msg_get_string(message, "op", &op);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (strcmp(op, operations[i].op))
			continue;
		operations[i].run(arg, message);
		return;
	}
	msg_reply_error(conn, message, "unknown-op", "no operation %s", op);
}

static void client_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct client *client = arg;

	(void)conn, (void)why;
	if (client->waiting)
		client->waiting->client = NULL;
	free(client);
}

static const struct msg_handler client_handler = { .message = client_message,
						   .closed = client_closed };
static const struct msg_handler nobody;

static void client_accepted(struct msg_conn *conn, void *arg)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		msg_conn_set_handler(conn, &nobody, NULL);
		msg_conn_close(conn, "out of memory");
		return;
	}
	client->peer = arg;
	client->conn = conn;
	msg_conn_set_handler(conn, &client_handler, client);
}

struct msg_listener *control_listen(struct peer *peer, char *error, size_t error_len)
{
	char path[STORE_FILE_LEN];

	store_file(peer->dir, CONTROL_SOCKET, path);
	return msg_listen_unix(peer->base, path, 0600, CLIENTS_MAX, client_accepted, peer, error,
			       error_len);
}
