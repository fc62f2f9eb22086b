// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "dns.h"

#define CACHE_MAX    64 /* of those that ended, kept for the next ones */
#define SUBNET4_LOW  8
#define SUBNET6_LOW  16
#define SUBNET4_HIGH 32
#define SUBNET6_HIGH 128

struct holds *holds_new(struct dns *dns, size_t size, unsigned int places)
{
	struct holds *holds = calloc(1, sizeof(*holds));

	if (!holds)
		return NULL;
	holds->dns = dns;
	holds->size = size;
	holds->places = places;
	TAILQ_INIT(&holds->list);
	for (unsigned int i = 0; i < HOLD_CHAINS; i++)
		TAILQ_INIT(&holds->chain[i]);
	holds->place = calloc(places, sizeof(struct held *));
	holds->spare = calloc(CACHE_MAX, sizeof(struct held *));
	if (holds->place && holds->spare &&
	    !auth_random((uint8_t *)&holds->hash_key, sizeof(holds->hash_key)))
		return holds;
	holds_free(holds);
	return NULL;
}

/* ---- memory: a held question is large, and there may be tens of thousands a second */

static struct held *take_spare(struct holds *holds)
{
	return holds->spares ? holds->spare[--holds->spares] : malloc(holds->size);
}

static void give_spare(struct holds *holds, struct held *held)
{
	if (holds->spares < CACHE_MAX)
		holds->spare[holds->spares++] = held;
	else
		free(held);
}

/* A place, which the serial tells. */
static bool take_place(struct holds *holds, struct held *held)
{
	for (unsigned int i = 0; i < holds->places; i++) {
		unsigned int place = holds->next_place++ & (holds->places - 1);

		if (holds->place[place])
			continue;
		holds->place[place] = held;
		held->serial = ++holds->counter << 16 | place;
		return true;
	}
	return false;
}

void hold_end(struct holds *holds, struct held *held)
{
	if (holds->gone)
		holds->gone(held);
	TAILQ_REMOVE(&holds->list, held, link);
	TAILQ_REMOVE(&holds->chain[held->chain], held, same);
	holds->place[held->serial & (holds->places - 1)] = NULL;
	holds->count--;
	give_spare(holds, held);
}

void holds_free(struct holds *holds)
{
	struct held *held;

	if (!holds)
		return;
	while ((held = TAILQ_FIRST(&holds->list)))
		hold_end(holds, held);
	while (holds->spares)
		free(holds->spare[--holds->spares]);
	free(holds->place);
	free(holds->spare);
	free(holds);
}

/* Of the first bytes that differ: the question's number, and who asks. */
static uint32_t chain_of(const struct holds *holds, const struct hold_client *client,
			 const uint8_t *question)
{
	struct isthmus_addr address = { 0 };
	uint64_t high, low, hash;
	uint16_t port = 0;

	address_from_sockaddr((const struct sockaddr *)&client->address, &address, &port);
	memcpy(&high, address.b, 8);
	memcpy(&low, address.b + 8, 8);
	hash = holds->hash_key ^ (uint64_t)question[0] << 40 ^ (uint64_t)question[1] << 32 ^ port;
	hash = (hash ^ high) * 0x9e3779b97f4a7c15ull;
	hash = ((hash ^ hash >> 32) ^ low) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(hash >> 32) % HOLD_CHAINS;
}

struct held *hold_begin(struct holds *holds, const struct hold_client *client,
			const uint8_t *question, size_t len)
{
	struct held *held;

	if (len > WIRE_QUERY_MAX || holds->count >= holds->places - 1)
		return NULL;
	held = take_spare(holds);
	if (!held)
		return NULL;
	memset(held, 0, offsetof(struct held, question));
	memset((uint8_t *)held + sizeof(*held), 0, holds->size - sizeof(*held));
	if (!take_place(holds, held)) {
		give_spare(holds, held);
		return NULL;
	}
	held->client = *client;
	held->began_ms = dns_now_ms();
	held->len = (uint16_t)len;
	memcpy(held->question, question, len);
	held->chain = chain_of(holds, client, question);
	TAILQ_INSERT_TAIL(&holds->list, held, link);
	TAILQ_INSERT_TAIL(&holds->chain[held->chain], held, same);
	holds->count++;
	return held;
}

