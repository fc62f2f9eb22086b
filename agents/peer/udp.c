// SPDX-License-Identifier: GPL-3.0-or-later
/*
 *   PROVE   hello (and proof, once the other's hello came) at 0, 50, 150, 400 ms, then every 250 ms
 *     |     the other's proof
 *   RELAY   data; keep-alive when nothing was sent for 20 s; bye at the end
 *
 * A translator drops datagrams until both sides' first have come, so the first repetitions are
 * fast.
 */
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "frame.h"
#include "peer.h"
#include "server.h"
#include "session.h"

#define QUEUE_MAX     16 /* datagrams kept until the path is there */
#define DATAGRAM_MAX  65535
#define BATCH	      64 /* datagrams of one socket before others have their turn */
#define HELLOS_MAX    20
#define KEEPALIVE_MS  20000
#define IDLE_MS	      120000 /* RFC 4787 REQ-5 */
#define SILENCE_MS    70000  /* three keep-alives of the other side are missing */
#define SOCKET_BUFFER (1 << 20)

struct datagram {
	size_t len;
	uint8_t *bytes;
};

struct udp_path {
	LIST_ENTRY(udp_path) link;
	struct session *session;
	struct subscription *subscription; /* subscriber: counted in its udp_clients */
	int bind;			   /* which of its sockets */
	struct sockaddr_storage client;
	socklen_t client_len;
	struct event *splice_event, *local_event; /* local: provider's socket to its server */
	struct frame_proof proof;
	unsigned int hellos;
	struct datagram queue[QUEUE_MAX];
	unsigned int queued;
	uint64_t data_ms, sent_ms, heard_ms;
	uint64_t bytes_in, bytes_out;
};

/* One thread, so one buffer: byte 0 is the type. */
static uint8_t buffer[1 + DATAGRAM_MAX];

uint64_t udp_bytes_in(const struct udp_path *path)
{
	return path->bytes_in;
}

uint64_t udp_bytes_out(const struct udp_path *path)
{
	return path->bytes_out;
}

static void dropped(const struct session *session)
{
	session->peer->totals.datagrams_dropped++;
}

static void send_frame(struct udp_path *path, const uint8_t *bytes, size_t len)
{
	if (send(path->session->splice_fd, bytes, len, MSG_NOSIGNAL) < 0) {
		dropped(path->session);
		return;
	}
	path->sent_ms = now_ms();
}

static void send_type(struct udp_path *path, enum frame_type type)
{
	const uint8_t byte = type;

	send_frame(path, &byte, sizeof(byte));
}

static void send_hello(struct udp_path *path)
{
	uint8_t bytes[FRAME_HELLO_BYTES];

	frame_write_hello(&path->proof, bytes);
	send_frame(path, bytes, sizeof(bytes));
}

static void send_proof(struct udp_path *path)
{
	uint8_t bytes[FRAME_PROOF_BYTES];

	if (!frame_write_proof(&path->proof, bytes))
		send_frame(path, bytes, sizeof(bytes));
}

/* ---- the queue */

/* The newest is dropped when it is full: a request waits longer than its repetitions. */
static void enqueue(struct udp_path *path, const uint8_t *bytes, size_t len)
{
	struct datagram *datagram = &path->queue[path->queued];

	if (path->queued == QUEUE_MAX || !(datagram->bytes = malloc(len + 1))) {
		dropped(path->session);
		return;
	}
	memcpy(datagram->bytes, bytes, len);
	datagram->len = len;
	path->queued++;
}

static void drop_queue(struct udp_path *path)
{
	while (path->queued)
		free(path->queue[--path->queued].bytes);
}

/* The application's bytes, with the type byte before them, to the other side. */
static void send_data(struct udp_path *path, uint8_t *framed, size_t len)
{
	framed[0] = FRAME_DATA;
	send_frame(path, framed, len + 1);
	path->bytes_out += len;
	path->data_ms = now_ms();
}

static void deliver(struct udp_path *path, const uint8_t *bytes, size_t len)
{
	struct session *session = path->session;
	ssize_t n;

	if (session->role == AUTH_ROLE_PROVIDER && session->local_fd < 0) {
		enqueue(path, bytes, len);
		return;
	}
	if (session->role == AUTH_ROLE_PROVIDER)
		n = send(session->local_fd, bytes, len, MSG_NOSIGNAL);
	else
		n = sendto(path->subscription->udp_fd[path->bind], bytes, len, MSG_NOSIGNAL,
			   (struct sockaddr *)&path->client, path->client_len);
	if (n < 0) {
		dropped(session);
		return;
	}
	path->bytes_in += len;
	path->data_ms = now_ms();
}

