/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Control messages (docs/protocol.md): one JSON object a line, at most MSG_LINE_MAX bytes, over
 * TLS 1.3 (agents with the broker) or a Unix socket (a command with its daemon).
 *
 * A message with "id" is a request and is answered by one with "re" of the same number.
 */
#ifndef ISTHMUS_AGENTS_MSG_H
#define ISTHMUS_AGENTS_MSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MSG_BROKER_PORT	    "3480" /* where a broker listens unless told otherwise */
#define MSG_LINE_MAX	    65536
#define MSG_DEPTH_MAX	    16	      /* arrays and objects inside each other */
#define MSG_QUEUE_MAX	    (4 << 20) /* bytes that a reader may leave unread before it is closed */
#define MSG_FINGERPRINT_LEN 65 /* SHA-256 of the certificate's DER, lower-case hex, and NUL */

struct event_base;
struct msg_conn;
struct msg_listener;

struct msg_handler {
	/* After the TLS handshake (at once on a Unix socket). May be NULL. */
	void (*opened)(struct msg_conn *conn, void *arg);
	/* A request or notice. `message` is borrowed. */
	void (*message)(struct msg_conn *conn, json_t *message, void *arg);
	/* The connection is over and `conn` is freed after this returns; why is one line, never
	 * NULL. */
	void (*closed)(struct msg_conn *conn, const char *why, void *arg);
};

/*
 * Pings after `keepalive_s` of silence and closes after 2 * `keepalive_s` of it; 0 = never.
 * ({"op":"ping"} is answered by {"op":"pong"} inside the library.)
 */
void msg_conn_keepalive(struct msg_conn *conn, unsigned int keepalive_s);
void msg_conn_set_handler(struct msg_conn *conn, const struct msg_handler *handler, void *arg);
void *msg_conn_arg(const struct msg_conn *conn);
const char *
msg_conn_peer(const struct msg_conn *conn); /* "203.0.113.7:4242", "[2001:db8::1]:443" or "unix" */
const struct sockaddr *msg_conn_address(const struct msg_conn *conn);
int msg_conn_fd(const struct msg_conn *conn);
bool msg_conn_is_open(const struct msg_conn *conn);
/* `closed` is called from the loop, not from inside msg_conn_close(), after what is queued was sent
 * (at most 2 s). */
void msg_conn_close(struct msg_conn *conn, const char *why);
/* Frees it at once; calls neither `closed` nor answers: for the end of a program, not inside a
 * callback of this connection. */
void msg_conn_free(struct msg_conn *conn);

/* Takes the reference to `message`. -ENOTCONN, -ENOBUFS (the connection is then closed), -EMSGSIZE.
 */
int msg_send(struct msg_conn *conn, json_t *message);
/*
 * Adds "id", sends, and calls `answer` once: with the answer (borrowed), or with NULL after
 * timeout_ms or at the connection's end.
 */
typedef void (*msg_answer)(struct msg_conn *conn, json_t *answer, void *arg);
int msg_request(struct msg_conn *conn, json_t *message, unsigned int timeout_ms, msg_answer answer,
		void *arg);
/* Answers `request` with {"re": id, "ok": true} and the members of `body` (reference taken; NULL
 * allowed). */
int msg_reply(struct msg_conn *conn, const json_t *request, json_t *body);
/* {"re": id, "ok": false, "error": code, "text": ...}. Codes are listed in docs/protocol.md. */
int msg_reply_error(struct msg_conn *conn, const json_t *request, const char *code,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* One line without its newline; NULL and why if it is no JSON object within the limits above. */
json_t *msg_parse(const char *line, size_t len, const char **why);
/* Reading members: false if absent or of another type or, for integers, out of [low, high]. */
bool msg_get_string(const json_t *message, const char *key, const char **value);
bool msg_get_integer(const json_t *message, const char *key, int64_t low, int64_t high,
		     int64_t *value);
bool msg_get_bool(const json_t *message, const char *key, bool *value);
/* 64-bit numbers (session ids) travel as 16 hex digits. */
bool msg_get_id(const json_t *message, const char *key, uint64_t *value);
json_t *msg_json_id(uint64_t value);

/* A client's TLS connection. fingerprint: the broker's certificate must have it; NULL = verify by
 * the system's CAs and `host`. NULL on failure to start, with the reason in error. */
struct msg_conn *msg_connect_tls(struct event_base *base, const char *host, const char *port,
				 const char *fingerprint, const struct msg_handler *handler,
				 void *arg, char *error, size_t error_len);
struct msg_conn *msg_connect_unix(struct event_base *base, const char *path,
				  const struct msg_handler *handler, void *arg);

/* Servers. `accepted` must call msg_conn_set_handler(). At most `limit` connections; more are
 * closed at once. */
typedef void (*msg_accepted)(struct msg_conn *conn, void *arg);
struct msg_listener *msg_listen_tls(struct event_base *base, const char *address, const char *port,
				    const char *cert_file, const char *key_file, unsigned int limit,
				    msg_accepted accepted, void *arg, char *error,
				    size_t error_len);
/* mode: of the socket file, e.g. 0600. A stale file is replaced, a live daemon's is -EADDRINUSE. */
struct msg_listener *msg_listen_unix(struct event_base *base, const char *path, unsigned int mode,
				     unsigned int limit, msg_accepted accepted, void *arg,
				     char *error, size_t error_len);
void msg_listener_free(struct msg_listener *listener); /* connections stay */

/* Makes a P-256 key and a self-signed certificate for `name`, ten years, if the files do not exist.
 * Key mode 0600. */
int msg_make_certificate(const char *cert_file, const char *key_file, const char *name);
int msg_certificate_fingerprint(const char *cert_file, char fingerprint[MSG_FINGERPRINT_LEN]);

#endif
