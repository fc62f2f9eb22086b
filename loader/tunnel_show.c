// SPDX-License-Identifier: GPL-3.0-or-later
/* What `show`, `list`, `stats` and `status` of a tunnel's end print. Keys of a tunnel never are. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "tunnel.h"
#include "walk.h"

#define NS_PER_S 1000000000ULL

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

uint64_t tunnel_since(__u64 ns)
{
	uint64_t now = now_ns();

	return now > ns ? (now - ns) / NS_PER_S : 0;
}

uint64_t tunnel_until(__u64 ns)
{
	uint64_t now = now_ns();

	return ns > now ? (ns - now + NS_PER_S - 1) / NS_PER_S : 0;
}

/* ---- show */

static void print_link(const struct output *output, const struct tunnel_kind *kind,
		       const struct tunnel_link *link, bool here)
{
	char name[IF_NAMESIZE], mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", link->mac[0], link->mac[1],
		 link->mac[2], link->mac[3], link->mac[4], link->mac[5]);
	output->record_start();
	output->text("device", here ? if_indextoname(link->ifindex, name) : NULL);
	output->number("ifindex", link->ifindex);
	if (kind->has_lan)
		output->text("side", link->side == TUNNEL_UPLINK ? "uplink" : "lan");
	output->text("mode", put_hook_text(link->hook));
	output->text("tc", link->tc_link == PUT_TCX ? "tcx" : "clsact");
	output->text("mac", mac);
	output->number("mtu", link->mtu);
	output->record_end();
}

static void print_attachments(const struct output *output, const struct tunnel_kind *kind,
			      const char *instance, const struct tunnel_pins *pins,
			      const struct tunnel_conf *conf, bool here)
{
	output->list_start("attachments");
	for (unsigned int i = 0; i < TUNNEL_LINKS; i++) {
		struct put_place place;
		struct put put;

		if (!conf->link[i].ifindex)
			continue;
		tunnel_put_place(instance, kind->stem, pins, conf, &conf->link[i], &place);
		tunnel_put_of(&conf->link[i], &put);
		put_print(output, &place, &put, here);
	}
	output->list_end();
}

/* Peers that have, or had, an address. */
static void print_peers(const struct output *output, const struct tunnel_pins *pins)
{
	struct tunnel_peer peer;

	output->list_start("peers");
	for (__u32 i = 0; i < TUNNEL_PEERS; i++) {
		if (bpf_map_lookup_elem(pins->peer, &i, &peer))
			break;
		if (!peer.remote_port)
			continue;
		output->record_start();
		output->number("peer", i);
		output->endpoint("remote", &peer.remote, peer.remote_port);
		output->endpoint("local", &peer.local, peer.local_port);
		output->boolean("up", peer.flags & TUNNEL_UP);
		output->boolean("straight", peer.flags & TUNNEL_STRAIGHT);
		output->text("tag", peer.flags & TUNNEL_MAC_HEADERS ? "headers" : "packet");
		output->number("mtu", peer.mtu);
		output->record_end();
	}
	output->list_end();
}

static int show(const struct tunnel_kind *kind, const struct output *output, const char *instance,
		const struct tunnel_pins *pins, struct tunnel_conf *conf)
{
	uint64_t here = 0;
	int err = tunnel_conf_read(pins, conf);

	if (!err)
		err = machine_netns(&here);
	if (err)
		return err;
	output->start();
	output->text("datapath", kind->stem);
	output->text("instance", instance);
	output->number("abi", conf->abi);
	output->number("port", ntohs(conf->port));
	output->number("netns", conf->netns);
	kind->show(output, conf, pins);
	output->list_start("devices");
	for (unsigned int i = 0; i < TUNNEL_LINKS; i++)
		if (conf->link[i].ifindex)
			print_link(output, kind, &conf->link[i], here == conf->netns);
	output->list_end();
	print_attachments(output, kind, instance, pins, conf, here == conf->netns);
	print_peers(output, pins);
	return 0;
}

int tunnel_show(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		const struct output *output)
{
	const char *instance = settings->common.instance;
	struct tunnel_conf *conf = malloc(kind->conf_size);
	struct tunnel_pins pins;
	int err = conf ? tunnel_pins_open(kind, instance, kind->stem, &pins) : -ENOMEM;

	if (!err) {
		err = show(kind, output, instance, &pins, conf);
		tunnel_pins_close(kind, &pins);
	}
	free(conf);
	return err ? complain_pins(err, instance, kind->stem) : EXIT_DONE;
}

/* ---- list, stats, status */

int tunnel_list(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		const struct output *output, const char *name, size_t pin,
		void (*each)(const void *key, const void *value, void *arg))
{
	const char *instance = settings->common.instance;
	struct tunnel_pins pins;
	int err = tunnel_pins_open(kind, instance, kind->stem, &pins);

	if (err)
		return complain_pins(err, instance, kind->stem);
	output->start();
	output->text("datapath", kind->stem);
	output->text("instance", instance);
	output->list_start(name);
	err = walk_map(pins.more[pin], each, (void *)output);
	output->list_end();
	tunnel_pins_close(kind, &pins);
	return err ? complain_pins(err, instance, kind->stem) : EXIT_DONE;
}

int tunnel_stats(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		 const struct output *output)
{
	const char *instance = settings->common.instance;
	struct tunnel_pins pins;
	int err = tunnel_pins_open(kind, instance, kind->stem, &pins);

	if (err)
		return complain_pins(err, instance, kind->stem);
	err = stats_print(output, kind->stem, instance, pins.stats, kind->reasons,
			  kind->reason_count);
	tunnel_pins_close(kind, &pins);
	return err ? complain_pins(err, instance, kind->stem) : EXIT_DONE;
}

static int status(const struct tunnel_kind *kind, const char *instance, const struct output *output,
		  const struct tunnel_pins *pins, struct tunnel_conf *conf)
{
	unsigned int devices = 0;
	uint64_t here = 0;
	int err = tunnel_conf_read(pins, conf);

	if (!err)
		err = machine_netns(&here);
	if (err)
		return err;
	for (unsigned int i = 0; i < TUNNEL_LINKS; i++)
		devices += !!conf->link[i].ifindex;
	output->record_start();
	output->text("datapath", kind->stem);
	output->text("instance", instance);
	output->text("mode", put_hook_text(conf->link[0].hook));
	output->number("devices", devices);
	output->boolean("in_this_netns", here == conf->netns);
	output->record_end();
	return 0;
}

int tunnel_status(const struct tunnel_kind *kind, const char *instance, const struct output *output)
{
	struct tunnel_conf *conf = malloc(kind->conf_size);
	struct tunnel_pins pins;
	int err = conf ? tunnel_pins_open(kind, instance, kind->stem, &pins) : -ENOMEM;

	if (!err) {
		err = status(kind, instance, output, &pins, conf);
		tunnel_pins_close(kind, &pins);
	}
	free(conf);
	return err;
}
