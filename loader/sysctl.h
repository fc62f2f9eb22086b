/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers below /proc/sys. The name is as "net/ipv6/ip_nonlocal_bind". 0 or -errno. */
#ifndef ISTHMUS_LOADER_SYSCTL_H
#define ISTHMUS_LOADER_SYSCTL_H

int sysctl_read(const char *name, int *value);
/* Of a variable that is two numbers. */
int sysctl_read_pair(const char *name, int *first, int *second);
int sysctl_write(const char *name, int value);

#endif
