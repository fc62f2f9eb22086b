/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A host's own ports of shared addresses, and what the kernel is told about them. */
#ifndef ISTHMUS_AGENTS_PORTARP_HOST_H
#define ISTHMUS_AGENTS_PORTARP_HOST_H

#include "agent.h"

#define OWN_PARTS (PORTARP_SETS + PORTARP_RANGES)

struct own_part {
	struct ports ports;
	int64_t ends_s; /* CLOCK_REALTIME; 0 = never */
};

struct own {
	TAILQ_ENTRY(own) link;
	uint32_t addr_be, gateway_be; /* 0 = no default route */
	uint32_t ifindex;
	uint8_t prefix; /* 0 = none is on the link */
	char device[16];
	struct own_part part[OWN_PARTS];
	unsigned int parts, announces;
	struct portarp_mine mine;
};

struct host_request {
	uint32_t addr_be, gateway_be, ifindex;
	uint8_t prefix;
	struct ports ports;
	int64_t ends_s;
};

/*
 * -EINVAL: sets of one address differ in size; -ENOSPC: more of them than portarp_mine has places;
 * -EBUSY: it is in use on another device. A gateway or prefix that is named replaces the one of
 * before.
 */
int host_use(struct agent *agent, const struct host_request *request);
/* ports NULL: all of the address. -ENOENT. */
int host_unuse(struct agent *agent, uint32_t addr_be, const struct ports *ports);
void host_expire(struct agent *agent); /* and announcements that are due */
struct own *host_find(const struct agent *agent, uint32_t addr_be);
void host_restore(struct agent *agent);
void host_link_up(struct agent *agent, uint32_t ifindex);
void host_free(struct agent *agent);
/* Does this machine announce what it has: 0x04, or 0x08 as it gives it up. */
void host_announce(struct agent *agent, uint32_t addr_be, const struct portarp_mine *mine,
		   uint8_t flag);

/* ---- mine.c: pure */

/* What portarp_mine says of these parts. -EINVAL, -ENOSPC; `mine` untouched on failure. */
int mine_build(const struct own_part *part, unsigned int parts, int64_t now_s, uint64_t now_ns,
	       struct portarp_mine *mine);
bool mine_has_port(const struct portarp_mine *mine, uint16_t port);

/*
 * Automatic ports: the hull of all that is in `has` (65536 flags) from `least` on, and what of it
 * is not in `has`, as the kernel's ip_local_port_range and ip_local_reserved_ports want them;
 * `kept` is the operator's own list, which stays. -ENOENT: no port from `least` on.
 */
int mine_automatic(const bool *has, uint16_t least, const char *kept, char range[16],
		   char *reserved, size_t reserved_len);

/* ---- net.c: the kernel's addresses, rules, routes and sysctls */
int net_add(struct agent *agent, const struct own *own);
void net_remove(struct agent *agent, const struct own *own);
/* The routes of an address in use, where only gateway or prefix differ. */
int net_change(struct agent *agent, const struct own *from, const struct own *to);
void net_ports(struct agent *agent); /* automatic ports of all own addresses */

#endif
