/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rtnetlink messages about neighbours and routes (RFC 3549, rtnetlink(7)), by libmnl. */
#ifndef ISTHMUS_AGENTS_NEIGHBOUR_H
#define ISTHMUS_AGENTS_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

struct event_base;
struct mnl_socket;
struct nlmsghdr;

struct neighbour {
	struct isthmus_addr addr;
	uint32_t ifindex;
	uint16_t state; /* NUD_ */
	uint8_t mac[6];
	bool has_mac;
};

/* A socket for the questions below; NULL with errno. mnl_socket_close() ends it. */
struct mnl_socket *neighbour_query(void);

/* RTM_NEWNEIGH or RTM_DELNEIGH of an IP neighbour: 0, or -EINVAL for anything else. */
int neighbour_read(const struct nlmsghdr *message, struct neighbour *neighbour);
/* bpf_fib_lookup() would give its MAC. */
bool neighbour_is_valid(const struct neighbour *neighbour);
/* Calls visit for each entry of the host's tables. 0 or a negative errno. */
int neighbour_dump(struct mnl_socket *socket,
		   void (*visit)(const struct neighbour *neighbour, void *arg), void *arg);
/* The kernel treats the entry as traffic would: a stale one is probed, a missing one resolved. */
int neighbour_use(struct mnl_socket *socket, const struct isthmus_addr *addr, uint32_t ifindex);
/* The MAC of an entry that is valid: 0, -ENOENT or another negative errno. */
int neighbour_find(struct mnl_socket *socket, const struct isthmus_addr *addr, uint32_t ifindex,
		   uint8_t mac[6]);

/* How the host would send a packet. */
struct neighbour_route {
	struct isthmus_addr hop;    /* next hop, or the destination itself */
	struct isthmus_addr source; /* :: where the kernel tells none */
	uint32_t ifindex;
	uint16_t mtu; /* of the path, bytes of an IP packet; 0 = the device's */
};

/* 0, -ENETUNREACH (also for an address of this host) or another negative errno. */
int neighbour_route(struct mnl_socket *socket, const struct isthmus_addr *dst,
		    struct neighbour_route *route);

/*
 * Calls `changed` for each message about neighbours, links, addresses, routes and rules; message
 * NULL: some were lost, which may have been anything. 0 or a negative errno.
 */
typedef void (*neighbour_changed)(const struct nlmsghdr *message, void *arg);
struct neighbour_watch;
int neighbour_watch_new(struct event_base *base, neighbour_changed changed, void *arg,
			struct neighbour_watch **watch);
void neighbour_watch_free(struct neighbour_watch *watch);

#endif
