// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of portarp: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "attach.h"
#include "machine.h"
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

const char *portarp_hook_text(unsigned int hook)
{
	static const char *const text[] = {
		[PORTARP_HOOK_NONE] = "none",
		[PORTARP_HOOK_TC] = "tc",
		[PORTARP_HOOK_XDP] = "xdp",
		[PORTARP_HOOK_XDP_GENERIC] = "xdp-generic",
	};

	return hook < COUNT_OF(text) ? text[hook] : "unknown";
}

static bool is_gone(int err)
{
	return !err || err == -ENOENT || err == -ENODEV || err == -EINVAL;
}

static int hook_remove(const char *instance, const char *directory, const char *hook,
		       uint32_t ifindex)
{
	char path[512];
	int err = pins_link_path(instance, directory, hook, ifindex, path, sizeof(path));

	return err ? err : attach_link_remove(path);
}

/* Only the namespace of the device can name it. */
static int filter_remove(const struct portarp_pins *pins, const struct portarp_conf *conf,
			 const struct portarp_link *link, bool egress)
{
	const struct attach_filter filter = {
		.ifindex = link->ifindex,
		.handle = egress ? link->egress_handle : link->tc_handle,
		.priority = egress ? link->egress_prio : link->tc_prio,
		.egress = egress,
		.made_qdisc = link->tc_link == PORTARP_TC_CLSACT_MADE,
	};
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	uint64_t here;
	int err = machine_netns(&here);

	if (!filter.handle || err)
		return err;
	if (here != conf->netns)
		return -EXDEV;
	if (bpf_obj_get_info_by_fd(pins->conf, &info, &len))
		return -errno;
	return attach_filter_remove(&filter, info.id);
}

int portarp_link_remove(const char *instance, const char *directory,
			const struct portarp_pins *pins, struct portarp_conf *conf,
			unsigned int place)
{
	static const char *const hooks[] = { "xdp", "tc", "out" };
	struct portarp_link *link = &conf->link[place];
	int err;

	for (size_t i = 0; i < COUNT_OF(hooks); i++) {
		err = hook_remove(instance, directory, hooks[i], link->ifindex);
		if (!is_gone(err))
			return err;
	}
	for (int egress = 0; egress < 2; egress++) {
		err = filter_remove(pins, conf, link, egress);
		if (!is_gone(err))
			return err;
	}
	*link = (struct portarp_link){};
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
		    portarp_link_remove(instance, directory, pins, &conf, i))
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
		if (*stuck && !pins_programs_left(pins.conf))
			*stuck = 0;
		portarp_pins_close(&pins);
	}
	return *stuck ? 0 : pins_remove(instance, directory);
}
