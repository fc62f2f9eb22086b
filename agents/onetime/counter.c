// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who owns an address is decided once: by the record if it has the address, else by counters, the
 * generator whose mark has passed the address's counter. At most one can be unrecorded: a generator
 * that meets another's address while it draws a block skips it and records whose it is, in the
 * transaction that raises its own mark.
 *
 *	       draw_block             counter_next            give_back, the next start
 *	free ------------> in a block ------------> given       in a block ---> free
 *	  \___ counter_take_address ___/  chosen, which is given
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <openssl/crypto.h>

#include "counter_db.h"

#define SEARCH_MAX    (1u << 16) /* counters or addresses that a call passes over */
#define DRAWS	      64	 /* RANDOM: before it looks for the next free one */
#define BLOCK_SHIFT   6		 /* a block is at most a 64th of its pool */
#define PRUNE_AT_ONCE 10000

/* An address of a block, not given yet. */
struct slot {
	struct isthmus_addr address;
	uint64_t counter;
};

struct generator {
	int64_t id;
	enum generate_method method;
	struct generate *generate;
	uint64_t high;	    /* the mark, as on disk */
	struct slot *block; /* block[at] to block[len - 1] are left */
	size_t at, len;
	bool used_up; /* RANDOM: all addresses are owned, by whom does not change */
};

struct counter_pool {
	struct counters *counters;
	struct generate_pool pool;
	struct generator *generator[GENERATE_METHODS]; /* NULL: it never had this method */
	struct generator *active;		       /* one of them, NULL: not in use */
};

struct counters {
	struct counter_db *db;
	struct counter_pool *pool[COUNTER_POOLS_MAX];
	size_t pools;
};

struct owner {
	struct counter_pool *pool; /* these two NULL: an operator */
	struct generator *generator;
	uint64_t counter;
	bool recorded;
};

/* ---- pools */

static size_t block_size(const struct generate_pool *pool, enum generate_method method)
{
	uint64_t most = method == GENERATE_RANDOM ? COUNTER_BLOCK_RANDOM : COUNTER_BLOCK;
	uint64_t part = (generate_last(pool) >> BLOCK_SHIFT) + 1;

	return part < most ? part : most;
}

/* How many counters there are. */
static uint64_t counter_limit(const struct generate_pool *pool)
{
	uint64_t last = generate_last(pool);

	return last < COUNTER_MAX ? last + 1 : COUNTER_MAX;
}

static struct counter_pool *find_pool(struct counters *counters, const struct generate_pool *pool)
{
	for (size_t i = 0; i < counters->pools; i++) {
		struct counter_pool *p = counters->pool[i];

		if (p->pool.bits == pool->bits &&
		    !memcmp(&p->pool.prefix, &pool->prefix, sizeof(pool->prefix)))
			return p;
	}
	return NULL;
}

static int find_or_add_pool(struct counters *counters, const struct generate_pool *pool,
			    struct counter_pool **result)
{
	struct counter_pool *p = find_pool(counters, pool);

	if (!p) {
		if (counters->pools == COUNTER_POOLS_MAX)
			return -E2BIG;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->counters = counters;
		p->pool = *pool;
		counters->pool[counters->pools++] = p;
	}
	*result = p;
	return 0;
}

static void free_generator(struct generator *g)
{
	if (!g)
		return;
	generate_free(g->generate);
	free(g->block);
	free(g);
}

static int new_generator(const struct counter_row *row, struct generator **result)
{
	struct generator *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->id = row->id;
	g->method = row->method;
	g->high = row->high;
	err = generate_new(&row->pool, row->method, row->key, &g->generate);
	if (!err)
		*result = g;
	else
		free_generator(g);
	return err;
}

static int load_generator(const struct counter_row *row, void *arg)
{
	struct counter_pool *p;
	int err = find_or_add_pool(arg, &row->pool, &p);

	if (!err && row->high > counter_limit(&row->pool))
		err = -EBADMSG;
	return err ? err : new_generator(row, &p->generator[row->method]);
}

