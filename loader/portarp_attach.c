// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus portarp attach`: lock, load, pin in a staging directory, fill the configuration, attach,
 * rename. The directory's final name appears when all is done, and a failure removes the staging
 * one.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attach.h"
#include "bpf/portarp.skel.h"
#include "choose.h"
#include "device.h"
#include "machine.h"
#include "pins.h"
#include "portarp.h"

#define NS_PER_S 1000000000ULL

struct run {
	const struct portarp_settings *wanted;
	const char *instance;
	const char *directory;
	struct device_list list;
	enum portarp_hook hook;
	bool may_fall_back;
	struct portarp_conf conf;
	struct portarp_pins pins;
	struct portarp_bpf *skeleton;
};

/* ---- what the words mean here */

static int add_link(struct run *run, const char *name, enum portarp_side side)
{
	const struct device *device = device_by_name(&run->list, name);
	struct portarp_link *link = &run->conf.link[run->conf.links];

	if (!device)
		return complain(
			EXIT_FAILED,
			"%s: no such device in this network namespace; `ip link` lists them", name);
	if (choose_check(device) != EXIT_DONE)
		return EXIT_FAILED;
	if (run->conf.links == PORTARP_LINKS)
		return complain(EXIT_FAILED, "%s: at most %d devices", name, PORTARP_LINKS);
	for (unsigned int i = 0; i < run->conf.links; i++)
		if (run->conf.link[i].ifindex == device->ifindex)
			return complain(EXIT_USAGE, "%s: it cannot be uplink and LAN at once",
					name);
	link->ifindex = device->ifindex;
	link->mtu = device->mtu > UINT16_MAX ? UINT16_MAX : device->mtu;
	link->side = side;
	run->conf.links++;
	return device_mac(name, link->mac) ? complain(EXIT_FAILED, "%s: it tells no MAC", name)
					   : EXIT_DONE;
}

static int find_links(struct run *run)
{
	const struct portarp_settings *wanted = run->wanted;
	int err = device_list_read(&run->list), code = EXIT_DONE;

	if (err)
		return complain(EXIT_FAILED, "portarp: rtnetlink: cannot list devices: %s",
				strerror(-err));
	for (unsigned int i = 0; i < wanted->uplink.count && code == EXIT_DONE; i++)
		code = add_link(run, wanted->uplink.item[i], PORTARP_UPLINK);
	for (unsigned int i = 0; i < wanted->lan.count && code == EXIT_DONE; i++)
		code = add_link(run, wanted->lan.item[i], PORTARP_LAN);
	return code;
}

/* XDP redirects to any device of the set, so one that needs tc decides for all. */
static void choose_hook(struct run *run)
{
	static const enum portarp_hook by_mode[] = { PORTARP_HOOK_NONE, PORTARP_HOOK_XDP,
						     PORTARP_HOOK_XDP_GENERIC, PORTARP_HOOK_TC };
	const struct device *device;
	const char *why = NULL;

	if (run->wanted->mode > 1) {
		run->hook = by_mode[run->wanted->mode - 1];
		return;
	}
	for (unsigned int i = 0; i < run->conf.links && !why; i++) {
		device = device_by_index(&run->list, run->conf.link[i].ifindex);
		why = choose_why_tc(device);
	}
	run->hook = why ? PORTARP_HOOK_TC : PORTARP_HOOK_XDP;
	run->may_fall_back = !why;
	if (why)
		notice("%s: mode tc for all devices (%s)", device->name, why);
	else
		notice("portarp: mode xdp (hardware; tc if a driver has no native XDP)");
}

static void warn(const struct run *run)
{
	const struct choose_use use = { .native_xdp = run->hook == PORTARP_HOOK_XDP,
					.v4 = run->conf.role == PORTARP_GATEWAY };

	for (unsigned int i = 0; i < run->conf.links; i++)
		choose_warn(&run->list, device_by_index(&run->list, run->conf.link[i].ifindex),
			    &use);
}

/* ---- loading */

static bool needs(const struct run *run, const char *program)
{
	bool xdp = strstr(program, "_xdp"), host = run->conf.role == PORTARP_HOST;

	if (!strncmp(program, "portarp_bind", 12))
		return host;
	if (!strcmp(program, "portarp_lan_out"))
		return run->conf.role != PORTARP_BRIDGE;
	if (!strcmp(program, "portarp_up_out"))
		return run->conf.role == PORTARP_BRIDGE;
	if (host && !strncmp(program, "portarp_up", 10))
		return false;
	return xdp == (run->hook != PORTARP_HOOK_TC) || run->may_fall_back;
}

