// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The probe servers (docs/protocol.md): a peer shows by its token which side of which session it
 * is, and the translator sees from which address it comes. UDP, and TCP where UDP is blocked, at
 * each address of ours.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/probe.h"
#include "limit.h"
#include "translator.h"

#define DATAGRAMS_A_CALL 64
#define CALLERS_MAX	 1024 /* TCP connections at once; the oldest gives way to a new one */
#define CALLER_S	 5
#define LIMIT_SLOTS	 8192
#define QUESTIONS_RATE	 5000 /* one address may be a whole carrier's */
#define QUESTIONS_BURST	 10000
#define BAD_RATE	 20 /* answers to questions without a valid token */
#define BAD_BURST	 100

/* A TCP connection that asks. */
struct caller {
	TAILQ_ENTRY(caller) link;
	struct probe_server *server;
	struct event *event;
	struct isthmus_addr from;
	uint64_t deadline_ns;
	int fd;
	size_t have;
	uint8_t bytes[PROBE_BYTES];
};

struct probe_socket {
	struct probe_server *server;
	struct event *event;
	int fd;
};

struct probe_server {
	struct translator *translator;
	struct limit *questions, *bad;
	struct probe_socket socket[2 * SPLICE_LOCALS];
	unsigned int sockets, caller_count;
	TAILQ_HEAD(, caller) callers; /* oldest first */
};

/* True: `bytes` is the answer now. */
static bool answer(struct probe_server *server, const struct isthmus_addr *from, uint8_t *bytes,
		   size_t len)
{
	struct translator *t = server->translator;
	struct probe_question question;
	struct probe_answer result;
	uint64_t now = now_ns();

	if (!limit_take(server->questions, from, now)) {
		t->counters.probes_limited++;
		return false;
	}
	if (len != PROBE_BYTES || probe_read_question(bytes, len, &question)) {
		t->counters.probes_malformed++;
		return false;
	}
	result.session = question.session;
	result.side = question.side;
	result.seen = *from;
	result.status = rendezvous_probe(t, &question, from);
	t->counters.probes[result.status & 3]++;
	if (result.status != PROBE_OK && !limit_take(server->bad, from, now)) {
		t->counters.probes_limited++;
		return false;
	}
	probe_write_answer(&result, bytes);
	return true;
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
	struct probe_socket *socket = arg;
	uint8_t bytes[PROBE_BYTES + 1];

	(void)what;
	for (int i = 0; i < DATAGRAMS_A_CALL; i++) {
		struct sockaddr_storage storage;
		socklen_t storage_len = sizeof(storage);
		struct isthmus_addr from;
		uint16_t port;
		ssize_t len = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT,
				       (struct sockaddr *)&storage, &storage_len);

		if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (len < 0 || address_from_sockaddr((struct sockaddr *)&storage, &from, &port))
			continue;
		if (answer(socket->server, &from, bytes, len))
			sendto(fd, bytes, PROBE_BYTES, MSG_DONTWAIT, (struct sockaddr *)&storage,
			       storage_len);
	}
}

static void caller_free(struct caller *caller)
{
	TAILQ_REMOVE(&caller->server->callers, caller, link);
	caller->server->caller_count--;
	if (caller->event)
		event_free(caller->event);
	close(caller->fd);
	free(caller);
}

/* The time runs from the beginning: one byte now and then does not prolong it. */
static int caller_wait(struct caller *caller)
{
	uint64_t now = now_ns(), left = caller->deadline_ns > now ? caller->deadline_ns - now : 1;
	struct timeval wait = { left / NS_PER_S, left % NS_PER_S / 1000 };

	return event_add(caller->event, &wait);
}

/* 48 bytes fit into the buffer of a socket that has sent nothing yet. */
static void on_caller(evutil_socket_t fd, short what, void *arg)
{
	struct caller *caller = arg;
	ssize_t len = 0;

	if (what & EV_READ)
		len = recv(fd, caller->bytes + caller->have, PROBE_BYTES - caller->have,
			   MSG_DONTWAIT);
	if (len <= 0) {
		if (len == 0 || errno != EAGAIN || caller_wait(caller))
			caller_free(caller);
		return;
	}
	caller->have += len;
	if (caller->have < PROBE_BYTES) {
		if (caller_wait(caller))
			caller_free(caller);
		return;
	}
	if (answer(caller->server, &caller->from, caller->bytes, PROBE_BYTES))
		send(fd, caller->bytes, PROBE_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
	caller_free(caller);
}

static void add_caller(struct probe_server *server, int fd, const struct isthmus_addr *from)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller) {
		close(fd);
		return;
	}
	caller->fd = fd;
	caller->from = *from;
	caller->server = server;
	TAILQ_INSERT_TAIL(&server->callers, caller, link);
	server->caller_count++;
	caller->deadline_ns = now_ns() + CALLER_S * NS_PER_S;
	caller->event = event_new(server->translator->base, fd, EV_READ, on_caller, caller);
	if (!caller->event || caller_wait(caller))
		caller_free(caller);
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct probe_socket *socket = arg;
	struct probe_server *server = socket->server;

	(void)what;
	for (int i = 0; i < DATAGRAMS_A_CALL; i++) {
		struct sockaddr_storage storage;
		socklen_t len = sizeof(storage);
		struct isthmus_addr from;
		uint16_t port;
		int client = accept4(fd, (struct sockaddr *)&storage, &len,
				     SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client < 0)
			return;
		if (address_from_sockaddr((struct sockaddr *)&storage, &from, &port)) {
			close(client);
			continue;
		}
		/* One who asks is done in a round trip: those who only connect give way. */
		if (server->caller_count >= CALLERS_MAX) {
			server->translator->counters.probes_limited++;
			caller_free(TAILQ_FIRST(&server->callers));
		}
		add_caller(server, client, &from);
	}
}

