/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands: the words of one become a request of the control socket. */
#ifndef ISTHMUS_AGENTS_PORTARP_CLI_H
#define ISTHMUS_AGENTS_PORTARP_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Is it one of the commands that ask the daemon? */
bool cli_knows(const char *command);
/* argv[0] is the command. Exit status: 0 done, 1 refused, 2 usage, 3 no daemon. */
int cli_main(int argc, char **argv);
void cli_help(void);

/* A line of a file of commands; # begins a comment. NULL with an empty error: nothing on it. */
json_t *cli_request_of_line(char *line, char *error, size_t error_len);

/* status.c: `usage` and `status` as text */
void cli_print_usage(json_t *answer);
void cli_print_status(json_t *answer);

#endif
