/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pinned maps of `waypoint` or `gateway` as `isthmus ... attach` leaves them, without programs. */
#ifndef ISTHMUS_SELFTESTS_TUNNEL_MAPS_H
#define ISTHMUS_SELFTESTS_TUNNEL_MAPS_H

#include <stddef.h>
#include <linux/bpf.h>

struct tunnel_map {
	const char *name;
	enum bpf_map_type type;
	__u32 key_size, value_size, entries;
};

/* `conf` is what entry 0 of the first map becomes. Fails the test. */
void tunnel_maps_pin(const char *instance, const char *stem, const struct tunnel_map *maps,
		     size_t count, const void *conf);
void tunnel_maps_unpin(const char *instance, const char *stem, const struct tunnel_map *maps,
		       size_t count);

#endif
