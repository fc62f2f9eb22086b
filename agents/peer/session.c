// SPDX-License-Identifier: GPL-3.0-or-later
/* Sessions from negotiation to the probe, and their end; tcp.c and udp.c do what comes between. */
#include "session.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "broker.h"
#include "peer.h"
#include "probe.h"
#include "relay.h"
#include "server.h"
#include "udp.h"

#define UDP_BLOCKED_MS	   600000
#define FAMILY_BROKEN_MS   60000
#define NEGOTIATE_AGAIN_MS 200 /* the first wait when the broker limits the rate; then doubled */

/* A request under way; its session may end before the answer. */
struct negotiation {
	struct session *session;
	struct peer *peer;
};

static const char *const why_text[] = {
	[SESSION_DONE] = "done",
	[SESSION_UNAUTHENTICATED] = "unauthenticated",
	[SESSION_TIMEOUT] = "timeout",
	[SESSION_REFUSED] = "refused",
};

static void session_timeout(evutil_socket_t fd, short what, void *arg);
static void session_negotiate(struct session *session);

static struct session *session_new(struct peer *peer, int role, int proto)
{
	struct session *session;

	if (peer->stopping || peer->session_count >= peer->settings.sessions)
		return NULL;
	session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->peer = peer;
	session->role = role;
	session->proto = proto;
	session->splice_fd = session->local_fd = -1;
	session->made_ms = now_ms();
	session->timer = evtimer_new(peer->base, session_timeout, session);
	if (!session->timer) {
		free(session);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&peer->sessions, session, link);
	peer->session_count++;
	return session;
}

void session_set_timer(struct session *session, unsigned int ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	evtimer_add(session->timer, &wait);
}

static struct session *session_find(struct peer *peer, uint64_t id)
{
	struct session *session;

	TAILQ_FOREACH(session, &peer->sessions, link)
	if (session->id == id && session->state != SESSION_NEGOTIATE)
		return session;
	return NULL;
}

static void send_ended(struct peer *peer, uint64_t id, enum session_why why)
{
	broker_notice(peer->broker, json_pack("{s:s, s:o, s:s}", "op", "ended", "session",
					      msg_json_id(id), "why", why_text[why]));
}

uint64_t session_bytes_in(const struct session *session)
{
	if (session->udp)
		return udp_bytes_in(session->udp);
	return session->relay ? relay_bytes_from_a(session->relay) : 0;
}

uint64_t session_bytes_out(const struct session *session)
{
	if (session->udp)
		return udp_bytes_out(session->udp);
	return session->relay ? relay_bytes_from_b(session->relay) : 0;
}

static void session_release(struct session *session, enum session_why why)
{
	struct peer *peer = session->peer;

	peer->totals.bytes_in += session_bytes_in(session);
	peer->totals.bytes_out += session_bytes_out(session);
	if (session->announced)
		send_ended(peer, session->id, why);
	if (session->negotiation)
		session->negotiation->session = NULL;
	if (session->active && session->provided)
		session->provided->active--;
	probe_free(session->probe);
	server_free(session->server);
	udp_free(session->udp, why == SESSION_DONE);
	tcp_release(session, why);
	event_free(session->timer);
	TAILQ_REMOVE(&peer->sessions, session, link);
	peer->session_count--;
	explicit_bzero(session, sizeof(*session));
	free(session);
}

void session_end(struct session *session, enum session_why why)
{
	struct subscription *subscription = session->subscription;
	bool pooled = session->local_fd < 0 && session->state <= SESSION_READY;

	session_release(session, why);
	if (subscription && pooled)
		pool_fill(subscription);
}

static bool has_client(const struct session *session)
{
	return session->local_fd >= 0 || session->udp;
}

/* The client goes on with a new session. Frees the old one. */
static void session_again(struct session *session, enum session_why why)
{
	struct subscription *subscription = session->subscription;
	unsigned int tries = session->tries + 1;
	struct udp_path *udp = session->udp;
	int fd = session->local_fd;

	session->local_fd = -1;
	session->udp = NULL;
	if (udp)
		udp_detach(udp);
	session_release(session, why);
	if (udp)
		udp_subscribe_again(subscription, udp, tries);
	else
		session_subscribe(subscription, fd, tries);
}

