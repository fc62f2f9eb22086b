// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of portarp: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "pins.h"
#include "portarp.h"

#define PIN(field, key, value)                                                                     \
	{                                                                                          \
		offsetof(struct portarp_pins, field), "portarp_" #field, sizeof(key),              \
			sizeof(value)                                                              \
	}

static const struct pins_map pin_table[] = {
	PIN(conf, __u32, struct portarp_conf),
	PIN(addr, __be32, struct portarp_addr),
	PIN(port, __u32, __u32),
	PIN(owner, __u32, struct portarp_owner),
	PIN(sharer, struct portarp_sharer_key, __u32),
	PIN(mine, __be32, struct portarp_mine),
	PIN(flow, struct portarp_flow_key, struct portarp_flow),
	PIN(ident, struct portarp_ident_key, struct portarp_ident),
	PIN(frag, struct portarp_frag_key, struct portarp_frag),
	PIN(use, __u32, __u64),
	PIN(stats, __u32, struct isthmus_count),
};

void portarp_pins_none(struct portarp_pins *pins)
{
	memset(pins, 0xff, sizeof(*pins)); /* -1 each */
}

void portarp_pins_close(struct portarp_pins *pins)
{
	pins_close(pin_table, COUNT_OF(pin_table), pins);
}

int portarp_conf_read(const struct portarp_pins *pins, struct portarp_conf *conf)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(pins->conf, &key, conf) ? -errno : 0;
}

int portarp_conf_write(const struct portarp_pins *pins, const struct portarp_conf *conf)
{
	__u32 key = 0;

	return bpf_map_update_elem(pins->conf, &key, conf, BPF_EXIST) ? -errno : 0;
}

int portarp_pins_open(const char *instance, const char *directory, struct portarp_pins *pins)
{
	struct portarp_pins opened;
	struct portarp_conf conf;
	int err = pins_open(instance, directory, pin_table, COUNT_OF(pin_table), &opened);

	if (err)
		return err;
	err = portarp_conf_read(&opened, &conf);
	if (!err && conf.abi != PORTARP_ABI)
		err = -EPROTO;
	if (err)
		portarp_pins_close(&opened);
	else
		*pins = opened;
	return err;
}

const char *portarp_role_text(unsigned int role)
{
	static const char *const text[] = {
		[PORTARP_GATEWAY] = "gateway",
		[PORTARP_BRIDGE] = "bridge",
		[PORTARP_HOST] = "host",
	};

	return role && role < COUNT_OF(text) ? text[role] : "unknown";
}

void portarp_put_of(const struct portarp_link *link, struct put *put)
{
	*put = (struct put){
		.hook = link->hook,
		.tc = link->tc_link,
		.in = { .handle = link->tc_handle, .priority = link->tc_prio },
		.out = { .handle = link->egress_handle, .priority = link->egress_prio },
	};
}

void portarp_put_note(struct portarp_link *link, const struct put *put)
{
	link->hook = put->hook;
	link->tc_link = put->tc;
	link->tc_handle = put->in.handle;
	link->tc_prio = put->in.priority;
	link->egress_handle = put->out.handle;
	link->egress_prio = put->out.priority;
}

void portarp_put_place(const char *instance, const char *directory, const struct portarp_pins *pins,
		       const struct portarp_conf *conf, const struct portarp_link *link,
		       struct put_place *place)
{
	*place = (struct put_place){
		.instance = instance,
		.directory = directory,
		.ifindex = link->ifindex,
		.map_fd = pins->stats, /* every program counts; not all look at portarp_conf */
		.netns = conf->netns,
	};
}

static int remove_link(const char *instance, const char *directory, const struct portarp_pins *pins,
		       struct portarp_conf *conf, struct portarp_link *link)
{
	const struct put none = {};
	struct put_place place;
	struct put put;
	int err;

	portarp_put_place(instance, directory, pins, conf, link, &place);
	portarp_put_of(link, &put);
	err = put_off(&place, &put);
	if (err)
		return err;
	portarp_put_note(link, &none);
	return portarp_conf_write(pins, conf);
}

static void remove_links(const char *instance, const char *directory,
			 const struct portarp_pins *pins, unsigned int *stuck)
{
	struct portarp_conf conf;

	if (portarp_conf_read(pins, &conf))
		return;
	for (unsigned int i = 0; i < PORTARP_LINKS; i++)
		if (conf.link[i].ifindex &&
		    remove_link(instance, directory, pins, &conf, &conf.link[i]))
			++*stuck;
}

int portarp_remove(const char *instance, const char *directory, unsigned int *stuck)
{
	struct portarp_pins pins;

	*stuck = 0;
	/* A directory that a killed attach left may lack maps: its links are removed all the same.
	 */
	if (!portarp_pins_open(instance, directory, &pins)) {
		remove_links(instance, directory, &pins, stuck);
		/* A filter in a namespace that has ended went with its device. */
		if (*stuck && !pins_programs_left(pins.stats))
			*stuck = 0;
		portarp_pins_close(&pins);
	}
	return *stuck ? 0 : pins_remove(instance, directory);
}
