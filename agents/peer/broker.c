// SPDX-License-Identifier: GPL-3.0-or-later
/*
 *   OUT --identity--> WAITING --back-off--> CONNECTING --TLS--> LOGIN --ok--> READY
 *                        ^------------------- any end -------------------------'
 */
#include "broker.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "peer.h"

#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 60000
#define REQUEST_MS     10000
#define FRESH_MS       5000
#define KEEPALIVE_S    20

enum broker_state { BROKER_OUT, BROKER_WAITING, BROKER_CONNECTING, BROKER_LOGIN, BROKER_READY };

struct broker {
	struct peer *peer;
	enum broker_state state;
	struct identity identity;
	struct msg_conn *conn;
	struct event *timer;
	unsigned int backoff_ms;
	uint64_t since_ms; /* of READY */
	char error[128];
};

static void broker_opened(struct msg_conn *conn, void *arg);
static void broker_message(struct msg_conn *conn, json_t *message, void *arg);
static void broker_over(struct msg_conn *conn, const char *why, void *arg);

static const struct msg_handler handler = { broker_opened, broker_message, broker_over };

bool broker_is_ready(const struct broker *broker)
{
	return broker->state == BROKER_READY && msg_conn_is_open(broker->conn);
}

bool broker_is_fresh(const struct broker *broker)
{
	return broker_is_ready(broker) && now_ms() - broker->since_ms < FRESH_MS;
}

/* Between half of the back-off and all of it, so that peers do not come back all at once. */
static void connect_later(struct broker *broker)
{
	unsigned int ms = broker->backoff_ms ? broker->backoff_ms : BACKOFF_MIN_MS;
	struct timeval wait;
	unsigned int dice;

	broker->backoff_ms = ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
	evutil_secure_rng_get_bytes(&dice, sizeof(dice));
	ms = ms / 2 + dice % (ms / 2 + 1);
	wait.tv_sec = ms / 1000;
	wait.tv_usec = ms % 1000 * 1000;
	broker->state = BROKER_WAITING;
	evtimer_add(broker->timer, &wait);
}

static void broker_connect(struct broker *broker)
{
	const struct identity *identity = &broker->identity;

	broker->state = BROKER_CONNECTING;
	broker->conn = msg_connect_tls(broker->peer->base, identity->host, identity->port,
				       identity->fingerprint, &handler, broker, broker->error,
				       sizeof(broker->error));
	if (!broker->conn)
		connect_later(broker);
}

static void connect_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	broker_connect(arg);
}

static void broker_over(struct msg_conn *conn, const char *why, void *arg)
{
	struct broker *broker = arg;

	(void)conn;
	if (broker->state != BROKER_LOGIN || !broker->error[0])
		snprintf(broker->error, sizeof(broker->error), "%s", why);
	log_warn("broker %s:%s: %s", broker->identity.host, broker->identity.port, broker->error);
	broker->conn = NULL;
	broker->peer->totals.reconnects++;
	connect_later(broker);
	daemon_show_status(broker->peer);
}

/* ---- login */

static void logged_in(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct broker *broker = arg;
	struct service *service;
	const char *text = "no answer to login";
	int64_t keepalive = KEEPALIVE_S;
	bool ok = false;

	if (answer) {
		msg_get_bool(answer, "ok", &ok);
		msg_get_string(answer, "text", &text);
	}
	if (!ok) {
		snprintf(broker->error, sizeof(broker->error), "login as %s: %s",
			 broker->identity.user, text);
		/* Only the operator can change this: do not hurry. */
		if (answer)
			broker->backoff_ms = BACKOFF_MAX_MS / 2;
		msg_conn_close(conn, broker->error);
		return;
	}
	msg_get_integer(answer, "keepalive", 1, 3600, &keepalive);
	msg_conn_keepalive(conn, keepalive);
	broker->state = BROKER_READY;
	broker->since_ms = now_ms();
	broker->backoff_ms = 0;
	broker->error[0] = 0;
	log_info("logged in to %s:%s as %s", broker->identity.host, broker->identity.port,
		 broker->identity.user);
	TAILQ_FOREACH(service, &broker->peer->services, link)
	broker_publish(broker, service, NULL, NULL);
	session_broker_ready(broker->peer);
	pool_fill_all(broker->peer);
	daemon_show_status(broker->peer);
}

