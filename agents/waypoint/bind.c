// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a SETUP makes of the maps (AVES 3.3, figure 6): a binding where the initiator is known, a
 * wait state where it is not. The datapath alone ends a wait, by its clock.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <linux/bpf.h>

#include "../../maps/pin.h"
#include "../lib/log.h"
#include "waypoint.h"

#define SWEEP_TRIES 100000 /* keys of addresses that are looked at; the map holds 1024 */

static const struct {
	const char *name;
	size_t key_size, value_size;
} known[MAP_COUNT] = {
	[MAP_CONF] = { "waypoint_conf", 4, sizeof(struct waypoint_conf) },
	[MAP_ADDR] = { "waypoint_addr", 4, sizeof(struct waypoint_addr) },
	[MAP_WAIT] = { "waypoint_wait", 4, sizeof(struct waypoint_wait) },
	[MAP_BIND] = { "waypoint_bind", sizeof(struct waypoint_pair),
		       sizeof(struct waypoint_bind) },
	[MAP_REJECT] = { "waypoint_reject", sizeof(struct waypoint_pair),
			 sizeof(struct waypoint_reject) },
	[MAP_CONN] = { "waypoint_conn", sizeof(struct waypoint_conn_key),
		       sizeof(struct waypoint_conn) },
	[MAP_HOST6] = { "waypoint_host6", sizeof(struct isthmus_addr),
			sizeof(struct waypoint_host6) },
	[MAP_STATS] = { "waypoint_stats", 4, sizeof(struct isthmus_count) },
	[MAP_EVENT] = { "waypoint_event", 0, 0 },
};

uint64_t waypoint_now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* ---- start: the addresses, and waits that an agent before has entered */

static int open_maps(struct waypoint *w, char *error)
{
	struct bpf_map_info info = { 0 };
	__u32 zero = 0, len = sizeof(info);

	for (int i = 0; i < MAP_COUNT; i++) {
		int fd = pin_open_map(w->settings.instance, "waypoint", known[i].name,
				      known[i].key_size, known[i].value_size);

		if (fd < 0) {
			snprintf(error, ERROR_LEN, "%s: %s", known[i].name,
				 fd == -ENOENT ? "not pinned: run `isthmus waypoint attach`"
				 : fd == -EPROTO
					 ? "of another version: attach it again with --replace"
					 : strerror(-fd));
			return fd;
		}
		w->map[i] = fd;
	}
	if (bpf_map_lookup_elem(w->map[MAP_CONF], &zero, &w->conf) ||
	    bpf_obj_get_info_by_fd(w->map[MAP_BIND], &info, &len)) {
		snprintf(error, ERROR_LEN, "waypoint_conf cannot be read");
		return -EIO;
	}
	w->binds_max = info.max_entries;
	return 0;
}

static struct address *find_address(struct waypoint *w, __be32 address)
{
	for (unsigned int i = 0; i < w->address_count; i++)
		if (w->address[i].address == address)
			return &w->address[i];
	return NULL;
}

/* Addresses that are no longer ours are none for the datapath, too. */
static void drop_others(struct waypoint *w)
{
	__be32 key, next;
	int rc = bpf_map_get_next_key(w->map[MAP_ADDR], NULL, &next);

	for (int i = 0; i < SWEEP_TRIES && !rc; i++) {
		key = next;
		rc = bpf_map_get_next_key(w->map[MAP_ADDR], &key, &next);
		if (!find_address(w, key))
			bpf_map_delete_elem(w->map[MAP_ADDR], &key);
	}
}

static bool number_is_taken(const struct waypoint *w, uint32_t number)
{
	for (unsigned int i = 0; i < w->address_count; i++)
		if (w->address[i].number == number)
			return true;
	return false;
}

static void read_waits(struct waypoint *w, struct address *address, uint64_t now)
{
	for (uint32_t i = 0; i < WAYPOINT_WAITS; i++) {
		__u32 place = address->number * WAYPOINT_WAITS + i;
		struct waypoint_wait wait;

		if (bpf_map_lookup_elem(w->map[MAP_WAIT], &place, &wait) || wait.until_ns <= now)
			continue;
		address->wait[i] = (struct wait){ .until_ns = wait.until_ns,
						  .serial = wait.serial,
						  .prefix = wait.prefix,
						  .mask = wait.mask,
						  .peer = wait.peer,
						  .host = wait.host };
	}
}

/* Those that the map has keep their numbers: waits may be running. */
static int put_addresses(struct waypoint *w)
{
	uint64_t now = waypoint_now_ns();
	uint32_t number = 0;

	w->address_count = w->settings.address_count;
	for (unsigned int i = 0; i < w->address_count; i++) {
		struct waypoint_addr value;
		struct address *address = &w->address[i];

		address->address = w->settings.addresses[i];
		address->number = UINT32_MAX;
		if (bpf_map_lookup_elem(w->map[MAP_ADDR], &address->address, &value))
			continue;
		address->number = value.number;
		address->waits_until_ns = value.waits_until_ns;
		read_waits(w, address, now);
	}
	drop_others(w);
	for (unsigned int i = 0; i < w->address_count; i++) {
		struct waypoint_addr value = { 0 };

		if (w->address[i].number != UINT32_MAX)
			continue;
		while (number_is_taken(w, number))
			number++;
		w->address[i].number = value.number = number;
		if (bpf_map_update_elem(w->map[MAP_ADDR], &w->address[i].address, &value, BPF_ANY))
			return -EIO;
	}
	return 0;
}

