/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A command's question to its daemon, by the control socket. */
#ifndef ISTHMUS_AGENTS_ASK_H
#define ISTHMUS_AGENTS_ASK_H

#include <jansson.h>

enum ask_status { ASK_DONE, ASK_FAILED, ASK_USAGE, ASK_NOT_RUNNING };

/* Takes `message`. NULL after a line to stderr, if there is no answer. */
json_t *ask_daemon(const char *program, const char *path, json_t *message);
/* enum ask_status, which is an exit status; what is not ASK_DONE was told to stderr. */
int ask_check(const char *program, const json_t *answer);
/* The answer without what belongs to the protocol, indented, to standard output. */
void ask_print(json_t *answer);

#endif
