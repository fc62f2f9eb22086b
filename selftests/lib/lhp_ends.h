/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two ends of an LHP in one process, each with its own event loop, so that one can be kept from
 * reading. What comes is compared with what must come: the message of a stream is a function of who
 * sends it, the stream and its number there.
 */
#ifndef ISTHMUS_SELFTESTS_LHP_ENDS_H
#define ISTHMUS_SELFTESTS_LHP_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>

#include "agents/lib/lhp.h"

#define ENDS_STREAMS 64
#define ENDS_KEY     7	   /* each byte of the client's key */
#define ENDS_NAME    "c-1" /* the only client that is known */
#define ENDS_WAIT_MS 20000 /* for anything, at most; $SLOW times as long on a slow machine */

struct end {
	struct event_base *base;
	struct lhp *lhp; /* NULL: not there, or over */
	unsigned int opened, closed, writables;
	bool sending; /* inside lhp_send() */
	char why[160];
	/* numbered messages */
	uint32_t seed;
	uint64_t to_send, sent, received, bytes;
	uint32_t next_out[ENDS_STREAMS], next_in[ENDS_STREAMS];
	/* called after each event, if set: for what a program does inside callbacks */
	void (*on_opened)(struct end *end);
	void (*on_message)(struct end *end, uint32_t stream, const uint8_t *bytes, size_t len);
	void (*on_writable)(struct end *end);
	void (*on_closed)(struct end *end);
};

struct ends {
	struct end client, server;
	struct lhp_listener *listener;
	unsigned int accepted, asked; /* connections, names */
	void (*on_accepted)(struct ends *ends);
	char place[128];
};

extern struct ends ends;

/* A listener on a place of "tls", "unix" or "vsock". */
void ends_listen(const char *provider);
/* Starts a client. NULL: see error. */
struct lhp *ends_connect(const char *name, uint8_t key_byte);
/* Both, until they are open. */
void ends_open(const char *provider);
/* Frees all. */
void ends_close(void);

/* Both loops turn until done() or for ENDS_WAIT_MS: whether it was done. */
bool ends_run(bool (*done)(void));
/* So long, without a condition. */
void ends_turn(unsigned int ms);

/* Sends numbered messages while there is room, of sizes from 0 to LHP_MESSAGE_MAX. */
void end_pump(struct end *end);
/* lhp_send() of one part. */
int end_send(struct end *end, uint32_t stream, enum lhp_class class, const void *bytes, size_t len);

extern const struct lhp_handler end_handler; /* arg: struct end */

#endif
