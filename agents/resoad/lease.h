/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leases: lease.c follows them, lease_address.c puts their addresses on the server's device,
 * lease_show.c tells of them.
 */
#ifndef ISTHMUS_RESOAD_LEASE_H
#define ISTHMUS_RESOAD_LEASE_H

#include <net/if.h>

#include "../lib/address.h"
#include "../lib/dhcp_client.h"
#include "../lib/dhcp_link.h"
#include "resoad.h"

#define LEASE_FOREVER UINT32_MAX /* seconds */

struct mnl_socket;

/* ---- lease_address.c */

/* Addresses are in host byte order, as in dhcp_wire.h. */
struct lease_device {
	struct dhcp_link link;
	struct mnl_socket *rtnl;
	char label[IF_NAMESIZE]; /* of this daemon's addresses: a hash of `owner` */
};

/* Needs CAP_NET_RAW; what is done with it later needs CAP_NET_ADMIN. Takes addresses away that an
 * `owner` of this name left behind. */
int lease_device_open(const char *name, const char *owner, struct lease_device *device, char *error,
		      size_t error_len);
void lease_device_close(struct lease_device *device);
/* -EEXIST: the host has this address already, and not from here. */
int lease_address_put(const struct lease_device *device, uint32_t address, uint32_t seconds);
/* The same address for a longer time. */
int lease_address_keep(const struct lease_device *device, uint32_t address, uint32_t seconds);
int lease_address_remove(const struct lease_device *device, uint32_t address);
/* Tells neighbours who may know another MAC for it (RFC 5227, 2.3). */
void lease_address_announce(const struct lease_device *device, uint32_t address);
/* A socket at its port 68 that reads nothing: a server's unicast answer is no error, and no program
 * of the client can take it. -1 if there cannot be one. */
int lease_address_hold_port(uint32_t address);

/* ---- lease.c */

struct lease {
	struct leases *leases;
	struct dhcp_client dhcp;
	char name[LHP_NAME_MAX + 1]; /* the client's */
	struct isthmus_addr address; /* all zero: none */
	time_t until;		     /* by the clock that people read; 0: for ever */
	int port68;
	int64_t free_at; /* ms; 0: it is wanted */
	struct event *wait;
	struct lease *next;
};

struct leases {
	struct resoad *resoad;
	struct lease_device device;
	struct event *timer, *readable;
	bool busy; /* in a hook of `dhcp`: nothing may be freed */
	struct lease *first;
};

uint32_t lease_seconds_left(const struct lease *lease); /* or LEASE_FOREVER */

/* ---- lease_show.c */

struct lease *lease_find(const struct leases *leases, const struct client_conf *conf);
void lease_set_v4(struct isthmus_addr *address, uint32_t host_order);
/* The caller's `text`. */
char *lease_v4_text(uint32_t host_order, char text[ADDRESS_TEXT_LEN]);

#endif