void session_fail(struct session *session, enum session_why why, bool again, const char *format,
		  ...)
{
	struct subscription *subscription = session->subscription;
	struct totals *totals = &session->peer->totals;
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_info("%s/%s: session %016llx: %s (%s)", session->user, session->service,
		 (unsigned long long)session->id, text, session_state_text(session->state));
	totals->failed++;
	totals->unauthenticated += why == SESSION_UNAUTHENTICATED;
	if (session->announcement.pure && session->provided && session->state < SESSION_PROVE)
		service_note_impure(session->provided, session->user);
	if (subscription) {
		snprintf(subscription->error, sizeof(subscription->error), "%s", text);
		pool_failed(subscription);
	}
	again = again && subscription && has_client(session) && session->tries + 1 < SESSION_TRIES;
	if (again)
		session_again(session, why);
	else
		session_release(session, why);
}

/* ---- subscriber */

static void negotiate_later(struct session *session)
{
	session->backoff_ms = session->backoff_ms ? session->backoff_ms * 2 : NEGOTIATE_AGAIN_MS;
	session_set_timer(session, session->backoff_ms);
}

static void session_probe(struct session *session);

static void negotiate_refused(struct session *session, const json_t *answer)
{
	const char *code = "internal", *text = "";

	msg_get_string(answer, "error", &code);
	msg_get_string(answer, "text", &text);
	/* After a broker's restart the provider may come back later than we did. */
	if (has_client(session) &&
	    (!strcmp(code, "rate-limited") ||
	     (!strcmp(code, "offline") && broker_is_fresh(session->peer->broker)))) {
		negotiate_later(session);
		return;
	}
	session_fail(session, SESSION_REFUSED, !strcmp(code, "timeout"),
		     "the broker answered %s%s%s", code, *text ? ": " : "", text);
}

static void negotiate_answered(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct negotiation *negotiation = arg;
	struct session *session = negotiation->session;
	struct peer *peer = negotiation->peer;
	const char *bad;
	uint64_t id;
	bool ok = false;

	(void)conn;
	free(negotiation);
	if (answer)
		msg_get_bool(answer, "ok", &ok);
	if (!session) {
		if (ok && msg_get_id(answer, "session", &id))
			send_ended(peer, id, SESSION_TIMEOUT);
		return;
	}
	session->negotiation = NULL;
	if (!answer)
		negotiate_later(session);
	else if (!ok)
		negotiate_refused(session, answer);
	else if (announce_read(answer, &session->announcement, &bad))
		session_fail(session, SESSION_REFUSED, false, "the broker's answer has a bad %s",
			     bad);
	else
		session_probe(session);
}

static void session_negotiate(struct session *session)
{
	struct negotiation *negotiation;
	struct broker *broker = session->peer->broker;
	json_t *message;

	if (session->negotiation || !broker_is_ready(broker))
		return; /* session_broker_ready() comes back */
	negotiation = calloc(1, sizeof(*negotiation));
	if (!negotiation)
		return; /* the timer ends the session */
	negotiation->session = session;
	negotiation->peer = session->peer;
	message = json_pack("{s:s, s:s, s:s, s:o}", "op", "negotiate", "user", session->user,
			    "service", session->service, "families",
			    broker_families(broker, session->peer));
	session->negotiation = negotiation;
	if (broker_request(broker, message, SESSION_WAIT_MS, negotiate_answered, negotiation)) {
		session->negotiation = NULL;
		free(negotiation);
	}
}

struct session *session_subscribe(struct subscription *subscription, int local_fd,
				  unsigned int tries)
{
	struct session *session =
		session_new(subscription->peer, AUTH_ROLE_SUBSCRIBER, subscription->proto);

	if (!session) {
		if (local_fd >= 0)
			relay_reset(local_fd);
		return NULL;
	}
	session->state = SESSION_NEGOTIATE;
	session->subscription = subscription;
	session->local_fd = local_fd;
	session->tries = tries;
	session->deadline_ms = session->made_ms + SESSION_WAIT_MS;
	strcpy(session->user, subscription->user);
	strcpy(session->service, subscription->service);
	session_set_timer(session, SESSION_WAIT_MS);
	session_negotiate(session);
	return session;
}

void session_broker_ready(struct peer *peer)
{
	struct session *session, *next;

	for (session = TAILQ_FIRST(&peer->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->state == SESSION_NEGOTIATE)
			session_negotiate(session);
	}
}

/* ---- provider */

