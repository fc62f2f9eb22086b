/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of isthmus-dns; one thread, one event loop. */
#ifndef ISTHMUS_DNS_DNS_H
#define ISTHMUS_DNS_DNS_H

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/queue.h>

#include "answer.h"
#include "bind.h"
#include "give.h"
#include "hold.h"
#include "member.h"
#include "settings.h"
#include "store.h"

#define LISTENERS_MAX (2 * CONF_LIST_MAX) /* an address without host is one of each family */
#define ERROR_LEN     512

struct evbuffer;
struct msg_conn;
struct tcp_connection;
struct udp_batch;
struct udp_late;

struct listener {
	struct dns *dns;
	int udp, tcp;
	struct event *udp_event, *tcp_event;
};

struct dns {
	struct event_base *base;
	struct settings settings;
	struct zones zones;
	struct answer_server server;
	struct store *store;
	struct msg_listener *control;
	struct metrics *metrics;
	struct event *tick;
	struct udp_batch *batch;
	struct udp_late *late;
	struct members *members;   /* NULL: not served */
	struct bindings *bindings; /* of held questions; as members */
	struct gives *gives;
	struct listener listeners[LISTENERS_MAX];
	unsigned int listener_count;
	TAILQ_HEAD(, tcp_connection) connections;
	unsigned int connection_count;
	unsigned int record_count, unserved; /* dynamic records; those in none of our zones */
	uint64_t tcp_refused, tcp_timeouts, tcp_malformed, udp_errors, published, withdrawn,
		expired;
	int64_t started, secret_at;
	int argc; /* for SIGHUP */
	char **argv;
};

/* ---- time: seconds since 1970, and ms that never go back */
int64_t dns_now(void);
uint64_t dns_now_ms(void);

/* ---- sockets: udp.c, tcp.c, listen.c */
int listen_on(struct dns *dns, const char *where, char *error);
void listen_close(struct dns *dns);
struct udp_batch *udp_batch_new(void);
void udp_ready(evutil_socket_t fd, short what, void *listener);
void tcp_ready(evutil_socket_t fd, short what, void *listener);
void tcp_close_all(struct dns *dns);

/* ---- answers of questions that were held: bind_send.c, tcp.c */
void udp_reply(struct dns *dns, const struct hold_client *client, const uint8_t *bytes, size_t len);
void udp_flush(struct dns *dns);
void tcp_reply(struct tcp_connection *connection, const uint8_t *bytes, size_t len); /* 0: none */
void bind_send(struct waypoint *waypoint);

/* ---- dynamic.c: what is published, in the store and in what is answered */
int dynamic_load(struct dns *dns, char *error); /* into zones that were just read */
int dynamic_publish(struct dns *dns, const struct record *record);
/* How many records of that kind there were, or a negative errno. */
int dynamic_withdraw(struct dns *dns, const struct store_match *match);
void dynamic_expire(struct dns *dns);

/* ---- secret.c: the key of cookies */
int secret_load(struct dns *dns, char *error);
void secret_tick(struct dns *dns);

/* ---- key_control.c: key-add, key-show, key-del */
void key_message(struct dns *dns, struct msg_conn *conn, const char *op, json_t *message);

/* ---- control.c, stats.c, command.c, run.c */
int control_listen(struct dns *dns, char *error);
void control_close(struct dns *dns);
bool control_is_root(struct msg_conn *conn); /* key_control.c: more than who may publish */
json_t *stats_json(struct dns *dns);
void stats_collect(struct evbuffer *out, void *dns);
void stats_text(json_t *status);
int command_run(const char *command, int argc, char **argv, const struct settings *settings);
int dns_read_zones(const struct settings *settings, struct zones *zones, char *error);
int dns_run(int argc, char **argv, struct settings *settings);

#endif
