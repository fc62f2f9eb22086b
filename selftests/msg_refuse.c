// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c selftests/lib/msg_fixture.c */
/* What is refused: raw TLS clients of OpenSSL send what the library never would. */
#include "selftests/lib/msg_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/ssl.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
