// SPDX-License-Identifier: GPL-3.0-or-later
/* The programs of portarp: which a role needs, loading them, putting them on devices. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "bpf/portarp.skel.h"
#include "cgroup.h"
#include "machine.h"
#include "pins.h"
#include "portarp_attach.h"

enum { GATEWAY = 1 << PORTARP_GATEWAY, BRIDGE = 1 << PORTARP_BRIDGE, HOST = 1 << PORTARP_HOST };

enum where { AT_XDP, AT_TC, AT_OUT, AT_BIND };

struct program {
	const char *name;
	unsigned int roles;
	enum portarp_side side; /* of the device; 0: on none */
	enum where where;
	const char *pin;    /* AT_BIND */
	uint32_t bind_type; /* AT_BIND: enum bpf_attach_type */
};

static const struct program programs[] = {
	{ "portarp_up_xdp", GATEWAY | BRIDGE, PORTARP_UPLINK, AT_XDP, NULL, 0 },
	{ "portarp_up_tc", GATEWAY | BRIDGE, PORTARP_UPLINK, AT_TC, NULL, 0 },
	{ "portarp_up_out", BRIDGE, PORTARP_UPLINK, AT_OUT, NULL, 0 },
	{ "portarp_lan_xdp", GATEWAY | BRIDGE | HOST, PORTARP_LAN, AT_XDP, NULL, 0 },
	{ "portarp_lan_tc", GATEWAY | BRIDGE | HOST, PORTARP_LAN, AT_TC, NULL, 0 },
	{ "portarp_lan_out", GATEWAY | HOST, PORTARP_LAN, AT_OUT, NULL, 0 },
	{ "portarp_bind4", HOST, 0, AT_BIND, "bind4", BPF_CGROUP_INET4_BIND },
	{ "portarp_bind6", HOST, 0, AT_BIND, "bind6", BPF_CGROUP_INET6_BIND },
};

static bool has_role(const struct portarp_run *run, const struct program *program)
{
	return program->roles & 1u << run->conf.role;
}

/* A packet that XDP has seen comes to tc too: it may be at one of them alone. */
static bool suits(const struct program *program, enum put_hook hook)
{
	return program->where == AT_OUT || (program->where == AT_TC) == (hook == PUT_HOOK_TC);
}

/* ---- loading */

/* With mode auto a driver may refuse XDP; with --replace each device has a hook of its own. */
static bool is_needed(const struct portarp_run *run, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(programs); i++)
		if (!strcmp(programs[i].name, name))
			return has_role(run, &programs[i]) &&
			       (programs[i].where == AT_BIND || run->may_fall_back ||
				suits(&programs[i], run->hook));
	return false;
}

static void set_sizes(const struct portarp_run *run)
{
	const struct portarp_settings *wanted = run->wanted;
	struct portarp_bpf *skeleton = run->skeleton;
	uint32_t addresses = wanted->addresses ?: PORTARP_ADDRS;
	uint32_t owners = wanted->owners ?: PORTARP_OWNERS;
	uint32_t blocks = wanted->blocks ?: PORTARP_BLOCKS;
	uint32_t watch = wanted->watch ?: PORTARP_WATCH;

	bpf_map__set_max_entries(skeleton->maps.portarp_addr, addresses);
	bpf_map__set_max_entries(skeleton->maps.portarp_mine, addresses);
	bpf_map__set_max_entries(skeleton->maps.portarp_owner, owners);
	bpf_map__set_max_entries(skeleton->maps.portarp_sharer, owners);
	bpf_map__set_max_entries(skeleton->maps.portarp_port, blocks << 16);
	bpf_map__set_max_entries(skeleton->maps.portarp_use, watch * PORTARP_USE_WORDS);
	bpf_map__set_max_entries(skeleton->maps.portarp_flow, wanted->flows ?: PORTARP_FLOWS);
}

int portarp_run_load(struct portarp_run *run, bool reuse)
{
	const char *remedy = "give smaller --owners, --addresses, --blocks, --watch or --flows";
	struct bpf_program *program;
	int err = 0;

	run->skeleton = portarp_bpf__open();
	if (!run->skeleton)
		return machine_complain_load(-errno, PORTARP_STEM, remedy);
	run->skeleton->rodata->portarp_role = run->conf.role;
	bpf_object__for_each_program(program, run->skeleton->obj)
		bpf_program__set_autoload(program, is_needed(run, bpf_program__name(program)));
	if (reuse)
		err = pins_reuse(run->instance, PORTARP_STEM, run->skeleton->obj);
	else
		set_sizes(run);
	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	err = portarp_bpf__load(run->skeleton);
	return err ? machine_complain_load(err, PORTARP_STEM, remedy) : EXIT_DONE;
}

int portarp_run_pin(const struct portarp_run *run)
{
	__u32 key = 0;
	int err = pins_make(run->instance, run->directory, run->skeleton->obj);

	if (!err && bpf_map_update_elem(bpf_map__fd(run->skeleton->maps.portarp_conf), &key,
					&run->conf, BPF_ANY))
		err = -errno;
	return err;
}

