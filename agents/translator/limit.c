// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "limit.h"

struct bucket {
	uint64_t full_ns; /* when it is full again: a whole bucket in one number */
};

struct limit {
	uint64_t seed[2], cost_ns, burst_ns;
	unsigned int slots;
	struct bucket bucket[];
};

struct limit *limit_new(unsigned int slots, unsigned int rate, unsigned int burst)
{
	struct limit *limit = calloc(1, sizeof(*limit) + slots * sizeof(limit->bucket[0]));

	if (!limit || auth_random(limit->seed, sizeof(limit->seed))) {
		free(limit);
		return NULL;
	}
	limit->slots = slots;
	limit->cost_ns = 1000000000ULL / rate;
	limit->burst_ns = limit->cost_ns * burst;
	return limit;
}

void limit_free(struct limit *limit)
{
	free(limit);
}

static struct bucket *find_bucket(struct limit *limit, const struct isthmus_addr *source)
{
	uint64_t high, low, hash;

	memcpy(&high, source->b, 8);
	memcpy(&low, source->b + 8, 8);
	if (!address_is_v4(source))
		low = 0;
	hash = (high ^ limit->seed[0]) * 0x9e3779b97f4a7c15ULL;
	hash = (hash ^ (hash >> 32) ^ low ^ limit->seed[1]) * 0xd6e8feb86659fd93ULL;
	return &limit->bucket[(hash >> 32) & (limit->slots - 1)];
}

bool limit_take(struct limit *limit, const struct isthmus_addr *source, uint64_t now_ns)
{
	struct bucket *bucket = find_bucket(limit, source);
	uint64_t full = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;

	if (full + limit->cost_ns > now_ns + limit->burst_ns)
		return false;
	bucket->full_ns = full + limit->cost_ns;
	return true;
}
