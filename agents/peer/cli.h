/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands: each is one connection to the daemon, or (login) to the broker. */
#ifndef ISTHMUS_PEER_CLI_H
#define ISTHMUS_PEER_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "../lib/conf.h"
#include "store.h"

struct cli {
	/* options */
	char *dir, *text, *bind, *token_file;
	bool json, udp, tcp, pure;
	unsigned int limit;
	struct conf_list allow;
	/* the command and its words */
	const char *name;
	int argc;
	char **argv;
	char path[STORE_PATH_LEN];
};

int cli_main(const char *command, int argc, char **argv); /* exit status */
void cli_help(void);

/*
 * One request to the daemon: its answer, or NULL after a message on stderr. quiet: no message if no
 * daemon runs.
 */
json_t *cli_ask(const struct cli *cli, json_t *request, bool quiet);

int login_run(struct cli *cli);
int status_run(struct cli *cli);

#endif
