// SPDX-License-Identifier: GPL-3.0-or-later
/* The programs of onetime: loading them, and putting them on devices, the namespace and cgroups. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "bpf/onetime.skel.h"
#include "cgroup.h"
#include "machine.h"
#include "onetime_attach.h"
#include "onetime_client.h"
#include "pins.h"

/* Of the server and of each session's end: attached all the time, at one cgroup. */
static const struct socket_program {
	const char *name;
	const char *pin;
	uint32_t type; /* enum bpf_attach_type */
} socket_programs[] = {
	{ "onetime_lookup", "lookup", BPF_SK_LOOKUP },
	{ "onetime_sockops", "sockops", BPF_CGROUP_SOCK_OPS },
	{ "onetime_release", "release", BPF_CGROUP_INET_SOCK_RELEASE },
	{ "onetime_reply_sendmsg6", "reply_sendmsg6", BPF_CGROUP_UDP6_SENDMSG },
	{ "onetime_reply_sendmsg4", "reply_sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
};

/* ---- loading */

static void set_sizes(const struct onetime_attaching *run)
{
	struct onetime_bpf *skeleton = run->skeleton;
	uint32_t eas = run->wanted->eas ?: ONETIME_EAS;

	bpf_map__set_max_entries(skeleton->maps.onetime_addr,
				 run->wanted->addresses ?: ONETIME_ADDRS);
	bpf_map__set_max_entries(skeleton->maps.onetime_ea6, eas);
	bpf_map__set_max_entries(skeleton->maps.onetime_ea4, eas);
}

int onetime_programs_load(struct onetime_attaching *run, bool reuse)
{
	const char *remedy = "give smaller --addresses or --eas";
	int err = 0;

	run->skeleton = onetime_bpf__open();
	if (!run->skeleton)
		return machine_complain_load(-errno, ONETIME_STEM, remedy);
	if (reuse)
		err = pins_reuse(run->instance, ONETIME_STEM, run->skeleton->obj);
	else
		set_sizes(run);
	if (err)
		return complain_pins(err, run->instance, ONETIME_STEM);
	err = onetime_bpf__load(run->skeleton);
	return err ? machine_complain_load(err, ONETIME_STEM, remedy) : EXIT_DONE;
}

void onetime_programs_free(struct onetime_attaching *run)
{
	onetime_bpf__destroy(run->skeleton);
	run->skeleton = NULL;
}

static int program_fd(const struct onetime_attaching *run, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(run->skeleton->obj, name));
}

/* Clients come and go while this is attached: their programs wait in pins. One that is there
 * already is exchanged by a rename, so that it is never missing. */
static int pin_client_program(const struct onetime_attaching *run, unsigned int i)
{
	char path[512], beside[520];
	int err = onetime_client_program_path(run->instance, run->directory, i, path);

	if (err)
		return err;
	snprintf(beside, sizeof(beside), "%s@new", path);
	unlink(beside); /* of a killed one */
	if (bpf_obj_pin(program_fd(run, onetime_client_programs[i].name), beside) ||
	    rename(beside, path))
		return -errno;
	return 0;
}

static int pin_client_programs(const struct onetime_attaching *run)
{
	int err = 0;

	for (unsigned int i = 0; i < ONETIME_CLIENT_PROGRAMS && !err; i++)
		err = pin_client_program(run, i);
	return err;
}

int onetime_programs_pin(const struct onetime_attaching *run)
{
	__u32 key = 0;
	int err = pins_make(run->instance, run->directory, run->skeleton->obj);

	if (!err && bpf_map_update_elem(bpf_map__fd(run->skeleton->maps.onetime_conf), &key,
					&run->conf, BPF_ANY))
		err = -errno;
	return err ?: pin_client_programs(run);
}

/* ---- on devices */

/* At tc alone: sockets need what the device joins (GRO), and XDP would see it before that. */
static struct put_programs device_programs(const struct onetime_attaching *run)
{
	return (struct put_programs){
		.xdp = -1,
		.tc = program_fd(run, "onetime_in"),
		.out = program_fd(run, "onetime_out"),
	};
}

static int put(const struct onetime_attaching *run, const struct device *device,
	       struct onetime_link *link)
{
	const struct put_how how = { .hook = PUT_HOOK_TC, .clsact = run->wanted->clsact };
	struct put_programs programs = device_programs(run);
	struct put_place place;
	struct put put;
	int code;

	onetime_put_place(run->instance, run->directory, &run->pins, &run->conf, link, &place);
	code = put_on(&place, &programs, &how, device, &put);
	if (code == EXIT_DONE)
		onetime_put_note(link, &put);
	return code;
}

