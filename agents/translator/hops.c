// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Legs keep their next hop. When a route, address, link or neighbour changes, splice_conf.epoch is
 * raised and each leg looks up again. And because forwarded packets never pass the host's neighbour
 * code, entries in use would grow stale and vanish: every 10 s those of the legs' next hops are
 * used, so that the kernel probes them as traffic would make it do.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "kernel.h"
#include "../lib/neighbour.h"

#define USED_MAX     1024 /* next hops; a power of two */
#define USED_FULL    768
#define CACHE_SLOTS  8192 /* neighbours whose last state is known; a power of two */
#define KEEP_ALIVE_S 10
#define EPOCH_GAP_NS (NS_PER_S / 20)

struct used_hop {
	uint32_t ifindex;
	uint8_t mac[6];
	bool tagged, taken, known; /* known: the host has a neighbour entry */
	struct isthmus_addr dst;   /* of one leg that goes there */
};

struct used_set {
	struct used_hop hop[USED_MAX];
	unsigned int count;
};

struct hops {
	struct translator *translator;
	struct neighbour_watch *watch;
	struct mnl_socket *query;
	struct event *raise, *keep_alive;
	uint64_t raised_ns;
	struct used_set sets[2], *noted, *used;
	struct neighbour cache[CACHE_SLOTS];
};

static uint32_t mix(uint32_t hash, const void *bytes, size_t len)
{
	const uint8_t *byte = bytes;

	while (len--)
		hash = (hash ^ *byte++) * 16777619u; /* FNV-1a */
	return hash;
}

/* ---- next hops in use */

void hops_note(struct hops *hops, const struct splice_leg *leg)
{
	uint32_t hash = mix(leg->hop.ifindex, leg->hop.dst_mac, 6);
	struct used_set *set = hops ? hops->noted : NULL;
	bool tagged = leg->hop.vlan_proto != 0;

	if (!set || !leg->hop.ifindex)
		return;
	for (uint32_t i = 0; i < USED_MAX; i++) {
		struct used_hop *hop = &set->hop[(hash + i) & (USED_MAX - 1)];

		if (!hop->taken) {
			if (set->count == USED_FULL)
				return;
			hop->taken = true;
			hop->ifindex = leg->hop.ifindex;
			memcpy(hop->mac, leg->hop.dst_mac, 6);
			hop->tagged = tagged;
			hop->dst = leg->new_dst;
			set->count++;
			return;
		}
		if (hop->ifindex == leg->hop.ifindex && hop->tagged == tagged &&
		    !memcmp(hop->mac, leg->hop.dst_mac, 6))
			return;
	}
}

void hops_swept(struct hops *hops)
{
	struct used_set *set;

	if (!hops)
		return;
	set = hops->used;
	hops->used = hops->noted;
	hops->noted = set;
	memset(set, 0, sizeof(*set));
}

/* A neighbour of a VLAN device belongs to hops that name its parent and a tag. */
static bool is_used(struct hops *hops, const struct neighbour *neighbour)
{
	bool used = false;

	for (uint32_t i = 0; i < USED_MAX; i++) {
		struct used_hop *hop = &hops->used->hop[i];

		if (!hop->taken || memcmp(hop->mac, neighbour->mac, 6) ||
		    (!hop->tagged && hop->ifindex != neighbour->ifindex))
			continue;
		hop->known = used = true;
	}
	return used;
}

struct stale {
	struct hops *hops;
	struct neighbour neighbour[USED_MAX];
	unsigned int count;
};

static void find_stale(const struct neighbour *neighbour, void *arg)
{
	struct stale *stale = arg;

	if (neighbour_is_valid(neighbour) && is_used(stale->hops, neighbour) &&
	    neighbour->state & NUD_STALE && stale->count < USED_MAX)
		stale->neighbour[stale->count++] = *neighbour;
}

static void use(struct hops *hops, const struct isthmus_addr *addr, uint32_t ifindex)
{
	if (!neighbour_use(hops->query, addr, ifindex))
		hops->translator->counters.neighbours_used++;
}

