/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-waypoint (AVES 3.2, 3.3, 5): binds initiators to responders, as the name server asks, in
 * the maps of the `waypoint` datapath, and is the waypoint's end of the tunnels to gateways.
 *
 *   main.c      commands			settings.c  options
 *   run.c       the daemon from start to end
 *   server.c    the connection to isthmus-dns: gateways, hosts' own addresses
 *   ask.c       SETUP datagrams, many with one system call
 *   bind.c      waits and bindings in the maps (figure 6)
 *   end.c       the tunnels' handshakes
 *   events.c    what the datapath tells
 *   sweep.c     the end of bindings
 *   state.c     bindings kept over a restart of the machine (SQLite)
 *   status.c    status command, metrics
 *
 * With the agent dead, what is bound goes on; nothing new is bound.
 */
#ifndef ISTHMUS_WAYPOINT_WAYPOINT_H
#define ISTHMUS_WAYPOINT_WAYPOINT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../maps/waypoint.h"
#include "../lib/ask.h"
#include "../lib/map_sweep.h"
#include "../lib/member.h"
#include "../lib/setup.h"
#include "../lib/tunnel_peers.h"
#include "settings.h"

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL
#define ERROR_LEN 512
#define GATEWAYS  TUNNEL_PEERS

enum waypoint_map {
	MAP_CONF,
	MAP_ADDR,
	MAP_WAIT,
	MAP_BIND,
	MAP_REJECT,
	MAP_CONN,
	MAP_HOST6,
	MAP_STATS,
	MAP_EVENT,
	MAP_COUNT,
};

/* X(field, name, help) */
#define WAYPOINT_COUNTERS(X)                                                                       \
	X(setups, "setups_total", "SETUP datagrams that were genuine")                             \
	X(setups_bad, "setups_bad_total", "Datagrams at the SETUP port that were not")             \
	X(accepted, "setups_accepted_total", "SETUPs answered with ACCEPT")                        \
	X(rejected, "setups_rejected_total", "SETUPs answered with REJECT")                        \
	X(repeated, "setups_repeated_total", "SETUPs that had come before")                        \
	X(bound, "bindings_total", "Initiators bound, in a wait state or at once")                 \
	X(violated, "violations_total", "Initiators that violated a wait state")                   \
	X(ended, "bindings_ended_total", "Bindings whose time was over")                           \
	X(restored, "bindings_restored_total", "Bindings restored after a restart")                \
	X(handshakes, "handshakes_total", "Tunnel handshakes that were completed")                 \
	X(control_bad, "control_bad_total", "Control packets that were not genuine")               \
	X(moved, "gateways_moved_total", "Gateways whose address changed")

struct counters {
#define COUNTER_FIELD(field, name, help) uint64_t field;
	WAYPOINT_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

/* A running wait of an address, as its place in the map has it. */
struct wait {
	uint64_t until_ns;
	uint64_t serial;
	__be32 prefix, mask;
	uint32_t peer, host, ms;
	bool contended; /* another responder's SETUP was rejected because of it */
};

struct address {
	__be32 address;
	uint32_t number;
	uint64_t waits_until_ns;
	struct wait wait[WAYPOINT_WAITS];
};

/* A gateway that the name server has told of; its id is the place. */
struct gateway {
	bool known, told_up;
	bool silent; /* nothing new is bound to it; what is bound goes on */
	char name[MEMBER_NAME_LEN];
	struct tunnel_waypoint end;
	struct tunnel_place place;
};

#define HOPS_MAX 64

struct hop {
	struct isthmus_addr address;
	uint32_t ifindex;
};

struct asks;
struct state;

struct waypoint {
	struct event_base *base;
	struct settings settings;
	struct member_credentials credentials;
	struct waypoint_conf conf;
	int map[MAP_COUNT];
	struct tunnel_peers *peers;
	struct member *member;
	struct asks *asks;
	struct state *state;
	struct ask_server control;
	struct metrics *metrics;
	struct ring_buffer *ring;
	struct event *ring_readable, *tick, *sweep;
	struct map_sweep *sweep_bind, *sweep_reject, *sweep_conn;
	unsigned int rest_bind, rest_reject, rest_conn; /* steps until the next sweep */
	uint32_t binds, binds_counted; /* entries of the map, at the end of a sweep */
	uint32_t binds_max;
	uint64_t rejects_before;
	uint32_t rejects, rejects_counted; /* the same of reject times: at least so many run */
	uint8_t cookie_secret[TUNNEL_SECRET_BYTES];
	struct address address[SETTINGS_ADDRESSES];
	unsigned int address_count;
	struct gateway gateway[GATEWAYS];
	struct hop hop[HOPS_MAX];
	unsigned int hop_count, hop_next;
	struct counters counters;
	int lock_fd;
};

uint64_t waypoint_now_ns(void); /* CLOCK_MONOTONIC, as the datapath's */

/* ---- bind.c */
int bind_open(struct waypoint *w, char *error);
/* What `ask` asks for: `answer` is ACCEPT or REJECT, without serial and addresses. */
void bind_ask(struct waypoint *w, const struct setup *ask, struct setup *answer);
/* A binding of before: 0, -EEXIST or another negative errno. age, fresh: nanoseconds. */
int bind_restore(struct waypoint *w, const struct waypoint_pair *pair, struct waypoint_bind *bind);

/* ---- server.c */
int server_start(struct waypoint *w);
void server_tunnel(struct waypoint *w, uint32_t gateway, bool up);
void server_bound(struct waypoint *w, uint64_t serial, __be32 initiator, uint32_t ms);
void server_load(struct waypoint *w);

/* ---- ask.c */
int asks_open(struct waypoint *w, char *error);
void asks_close(struct waypoint *w);
/* NULL: no name server is logged in, so nothing is answered. */
void asks_key(struct waypoint *w, const uint8_t *key);

/* ---- end.c */
int end_start(struct waypoint *w, char *error);
void end_add(struct waypoint *w, uint32_t id, const char *name,
	     const uint8_t secret[TUNNEL_SECRET_BYTES]);
void end_remove(struct waypoint *w, uint32_t id);
void end_moved(struct waypoint *w, uint32_t id, const struct tunnel_place *place);
void end_tick(struct waypoint *w);
bool end_is_up(const struct waypoint *w, uint32_t id);

/* ---- events.c, sweep.c, state.c, status.c */
int events_start(struct waypoint *w);
void events_free(struct waypoint *w);
void events_take(struct waypoint *w);
void events_keep_hops(struct waypoint *w);
int sweep_start(struct waypoint *w);
void sweep_free(struct waypoint *w);
int state_open(struct waypoint *w, char *error);
void state_restore(struct waypoint *w);
void state_save_later(struct waypoint *w);
void state_save(struct waypoint *w);
void state_close(struct waypoint *w);
int status_listen(struct waypoint *w, char *error);
void status_close(struct waypoint *w);
int status_command(const struct settings *settings);
int waypoint_run(const struct settings *settings);

#endif
