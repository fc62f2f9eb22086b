// SPDX-License-Identifier: GPL-3.0-or-later
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "auth.h"

/* RFC 7914: 16 MiB and about 40 ms. */
#define SCRYPT_N	  (1 << 14)
#define SCRYPT_R	  8
#define SCRYPT_P	  1
#define SCRYPT_SALT_BYTES 16
#define SCRYPT_KEY_BYTES  32
#define SCRYPT_MEMORY_MAX (64 << 20)

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int auth_random(void *bytes, size_t len)
{
	return RAND_bytes(bytes, len) == 1 ? 0 : -EIO;
}

int auth_new_token(char token[AUTH_TOKEN_LEN])
{
	uint8_t bytes[32];
	int rc = auth_random(bytes, sizeof(bytes));

	if (!rc)
		auth_base64(bytes, sizeof(bytes), token, AUTH_TOKEN_LEN);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return rc;
}

size_t auth_base64(const void *bytes, size_t len, char *text, size_t text_len)
{
	const uint8_t *in = bytes;
	size_t out_len = (len * 4 + 2) / 3, out = 0;
	uint32_t bits = 0;
	unsigned int have = 0;

	if (text_len <= out_len)
		return 0;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		for (have += 8; have >= 6; have -= 6)
			text[out++] = base64url[bits >> (have - 6) & 63];
	}
	if (have)
		text[out++] = base64url[bits << (6 - have) & 63];
	text[out] = 0;
	return out;
}

int auth_unbase64(const char *text, void *bytes, size_t len)
{
	size_t text_len = strlen(text), out_len = text_len * 3 / 4, out = 0;
	uint8_t *to = bytes;
	uint32_t bits = 0;
	unsigned int have = 0;

	if (text_len % 4 == 1 || out_len > len)
		return -EINVAL;
	for (size_t i = 0; i < text_len; i++)
		if (!memchr(base64url, text[i], 64))
			return -EINVAL;
	for (size_t i = 0; i < text_len; i++) {
		const char *digit = memchr(base64url, text[i], 64);

		bits = bits << 6 | (uint32_t)(digit - base64url);
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[out++] = bits >> have;
		}
	}
	return out;
}

static int scrypt(const char *token, const uint8_t *salt, uint64_t n, uint64_t r, uint64_t p,
		  uint8_t key[SCRYPT_KEY_BYTES])
{
	return EVP_PBE_scrypt(token, strlen(token), salt, SCRYPT_SALT_BYTES, n, r, p,
			      SCRYPT_MEMORY_MAX, key, SCRYPT_KEY_BYTES) == 1
		       ? 0
		       : -EIO;
}

int auth_hash(const char *token, char hash[AUTH_HASH_LEN])
{
	uint8_t salt[SCRYPT_SALT_BYTES], key[SCRYPT_KEY_BYTES];
	char salt_text[32], key_text[48];

	if (auth_random(salt, sizeof(salt)) ||
	    scrypt(token, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P, key))
		return -EIO;
	auth_base64(salt, sizeof(salt), salt_text, sizeof(salt_text));
	auth_base64(key, sizeof(key), key_text, sizeof(key_text));
	OPENSSL_cleanse(key, sizeof(key));
	snprintf(hash, AUTH_HASH_LEN, "scrypt$%d$%d$%d$%s$%s", SCRYPT_N, SCRYPT_R, SCRYPT_P,
		 salt_text, key_text);
	return 0;
}

bool auth_verify(const char *token, const char *hash)
{
	uint8_t salt[SCRYPT_SALT_BYTES], stored[SCRYPT_KEY_BYTES], key[SCRYPT_KEY_BYTES];
	unsigned int n, r, p;
	char salt_text[32], key_text[48];
	bool same;

	if (sscanf(hash, "scrypt$%7u$%2u$%2u$%31[^$]$%47s", &n, &r, &p, salt_text, key_text) != 5)
		return false;
	if (auth_unbase64(salt_text, salt, sizeof(salt)) != sizeof(salt) ||
	    auth_unbase64(key_text, stored, sizeof(stored)) != sizeof(stored))
		return false;
	if (scrypt(token, salt, n, r, p, key))
		return false;
	same = auth_equal(stored, key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
	return same;
}

int auth_proof(const uint8_t secret[AUTH_SECRET_BYTES], int role, uint64_t session,
	       const uint8_t own[AUTH_NONCE_BYTES], const uint8_t other[AUTH_NONCE_BYTES],
	       uint8_t proof[AUTH_PROOF_BYTES])
{
	static const char context[] = "isthmus proof 1"; /* without its NUL on the wire */
	uint8_t text[sizeof(context) - 1 + 1 + 8 + 2 * AUTH_NONCE_BYTES], *at = text;
	uint8_t mac[EVP_MAX_MD_SIZE];
	uint64_t wire = htobe64(session);

	at = mempcpy(at, context, sizeof(context) - 1);
	*at++ = role;
	at = mempcpy(at, &wire, sizeof(wire));
	at = mempcpy(at, own, AUTH_NONCE_BYTES);
	memcpy(at, other, AUTH_NONCE_BYTES);
	if (!HMAC(EVP_sha256(), secret, AUTH_SECRET_BYTES, text, sizeof(text), mac, NULL))
		return -EIO;
	memcpy(proof, mac, AUTH_PROOF_BYTES);
	return 0;
}

bool auth_equal(const void *a, const void *b, size_t len)
{
	return !CRYPTO_memcmp(a, b, len);
}
