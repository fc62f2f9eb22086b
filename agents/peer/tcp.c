// SPDX-License-Identifier: GPL-3.0-or-later
/* TCP sessions from the SYN to the relay: CONNECT, PROVE, READY, GO. */
#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "peer.h"
#include "relay.h"
#include "server.h"
#include "session.h"

#define GO	'G'
#define REFUSED 'F'

/* NAT mappings of idle connections are kept alive. Seconds. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 20
#define KEEPALIVE_COUNT	     4

#define PURE_PORT_LOW  20000
#define PURE_PORT_HIGH 29999
#define PURE_TRIES     16

static void splice_ready(evutil_socket_t fd, short what, void *arg);

/* One socket for both families: the address is kept as an IPv4-mapped one. */
static int open_socket(bool v6)
{
	const int off = 0;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	return fd < 0 ? -errno : fd;
}

static int bind_port(int fd, bool v6, uint16_t *port)
{
	/* All zero is also INADDR_ANY, and the port is at the same place. */
	struct sockaddr_in6 address = { .sin6_family = v6 ? AF_INET6 : AF_INET,
					.sin6_port = htons(*port) };
	socklen_t len = v6 ? sizeof(address) : sizeof(struct sockaddr_in);

	if (bind(fd, (struct sockaddr *)&address, len) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	*port = ntohs(address.sin6_port);
	return 0;
}

/* In a pure splice one side's source port is the other's destination port at the translator, so it
 * must be one of the translator's; these are within what `isthmus splice attach` takes. */
static uint16_t pure_port(void)
{
	uint16_t dice;

	evutil_secure_rng_get_bytes(&dice, sizeof(dice));
	return PURE_PORT_LOW + dice % (PURE_PORT_HIGH - PURE_PORT_LOW + 1);
}

int tcp_reserve_port(uint16_t *port)
{
	bool v6 = true;
	int fd = open_socket(v6), error = -EADDRINUSE;
	uint16_t chosen;

	if (fd == -EAFNOSUPPORT) {
		v6 = false;
		fd = open_socket(v6);
	}
	if (fd < 0)
		return fd;
	for (int i = 0; i < PURE_TRIES && error == -EADDRINUSE; i++) {
		chosen = pure_port();
		error = bind_port(fd, v6, &chosen);
	}
	if (error) {
		close(fd);
		return error;
	}
	*port = chosen;
	return fd;
}

static socklen_t translator_address(const struct session *session, int fd,
				    struct sockaddr_storage *storage)
{
	const struct announced *announced = &session->announcement;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
	socklen_t len = sizeof(*storage);

	if (!getsockname(fd, (struct sockaddr *)storage, &len) && storage->ss_family == AF_INET6) {
		memset(storage, 0, sizeof(*storage));
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(announced->port);
		memcpy(&v6->sin6_addr, announced->address.b, sizeof(announced->address.b));
		return sizeof(*v6);
	}
	return address_to_sockaddr(&announced->address, htons(announced->port), storage);
}

static void set_options(int fd)
{
	const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
		  count = KEEPALIVE_COUNT;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static int listen_for(struct session *session, short what)
{
	if (session->io)
		event_free(session->io);
	session->io = event_new(session->peer->base, session->splice_fd, what | EV_PERSIST,
				splice_ready, session);
	return session->io && !event_add(session->io, NULL) ? 0 : -ENOMEM;
}

static int start_connect(struct session *session)
{
	const struct announced *announced = &session->announcement;
	struct sockaddr_storage storage;
	socklen_t len;
	uint16_t port;

	if (session->splice_fd < 0 && announced->pure)
		session->splice_fd = tcp_reserve_port(&port);
	if (session->splice_fd < 0)
		session->splice_fd = open_socket(!address_is_v4(&announced->address));
	if (session->splice_fd < 0)
		return session->splice_fd;
	set_options(session->splice_fd);
	len = translator_address(session, session->splice_fd, &storage);
	if (connect(session->splice_fd, (struct sockaddr *)&storage, len) && errno != EINPROGRESS)
		return -errno;
	return listen_for(session, EV_WRITE);
}

static unsigned int connect_ms(const struct session *session)
{
	const struct announced *announced = &session->announcement;
	unsigned int s = announced->lifetime_s;

	/* The provider gives up first, and offers no port of its own when it is asked again. */
	if (announced->pure)
		return SESSION_PURE_MS + (session->role == AUTH_ROLE_SUBSCRIBER ? 1000 : 0);
	return (s > SESSION_CONNECT_MIN_S ? s : SESSION_CONNECT_MIN_S) * 1000;
}

/*
 * Pure (thesis 4.4, figure 4.7): the subscriber connects to the provider's port P1 at the
 * translator from whatever port its NAT gives it, P2; the provider is told P2 and connects from P1
 * to it. Passive: both connect to ports that the translator chose.
 */
void tcp_connect(struct session *session)
{
	const struct announced *announced = &session->announcement;
	int error;

	if (!announced->pure && session->splice_fd >= 0) {
		close(session->splice_fd); /* the translator could not give us this port */
		session->splice_fd = -1;
	}
	session_set_timer(session, connect_ms(session));
	if (!announced->port) {
		session->state = SESSION_WAIT_PORT;
		return;
	}
	session->state = SESSION_CONNECT;
	error = start_connect(session);
	if (error)
		session_fail(session, SESSION_TIMEOUT, true, "the translator: %s",
			     strerror(-error));
}

static bool send_all(int fd, const void *bytes, size_t len)
{
	/* At most 72 bytes into the buffer of a new connection: less is an error. */
	return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool send_proof(struct session *session)
{
	struct proof *proof = &session->proof;
	size_t len = proof->out_len - proof->out_sent;

	if (len && !send_all(session->splice_fd, proof->out + proof->out_sent, len))
		return false;
	proof->out_sent = proof->out_len;
	return true;
}

static void connected(struct session *session)
{
	const struct announced *announced = &session->announcement;
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(session->splice_fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		session_fail(session, SESSION_TIMEOUT, true, "the translator: %s", strerror(error));
		return;
	}
	session->state = SESSION_PROVE;
	session_set_timer(session, SESSION_PROVE_MS);
	if (proof_start(&session->proof, announced->secret, session->id, session->role) ||
	    !send_proof(session) || listen_for(session, EV_READ))
		session_fail(session, SESSION_TIMEOUT, true, "no proof could be sent");
}

static void relay_over(int error, void *arg)
{
	struct session *session = arg;

	log_debug("%s/%s: session %016llx ended: %s", session->user, session->service,
		  (unsigned long long)session->id, error ? strerror(-error) : "closed");
	session_end(session, SESSION_DONE);
}

static void start_relay(struct session *session)
{
	evtimer_del(session->timer);
	event_free(session->io);
	session->io = NULL;
	set_options(session->local_fd); /* a server on the LAN may vanish, too */
	session->state = SESSION_RELAY;
	session->peer->totals.sessions++;
	session->relay = relay_new(session->peer->base, session->splice_fd, session->local_fd,
				   relay_over, session);
	session->splice_fd = session->local_fd = -1;
	if (!session->relay)
		session_fail(session, SESSION_REFUSED, false, "out of memory");
}

/* ---- subscriber */

void tcp_go(struct session *session)
{
	const char go = GO;

	session->state = SESSION_GO;
	session_set_timer(session, SESSION_GO_ACK_MS);
	if (!send_all(session->splice_fd, &go, sizeof(go)))
		session_fail(session, SESSION_TIMEOUT, true, "the pooled splice was broken");
}

bool tcp_still_going(struct session *session)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (session->role != AUTH_ROLE_SUBSCRIBER || session->go_heard ||
	    getsockopt(session->splice_fd, IPPROTO_TCP, TCP_INFO, &info, &len) || info.tcpi_unacked)
		return false;
	session->go_heard = true;
	session_set_timer(session, SESSION_GO_MS - SESSION_GO_ACK_MS);
	return true;
}

static void subscriber_answer(struct session *session)
{
	char byte;
	ssize_t n = recv(session->splice_fd, &byte, sizeof(byte), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && byte == GO)
		start_relay(session);
	else if (n == 1)
		session_fail(session, SESSION_REFUSED, false, "the provider's server refused");
	else
		session_fail(session, SESSION_TIMEOUT, true, "the provider closed the splice");
}

/* ---- provider */

static void server_is_there(int fd, void *arg)
{
	struct session *session = arg;
	const char go = GO, refused = REFUSED;

	server_free(session->server);
	session->server = NULL;
	if (fd < 0) {
		send_all(session->splice_fd, &refused, sizeof(refused));
		session_fail(session, SESSION_REFUSED, false, "the server: %s", strerror(-fd));
		return;
	}
	session->local_fd = fd;
	if (send_all(session->splice_fd, &go, sizeof(go)))
		start_relay(session);
	else
		session_fail(session, SESSION_TIMEOUT, false, "the subscriber has gone");
}

static void provider_go(struct session *session)
{
	const char refused = REFUSED;
	struct service *service = session->provided;

	/* The limit counts clients, not pooled splices, so it is looked at again. */
	if (service_refusal(service, session->user)) {
		session->peer->totals.denied++;
		send_all(session->splice_fd, &refused, sizeof(refused));
		session_fail(session, SESSION_REFUSED, false, "too many clients");
		return;
	}
	session->active = true;
	service->active++;
	session->state = SESSION_GO;
	session_set_timer(session, SESSION_SERVER_MS);
	event_del(session->io); /* early bytes stay in the kernel */
	session->server = server_connect(session->peer, IPPROTO_TCP, service->host, service->port,
					 server_is_there, session);
	if (!session->server) {
		send_all(session->splice_fd, &refused, sizeof(refused));
		session_fail(session, SESSION_REFUSED, false, "no connection to the server");
	}
}

/* ---- READY */

static void made_ready(struct session *session)
{
	proof_clear(&session->proof);
	explicit_bzero(session->announcement.secret, sizeof(session->announcement.secret));
	session->state = SESSION_READY;
	session->ready_ms = now_ms();
	if (session->role == AUTH_ROLE_PROVIDER) {
		session_set_timer(session, SESSION_READY_MS);
		return;
	}
	pool_worked(session->subscription);
	session_set_timer(session, session->peer->settings.pool_idle_s * 1000);
	if (session->local_fd >= 0)
		tcp_go(session);
}

static void ready_readable(struct session *session)
{
	char byte;
	ssize_t n = recv(session->splice_fd, &byte, sizeof(byte), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && byte == GO && session->role == AUTH_ROLE_PROVIDER)
		provider_go(session);
	else if (n == 1)
		session_fail(session, SESSION_REFUSED, true, "unexpected byte on a ready splice");
	else
		session_end(session, SESSION_DONE);
}

static void prove_readable(struct session *session)
{
	struct proof *proof = &session->proof;
	uint8_t bytes[PROOF_HELLO_BYTES];
	int result = 0;

	while (!result) {
		ssize_t n = recv(session->splice_fd, bytes, proof_wanted(proof), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			session_fail(session, SESSION_TIMEOUT, true,
				     "the other side closed before its proof");
			return;
		}
		result = proof_take(proof, bytes, n);
		if (result >= 0 && !send_proof(session)) {
			session_fail(session, SESSION_TIMEOUT, true, "no proof could be sent");
			return;
		}
	}
	if (result < 0)
		session_fail(session, SESSION_UNAUTHENTICATED, true, "the proof is wrong");
	else
		made_ready(session);
}

static void splice_ready(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd, (void)what;
	switch (session->state) {
	case SESSION_CONNECT:
		connected(session);
		break;
	case SESSION_PROVE:
		prove_readable(session);
		break;
	case SESSION_READY:
		ready_readable(session);
		break;
	case SESSION_GO:
		subscriber_answer(session);
		break;
	default:
		break;
	}
}

void tcp_release(struct session *session, enum session_why why)
{
	if (session->io)
		event_free(session->io);
	relay_free(session->relay);
	if (session->splice_fd >= 0 && why == SESSION_UNAUTHENTICATED)
		relay_reset(session->splice_fd);
	else if (session->splice_fd >= 0)
		close(session->splice_fd);
	if (session->local_fd >= 0)
		relay_reset(session->local_fd); /* a client without a server */
	proof_clear(&session->proof);
}
