// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus onetime show`, `stats` and this datapath's line of `isthmus status`. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "machine.h"
#include "onetime.h"
#include "onetime_prefix.h"
#include "pins.h"
#include "stats.h"
#include "walk.h"

#define STATES (ONETIME_STATE_DEAD + 1)

/* One walk over all addresses: how many are in which state, of each pool. */
struct tally {
	uint64_t now_ns;
	uint64_t state[ONETIME_POOLS + 1][STATES]; /* by the pool's number */
	uint64_t eas;				   /* prepared */
	uint64_t all;
};

static void tally_each(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	struct tally *tally = arg;
	uint32_t state = onetime_state_at(addr, tally->now_ns);

	(void)key;
	tally->all++;
	if (state >= STATES || addr->pool > ONETIME_POOLS)
		return;
	tally->state[addr->pool][state]++;
	tally->eas += addr->use == ONETIME_EA && state == ONETIME_STATE_RESERVED;
}

/* ---- show */

static void print_link(const struct output *output, const struct onetime_link *link, bool here)
{
	char name[IF_NAMESIZE], mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", link->mac[0], link->mac[1],
		 link->mac[2], link->mac[3], link->mac[4], link->mac[5]);
	output->record_start();
	output->text("device", here ? if_indextoname(link->ifindex, name) : NULL);
	output->number("ifindex", link->ifindex);
	output->text("tc", link->tc == PUT_TCX ? "tcx" : "clsact");
	output->text("mac", mac);
	output->boolean("allmulti", link->allmulti);
	output->record_end();
}

static void print_attachments(const struct output *output, const char *instance,
			      const struct onetime_pins *pins, const struct onetime_conf *conf,
			      unsigned int i, bool here)
{
	struct put_place place;
	struct put put;

	onetime_put_place(instance, ONETIME_STEM, pins, conf, &conf->link[i], &place);
	onetime_put_of(&conf->link[i], &put);
	put_print(output, &place, &put, here);
}

/* As `ifconfig` did: all that is of the pool and not given out is uncertain (III.A). */
static void print_pool(const struct output *output, const struct onetime_pool_view *view,
		       const struct tally *tally, bool here)
{
	uint32_t number = view->pool.number <= ONETIME_POOLS ? view->pool.number : 0;
	const uint64_t *state = tally->state[number];
	char prefix[ONETIME_PREFIX_TEXT], name[IF_NAMESIZE];

	onetime_prefix_text(&view->prefix, prefix);
	output->record_start();
	output->text("pool", prefix);
	output->number("number", view->pool.number);
	output->text("device", here ? if_indextoname(view->pool.ifindex, name) : NULL);
	output->text("state", view->pool.flags & ONETIME_POOL_READY ? "UNCERTAIN" : "UNFINISHED");
	output->text("mode", onetime_mode_text(view->pool.mode));
	output->text("refused", view->pool.flags & ONETIME_POOL_RESET ? "reset" : "silence");
	output->boolean("client", view->pool.flags & ONETIME_POOL_CLIENT);
	output->number("reserved", state[ONETIME_STATE_RESERVED]);
	output->number("pending", state[ONETIME_STATE_PENDING]);
	output->number("claimed", state[ONETIME_STATE_TAKING] + state[ONETIME_STATE_CLAIMED]);
	output->number("live", state[ONETIME_STATE_LIVE]);
	output->number("closing", state[ONETIME_STATE_CLOSING]);
	output->number("dead", state[ONETIME_STATE_DEAD]);
	output->record_end();
}

static int print_pools(const struct output *output, const struct onetime_pins *pins,
		       const struct tally *tally, bool here)
{
	struct onetime_pool_view view[ONETIME_POOLS];
	int count = onetime_pools_read(pins, view);

	output->list_start("pools");
	for (int i = 0; i < count; i++)
		print_pool(output, &view[i], tally, here);
	output->list_end();
	return count < 0 ? count : 0;
}

static uint64_t listeners(const struct onetime_pins *pins)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		struct onetime_listener listener;

		if (!bpf_map_lookup_elem(pins->listener, &i, &listener))
			used += listener.flags & ONETIME_LISTENER_USED;
	}
	return used;
}

static int print_tables(const struct output *output, const struct onetime_pins *pins,
			const struct tally *tally)
{
	uint32_t capacity;
	int err = walk_capacity(pins->addr, &capacity);

	output->list_start("tables");
	if (!err) {
		stats_print_table(output, "onetime_addr", tally->all, capacity);
		stats_print_table(output, "onetime_listener", listeners(pins), ONETIME_LISTENERS);
		err = stats_print_fill(output, "onetime_udp", pins->udp);
	}
	if (!err)
		err = stats_print_fill(output, "onetime_flow", pins->flow);
	if (!err)
		err = stats_print_fill(output, "onetime_user", pins->user);
	output->list_end();
	return err;
}

