// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "resoa.h"

#define PROGRAM "isthmus-resoa"

static void help(void)
{
	printf("usage: " PROGRAM " daemon [OPTION]...\n"
	       "       " PROGRAM " run [OPTION]... -- PROGRAM [ARGUMENT]...\n"
	       "       " PROGRAM " shell [OPTION]...\n"
	       "       " PROGRAM " show [--json] | stats [--json] | status [--json]\n"
	       "       " PROGRAM " help | version\n"
	       "\n"
	       "daemon     serve in the foreground: registers at isthmus-resoad\n"
	       "run        a program whose sockets are the server's\n"
	       "shell      the same for the user's shell\n"
	       "show       sockets, which way each takes, and how far its bytes are\n"
	       "stats      packets and events, by what became of them\n"
	       "status     the server, addresses, routes and ports\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" RESOA_CONFIG
	       " if it exists):\n");
	conf_help(settings_table, settings_count);
}

static int fail(int status, const char *why)
{
	fprintf(stderr, PROGRAM ": %s\n", why);
	return status;
}

static int dispatch(int argc, char **argv, const struct settings *settings)
{
	if (!argc)
		return fail(2, "a command is needed; see " PROGRAM " help");
	if (!strcmp(argv[0], "run") || !strcmp(argv[0], "shell"))
		return resoa_run(settings, argv);
	if (run_as_caller())
		return fail(1, "cannot become the caller");
	if (strcmp(argv[0], "daemon"))
		return resoa_ask(settings, argc, argv);
	if (argc != 1)
		return fail(2, "daemon takes options only");
	if (log_open(PROGRAM, settings->log, settings->log_level))
		return fail(2, "log is stderr or syslog, log-level error, warn, info or debug");
	return resoa_daemon(settings);
}

/* Words behind `--` are another program's. */
static bool asks_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || (i == 1 && !strcmp(argv[i], "help")))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct settings settings;
	char error[512];
	int words, status;

	if (asks_help(argc, argv)) {
		help();
		return 0;
	}
	if (argc > 1 && (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version"))) {
		printf(PROGRAM " " ISTHMUS_VERSION "\n");
		return 0;
	}
	run_lower();
	words = settings_read(&settings, argc, argv, error, sizeof(error));
	run_raise();
	if (words < 0)
		return fail(2, error);
	status = dispatch(argc - words, argv + words, &settings);
	settings_free(&settings);
	return status;
}
