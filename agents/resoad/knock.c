// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A peer's SYN waits until the client has said whether its program takes one more
 * (bpf/resoa_knock.bpf.h).
 *
 *	SYN ── KNOCK ──> ADMIT 0 ────────> the SYN comes in again, and the kernel answers it
 *	  waits            ADMIT error ──> it is forgotten, as by a host whose backlog is full
 *	                   CLOSE ────────> it comes in again, and finds no listener: RST
 *
 * A client has so many of them waiting; more are let in unasked. One that is asked for already is
 * the peer's repetition. Nothing ends by time: they end with an answer, or with their listener.
 */
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "resoad.h"

#define WAITING_MAX 128 /* of a client */
#define BATCH	    64	/* before others have their turn */

struct knock {
	struct resoa_names names;
	__be32 isn;
	uint32_t id, listener; /* rsockID */
	unsigned int ifindex;
	size_t len;
	struct knock *next;
	uint8_t frame[RESOA_FRAME_BYTES];
};

struct knocks {
	struct resoad *resoad;
	struct ring_buffer *ring;
	struct event *readable;
	int taken; /* in this turn */
};

/* ---- the frame */

static uint32_t sum(const uint8_t *bytes, size_t len, uint32_t before)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		before += bytes[i] << 8 | bytes[i + 1];
	return len % 2 ? before + (bytes[len - 1] << 8) : before;
}

static uint16_t fold(uint32_t sum32)
{
	while (sum32 >> 16)
		sum32 = (sum32 & 0xffff) + (sum32 >> 16);
	return (uint16_t)sum32;
}

/* A sender on this machine leaves the checksum to its device, and only the sum of the pseudo-header
 * stands there. A mapped address has the sum of its last four bytes. */
static void complete(const struct resoa_event *event, uint8_t *frame)
{
	size_t at = (uint32_t)event->level, len = (uint32_t)event->name;
	const uint8_t *names = (const uint8_t *)&event->names;
	__be16 check;

	if (at > event->length || len > event->length - at || len < sizeof(struct tcphdr))
		return;
	check = htons(fold(sum(names, 2 * sizeof(struct isthmus_addr), IPPROTO_TCP + len)));
	if (memcmp(frame + at + offsetof(struct tcphdr, check), &check, sizeof(check)))
		return;
	check = htons((uint16_t)~fold(sum(frame + at, len, 0)));
	memcpy(frame + at + offsetof(struct tcphdr, check), &check, sizeof(check));
}

static void let_in(const struct resoad *resoad, const struct knock *knock)
{
	fin_send(resoad->fin, knock->ifindex, knock->frame, knock->len);
}

/* ---- those that wait */

static struct knock **find_same(struct client *client, const struct resoa_event *event)
{
	struct knock **at = &client->knocks;

	while (*at && ((*at)->isn != event->isn ||
		       memcmp(&(*at)->names, &event->names, sizeof(event->names))))
		at = &(*at)->next;
	return at;
}

static struct knock *take_out(struct client *client, struct knock **at)
{
	struct knock *knock = *at;

	*at = knock->next;
	client->knock_count--;
	return knock;
}

static int ask(const struct sock *sock, const struct knock *knock)
{
	const struct resoa_names *names = &knock->names;
	uint8_t family = address_is_v4(&names->local) ? 4 : 6;

	return ep_send(
		sock->client->lhp, sock->id,
		&(struct ep_message){
			.type = EP_KNOCK,
			.id = knock->id,
			.name = { names->local, names->local_port, family, IPPROTO_TCP, 0 },
			.other = { names->remote, names->remote_port, family, IPPROTO_TCP, 0 },
		});
}

static void fill(struct knock *knock, const struct resoa_event *event)
{
	*knock = (struct knock){ .names = event->names,
				 .isn = event->isn,
				 .ifindex = (unsigned int)event->number,
				 .len = event->length };
	memcpy(knock->frame, event->bytes, event->length);
	complete(event, knock->frame);
}

/* False: it is let in as it is. */
static bool keep(struct sock *sock, const struct resoa_event *event)
{
	struct client *client = sock->client;
	struct knock *knock;

	if (!client->lhp || client->knock_count >= WAITING_MAX)
		return false;
	knock = malloc(sizeof(*knock));
	if (!knock)
		return false;
	fill(knock, event);
	knock->listener = sock->id;
	knock->id = client->next_knock++ & INT32_MAX;
	if (ask(sock, knock)) {
		free(knock);
		return false;
	}
	knock->next = client->knocks;
	client->knocks = knock;
	client->knock_count++;
	return true;
}

/* Connections that came before it are told before it is asked for: so the client knows of each that
 * a peer may know of. */
static int on_event(void *arg, void *data, size_t len)
{
	const struct resoa_event *event = data;
	struct knocks *knocks = arg;
	struct knock knock;
	struct sock *sock;

	if (len < sizeof(*event) || event->length > sizeof(event->bytes))
		return 0;
	knocks->taken++;
	sock = listen_of_cookie(knocks->resoad, event->cookie);
	if (!sock ||
	    (!*find_same(sock->client, event) && listen_accept(sock) && !keep(sock, event))) {
		fill(&knock, event);
		let_in(knocks->resoad, &knock);
	}
	return knocks->taken % BATCH ? 0 : -EAGAIN;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct knocks *knocks = arg;

	(void)fd;
	(void)what;
	ring_buffer__consume(knocks->ring);
}

/* ---- the answer */

void knock_message(struct sock *sock, const struct ep_message *message)
{
	struct client *client = sock->client;
	struct knock **at = &client->knocks, *knock;

	while (*at && ((*at)->id != message->id || (*at)->listener != sock->id))
		at = &(*at)->next;
	if (!*at)
		return;
	knock = take_out(client, at);
	if (!message->error)
		let_in(client->resoad, knock);
	free(knock);
}

void knock_refuse(struct client *client, uint32_t listener)
{
	struct knock **at = &client->knocks, *knock;

	while (*at) {
		if ((*at)->listener != listener) {
			at = &(*at)->next;
			continue;
		}
		knock = take_out(client, at);
		let_in(client->resoad, knock);
		free(knock);
	}
}

/* ---- begin and end */

int knock_open(struct resoad *resoad)
{
	struct knocks *knocks = resoad->fin ? calloc(1, sizeof(*knocks)) : NULL;

	if (!knocks)
		return resoad->fin ? -ENOMEM : 0;
	resoad->knocks = knocks;
	knocks->resoad = resoad;
	knocks->ring = ring_buffer__new(fin_knocks(resoad->fin), on_event, knocks, NULL);
	if (!knocks->ring)
		return -errno;
	knocks->readable = event_new(resoad->base, ring_buffer__epoll_fd(knocks->ring),
				     EV_READ | EV_PERSIST, on_readable, knocks);
	return knocks->readable && !event_add(knocks->readable, NULL) ? 0 : -ENOMEM;
}

void knock_close(struct resoad *resoad)
{
	struct knocks *knocks = resoad->knocks;

	if (!knocks)
		return;
	if (knocks->readable)
		event_free(knocks->readable);
	ring_buffer__free(knocks->ring);
	free(knocks);
	resoad->knocks = NULL;
}
