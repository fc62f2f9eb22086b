// SPDX-License-Identifier: GPL-3.0-or-later
#include "proof.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define MAGIC	    "ISP1"
#define MAGIC_BYTES 4
#define NONCE_AT    8

int proof_start(struct proof *proof, const uint8_t secret[AUTH_SECRET_BYTES], uint64_t session,
		int role)
{
	uint8_t nonce[AUTH_NONCE_BYTES];

	if (auth_random(nonce, sizeof(nonce)))
		return -EIO;
	memset(proof, 0, sizeof(*proof));
	proof->role = role;
	proof->session = session;
	memcpy(proof->secret, secret, AUTH_SECRET_BYTES);
	memcpy(proof->own, nonce, sizeof(nonce));
	memcpy(proof->out, MAGIC, MAGIC_BYTES);
	proof->out[MAGIC_BYTES] = role;
	memcpy(proof->out + NONCE_AT, nonce, sizeof(nonce));
	proof->out_len = PROOF_HELLO_BYTES;
	return 0;
}

void proof_clear(struct proof *proof)
{
	OPENSSL_cleanse(proof, sizeof(*proof));
}

static size_t message_bytes(enum proof_state state)
{
	switch (state) {
	case PROOF_HELLO:
		return PROOF_HELLO_BYTES;
	case PROOF_PROOF:
		return AUTH_PROOF_BYTES;
	case PROOF_DONE:
		break;
	}
	return 0;
}

size_t proof_wanted(const struct proof *proof)
{
	return message_bytes(proof->state) - proof->have;
}

static int take_hello(struct proof *proof)
{
	static const uint8_t zero[3];
	const uint8_t *in = proof->in;

	/* Both roles and both nonces differ, so a reflected hello or proof is never accepted. */
	if (memcmp(in, MAGIC, MAGIC_BYTES) || in[MAGIC_BYTES] != !proof->role ||
	    memcmp(in + MAGIC_BYTES + 1, zero, sizeof(zero)) ||
	    auth_equal(in + NONCE_AT, proof->own, AUTH_NONCE_BYTES))
		return -EPROTO;
	memcpy(proof->other, in + NONCE_AT, AUTH_NONCE_BYTES);
	if (auth_proof(proof->secret, proof->role, proof->session, proof->own, proof->other,
		       proof->out + proof->out_len))
		return -EPROTO;
	proof->out_len += AUTH_PROOF_BYTES;
	proof->state = PROOF_PROOF;
	return 0;
}

static int take_proof(struct proof *proof)
{
	uint8_t expected[AUTH_PROOF_BYTES];
	bool good;

	if (auth_proof(proof->secret, !proof->role, proof->session, proof->other, proof->own,
		       expected))
		return -EPROTO;
	good = auth_equal(expected, proof->in, sizeof(expected));
	OPENSSL_cleanse(expected, sizeof(expected));
	if (!good)
		return -EPROTO;
	proof->state = PROOF_DONE;
	return 1;
}

int proof_take(struct proof *proof, const uint8_t *bytes, size_t len)
{
	size_t wanted = proof_wanted(proof);

	if (len > wanted)
		return -EMSGSIZE;
	memcpy(proof->in + proof->have, bytes, len);
	proof->have += len;
	if (len < wanted || !wanted)
		return 0;
	proof->have = 0;
	return proof->state == PROOF_HELLO ? take_hello(proof) : take_proof(proof);
}