static int bind_socket(const struct isthmus_addr *addr, uint16_t port, int type)
{
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(addr, htons(port), &storage);
	int fd = socket(storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, err = 0;

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (storage.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&storage, len) ||
	    (type == SOCK_STREAM && listen(fd, SOMAXCONN)))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int add_socket(struct probe_server *server, const struct isthmus_addr *addr, uint16_t port,
		      int type, char *error, size_t error_len)
{
	struct probe_socket *socket = &server->socket[server->sockets];
	char text[ADDRESS_TEXT_LEN];
	int fd = bind_socket(addr, port, type);

	if (fd < 0) {
		address_port_text(addr, htons(port), text);
		snprintf(error, error_len, "cannot serve %s probes on %s: %s",
			 type == SOCK_STREAM ? "TCP" : "UDP", text, strerror(-fd));
		return fd;
	}
	socket->fd = fd;
	socket->server = server;
	server->sockets++;
	socket->event = event_new(server->translator->base, fd, EV_READ | EV_PERSIST,
				  type == SOCK_STREAM ? on_connection : on_datagram, socket);
	if (!socket->event || event_add(socket->event, NULL))
		return -ENOMEM;
	return 0;
}

/* A probe port inside the splice range would be the datapath's. */
static int check_port(const struct local *local, uint16_t port, char *error, size_t error_len)
{
	char text[ADDRESS_TEXT_LEN];

	if (port < local->range.low || port > local->range.high)
		return 0;
	address_text(&local->addr, text);
	snprintf(error, error_len, "probe port %u is one of the ports %u-%u of %s: choose another",
		 port, local->range.low, local->range.high, text);
	return -EINVAL;
}

static int add_local(struct probe_server *server, const struct local *local, char *error,
		     size_t error_len)
{
	const struct settings *settings = &server->translator->settings;
	int err;

	if (local->draining)
		return 0;
	err = check_port(local, settings->probe_port_udp, error, error_len);
	if (!err)
		err = check_port(local, settings->probe_port_tcp, error, error_len);
	if (!err)
		err = add_socket(server, &local->addr, settings->probe_port_udp, SOCK_DGRAM, error,
				 error_len);
	if (!err)
		err = add_socket(server, &local->addr, settings->probe_port_tcp, SOCK_STREAM, error,
				 error_len);
	return err;
}

int probe_start(struct translator *t, char *error, size_t error_len)
{
	struct probe_server *server = calloc(1, sizeof(*server));
	int err = 0;

	snprintf(error, error_len, "out of memory");
	if (!server)
		return -ENOMEM;
	t->probe = server;
	server->translator = t;
	TAILQ_INIT(&server->callers);
	server->questions = limit_new(LIMIT_SLOTS, QUESTIONS_RATE, QUESTIONS_BURST);
	server->bad = limit_new(LIMIT_SLOTS, BAD_RATE, BAD_BURST);
	if (!server->questions || !server->bad)
		err = -ENOMEM;
	for (unsigned int i = 0; i < t->locals.count && !err; i++)
		err = add_local(server, &t->locals.item[i], error, error_len);
	if (err)
		probe_free(t);
	return err;
}

void probe_free(struct translator *t)
{
	struct probe_server *server = t->probe;

	if (!server)
		return;
	while (!TAILQ_EMPTY(&server->callers))
		caller_free(TAILQ_FIRST(&server->callers));
	for (unsigned int i = 0; i < server->sockets; i++) {
		if (server->socket[i].event)
			event_free(server->socket[i].event);
		close(server->socket[i].fd);
	}
	limit_free(server->questions);
	limit_free(server->bad);
	free(server);
	t->probe = NULL;
}
