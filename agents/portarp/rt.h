/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IPv4 addresses, routes, rules and neighbour entries by rtnetlink; and sysctls. All return 0 or a
 * negative errno. */
#ifndef ISTHMUS_AGENTS_PORTARP_RT_H
#define ISTHMUS_AGENTS_PORTARP_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

#define RT_PROTOCOL 159 /* of what we make: DHCP's option of port sets; `ip route` shows it */

struct mnl_socket *rt_open(void);

/* ADDRESS/32 of scope host, without a route to its prefix. */
int rt_address(struct mnl_socket *rt, bool add, uint32_t addr_be, uint32_t ifindex);

struct rt_route {
	uint32_t dst_be, gateway_be, src_be; /* 0: none */
	uint32_t ifindex;
	uint32_t table;
	uint8_t len;   /* of dst */
	uint8_t type;  /* RTN_LOCAL or RTN_UNICAST */
	uint8_t scope; /* RT_SCOPE_ */
	uint8_t protocol;
};

/* Before others of the same destination and metric. A gateway is taken to be on the link. */
int rt_route(struct mnl_socket *rt, bool add, const struct rt_route *route);

/* from all [iif DEVICE] lookup TABLE */
int rt_rule(struct mnl_socket *rt, bool add, uint32_t preference, uint32_t table,
	    const char *device, uint8_t protocol);

/* A permanent entry. */
int rt_neighbour(struct mnl_socket *rt, bool add, uint32_t addr_be, uint32_t ifindex,
		 const uint8_t mac[6]);

/* By which device would a packet for the address leave? -ENETUNREACH. */
int rt_device(struct mnl_socket *rt, uint32_t addr_be, uint32_t *ifindex);

/* name is a path below /proc/sys/net/ipv4. */
int rt_sysctl_read(const char *name, char *value, size_t len);
int rt_sysctl_write(const char *name, const char *value);

#endif
