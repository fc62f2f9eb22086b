// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The permutation of KEYED is a Feistel network over exactly n bits, as FF1 of NIST SP 800-38G is:
 * the two parts have n / 2 bits, the right one more if n is odd, and each round adds to one part a
 * pseudorandom function of the other. It is a permutation whatever this function is. Luby and
 * Rackoff ("How to construct pseudorandom permutations from pseudorandom functions", 1988): after
 * four rounds it cannot be told from a random one, also by who asks for inverses, as long as far
 * fewer than 2^(n/4) values are seen; more rounds bring this nearer to 2^(n/2). FF1 takes 10, and
 * the draft of revision 1 of SP 800-38G allows no domain below 10^6 values. A pool may be smaller:
 * it gets more rounds, which its few addresses pay easily. (Who looks can try all addresses of a
 * small pool; no permutation helps against this.)
 *
 * The round's function is AES-256 of the round's number and the part, cut to the other part's
 * length. The pool is in the key of AES, HMAC-SHA256(key, label, prefix, length): pools are
 * permuted independently of each other even if they share a key. The counters of addresses are on
 * disk, so none of this may change: selftests/onetime_generate.c has values computed apart.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "generate.h"

#define AES_BLOCK    16
#define ROUNDS	     10
#define SMALL_BITS   20 /* the least n of 10^6 values and more */
#define ROUNDS_SMALL 32
#define V4_BITS	     96 /* of ::ffff:0:0/96 */

static const struct isthmus_addr v4 = { .b = { [10] = 0xff, [11] = 0xff } };
static const char label[] = "isthmus onetime keyed 1";

struct generate {
	struct generate_pool pool;
	enum generate_method method;
	EVP_CIPHER_CTX *aes; /* NULL but for KEYED */
};

/* ---- prefixes */

static uint64_t upper(const struct isthmus_addr *address)
{
	uint64_t be;

	memcpy(&be, address->b, sizeof(be));
	return be64toh(be);
}

static uint64_t lower(const struct isthmus_addr *address)
{
	uint64_t be;

	memcpy(&be, address->b + sizeof(be), sizeof(be));
	return be64toh(be);
}

/* The last n of 64 bits. */
static uint64_t mask(unsigned int n)
{
	return n < 64 ? (1ull << n) - 1 : UINT64_MAX;
}

static bool matches(const struct isthmus_addr *prefix, unsigned int bits,
		    const struct isthmus_addr *address)
{
	uint64_t host_upper = bits < 64 ? mask(64 - bits) : 0;
	uint64_t host_lower = mask(128 - bits);

	return !((upper(prefix) ^ upper(address)) & ~host_upper) &&
	       !((lower(prefix) ^ lower(address)) & ~host_lower);
}

static bool is_v4(const struct generate_pool *pool)
{
	return pool->bits >= V4_BITS && matches(&v4, V4_BITS, &pool->prefix);
}

static unsigned int host_bits(const struct generate_pool *pool)
{
	return pool->bits < 64 ? 64 : 128 - pool->bits;
}

int generate_pool_set(struct generate_pool *pool, const struct isthmus_addr *prefix,
		      unsigned int bits)
{
	if (bits > 128 || (bits < V4_BITS && matches(prefix, bits, &v4)))
		return -EINVAL;
	if (lower(prefix) & mask(128 - bits) || (bits < 64 && upper(prefix) & mask(64 - bits)))
		return -EINVAL;
	*pool = (struct generate_pool){ *prefix, bits };
	return 0;
}

bool generate_contains(const struct generate_pool *pool, const struct isthmus_addr *address)
{
	return matches(&pool->prefix, pool->bits, address);
}

