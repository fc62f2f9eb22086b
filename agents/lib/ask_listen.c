// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ask.h"
#include "msg.h"

#define CLIENTS_MAX 16

json_t *ask_refuse(struct ask_error *why, const char *code, const char *format, ...)
{
	va_list list;

	why->code = code;
	va_start(list, format);
	vsnprintf(why->text, sizeof(why->text), format, list);
	va_end(list);
	return NULL;
}

static void command(const struct ask_server *server, const char *op, struct msg_conn *conn,
		    const json_t *message)
{
	struct ask_error why = { "failed", "out of memory" };
	json_t *answer = server->command(op, message, &why, server->arg);

	if (answer)
		msg_reply(conn, message, answer);
	else
		msg_reply_error(conn, message, why.code, "%s", why.text);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	const struct ask_server *server = arg;
	const char *op = "";

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "status"))
		msg_reply(conn, message, server->status(server->arg));
	else if (server->command)
		command(server, op, conn, message);
	else
		msg_reply_error(conn, message, "unknown-op", "status is known here");
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn, (void)why, (void)arg;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_message, on_closed };

	msg_conn_set_handler(conn, &handler, arg);
}

int ask_listen(struct ask_server *server, struct event_base *base, const char *path, char *error,
	       size_t error_len)
{
	char copy[4096];

	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST) {
		int err = -errno;

		snprintf(error, error_len, "the folder of %s: %s", path, strerror(-err));
		return err;
	}
	server->listener = msg_listen_unix(base, path, 0600, CLIENTS_MAX, on_accepted, server,
					   error, error_len);
	return server->listener ? 0 : -EADDRINUSE;
}

void ask_close(struct ask_server *server)
{
	if (server->listener)
		msg_listener_free(server->listener);
	server->listener = NULL;
}
