/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What `isthmus portarp attach` has left: pinned maps, and the arrays among them as memory. */
#ifndef ISTHMUS_AGENTS_PORTARP_MAPS_H
#define ISTHMUS_AGENTS_PORTARP_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "../../maps/portarp.h"

enum map_name {
	MAP_CONF,
	MAP_ADDR,
	MAP_PORT,
	MAP_OWNER,
	MAP_SHARER,
	MAP_MINE,
	MAP_FLOW,
	MAP_IDENT,
	MAP_FRAG,
	MAP_USE,
	MAP_STATS,
	MAP_EVENT,
	MAP_COUNT,
};

/* An array map in memory: an element, whatever its size, stands in 8 bytes of its own. */
struct map_array {
	uint64_t *word;
	uint32_t count;
	size_t bytes;
};

struct maps {
	int fd[MAP_COUNT];
	struct map_array owner, port, use;
	struct portarp_conf conf;
};

/* 0 or a negative errno with a message. */
int maps_open(struct maps *maps, const char *instance, char *error, size_t error_len);
void maps_close(struct maps *maps);

/* Reads portarp_conf again, or writes what of it the agent has changed. */
int maps_read_conf(struct maps *maps);
int maps_write_conf(struct maps *maps);

int map_put(const struct maps *maps, enum map_name name, const void *key, const void *value);
int map_delete(const struct maps *maps, enum map_name name, const void *key);
/* portarp_addr is written by these alone: programs keep copies of an epoch. */
int maps_put_address(struct maps *maps, __be32 address, const struct portarp_addr *record);
int maps_delete_address(struct maps *maps, __be32 address);
int map_get(const struct maps *maps, enum map_name name, const void *key, void *value);

/* Calls visit for at most `limit` keys of a hash; visit may delete its key. */
void map_each(const struct maps *maps, enum map_name name, unsigned int limit,
	      void (*visit)(const void *key, const void *value, void *arg), void *arg);

static inline uint32_t port_entry(const struct maps *maps, uint32_t block, uint16_t port)
{
	return __atomic_load_n((uint32_t *)&maps->port.word[((block - 1) << 16) + port],
			       __ATOMIC_RELAXED);
}

static inline void port_entry_set(const struct maps *maps, uint32_t block, uint16_t port,
				  uint32_t value)
{
	__atomic_store_n((uint32_t *)&maps->port.word[((block - 1) << 16) + port], value,
			 __ATOMIC_RELEASE);
}

#endif