void hops_keep_alive(struct hops *hops)
{
	struct stale stale = { .hops = hops };

	for (uint32_t i = 0; i < USED_MAX; i++)
		hops->used->hop[i].known = false;
	if (!hops->used->count || neighbour_dump(hops->query, find_stale, &stale))
		return;
	for (unsigned int i = 0; i < stale.count; i++)
		use(hops, &stale.neighbour[i].addr, stale.neighbour[i].ifindex);
	for (uint32_t i = 0; i < USED_MAX; i++) {
		const struct used_hop *hop = &hops->used->hop[i];
		struct neighbour_route route;

		if (hop->taken && !hop->known && !neighbour_route(hops->query, &hop->dst, &route))
			use(hops, &route.hop, route.ifindex);
	}
}

static void on_keep_alive(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	hops_keep_alive(arg);
}

/* ---- changes */

static void raise_epoch(struct hops *hops)
{
	struct translator *t = hops->translator;
	int fd = t->kernel->fd[MAP_CONF];
	struct splice_conf conf;
	__u32 zero = 0;
	int err = bpf_map_lookup_elem(fd, &zero, &conf);

	if (!err) {
		conf.epoch++;
		err = bpf_map_update_elem(fd, &zero, &conf, BPF_EXIST);
	}
	if (err)
		log_warn("cannot raise splice_conf.epoch: %s", strerror(-err));
	hops->raised_ns = now_ns();
	t->counters.epochs++;
}

static void on_raise(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	raise_epoch(arg);
}

/* At most 20 times a second: each costs every leg a look-up. */
static void changed(struct hops *hops)
{
	uint64_t now = now_ns(), due = hops->raised_ns + EPOCH_GAP_NS;
	struct timeval wait = { 0, now < due ? (due - now) / 1000 + 1 : 0 };

	if (evtimer_pending(hops->raise, NULL))
		return;
	if (now >= due)
		raise_epoch(hops);
	else
		evtimer_add(hops->raise, &wait);
}

/* Ageing (reachable, stale, probe) is no change; a MAC or its loss is. */
static bool cache_put(struct hops *hops, const struct neighbour *neighbour)
{
	uint32_t hash = mix(neighbour->ifindex, neighbour->addr.b, 16);
	struct neighbour *slot = &hops->cache[hash & (CACHE_SLOTS - 1)];
	bool valid = neighbour_is_valid(neighbour);
	bool same = slot->ifindex == neighbour->ifindex &&
		    address_equal(&slot->addr, &neighbour->addr) &&
		    neighbour_is_valid(slot) == valid &&
		    (!valid || !memcmp(slot->mac, neighbour->mac, 6));

	*slot = *neighbour;
	return !same;
}

static void fill_cache(const struct neighbour *neighbour, void *arg)
{
	cache_put(arg, neighbour);
}

static void on_message(const struct nlmsghdr *message, void *arg)
{
	struct hops *hops = arg;
	struct neighbour neighbour;

	if (!message ||
	    (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH))
		changed(hops);
	else if (!neighbour_read(message, &neighbour) && cache_put(hops, &neighbour))
		changed(hops);
}

int hops_start(struct translator *t, char *error, size_t error_len)
{
	struct timeval often = { KEEP_ALIVE_S, 0 };
	struct hops *hops = calloc(1, sizeof(*hops));
	int err;

	if (!hops)
		return -ENOMEM;
	t->kernel->hops = hops;
	hops->translator = t;
	hops->noted = &hops->sets[0];
	hops->used = &hops->sets[1];
	hops->query = neighbour_query();
	err = hops->query ? neighbour_watch_new(t->base, on_message, hops, &hops->watch) : -errno;
	if (!err)
		err = neighbour_dump(hops->query, fill_cache, hops);
	if (err) {
		snprintf(error, error_len, "cannot watch routes and neighbours: %s",
			 strerror(-err));
		return err;
	}
	hops->raise = evtimer_new(t->base, on_raise, hops);
	hops->keep_alive = event_new(t->base, -1, EV_PERSIST, on_keep_alive, hops);
	if (!hops->raise || !hops->keep_alive || event_add(hops->keep_alive, &often))
		return -ENOMEM;
	changed(hops); /* what changed while no agent watched */
	return 0;
}

void hops_free(struct hops *hops)
{
	if (!hops)
		return;
	if (hops->raise)
		event_free(hops->raise);
	if (hops->keep_alive)
		event_free(hops->keep_alive);
	neighbour_watch_free(hops->watch);
	if (hops->query)
		mnl_socket_close(hops->query);
	free(hops);
}
