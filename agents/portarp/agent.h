/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-portarp: who has which ports of a shared address (PE-ARP paper, RFC 7597), for the roles
 * gateway, bridge and host of the portarp datapath.
 *
 *   main.c      start-up in one order: settings, pins, sockets, fewer privileges, loop
 *   table.c     addresses and grants, and the maps that say the same; owner.c, maps.c
 *   events.c    the datapath's events, by kind:
 *   hold.c        packets that wait for their owner, until it has answered
 *   frag.c        later fragments that wait for their first
 *   claim.c       which PE-ARP answers are believed
 *   age.c       old owners are asked again; expiry of grants and of what the datapath has learned
 *   use.c       how many ports of each set are used
 *   host.c      a host's own ports: addresses, routes, rules, sysctls; rt.c, sysctl.c
 *   lan.c       neighbour entries and host routes of shared addresses; devices that change
 *   op.c        the operations of the control socket; control.c, cli.c, status.c
 *   state.c     what the maps do not say, in SQLite; restore.c
 */
#ifndef ISTHMUS_AGENTS_PORTARP_AGENT_H
#define ISTHMUS_AGENTS_PORTARP_AGENT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../lib/conf.h"
#include "arp.h"
#include "frame.h"
#include "table.h"

#define NS_PER_MS 1000000ULL
#define MS_PER_S  1000ULL

#define HOLD_MS	       1000 /* a packet waits so long */
#define HOLD_ASK_MS    250  /* and its owner is asked so often */
#define HOLD_LOST_MS   50   /* what was counted but has not come by then will not come */
#define HOLD_BYTES_MAX (64u << 20)

/* A second's share of what strangers can cause: questions to everyone on a LAN, and lines of the
 * log of assignments. */
#define ASKS_A_SECOND	1000
#define CLAIMS_A_SECOND 1000

struct budget {
	uint64_t filled_ms;
	unsigned int left;
};

struct settings {
	char *instance, *user, *control, *metrics, *log, *log_level, *state, *assignments;
	char *commands;
	unsigned int age_s, use_s, alarm;
	bool json;
};

/* Counted for status and metrics. X(name, text). */
#define AGENT_COUNTERS(X)                                                                          \
	X(HELD, "held", "packets that have waited for their owner")                                \
	X(SENT, "sent", "of these, sent to it")                                                    \
	X(UNANSWERED, "unanswered", "dropped: the owner did not answer in time")                   \
	X(DROPPED, "dropped", "dropped: the owner has gone, or no memory is left for packets")     \
	X(LOST, "lost", "counted as waiting but never seen here")                                  \
	X(ASKED, "asked", "PE-ARP questions")                                                      \
	X(ASK_LIMITED, "ask_limited", "questions to everyone that were not sent: too many")        \
	X(ANSWERS, "answers", "PE-ARP answers and announcements that were believed")               \
	X(REFUSED_LEASE, "refused_lease", "claims that contradict a lease")                        \
	X(REFUSED_UNGIVEN, "refused_ungiven", "claims of ports that nobody was given")             \
	X(REFUSED_TAKEN, "refused_taken", "claims of ports whose owner still answers")             \
	X(REFUSED_FULL, "refused_full", "claims for which there was no room")                      \
	X(MALFORMED, "malformed", "PE-ARP frames that contradict themselves")                      \
	X(STALE, "stale", "owners that have not answered when asked for age")                      \
	X(FRAGMENTS, "fragments", "later fragments held")                                          \
	X(FRAGMENTS_SENT, "fragments_sent", "of these, sent after their first one")                \
	X(FRAGMENTS_DROPPED, "fragments_dropped", "of these, dropped: the first one never came")   \
	X(SEND_FAILED, "send_failed", "frames that a device did not take")                         \
	X(GIVEN, "given", "sets and ranges given")                                                 \
	X(TAKEN, "taken", "sets and ranges released or taken by another")                          \
	X(EXPIRED, "expired", "leases over")

enum agent_counter {
#define AGENT_COUNTER_ENUM(name, text, help) COUNT_##name,
	AGENT_COUNTERS(AGENT_COUNTER_ENUM)
#undef AGENT_COUNTER_ENUM
		AGENT_COUNTER_COUNT,
};

struct held;
struct waiting;
struct fragments;
struct contest;
struct own;
struct state;
struct lan;
struct control;
struct use;

TAILQ_HEAD(waitings, waiting);
TAILQ_HEAD(fragment_list, fragments);
TAILQ_HEAD(contest_list, contest);
TAILQ_HEAD(own_list, own);

struct agent {
	struct event_base *base;
	struct settings settings;
	struct maps maps;
	struct table table;
	enum portarp_role role;

	/* The way out and the clock; tests put theirs here. */
	int (*send)(struct agent *agent, uint32_t ifindex, const void *frame, size_t len);
	uint64_t (*clock_ms)(void);
	int64_t (*clock_s)(void); /* CLOCK_REALTIME */
	int packet_fd, lock_fd;

	struct ring_buffer *ring;
	struct event *ring_readable, *tick, *slow;
	bool ticking;

	struct waitings waitings;
	size_t held_bytes;
	unsigned int held_packets;
	struct fragment_list fragments;
	unsigned int fragment_count;
	struct contest_list contests;
	unsigned int contest_count;
	uint32_t age_next; /* place that is looked at next */

