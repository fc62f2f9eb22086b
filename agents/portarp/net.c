// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A host's address that others have as well. The kernel must take what comes in for it from the LAN
 *as its own, and send what it makes for it out to the LAN, where portarp_lan_out finds the right
 *sharer:
 *
 *	RULE_IN    iif DEV lookup TABLE		local ADDRESS dev DEV		what comes in
 *	RULE_LOCAL lookup local			(ADDRESS is not there)
 *	32766      lookup main			ADDRESS dev DEV scope link src ADDRESS
 *						default via GATEWAY dev DEV src ADDRESS
 *
 * An address of scope host is not answered for in ordinary ARP where arp_ignore is 3. What was
 *there before is in the state file and is put back with the last address.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "host.h"
#include "lan.h"
#include "rt.h"
#include "state.h"

#define TABLE_IN   15900
#define RULE_IN	   10
#define RULE_LOCAL 11
#define RULE_FIRST 0

#define VALUE_LEN 65536 /* a list of reserved ports */

static const char *const host_wide[][2] = { { "ip_nonlocal_bind", "1" } };
static const char *const of_device[][2] = { { "accept_local", "1" },
					    { "rp_filter", "0" },
					    { "arp_ignore", "3" } };

/* ---- sysctls */

static void set_saved(struct agent *agent, const char *name, const char *value)
{
	char *before = malloc(VALUE_LEN);
	int err = before ? rt_sysctl_read(name, before, VALUE_LEN) : -ENOMEM;

	if (!err) {
		state_save(agent->state, name, before);
		err = strcmp(before, value) ? rt_sysctl_write(name, value) : 0;
	}
	if (err)
		log_error("net.ipv4.%s cannot be set to %.40s: %s", name, value, strerror(-err));
	free(before);
}

static void put_back(struct agent *agent, const char *name)
{
	char *before = malloc(VALUE_LEN);
	int err = 0;

	if (before && state_saved(agent->state, name, before, VALUE_LEN)) {
		err = rt_sysctl_write(name, before);
		state_forget(agent->state, name);
	}
	if (err)
		log_error("net.ipv4.%s cannot be set back to %.40s: %s", name, before,
			  strerror(-err));
	free(before);
}

static const char *device_name(char name[64], const char *device, const char *key)
{
	snprintf(name, 64, "conf/%s/%s", device, key);
	return name;
}

static void set_sysctls(struct agent *agent, const char *device)
{
	char name[64];

	for (size_t i = 0; i < sizeof(host_wide) / sizeof(host_wide[0]); i++)
		set_saved(agent, host_wide[i][0], host_wide[i][1]);
	for (size_t i = 0; i < sizeof(of_device) / sizeof(of_device[0]); i++)
		set_saved(agent, device_name(name, device, of_device[i][0]), of_device[i][1]);
}

/* ---- rules and routes */

/* Is this so already? Then a second attempt after a restart has nothing to do. */
static int unless(int err, int expected)
{
	return err == expected ? 0 : err;
}

static int add_rules(struct agent *agent, const char *device)
{
	int err = unless(rt_rule(agent->lan->rt, true, RULE_IN, TABLE_IN, device, RT_PROTOCOL),
			 -EEXIST);

	if (!err)
		err = unless(rt_rule(agent->lan->rt, true, RULE_LOCAL, RT_TABLE_LOCAL, NULL,
				     RT_PROTOCOL),
			     -EEXIST);
	if (!err &&
	    !rt_rule(agent->lan->rt, false, RULE_FIRST, RT_TABLE_LOCAL, NULL, RTPROT_KERNEL))
		state_save(agent->state, "rule", "0");
	return err;
}

static void remove_rules(struct agent *agent, const char *device, bool last)
{
	char was[8];

	rt_rule(agent->lan->rt, false, RULE_IN, TABLE_IN, device, RT_PROTOCOL);
	if (!last)
		return;
	if (state_saved(agent->state, "rule", was, sizeof(was))) {
		rt_rule(agent->lan->rt, true, RULE_FIRST, RT_TABLE_LOCAL, NULL, RTPROT_KERNEL);
		state_forget(agent->state, "rule");
	}
	rt_rule(agent->lan->rt, false, RULE_LOCAL, RT_TABLE_LOCAL, NULL, RT_PROTOCOL);
}

static struct rt_route local_route(const struct own *own, uint32_t table)
{
	return (struct rt_route){ .dst_be = own->addr_be,
				  .len = 32,
				  .ifindex = own->ifindex,
				  .table = table,
				  .type = RTN_LOCAL,
				  .scope = RT_SCOPE_HOST,
				  .protocol = table == TABLE_IN ? RT_PROTOCOL : 0 };
}

static struct rt_route link_route(const struct own *own, uint8_t len)
{
	uint32_t mask = len ? htonl(~0u << (32 - len)) : 0;

	return (struct rt_route){ .dst_be = own->addr_be & mask,
				  .len = len,
				  .src_be = own->addr_be,
				  .ifindex = own->ifindex,
				  .table = RT_TABLE_MAIN,
				  .type = RTN_UNICAST,
				  .scope = RT_SCOPE_LINK,
				  .protocol = RT_PROTOCOL };
}

static struct rt_route default_route(const struct own *own)
{
	return (struct rt_route){ .gateway_be = own->gateway_be,
				  .src_be = own->addr_be,
				  .ifindex = own->ifindex,
				  .table = RT_TABLE_MAIN,
				  .type = RTN_UNICAST,
				  .scope = RT_SCOPE_UNIVERSE,
				  .protocol = RT_PROTOCOL };
}

