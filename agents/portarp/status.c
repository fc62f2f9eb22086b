// SPDX-License-Identifier: GPL-3.0-or-later
/* What an operator can see. */
#include <event2/buffer.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "../lib/metrics.h"
#include "cli.h"
#include "control.h"
#include "host.h"
#include "op.h"

#define ROWS_MAX 128 /* of addresses, and of sets; an answer is one line */

static const char *role_text(enum portarp_role role)
{
	static const char *const words[] = { "none", "gateway", "bridge", "host" };

	return words[role];
}

static json_t *describe_devices(const struct agent *agent)
{
	const struct portarp_conf *conf = &agent->maps.conf;
	json_t *devices = json_array();

	for (int i = 0; i < conf->links && i < PORTARP_LINKS; i++) {
		char name[IF_NAMESIZE] = "?", mac[18];

		if_indextoname(conf->link[i].ifindex, name);
		op_mac_text(conf->link[i].mac, mac);
		json_array_append_new(
			devices, json_pack("{s:s, s:s, s:s, s:i}", "device", name, "side",
					   conf->link[i].side == PORTARP_LAN ? "lan" : "uplink",
					   "mac", mac, "mtu", (int)conf->link[i].mtu));
	}
	return devices;
}

static json_t *describe_address(const struct shared *shared)
{
	static const char *const echo[] = { "drop", "local", "owner" };
	const struct portarp_addr *record = &shared->record;
	char addr[16], name[IF_NAMESIZE] = "?";

	op_address_text(shared->addr_be, addr);
	if_indextoname(record->ifindex, name);
	return json_pack("{s:s, s:i, s:i, s:s, s:b, s:s, s:i, s:i, s:b}", "address", addr, "a",
			 (int)record->a, "k", (int)record->k, "device", name, "open",
			 record->flags & PORTARP_ADDR_OPEN, "echo",
			 record->echo < 3 ? echo[record->echo] : "?", "sets",
			 (int)(shared->grant_count - shared->ranges), "ranges", (int)shared->ranges,
			 "upstream", shared->up);
}

static json_t *describe_part(const struct agent *agent, const struct own *own,
			     const struct own_part *part)
{
	int64_t left = part->ends_s ? part->ends_s - agent->clock_s() : 0;
	char addr[16];

	op_address_text(own->addr_be, addr);
	if (part->ports.range)
		return json_pack("{s:s, s:s, s:i, s:i, s:I}", "address", addr, "device",
				 own->device, "low", (int)part->ports.low, "high",
				 (int)part->ports.high, "seconds", (json_int_t)left);
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:I}", "address", addr, "device", own->device,
			 "a", (int)part->ports.set.a, "k", (int)part->ports.set.k, "psid",
			 (int)part->ports.set.psid, "seconds", (json_int_t)left);
}

/* A host's are its own; a gateway's are those of others, the first ones: `usage` has all. */
static json_t *describe_sets(const struct agent *agent)
{
	json_t *rows = json_array();
	const struct shared *shared;
	const struct grant *grant;
	const struct own *own;

	TAILQ_FOREACH(own, &agent->own, link)
	for (unsigned int i = 0; i < own->parts && json_array_size(rows) < ROWS_MAX; i++)
		json_array_append_new(rows, describe_part(agent, own, &own->part[i]));
	if (agent->role == PORTARP_HOST)
		return rows;
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	TAILQ_FOREACH(grant, &shared->grants, link)
	if (json_array_size(rows) < ROWS_MAX)
		json_array_append_new(rows, op_describe_grant(agent, grant));
	return rows;
}

json_t *status_describe(struct agent *agent)
{
	json_t *addresses = json_array(), *counts = json_object();
	const struct shared *shared;

	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	if (json_array_size(addresses) < ROWS_MAX)
		json_array_append_new(addresses, describe_address(shared));
	for (int i = 0; i < AGENT_COUNTER_COUNT; i++)
		json_object_set_new(counts, agent_counter_name(i), json_integer(agent->counter[i]));
	return json_pack("{s:s, s:I, s:o, s:I, s:o, s:I, s:o, s:I, s:I, s:I, s:o}", "role",
			 role_text(agent->role), "uptime",
			 (json_int_t)((agent->clock_ms() - agent->started_ms) / MS_PER_S),
			 "devices", describe_devices(agent), "address_count",
			 (json_int_t)agent->table.address_count, "addresses", addresses,
			 "set_count", (json_int_t)agent->table.grant_count, "sets",
			 describe_sets(agent), "held", (json_int_t)agent->held_packets,
			 "held_bytes", (json_int_t)agent->held_bytes, "fragments",
			 (json_int_t)agent->fragment_count, "counters", counts);
}

/* ---- as text */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void ports_text(const json_t *row, char *text, size_t len)
{
	if (json_object_get(row, "low"))
		snprintf(text, len, "%lld-%lld", number_of(row, "low"), number_of(row, "high"));
	else
		snprintf(text, len, "a%lld k%lld psid %lld", number_of(row, "a"),
			 number_of(row, "k"), number_of(row, "psid"));
}

