// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "broker.h"

static void help(void)
{
	printf("usage: isthmus-broker run [OPTION]...\n"
	       "       isthmus-broker user add NAME | user del NAME | user list [--json]\n"
	       "       isthmus-broker translator add NAME | translator del NAME |"
	       " translator list [--json]\n"
	       "       isthmus-broker help | version\n"
	       "\n"
	       "run              serve peers and translators in the foreground\n"
	       "user add         print the line that `isthmus-peer login` reads\n"
	       "user del         delete a user; its connections end within 2 s\n"
	       "translator add   print the line that isthmus-translator reads\n"
	       "\n"
	       "Options, and in [brackets] their section of the file (" BROKER_CONFIG
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
	const char *noun = words < argc ? argv[words] : "";

	if (!strcmp(noun, "user") || !strcmp(noun, "translator"))
		return command_users(!strcmp(noun, "user") ? DB_USER : DB_TRANSLATOR,
				     argc - words - 1, argv + words + 1, settings);
	if (strcmp(noun, "run") || words + 1 != argc) {
		fprintf(stderr, "isthmus-broker: '%.64s' is no command; see isthmus-broker help\n",
			strcmp(noun, "run") ? noun : argv[words + 1]);
		return 2;
	}
	if (log_open("isthmus-broker", settings->log, settings->log_level)) {
		fprintf(stderr, "isthmus-broker: log is stderr or syslog, log-level error, warn, "
				"info or debug\n");
		return 2;
	}
	return broker_run(argc, argv, settings);
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
		printf("isthmus-broker %s\n", ISTHMUS_VERSION);
		return 0;
	}
	words = settings_read(&settings, argc, argv, error, sizeof(error));
	if (words < 0) {
		fprintf(stderr, "isthmus-broker: %s\n", error);
		return 2;
	}
	rc = dispatch(argc, argv, words, &settings);
	settings_free(&settings);
	return rc;
}
