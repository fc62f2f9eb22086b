// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/setup.c agents/lib/setup_send.c agents/lib/setup_receive.c */
/* selftests/setup.c - SETUP datagrams: byte for byte as docs/protocol.md has them, and nothing
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "agents/lib/setup.h"

#define MAC_AT 56

static const uint8_t key_bytes[SETUP_KEY_BYTES] = "0123456789abcdef0123456789abcdef";
static struct setup_key *key;

static const uint8_t head[MAC_AT] = {
	'I', 'S', 'W',	'1',		  /* magic */
	1,   2,	  24,	0,		  /* SETUP, delayed, /24 */
	1,   2,	  3,	4,    5, 6, 7, 8, /* serial */
	192, 0,	  2,	80,		  /* waypoint address */
	198, 51,  100,	0,		  /* initiator's prefix */
	0,   0,	  0x0a, 0xbc,		  /* gateway */
	0,   0,	  0,	7,		  /* host */
	0,   0,	  7,	208,		  /* 2000 ms */
	203, 0,	  113,	53,		  /* resolver */
};

static struct setup example(void)
{
	return (struct setup){ .type = SETUP_ASK,
			       .mode = SETUP_DELAYED,
			       .prefix_len = 24,
			       .serial = 0x0102030405060708,
			       .waypoint = inet_addr("192.0.2.80"),
			       .initiator = inet_addr("198.51.100.0"),
			       .gateway = 0xabc,
			       .host = 7,
			       .ms = 2000,
			       .resolver = inet_addr("203.0.113.53") };
}

/* By another interface of OpenSSL than the code's. */
static void sign(uint8_t bytes[SETUP_BYTES])
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256",
								 0),
				OSSL_PARAM_construct_end() };
	uint8_t mac[32];
	size_t len = 0;

	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, NULL, params, key_bytes, sizeof(key_bytes),
				  bytes, MAC_AT, mac, sizeof(mac), &len));
	assert_int_equal(len, 32);
	memcpy(bytes + MAC_AT, mac, 16);
}

static void test_bytes(void **state)
{
	uint8_t want[SETUP_BYTES], bytes[SETUP_BYTES];
	struct setup setup = example(), read;

	(void)state;
	memcpy(want, head, MAC_AT);
	sign(want);
	assert_int_equal(setup_write(&setup, key, bytes), 0);
	assert_memory_equal(bytes, want, SETUP_BYTES);
	memset(&read, 0, sizeof(read));
	assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read), 0);
	assert_memory_equal(&read, &setup, sizeof(read));
}

/* Every bit is held by the MAC; another key and another length are none. */
static void test_authentic(void **state)
{
	uint8_t bytes[SETUP_BYTES + 1] = { 0 }, other_bytes[SETUP_KEY_BYTES];
	struct setup setup = example(), read;
	struct setup_key *other;

	(void)state;
	memcpy(other_bytes, key_bytes, sizeof(key_bytes));
	other_bytes[31] ^= 1;
	other = setup_key_new(other_bytes);
	assert_non_null(other);
	assert_int_equal(setup_write(&setup, key, bytes), 0);
	for (int bit = 0; bit < SETUP_BYTES * 8; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read),
				 bit < 32 ? -EINVAL : -EBADMSG);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	assert_int_equal(setup_read(bytes, SETUP_BYTES, other, &read), -EBADMSG);
	setup_key_free(other);
	for (size_t len = 0; len < SETUP_BYTES; len++)
		assert_int_equal(setup_read(bytes, len, key, &read), -EINVAL);
	assert_int_equal(setup_read(bytes, SETUP_BYTES + 1, key, &read), -EINVAL);
	assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read), 0);
}

/* Signed by who has the key, and still wrong. */
static void test_forms(void **state)
{
	static const struct {
		const char *what;
		uint8_t at, value;
		int result;
	} rows[] = {
		{ "as it is", 4, 1, 0 },
		{ "no type", 4, 0, -EINVAL },
		{ "a fourth type", 4, 4, -EINVAL },
		{ "no mode", 5, 0, -EINVAL },
		{ "a third mode", 5, 3, -EINVAL },
		{ "known, and a prefix", 5, 1, -EINVAL },
		{ "bits behind the prefix", 6, 21, -EINVAL },
		{ "a longer prefix", 6, 32, 0 },
		{ "a prefix of 33 bits", 6, 33, -EINVAL },
		{ "SETUP with a reason", 7, 1, -EINVAL },
		{ "REJECT without one", 4, 3, -EINVAL },
		{ "a gateway beyond the last", 26, 0x10, -EINVAL },
		{ "something where nothing is", 40, 1, -EINVAL },
		{ "the last byte of that", 55, 1, -EINVAL },
	};
	struct setup read;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t bytes[SETUP_BYTES];
		int result;

		memcpy(bytes, head, MAC_AT);
		bytes[rows[i].at] = rows[i].value;
		sign(bytes);
		result = setup_read(bytes, SETUP_BYTES, key, &read);
		if (result != rows[i].result)
			fail_msg("%s: %d", rows[i].what, result);
	}
}

