// SPDX-License-Identifier: GPL-3.0-or-later
/* The table of sessions. A session itself lives at its translator; this one counts it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "../lib/auth.h"
#include "../lib/log.h"
#include "broker.h"

#define JOIN_GRACE_MS 60000  /* after its lifetime a translator has told `joined` or `refused` */
#define LOST_MS	      600000 /* nobody has been here so long who could tell of its end */

static struct session_list *bucket_of(struct broker *broker, uint64_t id)
{
	return &broker->sessions[id % SESSION_BUCKETS]; /* ids are random */
}

struct session *session_find(struct broker *broker, uint64_t id)
{
	struct session *session;

	LIST_FOREACH(session, bucket_of(broker, id), link)
	if (session->id == id)
		return session;
	return NULL;
}

static int new_id(struct broker *broker, uint64_t *id)
{
	do {
		if (auth_random(id, sizeof(*id)))
			return -EIO;
	} while (!*id || session_find(broker, *id));
	return 0;
}

struct session *session_new(struct client *subscriber, struct client *provider,
			    const struct service *service)
{
	struct broker *broker = subscriber->broker;
	struct session *session = calloc(1, sizeof(*session));

	if (!session || new_id(broker, &session->id) ||
	    auth_random(session->secret, sizeof(session->secret))) {
		free(session);
		return NULL;
	}
	session->broker = broker;
	session->client[0] = subscriber;
	session->client[1] = provider;
	session->user[0] = subscriber->user;
	session->user[1] = provider->user;
	for (int side = 0; side < 2; side++) {
		session->user[side]->sessions++;
		LIST_INSERT_HEAD(&session->user[side]->sessions_as[side], session, user_link[side]);
	}
	strcpy(session->service, service->name);
	session->udp = service->udp;
	session->pure = service->pure;
	session_set_state(session, SESSION_OFFERED);
	LIST_INSERT_HEAD(bucket_of(broker, session->id), session, link);
	broker->session_count++;
	return session;
}

/* The secret and the request are of no use once both ends have been told. */
void session_set_state(struct session *session, enum session_state state)
{
	session->state = state;
	session->changed_ms = limit_now_ms();
	if (state < SESSION_OPEN)
		return;
	OPENSSL_cleanse(session->secret, sizeof(session->secret));
	json_decref(session->request);
	session->request = NULL;
}

void session_free(struct session *session)
{
	struct broker *broker = session->broker;

	LIST_REMOVE(session, link);
	broker->session_count--;
	for (int side = 0; side < 2; side++) {
		LIST_REMOVE(session, user_link[side]);
		session->user[side]->sessions--;
		if (side || session->user[0] != session->user[1])
			user_release(broker, session->user[side]);
	}
	if (session->translator)
		translator_give_back(broker, session->translator);
	json_decref(session->request);
	OPENSSL_cleanse(session->secret, sizeof(session->secret));
	free(session);
}

void session_tell_closed(struct session *session, int side, const char *why)
{
	if (session->client[side])
		msg_send(session->client[side]->conn,
			 json_pack("{s:s, s:o, s:s}", "op", "closed", "session",
				   msg_json_id(session->id), "why", why));
}

static void nobody_cares(struct msg_conn *conn, json_t *answer, void *arg)
{
	(void)conn;
	(void)answer;
	(void)arg;
}

void session_close_at_translator(struct session *session)
{
	if (session->translator && session->translator->client)
		msg_request(
			session->translator->client->conn,
			json_pack("{s:s, s:o}", "op", "close", "session", msg_json_id(session->id)),
			OPEN_TIMEOUT_MS, nobody_cares, NULL);
}

/* ---- a pure splice's ports */

/* The translator's answer to `pure-open`: ok, or exists with the port that it is instead. */
struct pure_open {
	struct broker *broker;
	uint64_t session;
	int side;
	int64_t port;
};

static void on_pure_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct pure_open *open = arg;
	struct session *session = session_find(open->broker, open->session);
	bool ok = json_is_true(json_object_get(answer, "ok"));

	(void)conn;
	if (session && session->client[open->side] &&
	    (ok || msg_get_integer(answer, "port", 1, 65535, &open->port)))
		msg_send(session->client[open->side]->conn,
			 json_pack("{s:s, s:o, s:I}", "op", "pure-port", "session",
				   msg_json_id(session->id), "port", (json_int_t)open->port));
	free(open);
}

/* The source port of one side is the port that the other side connects to (thesis figure 4.7). */
static void pure_port_known(struct session *session, int source_side, int64_t port)
{
	struct pure_open *open;

	if (!session->pure || session->state != SESSION_OPEN || !session->translator->client)
		return;
	open = calloc(1, sizeof(*open));
	if (!open)
		return;
	*open = (struct pure_open){ session->broker, session->id, !source_side, port };
	if (msg_request(session->translator->client->conn,
			json_pack("{s:s, s:o, s:i, s:I}", "op", "pure-open", "session",
				  msg_json_id(session->id), "side", open->side, "port",
				  (json_int_t)port),
			OPEN_TIMEOUT_MS, on_pure_answer, open))
		free(open);
}

/* ---- what is told of a session afterwards */

/* Nobody tells this broker of it any more but the translator. */
static void leave(struct session *session, int side)
{
	session->client[side] = NULL;
	if (session->state >= SESSION_OPEN && !session->client[!side])
		session->changed_ms = limit_now_ms();
}

