// SPDX-License-Identifier: GPL-3.0-or-later
/* Gateways: the names of their hosts, in our zones for as long as the gateway is ours. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "dns.h"

/* ---- names in the zones */

static struct wire_record record_of(const struct gateway *gateway, uint32_t number,
				    uint8_t data[ZONE_BOUND_LEN])
{
	uint32_t id = htonl(gateway->id), host = htonl(number);

	memcpy(data, &id, 4);
	memcpy(data + 4, &host, 4);
	return (struct wire_record){ .owner = gateway->host[number].name,
				     .type = ZONE_BOUND,
				     .data = data,
				     .len = ZONE_BOUND_LEN };
}

static int serve(struct dns *dns, const struct gateway *gateway, uint32_t number)
{
	uint8_t data[ZONE_BOUND_LEN];
	struct wire_record record = record_of(gateway, number, data);

	return zones_add(&dns->zones, &record, 0);
}

static void unserve(struct dns *dns, struct gateway *gateway, uint32_t number)
{
	uint8_t data[ZONE_BOUND_LEN];
	struct wire_record record = record_of(gateway, number, data);

	zones_remove(&dns->zones, &record);
	gateway->host[number].served = false;
}

static void remove_host(struct dns *dns, struct gateway *gateway, uint32_t number)
{
	unserve(dns, gateway, number);
	gateway->host[number].taken = false;
	gateway->host_count--;
	for (unsigned int i = 0; i < dns->members->waypoint_count; i++)
		waypoint_tell_gone6(dns->members->waypoint[i], gateway, number);
}

static void tell_refused(const struct gateway *gateway, uint32_t number)
{
	member_tell_refused(gateway->conn, gateway->name, gateway->host[number].name);
}

void gateway_serve(struct dns *dns, struct gateway *gateway)
{
	for (uint32_t i = 0; i < GATEWAY_HOSTS_MAX; i++) {
		struct gateway_host *host = &gateway->host[i];

		if (!host->taken)
			continue;
		host->served = !serve(dns, gateway, i);
		if (!host->served)
			tell_refused(gateway, i);
	}
}

/* ---- what a gateway tells */

/* Its name may be served only later, with other zones. */
static void put_host(struct dns *dns, struct gateway *gateway, uint32_t number, const uint8_t *name)
{
	struct gateway_host *host = &gateway->host[number];

	if (host->served && wire_name_equal(host->name, name))
		return;
	if (host->served)
		unserve(dns, gateway, number);
	memcpy(host->name, name, wire_name_len(name));
	gateway->host_count += !host->taken;
	host->taken = true;
	host->served = !serve(dns, gateway, number);
	if (!host->served)
		tell_refused(gateway, number);
}

static bool read_host(const struct gateway *gateway, const json_t *host, int64_t *number,
		      uint8_t name[WIRE_NAME_MAX])
{
	const char *text;

	return msg_get_integer(host, "number", 0, GATEWAY_HOSTS_MAX - 1, number) &&
	       msg_get_string(host, "name", &text) &&
	       !member_absolute_name(gateway->name, text, name);
}

static const char *check_hosts(const struct gateway *gateway, const json_t *hosts, bool *told)
{
	uint8_t name[WIRE_NAME_MAX];
	const json_t *host;
	int64_t number;
	size_t i;

	if (!json_is_array(hosts) || json_array_size(hosts) > GATEWAY_HOSTS_MAX)
		return "hosts is an array of at most 4096";
	json_array_foreach (hosts, i, host) {
		if (!read_host(gateway, host, &number, name) || told[number])
			return "a host has a number of its own and a name";
		told[number] = true;
	}
	return NULL;
}

/* All of them, or none: they stay as they are. */
static const char *take_hosts(struct dns *dns, struct gateway *gateway, const json_t *hosts)
{
	static bool told[GATEWAY_HOSTS_MAX];
	uint8_t name[WIRE_NAME_MAX];
	const json_t *host;
	const char *why;
	int64_t number;
	size_t i;

	memset(told, 0, sizeof(told));
	why = check_hosts(gateway, hosts, told);
	if (why)
		return why;
	for (uint32_t n = 0; n < GATEWAY_HOSTS_MAX; n++)
		if (!told[n] && gateway->host[n].taken)
			remove_host(dns, gateway, n);
	json_array_foreach (hosts, i, host)
		if (read_host(gateway, host, &number, name))
			put_host(dns, gateway, (uint32_t)number, name);
	return NULL;
}

static void take_behind(struct gateway *gateway, const json_t *behind)
{
	const json_t *text;
	size_t i;

	gateway->behind_count = 0;
	json_array_foreach (behind, i, text) {
		if (gateway->behind_count < BEHIND_MAX && json_is_string(text) &&
		    inet_pton(AF_INET, json_string_value(text),
			      &gateway->behind[gateway->behind_count]) == 1)
			gateway->behind_count++;
	}
}