int bind_open(struct waypoint *w, char *error)
{
	int err = open_maps(w, error);

	if (err)
		return err;
	err = put_addresses(w);
	if (err)
		snprintf(error, ERROR_LEN, "waypoint_addr cannot be written: %s", strerror(-err));
	return err;
}

/* ---- bindings */

static bool is_live(const struct waypoint *w, const struct waypoint_bind *bind, uint64_t now)
{
	return waypoint_bind_ends(bind, &w->conf) > now;
}

static void accept_for(struct setup *answer, uint64_t ns)
{
	uint64_t ms = ns / NS_PER_MS;

	answer->type = SETUP_ACCEPT;
	answer->ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void reject(struct setup *answer, enum setup_why why)
{
	answer->type = SETUP_REJECT;
	answer->why = why;
}

int bind_restore(struct waypoint *w, const struct waypoint_pair *pair, struct waypoint_bind *bind)
{
	int err = bpf_map_update_elem(w->map[MAP_BIND], pair, bind, BPF_NOEXIST);

	w->counters.restored += !err;
	return err;
}

static bool overlaps(const struct wait *wait, __be32 prefix, __be32 mask, uint64_t now)
{
	return wait->until_ns > now && !((wait->prefix ^ prefix) & wait->mask & mask);
}

static bool is_same(const struct wait *wait, uint32_t gateway, uint32_t host)
{
	return wait->peer == gateway && wait->host == host;
}

/* A running wait of another responder whose prefix has something in common with this one, or NULL.
 */
static struct wait *find_other(struct address *address, __be32 prefix, __be32 mask,
			       const struct setup *ask, uint64_t now)
{
	for (int i = 0; i < WAYPOINT_WAITS; i++) {
		struct wait *wait = &address->wait[i];

		if (overlaps(wait, prefix, mask, now) && !is_same(wait, ask->gateway, ask->host))
			return wait;
	}
	return NULL;
}

/* Of those of the same responder that let the prefix in, the one that ends last; or NULL. */
static struct wait *find_same(struct address *address, __be32 prefix, __be32 mask,
			      const struct setup *ask, uint64_t now)
{
	struct wait *best = NULL;

	for (int i = 0; i < WAYPOINT_WAITS; i++) {
		struct wait *wait = &address->wait[i];

		if (overlaps(wait, prefix, mask, now) && is_same(wait, ask->gateway, ask->host) &&
		    !(wait->mask & ~mask) && (!best || wait->until_ns > best->until_ns))
			best = wait;
	}
	return best;
}

/* Does a reject time run for the pair? Its first packets would be refused. */
static bool is_refused(const struct waypoint *w, const struct waypoint_pair *pair, uint64_t now)
{
	struct waypoint_reject record;

	return !bpf_map_lookup_elem(w->map[MAP_REJECT], pair, &record) && record.until_ns > now;
}

/* number: not that of the pair's binding before, as the datapath has it. 0, -EEXIST or -E2BIG. */
static int make_binding(struct waypoint *w, const struct waypoint_pair *pair,
			const struct setup *ask, uint16_t number, uint64_t now)
{
	struct waypoint_bind bind = { .peer = ask->gateway,
				      .host = ask->host,
				      .seen_ns = now,
				      .fresh_ns = now + w->conf.fresh_ns,
				      .number = number };
	int err = bpf_map_update_elem(w->map[MAP_BIND], pair, &bind, BPF_NOEXIST);

	w->counters.bound += !err;
	return err;
}

/*
 * What the datapath writes into the record in the same microsecond is lost: at worst the binding
 * ends by its idle time and not by its last FIN. So it is done when half of the time has passed.
 */
static void renew(struct waypoint *w, const struct waypoint_pair *pair, struct waypoint_bind *bind,
		  const struct setup *ask, uint64_t now, struct setup *answer)
{
	if (bind->peer != ask->gateway || bind->host != ask->host) {
		reject(answer, SETUP_BOUND_ELSEWHERE);
		return;
	}
	if (bind->fresh_ns < now + w->conf.fresh_ns / 2) {
		bind->fresh_ns = now + w->conf.fresh_ns;
		bpf_map_update_elem(w->map[MAP_BIND], pair, bind, BPF_EXIST);
	}
	accept_for(answer, bind->fresh_ns - now);
}

/* There is a binding already, or one may not be made now. */
static void ask_again(struct waypoint *w, const struct waypoint_pair *pair, const struct setup *ask,
		      bool barred, uint64_t now, struct setup *answer)
{
	uint16_t number = (uint16_t)(now >> 20);
	struct waypoint_bind bind;
	int err;

	if (!bpf_map_lookup_elem(w->map[MAP_BIND], pair, &bind)) {
		if (is_live(w, &bind, now)) {
			renew(w, pair, &bind, ask, now, answer);
			return;
		}
		number = (uint16_t)(bind.number + 1);
		bpf_map_delete_elem(w->map[MAP_BIND], pair);
	}
	if (barred) {
		reject(answer, SETUP_WAITING);
		return;
	}
	err = make_binding(w, pair, ask, number, now);
	if (err)
		reject(answer, err == -EEXIST ? SETUP_BOUND_ELSEWHERE : SETUP_FULL);
	else
		accept_for(answer, w->conf.fresh_ns);
}

/* W3: the initiator is known, and bound before it sends anything; most of them are new here. */
static void ask_known(struct waypoint *w, struct address *address, const struct setup *ask,
		      uint64_t now, struct setup *answer)
{
	struct waypoint_pair pair = { ask->initiator, ask->waypoint };
	bool barred = find_other(address, ask->initiator, UINT32_MAX, ask, now) ||
		      (w->rejects && is_refused(w, &pair, now));

	if (!barred && !make_binding(w, &pair, ask, (uint16_t)(now >> 20), now))
		accept_for(answer, w->conf.fresh_ns);
	else
		ask_again(w, &pair, ask, barred, now, answer);
}

/* ---- waits */

static int free_place(const struct address *address, uint64_t now)
{
	for (int i = 0; i < WAYPOINT_WAITS; i++)
		if (address->wait[i].until_ns <= now)
			return i;
	return -1;
}

/* The datapath sees the wait when its end is written, which is the last. */
static int enter(struct waypoint *w, struct address *address, int place, const struct wait *wait)
{
	struct waypoint_wait record = { .serial = wait->serial,
					.prefix = wait->prefix,
					.mask = wait->mask,
					.peer = wait->peer,
					.host = wait->host };
	struct waypoint_addr value = { .number = address->number };
	__u32 index = address->number * WAYPOINT_WAITS + (__u32)place;
	int err = bpf_map_update_elem(w->map[MAP_WAIT], &index, &record, BPF_ANY);

	record.until_ns = wait->until_ns;
	if (!err)
		err = bpf_map_update_elem(w->map[MAP_WAIT], &index, &record, BPF_ANY);
	if (err)
		return err;
	address->wait[place] = *wait;
	if (address->waits_until_ns < wait->until_ns)
		address->waits_until_ns = wait->until_ns;
	value.waits_until_ns = address->waits_until_ns;
	return bpf_map_update_elem(w->map[MAP_ADDR], &address->address, &value, BPF_ANY);
}

/* W4: whoever of the prefix comes first with a new connection. */
static void ask_delayed(struct waypoint *w, struct address *address, const struct setup *ask,
			uint64_t now, struct setup *answer)
{
	struct wait wait = {
		.serial = ask->serial,
		.prefix = ask->initiator,
		.mask = ask->prefix_len ? htobe32(UINT32_MAX << (32 - ask->prefix_len)) : 0,
		.peer = ask->gateway,
		.host = ask->host,
		.ms = ask->ms && ask->ms < w->settings.wait_ms ? ask->ms : w->settings.wait_ms
	};
	struct wait *other = find_other(address, wait.prefix, wait.mask, ask, now);
	struct wait *same = find_same(address, wait.prefix, wait.mask, ask, now);
	int place = free_place(address, now), err;

	if (other) {
		other->contended = true;
		reject(answer, SETUP_WAITING);
		return;
	}
	/* A second one who is to meet the same responder: its end stays where it is. */
	if (same && same->until_ns - now >= wait.ms * NS_PER_MS / 2) {
		accept_for(answer, same->until_ns - now);
		return;
	}
	/* Too little of it is left: another begins, unless somebody else wants the address. */
	if (same && same->contended) {
		reject(answer, SETUP_WAITING);
		return;
	}
	if (place < 0 || w->binds >= w->binds_max) {
		reject(answer, place < 0 ? SETUP_WAITING : SETUP_FULL);
		return;
	}
	wait.until_ns = now + wait.ms * NS_PER_MS;
	err = enter(w, address, place, &wait);
	if (err) {
		log_error("a wait state cannot be written: %s", strerror(-err));
		reject(answer, SETUP_FULL);
		return;
	}
	accept_for(answer, wait.ms * NS_PER_MS);
}

void bind_ask(struct waypoint *w, const struct setup *ask, struct setup *answer)
{
	struct address *address = find_address(w, ask->waypoint);
	uint64_t now = waypoint_now_ns();

	answer->ms = 0;
	answer->why = 0;
	if (!address)
		reject(answer, SETUP_UNKNOWN_ADDRESS);
	else if (!end_is_up(w, ask->gateway))
		reject(answer, SETUP_NO_TUNNEL);
	else if (ask->mode == SETUP_KNOWN)
		ask_known(w, address, ask, now, answer);
	else
		ask_delayed(w, address, ask, now, answer);
}
