// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c selftests/lib/msg_fixture.c */
/* Requests, answers, sockets and the end of a connection. */
#include "selftests/lib/msg_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

/* ---- what works */

static void test_request_and_answer(void **state)
{
	const char *text;

	(void)state;
	connect_both();
	assert_int_equal(msg_request(f.client.conn, echo("hello"), 5000, on_answer, &f.client), 0);
	assert_true(run_until(&f.client.answers, 1));
	assert_int_equal(f.client.null_answers, 0);
	assert_true(msg_get_string(f.client.answer, "text", &text));
	assert_string_equal(text, "hello");
	assert_true(json_is_true(json_object_get(f.client.answer, "ok")));
	assert_int_equal(strncmp(msg_conn_peer(f.server.conn), "127.0.0.1:", 10), 0);
	assert_int_equal(msg_conn_address(f.server.conn)->sa_family, AF_INET);
}

static void test_unknown_op_is_answered(void **state)
{
	const char *code;

	(void)state;
	connect_both();
	msg_request(f.client.conn, json_pack("{s:s}", "op", "dance"), 5000, on_answer, &f.client);
	assert_true(run_until(&f.client.answers, 1));
	assert_true(json_is_false(json_object_get(f.client.answer, "ok")));
	assert_true(msg_get_string(f.client.answer, "error", &code));
	assert_string_equal(code, "unknown-op");
}

static void test_many_requests_both_ways(void **state)
{
	(void)state;
	connect_both();
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(msg_request(f.client.conn, echo("a"), 5000, on_answer, &f.client),
				 0);
		assert_int_equal(msg_request(f.server.conn, echo("b"), 5000, on_answer, &f.server),
				 0);
	}
	assert_true(run_until(&f.client.answers, 1000));
	assert_true(run_until(&f.server.answers, 1000));
	assert_int_equal(f.client.null_answers + f.server.null_answers, 0);
}

static void test_longest_line(void **state)
{
	static char text[MSG_LINE_MAX];
	json_t *message;

	(void)state;
	connect_both();
	/* {"op":"silent","text":"..."} and the newline */
	memset(text, 'x', sizeof(text) - 1);
	text[MSG_LINE_MAX - 1 - strlen("{\"op\":\"silent\",\"text\":\"\"}")] = 0;
	message = json_pack("{s:s, s:s}", "op", "silent", "text", text);
	assert_int_equal(msg_send(f.client.conn, json_incref(message)), 0);
	assert_true(run_until(&f.server.messages, 1));
	strcat(text, "x");
	json_object_set_new(message, "text", json_string(text));
	assert_int_equal(msg_send(f.client.conn, message), -EMSGSIZE);
	assert_true(msg_conn_is_open(f.client.conn));
}

static void test_what_is_queued_is_sent_before_the_end(void **state)
{
	(void)state;
	connect_both();
	for (int i = 0; i < 100; i++)
		msg_send(f.client.conn, json_pack("{s:s}", "op", "silent"));
	msg_conn_close(f.client.conn, "enough");
	assert_int_equal(f.client.closed, 0); /* from the loop only */
	assert_int_equal(msg_send(f.client.conn, json_object()), -ENOTCONN);
	assert_true(run_until(&f.client.closed, 1));
	assert_string_equal(f.client.why, "enough");
	assert_true(run_until(&f.server.closed, 1));
	assert_int_equal(f.server.messages, 100);
}

