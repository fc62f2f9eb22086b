/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A datapath's counters: packets by what became of them, and how full its tables are. */
#ifndef ISTHMUS_LOADER_STATS_H
#define ISTHMUS_LOADER_STATS_H

#include "output.h"

struct stats_reason {
	const char *name, *verdict, *text;
};

/* The per-CPU map of isthmus_count, reason by reason: 0 or -errno. */
int stats_print(const struct output *output, const char *stem, const char *instance, int map_fd,
		const struct stats_reason *reasons, size_t count);
/* A record that tells how full a table is. */
void stats_print_table(const struct output *output, const char *name, uint64_t entries,
		       uint32_t capacity);
/* The same of a hash: 0 or -errno. */
int stats_print_fill(const struct output *output, const char *name, int map_fd);

#endif
