// SPDX-License-Identifier: GPL-3.0-or-later
/* Events of the datapath, from its ring buffer. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"

#define EVENTS_A_CALL 4096 /* then others have their turn, also under a flood */

static unsigned int events_left;

static void take_arp(struct agent *agent, const uint8_t *frame, size_t len)
{
	struct arp_message message;

	if (arp_parse(frame, len, agent->maps.conf.op_reply, &message))
		agent->counter[COUNT_MALFORMED]++;
	else
		claim_take(agent, &message);
}

void events_take(struct agent *agent, const void *data, size_t len)
{
	struct portarp_event event;
	const uint8_t *frame = (const uint8_t *)data + sizeof(event);

	if (len < sizeof(event))
		return;
	memcpy(&event, data, sizeof(event));
	if (event.length > len - sizeof(event))
		return;
	switch (event.kind) {
	case PORTARP_EVENT_HELD:
	case PORTARP_EVENT_HELD_OWN:
		hold_packet(agent, &event, frame, event.length);
		break;
	case PORTARP_EVENT_FRAG:
		frag_hold(agent, &event, frame, event.length);
		break;
	case PORTARP_EVENT_FRAG_KNOWN:
		frag_known(agent, &event);
		break;
	case PORTARP_EVENT_ASK:
		age_event(agent, &event);
		break;
	case PORTARP_EVENT_ARP:
		take_arp(agent, frame, event.length);
		break;
	}
}

/* An error ends ring_buffer__consume() after this event; the descriptor stays readable. */
static int on_event(void *arg, void *data, size_t len)
{
	events_take(arg, data, len);
	return --events_left ? 0 : -EAGAIN;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	events_left = EVENTS_A_CALL;
	ring_buffer__consume(agent->ring);
}

int events_start(struct agent *agent, char *error, size_t error_len)
{
	agent->ring = ring_buffer__new(agent->maps.fd[MAP_EVENT], on_event, agent, NULL);
	if (!agent->ring) {
		int err = -errno;

		snprintf(error, error_len, "cannot map portarp_event: %s", strerror(-err));
		return err;
	}
	agent->ring_readable = event_new(agent->base, ring_buffer__epoll_fd(agent->ring),
					 EV_READ | EV_PERSIST, on_readable, agent);
	if (!agent->ring_readable || event_add(agent->ring_readable, NULL))
		return -ENOMEM;
	return 0;
}

void events_free(struct agent *agent)
{
	if (agent->ring_readable)
		event_free(agent->ring_readable);
	if (agent->ring)
		ring_buffer__free(agent->ring);
	agent->ring_readable = NULL;
	agent->ring = NULL;
}
