/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The unified hierarchy of control groups (cgroup2). */
#ifndef ISTHMUS_LOADER_CGROUP_H
#define ISTHMUS_LOADER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Where it is mounted, from /proc/self/mountinfo: 0 or -ENOENT. */
int cgroup_mount(char path[512]);
/*
 * Opens a directory of it, NULL: the root. Returns a descriptor to close, or -1 with a message that
 * begins with `stem`.
 */
int cgroup_open_or_root(const char *path, const char *stem);
/* What BPF calls a directory: 0 or -errno; -EOPNOTSUPP: it is of another file system. */
int cgroup_id(int fd, uint64_t *id);
/* Where it is: 0, or -ESTALE if it has been removed. */
int cgroup_path_of(uint64_t id, char path[512]);
/* The directory of this process: 0 or -errno. */
int cgroup_own(char path[512]);
/* Is any process in it, or below? False too if it cannot be told. */
bool cgroup_is_empty(const char *path);

#endif
