// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "rrl.h"

#define SETS	 1024
#define WAYS	 8
#define BURST_MS 2000 /* so much of the rate may come at once */

/*
 * A network's bucket, as the time at which it will be full again: 1000 / rate ms later for each
 * answer, and never more than BURST_MS ahead of now. A bucket that is full needs no memory.
 */
struct bucket {
	uint64_t network;
	uint64_t full_us;
};

struct rrl {
	uint64_t seed; /* so that nobody can choose networks of one set */
	unsigned int rate, slip, limited;
	struct bucket bucket[SETS][WAYS];
};

struct rrl *rrl_new(void)
{
	struct rrl *rrl = calloc(1, sizeof(*rrl));

	if (rrl && !auth_random(&rrl->seed, sizeof(rrl->seed)))
		return rrl;
	free(rrl);
	return NULL;
}

void rrl_free(struct rrl *rrl)
{
	free(rrl);
}

void rrl_set(struct rrl *rrl, unsigned int rate, unsigned int slip)
{
	rrl->rate = rate;
	rrl->slip = slip;
}

/* Neighbours share a bucket: a flood may vary the addresses of its victim's network. */
static uint64_t network_of(const struct sockaddr *client)
{
	struct isthmus_addr address = { 0 };
	uint64_t network = 0;
	uint16_t port;

	address_from_sockaddr(client, &address, &port);
	if (address_is_v4(&address))
		memcpy((uint8_t *)&network + 4, address.b + 12, 3);
	else
		memcpy(&network, address.b, 7);
	return network;
}

/* A full set forgets the bucket that has recovered most: its network gains least by that. */
static struct bucket *find_bucket(struct rrl *rrl, uint64_t network)
{
	uint64_t hash = (network ^ rrl->seed) * 0x9e3779b97f4a7c15ULL;
	struct bucket *set, *victim;

	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ULL;
	set = victim = rrl->bucket[(hash >> 32) % SETS];
	for (unsigned int i = 0; i < WAYS; i++) {
		if (set[i].network == network && set[i].full_us)
			return &set[i];
		if (set[i].full_us < victim->full_us)
			victim = &set[i];
	}
	*victim = (struct bucket){ .network = network };
	return victim;
}

enum rrl_verdict rrl_check(struct rrl *rrl, const struct sockaddr *client, uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000;
	struct bucket *bucket;

	if (!rrl->rate)
		return RRL_PASS;
	bucket = find_bucket(rrl, network_of(client));
	if (bucket->full_us < now_us)
		bucket->full_us = now_us;
	if (bucket->full_us + 1000000 / rrl->rate <= now_us + BURST_MS * 1000) {
		bucket->full_us += 1000000 / rrl->rate;
		return RRL_PASS;
	}
	rrl->limited++;
	return rrl->slip && rrl->limited % rrl->slip == 0 ? RRL_SLIP : RRL_DROP;
}
