// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The far end of a program's TCP connection, in W, and its rsockID.
 *
 *	connect():  syn.c ─> tcp_start ─┐
 *	INCOMING ─> connect in W ───────┴─> bytes ─> FIN of both, DELIVERED ─> CLOSE
 *	                │ refused: RESET      │ RESET, or the server is lost: A has all data ─> RST,
 *	                                      │     or by time: timeout.c
 *	                                      └ A's RST ─> RESET
 *
 * What ends is unlinked at once and freed at the end of the loop's turn, for a caller further up
 * may still hold it.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "tcp.h"

#define CHECK_FIRST_MS 1
#define CHECK_MAX_MS   256
#define RESET_MS       60000 /* a program that does not read is reset after so long anyway */

static struct tcps *tcps_of(struct resoa *resoa);

/* ---- once a turn */

static void bury(struct tcps *tcps)
{
	while (tcps->dead) {
		struct tcp *tcp = tcps->dead;

		tcps->dead = tcp->next_dead;
		free(tcp);
	}
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct tcps *tcps = arg;

	(void)fd;
	(void)what;
	while (tcps->dirty) {
		struct tcp *tcp = tcps->dirty;

		tcps->dirty = tcp->next_dirty;
		tcp->is_dirty = false;
		if (tcp->rsock)
			credit_update(tcp);
	}
	bury(tcps);
}

void tcp_turn(struct tcps *tcps)
{
	event_active(tcps->turn, EV_TIMEOUT, 0);
}

static struct tcps *tcps_of(struct resoa *resoa)
{
	struct tcps *tcps = resoa->tcps;

	if (tcps)
		return tcps;
	tcps = calloc(1, sizeof(*tcps));
	if (!tcps)
		return NULL;
	tcps->resoa = resoa;
	tcps->waiting_last = &tcps->waiting;
	tcps->turn = event_new(resoa->base, -1, 0, on_turn, tcps);
	if (!tcps->turn) {
		free(tcps);
		return NULL;
	}
	resoa->tcps = tcps;
	return tcps;
}

void tcp_close(struct resoa *resoa)
{
	struct tcps *tcps = resoa->tcps;

	timeout_close(resoa);
	if (!tcps)
		return;
	event_free(tcps->turn);
	bury(tcps);
	free(tcps);
	resoa->tcps = NULL;
}

/* ---- ends */

static void unlink_waiting(struct tcps *tcps, struct tcp *tcp)
{
	struct tcp **at = &tcps->waiting;

	if (!tcp->is_waiting)
		return;
	while (*at != tcp)
		at = &(*at)->next_waiting;
	*at = tcp->next_waiting;
	if (!*at)
		tcps->waiting_last = at;
	tcp->is_waiting = false;
}

static void unlink_dirty(struct tcps *tcps, struct tcp *tcp)
{
	struct tcp **at = &tcps->dirty;

	if (!tcp->is_dirty)
		return;
	while (*at != tcp)
		at = &(*at)->next_dirty;
	*at = tcp->next_dirty;
	tcp->is_dirty = false;
}

void tcp_end(struct rsock *rsock)
{
	struct tcps *tcps = rsock->resoa->tcps;
	struct tcp *tcp = rsock->state;

	unlink_waiting(tcps, tcp);
	unlink_dirty(tcps, tcp);
	if (tcp->connecting)
		LIST_REMOVE(tcp, others);
	timeout_end(tcp);
	event_del(&tcp->event);
	close(tcp->fd);
	if (tcp->check)
		event_free(tcp->check);
	relay_free(tcp);
	tcp->rsock = NULL;
	tcp->fd = -1;
	rsock->state = NULL;
	tcp->next_dead = tcps->dead;
	tcps->dead = tcp;
	tcp_turn(tcps);
}

void tcp_send(struct tcp *tcp, const struct ep_message *message)
{
	struct rsock *rsock = tcp->rsock;

	if (!rsock->resoa->lhp || tcp->reset)
		return;
	if (ep_send(rsock->resoa->lhp, rsock->id, message))
		log_debug("rsock %u: %s was not sent", rsock->id, ep_type_name(message->type));
	rsock->server_knows = true;
}

void tcp_finish(struct tcp *tcp)
{
	if (tcp->ended && tcp->delivered && tcp->acknowledged)
		rsock_end(tcp->rsock, 0);
}

void tcp_broken(struct tcp *tcp, int error)
{
	rsock_end(tcp->rsock, tcp->reset ? -1 : error);
}

/* A RST takes away what the receiver's kernel has not: so not before all is there. */
static void try_reset(struct tcp *tcp)
{
	int queued = 0;

	if (!tcp->reset || tcp->is_timing_out)
		return;
	if (!relay_is_idle(tcp) || ioctl(tcp->fd, SIOCOUTQ, &queued) || queued)
		tcp_check(tcp);
	else if (!timeout_is(tcp->reset) || !timeout_begin(tcp))
		rsock_end(tcp->rsock, -1);
}

