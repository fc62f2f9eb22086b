// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "dns.h"

static void help(void)
{
	printf("usage: isthmus-dns run [OPTION]...\n"
	       "       isthmus-dns publish NAME --port PORT --target HOST [OPTION]...\n"
	       "       isthmus-dns publish NAME --address ADDRESS [OPTION]...\n"
	       "       isthmus-dns withdraw NAME [OPTION]...\n"
	       "       isthmus-dns list [NAME] [--json]\n"
	       "       isthmus-dns key add ZONE\n"
	       "       isthmus-dns key show ZONE [--json]\n"
	       "       isthmus-dns key del ZONE [TAG]\n"
	       "       isthmus-dns gateway add NAME\n"
	       "       isthmus-dns gateway del NAME\n"
	       "       isthmus-dns gateway list\n"
	       "       isthmus-dns waypoint add NAME\n"
	       "       isthmus-dns waypoint del NAME\n"
	       "       isthmus-dns waypoint list\n"
	       "       isthmus-dns onetime add NAME\n"
	       "       isthmus-dns onetime del NAME\n"
	       "       isthmus-dns onetime list\n"
	       "       isthmus-dns status [--json] | check | help | version\n"
	       "\n"
	       "run        serve the zones in the foreground\n"
	       "publish    a service or an address under a name, until it is withdrawn or expires\n"
	       "withdraw   what was published under a name, of these options if any are given\n"
	       "list       what is published\n"
	       "key        make, show or remove the keys that a zone is signed with (DNSSEC)\n"
	       "gateway    who may have hosts at NAME and below; add prints the line for\n"
	       "           `isthmus-gateway join`\n"
	       "waypoint   who may bind initiators; add prints the line for `isthmus-waypoint "
	       "join`\n"
	       "onetime    who gives addresses for one session at NAME and below; add prints the\n"
	       "           line for `isthmus-onetime join`\n"
	       "status     zones and counters\n"
	       "check      read the zone files and say what is wrong\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" DNS_CONFIG
	       " if it exists):\n");
	conf_help(settings_table, settings_count);
}

static bool is_asked(int argc, char **argv, const char *option, const char *word)
{
	if (argc > 1 && !strcmp(argv[1], word))
		return true;
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], option))
			return true;
	return false;
}

static int dispatch(int argc, char **argv, int words, struct settings *settings)
{
	const char *command = words < argc ? argv[words] : "";

	if (strcmp(command, "run") || words + 1 != argc)
		return command_run(command, argc - words - 1, argv + words + 1, settings);
	if (log_open("isthmus-dns", settings->log, settings->log_level)) {
		fprintf(stderr, "isthmus-dns: log is stderr or syslog, log-level error, warn, info "
				"or debug\n");
		return 2;
	}
	return dns_run(argc, argv, settings);
}

int main(int argc, char **argv)
{
	struct settings settings;
	char error[512];
	int words, rc;

	if (is_asked(argc, argv, "--help", "help")) {
		help();
		return 0;
	}
	if (is_asked(argc, argv, "--version", "version")) {
		printf("isthmus-dns " ISTHMUS_VERSION "\n");
		return 0;
	}
	words = settings_read(&settings, argc, argv, error, sizeof(error));
	if (words < 0) {
		fprintf(stderr, "isthmus-dns: %s\n", error);
		return 2;
	}
	rc = dispatch(argc, argv, words, &settings);
	settings_free(&settings);
	return rc;
}
