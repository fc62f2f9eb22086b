// SPDX-License-Identifier: GPL-3.0-or-later
/* Addresses for listeners (III.A): those that das sets, those that AUTO_SET prepares, and those
 * given to clients. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

#define PREPARE_A_TICK 4096 /* then others have their turn */

/* ---- entries */

static struct onetime_addr entry(const struct onetime *o, const struct place *place,
				 const struct pool *pool, uint32_t state, uint8_t mode,
				 uint64_t serial)
{
	return (struct onetime_addr){
		.state = state,
		.use = ONETIME_SSA,
		.mode = mode,
		.proto = place->record.proto,
		.pool = pool->record.number,
		.listener = place_index(o, place),
		.port = mode == ONETIME_AWARE ? place->record.port : 0,
		.since_ns = onetime_now_ns(),
		.serial = serial,
	};
}

static void give_to(struct onetime_addr *addr, const struct give *give)
{
	addr->state = ONETIME_STATE_PENDING;
	addr->only_bits = give->only.bits;
	addr->only = give->only.address;
	addr->since_ns = onetime_now_ns();
	addr->until_ns = addr->since_ns + give->ttl_s * NS_PER_S;
}

static int put(struct onetime *o, const struct isthmus_addr *address,
	       const struct onetime_addr *addr, uint64_t flags)
{
	return bpf_map_update_elem(o->map[MAP_ADDR], address, addr, flags);
}

static int refuse_entry(struct ask_error *why, int err)
{
	if (err == -E2BIG)
		ask_refuse(why, "full",
			   "the table of addresses is full; see isthmus onetime attach "
			   "--addresses");
	else
		ask_refuse(why, "failed", "the address could not be set: %s", strerror(-err));
	return -1;
}

/* ---- limits */

static int refuse_limit(struct onetime *o, struct ask_error *why, uint32_t limit, const char *whose,
			const char *option)
{
	o->counter.refused++;
	ask_refuse(why, "limit", "%s %u addresses that nobody has used yet; see --%s", whose, limit,
		   option);
	return -1;
}

static int check_limits(struct onetime *o, const struct place *place, const struct give *give,
			struct ask_error *why)
{
	const struct settings *s = &o->settings;

	if (given_count(o) >= s->pending)
		return refuse_limit(o, why, s->pending, "there are", "pending");
	if (place->pending >= s->pending_listener)
		return refuse_limit(o, why, s->pending_listener, "the listener has",
				    "pending-of-listener");
	if (give->most && given_of_client(o, &give->whose) >= give->most)
		return refuse_limit(o, why, give->most, "these clients have", "pending-of-client");
	return 0;
}

/* What was given is counted, and noted in the journal. */
static void note(struct onetime *o, struct place *place, const struct give *give,
		 const struct isthmus_addr *address)
{
	const char *name = place->record.name[0] ? place->record.name : place->record.command;
	char client[ADDRESS_TEXT_LEN] = "";

	if (given_add(o, address, place_index(o, place), &give->whose))
		log_warn("out of memory: an address is not counted");
	if (!give->client[0] && give->only.bits)
		address_text(&give->only.address, client);
	if (counter_note(o->counters, address, name, give->client[0] ? give->client : client))
		log_warn("for whom an address is was not noted: %s", counters_error(o->counters));
}

/* ---- AUTO_SET */

static int prepare_one(struct onetime *o, struct place *place, struct pool *pool)
{
	struct isthmus_addr address;
	struct onetime_addr addr;
	uint64_t serial;
	int err = pool_fresh(o, pool, &address, &serial);

	if (err)
		return err;
	addr = entry(o, place, pool, ONETIME_STATE_RESERVED, place->record.mode, serial);
	err = put(o, &address, &addr, BPF_NOEXIST);
	if (!err)
		err = place_keep(place, &address);
	o->counter.prepared += !err;
	return err;
}

void give_prepare(struct onetime *o)
{
	int left = PREPARE_A_TICK;

	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		struct place *place = o->place[i];
		struct pool *pool;

		if (!place || place->ending || !(place->record.flags & ONETIME_LISTENER_AUTO_SET))
			continue;
		pool = pool_by_number(o, place->record.pool);
		while (pool && left && place->prepared_count < place->record.backlog) {
			if (prepare_one(o, place, pool))
				break;
			left--;
		}
	}
}

/*
 * A prepared address is given out by a new entry in the place of the RESERVED one. Besides us, only
 * the datapath's neighbour step changes that: another host says that the address is its own, and it
 * is DEAD. Is this lost because it came between our look and our update, then the address is
 * PENDING although another host has it: the step's event follows, and events.c ends the address.
 * No packet can have taken it: a RESERVED one refuses all.
 */
static int give_prepared(struct onetime *o, struct place *place, const struct give *give,
			 struct isthmus_addr *address)
{
	struct onetime_addr addr;

	while (place->prepared_count) {
		*address = place->prepared[--place->prepared_count];
		if (bpf_map_lookup_elem(o->map[MAP_ADDR], address, &addr) ||
		    addr.state != ONETIME_STATE_RESERVED)
			continue;
		addr.mode = place->record.mode;
		addr.port = addr.mode == ONETIME_AWARE ? place->record.port : 0;
		give_to(&addr, give);
		if (!put(o, address, &addr, BPF_EXIST))
			return 0;
	}
	return -ENOENT;
}

