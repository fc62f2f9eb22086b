// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c */
/*
 * Control messages over real sockets on loopback: a server, clients and raw TLS clients of OpenSSL
 * share one event loop. Each test runs the loop until what it waits for has happened, at most
 * 10 s; nothing is asserted before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/thread.h>
#include <openssl/ssl.h>

#include "agents/lib/msg.h"

#define WAIT_S 10

/* What one end of a connection has seen. */
struct end {
	struct msg_conn *conn;
	unsigned int opened, messages, closed, answers, null_answers;
	char why[200], text[64];
	json_t *answer;
};

static struct fixture {
	struct event_base *base;
	struct msg_listener *listener;
	char dir[64], cert[96], key[96], path[96];
	char fingerprint[MSG_FINGERPRINT_LEN];
	char port[8];
	struct end server, client;
} f;

static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void run_once(void)
{
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	usleep(500);
}

/* Runs the loop until *counter reaches `value`; false after WAIT_S. */
static bool run_until(const unsigned int *counter, unsigned int value)
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

static const struct msg_handler handler = { on_opened, on_message, on_closed };

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct end *end = arg;

	(void)conn;
	end->answers++;
	end->null_answers += !answer;
	json_decref(end->answer);
	end->answer = json_incref(answer);
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	struct end *end = arg;

	end->conn = conn;
	msg_conn_set_handler(conn, &handler, end);
}

static void listen_tls(unsigned int limit)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static void connect_client(const char *fingerprint)
{
	char error[200] = "";

	f.client.conn = msg_connect_tls(f.base, "127.0.0.1", f.port, fingerprint, &handler,
					&f.client, error, sizeof(error));
	if (!f.client.conn)
		fail_msg("%s", error);
}

static void connect_both(void)
{
	connect_client(f.fingerprint);
	assert_true(run_until(&f.client.opened, 1));
	assert_true(run_until(&f.server.opened, 1));
}

static json_t *echo(const char *text)
{
	return json_pack("{s:s, s:s}", "op", "echo", "text", text);
}

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

/* ---- raw TLS clients: what a library of ours would never send */

struct raw {
	pthread_t thread;
	const char *bytes;
	size_t len;
	int max_version, hold_ms;
	bool handshake_ok;
	unsigned int done;
};

static SSL *raw_handshake(struct raw *raw, int fd, SSL_CTX *context)
{
	SSL *ssl = SSL_new(context);

	if (raw->max_version)
		SSL_set_max_proto_version(ssl, raw->max_version);
	SSL_set_fd(ssl, fd);
	raw->handshake_ok = SSL_connect(ssl) == 1;
	return ssl;
}

