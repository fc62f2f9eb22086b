// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Agents of one-time addresses: the names of their services, in our zones for as long as the agent
 * is ours. What it told last is served while it is away, so that nobody is told that there is no
 * such name; who asks then gets SERVFAIL (give.c).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "dns.h"

#define ONETIME_WRONG                                                                              \
	"services is an array of at most 1024, each with a name of its own, and families of 4 "    \
	"and 6"

/* ---- names in the zones */

static struct wire_record record_of(const struct onetime *agent, uint32_t place,
				    uint8_t data[ZONE_ONETIME_LEN])
{
	uint32_t number = htonl(agent->number), service = htonl(place);

	memcpy(data, &number, 4);
	memcpy(data + 4, &service, 4);
	data[8] = agent->service[place].families;
	return (struct wire_record){ .owner = agent->service[place].name,
				     .type = ZONE_ONETIME,
				     .data = data,
				     .len = ZONE_ONETIME_LEN };
}

static void serve(struct dns *dns, struct onetime *agent, uint32_t place)
{
	struct onetime_service *service = &agent->service[place];
	uint8_t data[ZONE_ONETIME_LEN];
	struct wire_record record = record_of(agent, place, data);

	service->served = !zones_add(&dns->zones, &record, 0);
	if (!service->served)
		member_tell_refused(agent->conn, agent->name, service->name);
}

static void unserve(struct dns *dns, struct onetime *agent, uint32_t place)
{
	uint8_t data[ZONE_ONETIME_LEN];
	struct wire_record record = record_of(agent, place, data);

	zones_remove(&dns->zones, &record);
	agent->service[place].served = false;
}

void onetime_serve(struct dns *dns, struct onetime *agent)
{
	for (uint32_t i = 0; i < ONETIME_SERVICES; i++)
		if (agent->service[i].taken)
			serve(dns, agent, i);
}

/* ---- what an agent tells */

/* ["4", "6"] as ZONE_ONETIME_; 0: nothing of the kind. */
static uint8_t read_families(const json_t *list)
{
	uint8_t families = 0;
	const json_t *text;
	size_t i;

	json_array_foreach (list, i, text) {
		const char *word = json_string_value(text);

		if (!word || (strcmp(word, "4") && strcmp(word, "6")))
			return 0;
		families |= word[0] == '4' ? ZONE_ONETIME_4 : ZONE_ONETIME_6;
	}
	return families;
}

static int read_service(const struct onetime *agent, const json_t *told,
			struct onetime_service *service)
{
	const char *text;

	memset(service, 0, sizeof(*service));
	if (!msg_get_string(told, "name", &text) || strlen(text) >= sizeof(service->text) ||
	    member_absolute_name(agent->name, text, service->name))
		return -EINVAL;
	service->families = read_families(json_object_get(told, "families"));
	service->taken = true;
	strcpy(service->text, text);
	return service->families ? 0 : -EINVAL;
}

static bool has_name(const struct onetime_service *list, uint32_t count, const uint8_t *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].taken && wire_name_equal(list[i].name, name))
			return true;
	return false;
}

/* How many; or -EINVAL, -ENOMEM. They are the caller's. */
static int read_services(const struct onetime *agent, const json_t *told,
			 struct onetime_service **services)
{
	struct onetime_service *list = calloc(json_array_size(told) + 1, sizeof(*list));
	const json_t *one;
	size_t i;

	if (!list)
		return -ENOMEM;
	json_array_foreach (told, i, one) {
		if (read_service(agent, one, &list[i]) ||
		    has_name(list, (uint32_t)i, list[i].name)) {
			free(list);
			return -EINVAL;
		}
	}
	*services = list;
	return (int)json_array_size(told);
}

/* The place of a service that stays as it is; else one that is free. */
static struct onetime_service *find_place(struct onetime *agent, const uint8_t *name)
{
	struct onetime_service *free_one = NULL;

	for (uint32_t i = 0; i < ONETIME_SERVICES; i++) {
		struct onetime_service *service = &agent->service[i];

		if (service->taken && wire_name_equal(service->name, name))
			return service;
		if (!service->taken && !free_one)
			free_one = service;
	}
	return free_one;
}

static void put_service(struct dns *dns, struct onetime *agent, const struct onetime_service *told)
{
	struct onetime_service *service = find_place(agent, told->name);
	uint32_t place = (uint32_t)(service - agent->service);

	if (service->served && service->families == told->families) {
		strcpy(service->text, told->text); /* in other letters, perhaps */
		return;
	}
	if (service->served)
		unserve(dns, agent, place);
	*service = *told;
	serve(dns, agent, place);
}

