// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus-peer: a user's daemon (thesis 3.4.1) and the commands that speak to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "peer.h"

static void help(void)
{
	printf("usage: isthmus-peer COMMAND [WORDS] [OPTIONS]\n\nCommands:\n");
	printf("  %-11s %-22s %s\n", "daemon", "", "stay connected and carry connections");
	cli_help();
	printf("\nOptions of daemon:\n");
	daemon_help();
	printf("\nState is in --dir, else $ISTHMUS_PEER_DIR, else $XDG_STATE_HOME/isthmus, else\n"
	       "~/.local/state/isthmus; for root in /var/lib/isthmus-peer.\n");
}

/* Where the command's word is: --dir may stand before it. */
static int command_index(int argc, char **argv)
{
	int i = 1;

	while (i < argc && !strncmp(argv[i], "--dir", 5))
		i += argv[i][5] == '=' ? 1 : 2;
	return i;
}

int main(int argc, char **argv)
{
	int index = command_index(argc, argv);
	const char *command = index < argc ? argv[index] : NULL;

	if (!command) {
		fprintf(stderr, "isthmus-peer: no command: see isthmus-peer help\n");
		return 2;
	}
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help")) {
			help();
			return 0;
		}
	if (!strcmp(command, "help")) {
		help();
		return 0;
	}
	if (!strcmp(command, "version") || !strcmp(command, "--version")) {
		printf("isthmus-peer %s\n", ISTHMUS_VERSION);
		return 0;
	}
	/* The command's word leaves argv, so that its options may stand anywhere. */
	memmove(argv + index, argv + index + 1, (argc - index) * sizeof(*argv));
	if (!strcmp(command, "daemon"))
		return daemon_main(argc - 1, argv);
	return cli_main(command, argc - 1, argv);
}
