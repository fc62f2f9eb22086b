// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Only a datagram's first fragment has ports. Later ones that come before it are held here until
 * the datapath tells whose they are; they have come in any order and are sent as they came.
 */
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define FRAG_EACH 64
#define FRAG_ALL  1024
#define FRAG_MS	  5000

struct fragment {
	TAILQ_ENTRY(fragment) link;
	uint32_t ifindex;
	bool own; /* sent by this machine itself: its TTL is right */
	size_t len;
	uint8_t frame[];
};

struct fragments {
	TAILQ_ENTRY(fragments) link;
	struct portarp_frag_key key;
	uint64_t since_ms;
	unsigned int count;
	TAILQ_HEAD(, fragment) queue;
};

static struct fragments *find(struct agent *agent, const struct portarp_frag_key *key)
{
	struct fragments *of;

	TAILQ_FOREACH(of, &agent->fragments, link)
	if (!memcmp(&of->key, key, sizeof(*key)))
		return of;
	return NULL;
}

static struct fragments *find_or_make(struct agent *agent, const struct portarp_frag_key *key)
{
	struct fragments *of = find(agent, key);

	if (of)
		return of;
	of = calloc(1, sizeof(*of));
	if (!of)
		return NULL;
	of->key = *key;
	of->since_ms = agent->clock_ms();
	TAILQ_INIT(&of->queue);
	TAILQ_INSERT_TAIL(&agent->fragments, of, link);
	agent_arm(agent);
	return of;
}

static void remove_all(struct agent *agent, struct fragments *of)
{
	struct fragment *fragment;

	while ((fragment = TAILQ_FIRST(&of->queue))) {
		TAILQ_REMOVE(&of->queue, fragment, link);
		free(fragment);
	}
	agent->fragment_count -= of->count;
	TAILQ_REMOVE(&agent->fragments, of, link);
	free(of);
}

/* To an owner that may have to be asked first: then they join what waits for it. */
static void deliver(struct agent *agent, uint32_t owner, uint32_t ifindex, bool own, uint8_t *frame,
		    size_t len)
{
	const struct shared *shared =
		owner < agent->maps.owner.count ? agent->table.place[owner].shared : NULL;
	union owner_word now;

	if (!shared) {
		agent->counter[COUNT_FRAGMENTS_DROPPED]++;
		return;
	}
	now = owner_load(table_word(&agent->table, owner));
	if (now.owner.wait & PORTARP_OWNER_NONE) {
		agent->counter[COUNT_FRAGMENTS_DROPPED]++;
		return;
	}
	agent->counter[COUNT_FRAGMENTS_SENT]++;
	if (now.owner.wait & PORTARP_OWNER_KNOWN)
		hold_send(agent, shared, now.owner.mac, own, frame, len);
	else
		hold_fragment(agent, owner, ifindex, own, frame, len);
}

void frag_hold(struct agent *agent, const struct portarp_event *event, const uint8_t *frame,
	       size_t len)
{
	struct portarp_frag known;
	struct fragment *fragment;
	struct fragments *of;

	agent->counter[COUNT_FRAGMENTS]++;
	fragment = malloc(sizeof(*fragment) + len);
	if (!fragment)
		return;
	memcpy(fragment->frame, frame, len);
	/* The first one may have come since. */
	if (!map_get(&agent->maps, MAP_FRAG, &event->frag, &known) && known.known) {
		deliver(agent, known.owner, event->ifindex, event->number, fragment->frame, len);
		free(fragment);
		return;
	}
	of = agent->fragment_count < FRAG_ALL ? find_or_make(agent, &event->frag) : NULL;
	if (!of || of->count == FRAG_EACH) {
		agent->counter[COUNT_FRAGMENTS_DROPPED]++;
		free(fragment);
		return;
	}
	fragment->ifindex = event->ifindex;
	fragment->own = event->number;
	fragment->len = len;
	TAILQ_INSERT_TAIL(&of->queue, fragment, link);
	of->count++;
	agent->fragment_count++;
}

void frag_known(struct agent *agent, const struct portarp_event *event)
{
	struct fragments *of = find(agent, &event->frag);
	struct fragment *fragment;

	if (!of)
		return;
	TAILQ_FOREACH(fragment, &of->queue, link)
	deliver(agent, event->owner, fragment->ifindex, fragment->own, fragment->frame,
		fragment->len);
	remove_all(agent, of);
}

/* The event that tells of a first fragment may be lost: the map is asked as well. */
static bool came(struct agent *agent, struct fragments *of)
{
	struct portarp_event event = { .frag = of->key };
	struct portarp_frag known;

	if (map_get(&agent->maps, MAP_FRAG, &of->key, &known) || !known.known)
		return false;
	event.owner = known.owner;
	frag_known(agent, &event);
	return true;
}

bool frag_tick(struct agent *agent)
{
	uint64_t now_ms = agent->clock_ms();
	struct fragments *of, *next;

	for (of = TAILQ_FIRST(&agent->fragments); of; of = next) {
		next = TAILQ_NEXT(of, link);
		if (came(agent, of) || now_ms - of->since_ms < FRAG_MS)
			continue;
		agent->counter[COUNT_FRAGMENTS_DROPPED] += of->count;
		remove_all(agent, of);
	}
	return !TAILQ_EMPTY(&agent->fragments);
}

void frag_free(struct agent *agent)
{
	while (!TAILQ_EMPTY(&agent->fragments))
		remove_all(agent, TAILQ_FIRST(&agent->fragments));
}
