// SPDX-License-Identifier: GPL-3.0-or-later
/* Which set or address a client gets: RFC 7618, 8 in its order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define SCAN_FAR 4096 /* units looked at when a free one is known already */

struct choice {
	struct pool *pool;
	uint32_t unit;
};

static bool reserved(const struct pool *pool, uint32_t unit)
{
	return pool->reserved[unit / 8] & 1 << unit % 8;
}

/* Is the unit the one that a [host] section gives to this client? */
static bool reserved_for(const struct request *r, const struct pool *pool, uint32_t unit)
{
	const struct pool_host *host = r->host;

	return host && host->address && host->address == pool_unit_address(pool, unit) &&
	       (pool->full || (host->has_psid && host->psid == pool_unit_set(pool, unit).psid));
}

/* Could this client have this unit, if it is free? */
static bool suits(const struct request *r, const struct pool *pool, uint32_t unit)
{
	if (!pool_serves(pool, r->link) || (!pool->full && !r->shared))
		return false;
	if (reserved(pool, unit))
		return reserved_for(r, pool, unit);
	return pool_unit_allowed(pool, unit);
}

static bool try_unit(const struct server *s, const struct request *r, struct pool *pool,
		     uint32_t unit, int64_t now, struct choice *choice)
{
	if (unit == POOL_NO_UNIT || !suits(r, pool, unit) ||
	    !leases_unit_free(&s->leases, pool, unit, &r->client, now))
		return false;
	*choice = (struct choice){ pool, unit };
	return true;
}

static bool try_lease(const struct server *s, const struct request *r, const struct lease *lease,
		      int64_t now, struct choice *choice)
{
	return lease && try_unit(s, r, lease->pool, lease->unit, now, choice);
}

static bool try_reserved(const struct server *s, const struct request *r, int64_t now,
			 struct choice *choice)
{
	struct pool *pool;
	struct portset set;

	if (!r->host || !r->host->address)
		return false;
	pool = pools_find(&s->pools, r->host->address);
	if (!pool || (!pool->full && !r->host->has_psid))
		return false;
	set = (struct portset){ pool->a, pool->k, r->host->psid };
	return try_unit(s, r, pool, pool_unit(pool, r->host->address, pool->full ? NULL : &set),
			now, choice);
}

/* "Same again": an address with the whole of option 159, or a full address. */
static bool try_requested(const struct server *s, const struct request *r, int64_t now,
			  struct choice *choice)
{
	struct pool *pool = r->address ? pools_find(&s->pools, r->address) : NULL;

	if (!pool || (!pool->full && !r->has_set))
		return false;
	return try_unit(s, r, pool, pool_unit(pool, r->address, pool->full ? NULL : &r->set), now,
			choice);
}

/* ---- a new one */

/* Notes the oldest offer, which is of least worth. */
static void note_offered(const struct lease *lease, struct choice *offered)
{
	if (lease->state == LEASE_OFFERED &&
	    (!offered->pool || lease->expires < offered->pool->lease[offered->unit]->expires))
		*offered = (struct choice){ lease->pool, lease->unit };
}

/*
 * The first of `count` units from `first` that nobody has had; else, or after SCAN_FAR of them, the
 * first free one, so that who comes back finds what it had.
 */
static bool scan(const struct server *s, const struct request *r, struct pool *pool, uint32_t first,
		 uint32_t count, int64_t now, struct choice *choice, struct choice *offered)
{
	uint32_t start = pool->next >= first && pool->next < first + count ? pool->next : first;
	struct choice free = { 0 };

	for (uint32_t i = 0; i < count && (i < SCAN_FAR || !free.pool); i++) {
		uint32_t unit = first + (start - first + i) % count;
		const struct lease *lease = pool->lease[unit];

		if (reserved(pool, unit) || !pool_unit_allowed(pool, unit))
			continue;
		if (!lease ||
		    (!free.pool && leases_unit_free(&s->leases, pool, unit, &r->client, now)))
			free = (struct choice){ pool, unit };
		if (!lease)
			break;
		note_offered(lease, offered);
	}
	if (!free.pool)
		return false;
	*choice = free;
	pool->next = free.unit + 1;
	return true;
}