static void set_sizes(const struct run *run)
{
	const struct portarp_settings *wanted = run->wanted;
	struct portarp_bpf *skeleton = run->skeleton;
	uint32_t addresses = wanted->addresses ?: PORTARP_ADDRS;
	uint32_t owners = wanted->owners ?: PORTARP_OWNERS;

	bpf_map__set_max_entries(skeleton->maps.portarp_addr, addresses);
	bpf_map__set_max_entries(skeleton->maps.portarp_mine, addresses);
	bpf_map__set_max_entries(skeleton->maps.portarp_owner, owners);
	bpf_map__set_max_entries(skeleton->maps.portarp_sharer, owners);
	bpf_map__set_max_entries(skeleton->maps.portarp_port, (wanted->blocks ?: PORTARP_BLOCKS)
								      << 16);
	bpf_map__set_max_entries(skeleton->maps.portarp_use,
				 (wanted->watch ?: PORTARP_WATCH) * PORTARP_USE_WORDS);
	bpf_map__set_max_entries(skeleton->maps.portarp_flow, wanted->flows ?: PORTARP_FLOWS);
}

static int load(struct run *run, bool reuse)
{
	const char *remedy = "give smaller --owners, --addresses, --blocks or --watch";
	struct bpf_program *program;
	int err = 0;

	run->skeleton = portarp_bpf__open();
	if (!run->skeleton)
		return machine_complain_load(-errno, PORTARP_STEM, remedy);
	run->skeleton->rodata->portarp_role = run->conf.role;
	bpf_object__for_each_program(program, run->skeleton->obj)
		bpf_program__set_autoload(program, needs(run, bpf_program__name(program)));
	if (reuse)
		err = pins_reuse(run->instance, PORTARP_STEM, run->skeleton->obj);
	else
		set_sizes(run);
	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	err = portarp_bpf__load(run->skeleton);
	return err ? machine_complain_load(err, PORTARP_STEM, remedy) : EXIT_DONE;
}

static int program_fd(const struct run *run, const char *name)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(run->skeleton->obj, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}

/* ---- on devices */

static int put_filter(const struct run *run, struct portarp_link *link, int program, bool egress)
{
	struct attach_filter filter;
	int err = attach_filter_add(program, link->ifindex, egress, &filter);

	if (err)
		return err;
	if (filter.made_qdisc)
		link->tc_link = PORTARP_TC_CLSACT_MADE;
	*(egress ? &link->egress_prio : &link->tc_prio) = filter.priority;
	*(egress ? &link->egress_handle : &link->tc_handle) = filter.handle;
	return portarp_conf_write(&run->pins, &run->conf);
}

static int put_tc(const struct run *run, struct portarp_link *link, const char *name, bool egress)
{
	int program = program_fd(run, name), err;
	char path[512];

	err = pins_link_path(run->instance, run->directory, egress ? "out" : "tc", link->ifindex,
			     path, sizeof(path));
	if (err)
		return err;
	if (!run->wanted->clsact) {
		err = attach_tcx(program, link->ifindex, egress, path);
		if (!err)
			link->tc_link = PORTARP_TC_TCX;
		/* else before 6.6, or built without it */
		if (err != -EINVAL && err != -EOPNOTSUPP)
			return err;
	}
	return put_filter(run, link, program, egress);
}

static int put_xdp(const struct run *run, const struct portarp_link *link, const char *name)
{
	char path[512];
	int err = pins_link_path(run->instance, run->directory, "xdp", link->ifindex, path,
				 sizeof(path));

	return err ? err
		   : attach_xdp(program_fd(run, name), link->ifindex,
				run->hook == PORTARP_HOOK_XDP_GENERIC, path);
}

/* The program at tc egress of a device, NULL: none. */
static const char *egress_name(const struct run *run, const struct portarp_link *link)
{
	if (run->conf.role == PORTARP_BRIDGE)
		return link->side == PORTARP_UPLINK ? "portarp_up_out" : NULL;
	return link->side == PORTARP_LAN ? "portarp_lan_out" : NULL;
}

