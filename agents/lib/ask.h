/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A command's question to its daemon, by the control socket. */
#ifndef ISTHMUS_AGENTS_ASK_H
#define ISTHMUS_AGENTS_ASK_H

#include <jansson.h>
#include <stddef.h>

enum ask_status { ASK_DONE, ASK_FAILED, ASK_USAGE, ASK_NOT_RUNNING };

/* Takes `message`. NULL after a line to stderr, if there is no answer. */
json_t *ask_daemon(const char *program, const char *path, json_t *message);
/* enum ask_status, which is an exit status; what is not ASK_DONE was told to stderr. */
int ask_check(const char *program, const json_t *answer);
/* The answer without what belongs to the protocol, indented, to standard output. */
void ask_print(json_t *answer);

/* ---- the daemon's side: a control socket, mode 0600, with the command "status" and its own */

struct event_base;
struct msg_listener;

#define ASK_TEXT_LEN 1024

struct ask_error {
	const char *code; /* docs/protocol.md */
	char text[ASK_TEXT_LEN];
};

struct ask_server {
	json_t *(*status)(void *arg); /* set by the caller, with arg */
	void *arg;
	struct msg_listener *listener;
	/* Other commands, by `op`: the answer's members, or NULL and why. NULL: there are none. */
	json_t *(*command)(const char *op, const json_t *message, struct ask_error *why, void *arg);
};

/* Returns NULL, for a command to return. */
json_t *ask_refuse(struct ask_error *why, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Makes the folder, too. 0, or a negative errno with the reason in error; also if another has it.
 */
int ask_listen(struct ask_server *server, struct event_base *base, const char *path, char *error,
	       size_t error_len);
void ask_close(struct ask_server *server);

#endif
