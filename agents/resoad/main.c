// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "resoad.h"

#define PROGRAM "isthmus-resoad"

static void help(void)
{
	printf("usage: " PROGRAM " run [OPTION]...\n"
	       "       " PROGRAM " client add NAME [OPTION]...\n"
	       "       " PROGRAM " client list | show | stats | status [--json] [OPTION]...\n"
	       "       " PROGRAM " help | version\n"
	       "\n"
	       "run          serve in the foreground\n"
	       "client add   a section with a fresh key in the file of clients; prints the line "
	       "of\n"
	       "             the client's key file\n"
	       "client list  clients of a running server, and who is registered\n"
	       "show         each socket, and which path its bytes take\n"
	       "stats        packets by reason, of the programs that hold FINs back\n"
	       "status       addresses, clients and counters\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" RESOAD_CONFIG
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
	if (argc != 1 || strcmp(argv[0], "run"))
		return command_run(settings, argc, argv);
	if (log_open(PROGRAM, settings->log, settings->log_level))
		return fail(2, "log is stderr or syslog, log-level error, warn, info or debug");
	return resoad_run(settings);
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
	status = dispatch(argc - words, argv + words, &settings);
	settings_free(&settings);
	return status;
}
