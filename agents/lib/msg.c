// SPDX-License-Identifier: GPL-3.0-or-later
/* A connection: lines in, lines out, requests and their answers, its end. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <openssl/err.h>

#include "address.h"
#include "msg_internal.h"

#define MSG_LINGER_S	2
#define MSG_LINES_MAX	64   /* of one connection before others have a turn */
#define MSG_PENDING_MAX 8192 /* requests that wait for their answers */

static struct timespec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time;
}

/* ---- the end */

static void answer_pending(struct msg_pending *pending, json_t *message)
{
	struct msg_conn *conn = pending->conn;

	TAILQ_REMOVE(&conn->pending, pending, link);
	conn->pending_count--;
	pending->answer(conn, message, pending->arg);
	event_free(pending->timeout);
	free(pending);
}

static void on_resolver_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	evdns_base_free(arg, 0);
}

/* A question that was cancelled is still answered from the loop, by way of the resolver. */
static void free_resolver(struct event_base *base, struct evdns_base *dns)
{
	const struct timeval later = { .tv_sec = 1 };

	if (dns)
		event_base_once(base, -1, EV_TIMEOUT, on_resolver_idle, dns, &later);
}

static void free_conn(struct msg_conn *conn)
{
	SSL *ssl = bufferevent_openssl_get_ssl(conn->bev);

	if (conn->listener)
		msg_listener_left(conn->listener);
	if (ssl) { /* says close_notify, does not wait for the other's */
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
		SSL_shutdown(ssl);
		ERR_clear_error();
	}
	bufferevent_free(conn->bev);
	free_resolver(conn->base, conn->dns);
	if (conn->keepalive)
		event_free(conn->keepalive);
	event_free(conn->final);
	free(conn);
}

static void end_conn(struct msg_conn *conn, const char *why, unsigned int linger_s)
{
	const struct timeval wait = { .tv_sec = linger_s };

	if (conn->state == MSG_CLOSING)
		return;
	conn->state = MSG_CLOSING;
	snprintf(conn->why, sizeof(conn->why), "%s", why);
	bufferevent_disable(conn->bev, EV_READ);
	if (conn->keepalive)
		event_del(conn->keepalive);
	event_del(conn->final);
	if (linger_s)
		event_add(conn->final, &wait);
	else
		event_active(conn->final, EV_TIMEOUT, 0);
}

static void on_final(evutil_socket_t fd, short what, void *arg)
{
	struct msg_conn *conn = arg;
	struct msg_pending *pending;

	(void)fd;
	(void)what;
	if (conn->state != MSG_CLOSING) {
		end_conn(conn, "no connection in time", 0);
		return;
	}
	bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
	while ((pending = TAILQ_FIRST(&conn->pending)))
		answer_pending(pending, NULL);
	if (conn->handler && conn->handler->closed)
		conn->handler->closed(conn, conn->why, conn->arg);
	free_conn(conn);
}

void msg_conn_close(struct msg_conn *conn, const char *why)
{
	bool queued = evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0;

	end_conn(conn, why, conn->state == MSG_OPEN && queued ? MSG_LINGER_S : 0);
}

void msg_conn_free(struct msg_conn *conn)
{
	struct msg_pending *pending;

	while ((pending = TAILQ_FIRST(&conn->pending))) {
		TAILQ_REMOVE(&conn->pending, pending, link);
		event_free(pending->timeout);
		free(pending);
	}
	free_conn(conn);
}

/* ---- lines in */

static void take_answer(struct msg_conn *conn, json_t *message, json_int_t id)
{
	struct msg_pending *pending;

	/* Answers come mostly in the order of their requests. */
	TAILQ_FOREACH(pending, &conn->pending, link)
	{
		if (pending->id == id) {
			answer_pending(pending, message);
			return;
		}
	}
}

static void take_message(struct msg_conn *conn, json_t *message)
{
	const json_t *re = json_object_get(message, "re");
	const char *op;

	if (json_is_integer(re)) {
		take_answer(conn, message, json_integer_value(re));
	} else if (!msg_get_string(message, "op", &op)) {
		msg_reply_error(conn, message, "bad-message", "a message has neither op nor re");
	} else if (!strcmp(op, "ping")) {
		msg_send(conn, json_pack("{s:s}", "op", "pong"));
	} else if (strcmp(op, "pong") && conn->handler && conn->handler->message) {
		conn->handler->message(conn, message, conn->arg);
	}
}

