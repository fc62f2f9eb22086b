// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Numbers by which bindings at waypoints, and flows here, name hosts and waypoints. They stay with
 * a name for ever, so that nothing that is bound to one host reaches another.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/log.h"
#include "gateway.h"

#define NUMBERS_MAX 4096 /* GATEWAY_HOSTS and WAYPOINTS */

int numbers_open(struct gateway *g, char *error)
{
	const char *path = g->settings.state;
	json_error_t why;
	char copy[4096];

	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0700) && errno != EEXIST) {
		snprintf(error, ERROR_LEN, "the folder of %s: %s", path, strerror(errno));
		return -EIO;
	}
	g->numbers = access(path, F_OK) ? json_object() : json_load_file(path, 0, &why);
	if (json_is_object(g->numbers))
		return 0;
	snprintf(error, ERROR_LEN, "%s:%d: %s", path, g->numbers ? 1 : why.line,
		 g->numbers ? "not an object" : why.text);
	return -EINVAL;
}

/* The lowest number that no name has; all of them are looked at once. */
static int find_free(const json_t *names, int first, int limit)
{
	static bool taken[NUMBERS_MAX];
	const json_t *value;
	const char *name;

	memset(taken, 0, sizeof(taken));
	json_object_foreach ((json_t *)names, name, value) {
		json_int_t number = json_integer_value(value);

		if (number >= 0 && number < NUMBERS_MAX)
			taken[number] = true;
	}
	while (first < limit && first < NUMBERS_MAX && taken[first])
		first++;
	return first < limit && first < NUMBERS_MAX ? first : -ENOSPC;
}

int numbers_get(struct gateway *g, const char *kind, const char *name, int first, int limit)
{
	json_t *names = json_object_get(g->numbers, kind);
	int number;

	if (!json_is_object(names)) {
		names = json_object();
		json_object_set_new(g->numbers, kind, names);
	}
	if (json_is_integer(json_object_get(names, name))) {
		number = (int)json_integer_value(json_object_get(names, name));
		return number >= first && number < limit ? number : -ENOSPC;
	}
	number = find_free(names, first, limit);
	if (number >= 0) {
		json_object_set_new(names, name, json_integer(number));
		g->numbers_changed = true;
	}
	return number;
}

/* Where the folder is not ours the file is written in its place. */
static int write_file(const struct gateway *g)
{
	const char *path = g->settings.state;
	char fresh[4096];

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	if (!json_dump_file(g->numbers, fresh, JSON_INDENT(1)) && !rename(fresh, path))
		return 0;
	return json_dump_file(g->numbers, path, JSON_INDENT(1));
}

void numbers_save(struct gateway *g)
{
	if (!g->numbers_changed)
		return;
	g->numbers_changed = false;
	if (write_file(g))
		log_error("%s cannot be written: numbers change with the next start",
			  g->settings.state);
}

void numbers_close(struct gateway *g)
{
	json_decref(g->numbers);
	g->numbers = NULL;
}