static void print_conf(const struct output *output, const struct onetime_conf *conf,
		       const struct tally *tally, bool here)
{
	output->number("abi", conf->abi);
	output->number("netns", conf->netns);
	output->boolean("in_this_netns", here);
	output->boolean("strict", conf->strict);
	output->seconds("claim", conf->claim_ns / ONETIME_NS_PER_S);
	output->seconds("linger", conf->linger_ns / ONETIME_NS_PER_S);
	output->seconds("udp", conf->udp_ns / ONETIME_NS_PER_S);
	output->number("port_low", conf->port_low);
	output->number("port_high", conf->port_high);
	output->number("prepared_eas", tally->eas);
}

static int show(const struct output *output, const char *instance, const struct onetime_pins *pins)
{
	struct tally tally = { .now_ns = onetime_now_ns() };
	struct onetime_conf conf;
	uint64_t here = 0;
	int err = onetime_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&here);
	if (!err)
		err = walk_map(pins->addr, tally_each, &tally);
	if (err)
		return err;
	output->start();
	output->text("datapath", ONETIME_STEM);
	output->text("instance", instance);
	print_conf(output, &conf, &tally, here == conf.netns);
	output->list_start("devices");
	for (unsigned int i = 0; i < ONETIME_LINKS; i++)
		if (conf.link[i].ifindex)
			print_link(output, &conf.link[i], here == conf.netns);
	output->list_end();
	output->list_start("attachments");
	for (unsigned int i = 0; i < ONETIME_LINKS; i++)
		if (conf.link[i].ifindex)
			print_attachments(output, instance, pins, &conf, i, here == conf.netns);
	output->list_end();
	err = print_pools(output, pins, &tally, here == conf.netns);
	return err ? err : print_tables(output, pins, &tally);
}

/* ---- status */

static int status(const struct output *output, const char *instance,
		  const struct onetime_pins *pins)
{
	struct tally tally = { .now_ns = onetime_now_ns() };
	struct onetime_pool_view view[ONETIME_POOLS];
	int pools = onetime_pools_read(pins, view);
	uint64_t here = 0, live = 0;
	struct onetime_conf conf;
	int err = pools < 0 ? pools : onetime_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&here);
	if (!err)
		err = walk_map(pins->addr, tally_each, &tally);
	if (err)
		return err;
	for (unsigned int i = 0; i <= ONETIME_POOLS; i++)
		live += tally.state[i][ONETIME_STATE_LIVE];
	output->record_start();
	output->text("datapath", ONETIME_STEM);
	output->text("instance", instance);
	output->text("mode", "tc");
	output->number("devices", conf.links);
	output->number("pools", pools);
	output->number("addresses", tally.all);
	output->number("live", live);
	output->boolean("in_this_netns", here == conf.netns);
	output->record_end();
	return 0;
}

int onetime_status(const char *instance, const struct output *output)
{
	struct onetime_pins pins;
	int err = onetime_pins_open(instance, ONETIME_STEM, &pins);

	if (err)
		return err;
	err = status(output, instance, &pins);
	onetime_pins_close(&pins);
	return err;
}

/* ---- the verbs */

static const struct stats_reason reasons[] = {
#define REASON_ROW(name, verdict, text) { #name, #verdict, text },
	ONETIME_REASONS(REASON_ROW)
#undef REASON_ROW
};

int onetime_show(const void *arg, const struct output *output)
{
	const char *instance = ((const struct onetime_settings *)arg)->common.instance;
	struct onetime_pins pins;
	int err = onetime_pins_open(instance, ONETIME_STEM, &pins);

	if (err)
		return complain_pins(err, instance, ONETIME_STEM);
	err = show(output, instance, &pins);
	onetime_pins_close(&pins);
	return err ? complain_pins(err, instance, ONETIME_STEM) : EXIT_DONE;
}

int onetime_stats(const void *arg, const struct output *output)
{
	const char *instance = ((const struct onetime_settings *)arg)->common.instance;
	struct onetime_pins pins;
	int err = onetime_pins_open(instance, ONETIME_STEM, &pins);

	if (err)
		return complain_pins(err, instance, ONETIME_STEM);
	err = stats_print(output, ONETIME_STEM, instance, pins.stats, reasons, COUNT_OF(reasons));
	onetime_pins_close(&pins);
	return err ? complain_pins(err, instance, ONETIME_STEM) : EXIT_DONE;
}
