/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Going through a hash map of any size, a part at a time, so that a million entries do not stall an
 * event loop.
 */
#ifndef ISTHMUS_AGENTS_MAP_SWEEP_H
#define ISTHMUS_AGENTS_MAP_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_sweep;

/* Is the entry over? Then it is deleted. */
typedef bool (*map_sweep_visit)(const void *key, const void *value, void *arg);

/* fd stays the caller's. NULL without memory. */
struct map_sweep *map_sweep_new(int fd, size_t key_size, size_t value_size, map_sweep_visit visit,
				void *arg);
void map_sweep_free(struct map_sweep *sweep);
/* The next part. 1: the end was reached, the next call begins anew; 0, or a negative errno. */
int map_sweep_step(struct map_sweep *sweep);

#endif
