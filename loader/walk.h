/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading a whole map while others change it. */
#ifndef ISTHMUS_LOADER_WALK_H
#define ISTHMUS_LOADER_WALK_H

#include <stddef.h>
#include <stdint.h>

typedef void (*walk_each)(const void *key, const void *value, void *arg);

/*
 * Every entry of a hash map, bucket by bucket: an entry that is there all the time is met exactly
 * once, whatever is deleted meanwhile (one key after the other would begin anew). 0 or -errno.
 */
int walk_map(int fd, walk_each each, void *arg);
/* Entries in the map: 0 or -errno. */
int walk_count(int fd, uint64_t *count);
/* Entries that it can hold: 0 or -errno. */
int walk_capacity(int fd, uint32_t *capacity);

#endif
