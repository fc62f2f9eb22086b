// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus gateway`: its verbs, their options, and what of it is shown. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../maps/gateway.h"
#include "bpf/gateway.skel.h"
#include "choose.h"
#include "detach.h"
#include "tunnel.h"

#define STEM	 "gateway"
#define STAGING	 "gateway@new" /* '@' is in no stem's and no instance's name */
#define NS_PER_S 1000000000ULL

enum {
	ATTACH = 1 << 0,
	DETACH = 1 << 1,
	SHOW = 1 << 2,
	LIST = 1 << 3,
	HOSTS = 1 << 4,
	STATS = 1 << 5,
	READING = SHOW | LIST | HOSTS | STATS,
};

struct settings {
	struct tunnel_settings tunnel;
	uint32_t flows;
	struct option_ports ports;
	const char *prefix64;
};

/* ---- pins */

enum more { HOST, FLOW, PAIR, MASK, FRAG, SOURCE, KEY, WINDOW, SEQ, MORE };

#define PIN(field, name, key, value)                                                               \
	{                                                                                          \
		offsetof(struct tunnel_pins, field), "gateway_" name, sizeof(key), sizeof(value)   \
	}

static const struct pins_map pins[] = {
	PIN(conf, "conf", __u32, struct gateway_conf),
	PIN(stats, "stats", __u32, struct isthmus_count),
	PIN(peer, "peer", __u32, struct tunnel_peer),
	PIN(more[HOST], "host", __u32, struct gateway_host),
	PIN(more[FLOW], "flow", struct gateway_flow_key, struct gateway_flow),
	PIN(more[PAIR], "pair", struct gateway_pair_key, struct gateway_flow),
	PIN(more[MASK], "mask", struct gateway_mask_key, __be16),
	PIN(more[FRAG], "frag", struct gateway_frag_key, struct gateway_flow),
	PIN(more[SOURCE], "source", __u32, __u64),
	PIN(more[KEY], "key", __u32, struct tunnel_key),
	PIN(more[WINDOW], "window", struct tunnel_window_key, struct tunnel_window),
	PIN(more[SEQ], "seq", __u32, __u64),
};

_Static_assert(MORE <= TUNNEL_PINS - 3, "a place for each");

static const struct stats_reason reasons[] = {
#define REASON_ROW(name, verdict, text) { #name, #verdict, text },
	GATEWAY_REASONS(REASON_ROW)
#undef REASON_ROW
};

/* ---- attach */

/* "64:ff9b::/96": a prefix of RFC 6052 with an IPv4 address behind it. */
static int read_prefix64(const char *text, __u8 prefix[12])
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct in6_addr parsed;

	if (!slash || strcmp(slash, "/96") || slash - text >= (long)sizeof(address))
		return -EINVAL;
	memcpy(address, text, slash - text);
	address[slash - text] = 0;
	if (inet_pton(AF_INET6, address, &parsed) != 1 ||
	    memcmp(&parsed.s6_addr[12], "\0\0\0\0", 4) || IN6_IS_ADDR_UNSPECIFIED(&parsed))
		return -EINVAL;
	memcpy(prefix, parsed.s6_addr, 12);
	return 0;
}

static int fill(void *arg, const void *settings)
{
	const struct settings *wanted = settings;
	struct gateway_conf *conf = arg;

	conf->icmp_ns = GATEWAY_ICMP_S * NS_PER_S;
	conf->udp_ns = GATEWAY_UDP_S * NS_PER_S;
	conf->tcp_ns = GATEWAY_TCP_S * NS_PER_S;
	conf->other_ns = GATEWAY_OTHER_S * NS_PER_S;
	conf->linger_ns = GATEWAY_LINGER_S * NS_PER_S;
	conf->frag_ns = GATEWAY_FRAG_S * NS_PER_S;
	conf->low_port = wanted->ports.low ?: GATEWAY_LOW_PORT;
	conf->high_port = wanted->ports.high ?: GATEWAY_HIGH_PORT;
	if (wanted->prefix64 && read_prefix64(wanted->prefix64, conf->prefix64))
		return complain(
			EXIT_USAGE,
			"gateway attach: --prefix64 %s: an IPv6 prefix of 96 bits is needed, "
			"as 64:ff9b::/96",
			wanted->prefix64);
	return EXIT_DONE;
}