static void begin_reset(struct tcp *tcp, int error)
{
	if (tcp->reset)
		return;
	tcp->reset = error;
	tcp->check_ms = 0;
	try_reset(tcp);
}

static void on_check(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *tcp = arg;

	(void)fd;
	(void)what;
	if (tcp->reset)
		try_reset(tcp);
	else if (tcp->shut && !tcp->acknowledged)
		credit_delivered(tcp);
	else
		credit_update(tcp);
}

void tcp_check(struct tcp *tcp)
{
	struct timeval delay;

	if (!tcp->check)
		tcp->check = evtimer_new(tcp->rsock->resoa->base, on_check, tcp);
	if (!tcp->check || evtimer_pending(tcp->check, NULL))
		return;
	tcp->check_ms = tcp->check_ms ? tcp->check_ms * 2 : CHECK_FIRST_MS;
	if (tcp->check_ms > CHECK_MAX_MS)
		tcp->check_ms = CHECK_MAX_MS;
	delay = (struct timeval){ .tv_usec = (suseconds_t)tcp->check_ms * 1000 };
	evtimer_add(tcp->check, &delay);
}

/* ---- beginnings */

static void on_connected(struct tcp *tcp)
{
	const struct ep_message accepted = { .type = EP_ACCEPTED };
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		rsock_end(tcp->rsock, error);
		return;
	}
	tcp->connecting = false;
	LIST_REMOVE(tcp, others);
	tcp_send(tcp, &accepted);
	credit_start(tcp);
}

/* A's kernel answers at once as a rule: before connect() has returned. */
static void look_connected(struct tcp *tcp)
{
	struct pollfd poller = { .fd = tcp->fd, .events = POLLOUT };

	if (poll(&poller, 1, 0) > 0)
		on_connected(tcp);
}

unsigned int tcp_connecting(struct resoa *resoa, uint32_t listener)
{
	struct tcp *tcp = resoa->tcps ? LIST_FIRST(&resoa->tcps->connecting) : NULL, *next;
	unsigned int count = 0;

	for (; tcp; tcp = next) {
		next = LIST_NEXT(tcp, others);
		if (tcp->listener != listener)
			continue;
		look_connected(tcp);
		count += tcp->rsock && tcp->connecting;
	}
	return count;
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *tcp = arg;

	(void)fd;
	/* Before its bytes: what the program did before it sent them. This may end the socket. */
	program_drain(tcp->rsock->resoa->program);
	if (tcp->rsock && tcp->connecting)
		on_connected(tcp);
	if (tcp->rsock && what & EV_WRITE)
		relay_flush(tcp);
	if (tcp->rsock && what & EV_READ)
		relay_out(tcp);
	if (tcp->rsock && tcp->reset)
		try_reset(tcp);
}

static struct tcp *make(struct rsock *rsock, int fd)
{
	struct tcps *tcps = tcps_of(rsock->resoa);
	struct tcp *tcp = tcps ? calloc(1, sizeof(*tcp)) : NULL;

	if (!tcp)
		return NULL;
	tcp->rsock = rsock;
	tcp->fd = fd;
	tcp->credit = TCP_SERVER_CREDIT;
	tcp->last = &tcp->first;
	if (event_assign(&tcp->event, rsock->resoa->base, fd,
			 EV_READ | EV_WRITE | EV_ET | EV_PERSIST, on_socket, tcp) ||
	    event_add(&tcp->event, NULL)) {
		free(tcp);
		return NULL;
	}
	rsock->state = tcp;
	return tcp;
}

int tcp_start(struct rsock *rsock, int fd)
{
	struct tcp *tcp = make(rsock, fd);

	if (!tcp) {
		close(fd);
		return -ENOMEM;
	}
	credit_start(tcp);
	return 0;
}

/* From the peer's address to the program's listener. EINPROGRESS = 0. */
static int connect_world(const struct ep_message *message, int fd)
{
	struct sockaddr_storage from, to;
	socklen_t from_len = ep_to_sockaddr(&message->other, &from);
	socklen_t to_len = ep_to_sockaddr(&message->name, &to);

	if (!from_len || !to_len || from_len != to_len)
		return EAFNOSUPPORT;
	if (bind(fd, (struct sockaddr *)&from, from_len) ||
	    (connect(fd, (struct sockaddr *)&to, to_len) && errno != EINPROGRESS))
		return errno;
	return 0;
}

static int start_incoming(struct rsock *rsock, const struct ep_message *message, uint32_t listener)
{
	const struct resoa_names names = {
		.local = message->name.address,
		.remote = message->other.address,
		.local_port = message->name.port,
		.remote_port = message->other.port,
	};
	struct tcp *tcp;
	int fd, error;

	rsock->family = message->name.family;
	rsock->proto = IPPROTO_TCP;
	rsock_set_names(rsock, &names);
	fd = syn_socket(rsock->resoa, rsock->family);
	if (fd < 0)
		return -fd;
	error = connect_world(message, fd);
	tcp = error ? NULL : make(rsock, fd);
	if (!tcp) {
		close(fd);
		return error ?: ENOMEM;
	}
	tcp->connecting = true;
	tcp->listener = listener;
	LIST_INSERT_HEAD(&rsock->resoa->tcps->connecting, tcp, others);
	return 0;
}

