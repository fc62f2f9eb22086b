// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "translator_maps.h"

#define SECOND 1000000000ULL

struct map {
	const char *name;
	enum bpf_map_type type;
	__u32 key_size, value_size, entries, flags;
};

static const char *const names[] = { "splice_conf", "splice_local", "splice_side", "splice_join",
				     "splice_leg",  "splice_stats", "splice_event" };

static int pin(const char *instance, const struct map *map)
{
	struct bpf_map_create_opts options = { .sz = sizeof(options), .map_flags = map->flags };
	int fd = bpf_map_create(map->type, map->name, map->key_size, map->value_size, map->entries,
				&options);
	char path[256];

	assert_true(fd >= 0);
	assert_int_equal(pin_path(instance, "splice", map->name, path, sizeof(path)), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	return fd;
}

static void make_folders(const char *instance)
{
	char path[256];

	mkdir(ISTHMUS_PIN_ROOT, 0700);
	assert_int_equal(pin_path(instance, NULL, NULL, path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pin_path(instance, "splice", NULL, path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

void maps_pin(const char *instance, const struct isthmus_addr *addr, __u16 low, __u16 high,
	      __u32 rendezvous)
{
	const struct splice_range range = { low, high, 0 };
	const struct splice_conf conf = { .half_open_ns = 3 * SECOND,
					  .abi = SPLICE_ABI,
					  .tcp_idle_s = 7,
					  .half_closed_s = 6,
					  .time_wait_s = 5,
					  .reset_s = 2,
					  .udp_idle_s = 4 };
	const struct map maps[] = {
		{ names[0], BPF_MAP_TYPE_ARRAY, 4, sizeof(conf), 1, 0 },
		{ names[1], BPF_MAP_TYPE_HASH, 16, sizeof(range), SPLICE_LOCALS, 0 },
		{ names[2], BPF_MAP_TYPE_HASH, sizeof(struct splice_local_key),
		  sizeof(struct splice_side), 2 * rendezvous, 0 },
		{ names[3], BPF_MAP_TYPE_HASH, 8, sizeof(struct splice_join), rendezvous, 0 },
		{ names[4], BPF_MAP_TYPE_ARRAY, 4, sizeof(struct splice_leg),
		  splice_range_legs(&range), BPF_F_MMAPABLE },
		{ names[5], BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct isthmus_count),
		  SPLICE_REASON_COUNT, 0 },
		{ names[6], BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0 },
	};
	const __u32 zero = 0;

	make_folders(instance);
	for (unsigned int i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		int fd = pin(instance, &maps[i]);

		if (i == 0)
			assert_int_equal(bpf_map_update_elem(fd, &zero, &conf, 0), 0);
		if (i == 1)
			assert_int_equal(bpf_map_update_elem(fd, addr, &range, 0), 0);
		close(fd);
	}
}

void maps_unpin(const char *instance)
{
	char path[256];

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!pin_path(instance, "splice", names[i], path, sizeof(path)))
			unlink(path);
	if (!pin_path(instance, "splice", NULL, path, sizeof(path)))
		rmdir(path);
	if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
		rmdir(path);
}