void cli_print_usage(json_t *answer)
{
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(answer, "sets"), i, row) {
		char ports[48];

		ports_text(row, ports, sizeof(ports));
		printf("%-15s %-20s %s  %-6s TCP %lld and UDP %lld of %lld used%s",
		       text_of(row, "address"), ports, text_of(row, "mac"), text_of(row, "state"),
		       number_of(row, "used_tcp"), number_of(row, "used_udp"),
		       number_of(row, "ports"),
		       json_is_true(json_object_get(row, "alarm")) ? ", ALARM" : "");
		if (number_of(row, "seconds"))
			printf(", %lld s left", number_of(row, "seconds"));
		printf("\n");
	}
}

void cli_print_status(json_t *answer)
{
	const char *key;
	json_t *row;
	size_t i;

	printf("role       %s, up %lld s\n", text_of(answer, "role"), number_of(answer, "uptime"));
	json_array_foreach (json_object_get(answer, "devices"), i, row)
		printf("device     %s, %s, %s, MTU %lld\n", text_of(row, "device"),
		       text_of(row, "side"), text_of(row, "mac"), number_of(row, "mtu"));
	json_array_foreach (json_object_get(answer, "addresses"), i, row)
		printf("address    %s a %lld k %lld on %s%s, %lld sets, %lld ranges, echo %s%s\n",
		       text_of(row, "address"), number_of(row, "a"), number_of(row, "k"),
		       text_of(row, "device"),
		       json_is_true(json_object_get(row, "open")) ? ", open" : "",
		       number_of(row, "sets"), number_of(row, "ranges"), text_of(row, "echo"),
		       json_is_true(json_object_get(row, "upstream")) ? ", the rest upstream" : "");
	json_array_foreach (json_object_get(answer, "sets"), i, row) {
		char ports[48];

		if (strcmp(text_of(answer, "role"), "host"))
			break;

		ports_text(row, ports, sizeof(ports));
		printf("own        %s %s on %s\n", text_of(row, "address"), ports,
		       text_of(row, "device"));
	}
	printf("held       %lld packets, %lld fragments\n", number_of(answer, "held"),
	       number_of(answer, "fragments"));
	json_object_foreach (json_object_get(answer, "counters"), key, row)
		if (json_integer_value(row))
			printf("counter    %s %lld\n", key, (long long)json_integer_value(row));
}

/* ---- metrics */

static void metric_sets(const struct agent *agent, struct evbuffer *out)
{
	static const char *const help = "Ports of a set or range that have sent within the last "
					"interval.";
	const struct shared *shared;
	const struct grant *grant;
	unsigned int told = 0;
	char label[128], addr[16];

	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	{
		op_address_text(shared->addr_be, addr);
		TAILQ_FOREACH(grant, &shared->grants, link)
		{
			if (!shared->record.use || told / 2 >= ROWS_MAX)
				continue;
			snprintf(label, sizeof(label),
				 "address=\"%s\",first=\"%u\",ports=\"%u\",protocol=\"tcp\"", addr,
				 ports_first(&grant->ports), ports_count(&grant->ports));
			metrics_write(out, "isthmus_portarp_ports_used", "gauge",
				      told++ ? NULL : help, label, grant->used_tcp);
			memcpy(strstr(label, "tcp\""), "udp\"", 4);
			metrics_write(out, "isthmus_portarp_ports_used", "gauge",
				      told++ ? NULL : help, label, grant->used_udp);
		}
	}
}

static unsigned int count_alarms(const struct agent *agent)
{
	const struct shared *shared;
	const struct grant *grant;
	unsigned int alarms = 0;

	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	TAILQ_FOREACH(grant, &shared->grants, link)
	alarms += grant->alarmed;
	return alarms;
}

void status_metrics(struct evbuffer *out, void *arg)
{
	struct agent *agent = arg;
	char name[64];

	metrics_write(out, "isthmus_portarp_addresses", "gauge", "Shared addresses.", NULL,
		      agent->table.address_count);
	metrics_write(out, "isthmus_portarp_sets", "gauge", "Sets and ranges given or claimed.",
		      NULL, agent->table.grant_count);
	metrics_write(out, "isthmus_portarp_held_packets", "gauge", "Packets that wait now.", NULL,
		      agent->held_packets);
	metrics_write(out, "isthmus_portarp_held_fragments", "gauge",
		      "Fragments that wait for their first one.", NULL, agent->fragment_count);
	metrics_write(out, "isthmus_portarp_alarms", "gauge",
		      "Sets of which more ports are used than the threshold.", NULL,
		      count_alarms(agent));
	metric_sets(agent, out);
	for (int i = 0; i < AGENT_COUNTER_COUNT; i++) {
		snprintf(name, sizeof(name), "isthmus_portarp_%s_total", agent_counter_name(i));
		metrics_write(out, name, "counter", agent_counter_help(i), NULL, agent->counter[i]);
	}
}
