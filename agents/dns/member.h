/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waypoints, gateways (AVES 3.3, 5) and agents of one-time addresses (Unified Multiplex II.A) as
 * members of this server (docs/protocol.md).
 *
 *   member_db.c	who may log in, and what gateways told last (SQLite)
 *   member.c		connections, logins
 *   member_command.c	who may log in, as the operator says
 *   member_names.c	names of members' in our zones
 *   gateway.c		gateways: their hosts' names in our zones
 *   waypoint.c		waypoints: addresses, and which tunnels are up
 *   onetime.c		agents of one-time addresses: their services' names in our zones
 *   choose.c		which waypoint addresses are asked for a binding, in which order
 *   bind.c		questions that are set aside, SETUP and its answers
 *   give.c		the same, an agent's address for each
 */
#ifndef ISTHMUS_DNS_MEMBER_H
#define ISTHMUS_DNS_MEMBER_H

#include <jansson.h>
#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"
#include "../lib/msg.h"
#include "../lib/setup.h"
#include "../lib/prefix.h"
#include "wire.h"

#define MEMBER_NAME_MAX	   256 /* a domain name as text, or a word; and NUL */
#define MEMBER_HASH	   32
#define GATEWAYS	   (SETUP_GATEWAY_MAX + 1)
#define GATEWAY_HOSTS_MAX  4096
#define BEHIND_MAX	   64
#define WAYPOINTS_MAX	   64
#define WAYPOINT_ADDRESSES 1024
#define WAYPOINT_NEAR	   16
#define WAYPOINT_TUNNELS   2 /* one of each family */
#define ADDRESS_WAITS	   8
#define MEMBER_TOKEN_S	   (7 * 24 * 3600)
#define ONETIMES_MAX	   64
#define ONETIME_SERVICES   1024
#define ONETIME_TEXT	   64 /* a service's name as it is told, and NUL */

struct assigned;
struct dns;
struct event;
struct member_conn;
struct member_db;

enum member_kind { MEMBER_GATEWAY = 1, MEMBER_WAYPOINT, MEMBER_ONETIME };

/* ---- member_db.c */

struct member_row {
	uint32_t id; /* never another's; a gateway's is its number in tunnels */
	enum member_kind kind;
	char name[MEMBER_NAME_MAX];
	bool enrolled;
	int64_t token_expires;
	uint8_t token[MEMBER_HASH], secret[MEMBER_HASH]; /* SHA-256 */
	char *hosts;					 /* JSON, or NULL; member_row_free() */
};

struct member_db *member_db_open(const char *path, char *error, size_t error_len);
void member_db_close(struct member_db *db);
void member_row_free(struct member_row *row);
/* 0, -ENOENT or -EIO. */
int member_db_find(struct member_db *db, enum member_kind kind, const char *name,
		   struct member_row *row);
/* A new one, or a new token for one that is there. -ENOSPC: there are too many. */
int member_db_add(struct member_db *db, enum member_kind kind, const char *name,
		  const uint8_t token[MEMBER_HASH], int64_t token_expires);
int member_db_enrol(struct member_db *db, uint32_t id, const uint8_t secret[MEMBER_HASH]);
int member_db_set_hosts(struct member_db *db, uint32_t id, const char *hosts);
int member_db_delete(struct member_db *db, enum member_kind kind, const char *name);
int member_db_each(struct member_db *db, void (*each)(const struct member_row *row, void *arg),
		   void *arg);
/* A key of this server that stays, made when it is first asked for. */
int member_db_key(struct member_db *db, uint8_t key[32]);

/* ---- gateways */

struct gateway_host {
	bool taken, served;	     /* served: its name is in one of the zones as they are now */
	uint8_t name[WIRE_NAME_MAX]; /* absolute, lower case */
};

struct gateway {
	uint32_t id;
	char name[MEMBER_NAME_MAX];
	struct member_conn *conn; /* NULL: not connected; its tunnels may be up all the same */
	unsigned int host_count, behind_count;
	__be32 behind[BEHIND_MAX];
	json_t *list; /* of hosts, of which more messages are to come; or NULL */
	struct gateway_host host[GATEWAY_HOSTS_MAX];
};

/* ---- waypoints */

/* A wait that was accepted, for as long as it lasts. */
struct busy {
	uint64_t until_ms;
	__be32 prefix, mask;
	uint32_t gateway, host;
};

struct waypoint_address {
	__be32 address;
	struct busy busy[ADDRESS_WAITS];
};

#define SETUP_BATCH 64

struct waypoint {
	char name[MEMBER_NAME_MAX];
	char tunnel[WAYPOINT_TUNNELS][64]; /* ADDRESS:PORT */
	unsigned int tunnel_count;
	struct member_conn *conn;
	struct dns *dns;
	struct setup_key *key;
	int fd; /* connected to where SETUPs go */
	struct setup_inbox *inbox;
	struct event *readable;
	unsigned int address_count, near_count;
	struct prefix near[WAYPOINT_NEAR], prefix6; /* prefix6.bits 0: none */
	bool full;
	uint64_t hash; /* of the name: an order among waypoints */
	uint8_t up[GATEWAYS / 8];
	unsigned int queued;
	uint8_t queue[SETUP_BATCH][SETUP_BYTES];
	struct waypoint_address address[WAYPOINT_ADDRESSES];
};

