/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The running client: one device, one or more sets. What it gets it hands to isthmus-portarp of
 * this host, to a script, or prints.
 */
#ifndef ISTHMUS_AGENTS_DHCP_HOST_H
#define ISTHMUS_AGENTS_DHCP_HOST_H

#include <event2/event.h>
#include <jansson.h>

#include "../lib/dhcp_client.h"
#include "../lib/dhcp_link.h"
#include "pool.h"
#include "settings.h"

#define HOST_SETS 8

struct hand;

/* Ports in use, a bit each, of TCP and of UDP. */
struct host_bits {
	uint8_t bit[2][65536 / 8];
};

struct host {
	struct client_settings settings;
	struct event_base *base;
	struct event *timer, *readable, *watch;
	struct dhcp_link link;
	struct hand *hand;
	uint8_t duid[DHCP_DUID_LEN];
	size_t duid_len;
	struct dhcp_client set[HOST_SETS]; /* the first one always runs, further ones as needed */
	struct host_bits bits[HOST_SETS];
	uint32_t used[HOST_SETS]; /* ports, the larger of TCP's and UDP's */
	unsigned int idle;	  /* how often one set was found to be more than needed */
	uint64_t grown, shrunk;
	char state[256]; /* path of the state file */
};

int host_run(int argc, char **argv);
int64_t host_now(void);
/* After anything that may have changed a set's `next`. */
void host_schedule(struct host *host);
bool host_set_runs(const struct host *host, unsigned int i);

/* ---- host_store.c: DUID and leases over restarts */

/* 0, -ENOENT if there is no file; a file that cannot be understood is told and left. */
int host_load(struct host *host, char *error, size_t error_len);
int host_save(const struct host *host);

/* ---- host_hand.c: who is told */

struct hand *hand_new(struct host *host);
void hand_free(struct hand *hand);
void hand_bound(struct hand *hand, const struct dhcp_client *client, bool renewed);
void hand_lost(struct hand *hand, const struct dhcp_client *client, const char *why);
bool hand_connected(const struct hand *hand);
json_t *hand_lease(const struct dhcp_client *client);

/* ---- host_use.c: sets grow and shrink with use (paper, V) */

/* Reads one file of /proc/net; protocol 0 is TCP, 1 UDP. */
void host_use_read(struct host *host, const char *path, unsigned int protocol);
/* Counts; then asks for one more set or gives one back. */
void host_use_watch(struct host *host);

/* ---- host_report.c */

json_t *host_answer(const char *op, const json_t *request, void *host);
struct evbuffer;
void host_metrics(struct evbuffer *out, void *host);

#endif
