// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus splice attach --replace`: the maps, and with them every session, stay; each link and
 * filter takes the new program between two packets. Devices and addresses that are new come first,
 * those no longer named go last; what is not given on the command line stays as it is.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "machine.h"
#include "pins.h"
#include "splice_attach.h"
#include "walk.h"

/* Devices that carry the programs now. */
struct present {
	uint32_t ifindex[SPLICE_DEVS];
	struct splice_dev dev[SPLICE_DEVS];
	unsigned int count;
};

static void present_each(const void *key, const void *value, void *arg)
{
	const struct splice_dev *dev = value;
	struct present *present = arg;

	if (!dev->hook || present->count == SPLICE_DEVS)
		return;
	present->ifindex[present->count] = *(const uint32_t *)key;
	present->dev[present->count++] = *dev;
}

static bool is_present(const struct present *present, uint32_t ifindex)
{
	for (unsigned int i = 0; i < present->count; i++)
		if (present->ifindex[i] == ifindex)
			return true;
	return false;
}

static bool is_named(const struct splice_run *run, uint32_t ifindex)
{
	for (unsigned int i = 0; i < run->device_count; i++)
		if (run->device[i]->ifindex == ifindex)
			return true;
	return false;
}

static int check_size(const char *option, uint32_t wanted, int fd)
{
	uint32_t capacity;
	int err = walk_capacity(fd, &capacity);

	if (err)
		return complain_pins(err, NULL, SPLICE_STEM);
	if (!wanted || wanted == capacity)
		return EXIT_DONE;
	return complain(
		EXIT_FAILED,
		"splice: --%s %u: the attached table has %u, and --replace keeps tables; detach "
		"and attach again to change it (sessions end)",
		option, wanted, capacity);
}

static int check(const struct splice_run *run, const struct splice_conf *conf)
{
	uint64_t here = 0;
	int err = machine_netns(&here);

	if (!err && here != conf->netns)
		return complain(
			EXIT_FAILED,
			"splice: it is attached in another network namespace (%llu, this is "
			"%llu); run this there: `nsenter --net=/run/netns/NAME`",
			(unsigned long long)conf->netns, (unsigned long long)here);
	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	return check_size("rendezvous", run->wanted->rendezvous, run->pins.join);
}

/* Without --dev the present devices are meant, without --mode the present mode. */
static int decide(struct splice_run *run, const struct present *present)
{
	run->hook = present->count ? present->dev[0].hook : PUT_HOOK_TC;
	if (run->wanted->mode > CHOOSE_AUTO && choose_by_mode(run->wanted->mode) != run->hook)
		return complain(
			EXIT_FAILED,
			"splice: --replace keeps mode %s; detach and attach again to change it "
			"(sessions end)",
			put_hook_text(run->hook));
	if (run->device_count)
		return EXIT_DONE;
	for (unsigned int i = 0; i < present->count && i < OPTION_LIST_MAX; i++) {
		const struct device *device = device_by_index(&run->list, present->ifindex[i]);

		if (device)
			run->device[run->device_count++] = device;
	}
	return EXIT_DONE;
}

/* New devices to the end of run->device; returns where they begin. */
static unsigned int sort_devices(struct splice_run *run, const struct present *present)
{
	unsigned int known = 0;

	for (unsigned int i = 0; i < run->device_count; i++) {
		const struct device *device = run->device[i];

		if (!is_present(present, device->ifindex))
			continue;
		run->device[i] = run->device[known];
		run->device[known++] = device;
	}
	return known;
}

static int update_device(const struct splice_run *run, uint32_t ifindex)
{
	struct put_programs programs;
	struct put_place place;
	struct put put;
	int err = splice_put_place(run->instance, SPLICE_STEM, &run->pins, ifindex, &place);

	if (!err)
		err = splice_put_read(&run->pins, ifindex, &put);
	if (err)
		return err;
	splice_run_programs(run, put.hook, &programs);
	return put_exchange(&place, &programs, &put);
}

