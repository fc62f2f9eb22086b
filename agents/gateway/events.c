// SPDX-License-Identifier: GPL-3.0-or-later
/* What the datapath tells, from its ring buffer. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "gateway.h"

#define EVENTS_A_CALL 4096 /* then others have their turn, also under a flood */

static unsigned int events_left;

static void take(struct gateway *g, const struct gateway_event *event)
{
	struct tunnel_place place = { event->addr, event->port };

	if (event->kind == GATEWAY_EVENT_ASK)
		hosts_asked(g, event->host);
	else if (event->kind == GATEWAY_EVENT_MOVED)
		end_moved(g, event->peer, &place);
}

/* An error ends ring_buffer__consume() after this event; the descriptor stays readable. */
static int on_event(void *arg, void *data, size_t len)
{
	struct gateway_event event;

	if (len >= sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		take(arg, &event);
	}
	return --events_left ? 0 : -EAGAIN;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *g = arg;

	(void)fd;
	(void)what;
	events_left = EVENTS_A_CALL;
	ring_buffer__consume(g->ring);
}

int events_start(struct gateway *g)
{
	g->ring = ring_buffer__new(g->map[MAP_EVENT], on_event, g, NULL);
	if (!g->ring)
		return -errno;
	g->ring_readable = event_new(g->base, ring_buffer__epoll_fd(g->ring), EV_READ | EV_PERSIST,
				     on_readable, g);
	return g->ring_readable && !event_add(g->ring_readable, NULL) ? 0 : -ENOMEM;
}

void events_free(struct gateway *g)
{
	if (g->ring_readable)
		event_free(g->ring_readable);
	if (g->ring)
		ring_buffer__free(g->ring);
}
