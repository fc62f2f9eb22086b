// SPDX-License-Identifier: GPL-3.0-or-later
/* A connection's bytes: edge-triggered, so that a socket costs one epoll_ctl(2) in its life. */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../lib/log.h"
#include "tcp.h"

#define READ_BYTES (128u << 10)
#define READS_MAX  4 /* then others have their turn */

static uint8_t buffer[READ_BYTES];

/* ---- from A to the server */

static void wait_for_room(struct tcp *tcp)
{
	struct tcps *tcps = tcp->rsock->resoa->tcps;

	tcp->unread = true;
	if (tcp->is_waiting)
		return;
	tcp->is_waiting = true;
	tcp->next_waiting = NULL;
	*tcps->waiting_last = tcp;
	tcps->waiting_last = &tcp->next_waiting;
}

/* The program's MSG_OOB byte is next: it is in line here, and found by its mark. */
static bool at_mark(const struct tcp *tcp)
{
	int mark = 0;

	return !ioctl(tcp->fd, SIOCATMARK, &mark) && mark;
}

static void send_bytes(struct tcp *tcp, size_t len, uint8_t type)
{
	static size_t head_len; /* of DATA and URGENT, without a field */
	uint8_t head[EP_HEAD_MAX];
	size_t best = lhp_best(tcp->rsock->resoa->lhp);

	if (!head_len)
		head_len = ep_write_head(&(struct ep_message){ .type = EP_DATA }, head);
	best -= head_len;
	if (best > EP_BODY_MAX)
		best = EP_BODY_MAX;
	for (size_t at = 0; at < len; at += best) {
		const struct ep_message message = {
			.type = type,
			.body = buffer + at,
			.body_len = len - at < best ? len - at : best,
		};

		tcp_send(tcp, &message);
	}
	tcp->taken += len;
}

static void send_fin(struct tcp *tcp)
{
	const struct ep_message fin = { .type = EP_FIN, .number = tcp->taken };

	tcp->ended = true;
	tcp->unread = false;
	tcp_send(tcp, &fin);
	tcp_finish(tcp);
}

static void check_reset(struct tcp *tcp)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &error, &len) && error)
		tcp_broken(tcp, ECONNRESET);
}

/*
 * How many bytes may be read now, so that an urgent one among them stands alone. A read stops
 * before the mark unless it begins there, so the first byte matters only; and that is looked at
 * after it was counted, for one that comes in between could not be told from others any more.
 */
static size_t count(const struct tcp *tcp, bool *urgent, bool *all)
{
	uint64_t most = tcp->credit - tcp->taken;
	int queued = 0;

	if (ioctl(tcp->fd, SIOCINQ, &queued) || queued <= 0)
		return 0;
	*urgent = at_mark(tcp);
	if (most > sizeof(buffer))
		most = sizeof(buffer);
	if (*urgent)
		most = 1;
	*all = (uint64_t)queued <= most;
	return *all ? (size_t)queued : most;
}

/* Nothing is queued: then it is the end, or a reset, or nothing more for now. Whether there is more
 * after all. */
static bool read_end(struct tcp *tcp)
{
	ssize_t len = recv(tcp->fd, buffer, 1, MSG_DONTWAIT | MSG_PEEK);

	if (!len)
		send_fin(tcp);
	else if (len < 0 && errno != EAGAIN && errno != EINTR)
		tcp_broken(tcp, ECONNRESET);
	return len > 0;
}

/* One read. Whether there may be more. An edge may have told of bytes and of their end at once. */
static bool read_once(struct tcp *tcp)
{
	bool urgent = false, all;
	size_t most = count(tcp, &urgent, &all);
	ssize_t len;

	if (!most)
		return read_end(tcp);
	len = recv(tcp->fd, buffer, most, MSG_DONTWAIT);
	if (len <= 0)
		return read_end(tcp);
	send_bytes(tcp, len, urgent ? EP_URGENT : EP_DATA);
	return !all || (size_t)len < most || read_end(tcp);
}

