// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c */
/*
 * Bytes from a connection: first the parser of one line, then the whole library over a Unix
 * socket, which must end or keep the connection and leave nothing behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "agents/lib/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct msg_conn *accepted;
static char path[64];

static void remove_path(void)
{
	unlink(path);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	const char *text;
	int64_t number;
	uint64_t id;
	bool truth;

	(void)arg;
	if (!json_is_object(message))
		abort();
	msg_get_string(message, "s", &text);
	msg_get_integer(message, "n", -5, 5, &number);
	msg_get_id(message, "session", &id);
	msg_get_bool(message, "b", &truth);
	msg_reply(conn, message, json_incref(message));
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn;
	(void)arg;
	if (!why)
		abort();
	accepted = NULL;
}

static const struct msg_handler handler = { .message = on_message, .closed = on_closed };

static void on_accepted(struct msg_conn *conn, void *arg)
{
	(void)arg;
	accepted = conn;
	msg_conn_set_handler(conn, &handler, NULL);
}

static void parse_line(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	json_t *message = msg_parse((const char *)data, size, &why);

	if (!message == !why)
		abort();
	json_decref(message);
}

static int connect_to_listener(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	static char error[128];
	char answers[4096];
	int fd;

	parse_line(data, size);
	if (!base) {
		base = event_base_new();
		snprintf(path, sizeof(path), "/tmp/fuzz-msg-%d", getpid());
		if (!msg_listen_unix(base, path, 0600, 4, on_accepted, NULL, error, sizeof(error)))
			abort();
		atexit(remove_path);
	}
	fd = connect_to_listener();
	if (send(fd, data, size, MSG_NOSIGNAL) < 0 && size)
		abort();
	for (int i = 0; i < 8; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		while (read(fd, answers, sizeof(answers)) > 0)
			;
	}
	close(fd);
	for (int i = 0; i < 8 && accepted; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	if (accepted) /* its other end is closed: so must it be */
		abort();
	return 0;
}
