// SPDX-License-Identifier: GPL-3.0-or-later
/* Connections: before a login only the three ops that log in are known. */
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "broker.h"

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct client *client = arg;
	const char *op = "";

	msg_get_string(message, "op", &op); /* there is one: the library has looked */
	if (!strcmp(op, "enrol") || !strcmp(op, "login") || !strcmp(op, "translator"))
		login_message(client, op, message);
	else if (client->role == CLIENT_PEER)
		user_message(client, op, message);
	else if (client->role == CLIENT_TRANSLATOR)
		translator_message(client, op, message);
	else
		msg_reply_error(conn, message, "not-logged-in", "log in first");
}

static void client_free(struct client *client)
{
	struct broker *broker = client->broker;

	TAILQ_REMOVE(&broker->clients, client, link);
	broker->client_count--;
	broker->new_count -= client->role == CLIENT_NEW;
	if (client->login)
		login_forget(client);
	event_free(client->deadline);
	free(client);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct client *client = arg;

	log_debug("%s: connection over: %s", msg_conn_peer(conn), why);
	if (client->role == CLIENT_PEER) {
		log_info("user %s at %s is gone: %s", client->user->name, msg_conn_peer(conn), why);
		session_client_gone(client);
		user_disconnected(client);
	} else if (client->role == CLIENT_TRANSLATOR) {
		log_warn("translator %s at %s is gone: %s", client->translator->name,
			 msg_conn_peer(conn), why);
		translator_disconnected(client);
	}
	client_free(client);
}

static const struct msg_handler handler = { .message = on_message, .closed = on_closed };

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;

	(void)fd;
	(void)what;
	if (client->role == CLIENT_NEW && !client->login)
		msg_conn_close(client->conn, "no login in time");
}

/* A flood of connections that never log in pushes out its own kind, not those who do. */
static void make_room(struct broker *broker)
{
	struct client *client;

	if (broker->new_count < broker->settings.unauthenticated)
		return;
	TAILQ_FOREACH(client, &broker->clients, link)
	{
		if (client->role != CLIENT_NEW || client->login)
			continue;
		msg_conn_close(client->conn, "too many connections without a login");
		TAILQ_REMOVE(&broker->clients, client, link); /* not chosen twice */
		TAILQ_INSERT_TAIL(&broker->clients, client, link);
		return;
	}
}

void client_accepted(struct msg_conn *conn, void *arg)
{
	const struct timeval limit = { .tv_sec = LOGIN_TIMEOUT_S };
	struct broker *broker = arg;
	struct client *client = NULL;

	if (broker->client_count < broker->settings.connections) /* of all listeners */
		client = calloc(1, sizeof(*client));
	if (client)
		client->deadline = evtimer_new(broker->base, on_deadline, client);
	if (!client || !client->deadline) {
		free(client);
		msg_conn_close(conn, "too many connections");
		return;
	}
	make_room(broker);
	client->broker = broker;
	client->conn = conn;
	event_add(client->deadline, &limit);
	TAILQ_INSERT_TAIL(&broker->clients, client, link);
	broker->client_count++;
	broker->new_count++;
	broker->counters.accepted++;
	msg_conn_set_handler(conn, &handler, client);
}

void client_logged_in(struct client *client)
{
	client->broker->new_count--;
	event_del(client->deadline);
	msg_conn_keepalive(client->conn, client->broker->settings.keepalive_s);
}

/* At the end of the program: nobody is told, sessions go on without us. */
void client_free_all(struct broker *broker)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&broker->clients))) {
		if (client->role == CLIENT_PEER) {
			session_client_gone(client);
			user_disconnected(client);
		} else if (client->role == CLIENT_TRANSLATOR) {
			translator_disconnected(client);
		}
		msg_conn_free(client->conn);
		client_free(client);
	}
}
