/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The Last Hop Protocol on Ethernet: its handshake's packets, the keys that come of them, and the
 * AEAD (docs/protocol.md, "Last Hop Protocols: Ethernet"). Bytes in, bytes out: no socket, no state
 * of a connection.
 */
#ifndef ISTHMUS_AGENTS_LHP_ETHER_KEY_H
#define ISTHMUS_AGENTS_LHP_ETHER_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lhp.h"

#define ETHER_VERSION	1
#define ETHER_HEAD	8  /* type, version, length of what follows, connection id */
#define ETHER_CLEAR	16 /* the head of DATA with its packet number: not encrypted */
#define ETHER_TAG	16
#define ETHER_MAC_BYTES 6
#define ETHER_NONCE	32
#define ETHER_POINT	32 /* X25519 (RFC 7748) */
#define ETHER_HASH	32

#define ETHER_HELLO_BYTES  (ETHER_HEAD + 72)
#define ETHER_COOKIE_BYTES (ETHER_HEAD + 64)
#define ETHER_OPEN_BYTES   (ETHER_HEAD + 168)
#define ETHER_ANSWER_BYTES (ETHER_HEAD + 100)
#define ETHER_GONE_BYTES   ETHER_HEAD

/* Packets of one key: as RFC 9001 6.6 asks for AES-GCM, 2^23, and some. */
#define ETHER_EPOCH_SHIFT 22
/* No packet has this number: the connection ends before it. */
#define ETHER_NUMBER_END (1ull << 60)

enum ether_type {
	ETHER_HELLO = 1, /* client: may I? */
	ETHER_COOKIE,	 /* server: if this reaches you */
	ETHER_OPEN,	 /* client, with the cookie, under its key */
	ETHER_ANSWER,	 /* server, under what only these two know */
	ETHER_DATA,	 /* all else */
	ETHER_GONE,	 /* a DATA's connection is not known: no more than a hint */
};

enum ether_suite { ETHER_AES_128_GCM = 1, ETHER_CHACHA20_POLY1305 };

/* What stands in front of every packet, behind the Ethernet header. */
struct ether_head {
	uint8_t type;	 /* enum ether_type */
	uint16_t length; /* of what follows the head: a short frame is padded on the wire */
	uint32_t id;	 /* the receiver's of the connection; 0 where it has none yet */
};

/* Client's and server's parts of HELLO, OPEN and ANSWER. */
struct ether_half {
	uint32_t id; /* under which it receives */
	uint8_t nonce[ETHER_NONCE];
	uint8_t point[ETHER_POINT];
};

struct ether_hello {
	uint32_t id;
	uint8_t nonce[ETHER_NONCE];
};

struct ether_open {
	struct ether_half client;
	uint8_t suite; /* enum ether_suite */
	char name[LHP_NAME_MAX + 1];
	uint8_t cookie[ETHER_HASH];
};

void ether_write_head(const struct ether_head *head, uint8_t bytes[ETHER_HEAD]);
/* 0 or -EINVAL: no packet of this version, or shorter than it says, or of its type's other length.
 */
int ether_read_head(const uint8_t *bytes, size_t len, struct ether_head *head);

void ether_write_hello(const struct ether_hello *hello, uint8_t bytes[ETHER_HELLO_BYTES]);
/* 0 or -EINVAL; outputs of all that read are untouched on failure. */
int ether_read_hello(const uint8_t *bytes, size_t len, struct ether_hello *hello);
void ether_write_cookie(const struct ether_hello *hello, const uint8_t cookie[ETHER_HASH],
			uint8_t bytes[ETHER_COOKIE_BYTES]);
/* -EBADMSG: of another hello. */
int ether_read_cookie(const uint8_t *bytes, size_t len, const struct ether_hello *hello,
		      uint8_t cookie[ETHER_HASH]);
/* The MAC is made under the client's key. 0 or -EIO (OpenSSL). */
int ether_write_open(const struct ether_open *open, const uint8_t key[LHP_KEY_BYTES],
		     uint8_t bytes[ETHER_OPEN_BYTES]);
/* Form only: who it is, is to be found out before its MAC can be looked at. */
int ether_read_open(const uint8_t *bytes, size_t len, struct ether_open *open);
/* What the MAC of an OPEN is. */
int ether_open_mac(const uint8_t key[LHP_KEY_BYTES], const uint8_t *bytes, size_t len,
		   uint8_t mac[ETHER_HASH]);
int ether_check_open(const uint8_t bytes[ETHER_OPEN_BYTES], const uint8_t key[LHP_KEY_BYTES]);

/* The cookie of one who says HELLO from this MAC address, under a secret of the server. */
int ether_make_cookie(const uint8_t secret[ETHER_HASH], const uint8_t mac[ETHER_MAC_BYTES],
		      const struct ether_hello *hello, uint8_t cookie[ETHER_HASH]);

/* X25519: a new pair; what both have in common. 0 or -EIO (also where the point is a weak one). */
int ether_new_pair(uint8_t private[ETHER_POINT], uint8_t point[ETHER_POINT]);
int ether_common(const uint8_t private[ETHER_POINT], const uint8_t point[ETHER_POINT],
		 uint8_t common[ETHER_POINT]);

/* Of one connection. */
struct ether_secrets {
	uint8_t client[ETHER_HASH], server[ETHER_HASH]; /* of what each of them sends */
	uint8_t answer[ETHER_HASH];			/* of ANSWER's MAC */
};

/* `answer`: all of ANSWER but its MAC. 0 or -EIO. */
int ether_make_secrets(const uint8_t key[LHP_KEY_BYTES], const uint8_t common[ETHER_POINT],
		       const uint8_t open[ETHER_OPEN_BYTES],
		       const uint8_t answer[ETHER_ANSWER_BYTES], struct ether_secrets *secrets);
/* Everything but the MAC, then the MAC by the secrets that came of it. */
void ether_begin_answer(const struct ether_half *server, uint32_t client_id,
			uint8_t bytes[ETHER_ANSWER_BYTES]);
int ether_end_answer(const struct ether_secrets *secrets, uint8_t bytes[ETHER_ANSWER_BYTES]);
int ether_read_answer(const uint8_t *bytes, size_t len, struct ether_half *server);
int ether_check_answer(const struct ether_secrets *secrets,
		       const uint8_t bytes[ETHER_ANSWER_BYTES]);

/* ---- AEAD */

/* One key, of the packets whose number's upper bits are `epoch`. */
struct ether_epoch {
	uint8_t secret[ETHER_HASH], iv[12];
	uint64_t epoch;
	void *context; /* EVP_CIPHER_CTX: has the key; NULL: this epoch is not there */
};

/* One direction. A receiver keeps the epoch before, for what comes late. */
struct ether_keys {
	uint8_t suite;
	bool seals;
	struct ether_epoch now, before;
};

int ether_keys_set(struct ether_keys *keys, uint8_t suite, bool seals,
		   const uint8_t secret[ETHER_HASH]);
void ether_keys_clear(struct ether_keys *keys);
/* `parts` one behind the other, and the tag, to `out`. 0; -EIO; -EOVERFLOW: no numbers are left. */
int ether_seal(struct ether_keys *keys, uint64_t number, const uint8_t clear[ETHER_CLEAR],
	       const struct iovec *parts, int count, uint8_t *out);
/* In place; `len` with the tag. 0 or -EBADMSG: not sealed by the peer. */
int ether_unseal(struct ether_keys *keys, uint64_t number, const uint8_t clear[ETHER_CLEAR],
		 uint8_t *bytes, size_t len);

#endif
