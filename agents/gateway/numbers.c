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

static bool is_taken(const json_t *names, int number)
{
	const json_t *value;
	const char *name;

	json_object_foreach ((json_t *)names, name, value)
		if (json_integer_value(value) == number)
			return true;
	return false;
}

int numbers_get(struct gateway *g, const char *kind, const char *name, int first, int limit)
{
	json_t *names = json_object_get(g->numbers, kind);
	json_int_t number;

	if (!json_is_object(names)) {
		names = json_object();
		json_object_set_new(g->numbers, kind, names);
	}
	if (json_is_integer(json_object_get(names, name))) {
		number = json_integer_value(json_object_get(names, name));
		return number >= first && number < limit ? (int)number : -ENOSPC;
	}
	for (number = first; number < limit && is_taken(names, (int)number); number++)
		;
	if (number == limit)
		return -ENOSPC;
	json_object_set_new(names, name, json_integer(number));
	numbers_save(g);
	return (int)number;
}

void numbers_save(struct gateway *g)
{
	char fresh[4096];

	if (snprintf(fresh, sizeof(fresh), "%s.new", g->settings.state) >= (int)sizeof(fresh) ||
	    json_dump_file(g->numbers, fresh, JSON_INDENT(1)) || rename(fresh, g->settings.state))
		log_error("%s cannot be written: numbers change with the next start",
			  g->settings.state);
}

void numbers_close(struct gateway *g)
{
	json_decref(g->numbers);
	g->numbers = NULL;
}