static void flush_queue(struct udp_path *path)
{
	for (unsigned int i = 0; i < path->queued; i++) {
		struct datagram *datagram = &path->queue[i];

		if (path->session->role == AUTH_ROLE_PROVIDER) {
			deliver(path, datagram->bytes, datagram->len);
		} else {
			memcpy(buffer + 1, datagram->bytes, datagram->len);
			send_data(path, buffer, datagram->len);
		}
	}
	drop_queue(path);
}

/* ---- the provider's server */

static void server_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_path *path = arg;

	(void)what;
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(fd, buffer + 1, DATAGRAM_MAX, 0);

		if (n < 0 && errno != ECONNREFUSED) /* no server just now: that is its affair */
			return;
		if (n >= 0)
			send_data(path, buffer, n);
	}
}

static void server_is_there(int fd, void *arg)
{
	struct session *session = arg;
	struct udp_path *path = session->udp;
	const int size = SOCKET_BUFFER;

	server_free(session->server);
	session->server = NULL;
	if (fd < 0) {
		session_fail(session, SESSION_REFUSED, false, "the server: %s", strerror(-fd));
		return;
	}
	session->local_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	path->local_event =
		event_new(session->peer->base, fd, EV_READ | EV_PERSIST, server_readable, path);
	if (!path->local_event || event_add(path->local_event, NULL))
		session_fail(session, SESSION_REFUSED, false, "out of memory");
	else
		flush_queue(path);
}

/* ---- PROVE and RELAY */

/* The proof is sent once more in front of the data: alone it might have been lost, and data before
 * it is dropped. False if the session has ended. */
static bool now_proved(struct udp_path *path)
{
	struct session *session = path->session;
	struct service *service = session->provided;

	session->state = SESSION_RELAY;
	session->ready_ms = path->data_ms = now_ms();
	session->peer->totals.sessions++;
	send_proof(path);
	session_set_timer(session, KEEPALIVE_MS / 4);
	if (session->role == AUTH_ROLE_SUBSCRIBER) {
		pool_worked(session->subscription);
		flush_queue(path);
		return true;
	}
	if (service_refusal(service, session->user)) {
		session->peer->totals.denied++;
		session_fail(session, SESSION_REFUSED, false, "too many clients");
		return false;
	}
	session->active = true;
	service->active++;
	session->server = server_connect(session->peer, IPPROTO_UDP, service->host, service->port,
					 server_is_there, session);
	if (session->server)
		return true;
	session_fail(session, SESSION_REFUSED, false, "no socket to the server");
	return false;
}

/* False if the session has ended. */
static bool take_frame(struct udp_path *path, const uint8_t *bytes, size_t len)
{
	struct session *session = path->session;

	switch (frame_take(&path->proof, bytes, len)) {
	case FRAME_GREET:
		send_hello(path);
		send_proof(path);
		return true;
	case FRAME_SEND_PROOF:
		send_proof(path);
		break;
	case FRAME_NOW_PROVED:
		path->heard_ms = now_ms();
		return now_proved(path);
	case FRAME_WRONG:
		session_fail(session, SESSION_UNAUTHENTICATED, true, "the proof is wrong");
		return false;
	case FRAME_DELIVER:
		deliver(path, bytes + 1, len - 1);
		break;
	case FRAME_ALIVE:
		break;
	case FRAME_OTHER_IS_OVER:
		session_end(session, SESSION_DONE);
		return false;
	case FRAME_IGNORE:
		dropped(session);
		return true;
	}
	path->heard_ms = now_ms();
	return true;
}

static void splice_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_path *path = arg;

	(void)what;
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n < 0 && errno != ECONNREFUSED)
			return;
		if (n >= 0 && !take_frame(path, buffer, n))
			return;
	}
}

static unsigned int hello_wait_ms(unsigned int hellos)
{
	static const unsigned int first[] = { 50, 100 };

	return hellos <= 2 ? first[hellos - 1] : 250;
}

static void prove_tick(struct session *session)
{
	struct udp_path *path = session->udp;

	if (path->hellos == HELLOS_MAX) {
		session_fail(session,
			     path->proof.greeted ? SESSION_UNAUTHENTICATED : SESSION_TIMEOUT, true,
			     "the other side did not prove itself in time");
		return;
	}
	send_hello(path);
	send_proof(path);
	session_set_timer(session, hello_wait_ms(++path->hellos));
}

void udp_tick(struct session *session)
{
	struct udp_path *path = session->udp;
	uint64_t now = now_ms();

	if (session->state == SESSION_PROVE) {
		prove_tick(session);
		return;
	}
	if (now - path->data_ms > IDLE_MS || now - path->heard_ms > SILENCE_MS) {
		session_end(session, SESSION_DONE);
		return;
	}
	if (now - path->sent_ms >= KEEPALIVE_MS * 3 / 4)
		send_type(path, FRAME_KEEPALIVE);
	session_set_timer(session, KEEPALIVE_MS / 4);
}

