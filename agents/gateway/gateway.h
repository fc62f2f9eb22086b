/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-gateway (AVES 3.2, 5.3, 5.5): tells the name server which hosts are behind this machine,
 * and is the gateway's end of the tunnels to waypoints, for the `gateway` datapath.
 *
 *   main.c      commands			settings.c  options
 *   run.c       the daemon from start to end
 *   attach.c    `isthmus gateway attach` on the devices that routes lead to
 *   server.c    the connection to isthmus-dns: hosts, waypoints
 *   end.c       the tunnels' handshakes
 *   hosts.c     the file of hosts, in the maps and with their next hops
 *   numbers.c   numbers of hosts and waypoints, which live as long as flows
 *   events.c    what the datapath tells
 *   sweep.c     the end of flows
 *   status.c    status command, metrics
 *
 * With the agent dead, sessions go on, and new ones come by the tunnels that are there.
 */
#ifndef ISTHMUS_GATEWAY_GATEWAY_H
#define ISTHMUS_GATEWAY_GATEWAY_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../maps/gateway.h"
#include "../lib/ask.h"
#include "../lib/map_sweep.h"
#include "../lib/member.h"
#include "../lib/tunnel_peers.h"
#include "settings.h"

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL
#define ERROR_LEN 512
#define HOST_NAME 254 /* a domain name as text, and NUL */
#define WAYPOINTS TUNNEL_PEERS

enum gateway_map { MAP_CONF, MAP_HOST, MAP_FLOW, MAP_PAIR, MAP_MASK, MAP_EVENT, MAP_COUNT };

/* X(field, name, help) */
#define GATEWAY_COUNTERS(X)                                                                        \
	X(handshakes, "handshakes_total", "Tunnel handshakes that were completed")                 \
	X(control_bad, "control_bad_total", "Control packets that were not genuine")               \
	X(tunnels_lost, "tunnels_lost_total", "Tunnels whose waypoint fell silent")                \
	X(asked, "neighbours_asked_total", "Hosts whose MAC the datapath wanted")                  \
	X(ended, "flows_ended_total", "Flows whose time was over")

struct counters {
#define COUNTER_FIELD(field, name, help) uint64_t field;
	GATEWAY_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

/* A host; its number is the place. */
struct host {
	bool taken;
	char name[HOST_NAME];
	struct isthmus_addr address, hop; /* hop: `::` while there is no route */
	struct gateway_host record;	  /* as in the map */
};

/* A waypoint; the index of its record in the map is the place. */
struct waypoint {
	bool known;
	char name[MEMBER_NAME_LEN];
	struct tunnel_place place;		 /* where packets go */
	struct tunnel_place choice[TUNNEL_FROM]; /* what the name server told */
	unsigned int choices, chosen;
	uint64_t began_ms; /* the handshake with the one that is chosen */
	struct tunnel_gateway end;
	uint32_t vni; /* of the newest session; 0 = none of this agent's */
	bool fresh;   /* and nobody has used it yet */
};

struct gateway {
	struct event_base *base;
	struct settings settings;
	struct member_credentials credentials;
	struct gateway_conf conf;
	int map[MAP_COUNT], lock_fd;
	struct tunnel_peers *peers;
	struct member *member;
	struct ask_server control;
	struct metrics *metrics;
	struct ring_buffer *ring;
	struct event *ring_readable, *tick, *fast, *sweep;
	struct map_sweep *sweep_flow, *sweep_pair;
	uint32_t flows, flows_counted;
	json_t *numbers; /* of the state file */
	bool numbers_changed;
	uint32_t told; /* hosts below this number were told to the name server */
	struct host host[GATEWAY_HOSTS];
	struct waypoint waypoint[WAYPOINTS];
	struct counters counters;
};

uint64_t gateway_now_ms(void);

/* ---- attach.c: before maps are opened. 0 if it is attached, or not wanted. */
int attach_if_wanted(struct gateway *g, char *error);

/* ---- hosts.c */
int hosts_open(struct gateway *g, char *error);
/* Reads the file again: 0, or what is there stays and the reason is in error. */
int hosts_read(struct gateway *g, char *error);
void hosts_resolve(struct gateway *g); /* next hops, after a change */
void hosts_asked(struct gateway *g, uint32_t number);
void hosts_keep_alive(struct gateway *g);
/* For the name server: as many as a message may have, from *next on, which is moved on. */
json_t *hosts_json(const struct gateway *g, uint32_t *next);

/* ---- numbers.c */
int numbers_open(struct gateway *g, char *error);
/* The number of a name that is known, or a free one below `limit`, which it has from now on;
 * -ENOSPC. */
int numbers_get(struct gateway *g, const char *kind, const char *name, int first, int limit);
void numbers_save(struct gateway *g);
void numbers_close(struct gateway *g);

/* ---- server.c */
int server_start(struct gateway *g);
void server_hosts(struct gateway *g); /* they have changed */

/* ---- end.c */
int end_start(struct gateway *g, char *error);
void end_add(struct gateway *g, const char *name, uint32_t id, const struct tunnel_place *choice,
	     unsigned int choices, const uint8_t secret[TUNNEL_SECRET_BYTES]);
void end_remove(struct gateway *g, const char *name);
void end_moved(struct gateway *g, uint32_t index, const struct tunnel_place *place);
void end_tick(struct gateway *g);

/* ---- events.c, sweep.c, status.c, run.c */
int events_start(struct gateway *g);
void events_free(struct gateway *g);
int sweep_start(struct gateway *g);
void sweep_free(struct gateway *g);
int status_listen(struct gateway *g, char *error);
void status_close(struct gateway *g);
int status_command(const struct settings *settings);
int gateway_run(const struct settings *settings);

#endif
