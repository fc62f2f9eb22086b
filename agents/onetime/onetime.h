/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-onetime (Unified Multiplex paper, III.A, IV): gives out addresses of the pools that
 * `isthmus onetime` has made, each once, in the maps of the `onetime` datapath.
 *
 *   main.c      commands			settings.c  options
 *   run.c       the daemon from start to end
 *   maps.c      the pinned maps
 *   pool.c      pools, fresh addresses of them (counter.c, generate.c)
 *   process.c   sockets of running servers
 *   place.c     listeners: a server's socket in the sockmap
 *   give.c      addresses for listeners: das, AUTO_SET, give
 *   given.c     what was given out and not used yet, and to whom
 *   ea.c        addresses prepared for connects
 *   events.c    what the datapath tells
 *   sweep.c     the end of addresses and of listeners
 *   control.c   what commands ask for	command.c   the commands
 *   status.c    status command, metrics
 *   server.c    isthmus-dns, which asks for addresses (DNSO)
 *
 * With the agent dead, sessions and what was given out go on; nothing new is given out, and clients
 * have the addresses that are prepared.
 *
 * Who changes an entry of onetime_addr: BPF by compare-and-swap of its state, in place. An update
 * from here is none: the kernel puts a new entry in the old one's place, so a step that a program
 * makes just then is lost, and the old one's memory may be the next entry's. So the agent changes
 * none but RESERVED addresses of listeners (give.c tells why that is safe), and deletes only what
 * no program steps any more: what is over for ONETIME_GRACE_S, or whose listener has been gone for
 * as long.
 */
#ifndef ISTHMUS_ONETIME_ONETIME_H
#define ISTHMUS_ONETIME_ONETIME_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../maps/onetime.h"
#include "../lib/ask.h"
#include "../lib/map_sweep.h"
#include "../lib/member.h"
#include "../lib/prefix.h"
#include "counter.h"
#include "process.h"
#include "settings.h"

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL
#define ERROR_LEN 512
#define GRACE_NS  (ONETIME_GRACE_S * NS_PER_S)
#define TICK_MS	  100

enum onetime_map {
	MAP_CONF,
	MAP_POOL,
	MAP_ADDR,
	MAP_LISTENER,
	MAP_LISTEN,
	MAP_EA6,
	MAP_EA4,
	MAP_EVENT,
	MAP_COUNT,
};

/* X(field, name, help) */
#define ONETIME_COUNTERS(X)                                                                        \
	X(das, "das_total", "Addresses that das set")                                              \
	X(given, "given_total", "Addresses given to clients of listeners")                         \
	X(prepared, "prepared_total", "Addresses prepared for listeners (AUTO_SET)")               \
	X(eas, "eas_total", "Addresses prepared for connects")                                     \
	X(claimed, "claimed_total", "Addresses that their first packet took")                      \
	X(expired, "expired_total", "Addresses that nobody used in time")                          \
	X(ended, "ended_total", "Sessions whose address was taken away")                           \
	X(refused, "refused_total", "Commands refused because of a limit")                         \
	X(conflicts, "conflicts_total", "Other hosts that said an address was theirs")             \
	X(empty, "empty_total", "Connects that found no address prepared")                         \
	X(dns_given, "dns_given_total", "Addresses told to the name server")                       \
	X(dns_again, "dns_again_total", "Of these, unused ones that were told again")              \
	X(dns_refused, "dns_refused_total", "Questions of the name server without an address")     \
	X(dns_scarce, "dns_scarce_total", "Of these, of clients that had to prove their address")  \
	X(listeners, "listeners_total", "Listeners registered")                                    \
	X(listeners_ended, "listeners_ended_total", "Listeners whose process or socket ended")

