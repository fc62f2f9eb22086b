// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Connections of waypoints and gateways. Secrets are 32 random bytes, so a plain hash of them is
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
#include "record.h"

#define CONNECTIONS_MAX (GATEWAYS + WAYPOINTS_MAX)
#define LOGIN_S		10
#define STRANGERS_MAX	32 /* connections of one address that have not logged in */
#define KEEPALIVE_S	30
#define VERSION		1
#define SHOWN_MAX	100 /* gateways in a status: an answer is one message */
#define LIST_MAX	150

static int hash_of(const char *text, uint8_t hash[MEMBER_HASH])
{
	return EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}

static bool matches(const char *text, const uint8_t hash[MEMBER_HASH])
{
	uint8_t made[MEMBER_HASH];

	return !hash_of(text, made) && !CRYPTO_memcmp(made, hash, MEMBER_HASH);
}

/* ---- logins */

static void refuse(struct member_conn *member, json_t *message, const char *why)
{
	member->dns->members->refused++;
	log_warn("%s: login refused: %s", msg_conn_peer(member->conn), why);
	msg_reply_error(member->conn, message, "denied", "%s", why);
	msg_conn_close(member->conn, why);
}

static void enrol(struct member_conn *member, json_t *message, const char *name, const char *token)
{
	struct members *members = member->dns->members;
	char secret[AUTH_TOKEN_LEN];
	uint8_t hash[MEMBER_HASH];
	struct member_row row;
	bool known = !member_db_find(members->db, MEMBER_GATEWAY, name, &row);

	if (known && (!row.token_expires || !matches(token, row.token))) {
		member_row_free(&row);
		known = false;
	}
	if (!known)
		known = !member_db_find(members->db, MEMBER_WAYPOINT, name, &row);
	if (!known || !row.token_expires || !matches(token, row.token)) {
		refuse(member, message, "wrong or used token");
	} else if (row.token_expires < dns_now()) {
		refuse(member, message, "the token has expired: ask for a new one");
	} else if (auth_new_token(secret) || hash_of(secret, hash) ||
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
	const char *why = row->kind == MEMBER_GATEWAY
				  ? gateway_login(member, row, message)
				  : waypoint_login(member, row->name, message, answer);

	if (why) {
		json_decref(answer);
		refuse(member, message, why);
		return;
	}
	member->kind = row->kind;
	event_del(member->deadline);
	msg_conn_keepalive(member->conn, KEEPALIVE_S);
	members->logins++;
	log_info("%s %s logged in from %s", row->kind == MEMBER_GATEWAY ? "gateway" : "waypoint",
		 row->name, msg_conn_peer(member->conn));
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
	else if (!strcmp(op, "enrol") && msg_get_string(message, "name", &name) &&
		 msg_get_string(message, "token", &token))
		enrol(member, message, name, token);
	else
		refuse(member, message, "enrol, gateway or waypoint is expected");
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct member_conn *member = arg;
	const char *op = "", *why;

	msg_get_string(message, "op", &op);
	if (!member->kind) {
		first_message(member, message, op);
	} else if (member->kind == MEMBER_WAYPOINT) {
		waypoint_message(member, op, message);
	} else if (!strcmp(op, "hosts")) {
		why = gateway_hosts(member, message);
		if (why) {
			log_warn("%s: %s", member->gateway->name, why);
			msg_reply_error(conn, message, "bad-message", "%s", why);
		} else {
			msg_reply(conn, message, NULL);
		}
	} else {
		msg_reply_error(conn, message, "unknown-op", "hosts is known here");
	}
}

static void member_end(struct member_conn *member)
{
	if (member->gateway)
		gateway_lost(member);
	if (member->waypoint)
		waypoint_lost(member);
	TAILQ_REMOVE(&member->dns->members->conns, member, link);
	event_free(member->deadline);
	free(member);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct member_conn *member = arg;

	(void)conn;
	if (member->gateway || member->waypoint)
		log_info("%s has gone: %s",
			 member->gateway ? member->gateway->name : member->waypoint->name, why);
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
	while ((member = TAILQ_FIRST(&members->conns))) {
		msg_conn_free(member->conn);
		member_end(member);
	}
	for (uint32_t id = 1; id < GATEWAYS; id++)
		free(members->gateway[id]);
	bind_close(dns);
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
}

/* ---- commands */

/* A gateway's name is a domain of ours, kept in lower case without its final dot. */
static const char *take_name(struct dns *dns, const json_t *message, enum member_kind kind,
			     bool fresh, char name[MEMBER_NAME_MAX])
{
	char absolute[WIRE_NAME_TEXT];
	uint8_t wire[WIRE_NAME_MAX];
	const char *text;
	size_t len;

	if (!msg_get_string(message, "name", &text) || record_name(text, absolute))
		return "name is no domain name";
	len = strlen(absolute);
	if (len > MEMBER_NAME_MAX - 1 || strcspn(absolute, "\\:*") != len)
		return "the name is too long, or has characters that no host's has";
	if (kind == MEMBER_GATEWAY && fresh &&
	    (wire_name_read(absolute, wire) || !zones_find(&dns->zones, wire)))
		return "a gateway's name is in one of the zones";
	snprintf(name, MEMBER_NAME_MAX, "%.*s", (int)(len - 1), absolute);
	return NULL;
}

static void command_add(struct dns *dns, struct msg_conn *conn, json_t *message,
			enum member_kind kind, const char *name)
{
	char token[AUTH_TOKEN_LEN], line[1024];
	uint8_t hash[MEMBER_HASH];
	int err = auth_new_token(token);

	if (!err)
		err = hash_of(token, hash);
	if (!err)
		err = member_db_add(dns->members->db, kind, name, hash, dns_now() + MEMBER_TOKEN_S);
	if (err) {
		msg_reply_error(conn, message, err == -ENOSPC ? "full" : "failed",
				err == -ENOSPC ? "there are too many gateways"
					       : "the database cannot be written");
		return;
	}
	snprintf(line, sizeof(line), "isthmus2:%s:%s:%s:%s", name, token, dns->members->fingerprint,
		 dns->settings.members_public);
	msg_reply(conn, message, json_pack("{s:s}", "line", line));
	OPENSSL_cleanse(token, sizeof(token));
	OPENSSL_cleanse(line, sizeof(line));
}

/* Tunnels to it end, also those that were up without it. */
static void end_waypoint(struct members *members, const char *name)
{
	for (uint32_t id = 1; id < GATEWAYS; id++)
		if (members->gateway[id] && members->gateway[id]->conn)
			msg_send(members->gateway[id]->conn->conn,
				 json_pack("{s:s, s:s}", "op", "waypoint-gone", "name", name));
	for (unsigned int i = 0; i < members->waypoint_count; i++) {
		struct member_conn *member = members->waypoint[i]->conn;

		if (strcmp(members->waypoint[i]->name, name))
			continue;
		msg_conn_close(member->conn, "it was deleted");
		waypoint_lost(member);
		return;
	}
}

static void command_del(struct dns *dns, struct msg_conn *conn, json_t *message,
			enum member_kind kind, const char *name)
{
	struct members *members = dns->members;
	int err = member_db_delete(members->db, kind, name);

	if (err) {
		msg_reply_error(conn, message, err == -ENOENT ? "unknown-member" : "failed", "%s",
				err == -ENOENT ? "there is none of that name"
					       : "the database cannot be written");
		return;
	}
	if (kind == MEMBER_GATEWAY)
		gateway_delete(dns, name);
	else
		end_waypoint(members, name);
	msg_reply(conn, message, NULL);
}

struct page {
	json_t *list;
	int64_t after;
	bool more;
};

static void add_row(const struct member_row *row, void *arg)
{
	struct page *page = arg;

	if ((int64_t)row->id <= page->after)
		return;
	if (json_array_size(page->list) == LIST_MAX) {
		page->more = true;
		return;
	}
	json_array_append_new(page->list,
			      json_pack("{s:i, s:s, s:s, s:b}", "id", (int)row->id, "kind",
					row->kind == MEMBER_GATEWAY ? "gateway" : "waypoint",
					"name", row->name, "enrolled", (int)row->enrolled));
}

/* {"members": [...], "more": true}: the next question's "after" is the last one's id. */
static void command_list(struct dns *dns, struct msg_conn *conn, json_t *message)
{
	struct page page = { .list = json_array() };

	msg_get_integer(message, "after", 0, INT64_MAX, &page.after);
	member_db_each(dns->members->db, add_row, &page);
	msg_reply(conn, message,
		  json_pack("{s:o, s:b}", "members", page.list, "more", (int)page.more));
}

void members_command(struct dns *dns, struct msg_conn *conn, json_t *message, const char *op)
{
	const char *text = "", *why;
	char name[MEMBER_NAME_MAX];
	enum member_kind kind;

	if (!dns->members) {
		msg_reply_error(conn, message, "disabled",
				"waypoints and gateways are served with --members only");
		return;
	}
	if (strcmp(op, "member-list") && !control_is_root(conn)) {
		msg_reply_error(conn, message, "forbidden", "only root may change who logs in");
		return;
	}
	if (!strcmp(op, "member-list")) {
		command_list(dns, conn, message);
		return;
	}
	msg_get_string(message, "kind", &text);
	kind = !strcmp(text, "gateway") ? MEMBER_GATEWAY : MEMBER_WAYPOINT;
	why = take_name(dns, message, kind, !strcmp(op, "member-add"), name);
	if (why)
		msg_reply_error(conn, message, "bad-request", "%s", why);
	else if (!strcmp(op, "member-add"))
		command_add(dns, conn, message, kind, name);
	else
		command_del(dns, conn, message, kind, name);
}

json_t *members_status(struct dns *dns)
{
	json_t *gateways = json_array(), *waypoints = json_array();
	struct members *members = dns->members;

	for (uint32_t id = 1; id < GATEWAYS && members && json_array_size(gateways) < SHOWN_MAX;
	     id++) {
		const struct gateway *gateway = members->gateway[id];
		unsigned int tunnels = 0;

		if (!gateway)
			continue;
		for (unsigned int i = 0; i < members->waypoint_count; i++)
			tunnels += waypoint_is_up(members->waypoint[i], id);
		json_array_append_new(gateways,
				      json_pack("{s:s, s:b, s:i, s:i}", "name", gateway->name,
						"connected", gateway->conn != NULL, "hosts",
						(int)gateway->host_count, "tunnels", (int)tunnels));
	}
	for (unsigned int i = 0; members && i < members->waypoint_count; i++)
		json_array_append_new(waypoints,
				      json_pack("{s:s, s:i}", "name", members->waypoint[i]->name,
						"addresses",
						(int)members->waypoint[i]->address_count));
	return json_pack("{s:o, s:o, s:o, s:I, s:I}", "gateways", gateways, "waypoints", waypoints,
			 "bindings", bind_status(dns), "logins",
			 (json_int_t)(members ? members->logins : 0), "refused",
			 (json_int_t)(members ? members->refused : 0));
}
