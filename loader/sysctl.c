// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>

#include "sysctl.h"

static FILE *variable_open(const char *name, const char *mode)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	return fopen(path, mode);
}

int sysctl_read(const char *name, int *value)
{
	FILE *file = variable_open(name, "re");
	int taken;

	if (!file)
		return -errno;
	taken = fscanf(file, "%d", value);
	fclose(file);
	return taken == 1 ? 0 : -EIO;
}

int sysctl_read_pair(const char *name, int *first, int *second)
{
	FILE *file = variable_open(name, "re");
	int taken;

	if (!file)
		return -errno;
	taken = fscanf(file, "%d %d", first, second);
	fclose(file);
	return taken == 2 ? 0 : -EIO;
}

int sysctl_write(const char *name, int value)
{
	FILE *file = variable_open(name, "we");
	int err = 0;

	if (!file)
		return -errno;
	if (fprintf(file, "%d\n", value) < 0)
		err = -EIO;
	/* the kernel's answer comes when the buffer is written */
	if (fclose(file))
		err = -errno;
	return err;
}