static const char *ingress_name(const struct run *run, const struct portarp_link *link)
{
	if (run->hook == PORTARP_HOOK_TC)
		return link->side == PORTARP_UPLINK ? "portarp_up_tc" : "portarp_lan_tc";
	return link->side == PORTARP_UPLINK ? "portarp_up_xdp" : "portarp_lan_xdp";
}

static int complain_tc(const char *device, int err, bool egress)
{
	const char *where = egress ? "egress" : "ingress";

	return complain(EXIT_FAILED,
			"%s: cannot attach at tc %s: %s; `tc filter show dev %s %s` tells who is "
			"there",
			device, where, strerror(-err), device, where);
}

static int put_ingress(struct run *run, struct portarp_link *link, const struct device *device)
{
	const char *name = ingress_name(run, link);
	char why[256];
	int err;

	if (run->hook == PORTARP_HOOK_TC) {
		err = put_tc(run, link, name, false);
		return err ? complain_tc(device->name, err, false) : EXIT_DONE;
	}
	err = put_xdp(run, link, name);
	if (!err)
		return EXIT_DONE;
	choose_explain_xdp(device, err, why, sizeof(why));
	if (!run->may_fall_back)
		return complain(EXIT_FAILED, "%s: %s", device->name, why);
	notice("%s: mode tc for all devices: %s", device->name, why);
	return EXIT_FAILED;
}

static int put(struct run *run, struct portarp_link *link)
{
	const struct device *device = device_by_index(&run->list, link->ifindex);
	const char *egress = egress_name(run, link);
	int code, err;

	link->hook = run->hook;
	code = put_ingress(run, link, device);
	if (code != EXIT_DONE || !egress)
		return code;
	err = put_tc(run, link, egress, true);
	return err ? complain_tc(device->name, err, true) : EXIT_DONE;
}

static void take_off(struct run *run)
{
	const struct portarp_conf wanted = run->conf;

	for (unsigned int i = 0; i < run->conf.links; i++)
		portarp_link_remove(run->instance, run->directory, &run->pins, &run->conf, i);
	run->conf = wanted;
}

static int put_all(struct run *run)
{
	int code = EXIT_DONE;

	for (unsigned int i = 0; i < run->conf.links && code == EXIT_DONE; i++)
		code = put(run, &run->conf.link[i]);
	if (code == EXIT_DONE) {
		int err = portarp_conf_write(&run->pins, &run->conf);

		return err ? complain_pins(err, run->instance, PORTARP_STEM) : EXIT_DONE;
	}
	take_off(run);
	if (!run->may_fall_back)
		return EXIT_FAILED;
	run->may_fall_back = false;
	run->hook = PORTARP_HOOK_TC;
	return put_all(run);
}

/* ---- the host's binds */

static int cgroup_path(const struct run *run, char path[512])
{
	FILE *mounts;
	int found = 0;

	if (run->wanted->cgroup) {
		snprintf(path, 512, "%s", run->wanted->cgroup);
		return 0;
	}
	mounts = fopen("/proc/self/mounts", "re");
	while (mounts && !found) {
		char kind[64];
		int fields = fscanf(mounts, "%*s %511s %63s %*[^\n]", path, kind);

		if (fields != 2)
			break;
		found = !strcmp(kind, "cgroup2");
	}
	if (mounts)
		fclose(mounts);
	return found ? 0 : -ENOENT;
}

static int put_bind(const struct run *run)
{
	static const struct {
		const char *program;
		uint32_t type;
	} binds[] = {
		{ "portarp_bind4", BPF_CGROUP_INET4_BIND },
		{ "portarp_bind6", BPF_CGROUP_INET6_BIND },
	};
	char cgroup[512], path[512];
	int fd CLOSE_FD = -1;
	int err = 0;

	if (run->conf.role != PORTARP_HOST)
		return EXIT_DONE;
	if (cgroup_path(run, cgroup))
		return complain(
			EXIT_FAILED,
			"portarp: no cgroup2 is mounted, so binds cannot be checked; mount one "
			"or name it by --cgroup");
	fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain(EXIT_FAILED, "portarp: --cgroup %s: %s", cgroup, strerror(errno));
	for (size_t i = 0; i < COUNT_OF(binds) && !err; i++) {
		int program = program_fd(run, binds[i].program);

		if (program == -ENOENT)
			continue;
		err = pins_link_path(run->instance, run->directory, binds[i].program + 8, 0, path,
				     sizeof(path));
		if (!err)
			err = attach_cgroup(program, fd, binds[i].type, path);
	}
	return err ? complain(EXIT_FAILED, "portarp: %s: its binds cannot be checked: %s", cgroup,
			      strerror(-err))
		   : EXIT_DONE;
}

