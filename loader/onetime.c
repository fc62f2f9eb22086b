// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus onetime`: its verbs and their options. */
#include "detach.h"
#include "onetime.h"

enum {
	ATTACH = 1 << 0,
	DETACH = 1 << 1,
	POOL = 1 << 2,
	SHOW = 1 << 3,
	ADDRESSES = 1 << 4,
	LIST = 1 << 5,
	SOCKSTAT = 1 << 6,
	STATS = 1 << 7,
	CLIENT = 1 << 8,
	RUN = 1 << 9,
	READING = SHOW | ADDRESSES | LIST | SOCKSTAT | STATS | CLIENT,
	ATTACHED = ATTACH | DETACH | POOL | READING | RUN,
};

static const char *const modes[] = { "l0", "l1", "l2", "aware", NULL };

#define FIELD(name) offsetof(struct onetime_settings, name)

static const struct option options[] = {
	{ "dev", "DEV", "device of a pool's link, or lo; may be repeated", OPTION_DEVICES, ATTACH,
	  FIELD(dev), 0, 0, 0, NULL },
	{ "strict", NULL, "a connect that gets no address of its own fails (this)", OPTION_FLAG,
	  ATTACH, FIELD(strict), 0, 0, 0, NULL },
	{ "lenient", NULL, "it goes on with the host's address", OPTION_FLAG, ATTACH,
	  FIELD(lenient), 0, 0, 0, NULL },
	{ "addresses", "N", "addresses that there may be at a time", OPTION_NUMBER, ATTACH,
	  FIELD(addresses), 16, 1 << 24, ONETIME_ADDRS, NULL },
	{ "eas", "N", "clients' addresses that are prepared, of each family", OPTION_NUMBER, ATTACH,
	  FIELD(eas), 1, 1 << 20, ONETIME_EAS, NULL },
	{ "cgroup", "PATH", "directory of cgroup2 (attach: its root)", OPTION_TEXT, ATTACH | CLIENT,
	  FIELD(cgroup), 0, 0, 0, NULL },
	{ "clsact", NULL, "use clsact filters though the kernel has TCX", OPTION_FLAG, ATTACH,
	  FIELD(clsact), 0, 0, 0, NULL },
	{ "replace", NULL, "exchange programs under live traffic", OPTION_FLAG, ATTACH,
	  FIELD(replace), 0, 0, 0, NULL },
	{ "mode", "MODE", "add: l0, l1, l2 or aware (l1)", OPTION_CHOICE, POOL, FIELD(mode), 0, 0,
	  0, modes },
	{ "reset", NULL, "add: who is refused is told", OPTION_FLAG, POOL, FIELD(reset), 0, 0, 0,
	  NULL },
	{ "client", NULL, "add: clients get addresses of it", OPTION_FLAG, POOL, FIELD(for_eas), 0,
	  0, 0, NULL },
	{ "force", NULL, "del: though sessions live", OPTION_FLAG, POOL, FIELD(force), 0, 0, 0,
	  NULL },
	{ "all", NULL, "add, del: every process of this network namespace", OPTION_FLAG, CLIENT,
	  FIELD(all), 0, 0, 0, NULL },
	{ "user", "NAME", "a user's processes; run: as whom", OPTION_TEXT, CLIENT | RUN,
	  FIELD(user), 0, 0, 0, NULL },
	{ "instance", "NAME", "which of several instances", OPTION_INSTANCE, ATTACHED,
	  FIELD(common.instance), 0, 0, 0, NULL },
	{ "json", NULL, "print JSON", OPTION_FLAG, READING, FIELD(common.json), 0, 0, 0, NULL },
};

static const struct verb verbs[] = {
	{ "attach", "put the datapath on devices", ATTACH, false, onetime_attach, NULL },
	{ "detach", "take it off, with its pools", DETACH, false, onetime_detach, NULL },
	{ "pool", "add or del a prefix whose addresses are used once", POOL, false, onetime_pool,
	  "add DEV PREFIX|del PREFIX" },
	{ "show", "devices, pools, settings, fill of the tables", SHOW, true, onetime_show, NULL },
	{ "addresses", "every address and its state", ADDRESSES, true, onetime_addresses, NULL },
	{ "list", "sessions", LIST, true, onetime_list, NULL },
	{ "netstat", "the same", LIST, true, onetime_list, NULL },
	{ "sockstat", "listeners, and whether they have addresses", SOCKSTAT, true,
	  onetime_sockstat, NULL },
	{ "stats", "packets by what became of them", STATS, true, onetime_stats, NULL },
	{ "client", "add, del or show whose connects get addresses", CLIENT, true, onetime_client,
	  "add|del|show" },
	{ "run", "a command whose connects get addresses", RUN, false, onetime_run,
	  "COMMAND [ARGUMENT...]" },
};

static const struct agent_verb agent_verbs[] = {
	{ "das", "set an address to a running server" },
	{ "listen", "take a server's listening socket" },
	{ "give", "an address of a listener for a client" },
	{ "trace", "which session had an address" },
};

static struct onetime_settings settings;

const struct noun onetime_noun = {
	.name = ONETIME_STEM,
	.help = "an address of its own for every session",
	.verbs = verbs,
	.verb_count = COUNT_OF(verbs),
	.options = options,
	.option_count = COUNT_OF(options),
	.settings = &settings,
	.status = onetime_status,
	.words = 3,
	.command_verbs = RUN,
	.agent = "isthmus-onetime",
	.agent_verbs = agent_verbs,
	.agent_verb_count = COUNT_OF(agent_verbs),
};

int onetime_detach(const void *arg, const struct output *output)
{
	const struct onetime_settings *wanted = arg;

	(void)output;
	return detach(wanted->common.instance, ONETIME_STEM, ONETIME_STAGING, onetime_remove);
}
