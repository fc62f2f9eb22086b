// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What the datapath tells, from its ring buffer. It wakes nobody, so that a flood costs it nothing:
 * the ring is read each tick. What is lost is found by the sweep.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

#define EVENTS_A_CALL	16384 /* then others have their turn, also under a flood */
#define CONFLICTS_AHEAD 1000  /* free addresses that others' claims may spend, each day */
#define DAY_NS		(86400 * NS_PER_S)

static unsigned int events_left;

static void mac_text(const uint8_t mac[6], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}

/* Another host has a free one: it is never given out. Not without end, for anybody on the link may
 * say so of any address. */
static void spend(struct onetime *o, const struct isthmus_addr *address, uint64_t now_ns)
{
	static uint64_t day_ns;
	static unsigned int spent;

	if (!day_ns || now_ns - day_ns > DAY_NS) {
		day_ns = now_ns;
		spent = 0;
	}
	if (spent++ < CONFLICTS_AHEAD)
		counter_take_address(o->counters, address);
}

static void conflict(struct onetime *o, const struct onetime_event *event)
{
	char address[ADDRESS_TEXT_LEN], mac[18];
	struct onetime_addr addr;

	o->counter.conflicts++;
	address_text(&event->addr, address);
	mac_text(event->mac, mac);
	log_warn("%s says that %s of a pool is its own", mac, address);
	if (event->state == ONETIME_STATE_FREE) {
		spend(o, &event->addr, event->time_ns);
		return;
	}
	/* RESERVED until now, and given out while it became DEAD: see give_prepared(). */
	if (event->state == ONETIME_STATE_RESERVED &&
	    !bpf_map_lookup_elem(o->map[MAP_ADDR], &event->addr, &addr) &&
	    addr.state == ONETIME_STATE_PENDING) {
		bpf_map_delete_elem(o->map[MAP_ADDR], &event->addr);
		given_remove(o, &event->addr);
		log_warn("%s was just given out, and is dead", address);
	}
}

static void take(struct onetime *o, const struct onetime_event *event)
{
	switch (event->kind) {
	case ONETIME_EVENT_CLAIMED:
		o->counter.claimed++;
		given_remove(o, &event->addr);
		break;
	case ONETIME_EVENT_CONFLICT:
		conflict(o, event);
		break;
	case ONETIME_EVENT_EMPTY:
		o->counter.empty++;
		break;
	}
}

/* An error ends ring_buffer__consume() after this event. */
static int on_event(void *arg, void *data, size_t len)
{
	struct onetime_event event;

	if (len >= sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		take(arg, &event);
	}
	return --events_left ? 0 : -EAGAIN;
}

void events_take(struct onetime *o)
{
	events_left = EVENTS_A_CALL;
	ring_buffer__consume(o->ring);
}

int events_start(struct onetime *o)
{
	o->ring = ring_buffer__new(o->map[MAP_EVENT], on_event, o, NULL);
	return o->ring ? 0 : -errno;
}

void events_free(struct onetime *o)
{
	if (o->ring)
		ring_buffer__free(o->ring);
}