/* ---- a first attach */

static int fill_conf(struct run *run)
{
	struct portarp_conf *conf = &run->conf;
	__u64 netns, cookie;
	int err = machine_netns((uint64_t *)&netns);

	if (!err)
		err = machine_netns_cookie((uint64_t *)&cookie);
	if (err)
		return err;
	conf->abi = PORTARP_ABI;
	conf->op_request = htons(run->wanted->op_request ?: PORTARP_OP_REQUEST);
	conf->op_reply = htons(run->wanted->op_reply ?: PORTARP_OP_REPLY);
	conf->netns = netns;
	conf->netns_cookie = cookie;
	conf->echo_ns = PORTARP_ECHO_S * NS_PER_S;
	conf->ident_ns = PORTARP_IDENT_S * NS_PER_S;
	conf->proto_ns = PORTARP_PROTO_S * NS_PER_S;
	conf->frag_ns = PORTARP_FRAG_S * NS_PER_S;
	return 0;
}

static int stage(struct run *run)
{
	char path[512];
	int err = fill_conf(run);

	if (!err)
		err = pin_path(run->instance, run->directory, NULL, path, sizeof(path));
	if (!err && mkdir(path, 0755))
		err = -errno;
	if (!err)
		err = pins_make(run->instance, run->directory, run->skeleton->obj);
	if (!err) {
		__u32 key = 0;

		err = bpf_map_update_elem(bpf_map__fd(run->skeleton->maps.portarp_conf), &key,
					  &run->conf, BPF_ANY);
	}
	if (!err)
		err = portarp_pins_open(run->instance, run->directory, &run->pins);
	return err ? complain_pins(err, run->instance, PORTARP_STEM) : EXIT_DONE;
}

static int attach_new(struct run *run)
{
	unsigned int stuck;
	int code, err;

	run->directory = PORTARP_STAGING;
	portarp_remove(run->instance, PORTARP_STAGING, &stuck); /* of a killed predecessor */
	code = load(run, false);
	if (code == EXIT_DONE)
		code = stage(run);
	if (code == EXIT_DONE)
		code = put_all(run);
	if (code == EXIT_DONE)
		code = put_bind(run);
	if (code == EXIT_DONE) {
		err = pins_publish(run->instance, PORTARP_STAGING, PORTARP_STEM);
		code = err ? complain_pins(err, run->instance, PORTARP_STEM) : EXIT_DONE;
	}
	if (code != EXIT_DONE)
		portarp_remove(run->instance, PORTARP_STAGING, &stuck);
	return code;
}

/* ---- replacing: the maps stay, each link and filter takes the new program between two packets */

static int update_tc(const struct run *run, const struct portarp_link *link, const char *name,
		     bool egress)
{
	const struct attach_filter filter = {
		.ifindex = link->ifindex,
		.handle = egress ? link->egress_handle : link->tc_handle,
		.priority = egress ? link->egress_prio : link->tc_prio,
		.egress = egress,
	};
	char path[512];
	int err;

	if (filter.handle)
		return attach_filter_update(program_fd(run, name), &filter);
	err = pins_link_path(run->instance, PORTARP_STEM, egress ? "out" : "tc", link->ifindex,
			     path, sizeof(path));
	return err ? err : attach_link_update(path, program_fd(run, name));
}

static int update_link(struct run *run, const struct portarp_link *link)
{
	const char *name;
	char path[512];
	int err = 0;

	run->hook = link->hook;
	name = ingress_name(run, link);
	if (egress_name(run, link))
		err = update_tc(run, link, egress_name(run, link), true);
	if (!err && link->hook == PORTARP_HOOK_TC)
		return update_tc(run, link, name, false);
	if (!err)
		err = pins_link_path(run->instance, PORTARP_STEM, "xdp", link->ifindex, path,
				     sizeof(path));
	return err ? err : attach_link_update(path, program_fd(run, name));
}

