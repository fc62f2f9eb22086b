// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Role host: ports of an address that are this machine's. Other sharers are found as a gateway
 * finds them: the address is a shared one here too, its sets unknown until asked, but for our own,
 * which are NONE: no packet for them leaves.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "host.h"
#include "lan.h"
#include "state.h"

#define ANNOUNCES 3 /* a second apart */

struct own *host_find(const struct agent *agent, uint32_t addr_be)
{
	struct own *own;

	TAILQ_FOREACH(own, &agent->own, link)
	if (own->addr_be == addr_be)
		return own;
	return NULL;
}

static struct own_part *part_find(struct own *own, const struct ports *ports)
{
	for (unsigned int i = 0; i < own->parts; i++) {
		const struct ports *mine = &own->part[i].ports;

		if (mine->range != ports->range)
			continue;
		if (ports->range ? mine->low == ports->low && mine->high == ports->high
				 : !memcmp(&mine->set, &ports->set, sizeof(mine->set)))
			return &own->part[i];
	}
	return NULL;
}

/* ---- announcements */

static void announce(struct agent *agent, const struct portarp_link *link,
		     struct arp_message *message)
{
	uint8_t frame[ARP_FRAME_BYTES];

	memcpy(message->from, link->mac, 6);
	arp_build(message, agent->maps.conf.op_reply, frame);
	agent->send(agent, link->ifindex, frame, sizeof(frame));
}

void host_announce(struct agent *agent, uint32_t addr_be, const struct portarp_mine *mine,
		   uint8_t flag)
{
	const struct portarp_link *link = agent_link(agent, mine->ifindex);
	struct arp_message message = { .addr_be = addr_be, .lifetime_s = mine->lifetime_s };

	if (!link)
		return;
	for (unsigned int i = 0; i < mine->sets; i++) {
		message.flags = PORTARP_ARP_SET | flag;
		message.set = portarp_mine_set(mine, i);
		message.port = portset_range_first(&message.set, 0);
		announce(agent, link, &message);
	}
	for (int i = 0; i < mine->ranges; i++) {
		message.flags = PORTARP_ARP_RANGE | flag;
		message.low = message.port = mine->range[i].low;
		message.high = mine->range[i].high;
		announce(agent, link, &message);
	}
}

/* ---- where other sharers are found */

/* Set sizes of the address: those of its sets, or one set of everything if it has ranges alone. */
static void set_size(const struct own *own, struct portarp_addr *record)
{
	record->a = record->k = 0;
	for (unsigned int i = 0; i < own->parts; i++) {
		if (own->part[i].ports.range)
			continue;
		record->a = own->part[i].ports.set.a;
		record->k = own->part[i].ports.set.k;
	}
}

static void steer_remove(struct agent *agent, struct shared *shared)
{
	struct grant *grant;

	while ((grant = TAILQ_FIRST(&shared->grants)))
		claim_release(agent, grant, "forgotten");
	for (uint32_t i = 0; i < 1u << shared->record.k; i++)
		hold_drop(agent, shared->record.first + i);
	table_remove(&agent->table, shared);
}

static int steer_address(struct agent *agent, const struct own *own, struct shared **result)
{
	const struct portarp_link *link = agent_link(agent, own->ifindex);
	struct shared *shared = table_find(&agent->table, own->addr_be);
	struct portarp_addr record = { .ifindex = own->ifindex, .flags = PORTARP_ADDR_OPEN };

	if (!link)
		return -ENODEV;
	set_size(own, &record);
	if (shared && (shared->record.a != record.a || shared->record.k != record.k)) {
		steer_remove(agent, shared);
		shared = NULL;
	}
	*result = shared;
	if (shared)
		return 0;
	memcpy(record.src_mac, link->mac, 6);
	record.mtu = link->mtu;
	return table_add(&agent->table, own->addr_be, &record, result);
}

static int steer_part(struct agent *agent, struct shared *shared, const struct ports *ports)
{
	struct grant *grant = table_grant_find(&agent->table, shared, ports);
	int err;

	/* Whoever else has claimed it: it has been given to us. */
	if (grant && memcmp(grant->mac, shared->record.src_mac, 6))
		claim_release(agent, grant, "taken");
	err = table_give(&agent->table, shared, ports, shared->record.src_mac, true, &grant);
	if (err)
		return err;
	owner_change(table_word(&agent->table, grant->owner), NULL, PORTARP_OWNER_NONE);
	hold_drop(agent, grant->owner);
	return 0;
}

static int steer(struct agent *agent, const struct own *own)
{
	struct shared *shared;
	int err = steer_address(agent, own, &shared);

	for (unsigned int i = 0; !err && i < own->parts; i++)
		err = steer_part(agent, shared, &own->part[i].ports);
	return err;
}

/* ---- use */

