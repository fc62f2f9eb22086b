// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The connection to the broker (docs/protocol.md): made again with back-off when it is lost, while
 * sessions go on. What became of sessions meanwhile is told afterwards.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "../lib/msg.h"
#include "control.h"

#define BACKOFF_MIN_MS	500
#define BACKOFF_MAX_MS	30000
#define LOGIN_MS	15000
#define LOAD_S		5
#define KEEPALIVE_MAX_S 3600
#define NOTICES_MAX	8192 /* kept while the broker cannot be reached */

struct control {
	struct translator *translator;
	struct msg_conn *conn;
	struct event *retry, *load;
	char name[LOGIN_NAME_LEN], fingerprint[FINGERPRINT_CHARS], secret[AUTH_TOKEN_LEN];
	char host[256], port[6];
	unsigned int backoff_ms;
	bool logged_in;
	unsigned int told_sessions, told_free;
	json_t *notices; /* array */
};

static int read_login(struct control *control, char *error, size_t error_len)
{
	const char *path = control->translator->settings.login_file;
	char line[512];
	int err = conf_read_secret(path, line, sizeof(line));

	if (!err)
		err = login_parse(line, control->name, control->secret, sizeof(control->secret),
				  control->fingerprint);
	explicit_bzero(line, sizeof(line));
	if (err == -EPERM)
		snprintf(error, error_len, "login file %s can be read by others: chmod 600 it",
			 path);
	else if (err == -EINVAL)
		snprintf(error, error_len,
			 "login file %s does not hold a line of `isthmus-broker translator add`",
			 path);
	else if (err)
		snprintf(error, error_len, "cannot read the login file %s: %s", path,
			 strerror(-err));
	return err;
}

static int read_broker(struct control *control, char *error, size_t error_len)
{
	const char *broker = control->translator->settings.broker;
	uint16_t port;

	if (address_split(broker, control->host, sizeof(control->host), &port) ||
	    !control->host[0]) {
		snprintf(error, error_len, "broker '%s' is not HOST:PORT", broker);
		return -EINVAL;
	}
	snprintf(control->port, sizeof(control->port), "%u", port);
	return 0;
}

/* ---- notices */

/* What a broker must know for its books is kept for it; the rest is of the moment. */
static void tell(struct control *control, json_t *message, bool keep)
{
	struct translator *t = control->translator;

	if (!message)
		return;
	if (control->logged_in && !msg_send(control->conn, json_incref(message))) {
		json_decref(message);
		return;
	}
	if (keep && json_array_size(control->notices) < NOTICES_MAX) {
		json_array_append_new(control->notices, message);
		return;
	}
	t->counters.notices_lost += keep;
	json_decref(message);
}

static json_t *notice(const char *op, const struct session *s)
{
	return json_pack("{s:s, s:o}", "op", op, "session", msg_json_id(s->id));
}

static void tell_joined(struct translator *t, const struct session *s)
{
	tell(t->control, notice("joined", s), true);
}

static void tell_ended(struct translator *t, const struct session *s, enum end_why why,
		       const struct traffic *traffic)
{
	json_t *message = notice("ended", s);

	json_object_set_new(message, "why", json_string(end_text(why)));
	json_object_set_new(message, "bytes_up", json_integer(traffic->bytes[0]));
	json_object_set_new(message, "bytes_down", json_integer(traffic->bytes[1]));
	json_object_set_new(message, "packets_up", json_integer(traffic->packets[0]));
	json_object_set_new(message, "packets_down", json_integer(traffic->packets[1]));
	log_debug("session %016llx ended: %s", (unsigned long long)s->id, end_text(why));
	tell(t->control, message, true);
}

static void tell_refused(struct translator *t, const struct session *s, const char *reason)
{
	json_t *message = notice("refused", s);

	json_object_set_new(message, "reason", json_string(reason));
	log_info("session %016llx: refused, %s", (unsigned long long)s->id, reason);
	tell(t->control, message, false);
}

static void tell_side_syn(struct translator *t, const struct session *s, int side, uint16_t port)
{
	json_t *message = notice("side-syn", s);

	json_object_set_new(message, "side", json_integer(side));
	json_object_set_new(message, "port", json_integer(port));
	tell(t->control, message, false);
}

static const struct notify control_notify = {
	.joined = tell_joined,
	.ended = tell_ended,
	.refused = tell_refused,
	.side_syn = tell_side_syn,
};

static void tell_load(struct control *control)
{
	struct translator *t = control->translator;
	unsigned int sessions = t->table.sessions - t->table.finished_count;
	unsigned int room = rendezvous_free(t);

	if (!control->logged_in ||
	    (sessions == control->told_sessions && room == control->told_free))
		return;
	control->told_sessions = sessions;
	control->told_free = room;
	tell(control,
	     json_pack("{s:s, s:I, s:I}", "op", "load", "sessions", (json_int_t)sessions, "free",
		       (json_int_t)room),
	     false);
}

static void on_load(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_load(arg);
}

static void tell_kept(struct control *control)
{
	json_t *notices = control->notices;
	json_t *message;
	size_t i;

	control->notices = json_array();
	json_array_foreach (notices, i, message)
		tell(control, json_incref(message), true);
	json_decref(notices);
}

/* ---- the connection */

static void retry_later(struct control *control)
{
	unsigned int ms = control->backoff_ms;
	struct timeval wait;

	/* Between half and all of it, so that a restarted broker is not met by all at once. */
	ms = ms / 2 + arc4random_uniform(ms / 2 + 1);
	wait.tv_sec = ms / 1000;
	wait.tv_usec = ms % 1000 * 1000;
	evtimer_add(control->retry, &wait);
	control->backoff_ms *= 2;
	if (control->backoff_ms > BACKOFF_MAX_MS)
		control->backoff_ms = BACKOFF_MAX_MS;
}