static int open_path(struct session *session)
{
	const struct announced *announced = &session->announcement;
	struct udp_path *path = session->udp;
	struct sockaddr_storage storage;
	const int size = SOCKET_BUFFER;
	socklen_t len = address_to_sockaddr(&announced->address, htons(announced->port), &storage);

	session->splice_fd =
		socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (session->splice_fd < 0)
		return -errno;
	setsockopt(session->splice_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (connect(session->splice_fd, (struct sockaddr *)&storage, len))
		return -errno;
	path->splice_event = event_new(session->peer->base, session->splice_fd,
				       EV_READ | EV_PERSIST, splice_readable, path);
	return path->splice_event && !event_add(path->splice_event, NULL) ? 0 : -ENOMEM;
}

void udp_connect(struct session *session)
{
	const struct announced *announced = &session->announcement;
	int error =
		frame_start(&session->udp->proof, announced->secret, session->id, session->role);

	if (!error)
		error = open_path(session);
	if (error) {
		session_fail(session, SESSION_TIMEOUT, true, "the translator: %s",
			     strerror(-error));
		return;
	}
	session->state = SESSION_PROVE;
	prove_tick(session);
}

/* ---- making and ending */

struct udp_path *udp_provide(struct session *session)
{
	struct udp_path *path = calloc(1, sizeof(*path));

	if (path)
		path->session = session;
	return path;
}

static unsigned int client_bucket(const struct sockaddr_storage *client)
{
	struct isthmus_addr address;
	uint16_t port = 0;
	unsigned int sum;

	if (address_from_sockaddr((const struct sockaddr *)client, &address, &port))
		return 0;
	sum = address.b[15] * 31 + ntohs(port);
	return (sum ^ sum >> 8) % SUBSCRIPTION_BUCKETS;
}

static struct udp_path *client_find(struct subscription *subscription, int bind,
				    const struct sockaddr_storage *client, socklen_t len)
{
	struct udp_path *path;

	LIST_FOREACH(path, &subscription->udp_client[client_bucket(client)], link)
	if (path->bind == bind && path->client_len == len && !memcmp(&path->client, client, len))
		return path;
	return NULL;
}

static void client_attach(struct subscription *subscription, struct udp_path *path)
{
	path->subscription = subscription;
	subscription->udp_clients++;
	LIST_INSERT_HEAD(&subscription->udp_client[client_bucket(&path->client)], path, link);
}

static struct udp_path *client_new(struct subscription *subscription, int bind,
				   const struct sockaddr_storage *client, socklen_t len)
{
	struct udp_path *path;

	if (subscription->udp_clients >= subscription->peer->settings.udp_clients ||
	    now_ms() < subscription->not_before_ms)
		return NULL;
	path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->session = session_subscribe(subscription, -1, 0);
	if (!path->session) {
		free(path);
		return NULL;
	}
	path->session->udp = path;
	path->bind = bind;
	path->client = *client;
	path->client_len = len;
	client_attach(subscription, path);
	return path;
}

void udp_local_readable(struct subscription *subscription, int bind)
{
	struct sockaddr_storage client = { 0 };

	for (int i = 0; i < BATCH; i++) {
		socklen_t len = sizeof(client);
		ssize_t n = recvfrom(subscription->udp_fd[bind], buffer + 1, DATAGRAM_MAX, 0,
				     (struct sockaddr *)&client, &len);
		struct udp_path *path;

		if (n < 0)
			return;
		path = client_find(subscription, bind, &client, len);
		if (!path)
			path = client_new(subscription, bind, &client, len);
		if (!path)
			subscription->peer->totals.datagrams_dropped++;
		else if (path->session->state == SESSION_RELAY)
			send_data(path, buffer, n);
		else
			enqueue(path, buffer + 1, n);
	}
}

static void close_path(struct udp_path *path)
{
	if (path->splice_event)
		event_free(path->splice_event);
	if (path->local_event)
		event_free(path->local_event);
	path->splice_event = path->local_event = NULL;
	explicit_bzero(&path->proof, sizeof(path->proof));
	path->hellos = 0;
}

void udp_detach(struct udp_path *path)
{
	close_path(path);
	path->session = NULL;
}

void udp_subscribe_again(struct subscription *subscription, struct udp_path *path,
			 unsigned int tries)
{
	path->session = session_subscribe(subscription, -1, tries);
	if (path->session)
		path->session->udp = path;
	else
		udp_free(path, false);
}

void udp_free(struct udp_path *path, bool say_bye)
{
	if (!path)
		return;
	if (say_bye && path->session && path->session->state == SESSION_RELAY)
		send_type(path, FRAME_BYE);
	if (path->subscription) {
		path->subscription->udp_clients--;
		LIST_REMOVE(path, link);
	}
	close_path(path);
	drop_queue(path);
	free(path);
}
