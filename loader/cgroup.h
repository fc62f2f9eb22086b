/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The unified hierarchy of control groups (cgroup2). */
#ifndef ISTHMUS_LOADER_CGROUP_H
#define ISTHMUS_LOADER_CGROUP_H

/* Where it is mounted, from /proc/self/mountinfo: 0 or -ENOENT. */
int cgroup_mount(char path[512]);

#endif
