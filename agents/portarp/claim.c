// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which claims are believed. Of a leased set only the leased MAC's; of an open address the first
 * one's, until it is released, or another claims it and its holder is silent:
 *
 *             claim                 claim of another MAC             2 questions unanswered
 *   (nobody) -------> held by MAC -----------------------> CONTESTED -----------------------> held
 * by ^                                    |                               the other
 *                        +------------------------------------+
 *                                 the holder answers
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "agent.h"
#include "state.h"

#define CONTESTS_MAX   256
#define CONTEST_ASKS   2
#define CONTEST_ASK_MS 500

struct contest {
	TAILQ_ENTRY(contest) link;
	struct grant *grant;
	uint8_t mac[6];
	unsigned int asked;
	uint64_t asked_ms;
};

static void refuse(struct agent *agent, const struct arp_message *message,
		   enum agent_counter counter)
{
	const uint8_t *mac = message->from, *addr = (const uint8_t *)&message->addr_be;

	agent->counter[counter]++;
	if (agent_may_warn(agent))
		log_warn("%u.%u.%u.%u port %u: claim of %02x:%02x:%02x:%02x:%02x:%02x is refused: "
			 "%s",
			 addr[0], addr[1], addr[2], addr[3], message->port, mac[0], mac[1], mac[2],
			 mac[3], mac[4], mac[5], agent_counter_name(counter));
}

/* ---- contests */

static struct contest *contest_of(struct agent *agent, const struct grant *grant)
{
	struct contest *contest;

	TAILQ_FOREACH(contest, &agent->contests, link)
	if (contest->grant == grant)
		return contest;
	return NULL;
}

static void contest_end(struct agent *agent, struct contest *contest)
{
	if (!contest)
		return;
	TAILQ_REMOVE(&agent->contests, contest, link);
	agent->contest_count--;
	free(contest);
}

static void contest_ask(struct agent *agent, struct contest *contest)
{
	const struct grant *grant = contest->grant;

	contest->asked++;
	contest->asked_ms = agent->clock_ms();
	agent_ask(agent, grant->shared, ports_first(&grant->ports), grant->mac);
}

static void contest_begin(struct agent *agent, struct grant *grant,
			  const struct arp_message *message)
{
	struct contest *contest = contest_of(agent, grant);

	if (contest)
		return; /* the first one stays: its questions are on their way */
	if (agent->contest_count < CONTESTS_MAX)
		contest = calloc(1, sizeof(*contest));
	if (!contest) {
		refuse(agent, message, COUNT_REFUSED_FULL);
		return;
	}
	contest->grant = grant;
	memcpy(contest->mac, message->from, 6);
	TAILQ_INSERT_TAIL(&agent->contests, contest, link);
	agent->contest_count++;
	contest_ask(agent, contest);
	agent_arm(agent);
}

/* The holder is silent: its ports are the other's. */
static void contest_won(struct agent *agent, struct contest *contest)
{
	struct grant *grant = contest->grant;

	agent_assignment(agent, grant, "taken");
	agent->counter[COUNT_TAKEN]++;
	if (!table_move(&agent->table, grant, contest->mac)) {
		grant->since_s = agent->clock_s();
		hold_answer(agent, grant->owner, grant->mac, 0);
		age_confirm(agent, grant->owner);
		agent->counter[COUNT_GIVEN]++;
		agent_assignment(agent, grant, "given");
	}
	contest_end(agent, contest);
}

bool claim_tick(struct agent *agent)
{
	uint64_t now_ms = agent->clock_ms();
	struct contest *contest, *next;

	for (contest = TAILQ_FIRST(&agent->contests); contest; contest = next) {
		next = TAILQ_NEXT(contest, link);
		if (now_ms - contest->asked_ms < CONTEST_ASK_MS)
			continue;
		if (contest->asked < CONTEST_ASKS)
			contest_ask(agent, contest);
		else
			contest_won(agent, contest);
	}
	return !TAILQ_EMPTY(&agent->contests);
}

void claim_free(struct agent *agent)
{
	while (!TAILQ_EMPTY(&agent->contests))
		contest_end(agent, TAILQ_FIRST(&agent->contests));
}

/* ---- claims */

/* A range stands above sets: who has the set that it cuts into must be the same. */
static bool cuts_into_others(const struct agent *agent, const struct shared *shared,
			     const struct ports *ports, const uint8_t mac[6])
{
	const struct portarp_addr *record = &shared->record;

	for (uint32_t port = ports->low; ports->range && port <= ports->high; port++) {
		const struct grant *grant;

		if (!portset_in_sets(record->a, port))
			continue;
		grant = agent->table.place[record->first + portset_psid(record->a, record->k, port)]
				.grant;
		if (grant && memcmp(grant->mac, mac, 6))
			return true;
	}
	return false;
}

static unsigned int ranges_of(const struct shared *shared, const uint8_t mac[6])
{
	const struct grant *grant;
	unsigned int count = 0;

	TAILQ_FOREACH(grant, &shared->grants, link)
	count += grant->ports.range && !memcmp(grant->mac, mac, 6);
	return count;
}

/* What waits for the set that a range was cut out of goes on to the range's owner. */
static void transfer(struct agent *agent, const struct grant *grant)
{
	const struct portarp_addr *record = &grant->shared->record;
	uint32_t last = UINT32_MAX;

	for (uint32_t port = grant->ports.low; grant->ports.range && port <= grant->ports.high;
	     port++) {
		uint32_t from = record->first + portset_psid(record->a, record->k, port);

		if (from != last && portset_in_sets(record->a, port))
			hold_transfer(agent, from, grant->owner, grant->ports.low,
				      grant->ports.high);
		last = from;
	}
}