static int update_bind(const struct run *run)
{
	static const char *const names[] = { "portarp_bind4", "portarp_bind6" };
	char path[512];
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(names) && run->conf.role == PORTARP_HOST && !err; i++) {
		int program = program_fd(run, names[i]);

		if (program >= 0)
			err = pins_link_path(run->instance, PORTARP_STEM, names[i] + 8, 0, path,
					     sizeof(path));
		if (program >= 0 && !err)
			err = attach_link_update(path, program);
	}
	return err;
}

static int check_replace(const struct run *run)
{
	const struct portarp_settings *wanted = run->wanted;
	uint64_t here;
	int err = machine_netns(&here);

	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	if (here != run->conf.netns)
		return complain(EXIT_FAILED,
				"portarp: it is attached in another network namespace; run this "
				"there: `nsenter --net=/run/netns/NAME`");
	if ((wanted->role && wanted->role != run->conf.role) || wanted->uplink.count ||
	    wanted->lan.count || wanted->owners || wanted->addresses || wanted->blocks ||
	    wanted->watch || wanted->flows || wanted->mode > 1)
		return complain(EXIT_USAGE,
				"portarp attach: --replace exchanges programs alone; detach and "
				"attach again to change role, devices, mode or sizes");
	return EXIT_DONE;
}

static int replace(struct run *run)
{
	int code, err = portarp_conf_read(&run->pins, &run->conf);

	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	code = check_replace(run);
	run->may_fall_back = true; /* every device may have a hook of its own */
	if (code == EXIT_DONE)
		code = load(run, true);
	for (unsigned int i = 0; i < PORTARP_LINKS && code == EXIT_DONE; i++) {
		err = run->conf.link[i].ifindex ? update_link(run, &run->conf.link[i]) : 0;
		if (err)
			code = complain(EXIT_FAILED,
					"device %u: its program could not be exchanged: %s; the "
					"old one goes on; repeat, or detach and attach again",
					run->conf.link[i].ifindex, strerror(-err));
	}
	err = code == EXIT_DONE ? update_bind(run) : 0;
	return err ? complain_pins(err, run->instance, PORTARP_STEM) : code;
}

/* ---- the verb */

static int check_words(const struct portarp_settings *wanted)
{
	if (!wanted->role)
		return complain(EXIT_USAGE, "portarp attach: --role gateway|bridge|host is needed");
	if (!wanted->lan.count)
		return complain(EXIT_USAGE, "portarp attach: --lan DEV is needed");
	if (wanted->role == PORTARP_HOST && wanted->uplink.count)
		return complain(EXIT_USAGE, "portarp attach: a host has --lan devices only");
	if (wanted->role != PORTARP_HOST && !wanted->uplink.count)
		return complain(EXIT_USAGE, "portarp attach: --uplink DEV is needed");
	return EXIT_DONE;
}

static int attach_locked(struct run *run)
{
	int pinned = portarp_pins_open(run->instance, PORTARP_STEM, &run->pins);
	int code;

	if (!pinned && run->wanted->replace)
		return replace(run);
	if (!pinned)
		return complain(
			EXIT_FAILED,
			"portarp: already attached (instance %s); use --replace to exchange its "
			"programs under live traffic, or `isthmus portarp detach` first",
			run->instance ? run->instance : "default");
	if (pinned != -ENOENT)
		return complain_pins(pinned, run->instance, PORTARP_STEM);
	code = check_words(run->wanted);
	run->conf.role = run->wanted->role;
	if (code == EXIT_DONE)
		code = find_links(run);
	if (code != EXIT_DONE)
		return code;
	choose_hook(run);
	warn(run);
	return attach_new(run);
}

int portarp_attach(const void *settings, const struct output *output)
{
	struct run run = { .wanted = settings };
	int lock CLOSE_FD = -1;
	int code;

	(void)output;
	run.instance = run.wanted->common.instance;
	portarp_pins_none(&run.pins);
	code = run.wanted->replace ? EXIT_DONE : check_words(run.wanted);
	if (code == EXIT_DONE)
		code = machine_check(PORTARP_STEM);
	if (code != EXIT_DONE)
		return code;
	machine_block_signals();
	lock = pin_lock(run.instance);
	if (lock < 0)
		return complain_pins(lock, run.instance, PORTARP_STEM);
	code = attach_locked(&run);
	portarp_bpf__destroy(run.skeleton);
	portarp_pins_close(&run.pins);
	device_list_free(&run.list);
	pins_remove_empty(run.instance);
	return code;
}