/* One user cannot take all sessions from the others. */
static bool has_too_many(struct peer *peer, const char *user)
{
	const struct session *session;
	unsigned int count = 0;

	TAILQ_FOREACH(session, &peer->sessions, link)
	count += session->provided && !strcmp(session->user, user);
	return count >= (peer->settings.sessions + 1) / 2;
}

/* A service of this name that lets the user in, or the reason why not. */
static struct service *offered_service(struct peer *peer, const char *name, const char *user,
				       const char **refusal)
{
	struct service *service = service_find(peer, name);

	*refusal = service ? service_refusal(service, user) : "not-found";
	if (!*refusal && has_too_many(peer, user))
		*refusal = "limit";
	if (*refusal) {
		peer->totals.denied++;
		log_info("%s: %s is refused: %s", name, user, *refusal);
		return NULL;
	}
	return service;
}

static json_t *offer_answer(struct session *session)
{
	json_t *answer = json_pack("{s:o}", "families",
				   broker_families(session->peer->broker, session->peer));
	uint16_t port;

	if (!service_try_pure(session->provided, session->user))
		return answer;
	session->splice_fd = tcp_reserve_port(&port);
	if (session->splice_fd >= 0)
		json_object_set_new(answer, "source_port", json_integer(port));
	return answer;
}

void session_offer(struct peer *peer, const json_t *offer, json_t **answer, const char **refusal)
{
	const char *name, *user;
	struct service *service;
	struct session *session;
	uint64_t id;

	*refusal = "bad-message";
	if (!msg_get_id(offer, "session", &id) || !msg_get_string(offer, "service", &name) ||
	    !msg_get_string(offer, "from", &user) || !name_valid(user) || session_find(peer, id))
		return;
	service = offered_service(peer, name, user, refusal);
	if (!service)
		return;
	session = session_new(peer, AUTH_ROLE_PROVIDER, service->proto);
	*refusal = "limit";
	if (!session)
		return;
	session->state = SESSION_OFFERED;
	session->id = id;
	session->provided = service;
	strcpy(session->user, user);
	strcpy(session->service, service->name);
	if (service->proto == IPPROTO_UDP && !(session->udp = udp_provide(session))) {
		session_release(session, SESSION_REFUSED);
		return;
	}
	session_set_timer(session, SESSION_WAIT_MS);
	*refusal = NULL;
	*answer = offer_answer(session);
}

void session_splice(struct peer *peer, const json_t *message)
{
	struct announced announced;
	struct session *session;
	const char *bad;

	if (announce_read(message, &announced, &bad)) {
		log_warn("the broker announces a session with a bad %s", bad);
		return;
	}
	session = session_find(peer, announced.session);
	if (session && session->state == SESSION_OFFERED) {
		session->announcement = announced;
		session_probe(session);
	}
	explicit_bzero(&announced, sizeof(announced));
}

void session_pure_port(struct peer *peer, const json_t *message)
{
	struct session *session;
	uint64_t id;
	int64_t port;

	if (!msg_get_id(message, "session", &id) ||
	    !msg_get_integer(message, "port", 1, 65535, &port))
		return;
	session = session_find(peer, id);
	if (!session || session->role != AUTH_ROLE_PROVIDER || session->announcement.port)
		return;
	session->announcement.port = port; /* may come during the probe */
	if (session->state == SESSION_WAIT_PORT)
		tcp_connect(session);
}

/* ---- both */

/* Once joined, a session is told of its end by the other side itself. */
void session_closed(struct peer *peer, const json_t *message)
{
	struct session *session;
	const char *why = "";
	uint64_t id;

	if (!msg_get_id(message, "session", &id))
		return;
	session = session_find(peer, id);
	if (session && session->proto == IPPROTO_TCP && session->state == SESSION_READY) {
		session_end(session, SESSION_DONE); /* better than a client that finds out */
		return;
	}
	if (!session || session->state > SESSION_CONNECT)
		return;
	msg_get_string(message, "why", &why);
	session_fail(session, SESSION_TIMEOUT, true, "the broker closed it: %.64s", why);
}

/* Where UDP did not reach a translator, the seconds that it takes to see this are not spent for
 * each session anew. */
static bool udp_is_blocked(const struct peer *peer)
{
	return now_ms() < peer->udp_blocked_until_ms;
}

