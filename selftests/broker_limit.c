// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/broker/limit.c agents/lib/address.c agents/lib/auth.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agents/broker/limit.h"
#include "agents/lib/address.h"

static void test_bucket(void **state)
{
	struct bucket bucket = { 0 };
	uint64_t now = 1000000;

	(void)state;
	for (int i = 0; i < 5; i++) /* a burst, at one moment */
		assert_true(bucket_take(&bucket, 2, 5, now));
	assert_false(bucket_take(&bucket, 2, 5, now));
	assert_false(bucket_take(&bucket, 2, 5, now + 499)); /* two a second */
	assert_true(bucket_take(&bucket, 2, 5, now + 500));
	assert_false(bucket_take(&bucket, 2, 5, now + 500));
	for (int i = 0; i < 5; i++) /* never more than the burst */
		assert_true(bucket_take(&bucket, 2, 5, now + 3600000));
	assert_false(bucket_take(&bucket, 2, 5, now + 3600000));
}

/* A flood of other keys does not refill the bucket of one that is limited. */
static void test_flood_of_keys(void **state)
{
	struct limit_table *table = limit_new();
	unsigned int refused = 0;
	char key[LIMIT_KEY_LEN];

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(limit_take(table, "victim", 0.001, 10, 1000));
	assert_false(limit_take(table, "victim", 0.001, 10, 1000));
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "flood-%d", i);
		refused += !limit_take(table, key, 0.001, 10, 1000);
	}
	assert_int_equal(refused, 0); /* each of them has its own */
	assert_false(limit_take(table, "victim", 0.001, 10, 1000));
	limit_free(table);
}

static void key_of(const char *text, char key[LIMIT_KEY_LEN])
{
	struct sockaddr_storage storage;
	struct isthmus_addr address;

	assert_int_equal(address_parse(text, &address), 0);
	address_to_sockaddr(&address, htons(1), &storage);
	limit_address_key((struct sockaddr *)&storage, key);
}

static void test_address_keys(void **state)
{
	char a[LIMIT_KEY_LEN], b[LIMIT_KEY_LEN];

	(void)state;
	key_of("192.0.2.1", a);
	key_of("192.0.2.2", b);
	assert_string_not_equal(a, b);
	key_of("2001:db8::1", a);
	key_of("2001:db8::ffff:1", b);
	assert_string_equal(a, b); /* one /64 is one host's */
	key_of("2001:db8:0:1::1", b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_flood_of_keys),
		cmocka_unit_test(test_address_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
