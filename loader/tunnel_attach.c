// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus waypoint attach` and `isthmus gateway attach`: lock, load, pin in a staging directory,
 * fill the configuration, attach, rename. The directory's final name appears when all is done, and
 * a failure removes the staging one. --replace exchanges programs and keeps the maps.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "machine.h"
#include "tunnel.h"

struct run {
	const struct tunnel_kind *kind;
	const struct tunnel_settings *wanted;
	const char *instance, *directory;
	struct device_list list;
	const struct device *device[TUNNEL_LINKS];
	enum put_hook hook;
	bool may_fall_back;
	struct tunnel_conf *conf; /* kind->conf_size bytes */
	struct tunnel_pins pins;
	bool is_open;
	struct bpf_object *object;
};

/* ---- devices */

static int add_link(struct run *run, const char *name, enum tunnel_side side)
{
	struct tunnel_conf *conf = run->conf;
	struct tunnel_link *link = &conf->link[conf->links];
	const struct device *device;

	if (choose_device(&run->list, name, &device) != EXIT_DONE)
		return EXIT_FAILED;
	for (unsigned int i = 0; i < conf->links; i++)
		if (run->device[i] == device)
			return complain(EXIT_USAGE,
					"%s: it cannot be uplink and LAN at once; name another "
					"device",
					name);
	if (conf->links == TUNNEL_LINKS)
		return complain(EXIT_FAILED, "%s: at most %d devices", name, TUNNEL_LINKS);
	if (device_mac(name, link->mac))
		return complain(EXIT_FAILED, "%s: it tells no MAC: %s", name, strerror(errno));
	link->ifindex = device->ifindex;
	link->mtu = device->mtu > UINT16_MAX ? UINT16_MAX : device->mtu;
	link->side = side;
	run->device[conf->links++] = device;
	return EXIT_DONE;
}

static int find_links(struct run *run)
{
	const struct tunnel_settings *wanted = run->wanted;
	int err = device_list_read(&run->list), code = EXIT_DONE;

	if (err)
		return complain(EXIT_FAILED, "%s: rtnetlink: cannot list devices: %s",
				run->kind->stem, strerror(-err));
	for (unsigned int i = 0; i < wanted->dev.count && code == EXIT_DONE; i++)
		code = add_link(run, wanted->dev.item[i], TUNNEL_UPLINK);
	for (unsigned int i = 0; i < wanted->lan.count && code == EXIT_DONE; i++)
		code = add_link(run, wanted->lan.item[i], TUNNEL_LAN);
	return code;
}

/*
 * At tc a packet must be one of the wire: no joined ones, no checksum that a device is to finish.
 * What comes through a veth pair is as its sender made it, and that can be asked here only if it is
 * in this namespace.
 */
static int check_wire(const struct run *run, const struct device *device)
{
	const struct device *peer = device_by_index(&run->list, device->link);

	if (device_ethtool_value(device->name, ETHTOOL_GGRO) == 1)
		return complain(
			EXIT_FAILED,
			"%s: mode tc needs packets of the wire, and generic receive offload "
			"joins them: `ethtool -K %s gro off`, or --mode xdp, or "
			"--trust-offloads",
			device->name, device->name);
	if (strcmp(device->kind, "veth"))
		return EXIT_DONE;
	if (!peer)
		return complain(
			EXIT_FAILED,
			"%s: mode tc needs whole checksums, and its veth peer is in another "
			"namespace and cannot be asked: `ethtool -K PEER tx off` there and "
			"--trust-offloads",
			device->name);
	if (device_ethtool_value(peer->name, ETHTOOL_GTXCSUM) == 1)
		return complain(EXIT_FAILED,
				"%s: mode tc needs whole checksums, and its peer %s leaves them "
				"unfinished: `ethtool -K %s tx off`",
				device->name, peer->name, peer->name);
	return EXIT_DONE;
}

static int check_devices(const struct run *run)
{
	const struct choose_use use = {
		.native_xdp = run->hook == PUT_HOOK_XDP,
		.unforwarded = "",
	};
	int code = EXIT_DONE;

	for (unsigned int i = 0; i < run->conf->links && code == EXIT_DONE; i++) {
		choose_warn(&run->list, run->device[i], &use);
		if (run->hook == PUT_HOOK_TC && !run->wanted->trust_offloads)
			code = check_wire(run, run->device[i]);
	}
	return code;
}

/* ---- programs */

static int program_fd(const struct run *run, const char *place, const char *hook)
{
	struct bpf_program *program;
	char name[64];

	snprintf(name, sizeof(name), "%s%s_%s", run->kind->stem, place, hook);
	program = bpf_object__find_program_by_name(run->object, name);
	return program ? bpf_program__fd(program) : -1;
}