static void take_line(struct msg_conn *conn, const char *line, size_t len)
{
	const char *why;
	json_t *message = msg_parse(line, len, &why);

	if (!message) {
		end_conn(conn, why, 0);
		return;
	}
	take_message(conn, message);
	json_decref(message);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct msg_conn *conn = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	unsigned int lines = 0;

	conn->heard = now();
	conn->pinged = false;
	while (conn->state == MSG_OPEN) {
		size_t len;
		char *line;

		if (lines++ == MSG_LINES_MAX) {
			bufferevent_trigger(bev, EV_READ,
					    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
			return;
		}
		line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF);
		if (!line)
			break;
		take_line(conn, line, len);
		free(line);
	}
	if (conn->state == MSG_OPEN && evbuffer_get_length(input) >= MSG_LINE_MAX)
		end_conn(conn, "a line is too long", 0);
}

/* ---- the connection's own events */

static void on_written(struct bufferevent *bev, void *arg)
{
	struct msg_conn *conn = arg;

	(void)bev;
	if (conn->state != MSG_CLOSING)
		return;
	event_del(conn->final);
	event_active(conn->final, EV_TIMEOUT, 0);
}

static void describe_end(struct bufferevent *bev, short what, int error, char *why, size_t len)
{
	int dns_error = bufferevent_socket_get_dns_error(bev);
	unsigned long tls_error = bufferevent_get_openssl_error(bev);
	const char *reason = tls_error ? ERR_reason_error_string(tls_error) : NULL;

	if (dns_error)
		snprintf(why, len, "no address: %s", evutil_gai_strerror(dns_error));
	else if (reason)
		snprintf(why, len, "TLS: %s", reason);
	else if (tls_error && ERR_SYSTEM_ERROR(tls_error))
		snprintf(why, len, "%s", strerror(ERR_GET_REASON(tls_error)));
	else if (what & BEV_EVENT_ERROR && error)
		snprintf(why, len, "%s", evutil_socket_error_to_string(error));
	else
		snprintf(why, len, "the other end closed the connection");
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	int error = EVUTIL_SOCKET_ERROR();
	struct msg_conn *conn = arg;
	char why[128];

	if (what & BEV_EVENT_CONNECTED) {
		msg_conn_opened(conn);
		return;
	}
	describe_end(bev, what, error, why, sizeof(why));
	if (conn->state == MSG_CLOSING) /* what is queued cannot be sent any more */
		on_written(bev, conn);
	else
		end_conn(conn, why, 0);
}

struct msg_conn *msg_conn_new(struct event_base *base, struct msg_listener *listener)
{
	struct msg_conn *conn = calloc(1, sizeof(*conn));

	if (conn)
		conn->final = evtimer_new(base, on_final, conn);
	if (!conn || !conn->final) {
		free(conn);
		return NULL;
	}
	conn->base = base;
	conn->listener = listener;
	conn->next_id = 1;
	TAILQ_INIT(&conn->pending);
	return conn;
}

void msg_conn_start(struct msg_conn *conn, struct bufferevent *bev)
{
	const struct timeval limit = { .tv_sec = MSG_HANDSHAKE_S };

	conn->bev = bev;
	event_add(conn->final, &limit);
	bufferevent_setcb(bev, on_read, on_written, on_event, conn);
	bufferevent_setwatermark(bev, EV_READ, 0, 2 * MSG_LINE_MAX);
}

void msg_conn_abandon(struct msg_conn *conn)
{
	if (conn->bev)
		bufferevent_free(conn->bev);
	free_resolver(conn->base, conn->dns);
	event_free(conn->final);
	free(conn);
}

void msg_conn_name_peer(struct msg_conn *conn, const struct sockaddr *address)
{
	struct isthmus_addr ip;
	uint16_t port;

	if (address_from_sockaddr(address, &ip, &port))
		return;
	address_to_sockaddr(&ip, port, &conn->address);
	address_port_text(&ip, port, conn->peer);
}

/* A message is one line and is waited for: pipelined ones must not wait for the other end's delayed
 * acknowledgement (40 ms). Fails on a Unix socket, which needs it not. */
