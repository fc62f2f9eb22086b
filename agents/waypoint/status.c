// SPDX-License-Identifier: GPL-3.0-or-later
/* The status command's socket and text, and metrics. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#include "../lib/address.h"
#include "../lib/ask.h"
#include "../lib/metrics.h"
#include "waypoint.h"

#define PROGRAM	  "isthmus-waypoint"
#define SHOWN_MAX 150 /* gateways: an answer is one message */

static json_t *counters_json(const struct waypoint *w)
{
	json_t *object = json_object();

#define PUT(field, name, help)                                                                     \
	json_object_set_new(object, #field, json_integer((json_int_t)w->counters.field));
	WAYPOINT_COUNTERS(PUT)
#undef PUT
	return object;
}

static json_t *gateways_json(struct waypoint *w)
{
	json_t *array = json_array();

	for (uint32_t id = 1; id < GATEWAYS && json_array_size(array) < SHOWN_MAX; id++) {
		const struct gateway *gateway = &w->gateway[id];
		char place[ADDRESS_TEXT_LEN] = "";

		if (!gateway->known)
			continue;
		if (gateway->place.port)
			address_port_text(&gateway->place.address, gateway->place.port, place);
		json_array_append_new(array, json_pack("{s:i, s:s, s:b, s:s}", "id", (int)id,
						       "name", gateway->name, "up",
						       (int)end_is_up(w, id), "address", place));
	}
	return array;
}

static unsigned int running_waits(const struct waypoint *w)
{
	uint64_t now = waypoint_now_ns();
	unsigned int count = 0;

	for (unsigned int i = 0; i < w->address_count; i++)
		for (int n = 0; n < WAYPOINT_WAITS; n++)
			count += w->address[i].wait[n].until_ns > now;
	return count;
}

static json_t *status_json(void *arg)
{
	struct waypoint *w = arg;

	return json_pack("{s:b, s:i, s:i, s:i, s:i, s:o, s:o}", "server",
			 (int)member_is_logged_in(w->member), "addresses", (int)w->address_count,
			 "waits", (int)running_waits(w), "bindings", (int)w->binds, "bindings_max",
			 (int)w->binds_max, "gateways", gateways_json(w), "counters",
			 counters_json(w));
}

static void collect(struct evbuffer *out, void *arg)
{
	struct waypoint *w = arg;

#define WRITE(field, name, help)                                                                   \
	metrics_write(out, "isthmus_waypoint_" name, "counter", help, NULL, w->counters.field);
	WAYPOINT_COUNTERS(WRITE)
#undef WRITE
	metrics_write(out, "isthmus_waypoint_bindings", "gauge", "Bindings", NULL, w->binds);
	metrics_write(out, "isthmus_waypoint_waits", "gauge", "Wait states", NULL,
		      running_waits(w));
	metrics_write(out, "isthmus_waypoint_server_up", "gauge",
		      "1 while logged in to the name server", NULL, member_is_logged_in(w->member));
}

int status_listen(struct waypoint *w, char *error)
{
	int err;

	w->control = (struct ask_server){ .status = status_json, .arg = w };
	err = ask_listen(&w->control, w->base, w->settings.control, error, ERROR_LEN);
	if (err || !w->settings.metrics)
		return err;
	w->metrics = metrics_listen(w->base, w->settings.metrics, collect, w, error, ERROR_LEN);
	return w->metrics ? 0 : -EIO;
}

void status_close(struct waypoint *w)
{
	metrics_free(w->metrics);
	ask_close(&w->control);
}

/* ---- the command */

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_text(const json_t *status)
{
	const json_t *gateways = json_object_get(status, "gateways");
	const json_t *counters = json_object_get(status, "counters"), *value, *gateway;
	const char *key;
	size_t i;

	printf("name server: %s\n",
	       json_is_true(json_object_get(status, "server")) ? "logged in" : "not connected");
	printf("%lld waypoint addresses, %lld waits, %lld of %lld bindings\n",
	       number(status, "addresses"), number(status, "waits"), number(status, "bindings"),
	       number(status, "bindings_max"));
	json_array_foreach (gateways, i, gateway)
		printf("gateway %s: %s %s\n", json_string_value(json_object_get(gateway, "name")),
		       json_is_true(json_object_get(gateway, "up")) ? "up" : "down",
		       json_string_value(json_object_get(gateway, "address")));
	json_object_foreach ((json_t *)counters, key, value)
		if (json_integer_value(value))
			printf("  %-12s %lld\n", key, (long long)json_integer_value(value));
}

int status_command(const struct settings *settings)
{
	json_t *answer = ask_daemon(PROGRAM, settings->control, json_pack("{s:s}", "op", "status"));
	int status = ask_check(PROGRAM, answer);

	if (status == ASK_DONE && settings->json)
		ask_print(answer);
	else if (status == ASK_DONE)
		print_text(answer);
	json_decref(answer);
	return status;
}
