/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between the files that read the file of clients. */
#ifndef ISTHMUS_RESOAD_REGISTRY_FILE_H
#define ISTHMUS_RESOAD_REGISTRY_FILE_H

#include <stdio.h>

#include "resoad.h"

#define REGISTRY_SECTION "client "

struct entry {
	struct client_conf conf;
	int line; /* of the section, for messages */
	bool one_to_one, mixed, has_ports;
};

struct registry {
	struct entry *entry; /* by name, once all is read */
	unsigned int count;
};

struct reading {
	struct registry *registry;
	const struct settings *settings;
	const char *path;
	FILE *file;
	bool private; /* nobody else may read it: keys may be in it */
	int line, failed_line;
	char what[256];
};

/* One line of a section. 0, or -EINVAL after registry_fail(). */
int registry_take(struct reading *r, struct entry *e, const char *key, const char *value);
/* What is wrong with the line r->line; the first one counts. -EINVAL. */
int registry_fail(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool registry_name_is_good(const char *name);

#endif
