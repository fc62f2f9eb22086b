/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rtnetlink messages about neighbours and routes (RFC 3549, rtnetlink(7)), by libmnl. */
#ifndef ISTHMUS_TRANSLATOR_NEIGHBOUR_H
#define ISTHMUS_TRANSLATOR_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

struct mnl_socket;
struct nlmsghdr;

struct neighbour {
	struct isthmus_addr addr;
	uint32_t ifindex;
	uint16_t state; /* NUD_ */
	uint8_t mac[6];
	bool has_mac;
};

/* RTM_NEWNEIGH or RTM_DELNEIGH of an IP neighbour: 0, or -EINVAL for anything else. */
int neighbour_read(const struct nlmsghdr *message, struct neighbour *neighbour);
/* bpf_fib_lookup() would give its MAC. */
bool neighbour_is_valid(const struct neighbour *neighbour);
/* Calls visit for each entry of the host's tables. 0 or a negative errno. */
int neighbour_dump(struct mnl_socket *socket,
		   void (*visit)(const struct neighbour *neighbour, void *arg), void *arg);
/* The kernel treats the entry as traffic would: a stale one is probed, a missing one resolved. */
int neighbour_use(struct mnl_socket *socket, const struct isthmus_addr *addr, uint32_t ifindex);
/* Where the host would send a packet: next hop's address and device. */
int neighbour_route(struct mnl_socket *socket, const struct isthmus_addr *dst,
		    struct isthmus_addr *hop, uint32_t *ifindex);

#endif
