// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "limit.h"

#define SETS 512
#define WAYS 8

struct slot {
	char key[LIMIT_KEY_LEN]; /* "" = free */
	struct bucket bucket;
};

struct limit_table {
	uint64_t seed; /* so that nobody can choose keys of one set */
	struct slot slot[SETS][WAYS];
};

uint64_t limit_now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static double level(const struct bucket *bucket, double rate, double burst, uint64_t now_ms)
{
	double tokens;

	if (!bucket->filled_ms)
		return burst;
	tokens = bucket->tokens + rate * (double)(now_ms - bucket->filled_ms) / 1000;
	return tokens < burst ? tokens : burst;
}

bool bucket_take(struct bucket *bucket, double rate, double burst, uint64_t now_ms)
{
	double tokens = level(bucket, rate, burst, now_ms);
	bool taken = tokens >= 1;

	bucket->tokens = taken ? tokens - 1 : tokens;
	bucket->filled_ms = now_ms;
	return taken;
}

struct limit_table *limit_new(void)
{
	struct limit_table *table = calloc(1, sizeof(*table));

	if (table && auth_random(&table->seed, sizeof(table->seed))) {
		free(table);
		return NULL;
	}
	return table;
}

void limit_free(struct limit_table *table)
{
	free(table);
}

static unsigned int set_of(const struct limit_table *table, const char *key)
{
	uint64_t hash = table->seed;

	for (; *key; key++) {
		hash = (hash ^ (unsigned char)*key) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	return hash % SETS;
}

static struct slot *find_slot(struct limit_table *table, const char *key, double rate, double burst,
			      uint64_t now_ms)
{
	struct slot *set = table->slot[set_of(table, key)], *victim = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (!strcmp(set[i].key, key))
			return &set[i];
		if (level(&set[i].bucket, rate, burst, now_ms) >
		    level(&victim->bucket, rate, burst, now_ms))
			victim = &set[i];
	}
	memset(victim, 0, sizeof(*victim));
	snprintf(victim->key, sizeof(victim->key), "%s", key);
	return victim;
}

bool limit_take(struct limit_table *table, const char *key, double rate, double burst,
		uint64_t now_ms)
{
	struct slot *slot = find_slot(table, key, rate, burst, now_ms);

	return bucket_take(&slot->bucket, rate, burst, now_ms);
}

void limit_address_key(const struct sockaddr *address, char key[LIMIT_KEY_LEN])
{
	struct isthmus_addr ip = { 0 };
	uint16_t port;

	address_from_sockaddr(address, &ip, &port);
	if (!address_is_v4(&ip))
		memset(ip.b + 8, 0, 8);
	for (int i = 0; i < 16; i++)
		snprintf(key + 2 * i, 3, "%02x", ip.b[i]);
}
