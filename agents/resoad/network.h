/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server's own addresses and routes, read by netlink. */
#ifndef ISTHMUS_RESOAD_NETWORK_H
#define ISTHMUS_RESOAD_NETWORK_H

#include <stdbool.h>

#include "../lib/prefix.h"

#define ROUTES_MAX    512
#define ADDRESSES_MAX 64

struct route {
	struct prefix to;
	const char *type; /* "unreachable", "prohibit", "blackhole"; NULL: an ordinary one */
};

struct held_address {
	struct prefix prefix; /* not masked */
	unsigned int ifindex;
};

struct network {
	struct held_address held[ADDRESSES_MAX]; /* global ones */
	unsigned int held_count;
	struct route route[ROUTES_MAX]; /* of the main table, one of each network */
	unsigned int route_count;
	bool truncated;
};

int network_read(struct network *network);
/* A netlink socket that is readable when addresses, routes or links have changed. -errno. */
int network_watch(void);

#endif
