// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus waypoint`: its verbs, their options, and what of it is shown. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../maps/waypoint.h"
#include "bpf/waypoint.skel.h"
#include "choose.h"
#include "detach.h"
#include "tunnel.h"
#include "walk.h"

#define STEM	 "waypoint"
#define STAGING	 "waypoint@new" /* '@' is in no stem's and no instance's name */
#define NS_PER_S 1000000000ULL

enum {
	ATTACH = 1 << 0,
	DETACH = 1 << 1,
	SHOW = 1 << 2,
	LIST = 1 << 3,
	WAITS = 1 << 4,
	STATS = 1 << 5,
	READING = SHOW | LIST | WAITS | STATS,
};

struct settings {
	struct tunnel_settings tunnel;
	uint32_t binds, addresses;
};

/* ---- pins */

enum more { ADDR, WAIT, BIND, REJECT, CONN, SOURCE, HOST6, KEY, WINDOW, SEQ, MORE };

#define PIN(field, name, key, value)                                                               \
	{                                                                                          \
		offsetof(struct tunnel_pins, field), "waypoint_" name, sizeof(key), sizeof(value)  \
	}

static const struct pins_map pins[] = {
	PIN(conf, "conf", __u32, struct waypoint_conf),
	PIN(stats, "stats", __u32, struct isthmus_count),
	PIN(peer, "peer", __u32, struct tunnel_peer),
	PIN(more[ADDR], "addr", __be32, struct waypoint_addr),
	PIN(more[WAIT], "wait", __u32, struct waypoint_wait),
	PIN(more[BIND], "bind", struct waypoint_pair, struct waypoint_bind),
	PIN(more[REJECT], "reject", struct waypoint_pair, struct waypoint_reject),
	PIN(more[CONN], "conn", struct waypoint_conn_key, struct waypoint_conn),
	PIN(more[SOURCE], "source", __be32, struct waypoint_source),
	PIN(more[HOST6], "host6", struct isthmus_addr, struct waypoint_host6),
	PIN(more[KEY], "key", __u32, struct tunnel_key),
	PIN(more[WINDOW], "window", struct tunnel_window_key, struct tunnel_window),
	PIN(more[SEQ], "seq", __u32, __u64),
};

_Static_assert(MORE <= TUNNEL_PINS - 3, "a place for each");

static const struct stats_reason reasons[] = {
#define REASON_ROW(name, verdict, text) { #name, #verdict, text },
	WAYPOINT_REASONS(REASON_ROW)
#undef REASON_ROW
};

/* ---- attach */

static int fill(void *arg, const void *settings)
{
	struct waypoint_conf *conf = arg;

	(void)settings;
	conf->icmp_ns = WAYPOINT_ICMP_S * NS_PER_S;
	conf->udp_ns = WAYPOINT_UDP_S * NS_PER_S;
	conf->tcp_ns = WAYPOINT_TCP_S * NS_PER_S;
	conf->mixed_ns = WAYPOINT_MIXED_S * NS_PER_S;
	conf->http_ns = WAYPOINT_HTTP_S * NS_PER_S;
	conf->linger_ns = WAYPOINT_LINGER_S * NS_PER_S;
	conf->fresh_ns = WAYPOINT_FRESH_S * NS_PER_S;
	conf->reject_ns = WAYPOINT_REJECT_S * NS_PER_S;
	return EXIT_DONE;
}

static void set_size(struct bpf_object *object, const char *name, uint32_t entries)
{
	bpf_map__set_max_entries(bpf_object__find_map_by_name(object, name), entries);
}

/* As many as the presets have of them for each binding, but never fewer. */
static uint32_t at_least(uint32_t preset, uint32_t binds)
{
	uint64_t entries = (uint64_t)preset * binds / WAYPOINT_BINDS;

	return entries > preset ? entries : preset;
}

static void resize(struct bpf_object *object, const void *settings)
{
	const struct settings *wanted = settings;
	uint32_t addresses = wanted->addresses ?: WAYPOINT_ADDRS;
	uint32_t binds = wanted->binds ?: WAYPOINT_BINDS;

	set_size(object, "waypoint_addr", addresses);
	set_size(object, "waypoint_wait", addresses * WAYPOINT_WAITS);
	set_size(object, "waypoint_bind", binds);
	set_size(object, "waypoint_conn", 2 * binds);
	set_size(object, "waypoint_reject", at_least(WAYPOINT_REJECTS, binds));
	set_size(object, "waypoint_source", at_least(WAYPOINT_SOURCES, binds));
}

static const char *changed(const void *settings)
{
	const struct settings *wanted = settings;

	return wanted->binds ? "binds" : wanted->addresses ? "addresses" : NULL;
}

/* ---- what is shown */

