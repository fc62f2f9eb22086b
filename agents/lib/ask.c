// SPDX-License-Identifier: GPL-3.0-or-later
#include <event2/event.h>
#include <stdio.h>

#include "ask.h"
#include "msg.h"

#define ANSWER_MS 10000

struct question {
	struct event_base *base;
	struct msg_conn *conn;
	json_t *message, *answer;
};

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct question *question = arg;

	(void)conn;
	question->answer = json_incref(answer);
	event_base_loopbreak(question->base);
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct question *question = arg;

	if (msg_request(conn, json_incref(question->message), ANSWER_MS, on_answer, question))
		event_base_loopbreak(question->base);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct question *question = arg;

	(void)conn;
	(void)why;
	question->conn = NULL;
	event_base_loopbreak(question->base);
}

json_t *ask_daemon(const char *program, const char *path, json_t *message)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	struct question question = { .base = event_base_new(), .message = message };

	if (question.base)
		question.conn = msg_connect_unix(question.base, path, &handler, &question);
	if (question.conn)
		event_base_dispatch(question.base);
	if (question.conn)
		msg_conn_free(question.conn);
	if (question.base)
		event_base_free(question.base);
	json_decref(message);
	if (!question.answer)
		fprintf(stderr,
			"%s: no answer on %s: does the daemon run, and may you open its socket?\n",
			program, path);
	return question.answer;
}

int ask_check(const char *program, const json_t *answer)
{
	if (!answer)
		return ASK_NOT_RUNNING;
	if (json_is_true(json_object_get(answer, "ok")))
		return ASK_DONE;
	fprintf(stderr, "%s: %s: %s\n", program,
		json_string_value(json_object_get(answer, "error")),
		json_string_value(json_object_get(answer, "text")));
	return ASK_FAILED;
}

void ask_print(json_t *answer)
{
	json_object_del(answer, "re");
	json_object_del(answer, "ok");
	json_dumpf(answer, stdout, JSON_INDENT(2));
	printf("\n");
}
