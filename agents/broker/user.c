// SPDX-License-Identifier: GPL-3.0-or-later
/* Users online, what they publish, and who watches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "broker.h"

#define LIST_BYTES_MAX 60000 /* of an answer to `list`, below MSG_LINE_MAX */

static struct user_list *bucket_of(struct broker *broker, const char *name)
{
	unsigned int hash = 2166136261u; /* FNV-1a: names come from the operator */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &broker->users[hash % USER_BUCKETS];
}

struct user *user_find(struct broker *broker, const char *name)
{
	struct user *user;

	LIST_FOREACH(user, bucket_of(broker, name), link)
	if (!strcmp(user->name, name))
		return user;
	return NULL;
}

static void close_all(struct user *user, const char *why)
{
	struct client *client;

	LIST_FOREACH(client, &user->clients, user_link)
	msg_conn_close(client->conn, why);
}

struct user *user_get(struct broker *broker, int64_t id, const char *name)
{
	struct user *user = user_find(broker, name);

	if (user && user->id != id) { /* deleted and made anew */
		close_all(user, "the user was deleted");
		user->id = id;
	}
	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->id = id;
	strcpy(user->name, name);
	LIST_INIT(&user->clients);
	LIST_INIT(&user->services);
	LIST_INIT(&user->sessions_as[0]);
	LIST_INIT(&user->sessions_as[1]);
	LIST_INSERT_HEAD(bucket_of(broker, name), user, link);
	broker->user_count++;
	return user;
}

void user_release(struct broker *broker, struct user *user)
{
	if (user->devices || user->sessions)
		return;
	LIST_REMOVE(user, link);
	broker->user_count--;
	free(user);
}

struct service *user_service(const struct user *user, const char *name)
{
	struct service *service;

	LIST_FOREACH(service, &user->services, link)
	if (!strcmp(service->name, name))
		return service;
	return NULL;
}

/* ---- watchers */

static void tell_watchers(struct broker *broker, json_t *notice)
{
	struct client *client;

	TAILQ_FOREACH(client, &broker->clients, link)
	if (client->watching && msg_conn_is_open(client->conn))
		msg_send(client->conn, json_incref(notice));
	json_decref(notice);
}

static void tell_presence(struct broker *broker, const struct user *user, bool online)
{
	tell_watchers(broker, json_pack("{s:s, s:s, s:b}", "op", "presence", "user", user->name,
					"online", online));
}

static void tell_service(struct broker *broker, const struct user *user,
			 const struct service *service, bool online)
{
	tell_watchers(broker, json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "op", "service", "user",
					user->name, "service", service->name, "proto",
					service->udp ? "udp" : "tcp", "text", service->text,
					"online", online));
}

/* ---- coming and going */

void user_connected(struct client *client)
{
	struct user *user = client->user;

	LIST_INSERT_HEAD(&user->clients, client, user_link);
	client->broker->peer_count++;
	if (!user->devices++)
		tell_presence(client->broker, user, true);
}

static void remove_service(struct broker *broker, struct user *user, struct service *service)
{
	LIST_REMOVE(service, link);
	tell_service(broker, user, service, false);
	free(service);
}

void user_disconnected(struct client *client)
{
	struct user *user = client->user;
	struct service *service, *next;

	client->watching = false;
	for (service = LIST_FIRST(&user->services); service; service = next) {
		next = LIST_NEXT(service, link);
		if (service->client == client)
			remove_service(client->broker, user, service);
	}
	LIST_REMOVE(client, user_link);
	client->broker->peer_count--;
	if (!--user->devices)
		tell_presence(client->broker, user, false);
	user_release(client->broker, user);
}

void user_check_deleted(struct broker *broker)
{
	struct db_user record;
	struct client *client;

	TAILQ_FOREACH(client, &broker->clients, link)
	{
		int rc;

		if (client->role != CLIENT_PEER)
			continue;
		rc = db_find(broker->db, DB_USER, client->user->name, &record);
		if (rc == -ENOENT || (!rc && record.id != client->user->id))
			msg_conn_close(client->conn, "the user was deleted");
	}
}

/* ---- publish, unpublish, list, watch */

static bool read_service(const json_t *message, struct service *read)
{
	const char *name, *proto, *text = "", *splice = "passive";

	if (!msg_get_string(message, "service", &name) || !db_name_is_valid(name) ||
	    !msg_get_string(message, "proto", &proto) ||
	    (strcmp(proto, "tcp") && strcmp(proto, "udp")))
		return false;
	if (json_object_get(message, "text") && !msg_get_string(message, "text", &text))
		return false;
	if (json_object_get(message, "splice") && !msg_get_string(message, "splice", &splice))
		return false;
	if (strlen(text) >= sizeof(read->text) ||
	    (strcmp(splice, "passive") && strcmp(splice, "pure")))
		return false;
	strcpy(read->name, name);
	strcpy(read->text, text);
	read->udp = !strcmp(proto, "udp");
	read->pure = !strcmp(splice, "pure") && !read->udp;
	return true;
}

