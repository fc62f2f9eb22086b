// SPDX-License-Identifier: GPL-3.0-or-later
/* The programs of splice: loading them, putting them on devices. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

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
		if (run->hook == PUT_HOOK_XDP && run->device[i]->mtu > CHOOSE_XDP_MTU)
			bpf_program__set_flags(program, XDP_HAS_FRAGS);
}

/* bpf/splice.bpf.c: only a NIC is asked to send back by the queue that a packet came from. */
static void set_xdp_tx(const struct splice_run *run)
{
	bool hardware = run->hook == PUT_HOOK_XDP;

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

void splice_run_programs(const struct splice_run *run, enum put_hook hook,
			 struct put_programs *programs)
{
	*programs = (struct put_programs){
		.tc = bpf_program__fd(run->skeleton->progs.splice_tc),
		.xdp = hook == PUT_HOOK_TC ? -1 : bpf_program__fd(run->skeleton->progs.splice_xdp),
		.out = -1,
	};
}

static int put(struct splice_run *run, const struct device *device)
{
	const struct put_how how = {
		.hook = run->hook,
		.clsact = run->wanted->clsact,
		.may_fall_back = run->may_fall_back,
	};
	struct put_programs programs;
	struct put_place place;
	struct put put;
	int code, err = splice_put_place(run->instance, run->directory, &run->pins, device->ifindex,
					 &place);

	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	splice_run_programs(run, run->hook, &programs);
	code = put_on(&place, &programs, &how, device, &put);
	if (code != EXIT_DONE)
		return code;
	err = splice_put_note(&run->pins, device->ifindex, &put);
	if (!err)
		return EXIT_DONE;
	put_off(&place, &put);
	return complain_pins(err, run->instance, SPLICE_STEM);
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
		take_off(run, first, i);
		if (!run->may_fall_back)
			return EXIT_FAILED;
		run->may_fall_back = false;
		run->hook = PUT_HOOK_TC;
		return splice_run_devices(run, first);
	}
	return EXIT_DONE;
}
