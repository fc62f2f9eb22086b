// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * connect() of a program: its SYN was kept at e0 (maps/resoa.h), and waits here for the server.
 *
 *	SYN ── CONNECT ──> RESULT 0 ──────────> the SYN goes to W, accepted there: tcp.c
 *	  waits              ECONNREFUSED ────> RST
 *	                     ETIMEDOUT ───────> silence: A's own retransmissions come to their end
 *	                     others ──────────> ICMP that the kernel turns into this errno
 *
 * A held SYN's repetitions are not told again. One that ended with an error is no longer held: if
 * the error did not reach the program (ICMP is lost while the kernel works on the socket), the
 * repetition asks again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "resoa.h"

#define BACKLOG	      65535
#define LISTENER_PORT 1
#define ACCEPTS_MAX   64 /* in one turn of the loop */

struct syn {
	struct resoa_syn key;
	bool passed; /* the frame was sent to W */
	uint16_t len;
	uint8_t frame[];
};

struct syns {
	struct resoa *resoa;
	int fd[2];
	struct event *event[2];
};

/* ---- what A is told */

static void refuse(struct resoa *resoa, const uint8_t *frame, size_t len, int error)
{
	uint8_t out[FRAME_MAX];
	size_t out_len;

	if (error == ECONNREFUSED || error == ECONNRESET)
		out_len = frame_rst(frame, len, out);
	else
		out_len = frame_error(frame, len, error, out);
	net_frame(&resoa->net, NET_W, out, out_len);
}

/* ---- a connect */

/* An rsock of the same names is of a socket that has ended in A. */
static bool is_new(struct resoa *resoa, const struct resoa_syn *key)
{
	struct rsock *old = rsock_of_names(resoa, IPPROTO_TCP, &key->names);

	if (!old)
		return true;
	if (old->kind == RSOCK_SYN && ((struct syn *)old->state)->key.isn == key->isn)
		return false;
	rsock_end(old, ECONNRESET);
	return true;
}

static struct rsock *make(struct resoa *resoa, const struct resoa_event *event)
{
	struct rsock *rsock = rsock_new(resoa, 0, RSOCK_SYN);
	struct syn *syn = malloc(sizeof(*syn) + event->length);

	if (!rsock || !syn) {
		free(syn);
		if (rsock)
			rsock_end(rsock, -1);
		return NULL;
	}
	*syn = (struct syn){ .key = { event->names, event->isn }, .len = event->length };
	memcpy(syn->frame, event->bytes, event->length);
	rsock->state = syn;
	rsock->family = event->family;
	rsock->proto = IPPROTO_TCP;
	rsock_set_names(rsock, &event->names);
	/* A listener of this cookie stays: connect() was called on another socket then. */
	if (!rsock_of_cookie(resoa, event->cookie))
		rsock_set_cookie(rsock, event->cookie);
	return rsock;
}

static int ask(struct rsock *rsock)
{
	const struct resoa_names *names = &rsock->names;
	const struct ep_message connect = {
		.type = EP_CONNECT,
		.name = { names->local, names->local_port, rsock->family, IPPROTO_TCP, 0 },
		.other = { names->remote, names->remote_port, rsock->family, IPPROTO_TCP, 0 },
	};
	int err;

	option_send(rsock);
	err = ep_send(rsock->resoa->lhp, rsock->id, &connect);
	if (!err)
		rsock->server_knows = true;
	return err;
}

static void fail(struct rsock *rsock, int error)
{
	struct syn *syn = rsock->state;
	struct resoa *resoa = rsock->resoa;

	program_unheld(resoa->program, &syn->key);
	refuse(resoa, syn->frame, syn->len, error);
	rsock_end(rsock, -1);
}

void syn_event(struct resoa *resoa, const struct resoa_event *event)
{
	const struct resoa_syn key = { event->names, event->isn };
	struct rsock *rsock;

	if (!is_new(resoa, &key))
		return;
	if (!resoa->lhp) {
		program_unheld(resoa->program, &key); /* comes again in a second */
		if (!server_hopes(resoa))
			refuse(resoa, event->bytes, event->length, ENETUNREACH);
		return;
	}
	rsock = make(resoa, event);
	if (!rsock) {
		program_unheld(resoa->program, &key);
		return;
	}
	if (ask(rsock))
		fail(rsock, ENETUNREACH);
}

/* ---- the server's answer */

static bool accept_one(struct resoa *resoa, int listener);

/* The kernel handles the whole handshake in this call: the connection may be accepted at once. */
static void pass(struct rsock *rsock)
{
	struct resoa *resoa = rsock->resoa;
	struct syn *syn = rsock->state;

	syn->passed = true;
	program_held(resoa->program, &syn->key, RESOA_PASSES);
	frame_checksum(syn->frame, syn->len);
	net_frame(&resoa->net, NET_A, syn->frame, syn->len);
	accept_one(resoa, resoa->syns->fd[rsock->family == 6]);
}

