// SPDX-License-Identifier: GPL-3.0-or-later
/* What the datapath tells, from its ring buffer. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/neighbour.h"
#include "waypoint.h"

#define EVENTS_A_CALL 4096 /* then others have their turn, also under a flood */

static unsigned int events_left;

/* How long the initiator took: from the wait's beginning, which its end and length tell. */
static void bound(struct waypoint *w, const struct waypoint_event *event)
{
	w->counters.bound++;
	for (unsigned int i = 0; i < w->address_count; i++) {
		const struct address *address = &w->address[i];

		if (address->address != event->pair.waypoint)
			continue;
		for (int n = 0; n < WAYPOINT_WAITS; n++) {
			const struct wait *wait = &address->wait[n];
			uint64_t begun = wait->until_ns - wait->ms * NS_PER_MS;

			if (wait->serial == event->serial && wait->ms && event->time_ns >= begun)
				server_bound(w, event->serial, event->pair.initiator,
					     (uint32_t)((event->time_ns - begun) / NS_PER_MS));
		}
		return;
	}
}

/* ---- next hops of initiators without a binding (prefix6) */

/* A next hop that is kept known: packets pass the kernel's neighbour code by. */
static void note_hop(struct waypoint *w, const struct neighbour_route *route)
{
	struct hop *hop;

	for (unsigned int i = 0; i < w->hop_count; i++)
		if (w->hop[i].ifindex == route->ifindex &&
		    address_equal(&w->hop[i].address, &route->hop))
			return;
	hop = &w->hop[w->hop_next++ % HOPS_MAX]; /* the oldest makes room */
	if (w->hop_count < HOPS_MAX)
		w->hop_count++;
	hop->address = route->hop;
	hop->ifindex = route->ifindex;
}

/* The kernel asks for the neighbour; the next packet finds it. */
static void no_hop(struct waypoint *w, const struct isthmus_addr *address)
{
	struct mnl_socket *query = tunnel_peers_query(w->peers);
	struct neighbour_route route;

	if (neighbour_route(query, address, &route))
		return;
	note_hop(w, &route);
	neighbour_use(query, &route.hop, route.ifindex);
}

void events_keep_hops(struct waypoint *w)
{
	for (unsigned int i = 0; i < w->hop_count; i++)
		neighbour_use(tunnel_peers_query(w->peers), &w->hop[i].address, w->hop[i].ifindex);
}

/* Where most of IPv6 is: so not even the first packet waits for its neighbour. */
static void find_default_hop(struct waypoint *w)
{
	struct isthmus_addr anyone;

	if (w->settings.prefix6 && !address_parse("2000::", &anyone))
		no_hop(w, &anyone);
}

/* ---- events */

static void take(struct waypoint *w, const struct waypoint_event *event)
{
	struct tunnel_place place = { event->addr, event->port };

	switch (event->kind) {
	case WAYPOINT_EVENT_BOUND:
		bound(w, event);
		break;
	case WAYPOINT_EVENT_REJECTED:
		w->counters.violated++;
		w->rejects++;
		break;
	case WAYPOINT_EVENT_MOVED:
		if (event->peer < GATEWAYS)
			end_moved(w, event->peer, &place);
		break;
	case WAYPOINT_EVENT_NO_HOP:
		no_hop(w, &event->addr);
		break;
	}
}

/* An error ends ring_buffer__consume() after this event; the descriptor stays readable. */
static int on_event(void *arg, void *data, size_t len)
{
	struct waypoint_event event;

	if (len >= sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		take(arg, &event);
	}
	return --events_left ? 0 : -EAGAIN;
}

void events_take(struct waypoint *w)
{
	events_left = EVENTS_A_CALL;
	ring_buffer__consume(w->ring);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	events_take(arg);
}

int events_start(struct waypoint *w)
{
	find_default_hop(w);
	w->ring = ring_buffer__new(w->map[MAP_EVENT], on_event, w, NULL);
	if (!w->ring)
		return -errno;
	w->ring_readable = event_new(w->base, ring_buffer__epoll_fd(w->ring), EV_READ | EV_PERSIST,
				     on_readable, w);
	return w->ring_readable && !event_add(w->ring_readable, NULL) ? 0 : -ENOMEM;
}

void events_free(struct waypoint *w)
{
	if (w->ring_readable)
		event_free(w->ring_readable);
	if (w->ring)
		ring_buffer__free(w->ring);
}