/* ---- agents of one-time addresses */

struct onetime_service {
	bool taken, served;
	uint8_t families; /* ZONE_ONETIME_ */
	char text[ONETIME_TEXT];
	uint8_t name[WIRE_NAME_MAX]; /* absolute, lower case */
};

struct onetime {
	uint32_t number, id; /* here, and of its row */
	char name[MEMBER_NAME_MAX];
	struct member_conn *conn; /* NULL: not connected; its names stay */
	unsigned int service_count, held;
	json_t *list; /* as of gateways */
	struct onetime_service service[ONETIME_SERVICES];
};

/* A connection, before and after its login. */
struct member_conn {
	struct dns *dns;
	struct msg_conn *conn;
	enum member_kind kind; /* 0: not logged in */
	struct gateway *gateway;
	struct waypoint *waypoint;
	struct onetime *onetime;
	struct event *deadline;
	TAILQ_ENTRY(member_conn) link;
};

struct members {
	struct dns *dns;
	struct member_db *db;
	struct assigned *assigned;
	struct msg_listener *listener;
	char fingerprint[MSG_FINGERPRINT_LEN];
	uint8_t host6_key[32];
	struct gateway *gateway[GATEWAYS];
	struct waypoint *waypoint[WAYPOINTS_MAX];
	unsigned int waypoint_count;
	struct onetime *onetime[ONETIMES_MAX];
	TAILQ_HEAD(, member_conn) conns;
	uint64_t logins, refused;
};

/* ---- member.c */
int members_open(struct dns *dns, char *error);
void members_close(struct dns *dns);
/* Names of members', into zones that were just read. */
void members_serve(struct dns *dns);
const char *member_kind_text(enum member_kind kind);
int member_hash(const char *text, uint8_t hash[MEMBER_HASH]);
json_t *members_status(struct dns *dns);

/* ---- member_command.c: member-add, member-del, member-list of the control socket */
void members_command(struct dns *dns, struct msg_conn *conn, json_t *message, const char *op);

/* ---- member_names.c */
/* "web" of "home.example.net" is web.home.example.net; "@" is the member's own name. -EINVAL. */
int member_absolute_name(const char *member, const char *text, uint8_t name[WIRE_NAME_MAX]);
/* It is not served: the member's operator is told, too. conn: NULL, or its. */
void member_tell_refused(struct member_conn *conn, const char *member, const uint8_t *name);
/*
 * A long list comes in several messages: all but the last have "more". 1: it is there, *whole is
 * the caller's; 0: it goes on, what came is in *kept; -EINVAL: `key` is no array, or has too many.
 */
int member_take_page(json_t **kept, const json_t *message, const char *key, size_t most,
		     json_t **whole);

/* ---- gateway.c */
void gateway_load(struct dns *dns, const struct member_row *row);
/* NULL, or what is wrong with the message. */
const char *gateway_login(struct member_conn *member, const struct member_row *row,
			  const json_t *message);
const char *gateway_hosts(struct member_conn *member, const json_t *message);
void gateway_lost(struct member_conn *member);
void gateway_delete(struct dns *dns, const char *name);
void gateway_serve(struct dns *dns, struct gateway *gateway);
bool gateway_is_behind(const struct gateway *gateway, __be32 address);

/* ---- onetime.c */
void onetime_load(struct dns *dns, const struct member_row *row);
const char *onetime_login(struct member_conn *member, const struct member_row *row,
			  const json_t *message);
const char *onetime_services(struct member_conn *member, const json_t *message);
void onetime_lost(struct member_conn *member);
void onetime_delete(struct dns *dns, const char *name);
void onetime_serve(struct dns *dns, struct onetime *agent);

/* ---- waypoint.c */
const char *waypoint_login(struct member_conn *member, const char *name, const json_t *message,
			   json_t *answer);
void waypoint_message(struct member_conn *member, const char *op, const json_t *message);
void waypoint_lost(struct member_conn *member);
/* They are told of each other, with a secret that is new. */
void waypoint_pair(struct waypoint *waypoint, struct gateway *gateway);
void waypoint_unpair(struct waypoint *waypoint, const struct gateway *gateway);
bool waypoint_is_up(const struct waypoint *waypoint, uint32_t gateway);
/* A host's own address of prefix6 (W13), or false. */
bool waypoint_address6(const struct waypoint *waypoint, const struct gateway *gateway,
		       uint32_t host, struct isthmus_addr *address);
void waypoint_tell_hosts6(struct waypoint *waypoint, const struct gateway *gateway);
/* The host is no more. */
void waypoint_tell_gone6(struct waypoint *waypoint, const struct gateway *gateway, uint32_t host);

#endif
