// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A session from `negotiate` to `splice`: the provider is asked, then a translator, then both ends
 * are told. Whoever vanishes on the way ends it; what a translator has opened by then is closed.
 */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "../lib/log.h"
#include "broker.h"

#define NEGOTIATE_BURST_S 4.0 /* a client program may open many connections at once */

static void ask_translator(struct session *session);

/* ---- how it fails */

static void fail(struct session *session, const char *code, const char *text)
{
	if (session->client[0])
		msg_reply_error(session->client[0]->conn, session->request, code, "%s", text);
	session_free(session);
}

/* ---- the translator's answer */

/* What side `role` needs; NULL if the translator's answer is not as the protocol says. */
static json_t *announcement(const struct session *session, const json_t *answer, int role)
{
	const char *address, *token, *mode, *name = session->service;
	const json_t *side = json_array_get(json_object_get(answer, "sides"), role);
	int64_t port, udp, tcp;
	char secret[48];
	json_t *result;

	if (!msg_get_string(side, "address", &address) || !msg_get_string(side, "token", &token) ||
	    !msg_get_integer(side, "port", 0, 65535, &port) ||
	    !msg_get_string(answer, "mode", &mode) ||
	    !msg_get_integer(answer, "probe_port_udp", 0, 65535, &udp) ||
	    !msg_get_integer(answer, "probe_port_tcp", 0, 65535, &tcp))
		return NULL;
	auth_base64(session->secret, sizeof(session->secret), secret, sizeof(secret));
	result = json_pack("{s:o, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:s, s:s, s:i, s:s}",
			   "session", msg_json_id(session->id), "service", name, "proto",
			   session->udp ? "udp" : "tcp", "role", role, "address", address, "port",
			   (json_int_t)port, "probe_port_udp", (json_int_t)udp, "probe_port_tcp",
			   (json_int_t)tcp, "token", token, "secret", secret, "lifetime",
			   (int)session->broker->settings.lifetime_s, "mode", mode);
	OPENSSL_cleanse(secret, sizeof(secret));
	if (result && role == 1 && session->source_port && !strcmp(mode, "pure"))
		json_object_set_new(result, "source_port", json_integer(session->source_port));
	return result;
}

/* A provider that has gone meanwhile will not come: the subscriber may ask again at once. */
static void announce(struct session *session, json_t *subscriber, json_t *provider)
{
	struct broker *broker = session->broker;

	json_object_set_new(provider, "op", json_string("splice"));
	if (!session->client[1] || msg_send(session->client[1]->conn, json_incref(provider))) {
		session_close_at_translator(session);
		broker->counters.negotiate_offline++;
		fail(session, "offline", "the provider is gone");
		return;
	}
	if (!session->client[0] ||
	    msg_reply(session->client[0]->conn, session->request, json_incref(subscriber))) {
		session_close_at_translator(session);
		session_tell_closed(session, 1, "refused");
		session_free(session);
		return;
	}
	broker->counters.negotiated++;
	session_set_state(session, SESSION_OPEN);
}

static void on_open_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct session *session = arg;
	bool ok = json_is_true(json_object_get(answer, "ok"));
	json_t *subscriber = ok ? announcement(session, answer, 0) : NULL;
	json_t *provider = ok ? announcement(session, answer, 1) : NULL;
	const char *error = answer ? "bad answer" : "no answer";

	(void)conn;
	if (subscriber && provider) {
		announce(session, subscriber, provider);
	} else {
		if (!ok)
			msg_get_string(answer, "error", &error);
		log_warn("translator %s did not open a session: %s", session->translator->name,
			 error);
		if (ok || !answer) /* it may be open there */
			session_close_at_translator(session);
		ask_translator(session);
	}
	json_decref(subscriber);
	json_decref(provider);
}

static json_t *open_message(const struct session *session, unsigned int family)
{
	bool pure = session->pure && session->source_port;
	json_t *message =
		json_pack("{s:s, s:o, s:s, s:s, s:s, s:i}", "op", "open", "session",
			  msg_json_id(session->id), "proto", session->udp ? "udp" : "tcp", "family",
			  family == FAMILY_4 ? "4" : "6", "mode", pure ? "pure" : "passive",
			  "lifetime", (int)session->broker->settings.lifetime_s);

	if (message && pure) {
		json_object_set_new(message, "source_port", json_integer(session->source_port));
		json_object_set_new(message, "source_side", json_integer(1));
	}
	return message;
}

