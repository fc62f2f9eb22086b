// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Sockets of A that ended, as sock_diag(7) tells: a socket that is closed while it connects sends
 * nothing, a listener and a bound socket neither. What the server has of them ends, too.
 *
 * Told are cookies: the names are wiped by then.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/log.h"
#include "resoa.h"

#define QUEUE_BYTES (1 << 22)
#define BATCH	    256

struct gone {
	int fd;
	struct resoa *resoa;
	struct event *event;
	uint64_t lost;
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

static int on_message(const struct nlmsghdr *head, void *arg)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(head);
	uint64_t cookie;

	if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    mnl_nlmsg_get_payload_len(head) < sizeof(*diag))
		return MNL_CB_OK;
	cookie = diag->id.idiag_cookie[0] | (uint64_t)diag->id.idiag_cookie[1] << 32;
	socket_gone(arg, cookie);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct gone *gone = arg;
	char bytes[16384];
	ssize_t len;

	(void)what;
	/* Events are in another queue: what a socket did comes before that it ended. */
	program_drain(gone->resoa->program);
	udp_drain(gone->resoa);
	for (int i = 0; i < BATCH; i++) {
		len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (len < 0 && errno == ENOBUFS && !gone->lost++)
			log_warn("ends of sockets were lost: the queue is full");
		if (len <= 0)
			return;
		mnl_cb_run(bytes, (size_t)len, 0, 0, on_message, gone->resoa);
	}
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
