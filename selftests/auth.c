// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/auth.c agents/lib/work.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "agents/lib/auth.h"
#include "agents/lib/work.h"

static void test_base64(void **state)
{
	/* RFC 4648, 10, in the URL-safe alphabet and without padding. */
	static const struct {
		const char *bytes, *text;
	} rows[] = { { "", "" },
		     { "f", "Zg" },
		     { "fo", "Zm8" },
		     { "foo", "Zm9v" },
		     { "foob", "Zm9vYg" },
		     { "fooba", "Zm9vYmE" },
		     { "foobar", "Zm9vYmFy" },
		     { "\xfb\xff\xfe", "-__-" } };
	char text[16], bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].bytes);

		assert_int_equal(auth_base64(rows[i].bytes, len, text, sizeof(text)),
				 strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
		assert_int_equal(auth_unbase64(text, bytes, sizeof(bytes)), len);
		assert_memory_equal(bytes, rows[i].bytes, len);
	}
	assert_int_equal(auth_base64("foobar", 6, text, 8), 0); /* no room for the NUL */
	assert_int_equal(auth_base64("foobar", 6, text, 9), 8);
}

static void test_unbase64_refuses(void **state)
{
	char bytes[4] = "abc";

	(void)state;
	assert_int_equal(auth_unbase64("Zg==", bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(auth_unbase64("Zm9v+g", bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(auth_unbase64("Z", bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(auth_unbase64("Zm9vYmFy", bytes, sizeof(bytes)), -EINVAL); /* 6 bytes */
	assert_string_equal(bytes, "abc");
}

static void test_hash(void **state)
{
	char token[AUTH_TOKEN_LEN], other[AUTH_TOKEN_LEN];
	char first[AUTH_HASH_LEN], second[AUTH_HASH_LEN];

	(void)state;
	assert_int_equal(auth_new_token(token), 0);
	assert_int_equal(auth_new_token(other), 0);
	assert_int_equal(strlen(token), AUTH_TOKEN_LEN - 1);
	assert_string_not_equal(token, other);
	assert_int_equal(auth_hash(token, first), 0);
	assert_int_equal(auth_hash(token, second), 0);
	assert_string_not_equal(first, second); /* salted */
	assert_null(strstr(first, token));
	assert_true(auth_verify(token, first));
	assert_true(auth_verify(token, second));
	assert_false(auth_verify(other, first));
	token[0] ^= 1;
	assert_false(auth_verify(token, first));
}

static void test_hash_refuses(void **state)
{
	static const char *const hashes[] = {
		"",
		"scrypt$16384$8$1$AAAA$AAAA",
		"scrypt$99999999$99$99$AAAA",
		"plain$AAAAAAAAAAAAAAAAAAAAAA",
		/* Parameters that no memory holds, and one that is no power of two. */
		"scrypt$8388608$99$99$AAAAAAAAAAAAAAAAAAAAAA$"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"scrypt$16383$8$1$AAAAAAAAAAAAAAAAAAAAAA$"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		assert_false(auth_verify("secret", hashes[i]));
}

/* The expected value was computed with openssl-dgst(1) over the bytes of docs/protocol.md. */
static void test_proof(void **state)
{
	static const uint8_t expected[AUTH_PROOF_BYTES] = {
		0x95, 0x33, 0x3b, 0x95, 0x3d, 0x8a, 0x09, 0xde, 0xc7, 0x68, 0x3b,
		0x47, 0x15, 0x70, 0xa7, 0x9c, 0xfa, 0x69, 0xfd, 0xb8, 0x54, 0x2d,
		0x87, 0xd8, 0xdc, 0x08, 0x31, 0xbf, 0xa6, 0x47, 0x6b, 0x92,
	};
	uint8_t secret[32], own[32], other[32], proof[32], mirrored[32];

	(void)state;
	memset(secret, 's', sizeof(secret));
	memset(own, 'a', sizeof(own));
	memset(other, 'b', sizeof(other));
	assert_int_equal(auth_proof(secret, 1, 0x0102030405060708, own, other, proof), 0);
	assert_memory_equal(proof, expected, sizeof(proof));
	/* Every input counts. */
	auth_proof(secret, 0, 0x0102030405060708, own, other, mirrored);
	assert_memory_not_equal(mirrored, proof, sizeof(proof));
	auth_proof(secret, 1, 0x0102030405060709, own, other, mirrored);
	assert_memory_not_equal(mirrored, proof, sizeof(proof));
	auth_proof(secret, 1, 0x0102030405060708, other, own, mirrored);
	assert_memory_not_equal(mirrored, proof, sizeof(proof));
	secret[31]++;
	auth_proof(secret, 1, 0x0102030405060708, own, other, mirrored);
	assert_memory_not_equal(mirrored, proof, sizeof(proof));
}

/* ---- the worker */

static int ran, finished;

static void run_slowly(void *arg)
{
	(void)arg;
	usleep(20000);
	__atomic_add_fetch(&ran, 1, __ATOMIC_SEQ_CST);
}

static void count(void *arg)
{
	struct event_base *base = arg;

	if (++finished == 3)
		event_base_loopbreak(base);
}

static void test_worker(void **state)
{
	struct event_base *base = event_base_new();
	struct work *work = work_new(base, 3);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(work_submit(work, run_slowly, count, base), 0);
	assert_int_equal(work_submit(work, run_slowly, count, base), -EAGAIN); /* bounded */
	assert_int_equal(finished, 0); /* in the loop only */
	event_base_dispatch(base);
	assert_int_equal(finished, 3);
	assert_int_equal(ran, 3);
	assert_int_equal(work_submit(work, run_slowly, count, base), 0);
	assert_int_equal(work_submit(work, run_slowly, count, base), 0);
	work_free(work); /* waits for the one that runs; `done` is not called */
	assert_true(ran <= 4);
	assert_int_equal(finished, 3);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64), cmocka_unit_test(test_unbase64_refuses),
		cmocka_unit_test(test_hash),   cmocka_unit_test(test_hash_refuses),
		cmocka_unit_test(test_proof),  cmocka_unit_test(test_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