/* The kernel takes no `src` that is in no local table: it is there until all routes stand. */
static int add_route(struct agent *agent, const struct rt_route *route)
{
	int err = rt_route(agent->lan->rt, true, route);

	if (err == -EINVAL) {
		struct rt_route local = { .dst_be = route->src_be,
					  .len = 32,
					  .src_be = route->src_be,
					  .ifindex = route->ifindex,
					  .table = RT_TABLE_LOCAL,
					  .type = RTN_LOCAL,
					  .scope = RT_SCOPE_HOST,
					  .protocol = RTPROT_KERNEL };

		rt_route(agent->lan->rt, true, &local);
		err = rt_route(agent->lan->rt, true, route);
	}
	return unless(err, -EEXIST);
}

static int add_routes(struct agent *agent, const struct own *own)
{
	struct rt_route in = local_route(own, TABLE_IN), local = local_route(own, RT_TABLE_LOCAL);
	struct rt_route link = link_route(own, 32), prefix = link_route(own, own->prefix);
	struct rt_route out = default_route(own);
	int err = unless(rt_route(agent->lan->rt, true, &in), -EEXIST);

	if (!err)
		err = add_route(agent, &link);
	if (!err && own->prefix && own->prefix < 32)
		err = add_route(agent, &prefix);
	if (!err && own->gateway_be)
		err = add_route(agent, &out);
	/* From here on what this machine sends to the address leaves it. */
	if (!err)
		err = unless(rt_route(agent->lan->rt, false, &local), -ESRCH);
	return err;
}

int net_add(struct agent *agent, const struct own *own)
{
	int err;

	set_sysctls(agent, own->device);
	err = add_rules(agent, own->device);
	if (!err)
		err = unless(rt_address(agent->lan->rt, true, own->addr_be, own->ifindex), -EEXIST);
	if (!err)
		err = add_routes(agent, own);
	/* The kernel never asks for it: portarp_lan_out knows the MAC of the port's owner. */
	if (!err)
		err = rt_neighbour(agent->lan->rt, true, own->addr_be, own->ifindex, lan_nobody);
	return err;
}

int net_change(struct agent *agent, const struct own *from, const struct own *to)
{
	struct rt_route out = default_route(from), prefix = link_route(from, from->prefix);

	if (from->gateway_be)
		rt_route(agent->lan->rt, false, &out);
	if (from->prefix && from->prefix < 32 && from->prefix != to->prefix)
		rt_route(agent->lan->rt, false, &prefix);
	return add_routes(agent, to);
}

static bool others_on_device(const struct agent *agent, const struct own *own)
{
	const struct own *other;

	TAILQ_FOREACH(other, &agent->own, link)
	if (other != own && other->ifindex == own->ifindex)
		return true;
	return false;
}

void net_remove(struct agent *agent, const struct own *own)
{
	struct rt_route in = local_route(own, TABLE_IN), out = default_route(own);
	struct rt_route link = link_route(own, 32), prefix = link_route(own, own->prefix);
	bool last = TAILQ_FIRST(&agent->own) == own && !TAILQ_NEXT(own, link);
	char name[64];

	rt_neighbour(agent->lan->rt, false, own->addr_be, own->ifindex, lan_nobody);
	if (own->gateway_be)
		rt_route(agent->lan->rt, false, &out);
	if (own->prefix && own->prefix < 32)
		rt_route(agent->lan->rt, false, &prefix);
	rt_route(agent->lan->rt, false, &link);
	rt_route(agent->lan->rt, false, &in);
	rt_address(agent->lan->rt, false, own->addr_be, own->ifindex);
	if (others_on_device(agent, own))
		return;
	remove_rules(agent, own->device, last);
	for (size_t i = sizeof(of_device) / sizeof(of_device[0]); i-- > 0;)
		put_back(agent, device_name(name, own->device, of_device[i][0]));
	for (size_t i = 0; last && i < sizeof(host_wide) / sizeof(host_wide[0]); i++)
		put_back(agent, host_wide[i][0]);
}

/* ---- automatic ports */

/* Where a default route's source is an address, automatic ports are its; else those of all. */
static bool counts(const struct agent *agent, const struct own *own)
{
	const struct own *other;

	if (own->gateway_be)
		return true;
	TAILQ_FOREACH(other, &agent->own, link)
	if (other->gateway_be)
		return false;
	return true;
}

static void write_ports(struct agent *agent, const bool *has)
{
	char least[16] = "1024", range[16], *kept = calloc(1, VALUE_LEN);
	char *reserved = malloc(VALUE_LEN);
	int err = kept && reserved ? 0 : -ENOMEM;

	rt_sysctl_read("ip_unprivileged_port_start", least, sizeof(least));
	if (!err && !state_saved(agent->state, "ip_local_reserved_ports", kept, VALUE_LEN))
		rt_sysctl_read("ip_local_reserved_ports", kept, VALUE_LEN);
	if (!err)
		err = mine_automatic(has, atoi(least), kept, range, reserved, VALUE_LEN);
	if (!err) {
		set_saved(agent, "ip_local_reserved_ports", reserved);
		set_saved(agent, "ip_local_port_range", range);
	} else {
		log_warn("no port for automatic choice: %s; ports from %s on are needed",
			 strerror(-err), least);
	}
	free(kept);
	free(reserved);
}

void net_ports(struct agent *agent)
{
	bool *has = calloc(65536, sizeof(*has));
	const struct own *own;

	if (TAILQ_EMPTY(&agent->own)) {
		put_back(agent, "ip_local_port_range");
		put_back(agent, "ip_local_reserved_ports");
	}
	TAILQ_FOREACH(own, &agent->own, link)
	for (uint32_t port = 0; has && counts(agent, own) && port < 65536; port++)
		has[port] |= mine_has_port(&own->mine, port);
	if (has && !TAILQ_EMPTY(&agent->own))
		write_ports(agent, has);
	free(has);
}
