/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The relay engine (thesis 4.1, the application layer proxy): sockets instead of maps. It is what
 * the splice is measured against, and what is left where BPF cannot be loaded.
 */
#ifndef ISTHMUS_TRANSLATOR_RELAY_H
#define ISTHMUS_TRANSLATOR_RELAY_H

#include "translator.h"

#define RELAY_BUFFER (256 * 1024)

/* One side: its listener or bound socket, then its connection; and the flow that it sends. */
struct relay_side {
	struct relay_session *relay;
	int index;
	struct event *listen_event, *read_event, *write_event;
	int listener, fd;
	uint16_t remote_port; /* UDP: network byte order, 0 = nothing has come */
	uint8_t *held;	      /* what the other side could not take yet */
	size_t held_len, held_at;
	bool eof, shut; /* this side has sent FIN; it was passed on */
};

struct relay_session {
	struct session *session;
	struct relay_side side[2];
	struct event *idle;
	uint64_t seen_ns;
	struct traffic traffic;
};

struct relay {
	uint8_t buffer[RELAY_BUFFER];
	struct udp_batch *batch;
};

/* 0 or a negative errno: listens, or binds, at the side's endpoint. */
int relay_tcp_open(struct relay_session *r, int side);
int relay_udp_open(struct relay_session *r, int side);
struct udp_batch *relay_udp_batch(void);

/* Both sides are there: tells the table and starts the idle clock. */
void relay_joined(struct relay_session *r);
struct relay *relay_of(const struct relay_session *r);
struct event_base *relay_base(const struct relay_session *r);
/* A bound, non-blocking socket, or a negative errno. */
int relay_bind(const struct session *s, int side, int type);

#endif
