// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "onetime.h"

#define PROGRAM "isthmus-onetime"

static void help(void)
{
	printf("usage: " PROGRAM " run [OPTION]...\n"
	       "       " PROGRAM " join [LINE]\n"
	       "       " PROGRAM " das PID IFACE ADDRESS [OPTION]...\n"
	       "       " PROGRAM " listen PID IFACE [OPTION]...\n"
	       "       " PROGRAM " listen --del PID or NAME\n"
	       "       " PROGRAM " give PID or NAME [OPTION]...\n"
	       "       " PROGRAM " trace ADDRESS [--json]\n"
	       "       " PROGRAM " status [--json] | help | version\n"
	       "\n"
	       "run        serve in the foreground, for the datapath of `isthmus onetime attach`\n"
	       "join       become an agent of a name server; LINE, or standard input, is what\n"
	       "           `isthmus-dns onetime add` printed\n"
	       "das        this address of a pool on IFACE, for one session with a running server\n"
	       "listen     make a running server a listener, for which addresses are prepared\n"
	       "give       one of a listener's addresses, for one session; prints it\n"
	       "trace      which counter, name, client and time an address belongs to\n"
	       "status     pools, listeners, addresses and counters\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" ONETIME_CONFIG
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
	if (argc && argc <= 2 && !strcmp(argv[0], "join"))
		return member_join_command(PROGRAM, argc == 2 ? argv[1] : NULL,
					   settings->credentials);
	if (argc != 1 || strcmp(argv[0], "run"))
		return command_ask(argc, argv, settings);
	if (log_open(PROGRAM, settings->log, settings->log_level))
		return fail(2, "log is stderr or syslog, log-level error, warn, info or debug");
	return onetime_run(settings);
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