static void address_of(__be32 v4, struct isthmus_addr *address)
{
	*address = (struct isthmus_addr){ .b = { [10] = 0xff, [11] = 0xff } };
	memcpy(&address->b[12], &v4, 4);
}

static void addr_each(const void *key, const void *value, void *arg)
{
	const struct waypoint_addr *addr = value;
	const struct output *output = arg;
	struct isthmus_addr address;

	address_of(*(const __be32 *)key, &address);
	output->record_start();
	output->address("address", &address);
	output->boolean("waits", tunnel_until(addr->waits_until_ns));
	output->record_end();
}

static void show(const struct output *output, const void *conf, const struct tunnel_pins *opened)
{
	(void)conf;
	output->list_start("addresses");
	walk_map(opened->more[ADDR], addr_each, (void *)output);
	output->list_end();
	output->list_start("tables");
	stats_print_fill(output, "addresses", opened->more[ADDR]);
	stats_print_fill(output, "bindings", opened->more[BIND]);
	stats_print_fill(output, "connections", opened->more[CONN]);
	stats_print_fill(output, "rejects", opened->more[REJECT]);
	stats_print_fill(output, "hosts6", opened->more[HOST6]);
	output->list_end();
}

static const void *elf(size_t *len)
{
	return waypoint_bpf__elf_bytes(len);
}

static const struct tunnel_kind kind = {
	.stem = STEM,
	.staging = STAGING,
	.abi = WAYPOINT_ABI,
	.dev_option = "dev",
	.pins = pins,
	.pin_count = COUNT_OF(pins),
	.conf_size = sizeof(struct waypoint_conf),
	.reasons = reasons,
	.reason_count = COUNT_OF(reasons),
	.remedy = "give smaller --binds or --addresses",
	.elf = elf,
	.fill = fill,
	.resize = resize,
	.changed = changed,
	.show = show,
};

static void carried_text(__u8 carried, char text[32])
{
	static const char *const words[] = { "icmp", "udp", "tcp", "other", "http" };

	text[0] = 0;
	for (unsigned int i = 0; i < COUNT_OF(words); i++)
		if (carried & 1u << i) {
			strcat(text, text[0] ? "," : "");
			strcat(text, words[i]);
		}
	if (!carried)
		strcpy(text, "nothing");
}

/* What `list` needs of the configuration: one process prints one list. */
static struct waypoint_conf list_conf;

static void bind_each(const void *key, const void *value, void *arg)
{
	const struct waypoint_pair *pair = key;
	const struct waypoint_bind *bind = value;
	const struct output *output = arg;
	struct isthmus_addr initiator, waypoint;
	char carried[32];

	address_of(pair->initiator, &initiator);
	address_of(pair->waypoint, &waypoint);
	carried_text(bind->carried, carried);
	output->record_start();
	output->address("initiator", &initiator);
	output->address("waypoint", &waypoint);
	output->number("peer", bind->peer);
	output->number("host", bind->host);
	output->seconds("idle", tunnel_since(bind->seen_ns));
	output->seconds("left", tunnel_until(waypoint_bind_ends(bind, &list_conf)));
	output->text("carried", carried);
	output->number("connections", bind->conns > 0 ? bind->conns : 0);
	output->record_end();
}

static int waypoint_list(const void *settings, const struct output *output)
{
	const struct tunnel_settings *wanted = settings;
	struct tunnel_pins opened;
	int err = tunnel_pins_open(&kind, wanted->common.instance, STEM, &opened);

	if (!err) {
		err = tunnel_conf_read(&opened, &list_conf);
		tunnel_pins_close(&kind, &opened);
	}
	if (err)
		return complain_pins(err, wanted->common.instance, STEM);
	return tunnel_list(&kind, settings, output, "bindings", BIND, bind_each);
}

/* ---- waits: an array whose places belong to addresses */

struct waits {
	const struct output *output;
	int wait_fd;
};

static void wait_print(const struct output *output, __be32 address_be,
		       const struct waypoint_wait *wait)
{
	struct isthmus_addr address, prefix;

	address_of(address_be, &address);
	address_of(wait->prefix, &prefix);
	output->record_start();
	output->address("address", &address);
	output->address("prefix", &prefix);
	output->number("bits", wait->mask ? 32 - __builtin_ctz(ntohl(wait->mask)) : 0);
	output->number("peer", wait->peer);
	output->number("host", wait->host);
	output->number("bound", wait->bound);
	output->seconds("left", tunnel_until(wait->until_ns));
	output->record_end();
}

static void waits_each(const void *key, const void *value, void *arg)
{
	const struct waypoint_addr *addr = value;
	const struct waits *waits = arg;
	struct waypoint_wait wait;

	for (__u32 i = 0; i < WAYPOINT_WAITS; i++) {
		__u32 place = addr->number * WAYPOINT_WAITS + i;

		if (!bpf_map_lookup_elem(waits->wait_fd, &place, &wait) &&
		    tunnel_until(wait.until_ns))
			wait_print(waits->output, *(const __be32 *)key, &wait);
	}
}

