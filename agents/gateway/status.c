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
#include "gateway.h"

#define PROGRAM	  "isthmus-gateway"
#define SHOWN_MAX 120 /* hosts and waypoints: an answer is one message */

static json_t *counters_json(const struct gateway *g)
{
	json_t *object = json_object();

#define PUT(field, name, help)                                                                     \
	json_object_set_new(object, #field, json_integer((json_int_t)g->counters.field));
	GATEWAY_COUNTERS(PUT)
#undef PUT
	return object;
}

static json_t *waypoints_json(struct gateway *g)
{
	json_t *array = json_array();

	for (uint32_t i = 1; i < WAYPOINTS && json_array_size(array) < SHOWN_MAX; i++) {
		const struct waypoint *waypoint = &g->waypoint[i];
		char place[ADDRESS_TEXT_LEN];

		if (!waypoint->known)
			continue;
		address_port_text(&waypoint->place.address, waypoint->place.port, place);
		json_array_append_new(array,
				      json_pack("{s:s, s:b, s:s}", "name", waypoint->name, "up",
						(int)waypoint->end.up, "address", place));
	}
	return array;
}

static json_t *status_hosts(const struct gateway *g)
{
	static const uint8_t none[6];
	json_t *array = json_array();

	for (uint32_t i = 0; i < GATEWAY_HOSTS && json_array_size(array) < SHOWN_MAX; i++) {
		const struct host *host = &g->host[i];
		char address[ADDRESS_TEXT_LEN];

		if (!host->taken)
			continue;
		address_text(&host->address, address);
		json_array_append_new(array,
				      json_pack("{s:i, s:s, s:s, s:b}", "number", (int)i, "name",
						host->name, "address", address, "neighbour",
						memcmp(host->record.dst_mac, none, 6) != 0));
	}
	return array;
}

static json_t *status_json(void *arg)
{
	struct gateway *g = arg;

	return json_pack("{s:b, s:s, s:i, s:o, s:o, s:o}", "server",
			 (int)member_is_logged_in(g->member), "name", g->credentials.name, "flows",
			 (int)g->flows, "hosts", status_hosts(g), "waypoints", waypoints_json(g),
			 "counters", counters_json(g));
}

static void collect(struct evbuffer *out, void *arg)
{
	struct gateway *g = arg;

#define WRITE(field, name, help)                                                                   \
	metrics_write(out, "isthmus_gateway_" name, "counter", help, NULL, g->counters.field);
	GATEWAY_COUNTERS(WRITE)
#undef WRITE
	metrics_write(out, "isthmus_gateway_flows", "gauge", "Flows", NULL, g->flows);
	metrics_write(out, "isthmus_gateway_server_up", "gauge",
		      "1 while logged in to the name server", NULL, member_is_logged_in(g->member));
}

int status_listen(struct gateway *g, char *error)
{
	int err;

	g->control = (struct ask_server){ .status = status_json, .arg = g };
	err = ask_listen(&g->control, g->base, g->settings.control, error, ERROR_LEN);
	if (err || !g->settings.metrics)
		return err;
	g->metrics = metrics_listen(g->base, g->settings.metrics, collect, g, error, ERROR_LEN);
	return g->metrics ? 0 : -EIO;
}

void status_close(struct gateway *g)
{
	metrics_free(g->metrics);
	ask_close(&g->control);
}

/* ---- the command */

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void print_text(const json_t *status)
{
	const json_t *counters = json_object_get(status, "counters"), *value;
	const char *key;
	size_t i;

	printf("gateway %s, name server: %s\n", word(status, "name"),
	       is_true(status, "server") ? "logged in" : "not connected");
	printf("%lld flows\n", number(status, "flows"));
	json_array_foreach (json_object_get(status, "waypoints"), i, value)
		printf("waypoint %s: %s %s\n", word(value, "name"),
		       is_true(value, "up") ? "up" : "down", word(value, "address"));
	json_array_foreach (json_object_get(status, "hosts"), i, value)
		printf("host %s: %s%s\n", word(value, "name"), word(value, "address"),
		       is_true(value, "neighbour") ? "" : ", no neighbour known");
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
