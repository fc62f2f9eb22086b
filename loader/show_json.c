// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * JSON. A list may have a million records, so each record is a jansson object of its own that is
 * written and freed at once; only the outermost object and the lists' brackets are written here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "output.h"

#define RANGE_TEXT 12 /* ",65535-65535" */

static struct {
	json_t *record; /* NULL outside of a list's record */
	bool after;	/* the next member or record needs a comma */
	bool failed;
} json;

static void start(void)
{
	putchar('{');
	json.after = false;
}

static int finish(void)
{
	puts("}");
	return json.failed || fflush(stdout) || ferror(stdout) ? -EIO : 0;
}

static void write_value(json_t *value)
{
	if (!value || json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY))
		json.failed = true;
	json_decref(value);
}

static void write_name(const char *name)
{
	if (json.after)
		putchar(',');
	json.after = true;
	write_value(json_string(name));
	putchar(':');
}

static void list_start(const char *name)
{
	write_name(name);
	putchar('[');
	json.after = false;
}

static void list_end(void)
{
	putchar(']');
	json.after = true;
}

static void record_start(void)
{
	json.record = json_object();
}

static void record_end(void)
{
	if (json.after)
		putchar(',');
	json.after = true;
	write_value(json.record);
	json.record = NULL;
}

static void member(const char *name, json_t *value)
{
	if (!json.record) {
		write_name(name);
		write_value(value);
	} else if (json_object_set_new(json.record, name, value)) {
		json.failed = true;
	}
}

static void text(const char *name, const char *value)
{
	member(name, value ? json_string(value) : json_null());
}

static void number(const char *name, uint64_t value)
{
	member(name, json_integer(value));
}

static void boolean(const char *name, bool value)
{
	member(name, json_boolean(value));
}

static void seconds(const char *name, int64_t value)
{
	member(name, value == OUTPUT_UNKNOWN ? json_null() : json_integer(value));
}

static void address(const char *name, const struct isthmus_addr *value)
{
	char written[ADDRESS_TEXT];

	if (value)
		address_text(value, written);
	text(name, value ? written : NULL);
}

static void endpoint(const char *name, const struct isthmus_addr *host, uint16_t port_be)
{
	char written[ADDRESS_TEXT];

	address_text(host, written);
	member(name, json_pack("{s:s,s:i}", "address", written, "port", ntohs(port_be)));
}

static void ranges(const char *name, const struct output_range *range, unsigned int count)
{
	char *written = malloc((size_t)count * RANGE_TEXT + 1);
	size_t used = 0;

	if (!written) {
		json.failed = true;
		return;
	}
	written[0] = 0;
	for (unsigned int i = 0; i < count; i++)
		used += snprintf(written + used, RANGE_TEXT + 1,
				 range[i].low == range[i].high ? "%s%u" : "%s%u-%u", i ? "," : "",
				 range[i].low, range[i].high);
	text(name, written);
	free(written);
}

const struct output output_json = {
	.start = start,
	.finish = finish,
	.list_start = list_start,
	.list_end = list_end,
	.record_start = record_start,
	.record_end = record_end,
	.text = text,
	.number = number,
	.boolean = boolean,
	.seconds = seconds,
	.address = address,
	.endpoint = endpoint,
	.ranges = ranges,
};
