// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "waypoint.h"

#define PROGRAM "isthmus-waypoint"

static void help(void)
{
	printf("usage: " PROGRAM " join [LINE] [OPTION]...\n"
	       "       " PROGRAM " run [OPTION]...\n"
	       "       " PROGRAM " status [--json] | help | version\n"
	       "\n"
	       "join       with the line that `isthmus-dns waypoint add` printed; without it, it "
	       "is\n"
	       "           read from standard input, where no other user sees it\n"
	       "run        serve in the foreground, for the datapath of `isthmus waypoint attach`\n"
	       "status     name server, gateways, bindings and counters\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" WAYPOINT_CONFIG
	       " if it exists):\n");
	conf_help(settings_table, settings_count);
}

static int fail(int status, const char *why)
{
	fprintf(stderr, PROGRAM ": %s\n", why);
	return status;
}

static int dispatch(int argc, char **argv, int words, struct settings *settings)
{
	const char *command = words < argc ? argv[words] : "";
	int rest = argc - words - 1;

	if (!strcmp(command, "join") && rest <= 1)
		return member_join_command(PROGRAM, rest ? argv[words + 1] : NULL,
					   settings->credentials);
	if (!strcmp(command, "status") && !rest)
		return status_command(settings);
	if (strcmp(command, "run") || rest)
		return fail(2, "one of join, run, status, help, version is needed; see --help");
	if (log_open(PROGRAM, settings->log, settings->log_level))
		return fail(2, "log is stderr or syslog, log-level error, warn, info or debug");
	return waypoint_run(settings);
}

int main(int argc, char **argv)
{
	struct settings settings;
	char error[512];
	int words, status;

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || (i == 1 && !strcmp(argv[i], "help"))) {
			help();
			return 0;
		}
	if (argc > 1 && (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version"))) {
		printf(PROGRAM " " ISTHMUS_VERSION "\n");
		return 0;
	}
	words = settings_read(&settings, argc, argv, error, sizeof(error));
	if (words < 0)
		return fail(2, error);
	status = dispatch(argc, argv, words, &settings);
	settings_free(&settings);
	return status;
}
