// SPDX-License-Identifier: GPL-3.0-or-later
#include "selftests/lib/msg_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#define WAIT_S 10

struct msg_fixture f;

double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void run_once(void)
{
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	usleep(500);
}

/* Runs the loop until *counter reaches `value`; false after WAIT_S. */
bool run_until(const unsigned int *counter, unsigned int value)
{
	double end = seconds() + WAIT_S;

	while (*counter < value && seconds() < end)
		run_once();
	return *counter >= value;
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct end *end = arg;

	end->conn = conn;
	end->opened++;
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct end *end = arg;
	const char *op, *text;

	end->messages++;
	if (msg_get_string(message, "text", &text))
		snprintf(end->text, sizeof(end->text), "%s", text);
	if (!msg_get_string(message, "op", &op) || !strcmp(op, "silent"))
		return;
	if (!strcmp(op, "echo"))
		msg_reply(conn, message,
			  json_pack("{s:O}", "text", json_object_get(message, "text")));
	else
		msg_reply_error(conn, message, "unknown-op", "no '%s' here", op);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct end *end = arg;

	(void)conn;
	end->conn = NULL;
	end->closed++;
	snprintf(end->why, sizeof(end->why), "%s", why);
}

const struct msg_handler handler = { on_opened, on_message, on_closed };

void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct end *end = arg;

	(void)conn;
	end->answers++;
	end->null_answers += !answer;
	json_decref(end->answer);
	end->answer = json_incref(answer);
}

void on_accepted(struct msg_conn *conn, void *arg)
{
	struct end *end = arg;

	end->conn = conn;
	msg_conn_set_handler(conn, &handler, end);
}

void listen_tls(unsigned int limit)
{
	char error[200];

	for (int port = 20000 + getpid() % 20000, tries = 0; tries < 50; tries++, port++) {
		snprintf(f.port, sizeof(f.port), "%d", port);
		f.listener = msg_listen_tls(f.base, "127.0.0.1", f.port, f.cert, f.key, limit,
					    on_accepted, &f.server, error, sizeof(error));
		if (f.listener)
			return;
	}
	fail_msg("no free port: %s", error);
}

int msg_setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	strcpy(f.dir, "/tmp/msg-test-XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	snprintf(f.cert, sizeof(f.cert), "%s/cert.pem", f.dir);
	snprintf(f.key, sizeof(f.key), "%s/key.pem", f.dir);
	snprintf(f.path, sizeof(f.path), "%s/socket", f.dir);
	assert_int_equal(msg_make_certificate(f.cert, f.key, "localhost"), 0);
	assert_int_equal(msg_certificate_fingerprint(f.cert, f.fingerprint), 0);
	f.base = event_base_new();
	listen_tls(8);
	return 0;
}

int msg_teardown(void **state)
{
	(void)state;
	if (f.client.conn)
		msg_conn_free(f.client.conn);
	if (f.server.conn)
		msg_conn_free(f.server.conn);
	msg_listener_free(f.listener);
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	event_base_free(f.base);
	json_decref(f.client.answer);
	json_decref(f.server.answer);
	unlink(f.cert);
	unlink(f.key);
	unlink(f.path);
	rmdir(f.dir);
	return 0;
}

void connect_client(const char *fingerprint)
{
	char error[200] = "";

	f.client.conn = msg_connect_tls(f.base, "127.0.0.1", f.port, fingerprint, &handler,
					&f.client, error, sizeof(error));
	if (!f.client.conn)
		fail_msg("%s", error);
}

void connect_both(void)
{
	connect_client(f.fingerprint);
	assert_true(run_until(&f.client.opened, 1));
	assert_true(run_until(&f.server.opened, 1));
}

json_t *echo(const char *text)
{
	return json_pack("{s:s, s:s}", "op", "echo", "text", text);
}
