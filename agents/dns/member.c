// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Connections of members. Secrets are 32 random bytes, so a plain hash of them is
 * all that is kept, and nobody needs to be slowed down for trying.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "assigned.h"
#include "dns.h"

#define CONNECTIONS_MAX (GATEWAYS + WAYPOINTS_MAX + ONETIMES_MAX)
#define LOGIN_S		10
#define STRANGERS_MAX	32 /* connections of one address that have not logged in */
#define KEEPALIVE_S	30
#define VERSION		1

const char *member_kind_text(enum member_kind kind)
{
	static const char *const text[] = { [MEMBER_GATEWAY] = "gateway",
					    [MEMBER_WAYPOINT] = "waypoint",
					    [MEMBER_ONETIME] = "onetime" };

	return text[kind];
}

int member_hash(const char *text, uint8_t hash[MEMBER_HASH])
{
	return EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}

static bool matches(const char *text, const uint8_t hash[MEMBER_HASH])
{
	uint8_t made[MEMBER_HASH];

	return !member_hash(text, made) && !CRYPTO_memcmp(made, hash, MEMBER_HASH);
}

/* ---- logins */

static void refuse(struct member_conn *member, json_t *message, const char *why)
{
	member->dns->members->refused++;
	log_warn("%s: login refused: %s", msg_conn_peer(member->conn), why);
	msg_reply_error(member->conn, message, "denied", "%s", why);
	msg_conn_close(member->conn, why);
}

/* Names of one kind are not known to another: the token tells which is meant. */
static bool find_by_token(struct members *members, const char *name, const char *token,
			  struct member_row *row)
{
	for (enum member_kind kind = MEMBER_GATEWAY; kind <= MEMBER_ONETIME; kind++) {
		if (member_db_find(members->db, kind, name, row))
			continue;
		if (row->token_expires && matches(token, row->token))
			return true;
		member_row_free(row);
	}
	return false;
}

