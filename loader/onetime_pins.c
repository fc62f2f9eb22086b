// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of onetime: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "attach.h"
#include "machine.h"
#include "onetime.h"
#include "pins.h"
#include "sysctl.h"

#define PIN(field, key, value)                                                                     \
	{                                                                                          \
		offsetof(struct onetime_pins, field), "onetime_" #field, sizeof(key),              \
			sizeof(value)                                                              \
	}

static const struct pins_map pin_table[] = {
	PIN(conf, __u32, struct onetime_conf),
	PIN(pool, struct onetime_prefix, struct onetime_pool),
	PIN(addr, struct isthmus_addr, struct onetime_addr),
	PIN(listener, __u32, struct onetime_listener),
	PIN(flow, struct onetime_flow_key, struct onetime_flow),
	PIN(udp, struct onetime_udp_key, struct onetime_udp),
	PIN(user, __u32, __u32),
	PIN(stats, __u32, struct isthmus_count),
};

void onetime_pins_none(struct onetime_pins *pins)
{
	memset(pins, 0xff, sizeof(*pins)); /* -1 each */
}

void onetime_pins_close(struct onetime_pins *pins)
{
	pins_close(pin_table, COUNT_OF(pin_table), pins);
}

int onetime_conf_read(const struct onetime_pins *pins, struct onetime_conf *conf)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(pins->conf, &key, conf) ? -errno : 0;
}

int onetime_conf_write(const struct onetime_pins *pins, const struct onetime_conf *conf)
{
	__u32 key = 0;

	return bpf_map_update_elem(pins->conf, &key, conf, BPF_EXIST) ? -errno : 0;
}

int onetime_pins_open(const char *instance, const char *directory, struct onetime_pins *pins)
{
	struct onetime_pins opened;
	struct onetime_conf conf;
	int err = pins_open(instance, directory, pin_table, COUNT_OF(pin_table), &opened);

	if (err)
		return err;
	err = onetime_conf_read(&opened, &conf);
	if (!err && conf.abi != ONETIME_ABI)
		err = -EPROTO;
	if (err)
		onetime_pins_close(&opened);
	else
		*pins = opened;
	return err;
}

int onetime_check_netns(const struct onetime_conf *conf)
{
	uint64_t here;
	int err = machine_netns(&here);

	if (err)
		return complain_pins(err, NULL, ONETIME_STEM);
	if (here == conf->netns)
		return EXIT_DONE;
	return complain(EXIT_FAILED,
			"onetime: it is attached in another network namespace (%llu, this is "
			"%llu); run this there: `nsenter --net=/run/netns/NAME`",
			(unsigned long long)conf->netns, (unsigned long long)here);
}

uint64_t onetime_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * ONETIME_NS_PER_S + now.tv_nsec;
}

void onetime_put_of(const struct onetime_link *link, struct put *put)
{
	*put = (struct put){
		.hook = PUT_HOOK_TC,
		.tc = link->tc,
		.in = { .handle = link->in_handle, .priority = link->in_priority },
		.out = { .handle = link->out_handle, .priority = link->out_priority },
	};
}

void onetime_put_note(struct onetime_link *link, const struct put *put)
{
	link->tc = put->tc;
	link->in_handle = put->in.handle;
	link->in_priority = put->in.priority;
	link->out_handle = put->out.handle;
	link->out_priority = put->out.priority;
}

void onetime_put_place(const char *instance, const char *directory, const struct onetime_pins *pins,
		       const struct onetime_conf *conf, const struct onetime_link *link,
		       struct put_place *place)
{
	*place = (struct put_place){
		.instance = instance,
		.directory = directory,
		.ifindex = link->ifindex,
		.map_fd = pins->stats, /* every program counts */
		.netns = conf->netns,
	};
}

/* ---- taking all away */

static int remove_link(const char *instance, const char *directory, const struct onetime_pins *pins,
		       struct onetime_conf *conf, struct onetime_link *link)
{
	const struct put none = {};
	struct put_place place;
	struct put put;
	int err;

	onetime_put_place(instance, directory, pins, conf, link, &place);
	onetime_put_of(link, &put);
	err = put_off(&place, &put);
	if (err)
		return err;
	onetime_put_note(link, &none);
	return onetime_conf_write(pins, conf);
}

/* The inode of the namespace, 0 if it has ended, as the link of its look-up tells it: 0 or -errno.
 */
static int netns_of(const char *instance, const char *directory, uint32_t *inode)
{
	char path[512];
	int err = pins_link_path(instance, directory, "lookup", 0, path, sizeof(path));

	return err ?: attach_netns_info(path, inode);
}

static void take_back_sysctls(const struct onetime_conf *conf)
{
	if (conf->nonlocal & ONETIME_NONLOCAL_6)
		sysctl_write("net/ipv6/ip_nonlocal_bind", 0);
	if (conf->nonlocal & ONETIME_NONLOCAL_4)
		sysctl_write("net/ipv4/ip_nonlocal_bind", 0);
}

/*
 * Routes first: a pool's address without the programs is open to any wildcard listener. So where
 * routes cannot be removed, nothing is. Devices that could not be cleared.
 */
static unsigned int remove_here(const char *instance, const char *directory,
				const struct onetime_pins *pins, struct onetime_conf *conf)
{
	unsigned int stuck = 0;

	if (onetime_pools_end(pins, conf))
		return conf->links;
	take_back_sysctls(conf);
	for (unsigned int i = 0; i < ONETIME_LINKS; i++)
		if (conf->link[i].ifindex &&
		    remove_link(instance, directory, pins, conf, &conf->link[i]))
			stuck++;
	return stuck;
}

/*
 * Of another ABI, or not all of its maps are there: what its pools are is not known, so the local
 * routes of all go, of other instances too. Without the look-up's link there are no pools yet.
 */
static unsigned int remove_unknown(const char *instance, const char *directory)
{
	uint32_t netns;
	uint64_t here;

	if (netns_of(instance, directory, &netns) || !netns)
		return 0;
	return machine_netns(&here) || here != netns || onetime_routes_end();
}

static unsigned int remove_all(const char *instance, const char *directory,
			       const struct onetime_pins *pins)
{
	struct onetime_conf conf;
	uint64_t here;
	uint32_t netns;

	if (onetime_conf_read(pins, &conf) || machine_netns(&here))
		return 1;
	if (here == conf.netns)
		return remove_here(instance, directory, pins, &conf);
	/* With the namespace went its devices and routes. */
	return !netns_of(instance, directory, &netns) && !netns ? 0 : conf.links;
}

int onetime_remove(const char *instance, const char *directory, unsigned int *stuck)
{
	struct onetime_pins pins;

	*stuck = 0;
	if (onetime_pins_open(instance, directory, &pins)) {
		*stuck = remove_unknown(instance, directory);
	} else {
		*stuck = remove_all(instance, directory, &pins);
		onetime_pins_close(&pins);
	}
	return *stuck ? 0 : pins_remove(instance, directory);
}
