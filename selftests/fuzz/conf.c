// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/conf.c */
/* A configuration file: refused with a message and nothing changed, or taken within its bounds. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agents/lib/conf.h"

struct settings {
	char *name;
	unsigned int number;
	bool flag;
	struct conf_list list;
};

static const struct conf_option table[] = {
	{ "main", "name", CONF_STRING, offsetof(struct settings, name), 0, 0, "NAME", "" },
	{ "main", "number", CONF_UINT, offsetof(struct settings, number), 5, 10, "N", "" },
	{ "main", "flag", CONF_BOOL, offsetof(struct settings, flag), 0, 0, NULL, "" },
	{ "other", "list", CONF_LIST, offsetof(struct settings, list), 0, 0, "A,B", "" },
};

#define COUNT (sizeof(table) / sizeof(table[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings = { .number = 7 };
	char path[32], error[256] = "";
	int fd = memfd_create("conf", 0), rc;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = conf_read(path, table, COUNT, &settings, error, sizeof(error));
	if (rc && (!error[0] || settings.name || settings.list.count || settings.number != 7))
		abort();
	if (settings.number < 5 || settings.number > 10 || settings.list.count > CONF_LIST_MAX)
		abort();
	conf_free(table, COUNT, &settings);
	close(fd);
	return 0;
}
