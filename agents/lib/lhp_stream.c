// SPDX-License-Identifier: GPL-3.0-or-later
/* A connection of a stream provider: its handshake, messages in and out, its end. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "lhp_stream.h"

#define READS_MAX 32 /* records of one connection before others have a turn */
#define DISCARD_MAX                                                                                \
	16 /* reads before close(2), which would else send RST and lose what was sent              \
	    */
#define FLUSH_NOW (8 * STREAM_RECORD) /* one send(2): it does not wait for the turn to be over */
/* TLS's own limit is 2^24.5 records under one key (RFC 8446, 5.5). */
#define RECORDS_MAX (1u << 22)

/* ---- the end */

static void release(struct stream *stream)
{
	struct event *events[] = { stream->readable, stream->writable, stream->later,
				   stream->timer };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	SSL_free(stream->ssl);
	ERR_clear_error();
	if (stream->fd >= 0)
		close(stream->fd);
	queue_wipe(&stream->queue);
	if (stream->in)
		OPENSSL_cleanse(stream->in, STREAM_IN);
	free(stream->in);
	free(stream->out);
	OPENSSL_cleanse(stream, sizeof(*stream));
	free(stream);
}

static void enter(struct stream *stream)
{
	stream->busy++;
}

static void leave(struct stream *stream)
{
	if (!--stream->busy && stream->gone)
		release(stream);
}

/* From the loop, once what is on the stack has returned. */
static void soon(struct stream *stream)
{
	if (stream->due)
		return;
	stream->due = true;
	event_active(stream->later, EV_TIMEOUT, 0);
}

static void send_sealed(struct stream *stream);

static void fail(struct stream *stream, const char *why)
{
	if (stream->state == STREAM_ENDING || stream->gone)
		return;
	send_sealed(stream); /* an alert */
	stream->state = STREAM_ENDING;
	snprintf(stream->why, sizeof(stream->why), "%s", why);
	event_del(stream->readable);
	event_del(stream->writable);
	event_del(stream->timer);
	soon(stream);
}

static void finish(struct stream *stream)
{
	const struct lhp_handler *handler = stream->lhp.handler;

	if (handler && handler->closed)
		handler->closed(&stream->lhp, stream->why, stream->lhp.arg);
	stream_free(stream);
}

/* ---- writing */

static void send_sealed(struct stream *stream)
{
	while (stream->out_start < stream->out_end && !stream->broken && stream->fd >= 0) {
		ssize_t sent = send(stream->fd, stream->out + stream->out_start,
				    stream->out_end - stream->out_start, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			stream->blocked = true;
			event_add(stream->writable, NULL);
			return;
		}
		if (sent < 0) { /* what the peer has said before its end is still read */
			stream->broken = errno;
			event_active(stream->readable, EV_READ, 0);
			return;
		}
		stream->out_start += sent;
	}
	stream->out_start = stream->out_end = 0;
}