static void broker_opened(struct msg_conn *conn, void *arg)
{
	struct broker *broker = arg;
	const struct identity *identity = &broker->identity;
	json_t *login = json_pack("{s:s, s:s, s:s, s:i, s:s}", "op", "login", "user",
				  identity->user, "secret", identity->secret, "version", 1,
				  "client", "isthmus-peer " ISTHMUS_VERSION);

	broker->state = BROKER_LOGIN;
	broker->error[0] = 0;
	if (msg_request(conn, login, REQUEST_MS, logged_in, broker))
		msg_conn_close(conn, "login could not be sent");
}

/* ---- what the broker says */

static void answer_offer(struct broker *broker, struct msg_conn *conn, const json_t *offer)
{
	const char *refusal = NULL;
	json_t *answer = NULL;

	session_offer(broker->peer, offer, &answer, &refusal);
	if (refusal)
		msg_reply_error(conn, offer, refusal, "the provider refused: %s", refusal);
	else
		msg_reply(conn, offer, answer);
}

static void broker_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct broker *broker = arg;
	const char *op = "";

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "offer"))
		answer_offer(broker, conn, message);
	else if (!strcmp(op, "splice"))
		session_splice(broker->peer, message);
	else if (!strcmp(op, "pure-port"))
		session_pure_port(broker->peer, message);
	else if (!strcmp(op, "closed"))
		session_closed(broker->peer, message);
	else if (json_object_get(message, "id"))
		msg_reply_error(conn, message, "unknown-op", "not an operation of a peer");
}

/* ---- what we say */

int broker_request(struct broker *broker, json_t *message, unsigned int timeout_ms,
		   msg_answer answer, void *arg)
{
	if (broker_is_ready(broker))
		return msg_request(broker->conn, message, timeout_ms, answer, arg);
	json_decref(message);
	return -ENOTCONN;
}

void broker_notice(struct broker *broker, json_t *message)
{
	if (broker_is_ready(broker))
		msg_send(broker->conn, message);
	else
		json_decref(message);
}

struct publishing {
	struct peer *peer;
	char service[NAME_LEN];
	broker_published done;
	void *arg;
};

static void published(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct publishing *publishing = arg;
	struct service *service = service_find(publishing->peer, publishing->service);
	const char *text = "the broker did not answer";
	bool ok = false;

	(void)conn;
	if (answer) {
		text = "refused";
		msg_get_bool(answer, "ok", &ok);
		msg_get_string(answer, "text", &text);
	}
	if (service)
		snprintf(service->error, sizeof(service->error), "%s", ok ? "" : text);
	if (!ok)
		log_warn("%s: not published: %s", publishing->service, text);
	if (publishing->done)
		publishing->done(ok ? NULL : text, publishing->arg);
	free(publishing);
}

int broker_publish(struct broker *broker, const struct service *service, broker_published done,
		   void *arg)
{
	struct publishing *publishing = calloc(1, sizeof(*publishing));
	json_t *message;
	int error;

	if (!publishing)
		return -ENOMEM;
	publishing->peer = broker->peer;
	strcpy(publishing->service, service->name);
	publishing->done = done;
	publishing->arg = arg;
	message = json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "publish", "service", service->name,
			    "proto", proto_text(service->proto), "text", service->text, "splice",
			    service->pure ? "pure" : "passive");
	error = broker_request(broker, message, REQUEST_MS, published, publishing);
	if (error)
		free(publishing);
	return error;
}

static void unpublished(struct msg_conn *conn, json_t *answer, void *arg)
{
	(void)conn, (void)arg;
	if (!answer)
		log_warn("the broker did not answer to unpublish");
}

void broker_unpublish(struct broker *broker, const char *service)
{
	broker_request(broker, json_pack("{s:s, s:s}", "op", "unpublish", "service", service),
		       REQUEST_MS, unpublished, NULL);
}

/* Is there a route? Connecting a datagram socket sends nothing. */
static bool has_route(const char *address)
{
	struct sockaddr_storage storage;
	struct isthmus_addr parsed;
	socklen_t len;
	bool routed = false;
	int fd;

	if (address_parse(address, &parsed))
		return false;
	len = address_to_sockaddr(&parsed, htons(9), &storage);
	fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		routed = !connect(fd, (struct sockaddr *)&storage, len);
		close(fd);
	}
	return routed;
}

