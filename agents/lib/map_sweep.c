// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "map_sweep.h"

#define PART 2048 /* entries; more than any bucket holds, or the kernel says ENOSPC */

struct map_sweep {
	int fd;
	size_t key_size, value_size;
	map_sweep_visit visit;
	void *arg;
	bool begun;
	__u32 batch; /* the kernel's place */
	uint8_t *keys, *values;
};

struct map_sweep *map_sweep_new(int fd, size_t key_size, size_t value_size, map_sweep_visit visit,
				void *arg)
{
	struct map_sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return NULL;
	*sweep = (struct map_sweep){ fd, key_size, value_size, visit, arg, false, 0, NULL, NULL };
	sweep->keys = calloc(PART, key_size);
	sweep->values = calloc(PART, value_size);
	if (sweep->keys && sweep->values)
		return sweep;
	map_sweep_free(sweep);
	return NULL;
}

void map_sweep_free(struct map_sweep *sweep)
{
	if (!sweep)
		return;
	free(sweep->keys);
	free(sweep->values);
	free(sweep);
}

int map_sweep_step(struct map_sweep *sweep)
{
	__u32 count = PART;
	int rc = bpf_map_lookup_batch(sweep->fd, sweep->begun ? &sweep->batch : NULL, &sweep->batch,
				      sweep->keys, sweep->values, &count, NULL);

	if (rc && rc != -ENOENT) {
		sweep->begun = false;
		return rc;
	}
	for (__u32 i = 0; i < count; i++) {
		const uint8_t *key = sweep->keys + i * sweep->key_size;

		if (sweep->visit(key, sweep->values + i * sweep->value_size, sweep->arg))
			bpf_map_delete_elem(sweep->fd, key);
	}
	sweep->begun = !rc;
	return rc ? 1 : 0;
}
