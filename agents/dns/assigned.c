// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "assigned.h"

#define SETS 16384 /* a power of two */
#define WAYS 4

/* A set is a line of the cache. Times wrap after 49 days: an age is then too small. */
struct entry {
	uint64_t key;	/* 0 = empty */
	uint32_t value; /* of the host's or address's hash */
	uint32_t at_ms;
};

struct assigned {
	_Alignas(64) struct entry by_host[SETS][WAYS]; /* client and host: address */
	struct entry by_address[SETS][WAYS];	       /* client and address: host */
};

struct assigned *assigned_new(void)
{
	struct assigned *assigned = aligned_alloc(64, sizeof(*assigned));

	if (assigned)
		memset(assigned, 0, sizeof(*assigned));
	return assigned;
}

void assigned_free(struct assigned *assigned)
{
	free(assigned);
}

static uint64_t key_of(uint64_t client, uint64_t other)
{
	uint64_t key = (client ^ (other << 23 | other >> 41)) * 0x9e3779b97f4a7c15ull;

	key ^= key >> 29;
	return key ? key : 1;
}

static const struct entry *find(const struct entry (*table)[WAYS], uint64_t key)
{
	const struct entry *set = table[key & (SETS - 1)];

	for (int i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static void put(struct entry (*table)[WAYS], uint64_t key, uint64_t value, uint64_t now_ms)
{
	struct entry *set = table[key & (SETS - 1)], *place = set;

	for (int i = 0; i < WAYS; i++) {
		if (set[i].key == key) {
			place = &set[i];
			break;
		}
		if (place->key && (!set[i].key || (int32_t)(set[i].at_ms - place->at_ms) < 0))
			place = &set[i];
	}
	*place = (struct entry){ key, (uint32_t)value, (uint32_t)now_ms };
}

void assigned_put(struct assigned *assigned, uint64_t client, uint64_t host, uint64_t address,
		  uint64_t now_ms)
{
	put(assigned->by_host, key_of(client, host), address, now_ms);
	put(assigned->by_address, key_of(client, address), host, now_ms);
}

bool assigned_address(const struct assigned *assigned, uint64_t client, uint64_t host,
		      uint32_t *address)
{
	const struct entry *entry = find(assigned->by_host, key_of(client, host));

	if (!entry)
		return false;
	*address = entry->value;
	return true;
}

uint64_t assigned_other(const struct assigned *assigned, uint64_t client, uint64_t host,
			uint64_t address, uint64_t now_ms)
{
	const struct entry *entry = find(assigned->by_address, key_of(client, address));

	if (!entry || entry->value == (uint32_t)host)
		return ASSIGNED_NOBODY;
	return (uint32_t)now_ms - entry->at_ms;
}
