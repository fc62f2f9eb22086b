// SPDX-License-Identifier: GPL-3.0-or-later
/* The control socket: publish, withdraw, list, status. */
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/msg.h"
#include "dns.h"

#define CLIENTS_MAX 64
#define PAGE_MAX    20 /* records in one answer: each may have two names of 1004 characters */

static void publish(struct dns *dns, struct msg_conn *conn, json_t *message)
{
	struct record record;
	const char *why = record_from_json(message, dns_now(), &record);
	int rc;

	if (why) {
		msg_reply_error(conn, message, "bad-request", "%s", why);
		return;
	}
	rc = dynamic_publish(dns, &record);
	switch (rc) {
	case 0:
		msg_reply(conn, message, record_to_json(&record, dns_now()));
		return;
	case -ENOENT:
		msg_reply_error(conn, message, "not-in-zone", "%.300s is in none of the zones",
				record.name);
		return;
	case -EPERM:
		msg_reply_error(conn, message, "delegated",
				"%.300s is delegated to other servers by the zone", record.name);
		return;
	case -EEXIST:
		msg_reply_error(conn, message, "cname", "%.300s has a CNAME", record.name);
		return;
	case -EACCES:
		msg_reply_error(conn, message, "taken", "%.300s is published by another owner",
				record.name);
		return;
	case -ENOSPC:
		msg_reply_error(conn, message, "full",
				"there are %u records, more are not allowed; see --records",
				dns->record_count);
		return;
	default:
		msg_reply_error(conn, message, "failed", "%s", store_error(dns->store));
	}
}

/* Members of a question about records; buffers hold the names as they are kept. */
static const char *read_match(const json_t *message, struct store_match *match, char *name,
			      char *target)
{
	const char *text;
	int64_t port;

	*match = (struct store_match){ "", "", "", "", -1, 0, 0 };
	if (json_object_get(message, "name")) {
		if (!msg_get_string(message, "name", &text) || record_name(text, name))
			return "name is no domain name";
		match->name = name;
	}
	if (json_object_get(message, "target")) {
		if (!msg_get_string(message, "target", &text) || record_name(text, target))
			return "target is no domain name";
		match->target = target;
	}
	if (json_object_get(message, "port")) {
		if (!msg_get_integer(message, "port", 0, 65535, &port))
			return "port is a number from 0 to 65535";
		match->port = port;
	}
	if (json_object_get(message, "address") &&
	    !msg_get_string(message, "address", &match->target))
		return "address is text";
	if (json_object_get(message, "type") && !msg_get_string(message, "type", &match->type))
		return "type is SRV, A or AAAA";
	if (json_object_get(message, "owner") && !msg_get_string(message, "owner", &match->owner))
		return "owner is text";
	return NULL;
}

static void withdraw(struct dns *dns, struct msg_conn *conn, json_t *message)
{
	char name[WIRE_NAME_TEXT], target[WIRE_NAME_TEXT];
	struct store_match match;
	const char *why = read_match(message, &match, name, target);
	int rc;

	if (!why && !match.name[0] && !match.owner[0])
		why = "a name or an owner is needed";
	if (why) {
		msg_reply_error(conn, message, "bad-request", "%s", why);
		return;
	}
	rc = dynamic_withdraw(dns, &match);
	if (rc < 0)
		msg_reply_error(conn, message, "failed", "%s", store_error(dns->store));
	else if (!rc)
		msg_reply_error(conn, message, "unknown-record", "nothing like that is published");
	else
		msg_reply(conn, message, json_pack("{s:i}", "withdrawn", rc));
}

struct page {
	json_t *records;
	int64_t last;
	bool more;
};

static bool add_to_page(const struct record *record, int64_t id, void *arg)
{
	struct page *page = arg;

	if (json_array_size(page->records) == PAGE_MAX) {
		page->more = true;
		return false;
	}
	json_array_append_new(page->records, record_to_json(record, dns_now()));
	page->last = id;
	return true;
}

/* {"records": [...], "after": N}: with "after" there are more, and it is the next question's. */
static void list(struct dns *dns, struct msg_conn *conn, json_t *message)
{
	char name[WIRE_NAME_TEXT], target[WIRE_NAME_TEXT];
	struct page page = { .records = json_array() };
	struct store_match match;
	const char *why = read_match(message, &match, name, target);
	json_t *body;

	if (!why && json_object_get(message, "after") &&
	    !msg_get_integer(message, "after", 0, INT64_MAX, &match.after))
		why = "after is what an answer had";
	if (why || store_each(dns->store, &match, add_to_page, &page)) {
		json_decref(page.records);
		msg_reply_error(conn, message, why ? "bad-request" : "failed", "%s",
				why ? why : store_error(dns->store));
		return;
	}
	body = json_pack("{s:o}", "records", page.records);
	if (page.more)
		json_object_set_new(body, "after", json_integer(page.last));
	msg_reply(conn, message, body);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct dns *dns = arg;
	const char *op = "";

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "publish"))
		publish(dns, conn, message);
	else if (!strcmp(op, "withdraw"))
		withdraw(dns, conn, message);
	else if (!strcmp(op, "list"))
		list(dns, conn, message);
	else if (!strcmp(op, "status"))
		msg_reply(conn, message, stats_json(dns));
	else if (!strncmp(op, "key-", 4))
		key_message(dns, conn, op, message);
	else if (!strcmp(op, "member-add") || !strcmp(op, "member-del") ||
		 !strcmp(op, "member-list"))
		members_command(dns, conn, message, op);
	else
		msg_reply_error(conn, message, "unknown-op",
				"publish, withdraw, list, status, key-add, key-show, key-del, "
				"member-add, member-del and member-list are known here");
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn;
	(void)why;
	(void)arg;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_message, on_closed };

	msg_conn_set_handler(conn, &handler, arg);
}

/* Others who may publish (the agents that give ports to hosts) are in a group of their own. */
static int give_to_group(const struct settings *settings, char *error)
{
	const struct group *group;

	if (!settings->control_group)
		return 0;
	group = getgrnam(settings->control_group);
	if (!group) {
		snprintf(error, ERROR_LEN, "there is no group '%s'", settings->control_group);
		return -ENOENT;
	}
	if (chown(settings->control, -1, group->gr_gid) || chmod(settings->control, 0660)) {
		snprintf(error, ERROR_LEN, "%s: %s", settings->control, strerror(errno));
		return -errno;
	}
	return 0;
}

int control_listen(struct dns *dns, char *error)
{
	char copy[4096];

	snprintf(copy, sizeof(copy), "%s", dns->settings.control);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST) {
		snprintf(error, ERROR_LEN, "the folder of %s: %s", dns->settings.control,
			 strerror(errno));
		return -EIO;
	}
	dns->control = msg_listen_unix(dns->base, dns->settings.control, 0600, CLIENTS_MAX,
				       on_accepted, dns, error, ERROR_LEN);
	return dns->control ? give_to_group(&dns->settings, error) : -EADDRINUSE;
}

void control_close(struct dns *dns)
{
	if (dns->control)
		msg_listener_free(dns->control);
	dns->control = NULL;
}
