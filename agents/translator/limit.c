// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "limit.h"
#include "mix.h"

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
	hash = mix64(mix64(high ^ limit->seed[0]) ^ low ^ limit->seed[1]);
	return &limit->bucket[hash & (limit->slots - 1)];
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
