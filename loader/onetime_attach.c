// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus onetime attach`: lock, load, pin in a staging directory, fill the configuration, attach,
 * rename. The directory's final name appears when all is done, and a failure removes the staging
 * one. No address is local yet: pools come later, to devices whose guard is there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "onetime_attach.h"
#include "pins.h"
#include "sysctl.h"

/* ---- what the words mean here */

static int add_link(struct onetime_attaching *run, const char *name)
{
	struct onetime_conf *conf = &run->conf;
	struct onetime_link *link = &conf->link[conf->links];
	const struct device *device;

	if (choose_device_or_loopback(&run->list, name, &device) != EXIT_DONE)
		return EXIT_FAILED;
	if (conf->links == ONETIME_LINKS)
		return complain(EXIT_FAILED, "%s: at most %d devices", name, ONETIME_LINKS);
	if (device_mac(name, link->mac))
		return complain(EXIT_FAILED, "%s: it tells no MAC: %s", name, strerror(errno));
	link->ifindex = device->ifindex;
	run->device[conf->links++] = device;
	return EXIT_DONE;
}

static int find_links(struct onetime_attaching *run)
{
	const struct choose_use use = {};
	int err = device_list_read(&run->list), code = EXIT_DONE;

	if (err)
		return complain(EXIT_FAILED, "onetime: rtnetlink: cannot list devices: %s",
				strerror(-err));
	for (unsigned int i = 0; i < run->wanted->dev.count && code == EXIT_DONE; i++)
		code = add_link(run, run->wanted->dev.item[i]);
	for (unsigned int i = 0; i < run->conf.links && code == EXIT_DONE; i++)
		choose_warn(&run->list, run->device[i], &use);
	return code;
}

/* ---- a first attach */

static int fill_conf(struct onetime_attaching *run)
{
	struct onetime_conf *conf = &run->conf;
	int low, high, err = sysctl_read_pair("net/ipv4/ip_local_port_range", &low, &high);
	uint64_t netns, cookie; /* the map's are not aligned for pointers */

	if (!err)
		err = machine_netns(&netns);
	if (!err)
		err = machine_netns_cookie(&cookie);
	if (err)
		return err;
	conf->abi = ONETIME_ABI;
	conf->netns = netns;
	conf->netns_cookie = cookie;
	conf->claim_ns = ONETIME_CLAIM_S * ONETIME_NS_PER_S;
	conf->linger_ns = ONETIME_LINGER_S * ONETIME_NS_PER_S;
	conf->udp_ns = ONETIME_UDP_S * ONETIME_NS_PER_S;
	conf->port_low = low;
	conf->port_high = high;
	conf->strict = !run->wanted->lenient;
	return 0;
}

static int stage(struct onetime_attaching *run)
{
	int err = fill_conf(run);

	if (!err)
		err = onetime_programs_pin(run);
	if (!err)
		err = onetime_pins_open(run->instance, run->directory, &run->pins);
	return err ? complain_pins(err, run->instance, ONETIME_STEM) : EXIT_DONE;
}

static int publish(const struct onetime_attaching *run)
{
	int err = pins_publish(run->instance, ONETIME_STAGING, ONETIME_STEM);

	return err ? complain_pins(err, run->instance, ONETIME_STEM) : EXIT_DONE;
}

static int attach_new(struct onetime_attaching *run)
{
	unsigned int stuck;
	int code;

	run->directory = ONETIME_STAGING;
	onetime_remove(run->instance, ONETIME_STAGING, &stuck); /* of a killed predecessor */
	if (stuck)
		return complain(EXIT_FAILED,
				"onetime: an attach that was killed left something in another "
				"network namespace; run `isthmus onetime detach` there first");
	code = onetime_programs_load(run, false);
	if (code == EXIT_DONE)
		code = stage(run);
	if (code == EXIT_DONE)
		code = onetime_programs_put(run);
	if (code == EXIT_DONE)
		code = onetime_programs_put_sockets(run);
	if (code == EXIT_DONE)
		code = publish(run);
	if (code != EXIT_DONE)
		onetime_remove(run->instance, ONETIME_STAGING, &stuck);
	return code;
}

/* ---- --replace: maps stay, and with them pools, addresses and settings */

static int check_replaced(const struct onetime_attaching *run)
{
	const struct onetime_settings *wanted = run->wanted;
	const char *option = wanted->dev.count	 ? "dev"
			     : wanted->strict	 ? "strict"
			     : wanted->lenient	 ? "lenient"
			     : wanted->addresses ? "addresses"
			     : wanted->eas	 ? "eas"
			     : wanted->cgroup	 ? "cgroup"
						 : NULL;

	if (!option)
		return EXIT_DONE;
	return complain(EXIT_FAILED,
			"onetime: --%s: --replace exchanges programs and keeps all else; detach "
			"and attach again to change it",
			option);
}

static int replace(struct onetime_attaching *run)
{
	int code, err = onetime_conf_read(&run->pins, &run->conf);

	run->directory = ONETIME_STEM;
	if (err)
		return complain_pins(err, run->instance, ONETIME_STEM);
	code = onetime_check_netns(&run->conf);
	if (code == EXIT_DONE)
		code = check_replaced(run);
	if (code == EXIT_DONE)
		code = onetime_programs_load(run, true);
	return code == EXIT_DONE ? onetime_programs_exchange(run) : code;
}

/* ---- the verb */

static int check_words(const struct onetime_settings *wanted)
{
	if (wanted->strict && wanted->lenient)
		return complain(EXIT_USAGE, "onetime attach: --strict or --lenient, not both");
	if (!wanted->dev.count && !wanted->replace)
		return complain(EXIT_USAGE, "onetime attach: --dev DEV is needed");
	return EXIT_DONE;
}

static int attach_locked(struct onetime_attaching *run)
{
	int pinned = onetime_pins_open(run->instance, ONETIME_STEM, &run->pins);
	int code;

	if (!pinned && run->wanted->replace)
		return replace(run);
	if (!pinned)
		return complain(
			EXIT_FAILED,
			"onetime: already attached (instance %s); use --replace to exchange its "
			"programs under live traffic, or `isthmus onetime detach` first",
			run->instance ? run->instance : "default");
	if (pinned != -ENOENT)
		return complain_pins(pinned, run->instance, ONETIME_STEM);
	if (!run->wanted->dev.count)
		return complain(EXIT_USAGE, "onetime attach: --dev DEV is needed");
	code = find_links(run);
	return code == EXIT_DONE ? attach_new(run) : code;
}

static int attach(struct onetime_attaching *run)
{
	int lock CLOSE_FD = pin_lock(run->instance);
	int code;

	if (lock < 0)
		return complain_pins(lock, run->instance, ONETIME_STEM);
	code = attach_locked(run);
	onetime_programs_free(run);
	onetime_pins_close(&run->pins);
	device_list_free(&run->list);
	pins_remove_empty(run->instance);
	return code;
}

int onetime_attach(const void *settings, const struct output *output)
{
	struct onetime_attaching run = { .wanted = settings };
	int code;

	(void)output;
	run.instance = run.wanted->common.instance;
	onetime_pins_none(&run.pins);
	code = check_words(run.wanted);
	if (code == EXIT_DONE)
		code = machine_check(ONETIME_STEM);
	if (code != EXIT_DONE)
		return code;
	machine_block_signals();
	return attach(&run);
}