/* The next translator that has not been tried; ends the session when there is none. */
static void ask_translator(struct session *session)
{
	struct translator *translator;
	unsigned int family;

	if (session->translator)
		translator_give_back(session->broker, session->translator);
	session->translator = NULL;
	while ((translator = translator_choose(session, &family))) {
		session->tried[session->tried_count++] = translator->id;
		if (msg_request(translator->client->conn, open_message(session, family),
				OPEN_TIMEOUT_MS, on_open_answer, session))
			continue;
		translator->free--;
		translator->load++;
		translator->sessions++;
		session->translator = translator;
		session_set_state(session, SESSION_OPENING);
		return;
	}
	session->broker->counters.negotiate_translator++;
	session_tell_closed(session, 1, "refused");
	fail(session, "no-translator",
	     session->tried_count ? "no translator opened the session"
				  : "no translator is free in a family that both ends have");
}

/* ---- the provider's answer */

static void on_offer_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct session *session = arg;
	struct counters *counters = &session->broker->counters;
	const char *error = "denied";
	int64_t port;

	if (!answer && !msg_conn_is_open(conn)) {
		counters->negotiate_offline++;
		fail(session, "offline", "the provider is gone");
	} else if (!answer) {
		counters->negotiate_timeout++;
		fail(session, "timeout", "the provider did not answer");
	} else if (!json_is_true(json_object_get(answer, "ok"))) {
		msg_get_string(answer, "error", &error);
		if (!strcmp(error, "limit")) {
			counters->negotiate_limit++;
			fail(session, "limit", "the provider has as many sessions as it allows");
		} else {
			counters->negotiate_denied++;
			fail(session, "denied", "the provider refused");
		}
	} else if (!session->client[0]) { /* nobody waits any more */
		session_tell_closed(session, 1, "refused");
		session_free(session);
	} else {
		session->families &= read_families(answer, "families");
		if (msg_get_integer(answer, "source_port", 1, 65535, &port))
			session->source_port = port;
		ask_translator(session);
	}
}

/* ---- the subscriber's request */

/* Only for a request that fails: the one look into the database. */
static bool is_known(struct broker *broker, const char *user)
{
	struct db_user record;

	return !db_find(broker->db, DB_USER, user, &record);
}

static bool over_limit(const struct broker *broker, const struct user *user)
{
	return user->sessions >= broker->settings.sessions;
}

static void refuse(struct client *client, const json_t *message, uint64_t *counter,
		   const char *code, const char *text)
{
	(*counter)++;
	msg_reply_error(client->conn, message, code, "%s", text);
}

static void offer(struct client *client, const struct service *service, json_t *message)
{
	struct broker *broker = client->broker;
	struct session *session = session_new(client, service->client, service);
	json_t *offered;

	if (!session) {
		msg_reply_error(client->conn, message, "internal", "out of memory");
		return;
	}
	session->families = read_families(message, "families");
	session->request = json_incref(message);
	offered = json_pack("{s:s, s:o, s:s, s:s}", "op", "offer", "session",
			    msg_json_id(session->id), "service", service->name, "from",
			    client->user->name);
	if (msg_request(service->client->conn, offered, OFFER_TIMEOUT_MS, on_offer_answer,
			session)) {
		broker->counters.negotiate_offline++;
		fail(session, "offline", "the provider is gone");
	}
}

void negotiate_message(struct client *client, json_t *message)
{
	struct broker *broker = client->broker;
	struct counters *counters = &broker->counters;
	const char *user_name, *service_name;
	const struct service *service = NULL;
	struct user *user;

	if (!bucket_take(&client->user->negotiations, broker->settings.negotiate_rate,
			 NEGOTIATE_BURST_S * broker->settings.negotiate_rate, limit_now_ms())) {
		refuse(client, message, &counters->negotiate_rate, "rate-limited",
		       "too many negotiations");
		return;
	}
	if (!json_is_integer(json_object_get(message, "id")) ||
	    !msg_get_string(message, "user", &user_name) || !db_name_is_valid(user_name) ||
	    !msg_get_string(message, "service", &service_name) || !db_name_is_valid(service_name) ||
	    !read_families(message, "families")) {
		refuse(client, message, &counters->negotiate_bad, "bad-message",
		       "id, user, service or families are missing or wrong");
		return;
	}
	user = user_find(broker, user_name);
	if (user)
		service = user_service(user, service_name);
	if (!service && !is_known(broker, user_name))
		refuse(client, message, &counters->negotiate_not_found, "not-found",
		       "no such user");
	else if (!service)
		refuse(client, message, &counters->negotiate_offline, "offline",
		       "the service is not online");
	else if (over_limit(broker, client->user) || over_limit(broker, user) ||
		 broker->session_count >= broker->settings.all_sessions)
		refuse(client, message, &counters->negotiate_limit, "limit", "too many sessions");
	else
		offer(client, service, message);
}
