// SPDX-License-Identifier: GPL-3.0-or-later
/* Events of the datapath, from its ring buffer into the table. */
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define EVENTS_A_CALL 4096 /* then others have their turn, also while SYNs are flooded */

struct events {
	struct ring_buffer *ring;
	struct event *event;
	struct translator *translator;
	unsigned int left;
};

static void take_event(struct translator *t, const struct splice_event *event)
{
	struct session *s = table_find(&t->table, event->rendezvous);

	if (event->kind == SPLICE_EVENT_REFUSED) {
		rendezvous_refused(t, s, event->reason);
	} else if (s && event->kind == SPLICE_EVENT_JOINED) {
		s->joined_ns = event->time_ns;
		rendezvous_joined(t, s);
	} else if (s && event->kind == SPLICE_EVENT_SYN && event->side < 2) {
		rendezvous_syn(t, s, event->side, ntohs(event->remote_port));
	}
}

/* An error ends ring_buffer__consume() after this event; the descriptor stays readable. */
static int on_event(void *arg, void *data, size_t len)
{
	struct events *events = arg;
	struct splice_event event;

	if (len >= sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		take_event(events->translator, &event);
	}
	return --events->left ? 0 : -EAGAIN;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct events *events = arg;

	(void)fd;
	(void)what;
	events->left = EVENTS_A_CALL;
	ring_buffer__consume(events->ring);
}

int events_start(struct translator *t, char *error, size_t error_len)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	t->kernel->events = events;
	events->translator = t;
	events->ring = ring_buffer__new(t->kernel->fd[MAP_EVENT], on_event, events, NULL);
	if (!events->ring) {
		int err = -errno;

		snprintf(error, error_len, "cannot map splice_event: %s", strerror(-err));
		return err;
	}
	events->event = event_new(t->base, ring_buffer__epoll_fd(events->ring),
				  EV_READ | EV_PERSIST, on_readable, events);
	if (!events->event || event_add(events->event, NULL))
		return -ENOMEM;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	if (events->event)
		event_free(events->event);
	if (events->ring)
		ring_buffer__free(events->ring);
	free(events);
}
