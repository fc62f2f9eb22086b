// SPDX-License-Identifier: GPL-3.0-or-later
/* Translators that are connected, and the choice among them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "broker.h"

static struct translator *find(struct broker *broker, const char *name)
{
	struct translator *translator;

	LIST_FOREACH(translator, &broker->translators, link)
	if (!strcmp(translator->name, name))
		return translator;
	return NULL;
}

static struct translator *get(struct broker *broker, const char *name)
{
	struct translator *translator = find(broker, name);

	if (translator || broker->translator_count >= TRANSLATORS_MAX)
		return translator;
	translator = calloc(1, sizeof(*translator));
	if (!translator)
		return NULL;
	strcpy(translator->name, name);
	LIST_INSERT_HEAD(&broker->translators, translator, link);
	broker->translator_count++;
	return translator;
}

static void release(struct broker *broker, struct translator *translator)
{
	if (--translator->sessions || translator->client)
		return;
	LIST_REMOVE(translator, link);
	broker->translator_count--;
	free(translator);
}

void translator_give_back(struct broker *broker, struct translator *translator)
{
	translator->free++; /* until it tells its own numbers */
	translator->load -= translator->load > 0;
	release(broker, translator);
}

/* FAMILY_ bits of the addresses that it says it has; 0 if one is none. */
static unsigned int read_addresses(const json_t *message)
{
	const json_t *array = json_object_get(message, "addresses"), *item;
	struct isthmus_addr address;
	unsigned int families = 0;
	size_t i;

	json_array_foreach (array, i, item) {
		const char *text = json_string_value(item);

		if (!text || address_parse(text, &address))
			return 0;
		families |= address_is_v4(&address) ? FAMILY_4 : FAMILY_6;
	}
	return families;
}

/* The same translator again: the earlier connection is one that it has given up. */
static void replace(struct translator *translator)
{
	struct client *old = translator->client;

	if (!old)
		return;
	msg_conn_close(old->conn, "the translator has connected again");
	translator->sessions++; /* old keeps it until it is closed */
}

int translator_connected(struct client *client, int64_t id, const char *name, const json_t *message)
{
	unsigned int families = read_addresses(message);
	struct translator *translator;
	const char *engine;
	int64_t available;

	if (!families || !msg_get_string(message, "engine", &engine) ||
	    (strcmp(engine, "kernel") && strcmp(engine, "relay")) ||
	    !msg_get_integer(message, "free", 0, INT32_MAX, &available))
		return -EINVAL;
	translator = get(client->broker, name);
	if (!translator)
		return -EUSERS;
	replace(translator);
	translator->id = id;
	translator->client = client;
	translator->families = families;
	translator->relay = !strcmp(engine, "relay");
	translator->free = available;
	translator->load = 0;
	client->role = CLIENT_TRANSLATOR;
	client->translator = translator;
	return 0;
}

void translator_disconnected(struct client *client)
{
	struct translator *translator = client->translator;

	if (translator->client == client) {
		translator->client = NULL;
		translator->gone_ms = limit_now_ms();
		translator->sessions++;
	}
	release(client->broker, translator);
}

void translator_message(struct client *client, const char *op, json_t *message)
{
	int64_t sessions, available;

	if (!strcmp(op, "joined") || !strcmp(op, "ended") || !strcmp(op, "refused") ||
	    !strcmp(op, "side-syn")) {
		session_from_translator(client, op, message);
	} else if (strcmp(op, "load")) {
		msg_reply_error(client->conn, message, "unknown-op", "unknown op");
	} else if (client->translator->client == client &&
		   msg_get_integer(message, "sessions", 0, INT32_MAX, &sessions) &&
		   msg_get_integer(message, "free", 0, INT32_MAX, &available)) {
		client->translator->load = sessions;
		client->translator->free = available;
	}
}

static bool was_tried(const struct session *session, const struct translator *translator)
{
	for (unsigned int i = 0; i < session->tried_count; i++)
		if (session->tried[i] == translator->id)
			return true;
	return session->tried_count == TRIED_MAX;
}

/* A kernel engine is worth more than any load of a relay. */
static bool is_better(const struct translator *a, const struct translator *b)
{
	if (!b || a->relay != b->relay)
		return !b || b->relay;
	return a->load < b->load;
}

struct translator *translator_choose(const struct session *session, unsigned int *family)
{
	struct translator *translator, *best = NULL;
	unsigned int common;

	LIST_FOREACH(translator, &session->broker->translators, link)
	{
		if (!translator->client || !msg_conn_is_open(translator->client->conn) ||
		    translator->free <= 0 || !(translator->families & session->families) ||
		    was_tried(session, translator) || !is_better(translator, best))
			continue;
		best = translator;
	}
	if (!best)
		return NULL;
	common = best->families & session->families;
	*family = common & FAMILY_4 ? FAMILY_4 : FAMILY_6;
	return best;
}

void translator_check_deleted(struct broker *broker)
{
	struct translator *translator;
	struct db_user record;

	LIST_FOREACH(translator, &broker->translators, link)
	{
		int rc;

		if (!translator->client)
			continue;
		rc = db_find(broker->db, DB_TRANSLATOR, translator->name, &record);
		if (rc == -ENOENT || (!rc && record.id != translator->id))
			msg_conn_close(translator->client->conn, "the translator was deleted");
	}
}
