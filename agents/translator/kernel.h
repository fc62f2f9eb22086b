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
	struct splice_conf conf;
	unsigned int rendezvous_max;
	struct splice_leg *leg; /* splice_leg, mapped */
	size_t leg_bytes;
	__u32 leg_count;
	struct events *events;
	struct sweep *sweep;
	struct hops *hops;
};

struct splice_local_key kernel_local_key(const struct session *s, int side);
/* The leg where this side's packets arrive; NULL if it is not a live leg of this session. */
struct splice_leg *kernel_session_leg(const struct translator *t, const struct session *s,
				      int side);
void kernel_read_conf(struct translator *t); /* times change with `attach --replace` */

/* Calls visit for each element, in batches; keys and values are borrowed. 0 or a negative errno. */
int kernel_map_each(int fd, size_t key_size, size_t value_size,
		    int (*visit)(const void *key, const void *value, void *arg), void *arg);

/* attached.c: opens and checks the pinned maps, and takes over addresses and ports. */
int attached_open(struct translator *t, char *error, size_t error_len);
void attached_close(struct kernel *kernel);

/* restore.c: sessions that the maps hold go on. */
int restore_sessions(struct translator *t, char *error, size_t error_len);

/* events.c: the ring buffer. */
int events_start(struct translator *t, char *error, size_t error_len);
void events_free(struct events *events);

/* sweep.c */
int sweep_start(struct translator *t);
void sweep_free(struct sweep *sweep);
void sweep_run(struct translator *t); /* one whole sweep at once */

/* hops.c: routes and neighbours. */
int hops_start(struct translator *t, char *error, size_t error_len);
void hops_free(struct hops *hops);
void hops_note(struct hops *hops, const struct splice_leg *leg); /* the hop of a leg in use */
void hops_swept(struct hops *hops);				 /* a sweep is complete */
void hops_keep_alive(struct hops *hops);			 /* called each 10 s */

#endif
