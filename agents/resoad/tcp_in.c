// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * From a peer to the client, within the client's credit (4.3).
 *
 * What was sent stays in the socket until the program has read it: bytes are looked at by MSG_PEEK
 * from an offset that SO_PEEK_OFF moves on, and taken out by MSG_TRUNC when the client's CREDIT
 * says that they were read. So the peer sees the window of a host on which the program itself runs.
 * A kernel without SO_PEEK_OFF for TCP (before 6.9) and a connection with urgent data get `plain`:
 * bytes are taken as they are sent; the buffers add up, still within credit.
 *
 * Clients take turns: each sends up to a quantum of bytes, its connections one after the other.
 * Events are edges, for a socket with bytes that are looked at would be ready for ever.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tcp.h"

#define QUANTUM 262144 /* bytes of a client in one turn */

/* One for all: a message is copied by lhp_send(). */
static uint8_t buffer[TCP_CHUNK];

/* ---- turns */

static void arm_turn(struct resoad *resoad)
{
	const struct timeval now = { 0 };

	if (!evtimer_pending(resoad->turn, NULL))
		evtimer_add(resoad->turn, &now);
}

static void stand_in_line(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;

	if (tcp->in_line)
		return;
	tcp->in_line = true;
	tcp->next_ready = NULL;
	if (client->ready)
		client->ready_last->next_ready = tcp;
	else
		client->ready = tcp;
	client->ready_last = tcp;
}

static struct tcp *next_in_line(struct client *client)
{
	struct tcp *tcp = client->ready;

	client->ready = tcp->next_ready;
	tcp->in_line = false;
	return tcp;
}

static void leave_line(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;
	struct tcp **at = &client->ready, *before = NULL;

	if (!tcp->in_line)
		return;
	while (*at != tcp) {
		before = *at;
		at = &before->next_ready;
	}
	*at = tcp->next_ready;
	if (client->ready_last == tcp)
		client->ready_last = before;
	tcp->in_line = false;
}

/* ---- taking bytes out of the socket */

static bool take(struct tcp *tcp, uint64_t up_to)
{
	while (tcp->taken < up_to) {
		uint64_t rest = up_to - tcp->taken;
		ssize_t n = recv(tcp->sock->fd, NULL, rest > INT32_MAX ? INT32_MAX : rest,
				 MSG_TRUNC | MSG_DONTWAIT);

		if (n <= 0)
			return false; /* an end: the reader meets it itself */
		tcp->taken += n;
	}
	return true;
}

void tcp_in_take_all(struct tcp *tcp)
{
	take(tcp, tcp->sent);
}

