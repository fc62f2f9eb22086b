/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-translator (IST, thesis chapters 3 to 5): opens rendezvous for the broker, learns by
 * probes from where each side comes, and reports what became of the sessions. Packets are moved by
 * an engine: the splice datapath in the kernel, or a relay in this process.
 *
 *   main.c       start-up in one order: settings, pins, sockets, fewer privileges, loop
 *   control.c    the connection to the broker; login.c, request.c
 *   rendezvous.c the table of sessions and what may happen to one
 *   ports.c      local endpoints
 *   probe.c      the probe servers
 *   kernel.c     the kernel engine; attached.c, events.c, sweep.c, decide.c, restore.c, hops.c
 *   relay.c      the relay engine; relay_tcp.c, relay_udp.c
 *   status.c     status command, status socket, metrics
 *
 *            open              both probes, SYNs            both FINs             2 MSL
 *   (none) --------> WAITING -------------------> JOINED ------------> FINISHED --------> (gone)
 *                       |  lifetime over, close           |  close, RST, idle
 *                       +---------------------------------+-------------------------> (ended)
 */
#ifndef ISTHMUS_TRANSLATOR_H
#define ISTHMUS_TRANSLATOR_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../lib/conf.h"
#include "../lib/probe.h"
#include "../../maps/splice.h"
#include "ports.h"

#define NS_PER_S	  1000000000ULL
#define LIFETIME_MAX_S	  3600
#define SESSIONS_DEFAULT  65536
#define SESSIONS_MAX	  4000000
#define PROBE_PORT	  3479
#define LOGIN_NAME_LEN	  33
#define FINGERPRINT_CHARS 65

struct evbuffer;
struct translator;

struct settings {
	char *broker, *login_file, *ports, *instance, *engine, *user, *metrics, *log, *log_level;
	char *control;
	struct conf_list address;
	unsigned int probe_port_udp, probe_port_tcp, sessions;
	bool json;
};

enum session_state {
	SESSION_WAITING,
	SESSION_JOINED,
	SESSION_FINISHED, /* its end was told; in TIME-WAIT its endpoints are not given out */
};

/* Why a session ended, as the broker and the metrics are told. X(name, text). */
#define END_REASONS(X)                                                                             \
	X(DONE, "done")		  /* both sides have sent FIN */                                   \
	X(RESET, "reset")	  /* a RST that nothing disproved */                               \
	X(HALF_OPEN, "half-open") /* a side never answered its SYNACK */                           \
	X(IDLE, "idle")                                                                            \
	X(EXPIRED, "expired")	/* not joined within its lifetime */                               \
	X(CLOSED, "closed")	/* the broker closed it */                                         \
	X(STOPPED, "stopped")	/* the relay's process ended */                                    \
	X(VANISHED, "vanished") /* its legs were freed by someone else */

enum end_why {
#define END_ENUM(name, text) END_##name,
	END_REASONS(END_ENUM)
#undef END_ENUM
		END_COUNT,
};

/* By side: [0] up, from the subscriber; [1] down, from the provider. */
struct traffic {
	uint64_t packets[2], bytes[2];
};

struct side {
	struct isthmus_addr local, remote;
	uint16_t port; /* host order; 0 = not chosen yet (pure) */
	bool probed, has_token;
	uint8_t token[PROBE_TOKEN_BYTES];
};

struct session {
	struct session *next; /* in its hash bucket */
	struct translator *translator;
	uint64_t id, expires_ns, joined_ns;
	struct side side[2]; /* 0 subscriber, 1 provider */
	struct event *timer; /* only while waiting */
	void *relay;	     /* struct relay_session */
	uint64_t refused;    /* reasons told to the broker already, by bit */
	TAILQ_ENTRY(session) finished;
	uint8_t proto, family, state;
	bool pure, syn_told;
};

/* What the broker asks for (docs/protocol.md, `open`). */
struct open_request {
	uint64_t id;
	uint8_t proto, family; /* IPPROTO_, 4 or 6 */
	bool pure;
	unsigned int lifetime_s;
	uint16_t source_port; /* pure: what source_side will use */
	int source_side;
};

/* An engine moves the packets. Errors are negative errnos; -ENOSPC: its tables are full. */
struct engine {
	const char *name;
	bool pure; /* can leave ports as they are */
	int (*open)(struct translator *t, struct session *s);
	int (*admit)(struct translator *t, struct session *s, int side);    /* side was probed */
	int (*retarget)(struct translator *t, struct session *s, int side); /* its port is known */
	/* Called when the lifetime ends and, for pure, each 500 ms: events may have been lost. */
	void (*check)(struct translator *t, struct session *s);
	void (*close)(struct translator *t, struct session *s, enum end_why why,
		      struct traffic *traffic);
	/* Withdraws the announcement; what is on its way still passes. */
	void (*finish)(struct translator *t, struct session *s, struct traffic *traffic);
	unsigned int (*free_sessions)(const struct translator *t);
	void (*metrics)(const struct translator *t, struct evbuffer *out);
	void (*stop)(struct translator *t);
};

