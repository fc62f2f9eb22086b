/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-broker (ISB, thesis chapter 3): knows who is online with which services, and brings the
 * two ends of a session and a translator together (docs/protocol.md).
 *
 *   main.c        commands
 *   run.c         the daemon from start to end
 *   command.c     user and translator commands, on the database alone
 *   settings.c    options          db.c     SQLite          limit.c  rate limits
 *   client.c      connections: what may be said before and after a login
 *   login.c       enrol, login, translator: scrypt in the worker
 *   user.c        users online, their services, watchers
 *   negotiate.c   a session from `negotiate` to `splice`
 *   session.c     the table of sessions, and what is told of them afterwards
 *   translator.c  translators, and the choice among them
 *   child.c       a translator on the same host (feature B12)
 *   stats.c       metrics
 *
 * Nothing on the way from `negotiate` to `splice` waits: no scrypt, no SQL, no file.
 */
#ifndef ISTHMUS_BROKER_H
#define ISTHMUS_BROKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../lib/address.h"
#include "../lib/msg.h"
#include "../lib/work.h"
#include "db.h"
#include "limit.h"
#include "settings.h"

#define PROTOCOL_VERSION 1
#define LOGIN_TIMEOUT_S	 10
#define OFFER_TIMEOUT_MS 10000
#define OPEN_TIMEOUT_MS	 5000
#define USER_BUCKETS	 1024
#define SESSION_BUCKETS	 65536
#define TRANSLATORS_MAX	 64
#define TRIED_MAX	 8  /* translators that are asked for one session */
#define REQUEST_RATE	 50 /* publish, unpublish, list, watch, pure-port of one connection */
#define REQUEST_BURST	 200

#define FAMILY_4 0x1
#define FAMILY_6 0x2

/* What is counted since the start. X(field, name, labels, help); help NULL: as the one before. */
#define BROKER_COUNTERS(X)                                                                         \
	X(logins_ok, "logins_total", "result=\"ok\"", "Logins and enrolments by result")           \
	X(logins_failed, "logins_total", "result=\"failed\"", NULL)                                \
	X(logins_limited, "logins_total", "result=\"limited\"", NULL)                              \
	X(negotiated, "negotiations_total", "result=\"ok\"", "Negotiations by result")             \
	X(negotiate_bad, "negotiations_total", "result=\"bad-message\"", NULL)                     \
	X(negotiate_offline, "negotiations_total", "result=\"offline\"", NULL)                     \
	X(negotiate_not_found, "negotiations_total", "result=\"not-found\"", NULL)                 \
	X(negotiate_denied, "negotiations_total", "result=\"denied\"", NULL)                       \
	X(negotiate_limit, "negotiations_total", "result=\"limit\"", NULL)                         \
	X(negotiate_rate, "negotiations_total", "result=\"rate-limited\"", NULL)                   \
	X(negotiate_timeout, "negotiations_total", "result=\"timeout\"", NULL)                     \
	X(negotiate_translator, "negotiations_total", "result=\"no-translator\"", NULL)            \
	X(joined, "sessions_joined_total", NULL, "Sessions that a translator has joined")          \
	X(ended, "sessions_ended_total", NULL, "Sessions that have ended")                         \
	X(unknown, "sessions_unknown_total", NULL, "Reports of sessions made before this start")   \
	X(unauthenticated, "sessions_unauthenticated_total", NULL, "Failed proofs of peers")       \
	X(bytes_up, "bytes_total", "direction=\"up\"", "Bytes of ended sessions")                  \
	X(bytes_down, "bytes_total", "direction=\"down\"", NULL)                                   \
	X(packets_up, "packets_total", "direction=\"up\"", "Packets of ended sessions")            \
	X(packets_down, "packets_total", "direction=\"down\"", NULL)                               \
	X(accepted, "connections_total", NULL, "Connections accepted")