/* One piece of the queue becomes a record. False: TLS has failed. */
static bool seal(struct stream *stream, struct stream_piece *piece)
{
	int len = piece->end - piece->start;

	ERR_clear_error();
	if (SSL_write(stream->ssl, piece->bytes + piece->start, len) != len)
		return false;
	queue_taken(&stream->queue, len);
	if (++stream->records < RECORDS_MAX)
		return true;
	stream->records = 0;
	return SSL_key_update(stream->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
}

static void flush(struct stream *stream)
{
	struct stream_piece *piece = NULL;

	while (stream->state == STREAM_OPEN && !stream->blocked && !stream->broken) {
		while (stream->out_end + STREAM_SEALED <= STREAM_OUT &&
		       (piece = queue_first(&stream->queue))) {
			if (!seal(stream, piece)) {
				char why[sizeof(stream->why)];

				stream_tls_why(stream, why, sizeof(why));
				fail(stream, why);
				return;
			}
		}
		if (!stream->out_end)
			return;
		send_sealed(stream);
	}
}

static void tell_room(struct stream *stream)
{
	const struct lhp_handler *handler = stream->lhp.handler;

	/* Half of the room, or there would be a call for each message. */
	if (!stream->full || stream->gone || stream->state != STREAM_OPEN ||
	    stream->queue.len >= LHP_ROOM / 2)
		return;
	stream->full = false;
	if (handler && handler->writable)
		handler->writable(&stream->lhp, stream->lhp.arg);
}

static int stream_send(struct lhp *lhp, uint32_t number, enum lhp_class class,
		       const struct iovec *parts, int count, size_t len)
{
	struct stream *stream = (struct stream *)lhp;
	struct stream_queue *queue = &stream->queue;
	const uint32_t head[2] = { htonl(len), htonl(number) };

	if (stream->state != STREAM_OPEN || stream->gone)
		return -ENOTCONN;
	if (class == LHP_SEMI && queue->len >= LHP_ROOM) {
		lhp->counts.lost++;
		return 0;
	}
	if (queue->len + STREAM_HEAD + len > LHP_QUEUE_MAX) {
		fail(stream, "the peer takes nothing any more");
		return -ENOBUFS;
	}
	if (queue_add(queue, (const uint8_t *)head, parts, count))
		return -ENOMEM;
	lhp->counts.sent++;
	lhp->counts.bytes_sent += len;
	if (queue->len >= FLUSH_NOW && !stream->blocked)
		flush(stream);
	if (queue->len >= LHP_ROOM)
		stream->full = true;
	if (!stream->blocked)
		soon(stream);
	return 0;
}

static bool stream_room(const struct lhp *lhp)
{
	const struct stream *stream = (const struct stream *)lhp;

	return stream->state == STREAM_OPEN && stream->queue.len < LHP_ROOM;
}

static size_t stream_best(const struct lhp *lhp)
{
	(void)lhp;
	return STREAM_RECORD - STREAM_HEAD;
}

/* ---- reading */

/* A message lies where TLS has put it. */
static void take_messages(struct stream *stream)
{
	struct lhp *lhp = &stream->lhp;

	while (stream->state == STREAM_OPEN && !stream->gone &&
	       stream->in_end - stream->in_start >= STREAM_HEAD) {
		const uint8_t *at = stream->in + stream->in_start;
		uint32_t head[2], len;

		memcpy(head, at, sizeof(head));
		len = ntohl(head[0]);
		if (len > LHP_MESSAGE_MAX) {
			lhp->counts.refused++;
			fail(stream, "a message is too long");
			return;
		}
		if (stream->in_end - stream->in_start - STREAM_HEAD < len)
			return;
		stream->in_start += STREAM_HEAD + len;
		lhp->counts.received++;
		lhp->counts.bytes_received += len;
		if (lhp->handler && lhp->handler->message)
			lhp->handler->message(lhp, ntohl(head[1]), at + STREAM_HEAD, len, lhp->arg);
	}
}

/* Room for a record behind what is there, which is less than a message. */
static void make_room(struct stream *stream)
{
	if (stream->in_start == stream->in_end) {
		stream->in_start = stream->in_end = 0;
	} else if (STREAM_IN - stream->in_end < STREAM_RECORD) {
		memmove(stream->in, stream->in + stream->in_start,
			stream->in_end - stream->in_start);
		stream->in_end -= stream->in_start;
		stream->in_start = 0;
	}
}

void stream_took(struct stream *stream, size_t len)
{
	stream->in_end += len;
	take_messages(stream);
	if (!stream->gone)
		make_room(stream);
}

/* What SSL_read() or SSL_do_handshake() meant by its failure. */
static void on_tls_end(struct stream *stream, int rc)
{
	int reason = errno, error = SSL_get_error(stream->ssl, rc);
	char why[sizeof(stream->why)];

	if (error == SSL_ERROR_WANT_READ) {
		if (stream->broken)
			fail(stream, strerror(stream->broken));
		return;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		fail(stream, "ended by the peer");
	else if (stream->broken) /* send(2) took the socket's error */
		fail(stream, strerror(stream->broken));
	else if (stream->eof)
		fail(stream, "the peer is gone");
	else if (error == SSL_ERROR_SYSCALL)
		fail(stream, reason ? strerror(reason) : "the connection is lost");
	else {
		stream_tls_why(stream, why, sizeof(why));
		fail(stream, why);
	}
	ERR_clear_error();
}

static void read_messages(struct stream *stream)
{
	const struct timeval at_once = { 0 };

	for (int i = 0; stream->state == STREAM_OPEN && !stream->gone; i++) {
		int len;

		if (i == READS_MAX) {
			event_add(stream->timer, &at_once);
			return;
		}
		ERR_clear_error();
		errno = 0;
		len = SSL_read(stream->ssl, stream->in + stream->in_end,
			       STREAM_IN - stream->in_end);
		if (len <= 0) {
			on_tls_end(stream, len);
			return;
		}
		stream_took(stream, len);
		if (stream->gone)
			return;
		if (stream->out_end && !stream->blocked)
			soon(stream); /* TLS has answered something of its own */
		if (stream->drained && !stream->broken && !SSL_has_pending(stream->ssl))
			return;
	}
}

/* ---- the handshake */

static void accept_client(struct stream *stream)
{
	struct lhp_listener *listener = (struct lhp_listener *)stream->listener;
	lhp_accepted accepted = listener->accepted;
	void *arg = listener->arg;

	memcpy(stream->lhp.name, stream->identity.name, sizeof(stream->lhp.name));
	stream_left(stream, true);
	accepted(&stream->lhp, arg);
}

static void open_stream(struct stream *stream)
{
	stream->in = malloc(STREAM_IN);
	/* Only an external key makes it a resumption: nobody has got a ticket. */
	if (!stream->in || stream->impostor || !SSL_session_reused(stream->ssl)) {
		fail(stream, stream->in ? "the peer has not proved the key" : "out of memory");
		return;
	}
	event_del(stream->timer);
	stream->state = STREAM_OPEN;
	if (stream->listener)
		accept_client(stream);
	stream_tls_forget_key(stream);
	if (!stream->gone && stream->lhp.handler && stream->lhp.handler->opened)
		stream->lhp.handler->opened(&stream->lhp, stream->lhp.arg);
	if (!stream->gone)
		read_messages(stream); /* what came with the handshake's last bytes */
}

static void shake_hands(struct stream *stream)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(stream->ssl);
	if (rc == 1) {
		send_sealed(stream);
		open_stream(stream);
		return;
	}
	on_tls_end(stream, rc);
	if (!stream->blocked)
		send_sealed(stream);
}

static void connected(struct stream *stream)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		fail(stream, strerror(error));
		return;
	}
	stream->state = STREAM_HANDSHAKE;
	event_add(stream->readable, NULL);
	shake_hands(stream);
}

