// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Addresses that are over make room. The datapath goes by its clock and not by this: what is late
 * here is over all the same.
 *
 * Only entries are deleted that no program steps any more: over for ONETIME_GRACE_S, which is far
 * longer than a program runs; or of a listener that has been out of the sockmap for as long, for
 * without a listener nobody takes an address (may_claim() in bpf/onetime_guard.bpf.h).
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>

#include "../lib/log.h"
#include "onetime.h"

#define STEP_MS	     100
#define PARTS_A_STEP 4
#define REST_STEPS   10	    /* after a whole pass: a few entries cost as much as many */
#define FIRST_PARTS  100000 /* more than any map has */

/* Until when a state lasts that ends by itself; DEAD since when. */
static uint64_t over_ns(const struct onetime_addr *addr)
{
	return addr->state == ONETIME_STATE_DEAD ? addr->since_ns : addr->until_ns;
}

/* Of a listener that is no more: what nobody has taken, and what needs it. A TCP session goes on
 * without, and a claim may become one. */
static bool ends_with_listener(const struct onetime_addr *addr)
{
	return addr->state == ONETIME_STATE_RESERVED || addr->state == ONETIME_STATE_PENDING ||
	       addr->use == ONETIME_MANY ||
	       (addr->state == ONETIME_STATE_LIVE && addr->proto == IPPROTO_UDP);
}

static bool is_orphan(struct onetime *o, const struct onetime_addr *addr)
{
	struct place *place;

	if (addr->use == ONETIME_EA || addr->listener >= ONETIME_LISTENERS)
		return false;
	place = o->place[addr->listener];
	if (place && !place->swept)
		return false;
	if (ends_with_listener(addr))
		return true;
	if (place && (addr->state == ONETIME_STATE_CLAIMED || addr->state == ONETIME_STATE_TAKING))
		place->referred = true;
	return false;
}

/* A pool was taken away, and with it the route of its addresses. */
static bool is_homeless(struct onetime *o, const struct isthmus_addr *address,
			const struct onetime_addr *addr)
{
	if (addr->state != ONETIME_STATE_RESERVED && addr->state != ONETIME_STATE_PENDING &&
	    addr->use != ONETIME_MANY)
		return false;
	for (unsigned int i = 0; i < o->pool_count; i++)
		if (prefix_has(&o->pool[i].prefix, address))
			return false;
	return true;
}

static void count_over(struct onetime *o, const struct onetime_addr *addr)
{
	if (addr->state == ONETIME_STATE_PENDING)
		o->counter.expired++;
	else if (addr->state != ONETIME_STATE_RESERVED)
		o->counter.ended++;
}

static bool is_over(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	struct onetime *o = arg;
	uint64_t now_ns = onetime_now_ns();
	uint32_t state = onetime_state_at(addr, now_ns);
	bool over = (state == ONETIME_STATE_DEAD && over_ns(addr) + GRACE_NS < now_ns) ||
		    is_orphan(o, addr) || is_homeless(o, key, addr);

	if (addr->use == ONETIME_SSA && (over || state > ONETIME_STATE_PENDING))
		given_remove(o, key);
	if (over)
		count_over(o, addr);
	else if (state <= ONETIME_STATE_DEAD)
		o->states_counted[state]++;
	return over;
}

/* ---- passes */

static void begin(struct onetime *o)
{
	uint64_t now_ns = onetime_now_ns();

	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		struct place *place = o->place[i];

		if (!place || !place->ending || place->ending_ns + GRACE_NS > now_ns)
			continue;
		place->swept = true;
		place->referred = false;
	}
	memset(o->states_counted, 0, sizeof(o->states_counted));
}

static void end(struct onetime *o)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (o->place[i] && o->place[i]->swept && !o->place[i]->referred)
			place_free(o, o->place[i]);
	memcpy(o->states, o->states_counted, sizeof(o->states));
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct onetime *o = arg;
	int rc = 0;

	(void)fd;
	(void)what;
	if (o->sweep_rest) {
		o->sweep_rest--;
		return;
	}
	if (!o->sweep_begun)
		begin(o);
	o->sweep_begun = true;
	for (int i = 0; i < PARTS_A_STEP && !rc; i++)
		rc = map_sweep_step(o->sweep_addr);
	if (!rc)
		return;
	if (rc == 1)
		end(o);
	o->sweep_begun = false;
	o->sweep_rest = REST_STEPS;
}

/* ---- the first pass, after a restart */

/* What was prepared and what was given out before. */
static bool learn(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	const struct isthmus_addr *address = key;
	struct prefix client = { addr->only, addr->only_bits };
	struct onetime *o = arg;
	struct place *place;

	if (addr->use == ONETIME_EA || addr->listener >= ONETIME_LISTENERS)
		return false;
	place = o->place[addr->listener];
	if (!place || place->ending)
		return false;
	if (addr->use == ONETIME_MANY)
		place->many++;
	else if (addr->state == ONETIME_STATE_RESERVED)
		place_keep(place, address);
	else if (addr->state == ONETIME_STATE_PENDING)
		given_add(o, address, addr->listener, &client);
	return false;
}

static int learn_all(struct onetime *o)
{
	struct map_sweep *walk = map_sweep_new(o->map[MAP_ADDR], sizeof(struct isthmus_addr),
					       sizeof(struct onetime_addr), learn, o);
	int rc = walk ? 0 : -ENOMEM;

	for (int i = 0; i < FIRST_PARTS && !rc; i++)
		rc = map_sweep_step(walk);
	map_sweep_free(walk);
	return rc < 0 ? rc : 0;
}

int sweep_start(struct onetime *o)
{
	const struct timeval often = { .tv_usec = STEP_MS * 1000 };
	int err = learn_all(o);

	if (err)
		return err;
	o->sweep_addr = map_sweep_new(o->map[MAP_ADDR], sizeof(struct isthmus_addr),
				      sizeof(struct onetime_addr), is_over, o);
	o->sweep = event_new(o->base, -1, EV_PERSIST, on_step, o);
	return o->sweep_addr && o->sweep && !event_add(o->sweep, &often) ? 0 : -ENOMEM;
}

void sweep_free(struct onetime *o)
{
	if (o->sweep)
		event_free(o->sweep);
	map_sweep_free(o->sweep_addr);
}