static void test_unix_socket(void **state)
{
	struct msg_listener *listener, *second;
	char error[200];
	struct stat st;

	(void)state;
	listener = msg_listen_unix(f.base, f.path, 0600, 4, on_accepted, &f.server, error,
				   sizeof(error));
	assert_non_null(listener);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	second = msg_listen_unix(f.base, f.path, 0600, 4, on_accepted, &f.server, error,
				 sizeof(error));
	assert_null(second); /* a live daemon keeps its socket */
	f.client.conn = msg_connect_unix(f.base, f.path, &handler, &f.client);
	assert_non_null(f.client.conn);
	assert_true(run_until(&f.client.opened, 1));
	msg_request(f.client.conn, echo("hello"), 5000, on_answer, &f.client);
	assert_true(run_until(&f.client.answers, 1));
	assert_int_equal(f.client.null_answers, 0);
	assert_string_equal(msg_conn_peer(f.client.conn), "unix");
	msg_listener_free(listener); /* connections stay */
	msg_request(f.client.conn, echo("hello"), 5000, on_answer, &f.client);
	assert_true(run_until(&f.client.answers, 2));
	assert_int_equal(f.client.null_answers, 0);
	assert_null(msg_connect_unix(f.base, f.path, &handler, &f.client));
}

static void test_stale_unix_socket_is_replaced(void **state)
{
	struct msg_listener *listener;
	char error[200];
	pid_t child = fork();

	(void)state;
	if (!child) { /* a daemon that is killed */
		struct event_base *base = event_base_new();

		if (!msg_listen_unix(base, f.path, 0600, 4, on_accepted, NULL, error,
				     sizeof(error)))
			_exit(1);
		_exit(0);
	}
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(access(f.path, F_OK), 0);
	listener = msg_listen_unix(f.base, f.path, 0600, 4, on_accepted, &f.server, error,
				   sizeof(error));
	assert_non_null(listener);
	msg_listener_free(listener);
}

/* ---- time */

static void test_request_times_out(void **state)
{
	double start;

	(void)state;
	connect_both();
	start = seconds();
	msg_request(f.client.conn, json_pack("{s:s}", "op", "silent"), 300, on_answer, &f.client);
	assert_true(run_until(&f.client.answers, 1));
	assert_int_equal(f.client.null_answers, 1);
	assert_true(seconds() - start >= 0.29);
	assert_true(msg_conn_is_open(f.client.conn));
}

static void test_requests_end_with_the_connection(void **state)
{
	(void)state;
	connect_both();
	for (int i = 0; i < 3; i++)
		msg_request(f.client.conn, json_pack("{s:s}", "op", "silent"), 60000, on_answer,
			    &f.client);
	assert_true(run_until(&f.server.messages, 3));
	msg_conn_close(f.server.conn, "over");
	assert_true(run_until(&f.client.closed, 1));
	assert_int_equal(f.client.null_answers, 3);
}

static void test_keepalive_keeps_a_live_connection(void **state)
{
	double start;

	(void)state;
	connect_both();
	msg_conn_keepalive(f.server.conn, 1);
	start = seconds();
	while (seconds() - start < 3.2)
		run_once();
	assert_int_equal(f.server.closed, 0);
	assert_true(msg_conn_is_open(f.client.conn));
}

/* A resolver outlives a connection that is given up before its answer. */
static void test_names(void **state)
{
	double end;
	char error[200];

	(void)state;
	f.client.conn = msg_connect_tls(f.base, "localhost", f.port, f.fingerprint, &handler,
					&f.client, error, sizeof(error));
	assert_non_null(f.client.conn);
	assert_true(run_until(&f.client.opened, 1));
	msg_conn_close(f.client.conn, "enough");
	assert_true(run_until(&f.client.closed, 1));
	f.client.conn = msg_connect_tls(f.base, "name.invalid", f.port, f.fingerprint, &handler,
					&f.client, error, sizeof(error));
	assert_non_null(f.client.conn);
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	msg_conn_close(f.client.conn, "enough");
	assert_true(run_until(&f.client.closed, 2));
	for (end = seconds() + 1.5; seconds() < end;)
		run_once();
	assert_int_equal(f.client.opened, 1);
}