/* Writes its bytes and waits until the server ends the connection, at most hold_ms. */
static void *raw_run(void *arg)
{
	struct raw *raw = arg;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(f.port)) };
	struct timeval limit = { .tv_sec = raw->hold_ms / 1000,
				 .tv_usec = raw->hold_ms % 1000 * 1000 };
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char answer[256];
	SSL *ssl;

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		ssl = raw_handshake(raw, fd, context);
		if (raw->handshake_ok) {
			SSL_write(ssl, raw->bytes, raw->len);
			while (SSL_read(ssl, answer, sizeof(answer)) > 0)
				;
		}
		SSL_free(ssl);
	}
	SSL_CTX_free(context);
	close(fd);
	__atomic_store_n(&raw->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void raw_start(struct raw *raw)
{
	assert_int_equal(pthread_create(&raw->thread, NULL, raw_run, raw), 0);
}

static void raw_finish(struct raw *raw)
{
	assert_true(run_until(&raw->done, 1));
	pthread_join(raw->thread, NULL);
}

/* The server ends the connection for the reason expected. */
static void check_refused(const char *bytes, size_t len, const char *why)
{
	struct raw raw = { .bytes = bytes, .len = len, .hold_ms = 8000 };

	raw_start(&raw);
	assert_true(run_until(&f.server.closed, 1));
	raw_finish(&raw);
	assert_true(raw.handshake_ok);
	assert_string_equal(f.server.why, why);
	assert_int_equal(f.server.messages, 0);
}

static void test_garbage(void **state)
{
	(void)state;
	check_refused("\x16\x03\xff garbage\n", 12, "a line is no JSON");
}

static void test_duplicate_keys(void **state)
{
	static const char line[] = "{\"op\":\"echo\",\"op\":\"silent\"}\n";

	(void)state;
	check_refused(line, strlen(line), "a line is no JSON");
}

static void test_not_an_object(void **state)
{
	(void)state;
	check_refused("[1,2]\n", 6, "a line is no JSON object");
}

static void test_nul_byte(void **state)
{
	(void)state;
	check_refused("{\"op\":\"a\0b\"}\n", 13, "a line is no JSON");
}

static void test_deep_nesting(void **state)
{
	static char line[4000];

	(void)state;
	memset(line, '[', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	check_refused(line, sizeof(line), "a message is nested too deeply");
}

static void test_oversized_line(void **state)
{
	static char line[MSG_LINE_MAX + 1000];

	(void)state;
	memset(line, 'x', sizeof(line));
	check_refused(line, sizeof(line), "a line is too long");
}

static void test_oversized_json_line(void **state)
{
	static char line[MSG_LINE_MAX + 1];
	int head = sprintf(line, "{\"op\":\"silent\",\"text\":\"");

	(void)state;
	memset(line + head, 'x', sizeof(line) - head);
	memcpy(line + sizeof(line) - 3, "\"}\n", 3);
	check_refused(line, sizeof(line), "a line is too long");
}

/* The control for the refusals above: the same raw client, a good line. */
static void test_good_raw_line_is_served(void **state)
{
	static const char line[] = "{\"op\":\"silent\",\"text\":\"[[[[[[[[[[[[[[[[[[[[\"}\n";
	struct raw raw = { .bytes = line, .len = strlen(line), .hold_ms = 300 };

	(void)state;
	raw_start(&raw);
	assert_true(run_until(&f.server.messages, 1));
	raw_finish(&raw);
	assert_true(run_until(&f.server.closed, 1));
	assert_string_equal(f.server.why, "the other end closed the connection");
}

static void test_silent_client_is_closed(void **state)
{
	struct raw raw = { .bytes = "\n", .len = 0, .hold_ms = 9000 };

	(void)state;
	raw_start(&raw); /* reads pings, answers none */
	assert_true(run_until(&f.server.opened, 1));
	msg_conn_keepalive(f.server.conn, 1);
	assert_true(run_until(&f.server.closed, 1));
	raw_finish(&raw);
	assert_string_equal(f.server.why, "the other end is silent");
}

static void test_tls_1_2_is_refused(void **state)
{
	struct raw raw = {
		.bytes = "{}\n", .len = 3, .hold_ms = 5000, .max_version = TLS1_2_VERSION
	};

	(void)state;
	raw_start(&raw);
	raw_finish(&raw);
	assert_false(raw.handshake_ok);
	assert_true(run_until(&f.server.closed, 1));
	assert_int_equal(f.server.opened, 0);
}

static void test_no_tls_is_refused(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(f.port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(fd, "{\"op\":\"silent\"}\n", 16), 16);
	assert_true(run_until(&f.server.closed, 1));
	assert_int_equal(f.server.opened + f.server.messages, 0);
	close(fd);
}

static void test_wrong_fingerprint(void **state)
{
	(void)state;
	f.fingerprint[0] = f.fingerprint[0] == '0' ? '1' : '0';
	connect_client(f.fingerprint);
	assert_true(run_until(&f.client.closed, 1));
	assert_non_null(strstr(f.client.why, "certificate verify failed"));
	assert_int_equal(f.client.opened, 0);
	assert_true(run_until(&f.server.closed, 1));
}

static void test_unknown_authority(void **state)
{
	(void)state;
	connect_client(NULL); /* no CA knows a self-signed certificate */
	assert_true(run_until(&f.client.closed, 1));
	assert_int_equal(f.client.opened, 0);
	assert_true(run_until(&f.server.closed, 1));
}

static void test_nobody_listens(void **state)
{
	(void)state;
	msg_listener_free(f.listener);
	f.listener = NULL;
	connect_client(f.fingerprint);
	assert_true(run_until(&f.client.closed, 1));
	assert_string_equal(f.client.why, strerror(ECONNREFUSED));
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

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

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
		TEST(garbage),
		TEST(duplicate_keys),
		TEST(not_an_object),
		TEST(nul_byte),
		TEST(deep_nesting),
		TEST(oversized_line),
		TEST(oversized_json_line),
		TEST(good_raw_line_is_served),
		TEST(silent_client_is_closed),
		TEST(tls_1_2_is_refused),
		TEST(no_tls_is_refused),
		TEST(wrong_fingerprint),
		TEST(unknown_authority),
		TEST(nobody_listens),
		TEST(names),
		TEST(slow_reader_is_closed),
		TEST(limit_of_connections),
		TEST(members),
		TEST(certificate_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
