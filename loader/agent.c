// SPDX-License-Identifier: GPL-3.0-or-later
/* The verbs that a datapath's agent has: this program becomes the agent's. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader.h"

/* Its program beside this one, as in a build directory: false if there is none. */
static bool beside(const char *agent, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0)
		return false;
	self[len] = 0;
	return snprintf(path, PATH_MAX, "%s/%s", dirname(self), agent) < PATH_MAX &&
	       !access(path, X_OK);
}

int agent_become(const char *agent, char **words)
{
	char path[PATH_MAX];
	int count = 0;

	while (words[count])
		count++;

	char *argv[count + 2];

	argv[0] = (char *)agent;
	memcpy(argv + 1, words, (count + 1) * sizeof(*words));
	if (beside(agent, path))
		execv(path, argv);
	else
		execvp(agent, argv);
	return complain(EXIT_FAILED,
			"%s: %s; install it beside isthmus or in a directory of PATH, for it has "
			"the verb %s",
			agent, errno == ENOENT ? "it is not installed" : strerror(errno), words[0]);
}