void portarp_run_free(struct portarp_run *run)
{
	portarp_bpf__destroy(run->skeleton);
	run->skeleton = NULL;
}

static int program_fd(const struct portarp_run *run, const struct program *program)
{
	return bpf_program__fd(bpf_object__find_program_by_name(run->skeleton->obj, program->name));
}

/* ---- on devices */

static void programs_of(const struct portarp_run *run, const struct portarp_link *link,
			enum put_hook hook, struct put_programs *found)
{
	*found = (struct put_programs){ -1, -1, -1 };
	for (size_t i = 0; i < COUNT_OF(programs); i++) {
		const struct program *program = &programs[i];

		if (program->side != link->side || !has_role(run, program) || !suits(program, hook))
			continue;
		*(program->where == AT_XDP  ? &found->xdp
		  : program->where == AT_TC ? &found->tc
					    : &found->out) = program_fd(run, program);
	}
}

static int put(const struct portarp_run *run, const struct device *device,
	       struct portarp_link *link)
{
	const struct put_how how = {
		.hook = run->hook,
		.clsact = run->wanted->clsact,
		.may_fall_back = run->may_fall_back,
	};
	struct put_programs found;
	struct put_place place;
	struct put put;
	int code;

	portarp_put_place(run->instance, run->directory, &run->pins, &run->conf, link, &place);
	programs_of(run, link, run->hook, &found);
	code = put_on(&place, &found, &how, device, &put);
	if (code == EXIT_DONE)
		portarp_put_note(link, &put);
	return code;
}

static void take_off(struct portarp_run *run, unsigned int count)
{
	const struct put none = {};
	struct put_place place;
	struct put put;

	for (unsigned int i = 0; i < count; i++) {
		struct portarp_link *link = &run->conf.link[i];

		portarp_put_place(run->instance, run->directory, &run->pins, &run->conf, link,
				  &place);
		portarp_put_of(link, &put);
		put_off(&place, &put);
		portarp_put_note(link, &none);
	}
}

/* What is on a device is written at once, so that the next one knows what a killed attach left. */
int portarp_run_devices(struct portarp_run *run)
{
	for (unsigned int i = 0; i < run->conf.links; i++) {
		int err = 0, code = put(run, run->device[i], &run->conf.link[i]);

		if (code == EXIT_DONE)
			err = portarp_conf_write(&run->pins, &run->conf);
		if (code == EXIT_DONE && !err)
			continue;
		take_off(run, i + 1);
		if (err)
			return complain_pins(err, run->instance, PORTARP_STEM);
		if (!run->may_fall_back)
			return EXIT_FAILED;
		run->may_fall_back = false;
		run->hook = PUT_HOOK_TC;
		return portarp_run_devices(run);
	}
	return EXIT_DONE;
}

int portarp_run_exchange(const struct portarp_run *run, const struct portarp_link *link)
{
	struct put_programs found;
	struct put_place place;
	struct put put;

	portarp_put_place(run->instance, PORTARP_STEM, &run->pins, &run->conf, link, &place);
	portarp_put_of(link, &put);
	programs_of(run, link, put.hook, &found);
	return put_exchange(&place, &found, &put);
}

/* ---- the host's binds */

static int put_bind(const struct portarp_run *run, const struct program *program, int cgroup)
{
	char path[512];
	int err =
		pins_link_path(run->instance, run->directory, program->pin, 0, path, sizeof(path));

	return err ?: attach_cgroup(program_fd(run, program), cgroup, program->bind_type, path);
}

int portarp_run_bind(const struct portarp_run *run)
{
	char found[512];
	const char *path = run->wanted->cgroup;
	int fd CLOSE_FD = -1;
	int err = 0;

	if (run->conf.role != PORTARP_HOST)
		return EXIT_DONE;
	if (!path && cgroup_mount(found))
		return complain(
			EXIT_FAILED,
			"portarp: no cgroup2 is mounted, so binds cannot be checked; `mount -t "
			"cgroup2 cgroup2 DIR`, or name one by --cgroup");
	path = path ?: found;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain(EXIT_FAILED,
				"portarp: --cgroup %s: %s; name a directory of a cgroup2 file "
				"system",
				path, strerror(errno));
	for (size_t i = 0; i < COUNT_OF(programs) && !err; i++)
		if (programs[i].where == AT_BIND)
			err = put_bind(run, &programs[i], fd);
	if (err == -EBADF)
		return complain(EXIT_FAILED,
				"portarp: --cgroup %s: it is not in a cgroup2 file system; name a "
				"directory of one",
				path);
	return err ? complain(EXIT_FAILED, "portarp: --cgroup %s: its binds cannot be checked: %s",
			      path, strerror(-err))
		   : EXIT_DONE;
}

int portarp_run_exchange_bind(const struct portarp_run *run)
{
	char path[512];
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(programs) && !err; i++) {
		const struct program *program = &programs[i];

		if (program->where != AT_BIND || !has_role(run, program))
			continue;
		err = pins_link_path(run->instance, PORTARP_STEM, program->pin, 0, path,
				     sizeof(path));
		if (!err)
			err = attach_link_update(path, program_fd(run, program));
	}
	return err;
}
