// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus splice show`, `stats` and this datapath's line of `isthmus status`. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>

#include "machine.h"
#include "splice_legs.h"
#include "stats.h"
#include "walk.h"

#define NS_PER_S 1000000000ULL

/* One walk over the devices. */
struct devices {
	const struct output *output; /* NULL: only count */
	const char *instance;
	const struct splice_pins *pins;
	bool here; /* the devices are in this namespace, so they have names */
	unsigned int count;
	unsigned int hook; /* of the last one */
};

static void attachment_each(const void *key, const void *value, void *arg)
{
	const struct splice_dev *dev = value;
	const struct devices *devices = arg;
	uint32_t ifindex = *(const uint32_t *)key;
	struct put_place place;
	struct put put;

	if (dev->hook && !splice_put_read(devices->pins, ifindex, &put) &&
	    !splice_put_place(devices->instance, SPLICE_STEM, devices->pins, ifindex, &place))
		put_print(devices->output, &place, &put, devices->here);
}

static void device_each(const void *key, const void *value, void *arg)
{
	const struct splice_dev *dev = value;
	struct devices *devices = arg;
	const struct output *output = devices->output;
	uint32_t ifindex = *(const uint32_t *)key;
	char name[IF_NAMESIZE];

	if (!dev->hook)
		return;
	devices->count++;
	devices->hook = dev->hook;
	if (!output)
		return;
	output->record_start();
	output->text("device", devices->here ? if_indextoname(ifindex, name) : NULL);
	output->number("ifindex", ifindex);
	output->text("mode", put_hook_text(dev->hook));
	output->text("tc", dev->tc_link == PUT_TCX ? "tcx" : "clsact");
	output->record_end();
}

static void local_each(const void *key, const void *value, void *arg)
{
	const struct splice_range *range = value;
	const struct output *output = arg;

	output->record_start();
	output->address("address", key);
	output->number("low", range->low);
	output->number("high", range->high);
	output->record_end();
}

static int print_tables(const struct output *output, const struct splice_pins *pins)
{
	const struct {
		const char *name;
		int fd;
	} tables[] = {
		{ "splice_side", pins->side }, { "splice_join", pins->join },
		{ "splice_frag", pins->frag }, { "splice_local", pins->local },
		{ "splice_dev", pins->dev },
	};
	struct splice_legs legs;
	int err = splice_legs_open(pins, &legs);

	if (err)
		return err;
	output->list_start("tables");
	stats_print_table(output, "splice_leg", splice_legs_live(&legs, 0, legs.count), legs.count);
	splice_legs_close(&legs);
	for (size_t i = 0; i < COUNT_OF(tables) && !err; i++)
		err = stats_print_fill(output, tables[i].name, tables[i].fd);
	output->list_end();
	return err;
}

static void print_conf(const struct output *output, const struct splice_conf *conf, bool here)
{
	output->number("abi", conf->abi);
	output->number("netns", conf->netns);
	output->boolean("in_this_netns", here);
	output->number("epoch", conf->epoch);
	output->seconds("half_open", conf->half_open_ns / NS_PER_S);
	output->seconds("tcp_idle", conf->tcp_idle_s);
	output->seconds("half_closed", conf->half_closed_s);
	output->seconds("time_wait", conf->time_wait_s);
	output->seconds("reset", conf->reset_s);
	output->seconds("udp_idle", conf->udp_idle_s);
}

static int show(const struct output *output, const char *instance, const struct splice_pins *pins)
{
	struct devices devices = { .output = output, .instance = instance, .pins = pins };
	struct splice_conf conf;
	uint64_t netns = 0;
	int err = splice_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&netns);
	if (err)
		return err;
	devices.here = netns == conf.netns;
	output->start();
	output->text("datapath", SPLICE_STEM);
	output->text("instance", instance);
	print_conf(output, &conf, devices.here);
	output->list_start("devices");
	err = walk_map(pins->dev, device_each, &devices);
	output->list_end();
	output->list_start("attachments");
	if (!err)
		err = walk_map(pins->dev, attachment_each, &devices);
	output->list_end();
	output->list_start("addresses");
	if (!err)
		err = walk_map(pins->local, local_each, (void *)output);
	output->list_end();
	return err ? err : print_tables(output, pins);
}

int splice_show(const void *arg, const struct output *output)
{
	const struct splice_settings *wanted = arg;
	struct splice_pins pins;
	int err = splice_pins_open(wanted->common.instance, SPLICE_STEM, &pins);

	if (err)
		return complain_pins(err, wanted->common.instance, SPLICE_STEM);
	err = show(output, wanted->common.instance, &pins);
	splice_pins_close(&pins);
	return err ? complain_pins(err, wanted->common.instance, SPLICE_STEM) : EXIT_DONE;
}

/* ---- stats */

static const struct stats_reason reasons[] = {
#define REASON_ROW(name, verdict, text) { #name, #verdict, text },
	SPLICE_REASONS(REASON_ROW)
#undef REASON_ROW
};

int splice_stats(const void *arg, const struct output *output)
{
	const struct splice_settings *wanted = arg;
	struct splice_pins pins;
	int err = splice_pins_open(wanted->common.instance, SPLICE_STEM, &pins);

	if (err)
		return complain_pins(err, wanted->common.instance, SPLICE_STEM);
	err = stats_print(output, SPLICE_STEM, wanted->common.instance, pins.stats, reasons,
			  COUNT_OF(reasons));
	splice_pins_close(&pins);
	return err ? complain_pins(err, wanted->common.instance, SPLICE_STEM) : EXIT_DONE;
}

/* ---- status */

static int status(const struct output *output, const char *instance, const struct splice_pins *pins)
{
	struct devices devices = {};
	struct splice_conf conf;
	struct splice_legs legs;
	uint64_t sides, netns;
	int err = splice_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&netns);
	if (!err)
		err = walk_map(pins->dev, device_each, &devices);
	if (!err)
		err = walk_count(pins->side, &sides);
	if (!err)
		err = splice_legs_open(pins, &legs);
	if (err)
		return err;
	output->record_start();
	output->text("datapath", SPLICE_STEM);
	output->text("instance", instance);
	output->text("mode", put_hook_text(devices.hook));
	output->number("devices", devices.count);
	output->number("sessions", splice_legs_live(&legs, 0, legs.count) / 2);
	output->number("capacity", legs.count / 2);
	output->number("sides", sides);
	output->boolean("in_this_netns", netns == conf.netns);
	output->record_end();
	splice_legs_close(&legs);
	return 0;
}

int splice_status(const char *instance, const struct output *output)
{
	struct splice_pins pins;
	int err = splice_pins_open(instance, SPLICE_STEM, &pins);

	if (err)
		return err;
	err = status(output, instance, &pins);
	splice_pins_close(&pins);
	return err;
}
