// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus splice attach`: lock, load, pin in a staging directory, fill the maps, attach, rename.
 * The directory's final name appears when all is done, and a failure removes the staging one.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "machine.h"
#include "pins.h"
#include "splice_attach.h"

/* ---- what the words mean here */

static int find_devices(struct splice_run *run)
{
	const struct option_devices *named = &run->wanted->devices;
	int err = device_list_read(&run->list);

	if (err)
		return complain(EXIT_FAILED, "splice: rtnetlink: cannot list devices: %s",
				strerror(-err));
	for (unsigned int i = 0; i < named->count; i++) {
		if (choose_device(&run->list, named->item[i], &run->device[i]) != EXIT_DONE)
			return EXIT_FAILED;
		run->device_count++;
	}
	return EXIT_DONE;
}

static void warn_ports(const struct splice_run *run)
{
	unsigned int low = 0, high = 0;
	uint16_t to = run->wanted->ports.high;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (!file)
		return;
	if (fscanf(file, "%u %u", &low, &high) == 2 && to >= low && run->wanted->ports.low <= high)
		notice("splice: warning: ports %u-%u overlap those of this host's own connections "
		       "(%u-%u), whose answers will be dropped; choose other --ports, or set "
		       "`sysctl "
		       "net.ipv4.ip_local_port_range`",
		       run->wanted->ports.low, to, low, high);
	fclose(file);
}

static void warn(const struct splice_run *run)
{
	struct choose_use use = {
		.native_xdp = run->hook == PUT_HOOK_XDP,
		.unforwarded = "next hops follow the way each SYN came and are not updated when "
			       "routes change",
	};

	for (unsigned int i = 0; i < run->wanted->addresses.count; i++)
		if (address_is_v4(&run->wanted->addresses.item[i]))
			use.v4 = true;
		else
			use.v6 = true;
	for (unsigned int i = 0; i < run->device_count; i++)
		choose_warn(&run->list, run->device[i], &use);
	if (run->wanted->ports.low)
		warn_ports(run);
}

/* ---- maps */

void splice_run_times(const struct splice_run *run, struct splice_conf *conf)
{
	const struct splice_settings *wanted = run->wanted;

	if (wanted->half_open)
		conf->half_open_ns = wanted->half_open * 1000000000ULL;
	if (wanted->tcp_idle)
		conf->tcp_idle_s = wanted->tcp_idle;
	if (wanted->udp_idle)
		conf->udp_idle_s = wanted->udp_idle;
}

static int fill_conf(const struct splice_run *run, int fd)
{
	struct splice_conf conf = {
		.half_open_ns = SPLICE_HALF_OPEN_S * 1000000000ULL,
		.recheck_ns = SPLICE_RECHECK_S * 1000000000ULL,
		.frag_ns = SPLICE_FRAG_S * 1000000000ULL,
		.epoch = 1,
		.abi = SPLICE_ABI,
		.tcp_idle_s = SPLICE_TCP_IDLE_S,
		.half_closed_s = SPLICE_HALF_CLOSED_S,
		.time_wait_s = SPLICE_TIME_WAIT_S,
		.reset_s = SPLICE_RESET_S,
		.udp_idle_s = SPLICE_UDP_IDLE_S,
	};
	uint64_t netns;
	__u32 key = 0;
	int err = machine_netns(&netns);

	if (err)
		return err;
	conf.netns = netns;
	splice_run_times(run, &conf);
	return bpf_map_update_elem(fd, &key, &conf, BPF_ANY) ? -errno : 0;
}

int splice_run_fill_devices(struct splice_run *run)
{
	for (size_t i = 0; i < run->list.count; i++) {
		const struct device *device = &run->list.item[i];
		struct splice_dev dev = {};

		bpf_map_lookup_elem(run->pins.dev, &device->ifindex, &dev);
		dev.ifindex = device->ifindex;
		if (device->vlan_proto && device->link) {
			dev.ifindex = device->link;
			dev.vlan_proto = device->vlan_proto;
			dev.vlan_tci = htons(device->vlan_id);
		}
		if (bpf_map_update_elem(run->pins.dev, &device->ifindex, &dev, BPF_ANY))
			return complain(EXIT_FAILED, "splice_dev: %s: %s; at most %d devices",
					device->name, strerror(errno), SPLICE_DEVS);
	}
	return EXIT_DONE;
}

