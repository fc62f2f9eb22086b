// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Questions by TCP (RFC 7766): pipelined, answered in their order. A connection ends when no whole
 * question came for a while, when its client does not read, or at once if a length is senseless.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "../lib/address.h"
#include "dns.h"

#define ACCEPTS_MAX  64			/* before others have their turn */
#define OUTPUT_MAX   (2 * WIRE_TCP_MAX) /* unread answers, before no more questions are read */
#define HEADER_BYTES 12
#define HELD_MAX     64 /* questions of one connection that are answered later */

struct tcp_connection {
	TAILQ_ENTRY(tcp_connection) link;
	struct dns *dns;
	struct bufferevent *bev;
	struct event *idle;
	struct sockaddr_storage client;
	unsigned int held; /* questions that are answered later */
	bool ending;	   /* the client has closed its half */
};

static void close_connection(struct tcp_connection *connection)
{
	if (connection->held)
		hold_forget(connection->dns, connection);
	TAILQ_REMOVE(&connection->dns->connections, connection, link);
	connection->dns->connection_count--;
	if (connection->idle)
		event_free(connection->idle);
	if (connection->bev)
		bufferevent_free(connection->bev);
	free(connection);
}

static void restart_idle(struct tcp_connection *connection)
{
	const struct timeval idle = { .tv_sec = connection->dns->settings.tcp_idle_s };

	event_add(connection->idle, &idle);
}

/* What is held is answered or forgotten after 3 s: who waits for it is not idle. */
static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_connection *connection = arg;

	(void)fd;
	(void)what;
	if (connection->held) {
		restart_idle(connection);
		return;
	}
	connection->dns->tcp_timeouts++;
	close_connection(connection);
}

static int put_answer(struct tcp_connection *connection, const uint8_t *bytes, size_t len)
{
	struct evbuffer *out = bufferevent_get_output(connection->bev);
	const uint8_t length[2] = { (uint8_t)(len >> 8), (uint8_t)len };

	return evbuffer_add(out, length, 2) || evbuffer_add(out, bytes, len) ? -EPROTO : 1;
}

/* RFC 7766, 6.2.1.1: answers may come in another order than their questions. */
static int hold(struct tcp_connection *connection, const uint8_t *question, size_t len)
{
	struct hold_client client = { .address = connection->client, .tcp = connection };

	connection->held++;
	restart_idle(connection);
	if (hold_question(connection->dns, &client, question, len)) {
		hold_flush(connection->dns);
		return 1;
	}
	connection->held--;
	return -EPROTO;
}

/* 1: a question was answered, 0: it is not there as a whole, -EPROTO: no question. */
static int answer_next(struct tcp_connection *connection)
{
	struct answer_client client = { .address = (struct sockaddr *)&connection->client,
					.tcp = true,
					.now = dns_now(),
					.now_ms = dns_now_ms() };
	struct evbuffer *in = bufferevent_get_input(connection->bev);
	uint8_t length[2], question[WIRE_QUERY_MAX];
	const uint8_t *bytes;
	size_t len, question_len;

	if (evbuffer_copyout(in, length, 2) < 2)
		return 0;
	len = length[0] << 8 | length[1];
	if (len < HEADER_BYTES || len > WIRE_QUERY_MAX)
		return -EPROTO;
	if (evbuffer_get_length(in) < 2 + len)
		return 0;
	evbuffer_drain(in, 2);
	evbuffer_remove(in, question, len);
	question_len = len;
	len = answer(&connection->dns->server, &client, question, len, &bytes);
	if (!len && connection->dns->server.held.is)
		return hold(connection, question, question_len);
	if (!len) /* what would be dropped by UDP: nothing more is expected of this client */
		return -EPROTO;
	restart_idle(connection);
	return put_answer(connection, bytes, len);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct tcp_connection *connection = arg;
	int rc = 1;

	while (rc > 0 && connection->held < HELD_MAX &&
	       evbuffer_get_length(bufferevent_get_output(bev)) < OUTPUT_MAX)
		rc = answer_next(connection);
	if (rc < 0) {
		connection->dns->tcp_malformed++;
		close_connection(connection);
	} else if (rc > 0) { /* on_written() goes on */
		bufferevent_disable(bev, EV_READ);
	}
}

