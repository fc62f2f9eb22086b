/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SETUP, ACCEPT and REJECT (AVES 3.3, 5.1; docs/protocol.md): a name server asks a waypoint to bind
 * an initiator, or to wait for one, and is answered. One datagram each way, authenticated by a key
 * that both have for the time of their connection.
 */
#ifndef ISTHMUS_AGENTS_SETUP_H
#define ISTHMUS_AGENTS_SETUP_H

#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SETUP_BYTES	  72
#define SETUP_KEY_BYTES	  32
#define SETUP_GATEWAY_MAX 4095

enum setup_type { SETUP_ASK = 1, SETUP_ACCEPT, SETUP_REJECT };

enum setup_mode {
	SETUP_KNOWN = 1, /* the initiator's address is known: bound at once */
	SETUP_DELAYED,	 /* a wait state, for initiators of the prefix */
};

enum setup_why {
	SETUP_BOUND_ELSEWHERE = 1,
	SETUP_WAITING,
	SETUP_NO_TUNNEL,
	SETUP_FULL,
	SETUP_UNKNOWN_ADDRESS,
	SETUP_TOO_MANY,
};

struct setup {
	uint8_t type;	    /* enum setup_type */
	uint8_t mode;	    /* enum setup_mode */
	uint8_t prefix_len; /* of initiator; 32 if it is known */
	uint8_t why;	    /* REJECT: enum setup_why; else 0 */
	uint64_t serial;    /* never twice under one key */
	__be32 waypoint, initiator, resolver;
	uint32_t gateway; /* 1 to SETUP_GATEWAY_MAX */
	uint32_t host;	  /* the responder's number there */
	uint32_t ms; /* SETUP: how long to wait, 0 = as the waypoint does; ACCEPT: how long it is */
};

/* A key with what is computed of it once. NULL without memory, or OpenSSL has no HMAC-SHA256. */
struct setup_key;
struct setup_key *setup_key_new(const uint8_t bytes[SETUP_KEY_BYTES]);
void setup_key_free(struct setup_key *key);

/* 0 or -EIO (OpenSSL). */
int setup_write(const struct setup *setup, struct setup_key *key, uint8_t bytes[SETUP_BYTES]);
/*
 * 0; -EBADMSG: not made with this key; -EINVAL: not of this form. The key is looked at first, and
 * compared in constant time; `setup` is untouched on failure.
 */
int setup_read(const uint8_t *bytes, size_t len, struct setup_key *key, struct setup *setup);
/* To one address, or NULL where the socket is connected. What cannot be sent is lost as on the way.
 */
void setup_send(int fd, const struct sockaddr *to, socklen_t to_len, uint8_t (*bytes)[SETUP_BYTES],
		unsigned int count);

/* ---- receiving */

#define SETUP_INBOX 1024 /* datagrams with one call, at most */

struct setup_mail {
	const uint8_t *bytes; /* until the next call */
	size_t len;	      /* of any length: setup_read() refuses what is none */
	const struct sockaddr_storage *from;
};

struct setup_inbox;

/* Sets an option of the socket. NULL without memory. */
struct setup_inbox *setup_inbox_new(int fd);
void setup_inbox_free(struct setup_inbox *inbox);
/* What has come; 0 = nothing. */
unsigned int setup_receive(struct setup_inbox *inbox, int fd, const struct setup_mail **mail);

#endif
