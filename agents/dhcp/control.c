// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "../lib/msg.h"
#include "serve.h"

#define CONNECTIONS 8
#define ANSWER_MS   5000

struct control {
	struct msg_listener *listener;
	control_answer answer;
	void *arg;
};

/* ---- the daemon's side */

static void on_request(struct msg_conn *conn, json_t *message, void *arg)
{
	struct control *control = arg;
	const char *op = "";
	json_t *answer;

	msg_get_string(message, "op", &op);
	answer = control->answer(op, message, control->arg);
	if (answer)
		msg_reply(conn, message, answer);
	else
		msg_reply_error(conn, message, "bad-request", "no such request: '%s'", op);
}

static void on_gone(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn;
	(void)why;
	(void)arg;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_request, on_gone };

	msg_conn_set_handler(conn, &handler, arg);
}

struct control *control_listen(struct event_base *base, const char *path, control_answer answer,
			       void *arg, char *error, size_t error_len)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		snprintf(error, error_len, "out of memory");
		return NULL;
	}
	control->answer = answer;
	control->arg = arg;
	control->listener = msg_listen_unix(base, path, 0600, CONNECTIONS, on_accepted, control,
					    error, error_len);
	if (!control->listener) {
		free(control);
		return NULL;
	}
	return control;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	msg_listener_free(control->listener);
	free(control);
}

/* ---- the command's side */

struct question {
	struct event_base *base;
	const char *op;
	json_t *answer;
	bool closed;
};

static void ask(struct msg_conn *conn, struct question *q);

/* One line holds so many leases; the rest is asked for. */
static bool has_more(struct question *q, json_t *part)
{
	json_t *leases = json_object_get(part, "leases"), *more = json_object_get(part, "more");
	bool some = json_array_size(leases) && json_integer_value(more) > 0;

	if (!q->answer)
		q->answer = json_incref(part);
	else
		json_array_extend(json_object_get(q->answer, "leases"), leases);
	if (!some)
		json_object_del(q->answer, "more");
	return some;
}

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct question *q = arg;

	if (answer && has_more(q, answer))
		ask(conn, q);
	else
		event_base_loopbreak(q->base);
}

static void ask(struct msg_conn *conn, struct question *q)
{
	json_int_t skip = json_array_size(json_object_get(q->answer, "leases"));

	if (msg_request(conn, json_pack("{s:s, s:I}", "op", q->op, "skip", skip), ANSWER_MS,
			on_answer, q))
		event_base_loopbreak(q->base);
}

static void on_connected(struct msg_conn *conn, void *arg)
{
	ask(conn, arg);
}

static void on_notice(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct question *q = arg;

	(void)conn;
	(void)why;
	q->closed = true;
	event_base_loopbreak(q->base);
}

static void print_value(const json_t *value)
{
	if (json_is_string(value))
		printf("%s", json_string_value(value));
	else if (json_is_integer(value))
		printf("%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		printf("%s", json_is_true(value) ? "yes" : "no");
	else
		printf("-");
}

/* An object a line, members side by side; lists one entry a line; deeper objects by their dots. */
static void print_text(const char *prefix, json_t *object)
{
	const char *key;
	json_t *value, *entry;
	size_t i;

	json_object_foreach (object, key, value) {
		char name[128];

		snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] ? "." : "", key);
		if (json_is_object(value)) {
			print_text(name, value);
			continue;
		}
		if (!json_is_array(value)) {
			printf("%-32s ", name);
			print_value(value);
			printf("\n");
			continue;
		}
		json_array_foreach (value, i, entry) {
			const char *member;
			json_t *part;

			printf("%s", name);
			json_object_foreach (entry, member, part) {
				if (json_is_object(part) || json_is_array(part))
					continue;
				printf(" %s ", member);
				print_value(part);
			}
			printf("\n");
		}
	}
}

static int print_answer(json_t *answer, bool json)
{
	const char *text = "";
	bool good = false;

	msg_get_bool(answer, "ok", &good);
	if (!good) {
		msg_get_string(answer, "text", &text);
		fprintf(stderr, PROGRAM ": %s\n", text);
		return 1;
	}
	json_object_del(answer, "re");
	json_object_del(answer, "ok");
	if (json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print_text("", answer);
	}
	return 0;
}

int control_ask(const char *path, const char *op, bool json)
{
	static const struct msg_handler handler = { on_connected, on_notice, on_closed };
	struct question q = { .base = event_base_new(), .op = op };
	struct msg_conn *conn = NULL;
	int status = 3;

	if (q.base)
		conn = msg_connect_unix(q.base, path, &handler, &q);
	if (conn)
		event_base_dispatch(q.base);
	if (conn && !q.closed)
		msg_conn_free(conn);
	if (q.base)
		event_base_free(q.base);
	if (q.answer)
		status = print_answer(q.answer, json);
	else
		fprintf(stderr,
			PROGRAM ": no answer on %s: does it run, and may you open its socket?\n",
			path);
	json_decref(q.answer);
	return status;
}

void control_path(const char *told, const char *kind, const char *device, char *path, size_t len)
{
	if (told)
		snprintf(path, len, "%s", told);
	else
		snprintf(path, len, "/run/isthmus/dhcp-%s%s%s.sock", kind, device ? "-" : "",
			 device ? device : "");
}
