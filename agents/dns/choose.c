// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The order of waypoint addresses for a question. Who asks again is told the same address, at which
 * it is bound; for another host it is told another one, while there are any (assigned.h). Waypoints
 * near the client come first; those that are full, or have no tunnel to the host's gateway, not at
 * all.
 */
#include <arpa/inet.h>
#include <string.h>

#include "assigned.h"
#include "bind.h"

#define LOOKED_AT 64 /* addresses of one waypoint, for one question */

static uint64_t mix(uint64_t hash)
{
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdull; /* the finalizer of MurmurHash3: every bit matters */
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53ull;
	return hash ^ hash >> 33;
}

static uint64_t hash_who(const struct wanted *wanted)
{
	uint64_t high, low;

	memcpy(&high, wanted->client.b, 8);
	memcpy(&low, wanted->client.b + 8, 8);
	return mix(mix(high) ^ low);
}

static uint64_t hash_client(const struct wanted *wanted)
{
	return mix(hash_who(wanted) ^ wanted->name_hash);
}

/* ---- waits that were accepted */

enum fit { FIT_FREE, FIT_BUSY };

/* Would the address accept it? One that waits for the same responder already lets others in. */
static enum fit fits(const struct waypoint_address *address, const struct wanted *wanted,
		     uint32_t gateway, uint32_t host, uint64_t *free_ms)
{
	unsigned int running = 0;
	bool shared = false;

	for (int i = 0; i < ADDRESS_WAITS; i++) {
		const struct busy *busy = &address->busy[i];

		if (busy->until_ms <= wanted->now_ms)
			continue;
		if (!*free_ms || busy->until_ms < *free_ms)
			*free_ms = busy->until_ms;
		running++;
		if ((busy->prefix ^ wanted->prefix) & busy->mask & wanted->mask)
			continue;
		if (busy->gateway != gateway || busy->host != host)
			return FIT_BUSY;
		shared |= !(busy->mask & ~wanted->mask);
	}
	return running < ADDRESS_WAITS || wanted->known || shared ? FIT_FREE : FIT_BUSY;
}

void choose_note(struct waypoint_address *address, const struct busy *busy, uint64_t now_ms)
{
	for (int i = 0; i < ADDRESS_WAITS; i++) {
		struct busy *place = &address->busy[i];

		if (place->until_ms > now_ms && place->gateway == busy->gateway &&
		    place->host == busy->host && place->prefix == busy->prefix &&
		    place->mask == busy->mask) {
			if (place->until_ms < busy->until_ms)
				place->until_ms = busy->until_ms;
			return;
		}
	}
	for (int i = 0; i < ADDRESS_WAITS; i++)
		if (address->busy[i].until_ms <= now_ms) {
			address->busy[i] = *busy;
			return;
		}
}

/* ---- candidates */

/* Addresses by how long they have been another host's, the longest first. */
struct oldest {
	unsigned int count;
	unsigned int place[CANDIDATES];
	uint64_t age[CANDIDATES];
};

static void oldest_add(struct oldest *oldest, unsigned int place, uint64_t age)
{
	unsigned int i = oldest->count;

	if (i == CANDIDATES && age <= oldest->age[i - 1])
		return;
	if (i < CANDIDATES)
		oldest->count++;
	else
		i--;
	for (; i && oldest->age[i - 1] < age; i--) {
		oldest->age[i] = oldest->age[i - 1];
		oldest->place[i] = oldest->place[i - 1];
	}
	oldest->age[i] = age;
	oldest->place[i] = place;
}

static void add(struct chosen *chosen, struct waypoint *waypoint, unsigned int address,
		uint32_t gateway, uint32_t host)
{
	if (chosen->count < CANDIDATES)
		chosen->candidate[chosen->count++] =
			(struct candidate){ waypoint, address, gateway, host };
}

/* One host, for which addresses of one waypoint are looked for. */
struct looking {
	const struct members *members;
	const struct wanted *wanted;
	struct waypoint *waypoint;
	const struct gateway *gateway;
	uint32_t host;
	uint64_t client, responder; /* as assigned.h wants them */
	struct chosen *chosen;
};

static uint64_t address_key(const struct waypoint *waypoint, unsigned int place)
{
	return mix(waypoint->hash ^ waypoint->address[place].address);
}

void choose_assigned(const struct members *members, const struct wanted *wanted,
		     const struct candidate *candidate)
{
	assigned_put(members->assigned, hash_who(wanted),
		     mix((uint64_t)candidate->gateway << 32 | candidate->host),
		     address_key(candidate->waypoint, candidate->address), wanted->now_ms);
}

static bool is_candidate(const struct looking *l, unsigned int place)
{
	for (unsigned int i = 0; i < l->chosen->count; i++) {
		const struct candidate *one = &l->chosen->candidate[i];

		if (one->waypoint == l->waypoint && one->address == place &&
		    one->gateway == l->gateway->id && one->host == l->host)
			return true;
	}
	return false;
}