static int store_service(struct client *client, const struct service *read)
{
	const struct db_service stored = {
		.name = read->name,
		.proto = read->udp ? "udp" : "tcp",
		.text = read->text,
		.splice = read->pure ? "pure" : "passive",
	};
	struct db *db = client->broker->db;
	unsigned int count;
	int rc;

	if (!user_service(client->user, read->name)) {
		rc = db_count_services(db, client->user->id, &count);
		if (!rc && count >= client->broker->settings.services) {
			db_unpublish(db, client->user->id, read->name); /* if offline: not new */
			rc = db_count_services(db, client->user->id, &count);
			if (!rc && count >= client->broker->settings.services)
				return -EUSERS;
		}
		if (rc)
			return rc;
	}
	return db_publish(db, client->user->id, &stored);
}

static void publish(struct client *client, json_t *message)
{
	struct service read = { 0 }, *service;
	int rc;

	if (!read_service(message, &read)) {
		msg_reply_error(client->conn, message, "bad-message",
				"a service has a name of 1 to 32 a-z 0-9 . _ -, proto tcp or udp");
		return;
	}
	rc = store_service(client, &read);
	service = user_service(client->user, read.name);
	if (!rc && !service) {
		service = calloc(1, sizeof(*service));
		if (service)
			LIST_INSERT_HEAD(&client->user->services, service, link);
	}
	if (rc || !service) {
		msg_reply_error(client->conn, message, rc == -EUSERS ? "limit" : "internal",
				rc == -EUSERS ? "too many services of this user"
					      : "the service could not be stored");
		return;
	}
	read.link = service->link;
	*service = read;
	service->client = client; /* a device that connects again takes its services over */
	msg_reply(client->conn, message, NULL);
	tell_service(client->broker, client->user, service, true);
}

static void unpublish(struct client *client, json_t *message)
{
	struct service *service;
	const char *name;
	int rc;

	if (!msg_get_string(message, "service", &name) || !db_name_is_valid(name)) {
		msg_reply_error(client->conn, message, "bad-message", "service is missing");
		return;
	}
	service = user_service(client->user, name);
	if (service)
		remove_service(client->broker, client->user, service);
	rc = db_unpublish(client->broker->db, client->user->id, name);
	if (rc)
		msg_reply_error(client->conn, message, rc == -ENOENT ? "not-found" : "internal",
				"no service '%s'", name);
	else
		msg_reply(client->conn, message, NULL);
}

struct listing {
	struct broker *broker;
	json_t *services;
	size_t bytes;
	bool more;
};

static bool list_one(const struct db_service *service, void *arg)
{
	struct listing *listing = arg;
	const struct user *user = user_find(listing->broker, service->user);
	bool online = user && user_service(user, service->name);

	/* A text may need two bytes for each byte that JSON escapes, six for a control character.
	 */
	listing->bytes +=
		100 + strlen(service->user) + strlen(service->name) + 6 * strlen(service->text);
	if (listing->bytes > LIST_BYTES_MAX) {
		listing->more = true;
		return false;
	}
	json_array_append_new(listing->services,
			      json_pack("{s:s, s:s, s:s, s:s, s:b}", "user", service->user,
					"service", service->name, "proto", service->proto, "text",
					service->text, "online", online));
	return true;
}

static void list(struct client *client, json_t *message)
{
	struct listing listing = { .broker = client->broker };
	const char *match = "";

	if (json_object_get(message, "match") && !msg_get_string(message, "match", &match)) {
		msg_reply_error(client->conn, message, "bad-message", "match is no string");
		return;
	}
	listing.services = json_array();
	if (db_each_service(client->broker->db, match, list_one, &listing)) {
		json_decref(listing.services);
		msg_reply_error(client->conn, message, "internal", "the list could not be read");
		return;
	}
	msg_reply(client->conn, message,
		  json_pack("{s:o, s:b}", "services", listing.services, "more", listing.more));
}

static void watch(struct client *client, json_t *message)
{
	if (msg_get_bool(message, "on", &client->watching))
		msg_reply(client->conn, message, NULL);
	else
		msg_reply_error(client->conn, message, "bad-message", "on is missing");
}

unsigned int read_families(const json_t *message, const char *key)
{
	const json_t *array = json_object_get(message, key), *item;
	unsigned int families = 0;
	size_t i;

	json_array_foreach (array, i, item) {
		const char *text = json_string_value(item);

		if (text && !strcmp(text, "4"))
			families |= FAMILY_4;
		else if (text && !strcmp(text, "6"))
			families |= FAMILY_6;
	}
	return families;
}

static void pure_port(struct client *client, json_t *message)
{
	session_from_peer(client, "pure-port", message);
}

static const struct {
	const char *op;
	void (*run)(struct client *client, json_t *message);
} requests[] = {
	{ "publish", publish }, { "unpublish", unpublish }, { "list", list },
	{ "watch", watch },	{ "pure-port", pure_port }, /* each asks the translator */
};

void user_message(struct client *client, const char *op, json_t *message)
{
	if (!strcmp(op, "negotiate")) {
		negotiate_message(client, message);
		return;
	}
	if (!strcmp(op, "ended")) { /* at most one for each session and side does anything */
		session_from_peer(client, op, message);
		return;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(op, requests[i].op))
			continue;
		if (bucket_take(&client->requests, REQUEST_RATE, REQUEST_BURST, limit_now_ms()))
			requests[i].run(client, message);
		else
			msg_reply_error(client->conn, message, "rate-limited", "too many requests");
		return;
	}
	msg_reply_error(client->conn, message, "unknown-op", "unknown op");
}