static int give_fresh(struct onetime *o, struct place *place, struct pool *pool,
		      const struct give *give, struct isthmus_addr *address, struct ask_error *why)
{
	struct onetime_addr addr;
	uint64_t serial;
	int err = pool_fresh(o, pool, address, &serial);

	if (err) {
		ask_refuse(why, "no-address", "%s",
			   err == -ENOSPC ? "every address of the pool was given out"
			   : err == -EIO  ? counters_error(o->counters)
					  : strerror(-err));
		return -1;
	}
	addr = entry(o, place, pool, ONETIME_STATE_PENDING, place->record.mode, serial);
	give_to(&addr, give);
	err = put(o, address, &addr, BPF_NOEXIST);
	return err ? refuse_entry(why, err) : 0;
}

int give_address(struct onetime *o, struct place *place, const struct give *give,
		 struct isthmus_addr *address, struct ask_error *why)
{
	struct pool *pool = pool_by_number(o, place->record.pool);

	if (place->record.flags & ONETIME_LISTENER_DAS) {
		ask_refuse(why, "das-required",
			   "the listener takes only addresses that das sets (LISTEN0 until then)");
		return -1;
	}
	if (!pool) { /* what was prepared is of it, too */
		ask_refuse(why, "no-pool", "the listener's pool has gone");
		return -1;
	}
	if (check_limits(o, place, give, why))
		return -1;
	if (give_prepared(o, place, give, address) &&
	    give_fresh(o, place, pool, give, address, why))
		return -1;
	note(o, place, give, address);
	place->given++;
	o->counter.given++;
	return 0;
}

/* ---- das */

static int refuse_use(struct onetime *o, const struct isthmus_addr *address, struct ask_error *why)
{
	static const char *const words[] = {
		[ONETIME_STATE_RESERVED] = "is prepared for another use",
		[ONETIME_STATE_PENDING] = "is given out already, and waits for its first packet",
		[ONETIME_STATE_TAKING] = "is used by a session",
		[ONETIME_STATE_CLAIMED] = "is used by a session",
		[ONETIME_STATE_LIVE] = "is used by a session",
		[ONETIME_STATE_CLOSING] = "was used by a session",
		[ONETIME_STATE_DEAD] = "was used: an address is never given out again",
	};
	struct onetime_addr addr;
	char text[ADDRESS_TEXT_LEN];
	uint32_t state;

	if (bpf_map_lookup_elem(o->map[MAP_ADDR], address, &addr))
		return 0;
	address_text(address, text);
	state = onetime_state_at(&addr, onetime_now_ns());
	ask_refuse(why, "used", "%s %s", text,
		   state <= ONETIME_STATE_DEAD && words[state] ? words[state] : "is in use");
	return -1;
}

int give_check(struct onetime *o, uint32_t ifindex, const char *device,
	       const struct isthmus_addr *address, struct pool **pool, struct ask_error *why)
{
	char text[ADDRESS_TEXT_LEN];

	address_text(address, text);
	*pool = pool_of(o, address);
	if (!*pool || (*pool)->record.ifindex != ifindex) {
		ask_refuse(why, "no-pool", "%s is in no pool on %.16s; see isthmus onetime show",
			   text, device);
		return -1;
	}
	return refuse_use(o, address, why);
}

static int take_address(struct onetime *o, const struct isthmus_addr *address,
			struct ask_error *why)
{
	int err = counter_take_address(o->counters, address);
	char text[ADDRESS_TEXT_LEN];

	if (!err)
		return 0;
	address_text(address, text);
	ask_refuse(why,
		   err == -EEXIST	   ? "used"
		   : err == -EADDRNOTAVAIL ? "reserved"
					   : "failed",
		   "%s %s", text,
		   err == -EEXIST ? "was given out before: an address is never given out again"
		   : err == -EADDRNOTAVAIL
			   ? "is reserved: it is the network's, broadcast or anycast address, or "
			     "RFC 5453 has it"
		   : err == -EIO ? counters_error(o->counters)
				 : strerror(-err));
	return -1;
}

int give_this(struct onetime *o, struct place *place, struct pool *pool, const struct give *give,
	      bool many, uint8_t mode, const struct isthmus_addr *address, struct ask_error *why)
{
	struct onetime_addr addr;
	int err;

	if ((!many && check_limits(o, place, give, why)) || take_address(o, address, why))
		return -1;
	addr = entry(o, place, pool, ONETIME_STATE_PENDING, mode, 0);
	give_to(&addr, give);
	if (many) {
		addr.use = ONETIME_MANY;
		addr.state = ONETIME_STATE_LIVE;
		addr.until_ns = UINT64_MAX; /* UDP, too */
	}
	err = put(o, address, &addr, BPF_NOEXIST);
	if (err)
		return refuse_entry(why, err);
	if (many)
		place->many++;
	else
		note(o, place, give, address);
	o->counter.das++;
	return 0;
}
