// SPDX-License-Identifier: GPL-3.0-or-later
/* One table a key: chains that double with what is in them, so that 10,000 sockets cost no walk. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "resoa.h"

#define BITS_FIRST 8
#define RSOCKS_MAX (1u << 20)
#define ID_MAX	   0x7fffffffu

enum key { BY_ID, BY_NAMES, BY_COOKIE, KEYS };

struct table {
	struct rsock **bucket;
	unsigned int bits, count;
};

struct rsocks {
	struct table table[KEYS];
	uint64_t seed; /* names hold what peers choose */
	uint32_t next_id;
};

static struct rsock **next_of(struct rsock *rsock, enum key key)
{
	return key == BY_ID	 ? &rsock->by_id
	       : key == BY_NAMES ? &rsock->by_names
				 : &rsock->by_cookie;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t hash_names(uint64_t seed, uint8_t proto, const struct resoa_names *names)
{
	uint64_t hash = mix(seed, proto), word;
	uint32_t rest;

	for (size_t i = 0; i + sizeof(word) <= sizeof(*names); i += sizeof(word)) {
		memcpy(&word, (const char *)names + i, sizeof(word));
		hash = mix(hash, word);
	}
	memcpy(&rest, &names->local_port, sizeof(rest)); /* both ports */
	return mix(hash, rest);
}

static uint64_t hash_of(const struct rsocks *rsocks, const struct rsock *rsock, enum key key)
{
	if (key == BY_NAMES)
		return hash_names(rsocks->seed, rsock->proto, &rsock->names);
	return mix(rsocks->seed, key == BY_ID ? rsock->id : rsock->cookie);
}

static unsigned int slot_of(const struct table *table, uint64_t hash)
{
	return hash >> (64 - table->bits);
}

static void grow(struct rsocks *rsocks, enum key key)
{
	struct table *table = &rsocks->table[key], fresh = { .bits = table->bits + 1 };

	fresh.bucket = calloc((size_t)1 << fresh.bits, sizeof(*fresh.bucket));
	if (!fresh.bucket)
		return;
	fresh.count = table->count;
	for (unsigned int i = 0; i < 1u << table->bits; i++)
		while (table->bucket[i]) {
			struct rsock *rsock = table->bucket[i], **next = next_of(rsock, key);
			unsigned int to = slot_of(&fresh, hash_of(rsocks, rsock, key));

			table->bucket[i] = *next;
			*next = fresh.bucket[to];
			fresh.bucket[to] = rsock;
		}
	free(table->bucket);
	*table = fresh;
}

static void insert(struct rsocks *rsocks, struct rsock *rsock, enum key key)
{
	struct table *table = &rsocks->table[key];
	struct rsock **head;

	if (++table->count > 1u << table->bits)
		grow(rsocks, key);
	head = &table->bucket[slot_of(table, hash_of(rsocks, rsock, key))];
	*next_of(rsock, key) = *head;
	*head = rsock;
}

/* Nothing if it is not there. */
static void take_out(struct rsocks *rsocks, struct rsock *rsock, enum key key)
{
	struct table *table = &rsocks->table[key];
	struct rsock **at = &table->bucket[slot_of(table, hash_of(rsocks, rsock, key))];

	while (*at && *at != rsock)
		at = next_of(*at, key);
	if (!*at)
		return;
	*at = *next_of(rsock, key);
	*next_of(rsock, key) = NULL;
	table->count--;
}

struct rsocks *rsocks_new(void)
{
	struct rsocks *rsocks = calloc(1, sizeof(*rsocks));

	if (!rsocks || getrandom(&rsocks->seed, sizeof(rsocks->seed), 0) < 0)
		goto fail;
	for (int key = 0; key < KEYS; key++) {
		struct table *table = &rsocks->table[key];

		table->bits = BITS_FIRST;
		table->bucket = calloc((size_t)1 << BITS_FIRST, sizeof(*table->bucket));
		if (!table->bucket)
			goto fail;
	}
	return rsocks;
fail:
	rsocks_free(rsocks);
	return NULL;
}

void rsocks_free(struct rsocks *rsocks)
{
	if (!rsocks)
		return;
	for (int key = 0; key < KEYS; key++)
		free(rsocks->table[key].bucket);
	free(rsocks);
}

static struct rsock *find_id(const struct rsocks *rsocks, uint32_t id)
{
	const struct table *table = &rsocks->table[BY_ID];
	struct rsock *rsock = table->bucket[slot_of(table, mix(rsocks->seed, id))];