static void put_services(struct dns *dns, struct onetime *agent,
			 const struct onetime_service *services, uint32_t count)
{
	for (uint32_t i = 0; i < ONETIME_SERVICES; i++) {
		struct onetime_service *service = &agent->service[i];

		if (!service->taken || has_name(services, count, service->name))
			continue;
		unserve(dns, agent, i);
		service->taken = false;
	}
	for (uint32_t i = 0; i < count; i++)
		put_service(dns, agent, &services[i]);
	agent->service_count = count;
}

/* All of them, or none: they stay as they are. */
static const char *take_services(struct dns *dns, struct onetime *agent, const json_t *told)
{
	struct onetime_service *services;
	int count = read_services(agent, told, &services);

	if (count < 0)
		return count == -ENOMEM ? "out of memory" : ONETIME_WRONG;
	put_services(dns, agent, services, (uint32_t)count);
	free(services);
	return NULL;
}

static void keep(struct dns *dns, const struct onetime *agent, const json_t *told)
{
	char *text = json_dumps(told, JSON_COMPACT);

	if (!text || member_db_set_hosts(dns->members->db, agent->id, text))
		log_warn("%s: its services were not kept for a restart", agent->name);
	free(text);
}

const char *onetime_services(struct member_conn *member, const json_t *message)
{
	struct onetime *agent = member->onetime;
	const char *why = NULL;
	json_t *told;
	int rc = member_take_page(&agent->list, message, "services", ONETIME_SERVICES, &told);

	if (rc < 0)
		return ONETIME_WRONG;
	if (rc)
		why = take_services(member->dns, agent, told);
	if (rc && !why)
		keep(member->dns, agent, told);
	json_decref(told);
	return why;
}

/* ---- they come and go */

static struct onetime *find(struct members *members, uint32_t id)
{
	for (unsigned int i = 0; i < ONETIMES_MAX; i++)
		if (members->onetime[i] && members->onetime[i]->id == id)
			return members->onetime[i];
	return NULL;
}

static struct onetime *get(struct members *members, const struct member_row *row)
{
	struct onetime *agent = find(members, row->id);
	uint32_t number = 0;

	if (agent)
		return agent;
	while (number < ONETIMES_MAX && members->onetime[number])
		number++;
	agent = number < ONETIMES_MAX ? calloc(1, sizeof(*agent)) : NULL;
	if (!agent)
		return NULL;
	agent->number = number;
	agent->id = row->id;
	snprintf(agent->name, sizeof(agent->name), "%s", row->name);
	members->onetime[number] = agent;
	return agent;
}

void onetime_load(struct dns *dns, const struct member_row *row)
{
	json_t *told = row->hosts ? json_loads(row->hosts, 0, NULL) : NULL;
	struct onetime *agent = told ? get(dns->members, row) : NULL;

	if (agent && json_array_size(told) <= ONETIME_SERVICES)
		take_services(dns, agent, told);
	json_decref(told);
}

const char *onetime_login(struct member_conn *member, const struct member_row *row,
			  const json_t *message)
{
	struct onetime *agent = get(member->dns->members, row);
	struct member_conn *before = agent ? agent->conn : NULL;
	const char *why;

	if (!agent)
		return "there are too many agents";
	if (before) { /* its end was not seen yet */
		onetime_lost(before);
		msg_conn_close(before->conn, "the agent logged in again");
	}
	member->onetime = agent;
	agent->conn = member;
	why = onetime_services(member, message);
	if (why)
		onetime_lost(member);
	return why;
}

void onetime_lost(struct member_conn *member)
{
	struct onetime *agent = member->onetime;

	agent->conn = NULL;
	json_decref(agent->list);
	agent->list = NULL;
	member->onetime = NULL;
	give_lost(member->dns, agent);
}

void onetime_delete(struct dns *dns, const char *name)
{
	for (unsigned int i = 0; i < ONETIMES_MAX; i++) {
		struct onetime *agent = dns->members->onetime[i];
		struct member_conn *member = agent ? agent->conn : NULL;

		if (!agent || strcmp(agent->name, name))
			continue;
		if (member) {
			onetime_lost(member);
			msg_conn_close(member->conn, "it was deleted");
		}
		put_services(dns, agent, NULL, 0);
		dns->members->onetime[i] = NULL;
		free(agent);
	}
}
