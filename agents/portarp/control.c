// SPDX-License-Identifier: GPL-3.0-or-later
/* The control socket: each message is an operation. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../lib/msg.h"
#include "control.h"

#define CONNECTIONS_MAX 32

struct control {
	struct msg_listener *listener;
};

static void on_request(struct msg_conn *conn, json_t *message, void *arg)
{
	struct op_result result;

	op_run(arg, message, &result);
	if (result.code)
		msg_reply_error(conn, message, result.code, "%s", result.text);
	else
		msg_reply(conn, message, result.body);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn;
	(void)why;
	(void)arg;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_request, on_closed };

	msg_conn_set_handler(conn, &handler, arg);
}

int control_listen(struct agent *agent, char *error, size_t error_len)
{
	char path[256], copy[256];

	settings_control_path(&agent->settings, path, sizeof(path));
	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST) {
		int err = -errno;

		snprintf(error, error_len, "cannot make the folder of %s: %s", path,
			 strerror(-err));
		return err;
	}
	agent->control = calloc(1, sizeof(*agent->control));
	if (!agent->control)
		return -ENOMEM;
	agent->control->listener = msg_listen_unix(agent->base, path, 0600, CONNECTIONS_MAX,
						   on_accepted, agent, error, error_len);
	return agent->control->listener ? 0 : -EADDRINUSE;
}

void control_free(struct agent *agent)
{
	if (agent->control && agent->control->listener)
		msg_listener_free(agent->control->listener);
	free(agent->control);
	agent->control = NULL;
}