static bool set_peek_offset(const struct tcp *tcp, int offset)
{
	return !setsockopt(tcp->sock->fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

static void become_plain(struct tcp *tcp)
{
	set_peek_offset(tcp, -1);
	tcp->plain = true;
	tcp_in_take_all(tcp);
}

/* ---- urgent data (MSG_OOB) */

static bool is_urgent_about(const struct tcp *tcp)
{
	struct pollfd poll_fd = { .fd = tcp->sock->fd, .events = POLLPRI };

	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & POLLPRI;
}

static bool is_at_mark(const struct tcp *tcp)
{
	int at_mark = 0;

	return !ioctl(tcp->sock->fd, SIOCATMARK, &at_mark) && at_mark;
}

/* ---- the pump */

static void send_bytes(struct tcp *tcp, uint8_t type, size_t len)
{
	struct lhp *lhp = tcp->sock->client->lhp;
	size_t best = lhp_best(lhp) - EP_HEAD_MAX, part;

	if (best > TCP_CHUNK)
		best = TCP_CHUNK;
	for (size_t at = 0; at < len; at += part) {
		part = len - at < best ? len - at : best;
		ep_send(lhp, tcp->sock->id,
			&(struct ep_message){
				.type = type, .body = buffer + at, .body_len = part });
	}
	tcp->sent += len;
	tcp->sock->client->bytes_in += len;
	client_spend(tcp->sock->client, len);
}

static void send_fin(struct tcp *tcp)
{
	if (tcp->fin_sent)
		return;
	tcp->fin_sent = true;
	ep_send(tcp->sock->client->lhp, tcp->sock->id,
		&(struct ep_message){ .type = EP_FIN, .number = tcp->sent });
}

/* Looked at are `len` bytes from tcp->sent on. Reads stop before an urgent byte unless they begin
 * with it, so only the first of them can be one. */
static void forward(struct tcp *tcp, size_t len)
{
	if (!tcp->plain && is_urgent_about(tcp)) {
		become_plain(tcp);
		return; /* and looks again */
	}
	if (tcp->plain && is_at_mark(tcp))
		send_bytes(tcp, EP_URGENT, 1);
	else
		send_bytes(tcp, EP_DATA, len);
	if (tcp->plain)
		tcp_in_take_all(tcp);
}

/* An end without credit to look at it by reading. */
static void look_for_end(struct tcp *tcp)
{
	int waiting = 0;
	socklen_t len = sizeof(tcp->error);

	if (tcp->error || ioctl(tcp->sock->fd, SIOCINQ, &waiting) ||
	    (uint64_t)waiting != tcp->sent - tcp->taken)
		return;
	getsockopt(tcp->sock->fd, SOL_SOCKET, SO_ERROR, &tcp->error, &len);
	if (tcp->hung_up && !tcp->error)
		tcp->error = tcp->broken;
	if (tcp->hung_up && !tcp->error)
		send_fin(tcp);
}

/* How many bytes may be looked at now; 0 = wait, for credit, for room or for time. */
static size_t may_read(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;
	size_t want = TCP_CHUNK;

	if (tcp->credit - tcp->sent < want)
		want = tcp->credit - tcp->sent;
	if (want > client->quantum)
		want = client->quantum;
	return want && lhp_room(client->lhp) ? client_may(client, want) : 0;
}

static void on_read_error(struct tcp *tcp, int error)
{
	tcp->readable = false;
	if (error != EAGAIN && error != EINTR && !tcp->error)
		tcp->error = error;
}

/* After a FIN even a RST reads as an end; the error stands beside it. */
static void on_read_end(struct tcp *tcp)
{
	socklen_t len = sizeof(tcp->error);

	tcp->readable = false;
	tcp->error = tcp->broken;
	if (tcp->error)
		return;
	send_fin(tcp);
	getsockopt(tcp->sock->fd, SOL_SOCKET, SO_ERROR, &tcp->error, &len);
}

static void pump(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;
	size_t may;
	ssize_t n;

	while (tcp->readable && !tcp->error && (may = may_read(tcp))) {
		n = recv(tcp->sock->fd, buffer, may, MSG_PEEK | MSG_DONTWAIT);
		if (n > 0) {
			client->quantum -= n;
			forward(tcp, n);
		} else if (!n) {
			on_read_end(tcp);
		} else {
			on_read_error(tcp, errno);
		}
	}
	if (tcp->readable && tcp->credit == tcp->sent)
		look_for_end(tcp);
	if (tcp->fin_known && tcp->sent == tcp->fin_at)
		send_fin(tcp);
}

/* May end the sock: with an error, or after its last byte. */
static void serve(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;
	uint32_t id = tcp->sock->id;

	if (tcp->first && tcp->writable) {
		tcp_out_flush(tcp);
		if (!sock_find(client, id))
			return;
	}
	if (tcp->closing)
		return;
	pump(tcp);
	if (tcp->error)
		sock_end(tcp->sock, tcp->error);
	else if (tcp->readable && tcp->credit > tcp->sent)
		stand_in_line(tcp);
}

void tcp_in_wait(struct tcp *tcp)
{
	stand_in_line(tcp);
}

static void serve_client(struct client *client)
{
	while (client->ready && client->quantum && lhp_room(client->lhp) && client_may(client, 1))
		serve(next_in_line(client));
}

void tcp_in_ready(struct tcp *tcp)
{
	struct client *client = tcp->sock->client;

	if (client->ready || client->quantum <= QUANTUM / 2)
		stand_in_line(tcp);
	else
		serve(tcp);
	if (client->ready || client->quantum <= QUANTUM / 2)
		arm_turn(client->resoad);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct resoad *resoad = arg;
	bool again = false;

	(void)fd;
	(void)what;
	for (struct client *client = resoad->clients; client; client = client->next) {
		client->quantum = QUANTUM;
		serve_client(client);
		again |= client->ready && !client->quantum;
	}
	if (again)
		arm_turn(resoad);
}

void tcp_writable(struct client *client)
{
	if (client->ready)
		arm_turn(client->resoad);
}

int tcp_open(struct resoad *resoad)
{
	resoad->turn = evtimer_new(resoad->base, on_turn, resoad);
	return resoad->turn ? 0 : -ENOMEM;
}

void tcp_close(struct resoad *resoad)
{
	if (resoad->turn)
		event_free(resoad->turn);
	resoad->turn = NULL;
}

/* ---- begin, credit, end */

int tcp_in_start(struct tcp *tcp)
{
	const int one = 1;

	/* An urgent byte stays in line, where SIOCATMARK finds it. */
	if (setsockopt(tcp->sock->fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)))
		return -errno;
	tcp->plain = !set_peek_offset(tcp, 0);
	tcp->readable = true;
	return 0;
}

void tcp_in_credit(struct tcp *tcp, const struct ep_message *message)
{
	uint64_t read = message->read < tcp->sent ? message->read : tcp->sent;

	if (message->number > tcp->credit)
		tcp->credit = message->number;
	if (!tcp->plain)
		take(tcp, read);
	tcp_in_ready(tcp);
}

void tcp_in_end(struct tcp *tcp)
{
	leave_line(tcp);
}

void tcp_fin(struct sock *sock, uint64_t at)
{
	struct tcp *tcp = sock->state;

	if (sock->kind == SOCK_LISTENER || !tcp || tcp->fin_known)
		return;
	tcp->fin_known = true;
	tcp->fin_at = at;
	if (sock->kind == SOCK_CONNECTED && tcp->sent == at)
		send_fin(tcp);
}
