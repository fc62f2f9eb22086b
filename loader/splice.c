// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus splice`: its verbs and their options. */
#include "choose.h"
#include "detach.h"
#include "splice.h"

enum {
	ATTACH = 1 << 0,
	DETACH = 1 << 1,
	SHOW = 1 << 2,
	LIST = 1 << 3,
	RENDEZVOUS = 1 << 4,
	STATS = 1 << 5,
	READING = SHOW | LIST | RENDEZVOUS | STATS,
	ALL = ATTACH | DETACH | READING,
};

#define SECONDS_MAX (10 * 365 * 86400)

#define FIELD(name) offsetof(struct splice_settings, name)

static const struct option options[] = {
	{ "dev", "DEV", "device whose packets are handled; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(devices), 0, 0, 0, NULL },
	{ "address", "ADDR", "address of the translator; may be repeated", OPTION_ADDRESSES, ATTACH,
	  FIELD(addresses), 0, 0, 0, NULL },
	{ "address", "ADDR", "only with this address at either end; may be repeated",
	  OPTION_ADDRESSES, LIST | RENDEZVOUS, FIELD(addresses), 0, 0, 0, NULL },
	{ "ports", "LOW-HIGH", "ports of these addresses that are ours (10000-32767)", OPTION_PORTS,
	  ATTACH, FIELD(ports), 0, 0, 0, NULL },
	{ "mode", "MODE", "auto, xdp, xdp-generic or tc (auto)", OPTION_CHOICE, ATTACH, FIELD(mode),
	  0, 0, 0, choose_modes },
	{ "instance", "NAME", "which of several instances", OPTION_INSTANCE, ALL,
	  FIELD(common.instance), 0, 0, 0, NULL },
	{ "rendezvous", "N", "size of the table of announced pairs", OPTION_NUMBER, ATTACH,
	  FIELD(rendezvous), 1, 1 << 22, SPLICE_RENDEZVOUS, NULL },
	{ "tcp-idle", "S", "seconds without a packet that end a TCP session", OPTION_NUMBER, ATTACH,
	  FIELD(tcp_idle), 1, SECONDS_MAX, SPLICE_TCP_IDLE_S, NULL },
	{ "udp-idle", "S", "seconds without a packet that end a UDP session", OPTION_NUMBER, ATTACH,
	  FIELD(udp_idle), 1, SECONDS_MAX, SPLICE_UDP_IDLE_S, NULL },
	{ "half-open", "S", "seconds that one SYN waits for the other", OPTION_NUMBER, ATTACH,
	  FIELD(half_open), 1, 3600, SPLICE_HALF_OPEN_S, NULL },
	{ "clsact", NULL, "use a clsact filter though the kernel has TCX", OPTION_FLAG, ATTACH,
	  FIELD(clsact), 0, 0, 0, NULL },
	{ "replace", NULL, "exchange programs and settings under live traffic", OPTION_FLAG, ATTACH,
	  FIELD(replace), 0, 0, 0, NULL },
	{ "json", NULL, "print JSON", OPTION_FLAG, READING, FIELD(common.json), 0, 0, 0, NULL },
};

static const struct verb verbs[] = {
	{ "attach", "put the datapath on devices", ATTACH, false, splice_attach, NULL },
	{ "detach", "take it off; sessions end", DETACH, false, splice_detach, NULL },
	{ "show", "devices, addresses, settings, fill of the tables", SHOW, true, splice_show,
	  NULL },
	{ "list", "sessions", LIST, true, splice_list, NULL },
	{ "rendezvous", "announced sides and who of them has come", RENDEZVOUS, true,
	  splice_rendezvous, NULL },
	{ "stats", "packets by what became of them", STATS, true, splice_stats, NULL },
};

static struct splice_settings settings;

const struct noun splice_noun = {
	.name = SPLICE_STEM,
	.help = "joins two outbound connections at a public relay",
	.verbs = verbs,
	.verb_count = COUNT_OF(verbs),
	.options = options,
	.option_count = COUNT_OF(options),
	.settings = &settings,
	.status = splice_status,
};

int splice_detach(const void *arg, const struct output *output)
{
	const struct splice_settings *wanted = arg;

	(void)output;
	return detach(wanted->common.instance, SPLICE_STEM, SPLICE_STAGING, splice_remove);
}
