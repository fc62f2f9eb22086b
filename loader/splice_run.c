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
#include "machine.h"
#include "pins.h"
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

int splice_run_pin(struct splice_run *run)
{
	return pins_make(run->instance, run->directory, run->skeleton->obj);
}

static void set_sizes(const struct splice_run *run)
{
	uint32_t rendezvous = run->wanted->rendezvous ?: SPLICE_RENDEZVOUS;

	bpf_map__set_max_entries(run->skeleton->maps.splice_leg, splice_places_total(run));
	bpf_map__set_max_entries(run->skeleton->maps.splice_side, 2 * rendezvous);
	bpf_map__set_max_entries(run->skeleton->maps.splice_join, rendezvous);
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

int splice_run_load(struct splice_run *run, bool reuse)
{
	const char *remedy = "give fewer --ports or a smaller --rendezvous";
	int err = 0;

	run->skeleton = splice_bpf__open();
	if (!run->skeleton)
		return machine_complain_load(-errno, SPLICE_STEM, remedy);
	set_frags(run);
	set_xdp_tx(run);
	if (reuse)
		err = pins_reuse(run->instance, SPLICE_STEM, run->skeleton->obj);
	else
		set_sizes(run);
	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	err = splice_bpf__load(run->skeleton);
	return err ? machine_complain_load(err, SPLICE_STEM, remedy) : EXIT_DONE;
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
	int err = attach_filter_add(splice_run_program_tc(run), device->ifindex, false, &filter);
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
	int err = pins_link_path(run->instance, run->directory, "tc", device->ifindex, path,
				 sizeof(path));

	if (err)
		return err;
	if (run->wanted->clsact)
		return put_filter(run, device);
	err = note(run, device, &tcx);
	if (!err)
		err = attach_tcx(splice_run_program_tc(run), device->ifindex, false, path);
	/* before 6.6, or built without it */
	return err == -EINVAL || err == -EOPNOTSUPP ? put_filter(run, device) : err;
}

static int put_xdp(const struct splice_run *run, const struct device *device)
{
	char path[512];
	int err;

	if (run->hook == SPLICE_HOOK_TC)
		return 0;
	err = pins_link_path(run->instance, run->directory, "xdp", device->ifindex, path,
			     sizeof(path));
	return err ? err
		   : attach_xdp(splice_run_program_xdp(run), device->ifindex,
				run->hook == SPLICE_HOOK_XDP_GENERIC, path);
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
	choose_explain_xdp(device, err, why, sizeof(why));
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