/* Who is told of sessions: control.c, or a test. */
struct notify {
	void (*joined)(struct translator *t, const struct session *s);
	void (*ended)(struct translator *t, const struct session *s, enum end_why why,
		      const struct traffic *traffic);
	void (*refused)(struct translator *t, const struct session *s, const char *reason);
	void (*side_syn)(struct translator *t, const struct session *s, int side, uint16_t port);
};

struct counters {
	uint64_t opened, joined, open_refused;
	uint64_t ended[END_COUNT];
	uint64_t refused[SPLICE_REASON_COUNT];
	struct traffic traffic; /* of ended sessions */
	uint64_t probes[4];	/* by enum probe_status */
	uint64_t probes_limited, probes_malformed;
	uint64_t orphans, reclaimed, epochs, neighbours_used, notices_lost;
};

struct table {
	struct session **bucket;
	size_t buckets; /* a power of two */
	uint64_t seed;
	unsigned int sessions, joined, limit;
	unsigned int finished_count;	/* these do not count against the limit */
	TAILQ_HEAD(, session) finished; /* oldest first: their endpoints are needed first */
};

struct translator {
	struct event_base *base;
	struct settings settings;
	struct locals locals;
	struct table table;
	const struct engine *engine;
	char engine_why[320];
	struct kernel *kernel;
	struct relay *relay;
	const struct notify *notify;
	struct control *control;
	struct probe_server *probe;
	struct counters counters;
	uint64_t started_ns;
};

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

/* rendezvous.c */
int table_init(struct translator *t, unsigned int limit);
void table_free(struct translator *t);
struct session *table_find(const struct table *table, uint64_t id);
/* A session that the maps hold already; its side[] is filled by the caller. NULL: no memory. */
struct session *table_restore(struct translator *t, uint64_t id, uint64_t expires_ns);
/* A joined session whose end was told: it only keeps its endpoints for TIME-WAIT. */
void table_finished(struct translator *t, struct session *s);
void table_each(struct translator *t, void (*visit)(struct session *s, void *arg), void *arg);
unsigned int rendezvous_free(const struct translator *t);
/* 0; -EEXIST; -ENOSPC: no room or no port; -EAFNOSUPPORT: no address of the family. */
int rendezvous_open(struct translator *t, const struct open_request *request, struct session **out);
/* 0: as asked; -EEXIST: another port was chosen, see s->side[side].port; else nothing was done. */
int rendezvous_pure_open(struct translator *t, struct session *s, int side, uint16_t port);
enum probe_status rendezvous_probe(struct translator *t, const struct probe_question *question,
				   const struct isthmus_addr *seen);
void rendezvous_syn(struct translator *t, struct session *s, int side, uint16_t port);
void rendezvous_joined(struct translator *t, struct session *s);
void rendezvous_refused(struct translator *t, struct session *s, enum splice_reason reason);
void rendezvous_end(struct translator *t, struct session *s, enum end_why why); /* frees s */
void rendezvous_finish(struct translator *t, struct session *s);
void rendezvous_arm(struct session *s); /* (re)starts the timer of a waiting session */
const char *end_text(enum end_why why);
const char *reason_text(enum splice_reason reason); /* "wrong-source" */

/* control.c */
int control_start(struct translator *t, char *error, size_t error_len);
void control_reload(struct translator *t);
void control_free(struct translator *t);
bool control_connected(const struct translator *t);
/* login.c: "isthmus1:NAME:TOKEN:FINGERPRINT", 0 or -EINVAL. */
int login_parse(const char *line, char name[LOGIN_NAME_LEN], char *token, size_t token_len,
		char fingerprint[FINGERPRINT_CHARS]);

/* probe.c */
int probe_start(struct translator *t, char *error, size_t error_len);
void probe_free(struct translator *t);

/* kernel.c and relay.c: 0, or a negative errno with the reason in error. */
int kernel_start(struct translator *t, char *error, size_t error_len);
int relay_start(struct translator *t, char *error, size_t error_len);

/* status.c */
int status_listen(struct translator *t, char *error, size_t error_len);
void status_unlisten(void);
void status_metrics(struct evbuffer *out, void *arg);
int status_command(const char *path, bool json);

/* settings.c */
extern const struct conf_option settings_table[];
extern const size_t settings_count;
void settings_default(struct settings *settings);
int settings_read(int argc, char **argv, struct settings *settings, char *error, size_t error_len);
void settings_free(struct settings *settings);
int settings_ports(const char *text, struct splice_range *range); /* "LOW-HIGH": 0 or -EINVAL */
const char *settings_control_path(const struct settings *settings, char *path, size_t len);

#endif
