// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of splice: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>

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

static void put_of(const struct splice_dev *dev, struct put *put)
{
	*put = (struct put){
		.hook = dev->hook,
		.tc = dev->tc_link,
		.in = { .handle = dev->tc_handle, .priority = dev->tc_prio },
	};
}

int splice_put_read(const struct splice_pins *pins, uint32_t ifindex, struct put *put)
{
	struct splice_dev dev;

	if (bpf_map_lookup_elem(pins->dev, &ifindex, &dev))
		return -errno;
	put_of(&dev, put);
	return 0;
}

int splice_put_note(const struct splice_pins *pins, uint32_t ifindex, const struct put *put)
{
	struct splice_dev dev;

	if (bpf_map_lookup_elem(pins->dev, &ifindex, &dev))
		return -errno;
	dev.hook = put->hook;
	dev.tc_link = put->tc;
	dev.tc_prio = put->in.priority;
	dev.tc_handle = put->in.handle;
	return bpf_map_update_elem(pins->dev, &ifindex, &dev, BPF_EXIST) ? -errno : 0;
}

int splice_put_place(const char *instance, const char *directory, const struct splice_pins *pins,
		     uint32_t ifindex, struct put_place *place)
{
	struct splice_conf conf;
	int err = splice_conf_read(pins, &conf);

	if (err)
		return err;
	*place = (struct put_place){
		.instance = instance,
		.directory = directory,
		.ifindex = ifindex,
		.map_fd = pins->conf,
		.netns = conf.netns,
	};
	return 0;
}

int splice_device_remove(const char *instance, const char *directory,
			 const struct splice_pins *pins, uint32_t ifindex)
{
	const struct put none = {};
	struct put_place place;
	struct put put;
	int err = splice_put_place(instance, directory, pins, ifindex, &place);

	if (!err)
		err = splice_put_read(pins, ifindex, &put);
	if (!err)
		err = put_off(&place, &put);
	return err ? err : splice_put_note(pins, ifindex, &none);
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