/* ---- events */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd;
	(void)what;
	enter(stream);
	if (stream->state == STREAM_HANDSHAKE)
		shake_hands(stream);
	else if (stream->state == STREAM_OPEN)
		read_messages(stream);
	leave(stream);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd;
	(void)what;
	enter(stream);
	stream->blocked = false;
	if (stream->state == STREAM_CONNECTING) {
		connected(stream);
	} else {
		send_sealed(stream);
		flush(stream);
		tell_room(stream);
	}
	leave(stream);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd;
	(void)what;
	enter(stream);
	stream->due = false;
	if (stream->state == STREAM_ENDING) {
		finish(stream);
	} else if (stream->state == STREAM_HANDSHAKE) {
		shake_hands(stream);
	} else {
		flush(stream);
		tell_room(stream);
	}
	leave(stream);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd;
	(void)what;
	enter(stream);
	if (stream->state == STREAM_OPEN)
		read_messages(stream);
	else
		fail(stream, "no handshake in time");
	leave(stream);
}

/* ---- made and freed */

struct stream *stream_new(struct event_base *base, const struct lhp_ops *ops, int fd)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		close(fd);
		return NULL;
	}
	stream->lhp.ops = ops;
	stream->base = base;
	stream->fd = fd;
	queue_init(&stream->queue);
	stream->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, stream);
	stream->writable = event_new(base, fd, EV_WRITE, on_writable, stream);
	stream->later = event_new(base, -1, 0, on_later, stream);
	stream->timer = event_new(base, -1, 0, on_timer, stream);
	if (stream->readable && stream->writable && stream->later && stream->timer)
		return stream;
	release(stream);
	return NULL;
}

int stream_start(struct stream *stream, bool connecting)
{
	const struct timeval wait = { .tv_sec = LHP_HANDSHAKE_S };

	stream->ssl = stream_tls_new(stream, stream->listener != NULL);
	if (!stream->ssl)
		return -ENOMEM;
	event_add(stream->timer, &wait);
	stream->state = connecting ? STREAM_CONNECTING : STREAM_HANDSHAKE;
	if (connecting) {
		event_add(stream->writable, NULL);
		return 0;
	}
	event_add(stream->readable, NULL);
	soon(stream);
	return 0;
}

/* What was queued, as far as the descriptor takes it, and that it is the end. */
static void say_goodbye(struct stream *stream)
{
	uint8_t discarded[4096];

	flush(stream);
	if (!stream->blocked && !stream->broken && stream->state == STREAM_OPEN) {
		SSL_shutdown(stream->ssl);
		ERR_clear_error();
		send_sealed(stream);
	}
	for (int i = 0; i < DISCARD_MAX; i++)
		if (recv(stream->fd, discarded, sizeof(discarded), MSG_DONTWAIT) <= 0)
			break;
}

void stream_free(struct stream *stream)
{
	if (stream->gone)
		return;
	if (stream->state == STREAM_OPEN)
		say_goodbye(stream);
	stream->gone = true;
	if (stream->listener)
		stream_left(stream, false);
	event_del(stream->readable);
	event_del(stream->writable);
	event_del(stream->later);
	event_del(stream->timer);
	OPENSSL_cleanse(&stream->identity, sizeof(stream->identity));
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	if (!stream->busy)
		release(stream);
}

static void free_lhp(struct lhp *lhp)
{
	stream_free((struct stream *)lhp);
}

static uint32_t tcp_rtt_us(const struct lhp *lhp)
{
	const struct stream *stream = (const struct stream *)lhp;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(stream->fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? 0 : info.tcpi_rtt;
}

#define OPS(word, rtt)                                                                             \
	{                                                                                          \
		.provider = word, .send = stream_send, .room = stream_room, .best = stream_best,   \
		.free = free_lhp, .rtt_us = rtt                                                    \
	}

const struct lhp_ops stream_tls_ops = OPS("tls", tcp_rtt_us);
const struct lhp_ops stream_unix_ops = OPS("unix", NULL);
const struct lhp_ops stream_vsock_ops = OPS("vsock", NULL);
