/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the reading verbs print. A verb walks its state once and says what it meets; show_text.c
 * makes aligned columns of it, show_json.c one JSON object. A document is values and lists, a list
 * is records of values.
 */
#ifndef ISTHMUS_LOADER_OUTPUT_H
#define ISTHMUS_LOADER_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "../maps/common.h"

#define OUTPUT_UNKNOWN (-1)

struct output_range {
	uint16_t low, high; /* inclusive */
};

struct output {
	void (*start)(void);
	int (*finish)(void); /* -EIO if standard output took not all of it */
	void (*list_start)(const char *name);
	void (*list_end)(void);
	void (*record_start)(void);
	void (*record_end)(void);
	void (*text)(const char *name, const char *value); /* NULL: unknown */
	void (*number)(const char *name, uint64_t value);
	void (*boolean)(const char *name, bool value);
	void (*seconds)(const char *name, int64_t value);		     /* or OUTPUT_UNKNOWN */
	void (*address)(const char *name, const struct isthmus_addr *value); /* NULL: unknown */
	/* port_be: network byte order. */
	void (*endpoint)(const char *name, const struct isthmus_addr *address, uint16_t port_be);
	/* "1232-1235,2256-2259,80"; a text tells the first ones and how many there are. */
	void (*ranges)(const char *name, const struct output_range *range, unsigned int count);
};

extern const struct output output_text, output_json;

#endif