/* The IANA registry "Reserved IPv6 Interface Identifiers", which RFC 5453 made. */
static bool is_reserved_identifier(uint64_t id)
{
	static const struct {
		uint64_t first, last;
	} ranges[] = {
		{ 0, 0 }, /* subnet-router anycast: RFC 4291, 2.6.1 */
		/* IANA's Ethernet block (RFC 4291), Proxy Mobile IPv6 in it (RFC 6543) */
		{ 0x02005efffe000000, 0x02005efffeffffff },
		{ 0xfdffffffffffff80, 0xfdffffffffffffff }, /* subnet anycast: RFC 2526 */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (id >= ranges[i].first && id <= ranges[i].last)
			return true;
	return false;
}

bool generate_is_reserved(const struct generate_pool *pool, const struct isthmus_addr *address)
{
	uint64_t host = lower(address) & generate_last(pool);
	bool has_network = host_bits(pool) > 1;

	if (!generate_contains(pool, address))
		return false;
	if (is_v4(pool))
		return has_network && (!host || host == generate_last(pool));
	/* Before a /64, host 0 is the anycast address of the first /64 of the prefix only. */
	return (has_network && !host) || is_reserved_identifier(lower(address));
}

uint64_t generate_last(const struct generate_pool *pool)
{
	return mask(host_bits(pool));
}

int generate_draw(const struct generate_pool *pool, uint64_t *host)
{
	uint64_t random;
	ssize_t len = getrandom(&random, sizeof(random), 0);

	if (len != sizeof(random)) /* so few bytes come whole, if they come */
		return len < 0 ? -errno : -EIO;
	*host = random & generate_last(pool);
	return 0;
}

/* ---- the permutation */

static int new_aes(const struct generate_pool *pool, const uint8_t *key, EVP_CIPHER_CTX **result)
{
	uint8_t text[sizeof(label) + sizeof(pool->prefix) + 1], aes_key[EVP_MAX_MD_SIZE];
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	int err = aes ? 0 : -ENOMEM;

	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), pool->prefix.b, sizeof(pool->prefix));
	text[sizeof(text) - 1] = (uint8_t)pool->bits;
	if (!err &&
	    (!HMAC(EVP_sha256(), key, GENERATE_KEY_LEN, text, sizeof(text), aes_key, NULL) ||
	     EVP_EncryptInit_ex2(aes, EVP_aes_256_ecb(), aes_key, NULL, NULL) != 1 ||
	     EVP_CIPHER_CTX_set_padding(aes, 0) != 1))
		err = -EIO;
	OPENSSL_cleanse(aes_key, sizeof(aes_key));
	if (!err) {
		*result = aes;
		return 0;
	}
	EVP_CIPHER_CTX_free(aes);
	return err;
}

/* The block is the round's number, 7 zeros and the part, big-endian; the last 8 bytes count. */
static int round_function(struct generate *generate, unsigned int number, uint64_t part,
			  uint64_t *result)
{
	uint8_t in[AES_BLOCK] = { (uint8_t)number }, out[AES_BLOCK];
	uint64_t be = htobe64(part);
	int len;

	memcpy(in + 8, &be, sizeof(be));
	if (EVP_EncryptUpdate(generate->aes, out, &len, in, sizeof(in)) != 1 || len != sizeof(out))
		return -EIO;
	memcpy(&be, out + 8, sizeof(be));
	*result = be64toh(be);
	return 0;
}

/* A round is its own inverse; the inverse of all of them is their reverse order. */
static int permute(struct generate *generate, bool inverse, uint64_t *value)
{
	unsigned int n = host_bits(&generate->pool), right_bits = n - n / 2;
	unsigned int rounds = n < SMALL_BITS ? ROUNDS_SMALL : ROUNDS;
	uint64_t left = *value >> right_bits, right = *value & mask(right_bits), change;

	for (unsigned int i = 0; i < rounds; i++) {
		unsigned int number = inverse ? rounds - 1 - i : i;
		bool on_left = number % 2 == 0;

		if (round_function(generate, number, on_left ? right : left, &change))
			return -EIO;
		if (on_left)
			left ^= change & mask(n / 2);
		else
			right ^= change & mask(right_bits);
	}
	*value = left << right_bits | right;
	return 0;
}

/* ---- addresses */

int generate_new(const struct generate_pool *pool, enum generate_method method, const uint8_t *key,
		 struct generate **result)
{
	struct generate *generate;
	int err = 0;

	if (method >= GENERATE_METHODS || (method == GENERATE_KEYED && !key))
		return -EINVAL;
	generate = calloc(1, sizeof(*generate));
	if (!generate)
		return -ENOMEM;
	generate->pool = *pool;
	generate->method = method;
	if (method == GENERATE_KEYED)
		err = new_aes(pool, key, &generate->aes);
	if (!err)
		*result = generate;
	else
		generate_free(generate);
	return err;
}

void generate_free(struct generate *generate)
{
	if (!generate)
		return;
	EVP_CIPHER_CTX_free(generate->aes);
	free(generate);
}

int generate_address(struct generate *generate, uint64_t counter, struct isthmus_addr *address)
{
	const struct isthmus_addr *prefix = &generate->pool.prefix;
	uint64_t be;

	if (counter > generate_last(&generate->pool))
		return -ENOSPC;
	if (generate->aes && permute(generate, false, &counter))
		return -EIO;
	be = htobe64(lower(prefix) | counter);
	*address = *prefix;
	memcpy(address->b + sizeof(be), &be, sizeof(be));
	return 0;
}

int generate_counter(struct generate *generate, const struct isthmus_addr *address,
		     uint64_t *counter)
{
	const struct generate_pool *pool = &generate->pool;
	uint64_t value = lower(address) & generate_last(pool);

	if (!matches(&pool->prefix, pool->bits < 64 ? 64 : pool->bits, address))
		return -ERANGE;
	if (generate->aes && permute(generate, true, &value))
		return -EIO;
	*counter = value;
	return 0;
}
