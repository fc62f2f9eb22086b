// SPDX-License-Identifier: GPL-3.0-or-later
/* Who may log in, by the control socket; and what a status says of members. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "../lib/auth.h"
#include "dns.h"
#include "record.h"

#define SHOWN_MAX 100 /* gateways in a status: an answer is one message */
#define LIST_MAX  150

/* A gateway's or an agent's name is a domain of ours, kept in lower case without its final dot. */
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
	if (kind != MEMBER_WAYPOINT && fresh &&
	    (wire_name_read(absolute, wire) || !zones_find(&dns->zones, wire)))
		return kind == MEMBER_GATEWAY ? "a gateway's name is in one of the zones"
					      : "an agent's name is in one of the zones";
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
		err = member_hash(token, hash);
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
	else if (kind == MEMBER_ONETIME)
		onetime_delete(dns, name);
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
	json_array_append_new(page->list, json_pack("{s:i, s:s, s:s, s:b}", "id", (int)row->id,
						    "kind", member_kind_text(row->kind), "name",
						    row->name, "enrolled", (int)row->enrolled));
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

static enum member_kind kind_of(const char *text)
{
	for (enum member_kind kind = MEMBER_GATEWAY; kind <= MEMBER_ONETIME; kind++)
		if (!strcmp(text, member_kind_text(kind)))
			return kind;
	return MEMBER_WAYPOINT;
}

void members_command(struct dns *dns, struct msg_conn *conn, json_t *message, const char *op)
{
	const char *text = "", *why;
	char name[MEMBER_NAME_MAX];
	enum member_kind kind;

	if (!dns->members) {
		msg_reply_error(conn, message, "disabled",
				"members are served with --members only");
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
	kind = kind_of(text);
	why = take_name(dns, message, kind, !strcmp(op, "member-add"), name);
	if (why)
		msg_reply_error(conn, message, "bad-request", "%s", why);
	else if (!strcmp(op, "member-add"))
		command_add(dns, conn, message, kind, name);
	else
		command_del(dns, conn, message, kind, name);
}

static json_t *gateways_status(const struct members *members)
{
	json_t *gateways = json_array();

	for (uint32_t id = 1; id < GATEWAYS && json_array_size(gateways) < SHOWN_MAX; id++) {
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
	return gateways;
}

static json_t *onetimes_status(const struct members *members)
{
	json_t *agents = json_array();

	for (unsigned int i = 0; i < ONETIMES_MAX; i++) {
		const struct onetime *agent = members->onetime[i];

		if (agent)
			json_array_append_new(agents,
					      json_pack("{s:s, s:b, s:i, s:i}", "name", agent->name,
							"connected", agent->conn != NULL,
							"services", (int)agent->service_count,
							"held", (int)agent->held));
	}
	return agents;
}

json_t *members_status(struct dns *dns)
{
	const struct members *members = dns->members;
	json_t *waypoints = json_array();

	for (unsigned int i = 0; i < members->waypoint_count; i++)
		json_array_append_new(waypoints,
				      json_pack("{s:s, s:i}", "name", members->waypoint[i]->name,
						"addresses",
						(int)members->waypoint[i]->address_count));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "gateways",
			 gateways_status(members), "waypoints", waypoints, "onetime",
			 onetimes_status(members), "bindings", bind_status(dns), "gives",
			 give_status(dns), "logins", (json_int_t)members->logins, "refused",
			 (json_int_t)members->refused);
}
