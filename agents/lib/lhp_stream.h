/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What lhp_stream*.c share; nobody else includes it.
 *
 * A stream provider is TLS 1.3 over one connected descriptor. A message is 4 bytes length of its
 * bytes, 4 bytes stream, both in network order, and the bytes.
 *
 *   lhp_stream.c        a connection: its states, reading, writing, its end
 *   lhp_stream_queue.c  what waits to be sent, in pieces of one TLS record
 *   lhp_stream_tls.c    the context, the pre-shared key, the bytes between TLS and the descriptor
 *   lhp_stream_place.c  places, sockets, listeners
 */
#ifndef ISTHMUS_AGENTS_LHP_STREAM_H
#define ISTHMUS_AGENTS_LHP_STREAM_H

#include <openssl/ssl.h>
#include <sys/queue.h>

#include "lhp_internal.h"

#define STREAM_HEAD   8	    /* length and stream */
#define STREAM_RECORD 16384 /* plaintext of a record, at most (RFC 8446, 5.1) */
#define STREAM_SEALED (STREAM_RECORD + 256)
#define STREAM_OUT    (8 * STREAM_SEALED) /* sealed bytes that go out by one send(2) */
/* One message and what one more read may bring. */
#define STREAM_IN (STREAM_HEAD + LHP_MESSAGE_MAX + 4 * STREAM_RECORD)

struct event;

/* A piece of the queue: fills one record. */
struct stream_piece {
	TAILQ_ENTRY(stream_piece) link;
	size_t start, end;
	uint8_t bytes[STREAM_RECORD];
};

TAILQ_HEAD(stream_pieces, stream_piece);

struct stream_queue {
	struct stream_pieces waiting, spare;
	unsigned int spares;
	size_t len; /* of all that waits */
};

/*
 *   CONNECTING --> HANDSHAKE --> OPEN --> ENDING --> freed
 *       |              |                    ^
 *       +--------------+--------------------+
 * ENDING: `closed` is called from the loop.
 */
enum stream_state { STREAM_CONNECTING, STREAM_HANDSHAKE, STREAM_OPEN, STREAM_ENDING };

struct stream_listener;

struct stream {
	struct lhp lhp; /* first */
	enum stream_state state;
	struct event_base *base;
	int fd; /* -1: closed */
	SSL *ssl;
	struct event *readable, *writable;
	struct event *later;		  /* the loop's turn is over */
	struct event *timer;		  /* the handshake's deadline; then: more is to be read */
	bool due;			  /* `later` is on its way */
	bool blocked;			  /* the descriptor takes nothing: `writable` is awaited */
	struct stream_listener *listener; /* of an unfinished handshake, else NULL */
	TAILQ_ENTRY(stream) link;	  /* there */
	struct lhp_identity identity;	  /* wiped when the handshake is done */
	bool impostor;	   /* a name that is not known: its handshake cannot succeed */
	bool full;	   /* handler->writable() is due when there is room */
	bool eof, drained; /* what the last recv(2) said */
	int broken;	   /* errno of send(2): what came before is still read */
	unsigned int busy; /* callbacks on the stack */
	bool gone;	   /* lhp_free() came: freed when they have returned */
	uint32_t records;  /* sealed under one key */
	struct stream_queue queue;
	uint8_t *out; /* STREAM_OUT bytes */
	size_t out_start, out_end;
	uint8_t *in; /* STREAM_IN bytes */
	size_t in_start, in_end;
	char why[160];
};

/* ---- lhp_stream.c */
extern const struct lhp_ops stream_tls_ops, stream_unix_ops, stream_vsock_ops;

/* Takes fd. The name of the peer and, of a client, the identity are set by the caller, who then
 * calls stream_start(). NULL without memory: fd is closed. */
struct stream *stream_new(struct event_base *base, const struct lhp_ops *ops, int fd);
int stream_start(struct stream *stream, bool connecting);
void stream_free(struct stream *stream); /* as lhp_free() */
/* So many more bytes are in stream->in: whole messages go to the handler. */
void stream_took(struct stream *stream, size_t len);

/* ---- lhp_stream_queue.c */
void queue_init(struct stream_queue *queue);
void queue_wipe(struct stream_queue *queue); /* frees all */
/* All of it or, with -ENOMEM, nothing. */
int queue_add(struct stream_queue *queue, const uint8_t head[STREAM_HEAD],
	      const struct iovec *parts, int count);
struct stream_piece *queue_first(struct stream_queue *queue); /* NULL: empty */
void queue_taken(struct stream_queue *queue, size_t len);     /* of the first piece */

/* ---- lhp_stream_tls.c */
/* One context serves all connections of the program: there are no certificates. */
SSL *stream_tls_new(struct stream *stream, bool server); /* NULL without memory */
/* After the handshake: the connection has keys of its own. */
void stream_tls_forget_key(struct stream *stream);
/* One line about the last error of TLS. */
void stream_tls_why(const struct stream *stream, char *why, size_t len);

/* ---- lhp_stream_place.c */
/* A handshake of a listener is over: stream->listener is NULL then. */
void stream_left(struct stream *stream, bool proved);

#endif