static void believe(struct agent *agent, struct grant *grant)
{
	contest_end(agent, contest_of(agent, grant));
	transfer(agent, grant);
	hold_answer(agent, grant->owner, grant->mac, 0);
	age_confirm(agent, grant->owner);
	agent->counter[COUNT_ANSWERS]++;
}

/* Ports that nobody has. */
static void claim_free_ports(struct agent *agent, struct shared *shared, const struct ports *ports,
			     const struct arp_message *message)
{
	struct grant *grant;
	int err;

	if (!(shared->record.flags & PORTARP_ADDR_OPEN)) {
		refuse(agent, message, COUNT_REFUSED_UNGIVEN);
		return;
	}
	if (cuts_into_others(agent, shared, ports, message->from)) {
		refuse(agent, message, COUNT_REFUSED_TAKEN);
		return;
	}
	if ((ports->range && ranges_of(shared, message->from) >= PORTARP_RANGES) ||
	    !agent_take(agent, &agent->claims, CLAIMS_A_SECOND)) {
		refuse(agent, message, COUNT_REFUSED_FULL);
		return;
	}
	err = table_give(&agent->table, shared, ports, message->from, false, &grant);
	if (err) {
		refuse(agent, message,
		       err == -EADDRINUSE || err == -EEXIST ? COUNT_REFUSED_TAKEN
		       : err == -EINVAL			    ? COUNT_MALFORMED
							    : COUNT_REFUSED_FULL);
		return;
	}
	grant->since_s = agent->clock_s();
	agent->counter[COUNT_GIVEN]++;
	agent_assignment(agent, grant, "given");
	believe(agent, grant);
}

static void take_ports(struct agent *agent, struct shared *shared, const struct ports *ports,
		       const struct arp_message *message)
{
	struct grant *grant = table_grant_find(&agent->table, shared, ports);

	if (message->flags & PORTARP_ARP_RELEASE) {
		if (grant && !grant->leased && !memcmp(grant->mac, message->from, 6))
			claim_release(agent, grant, "released");
		return;
	}
	if (!grant)
		claim_free_ports(agent, shared, ports, message);
	else if (!memcmp(grant->mac, message->from, 6))
		believe(agent, grant);
	else if (grant->leased)
		refuse(agent, message, COUNT_REFUSED_LEASE);
	else
		contest_begin(agent, grant, message);
}

void claim_take(struct agent *agent, const struct arp_message *message)
{
	struct shared *shared = table_find(&agent->table, message->addr_be);
	struct ports range = { .range = true, .low = message->low, .high = message->high };
	struct ports set = { .set = message->set };

	if (!shared)
		return;
	if (message->flags & PORTARP_ARP_RANGE)
		take_ports(agent, shared, &range, message);
	/* A set of another size than the address has: its hosts are told different things. */
	if (message->flags & PORTARP_ARP_SET &&
	    (set.set.a != shared->record.a || set.set.k != shared->record.k))
		refuse(agent, message, COUNT_MALFORMED);
	else if (message->flags & PORTARP_ARP_SET)
		take_ports(agent, shared, &set, message);
}

/* ---- leases */

/* Claims give way to a lease. */
static void remove_claims(struct agent *agent, struct shared *shared, const struct ports *ports,
			  const uint8_t mac[6])
{
	struct grant *grant = table_grant_find(&agent->table, shared, ports);

	if (grant && !grant->leased && memcmp(grant->mac, mac, 6))
		claim_release(agent, grant, "taken");
	for (uint32_t port = ports->low; ports->range && port <= ports->high; port++) {
		grant = table_grant_of(&agent->table, shared, port);
		if (grant && grant->ports.range && !grant->leased &&
		    (grant->ports.low != ports->low || grant->ports.high != ports->high))
			claim_release(agent, grant, "taken");
	}
}

int claim_lease(struct agent *agent, struct shared *shared, const struct ports *ports,
		const uint8_t mac[6], int64_t ends_s, struct grant **given)
{
	bool renewed;
	struct grant *grant;
	int err;

	remove_claims(agent, shared, ports, mac);
	grant = table_grant_find(&agent->table, shared, ports);
	renewed = grant && grant->leased;
	err = table_give(&agent->table, shared, ports, mac, true, &grant);
	if (err)
		return err;
	table_set_end(&agent->table, grant, ends_s);
	if (!grant->since_s || !renewed)
		grant->since_s = agent->clock_s();
	state_put_grant(agent->state, grant);
	*given = grant;
	if (renewed)
		return 0;
	contest_end(agent, contest_of(agent, grant));
	transfer(agent, grant);
	hold_answer(agent, grant->owner, mac, 0);
	age_confirm(agent, grant->owner);
	agent->counter[COUNT_GIVEN]++;
	agent_assignment(agent, grant, "given");
	return 0;
}

void claim_release(struct agent *agent, struct grant *grant, const char *what)
{
	uint32_t owner = grant->owner;

	agent_assignment(agent, grant, what);
	agent->counter[strcmp(what, "expired") ? COUNT_TAKEN : COUNT_EXPIRED]++;
	if (grant->leased)
		state_delete_grant(agent->state, grant);
	contest_end(agent, contest_of(agent, grant));
	table_take(&agent->table, grant);
	hold_drop(agent, owner);
}
