// SPDX-License-Identifier: GPL-3.0-or-later
/* The programs of splice: loading them, putting them on devices. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "bpf/splice.skel.h"
#include "choose.h"
#include "splice_attach.h"

#define XDP_HAS_FRAGS (1U << 5) /* BPF_F_XDP_HAS_FRAGS */

void splice_run_free(struct splice_run *run)
{
	splice_bpf__destroy(run->skeleton);
	run->skeleton = NULL;
}

int splice_run_map_conf(const struct splice_run *run)
{
	return bpf_map__fd(run->skeleton->maps.splice_conf);
}

int splice_run_program_tc(const struct splice_run *run)
{
	return bpf_program__fd(run->skeleton->progs.splice_tc);
}

int splice_run_program_xdp(const struct splice_run *run)
{
	return bpf_program__fd(run->skeleton->progs.splice_xdp);
}

static int map_pin_path(const struct splice_run *run, const char *directory,
			const struct bpf_map *map, char *path, size_t len)
{
	return pin_path(run->instance, directory, bpf_map__name(map), path, len);
}

int splice_run_pin(struct splice_run *run)
{
	struct bpf_map *map;
	char path[512];

	bpf_object__for_each_map(map, run->skeleton->obj)
	{
		int err;

		if (bpf_map__is_internal(map))
			continue;
		err = map_pin_path(run, run->directory, map, path, sizeof(path));
		if (!err && bpf_obj_pin(bpf_map__fd(map), path))
			err = -errno;
		if (err)
			return err;
	}
	return 0;
}

static void set_sizes(const struct splice_run *run)
{
	uint32_t rendezvous = run->wanted->rendezvous ?: SPLICE_RENDEZVOUS;

	bpf_map__set_max_entries(run->skeleton->maps.splice_leg, splice_places_total(run));
	bpf_map__set_max_entries(run->skeleton->maps.splice_side, 2 * rendezvous);
	bpf_map__set_max_entries(run->skeleton->maps.splice_join, rendezvous);
}

/* The pinned maps live on under the new programs; a map they had not is made and pinned. */
static int reuse_maps(const struct splice_run *run)
{
	struct bpf_map *map;
	char path[512];

	bpf_object__for_each_map(map, run->skeleton->obj)
	{
		int fd CLOSE_FD = -1;
		int err;

		if (bpf_map__is_internal(map))
			continue;
		err = map_pin_path(run, SPLICE_STEM, map, path, sizeof(path));
		if (err)
			return err;
		fd = bpf_obj_get(path);
		if (fd < 0)
			return errno == ENOENT ? -EPROTO : -errno;
		err = bpf_map__reuse_fd(map, fd);
		if (err)
			return err;
	}
	return 0;
}

static void set_frags(const struct splice_run *run)
{
	struct bpf_program *program = run->skeleton->progs.splice_xdp;

	for (unsigned int i = 0; i < run->device_count; i++)
		if (run->hook == SPLICE_HOOK_XDP && run->device[i]->mtu > CHOOSE_XDP_MTU)
			bpf_program__set_flags(program, XDP_HAS_FRAGS);
}

/* bpf/splice.bpf.c: only a NIC is asked to send back by the queue that a packet came from. */
static void set_xdp_tx(const struct splice_run *run)
{
	bool hardware = run->hook == SPLICE_HOOK_XDP;

	for (unsigned int i = 0; i < run->device_count; i++)
		hardware = hardware && !run->device[i]->kind[0];
	run->skeleton->rodata->splice_xdp_tx = hardware;
}

static int complain_load(int err)
{
	if (err == -EPERM)
		return complain_pins(err, NULL, SPLICE_STEM);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return complain(
			EXIT_FAILED,
			"splice: the kernel has no BTF (/sys/kernel/btf/vmlinux); use one built "
			"with CONFIG_DEBUG_INFO_BTF, as the distribution's is");
	if (err == -ENOMEM || err == -E2BIG)
		return complain(EXIT_FAILED,
				"splice: no memory for its tables; give fewer --ports or a smaller "
				"--rendezvous");
	return complain(EXIT_FAILED,
			"splice: the kernel refuses the programs: %s; ISTHMUS_DEBUG=1 in the "
			"environment shows why",
			strerror(-err));
}

int splice_run_load(struct splice_run *run, bool reuse)
{
	int err = 0;

	run->skeleton = splice_bpf__open();
	if (!run->skeleton)
		return complain_load(-errno);
	set_frags(run);
	set_xdp_tx(run);
	if (reuse)
		err = reuse_maps(run);
	else
		set_sizes(run);
	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	err = splice_bpf__load(run->skeleton);
	return err ? complain_load(err) : EXIT_DONE;
}

/* ---- on devices */