void relay_out(struct tcp *tcp)
{
	struct resoa *resoa = tcp->rsock->resoa;

	if (tcp->connecting || tcp->reset)
		return;
	if (tcp->ended) { /* a RST may follow the FIN: of a program that has closed, for late data
			   */
		check_reset(tcp);
		return;
	}
	for (int i = 0; i < READS_MAX; i++) {
		if (!resoa->lhp || !lhp_room(resoa->lhp)) {
			wait_for_room(tcp);
			return;
		}
		/* Nothing is read, but a program's RST is not kept back by that. */
		if (tcp->credit == tcp->taken) {
			tcp->unread = true;
			check_reset(tcp);
			return;
		}
		if (!read_once(tcp)) {
			if (tcp->rsock)
				tcp->unread = false;
			return;
		}
	}
	tcp->unread = true;
	event_active(&tcp->event, EV_READ, 0);
}

/* ---- from the server to A */

static bool keep(struct tcp *tcp, const uint8_t *bytes, size_t len, bool urgent)
{
	struct chunk *chunk = malloc(sizeof(*chunk) + len);

	if (!chunk)
		return false;
	*chunk = (struct chunk){ .len = len, .urgent = urgent };
	memcpy(chunk->bytes, bytes, len);
	*tcp->last = chunk;
	tcp->last = &chunk->next;
	return true;
}

/* How many the socket has taken, or -1: A's end is gone. The urgent byte goes alone: of a send()
 * that takes less than all, the last byte taken would be the urgent one. */
static ssize_t put(struct tcp *tcp, const uint8_t *bytes, size_t len, bool urgent)
{
	size_t plain = urgent ? len - 1 : len, done = 0;

	while (done < len) {
		bool is_mark = done == plain;
		ssize_t n = send(tcp->fd, bytes + done, is_mark ? 1 : plain - done,
				 MSG_DONTWAIT | MSG_NOSIGNAL | (is_mark ? MSG_OOB : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -1;
		if (n < 0)
			break;
		done += n;
	}
	tcp->written += done;
	return done;
}

static void end_of_data(struct tcp *tcp)
{
	if (!tcp->fin || tcp->shut || tcp->first)
		return;
	tcp->shut = true;
	tcp->check_ms = 0;
	if (shutdown(tcp->fd, SHUT_WR))
		tcp_broken(tcp, ECONNRESET);
	else
		credit_delivered(tcp);
}

void relay_data(struct tcp *tcp, const void *bytes, size_t len, bool urgent)
{
	ssize_t done = 0;

	if (!len)
		return;
	if (tcp->fin || tcp->connecting || tcp->received + len > tcp->edge_told + EP_BODY_MAX) {
		log_warn("rsock %u: the server sends more than it may", tcp->rsock->id);
		rsock_end(tcp->rsock, EPROTO);
		return;
	}
	tcp->received += len;
	if (!tcp->first)
		done = put(tcp, bytes, len, urgent);
	if (done < 0)
		tcp_broken(tcp, ECONNRESET);
	else if ((size_t)done < len &&
		 !keep(tcp, (const uint8_t *)bytes + done, len - done, urgent))
		rsock_end(tcp->rsock, ENOBUFS);
	else if (tcp->received >= tcp->edge_told)
		credit_mark(tcp);
}

void relay_flush(struct tcp *tcp)
{
	while (tcp->first) {
		struct chunk *chunk = tcp->first;
		ssize_t done =
			put(tcp, chunk->bytes + chunk->at, chunk->len - chunk->at, chunk->urgent);

		if (done < 0) {
			tcp_broken(tcp, ECONNRESET);
			return;
		}
		chunk->at += done;
		if (chunk->at < chunk->len)
			return;
		tcp->first = chunk->next;
		if (!tcp->first)
			tcp->last = &tcp->first;
		free(chunk);
	}
	end_of_data(tcp);
}

bool relay_is_idle(const struct tcp *tcp)
{
	return !tcp->first;
}

void relay_free(struct tcp *tcp)
{
	while (tcp->first) {
		struct chunk *chunk = tcp->first;

		tcp->first = chunk->next;
		free(chunk);
	}
	tcp->last = &tcp->first;
}
