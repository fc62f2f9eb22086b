/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tells the gateway, isthmus-portarp, whose each set is, and asks it how they are used. The leases'
 * database is the truth: after either side has restarted everything is told again, and a release
 * that was not delivered is kept there until it is.
 */
#ifndef ISTHMUS_AGENTS_DHCP_FEED_H
#define ISTHMUS_AGENTS_DHCP_FEED_H

#include <event2/event.h>
#include <jansson.h>

#include "server.h"

struct feed;

struct feed_counters {
	uint64_t leases, releases; /* acknowledged */
	uint64_t refused, taken, lost, connects;
};

/* NULL if out of memory. The gateway need not run yet. */
struct feed *feed_new(struct event_base *base, struct server *server);
void feed_free(struct feed *feed);
/* A lease has changed: SERVER_ASSIGNED, … */
void feed_changed(struct feed *feed, enum server_change change, const struct lease *lease);
/* All again: other pools were read. */
void feed_replay(struct feed *feed);
bool feed_connected(const struct feed *feed);
unsigned int feed_waiting(const struct feed *feed);
const struct feed_counters *feed_counters(const struct feed *feed);

#endif