static int note(const struct splice_run *run, const struct device *device,
		const struct splice_dev *noted)
{
	struct splice_dev dev;

	if (bpf_map_lookup_elem(run->pins.dev, &device->ifindex, &dev))
		return -errno;
	dev.hook = noted->hook;
	dev.tc_link = noted->tc_link;
	dev.tc_prio = noted->tc_prio;
	dev.tc_handle = noted->tc_handle;
	return bpf_map_update_elem(run->pins.dev, &device->ifindex, &dev, BPF_EXIST) ? -errno : 0;
}

static int put_filter(const struct splice_run *run, const struct device *device)
{
	struct attach_filter filter;
	int err = attach_filter_add(splice_run_program_tc(run), device->ifindex, &filter);
	const struct splice_dev dev = {
		.hook = run->hook,
		.tc_link = err		       ? 0
			   : filter.made_qdisc ? SPLICE_TC_CLSACT_MADE
					       : SPLICE_TC_CLSACT,
		.tc_prio = err ? 0 : filter.priority,
		.tc_handle = err ? 0 : filter.handle,
	};

	return err ? err : note(run, device, &dev);
}

static int put_tc(const struct splice_run *run, const struct device *device)
{
	const struct splice_dev tcx = { .hook = run->hook, .tc_link = SPLICE_TC_TCX };
	char path[512];
	int err = splice_link_path(run->instance, run->directory, "tc", device->ifindex, path,
				   sizeof(path));

	if (err)
		return err;
	if (run->wanted->clsact)
		return put_filter(run, device);
	err = note(run, device, &tcx);
	if (!err)
		err = attach_tcx(splice_run_program_tc(run), device->ifindex, path);
	/* before 6.6, or built without it */
	return err == -EINVAL || err == -EOPNOTSUPP ? put_filter(run, device) : err;
}

static int put_xdp(const struct splice_run *run, const struct device *device)
{
	char path[512];
	int err;

	if (run->hook == SPLICE_HOOK_TC)
		return 0;
	err = splice_link_path(run->instance, run->directory, "xdp", device->ifindex, path,
			       sizeof(path));
	return err ? err
		   : attach_xdp(splice_run_program_xdp(run), device->ifindex,
				run->hook == SPLICE_HOOK_XDP_GENERIC, path);
}

/* Why XDP was refused, and what to try. */
static void explain_xdp(const struct device *device, int err, char *text, size_t len)
{
	char driver[32], name[16];
	uint32_t id;

	device_driver(device->name, driver);
	if ((err == -EBUSY || err == -EEXIST) && !attach_xdp_occupant(device->ifindex, &id, name))
		snprintf(text, len,
			 "XDP program %s (id %u) is there already; remove it, as by `ip link set "
			 "dev %s "
			 "xdp off`, or use --mode tc",
			 name, id, device->name);
	else if (err == -EOPNOTSUPP)
		snprintf(text, len, "driver %s has no native XDP; use --mode xdp-generic or tc",
			 driver);
	else if (err == -ENOSPC)
		snprintf(text, len,
			 "it has fewer receive queues than its peer sends on; `ethtool -L %s rx N`",
			 device->name);
	else if (err == -ERANGE || err == -EINVAL)
		snprintf(text, len,
			 "driver %s refuses XDP at MTU %u or with these offloads; `ip link set %s "
			 "mtu "
			 "1500`, `ethtool -K %s lro off`, or --mode tc",
			 driver, device->mtu, device->name, device->name);
	else
		snprintf(text, len, "XDP: %s; use --mode tc", strerror(-err));
}

static int put(struct splice_run *run, const struct device *device)
{
	char why[256];
	int err = put_tc(run, device);

	if (err)
		return complain(
			EXIT_FAILED,
			"%s: cannot attach at tc ingress: %s; `tc filter show dev %s ingress` "
			"tells who is there",
			device->name, strerror(-err), device->name);
	err = put_xdp(run, device);
	if (!err)
		return EXIT_DONE;
	explain_xdp(device, err, why, sizeof(why));
	if (!run->may_fall_back)
		return complain(EXIT_FAILED, "%s: %s", device->name, why);
	notice("%s: mode tc for all devices: %s", device->name, why);
	return EXIT_FAILED;
}

static void take_off(struct splice_run *run, unsigned int first, unsigned int end)
{
	for (unsigned int i = first; i < end; i++)
		splice_device_remove(run->instance, run->directory, &run->pins,
				     run->device[i]->ifindex);
}

int splice_run_devices(struct splice_run *run, unsigned int first)
{
	for (unsigned int i = first; i < run->device_count; i++) {
		if (put(run, run->device[i]) == EXIT_DONE)
			continue;
		take_off(run, first, i + 1);
		if (!run->may_fall_back)
			return EXIT_FAILED;
		run->may_fall_back = false;
		run->hook = SPLICE_HOOK_TC;
		return splice_run_devices(run, first);
	}
	return EXIT_DONE;
}