/* Under one serial one thing is asked. */
bool hold_renumber(struct holds *holds, struct held *held)
{
	holds->place[held->serial & (holds->places - 1)] = NULL;
	return take_place(holds, held);
}

struct held *hold_find(const struct holds *holds, uint64_t serial)
{
	struct held *held = holds->place[serial & (holds->places - 1)];

	return held && held->serial == serial ? held : NULL;
}

static bool same_source(const struct hold_client *one, const struct hold_client *other)
{
	struct isthmus_addr a = { 0 }, b = { 0 };
	uint16_t port_a = 0, port_b = 0;

	address_from_sockaddr((const struct sockaddr *)&one->address, &a, &port_a);
	address_from_sockaddr((const struct sockaddr *)&other->address, &b, &port_b);
	return address_equal(&a, &b) && port_a == port_b;
}

bool hold_repeated(const struct holds *holds, const struct hold_client *client,
		   const uint8_t *question, size_t len)
{
	const struct held *held;

	if (client->tcp)
		return false;
	TAILQ_FOREACH(held, &holds->chain[chain_of(holds, client, question)], same)
	{
		if (!held->client.tcp && held->client.listener == client->listener &&
		    held->len == len && !memcmp(held->question, question, len) &&
		    same_source(&held->client, client))
			return true;
	}
	return false;
}

/* ---- answers */

void hold_reply(struct holds *holds, struct held *held, const struct answer_binding *binding)
{
	struct dns *dns = holds->dns;
	const struct answer_client client = { .address = (struct sockaddr *)&held->client.address,
					      .tcp = held->client.tcp != NULL,
					      .now = dns_now(),
					      .now_ms = dns_now_ms(),
					      .binding = binding };
	const uint8_t *bytes;
	size_t len = answer(&dns->server, &client, held->question, held->len, &bytes);

	if (held->client.tcp)
		tcp_reply(held->client.tcp, bytes, len);
	else if (len)
		udp_reply(dns, &held->client, bytes, len);
	hold_end(holds, held);
}

void hold_fail(struct holds *holds, struct held *held, enum answer_result result)
{
	const struct answer_binding binding = { .result = result };

	hold_reply(holds, held, &binding);
}

void hold_drop(struct holds *holds, struct held *held)
{
	if (held->client.tcp)
		tcp_reply(held->client.tcp, NULL, 0);
	hold_end(holds, held);
}

bool hold_subnet_is_believed(const struct dns *dns, const struct wire_subnet *subnet,
			     const struct hold_client *client)
{
	unsigned int low = subnet->family == 1 ? SUBNET4_LOW : SUBNET6_LOW;
	unsigned int high = subnet->family == 1 ? SUBNET4_HIGH : SUBNET6_HIGH;
	struct isthmus_addr from;
	uint16_t port;

	return subnet->family >= 1 && subnet->family <= 2 && subnet->source_len >= low &&
	       subnet->source_len <= high &&
	       !address_from_sockaddr((const struct sockaddr *)&client->address, &from, &port) &&
	       prefix_any_has(dns->settings.subnet_from_list, dns->settings.subnet_from_count,
			      &from);
}

/* ---- for udp.c and tcp.c */

bool hold_question(struct dns *dns, const struct hold_client *client, const uint8_t *question,
		   size_t len)
{
	if (wire_set_type(dns->server.held.bound) == ZONE_ONETIME)
		return give_hold(dns, client, question, len);
	return bind_hold(dns, client, question, len);
}

void hold_flush(struct dns *dns)
{
	bind_flush(dns);
	udp_flush(dns);
}

static void forget(struct holds *holds, const struct tcp_connection *tcp)
{
	struct held *held, *next;

	for (held = holds ? TAILQ_FIRST(&holds->list) : NULL; held; held = next) {
		next = TAILQ_NEXT(held, link);
		if (held->client.tcp == tcp)
			hold_end(holds, held);
	}
}

void hold_forget(struct dns *dns, const struct tcp_connection *tcp)
{
	forget(bind_holds(dns), tcp);
	forget(give_holds(dns), tcp);
}
