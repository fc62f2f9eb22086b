/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tokens, their hashes, and the proof that two peers of one session make to each other (OpenSSL).
 */
#ifndef ISTHMUS_AGENTS_AUTH_H
#define ISTHMUS_AGENTS_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_TOKEN_LEN	     44	 /* base64url of 32 random bytes, and the final NUL */
#define AUTH_HASH_LEN	     128 /* "scrypt$N$r$p$salt$hash" and the final NUL */
#define AUTH_SECRET_BYTES    32	 /* a session's secret */
#define AUTH_NONCE_BYTES     32
#define AUTH_PROOF_BYTES     32
#define AUTH_ROLE_SUBSCRIBER 0
#define AUTH_ROLE_PROVIDER   1

int auth_random(void *bytes, size_t len); /* 0 or -EIO */
int auth_new_token(char token[AUTH_TOKEN_LEN]);
size_t auth_base64(const void *bytes, size_t len, char *text,
		   size_t text_len); /* url-safe, no padding; 0 = no room */
int auth_unbase64(const char *text, void *bytes, size_t len); /* bytes decoded or -EINVAL */

/* scrypt, N=2^14 r=8 p=1: about 40 ms; call it in a worker (work.h) from an event loop. */
int auth_hash(const char *token, char hash[AUTH_HASH_LEN]);
bool auth_verify(const char *token, const char *hash); /* constant time in the token */

/*
 * HMAC-SHA256(secret, "isthmus proof 1" | role | session (8 bytes, big endian) | own nonce |
 * other's nonce): what `role` sends; the other side computes it with the same role and the nonces
 * exchanged.
 */
int auth_proof(const uint8_t secret[AUTH_SECRET_BYTES], int role, uint64_t session,
	       const uint8_t own[AUTH_NONCE_BYTES], const uint8_t other[AUTH_NONCE_BYTES],
	       uint8_t proof[AUTH_PROOF_BYTES]);
bool auth_equal(const void *a, const void *b, size_t len); /* constant time */

#endif