/* portarp_conf.own: what a bind of all addresses at once is held against. */
static void tell_own(struct agent *agent)
{
	struct own *own;
	unsigned int count = 0;

	if (maps_read_conf(&agent->maps))
		return;
	memset(agent->maps.conf.own, 0, sizeof(agent->maps.conf.own));
	TAILQ_FOREACH(own, &agent->own, link)
	if (own->parts && count < PORTARP_OWN)
		agent->maps.conf.own[count++] = own->addr_be;
	maps_write_conf(&agent->maps);
}

static int rebuild(struct agent *agent, struct own *own)
{
	struct portarp_mine mine = { .ifindex = own->ifindex };
	int err = mine_build(own->part, own->parts, agent->clock_s(), agent->clock_ms() * NS_PER_MS,
			     &mine);

	if (err)
		return err;
	own->mine = mine;
	return 0;
}

static void save_part(struct agent *agent, const struct own *own, const struct own_part *part)
{
	struct state_own saved = { .addr_be = own->addr_be,
				   .ports = part->ports,
				   .ends_s = part->ends_s,
				   .gateway_be = own->gateway_be,
				   .prefix = own->prefix };

	memcpy(saved.device, own->device, sizeof(saved.device));
	state_put_own(agent->state, &saved);
}

static unsigned int own_count(const struct agent *agent)
{
	const struct own *own;
	unsigned int count = 0;

	TAILQ_FOREACH(own, &agent->own, link)
	count++;
	return count;
}

/* A renewed lease may name another gateway or prefix; what it does not name stays. */
static int follow(struct agent *agent, struct own *own, const struct host_request *request)
{
	struct own before = *own;
	int err;

	if (request->gateway_be)
		own->gateway_be = request->gateway_be;
	if (request->prefix)
		own->prefix = request->prefix;
	if (own->gateway_be == before.gateway_be && own->prefix == before.prefix)
		return 0;
	err = net_change(agent, &before, own);
	if (err) {
		net_change(agent, own, &before);
		own->gateway_be = before.gateway_be;
		own->prefix = before.prefix;
		return err;
	}
	for (unsigned int i = 0; i < own->parts; i++)
		save_part(agent, own, &own->part[i]);
	return 0;
}

static struct own *own_new(struct agent *agent, const struct host_request *request)
{
	struct own *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	own->addr_be = request->addr_be;
	own->gateway_be = request->gateway_be;
	own->ifindex = request->ifindex;
	own->prefix = request->prefix;
	if (!if_indextoname(own->ifindex, own->device)) {
		free(own);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&agent->own, own, link);
	return own;
}

static void own_remove(struct agent *agent, struct own *own)
{
	struct shared *shared = table_find(&agent->table, own->addr_be);

	map_delete(&agent->maps, MAP_MINE, &own->addr_be);
	net_remove(agent, own);
	if (shared)
		steer_remove(agent, shared);
	TAILQ_REMOVE(&agent->own, own, link);
	tell_own(agent);
	free(own);
}

/* The maps first, so that nothing leaks, then the kernel, then the others on the LAN are told. */
static int put_in_use(struct agent *agent, struct own *own, bool first)
{
	int err = steer(agent, own);

	if (!err)
		err = map_put(&agent->maps, MAP_MINE, &own->addr_be, &own->mine);
	if (!err && first)
		err = net_add(agent, own);
	if (err)
		return err;
	tell_own(agent);
	net_ports(agent);
	own->announces = ANNOUNCES - 1;
	host_announce(agent, own->addr_be, &own->mine, PORTARP_ARP_ANNOUNCE);
	return 0;
}

static int add_part(struct agent *agent, struct own *own, const struct host_request *request)
{
	struct own_part *part;

	if (own->parts == OWN_PARTS)
		return -ENOSPC;
	part = &own->part[own->parts++];
	part->ports = request->ports;
	part->ends_s = request->ends_s;
	return rebuild(agent, own);
}

int host_use(struct agent *agent, const struct host_request *request)
{
	struct own *own = host_find(agent, request->addr_be);
	struct own_part *part = own ? part_find(own, &request->ports) : NULL;
	bool first = !own;
	int err = 0;

	if (own && own->ifindex != request->ifindex)
		return -EBUSY;
	if (own)
		err = follow(agent, own, request);
	if (err)
		return err;
	if (part) { /* a lease that goes on */
		part->ends_s = request->ends_s;
		save_part(agent, own, part);
		rebuild(agent, own);
		return map_put(&agent->maps, MAP_MINE, &own->addr_be, &own->mine);
	}
	if (!own && own_count(agent) == PORTARP_OWN)
		return -ENOSPC; /* portarp_conf.own: binds to an address beyond it were not checked
				 */
	if (!own)
		own = own_new(agent, request);
	if (!own)
		return -ENODEV;
	err = add_part(agent, own, request);
	if (!err)
		err = put_in_use(agent, own, first);
	if (!err) {
		save_part(agent, own, &own->part[own->parts - 1]);
		return 0;
	}
	if (first) {
		own_remove(agent, own);
		net_ports(agent);
	} else if (own->parts && part_find(own, &request->ports)) {
		own->parts--;
		rebuild(agent, own);
	}
	return err;
}

