// SPDX-License-Identifier: GPL-3.0-or-later
#include "frame.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define NONCE_AT 5

int frame_start(struct frame_proof *proof, const uint8_t secret[AUTH_SECRET_BYTES],
		uint64_t session, int role)
{
	uint8_t nonce[AUTH_NONCE_BYTES];

	if (auth_random(nonce, sizeof(nonce)))
		return -EIO;
	memset(proof, 0, sizeof(*proof));
	proof->role = role;
	proof->session = session;
	memcpy(proof->secret, secret, AUTH_SECRET_BYTES);
	memcpy(proof->own, nonce, sizeof(nonce));
	return 0;
}

void frame_write_hello(const struct frame_proof *proof, uint8_t bytes[FRAME_HELLO_BYTES])
{
	memset(bytes, 0, FRAME_HELLO_BYTES);
	bytes[0] = FRAME_HELLO;
	bytes[1] = proof->role;
	memcpy(bytes + NONCE_AT, proof->own, AUTH_NONCE_BYTES);
}

int frame_write_proof(const struct frame_proof *proof, uint8_t bytes[FRAME_PROOF_BYTES])
{
	if (!proof->greeted)
		return -EAGAIN;
	bytes[0] = FRAME_PROOF;
	return auth_proof(proof->secret, proof->role, proof->session, proof->own, proof->other,
			  bytes + 1);
}

static enum frame_verdict take_hello(struct frame_proof *proof, const uint8_t *bytes, size_t len)
{
	if (len != FRAME_HELLO_BYTES || bytes[2] || bytes[3] || bytes[4])
		return FRAME_IGNORE;
	if (bytes[1] != !proof->role || auth_equal(bytes + NONCE_AT, proof->own, AUTH_NONCE_BYTES))
		return FRAME_WRONG;
	if (!proof->greeted) {
		memcpy(proof->other, bytes + NONCE_AT, AUTH_NONCE_BYTES);
		proof->greeted = true;
		return FRAME_GREET;
	}
	/* A session has one nonce a side; until the first one's proof comes, the timer repeats. */
	return proof->proved ? FRAME_SEND_PROOF : FRAME_IGNORE;
}

static enum frame_verdict take_proof(struct frame_proof *proof, const uint8_t *bytes, size_t len)
{
	uint8_t expected[AUTH_PROOF_BYTES];
	bool good;

	if (len != FRAME_PROOF_BYTES || !proof->greeted || proof->proved)
		return FRAME_IGNORE;
	if (auth_proof(proof->secret, !proof->role, proof->session, proof->other, proof->own,
		       expected))
		return FRAME_IGNORE;
	good = auth_equal(expected, bytes + 1, sizeof(expected));
	OPENSSL_cleanse(expected, sizeof(expected));
	if (!good)
		return FRAME_WRONG;
	proof->proved = true;
	return FRAME_NOW_PROVED;
}

enum frame_verdict frame_take(struct frame_proof *proof, const uint8_t *bytes, size_t len)
{
	if (!len)
		return FRAME_IGNORE;
	switch (bytes[0]) {
	case FRAME_HELLO:
		return take_hello(proof, bytes, len);
	case FRAME_PROOF:
		return take_proof(proof, bytes, len);
	case FRAME_DATA:
		return proof->proved ? FRAME_DELIVER : FRAME_IGNORE;
	case FRAME_KEEPALIVE:
		return proof->proved && len == 1 ? FRAME_ALIVE : FRAME_IGNORE;
	case FRAME_BYE:
		return proof->proved && len == 1 ? FRAME_OTHER_IS_OVER : FRAME_IGNORE;
	}
	return FRAME_IGNORE;
}