/* With XDP the tc program is there too: it cuts what is too long for the tunnel. */
static struct put_programs programs_of(const struct run *run, const struct tunnel_link *link,
				       enum put_hook hook)
{
	const char *place = !run->kind->has_lan ? "" : link->side == TUNNEL_LAN ? "_lan" : "_up";

	return (struct put_programs){
		.xdp = hook == PUT_HOOK_TC ? -1 : program_fd(run, place, "xdp"),
		.tc = program_fd(run, place, "tc"),
		.out = -1,
	};
}

static int load(struct run *run, bool reuse)
{
	const struct tunnel_kind *kind = run->kind;
	size_t len;
	const void *elf = kind->elf(&len);
	int err = 0;

	run->object = bpf_object__open_mem(elf, len, NULL);
	if (!run->object)
		return machine_complain_load(-errno, kind->stem, kind->remedy);
	if (reuse)
		err = pins_reuse(run->instance, kind->stem, run->object);
	else
		kind->resize(run->object, run->wanted);
	if (err)
		return complain_pins(err, run->instance, kind->stem);
	err = bpf_object__load(run->object);
	return err ? machine_complain_load(err, kind->stem, kind->remedy) : EXIT_DONE;
}

static int put(const struct run *run, const struct device *device, struct tunnel_link *link)
{
	const struct put_how how = {
		.hook = run->hook,
		.clsact = run->wanted->clsact,
		.may_fall_back = run->may_fall_back,
	};
	struct put_programs programs = programs_of(run, link, run->hook);
	struct put_place place;
	struct put put;
	int code;

	tunnel_put_place(run->instance, run->directory, &run->pins, run->conf, link, &place);
	code = put_on(&place, &programs, &how, device, &put);
	if (code == EXIT_DONE)
		tunnel_put_note(link, &put);
	return code;
}

static void take_off(struct run *run, unsigned int count)
{
	const struct put none = {};
	struct put_place place;
	struct put put;

	for (unsigned int i = 0; i < count; i++) {
		struct tunnel_link *link = &run->conf->link[i];

		tunnel_put_place(run->instance, run->directory, &run->pins, run->conf, link,
				 &place);
		tunnel_put_of(link, &put);
		put_off(&place, &put);
		tunnel_put_note(link, &none);
	}
}

/* What is on a device is written at once, so that the next one knows what a killed attach left. */
static int put_all(struct run *run)
{
	for (unsigned int i = 0; i < run->conf->links; i++) {
		int err = 0, code = put(run, run->device[i], &run->conf->link[i]);

		if (code == EXIT_DONE)
			err = tunnel_conf_write(&run->pins, run->conf);
		if (code == EXIT_DONE && !err)
			continue;
		take_off(run, i + 1);
		if (err)
			return complain_pins(err, run->instance, run->kind->stem);
		if (!run->may_fall_back)
			return EXIT_FAILED;
		run->may_fall_back = false;
		run->hook = PUT_HOOK_TC;
		code = check_devices(run);
		return code == EXIT_DONE ? put_all(run) : code;
	}
	return EXIT_DONE;
}

/* ---- a first attach */

static int fill_conf(struct run *run)
{
	uint64_t netns;
	int err = machine_netns(&netns);

	if (err)
		return complain_pins(err, run->instance, run->kind->stem);
	run->conf->abi = run->kind->abi;
	run->conf->netns = netns;
	run->conf->port = htons(run->wanted->port ?: TUNNEL_PORT);
	return run->kind->fill(run->conf, run->wanted);
}

static int stage(struct run *run)
{
	struct bpf_map *map;
	char name[64];
	__u32 key = 0;
	int err = pins_make(run->instance, run->directory, run->object);

	snprintf(name, sizeof(name), "%s_conf", run->kind->stem);
	map = bpf_object__find_map_by_name(run->object, name);
	if (!err && bpf_map_update_elem(bpf_map__fd(map), &key, run->conf, BPF_ANY))
		err = -errno;
	if (!err)
		err = tunnel_pins_open(run->kind, run->instance, run->directory, &run->pins);
	run->is_open = !err;
	return err ? complain_pins(err, run->instance, run->kind->stem) : EXIT_DONE;
}

static int publish(const struct run *run)
{
	int err = pins_publish(run->instance, run->kind->staging, run->kind->stem);

	return err ? complain_pins(err, run->instance, run->kind->stem) : EXIT_DONE;
}

static int attach_new(struct run *run)
{
	unsigned int stuck;
	int code;

	run->directory = run->kind->staging;
	tunnel_remove(run->kind, run->instance, run->directory, &stuck); /* of a killed one */
	code = load(run, false);
	if (code == EXIT_DONE)
		code = stage(run);
	if (code == EXIT_DONE)
		code = put_all(run);
	if (code == EXIT_DONE)
		code = publish(run);
	if (code != EXIT_DONE)
		tunnel_remove(run->kind, run->instance, run->directory, &stuck);
	return code;
}

