/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The proof on a joined TCP connection (docs/protocol.md): bytes in, bytes out, no sockets. A
 * caller never reads more than proof_wanted() bytes, so that nothing of the application is taken.
 *
 *   HELLO --other's 40 bytes--> PROOF --other's 32 bytes--> DONE
 */
#ifndef ISTHMUS_PEER_PROOF_H
#define ISTHMUS_PEER_PROOF_H

#include <stddef.h>
#include <stdint.h>

#include "../lib/auth.h"

#define PROOF_HELLO_BYTES (4 + 1 + 3 + AUTH_NONCE_BYTES)

enum proof_state { PROOF_HELLO, PROOF_PROOF, PROOF_DONE };

struct proof {
	enum proof_state state;
	int role;
	uint64_t session;
	uint8_t secret[AUTH_SECRET_BYTES];
	uint8_t own[AUTH_NONCE_BYTES], other[AUTH_NONCE_BYTES];
	uint8_t in[PROOF_HELLO_BYTES];
	size_t have; /* bytes in `in` */
	uint8_t out[PROOF_HELLO_BYTES + AUTH_PROOF_BYTES];
	size_t out_len, out_sent;
};

/* Draws a nonce and puts the hello into `out`. 0 or -EIO. */
int proof_start(struct proof *proof, const uint8_t secret[AUTH_SECRET_BYTES], uint64_t session,
		int role);
size_t proof_wanted(const struct proof *proof);
/* 0: more is wanted. 1: the other side has the secret. -EPROTO: it does not. -EMSGSIZE: more than
 * was wanted. */
int proof_take(struct proof *proof, const uint8_t *bytes, size_t len);
void proof_clear(struct proof *proof);

#endif