static bool family_is_broken(const struct peer *peer, int v6)
{
	return now_ms() < peer->family_broken_until_ms[v6];
}

json_t *broker_families(const struct broker *broker, const struct peer *peer)
{
	json_t *families = json_array();
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	struct isthmus_addr address;
	uint16_t port;
	bool v4 = has_route("192.0.2.1"), v6 = has_route("2001:db8::1"); /* RFC 5737, RFC 3849 */

	/* The family that reaches the broker is good, also without a default route. */
	if (broker->conn &&
	    !getsockname(msg_conn_fd(broker->conn), (struct sockaddr *)&own, &len) &&
	    !address_from_sockaddr((struct sockaddr *)&own, &address, &port)) {
		v4 = v4 || address_is_v4(&address);
		v6 = v6 || !address_is_v4(&address);
	}
	/* One of two whose last probe got nowhere is left out for a while. */
	if (v4 && v6 && (family_is_broken(peer, 0) != family_is_broken(peer, 1))) {
		v4 = !family_is_broken(peer, 0);
		v6 = !v4;
	}
	if (v4)
		json_array_append_new(families, json_string("4"));
	if (v6)
		json_array_append_new(families, json_string("6"));
	return families;
}

static const char *state_text(enum broker_state state)
{
	static const char *const text[] = {
		[BROKER_OUT] = "no login",	    [BROKER_WAITING] = "waiting",
		[BROKER_CONNECTING] = "connecting", [BROKER_LOGIN] = "logging in",
		[BROKER_READY] = "connected",
	};

	return text[state];
}

json_t *broker_json(const struct broker *broker)
{
	bool ready = broker_is_ready(broker);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "host", broker->identity.host, "port",
			 broker->identity.port, "user", broker->identity.user, "state",
			 state_text(broker->state), "error", broker->error, "connected_s",
			 (json_int_t)(ready ? (now_ms() - broker->since_ms) / 1000 : 0));
}

/* ---- making and ending */

static const struct msg_handler nobody; /* an old identity's connection */

static void broker_left(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn, (void)why;
	event_base_loopbreak(arg);
}

static const struct msg_handler leaving = { .closed = broker_left };

static void broker_leave(struct broker *broker)
{
	evtimer_del(broker->timer);
	if (broker->conn) {
		msg_conn_set_handler(broker->conn, &nobody, NULL);
		msg_conn_close(broker->conn, "over");
	}
	broker->conn = NULL;
	broker->state = BROKER_OUT;
}

void broker_reload(struct broker *broker)
{
	struct identity identity;
	int error = store_read_identity(broker->peer->dir, &identity);

	if (error) {
		snprintf(broker->error, sizeof(broker->error), "identity.json: %s",
			 error == -ENOENT ? "none yet: isthmus-peer login" : strerror(-error));
		log_warn("%s/%s", broker->peer->dir, broker->error);
		return;
	}
	if (broker->state != BROKER_OUT && !memcmp(&identity, &broker->identity, sizeof(identity)))
		goto out;
	broker_leave(broker);
	broker->identity = identity;
	broker->backoff_ms = 0;
	broker_connect(broker);
out:
	explicit_bzero(&identity, sizeof(identity));
}

struct broker *broker_new(struct peer *peer)
{
	struct broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		return NULL;
	broker->peer = peer;
	broker->timer = evtimer_new(peer->base, connect_timeout, broker);
	if (!broker->timer) {
		free(broker);
		return NULL;
	}
	return broker;
}

void broker_free(struct broker *broker)
{
	const struct timeval at_most = { .tv_sec = 2 };
	struct event_base *base;

	if (!broker)
		return;
	base = broker->peer->base;
	if (broker->conn) { /* what is queued still goes out */
		msg_conn_set_handler(broker->conn, &leaving, base);
		msg_conn_close(broker->conn, "over");
		broker->conn = NULL;
		broker->state = BROKER_OUT; /* clients still come while the loop runs */
		event_base_loopexit(base, &at_most);
		event_base_dispatch(base);
	}
	broker_leave(broker);
	event_free(broker->timer);
	explicit_bzero(broker, sizeof(*broker));
	free(broker);
}
