// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lease.h"

/* ---- chains */

static uint32_t hash(const void *bytes, size_t len, uint32_t seed)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ b[i]) * 16777619u;
	return seed ^ seed >> 15;
}

static uint32_t client_bucket(const struct lease_client *client)
{
	return hash(client->id, client->id_len, hash(client->mac, DHCP_MAC, 2166136261u)) %
	       LEASE_BUCKETS;
}

static uint32_t mac_bucket(const uint8_t *mac)
{
	return hash(mac, DHCP_MAC, 2166136261u) % LEASE_BUCKETS;
}

static uint32_t site_bucket(const struct lease_site *site)
{
	return hash(site->circuit, site->circuit_len, hash(&site->relay, 4, 2166136261u)) %
	       LEASE_BUCKETS;
}

static void chain(struct leases *leases, struct lease *lease)
{
	struct lease **client = &leases->by_client[client_bucket(&lease->client)];
	struct lease **mac = &leases->by_mac[mac_bucket(lease->client.mac)];
	struct lease **site = &leases->by_site[site_bucket(&lease->site)];

	lease->next_client = *client;
	lease->next_mac = *mac;
	lease->next_site = *site;
	*client = *mac = *site = lease;
}

static void unchain(struct leases *leases, struct lease *lease)
{
	struct lease **at = &leases->by_client[client_bucket(&lease->client)];

	while (*at != lease)
		at = &(*at)->next_client;
	*at = lease->next_client;
	at = &leases->by_mac[mac_bucket(lease->client.mac)];
	while (*at != lease)
		at = &(*at)->next_mac;
	*at = lease->next_mac;
	at = &leases->by_site[site_bucket(&lease->site)];
	while (*at != lease)
		at = &(*at)->next_site;
	*at = lease->next_site;
}

/* ---- one lease */

bool lease_is_of(const struct lease *lease, const struct lease_client *client)
{
	return lease->client.id_len == client->id_len &&
	       !memcmp(lease->client.mac, client->mac, DHCP_MAC) &&
	       !memcmp(lease->client.id, client->id, client->id_len);
}

bool lease_active(const struct lease *lease, int64_t now)
{
	return (lease->state == LEASE_BOUND || lease->state == LEASE_OFFERED) &&
	       lease->expires > now;
}

/* Until when nobody else may have it. */
static int64_t kept_until(const struct leases *leases, const struct lease *lease)
{
	switch (lease->state) {
	case LEASE_BOUND:
		return lease->expires + leases->grace_s;
	case LEASE_OFFERED:
	case LEASE_DECLINED:
		return lease->expires;
	default:
		return 0;
	}
}

bool leases_unit_free(const struct leases *leases, const struct pool *pool, uint32_t unit,
		      const struct lease_client *client, int64_t now)
{
	const struct lease *lease = pool->lease[unit];

	if (!lease || kept_until(leases, lease) <= now)
		return true;
	return lease->state != LEASE_DECLINED && lease_is_of(lease, client);
}

struct lease *leases_get(const struct leases *leases, uint32_t address, const struct portset *set)
{
	const struct pool *pool = pools_find(leases->pools, address);
	uint32_t unit = pool ? pool_unit(pool, address, set) : POOL_NO_UNIT;

	return unit == POOL_NO_UNIT ? NULL : pool->lease[unit];
}

/* ---- of a client, a MAC, a site */

struct lease *leases_current(const struct leases *leases, const struct lease_client *client,
			     int64_t now)
{
	struct lease *found = NULL;

	for (struct lease *l = leases->by_client[client_bucket(client)]; l; l = l->next_client)
		if (lease_is_of(l, client) && lease_active(l, now) &&
		    (!found || l->state == LEASE_BOUND))
			found = l;
	return found;
}

struct lease *leases_previous(const struct leases *leases, const struct lease_client *client,
			      int64_t now)
{
	struct lease *found = NULL;

	for (struct lease *l = leases->by_client[client_bucket(client)]; l; l = l->next_client)
		if (lease_is_of(l, client) && l->state != LEASE_DECLINED && !lease_active(l, now) &&
		    (!found || l->expires > found->expires))
			found = l;
	return found;
}

