// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * After a restart. Known owners are not touched: the maps say who they are, the state file until
 * when.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "host.h"
#include "op.h"
#include "restore.h"
#include "state.h"

/* ---- addresses */

struct adopting {
	struct agent *agent;
	int err;
};

static void adopt_address(const void *key, const void *value, void *arg)
{
	struct adopting *adopting = arg;
	struct portarp_addr record;
	struct shared *shared;
	uint32_t addr_be;
	int err;

	memcpy(&addr_be, key, sizeof(addr_be));
	memcpy(&record, value, sizeof(record));
	err = table_adopt(&adopting->agent->table, addr_be, &record, &shared);
	if (err)
		adopting->err = err;
}

/* The place of an echo owner is nobody's set. */
static void adopt_echo(struct agent *agent, struct shared *shared)
{
	uint32_t owner = shared->record.echo_owner;

	if (shared->record.echo != PORTARP_ECHO_OWNER || owner >= agent->maps.owner.count ||
	    agent->table.place[owner].shared)
		return;
	agent->table.place[owner].shared = shared;
	shared->echo_place = owner + 1;
	memcpy(shared->echo_mac, owner_load(table_word(&agent->table, owner)).owner.mac, 6);
}

/* ---- leases */

struct leases {
	struct state_grant *grant;
	unsigned int count, room;
};

static void collect(const struct state_grant *grant, void *arg)
{
	struct leases *leases = arg;

	if (leases->count == leases->room) {
		unsigned int room = leases->room ? 2 * leases->room : 64;
		struct state_grant *more = reallocarray(leases->grant, room, sizeof(*more));

		if (!more)
			return;
		leases->grant = more;
		leases->room = room;
	}
	leases->grant[leases->count++] = *grant;
}

/* The maps may be new, as after a boot: then the lease is written into them. */
static void restore_lease(struct agent *agent, struct shared *shared,
			  const struct state_grant *saved)
{
	struct grant *grant;
	int err = table_adopt_grant(&agent->table, shared, &saved->ports, saved->mac, true, &grant);

	if (!err) {
		table_set_end(&agent->table, grant, saved->ends_s);
		grant->since_s = saved->since_s;
	} else if (err != -EEXIST) {
		err = claim_lease(agent, shared, &saved->ports, saved->mac, saved->ends_s, &grant);
		if (!err)
			grant->since_s = saved->since_s;
	}
	if (err) {
		log_warn("a lease of the state file does not fit its address any more: %s",
			 strerror(-err));
		return;
	}
	/* Known by another MAC, or not yet: the lease says who it is. */
	if (memcmp(owner_load(table_word(&agent->table, grant->owner)).owner.mac, saved->mac, 6))
		hold_answer(agent, grant->owner, saved->mac, 0);
}

void restore_leases(struct agent *agent, struct shared *shared)
{
	struct leases leases = { 0 };
	bool before = agent->restoring;

	agent->restoring = true;
	state_grants(agent->state, shared->addr_be, collect, &leases);
	for (unsigned int i = 0; i < leases.count; i++)
		restore_lease(agent, shared, &leases.grant[i]);
	free(leases.grant);
	agent->restoring = before;
}

/* ---- claims */

static void adopt_claim(struct agent *agent, struct shared *shared, const struct ports *ports,
			uint32_t owner)
{
	union owner_word now = owner_load(table_word(&agent->table, owner));
	struct grant *grant;

	if (now.owner.wait & PORTARP_OWNER_KNOWN && !(now.owner.wait & PORTARP_OWNER_UP) &&
	    !table_adopt_grant(&agent->table, shared, ports, now.owner.mac, false, &grant))
		grant->since_s = agent->clock_s();
}

static void adopt_sets(struct agent *agent, struct shared *shared)
{
	for (uint32_t psid = 0; psid < 1u << shared->record.k; psid++) {
		struct ports set = { .set = { shared->record.a, shared->record.k, psid } };

		if (!agent->table.place[shared->record.first + psid].grant)
			adopt_claim(agent, shared, &set, shared->record.first + psid);
		hold_watch(agent, shared->record.first + psid);
	}
}

/* Ranges that are nobody's any more are swept out of the block. */
static void adopt_range(struct agent *agent, struct shared *shared, struct ports *range,
			uint32_t entry)
{
	uint32_t owner = entry - 1;

	if (owner < agent->maps.owner.count && !agent->table.place[owner].shared)
		adopt_claim(agent, shared, range, owner);
	if (owner < agent->maps.owner.count && agent->table.place[owner].grant) {
		hold_watch(agent, owner);
		return;
	}
	for (uint32_t port = range->low; port <= range->high; port++)
		port_entry_set(&agent->maps, shared->record.block, port, 0);
}

static void adopt_ranges(struct agent *agent, struct shared *shared)
{
	for (uint32_t port = 0; shared->record.block && port < 65536; port++) {
		uint32_t entry = port_entry(&agent->maps, shared->record.block, port);
		struct ports range = { .range = true, .low = port };

		if (!entry)
			continue;
		while (port < 65535 &&
		       port_entry(&agent->maps, shared->record.block, port + 1) == entry)
			port++;
		range.high = port;
		adopt_range(agent, shared, &range, entry);
	}
}

/* Questions of age are spread, so that a restart asks nobody all at once. */
static void spread_ages(struct agent *agent)
{
	uint32_t now_s = agent->clock_ms() / MS_PER_S, period = agent->settings.age_s;

	for (uint32_t i = 0; i < agent->maps.owner.count; i++)
		if (agent->table.place[i].grant)
			agent->table.place[i].confirmed_s = now_s - (period ? i % period : 0);
}

int restore(struct agent *agent, char *error, size_t error_len)
{
	struct adopting adopting = { agent, 0 };
	struct shared *shared;

	map_each(&agent->maps, MAP_ADDR, UINT32_MAX, adopt_address, &adopting);
	if (adopting.err) {
		snprintf(error, error_len,
			 "portarp_addr contradicts itself or portarp_owner: attach again");
		return adopting.err;
	}
	agent->restoring = true;
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	{
		adopt_echo(agent, shared);
		restore_leases(agent, shared);
		restore_upstream(agent, shared);
	}
	host_restore(agent);
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	{
		adopt_sets(agent, shared);
		adopt_ranges(agent, shared);
		lan_add(agent, shared);
	}
	spread_ages(agent);
	agent->restoring = false;
	return 0;
}
