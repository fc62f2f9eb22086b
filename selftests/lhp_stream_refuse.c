// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/lhp_stream.c */
/* link: agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c agents/lib/lhp_stream_place.c */
/* link: agents/lib/conf.c agents/lib/address.c selftests/lib/lhp_ends.c */
/*
 * Who is not let in, and what an authenticated peer may not send. The peer is OpenSSL itself or a
 * plain socket.
 */
#include "selftests/lib/lhp_ends.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* ---- a peer that is not ours */

struct raw {
	int fd;
	SSL *ssl;
	const char *name;
	size_t name_len;
	uint8_t key[LHP_KEY_BYTES];
	size_t key_len; /* 0: offers none */
};

static struct raw raw;

static int raw_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
		       SSL_SESSION **session)
{
	(void)md;
	*session = NULL;
	if (!raw.key_len)
		return 1;
	*session = SSL_SESSION_new();
	SSL_SESSION_set1_master_key(*session, raw.key, raw.key_len);
	SSL_SESSION_set_cipher(*session, SSL_CIPHER_find(ssl, (const unsigned char *)"\x13\x01"));
	SSL_SESSION_set_protocol_version(*session, TLS1_3_VERSION);
	*id = (const unsigned char *)raw.name;
	*id_len = raw.name_len;
	return 1;
}

