/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Servers that a test makes: children with the sockets that it wants. */
#ifndef ISTHMUS_SELFTESTS_ONETIME_SERVERS_H
#define ISTHMUS_SELFTESTS_ONETIME_SERVERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agents/onetime/process.h"

struct server {
	pid_t pid;
	int stop; /* a pipe */
};

/* Runs `begin` in a child, whose descriptors are those that it opens, from 3 on; returns when it is
 * done. The child waits until it is finished, which must find it well. */
struct server servers_start(void (*begin)(void));
void servers_finish(struct server *server);

/* ---- for `begin`: what fails ends the child */
void servers_need(int rc);
int servers_socket(int family, int type, int proto);
void servers_set(int fd, int level, int name); /* an option, to 1 */
/* Any address; port 0: the kernel's choice. Returns the port. */
uint16_t servers_bind(int fd, int family, uint16_t port);
int servers_tcp(int family, bool only6, uint16_t port); /* listening */

/* ---- which socket of a server is taken
 * Whose network namespace is the caller's. */
#define ANY		 .number = -1
#define WANT(...)	 ((struct process_want){ ANY, __VA_ARGS__ })
#define NUMBERED(n, ...) ((struct process_want){ .number = (n), __VA_ARGS__ })

extern char servers_why[PROCESS_WHY_LEN];

/* As process_socket(); the descriptor is closed. */
int servers_ask(pid_t pid, struct process_want want, struct process_socket *found);
void servers_finds(pid_t pid, struct process_want want, uint32_t number);
/* With this error, `part` in what is said, and nothing written. */
void servers_refuses(pid_t pid, struct process_want want, int err, const char *part);

#endif
