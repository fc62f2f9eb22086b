// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * UDP through this process: a bound socket for each side. The first datagram from the announced
 * address fixes the side's port; from then on the socket is connected, so that the kernel drops
 * what others send. Datagrams go in batches.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../lib/address.h"
#include "relay.h"

#define BATCH	      32
#define DATAGRAM_MAX  65536
#define BATCHES	      4 /* a call, then other sessions have their turn */
#define SOCKET_BUFFER (1 << 20)

struct udp_batch {
	struct mmsghdr message[BATCH];
	struct iovec vector[BATCH];
	uint8_t bytes[BATCH][DATAGRAM_MAX];
};

struct udp_batch *relay_udp_batch(void)
{
	struct udp_batch *batch = calloc(1, sizeof(*batch));

	for (int i = 0; batch && i < BATCH; i++) {
		batch->vector[i].iov_base = batch->bytes[i];
		batch->message[i].msg_hdr.msg_iov = &batch->vector[i];
		batch->message[i].msg_hdr.msg_iovlen = 1;
	}
	return batch;
}

/* What the other side's socket cannot queue is dropped, as a router would. */
static void forward(struct relay_session *r, int index, int count)
{
	struct mmsghdr *message = relay_of(r)->batch->message;
	int sent = 0;

	for (int i = 0; i < count; i++) {
		message[i].msg_hdr.msg_iov->iov_len = message[i].msg_len;
		r->traffic.packets[index]++;
		r->traffic.bytes[index] += message[i].msg_len;
	}
	while (sent < count) {
		int n = sendmmsg(r->side[!index].fd, message + sent, count - sent, MSG_DONTWAIT);

		/* A queued ICMP error is told once, in place of a datagram: try that one again. */
		if (n < 0 && errno == ECONNREFUSED)
			n = sendmmsg(r->side[!index].fd, message + sent, count - sent,
				     MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		sent += n > 0 ? n : 1;
	}
}

static void pump(struct relay_session *r, int index)
{
	struct udp_batch *batch = relay_of(r)->batch;

	r->seen_ns = now_ns();
	for (int i = 0; i < BATCHES; i++) {
		int count;

		for (int j = 0; j < BATCH; j++)
			batch->vector[j].iov_len = DATAGRAM_MAX;
		count = recvmmsg(r->side[index].fd, batch->message, BATCH, MSG_DONTWAIT, NULL);
		if (count <= 0)
			return;
		forward(r, index, count);
		if (count < BATCH)
			return;
	}
}

static enum splice_reason admit(const struct relay_side *side, const struct isthmus_addr *from)
{
	const struct session *s = side->relay->session;

	if (!s->side[side->index].probed)
		return SPLICE_UNANNOUNCED;
	return address_equal(&s->side[side->index].remote, from) ? SPLICE_JOINED
								 : SPLICE_WRONG_SOURCE;
}

/*
 * Looks at the first datagram without taking it: if it is the announced host's and the other side
 * is there, it is forwarded; before, it is dropped as in the kernel.
 */
static void learn(struct relay_side *side)
{
	struct relay_session *r = side->relay;
	struct session *s = r->session;
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	enum splice_reason reason;
	struct isthmus_addr from;
	uint16_t port;
	char byte;

	if (recvfrom(side->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, (struct sockaddr *)&storage,
		     &len) < 0 ||
	    address_from_sockaddr((struct sockaddr *)&storage, &from, &port))
		return;
	reason = admit(side, &from);
	if (reason == SPLICE_JOINED && !connect(side->fd, (struct sockaddr *)&storage, len)) {
		side->remote_port = port;
		if (r->side[!side->index].remote_port) {
			relay_joined(r);
			return;
		}
	}
	recv(side->fd, &byte, 1, MSG_DONTWAIT); /* dropped */
	if (reason != SPLICE_JOINED)
		rendezvous_refused(s->translator, s, reason);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct relay_side *side = arg;
	struct relay_session *r = side->relay;
	char byte;

	(void)what;
	if (!side->remote_port)
		learn(side);
	else if (r->session->state != SESSION_JOINED)
		recv(fd, &byte, 1, MSG_DONTWAIT);
	if (r->session->state == SESSION_JOINED)
		pump(r, side->index);
}

int relay_udp_open(struct relay_session *r, int index)
{
	struct relay_side *side = &r->side[index];
	int bytes = SOCKET_BUFFER;
	int fd = relay_bind(r->session, index, SOCK_DGRAM);

	if (fd < 0)
		return fd;
	side->fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	side->read_event = event_new(relay_base(r), fd, EV_READ | EV_PERSIST, on_readable, side);
	if (!side->read_event || event_add(side->read_event, NULL))
		return -ENOMEM;
	return 0;
}