struct lease *leases_other(const struct leases *leases, const struct lease *lease, int64_t now)
{
	for (struct lease *l = leases->by_client[client_bucket(&lease->client)]; l;
	     l = l->next_client)
		if (l != lease && lease_is_of(l, &lease->client) && l->state == LEASE_BOUND &&
		    lease_active(l, now))
			return l;
	return NULL;
}

/* A client has one lease at a time, so the one that ends last is it. */
struct lease *leases_at(const struct leases *leases, const struct lease_client *client,
			uint32_t address)
{
	struct lease *found = NULL;

	for (struct lease *l = leases->by_client[client_bucket(client)]; l; l = l->next_client)
		if (l->address == address && lease_is_of(l, client) &&
		    (!found || l->expires > found->expires))
			found = l;
	return found;
}

struct lease *leases_of_mac(const struct leases *leases, const uint8_t mac[DHCP_MAC])
{
	return leases->by_mac[mac_bucket(mac)];
}

unsigned int leases_count_mac(const struct leases *leases, const struct lease_client *but,
			      int64_t now)
{
	unsigned int count = 0;

	for (struct lease *l = leases_of_mac(leases, but->mac); l; l = l->next_mac)
		count += !memcmp(l->client.mac, but->mac, DHCP_MAC) && lease_active(l, now) &&
			 !lease_is_of(l, but);
	return count;
}

unsigned int leases_count_site(const struct leases *leases, const struct lease_site *site,
			       const struct lease_client *but, int64_t now)
{
	unsigned int count = 0;

	for (struct lease *l = leases->by_site[site_bucket(site)]; l; l = l->next_site)
		count += l->site.relay == site->relay && l->site.circuit_len == site->circuit_len &&
			 !memcmp(l->site.circuit, site->circuit, site->circuit_len) &&
			 lease_active(l, now) && !lease_is_of(l, but);
	return count;
}

/* ---- changes */

/* A lease object for the unit, of nobody yet; that of its last client is used again. */
static struct lease *take_object(struct leases *leases, struct pool *pool, uint32_t unit)
{
	struct lease *lease = pool->lease[unit];

	if (lease) {
		unchain(leases, lease);
		return lease;
	}
	if (leases->count == leases->room) {
		uint32_t room = leases->room ? 2 * leases->room : 256;
		struct lease **grown = realloc(leases->all, room * sizeof(struct lease *));

		if (!grown)
			return NULL;
		leases->all = grown;
		leases->room = room;
	}
	lease = calloc(1, sizeof(*lease));
	if (!lease)
		return NULL;
	lease->pool = pool;
	lease->unit = unit;
	lease->address = pool_unit_address(pool, unit);
	if (!pool->full)
		lease->set = pool_unit_set(pool, unit);
	lease->index = leases->count;
	leases->all[leases->count++] = lease;
	pool->lease[unit] = lease;
	return lease;
}

/* Gone without a trace in memory: an offer that led to nothing, or another client's history. */
static void forget(struct leases *leases, struct lease *lease)
{
	struct lease *last = leases->all[--leases->count];

	unchain(leases, lease);
	leases->all[lease->index] = last;
	last->index = lease->index;
	lease->pool->lease[lease->unit] = NULL;
	free(lease);
}

static void make_row(const struct lease *lease, struct lease_row *row)
{
	memset(row, 0, sizeof(*row));
	row->address = lease->address;
	row->set = lease->set;
	row->full = lease->pool->full;
	row->state = lease->state;
	row->client = lease->client;
	row->site = lease->site;
	row->started = lease->started;
	row->expires = lease->expires;
	row->told = lease->told;
}

/* The disk first: on failure memory is as before. */
static int change(struct leases *leases, struct lease *lease, const struct lease *next)
{
	struct lease_row row;
	int err;

	make_row(next, &row);
	err = lease_db_write(leases->db, &row);
	if (!err)
		*lease = *next;
	return err;
}

int leases_offer(struct leases *leases, struct pool *pool, uint32_t unit,
		 const struct lease_client *client, const struct lease_site *site, int64_t until,
		 struct lease **result)
{
	struct lease *lease = pool->lease[unit];

