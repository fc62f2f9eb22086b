// SPDX-License-Identifier: GPL-3.0-or-later
/* Addresses that were given out and that nobody has used yet: limits count them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "../lib/address.h"
#include "onetime.h"

#define BUCKETS 65536

struct given;

struct client {
	LIST_ENTRY(client) next;
	struct prefix prefix;
	uint32_t pending;
	TAILQ_HEAD(, given) given; /* oldest first */
};

struct given {
	LIST_ENTRY(given) next;
	TAILQ_ENTRY(given) of_client;
	struct isthmus_addr address;
	uint32_t listener;
	struct client *client; /* NULL = nobody's */
};

LIST_HEAD(given_list, given);
LIST_HEAD(client_list, client);

struct given_table {
	uint64_t seed; /* prefixes are others' choice */
	uint32_t count;
	struct given_list given[BUCKETS];
	struct client_list client[BUCKETS];
};

int given_open(struct onetime *o)
{
	o->given = calloc(1, sizeof(*o->given));
	if (!o->given)
		return -ENOMEM;
	return getrandom(&o->given->seed, sizeof(o->given->seed), 0) > 0 ? 0 : -EIO;
}

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

static uint32_t bucket(const struct given_table *table, const struct isthmus_addr *address,
		       uint8_t bits)
{
	uint64_t half[2];

	memcpy(half, address->b, sizeof(half));
	return (uint32_t)mix(mix(half[0] ^ table->seed) + half[1] + bits) % BUCKETS;
}

/* ---- clients */

static struct client *find_client(const struct given_table *table, const struct prefix *prefix)
{
	struct client *client;

	LIST_FOREACH(client, &table->client[bucket(table, &prefix->address, prefix->bits)], next)
	if (client->prefix.bits == prefix->bits &&
	    address_equal(&client->prefix.address, &prefix->address))
		return client;
	return NULL;
}

static struct client *make_client(struct given_table *table, const struct prefix *prefix)
{
	struct client *client = find_client(table, prefix);

	if (client)
		return client;
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->prefix = *prefix;
	TAILQ_INIT(&client->given);
	LIST_INSERT_HEAD(&table->client[bucket(table, &prefix->address, prefix->bits)], client,
			 next);
	return client;
}

static void leave_client(struct given *given)
{
	struct client *client = given->client;

	if (!client)
		return;
	TAILQ_REMOVE(&client->given, given, of_client);
	if (--client->pending)
		return;
	LIST_REMOVE(client, next);
	free(client);
}

uint32_t given_of_client(const struct onetime *o, const struct prefix *client)
{
	const struct client *found = find_client(o->given, client);

	return found ? found->pending : 0;
}

bool given_oldest(struct onetime *o, const struct prefix *client, uint32_t listener,
		  struct isthmus_addr *address)
{
	struct client *found = find_client(o->given, client);
	struct given *given = found ? TAILQ_FIRST(&found->given) : NULL;

	while (given && given->listener != listener)
		given = TAILQ_NEXT(given, of_client);
	if (!given)
		return false;
	TAILQ_REMOVE(&found->given, given, of_client);
	TAILQ_INSERT_TAIL(&found->given, given, of_client);
	*address = given->address;
	return true;
}

/* ---- addresses */

int given_add(struct onetime *o, const struct isthmus_addr *address, uint32_t listener,
	      const struct prefix *client)
{
	struct given_table *table = o->given;
	struct given *given = calloc(1, sizeof(*given));

	if (!given)
		return -ENOMEM;
	given->address = *address;
	given->listener = listener;
	if (client->bits) {
		given->client = make_client(table, client);
		if (!given->client) {
			free(given);
			return -ENOMEM;
		}
		given->client->pending++;
		TAILQ_INSERT_TAIL(&given->client->given, given, of_client);
	}
	LIST_INSERT_HEAD(&table->given[bucket(table, address, 0)], given, next);
	table->count++;
	if (o->place[listener])
		o->place[listener]->pending++;
	return 0;
}

static void drop(struct onetime *o, struct given *given)
{
	struct place *place = o->place[given->listener];

	if (place && place->pending)
		place->pending--;
	leave_client(given);
	LIST_REMOVE(given, next);
	free(given);
	o->given->count--;
}

void given_remove(struct onetime *o, const struct isthmus_addr *address)
{
	struct given *given;

	LIST_FOREACH(given, &o->given->given[bucket(o->given, address, 0)], next)
	if (address_equal(&given->address, address)) {
		drop(o, given);
		return;
	}
}

static bool has_pool(const struct onetime *o, const struct isthmus_addr *address)
{
	for (unsigned int i = 0; i < o->pool_count; i++)
		if (prefix_has(&o->pool[i].prefix, address))
			return true;
	return false;
}

void given_sort_out(struct onetime *o)
{
	struct given *given, *next;

	for (int i = 0; o->given && i < BUCKETS; i++)
		for (given = LIST_FIRST(&o->given->given[i]); given; given = next) {
			next = LIST_NEXT(given, next);
			if (!has_pool(o, &given->address))
				drop(o, given);
		}
}

uint32_t given_count(const struct onetime *o)
{
	return o->given->count;
}

void given_close(struct onetime *o)
{
	struct given *given;

	if (!o->given)
		return;
	for (int i = 0; i < BUCKETS; i++)
		while ((given = LIST_FIRST(&o->given->given[i])))
			drop(o, given);
	free(o->given);
	o->given = NULL;
}
