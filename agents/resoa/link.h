/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices, addresses, routes and rules of both families by rtnetlink, in the namespace where
 * link_open() was called; and sysctls of the thread's namespace. 0 or a negative errno. */
#ifndef ISTHMUS_RESOA_LINK_H
#define ISTHMUS_RESOA_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

struct mnl_socket;

struct mnl_socket *link_open(void);

/* A veth pair with one MAC for both ends; `peer` is made in the namespace peer_ns. */
int link_veth(struct mnl_socket *link, const char *name, const char *peer, int peer_ns,
	      const uint8_t mac[6], uint32_t mtu);
int link_delete(struct mnl_socket *link, uint32_t ifindex);
/* NOARP: the other end takes everything. */
int link_up(struct mnl_socket *link, uint32_t ifindex, bool noarp);
int link_mtu(struct mnl_socket *link, uint32_t ifindex, uint32_t mtu);

/* `bits` of the family: 24 of an IPv4 address. */
int link_address(struct mnl_socket *link, bool add, const struct isthmus_addr *address,
		 uint8_t bits, uint32_t ifindex);

struct link_route {
	struct isthmus_addr to; /* all zero and bits 0: the default of `family` */
	uint8_t family, bits;
	uint8_t type; /* RTN_ */
	uint32_t table, ifindex, metric;
	bool has_source;
	struct isthmus_addr source; /* preferred */
};

int link_route(struct mnl_socket *link, bool add, const struct link_route *route);

struct link_rule {
	uint8_t family;
	uint32_t preference, table;
	const char *device;	       /* iif, or NULL */
	const struct isthmus_addr *to; /* or NULL */
};

int link_rule(struct mnl_socket *link, bool add, const struct link_rule *rule);

/* name is a path below /proc/sys/net. */
int link_sysctl(const char *name, const char *value);
int link_sysctl_read(const char *name, char *value, int len);

#endif
