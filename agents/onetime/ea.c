// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Addresses prepared for connects (EAs): a RESERVED entry first, then its place in the queue, from
 * which connects take the oldest. How many are left is told by the queue's head: `ring` knows what
 * was put behind it.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

#define PART   1024
#define A_STEP 8192 /* then others have their turn */

/* ---- the queue and what is known of it */

static void remember(struct ea_queue *q, const struct isthmus_addr *address)
{
	q->ring[(q->head + q->level) % q->size] = *address;
	q->level++;
}

static void forget_oldest(struct ea_queue *q)
{
	q->head = (q->head + 1) % q->size;
	q->level--;
}

/* What connects have taken since. False: what is in the queue is not known. */
static bool look(struct ea_queue *q)
{
	struct isthmus_addr oldest;

	if (bpf_map_lookup_elem(q->fd, NULL, &oldest)) { /* peek(): none is left */
		q->level = 0;
		return true;
	}
	while (q->level && !address_equal(&q->ring[q->head], &oldest))
		forget_oldest(q);
	return q->level > 0;
}

static bool push(struct ea_queue *q, const struct isthmus_addr *address)
{
	if (q->level == q->size || bpf_map_update_elem(q->fd, NULL, address, BPF_ANY))
		return false;
	remember(q, address);
	return true;
}

/* ---- pools */

static bool is_for(const struct pool *pool, const struct ea_queue *q)
{
	const uint8_t need = ONETIME_POOL_CLIENT | ONETIME_POOL_READY;

	return pool->counters && (pool->record.flags & need) == need &&
	       (pool->record.flags & ONETIME_POOL_V4) == q->pool_flags;
}

/* Pools take turns. */
static struct pool *next_pool(struct onetime *o, struct ea_queue *q)
{
	for (unsigned int i = 0; i < o->pool_count; i++) {
		struct pool *pool = &o->pool[q->next_pool++ % o->pool_count];

		if (is_for(pool, q))
			return pool;
	}
	return NULL;
}

/* ---- what is in it */

/* Of a pool that has gone since it was put there? Then its entry goes too. */
static bool is_good(struct onetime *o, const struct ea_queue *q, const struct isthmus_addr *address)
{
	const struct pool *pool = pool_of(o, address);
	struct onetime_addr addr;

	if (bpf_map_lookup_elem(o->map[MAP_ADDR], address, &addr) || addr.use != ONETIME_EA ||
	    addr.state != ONETIME_STATE_RESERVED)
		return false;
	if (pool && is_for(pool, q) && addr.pool == pool->record.number)
		return true;
	bpf_map_delete_elem(o->map[MAP_ADDR], address);
	return false;
}

/* Each is taken out, as a connect would, and put in again: it is nobody else's in between. */
static void sort_out(struct onetime *o, struct ea_queue *q)
{
	struct isthmus_addr address, first;
	bool known = false;

	q->head = q->level = 0;
	for (uint32_t i = 0; i < q->size; i++) {
		if (bpf_map_lookup_and_delete_elem(q->fd, NULL, &address))
			break;
		if (known && address_equal(&address, &first)) {
			/* Once around. It is the oldest, and has become the youngest. */
			forget_oldest(q);
			push(q, &address);
			break;
		}
		if (is_good(o, q, &address) && push(q, &address) && !known) {
			first = address;
			known = true;
		}
	}
}

/* ---- filling it */

struct batch {
	struct isthmus_addr address[PART];
	struct onetime_addr addr[PART];
	__u32 count;
};

static void make(struct onetime *o, struct pool *pool, struct batch *batch, __u32 count)
{
	uint64_t now_ns = onetime_now_ns(), serial;

	for (batch->count = 0; batch->count < count; batch->count++) {
		if (pool_fresh(o, pool, &batch->address[batch->count], &serial))
			return;
		batch->addr[batch->count] = (struct onetime_addr){
			.state = ONETIME_STATE_RESERVED,
			.use = ONETIME_EA,
			.mode = pool->record.mode,
			.pool = pool->record.number,
			.since_ns = now_ns,
			.serial = serial,
		};
	}
}

/* One that is there already is another's and stays as it is: what was given out is forgotten then.
 * (A batch takes no BPF_NOEXIST.) */
static int put_one(struct onetime *o, struct ea_queue *q, const struct isthmus_addr *address,
		   const struct onetime_addr *addr)
{
	int err = bpf_map_update_elem(o->map[MAP_ADDR], address, addr, BPF_NOEXIST);

	if (err || push(q, address))
		return err;
	bpf_map_delete_elem(o->map[MAP_ADDR], address);
	return -ENOSPC;
}

static const char *explain(int err)
{
	switch (err) {
	case -E2BIG:
		return "the table of addresses is full";
	case -EEXIST:
		return "one is in use already; is the state file an older copy?";
	default:
		return strerror(-err);
	}
}

/* Those that find no place are spent all the same. */
static uint32_t put(struct onetime *o, struct ea_queue *q, struct batch *batch)
{
	uint32_t done = 0;
	int err = 0;

	while (done < batch->count && !err) {
		err = put_one(o, q, &batch->address[done], &batch->addr[done]);
		done += !err;
	}
	if (err && !q->told)
		log_error("addresses for connects: %s", explain(err));
	q->told = err != 0;
	o->counter.eas += done;
	return done;
}

static uint32_t target(const struct onetime *o, const struct ea_queue *q)
{
	return o->settings.eas < q->size ? o->settings.eas : q->size;
}

static bool fill(struct onetime *o, struct ea_queue *q)
{
	static struct batch batch; /* too large for a stack */
	uint32_t want = target(o, q), before, left = A_STEP;

	if (!look(q))
		sort_out(o, q);
	before = q->level;
	while (q->level < want && left) {
		struct pool *pool = next_pool(o, q);
		uint32_t count = want - q->level;

		count = count < PART ? count : PART;
		count = count < left ? count : left;
		if (!pool)
			break;
		make(o, pool, &batch, count);
		if (!batch.count || put(o, q, &batch) < count)
			break;
		left -= count;
	}
	return before < want - want / 8 && q->level > before;
}

bool ea_fill(struct onetime *o)
{
	bool fast6 = fill(o, &o->ea[0]), fast4 = fill(o, &o->ea[1]);

	return fast6 || fast4;
}

void ea_look(struct onetime *o)
{
	for (int i = 0; i < 2; i++)
		look(&o->ea[i]); /* what is not known is sorted out when it is filled */
}

void ea_sort_out(struct onetime *o)
{
	for (int i = 0; i < 2; i++)
		if (o->ea[i].ring)
			sort_out(o, &o->ea[i]);
}

static int open_queue(struct ea_queue *q, int fd, uint8_t pool_flags)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	q->fd = fd;
	q->pool_flags = pool_flags;
	q->size = info.max_entries;
	q->ring = calloc(q->size, sizeof(*q->ring));
	return q->ring ? 0 : -ENOMEM;
}

int ea_open(struct onetime *o)
{
	int err = open_queue(&o->ea[0], o->map[MAP_EA6], 0);

	if (!err)
		err = open_queue(&o->ea[1], o->map[MAP_EA4], ONETIME_POOL_V4);
	if (!err)
		ea_sort_out(o);
	return err;
}

void ea_close(struct onetime *o)
{
	free(o->ea[0].ring);
	free(o->ea[1].ring);
}
