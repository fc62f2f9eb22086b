// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "tunnel_maps.h"

static void make_folder(const char *instance, const char *stem)
{
	char path[PATH_MAX];

	assert_int_equal(pin_path(instance, stem, NULL, path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int make_map(const struct tunnel_map *map)
{
	struct bpf_map_create_opts options = { .sz = sizeof(options) };
	int fd = bpf_map_create(map->type, map->name, map->key_size, map->value_size, map->entries,
				&options);

	assert_true(fd >= 0);
	return fd;
}

void tunnel_maps_pin(const char *instance, const char *stem, const struct tunnel_map *maps,
		     size_t count, const void *conf)
{
	const __u32 zero = 0;
	char path[PATH_MAX];

	mkdir(ISTHMUS_PIN_ROOT, 0700);
	make_folder(instance, NULL);
	make_folder(instance, stem);
	for (size_t i = 0; i < count; i++) {
		int fd = make_map(&maps[i]);

		assert_int_equal(pin_path(instance, stem, maps[i].name, path, sizeof(path)), 0);
		assert_int_equal(bpf_obj_pin(fd, path), 0);
		if (i == 0)
			assert_int_equal(bpf_map_update_elem(fd, &zero, conf, BPF_ANY), 0);
		close(fd);
	}
}

void tunnel_maps_unpin(const char *instance, const char *stem, const struct tunnel_map *maps,
		       size_t count)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < count; i++)
		if (!pin_path(instance, stem, maps[i].name, path, sizeof(path)))
			unlink(path);
	if (!pin_path(instance, stem, NULL, path, sizeof(path)))
		rmdir(path);
	if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
		rmdir(path);
}