static void test_slow_reader_is_closed(void **state)
{
	static char text[60000];
	unsigned int sent = 0;
	int rc = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	connect_both();
	/* The loop does not run: nobody reads, and the queue fills. */
	while (!rc && sent < 1000) {
		rc = msg_send(f.server.conn, json_pack("{s:s, s:s}", "op", "silent", "text", text));
		sent++;
	}
	assert_int_equal(rc, -ENOBUFS);
	assert_true(sent >= MSG_QUEUE_MAX / sizeof(text));
	assert_true(sent <= MSG_QUEUE_MAX / sizeof(text) + 2);
	assert_true(run_until(&f.server.closed, 1));
	assert_string_equal(f.server.why, "the other end does not read");
}

static void test_limit_of_connections(void **state)
{
	struct end extra = { 0 };
	char error[200];

	(void)state;
	msg_listener_free(f.listener);
	listen_tls(1);
	connect_both();
	extra.conn = msg_connect_tls(f.base, "127.0.0.1", f.port, f.fingerprint, &handler, &extra,
				     error, sizeof(error));
	assert_non_null(extra.conn);
	assert_true(run_until(&extra.closed, 1));
	assert_int_equal(extra.opened, 0);
	/* The first is still served, and its end makes room. */
	msg_request(f.client.conn, echo("hello"), 5000, on_answer, &f.client);
	assert_true(run_until(&f.client.answers, 1));
	assert_int_equal(f.client.null_answers, 0);
	msg_conn_close(f.client.conn, "over");
	assert_true(run_until(&f.server.closed, 1));
	connect_client(f.fingerprint);
	assert_true(run_until(&f.client.opened, 2));
}

/* ---- members and certificates */

static void test_members(void **state)
{
	const char *why, *text = "unchanged";
	json_t *message = msg_parse("{\"a\":\"x\",\"n\":7,\"b\":true,\"i\":\"00000000000000ff\","
				    "\"j\":\"00000000000000FF\",\"k\":\"ff\"}",
				    79, &why);
	int64_t number = -1;
	uint64_t id = 5;
	bool truth = false;

	(void)state;
	assert_non_null(message);
	assert_false(msg_get_string(message, "n", &text));
	assert_string_equal(text, "unchanged");
	assert_true(msg_get_string(message, "a", &text));
	assert_false(msg_get_integer(message, "n", 0, 6, &number));
	assert_false(msg_get_integer(message, "n", 8, 9, &number));
	assert_int_equal(number, -1);
	assert_true(msg_get_integer(message, "n", 7, 7, &number));
	assert_true(msg_get_bool(message, "b", &truth) && truth);
	assert_false(msg_get_id(message, "j", &id) || msg_get_id(message, "k", &id));
	assert_int_equal(id, 5);
	assert_true(msg_get_id(message, "i", &id));
	assert_int_equal(id, 255);
	json_decref(message);
	json_t *text_id = msg_json_id(0x0123456789abcdef);

	assert_string_equal(json_string_value(text_id), "0123456789abcdef");
	json_decref(text_id);
}

static void test_certificate_is_kept(void **state)
{
	char fingerprint[MSG_FINGERPRINT_LEN];
	struct stat st;

	(void)state;
	assert_int_equal(stat(f.key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(msg_make_certificate(f.cert, f.key, "other"), 0);
	assert_int_equal(msg_certificate_fingerprint(f.cert, fingerprint), 0);
	assert_string_equal(fingerprint, f.fingerprint);
	unlink(f.key);
	assert_int_equal(msg_make_certificate(f.cert, f.key, "other"), -EEXIST);
	assert_int_equal(msg_certificate_fingerprint(f.key, fingerprint), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request_and_answer),
		TEST(unknown_op_is_answered),
		TEST(many_requests_both_ways),
		TEST(longest_line),
		TEST(what_is_queued_is_sent_before_the_end),
		TEST(unix_socket),
		TEST(stale_unix_socket_is_replaced),
		TEST(request_times_out),
		TEST(requests_end_with_the_connection),
		TEST(keepalive_keeps_a_live_connection),
		TEST(names),
		TEST(slow_reader_is_closed),
		TEST(limit_of_connections),
		TEST(members),
		TEST(certificate_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