void tcp_incoming(struct rsock *listener, const struct ep_message *message)
{
	struct rsock *rsock;
	int error;

	if (!(message->id & EP_OF_SERVER))
		return;
	rsock = rsock_new(listener->resoa, message->id, RSOCK_INCOMING);
	if (!rsock) {
		const struct ep_message reset = { .type = EP_RESET, .error = ENOBUFS };

		ep_send(listener->resoa->lhp, message->id, &reset);
		return;
	}
	rsock->server_knows = true;
	error = start_incoming(rsock, message, listener->id);
	if (error)
		rsock_end(rsock, error);
	else
		look_connected(rsock->state);
}

/* ---- messages */

static void take_fin(struct tcp *tcp, uint64_t at)
{
	if (tcp->fin || at != tcp->received) {
		log_warn("rsock %u: the server's FIN is after %llu bytes, not %llu", tcp->rsock->id,
			 (unsigned long long)tcp->received, (unsigned long long)at);
		rsock_end(tcp->rsock, EPROTO);
		return;
	}
	tcp->fin = true;
	tcp->fin_at = at;
	relay_flush(tcp);
}

static void take_credit(struct tcp *tcp, uint64_t number)
{
	if (number <= tcp->credit)
		return;
	tcp->credit = number;
	if (tcp->unread)
		relay_out(tcp);
}

void tcp_message(struct rsock *rsock, const struct ep_message *message)
{
	struct tcp *tcp = rsock->state;

	if (rsock->kind == RSOCK_LISTENER) {
		listen_message(rsock, message);
		return;
	}
	if (!tcp || tcp->reset)
		return;
	switch (message->type) {
	case EP_DATA:
	case EP_URGENT:
		relay_data(tcp, message->body, message->body_len, message->type == EP_URGENT);
		break;
	case EP_FIN:
		take_fin(tcp, message->number);
		break;
	case EP_CREDIT:
		take_credit(tcp, message->number);
		break;
	case EP_RESET:
		begin_reset(tcp, message->error ?: ECONNRESET);
		break;
	case EP_CLOSE:
		if (!tcp->fin)
			begin_reset(tcp, ECONNRESET);
		break;
	}
}

void tcp_writable(struct resoa *resoa)
{
	struct tcps *tcps = resoa->tcps;

	while (tcps && tcps->waiting && resoa->lhp && lhp_room(resoa->lhp)) {
		struct tcp *tcp = tcps->waiting;

		unlink_waiting(tcps, tcp);
		relay_out(tcp);
	}
}

void tcp_event_read(struct resoa *resoa, const struct resoa_event *event)
{
	struct rsock *rsock = rsock_of_names(resoa, IPPROTO_TCP, &event->names);
	struct tcp *tcp;

	if (!rsock || (rsock->kind != RSOCK_CONNECT && rsock->kind != RSOCK_INCOMING))
		return;
	tcp = rsock->state;
	if (event->number > tcp->read)
		tcp->read = event->number;
	tcp->check_ms = 0;
	credit_mark(tcp);
}

/* ---- the server is gone */

static void lose(struct rsock *rsock, void *arg)
{
	(void)arg;
	if (rsock->kind == RSOCK_SYN) {
		syn_lost(rsock);
	} else if (rsock->kind == RSOCK_CONNECT || rsock->kind == RSOCK_INCOMING) {
		struct tcp *tcp = rsock->state;

		if (tcp->reset)
			return;
		rsock_lost(rsock);
		begin_reset(tcp, ECONNRESET);
	} else if (rsock->kind == RSOCK_LISTENER && rsock->server_knows) {
		rsock_lost(rsock);
	}
}

void tcp_lost(struct resoa *resoa)
{
	rsock_each(resoa, lose, NULL);
}

void tcp_figures(const struct rsock *rsock, struct tcp_figures *figures)
{
	const struct tcp *tcp = rsock->state;

	*figures = (struct tcp_figures){ .state = "connecting" };
	if (rsock->kind == RSOCK_LISTENER)
		figures->state = "listening";
	if ((rsock->kind != RSOCK_CONNECT && rsock->kind != RSOCK_INCOMING) || tcp->connecting)
		return;
	figures->state = tcp->reset		  ? "reset"
			 : tcp->ended && tcp->fin ? "ending"
			 : tcp->ended		  ? "client has ended"
			 : tcp->fin		  ? "peer has ended"
						  : "connected";
	figures->sent = tcp->taken;
	figures->received = tcp->received;
	figures->credit = tcp->edge_told - tcp->received;
}