static void probe_finished(int error, void *arg)
{
	struct session *session = arg;

	if (!error && session->proto == IPPROTO_TCP && probe_was_tcp(session->probe) &&
	    !udp_is_blocked(session->peer))
		session->peer->udp_blocked_until_ms = now_ms() + UDP_BLOCKED_MS;
	probe_free(session->probe);
	session->probe = NULL;
	if (error) {
		session->peer
			->family_broken_until_ms[!address_is_v4(&session->announcement.address)] =
			now_ms() + FAMILY_BROKEN_MS;
		session_fail(session, SESSION_TIMEOUT, true, "the translator's probe: %s",
			     strerror(-error));
	} else if (session->proto == IPPROTO_UDP) {
		udp_connect(session);
	} else {
		tcp_connect(session);
	}
}

static void session_probe(struct session *session)
{
	const struct announced *announced = &session->announcement;

	session->announced = true;
	session->id = announced->session;
	if (announced->role != session->role || announced->proto != session->proto) {
		session_fail(session, SESSION_REFUSED, false, "announced with another role");
		return;
	}
	evtimer_del(session->timer); /* the probe has its own */
	session->state = SESSION_PROBE;
	session->probe = probe_new(session->peer->base, announced,
				   session->proto == IPPROTO_TCP && udp_is_blocked(session->peer),
				   probe_finished, session);
	if (!session->probe)
		session_fail(session, SESSION_TIMEOUT, true, "no way to the translator: %s",
			     strerror(errno));
}

void session_go(struct session *session)
{
	tcp_go(session);
}

static void session_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd, (void)what;
	if (session->udp && session->state >= SESSION_PROVE) {
		udp_tick(session);
		return;
	}
	switch (session->state) {
	case SESSION_NEGOTIATE:
		if (now_ms() < session->deadline_ms) {
			session_set_timer(session, session->deadline_ms - now_ms() + 1);
			session_negotiate(session);
			return;
		}
		session_fail(session, SESSION_TIMEOUT, false, "no answer from the broker");
		return;
	case SESSION_READY:
		session_end(session, SESSION_DONE);
		return;
	case SESSION_PROVE:
		session_fail(session, SESSION_UNAUTHENTICATED, true,
			     "the other side did not prove itself in time");
		return;
	case SESSION_GO:
		if (!tcp_still_going(session))
			session_fail(session, SESSION_TIMEOUT, true, "no answer from %s",
				     session->provided ? "the server" : "the provider");
		return;
	default:
		session_fail(session, SESSION_TIMEOUT, true, "the other side did not come in time");
	}
}

void session_forget_service(struct peer *peer, struct service *service)
{
	struct session *session, *next;

	for (session = TAILQ_FIRST(&peer->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->provided == service)
			session_end(session, SESSION_DONE);
	}
}

void session_forget_subscription(struct peer *peer, struct subscription *subscription)
{
	struct session *session, *next;

	for (session = TAILQ_FIRST(&peer->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->subscription != subscription)
			continue;
		session->subscription = NULL;
		session_end(session, SESSION_DONE);
	}
}

void session_end_all(struct peer *peer)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&peer->sessions))) {
		session->subscription = NULL;
		session_release(session, SESSION_DONE);
	}
}

const char *session_state_text(enum session_state state)
{
	static const char *const text[] = {
		[SESSION_NEGOTIATE] = "negotiate", [SESSION_OFFERED] = "offered",
		[SESSION_PROBE] = "probe",	   [SESSION_WAIT_PORT] = "wait-port",
		[SESSION_CONNECT] = "connect",	   [SESSION_PROVE] = "prove",
		[SESSION_READY] = "ready",	   [SESSION_GO] = "go",
		[SESSION_RELAY] = "relay",
	};

	return text[state];
}

json_t *session_json(const struct session *session)
{
	char translator[ADDRESS_TEXT_LEN] = "";

	if (session->announced)
		address_port_text(&session->announcement.address, htons(session->announcement.port),
				  translator);
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "session",
			 msg_json_id(session->id), "role",
			 session->role == AUTH_ROLE_PROVIDER ? "provider" : "subscriber", "user",
			 session->user, "service", session->service, "proto",
			 proto_text(session->proto), "state", session_state_text(session->state),
			 "translator", translator, "mode",
			 session->announcement.pure ? "pure" : "passive", "bytes_in",
			 (json_int_t)session_bytes_in(session), "bytes_out",
			 (json_int_t)session_bytes_out(session), "age_s",
			 (json_int_t)((now_ms() - session->made_ms) / 1000));
}
