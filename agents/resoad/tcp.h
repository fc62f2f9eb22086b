/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One connection, in three files: tcp.c begins and ends it, tcp_in.c brings its peer's bytes to the
 * client, tcp_out.c the client's to its peer.
 *
 *   CONNECT -> SOCK_CONNECTING -- connected --> SOCK_CONNECTED -- CLOSE, all is sent --> end
 *                    |  error: RESULT, end            |  error: RESET, end
 *   INCOMING -> SOCK_NEW -- ACCEPTED --> SOCK_CONNECTED
 */
#ifndef ISTHMUS_RESOAD_TCP_H
#define ISTHMUS_RESOAD_TCP_H

#include "resoad.h"

#define TCP_WINDOW 262144 /* bytes that a client may send beyond what its socket has taken */
#define TCP_CHUNK  65536  /* bytes of one read */

struct chunk;

struct tcp {
	struct sock *sock;

	/* tcp_in.c: numbers of bytes since the connection stands. */
	uint64_t credit; /* that may be sent to the client */
	uint64_t sent;	 /* that were */
	uint64_t taken;	 /* out of the socket: with `plain` all that were sent */
	uint64_t fin_at;
	int error;	/* of the socket: told after the bytes before it */
	bool plain;	/* bytes are taken as they are sent, not as the program reads them */
	bool readable;	/* since the last EAGAIN */
	bool hung_up;	/* EPOLLRDHUP, EPOLLERR: the end is there, behind the bytes */
	bool fin_known; /* fin_at holds: the peer's FIN is held back */
	bool fin_sent;	/* to the client */
	bool in_line;	/* for its turn */
	struct tcp *next_ready;

	/* tcp_out.c */
	struct chunk *first, *last;
	uint64_t got;	      /* from the client */
	uint64_t put;	      /* into the socket */
	uint64_t credit_told; /* got may be so many */
	bool writable;	      /* since the last EAGAIN */
	bool fin_wanted, fin_done;
	bool closing; /* CLOSE has come: the rsockID has ended, the rest is sent yet */
	int broken;   /* errno: what is sent goes nowhere; what came is still read */
};

/* ---- tcp_in.c */
int tcp_in_start(struct tcp *tcp);
void tcp_in_wait(struct tcp *tcp);  /* for time: its rate is used up */
void tcp_in_ready(struct tcp *tcp); /* bytes, credit or an end have come: at once or in its turn */
void tcp_in_credit(struct tcp *tcp, const struct ep_message *message);
void tcp_in_end(struct tcp *tcp);
/* Takes out of the socket what was sent to the client, so that close() is a FIN. */
void tcp_in_take_all(struct tcp *tcp);

/* ---- tcp_out.c */
void tcp_out_data(struct tcp *tcp, const struct ep_message *message); /* DATA, URGENT */
void tcp_out_fin(struct tcp *tcp);
void tcp_out_flush(struct tcp *tcp); /* the socket may have room; may end the sock */
void tcp_out_credit(struct tcp *tcp, bool first);
void tcp_out_end(struct tcp *tcp);

/* ---- tcp.c: after CLOSE, when all is sent; ends the sock */
void tcp_finish(struct tcp *tcp);

#endif