static int check_words(const struct run *run)
{
	const struct tunnel_kind *kind = run->kind;

	if (!run->wanted->dev.count)
		return complain(EXIT_USAGE, "%s attach: --%s DEV is needed", kind->stem,
				kind->dev_option);
	if (kind->has_lan && !run->wanted->lan.count)
		return complain(EXIT_USAGE, "%s attach: --lan DEV is needed", kind->stem);
	return EXIT_DONE;
}

/* ---- --replace */

static int check_replace(const struct run *run)
{
	const struct tunnel_settings *wanted = run->wanted;
	const char *option = wanted->dev.count		  ? run->kind->dev_option
			     : wanted->lan.count	  ? "lan"
			     : wanted->mode > CHOOSE_AUTO ? "mode"
			     : wanted->port		  ? "port"
							  : run->kind->changed(wanted);
	uint64_t here;
	int err = machine_netns(&here);

	if (err)
		return complain_pins(err, run->instance, run->kind->stem);
	if (here != run->conf->netns)
		return complain(EXIT_FAILED,
				"%s: it is attached in another network namespace (%llu, this is "
				"%llu); run this there: `nsenter --net=/run/netns/NAME`",
				run->kind->stem, (unsigned long long)run->conf->netns,
				(unsigned long long)here);
	if (!option)
		return EXIT_DONE;
	return complain(EXIT_FAILED,
			"%s: --%s: --replace exchanges programs and keeps all else; detach and "
			"attach again to change it",
			run->kind->stem, option);
}

static int exchange(const struct run *run)
{
	for (unsigned int i = 0; i < TUNNEL_LINKS; i++) {
		const struct tunnel_link *link = &run->conf->link[i];
		char name[IF_NAMESIZE];
		struct put_programs programs;
		struct put_place place;
		struct put put;
		int err;

		/* a device that has gone took its programs with it */
		if (!link->ifindex || !if_indextoname(link->ifindex, name))
			continue;
		tunnel_put_place(run->instance, run->kind->stem, &run->pins, run->conf, link,
				 &place);
		tunnel_put_of(link, &put);
		programs = programs_of(run, link, put.hook);
		err = put_exchange(&place, &programs, &put);
		if (err)
			return complain(EXIT_FAILED,
					"%s: its programs could not be exchanged: %s; the old ones "
					"go on; repeat, or detach and attach again",
					name, strerror(-err));
	}
	return EXIT_DONE;
}

static int replace(struct run *run)
{
	int code, err = tunnel_conf_read(&run->pins, run->conf);

	run->directory = run->kind->stem;
	if (err)
		return complain_pins(err, run->instance, run->kind->stem);
	code = check_replace(run);
	if (code == EXIT_DONE)
		code = load(run, true);
	return code == EXIT_DONE ? exchange(run) : code;
}

/* ---- the verb */

static int attach_locked(struct run *run)
{
	int pinned = tunnel_pins_open(run->kind, run->instance, run->kind->stem, &run->pins);
	int code;

	run->is_open = !pinned;
	if (!pinned && run->wanted->replace)
		return replace(run);
	if (!pinned)
		return complain(EXIT_FAILED,
				"%s: already attached (instance %s); use --replace to exchange its "
				"programs under live traffic, or `isthmus %s detach` first",
				run->kind->stem, run->instance ? run->instance : "default",
				run->kind->stem);
	if (pinned != -ENOENT)
		return complain_pins(pinned, run->instance, run->kind->stem);
	code = check_words(run);
	if (code == EXIT_DONE)
		code = find_links(run);
	if (code != EXIT_DONE)
		return code;
	run->hook =
		choose_hook(run->wanted->mode, run->device, run->conf->links, &run->may_fall_back);
	code = check_devices(run);
	if (code == EXIT_DONE)
		code = fill_conf(run);
	return code == EXIT_DONE ? attach_new(run) : code;
}

static int attach(struct run *run)
{
	int lock CLOSE_FD = pin_lock(run->instance);
	int code;

	if (lock < 0)
		return complain_pins(lock, run->instance, run->kind->stem);
	code = attach_locked(run);
	bpf_object__close(run->object);
	if (run->is_open)
		tunnel_pins_close(run->kind, &run->pins);
	device_list_free(&run->list);
	pins_remove_empty(run->instance);
	return code;
}

int tunnel_attach(const struct tunnel_kind *kind, const struct tunnel_settings *settings)
{
	struct run run = { .kind = kind,
			   .wanted = settings,
			   .instance = settings->common.instance };
	int code = settings->replace ? EXIT_DONE : check_words(&run);

	if (code == EXIT_DONE)
		code = machine_check(kind->stem);
	if (code != EXIT_DONE)
		return code;
	run.conf = calloc(1, kind->conf_size);
	if (!run.conf)
		return complain_pins(-ENOMEM, run.instance, kind->stem);
	machine_block_signals();
	code = attach(&run);
	free(run.conf);
	return code;
}
