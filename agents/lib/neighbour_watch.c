// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "neighbour.h"

#define RECEIVE_BYTES	(1 << 20)
#define MESSAGES_A_CALL 64

struct neighbour_watch {
	struct mnl_socket *socket;
	struct event *readable;
	neighbour_changed changed;
	void *arg;
};

static int on_message(const struct nlmsghdr *message, void *arg)
{
	struct neighbour_watch *watch = arg;

	watch->changed(message, watch->arg);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct neighbour_watch *watch = arg;
	char buffer[16384];

	(void)what;
	for (int i = 0; i < MESSAGES_A_CALL; i++) {
		ssize_t len = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (len < 0 && errno == ENOBUFS) {
			watch->changed(NULL, watch->arg);
			continue;
		}
		if (len <= 0)
			return;
		mnl_cb_run(buffer, len, 0, 0, on_message, watch);
	}
}

static int subscribe(struct mnl_socket *socket)
{
	static const int groups[] = { RTNLGRP_NEIGH,	   RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
				      RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP };
	int bytes = RECEIVE_BYTES;

	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	for (unsigned int i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
			return -errno;
	}
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return 0;
}

int neighbour_watch_new(struct event_base *base, neighbour_changed changed, void *arg,
			struct neighbour_watch **result)
{
	struct neighbour_watch *watch = calloc(1, sizeof(*watch));
	int err;

	if (!watch)
		return -ENOMEM;
	watch->changed = changed;
	watch->arg = arg;
	watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	err = watch->socket ? subscribe(watch->socket) : -errno;
	if (!err) {
		watch->readable = event_new(base, mnl_socket_get_fd(watch->socket),
					    EV_READ | EV_PERSIST, on_readable, watch);
		err = watch->readable && !event_add(watch->readable, NULL) ? 0 : -ENOMEM;
	}
	if (err)
		neighbour_watch_free(watch);
	else
		*result = watch;
	return err;
}

void neighbour_watch_free(struct neighbour_watch *watch)
{
	if (!watch)
		return;
	if (watch->readable)
		event_free(watch->readable);
	if (watch->socket)
		mnl_socket_close(watch->socket);
	free(watch);
}

struct mnl_socket *neighbour_query(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval limit = { 1, 0 };

	if (!socket)
		return NULL;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID)) {
		mnl_socket_close(socket);
		return NULL;
	}
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return socket;
}
