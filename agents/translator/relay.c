// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "relay.h"

#define SPARE_FDS   256
#define SESSION_FDS 4 /* two listeners, two connections */

struct relay *relay_of(const struct relay_session *r)
{
	return r->session->translator->relay;
}

struct event_base *relay_base(const struct relay_session *r)
{
	return r->session->translator->base;
}

int relay_bind(const struct session *s, int side, int type)
{
	struct sockaddr_storage storage;
	socklen_t len =
		address_to_sockaddr(&s->side[side].local, htons(s->side[side].port), &storage);
	int fd = socket(storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, err;

	if (fd < 0)
		return -errno;
	/* Earlier connections of this port may be in TIME-WAIT. */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!bind(fd, (struct sockaddr *)&storage, len))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static uint64_t idle_limit(const struct relay_session *r)
{
	bool closing = r->side[0].eof || r->side[1].eof;

	if (r->session->proto == IPPROTO_UDP)
		return SPLICE_UDP_IDLE_S * NS_PER_S;
	return (closing ? SPLICE_HALF_CLOSED_S : SPLICE_TCP_IDLE_S) * NS_PER_S;
}

static void wait_idle(struct relay_session *r)
{
	uint64_t now = now_ns(), due = r->seen_ns + idle_limit(r);
	struct timeval wait = { due > now ? (due - now) / NS_PER_S + 1 : 1, 0 };

	evtimer_add(r->idle, &wait);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct relay_session *r = arg;

	(void)fd;
	(void)what;
	if (now_ns() >= r->seen_ns + idle_limit(r))
		rendezvous_end(r->session->translator, r->session, END_IDLE);
	else
		wait_idle(r);
}

void relay_joined(struct relay_session *r)
{
	r->seen_ns = now_ns();
	r->idle = evtimer_new(relay_base(r), on_idle, r);
	if (r->idle)
		wait_idle(r);
	rendezvous_joined(r->session->translator, r->session);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

/* Unless both have sent FIN, an end is an abort: a RST tells both peers so. */
static void close_side(struct relay_side *side, bool abort)
{
	struct linger linger = { 1, 0 };

	free_event(side->listen_event);
	free_event(side->read_event);
	free_event(side->write_event);
	if (side->listener >= 0)
		close(side->listener);
	if (side->fd >= 0 && abort)
		setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (side->fd >= 0)
		close(side->fd);
	free(side->held);
}

static void relay_close(struct translator *t, struct session *s, enum end_why why,
			struct traffic *traffic)
{
	struct relay_session *r = s->relay;

	(void)t;
	if (!r)
		return;
	*traffic = r->traffic;
	close_side(&r->side[0], why != END_DONE);
	close_side(&r->side[1], why != END_DONE);
	free_event(r->idle);
	free(r);
	s->relay = NULL;
}

static int relay_open(struct translator *t, struct session *s)
{
	struct relay_session *r = calloc(1, sizeof(*r));
	struct traffic none;
	int err = 0;

	if (!r)
		return -ENOMEM;
	s->relay = r;
	r->session = s;
	for (int side = 0; side < 2; side++) {
		r->side[side].relay = r;
		r->side[side].index = side;
		r->side[side].listener = r->side[side].fd = -1;
	}
	for (int side = 0; side < 2 && !err; side++)
		err = s->proto == IPPROTO_UDP ? relay_udp_open(r, side) : relay_tcp_open(r, side);
	if (!err)
		return 0;
	relay_close(t, s, END_CLOSED, &none);
	return err == -EMFILE || err == -ENFILE || err == -EADDRINUSE ? -ENOSPC : err;
}

/* A later probe from another address: only while this side has not come. */
static int relay_admit(struct translator *t, struct session *s, int side)
{
	const struct relay_session *r = s->relay;

	(void)t;
	return r->side[side].fd >= 0 && (s->proto == IPPROTO_TCP || r->side[side].remote_port)
		       ? -EBUSY
		       : 0;
}

static int relay_retarget(struct translator *t, struct session *s, int side)
{
	(void)t;
	(void)s;
	(void)side;
	return -ENOTSUP; /* never asked: this engine grants no pure splices */
}

static void relay_check(struct translator *t, struct session *s)
{
	(void)t; /* no event is ever lost here */
	(void)s;
}

static void relay_finish(struct translator *t, struct session *s, struct traffic *traffic)
{
	(void)t; /* the host's own sockets keep TIME-WAIT */
	(void)s;
	(void)traffic;
}

static unsigned int relay_free_sessions(const struct translator *t)
{
	struct rlimit files;
	rlim_t sessions;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur < SPARE_FDS)
		return 0;
	sessions = (files.rlim_cur - SPARE_FDS) / SESSION_FDS;
	if (sessions > SESSIONS_MAX)
		sessions = SESSIONS_MAX;
	return sessions > t->table.sessions ? sessions - t->table.sessions : 0;
}

static void relay_metrics(const struct translator *t, struct evbuffer *out)
{
	(void)t;
	(void)out;
}

static void relay_stop(struct translator *t)
{
	if (t->relay)
		free(t->relay->batch);
	free(t->relay);
	t->relay = NULL;
}

static const struct engine relay_engine = {
	.name = "relay",
	.open = relay_open,
	.admit = relay_admit,
	.retarget = relay_retarget,
	.check = relay_check,
	.close = relay_close,
	.finish = relay_finish,
	.free_sessions = relay_free_sessions,
	.metrics = relay_metrics,
	.stop = relay_stop,
};

static int add_locals(struct translator *t, char *error, size_t error_len)
{
	struct splice_range range;

	if (!t->settings.address.count || !t->settings.ports) {
		snprintf(error, error_len, "the relay engine needs address and ports to be set");
		return -EINVAL;
	}
	settings_ports(t->settings.ports, &range); /* was checked with the settings */
	for (unsigned int i = 0; i < t->settings.address.count; i++) {
		struct isthmus_addr addr;
		int err = address_parse(t->settings.address.item[i], &addr);

		if (err) {
			snprintf(error, error_len, "address '%s' is not an IPv4 or IPv6 address",
				 t->settings.address.item[i]);
			return err;
		}
		err = locals_add(&t->locals, &addr, range, false);
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

int relay_start(struct translator *t, char *error, size_t error_len)
{
	int err = add_locals(t, error, error_len);

	if (err)
		return err;
	t->relay = calloc(1, sizeof(*t->relay));
	if (t->relay)
		t->relay->batch = relay_udp_batch();
	t->engine = &relay_engine;
	if (t->relay && t->relay->batch)
		return 0;
	snprintf(error, error_len, "out of memory");
	return -ENOMEM;
}
