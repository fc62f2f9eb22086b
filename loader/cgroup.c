// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "loader.h"

/* The kernel writes space, tab, newline and backslash of a path as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int code;

		if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
			*to = code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
}

int cgroup_mount(char path[512])
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int err = -ENOENT;

	while (mounts && err && getline(&line, &room, mounts) > 0) {
		const char *kind = strstr(line, " - cgroup2 ");

		if (kind && sscanf(line, "%*s %*s %*s %*s %511s", path) == 1)
			err = 0;
	}
	free(line);
	if (mounts)
		fclose(mounts);
	if (!err)
		unescape(path);
	return err;
}

int cgroup_open_or_root(const char *path, const char *stem)
{
	char found[512];
	int fd;

	if (!path && cgroup_mount(found)) {
		complain(EXIT_FAILED,
			 "%s: no cgroup2 is mounted; `mount -t cgroup2 cgroup2 DIR`, or name one "
			 "by --cgroup",
			 stem);
		return -1;
	}
	path = path ?: found;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		complain(EXIT_FAILED,
			 "%s: --cgroup %s: %s; name a directory of a cgroup2 file system", stem,
			 path, strerror(errno));
	return fd;
}

/* A file handle of kernfs is the id that bpf_get_current_cgroup_id() tells. */
#define KERNFS_ID 0xfe

struct id_handle {
	struct file_handle head;
	uint64_t id;
};

int cgroup_id(int fd, uint64_t *id)
{
	struct id_handle handle = { .head = { .handle_bytes = sizeof(handle.id) } };
	int mount;

	if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH))
		return errno == EOVERFLOW ? -EOPNOTSUPP : -errno;
	if (handle.head.handle_type != KERNFS_ID || handle.head.handle_bytes != sizeof(handle.id))
		return -EOPNOTSUPP;
	memcpy(id, handle.head.f_handle, sizeof(*id));
	return 0;
}

int cgroup_path_of(uint64_t id, char path[512])
{
	struct id_handle handle = {
		.head = { .handle_bytes = sizeof(id), .handle_type = KERNFS_ID },
	};
	char root[512], link[32];
	int mount CLOSE_FD = -1, fd CLOSE_FD = -1;
	int err = cgroup_mount(root);
	ssize_t len;

	if (err)
		return err;
	memcpy(handle.head.f_handle, &id, sizeof(id));
	mount = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = mount < 0 ? -1 : open_by_handle_at(mount, &handle.head, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, 511);
	if (len < 0)
		return -errno;
	path[len] = 0;
	return 0;
}

int cgroup_own(char path[512])
{
	FILE *own = fopen("/proc/self/cgroup", "re");
	char *line = NULL, root[512];
	int err = cgroup_mount(root);
	size_t room = 0;

	if (!err)
		err = own ? -ENOENT : -errno;
	while (own && err && getline(&line, &room, own) > 0) {
		if (strncmp(line, "0::/", 4))
			continue;
		line[strcspn(line, "\n")] = 0;
		/* "/../x": above what is mounted here */
		if (!strncmp(line + 3, "/..", 3))
			line[3] = 0;
		err = snprintf(path, 512, "%s%s", root, line + 3 + !line[4]) < 512 ? 0
										   : -ENAMETOOLONG;
	}
	free(line);
	if (own)
		fclose(own);
	return err;
}

bool cgroup_is_empty(const char *path)
{
	char name[600], word[64];
	bool is_empty = false;
	FILE *events;
	int value;

	snprintf(name, sizeof(name), "%s/cgroup.events", path);
	events = fopen(name, "re");
	while (events && fscanf(events, "%63s %d", word, &value) == 2)
		is_empty = is_empty || (!strcmp(word, "populated") && !value);
	if (events)
		fclose(events);
	return is_empty;
}
