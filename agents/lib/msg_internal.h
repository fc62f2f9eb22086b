/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What msg*.c share; nobody else includes it. */
#ifndef ISTHMUS_AGENTS_MSG_INTERNAL_H
#define ISTHMUS_AGENTS_MSG_INTERNAL_H

#include <openssl/ssl.h>
#include <sys/queue.h>

#include "msg.h"

#define MSG_HANDSHAKE_S 10 /* a connection attempt or TLS handshake may take this long */

struct bufferevent;
struct event;
struct evdns_base;

struct msg_pending {
	TAILQ_ENTRY(msg_pending) link;
	struct msg_conn *conn;
	struct event *timeout;
	json_int_t id;
	msg_answer answer;
	void *arg;
};

/*
 *   HANDSHAKE --> OPEN --> CLOSING --> freed
 *       |                     ^
 *       +---------------------+
 * CLOSING: nothing is read any more, what is queued is sent for MSG_LINGER_S, then `closed` is
 * called from the loop.
 */
enum msg_state { MSG_HANDSHAKE, MSG_OPEN, MSG_CLOSING };

struct msg_conn {
	enum msg_state state;
	struct event_base *base;
	struct bufferevent *bev;
	struct evdns_base *dns;	 /* a client's that was given a name */
	struct event *final;	 /* ends a handshake that takes too long; frees the connection */
	struct event *keepalive; /* NULL without */
	unsigned int keepalive_s;
	bool pinged;
	struct timespec heard; /* CLOCK_MONOTONIC of the last bytes */
	const struct msg_handler *handler;
	void *arg;
	struct msg_listener *listener; /* NULL for a client */
	TAILQ_HEAD(, msg_pending) pending;
	unsigned int pending_count;
	json_int_t next_id;
	char why[160];
	char peer[280];
	struct sockaddr_storage address;
	unsigned char fingerprint[32]; /* of the certificate that is expected */
};

struct msg_conn *msg_conn_new(struct event_base *base, struct msg_listener *listener);
void msg_conn_start(struct msg_conn *conn, struct bufferevent *bev); /* takes bev */
void msg_conn_abandon(struct msg_conn *conn); /* frees one that the program has not seen */
void msg_conn_opened(struct msg_conn *conn);
void msg_conn_name_peer(struct msg_conn *conn, const struct sockaddr *address);
void msg_listener_left(struct msg_listener *listener); /* one connection of it is gone */

SSL_CTX *msg_server_context(const char *cert_file, const char *key_file, char *error,
			    size_t error_len);
SSL_CTX *msg_client_context(struct msg_conn *conn, const char *fingerprint, char *error,
			    size_t error_len);
void msg_tls_error(char *error, size_t error_len, const char *what);

#endif
