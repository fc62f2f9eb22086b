// SPDX-License-Identifier: GPL-3.0-or-later
#include "server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/work.h"
#include "peer.h"

#define ADDRESS_MS 3000 /* for each address, if another one is left */

/* Outlives its server while the worker has it. */
struct lookup {
	struct server *server;
	int proto;
	char host[256], port[6];
	struct addrinfo *list;
};

struct server {
	struct peer *peer;
	struct lookup *lookup;
	struct addrinfo *list, *next;
	int fd, error;
	struct event *io, *step;
	server_done done;
	void *arg;
};

static void lookup_run(void *arg)
{
	struct lookup *lookup = arg;
	struct addrinfo hints = { .ai_socktype =
					  lookup->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM,
				  .ai_protocol = lookup->proto };

	if (getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list))
		lookup->list = NULL;
}

static void lookup_free(struct lookup *lookup)
{
	if (lookup->list)
		freeaddrinfo(lookup->list);
	free(lookup);
}

static void step_after(struct server *server, unsigned int ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	evtimer_add(server->step, &wait);
}

static void lookup_finished(void *arg)
{
	struct lookup *lookup = arg;
	struct server *server = lookup->server;

	if (server) {
		server->lookup = NULL;
		server->list = server->next = lookup->list;
		server->error = -EHOSTUNREACH;
		lookup->list = NULL;
		step_after(server, 0);
	}
	lookup_free(lookup);
}

static void server_close(struct server *server)
{
	if (server->io)
		event_free(server->io);
	server->io = NULL;
	if (server->fd >= 0)
		close(server->fd);
	server->fd = -1;
}

static void server_connected(struct server *server)
{
	int fd = server->fd;

	server->fd = -1;
	server_close(server);
	evtimer_del(server->step);
	server->done(fd, server->arg);
}

static void server_ready(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (!error) {
		server_connected(server);
		return;
	}
	server->error = -error;
	server_close(server);
	step_after(server, 0);
}

/* 1: connected at once (UDP). 0: on its way. */
static int server_try(struct server *server, const struct addrinfo *ai)
{
	const int on = 1;

	server->fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    ai->ai_protocol);
	if (server->fd < 0)
		return -errno;
	if (ai->ai_socktype == SOCK_STREAM)
		setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!connect(server->fd, ai->ai_addr, ai->ai_addrlen))
		return 1;
	if (errno != EINPROGRESS)
		return -errno;
	server->io = event_new(server->peer->base, server->fd, EV_WRITE, server_ready, server);
	return server->io && !event_add(server->io, NULL) ? 0 : -ENOMEM;
}

/* The next address; also when the one before did not answer in time. */
static void server_step(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd, (void)what;
	server_close(server);
	while (server->next) {
		int error = server_try(server, server->next);

		server->next = server->next->ai_next;
		if (error > 0) {
			server_connected(server);
			return;
		}
		if (!error) {
			if (server->next)
				step_after(server, ADDRESS_MS);
			return;
		}
		server->error = error;
		server_close(server);
	}
	server->done(server->error, server->arg);
}

/* An address needs no worker. */
static bool server_numeric(struct server *server, int proto, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM,
				  .ai_protocol = proto };

	if (getaddrinfo(host, port, &hints, &server->list))
		return false;
	server->next = server->list;
	step_after(server, 0);
	return true;
}

static bool server_lookup(struct server *server, int proto, const char *host, const char *port)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return false;
	lookup->server = server;
	lookup->proto = proto;
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	snprintf(lookup->port, sizeof(lookup->port), "%s", port);
	if (work_submit(server->peer->work, lookup_run, lookup_finished, lookup)) {
		free(lookup);
		return false;
	}
	server->lookup = lookup;
	return true;
}

struct server *server_connect(struct peer *peer, int proto, const char *host, const char *port,
			      server_done done, void *arg)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->peer = peer;
	server->fd = -1;
	server->done = done;
	server->arg = arg;
	server->step = evtimer_new(peer->base, server_step, server);
	if (!server->step || (!server_numeric(server, proto, host, port) &&
			      !server_lookup(server, proto, host, port))) {
		server_free(server);
		return NULL;
	}
	return server;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	if (server->lookup)
		server->lookup->server = NULL;
	server_close(server);
	if (server->step)
		event_free(server->step);
	if (server->list)
		freeaddrinfo(server->list);
	free(server);
}