/* ---- a first attach */

static int stage(struct splice_run *run)
{
	int err = splice_run_pin(run);

	if (!err)
		err = fill_conf(run, splice_run_map_conf(run));
	if (!err)
		err = splice_pins_open(run->instance, run->directory, &run->pins);
	return err ? complain_pins(err, run->instance, SPLICE_STEM) : EXIT_DONE;
}

static int publish(const struct splice_run *run)
{
	int err = pins_publish(run->instance, SPLICE_STAGING, SPLICE_STEM);

	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	return EXIT_DONE;
}

static int attach_new(struct splice_run *run)
{
	unsigned int stuck;
	int code;

	run->directory = SPLICE_STAGING;
	splice_remove(run->instance, SPLICE_STAGING, &stuck); /* of a killed predecessor */
	code = splice_run_load(run, false);
	if (code == EXIT_DONE)
		code = stage(run);
	if (code == EXIT_DONE)
		code = splice_places_fill(run);
	if (code == EXIT_DONE)
		code = splice_run_fill_devices(run);
	if (code == EXIT_DONE)
		code = splice_run_devices(run, 0);
	if (code == EXIT_DONE)
		code = publish(run);
	if (code != EXIT_DONE)
		splice_remove(run->instance, SPLICE_STAGING, &stuck);
	return code;
}

/* ---- the verb */

static int check_words(const struct splice_settings *wanted, bool attached)
{
	if (attached && wanted->replace)
		return EXIT_DONE; /* what is not given stays as it is */
	if (!wanted->devices.count)
		return complain(EXIT_USAGE, "splice attach: --dev DEV is needed");
	if (!wanted->addresses.count)
		return complain(EXIT_USAGE, "splice attach: --address ADDR is needed");
	return EXIT_DONE;
}

static int attach_locked(struct splice_run *run)
{
	int pinned = splice_pins_open(run->instance, SPLICE_STEM, &run->pins);
	bool attached = pinned != -ENOENT;
	int code;

	if (attached && !run->wanted->replace)
		return complain(
			EXIT_FAILED,
			"splice: already attached (instance %s); use --replace to exchange it "
			"under live traffic, or `isthmus splice detach` first",
			run->instance ? run->instance : "default");
	if (pinned && attached)
		return complain_pins(pinned, run->instance, SPLICE_STEM);
	code = check_words(run->wanted, attached);
	if (code == EXIT_DONE)
		code = find_devices(run);
	if (code != EXIT_DONE)
		return code;
	if (attached)
		return splice_replace(run);
	run->hook =
		choose_hook(run->wanted->mode, run->device, run->device_count, &run->may_fall_back);
	warn(run);
	return attach_new(run);
}

static int attach(struct splice_run *run)
{
	int lock CLOSE_FD = pin_lock(run->instance);
	int code;

	if (lock < 0)
		return complain_pins(lock, run->instance, SPLICE_STEM);
	code = attach_locked(run);
	splice_run_free(run);
	splice_pins_close(&run->pins);
	device_list_free(&run->list);
	pins_remove_empty(run->instance);
	return code;
}

int splice_attach(const void *settings, const struct output *output)
{
	struct splice_run run = {
		.wanted = settings,
		.instance = ((const struct splice_settings *)settings)->common.instance,
		.pins = SPLICE_PINS_NONE,
	};
	int code;

	(void)output;
	code = run.wanted->replace ? EXIT_DONE : check_words(run.wanted, false);
	if (code == EXIT_DONE)
		code = machine_check(SPLICE_STEM);
	if (code != EXIT_DONE)
		return code;
	machine_block_signals();
	return attach(&run);
}