static void resize(struct bpf_object *object, const void *settings)
{
	const struct settings *wanted = settings;
	uint32_t flows = wanted->flows ?: GATEWAY_FLOWS;

	bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "gateway_flow"), flows);
	bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "gateway_mask"), flows);
}

static const char *changed(const void *settings)
{
	const struct settings *wanted = settings;

	return wanted->flows	   ? "flows"
	       : wanted->ports.low ? "ports"
	       : wanted->prefix64  ? "prefix64"
				   : NULL;
}

/* ---- what is shown */

static void show(const struct output *output, const void *arg, const struct tunnel_pins *opened)
{
	const struct gateway_conf *conf = arg;
	const struct output_range ports = { conf->low_port, conf->high_port };
	struct isthmus_addr prefix = { 0 };
	static const __u8 none[12];

	memcpy(prefix.b, conf->prefix64, 12);
	output->ranges("ports", &ports, 1);
	output->address("prefix64", memcmp(prefix.b, none, 12) ? &prefix : NULL);
	output->list_start("tables");
	stats_print_fill(output, "flows", opened->more[FLOW]);
	stats_print_fill(output, "pairs", opened->more[PAIR]);
	stats_print_fill(output, "masks", opened->more[MASK]);
	output->list_end();
}

static const void *elf(size_t *len)
{
	return gateway_bpf__elf_bytes(len);
}

static const struct tunnel_kind kind = {
	.stem = STEM,
	.staging = STAGING,
	.abi = GATEWAY_ABI,
	.dev_option = "uplink",
	.has_lan = true,
	.pins = pins,
	.pin_count = COUNT_OF(pins),
	.conf_size = sizeof(struct gateway_conf),
	.reasons = reasons,
	.reason_count = COUNT_OF(reasons),
	.remedy = "give a smaller --flows",
	.elf = elf,
	.fill = fill,
	.resize = resize,
	.changed = changed,
	.show = show,
};

static const char *mode_text(unsigned int mode)
{
	static const char *const text[] = {
		[GATEWAY_PLAIN] = "plain",
		[GATEWAY_MASKED] = "masked",
		[GATEWAY_AWARE] = "aware",
	};

	return mode && mode < COUNT_OF(text) ? text[mode] : "unknown";
}

static const char *proto_text(__u8 proto, char number[8])
{
	switch (proto) {
	case 1:
	case 58:
		return "icmp";
	case 6:
		return "tcp";
	case 17:
		return "udp";
	}
	snprintf(number, 8, "%u", proto);
	return number;
}

static void flow_each(const void *arg_key, const void *value, void *arg)
{
	const struct gateway_flow_key *key = arg_key;
	const struct gateway_flow *flow = value;
	const struct output *output = arg;
	char number[8];

	output->record_start();
	output->text("proto", proto_text(key->proto, number));
	output->endpoint("inside", &key->inside, key->inside_port);
	output->endpoint("outside", &key->outside, key->outside_port);
	output->endpoint("initiator", &flow->initiator, flow->initiator_port);
	output->address("waypoint", &flow->waypoint);
	output->text("mode", mode_text(flow->mode));
	output->number("peer", flow->peer);
	output->number("host", flow->host);
	output->seconds("idle", tunnel_since(flow->seen_ns));
	output->record_end();
}

static int gateway_list(const void *settings, const struct output *output)
{
	return tunnel_list(&kind, settings, output, "flows", FLOW, flow_each);
}

static void host_print(const struct output *output, __u32 number, const struct gateway_host *host)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", host->dst_mac[0],
		 host->dst_mac[1], host->dst_mac[2], host->dst_mac[3], host->dst_mac[4],
		 host->dst_mac[5]);
	output->record_start();
	output->number("host", number);
	output->address("address", &host->addr);
	output->number("ifindex", host->ifindex);
	output->text("mac", strcmp(mac, "00:00:00:00:00:00") ? mac : NULL);
	output->text("mode", mode_text(host->mode));
	output->number("mtu", host->mtu);
	output->record_end();
}