/* ---- unuse */

static void release_part(struct agent *agent, struct own *own, struct own_part *part)
{
	struct shared *shared = table_find(&agent->table, own->addr_be);
	struct own_part gone = *part;
	struct grant *grant;
	struct portarp_mine given_up = { .ifindex = own->ifindex };

	state_delete_own(agent->state, own->addr_be, &gone.ports);
	*part = own->part[--own->parts];
	if (!mine_build(&gone, 1, agent->clock_s(), 0, &given_up))
		host_announce(agent, own->addr_be, &given_up, PORTARP_ARP_RELEASE);
	if (!own->parts)
		return;
	rebuild(agent, own);
	map_put(&agent->maps, MAP_MINE, &own->addr_be, &own->mine);
	grant = shared ? table_grant_find(&agent->table, shared, &gone.ports) : NULL;
	if (grant)
		claim_release(agent, grant, "released");
}

int host_unuse(struct agent *agent, uint32_t addr_be, const struct ports *ports)
{
	struct own *own = host_find(agent, addr_be);
	struct own_part *part = own && ports ? part_find(own, ports) : NULL;

	if (!own || (ports && !part))
		return -ENOENT;
	if (part)
		release_part(agent, own, part);
	while (!ports && own->parts)
		release_part(agent, own, &own->part[0]);
	if (!own->parts)
		own_remove(agent, own);
	net_ports(agent);
	return 0;
}

static void expire_parts(struct agent *agent, struct own *own)
{
	int64_t now_s = agent->clock_s();
	uint32_t addr_be = own->addr_be;

	for (unsigned int i = 0; i < own->parts; i++) {
		struct ports ports = own->part[i].ports;

		if (!own->part[i].ends_s || own->part[i].ends_s > now_s)
			continue;
		agent->counter[COUNT_EXPIRED]++;
		host_unuse(agent, addr_be, &ports);
		if (host_find(agent, addr_be) != own)
			return;
		i--;
	}
}

void host_expire(struct agent *agent)
{
	struct own *own, *next;

	for (own = TAILQ_FIRST(&agent->own); own; own = next) {
		next = TAILQ_NEXT(own, link);
		if (own->announces) {
			own->announces--;
			host_announce(agent, own->addr_be, &own->mine, PORTARP_ARP_ANNOUNCE);
		}
		expire_parts(agent, own);
	}
}

/* ---- after a restart, or when a device has come back */

#define OWN_ALL 1024

struct owns {
	struct state_own own[OWN_ALL];
	unsigned int count;
};

static void collect(const struct state_own *own, void *arg)
{
	struct owns *owns = arg;

	if (owns->count < OWN_ALL)
		owns->own[owns->count++] = *own;
}

static void restore_one(struct agent *agent, const struct state_own *saved)
{
	struct shared *shared = table_find(&agent->table, saved->addr_be);
	struct host_request request = { .addr_be = saved->addr_be,
					.gateway_be = saved->gateway_be,
					.prefix = saved->prefix,
					.ifindex = if_nametoindex(saved->device),
					.ports = saved->ports,
					.ends_s = saved->ends_s };
	struct grant *grant;
	int err;

	/* A range has its place already, if the maps are those of before. */
	if (shared)
		table_adopt_grant(&agent->table, shared, &saved->ports, shared->record.src_mac,
				  true, &grant);
	err = host_use(agent, &request);
	if (err)
		log_error("own ports on %s were not taken up again: %s", saved->device,
			  strerror(-err));
}

void host_restore(struct agent *agent)
{
	struct owns *owns = calloc(1, sizeof(*owns));

	if (!owns)
		return;
	state_owns(agent->state, collect, owns);
	for (unsigned int i = 0; i < owns->count; i++)
		restore_one(agent, &owns->own[i]);
	free(owns);
}

void host_link_up(struct agent *agent, uint32_t ifindex)
{
	struct own *own;

	TAILQ_FOREACH(own, &agent->own, link)
	{
		if (own->ifindex != ifindex)
			continue;
		if (net_add(agent, own))
			log_error("%s: addresses and routes were not put back", own->device);
		own->announces = ANNOUNCES;
	}
}

void host_free(struct agent *agent)
{
	struct own *own;

	while ((own = TAILQ_FIRST(&agent->own))) {
		TAILQ_REMOVE(&agent->own, own, link);
		free(own);
	}
}