/* What is on a device is written at once, so that the next one knows what a killed attach left. */
int onetime_programs_put(struct onetime_attaching *run)
{
	int err = 0, code = EXIT_DONE;

	for (unsigned int i = 0; i < run->conf.links && code == EXIT_DONE; i++) {
		code = put(run, run->device[i], &run->conf.link[i]);
		if (code == EXIT_DONE)
			err = onetime_conf_write(&run->pins, &run->conf);
		if (err)
			code = complain_pins(err, run->instance, ONETIME_STEM);
	}
	return code;
}

static int exchange_device(const struct onetime_attaching *run, const struct onetime_link *link)
{
	struct put_programs programs = device_programs(run);
	struct put_place place;
	struct put put;

	onetime_put_place(run->instance, ONETIME_STEM, &run->pins, &run->conf, link, &place);
	onetime_put_of(link, &put);
	return put_exchange(&place, &programs, &put);
}

/* ---- on the namespace and the cgroup */

static int put_socket_program(const struct onetime_attaching *run,
			      const struct socket_program *program, int netns, int cgroup)
{
	int fd = program_fd(run, program->name);
	char path[512];
	int err =
		pins_link_path(run->instance, run->directory, program->pin, 0, path, sizeof(path));

	if (err)
		return err;
	return program->type == BPF_SK_LOOKUP ? attach_netns(fd, netns, program->type, path)
					      : attach_cgroup(fd, cgroup, program->type, path);
}

static int complain_socket_program(const struct socket_program *program, int err)
{
	if (program->type == BPF_SK_LOOKUP)
		return complain(EXIT_FAILED,
				"onetime: look-ups of sockets in this network namespace cannot be "
				"directed: %s; `bpftool net` and `bpftool link` tell who does it",
				strerror(-err));
	if (err == -EBADF)
		return complain(EXIT_FAILED,
				"onetime: --cgroup: it is not in a cgroup2 file system; name a "
				"directory of one");
	return complain(EXIT_FAILED,
			"onetime: the cgroup takes no program at %s: %s; `bpftool cgroup tree` "
			"tells what is there; name another by --cgroup",
			program->pin, strerror(-err));
}

int onetime_programs_put_sockets(const struct onetime_attaching *run)
{
	int netns CLOSE_FD = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int cgroup CLOSE_FD = cgroup_open_or_root(run->wanted->cgroup, ONETIME_STEM);

	if (cgroup < 0)
		return EXIT_FAILED;
	if (netns < 0)
		return complain(EXIT_FAILED, "onetime: /proc/self/ns/net: %s", strerror(errno));
	for (size_t i = 0; i < COUNT_OF(socket_programs); i++) {
		int err = put_socket_program(run, &socket_programs[i], netns, cgroup);

		if (err)
			return complain_socket_program(&socket_programs[i], err);
	}
	return EXIT_DONE;
}

/* ---- others take their places */

static int exchange_socket_programs(const struct onetime_attaching *run)
{
	char path[512];
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(socket_programs) && !err; i++) {
		err = pins_link_path(run->instance, ONETIME_STEM, socket_programs[i].pin, 0, path,
				     sizeof(path));
		if (!err)
			err = attach_link_update(path, program_fd(run, socket_programs[i].name));
	}
	return err;
}

static int exchange_client(const char *name, const char *path, void *arg)
{
	const struct onetime_attaching *run = arg;
	int i = onetime_client_program_of(name);
	int err =
		i < 0 ? 0
		      : attach_link_update(path, program_fd(run, onetime_client_programs[i].name));

	return err == -ENOLINK ? 0 : err; /* its cgroup has gone */
}

static int exchange_devices(const struct onetime_attaching *run)
{
	char name[IF_NAMESIZE];

	for (unsigned int i = 0; i < ONETIME_LINKS; i++) {
		const struct onetime_link *link = &run->conf.link[i];
		int err;

		/* a device that has gone took its programs with it */
		if (!link->ifindex || !if_indextoname(link->ifindex, name))
			continue;
		err = exchange_device(run, link);
		if (err)
			return complain(EXIT_FAILED,
					"%s: its programs could not be exchanged: %s; the old ones "
					"go on; repeat, or detach and attach again",
					name, strerror(-err));
	}
	return EXIT_DONE;
}

int onetime_programs_exchange(const struct onetime_attaching *run)
{
	int code = exchange_devices(run);
	int err;

	if (code != EXIT_DONE)
		return code;
	err = exchange_socket_programs(run);
	if (!err)
		err = pin_client_programs(run);
	if (!err)
		err = onetime_client_links(run->instance, exchange_client, (void *)run);
	return err ? complain(EXIT_FAILED,
			      "onetime: programs of sockets could not be exchanged: %s; repeat, or "
			      "detach and attach again",
			      strerror(-err))
		   : EXIT_DONE;
}
