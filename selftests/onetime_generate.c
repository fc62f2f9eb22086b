// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/onetime/generate.c agents/lib/address.c */
/*
 * Addresses of a pool (agents/onetime/generate.c): the permutation is one and has an inverse, has
 * the values of an implementation of its own, looks like chance; what is reserved; which pools are
 * none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../agents/lib/address.h"
#include "../agents/onetime/generate.h"

#define SAMPLE 100000

static const uint8_t key[GENERATE_KEY_LEN] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
					       11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
					       22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

static struct isthmus_addr parse(const char *text)
{
	struct isthmus_addr address;

	if (address_parse(text, &address))
		fail_msg("%s is no address", text);
	return address;
}

static struct generate_pool pool_of(const char *prefix, unsigned int bits)
{
	struct isthmus_addr address = parse(prefix);
	struct generate_pool pool;

	assert_int_equal(generate_pool_set(&pool, &address, bits), 0);
	return pool;
}

static struct generate *new_generate(const char *prefix, unsigned int bits,
				     enum generate_method method, const uint8_t *with)
{
	struct generate_pool pool = pool_of(prefix, bits);
	struct generate *generate = NULL;

	assert_int_equal(generate_new(&pool, method, with, &generate), 0);
	return generate;
}

static struct isthmus_addr address_of(struct generate *generate, uint64_t counter)
{
	struct isthmus_addr address;

	assert_int_equal(generate_address(generate, counter, &address), 0);
	return address;
}

static uint64_t counter_of(struct generate *generate, const struct isthmus_addr *address)
{
	uint64_t counter;

	assert_int_equal(generate_counter(generate, address, &counter), 0);
	return counter;
}

static uint64_t lower(const struct isthmus_addr *address)
{
	uint64_t value = 0;

	for (int i = 8; i < 16; i++)
		value = value << 8 | address->b[i];
	return value;
}

/* ---- the permutation */

