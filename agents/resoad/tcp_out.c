// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * From the client to a peer. What the socket does not take at once is queued, at most the credit
 * that the client was told: TCP_WINDOW beyond what the socket has taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcp.h"

struct chunk {
	struct chunk *next;
	size_t at, len;
	bool urgent;
	uint8_t bytes[];
};

void tcp_out_credit(struct tcp *tcp, bool first)
{
	uint64_t number = tcp->put + TCP_WINDOW;

	if (tcp->closing || (!first && number - tcp->credit_told < TCP_WINDOW / 4))
		return;
	tcp->credit_told = number;
	ep_send(tcp->sock->client->lhp, tcp->sock->id,
		&(struct ep_message){ .type = EP_CREDIT, .number = number, .read = tcp->put });
}

/* How many of them the socket has taken; all of them, if they go nowhere. */
static size_t put(struct tcp *tcp, const uint8_t *bytes, size_t len, bool urgent)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (urgent ? MSG_OOB : 0);
	size_t may = client_may(tcp->sock->client, len), done = 0;
	ssize_t n;

	while (!tcp->broken && done < may) {
		/* With fewer than all, the urgent one is not the last. */
		n = send(tcp->sock->fd, bytes + done, may - done,
			 may < len ? flags & ~MSG_OOB : flags);
		if (n < 0 && errno == EAGAIN) {
			tcp->writable = false;
			break;
		}
		if (n < 0)
			tcp->broken = errno; /* told after what is still to be read */
		else
			done += n;
	}
	if (tcp->broken)
		done = len;
	tcp->put += done;
	tcp->sock->client->bytes_out += done;
	client_spend(tcp->sock->client, done);
	return done;
}

static int enqueue(struct tcp *tcp, const uint8_t *bytes, size_t len, bool urgent)
{
	struct chunk *chunk = malloc(sizeof(*chunk) + len);

	if (!chunk)
		return -ENOMEM;
	*chunk = (struct chunk){ .len = len, .urgent = urgent };
	memcpy(chunk->bytes, bytes, len);
	if (tcp->first)
		tcp->last->next = chunk;
	else
		tcp->first = chunk;
	tcp->last = chunk;
	return 0;
}

static void drop_first(struct tcp *tcp)
{
	struct chunk *chunk = tcp->first;

	tcp->first = chunk->next;
	free(chunk);
}

static void flush_queue(struct tcp *tcp)
{
	while (tcp->first && tcp->writable) {
		struct chunk *chunk = tcp->first;
		size_t done =
			put(tcp, chunk->bytes + chunk->at, chunk->len - chunk->at, chunk->urgent);

		if (!done) {
			if (tcp->writable)
				tcp_in_wait(tcp);
			return;
		}
		chunk->at += done;
		if (chunk->at == chunk->len)
			drop_first(tcp);
	}
}

void tcp_out_flush(struct tcp *tcp)
{
	if (tcp->sock->kind != SOCK_CONNECTED)
		return;
	flush_queue(tcp);
	if (tcp->first)
		return;
	if (tcp->fin_wanted && !tcp->fin_done) {
		shutdown(tcp->sock->fd, SHUT_WR);
		tcp->fin_done = true;
	}
	if (tcp->closing)
		tcp_finish(tcp);
	else
		tcp_out_credit(tcp, false);
}

void tcp_out_data(struct tcp *tcp, const struct ep_message *message)
{
	const uint8_t *bytes = message->body;
	size_t len = message->body_len, done = 0;
	bool urgent = message->type == EP_URGENT;

	tcp->got += len;
	/* Before the first CREDIT a window's worth may be on its way. */
	if (tcp->fin_wanted || tcp->got > (tcp->credit_told ? tcp->credit_told : TCP_WINDOW)) {
		client_end(tcp->sock->client, "it sends beyond its credit");
		return;
	}
	if (!tcp->first && tcp->writable && tcp->sock->kind == SOCK_CONNECTED)
		done = put(tcp, bytes, len, urgent);
	if (done < len && enqueue(tcp, bytes + done, len - done, urgent)) {
		sock_end(tcp->sock, ENOBUFS);
		return;
	}
	if (tcp->first && tcp->writable)
		tcp_in_wait(tcp);
	if (done)
		tcp_out_credit(tcp, false);
}

void tcp_out_fin(struct tcp *tcp)
{
	tcp->fin_wanted = true;
	tcp_out_flush(tcp);
}

void tcp_out_end(struct tcp *tcp)
{
	while (tcp->first)
		drop_first(tcp);
}