static int raw_fd(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", ends.place + 5);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Prepares a client on a Unix socket: the caller changes what it wants. */
static SSL_CTX *raw_begin(const char *name, uint8_t key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	raw.name = name;
	raw.name_len = strlen(name);
	raw.key_len = LHP_KEY_BYTES;
	memset(raw.key, key, sizeof(raw.key));
	raw.fd = raw_fd();
	SSL_CTX_set_psk_use_session_callback(context, raw_session);
	return context;
}

/* 1, or the SSL_ERROR of a handshake that failed. */
static int raw_handshake(SSL_CTX *context)
{
	int rc = 0;

	raw.ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(raw.ssl, raw.fd);
	SSL_set_connect_state(raw.ssl);
	for (int i = 0; i < 2000; i++) {
		ERR_clear_error();
		rc = SSL_do_handshake(raw.ssl);
		if (rc == 1 || SSL_get_error(raw.ssl, rc) != SSL_ERROR_WANT_READ)
			break;
		ends_turn(0);
	}
	/* An alert comes after the client thinks that it is done. */
	for (int i = 0; rc == 1 && i < 20; i++)
		ends_turn(0);
	return rc;
}

static void raw_end(void)
{
	SSL_free(raw.ssl);
	ERR_clear_error();
	raw.ssl = NULL;
	close(raw.fd);
}

static int raw_open(void)
{
	return raw_handshake(raw_begin(ENDS_NAME, ENDS_KEY));
}

static uint64_t refused(void)
{
	return lhp_listener_refused(ends.listener);
}

static uint64_t refused_before;

static bool one_more_refused(void)
{
	return refused() > refused_before;
}

/* ---- handshakes */

static void test_reference(void **state)
{
	(void)state;
	ends_listen("unix");
	assert_int_equal(raw_open(), 1);
	assert_int_equal(ends.server.opened, 1);
	assert_string_equal(lhp_name(ends.server.lhp), ENDS_NAME);
	assert_string_equal(SSL_get_version(raw.ssl), "TLSv1.3");
	assert_string_equal(SSL_get_cipher(raw.ssl), "TLS_AES_128_GCM_SHA256");
	/* Fresh randomness of both, and nothing to resume. */
	assert_true(SSL_get_negotiated_group(raw.ssl) > 0);
	assert_true(SSL_session_reused(raw.ssl));
	assert_int_equal(SSL_CTX_sess_number(SSL_get_SSL_CTX(raw.ssl)), 0);
	assert_int_equal(refused(), 0);
	raw_end();
	ends_close();
}

/* The refusal as the peer sees it: OpenSSL's error, and whether bytes followed. */
static unsigned long refusal(const char *name, size_t len, uint8_t key, size_t key_len)
{
	SSL_CTX *context = raw_begin(name, key);
	unsigned long error;

	raw.name_len = len;
	raw.key_len = key_len;
	refused_before = refused();
	assert_int_not_equal(raw_handshake(context), 1);
	error = ERR_peek_error();
	raw_end();
	assert_true(ends_run(one_more_refused));
	assert_int_equal(refused(), refused_before + 1);
	assert_int_equal(ends.accepted, 0);
	return error;
}

/* A peer cannot tell an unknown name from a wrong key. */
static void test_wrong_key_or_name(void **state)
{
	static const char long_name[] = "c23456789012345678901234567890123";
	unsigned long wrong_key;

	(void)state;
	ends_listen("unix");
	wrong_key = refusal(ENDS_NAME, 3, ENDS_KEY + 1, LHP_KEY_BYTES);
	assert_true(wrong_key != 0);
	assert_int_equal(ERR_GET_REASON(wrong_key), SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER);
	assert_int_equal(refusal("c-2", 3, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal("C-1", 3, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal("c-1\0", 4, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal("c-", 2, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal("../c-1", 6, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal(long_name, 33, ENDS_KEY, LHP_KEY_BYTES), wrong_key);
	assert_int_equal(refusal(ENDS_NAME, 3, ENDS_KEY, 16), wrong_key);
	assert_int_equal(refusal("", 1, 0, LHP_KEY_BYTES), wrong_key);
	/* Only names that are names were asked for. */
	assert_int_equal(ends.asked, 5);
	ends_close();
}

static void test_no_key(void **state)
{
	SSL_CTX *context;

	(void)state;
	ends_listen("unix");
	assert_true(refusal(ENDS_NAME, 3, ENDS_KEY, 0) != 0);
	refused_before = refused();
	context = raw_begin(ENDS_NAME, ENDS_KEY);
	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	assert_int_not_equal(raw_handshake(context), 1);
	raw_end();
	assert_true(ends_run(one_more_refused));
	context = raw_begin(ENDS_NAME, ENDS_KEY);
	SSL_CTX_set_ciphersuites(context, "TLS_CHACHA20_POLY1305_SHA256");
	raw.key_len = 0;
	refused_before = refused();
	assert_int_not_equal(raw_handshake(context), 1);
	raw_end();
	assert_true(ends_run(one_more_refused));
	assert_int_equal(ends.accepted, 0);
	ends_close();
}

static bool client_closed(void)
{
	return ends.client.closed;
}

static void test_our_client_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		refused_before = 0;
		ends_listen(i ? "unix" : "tls");
		ends_connect(i ? "stranger" : ENDS_NAME, i ? ENDS_KEY : ENDS_KEY + 1);
		assert_true(ends_run(client_closed));
		assert_int_equal(ends.client.opened + ends.accepted, 0);
		assert_string_equal(ends.client.why, "name or key is refused: TLS: "
						     "sslv3 alert illegal parameter");
		assert_true(ends_run(one_more_refused));
		assert_int_equal(refused(), 1);
		ends_close();
	}
}

/* ---- a server that has a certificate in place of the key */

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

static SSL *certified_server(int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key);
	SSL *ssl;

	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	return ssl;
}

static void test_certified_server(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener, fd;
	SSL *ssl;

	(void)state;
	ends_listen("unix");
	lhp_listener_free(ends.listener);
	ends.listener = NULL;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", ends.place + 5);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	ends_connect(ENDS_NAME, ENDS_KEY);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ssl = certified_server(fd);
	for (int i = 0; i < 2000 && !ends.client.closed; i++) {
		SSL_do_handshake(ssl);
		ends_turn(0);
	}
	assert_int_equal(ends.client.closed, 1);
	assert_int_equal(ends.client.opened, 0);
	SSL_free(ssl);
	ERR_clear_error();
	close(fd);
	close(listener);
	unlink(address.sun_path);
	ends_close();
}

/* ---- no TLS at all */

static void send_garbage(const void *bytes, size_t len)
{
	int fd = raw_fd();

	refused_before = refused();
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	shutdown(fd, SHUT_WR); /* what could be the beginning of a record would be waited for */
	assert_true(ends_run(one_more_refused));
	close(fd);
}

static void test_garbage(void **state)
{
	uint8_t random[1000];
	uint32_t x = 1;

	(void)state;
	ends_listen("unix");
	send_garbage("GET / HTTP/1.0\r\n\r\n", 18);
	send_garbage("\x16\x03\x01\xff\xff\x01", 6);
	send_garbage("\x15\x03\x03\x00\x02\x02\x28", 7); /* an alert */
	for (int i = 0; i < 100; i++) {
		for (size_t j = 0; j < sizeof(random); j++)
			random[j] = (x = x * 1664525 + 1013904223) >> 24;
		if (i & 1) /* a record that is whole */
			memcpy(random, "\x16\x03\x01\x03\xe3", 5);
		send_garbage(random, sizeof(random));
	}
	assert_int_equal(ends.accepted + ends.asked, 0);
	/* And a client who knows the key is served. */
	assert_int_equal(raw_open(), 1);
	assert_int_equal(ends.accepted, 1);
	raw_end();
	ends_close();
}

static bool is_closed(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

/*
 * 70 that say nothing, or half a record: of these 64 may wait, the oldest had to go, and all are
 * gone after 10 s. A genuine client comes in between.
 */
static void test_silent(void **state)
{
	int fds[70];
	time_t begin = time(NULL);

	(void)state;
	ends_listen("unix");
	for (int i = 0; i < 70; i++) {
		fds[i] = raw_fd();
		if (i & 1)
			assert_int_equal(send(fds[i], "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
		ends_turn(1);
	}
	for (int i = 0; i < 70; i++)
		assert_int_equal(is_closed(fds[i]), i < 6);
	assert_int_equal(refused(), 6);
	assert_int_equal(raw_open(), 1);
	assert_int_equal(ends.accepted, 1);
	assert_int_equal(refused(), 7);
	while (refused() < 70 && time(NULL) < begin + 13)
		ends_turn(20);
	assert_int_equal(refused(), 70);
	assert_in_range(time(NULL) - begin, 9, 13);
	assert_int_equal(ends.server.closed, 0);
	for (int i = 0; i < 70; i++) {
		assert_true(is_closed(fds[i]));
		close(fds[i]);
	}
	raw_end();
	ends_close();
}

/* ---- what somebody may not send who has proved the key */

static bool server_closed(void)
{
	return ends.server.closed;
}

static uint8_t got[16];
static uint32_t got_stream;

static void keep(struct end *end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	(void)end;
	got_stream = stream;
	memset(got, 0, sizeof(got));
	memcpy(got, bytes, len < sizeof(got) ? len : sizeof(got));
}

static void raw_send(const void *bytes, int len)
{
	assert_int_equal(SSL_write(raw.ssl, bytes, len), len);
	ends_turn(2);
}

/* The format, byte by byte, in one record, in many, several in one; then half a message. */
static void test_format(void **state)
{
	static const char one[] = "\0\0\0\5\x80\0\1\2hello";
	static const char two[] = "\0\0\0\0\0\0\0\7\0\0\0\1\0\0\0\x8x";

	(void)state;
	ends_listen("unix");
	ends.server.on_message = keep;
	assert_int_equal(raw_open(), 1);
	raw_send(one, 13);
	assert_int_equal(ends.server.received, 1);
	assert_int_equal(got_stream, 0x80000102);
	assert_string_equal(got, "hello");
	for (int i = 0; i < 13; i++) {
		assert_int_equal(ends.server.received, 1);
		raw_send(one + i, 1);
	}
	assert_int_equal(ends.server.received, 2);
	raw_send(two, 17);
	assert_int_equal(ends.server.received, 4);
	assert_int_equal(got_stream, 8);
	assert_string_equal(got, "x");
	raw_send(one, 12);
	raw_end();
	assert_true(ends_run(server_closed));
	assert_int_equal(ends.server.received, 4);
	assert_string_equal(ends.server.why, "the peer is gone");
	ends_close();
}

static void test_our_format(void **state)
{
	uint8_t bytes[64];

	(void)state;
	ends_listen("unix");
	assert_int_equal(raw_open(), 1);
	assert_int_equal(end_send(&ends.server, 0x80000102, LHP_RELIABLE, "hello", 5), 0);
	ends_turn(2);
	assert_int_equal(SSL_read(raw.ssl, bytes, sizeof(bytes)), 13);
	assert_memory_equal(bytes, "\0\0\0\5\x80\0\1\2hello", 13);
	raw_end();
	ends_close();
}

/* New keys, again and again, and each time the server is to make one, too. */
static void test_key_updates(void **state)
{
	uint8_t bytes[64];

	(void)state;
	ends_listen("unix");
	ends.server.on_message = keep;
	assert_int_equal(raw_open(), 1);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(raw.ssl), 1);
		if (i % 10 == 0)
			ends_turn(1);
	}
	raw_send("\0\0\0\2\0\0\0\1hi", 10);
	assert_int_equal(ends.server.received, 1);
	assert_string_equal(got, "hi");
	assert_int_equal(end_send(&ends.server, 1, LHP_RELIABLE, "ho", 2), 0);
	ends_turn(2);
	assert_int_equal(SSL_read(raw.ssl, bytes, sizeof(bytes)), 10);
	assert_memory_equal(bytes + 8, "ho", 2);
	raw_end();
	ends_close();
}

static void test_too_long(void **state)
{
	static uint8_t longest[8 + LHP_MESSAGE_MAX] = { 0, 1, 1, 0 };
	struct lhp_counts counts;

	(void)state;
	ends_listen("unix");
	ends.server.on_message = keep;
	assert_int_equal(raw_open(), 1);
	for (size_t at = 0; at < sizeof(longest); at += 4096)
		raw_send(longest + at, at + 4096 < sizeof(longest) ? 4096 : sizeof(longest) - at);
	assert_int_equal(ends.server.received, 1);
	assert_int_equal(ends.server.bytes, LHP_MESSAGE_MAX);
	lhp_count(ends.server.lhp, &counts);
	assert_int_equal(counts.refused, 0);
	raw_send("\0\1\1\1\0\0\0\1", 8);
	assert_true(ends_run(server_closed));
	assert_string_equal(ends.server.why, "a message is too long");
	raw_end();
	ends_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),	 cmocka_unit_test(test_wrong_key_or_name),
		cmocka_unit_test(test_no_key),		 cmocka_unit_test(test_our_client_refused),
		cmocka_unit_test(test_certified_server), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_silent),		 cmocka_unit_test(test_format),
		cmocka_unit_test(test_our_format),	 cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
