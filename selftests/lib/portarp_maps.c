// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "portarp_maps.h"

#define OWNERS 1024
#define BLOCKS 2
#define USES   2

static const struct map {
	const char *name;
	enum bpf_map_type type;
	__u32 key_size, value_size, entries, flags;
} maps[] = {
	{ "portarp_conf", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct portarp_conf), 1, 0 },
	{ "portarp_addr", BPF_MAP_TYPE_HASH, 4, sizeof(struct portarp_addr), 8, 0 },
	{ "portarp_port", BPF_MAP_TYPE_ARRAY, 4, 4, BLOCKS << 16, BPF_F_MMAPABLE },
	{ "portarp_owner", BPF_MAP_TYPE_ARRAY, 4, 8, OWNERS, BPF_F_MMAPABLE },
	{ "portarp_sharer", BPF_MAP_TYPE_HASH, sizeof(struct portarp_sharer_key), 4, 64, 0 },
	{ "portarp_mine", BPF_MAP_TYPE_HASH, 4, sizeof(struct portarp_mine), 8, 0 },
	{ "portarp_flow", BPF_MAP_TYPE_HASH, sizeof(struct portarp_flow_key),
	  sizeof(struct portarp_flow), 64, 0 },
	{ "portarp_ident", BPF_MAP_TYPE_HASH, sizeof(struct portarp_ident_key),
	  sizeof(struct portarp_ident), 64, 0 },
	{ "portarp_frag", BPF_MAP_TYPE_LRU_HASH, sizeof(struct portarp_frag_key),
	  sizeof(struct portarp_frag), 64, 0 },
	{ "portarp_use", BPF_MAP_TYPE_ARRAY, 4, 8, USES *PORTARP_USE_WORDS, BPF_F_MMAPABLE },
	{ "portarp_stats", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct isthmus_count),
	  PORTARP_REASON_COUNT, 0 },
	{ "portarp_event", BPF_MAP_TYPE_RINGBUF, 0, 0, 65536, 0 },
};

#define MAPS (sizeof(maps) / sizeof(maps[0]))

static void pin(const char *instance, const struct map *map, const void *value)
{
	struct bpf_map_create_opts options = { .sz = sizeof(options), .map_flags = map->flags };
	int fd = bpf_map_create(map->type, map->name, map->key_size, map->value_size, map->entries,
				&options);
	const __u32 zero = 0;
	char path[256];

	assert_true(fd >= 0);
	if (value)
		assert_int_equal(bpf_map_update_elem(fd, &zero, value, 0), 0);
	assert_int_equal(pin_path(instance, "portarp", map->name, path, sizeof(path)), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
}

void portarp_maps_pin(const char *instance, const struct portarp_conf *wanted)
{
	struct portarp_conf conf = *wanted;
	struct stat ns;
	char path[256];

	conf.abi = PORTARP_ABI;
	conf.op_request = htons(PORTARP_OP_REQUEST);
	conf.op_reply = htons(PORTARP_OP_REPLY);
	assert_int_equal(stat("/proc/self/ns/net", &ns), 0);
	conf.netns = ns.st_ino;
	mkdir(ISTHMUS_PIN_ROOT, 0700);
	assert_int_equal(pin_path(instance, NULL, NULL, path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pin_path(instance, "portarp", NULL, path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < MAPS; i++)
		pin(instance, &maps[i], i ? NULL : &conf);
}

void portarp_maps_unpin(const char *instance)
{
	char path[256];

	for (size_t i = 0; i < MAPS; i++)
		if (!pin_path(instance, "portarp", maps[i].name, path, sizeof(path)))
			unlink(path);
	if (!pin_path(instance, "portarp", NULL, path, sizeof(path)))
		rmdir(path);
	if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
		rmdir(path);
}