struct onetime_counters {
#define COUNTER_FIELD(field, name, help) uint64_t field;
	ONETIME_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

struct pool {
	struct onetime_pool record;
	struct prefix prefix;
	struct counter_pool *counters; /* NULL: it cannot be used, which was told */
	bool told_full;
};

/* A listener: its place in onetime_listener and onetime_listen. */
struct place {
	struct onetime_listener record; /* as in the map */
	struct process process;
	struct event *ended;
	/* Its socket is out of the sockmap; its place is kept until nothing refers to it. */
	bool ending, swept, referred;
	uint64_t ending_ns;
	struct isthmus_addr *prepared; /* RESERVED: the last is given first */
	uint32_t prepared_count, prepared_size;
	uint32_t pending, many; /* given out, not used yet; ONETIME_MANY */
	uint64_t given;
};

struct ea_queue {
	int fd;
	uint8_t pool_flags;	   /* ONETIME_POOL_V4 or 0: of its pools */
	uint32_t size;		   /* entries of the map */
	struct isthmus_addr *ring; /* what is in the queue, as far as is known */
	uint32_t head, level;	   /* ring: oldest, and how many */
	unsigned int next_pool;
	bool told; /* that it cannot be filled */
};

struct given_table;

struct onetime {
	struct event_base *base;
	struct settings settings;
	struct onetime_conf conf;
	int map[MAP_COUNT];
	struct counters *counters;
	struct pool pool[ONETIME_POOLS];
	unsigned int pool_count;
	struct prefix numbered[ONETIME_POOLS + 1]; /* the pool that had this number last */
	struct place *place[ONETIME_LISTENERS];	   /* NULL: free */
	uint32_t place_next;			   /* so that a place is taken again late */
	struct given_table *given;
	struct ea_queue ea[2];
	struct ask_server control;
	struct metrics *metrics;
	struct member_credentials credentials; /* name[0] = 0: no name server */
	struct member *member;
	uint32_t told; /* listeners of the list that is being told */
	uint64_t told_hash;
	struct ring_buffer *ring;
	struct event *tick, *second, *sweep;
	struct map_sweep *sweep_addr;
	unsigned int sweep_rest; /* steps until the next pass */
	bool sweep_begun;
	uint32_t states[ONETIME_STATE_DEAD + 1], states_counted[ONETIME_STATE_DEAD + 1];
	struct onetime_counters counter;
	int lock_fd;
};

uint64_t onetime_now_ns(void); /* CLOCK_MONOTONIC, as the datapath's */

/* ---- maps.c */
int maps_open(struct onetime *o, char *error);
void maps_close(struct onetime *o);

/* ---- pool.c */
int pools_open(struct onetime *o, char *error);
void pools_close(struct onetime *o);
/* Again, for they may have changed. */
void pools_read(struct onetime *o);
/* NULL: none. Those whose addresses are local alone (ONETIME_POOL_READY). */
struct pool *pool_of(struct onetime *o, const struct isthmus_addr *address);
struct pool *pool_by_number(struct onetime *o, uint32_t number);
/* The one that listeners on a device get their addresses of. */
struct pool *pool_on(struct onetime *o, uint32_t ifindex, bool v4);
/* An address that was never given out, and its serial. -ENOSPC, -EAGAIN, -EIO; told to the log. */
int pool_fresh(struct onetime *o, struct pool *pool, struct isthmus_addr *address,
	       uint64_t *serial);

/* ---- place.c */
/* The listeners of before, after a restart. */
int places_restore(struct onetime *o);
void places_close(struct onetime *o);
struct place *place_by_cookie(struct onetime *o, uint64_t cookie);
/* By name or by pid; NULL and why. */
struct place *place_named(struct onetime *o, const char *word, struct ask_error *why);
uint32_t place_index(const struct onetime *o, const struct place *place);
/* Takes the process; s->fd stays the caller's. `record` has what the listener is to be, the rest is
 * filled in. NULL and why. */
struct place *place_new(struct onetime *o, struct process *process, const struct process_socket *s,
			const struct onetime_listener *record, struct ask_error *why);
int place_write(struct onetime *o, struct place *place);
/* Addresses that nobody has taken are dead from now on. */
void place_end(struct onetime *o, struct place *place);
/* Another pool has this number: listeners of the one before have none. */
void places_leave_pool(struct onetime *o, uint32_t number);
/* Nothing refers to it any more. */
void place_free(struct onetime *o, struct place *place);
/* Sockets that have closed while their process goes on. */
void places_check(struct onetime *o);
int place_keep(struct place *place, const struct isthmus_addr *address); /* as prepared */

/* ---- give.c */
struct give {
	struct prefix only; /* bits 0: everybody */
	/* Whose unused ones it is counted among, and how many these may be at most: 0 = any */
	struct prefix whose;
	uint32_t most;
	uint64_t ttl_s;
	const char *client; /* for the journal, "" = not known */
};

/* One of a listener's addresses for a client (also for DNSO). 0, or -1 and why. */
int give_address(struct onetime *o, struct place *place, const struct give *give,
		 struct isthmus_addr *address, struct ask_error *why);
/* das: this address of `pool`, for one session or for many. 0, or -1 and why. */
int give_this(struct onetime *o, struct place *place, struct pool *pool, const struct give *give,
	      bool many, uint8_t mode, const struct isthmus_addr *address, struct ask_error *why);
/* Is it in a pool, and neither in use nor ever given out? 0, or -1 and why. */
int give_check(struct onetime *o, uint32_t ifindex, const char *device,
	       const struct isthmus_addr *address, struct pool **pool, struct ask_error *why);
/* Prepares what listeners lack. */
void give_prepare(struct onetime *o);

/* ---- given.c: addresses given out, until their first packet or their end */
int given_open(struct onetime *o);
void given_close(struct onetime *o);
/* 0 or -ENOMEM. client: whose they are counted for, bits 0 = nobody's. */
int given_add(struct onetime *o, const struct isthmus_addr *address, uint32_t listener,
	      const struct prefix *client);
void given_remove(struct onetime *o, const struct isthmus_addr *address);
/* Pools have changed: their addresses went with those that are gone. */
void given_sort_out(struct onetime *o);
uint32_t given_count(const struct onetime *o);
/* The client's oldest of that listener, which is the youngest from now on; false: it has none. */
bool given_oldest(struct onetime *o, const struct prefix *client, uint32_t listener,
		  struct isthmus_addr *address);
uint32_t given_of_client(const struct onetime *o, const struct prefix *client);

/* ---- ea.c */
int ea_open(struct onetime *o);
void ea_close(struct onetime *o);
/* True: it is used fast, so it is to be filled again soon. */
bool ea_fill(struct onetime *o);
/* How many are left now (ea.level). */
void ea_look(struct onetime *o);
/* Pools have changed: those of pools that are gone are thrown away. */
void ea_sort_out(struct onetime *o);

/* ---- server.c */
/* As long as it may read them. 0 also without credentials: there is no name server then. */
int server_read(struct onetime *o, char *error);
int server_start(struct onetime *o);
void server_close(struct onetime *o);
/* Listeners may have changed. */
void server_tick(struct onetime *o);
json_t *server_json(const struct onetime *o);

/* ---- events.c, sweep.c, control.c, command.c, status.c, run.c */
int events_start(struct onetime *o);
void events_free(struct onetime *o);
void events_take(struct onetime *o);
/* The first pass at once, which also learns what was given out before; then little by little. */
int sweep_start(struct onetime *o);
void sweep_free(struct onetime *o);
json_t *control_command(const char *op, const json_t *message, struct ask_error *why, void *arg);
int command_ask(int argc, char **argv, const struct settings *settings);
json_t *status_json(void *arg);
const char *status_of(const struct place *place); /* LISTEN0, LISTEN (III.B) */
int status_listen(struct onetime *o, char *error);
void status_close(struct onetime *o);
int onetime_run(const struct settings *settings);

#endif
