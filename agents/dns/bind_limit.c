// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How many wait states are asked for (AVES 6.2). Each responder has a rate, so that one cannot fill
 * all addresses. Who spends it must not thereby be the one who decides that nobody reaches the
 * responder any more: above it, who has not shown that its address is its own is told to come by
 * TCP, and who has shown it has a rate of its network's own.
 */
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "bind.h"

#define BUCKETS		4096
#define RESPONDER_A_S	50
#define RESPONDER_BURST 100
#define NETWORK_A_S	5
#define NETWORK_BURST	10
#define SCARCE_MS	50 /* for so long what was found is not looked for again */

struct bucket {
	uint32_t tag;
	unsigned int tokens; /* thousandths */
	uint64_t at_ms;
};

struct bind_limits {
	struct bucket responder[BUCKETS], network[BUCKETS];
	bool scarce;
	uint64_t scarce_at_ms;
};

struct bind_limits *bind_limits_new(void)
{
	return calloc(1, sizeof(struct bind_limits));
}

void bind_limits_free(struct bind_limits *limits)
{
	free(limits);
}

/* Of two whose buckets are the same one each begins with a full one: it errs on the open side. */
static bool take(struct bucket buckets[BUCKETS], uint64_t key, unsigned int rate,
		 unsigned int burst, uint64_t now)
{
	struct bucket *bucket = &buckets[key % BUCKETS];
	uint32_t tag = (uint32_t)(key >> 32);
	uint64_t earned;

	if (bucket->tag != tag || !bucket->at_ms)
		*bucket = (struct bucket){ .tag = tag, .tokens = burst * 1000, .at_ms = now };
	earned = (now - bucket->at_ms) * rate + bucket->tokens;
	bucket->tokens = earned < burst * 1000 ? (unsigned int)earned : burst * 1000;
	bucket->at_ms = now;
	if (bucket->tokens < 1000)
		return false;
	bucket->tokens -= 1000;
	return true;
}

/* An IPv4 /24 or an IPv6 /56, as for --rate; for one responder. */
static uint64_t network_key(uint64_t responder, const struct isthmus_addr *client)
{
	unsigned int len = address_is_v4(client) ? 15 : 7;
	uint64_t hash = responder ^ 14695981039346656037ull; /* FNV-1a */

	for (unsigned int i = 0; i < len; i++)
		hash = (hash ^ client->b[i]) * 1099511628211ull;
	return hash ^ hash >> 29; /* its low bits alone know little of the last bytes */
}

/* At least half of the addresses wait for somebody. */
static bool count_scarce(const struct members *members, uint64_t now)
{
	unsigned int busy = 0, all = 0;

	for (unsigned int i = 0; i < members->waypoint_count; i++) {
		const struct waypoint *waypoint = members->waypoint[i];

		all += waypoint->address_count;
		for (unsigned int n = 0; n < waypoint->address_count; n++)
			for (int place = 0; place < ADDRESS_WAITS; place++)
				if (waypoint->address[n].busy[place].until_ms > now) {
					busy++;
					break;
				}
	}
	return all && busy * 2 >= all;
}

/* There may be 65,536 addresses: they are not counted for each question. */
static bool is_scarce(struct bind_limits *limits, const struct members *members, uint64_t now)
{
	if (now - limits->scarce_at_ms >= SCARCE_MS) {
		limits->scarce = count_scarce(members, now);
		limits->scarce_at_ms = now;
	}
	return limits->scarce;
}

enum bind_verdict bind_limits_check(struct bind_limits *limits, const struct members *members,
				    const struct wanted *wanted, bool proven)
{
	/* A wait state is for who can be answered: not for a forged address, when they are few. */
	if (!proven && is_scarce(limits, members, wanted->now_ms))
		return BIND_PROVE;
	if (take(limits->responder, wanted->name_hash, RESPONDER_A_S, RESPONDER_BURST,
		 wanted->now_ms))
		return BIND_GO;
	if (!proven)
		return BIND_PROVE_LIMITED;
	return take(limits->network, network_key(wanted->name_hash, &wanted->client), NETWORK_A_S,
		    NETWORK_BURST, wanted->now_ms)
		       ? BIND_GO
		       : BIND_LIMITED;
}
