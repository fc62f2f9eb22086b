// SPDX-License-Identifier: GPL-3.0-or-later
/* What the status command shows, and metrics. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/metrics.h"
#include "onetime.h"

#define SHOWN_MAX 120 /* listeners: an answer is one message */

static const char *const state_names[ONETIME_STATE_DEAD + 1] = {
	[ONETIME_STATE_RESERVED] = "reserved", [ONETIME_STATE_PENDING] = "pending",
	[ONETIME_STATE_TAKING] = "taking",     [ONETIME_STATE_CLAIMED] = "claimed",
	[ONETIME_STATE_LIVE] = "live",	       [ONETIME_STATE_CLOSING] = "closing",
	[ONETIME_STATE_DEAD] = "dead",
};

/* III.B: LISTEN0 is ready to wait for connections, but has no address to accept one at. */
const char *status_of(const struct place *place)
{
	return place->pending || place->prepared_count || place->many ? "LISTEN" : "LISTEN0";
}

static const char *attribute(const struct place *place)
{
	return place->record.flags & ONETIME_LISTENER_DAS ? "das" : "auto";
}

static json_t *place_json(const struct place *place, uint32_t index)
{
	const struct onetime_listener *r = &place->record;

	return json_pack("{s:i, s:s, s:s, s:i, s:i, s:s, s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, "
			 "s:I}",
			 "listener", (int)index, "name", r->name, "command", r->command, "pid",
			 (int)r->pid, "fd", (int)r->fd, "proto",
			 r->proto == IPPROTO_UDP ? "udp" : "tcp", "port", (int)ntohs(r->port),
			 "mode", settings_mode_name(r->mode), "addresses", attribute(place),
			 "state", status_of(place), "backlog", (int)r->backlog, "prepared",
			 (int)place->prepared_count, "pending", (int)place->pending, "many",
			 (int)place->many, "given", (json_int_t)place->given);
}

static json_t *places_json(const struct onetime *o, unsigned int *count)
{
	json_t *array = json_array();

	*count = 0;
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		if (!o->place[i] || o->place[i]->ending)
			continue;
		if (json_array_size(array) < SHOWN_MAX)
			json_array_append_new(array, place_json(o->place[i], i));
		++*count;
	}
	return array;
}

static json_t *pools_json(const struct onetime *o)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < o->pool_count; i++) {
		const struct pool *pool = &o->pool[i];
		bool v4 = address_is_v4(&pool->prefix.address);
		char address[ADDRESS_TEXT_LEN], text[ADDRESS_TEXT_LEN + 8];

		address_text(&pool->prefix.address, address);
		snprintf(text, sizeof(text), "%s/%u", address, pool->prefix.bits - (v4 ? 96 : 0));
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:b, s:b, s:b}", "prefix", text, "method",
					 settings_method_name(
						 settings_method(&o->settings, &pool->prefix)),
					 "usable", (int)(pool->counters != NULL), "ready",
					 (int)!!(pool->record.flags & ONETIME_POOL_READY), "client",
					 (int)!!(pool->record.flags & ONETIME_POOL_CLIENT)));
	}
	return array;
}

static json_t *counters_json(const struct onetime *o)
{
	json_t *object = json_object();

#define PUT(field, name, help)                                                                     \
	json_object_set_new(object, #field, json_integer((json_int_t)o->counter.field));
	ONETIME_COUNTERS(PUT)
#undef PUT
	return object;
}

static json_t *states_json(const struct onetime *o)
{
	json_t *object = json_object();

	for (int i = ONETIME_STATE_RESERVED; i <= ONETIME_STATE_DEAD; i++)
		json_object_set_new(object, state_names[i], json_integer(o->states[i]));
	return object;
}

json_t *status_json(void *arg)
{
	struct onetime *o = arg;
	unsigned int count;
	json_t *listeners;

	events_take(o); /* what was used since the last tick is not pending, nor prepared */
	ea_look(o);
	listeners = places_json(o, &count);
	return json_pack("{s:o, s:o, s:i, s:i, s:i, s:i, s:o, s:o, s:o}", "pools", pools_json(o),
			 "listeners", listeners, "listeners_count", (int)count, "pending",
			 (int)given_count(o), "eas6", (int)o->ea[0].level, "eas4",
			 (int)o->ea[1].level, "states", states_json(o), "counters",
			 counters_json(o), "name_server", server_json(o));
}

/* ---- metrics */

static void collect_states(struct evbuffer *out, const struct onetime *o)
{
	char label[64];

	for (int i = ONETIME_STATE_RESERVED; i <= ONETIME_STATE_DEAD; i++) {
		snprintf(label, sizeof(label), "state=\"%s\"", state_names[i]);
		metrics_write(out, "isthmus_onetime_addresses", "gauge",
			      i == ONETIME_STATE_RESERVED ? "Addresses, as the last pass found them"
							  : NULL,
			      label, o->states[i]);
	}
}

static void collect(struct evbuffer *out, void *arg)
{
	struct onetime *o = arg;
	unsigned int listeners = 0;

#define WRITE(field, name, help)                                                                   \
	metrics_write(out, "isthmus_onetime_" name, "counter", help, NULL, o->counter.field);
	ONETIME_COUNTERS(WRITE)
#undef WRITE
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		listeners += o->place[i] && !o->place[i]->ending;
	metrics_write(out, "isthmus_onetime_listeners", "gauge", "Listeners", NULL, listeners);
	metrics_write(out, "isthmus_onetime_pending", "gauge",
		      "Addresses given out that nobody has used yet", NULL, given_count(o));
	metrics_write(out, "isthmus_onetime_prepared_eas", "gauge",
		      "Addresses prepared for connects", "family=\"6\"", o->ea[0].level);
	metrics_write(out, "isthmus_onetime_prepared_eas", "gauge", NULL, "family=\"4\"",
		      o->ea[1].level);
	collect_states(out, o);
}

int status_listen(struct onetime *o, char *error)
{
	int err;

	o->control =
		(struct ask_server){ .status = status_json, .command = control_command, .arg = o };
	err = ask_listen(&o->control, o->base, o->settings.control, error, ERROR_LEN);
	if (err || !o->settings.metrics)
		return err;
	o->metrics = metrics_listen(o->base, o->settings.metrics, collect, o, error, ERROR_LEN);
	return o->metrics ? 0 : -1;
}

void status_close(struct onetime *o)
{
	metrics_free(o->metrics);
	ask_close(&o->control);
}