static int waypoint_waits(const void *settings, const struct output *output)
{
	const struct tunnel_settings *wanted = settings;
	struct tunnel_pins opened;
	struct waits waits = { .output = output };
	int err = tunnel_pins_open(&kind, wanted->common.instance, STEM, &opened);

	if (err)
		return complain_pins(err, wanted->common.instance, STEM);
	waits.wait_fd = opened.more[WAIT];
	output->start();
	output->text("datapath", STEM);
	output->text("instance", wanted->common.instance);
	output->list_start("waits");
	err = walk_map(opened.more[ADDR], waits_each, &waits);
	output->list_end();
	tunnel_pins_close(&kind, &opened);
	return err ? complain_pins(err, wanted->common.instance, STEM) : EXIT_DONE;
}

/* ---- the noun */

static int waypoint_attach(const void *settings, const struct output *output)
{
	(void)output;
	return tunnel_attach(&kind, settings);
}

static int remove_all(const char *instance, const char *directory, unsigned int *stuck)
{
	return tunnel_remove(&kind, instance, directory, stuck);
}

static int waypoint_detach(const void *settings, const struct output *output)
{
	const struct tunnel_settings *wanted = settings;

	(void)output;
	return detach(wanted->common.instance, STEM, STAGING, remove_all);
}

static int waypoint_show(const void *settings, const struct output *output)
{
	return tunnel_show(&kind, settings, output);
}

static int waypoint_stats(const void *settings, const struct output *output)
{
	return tunnel_stats(&kind, settings, output);
}

static int waypoint_status(const char *instance, const struct output *output)
{
	return tunnel_status(&kind, instance, output);
}

#define FIELD(name) offsetof(struct settings, name)

static const struct option options[] = {
	{ "dev", "DEV", "device towards initiators and gateways; may be repeated", OPTION_DEVICES,
	  ATTACH, FIELD(tunnel.dev), 0, 0, 0, NULL },
	{ "mode", "MODE", "auto, xdp, xdp-generic or tc (auto)", OPTION_CHOICE, ATTACH,
	  FIELD(tunnel.mode), 0, 0, 0, choose_modes },
	{ "instance", "NAME", "which of several instances", OPTION_INSTANCE,
	  ATTACH | DETACH | READING, FIELD(tunnel.common.instance), 0, 0, 0, NULL },
	{ "port", "N", "UDP port of the tunnel", OPTION_NUMBER, ATTACH, FIELD(tunnel.port), 1,
	  65535, TUNNEL_PORT, NULL },
	{ "addresses", "N", "waypoint addresses that there may be", OPTION_NUMBER, ATTACH,
	  FIELD(addresses), 1, 1 << 16, WAYPOINT_ADDRS, NULL },
	{ "binds", "N", "bindings that there may be", OPTION_NUMBER, ATTACH, FIELD(binds), 1,
	  1 << 23, WAYPOINT_BINDS, NULL },
	{ "trust-offloads", NULL, "tc: senders are known to make whole packets", OPTION_FLAG,
	  ATTACH, FIELD(tunnel.trust_offloads), 0, 0, 0, NULL },
	{ "clsact", NULL, "use clsact filters though the kernel has TCX", OPTION_FLAG, ATTACH,
	  FIELD(tunnel.clsact), 0, 0, 0, NULL },
	{ "replace", NULL, "exchange programs under live traffic", OPTION_FLAG, ATTACH,
	  FIELD(tunnel.replace), 0, 0, 0, NULL },
	{ "json", NULL, "print JSON", OPTION_FLAG, READING, FIELD(tunnel.common.json), 0, 0, 0,
	  NULL },
};

static const struct verb verbs[] = {
	{ "attach", "put the datapath on devices", ATTACH, false, waypoint_attach, NULL },
	{ "detach", "take it off", DETACH, false, waypoint_detach, NULL },
	{ "show", "devices, addresses, gateways, fill of the tables", SHOW, true, waypoint_show,
	  NULL },
	{ "list", "who is bound to whom", LIST, true, waypoint_list, NULL },
	{ "waits", "wait states that are running", WAITS, true, waypoint_waits, NULL },
	{ "stats", "packets by what became of them", STATS, true, waypoint_stats, NULL },
};

static struct settings settings_of_words;

const struct noun waypoint_noun = {
	.name = STEM,
	.help = "initiators are relayed to hosts without an address of their own",
	.verbs = verbs,
	.verb_count = COUNT_OF(verbs),
	.options = options,
	.option_count = COUNT_OF(options),
	.settings = &settings_of_words,
	.status = waypoint_status,
};
