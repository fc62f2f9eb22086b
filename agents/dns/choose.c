// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The order of waypoint addresses for a question. It begins at a place that follows from who asks
 * and for what, so that who asks again is sent to the same address, at which it is bound, while
 * different responders of one initiator are spread over different addresses. Waypoints near the
 * client come first; those that are full, or have no tunnel to the host's gateway, not at all.
 */
#include <arpa/inet.h>
#include <string.h>

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

static uint64_t hash_client(const struct wanted *wanted)
{
	uint64_t high, low;

	memcpy(&high, wanted->client.b, 8);
	memcpy(&low, wanted->client.b + 8, 8);
	return mix(mix(high ^ wanted->name_hash) ^ low);
}

/* ---- waits that were accepted */

enum fit { FIT_FREE, FIT_BUSY };

/*
 * Would the address accept it? A wait of the same responder lets others in while at least half of
 * it is left, as the waypoint does.
 */
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
		if (!wanted->known && (busy->mask & ~wanted->mask ||
				       busy->until_ms - wanted->now_ms < busy->length_ms / 2))
			return FIT_BUSY;
		shared = true;
	}
	return running < ADDRESS_WAITS || wanted->known || shared ? FIT_FREE : FIT_BUSY;
}

void choose_note(struct waypoint_address *address, const struct busy *busy, uint64_t now_ms)
{
	for (int i = 0; i < ADDRESS_WAITS; i++) {
		struct busy *place = &address->busy[i];

		if (place->until_ms > now_ms && place->gateway == busy->gateway &&
		    place->host == busy->host && place->prefix == busy->prefix &&
		    place->mask == busy->mask)
			return; /* the wait that runs; its end does not move */
	}
	for (int i = 0; i < ADDRESS_WAITS; i++)
		if (address->busy[i].until_ms <= now_ms) {
			address->busy[i] = *busy;
			return;
		}
}

/* ---- candidates */

static void add(struct chosen *chosen, struct waypoint *waypoint, unsigned int address,
		uint32_t gateway, uint32_t host)
{
	if (chosen->count < CANDIDATES)
		chosen->candidate[chosen->count++] =
			(struct candidate){ waypoint, address, gateway, host };
}

/* Up to `most` addresses of one waypoint for one host. */
static void add_addresses(const struct wanted *wanted, struct waypoint *waypoint,
			  const struct gateway *gateway, uint32_t host, unsigned int most,
			  struct chosen *chosen)
{
	uint64_t hash = mix(hash_client(wanted) ^ ((uint64_t)gateway->id << 32 | host));
	unsigned int count = waypoint->address_count, added = 0;

	for (unsigned int i = 0; i < count && i < LOOKED_AT && added < most; i++) {
		unsigned int place = (unsigned int)((hash + i) % count);
		struct waypoint_address *address = &waypoint->address[place];
		uint64_t free_ms = 0;

		if (gateway_is_behind(gateway, address->address))
			continue;
		if (fits(address, wanted, gateway->id, host, &free_ms) == FIT_FREE) {
			add(chosen, waypoint, place, gateway->id, host);
			added++;
		} else if (!chosen->retry_ms || free_ms < chosen->retry_ms) {
			chosen->retry_ms = free_ms;
		}
	}
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

	for (int pass = 0; pass < 2; pass++) { /* those that are near, then the others */
		uint64_t below = UINT64_MAX;
		struct waypoint *waypoint;

		while (chosen->count < CANDIDATES &&
		       (waypoint = next_waypoint(members, wanted, gateway->id, !pass, &below))) {
			chosen->tunnel = true;
			if (!wanted->v6)
				add_addresses(wanted, waypoint, gateway, host, most, chosen);
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