bool gateway_is_behind(const struct gateway *gateway, __be32 address)
{
	for (unsigned int i = 0; i < gateway->behind_count; i++)
		if (gateway->behind[i] == address)
			return true;
	return false;
}

static void keep_hosts(struct dns *dns, const struct gateway *gateway, const json_t *list,
		       const json_t *behind)
{
	json_t *kept = json_pack("{s:O, s:O?}", "hosts", list, "behind", behind);
	char *text = kept ? json_dumps(kept, JSON_COMPACT) : NULL;

	if (!text || member_db_set_hosts(dns->members->db, gateway->id, text))
		log_warn("%s: its hosts were not kept for a restart", gateway->name);
	free(text);
	json_decref(kept);
}

static void tell_waypoints(struct dns *dns, const struct gateway *gateway)
{
	for (unsigned int i = 0; i < dns->members->waypoint_count; i++)
		waypoint_tell_hosts6(dns->members->waypoint[i], gateway);
}

/* The whole list is there. */
static const char *take_list(struct dns *dns, struct gateway *gateway, const json_t *list,
			     const json_t *behind)
{
	const char *why = take_hosts(dns, gateway, list);

	if (why)
		return why;
	take_behind(gateway, behind);
	keep_hosts(dns, gateway, list, behind);
	tell_waypoints(dns, gateway);
	return NULL;
}

/* A long list comes in several messages: all but the last have "more". */
const char *gateway_hosts(struct member_conn *member, const json_t *message)
{
	struct gateway *gateway = member->gateway;
	const char *why = NULL;
	json_t *list;
	int rc = member_take_page(&gateway->list, message, "hosts", GATEWAY_HOSTS_MAX, &list);

	if (rc < 0)
		return "hosts is an array of at most 4096";
	if (rc)
		why = take_list(member->dns, gateway, list, json_object_get(message, "behind"));
	json_decref(list);
	return why;
}

/* ---- they come and go */

static struct gateway *get(struct dns *dns, const struct member_row *row)
{
	struct gateway **place = &dns->members->gateway[row->id];

	if (*place)
		return *place;
	*place = calloc(1, sizeof(**place));
	if (*place) {
		(*place)->id = row->id;
		snprintf((*place)->name, sizeof((*place)->name), "%s", row->name);
	}
	return *place;
}

/* What it told last is served until it logs in again: its tunnels may be up. */
void gateway_load(struct dns *dns, const struct member_row *row)
{
	struct gateway *gateway;
	json_t *kept = row->hosts ? json_loads(row->hosts, 0, NULL) : NULL;

	if (!kept || row->id >= GATEWAYS)
		return;
	gateway = get(dns, row);
	if (gateway && !take_hosts(dns, gateway, json_object_get(kept, "hosts")))
		take_behind(gateway, json_object_get(kept, "behind"));
	json_decref(kept);
}

const char *gateway_login(struct member_conn *member, const struct member_row *row,
			  const json_t *message)
{
	struct gateway *gateway = row->id < GATEWAYS ? get(member->dns, row) : NULL;
	const char *why;

	if (!gateway)
		return "out of memory";
	if (gateway->conn) { /* of before: its end was not seen yet */
		gateway->conn->gateway = NULL;
		json_decref(gateway->list);
		gateway->list = NULL;
		msg_conn_close(gateway->conn->conn, "the gateway logged in again");
	}
	member->gateway = gateway;
	gateway->conn = member;
	why = gateway_hosts(member, message);
	if (why)
		gateway_lost(member);
	return why;
}

void gateway_lost(struct member_conn *member)
{
	if (member->gateway->conn == member) {
		member->gateway->conn = NULL;
		json_decref(member->gateway->list);
		member->gateway->list = NULL;
	}
	member->gateway = NULL;
}

void gateway_delete(struct dns *dns, const char *name)
{
	struct members *members = dns->members;

	for (uint32_t id = 1; id < GATEWAYS; id++) {
		struct gateway *gateway = members->gateway[id];

		if (!gateway || strcmp(gateway->name, name))
			continue;
		for (uint32_t number = 0; number < GATEWAY_HOSTS_MAX; number++)
			if (gateway->host[number].taken)
				remove_host(dns, gateway, number);
		for (unsigned int i = 0; i < members->waypoint_count; i++)
			waypoint_unpair(members->waypoint[i], gateway);
		if (gateway->conn) {
			msg_conn_close(gateway->conn->conn, "it was deleted");
			gateway->conn->gateway = NULL;
		}
		members->gateway[id] = NULL;
		json_decref(gateway->list);
		free(gateway);
	}
}
