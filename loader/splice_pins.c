// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of splice: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>

#include "attach.h"
#include "machine.h"
#include "pins.h"
#include "splice.h"
#include "walk.h"

#define PIN(field, key, value)                                                                     \
	{                                                                                          \
		offsetof(struct splice_pins, field), "splice_" #field, sizeof(key), sizeof(value)  \
	}

static const struct pins_map pin_table[] = {
	PIN(conf, __u32, struct splice_conf),
	PIN(local, struct isthmus_addr, struct splice_range),
	PIN(side, struct splice_local_key, struct splice_side),
	PIN(join, __u64, struct splice_join),
	PIN(leg, __u32, struct splice_leg),
	PIN(frag, struct splice_frag_key, struct splice_frag),
	PIN(dev, __u32, struct splice_dev),
	PIN(stats, __u32, struct isthmus_count),
};

void splice_pins_close(struct splice_pins *pins)
{
	pins_close(pin_table, COUNT_OF(pin_table), pins);
}

int splice_conf_read(const struct splice_pins *pins, struct splice_conf *conf)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(pins->conf, &key, conf) ? -errno : 0;
}

int splice_pins_open(const char *instance, const char *directory, struct splice_pins *pins)
{
	struct splice_pins opened;
	struct splice_conf conf;
	int err = pins_open(instance, directory, pin_table, COUNT_OF(pin_table), &opened);

	if (err)
		return err;
	err = splice_conf_read(&opened, &conf);
	if (!err && conf.abi != SPLICE_ABI)
		err = -EPROTO;
	if (err)
		splice_pins_close(&opened);
	else
		*pins = opened;
	return err;
}

const char *splice_hook_text(unsigned int hook)
{
	static const char *const text[] = {
		[SPLICE_HOOK_NONE] = "none",
		[SPLICE_HOOK_TC] = "tc",
		[SPLICE_HOOK_XDP] = "xdp",
		[SPLICE_HOOK_XDP_GENERIC] = "xdp-generic",
	};

	return hook < COUNT_OF(text) ? text[hook] : "unknown";
}

static int map_id(int fd, uint32_t *id)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*id = info.id;
	return 0;
}

/* Only the namespace of the device can name it. */
static int filter_remove(const struct splice_pins *pins, uint32_t ifindex,
			 const struct splice_dev *dev)
{
	const struct attach_filter filter = {
		.ifindex = ifindex,
		.handle = dev->tc_handle,
		.priority = dev->tc_prio,
		.made_qdisc = dev->tc_link == SPLICE_TC_CLSACT_MADE,
	};
	struct splice_conf conf;
	uint64_t here = 0;
	uint32_t id = 0;
	int err = splice_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&here);
	if (!err && here != conf.netns)
		return -EXDEV;
	if (!err)
		err = map_id(pins->conf, &id);
	return err ? err : attach_filter_remove(&filter, id);
}

static int link_remove(const char *instance, const char *directory, const char *hook,
		       uint32_t ifindex)
{
	char path[512];
	int err = pins_link_path(instance, directory, hook, ifindex, path, sizeof(path));

	return err ? err : attach_link_remove(path);
}

static bool is_gone(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -EINVAL;
}

int splice_device_remove(const char *instance, const char *directory,
			 const struct splice_pins *pins, uint32_t ifindex)
{
	struct splice_dev dev;
	int err;

	if (bpf_map_lookup_elem(pins->dev, &ifindex, &dev))
		return -errno;
	err = link_remove(instance, directory, "xdp", ifindex);
	if (err && err != -ENOENT)
		return err;
	err = link_remove(instance, directory, "tc", ifindex);
	if (err == -ENOENT && dev.tc_handle)
		err = filter_remove(pins, ifindex, &dev);
	if (err && !is_gone(err))
		return err;
	dev.hook = SPLICE_HOOK_NONE;
	dev.tc_link = 0;
	dev.tc_prio = 0;
	dev.tc_handle = 0;
	return bpf_map_update_elem(pins->dev, &ifindex, &dev, BPF_EXIST) ? -errno : 0;
}

struct removal {
	const char *instance, *directory;
	const struct splice_pins *pins;
	unsigned int stuck;
};

static void remove_each(const void *key, const void *value, void *arg)
{
	const struct splice_dev *dev = value;
	struct removal *removal = arg;

	if (dev->hook && splice_device_remove(removal->instance, removal->directory, removal->pins,
					      *(const uint32_t *)key))
		removal->stuck++;
}

int splice_remove(const char *instance, const char *directory, unsigned int *stuck)
{
	struct splice_pins pins = SPLICE_PINS_NONE;
	struct removal removal = { instance, directory, &pins, 0 };
	int err = 0;

	/* A directory that a killed attach left may lack maps: its links are removed all the same.
	 */
	if (!splice_pins_open(instance, directory, &pins))
		err = walk_map(pins.dev, remove_each, &removal);
	/* A filter in a namespace that has ended went with its device, and nobody can go there. */
	if (removal.stuck && !pins_programs_left(pins.conf))
		removal.stuck = 0;
	splice_pins_close(&pins);
	*stuck = removal.stuck;
	if (err || removal.stuck)
		return err;
	return pins_remove(instance, directory);
}