	/* An active lease that is offered again stays bound: the client may not take the offer. */
	if (!lease || lease->state != LEASE_BOUND || !lease_is_of(lease, client)) {
		lease = take_object(leases, pool, unit);
		if (!lease)
			return -ENOMEM;
		lease->client = *client;
		lease->site = *site;
		lease->state = LEASE_OFFERED;
		lease->expires = until;
		lease->used_known = false;
		lease->told = false;
		chain(leases, lease);
	}
	*result = lease;
	return 0;
}

int leases_bind(struct leases *leases, struct lease *lease, int64_t now, uint32_t seconds)
{
	struct lease next = *lease;

	if (!lease_active(lease, now) || lease->state != LEASE_BOUND)
		next.started = now;
	next.state = LEASE_BOUND;
	next.expires = now + seconds;
	next.told = false;
	return change(leases, lease, &next);
}

int leases_end(struct leases *leases, struct lease *lease, enum lease_state state, int64_t now,
	       int64_t until)
{
	struct lease next = *lease;

	if (lease->state == LEASE_OFFERED && state != LEASE_DECLINED) {
		forget(leases, lease);
		return 0;
	}
	next.state = state;
	next.expires = until ? until : now < lease->expires ? now : lease->expires;
	next.told = false;
	next.used_known = false;
	return change(leases, lease, &next);
}

int leases_told(struct leases *leases, struct lease *lease)
{
	struct lease next = *lease;

	if (lease->told || lease->state == LEASE_OFFERED)
		return 0;
	next.told = true;
	return change(leases, lease, &next);
}

void leases_sweep(struct leases *leases, int64_t now, uint32_t most,
		  void (*ended)(struct lease *lease, void *arg), void *arg)
{
	for (uint32_t i = 0; i < most && leases->count && i < leases->count; i++) {
		struct lease *lease;

		if (leases->sweep >= leases->count)
			leases->sweep = 0;
		lease = leases->all[leases->sweep++];
		if ((lease->state != LEASE_BOUND && lease->state != LEASE_OFFERED) ||
		    kept_until(leases, lease) > now)
			continue;
		if (lease->state == LEASE_OFFERED)
			forget(leases, lease);
		else if (!leases_end(leases, lease, LEASE_EXPIRED, now, 0))
			ended(lease, arg);
	}
}

/* ---- the whole */

struct loading {
	struct leases *leases;
	unsigned int dropped;
	int err;
};

static void load_row(const struct lease_row *row, void *arg)
{
	struct loading *loading = arg;
	struct leases *leases = loading->leases;
	struct pool *pool = pools_find(leases->pools, row->address);
	uint32_t unit = POOL_NO_UNIT;
	struct lease *lease;

	if (pool)
		unit = pool_unit(pool, row->address, row->full ? NULL : &row->set);
	if (unit == POOL_NO_UNIT || pool->lease[unit]) {
		loading->dropped++;
		return;
	}
	lease = take_object(leases, pool, unit);
	if (!lease) {
		loading->err = -ENOMEM;
		return;
	}
	lease->client = row->client;
	lease->site = row->site;
	lease->state = row->state;
	lease->started = row->started;
	lease->expires = row->expires;
	lease->told = row->told;
	chain(leases, lease);
}

static void empty(struct leases *leases)
{
	while (leases->count)
		forget(leases, leases->all[leases->count - 1]);
	free(leases->all);
	leases->all = NULL;
	leases->room = leases->sweep = 0;
}

int leases_reload(struct leases *leases, struct pools *pools, unsigned int *dropped)
{
	struct loading loading = { .leases = leases };
	int err;

	if (leases->pools)
		empty(leases);
	leases->pools = pools;
	err = lease_db_each(leases->db, load_row, &loading);
	*dropped = loading.dropped;
	return err ? err : loading.err;
}

int leases_open(struct leases *leases, const char *path, struct pools *pools, uint32_t grace_s,
		unsigned int *dropped, char *error, size_t error_len)
{
	int err;

	memset(leases, 0, sizeof(*leases));
	leases->grace_s = grace_s;
	err = lease_db_open(path, &leases->db, error, error_len);
	if (!err)
		err = leases_reload(leases, pools, dropped);
	if (err && leases->db) {
		strncpy(error, "the leases cannot be read", error_len);
		leases_close(leases);
	}
	return err;
}

void leases_close(struct leases *leases)
{
	if (leases->pools)
		empty(leases);
	lease_db_close(leases->db);
	leases->db = NULL;
	leases->pools = NULL;
}