static void values(void **state)
{
	/* By a program in another language from the text on top of generate.c. */
	static const struct {
		const char *prefix;
		unsigned int bits;
		uint64_t counter;
		const char *address;
	} rows[] = {
		{ "2001:db8::", 64, 0, "2001:db8::75ab:a3f0:7609:aacd" },
		{ "2001:db8::", 64, 1, "2001:db8::ca8e:5e6b:5127:5893" },
		{ "2001:db8::", 64, 1ull << 63, "2001:db8::7fb2:c61f:ef4c:3386" },
		{ "2001:db8:1::", 48, 5, "2001:db8:1:0:765:1e82:2104:620f" },
		{ "2001:db8::", 91, 0, "2001:db8::19:f56:e249" },
		{ "2001:db8::", 91, 1, "2001:db8::11:b2:87b0" },
		{ "2001:db8::", 91, (1ull << 37) - 1, "2001:db8::13:30dc:f063" },
		{ "192.0.2.0", 124, 0, "192.0.2.5" },
		{ "192.0.2.0", 124, 1, "192.0.2.10" },
		{ "192.0.2.0", 124, 15, "192.0.2.14" },
		{ "2001:db8::", 108, 0, "2001:db8::8:8c61" },
		{ "2001:db8::", 109, 0, "2001:db8::1:f855" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct generate *generate =
			new_generate(rows[i].prefix, rows[i].bits, GENERATE_KEYED, key);
		struct isthmus_addr is = address_of(generate, rows[i].counter);
		struct isthmus_addr want = parse(rows[i].address);

		assert_memory_equal(&is, &want, sizeof(is));
		assert_int_equal(counter_of(generate, &want), rows[i].counter);
		generate_free(generate);
	}
}

static void check_bijective(enum generate_method method, unsigned int n)
{
	struct generate *generate = new_generate("2001:db8::", 128 - n, method, key);
	uint8_t *seen = calloc(1u << n, 1);
	struct isthmus_addr address;

	assert_non_null(seen);
	for (uint64_t counter = 0; counter < 1ull << n; counter++) {
		address = address_of(generate, counter);
		assert_in_range(lower(&address), 0, (1u << n) - 1);
		assert_int_equal(seen[lower(&address)]++, 0);
		assert_int_equal(counter_of(generate, &address), counter);
		if (method == GENERATE_SEQUENTIAL)
			assert_int_equal(lower(&address), counter);
	}
	assert_int_equal(generate_address(generate, 1ull << n, &address), -ENOSPC);
	free(seen);
	generate_free(generate);
}

static void bijective(void **state)
{
	(void)state;
	for (unsigned int n = 0; n <= 16; n++) {
		check_bijective(GENERATE_KEYED, n);
		check_bijective(GENERATE_SEQUENTIAL, n);
	}
}

/* Also prefixes shorter than /64, whose bits before the last 64 stay 0. */
static void inverse(void **state)
{
	struct isthmus_addr prefix = parse("2001:db8::");

	(void)state;
	srandom(1);
	for (unsigned int bits = 32; bits <= 128 - 17; bits++) {
		struct generate *generate = new_generate("2001:db8::", bits, GENERATE_KEYED, key);
		struct generate_pool pool = pool_of("2001:db8::", bits);

		for (int i = 0; i < 500; i++) {
			uint64_t counter = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^
					   (uint64_t)random();
			struct isthmus_addr address;

			counter &= generate_last(&pool);
			address = address_of(generate, counter);
			assert_true(generate_contains(&pool, &address));
			assert_memory_equal(&address, &prefix, 8);
			assert_int_equal(counter_of(generate, &address), counter);
		}
		generate_free(generate);
	}
}

/* The share of the counters of two generators that have the same host part. */
static double agreement(struct generate *a, struct generate *b, unsigned int count)
{
	unsigned int same = 0;

	for (uint64_t counter = 0; counter < count; counter++) {
		struct isthmus_addr one = address_of(a, counter), other = address_of(b, counter);

		same += (lower(&one) & 0xffff) == (lower(&other) & 0xffff);
	}
	return (double)same / count;
}

/* Two permutations of 2^16 agree in one value on average; two equal ones in all. */
static void keys(void **state)
{
	struct generate *one = new_generate("2001:db8::", 112, GENERATE_KEYED, key);
	struct generate *again = new_generate("2001:db8::", 112, GENERATE_KEYED, key);
	struct generate *pool = new_generate("2001:db8::1:0", 112, GENERATE_KEYED, key);
	struct generate *other;
	uint8_t close[GENERATE_KEY_LEN];

	(void)state;
	assert_true(agreement(one, again, 1 << 16) == 1);
	assert_true(agreement(one, pool, 1 << 16) < 0.001);
	for (int bit = 0; bit < 8 * GENERATE_KEY_LEN; bit += 37) {
		memcpy(close, key, sizeof(close));
		close[bit / 8] ^= 1 << bit % 8;
		other = new_generate("2001:db8::", 112, GENERATE_KEYED, close);
		assert_true(agreement(one, other, 1 << 16) < 0.001);
		generate_free(other);
	}
	generate_free(one);
	generate_free(again);
	generate_free(pool);
}

/* ---- chance */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* How many neighbours, once sorted, share the upper 32 of their 64 bits. */
static unsigned int shared_halves(uint64_t *sample)
{
	unsigned int shared = 0;

	qsort(sample, SAMPLE, sizeof(*sample), compare);
	for (int i = 1; i < SAMPLE; i++)
		shared += sample[i] >> 32 == sample[i - 1] >> 32;
	return shared;
}

/* The bit that is most often or most seldom set: how far from half of the sample, in counts. */
static int worst_bit(const uint64_t *sample)
{
	int worst = 0;

	for (int bit = 0; bit < 64; bit++) {
		int set = 0;

		for (int i = 0; i < SAMPLE; i++)
			set += sample[i] >> bit & 1;
		if (abs(set - SAMPLE / 2) > worst)
			worst = abs(set - SAMPLE / 2);
	}
	return worst;
}

/*
 * Each bit is set in half of the outputs and changes from one to the next in half of the cases: the
 * standard deviation is sqrt(SAMPLE) / 2 = 158, six of it are allowed. Of 100,000 numbers of 32
 * bits 1.2 pairs are expected to be equal.
 */
static bool looks_random(enum generate_method method)
{
	struct generate *generate = new_generate("2001:db8::", 64, method, key);
	uint64_t *sample = calloc(SAMPLE, sizeof(*sample));
	uint64_t *change = calloc(SAMPLE, sizeof(*change));
	struct isthmus_addr address;
	bool random;

	assert_true(sample && change);
	for (int i = 0; i < SAMPLE; i++) {
		address = address_of(generate, i);
		sample[i] = lower(&address);
		change[i] = sample[i] ^ (i ? sample[i - 1] : 0);
	}
	random = worst_bit(sample) < 6 * 158 && worst_bit(change) < 6 * 158 &&
		 shared_halves(sample) < 10 && shared_halves(change) < 10;
	free(sample);
	free(change);
	generate_free(generate);
	return random;
}

static void unpredictable(void **state)
{
	(void)state;
	assert_true(looks_random(GENERATE_KEYED));
	assert_false(looks_random(GENERATE_SEQUENTIAL)); /* the check finds what it looks for */
}

static void drawn(void **state)
{
	struct generate_pool small = pool_of("192.0.2.0", 124), large = pool_of("2001:db8::", 64);
	uint64_t *sample = calloc(SAMPLE, sizeof(*sample)), host;
	unsigned int seen[16] = { 0 };

	(void)state;
	assert_non_null(sample);
	for (int i = 0; i < SAMPLE; i++) {
		assert_int_equal(generate_draw(&large, &sample[i]), 0);
		assert_int_equal(generate_draw(&small, &host), 0);
		assert_in_range(host, 0, 15);
		seen[host]++;
	}
	assert_true(worst_bit(sample) < 8 * 158 && shared_halves(sample) < 20);
	for (int i = 0; i < 16; i++) /* 6250, standard deviation 77 */
		assert_in_range(seen[i], 6250 - 8 * 77, 6250 + 8 * 77);
	free(sample);
}

/* ---- pools */

static void reserved(void **state)
{
	static const struct {
		const char *prefix;
		unsigned int bits;
		const char *address;
		bool reserved;
	} rows[] = {
		{ "2001:db8::", 64, "2001:db8::", true },
		{ "2001:db8::", 64, "2001:db8::1", false },
		{ "2001:db8::", 64, "2001:db8::200:5eff:fdff:ffff", false },
		{ "2001:db8::", 64, "2001:db8::200:5eff:fe00:0", true },
		{ "2001:db8::", 64, "2001:db8::200:5eff:fe00:5212", true },
		{ "2001:db8::", 64, "2001:db8::200:5eff:fe00:5213", true },
		{ "2001:db8::", 64, "2001:db8::200:5eff:fe00:5214", true },
		{ "2001:db8::", 64, "2001:db8::200:5eff:feff:ffff", true },
		{ "2001:db8::", 64, "2001:db8::200:5eff:ff00:0", false },
		{ "2001:db8::", 64, "2001:db8::fdff:ffff:ffff:ff7f", false },
		{ "2001:db8::", 64, "2001:db8::fdff:ffff:ffff:ff80", true },
		{ "2001:db8::", 64, "2001:db8::fdff:ffff:ffff:ffff", true },
		{ "2001:db8::", 64, "2001:db8::fe00:0:0:0", false },
		{ "2001:db8::", 64, "2001:db8::ffff:ffff:ffff:ffff", false },
		{ "2001:db8::", 64, "2001:db8:0:1::", false }, /* not of the pool */
		{ "2001:db8::", 48, "2001:db8::", true },
		{ "2001:db8::", 48, "2001:db8::1", false },
		{ "2001:db8::fdff:ffff:ffff:0", 112, "2001:db8::fdff:ffff:ffff:0", true },
		{ "2001:db8::fdff:ffff:ffff:0", 112, "2001:db8::fdff:ffff:ffff:1", false },
		{ "2001:db8::fdff:ffff:ffff:0", 112, "2001:db8::fdff:ffff:ffff:ff80", true },
		{ "2001:db8::2", 127, "2001:db8::2", false },
		{ "2001:db8::2", 127, "2001:db8::3", false },
		{ "2001:db8::4", 126, "2001:db8::4", true },
		{ "2001:db8::4", 126, "2001:db8::7", false },
		{ "2001:db8::4", 128, "2001:db8::4", false },
		{ "192.0.2.16", 124, "192.0.2.16", true },
		{ "192.0.2.16", 124, "192.0.2.17", false },
		{ "192.0.2.16", 124, "192.0.2.30", false },
		{ "192.0.2.16", 124, "192.0.2.31", true },
		{ "192.0.2.16", 124, "192.0.2.32", false },
		{ "192.0.2.16", 127, "192.0.2.16", false },
		{ "192.0.2.16", 127, "192.0.2.17", false },
		{ "192.0.2.16", 126, "192.0.2.16", true },
		{ "192.0.2.16", 126, "192.0.2.19", true },
		{ "192.0.2.16", 128, "192.0.2.16", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct generate_pool pool = pool_of(rows[i].prefix, rows[i].bits);
		struct isthmus_addr address = parse(rows[i].address);

		if (generate_is_reserved(&pool, &address) != rows[i].reserved)
			fail_msg("%s in %s/%u", rows[i].address, rows[i].prefix, rows[i].bits);
	}
}

static void outside(void **state)
{
	static const struct {
		const char *prefix;
		unsigned int bits;
		const char *address;
	} rows[] = {
		{ "2001:db8::", 64, "2001:db8:0:1::1" }, { "2001:db8::", 48, "2001:db8:0:1::1" },
		{ "2001:db8::", 48, "2001:db9::1" },	 { "192.0.2.0", 124, "192.0.2.16" },
		{ "192.0.2.0", 124, "2001:db8::1" },	 { "2001:db8::2", 128, "2001:db8::3" },
		{ "2001:db8::", 120, "2001:db8::100" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int method = 0; method < GENERATE_METHODS; method++) {
			struct generate *generate =
				new_generate(rows[i].prefix, rows[i].bits, method, key);
			struct isthmus_addr address = parse(rows[i].address);
			uint64_t counter = 42;

			assert_int_equal(generate_counter(generate, &address, &counter), -ERANGE);
			assert_int_equal(counter, 42);
			generate_free(generate);
		}
}

static void refused(void **state)
{
	static const struct {
		const char *prefix;
		unsigned int bits;
		int err;
	} rows[] = {
		{ "2001:db8::", 129, -EINVAL }, { "2001:db8::1", 64, -EINVAL },
		{ "2001:db8::", 28, -EINVAL },	{ "2001:db8:0:1::", 63, -EINVAL },
		{ "2001:db8:0:1::", 64, 0 },	{ "2001:db8::", 29, 0 },
		{ "192.0.2.1", 124, -EINVAL },	{ "192.0.2.16", 124, 0 },
		{ "0.0.0.0", 96, 0 },		{ "0.0.0.0", 95, -EINVAL },
		{ "::", 64, -EINVAL },		{ "::", 0, -EINVAL },
		{ "::1:0:0:0", 80, 0 },		{ "::fffe:0:0", 96, 0 },
	};
	struct generate_pool pool = pool_of("2001:db8::", 64);
	struct generate *generate = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct isthmus_addr prefix = parse(rows[i].prefix);
		struct generate_pool made;

		if (generate_pool_set(&made, &prefix, rows[i].bits) != rows[i].err)
			fail_msg("%s/%u", rows[i].prefix, rows[i].bits);
	}
	assert_int_equal(generate_new(&pool, GENERATE_METHODS, key, &generate), -EINVAL);
	assert_int_equal(generate_new(&pool, GENERATE_KEYED, NULL, &generate), -EINVAL);
	assert_null(generate);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),	 cmocka_unit_test(bijective),
		cmocka_unit_test(inverse),	 cmocka_unit_test(keys),
		cmocka_unit_test(unpredictable), cmocka_unit_test(drawn),
		cmocka_unit_test(reserved),	 cmocka_unit_test(outside),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