	struct own_list own;
	struct lan *lan;
	struct state *state;
	struct control *control;
	struct use *use;
	FILE *assignments;

	struct budget asks, claims;
	uint64_t counter[AGENT_COUNTER_COUNT];
	uint64_t started_ms, warned_ms;
	bool restoring;
};

const char *agent_counter_name(enum agent_counter counter);
const char *agent_counter_help(enum agent_counter counter);

/* ---- settings.c */
extern const struct conf_option settings_table[];
extern const size_t settings_count;
void settings_default(struct settings *settings);
void settings_free(struct settings *settings);
/* Returns the index of the first word that is no option, or -EINVAL with a message. */
int settings_read(int argc, char **argv, struct settings *settings, char *error, size_t error_len);
const char *settings_control_path(const struct settings *settings, char *path, size_t len);
const char *settings_state_path(const struct settings *settings, char *path, size_t len);

/* ---- agent.c */
/* Tables and lists of a new agent, whose maps are open. */
int agent_init(struct agent *agent);
void agent_free(struct agent *agent);
/* Makes agent_tick() be called every 50 ms until nothing waits. */
void agent_arm(struct agent *agent);
void agent_tick(struct agent *agent); /* holds, fragments, contests */
void agent_slow(struct agent *agent); /* every second: age, expiry, use */
/* At most one such line a second: what a stranger can cause must not fill a log. */
bool agent_may_warn(struct agent *agent);
/* Takes one of at most `each_second`; false: none is left. */
bool agent_take(struct agent *agent, struct budget *budget, unsigned int each_second);
/* One line of RFC 7422's kind: what has happened to a grant. */
void agent_assignment(struct agent *agent, const struct grant *grant, const char *what);
/* A PE-ARP question about `port`: to everyone, or to `mac`. */
void agent_ask(struct agent *agent, const struct shared *shared, uint16_t port, const uint8_t *mac);
const struct portarp_link *agent_link(const struct agent *agent, uint32_t ifindex);

/* ---- events.c */
int events_start(struct agent *agent, char *error, size_t error_len);
void events_free(struct agent *agent);
void events_take(struct agent *agent, const void *data, size_t len);

/* ---- hold.c */
void hold_packet(struct agent *agent, const struct portarp_event *event, const uint8_t *frame,
		 size_t len);
/* Not counted in the owner's word: a later fragment whose owner is not known yet. */
void hold_fragment(struct agent *agent, uint32_t owner, uint32_t ifindex, bool own,
		   const uint8_t *frame, size_t len);
/* The owner has this MAC: what waits is sent, then it is KNOWN. */
void hold_answer(struct agent *agent, uint32_t owner, const uint8_t mac[6], uint16_t flags);
/* The owner has gone: what waits is dropped. */
void hold_drop(struct agent *agent, uint32_t owner);
/* Packets of `from` whose port is in [low, high] wait for `to` from now on, in order. */
void hold_transfer(struct agent *agent, uint32_t from, uint32_t to, uint16_t low, uint16_t high);
/* What the word counts as waiting may be nobody's any more. */
void hold_watch(struct agent *agent, uint32_t owner);
bool hold_tick(struct agent *agent); /* does anything wait? */
void hold_free(struct agent *agent);
/* Now, to a known owner. */
void hold_send(struct agent *agent, const struct shared *shared, const uint8_t mac[6], bool own,
	       uint8_t *frame, size_t len);

/* ---- frag.c */
void frag_hold(struct agent *agent, const struct portarp_event *event, const uint8_t *frame,
	       size_t len);
void frag_known(struct agent *agent, const struct portarp_event *event);
bool frag_tick(struct agent *agent);
void frag_free(struct agent *agent);

/* ---- claim.c */
void claim_take(struct agent *agent, const struct arp_message *message);
bool claim_tick(struct agent *agent);
void claim_free(struct agent *agent);
/* Given by an operator or a DHCP server; replaces what the MAC claimed. table_give()'s errors. */
int claim_lease(struct agent *agent, struct shared *shared, const struct ports *ports,
		const uint8_t mac[6], int64_t ends_s, struct grant **given);
void claim_release(struct agent *agent, struct grant *grant, const char *what);

/* ---- age.c */
void age_confirm(struct agent *agent, uint32_t owner);
void age_event(struct agent *agent, const struct portarp_event *event); /* PORTARP_EVENT_ASK */
void age_slow(struct agent *agent);

/* ---- use.c */
int use_start(struct agent *agent);
void use_free(struct agent *agent);
void use_switch(struct agent *agent); /* the other half of portarp_use; counts what was in it */

/* ---- lan.c */
int lan_start(struct agent *agent, char *error, size_t error_len);
void lan_free(struct agent *agent);
/* The neighbour entry and route of a shared address; role gateway. */
void lan_add(struct agent *agent, struct shared *shared);
void lan_remove(struct agent *agent, struct shared *shared);

/* ---- op.c */
struct op_result {
	json_t *body;	  /* NULL: nothing beside ok */
	const char *code; /* NULL: done */
	char text[256];
};

void op_run(struct agent *agent, const json_t *request, struct op_result *result);
/* The lines of settings.commands. */
int op_run_file(struct agent *agent, const char *path, char *error, size_t error_len);

#endif