/* A method that the pool never had. */
static int add_generator(struct counter_pool *p, enum generate_method method)
{
	struct counter_row row = { .pool = p->pool, .method = method };
	struct generator *g;
	int err = 0;

	if (method == GENERATE_KEYED && getrandom(row.key, sizeof(row.key), 0) != sizeof(row.key))
		err = -EIO;
	if (!err)
		err = new_generator(&row, &g);
	if (!err) {
		err = counter_db_add(p->counters->db, &row, &g->id);
		if (!err)
			p->generator[method] = g;
		else
			free_generator(g);
	}
	OPENSSL_cleanse(&row, sizeof(row));
	return err;
}

/* ---- owners */

/* The counter that the next address has. */
static uint64_t next_counter(const struct generator *g)
{
	return g->at < g->len ? g->block[g->at].counter : g->high;
}

static struct generator *generator_by_id(struct counters *counters, int64_t id,
					 struct counter_pool **pool)
{
	for (size_t i = 0; i < counters->pools; i++)
		for (int method = 0; method < GENERATE_METHODS; method++) {
			struct generator *g = counters->pool[i]->generator[method];

			if (g && g->id == id) {
				*pool = counters->pool[i];
				return g;
			}
		}
	return NULL;
}

static int find_recorded(struct counters *counters, const struct isthmus_addr *address,
			 struct owner *owner)
{
	struct owner found = { .recorded = true };
	int64_t id;
	int err = counter_db_owner(counters->db, address, &id, &found.counter);

	if (err)
		return err;
	if (id != COUNTER_CHOSEN) {
		found.generator = generator_by_id(counters, id, &found.pool);
		if (!found.generator)
			return -EBADMSG;
	}
	*owner = found;
	return 0;
}

/* Of the generators of one pool which the address lies in. */
static int find_computed(struct counter_pool *p, const struct isthmus_addr *address,
			 struct owner *owner)
{
	for (int method = 0; method < GENERATE_METHODS; method++) {
		struct generator *g = p->generator[method];
		uint64_t counter;
		int err;

		if (!g || method == GENERATE_RANDOM)
			continue;
		err = generate_counter(g->generate, address, &counter);
		if (err && err != -ERANGE)
			return err;
		if (!err && counter < g->high) {
			*owner = (struct owner){ p, g, counter, false };
			return 0;
		}
	}
	return -ENOENT;
}

/* -ENOENT: nobody. */
static int find_owner(struct counters *counters, const struct isthmus_addr *address,
		      struct owner *owner)
{
	int err = find_recorded(counters, address, owner);

	for (size_t i = 0; i < counters->pools && err == -ENOENT; i++) {
		struct counter_pool *p = counters->pool[i];

		if (generate_contains(&p->pool, address) &&
		    !generate_is_reserved(&p->pool, address))
			err = find_computed(p, address, owner);
	}
	return err;
}

/* Or it waits in a block, or was given back from one. */
static bool was_given(const struct owner *owner)
{
	return !owner->generator || owner->counter < next_counter(owner->generator);
}

/* ---- blocks */

/* 1: the generator may give the address, 0: it skips it. */
static int may_give(struct counter_pool *p, struct generator *g, const struct isthmus_addr *address)
{
	struct owner owner;
	int err;

	if (generate_is_reserved(&p->pool, address))
		return 0;
	err = find_owner(p->counters, address, &owner);
	if (err)
		return err == -ENOENT ? 1 : err;
	if (g->method == GENERATE_RANDOM)
		return 0;
	if (owner.generator == g) /* another pool's met it in a block that was given back */
		return 1;
	if (owner.recorded)
		return 0;
	return counter_db_own(p->counters->db, address, owner.generator->id, owner.counter);
}

/* SEQUENTIAL, KEYED: the next counters, some of which may be skipped. */
static int draw_counters(struct counter_pool *p, struct generator *g, size_t *len, uint64_t *high)
{
	uint64_t left = counter_limit(&p->pool) - g->high, end;
	struct slot *slot = g->block;

	if (!left)
		return -ENOSPC;
	end = g->high +
	      (left < block_size(&p->pool, g->method) ? left : block_size(&p->pool, g->method));
	for (uint64_t counter = g->high; counter < end; counter++) {
		int err = generate_address(g->generate, counter, &slot->address);

		if (!err)
			err = may_give(p, g, &slot->address);
		if (err < 0)
			return err;
		slot->counter = counter;
		slot += err;
	}
	*len = slot - g->block;
	*high = end;
	return 0;
}