static void enrol(struct member_conn *member, json_t *message, const char *name, const char *token)
{
	struct members *members = member->dns->members;
	char secret[AUTH_TOKEN_LEN];
	uint8_t hash[MEMBER_HASH];
	struct member_row row;
	bool known = find_by_token(members, name, token, &row);

	if (!known) {
		refuse(member, message, "wrong or used token");
	} else if (row.token_expires < dns_now()) {
		refuse(member, message, "the token has expired: ask for a new one");
	} else if (auth_new_token(secret) || member_hash(secret, hash) ||
		   member_db_enrol(members->db, row.id, hash)) {
		refuse(member, message, "the secret cannot be kept");
	} else {
		msg_reply(member->conn, message, json_pack("{s:s}", "secret", secret));
		log_info("%s has enrolled from %s", name, msg_conn_peer(member->conn));
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	if (known)
		member_row_free(&row);
}

static void welcome(struct member_conn *member, json_t *message, const struct member_row *row)
{
	json_t *answer = json_pack("{s:i}", "keepalive", KEEPALIVE_S);
	struct members *members = member->dns->members;
	const char *why;

	if (row->kind == MEMBER_GATEWAY)
		why = gateway_login(member, row, message);
	else if (row->kind == MEMBER_WAYPOINT)
		why = waypoint_login(member, row->name, message, answer);
	else
		why = onetime_login(member, row, message);
	if (why) {
		json_decref(answer);
		refuse(member, message, why);
		return;
	}
	member->kind = row->kind;
	event_del(member->deadline);
	msg_conn_keepalive(member->conn, KEEPALIVE_S);
	members->logins++;
	log_info("%s %s logged in from %s", member_kind_text(row->kind), row->name,
		 msg_conn_peer(member->conn));
	msg_reply(member->conn, message, answer);
	/* After the answer: what each must know of the others. */
	for (uint32_t id = 1; id < GATEWAYS && member->waypoint; id++)
		if (members->gateway[id])
			waypoint_pair(member->waypoint, members->gateway[id]);
	for (unsigned int i = 0; i < members->waypoint_count && member->gateway; i++)
		waypoint_pair(members->waypoint[i], member->gateway);
}

static void login(struct member_conn *member, json_t *message, enum member_kind kind)
{
	const char *name, *secret;
	struct member_row row;
	int64_t version;

	if (!msg_get_string(message, "name", &name) ||
	    !msg_get_string(message, "secret", &secret)) {
		refuse(member, message, "name and secret are needed");
		return;
	}
	if (!msg_get_integer(message, "version", VERSION, VERSION, &version)) {
		refuse(member, message, "version 1 is spoken here");
		return;
	}
	if (member_db_find(member->dns->members->db, kind, name, &row)) {
		refuse(member, message, "wrong name or secret");
		return;
	}
	if (row.enrolled && matches(secret, row.secret))
		welcome(member, message, &row);
	else
		refuse(member, message, "wrong name or secret");
	member_row_free(&row);
}

static void first_message(struct member_conn *member, json_t *message, const char *op)
{
	const char *name, *token;

	if (!strcmp(op, "gateway"))
		login(member, message, MEMBER_GATEWAY);
	else if (!strcmp(op, "waypoint"))
		login(member, message, MEMBER_WAYPOINT);
	else if (!strcmp(op, "onetime"))
		login(member, message, MEMBER_ONETIME);
	else if (!strcmp(op, "enrol") && msg_get_string(message, "name", &name) &&
		 msg_get_string(message, "token", &token))
		enrol(member, message, name, token);
	else
		refuse(member, message, "enrol, gateway, waypoint or onetime is expected");
}

/* The list of names, which a gateway or an agent has of its own. */
static void take_names(struct member_conn *member, json_t *message, const char *name,
		       const char *why)
{
	if (why) {
		log_warn("%s: %s", name, why);
		msg_reply_error(member->conn, message, "bad-message", "%s", why);
	} else {
		msg_reply(member->conn, message, NULL);
	}
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct member_conn *member = arg;
	const char *op = "";

	msg_get_string(message, "op", &op);
	if (!member->kind)
		first_message(member, message, op);
	else if (member->kind == MEMBER_WAYPOINT)
		waypoint_message(member, op, message);
	else if (member->gateway && !strcmp(op, "hosts"))
		take_names(member, message, member->gateway->name, gateway_hosts(member, message));
	else if (member->onetime && !strcmp(op, "given"))
		give_take(member->onetime, message);
	else if (member->onetime && !strcmp(op, "services"))
		take_names(member, message, member->onetime->name,
			   onetime_services(member, message));
	else
		msg_reply_error(conn, message, "unknown-op", "%s known here",
				member->kind == MEMBER_GATEWAY ? "hosts is"
							       : "services and given are");
}

/* NULL: it has not logged in, or another connection of the same member has. */
static const char *name_of(const struct member_conn *member)
{
	if (member->gateway)
		return member->gateway->name;
	if (member->waypoint)
		return member->waypoint->name;
	return member->onetime ? member->onetime->name : NULL;
}

static void member_end(struct member_conn *member)
{
	if (member->gateway)
		gateway_lost(member);
	if (member->waypoint)
		waypoint_lost(member);
	if (member->onetime)
		onetime_lost(member);
	TAILQ_REMOVE(&member->dns->members->conns, member, link);
	event_free(member->deadline);
	free(member);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct member_conn *member = arg;

	(void)conn;
	if (name_of(member))
		log_info("%s has gone: %s", name_of(member), why);
	member_end(member);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct member_conn *member = arg;

	(void)fd;
	(void)what;
	msg_conn_close(member->conn, "no login");
}

/* One source must not keep members out: of those that have not logged in. */
static unsigned int strangers_from(const struct members *members, const struct sockaddr *source)
{
	struct isthmus_addr address, other;
	const struct member_conn *member;
	unsigned int count = 0;
	uint16_t port;

	address_from_sockaddr(source, &address, &port);
	TAILQ_FOREACH(member, &members->conns, link)
	{
		if (member->kind)
			continue;
		address_from_sockaddr(msg_conn_address(member->conn), &other, &port);
		count += address_equal(&address, &other);
	}
	return count;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_message, on_closed };
	const struct timeval limit = { .tv_sec = LOGIN_S };
	struct dns *dns = arg;
	struct member_conn *member = NULL;

	if (strangers_from(dns->members, msg_conn_address(conn)) < STRANGERS_MAX)
		member = calloc(1, sizeof(*member));
	if (member)
		member->deadline = evtimer_new(dns->base, on_deadline, member);
	if (!member || !member->deadline) {
		free(member);
		msg_conn_close(conn, "too many from this address, or no memory");
		return;
	}
	member->dns = dns;
	member->conn = conn;
	TAILQ_INSERT_TAIL(&dns->members->conns, member, link);
	msg_conn_set_handler(conn, &handler, member);
	event_add(member->deadline, &limit);
}

