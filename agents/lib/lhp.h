/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Last Hop Protocols (ReSoA 4.1.1, 4.3): how messages get from a client's daemon to its server.
 * Each provider is one file; this is what they have in common.
 *
 * A connection carries messages of up to LHP_MESSAGE_MAX bytes on streams (a stream is one
 * rsockID). Within a stream reliable messages arrive once and in order; a loss on one stream does
 * not stop another. Semi-reliable messages are repeated a little, may be lost, and come in any
 * order. Both ends have proved that they know the client's key, with fresh randomness of both,
 * before `opened`.
 *
 * Places: "ether:DEVICE/MAC" ("ether:DEVICE" to listen), optionally "#0x88b6" for another EtherType
 * of the experimental range; "tls:ADDRESS:PORT" with a numeric address; "unix:PATH", to listen also
 * "unix:PATH#MODE" with the file's mode, octal, 0600 if not told; "vsock:CID:PORT". Without ADDRESS
 * or CID a listener takes all. The last three are TLS 1.3 with the client's key as pre-shared key.
 */
#ifndef ISTHMUS_AGENTS_LHP_H
#define ISTHMUS_AGENTS_LHP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define LHP_MESSAGE_MAX (65536 + 256)
#define LHP_NAME_MAX	32 /* of a client, without the final NUL: a-z A-Z 0-9 _ - */
#define LHP_KEY_BYTES	32
#define LHP_ETHERTYPE	0x88b5 /* IEEE 802, local experimental 1 */

struct event_base;
struct lhp;
struct lhp_listener;

enum lhp_class { LHP_RELIABLE, LHP_SEMI };

/* Who a client is. The key file of a client holds NAME:KEY in one line, KEY as 64 hex digits. */
struct lhp_identity {
	char name[LHP_NAME_MAX + 1];
	uint8_t key[LHP_KEY_BYTES];
};

/* All are called from the event loop. */
struct lhp_handler {
	void (*opened)(struct lhp *lhp, void *arg);
	/* `bytes` until it returns. */
	void (*message)(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
			void *arg);
	/* lhp_room() is true again. */
	void (*writable)(struct lhp *lhp, void *arg);
	/* It is over, and freed after this returns. Not called from inside lhp_send() and not after
	 * lhp_free(). `why` is one line. */
	void (*closed)(struct lhp *lhp, const char *why, void *arg);
};

/*
 * Queues one message, made of `parts`, which are copied. 0, -ENOTCONN, -EMSGSIZE, -ENOMEM,
 * -ENOBUFS: the peer takes nothing any more (far beyond what lhp_room() says; the connection will
 * be closed). A semi-reliable message that finds no room is dropped, counted, and 0.
 */
int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count);
/* Whether bulk data may be queued now: answers and other short messages need not ask. */
bool lhp_room(const struct lhp *lhp);
/* The longest message that travels as one unit: bulk data is best cut to it. */
size_t lhp_best(const struct lhp *lhp);
/* A stream that will not be used again: both ends say so when their last message was queued. */
void lhp_forget(struct lhp *lhp, uint32_t stream);
void lhp_free(struct lhp *lhp); /* at once; tells the peer if it can */

struct lhp_counts {
	uint64_t sent, received, repeated, lost, refused; /* messages or frames */
	uint64_t bytes_sent, bytes_received;
	uint32_t rtt_us; /* 0 = not known */
};

const char *lhp_provider(const struct lhp *lhp); /* "ether", "tls", "unix", "vsock" */
const char *lhp_name(const struct lhp *lhp);	 /* the client's, at both ends */
const char *lhp_peer(const struct lhp *lhp);	 /* where the other end is, as text */
void lhp_count(const struct lhp *lhp, struct lhp_counts *counts);

/* NULL and one line in error. The identity is copied. */
struct lhp *lhp_connect(struct event_base *base, const char *place,
			const struct lhp_identity *identity, const struct lhp_handler *handler,
			void *arg, char *error, size_t error_len);

/* Fills in the key of identity->name; false: no such client. */
typedef bool (*lhp_find)(struct lhp_identity *identity, void *arg);
/* A client has proved who it is: the handler for its connection; opened() follows. */
typedef void (*lhp_accepted)(struct lhp *lhp, void *arg);
struct lhp_listener *lhp_listen(struct event_base *base, const char *place, lhp_find find,
				lhp_accepted accepted, void *arg, char *error, size_t error_len);
void lhp_set_handler(struct lhp *lhp, const struct lhp_handler *handler, void *arg);
void lhp_listener_free(struct lhp_listener *listener); /* connections stay */
/* Handshakes that failed: unknown names, wrong keys, garbage, too slow. Peers cannot tell which. */
uint64_t lhp_listener_refused(const struct lhp_listener *listener);

/* A key file's line. 0; -EPERM: others may read it; -EINVAL; or as open(2). */
int lhp_read_identity(const char *path, struct lhp_identity *identity);

#endif