/* The next free one after a host part: 1, or 0 if there is none near. */
static int search(struct counter_pool *p, struct generator *g, uint64_t host,
		  struct isthmus_addr *address)
{
	uint64_t last = generate_last(&p->pool);
	int found = 0;

	for (uint64_t i = 0; i < SEARCH_MAX && i <= last && !found; i++) {
		found = generate_address(g->generate, (host + i) & last, address);
		if (!found)
			found = may_give(p, g, address);
	}
	return found;
}

/* As search(). *searched: the pool is so full that it did. */
static int draw_one(struct counter_pool *p, struct generator *g, struct isthmus_addr *address,
		    bool *searched)
{
	uint64_t host = 0;
	int found = 0;

	for (int i = 0; i < DRAWS && !found; i++) {
		found = generate_draw(&p->pool, &host);
		if (!found)
			found = generate_address(g->generate, host, address);
		if (!found)
			found = may_give(p, g, address);
	}
	if (found)
		return found;
	*searched = true;
	return search(p, g, host, address);
}

/* RANDOM: each is recorded at once, so that the next cannot be the same. One search a block. */
static int draw_random(struct counter_pool *p, struct generator *g, size_t *len, uint64_t *high)
{
	bool searched = false;
	size_t count = 0;
	int found = 1;

	while (count < block_size(&p->pool, g->method) && !searched && found) {
		struct slot *slot = &g->block[count];

		found = draw_one(p, g, &slot->address, &searched);
		if (found < 0)
			return found;
		if (!found)
			break;
		slot->counter = g->high + count++;
		if (counter_db_own(p->counters->db, &slot->address, g->id, slot->counter))
			return -EIO;
	}
	if (!count && generate_last(&p->pool) < SEARCH_MAX)
		g->used_up = true;
	if (!count)
		return g->used_up ? -ENOSPC : -EAGAIN;
	*len = count;
	*high = g->high + count;
	return 0;
}

/* The block is the caller's when it is on disk that it was taken. */
static int draw_block(struct counter_pool *p, struct generator *g)
{
	struct counter_db *db = p->counters->db;
	uint64_t high = 0;
	size_t len = 0;
	int err;

	if (!g->block)
		g->block = calloc(block_size(&p->pool, g->method), sizeof(*g->block));
	if (!g->block)
		return -ENOMEM;
	g->at = g->len = 0;
	err = counter_db_begin(db);
	if (err)
		return err;
	err = g->method == GENERATE_RANDOM ? draw_random(p, g, &len, &high)
					   : draw_counters(p, g, &len, &high);
	if (!err)
		err = counter_db_mark(db, g->id, high);
	err = counter_db_end(db, err);
	if (err)
		return err;
	g->high = high;
	g->len = len;
	return 0;
}

/* What is left of a block; if this fails it is lost. */
static void give_back(struct counters *counters, struct generator *g)
{
	uint64_t next = next_counter(g);
	int err = 0;

	if (g->at == g->len || counter_db_begin(counters->db))
		return;
	for (size_t i = g->at; i < g->len && !err && g->method == GENERATE_RANDOM; i++)
		err = counter_db_disown(counters->db, &g->block[i].address);
	if (!err)
		err = counter_db_mark(counters->db, g->id, next);
	if (!counter_db_end(counters->db, err))
		g->high = next;
	g->at = g->len = 0;
}

int counter_next(struct counter_pool *pool, struct isthmus_addr *address, uint64_t *counter)
{
	struct generator *g = pool->active;
	const struct slot *slot;

	for (uint64_t passed = 0; g->at == g->len; passed += block_size(&pool->pool, g->method)) {
		int err = g->used_up		? -ENOSPC
			  : passed > SEARCH_MAX ? -EAGAIN
						: draw_block(pool, g);

		if (err)
			return err;
	}
	slot = &g->block[g->at++];
	*address = slot->address;
	*counter = slot->counter;
	return 0;
}

/* ---- addresses of an operator */

