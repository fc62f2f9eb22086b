/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The daemon's state: one struct peer, handed to every part of it. */
#ifndef ISTHMUS_PEER_PEER_H
#define ISTHMUS_PEER_PEER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "service.h"
#include "session.h"
#include "store.h"
#include "subscribe.h"

struct broker;
struct work;

struct settings {
	char *dir, *config;
	char *log, *log_level;
	char *metrics;
	unsigned int pool, pool_idle_s, pool_keep;
	unsigned int sessions;	  /* of all services and subscriptions */
	unsigned int udp_clients; /* of one subscription */
};

/* Since the daemon's start; a session's bytes are added at its end. */
struct totals {
	uint64_t sessions, failed, unauthenticated, denied;
	uint64_t bytes_in, bytes_out; /* from and to the splices */
	uint64_t datagrams_dropped;
	uint64_t reconnects;
};

struct peer {
	struct event_base *base;
	struct settings settings;
	char dir[STORE_PATH_LEN];
	struct broker *broker;
	struct work *work; /* names of servers are resolved there */
	struct service_list services;
	struct subscription_list subscriptions;
	struct session_list sessions;
	unsigned int session_count;
	uint64_t udp_blocked_until_ms;	    /* probes go by TCP until then */
	uint64_t family_broken_until_ms[2]; /* [v6]: no probe got through by it */
	struct totals totals;
	bool stopping;
};

uint64_t now_ms(void); /* CLOCK_MONOTONIC */

/* daemon.c */
int daemon_main(int argc, char **argv); /* argv[0] is the word "daemon"; exit status */
void daemon_help(void);
void daemon_show_status(const struct peer *peer); /* in systemctl status */
int daemon_save(struct peer *peer); /* services and subscriptions to the state directory */

#endif