static int update_devices(const struct splice_run *run, const struct present *present)
{
	for (unsigned int i = 0; i < present->count; i++) {
		uint32_t ifindex = present->ifindex[i];
		const struct device *device = device_by_index(&run->list, ifindex);
		int err = 0;

		if (device && is_named(run, ifindex))
			err = update_device(run, ifindex);
		if (err)
			return complain(
				EXIT_FAILED,
				"%s: its program could not be exchanged: %s; the old one goes on; "
				"repeat, or detach and attach again",
				device->name, strerror(-err));
	}
	return EXIT_DONE;
}

/* Devices no longer named, or no longer there. */
static int drop_devices(const struct splice_run *run, const struct present *present)
{
	for (unsigned int i = 0; i < present->count; i++) {
		uint32_t ifindex = present->ifindex[i];
		int err;

		if (is_named(run, ifindex))
			continue;
		err = splice_device_remove(run->instance, SPLICE_STEM, &run->pins, ifindex);
		if (err)
			return complain(EXIT_FAILED, "device %u: cannot be cleared: %s; repeat",
					ifindex, strerror(-err));
	}
	return EXIT_DONE;
}

struct stale {
	const struct device_list *list;
	uint32_t ifindex[SPLICE_DEVS];
	unsigned int count;
};

static void stale_each(const void *key, const void *value, void *arg)
{
	struct stale *stale = arg;
	uint32_t ifindex = *(const uint32_t *)key;

	(void)value;
	if (!device_by_index(stale->list, ifindex) && stale->count < SPLICE_DEVS)
		stale->ifindex[stale->count++] = ifindex;
}

/* What splice_dev knows of devices that are no more. */
static int drop_stale(const struct splice_run *run)
{
	struct stale stale = { .list = &run->list };
	int err = walk_map(run->pins.dev, stale_each, &stale);

	for (unsigned int i = 0; !err && i < stale.count; i++)
		bpf_map_delete_elem(run->pins.dev, &stale.ifindex[i]);
	return err ? complain_pins(err, run->instance, SPLICE_STEM) : EXIT_DONE;
}

static int write_conf(const struct splice_run *run, struct splice_conf *conf)
{
	__u32 key = 0;

	splice_run_times(run, conf);
	conf->epoch++; /* devices may have changed: next hops are looked up again */
	if (bpf_map_update_elem(run->pins.conf, &key, conf, BPF_EXIST))
		return complain_pins(-errno, run->instance, SPLICE_STEM);
	return EXIT_DONE;
}

static int exchange(struct splice_run *run, const struct present *present,
		    const struct splice_legs *legs, const struct splice_places *plan)
{
	unsigned int known = sort_devices(run, present);
	int code = splice_run_fill_devices(run);

	if (code == EXIT_DONE)
		code = splice_run_devices(run, known);
	if (code == EXIT_DONE)
		code = splice_places_exchange(run, legs, plan);
	if (code == EXIT_DONE)
		code = update_devices(run, present);
	if (code == EXIT_DONE)
		code = drop_devices(run, present);
	return code == EXIT_DONE ? drop_stale(run) : code;
}

static int replace(struct splice_run *run, const struct present *present,
		   const struct splice_legs *legs)
{
	struct splice_places plan;
	int code = decide(run, present);

	if (code == EXIT_DONE)
		code = splice_places_plan(run, legs, &plan);
	if (code == EXIT_DONE)
		code = splice_run_load(run, true);
	return code == EXIT_DONE ? exchange(run, present, legs, &plan) : code;
}

int splice_replace(struct splice_run *run)
{
	struct present present = {};
	struct splice_legs legs;
	struct splice_conf conf;
	int err = splice_conf_read(&run->pins, &conf);
	int code;

	run->directory = SPLICE_STEM;
	if (!err)
		err = walk_map(run->pins.dev, present_each, &present);
	if (!err)
		err = splice_legs_open(&run->pins, &legs);
	if (err)
		return complain_pins(err, run->instance, SPLICE_STEM);
	code = check(run, &conf);
	if (code == EXIT_DONE)
		code = replace(run, &present, &legs);
	if (code == EXIT_DONE)
		code = write_conf(run, &conf);
	splice_legs_close(&legs);
	return code;
}
