/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A connection's state: tcp.c (its life), relay.c (its bytes), credit.c (how many of them). */
#ifndef ISTHMUS_RESOA_TCP_H
#define ISTHMUS_RESOA_TCP_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "resoa.h"

#define TCP_SERVER_CREDIT (256u << 10) /* the server takes so much before its first CREDIT */

/* What the socket of W has not taken yet; within what the server was granted. */
struct chunk {
	struct chunk *next;
	size_t at, len;
	bool urgent; /* the last byte */
	uint8_t bytes[];
};

struct tcp {
	struct rsock *rsock; /* NULL: over; freed at the end of the loop's turn */
	int fd;
	bool connecting;	    /* to a listener of A */
	uint32_t listener;	    /* its rsockID, while connecting */
	bool unread;		    /* more may be there: credit or room was missing */
	bool ended;		    /* A's FIN was forwarded */
	bool fin;		    /* the server's came */
	bool shut;		    /* and was passed on */
	bool delivered;		    /* DELIVERED was sent */
	bool acknowledged;	    /* A's kernel has the FIN */
	int reset;		    /* the server's RESET: A is told once it has all data */
	uint64_t taken, credit;	    /* from A: forwarded, allowed */
	uint64_t received, written; /* for A: from the server, to the socket */
	uint64_t fin_at, base;	    /* base: tcpi_bytes_acked of the handshake */
	uint64_t edge, edge_told, read, read_told; /* credit.c */
	struct chunk *first, **last;
	struct event event;
	struct event *check; /* of tcp_check(), while it is waited for something */
	unsigned int check_ms;
	bool is_dirty, is_waiting, is_timing_out;
	uint64_t timeout_ms;   /* timeout.c: since when */
	uint32_t timeout_seen; /* how often its socket of A was there */
	TAILQ_ENTRY(tcp) timeouts;
	struct tcp *next_dirty, *next_waiting, *next_dead;
	LIST_ENTRY(tcp) others; /* that are connecting */
};

struct tcps {
	struct resoa *resoa;
	struct event *turn; /* credit and burial, once a turn of the loop */
	struct tcp *dirty, *dead;
	LIST_HEAD(, tcp) connecting;
	struct tcp *waiting, **waiting_last; /* for room on the LHP, in order */
};

/* ---- relay.c */
void relay_out(struct tcp *tcp); /* A to server, as far as room and credit go */
void relay_data(struct tcp *tcp, const void *bytes, size_t len, bool urgent);
void relay_flush(struct tcp *tcp); /* what was kept */
void relay_free(struct tcp *tcp);
bool relay_is_idle(const struct tcp *tcp); /* nothing is kept */

/* ---- timeout.c: errors that come to A by its own timers */
bool timeout_is(int error);
bool timeout_begin(struct tcp *tcp); /* false: it cannot be; ends the rsock later */
void timeout_end(struct tcp *tcp);   /* by tcp_end() */
void timeout_close(struct resoa *resoa);

/* ---- credit.c */
void credit_start(struct tcp *tcp);
void credit_mark(struct tcp *tcp); /* look at the window once this turn is over */
void credit_update(struct tcp *tcp);
/* Has A's kernel all bytes, and the FIN? */
void credit_delivered(struct tcp *tcp);

/* ---- tcp.c */
/* Looks again after a while: for a reset, a delivery, a window. */
void tcp_check(struct tcp *tcp);
void tcp_turn(struct tcps *tcps); /* end of this turn: see struct tcps */
void tcp_send(struct tcp *tcp, const struct ep_message *message);
void tcp_finish(struct tcp *tcp);	     /* if both directions are done */
void tcp_broken(struct tcp *tcp, int error); /* A's end is gone: an errno */

#endif