static void on_written(struct bufferevent *bev, void *arg)
{
	if (bufferevent_get_enabled(bev) & EV_READ)
		return;
	bufferevent_enable(bev, EV_READ);
	on_read(bev, arg);
}

static void on_last_written(struct bufferevent *bev, void *arg)
{
	struct tcp_connection *connection = arg;

	(void)bev;
	if (!connection->held)
		close_connection(connection);
}

/*
 * Nothing: the question is forgotten, as it would be by UDP. Then nothing is written either, and
 * on_written() does not go on with what was not read because too much was held.
 */
void tcp_reply(struct tcp_connection *connection, const uint8_t *bytes, size_t len)
{
	struct bufferevent *bev = connection->bev;

	connection->held--;
	restart_idle(connection);
	if (len) {
		put_answer(connection, bytes, len);
	} else if (evbuffer_get_length(bufferevent_get_output(bev))) {
		return;
	} else if (connection->ending) {
		if (!connection->held)
			close_connection(connection);
	} else if (!(bufferevent_get_enabled(bev) & EV_READ)) {
		bufferevent_enable(bev, EV_READ);
		bufferevent_trigger(bev, EV_READ,
				    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct tcp_connection *connection = arg;

	/* A client may close its half once it has asked; what it asked is answered. */
	if ((what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING) &&
	    (connection->held || evbuffer_get_length(bufferevent_get_output(bev)))) {
		connection->ending = true;
		bufferevent_disable(bev, EV_READ);
		bufferevent_setcb(bev, NULL, on_last_written, on_event, arg);
		return;
	}
	close_connection(connection);
}

/* Walks all of them: a connection costs more than that. */
static unsigned int count_from(const struct dns *dns, const struct sockaddr_storage *client)
{
	struct isthmus_addr address, other;
	const struct tcp_connection *connection;
	unsigned int count = 0;
	uint16_t port;

	address_from_sockaddr((const struct sockaddr *)client, &address, &port);
	TAILQ_FOREACH(connection, &dns->connections, link)
	{
		address_from_sockaddr((const struct sockaddr *)&connection->client, &other, &port);
		count += address_equal(&address, &other);
	}
	return count;
}

static int open_connection(struct dns *dns, int fd, const struct sockaddr_storage *client)
{
	struct tcp_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return -ENOMEM;
	connection->dns = dns;
	connection->client = *client;
	TAILQ_INSERT_TAIL(&dns->connections, connection, link);
	dns->connection_count++;
	connection->idle = event_new(dns->base, -1, 0, on_idle, connection);
	connection->bev = bufferevent_socket_new(dns->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection->idle || !connection->bev) {
		if (!connection->bev)
			close(fd);
		close_connection(connection);
		return 0; /* fd is closed */
	}
	bufferevent_setcb(connection->bev, on_read, on_written, on_event, connection);
	bufferevent_setwatermark(connection->bev, EV_READ, 0, 2 + WIRE_QUERY_MAX);
	bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
	restart_idle(connection);
	return 0;
}

void tcp_ready(evutil_socket_t listener_fd, short what, void *arg)
{
	struct listener *listener = arg;
	struct dns *dns = listener->dns;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage client = { 0 };
		socklen_t len = sizeof(client);
		int fd = accept4(listener_fd, (struct sockaddr *)&client, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (dns->connection_count >= dns->settings.tcp_connections ||
		    count_from(dns, &client) >= dns->settings.tcp_per_address ||
		    open_connection(dns, fd, &client)) {
			dns->tcp_refused++;
			close(fd);
		}
	}
}

void tcp_close_all(struct dns *dns)
{
	struct tcp_connection *connection;

	while ((connection = TAILQ_FIRST(&dns->connections)))
		close_connection(connection);
}
