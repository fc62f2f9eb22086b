// SPDX-License-Identifier: GPL-3.0-or-later
#include "subscribe.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/msg.h"
#include "peer.h"
#include "udp.h"

#define BACKLOG	      1024
#define BIND_TRIES    16
#define OPEN_AGAIN_S  5
#define SOCKET_BUFFER (1 << 20)

struct subscription *subscription_find(struct peer *peer, const char *user, const char *service)
{
	struct subscription *subscription;

	TAILQ_FOREACH(subscription, &peer->subscriptions, link)
	if (!strcmp(subscription->user, user) && !strcmp(subscription->service, service))
		return subscription;
	return NULL;
}

static void fill_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pool_fill(arg);
}

/* Each client connection is a splice of its own (thesis 3.4.1). */
static void client_accepted(struct evconnlistener *listener, evutil_socket_t fd,
			    struct sockaddr *address, int len, void *arg)
{
	struct subscription *subscription = arg;
	struct session *session = pool_take(subscription);
	const int on = 1;

	(void)listener, (void)address, (void)len;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	subscription->last_client_ms = now_ms();
	if (!session) {
		session_subscribe(subscription, fd, 0);
	} else {
		session->local_fd = fd;
		if (session->state == SESSION_READY)
			session_go(session);
	}
	pool_fill(subscription);
}

static void udp0_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	udp_local_readable(arg, 0);
}

static void udp1_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	udp_local_readable(arg, 1);
}

static void subscription_close(struct subscription *subscription)
{
	for (int i = 0; i < SUBSCRIPTION_BINDS; i++) {
		if (subscription->listener[i])
			evconnlistener_free(subscription->listener[i]);
		subscription->listener[i] = NULL;
		if (subscription->udp_event[i])
			event_free(subscription->udp_event[i]);
		subscription->udp_event[i] = NULL;
		if (subscription->udp_fd[i] >= 0)
			close(subscription->udp_fd[i]);
		subscription->udp_fd[i] = -1;
	}
}

static int serve(struct subscription *subscription, int i, int fd)
{
	struct event_base *base = subscription->peer->base;
	event_callback_fn readable = i ? udp1_readable : udp0_readable;

	if (subscription->proto == IPPROTO_TCP) {
		subscription->listener[i] = evconnlistener_new(
			base, client_accepted, subscription,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
		if (!subscription->listener[i])
			close(fd);
		return subscription->listener[i] ? 0 : -ENOMEM;
	}
	subscription->udp_fd[i] = fd;
	subscription->udp_event[i] =
		event_new(base, fd, EV_READ | EV_PERSIST, readable, subscription);
	return subscription->udp_event[i] && !event_add(subscription->udp_event[i], NULL) ? 0
											  : -ENOMEM;
}

static int open_bound(const struct isthmus_addr *address, int proto, uint16_t *port)
{
	struct sockaddr_storage storage, bound;
	socklen_t len = address_to_sockaddr(address, htons(*port), &storage);
	socklen_t bound_len = sizeof(bound);
	struct isthmus_addr ignored;
	const int on = 1, size = SOCKET_BUFFER;
	uint16_t port_be;
	int type = proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (proto == IPPROTO_TCP)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (storage.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&storage, len) ||
	    getsockname(fd, (struct sockaddr *)&bound, &bound_len)) {
		int error = -errno;

		close(fd);
		return error;
	}
	address_from_sockaddr((struct sockaddr *)&bound, &ignored, &port_be);
	*port = ntohs(port_be);
	return fd;
}

/* The same port on all addresses; a host without IPv6 has only the first. */
static int open_all(struct subscription *subscription, const char *const addresses[], int count)
{
	struct isthmus_addr address;
	uint16_t port = subscription->port;

	for (int i = 0; i < count; i++) {
		int fd, error;

		if (address_parse(addresses[i], &address))
			return -EINVAL;
		fd = open_bound(&address, subscription->proto, &port);
		if (i && (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT))
			continue;
		error = fd < 0 ? fd : serve(subscription, i, fd);
		if (error) {
			subscription_close(subscription);
			return error;
		}
	}
	subscription->port = port;
	return 0;
}

static int subscription_open(struct subscription *subscription)
{
	const char *addresses[SUBSCRIPTION_BINDS] = { "127.0.0.1", "::1" };
	int count = SUBSCRIPTION_BINDS, error = 0;

	if (subscription->bind[0]) {
		addresses[0] = subscription->bind;
		count = 1;
	}
	/* A port that the kernel chose for 127.0.0.1 may be taken on ::1. */
	for (int i = 0; i < BIND_TRIES; i++) {
		error = open_all(subscription, addresses, count);
		if (error != -EADDRINUSE || !subscription->any_port)
			break;
		subscription->port = 0;
	}
	return error;
}

static void subscription_free(struct subscription *subscription)
{
	subscription_close(subscription);
	if (subscription->fill_timer)
		event_free(subscription->fill_timer);
	if (subscription->open_timer)
		event_free(subscription->open_timer);
	free(subscription);
}

static void opened(struct subscription *subscription)
{
	log_info("%s/%s is at local port %u", subscription->user, subscription->service,
		 subscription->port);
	subscription->error[0] = 0;
	pool_fill(subscription);
}