static void send_at_once(const struct msg_conn *conn)
{
	const int on = 1;

	setsockopt(bufferevent_getfd(conn->bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void msg_conn_opened(struct msg_conn *conn)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (conn->state != MSG_HANDSHAKE)
		return;
	if (!conn->listener &&
	    !getpeername(bufferevent_getfd(conn->bev), (struct sockaddr *)&address, &len))
		msg_conn_name_peer(conn, (struct sockaddr *)&address);
	send_at_once(conn);
	conn->state = MSG_OPEN;
	conn->heard = now();
	event_del(conn->final);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
	if (conn->handler && conn->handler->opened)
		conn->handler->opened(conn, conn->arg);
}

static void on_keepalive(evutil_socket_t fd, short what, void *arg)
{
	struct msg_conn *conn = arg;
	struct timespec time = now();
	double silent = (double)(time.tv_sec - conn->heard.tv_sec) +
			(double)(time.tv_nsec - conn->heard.tv_nsec) / 1e9;

	(void)fd;
	(void)what;
	if (conn->state != MSG_OPEN)
		return;
	if (silent >= 2.0 * conn->keepalive_s) {
		end_conn(conn, "the other end is silent", 0);
	} else if (silent >= conn->keepalive_s && !conn->pinged) {
		conn->pinged = true;
		msg_send(conn, json_pack("{s:s}", "op", "ping"));
	}
}

void msg_conn_keepalive(struct msg_conn *conn, unsigned int keepalive_s)
{
	/* Looked at four times in the interval, so that a ping is late by a quarter of it. */
	const struct timeval period = { .tv_sec = keepalive_s / 4,
					.tv_usec = keepalive_s % 4 * 250000 };

	if (conn->keepalive)
		event_free(conn->keepalive);
	conn->keepalive = NULL;
	conn->keepalive_s = keepalive_s;
	if (!keepalive_s || conn->state == MSG_CLOSING)
		return;
	conn->keepalive = event_new(conn->base, -1, EV_PERSIST, on_keepalive, conn);
	if (conn->keepalive)
		event_add(conn->keepalive, &period);
}

void msg_conn_set_handler(struct msg_conn *conn, const struct msg_handler *handler, void *arg)
{
	conn->handler = handler;
	conn->arg = arg;
}

void *msg_conn_arg(const struct msg_conn *conn)
{
	return conn->arg;
}

const char *msg_conn_peer(const struct msg_conn *conn)
{
	return conn->peer;
}

const struct sockaddr *msg_conn_address(const struct msg_conn *conn)
{
	return (const struct sockaddr *)&conn->address;
}

int msg_conn_fd(const struct msg_conn *conn)
{
	return bufferevent_getfd(conn->bev);
}

bool msg_conn_is_open(const struct msg_conn *conn)
{
	return conn->state == MSG_OPEN;
}

/* ---- lines out */

int msg_send(struct msg_conn *conn, json_t *message)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);
	char *text;
	size_t len;

	if (conn->state != MSG_OPEN) {
		json_decref(message);
		return -ENOTCONN;
	}
	text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	json_decref(message);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	if (len >= MSG_LINE_MAX) {
		free(text);
		return -EMSGSIZE;
	}
	if (evbuffer_get_length(output) + len > MSG_QUEUE_MAX) {
		free(text);
		end_conn(conn, "the other end does not read", 0);
		return -ENOBUFS;
	}
	text[len] = '\n'; /* in place of the NUL, so that one call queues the line */
	evbuffer_add(output, text, len + 1);
	free(text);
	return 0;
}

static void on_request_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer_pending(arg, NULL);
}

static struct msg_pending *new_pending(struct msg_conn *conn, msg_answer answer, void *arg)
{
	struct msg_pending *pending = calloc(1, sizeof(*pending));

	if (!pending)
		return NULL;
	pending->timeout = evtimer_new(conn->base, on_request_timeout, pending);
	if (!pending->timeout) {
		free(pending);
		return NULL;
	}
	pending->conn = conn;
	pending->id = conn->next_id++;
	pending->answer = answer;
	pending->arg = arg;
	return pending;
}

int msg_request(struct msg_conn *conn, json_t *message, unsigned int timeout_ms, msg_answer answer,
		void *arg)
{
	const struct timeval wait = { .tv_sec = timeout_ms / 1000,
				      .tv_usec = timeout_ms % 1000 * 1000 };
	struct msg_pending *pending;
	int rc;

	if (conn->pending_count >= MSG_PENDING_MAX) {
		json_decref(message);
		return -ENOBUFS;
	}
	pending = message ? new_pending(conn, answer, arg) : NULL;
	if (!pending) {
		json_decref(message);
		return -ENOMEM;
	}
	json_object_set_new(message, "id", json_integer(pending->id));
	rc = msg_send(conn, message);
	if (rc) {
		event_free(pending->timeout);
		free(pending);
		return rc;
	}
	TAILQ_INSERT_TAIL(&conn->pending, pending, link);
	conn->pending_count++;
	event_add(pending->timeout, &wait);
	return 0;
}

int msg_reply(struct msg_conn *conn, const json_t *request, json_t *body)
{
	json_t *id = json_object_get(request, "id");

	if (!json_is_integer(id)) { /* a notice wants no answer */
		json_decref(body);
		return 0;
	}
	if (!body)
		body = json_object();
	json_object_set(body, "re", id);
	json_object_set_new(body, "ok", json_true());
	return msg_send(conn, body);
}

int msg_reply_error(struct msg_conn *conn, const json_t *request, const char *code,
		    const char *format, ...)
{
	json_t *id = json_object_get(request, "id");
	char text[256];
	va_list args;

	if (!json_is_integer(id))
		return 0;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return msg_send(conn, json_pack("{s:O, s:b, s:s, s:s}", "re", id, "ok", 0, "error", code,
					"text", text));
}