/* The units of one address. */
static bool scan_address(const struct server *s, const struct request *r, struct pool *pool,
			 uint32_t address, int64_t now, struct choice *choice,
			 struct choice *offered)
{
	if (!pool_serves(pool, r->link) || pool->full || !r->shared)
		return false;
	return scan(s, r, pool, (address - pool->low) << pool->k, 1u << pool->k, now, choice,
		    offered);
}

/* A further set is best one of an address that the host has already (RFC 7597: same a and k). */
static bool scan_near(const struct server *s, const struct request *r, int64_t now,
		      struct choice *choice, struct choice *offered)
{
	struct pool *pool = NULL;
	uint32_t wanted = r->address ? r->address : r->host ? r->host->address : 0;

	if (wanted)
		pool = pools_find(&s->pools, wanted);
	if (pool && scan_address(s, r, pool, wanted, now, choice, offered))
		return true;
	for (struct lease *l = leases_of_mac(&s->leases, r->client.mac); l; l = l->next_mac)
		if (!memcmp(l->client.mac, r->client.mac, DHCP_MAC) && lease_active(l, now) &&
		    scan_address(s, r, l->pool, l->address, now, choice, offered))
			return true;
	return false;
}

/* How well a pool suits: less is better. Kind first, then size: as asked, larger, smaller. */
static unsigned int score(const struct server *s, const struct request *r, const struct pool *pool)
{
	bool prefer_full = !strcmp(s->settings.prefer, "full");
	unsigned int kind = pool->full == prefer_full ? 0 : 1000;

	if (pool->full || !r->has_set || !r->set.k)
		return kind;
	return kind + (pool->k <= r->set.k ? 0u + r->set.k - pool->k : 100u + pool->k - r->set.k);
}

struct ranked {
	unsigned int score, place;
	struct pool *pool;
};

static int by_score(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static unsigned int rank(const struct server *s, const struct request *r, struct ranked *ranked,
			 bool *any_shared)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < s->pools.count; i++) {
		struct pool *pool = &s->pools.pool[i];

		if (!pool_serves(pool, r->link))
			continue;
		*any_shared |= !pool->full;
		if (pool->full || r->shared)
			ranked[count++] = (struct ranked){ score(s, r, pool), i, pool };
	}
	qsort(ranked, count, sizeof(*ranked), by_score);
	return count;
}

static bool find_new(const struct server *s, const struct request *r, int64_t now,
		     struct choice *choice, enum server_refusal *why)
{
	struct ranked ranked[POOL_MAX];
	struct choice offered = { 0 };
	bool any_shared = false;
	unsigned int count = rank(s, r, ranked, &any_shared);

	if (scan_near(s, r, now, choice, &offered))
		return true;
	for (unsigned int i = 0; i < count; i++)
		if (scan(s, r, ranked[i].pool, 0, ranked[i].pool->units, now, choice, &offered))
			return true;
	*why = any_shared && !r->shared ? SERVER_NOT_ASKED
	       : count			? SERVER_EXHAUSTED
					: SERVER_NO_POOL;
	/* Offers are no promise: who only asks cannot keep the pool from those who take. */
	if (offered.pool)
		*choice = offered;
	return offered.pool;
}

static bool within_limits(const struct server *s, const struct request *r, int64_t now,
			  enum server_refusal *why)
{
	const struct server_settings *set = &s->settings;

	if (set->limit_mac && leases_count_mac(&s->leases, &r->client, now) >= set->limit_mac)
		*why = SERVER_LIMIT_MAC;
	else if (set->limit_site &&
		 leases_count_site(&s->leases, &r->site, &r->client, now) >= set->limit_site)
		*why = SERVER_LIMIT_SITE;
	else if (r->shared && !policy_may_grow(s, &r->client, now))
		*why = SERVER_NOT_NEEDED;
	else
		return true;
	return false;
}

int allot(struct server *s, const struct request *r, int64_t now, struct pool **pool,
	  uint32_t *unit, enum server_refusal *why)
{
	struct lease *current = leases_current(&s->leases, &r->client, now);
	struct choice choice;

	if (!try_lease(s, r, current, now, &choice)) {
		if (!within_limits(s, r, now, why))
			return -1;
		if (!try_reserved(s, r, now, &choice) &&
		    !try_lease(s, r, leases_previous(&s->leases, &r->client, now), now, &choice) &&
		    !try_requested(s, r, now, &choice) && !find_new(s, r, now, &choice, why))
			return -1;
	}
	*pool = choice.pool;
	*unit = choice.unit;
	return 0;
}