static void open_again(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval wait = { OPEN_AGAIN_S, 0 };
	struct subscription *subscription = arg;

	(void)fd, (void)what;
	if (subscription_open(subscription))
		evtimer_add(subscription->open_timer, &wait);
	else
		opened(subscription);
}

static struct subscription *subscription_new(struct peer *peer)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));

	if (!subscription)
		return NULL;
	subscription->peer = peer;
	subscription->udp_fd[0] = subscription->udp_fd[1] = -1;
	subscription->fill_timer = evtimer_new(peer->base, fill_timeout, subscription);
	subscription->open_timer = evtimer_new(peer->base, open_again, subscription);
	if (subscription->fill_timer && subscription->open_timer)
		return subscription;
	subscription_free(subscription);
	return NULL;
}

static int check_new(struct peer *peer, const char *user, const char *service, const char *bind,
		     char *error, size_t error_len)
{
	struct subscription *each;
	struct isthmus_addr address;
	unsigned int count = 0;

	TAILQ_FOREACH(each, &peer->subscriptions, link)
	count++;
	if (subscription_find(peer, user, service)) {
		snprintf(error, error_len, "%s/%s is subscribed already: unsubscribe it first",
			 user, service);
		return -EEXIST;
	}
	if (count >= SUBSCRIPTIONS_MAX) {
		snprintf(error, error_len, "there are %d subscriptions already", SUBSCRIPTIONS_MAX);
		return -ENOSPC;
	}
	if (bind[0] && (address_parse(bind, &address) || strlen(bind) >= sizeof(each->bind))) {
		snprintf(error, error_len, "--bind: %s is not an address", bind);
		return -EINVAL;
	}
	return 0;
}

static struct subscription *subscription_make(struct peer *peer, const char *user,
					      const char *service, int proto, const char *bind,
					      uint16_t port, bool any_port)
{
	struct subscription *subscription = subscription_new(peer);

	if (!subscription)
		return NULL;
	strcpy(subscription->user, user);
	strcpy(subscription->service, service);
	strcpy(subscription->bind, bind);
	subscription->proto = proto;
	subscription->port = port;
	subscription->any_port = any_port;
	return subscription;
}

static void say_port_taken(const struct subscription *subscription, int code, char *error,
			   size_t error_len)
{
	snprintf(error, error_len, "local port %u: %s; choose another one", subscription->port,
		 strerror(-code));
}

int subscription_add(struct peer *peer, const char *user, const char *service, int proto,
		     const char *bind, uint16_t port, bool any_port, char *error, size_t error_len,
		     struct subscription **added)
{
	int code = check_new(peer, user, service, bind, error, error_len);
	struct subscription *subscription;

	if (code)
		return code;
	subscription = subscription_make(peer, user, service, proto, bind, port, any_port);
	if (!subscription) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	code = subscription_open(subscription);
	if (code) {
		say_port_taken(subscription, code, error, error_len);
		subscription_free(subscription);
		return code;
	}
	TAILQ_INSERT_TAIL(&peer->subscriptions, subscription, link);
	opened(subscription);
	*added = subscription;
	return 0;
}

/* One that was there before: it stays when its port is taken now, which is told and tried again. */
static int subscription_restore(struct peer *peer, const char *user, const char *service, int proto,
				const char *bind, uint16_t port, bool any_port, char *error,
				size_t error_len)
{
	int code = check_new(peer, user, service, bind, error, error_len);
	struct subscription *subscription;

	if (code)
		return code;
	subscription = subscription_make(peer, user, service, proto, bind, port, any_port);
	if (!subscription) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&peer->subscriptions, subscription, link);
	code = subscription_open(subscription);
	if (!code) {
		opened(subscription);
		return 0;
	}
	say_port_taken(subscription, code, subscription->error, sizeof(subscription->error));
	say_port_taken(subscription, code, error, error_len);
	open_again(-1, 0, subscription);
	return code;
}

void subscription_remove(struct subscription *subscription)
{
	struct peer *peer = subscription->peer;

	session_forget_subscription(peer, subscription);
	TAILQ_REMOVE(&peer->subscriptions, subscription, link);
	subscription_free(subscription);
}

json_t *subscription_json(const struct subscription *subscription)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:b}", "user", subscription->user, "service",
			 subscription->service, "proto", proto_text(subscription->proto), "bind",
			 subscription->bind, "port", subscription->port, "any_port",
			 subscription->any_port);
}

int subscription_load(struct peer *peer, const json_t *value, char *error, size_t error_len)
{
	const char *user, *service, *proto, *bind;
	bool any_port = false;
	int64_t port;

	snprintf(error, error_len, "damaged entry");
	if (!msg_get_string(value, "user", &user) || !msg_get_string(value, "service", &service) ||
	    !name_valid(user) || !name_valid(service) || !msg_get_string(value, "proto", &proto) ||
	    proto_parse(proto) < 0 || !msg_get_string(value, "bind", &bind) ||
	    !msg_get_integer(value, "port", 0, 65535, &port))
		return -EINVAL;
	msg_get_bool(value, "any_port", &any_port);
	return subscription_restore(peer, user, service, proto_parse(proto), bind, port, any_port,
				    error, error_len);
}
