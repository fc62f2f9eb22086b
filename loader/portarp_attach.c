// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus portarp attach`: lock, load, pin in a staging directory, fill the configuration, attach,
 * rename. The directory's final name appears when all is done, and a failure removes the staging
 * one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "pins.h"
#include "portarp_attach.h"

#define NS_PER_S 1000000000ULL

/* ---- what the words mean here */

static int add_link(struct portarp_run *run, const char *name, enum portarp_side side)
{
	struct portarp_conf *conf = &run->conf;
	struct portarp_link *link = &conf->link[conf->links];
	const struct device *device;

	if (choose_device(&run->list, name, &device) != EXIT_DONE)
		return EXIT_FAILED;
	for (unsigned int i = 0; i < conf->links; i++)
		if (run->device[i] == device)
			return complain(EXIT_USAGE,
					"%s: it cannot be uplink and LAN at once; name another "
					"device",
					name);
	if (conf->links == PORTARP_LINKS)
		return complain(EXIT_FAILED, "%s: at most %d devices", name, PORTARP_LINKS);
	if (device_mac(name, link->mac))
		return complain(EXIT_FAILED, "%s: it tells no MAC: %s", name, strerror(errno));
	link->ifindex = device->ifindex;
	link->mtu = device->mtu > UINT16_MAX ? UINT16_MAX : device->mtu;
	link->side = side;
	run->device[conf->links++] = device;
	return EXIT_DONE;
}

static int find_links(struct portarp_run *run)
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

/* What the programs do not carry themselves is forwarded by a Linux bridge. */
static void warn_bridge(const struct portarp_run *run)
{
	uint32_t first = run->device[0]->master;

	for (unsigned int i = 0; i < run->conf.links; i++) {
		const struct device *device = run->device[i];
		const struct device *master = device_by_index(&run->list, device->master);

		if (!master || strcmp(master->kind, "bridge"))
			notice("%s: warning: it is no port of a bridge, so only packets of shared "
			       "addresses pass: `ip link set %s master BRIDGE`",
			       device->name, device->name);
		else if (device->master != first && first)
			notice("%s: warning: it is a port of %s, another bridge than %s's",
			       device->name, master->name, run->device[0]->name);
	}
}

static void warn(const struct portarp_run *run)
{
	const struct choose_use use = {
		.native_xdp = run->hook == PUT_HOOK_XDP,
		.v4 = run->conf.role == PORTARP_GATEWAY,
		.unforwarded = "what the programs leave to the kernel is lost",
	};

	for (unsigned int i = 0; i < run->conf.links; i++)
		choose_warn(&run->list, run->device[i], &use);
	if (run->conf.role == PORTARP_BRIDGE)
		warn_bridge(run);
}

/* ---- a first attach */

static int fill_conf(struct portarp_run *run)
{
	struct portarp_conf *conf = &run->conf;
	uint64_t netns, cookie;
	int err = machine_netns(&netns);

	if (!err)
		err = machine_netns_cookie(&cookie);
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

static int stage(struct portarp_run *run)
{
	int err = fill_conf(run);

	if (!err)
		err = portarp_run_pin(run);
	if (!err)
		err = portarp_pins_open(run->instance, run->directory, &run->pins);
	return err ? complain_pins(err, run->instance, PORTARP_STEM) : EXIT_DONE;
}

static int publish(const struct portarp_run *run)
{
	int err = pins_publish(run->instance, PORTARP_STAGING, PORTARP_STEM);

	return err ? complain_pins(err, run->instance, PORTARP_STEM) : EXIT_DONE;
}

static int attach_new(struct portarp_run *run)
{
	unsigned int stuck;
	int code;

	run->directory = PORTARP_STAGING;
	portarp_remove(run->instance, PORTARP_STAGING, &stuck); /* of a killed predecessor */
	code = portarp_run_load(run, false);
	if (code == EXIT_DONE)
		code = stage(run);
	if (code == EXIT_DONE)
		code = portarp_run_devices(run);
	if (code == EXIT_DONE)
		code = portarp_run_bind(run);
	if (code == EXIT_DONE)
		code = publish(run);
	if (code != EXIT_DONE)
		portarp_remove(run->instance, PORTARP_STAGING, &stuck);
	return code;
}

/* ---- the verb */

static int check_words(const struct portarp_settings *wanted)
{
	if (!wanted->role)
		return complain(EXIT_USAGE, "portarp attach: --role gateway|bridge|host is needed");
	if (!wanted->lan.count)
		return complain(EXIT_USAGE, "portarp attach: --lan DEV is needed");
	if (wanted->role == PORTARP_HOST && wanted->uplink.count)
		return complain(EXIT_USAGE,
				"portarp attach: --uplink %s: a host has --lan devices only",
				wanted->uplink.item[0]);
	if (wanted->role != PORTARP_HOST && !wanted->uplink.count)
		return complain(EXIT_USAGE, "portarp attach: --uplink DEV is needed");
	if (wanted->role != PORTARP_HOST && wanted->cgroup)
		return complain(EXIT_USAGE,
				"portarp attach: --cgroup %s: only a host's binds are checked",
				wanted->cgroup);
	if (wanted->op_request && wanted->op_request == (wanted->op_reply ?: PORTARP_OP_REPLY))
		return complain(EXIT_USAGE,
				"portarp attach: --op-request %u: replies have it; name another",
				wanted->op_request);
	if (wanted->op_reply && wanted->op_reply == (wanted->op_request ?: PORTARP_OP_REQUEST))
		return complain(EXIT_USAGE,
				"portarp attach: --op-reply %u: requests have it; name another",
				wanted->op_reply);
	return EXIT_DONE;
}

static int attach_locked(struct portarp_run *run)
{
	int pinned = portarp_pins_open(run->instance, PORTARP_STEM, &run->pins);
	int code;

	if (!pinned && run->wanted->replace)
		return portarp_replace(run);
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
	run->hook =
		choose_hook(run->wanted->mode, run->device, run->conf.links, &run->may_fall_back);
	warn(run);
	return attach_new(run);
}

static int attach(struct portarp_run *run)
{
	int lock CLOSE_FD = pin_lock(run->instance);
	int code;

	if (lock < 0)
		return complain_pins(lock, run->instance, PORTARP_STEM);
	code = attach_locked(run);
	portarp_run_free(run);
	portarp_pins_close(&run->pins);
	device_list_free(&run->list);
	pins_remove_empty(run->instance);
	return code;
}

int portarp_attach(const void *settings, const struct output *output)
{
	struct portarp_run run = { .wanted = settings };
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
	return attach(&run);
}