static void peer_ended(struct client *client, struct session *session, int side,
		       const json_t *message)
{
	const char *why = "done";

	msg_get_string(message, "why", &why);
	if (session->state < SESSION_OPEN) /* its negotiation finds out by itself */
		return;
	if (!strcmp(why, "unauthenticated")) {
		client->broker->counters.unauthenticated++;
		log_warn("session %016llx: %s says that the other end is not %s",
			 (unsigned long long)session->id, client->user->name,
			 session->user[!side]->name);
	}
	leave(session, side);
	/* TCP tells its own end to the translator, which keeps TIME_WAIT (thesis 5.2). */
	if (!strcmp(why, "done") && !session->udp)
		return;
	session_close_at_translator(session);
	session_tell_closed(session, !side, strcmp(why, "done") ? "refused" : "done");
	session_free(session); /* its translator's `ended` is what is counted */
}

void session_from_peer(struct client *client, const char *op, json_t *message)
{
	struct session *session;
	int64_t port;
	uint64_t id;

	if (!msg_get_id(message, "session", &id)) {
		msg_reply_error(client->conn, message, "bad-message", "session is missing");
		return;
	}
	session = session_find(client->broker, id);
	if (!session || (session->client[0] != client && session->client[1] != client)) {
		msg_reply_error(client->conn, message, "not-found", "no such session of this peer");
		return;
	}
	if (!strcmp(op, "ended")) {
		peer_ended(client, session, session->client[0] != client, message);
	} else if (msg_get_integer(message, "port", 1, 65535, &port)) {
		pure_port_known(session, session->client[0] != client, port);
		msg_reply(client->conn, message, NULL);
	} else {
		msg_reply_error(client->conn, message, "bad-message", "port is missing");
	}
}

static void count_traffic(struct counters *counters, const json_t *message)
{
	int64_t value;

	if (msg_get_integer(message, "bytes_up", 0, INT64_MAX, &value))
		counters->bytes_up += value;
	if (msg_get_integer(message, "bytes_down", 0, INT64_MAX, &value))
		counters->bytes_down += value;
	if (msg_get_integer(message, "packets_up", 0, INT64_MAX, &value))
		counters->packets_up += value;
	if (msg_get_integer(message, "packets_down", 0, INT64_MAX, &value))
		counters->packets_down += value;
}

static void translator_ended(struct session *session, const char *why)
{
	session_tell_closed(session, 0, why);
	session_tell_closed(session, 1, why);
	session_free(session);
}

void session_from_translator(struct client *client, const char *op, json_t *message)
{
	struct counters *counters = &client->broker->counters;
	struct session *session;
	int64_t side, port;
	const char *why = op;
	uint64_t id;

	if (!msg_get_id(message, "session", &id))
		return;
	if (!strcmp(op, "ended")) {
		counters->ended++;
		count_traffic(counters, message);
	}
	session = session_find(client->broker, id);
	if (!session || session->translator != client->translator) {
		/* Closed by this broker and forgotten, or made before it started: not kept. */
		msg_get_string(message, "why", &why);
		counters->unknown += strcmp(why, "closed") != 0;
		return;
	}
	if (session->state < SESSION_OPEN)
		return;
	if (!strcmp(op, "joined")) {
		counters->joined++;
		session_set_state(session, SESSION_JOINED);
	} else if (!strcmp(op, "side-syn")) {
		if (msg_get_integer(message, "side", 0, 1, &side) &&
		    msg_get_integer(message, "port", 1, 65535, &port))
			pure_port_known(session, side, port);
	} else if (!strcmp(op, "ended")) {
		msg_get_string(message, "why", &why);
		translator_ended(session, why);
	} else if (session->state != SESSION_JOINED) { /* refused: it may still be joined */
		msg_get_string(message, "reason", &why);
		log_info("session %016llx: translator %s refused a side: %s",
			 (unsigned long long)session->id, client->translator->name, why);
	}
}

/* ---- time and the end */

void session_client_gone(struct client *client)
{
	struct session *session;

	for (int side = 0; side < 2; side++)
		LIST_FOREACH(session, &client->user->sessions_as[side], user_link[side])
	if (session->client[side] == client)
		leave(session, side);
}

static bool is_too_late(const struct session *session, uint64_t now_ms)
{
	const struct translator *translator = session->translator;

	if (session->state < SESSION_OPEN) /* has its request's timeout */
		return false;
	if (!translator->client && now_ms - translator->gone_ms > LOST_MS)
		return true;
	if (!session->client[0] && !session->client[1] && now_ms - session->changed_ms > LOST_MS)
		return true;
	return session->state == SESSION_OPEN &&
	       now_ms - session->changed_ms >
		       session->broker->settings.lifetime_s * 1000ULL + JOIN_GRACE_MS;
}

void session_sweep(struct broker *broker)
{
	uint64_t now_ms = limit_now_ms();

	for (unsigned int i = 0; i < SESSION_BUCKETS; i++) {
		struct session *session = LIST_FIRST(&broker->sessions[i]), *next;

		for (; session; session = next) {
			next = LIST_NEXT(session, link);
			if (is_too_late(session, now_ms))
				session_free(session);
		}
	}
}

void session_free_all(struct broker *broker)
{
	for (unsigned int i = 0; i < SESSION_BUCKETS; i++)
		while (!LIST_EMPTY(&broker->sessions[i]))
			session_free(LIST_FIRST(&broker->sessions[i]));
}