/* Added if it would accept it; else when it might is noted. */
static bool try(const struct looking *l, unsigned int place)
{
	struct waypoint_address *address = &l->waypoint->address[place];
	uint64_t free_ms = 0;

	if (gateway_is_behind(l->gateway, address->address) || is_candidate(l, place))
		return false;
	if (fits(address, l->wanted, l->gateway->id, l->host, &free_ms) == FIT_FREE) {
		add(l->chosen, l->waypoint, place, l->gateway->id, l->host);
		return true;
	}
	if (!l->chosen->retry_ms || free_ms < l->chosen->retry_ms)
		l->chosen->retry_ms = free_ms;
	return false;
}

/* The address that it was told before; then any that it was told for no other host. */
static unsigned int add_own(const struct looking *l, uint64_t start, unsigned int most,
			    struct oldest *oldest)
{
	unsigned int count = l->waypoint->address_count, added = 0;
	uint32_t told = 0;
	bool has = assigned_address(l->members->assigned, l->client, l->responder, &told);

	for (unsigned int i = 0; has && i < count && i < LOOKED_AT; i++) {
		unsigned int place = (unsigned int)((start + i) % count);

		if ((uint32_t)address_key(l->waypoint, place) == told)
			added += try(l, place);
	}
	for (unsigned int i = 0; i < count && i < LOOKED_AT && added < most; i++) {
		unsigned int place = (unsigned int)((start + i) % count);
		uint64_t age = assigned_other(l->members->assigned, l->client, l->responder,
					      address_key(l->waypoint, place), l->wanted->now_ms);

		if (age == ASSIGNED_NOBODY)
			added += try(l, place);
		else
			oldest_add(oldest, place, age);
	}
	return added;
}

/* Up to `most` addresses of the waypoint; those that are another host's for the client come last.
 */
static void add_addresses(const struct looking *l, unsigned int most)
{
	struct oldest oldest = { .count = 0 };
	uint64_t start = mix(l->client ^ l->responder);
	unsigned int added;

	if (!l->waypoint->address_count)
		return;
	added = add_own(l, start, most, &oldest);
	for (unsigned int i = 0; i < oldest.count && added < most; i++)
		added += try(l, oldest.place[i]);
}

/*
 * Each waypoint has a weight for this client and name, by its own name and not by its place among
 * those that are logged in: after a restart the order is the same, and one that comes or goes moves
 * only those who are sent to it. The heaviest that is lighter than `below`, which becomes its
 * weight; NULL: there is none.
 */
static struct waypoint *next_waypoint(const struct members *members, const struct wanted *wanted,
				      uint32_t gateway, bool near, uint64_t *below)
{
	uint64_t client = hash_client(wanted), most = 0;
	struct waypoint *best = NULL;

	for (unsigned int i = 0; i < members->waypoint_count; i++) {
		struct waypoint *waypoint = members->waypoint[i];
		uint64_t weight = mix(client ^ waypoint->hash);

		if (weight >= *below || (best && weight <= most) || waypoint->full ||
		    !waypoint_is_up(waypoint, gateway) ||
		    prefix_any_has(waypoint->near, waypoint->near_count, &wanted->client) != near)
			continue;
		best = waypoint;
		most = weight;
	}
	*below = most;
	return best;
}

static void add_host(const struct members *members, const struct wanted *wanted,
		     const struct gateway *gateway, uint32_t host, struct chosen *chosen)
{
	unsigned int most = members->waypoint_count > 1 ? CANDIDATES / 2 : CANDIDATES;
	struct looking looking = { .members = members,
				   .wanted = wanted,
				   .gateway = gateway,
				   .host = host,
				   .client = hash_who(wanted),
				   .responder = mix((uint64_t)gateway->id << 32 | host),
				   .chosen = chosen };

	for (int pass = 0; pass < 2; pass++) { /* those that are near, then the others */
		uint64_t below = UINT64_MAX;
		struct waypoint *waypoint;

		while (chosen->count < CANDIDATES &&
		       (waypoint = next_waypoint(members, wanted, gateway->id, !pass, &below))) {
			looking.waypoint = waypoint;
			if (!wanted->v6)
				add_addresses(&looking, most);
			else if (waypoint->prefix6.bits)
				add(chosen, waypoint, 0, gateway->id, host);
		}
	}
}

void choose(const struct members *members, const struct wanted *wanted, struct chosen *chosen)
{
	unsigned int hosts = wire_set_count(wanted->bound);
	unsigned int start = hosts ? (unsigned int)(hash_client(wanted) % hosts) : 0;

	memset(chosen, 0, sizeof(*chosen));
	for (unsigned int i = 0; i < hosts && chosen->count < CANDIDATES; i++) {
		const struct gateway *gateway;
		uint32_t id, host;
		uint16_t len;
		const uint8_t *data = wire_set_at(wanted->bound, (start + i) % hosts, &len);

		memcpy(&id, data, 4);
		memcpy(&host, data + 4, 4);
		gateway = ntohl(id) < GATEWAYS ? members->gateway[ntohl(id)] : NULL;
		if (gateway)
			add_host(members, wanted, gateway, ntohl(host), chosen);
	}
}
