// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Cascade (paper III): this gateway has a set of an address from a gateway above, whose LAN is our
 * uplink. There we answer for that set; our own hosts have finer sets of it, and what is outside of
 * it is beyond the uplink.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "../lib/msg.h"
#include "host.h"
#include "op.h"
#include "restore.h"
#include "state.h"

struct upstream {
	struct portset set;
	uint8_t mac[6]; /* the gateway above, on our uplink */
	char device[IF_NAMESIZE];
};

static const char *state_name(char name[32], uint32_t addr_be)
{
	snprintf(name, 32, "upstream %08x", addr_be);
	return name;
}

static bool upstream_read(const struct agent *agent, uint32_t addr_be, struct upstream *upstream)
{
	unsigned int a, k, psid, byte[6];
	char name[32], text[128];

	if (!agent->state ||
	    !state_saved(agent->state, state_name(name, addr_be), text, sizeof(text)))
		return false;
	if (sscanf(text, "%u %u %u %x:%x:%x:%x:%x:%x %15s", &a, &k, &psid, &byte[0], &byte[1],
		   &byte[2], &byte[3], &byte[4], &byte[5], upstream->device) != 10)
		return false;
	upstream->set = (struct portset){ a, k, psid };
	for (int i = 0; i < 6; i++)
		upstream->mac[i] = byte[i];
	return portset_valid(&upstream->set);
}

/* Is a finer set of this address within ours? */
static bool within(const struct upstream *upstream, const struct portarp_addr *record,
		   uint32_t psid)
{
	return upstream->set.a == record->a && record->k >= upstream->set.k &&
	       psid >> (record->k - upstream->set.k) == upstream->set.psid;
}

static void mark(struct agent *agent, struct shared *shared, const struct upstream *upstream)
{
	for (uint32_t psid = 0; psid < 1u << shared->record.k; psid++) {
		uint32_t owner = shared->record.first + psid;
		union owner_word now = owner_load(table_word(&agent->table, owner));

		if (within(upstream, &shared->record, psid))
			continue;
		if (now.owner.wait & PORTARP_OWNER_UP && !memcmp(now.owner.mac, upstream->mac, 6))
			continue;
		hold_answer(agent, owner, upstream->mac, PORTARP_OWNER_UP);
	}
	shared->up = true;
}

bool upstream_is_outside(const struct agent *agent, const struct shared *shared,
			 const struct ports *ports)
{
	struct upstream upstream;

	if (!shared->up || !upstream_read(agent, shared->addr_be, &upstream))
		return false;
	for (uint32_t i = 0; i < ports_count(ports); i++)
		if (!portset_has(&upstream.set, ports_nth(ports, i)))
			return true;
	return false;
}

static int write_up(struct agent *agent, const struct portarp_link *link, uint32_t addr_be,
		    const struct upstream *upstream)
{
	struct portarp_mine mine = { .set = upstream->set, .sets = 1, .ifindex = link->ifindex };
	struct portarp_conf *conf = &agent->maps.conf;
	int err;

	conf->up_ifindex = link->ifindex;
	memcpy(conf->up_mac, link->mac, 6);
	err = maps_write_conf(&agent->maps);
	if (!err)
		err = map_put(&agent->maps, MAP_MINE, &addr_be, &mine);
	if (!err)
		host_announce(agent, addr_be, &mine, PORTARP_ARP_ANNOUNCE);
	return err;
}

/* The maps may be new: then what is said upstream is written again. */
static void write_again(struct agent *agent, uint32_t addr_be, const struct upstream *upstream)
{
	const struct portarp_link *link = agent_link(agent, if_nametoindex(upstream->device));
	struct portarp_mine mine;

	if (link && map_get(&agent->maps, MAP_MINE, &addr_be, &mine))
		write_up(agent, link, addr_be, upstream);
}

void restore_upstream(struct agent *agent, struct shared *shared)
{
	struct upstream upstream;

	if (agent->role != PORTARP_GATEWAY || !upstream_read(agent, shared->addr_be, &upstream))
		return;
	write_again(agent, shared->addr_be, &upstream);
	mark(agent, shared, &upstream);
}

static void save(struct agent *agent, uint32_t addr_be, const struct upstream *upstream)
{
	const uint8_t *mac = upstream->mac;
	char name[32], text[128];

	snprintf(text, sizeof(text), "%u %u %u %02x:%02x:%02x:%02x:%02x:%02x %s", upstream->set.a,
		 upstream->set.k, upstream->set.psid, mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5], upstream->device);
	state_forget(agent->state, state_name(name, addr_be));
	state_save(agent->state, name, text);
}

void upstream_op(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct upstream upstream = { 0 };
	const struct portarp_link *link;
	struct shared *shared;
	struct ports ports;
	uint32_t addr_be, ifindex;
	int err;

	if (!op_address(request, &addr_be, result) || !op_ports(request, &ports, result) ||
	    !op_mac(request, "gateway_mac", upstream.mac, result) ||
	    !op_device(agent, request, PORTARP_UPLINK, &ifindex, result))
		return;
	link = agent_link(agent, ifindex);
	if (!if_indextoname(ifindex, upstream.device))
		strcpy(upstream.device, "?");
	if (ports.range || !link) {
		op_fail(result, "bad-request", "offset, length and psid of a set are needed");
		return;
	}
	upstream.set = ports.set;
	err = write_up(agent, link, addr_be, &upstream);
	if (err) {
		op_fail_errno(result, err);
		return;
	}
	save(agent, addr_be, &upstream);
	shared = table_find(&agent->table, addr_be);
	if (shared)
		restore_upstream(agent, shared);
}