/* An answer is the question with its type, reason and time changed. */
static void test_answers(void **state)
{
	struct setup setup = example(), read;
	uint8_t bytes[SETUP_BYTES];

	(void)state;
	setup.type = SETUP_ACCEPT;
	setup.ms = 120000;
	assert_int_equal(setup_write(&setup, key, bytes), 0);
	assert_int_equal(bytes[4], 2);
	assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read), 0);
	assert_int_equal(read.ms, 120000);
	setup.type = SETUP_REJECT;
	for (int why = SETUP_BOUND_ELSEWHERE; why <= SETUP_TOO_MANY; why++) {
		setup.why = why;
		assert_int_equal(setup_write(&setup, key, bytes), 0);
		assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read), 0);
		assert_int_equal(read.why, why);
	}
	setup.why = SETUP_TOO_MANY + 1;
	assert_int_equal(setup_write(&setup, key, bytes), 0);
	assert_int_equal(setup_read(bytes, SETUP_BYTES, key, &read), -EINVAL);
}

/* More than go at once; `refused`: the kernel does not cut, so they are sent one by one. */
static void send_many(bool refused)
{
	static uint8_t sent[65][SETUP_BYTES];
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int from = socket(AF_INET, SOCK_DGRAM, 0), to = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
	socklen_t len = sizeof(address);
	uint8_t got[2 * SETUP_BYTES];

	assert_int_equal(bind(to, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(to, (struct sockaddr *)&address, &len), 0);
	/* UDP_SEGMENT needs checksums (EINVAL) */
	if (refused)
		assert_int_equal(setsockopt(from, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	for (int i = 0; i < 65; i++)
		memset(sent[i], i + 1, SETUP_BYTES);
	setup_send(from, (struct sockaddr *)&address, len, sent, 65);
	for (int i = 0; i < 65; i++) {
		assert_int_equal(recv(to, got, sizeof(got), MSG_DONTWAIT), SETUP_BYTES);
		assert_memory_equal(got, sent[i], SETUP_BYTES);
	}
	assert_int_equal(recv(to, got, sizeof(got), MSG_DONTWAIT), -1);
	close(from);
	close(to);
}

static void test_send(void **state)
{
	(void)state;
	send_many(false);
	send_many(true);
}

/* As one packet, one by one, too short, too long: each datagram is one, with its sender. */
static void test_receive(void **state)
{
	static uint8_t sent[65][SETUP_BYTES], odd[5000];
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int from = socket(AF_INET, SOCK_DGRAM, 0), to = socket(AF_INET, SOCK_DGRAM, 0);
	static const size_t odd_len[] = { 1, SETUP_BYTES - 1, SETUP_BYTES + 1, sizeof(odd) };
	const struct sockaddr *where = (struct sockaddr *)&address;
	struct sockaddr_in mine = { 0 };
	const struct setup_mail *mail;
	struct setup_inbox *inbox;
	socklen_t len = sizeof(address);
	unsigned int place = 0, count;

	(void)state;
	assert_int_equal(bind(to, where, len), 0);
	assert_int_equal(getsockname(to, (struct sockaddr *)&address, &len), 0);
	inbox = setup_inbox_new(to);
	assert_non_null(inbox);
	assert_int_equal(setup_receive(inbox, to, &mail), 0);
	for (int i = 0; i < 65; i++)
		memset(sent[i], i + 1, SETUP_BYTES);
	setup_send(from, where, len, sent, 65);
	for (int i = 0; i < 4; i++)
		assert_true(sendto(from, odd, odd_len[i], 0, where, len) > 0);
	setup_send(from, where, len, sent, 3);
	assert_int_equal(getsockname(from, (struct sockaddr *)&mine, &len), 0);
	while ((count = setup_receive(inbox, to, &mail))) {
		for (unsigned int i = 0; i < count; i++, place++) {
			const struct sockaddr_in *by = (const void *)mail[i].from;

			assert_int_equal(by->sin_port, mine.sin_port);
			if (place < 65 || place >= 69) {
				assert_int_equal(mail[i].len, SETUP_BYTES);
				assert_memory_equal(mail[i].bytes,
						    sent[place < 65 ? place : place - 69],
						    SETUP_BYTES);
			} else {
				assert_int_equal(mail[i].len,
						 place == 68 ? 0 : odd_len[place - 65]);
			}
		}
	}
	assert_int_equal(place, 72);
	setup_inbox_free(inbox);
	close(from);
	close(to);
}

static int make_key(void **state)
{
	(void)state;
	key = setup_key_new(key_bytes);
	return key ? 0 : -1;
}

static int free_key(void **state)
{
	(void)state;
	setup_key_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes), cmocka_unit_test(test_authentic),
		cmocka_unit_test(test_forms), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_send),  cmocka_unit_test(test_receive),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
