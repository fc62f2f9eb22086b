// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Age. An owner that has not been heard for long is asked; silence makes it STALE, and it is served
 * as before: only its lease's end, a release or another's claim takes it away.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include "agent.h"
#include "host.h"

#define PLACES_A_CALL 65536
#define ASKS_A_CALL   512
#define ASK_TRIES     3
#define ASK_GAP_S     2
#define EVENT_GAP_MS  1000
#define SWEEP_MAX     65536

void age_confirm(struct agent *agent, uint32_t owner)
{
	struct place *place = &agent->table.place[owner];
	uint64_t *word = table_word(&agent->table, owner);

	place->confirmed_s = agent->clock_ms() / MS_PER_S;
	place->asked_s = 0;
	place->tries = 0;
	if (owner_load(word).owner.wait & PORTARP_OWNER_STALE)
		owner_mark(word, 0, PORTARP_OWNER_STALE);
}

void age_event(struct agent *agent, const struct portarp_event *event)
{
	struct place *place;
	uint64_t now_ms = agent->clock_ms();

	if (event->owner >= agent->maps.owner.count)
		return;
	place = &agent->table.place[event->owner];
	if (!place->shared || place->shared->addr_be != event->addr ||
	    (place->asked_ms && now_ms - place->asked_ms < EVENT_GAP_MS))
		return;
	place->asked_ms = now_ms;
	agent_ask(agent, place->shared,
		  table_port_of(&agent->table, event->owner, ntohs(event->port)), NULL);
}

static void ask(struct agent *agent, struct place *place, uint32_t now_s)
{
	place->asked_s = now_s;
	place->tries++;
	agent_ask(agent, place->shared, ports_first(&place->grant->ports), place->grant->mac);
}

/* True if a question was sent. */
static bool look_at(struct agent *agent, uint32_t owner, uint32_t now_s)
{
	struct place *place = &agent->table.place[owner];
	uint64_t *word = table_word(&agent->table, owner);

	if (!place->grant || !(owner_load(word).owner.wait & PORTARP_OWNER_KNOWN))
		return false;
	if (!place->tries) {
		if (now_s - place->confirmed_s < agent->settings.age_s)
			return false;
		ask(agent, place, now_s);
		return true;
	}
	if (now_s - place->asked_s < ASK_GAP_S)
		return false;
	if (place->tries < ASK_TRIES) {
		ask(agent, place, now_s);
		return true;
	}
	place->tries = 0;
	place->confirmed_s = now_s;
	if (!(owner_load(word).owner.wait & PORTARP_OWNER_STALE)) {
		owner_mark(word, PORTARP_OWNER_STALE, 0);
		agent->counter[COUNT_STALE]++;
	}
	return false;
}

static void look_at_some(struct agent *agent)
{
	uint32_t now_s = agent->clock_ms() / MS_PER_S, count = agent->maps.owner.count;
	uint32_t places = count < PLACES_A_CALL ? count : PLACES_A_CALL;
	unsigned int asked = 0;

	while (agent->table.grant_count && places-- && asked < ASKS_A_CALL) {
		if (agent->age_next >= count)
			agent->age_next = 0;
		asked += look_at(agent, agent->age_next++, now_s);
	}
}

static void expire(struct grant *grant, void *arg)
{
	claim_release(arg, grant, "expired");
}

/* ---- what the datapath has learned */

struct sweep {
	struct agent *agent;
	uint64_t now_ns;
};

static void sweep_flow(const void *key, const void *value, void *arg)
{
	const struct portarp_flow *flow = value;
	const struct sweep *sweep = arg;

	if (flow->expires_ns <= sweep->now_ns)
		map_delete(&sweep->agent->maps, MAP_FLOW, key);
}

static void sweep_ident(const void *key, const void *value, void *arg)
{
	const struct portarp_ident *ident = value;
	const struct sweep *sweep = arg;

	if (ident->expires_ns <= sweep->now_ns)
		map_delete(&sweep->agent->maps, MAP_IDENT, key);
}

#define SWEEP_EVERY_S 10

static void sweep(struct agent *agent)
{
	uint64_t now_ms = agent->clock_ms();
	struct sweep sweep = { agent, now_ms * NS_PER_MS };

	if (now_ms / MS_PER_S % SWEEP_EVERY_S)
		return;
	map_each(&agent->maps, MAP_FLOW, SWEEP_MAX, sweep_flow, &sweep);
	map_each(&agent->maps, MAP_IDENT, SWEEP_MAX, sweep_ident, &sweep);
}

void age_slow(struct agent *agent)
{
	table_expire(&agent->table, agent->clock_s(), expire, agent);
	host_expire(agent);
	look_at_some(agent);
	sweep(agent);
}
