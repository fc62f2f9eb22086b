// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "member.h"

#define BACKOFF_MIN_MS	500
#define BACKOFF_MAX_MS	30000
#define LOGIN_MS	15000
#define KEEPALIVE_MAX_S 3600

struct member {
	struct event_base *base;
	const char *op;
	struct member_credentials credentials;
	struct member_handler handler;
	void *arg;
	struct msg_conn *conn;
	struct event *retry;
	unsigned int backoff_ms;
	bool logged_in;
};

/* Between half and all of it, so that a restarted server is not met by all at once. */
static void retry_later(struct member *member)
{
	unsigned int ms = member->backoff_ms;
	struct timeval wait;

	ms = ms / 2 + arc4random_uniform(ms / 2 + 1);
	wait.tv_sec = ms / 1000;
	wait.tv_usec = ms % 1000 * 1000;
	evtimer_add(member->retry, &wait);
	member->backoff_ms *= 2;
	if (member->backoff_ms > BACKOFF_MAX_MS)
		member->backoff_ms = BACKOFF_MAX_MS;
}

static void refused(struct member *member, struct msg_conn *conn, const json_t *answer)
{
	const char *text = "no reason given";

	if (!msg_get_string(answer, "text", &text))
		msg_get_string(answer, "error", &text);
	log_error("the name server refuses this %s: %s", member->op, text);
	member->backoff_ms = BACKOFF_MAX_MS;
	msg_conn_close(conn, "login failed");
}

static void on_login(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct member *member = arg;
	int64_t keepalive;
	bool ok = false;

	if (!answer) { /* the server is busy or restarts: that is no refusal */
		msg_conn_close(conn, "no answer to the login");
		return;
	}
	msg_get_bool(answer, "ok", &ok);
	if (!ok) {
		refused(member, conn, answer);
		return;
	}
	if (msg_get_integer(answer, "keepalive", 1, KEEPALIVE_MAX_S, &keepalive))
		msg_conn_keepalive(conn, (unsigned int)keepalive);
	log_info("logged in to the name server %s as %s", msg_conn_peer(conn),
		 member->credentials.name);
	member->logged_in = true;
	member->backoff_ms = BACKOFF_MIN_MS;
	member->handler.logged_in(answer, member->arg);
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct member *member = arg;
	json_t *message = member->handler.login(member->arg);

	json_object_set_new(message, "op", json_string(member->op));
	json_object_set_new(message, "name", json_string(member->credentials.name));
	json_object_set_new(message, "secret", json_string(member->credentials.secret));
	json_object_set_new(message, "version", json_integer(1));
	if (msg_request(conn, message, LOGIN_MS, on_login, member))
		msg_conn_close(conn, "the login could not be sent");
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct member *member = arg;

	(void)conn;
	if (member->logged_in)
		member->handler.message(message, member->arg);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct member *member = arg;
	bool was = member->logged_in;

	(void)conn;
	if (was || member->backoff_ms == BACKOFF_MIN_MS)
		log_warn("connection to the name server %s:%s lost: %s", member->credentials.host,
			 member->credentials.port, why);
	member->conn = NULL;
	member->logged_in = false;
	if (was)
		member->handler.lost(member->arg);
	retry_later(member);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	struct member *member = arg;
	char error[256];

	(void)fd;
	(void)what;
	member->conn = msg_connect_tls(member->base, member->credentials.host,
				       member->credentials.port, member->credentials.fingerprint,
				       &handler, member, error, sizeof(error));
	if (member->conn)
		return;
	log_warn("cannot connect to the name server: %s", error);
	retry_later(member);
}

struct member *member_new(struct event_base *base, const char *op,
			  const struct member_credentials *credentials,
			  const struct member_handler *handler, void *arg)
{
	struct member *member = calloc(1, sizeof(*member));
	const struct timeval now = { 0 };

	if (!member)
		return NULL;
	member->base = base;
	member->op = op;
	member->credentials = *credentials;
	member->handler = *handler;
	member->arg = arg;
	member->backoff_ms = BACKOFF_MIN_MS;
	member->retry = evtimer_new(base, on_retry, member);
	if (member->retry && !evtimer_add(member->retry, &now))
		return member;
	member_free(member);
	return NULL;
}

void member_free(struct member *member)
{
	if (!member)
		return;
	if (member->conn)
		msg_conn_free(member->conn);
	if (member->retry)
		event_free(member->retry);
	explicit_bzero(member, sizeof(*member));
	free(member);
}

bool member_is_logged_in(const struct member *member)
{
	return member && member->logged_in;
}

void member_tell(struct member *member, json_t *message)
{
	if (member_is_logged_in(member))
		msg_send(member->conn, message);
	else
		json_decref(message);
}
