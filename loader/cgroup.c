// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"

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