static int gateway_hosts(const void *settings, const struct output *output)
{
	const struct tunnel_settings *wanted = settings;
	struct tunnel_pins opened;
	struct gateway_host host;
	int err = tunnel_pins_open(&kind, wanted->common.instance, STEM, &opened);

	if (err)
		return complain_pins(err, wanted->common.instance, STEM);
	output->start();
	output->text("datapath", STEM);
	output->text("instance", wanted->common.instance);
	output->list_start("hosts");
	for (__u32 i = 0; i < GATEWAY_HOSTS; i++)
		if (!bpf_map_lookup_elem(opened.more[HOST], &i, &host) && host.ifindex)
			host_print(output, i, &host);
	output->list_end();
	tunnel_pins_close(&kind, &opened);
	return EXIT_DONE;
}

/* ---- the noun */

static int gateway_attach(const void *settings, const struct output *output)
{
	(void)output;
	return tunnel_attach(&kind, settings);
}

static int remove_all(const char *instance, const char *directory, unsigned int *stuck)
{
	return tunnel_remove(&kind, instance, directory, stuck);
}

static int gateway_detach(const void *settings, const struct output *output)
{
	const struct tunnel_settings *wanted = settings;

	(void)output;
	return detach(wanted->common.instance, STEM, STAGING, remove_all);
}

static int gateway_show(const void *settings, const struct output *output)
{
	return tunnel_show(&kind, settings, output);
}

static int gateway_stats(const void *settings, const struct output *output)
{
	return tunnel_stats(&kind, settings, output);
}

static int gateway_status(const char *instance, const struct output *output)
{
	return tunnel_status(&kind, instance, output);
}

#define FIELD(name) offsetof(struct settings, name)

static const struct option options[] = {
	{ "uplink", "DEV", "device towards the waypoints; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(tunnel.dev), 0, 0, 0, NULL },
	{ "lan", "DEV", "device towards responders; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(tunnel.lan), 0, 0, 0, NULL },
	{ "mode", "MODE", "auto, xdp, xdp-generic or tc (auto)", OPTION_CHOICE, ATTACH,
	  FIELD(tunnel.mode), 0, 0, 0, choose_modes },
	{ "instance", "NAME", "which of several instances", OPTION_INSTANCE,
	  ATTACH | DETACH | READING, FIELD(tunnel.common.instance), 0, 0, 0, NULL },
	{ "port", "N", "UDP port of the tunnel, here", OPTION_NUMBER, ATTACH, FIELD(tunnel.port), 1,
	  65535, TUNNEL_PORT, NULL },
	{ "flows", "N", "flows that there may be", OPTION_NUMBER, ATTACH, FIELD(flows), 1, 1 << 22,
	  GATEWAY_FLOWS, NULL },
	{ "ports", "LOW-HIGH", "ports that masked flows have (61000-65535)", OPTION_PORTS, ATTACH,
	  FIELD(ports), 0, 0, 0, NULL },
	{ "prefix64", "PREFIX", "IPv6 addresses that IPv4 initiators have inside", OPTION_TEXT,
	  ATTACH, FIELD(prefix64), 0, 0, 0, NULL },
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
	{ "attach", "put the datapath on devices", ATTACH, false, gateway_attach, NULL },
	{ "detach", "take it off", DETACH, false, gateway_detach, NULL },
	{ "show", "devices, waypoints, settings, fill of the tables", SHOW, true, gateway_show,
	  NULL },
	{ "list", "flows between initiators and responders", LIST, true, gateway_list, NULL },
	{ "hosts", "responders and their numbers", HOSTS, true, gateway_hosts, NULL },
	{ "stats", "packets by what became of them", STATS, true, gateway_stats, NULL },
};

static struct settings settings_of_words;

const struct noun gateway_noun = {
	.name = STEM,
	.help = "hosts without an address of their own are reached by a waypoint's tunnel",
	.verbs = verbs,
	.verb_count = COUNT_OF(verbs),
	.options = options,
	.option_count = COUNT_OF(options),
	.settings = &settings_of_words,
	.status = gateway_status,
};