static void on_login(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct control *control = arg;
	const char *text = "no reason given";
	int64_t keepalive = 0;
	bool ok = false;

	if (!answer) { /* the broker is busy or restarts: that is no refusal */
		msg_conn_close(conn, "no answer to the login");
		return;
	}
	msg_get_bool(answer, "ok", &ok);
	if (!ok) {
		if (!msg_get_string(answer, "text", &text))
			msg_get_string(answer, "error", &text);
		log_error("the broker refuses this translator: %s", text);
		control->backoff_ms = BACKOFF_MAX_MS;
		msg_conn_close(conn, "login failed");
		return;
	}
	if (msg_get_integer(answer, "keepalive", 1, KEEPALIVE_MAX_S, &keepalive))
		msg_conn_keepalive(conn, keepalive);
	log_info("serving the broker %s as %s", msg_conn_peer(conn), control->name);
	control->logged_in = true;
	control->backoff_ms = BACKOFF_MIN_MS;
	control->told_sessions = control->translator->table.sessions;
	control->told_free = rendezvous_free(control->translator);
	tell_kept(control);
}

static json_t *address_list(const struct translator *t)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < t->locals.count; i++) {
		char text[ADDRESS_TEXT_LEN];

		if (t->locals.item[i].draining)
			continue;
		address_text(&t->locals.item[i].addr, text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct control *control = arg;
	struct translator *t = control->translator;
	json_t *message = json_pack("{s:s, s:s, s:s, s:i, s:o, s:s, s:I}", "op", "translator",
				    "name", control->name, "secret", control->secret, "version", 1,
				    "addresses", address_list(t), "engine", t->engine->name, "free",
				    (json_int_t)rendezvous_free(t));

	if (!message || msg_request(conn, message, LOGIN_MS, on_login, control))
		msg_conn_close(conn, "login could not be sent");
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct control *control = arg;

	(void)conn;
	if (control->logged_in || control->backoff_ms == BACKOFF_MIN_MS)
		log_warn("connection to the broker %s:%s lost: %s", control->host, control->port,
			 why);
	control->conn = NULL;
	control->logged_in = false;
	retry_later(control);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct control *control = arg;

	if (control->logged_in)
		control_request(control->translator, conn, message);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	struct control *control = arg;
	char error[256];

	(void)fd;
	(void)what;
	control->conn =
		msg_connect_tls(control->translator->base, control->host, control->port,
				control->fingerprint, &handler, control, error, sizeof(error));
	if (control->conn)
		return;
	log_warn("cannot connect to the broker: %s", error);
	retry_later(control);
}

int control_start(struct translator *t, char *error, size_t error_len)
{
	struct control *control = calloc(1, sizeof(*control));
	struct timeval now = { 0, 0 }, load = { LOAD_S, 0 };
	int err;

	snprintf(error, error_len, "out of memory");
	if (!control)
		return -ENOMEM;
	t->control = control;
	t->notify = &control_notify;
	control->translator = t;
	control->backoff_ms = BACKOFF_MIN_MS;
	control->notices = json_array();
	if (!t->settings.broker || !t->settings.login_file) {
		snprintf(error, error_len, "%s is not set: give --%s or put it into the settings",
			 t->settings.broker ? "login-file" : "broker",
			 t->settings.broker ? "login-file" : "broker");
		return -EINVAL;
	}
	err = read_broker(control, error, error_len);
	if (!err)
		err = read_login(control, error, error_len);
	if (err)
		return err;
	control->retry = evtimer_new(t->base, on_retry, control);
	control->load = event_new(t->base, -1, EV_PERSIST, on_load, control);
	if (!control->notices || !control->retry || !control->load ||
	    event_add(control->retry, &now) || event_add(control->load, &load))
		return -ENOMEM;
	return 0;
}

void control_reload(struct translator *t)
{
	struct control *control = t->control;
	struct control next = { .translator = t };
	char error[512];

	if (read_broker(&next, error, sizeof(error)) || read_login(&next, error, sizeof(error))) {
		log_warn("the connection to the broker stays as it is: %s", error);
		return;
	}
	if (strcmp(next.host, control->host) || strcmp(next.port, control->port) ||
	    strcmp(next.name, control->name) || strcmp(next.secret, control->secret) ||
	    strcmp(next.fingerprint, control->fingerprint)) {
		memcpy(control->host, next.host, sizeof(next.host));
		memcpy(control->port, next.port, sizeof(next.port));
		memcpy(control->name, next.name, sizeof(next.name));
		memcpy(control->secret, next.secret, sizeof(next.secret));
		memcpy(control->fingerprint, next.fingerprint, sizeof(next.fingerprint));
		control->backoff_ms = BACKOFF_MIN_MS;
		if (control->conn)
			msg_conn_close(control->conn, "settings have changed");
	}
	explicit_bzero(next.secret, sizeof(next.secret));
}

bool control_connected(const struct translator *t)
{
	return t->control && t->control->logged_in;
}

void control_free(struct translator *t)
{
	struct control *control = t->control;

	if (!control)
		return;
	if (control->conn)
		msg_conn_free(control->conn);
	if (control->retry)
		event_free(control->retry);
	if (control->load)
		event_free(control->load);
	json_decref(control->notices);
	explicit_bzero(control, sizeof(*control));
	free(control);
	t->control = NULL;
}
