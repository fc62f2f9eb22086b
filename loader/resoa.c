// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus resoa`: all of its verbs are the client's daemon's. Nothing of it is pinned: programs
 * and maps end with the daemon that loaded them.
 */
#include <errno.h>

#include "loader.h"

static const struct agent_verb agent_verbs[] = {
	{ "run", "a command whose sockets are the server's" },
	{ "shell", "a shell whose sockets are the server's" },
	{ "show", "the server, its addresses, and every socket there" },
	{ "stats", "packets and calls by what became of them" },
	{ "status", "whether the server is there" },
};

static struct common_settings settings;

static int status(const char *instance, const struct output *output)
{
	(void)instance;
	(void)output;
	return -ENOENT;
}

const struct noun resoa_noun = {
	.name = "resoa",
	.help = "the sockets of another host, used by this one's programs",
	.settings = &settings,
	.status = status,
	.agent = "isthmus-resoa",
	.agent_verbs = agent_verbs,
	.agent_verb_count = COUNT_OF(agent_verbs),
};
