// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus portarp`: its verbs and their options. */
#include "choose.h"
#include "detach.h"
#include "portarp.h"

enum {
	ATTACH = 1 << 0,
	DETACH = 1 << 1,
	SHOW = 1 << 2,
	LIST = 1 << 3,
	STATS = 1 << 4,
	WHO = 1 << 5,
	MAP = 1 << 6,
	READING = SHOW | LIST | STATS | WHO | MAP,
	ATTACHED = ATTACH | DETACH | SHOW | LIST | STATS | WHO,
};

static const char *const roles[] = { "gateway", "bridge", "host", NULL };

#define FIELD(name) offsetof(struct portarp_settings, name)

static const struct option options[] = {
	{ "role", "ROLE", "gateway, bridge or host", OPTION_CHOICE, ATTACH, FIELD(role), 0, 0, 0,
	  roles },
	{ "uplink", "DEV", "device towards the others; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(uplink), 0, 0, 0, NULL },
	{ "lan", "DEV", "device towards the sharers; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(lan), 0, 0, 0, NULL },
	{ "mode", "MODE", "auto, xdp, xdp-generic or tc (auto)", OPTION_CHOICE, ATTACH, FIELD(mode),
	  0, 0, 0, choose_modes },
	{ "instance", "NAME", "which of several instances", OPTION_INSTANCE, ATTACHED,
	  FIELD(common.instance), 0, 0, 0, NULL },
	{ "addresses", "N", "shared addresses that there may be", OPTION_NUMBER, ATTACH,
	  FIELD(addresses), 1, 1 << 20, PORTARP_ADDRS, NULL },
	{ "owners", "N", "port sets that there may be, of all addresses", OPTION_NUMBER, ATTACH,
	  FIELD(owners), 1, 1 << 22, PORTARP_OWNERS, NULL },
	{ "blocks", "N", "addresses that may have single ports and ranges", OPTION_NUMBER, ATTACH,
	  FIELD(blocks), 1, 4096, PORTARP_BLOCKS, NULL },
	{ "watch", "N", "addresses whose use of ports is watched", OPTION_NUMBER, ATTACH,
	  FIELD(watch), 1, 4096, PORTARP_WATCH, NULL },
	{ "flows", "N", "flows without ports that are remembered", OPTION_NUMBER, ATTACH,
	  FIELD(flows), 1, 1 << 22, PORTARP_FLOWS, NULL },
	{ "op-request", "N", "ARP operation of PE-ARP requests", OPTION_NUMBER, ATTACH,
	  FIELD(op_request), 3, 65534, PORTARP_OP_REQUEST, NULL },
	{ "op-reply", "N", "ARP operation of PE-ARP replies", OPTION_NUMBER, ATTACH,
	  FIELD(op_reply), 3, 65534, PORTARP_OP_REPLY, NULL },
	{ "cgroup", "PATH", "host: whose processes' binds are checked (the root's)", OPTION_TEXT,
	  ATTACH, FIELD(cgroup), 0, 0, 0, NULL },
	{ "clsact", NULL, "use clsact filters though the kernel has TCX", OPTION_FLAG, ATTACH,
	  FIELD(clsact), 0, 0, 0, NULL },
	{ "replace", NULL, "exchange programs under live traffic", OPTION_FLAG, ATTACH,
	  FIELD(replace), 0, 0, 0, NULL },
	{ "address", "ADDR", "only of this address; may be repeated", OPTION_ADDRESSES, LIST,
	  FIELD(only), 0, 0, 0, NULL },
	{ "prefix4", "PREFIX", "the rule's IPv4 prefix, as 192.0.2.0/24", OPTION_TEXT, MAP,
	  FIELD(prefix4), 0, 0, 0, NULL },
	{ "prefix6", "PREFIX", "the rule's IPv6 prefix, as 2001:db8::/40", OPTION_TEXT, MAP,
	  FIELD(prefix6), 0, 0, 0, NULL },
	{ "ea-len", "N", "the rule's embedded address bits", OPTION_NUMBER, MAP, FIELD(ea_len), 0,
	  48, 0, NULL },
	{ "offset", "A", "PSID offset, bits", OPTION_NUMBER, MAP, FIELD(offset), 0, 15, 6, NULL },
	{ "length", "K", "PSID length, bits, where EA bits do not tell it", OPTION_NUMBER, MAP,
	  FIELD(length), 0, 16, 0, NULL },
	{ "json", NULL, "print JSON", OPTION_FLAG, READING, FIELD(common.json), 0, 0, 0, NULL },
};

static const struct verb verbs[] = {
	{ "attach", "put the datapath on devices", ATTACH, false, portarp_attach, NULL },
	{ "detach", "take it off", DETACH, false, portarp_detach, NULL },
	{ "show", "devices, addresses, settings, fill of the tables", SHOW, true, portarp_show,
	  NULL },
	{ "list", "who has which ports of which address", LIST, true, portarp_list, NULL },
	{ "stats", "packets by what became of them", STATS, true, portarp_stats, NULL },
	{ "who", "who has a port, or which ports a host has", WHO, true, portarp_who,
	  "ADDRESS:PORT|MAC" },
	{ "map", "a port set in an IPv6 address, and back (RFC 7597)", MAP, true, portarp_map,
	  "ADDRESS:PORT|IPV6" },
};

static struct portarp_settings settings = { .offset = 6, .length = PORTARP_LENGTH_NONE };

const struct noun portarp_noun = {
	.name = PORTARP_STEM,
	.help = "many hosts with one address, told apart by their ports",
	.verbs = verbs,
	.verb_count = COUNT_OF(verbs),
	.options = options,
	.option_count = COUNT_OF(options),
	.settings = &settings,
	.status = portarp_status,
};

int portarp_detach(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;

	(void)output;
	return detach(wanted->common.instance, PORTARP_STEM, PORTARP_STAGING, portarp_remove);
}
