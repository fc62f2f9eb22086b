/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel engine: rendezvous and sessions live in the pinned maps of `splice` (maps/splice.h).
 */
#ifndef ISTHMUS_TRANSLATOR_KERNEL_H
#define ISTHMUS_TRANSLATOR_KERNEL_H

#include "translator.h"

enum kernel_map {
	MAP_CONF,
	MAP_LOCAL,
	MAP_SIDE,
	MAP_JOIN,
	MAP_LEG,
	MAP_STATS,
	MAP_EVENT,
	MAP_COUNT,
};

struct sweep;
struct hops;
struct events;

struct kernel {
	int fd[MAP_COUNT];
	struct splice_conf conf; /* as read at the start; epoch is ours to raise */
	unsigned int rendezvous_max, legs_max, legs_seen;
	struct events *events;
	struct sweep *sweep;
	struct hops *hops;
};

/* Keys of the maps from what the table knows. */
struct splice_local_key kernel_local_key(const struct session *s, int side);
/* Sets `key` and tells whether both are known. remote_port: network byte order. */
struct splice_leg_key kernel_leg_key(const struct session *s, int side, __be16 remote_port);

/* Calls visit for each element, in batches; keys and values are borrowed. 0 or a negative errno. */
int kernel_map_each(int fd, size_t key_size, size_t value_size,
		    int (*visit)(const void *key, const void *value, void *arg), void *arg);

/* restore.c: sessions that the maps hold go on. */
int restore_sessions(struct translator *t, char *error, size_t error_len);

/* events.c: the ring buffer. */
int events_start(struct translator *t, char *error, size_t error_len);
void events_free(struct events *events);

/* sweep.c: finds sessions that have ended, joins whose event was lost, and orphans. */
int sweep_start(struct translator *t);
void sweep_free(struct sweep *sweep);
void sweep_run(struct translator *t); /* one whole sweep at once: for tests */

/* hops.c: routes and neighbours. */
int hops_start(struct translator *t, char *error, size_t error_len);
void hops_free(struct hops *hops);
/* A hop that a leg uses; called by the sweep. */
void hops_note(struct hops *hops, const struct splice_leg *leg);
void hops_swept(struct hops *hops);	 /* a sweep is complete */
void hops_keep_alive(struct hops *hops); /* called each 10 s */

#endif