static void drop_slot(struct generator *g, const struct isthmus_addr *address)
{
	for (size_t i = g->at; i < g->len; i++)
		if (!memcmp(&g->block[i].address, address, sizeof(*address))) {
			memmove(&g->block[i], &g->block[i + 1], (--g->len - i) * sizeof(*g->block));
			return;
		}
}

int counter_take_address(struct counters *counters, const struct isthmus_addr *address)
{
	struct owner owner = { 0 };
	int err;

	for (size_t i = 0; i < counters->pools; i++)
		if (generate_is_reserved(&counters->pool[i]->pool, address))
			return -EADDRNOTAVAIL;
	err = find_owner(counters, address, &owner);
	if (!err && was_given(&owner))
		return -EEXIST;
	if (err && err != -ENOENT)
		return err;
	err = counter_db_own(counters->db, address, COUNTER_CHOSEN, 0);
	if (!err && owner.generator)
		drop_slot(owner.generator, address);
	return err;
}

/* ---- the journal */

int counter_note(struct counters *counters, const struct isthmus_addr *address, const char *name,
		 const char *client)
{
	return counter_db_note(counters->db, address, name, client);
}

int counter_flush(struct counters *counters)
{
	return counter_db_flush(counters->db);
}

int counter_trace(struct counters *counters, const struct isthmus_addr *address,
		  struct counter_trace *trace)
{
	struct counter_trace found = { .chosen = true };
	struct counter_note note = { 0 };
	struct owner owner;
	int err = counter_flush(counters);

	if (!err)
		err = find_owner(counters, address, &owner);
	if (err || !was_given(&owner))
		return err ? err : -ENOENT;
	if (owner.generator) {
		found.chosen = false;
		found.pool = owner.pool->pool;
		found.method = owner.generator->method;
		found.counter = owner.counter;
	}
	err = counter_db_noted(counters->db, address, &note);
	if (err && err != -ENOENT)
		return err;
	found.noted = !err;
	memcpy(found.name, note.name, sizeof(found.name));
	memcpy(found.client, note.client, sizeof(found.client));
	found.time = note.time;
	*trace = found;
	return 0;
}

int counter_prune(struct counters *counters, int64_t older_than_s)
{
	int err = counter_flush(counters);

	return err ? err : counter_db_prune(counters->db, time(NULL) - older_than_s, PRUNE_AT_ONCE);
}

/* ---- open and close */

int counters_open(const char *path, struct counters **result, char *error, size_t error_len)
{
	struct counters *counters = calloc(1, sizeof(*counters));
	int err;

	if (!counters) {
		snprintf(error, error_len, "%s: %s", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	err = counter_db_open(path, &counters->db, error, error_len);
	if (!err) {
		err = counter_db_each(counters->db, load_generator, counters);
		if (err)
			snprintf(error, error_len, "%s: its generators: %s", path,
				 err == -EIO	   ? counters_error(counters)
				 : err == -EBADMSG ? "damaged, addresses could repeat"
						   : strerror(-err));
	}
	if (!err)
		*result = counters;
	else
		counters_close(counters);
	return err;
}

void counters_close(struct counters *counters)
{
	if (!counters)
		return;
	if (counters->db)
		counter_flush(counters);
	for (size_t i = 0; i < counters->pools; i++) {
		for (int method = 0; method < GENERATE_METHODS; method++) {
			struct generator *g = counters->pool[i]->generator[method];

			if (g)
				give_back(counters, g);
			free_generator(g);
		}
		free(counters->pool[i]);
	}
	counter_db_close(counters->db);
	free(counters);
}

const char *counters_error(struct counters *counters)
{
	return counter_db_error(counters->db);
}

int counters_pool(struct counters *counters, const struct isthmus_addr *prefix, unsigned int bits,
		  enum generate_method method, struct counter_pool **result)
{
	struct generate_pool pool;
	struct counter_pool *p;
	int err = method < GENERATE_METHODS ? generate_pool_set(&pool, prefix, bits) : -EINVAL;

	if (!err)
		err = find_or_add_pool(counters, &pool, &p);
	if (!err && !p->generator[method])
		err = add_generator(p, method);
	if (err)
		return err;
	if (p->active && p->active != p->generator[method])
		give_back(counters, p->active);
	p->active = p->generator[method];
	*result = p;
	return 0;
}
