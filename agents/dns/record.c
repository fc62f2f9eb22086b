// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/msg.h"
#include "record.h"

#define SECONDS_MAX 2147483647

int record_name(const char *text, char name[WIRE_NAME_TEXT])
{
	uint8_t read[WIRE_NAME_MAX], lower[WIRE_NAME_MAX];

	if (wire_name_read(text, read))
		return -EINVAL;
	wire_name_lower(read, lower);
	wire_name_text(lower, name);
	return name[0] ? 0 : -EINVAL;
}

bool record_owner_is_valid(const char *owner)
{
	size_t len = strlen(owner);

	for (size_t i = 0; i < len; i++)
		if (owner[i] < 0x21 || owner[i] > 0x7e)
			return false;
	return len < RECORD_OWNER_LEN;
}

/* ---- messages */

/* An integer that may be left out. */
static bool take_integer(const json_t *message, const char *key, int64_t high, int64_t preset,
			 int64_t *value)
{
	*value = preset;
	return !json_object_get(message, key) || msg_get_integer(message, key, 0, high, value);
}

static const char *take_service(const json_t *message, struct record *record)
{
	int64_t port, priority, weight;
	const char *target;

	if (!msg_get_integer(message, "port", 0, 65535, &port) ||
	    !take_integer(message, "priority", 65535, 0, &priority) ||
	    !take_integer(message, "weight", 65535, 0, &weight))
		return "port, priority and weight are numbers from 0 to 65535, and an SRV has a "
		       "port";
	if (!msg_get_string(message, "target", &target) || record_name(target, record->target))
		return "an SRV needs the name of a host as its target";
	record->port = port;
	record->priority = priority;
	record->weight = weight;
	return NULL;
}

static const char *take_address(const json_t *message, struct record *record)
{
	struct isthmus_addr address;
	const char *text;

	if (!msg_get_string(message, "address", &text) || address_parse(text, &address) ||
	    address_is_v4(&address) != !strcmp(record->type, "A"))
		return "an A needs an IPv4 address, an AAAA an IPv6 address";
	address_text(&address, record->target);
	return NULL;
}

static const char *take_data(const json_t *message, struct record *record)
{
	const char *type = "SRV";

	if (json_object_get(message, "type") && !msg_get_string(message, "type", &type))
		type = "";
	if (strcmp(type, "SRV") && strcmp(type, "A") && strcmp(type, "AAAA"))
		return "type is SRV, A or AAAA";
	snprintf(record->type, sizeof(record->type), "%s", type);
	return strcmp(type, "SRV") ? take_address(message, record) : take_service(message, record);
}

const char *record_from_json(const json_t *message, int64_t now, struct record *record)
{
	const char *name, *owner = "", *why;
	int64_t ttl, seconds;

	memset(record, 0, sizeof(*record));
	if (!msg_get_string(message, "name", &name) || record_name(name, record->name))
		return "name is no domain name";
	why = take_data(message, record);
	if (why)
		return why;
	if (!take_integer(message, "ttl", RECORD_TTL_MAX, 60, &ttl) ||
	    !take_integer(message, "seconds", SECONDS_MAX, 0, &seconds))
		return "ttl is up to 604800, seconds up to 2147483647";
	if (json_object_get(message, "owner") &&
	    (!msg_get_string(message, "owner", &owner) || !record_owner_is_valid(owner)))
		return "owner is at most 64 characters without spaces";
	snprintf(record->owner, sizeof(record->owner), "%s", owner);
	record->ttl = ttl;
	record->expires = seconds ? now + seconds : 0;
	return NULL;
}

json_t *record_to_json(const struct record *record, int64_t now)
{
	json_t *object = json_pack("{s:s, s:s, s:i, s:s}", "name", record->name, "type",
				   record->type, "ttl", (int)record->ttl, "owner", record->owner);
	int64_t left = record->expires - now;

	if (!strcmp(record->type, "SRV")) {
		json_object_set_new(object, "target", json_string(record->target));
		json_object_set_new(object, "port", json_integer(record->port));
		json_object_set_new(object, "priority", json_integer(record->priority));
		json_object_set_new(object, "weight", json_integer(record->weight));
	} else {
		json_object_set_new(object, "address", json_string(record->target));
	}
	if (record->expires)
		json_object_set_new(object, "seconds", json_integer(left > 0 ? left : 0));
	return object;
}

/* ---- what is answered */

struct serving {
	struct zones *zones;
	int64_t expires;
	int rc;
	bool remove;
};

static const char *on_record(const struct wire_record *record, void *arg)
{
	struct serving *serving = arg;

	if (serving->remove)
		zones_remove(serving->zones, record);
	else
		serving->rc = zones_add(serving->zones, record, serving->expires);
	return NULL;
}

/* The names were escaped when they were read, so the line holds one record whatever they are. */
static int each_record(const struct record *record, struct serving *serving)
{
	char line[2 * WIRE_NAME_TEXT + 64];

	if (!strcmp(record->type, "SRV"))
		snprintf(line, sizeof(line), "%s %u IN SRV %u %u %u %s\n", record->name,
			 record->ttl, record->priority, record->weight, record->port,
			 record->target);
	else
		snprintf(line, sizeof(line), "%s %u IN %s %s\n", record->name, record->ttl,
			 record->type, record->target);
	serving->rc = -EINVAL;
	if (wire_read_record(line, on_record, serving))
		return -EINVAL;
	return serving->rc;
}

int record_serve(const struct record *record, struct zones *zones)
{
	struct serving serving = { .zones = zones, .expires = record->expires };

	return each_record(record, &serving);
}

void record_unserve(const struct record *record, struct zones *zones)
{
	struct serving serving = { .zones = zones, .remove = true };

	each_record(record, &serving);
}
