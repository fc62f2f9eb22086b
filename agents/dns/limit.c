// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "limit.h"

#define BUCKETS 4096

struct bucket {
	uint32_t tag;
	int32_t tokens; /* thousandths */
	uint64_t at_ms;
};

struct limits {
	struct limit_rates rates;
	struct bucket thing[BUCKETS], network[BUCKETS];
};

struct limits *limits_new(const struct limit_rates *rates)
{
	struct limits *limits = calloc(1, sizeof(*limits));

	if (limits)
		limits->rates = *rates;
	return limits;
}

void limits_free(struct limits *limits)
{
	free(limits);
}

/* Of two whose buckets are the same one each begins with a full one: it errs on the open side. */
static struct bucket *fill(struct bucket buckets[BUCKETS], uint64_t key, unsigned int rate,
			   unsigned int burst, uint64_t now)
{
	struct bucket *bucket = &buckets[key % BUCKETS];
	uint32_t tag = (uint32_t)(key >> 32);
	uint64_t missing;

	if (bucket->tag != tag || !bucket->at_ms)
		*bucket = (struct bucket){ .tag = tag,
					   .tokens = (int32_t)burst * 1000,
					   .at_ms = now };
	missing = (uint64_t)((int32_t)burst * 1000 - bucket->tokens);
	if ((now - bucket->at_ms) * rate >= missing)
		bucket->tokens = (int32_t)burst * 1000;
	else
		bucket->tokens += (int32_t)((now - bucket->at_ms) * rate);
	bucket->at_ms = now;
	return bucket;
}

static bool take(struct bucket *bucket, unsigned int debt)
{
	bool has = bucket->tokens >= 1000;

	if (has || bucket->tokens > -(int32_t)debt * 1000)
		bucket->tokens -= has || debt ? 1000 : 0;
	return has;
}

/* An IPv4 /24 or an IPv6 /56, as for --rate; for one thing. */
static uint64_t network_key(uint64_t thing, const struct isthmus_addr *client)
{
	unsigned int len = address_is_v4(client) ? 15 : 7;
	uint64_t hash = thing ^ 14695981039346656037ull; /* FNV-1a */

	for (unsigned int i = 0; i < len; i++)
		hash = (hash ^ client->b[i]) * 1099511628211ull;
	return hash ^ hash >> 29; /* its low bits alone know little of the last bytes */
}

enum limit_verdict limits_take(struct limits *limits, uint64_t thing,
			       const struct isthmus_addr *client, bool proven, uint64_t now_ms)
{
	const struct limit_rates *rates = &limits->rates;

	if (take(fill(limits->thing, thing, rates->thing, rates->thing_burst, now_ms), 0))
		return LIMIT_GO;
	if (!proven)
		return LIMIT_PROVE;
	return take(fill(limits->network, network_key(thing, client), rates->network,
			 rates->network_burst, now_ms),
		    rates->debt)
		       ? LIMIT_GO
		       : LIMIT_REFUSE;
}