	while (rsock && rsock->id != id)
		rsock = rsock->by_id;
	return rsock;
}

/* They go round, so that one that has just ended is not mistaken for the next. */
static uint32_t new_id(struct rsocks *rsocks)
{
	do {
		rsocks->next_id = rsocks->next_id >= ID_MAX ? 1 : rsocks->next_id + 1;
	} while (find_id(rsocks, rsocks->next_id));
	return rsocks->next_id;
}

struct rsock *rsock_new(struct resoa *resoa, uint32_t id, enum rsock_kind kind)
{
	struct rsocks *rsocks = resoa->rsocks;
	struct rsock *rsock;

	if (rsocks->table[BY_ID].count >= RSOCKS_MAX || (id && find_id(rsocks, id)))
		return NULL;
	rsock = calloc(1, sizeof(*rsock));
	if (!rsock)
		return NULL;
	rsock->resoa = resoa;
	rsock->kind = kind;
	rsock->id = id ? id : new_id(rsocks);
	insert(rsocks, rsock, BY_ID);
	return rsock;
}

void rsock_set_names(struct rsock *rsock, const struct resoa_names *names)
{
	take_out(rsock->resoa->rsocks, rsock, BY_NAMES);
	rsock->names = *names;
	insert(rsock->resoa->rsocks, rsock, BY_NAMES);
}

void rsock_set_cookie(struct rsock *rsock, uint64_t cookie)
{
	take_out(rsock->resoa->rsocks, rsock, BY_COOKIE);
	rsock->cookie = cookie;
	if (cookie)
		insert(rsock->resoa->rsocks, rsock, BY_COOKIE);
}

struct rsock *rsock_of_id(struct resoa *resoa, uint32_t id)
{
	return find_id(resoa->rsocks, id);
}

struct rsock *rsock_of_names(struct resoa *resoa, uint8_t proto, const struct resoa_names *names)
{
	struct rsocks *rsocks = resoa->rsocks;
	const struct table *table = &rsocks->table[BY_NAMES];
	struct rsock *rsock = table->bucket[slot_of(table, hash_names(rsocks->seed, proto, names))];

	while (rsock && (rsock->proto != proto || memcmp(&rsock->names, names, sizeof(*names))))
		rsock = rsock->by_names;
	return rsock;
}

struct rsock *rsock_of_cookie(struct resoa *resoa, uint64_t cookie)
{
	struct rsocks *rsocks = resoa->rsocks;
	const struct table *table = &rsocks->table[BY_COOKIE];
	struct rsock *rsock;

	if (!cookie)
		return NULL;
	rsock = table->bucket[slot_of(table, mix(rsocks->seed, cookie))];
	while (rsock && rsock->cookie != cookie)
		rsock = rsock->by_cookie;
	return rsock;
}

void rsock_lost(struct rsock *rsock)
{
	take_out(rsock->resoa->rsocks, rsock, BY_ID);
	rsock->server_knows = false;
	rsock->id = new_id(rsock->resoa->rsocks);
	insert(rsock->resoa->rsocks, rsock, BY_ID);
}

static void tell_end(struct rsock *rsock, int error)
{
	struct ep_message message = { .type = error ? EP_RESET : EP_CLOSE, .error = error };
	struct lhp *lhp = rsock->resoa->lhp;

	if (!lhp || !rsock->server_knows)
		return;
	if (error >= 0)
		ep_send(lhp, rsock->id, &message);
	lhp_forget(lhp, rsock->id);
}

static void free_state(struct rsock *rsock)
{
	if (!rsock->state)
		return;
	if (rsock->kind == RSOCK_UDP)
		udp_end(rsock);
	else if (rsock->kind == RSOCK_SYN)
		syn_free(rsock);
	else if (rsock->kind == RSOCK_CONNECT || rsock->kind == RSOCK_INCOMING)
		tcp_end(rsock);
}

void rsock_end(struct rsock *rsock, int error)
{
	struct rsocks *rsocks = rsock->resoa->rsocks;

	tell_end(rsock, error);
	free_state(rsock);
	for (int key = 0; key < KEYS; key++)
		take_out(rsocks, rsock, key);
	free(rsock);
}

void rsock_each(struct resoa *resoa, void (*each)(struct rsock *rsock, void *arg), void *arg)
{
	struct table *table = &resoa->rsocks->table[BY_ID];

	for (unsigned int i = 0; i < 1u << table->bits; i++)
		for (struct rsock *rsock = table->bucket[i], *next; rsock; rsock = next) {
			next = rsock->by_id; /* each() may end it */
			each(rsock, arg);
		}
}
