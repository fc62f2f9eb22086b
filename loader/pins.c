// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "../maps/pin.h"
#include "attach.h"
#include "loader.h"
#include "pins.h"

static int *field_of(void *fds, const struct pins_map *map)
{
	return (int *)((char *)fds + map->field);
}

void pins_close(const struct pins_map *table, size_t count, void *fds)
{
	for (size_t i = 0; i < count; i++) {
		close_fd(field_of(fds, &table[i]));
		*field_of(fds, &table[i]) = -1;
	}
}

int pins_open(const char *instance, const char *directory, const struct pins_map *table,
	      size_t count, void *fds)
{
	int err = 0;

	for (size_t i = 0; i < count; i++)
		*field_of(fds, &table[i]) = -1;
	for (size_t i = 0; i < count && !err; i++) {
		int fd = pin_open_map(instance, directory, table[i].name, table[i].key_size,
				      table[i].value_size);

		if (fd < 0)
			/* one map is there, this one not: made by a version that had it not */
			err = fd == -ENOENT && i ? -EPROTO : fd;
		else
			*field_of(fds, &table[i]) = fd;
	}
	if (err)
		pins_close(table, count, fds);
	return err;
}

int pins_make(const char *instance, const char *directory, struct bpf_object *object)
{
	struct bpf_map *map;
	char path[512];
	int err = pin_path(instance, directory, NULL, path, sizeof(path));

	if (!err && mkdir(path, 0755))
		err = -errno;
	if (err)
		return err;
	bpf_object__for_each_map(map, object)
	{
		if (bpf_map__is_internal(map))
			continue;
		err = pin_path(instance, directory, bpf_map__name(map), path, sizeof(path));
		if (!err && bpf_obj_pin(bpf_map__fd(map), path))
			err = -errno;
		if (err)
			break;
	}
	return err;
}

static int reuse_one(const char *instance, const char *directory, struct bpf_map *map)
{
	char path[512];
	int err = pin_path(instance, directory, bpf_map__name(map), path, sizeof(path));
	int fd CLOSE_FD = err ? -1 : bpf_obj_get(path);

	if (err)
		return err;
	if (fd < 0)
		return errno == ENOENT ? -EPROTO : -errno;
	return bpf_map__reuse_fd(map, fd);
}

int pins_reuse(const char *instance, const char *directory, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		int err = bpf_map__is_internal(map) ? 0 : reuse_one(instance, directory, map);

		if (err)
			return err;
	}
	return 0;
}

int pins_link_path(const char *instance, const char *directory, const char *hook, uint32_t ifindex,
		   char *path, size_t len)
{
	char name[32];

	snprintf(name, sizeof(name), "link_%s_%u", hook, ifindex);
	return pin_path(instance, directory, name, path, len);
}

bool pins_exist(const char *instance, const char *directory)
{
	struct stat found;
	char path[512];

	return !pin_path(instance, directory, NULL, path, sizeof(path)) && !stat(path, &found);
}

int pins_publish(const char *instance, const char *from, const char *to)
{
	char old[512], new[512];
	int err = pin_path(instance, from, NULL, old, sizeof(old));

	if (!err)
		err = pin_path(instance, to, NULL, new, sizeof(new));
	if (err)
		return err;
	return rename(old, new) ? -errno : 0;
}

static int directory_remove(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		char name[800];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (strncmp(entry->d_name, "link_", 5) ? unlink(name) : attach_link_remove(name))
			err = -errno;
	}
	closedir(directory);
	if (!err && rmdir(path))
		err = -errno;
	return err;
}

int pins_remove(const char *instance, const char *directory)
{
	char path[512];
	int err = pin_path(instance, directory, NULL, path, sizeof(path));

	return err ? err : directory_remove(path);
}

/* The root is the default instance's lock: it must not vanish under one that is being attached. */
void pins_remove_empty(const char *instance)
{
	int root CLOSE_FD = open(ISTHMUS_PIN_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[512];

	if (instance) {
		if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
			rmdir(path);
		if (root < 0 || flock(root, LOCK_EX | LOCK_NB))
			return;
	}
	rmdir(ISTHMUS_PIN_ROOT);
}

static int map_id(int fd, uint32_t *id)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*id = info.id;
	return 0;
}

bool pins_programs_left(int map_fd)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint32_t id = 0;

	if (map_id(map_fd, &id))
		return true;
	for (unsigned int tries = 0; tries < 25; tries++) {
		if (!attach_map_used(id))
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}
