/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The running server: its devices, the gateway, its control socket and its log of assignments. */
#ifndef ISTHMUS_AGENTS_DHCP_SERVE_H
#define ISTHMUS_AGENTS_DHCP_SERVE_H

#include <event2/event.h>
#include <event2/buffer.h>

#include "feed.h"
#include "../lib/dhcp_link.h"
#include "server.h"

struct serve {
	struct server server;
	struct event_base *base;
	struct dhcp_link link[CONF_LIST_MAX];
	struct event *readable[CONF_LIST_MAX];
	unsigned int links;
	struct feed *feed; /* NULL: no gateway */
	struct event *second;
	int assignments; /* file, -1 = the log */
	uint64_t send_failed;
	int argc;
	char **argv;
};

int serve_run(int argc, char **argv);

/* ---- assignments.c: RFC 7422 style; one line for each change */

void assignments_open(struct serve *serve);
void assignments_note(struct serve *serve, enum server_change change, const struct lease *lease);
/* "1232-1235,2256-2259,…": bytes written, the NUL not counted. */
size_t assignments_ranges(const struct portset *set, char *text, size_t len);

/* ---- report.c: status and metrics */

/* Leases from the `skip`th on; `more` of them follow the last. */
json_t *report_status(const struct serve *serve, uint32_t skip);
void report_metrics(struct evbuffer *out, void *serve);

/* ---- control.c: `isthmus-dhcp status` and the rest that asks a daemon, for server and client */

struct control;

/* Answers one request; takes nothing. NULL: no such op. */
typedef json_t *(*control_answer)(const char *op, const json_t *request, void *arg);
struct control *control_listen(struct event_base *base, const char *path, control_answer answer,
			       void *arg, char *error, size_t error_len);
void control_free(struct control *control);
/* Asks `op` of the daemon on path and prints the answer; exit status. */
int control_ask(const char *path, const char *op, bool json);
/* Where the daemon listens unless told: "/run/isthmus/dhcp-server.sock". */
void control_path(const char *told, const char *kind, const char *device, char *path, size_t len);

#endif