void syn_message(struct rsock *rsock, const struct ep_message *message)
{
	struct syn *syn = rsock->state;
	int error = message->type == EP_RESET ? message->error ?: ECONNRESET : message->error;

	if (message->type != EP_RESULT && message->type != EP_RESET)
		return;
	if (!error) {
		pass(rsock);
	} else if (error == ETIMEDOUT) {
		program_held(rsock->resoa->program, &syn->key, RESOA_IS_SILENT);
		rsock_end(rsock, -1);
	} else {
		fail(rsock, error);
	}
}

void syn_gone(struct rsock *rsock)
{
	struct syn *syn = rsock->state;

	if (rsock->kind != RSOCK_SYN)
		return;
	program_unheld(rsock->resoa->program, &syn->key);
	rsock_end(rsock, ECONNRESET);
}

void syn_free(struct rsock *rsock)
{
	free(rsock->state);
	rsock->state = NULL;
}

void syn_lost(struct rsock *rsock)
{
	struct syn *syn = rsock->state;

	program_unheld(rsock->resoa->program, &syn->key);
	rsock_end(rsock, -1);
}

/* ---- the listening sockets of W */

static void read_names(int fd, const struct sockaddr_storage *peer, struct resoa_names *names)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);

	memset(names, 0, sizeof(*names));
	getsockname(fd, (struct sockaddr *)&own, &len);
	address_from_sockaddr((const struct sockaddr *)peer, &names->local, &names->local_port);
	address_from_sockaddr((struct sockaddr *)&own, &names->remote, &names->remote_port);
}

/* Its far end is here: the rsock is a connection now. */
static void connected(struct rsock *rsock, int fd)
{
	struct syn *syn = rsock->state;

	program_unheld(rsock->resoa->program, &syn->key);
	syn_free(rsock);
	rsock->kind = RSOCK_CONNECT;
	if (tcp_start(rsock, fd))
		rsock_end(rsock, ENOBUFS);
}

static bool accept_one(struct resoa *resoa, int listener)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	struct resoa_names names;
	struct rsock *rsock;
	int fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED;
	read_names(fd, &peer, &names);
	rsock = rsock_of_names(resoa, IPPROTO_TCP, &names);
	if (rsock && rsock->kind == RSOCK_SYN)
		connected(rsock, fd);
	else
		close(fd);
	return true;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	for (int i = 0; i < ACCEPTS_MAX && accept_one(arg, fd); i++)
		;
}

/*
 * Everything that accepted sockets inherit is set here, once. SO_LINGER 0: an end that is closed
 * before its time, by the daemon's death for one, is a reset to the program, not an end of file.
 * Bound to loopback, where no peer is, so that peers' addresses are free for binds; packets come by
 * the sk_lookup program.
 */
static int set_options(int fd, uint8_t family)
{
	const struct linger none = { .l_onoff = 1 };
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		return -errno;
	if (family == 4)
		return setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) ? -errno : 0;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)))
		return -errno;
	return 0;
}

int syn_socket(struct resoa *resoa, uint8_t family)
{
	int fd = net_socket(&resoa->net, NET_W, family == 4 ? AF_INET : AF_INET6,
			    SOCK_STREAM | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return fd;
	err = set_options(fd, family);
	if (err)
		close(fd);
	return err ? err : fd;
}

static int listen_one(struct resoa *resoa, uint8_t family)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(LISTENER_PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(LISTENER_PORT),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = syn_socket(resoa, family), i = family == 6;

	if (fd < 0)
		return fd;
	resoa->syns->fd[i] = fd;
	if (bind(fd, family == 4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6,
		 family == 4 ? sizeof(in) : sizeof(in6)) ||
	    listen(fd, BACKLOG))
		return -errno;
	resoa->syns->event[i] = event_new(resoa->base, fd, EV_READ | EV_PERSIST, on_accept, resoa);
	if (!resoa->syns->event[i] || event_add(resoa->syns->event[i], NULL))
		return -ENOMEM;
	return program_world(resoa->program, family == 4 ? RESOA_TCP4 : RESOA_TCP6, fd);
}

int syn_listen(struct resoa *resoa)
{
	int err;

	resoa->syns = calloc(1, sizeof(*resoa->syns));
	if (!resoa->syns)
		return -ENOMEM;
	resoa->syns->fd[0] = resoa->syns->fd[1] = -1;
	err = listen_one(resoa, 4);
	return err ? err : listen_one(resoa, 6);
}

void syn_close(struct resoa *resoa)
{
	struct syns *syns = resoa->syns;

	for (int i = 0; syns && i < 2; i++) {
		if (syns->event[i])
			event_free(syns->event[i]);
		if (syns->fd[i] >= 0)
			close(syns->fd[i]);
	}
	free(syns);
	resoa->syns = NULL;
}
