// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of splice: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "attach.h"
#include "splice.h"
#include "walk.h"

struct pin {
	size_t field;
	const char *name;
	size_t key_size, value_size;
};

#define PIN(field, key, value)                                                                     \
	{                                                                                          \
		offsetof(struct splice_pins, field), "splice_" #field, sizeof(key), sizeof(value)  \
	}

static const struct pin pin_table[] = {
	PIN(conf, __u32, struct splice_conf),
	PIN(local, struct isthmus_addr, struct splice_range),
	PIN(side, struct splice_local_key, struct splice_side),
	PIN(join, __u64, struct splice_join),
	PIN(leg, __u32, struct splice_leg),
	PIN(frag, struct splice_frag_key, struct splice_frag),
	PIN(dev, __u32, struct splice_dev),
	PIN(stats, __u32, struct isthmus_count),
};

static int *pin_field(struct splice_pins *pins, const struct pin *pin)
{
	return (int *)((char *)pins + pin->field);
}

void splice_pins_close(struct splice_pins *pins)
{
	for (size_t i = 0; i < COUNT_OF(pin_table); i++) {
		close_fd(pin_field(pins, &pin_table[i]));
		*pin_field(pins, &pin_table[i]) = -1;
	}
}

int splice_conf_read(const struct splice_pins *pins, struct splice_conf *conf)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(pins->conf, &key, conf) ? -errno : 0;
}

int splice_pins_open(const char *instance, const char *directory, struct splice_pins *pins)
{
	struct splice_pins opened = SPLICE_PINS_NONE;
	struct splice_conf conf;
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(pin_table) && !err; i++) {
		const struct pin *pin = &pin_table[i];
		int fd = pin_open_map(instance, directory, pin->name, pin->key_size,
				      pin->value_size);

		if (fd < 0)
			/* one map is there, this one not: made by a version that had it not */
			err = fd == -ENOENT && i ? -EPROTO : fd;
		else
			*pin_field(&opened, pin) = fd;
	}
	if (!err)
		err = splice_conf_read(&opened, &conf);
	if (!err && conf.abi != SPLICE_ABI)
		err = -EPROTO;
	if (err)
		splice_pins_close(&opened);
	else
		*pins = opened;
	return err;
}

int splice_link_path(const char *instance, const char *directory, const char *hook,
		     uint32_t ifindex, char *path, size_t len)
{
	char name[32];

	snprintf(name, sizeof(name), "link_%s_%u", hook, ifindex);
	return pin_path(instance, directory, name, path, len);
}

int splice_netns(uint64_t *inode)
{
	struct stat ns;

	if (stat("/proc/self/ns/net", &ns))
		return -errno;
	*inode = ns.st_ino;
	return 0;
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
		err = splice_netns(&here);
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
	int err = splice_link_path(instance, directory, hook, ifindex, path, sizeof(path));

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

/*
 * A filter in a namespace that has ended went with its device, and nobody can go there to detach.
 * The kernel frees programs a moment after their last user.
 */
static bool programs_left(const struct splice_pins *pins)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint32_t id = 0;

	if (map_id(pins->conf, &id))
		return true;
	for (unsigned int tries = 0; tries < 25; tries++) {
		if (!attach_map_used(id))
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static int directory_remove(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		char name[800];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (strncmp(entry->d_name, "link_", 5) ? unlink(name) : attach_link_remove(name))
			err = -errno;
	}
	closedir(directory);
	if (!err && rmdir(path))
		err = -errno;
	return err;
}

int splice_remove(const char *instance, const char *directory, unsigned int *stuck)
{
	struct splice_pins pins = SPLICE_PINS_NONE;
	struct removal removal = { instance, directory, &pins, 0 };
	char path[512];
	int err = pin_path(instance, directory, NULL, path, sizeof(path));

	if (err)
		return err;
	/* A directory that a killed attach left may lack maps: its links are removed all the same.
	 */
	if (!splice_pins_open(instance, directory, &pins))
		err = walk_map(pins.dev, remove_each, &removal);
	if (removal.stuck && !programs_left(&pins))
		removal.stuck = 0;
	splice_pins_close(&pins);
	*stuck = removal.stuck;
	if (err || removal.stuck)
		return err;
	return directory_remove(path);
}

/* The root is the default instance's lock: it must not vanish under one that is being attached. */
void splice_remove_empty(const char *instance)
{
	int root CLOSE_FD = open(ISTHMUS_PIN_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[512];

	if (instance) {
		if (!pin_path(instance, NULL, NULL, path, sizeof(path)))
			rmdir(path);
		if (root < 0 || flock(root, LOCK_EX | LOCK_NB))
			return;
	}
	rmdir(ISTHMUS_PIN_ROOT);
}