struct counters {
#define COUNTER_FIELD(field, name, labels, help) uint64_t field;
	BROKER_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

struct broker;
struct child;
struct client;
struct login;

struct service {
	LIST_ENTRY(service) link;
	struct client *client; /* who published it last */
	char name[NAME_LEN], text[SERVICE_TEXT_LEN];
	bool udp, pure;
};

/* A user with a connection or a session; freed with the last of them. */
struct user {
	LIST_ENTRY(user) link;
	int64_t id;
	char name[NAME_LEN];
	struct bucket negotiations;
	unsigned int devices, sessions;
	LIST_HEAD(, client) clients;
	LIST_HEAD(, service) services;
	LIST_HEAD(, session) sessions_as[2]; /* 0 = subscriber, 1 = provider */
};

/* Kept while its sessions live, also when it is not connected. */
struct translator {
	LIST_ENTRY(translator) link;
	int64_t id;
	char name[NAME_LEN];
	struct client *client; /* NULL: not connected */
	unsigned int families; /* FAMILY_ */
	bool relay;
	int64_t free, load; /* sessions, as told and counted on from there */
	uint64_t gone_ms;   /* when it disconnected */
	unsigned int sessions;
};

enum client_role { CLIENT_NEW, CLIENT_PEER, CLIENT_TRANSLATOR };

struct client {
	TAILQ_ENTRY(client) link;
	LIST_ENTRY(client) user_link;
	struct broker *broker;
	struct msg_conn *conn;
	enum client_role role;
	struct event *deadline; /* of the login */
	struct login *login;	/* in the worker */
	struct user *user;	/* CLIENT_PEER */
	struct translator *translator;
	struct bucket requests;
	bool watching;
};

/*
 *   OFFERED --ok--> OPENING --ok--> OPEN --joined--> JOINED --ended--> freed
 *      |               |              |  refused, too late
 *      +---------------+--------------+-------------------------------> freed
 */
enum session_state { SESSION_OFFERED, SESSION_OPENING, SESSION_OPEN, SESSION_JOINED };

struct session {
	LIST_ENTRY(session) link, user_link[2];
	struct broker *broker;
	uint64_t id, changed_ms; /* when the state was reached */
	enum session_state state;
	struct user *user[2];	  /* 0 = subscriber, 1 = provider */
	struct client *client[2]; /* NULL: gone */
	struct translator *translator;
	json_t *request; /* the subscriber's, until it is answered */
	char service[NAME_LEN];
	bool udp, pure;
	unsigned int families;	  /* of both peers */
	unsigned int source_port; /* of the provider, pure; 0 = none */
	uint8_t secret[AUTH_SECRET_BYTES];
	int64_t tried[TRIED_MAX]; /* ids of translators that would not open it */
	unsigned int tried_count;
};

struct broker {
	struct event_base *base;
	struct settings settings;
	struct db *db;
	int64_t db_version;
	struct work *work;
	struct msg_listener *listeners[CONF_LIST_MAX];
	unsigned int listener_count;
	struct event *tick;	      /* each second */
	TAILQ_HEAD(, client) clients; /* oldest first */
	unsigned int ticks, client_count, new_count, peer_count, session_count, user_count;
	LIST_HEAD(user_list, user) users[USER_BUCKETS];
	LIST_HEAD(session_list, session) sessions[SESSION_BUCKETS];
	LIST_HEAD(, translator) translators;
	unsigned int translator_count;
	struct limit_table *by_address, *by_user;
	struct counters counters;
	struct child *child; /* NULL: no translator here */
	int argc;	     /* for SIGHUP */
	char **argv;
};

/* run.c, command.c */
int broker_run(int argc, char **argv, struct settings *settings);
int command_users(enum db_kind kind, int argc, char **argv, const struct settings *settings);
/* Makes the database's folder, the certificate and its key, for `user` if one is set. */
int command_prepare(const struct settings *settings, char *error, size_t error_len);

/* client.c */
void client_accepted(struct msg_conn *conn, void *broker);
void client_logged_in(struct client *client);
void client_free_all(struct broker *broker);

/* login.c */
void login_message(struct client *client, const char *op, json_t *message);
void login_forget(struct client *client); /* the client is gone; its job runs to its end */

/* user.c */
struct user *user_get(struct broker *broker, int64_t id, const char *name); /* makes it */
struct user *user_find(struct broker *broker, const char *name);
void user_release(struct broker *broker, struct user *user); /* frees it if nothing needs it */
void user_connected(struct client *client);
void user_disconnected(struct client *client);
struct service *user_service(const struct user *user, const char *name);
void user_message(struct client *client, const char *op, json_t *message);
void user_check_deleted(struct broker *broker); /* after another process has written */
unsigned int read_families(const json_t *message, const char *key);

/* negotiate.c */
void negotiate_message(struct client *client, json_t *message);

/* session.c */
struct session *session_new(struct client *subscriber, struct client *provider,
			    const struct service *service);
struct session *session_find(struct broker *broker, uint64_t id);
void session_set_state(struct session *session, enum session_state state);
void session_free(struct session *session);
void session_close_at_translator(struct session *session);
void session_tell_closed(struct session *session, int side, const char *why);
void session_from_peer(struct client *client, const char *op, json_t *message);
void session_from_translator(struct client *client, const char *op, json_t *message);
void session_client_gone(struct client *client);
void session_sweep(struct broker *broker); /* frees those that are too late */
void session_free_all(struct broker *broker);

/* translator.c */
int translator_connected(struct client *client, int64_t id, const char *name,
			 const json_t *message);
void translator_disconnected(struct client *client);
void translator_message(struct client *client, const char *op, json_t *message);
/* The least loaded with room that has one of `families` and was not tried; *family is chosen. */
struct translator *translator_choose(const struct session *session, unsigned int *family);
void translator_give_back(struct broker *broker, struct translator *translator); /* one session */
void translator_check_deleted(struct broker *broker);

/* stats.c */
struct evbuffer;
void stats_collect(struct evbuffer *out, void *broker);

/* child.c */
/* Forks what will start and restart `program run --config file`; nothing starts before _go(). */
struct child *child_new(const char *file);
void child_go(struct child *child);
void child_reload(struct child *child); /* SIGHUP to the translator */
void child_free(struct child *child);	/* the translator is told to end, and waited for */

#endif
