// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "walk.h"

#define BATCH	  1024
#define BATCH_MAX (1 << 20) /* one bucket can hold no more than a table full of collisions */

struct batch {
	char *keys, *values;
	uint32_t room;
	uint32_t key_size, value_size;
};

static void batch_free(struct batch *batch)
{
	free(batch->keys);
	free(batch->values);
	batch->keys = batch->values = NULL;
}

static int batch_room(struct batch *batch, uint32_t room)
{
	batch_free(batch);
	batch->keys = calloc(room, batch->key_size);
	batch->values = calloc(room, batch->value_size);
	batch->room = room;
	return batch->keys && batch->values ? 0 : -ENOMEM;
}

static int batch_start(int fd, struct batch *batch)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	batch->key_size = info.key_size;
	batch->value_size = info.value_size;
	return batch_room(batch, BATCH);
}

static int walk_batches(int fd, struct batch *batch, walk_each each, void *arg)
{
	uint32_t position, *from = NULL;

	for (;;) {
		uint32_t count = batch->room;
		int err = bpf_map_lookup_batch(fd, from, &position, batch->keys, batch->values,
					       &count, NULL);

		if (err == -ENOSPC && batch->room < BATCH_MAX) {
			err = batch_room(batch, batch->room * 2);
			if (err)
				return err;
			continue;
		}
		if (err && err != -ENOENT)
			return err;
		for (uint32_t i = 0; i < count; i++)
			each(batch->keys + (size_t)i * batch->key_size,
			     batch->values + (size_t)i * batch->value_size, arg);
		if (err)
			return 0;
		from = &position;
	}
}

int walk_map(int fd, walk_each each, void *arg)
{
	struct batch batch = {};
	int err = batch_start(fd, &batch);

	if (!err)
		err = walk_batches(fd, &batch, each, arg);
	batch_free(&batch);
	return err;
}

static void count_one(const void *key, const void *value, void *arg)
{
	(void)key;
	(void)value;
	++*(uint64_t *)arg;
}

int walk_count(int fd, uint64_t *count)
{
	uint64_t counted = 0;
	int err = walk_map(fd, count_one, &counted);

	if (!err)
		*count = counted;
	return err;
}

int walk_capacity(int fd, uint32_t *capacity)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*capacity = info.max_entries;
	return 0;
}
