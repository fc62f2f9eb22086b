// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Sockets of A that ended, as sock_diag(7) tells: a socket that is closed while it connects sends
 * nothing, a listener and a bound socket neither. What the server has of them ends, too.
 *
 * Told are cookies: the names are wiped by then. If the kernel found our queue full, all sockets of
 * A are listed, and what is not among them has ended.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../lib/log.h"
#include "resoa.h"

#ifndef QUEUE_BYTES /* tests have a smaller one */
#define QUEUE_BYTES (1 << 24)
#endif
#define BATCH	   256
#define DUMP_BYTES 65536

struct gone {
	int fd;
	struct resoa *resoa;
	struct event *event;
	uint64_t lost;
};

struct cookies {
	uint64_t *at;
	size_t count, room;
	bool failed;
};

/* One of IPv6 that takes IPv4 too is two at the server. */
static void socket_gone(struct resoa *resoa, uint64_t cookie)
{
	struct rsock *rsock;

	bind_gone(resoa, cookie);
	option_gone(resoa, cookie);
	while ((rsock = rsock_of_cookie(resoa, cookie)) &&
	       (rsock->kind == RSOCK_LISTENER || rsock->kind == RSOCK_UDP))
		if (rsock->kind == RSOCK_UDP)
			udp_gone(rsock);
		else
			rsock_end(rsock, 0);
	if (rsock)
		syn_gone(rsock);
}

/* 0: none is told. */
static uint64_t told_cookie(const struct nlmsghdr *head)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(head);

	if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    mnl_nlmsg_get_payload_len(head) < sizeof(*diag))
		return 0;
	return diag->id.idiag_cookie[0] | (uint64_t)diag->id.idiag_cookie[1] << 32;
}

static int on_message(const struct nlmsghdr *head, void *arg)
{
	uint64_t cookie = told_cookie(head);

	if (cookie)
		socket_gone(arg, cookie);
	return MNL_CB_OK;
}

/* ---- after a loss: which sockets are there */

static void add_cookie(uint64_t cookie, void *arg)
{
	struct cookies *cookies = arg;
	uint64_t *more;

	if (cookies->count == cookies->room) {
		more = realloc(cookies->at, (cookies->room * 2 + 256) * sizeof(*more));
		if (!more) {
			cookies->failed = true;
			return;
		}
		cookies->at = more;
		cookies->room = cookies->room * 2 + 256;
	}
	cookies->at[cookies->count++] = cookie;
}

static int on_listed(const struct nlmsghdr *head, void *arg)
{
	uint64_t cookie = told_cookie(head);

	if (cookie)
		add_cookie(cookie, arg);
	return MNL_CB_OK;
}

static int list(int fd, uint8_t family, uint8_t proto, struct cookies *cookies)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 diag;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.diag = { .sdiag_family = family, .sdiag_protocol = proto, .idiag_states = ~0u }
	};
	static char bytes[DUMP_BYTES];
	ssize_t len = send(fd, &request, sizeof(request), 0);
	int more = len == sizeof(request) ? MNL_CB_OK : MNL_CB_ERROR;

	while (more == MNL_CB_OK) {
		len = recv(fd, bytes, sizeof(bytes), 0);
		more = len < 0 ? MNL_CB_ERROR
			       : mnl_cb_run(bytes, (size_t)len, 0, 0, on_listed, cookies);
	}
	return more == MNL_CB_STOP && !cookies->failed ? 0 : -EIO;
}

static int list_all(struct resoa *resoa, struct cookies *cookies)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 },
			     protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	int fd = net_socket(&resoa->net, NET_A, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			    NETLINK_SOCK_DIAG);
	int err = fd < 0 ? fd : 0;

	for (int i = 0; i < 4 && !err; i++)
		err = list(fd, families[i / 2], protos[i % 2], cookies);
	if (fd >= 0)
		close(fd);
	return err;
}

/* Before Linux 6.8 a TCP socket that is bound and no more is not listed. */
static bool lists_bound(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 8));
}

static void add_rsock(struct rsock *rsock, void *arg)
{
	if (rsock->cookie &&
	    (rsock->kind == RSOCK_SYN || rsock->kind == RSOCK_LISTENER || rsock->kind == RSOCK_UDP))
		add_cookie(rsock->cookie, arg);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

static void check_all(struct resoa *resoa)
{
	struct cookies there = { 0 }, known = { 0 };
	int err;

	rsock_each(resoa, add_rsock, &known);
	if (lists_bound())
		bind_each(resoa, add_cookie, &known);
	err = list_all(resoa, &there);
	if (err)
		log_warn("sockets that have ended are not found: %s", strerror(-err));
	if (there.count)
		qsort(there.at, there.count, sizeof(*there.at), by_value);
	for (size_t i = 0; i < known.count && !err; i++)
		if (!there.count ||
		    !bsearch(&known.at[i], there.at, there.count, sizeof(*there.at), by_value))
			socket_gone(resoa, known.at[i]);
	free(there.at);
	free(known.at);
}

/* ---- the queue */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct gone *gone = arg;
	bool lost = false;
	char bytes[16384];
	ssize_t len;

	(void)what;
	/* Events are in another queue: what a socket did comes before that it ended. */
	program_drain(gone->resoa->program);
	udp_drain(gone->resoa);
	for (int i = 0; i < BATCH; i++) {
		len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (len > 0)
			mnl_cb_run(bytes, (size_t)len, 0, 0, on_message, gone->resoa);
		else if (len < 0 && errno == ENOBUFS)
			lost = true;
		else
			break;
	}
	if (!lost)
		return;
	if (!gone->lost++)
		log_warn("ends of sockets were lost: the queue was full");
	check_all(gone->resoa);
}

static int subscribe(int fd)
{
	static const int groups[] = { SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY,
				      SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_UDP_DESTROY };
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int queue = QUEUE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	for (int i = 0; i < 4; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])))
			return -errno;
	return 0;
}

int gone_open(struct resoa *resoa)
{
	struct gone *gone = calloc(1, sizeof(*gone));
	int err;

	if (!gone)
		return -ENOMEM;
	gone->resoa = resoa;
	gone->fd = net_socket(&resoa->net, NET_A, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			      NETLINK_SOCK_DIAG);
	err = gone->fd < 0 ? gone->fd : subscribe(gone->fd);
	if (!err) {
		gone->event =
			event_new(resoa->base, gone->fd, EV_READ | EV_PERSIST, on_readable, gone);
		err = gone->event && !event_add(gone->event, NULL) ? 0 : -ENOMEM;
	}
	resoa->gone = gone;
	if (err)
		gone_close(resoa);
	return err;
}

void gone_close(struct resoa *resoa)
{
	struct gone *gone = resoa->gone;

	if (!gone)
		return;
	if (gone->event)
		event_free(gone->event);
	if (gone->fd >= 0)
		close(gone->fd);
	free(gone);
	resoa->gone = NULL;
}