/* ---- start and end */

static int make_certificate(struct dns *dns, char *error)
{
	char copy[4096], certificate[4096], key[4096];
	const char *folder;
	char host[256], address[256];
	uint16_t port, local;
	int err;

	snprintf(copy, sizeof(copy), "%s", dns->settings.database);
	folder = dirname(copy);
	if (snprintf(certificate, sizeof(certificate), "%s/members.crt", folder) >=
		    (int)sizeof(certificate) ||
	    snprintf(key, sizeof(key), "%s/members.key", folder) >= (int)sizeof(key))
		return -ENAMETOOLONG;
	if (address_split(dns->settings.members_public, host, sizeof(host), &port) || !host[0] ||
	    address_split(dns->settings.members, address, sizeof(address), &local)) {
		snprintf(error, ERROR_LEN,
			 "members is [ADDRESS]:PORT, and members-public HOST:PORT");
		return -EINVAL;
	}
	err = msg_make_certificate(certificate, key, host);
	if (!err)
		err = msg_certificate_fingerprint(certificate, dns->members->fingerprint);
	if (err) {
		snprintf(error, ERROR_LEN, "%.300s: %s", certificate, strerror(-err));
		return err;
	}
	snprintf(copy, sizeof(copy), "%u", local);
	dns->members->listener =
		msg_listen_tls(dns->base, address, copy, certificate, key, CONNECTIONS_MAX,
			       on_accepted, dns, error, ERROR_LEN);
	return dns->members->listener ? 0 : -EADDRINUSE;
}

static void load(const struct member_row *row, void *arg)
{
	if (row->kind == MEMBER_GATEWAY)
		gateway_load(arg, row);
	else if (row->kind == MEMBER_ONETIME)
		onetime_load(arg, row);
}

int members_open(struct dns *dns, char *error)
{
	int err;

	if (!dns->settings.members)
		return 0;
	if (!dns->settings.members_public)
		dns->settings.members_public = strdup(dns->settings.members);
	dns->members = calloc(1, sizeof(*dns->members));
	if (!dns->members || !dns->settings.members_public)
		return -ENOMEM;
	TAILQ_INIT(&dns->members->conns);
	dns->members->assigned = assigned_new();
	if (!dns->members->assigned)
		return -ENOMEM;
	dns->members->dns = dns;
	dns->members->db = member_db_open(dns->settings.database, error, ERROR_LEN);
	if (!dns->members->db)
		return -EIO;
	err = member_db_key(dns->members->db, dns->members->host6_key);
	if (!err)
		err = member_db_each(dns->members->db, load, dns);
	if (err) {
		snprintf(error, ERROR_LEN, "%s: members cannot be read", dns->settings.database);
		return err;
	}
	err = bind_open(dns);
	if (!err)
		err = give_open(dns);
	return err ? err : make_certificate(dns, error);
}

void members_close(struct dns *dns)
{
	struct members *members = dns->members;
	struct member_conn *member;

	if (!members)
		return;
	if (members->listener)
		msg_listener_free(members->listener);
	give_close(dns);
	while ((member = TAILQ_FIRST(&members->conns))) {
		msg_conn_free(member->conn);
		member_end(member);
	}
	for (uint32_t id = 1; id < GATEWAYS; id++)
		free(members->gateway[id]);
	bind_close(dns);
	for (unsigned int i = 0; i < ONETIMES_MAX; i++)
		free(members->onetime[i]);
	assigned_free(members->assigned);
	member_db_close(members->db);
	OPENSSL_cleanse(members, sizeof(*members));
	free(members);
	dns->members = NULL;
}

void members_serve(struct dns *dns)
{
	for (uint32_t id = 1; id < GATEWAYS && dns->members; id++)
		if (dns->members->gateway[id])
			gateway_serve(dns, dns->members->gateway[id]);
	for (unsigned int i = 0; i < ONETIMES_MAX && dns->members; i++)
		if (dns->members->onetime[i])
			onetime_serve(dns, dns->members->onetime[i]);
}
