/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Datagrams on a joined UDP path (docs/protocol.md): a type byte, then hello, proof or data. No
 * sockets and no clocks here; udp.c repeats and sends.
 */
#ifndef ISTHMUS_PEER_FRAME_H
#define ISTHMUS_PEER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/auth.h"

enum frame_type { FRAME_DATA, FRAME_HELLO, FRAME_PROOF, FRAME_KEEPALIVE, FRAME_BYE };

#define FRAME_HELLO_BYTES (1 + 1 + 3 + AUTH_NONCE_BYTES)
#define FRAME_PROOF_BYTES (1 + AUTH_PROOF_BYTES)

struct frame_proof {
	int role;
	uint64_t session;
	uint8_t secret[AUTH_SECRET_BYTES];
	uint8_t own[AUTH_NONCE_BYTES], other[AUTH_NONCE_BYTES];
	bool greeted; /* the other's hello has come */
	bool proved;  /* the other's proof has come and was right */
};

/* What a received datagram asks its receiver to do. */
enum frame_verdict {
	FRAME_IGNORE,	    /* malformed, or before its time */
	FRAME_GREET,	    /* first hello: send hello and proof */
	FRAME_SEND_PROOF,   /* a hello after our success: the other has lost our proof */
	FRAME_NOW_PROVED,   /* the other has the secret */
	FRAME_WRONG,	    /* it does not: the path is somebody else's */
	FRAME_DELIVER,	    /* bytes[1..] are the application's */
	FRAME_ALIVE,	    /* keep-alive */
	FRAME_OTHER_IS_OVER /* bye */
};

/* 0 or -EIO. */
int frame_start(struct frame_proof *proof, const uint8_t secret[AUTH_SECRET_BYTES],
		uint64_t session, int role);
void frame_write_hello(const struct frame_proof *proof, uint8_t bytes[FRAME_HELLO_BYTES]);
/* -EAGAIN until the other's hello has come. */
int frame_write_proof(const struct frame_proof *proof, uint8_t bytes[FRAME_PROOF_BYTES]);
enum frame_verdict frame_take(struct frame_proof *proof, const uint8_t *bytes, size_t len);

#endif
