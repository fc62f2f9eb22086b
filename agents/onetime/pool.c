// SPDX-License-Identifier: GPL-3.0-or-later
/* Pools, as the loader has written them, and fresh addresses of them. */
#include <bpf/bpf.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

#define RUNS_MAX 16 /* of addresses that others had, passed over for one */

int pools_open(struct onetime *o, char *error)
{
	const char *path = o->settings.state;
	char copy[4096];
	int err;

	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0700) && errno != EEXIST) {
		snprintf(error, ERROR_LEN, "the folder of %s: %s", path, strerror(errno));
		return -EIO;
	}
	err = counters_open(path, &o->counters, error, ERROR_LEN);
	if (!err)
		pools_read(o);
	return err;
}

void pools_close(struct onetime *o)
{
	counters_close(o->counters);
	o->counters = NULL;
}

static void pool_text(const struct pool *pool, char text[ADDRESS_TEXT_LEN + 8])
{
	char address[ADDRESS_TEXT_LEN];
	bool v4 = address_is_v4(&pool->prefix.address);

	address_text(&pool->prefix.address, address);
	snprintf(text, ADDRESS_TEXT_LEN + 8, "%s/%u", address, pool->prefix.bits - (v4 ? 96 : 0));
}

/* ---- what there is */

static bool same_prefix(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && address_equal(&a->address, &b->address);
}

static struct pool *find(struct pool *pools, unsigned int count, const struct prefix *prefix)
{
	for (unsigned int i = 0; i < count; i++)
		if (same_prefix(&pools[i].prefix, prefix))
			return &pools[i];
	return NULL;
}

static void open_counters(struct onetime *o, struct pool *pool)
{
	enum generate_method method = settings_method(&o->settings, &pool->prefix);
	char text[ADDRESS_TEXT_LEN + 8];
	int err = counters_pool(o->counters, &pool->prefix.address, pool->prefix.bits, method,
				&pool->counters);

	pool_text(pool, text);
	if (!err) {
		log_info("pool %s, %s", text, settings_method_name(method));
		return;
	}
	pool->counters = NULL;
	log_error("pool %s cannot be used: %s", text,
		  err == -EIO ? counters_error(o->counters) : strerror(-err));
}

static unsigned int read_map(struct onetime *o, struct pool *pools)
{
	struct onetime_prefix key, next;
	unsigned int count = 0;
	int rc = bpf_map_get_next_key(o->map[MAP_POOL], NULL, &next);

	while (!rc && count < ONETIME_POOLS) {
		struct pool *pool = &pools[count];

		key = next;
		memset(pool, 0, sizeof(*pool));
		pool->prefix.address = key.addr;
		pool->prefix.bits = (uint8_t)key.bits;
		if (!bpf_map_lookup_elem(o->map[MAP_POOL], &key, &pool->record))
			count++;
		rc = bpf_map_get_next_key(o->map[MAP_POOL], &key, &next);
	}
	return count;
}

/* Numbers come again, and listeners know their pool by it. */
static void note_numbers(struct onetime *o)
{
	for (unsigned int i = 0; i < o->pool_count; i++) {
		const struct pool *pool = &o->pool[i];
		struct prefix *last = &o->numbered[pool->record.number % (ONETIME_POOLS + 1)];

		if (last->bits && !same_prefix(last, &pool->prefix))
			places_leave_pool(o, pool->record.number);
		*last = pool->prefix;
	}
}

void pools_read(struct onetime *o)
{
	struct pool fresh[ONETIME_POOLS];
	unsigned int count = read_map(o, fresh);
	bool gone = false;

	for (unsigned int i = 0; i < count; i++) {
		const struct pool *old = find(o->pool, o->pool_count, &fresh[i].prefix);

		if (old) {
			fresh[i].counters = old->counters;
			fresh[i].told_full = old->told_full;
		} else {
			open_counters(o, &fresh[i]);
		}
	}
	for (unsigned int i = 0; i < o->pool_count; i++) {
		const struct pool *now = find(fresh, count, &o->pool[i].prefix);

		gone |= !now || now->record.number != o->pool[i].record.number ||
			(o->pool[i].record.flags & ~now->record.flags & ONETIME_POOL_CLIENT);
	}
	memcpy(o->pool, fresh, count * sizeof(fresh[0]));
	o->pool_count = count;
	note_numbers(o);
	if (!gone)
		return;
	ea_sort_out(o);
	given_sort_out(o);
}

/* ---- which */

static bool is_ready(const struct pool *pool)
{
	return pool->counters && pool->record.flags & ONETIME_POOL_READY;
}

struct pool *pool_of(struct onetime *o, const struct isthmus_addr *address)
{
	struct pool *best = NULL;

	for (unsigned int i = 0; i < o->pool_count; i++) {
		struct pool *pool = &o->pool[i];

		if (is_ready(pool) && prefix_has(&pool->prefix, address) &&
		    (!best || pool->prefix.bits > best->prefix.bits))
			best = pool;
	}
	return best;
}

struct pool *pool_by_number(struct onetime *o, uint32_t number)
{
	for (unsigned int i = 0; i < o->pool_count; i++)
		if (is_ready(&o->pool[i]) && o->pool[i].record.number == number)
			return &o->pool[i];
	return NULL;
}

/* Of several, one that clients do not use; the map has them in the order of their prefixes. */
struct pool *pool_on(struct onetime *o, uint32_t ifindex, bool v4)
{
	struct pool *found = NULL;

	for (unsigned int i = 0; i < o->pool_count; i++) {
		struct pool *pool = &o->pool[i];

		if (!is_ready(pool) || pool->record.ifindex != ifindex ||
		    v4 != address_is_v4(&pool->prefix.address))
			continue;
		if (!found || (found->record.flags & ONETIME_POOL_CLIENT &&
			       !(pool->record.flags & ONETIME_POOL_CLIENT)))
			found = pool;
	}
	return found;
}

/* ---- fresh addresses */

int pool_fresh(struct onetime *o, struct pool *pool, struct isthmus_addr *address, uint64_t *serial)
{
	char text[ADDRESS_TEXT_LEN + 8];
	int err = -EAGAIN;

	for (int i = 0; i < RUNS_MAX && err == -EAGAIN; i++)
		err = counter_next(pool->counters, address, serial);
	if (err && !pool->told_full) {
		pool_text(pool, text);
		log_error("pool %s: %s", text,
			  err == -ENOSPC   ? "every address was given out"
			  : err == -EAGAIN ? "nearly every address was given out"
			  : err == -EIO	   ? counters_error(o->counters)
					   : strerror(-err));
	}
	pool->told_full = err != 0;
	return err;
}
