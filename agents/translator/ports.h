/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Local endpoints: which session has which port of which address. */
#ifndef ISTHMUS_TRANSLATOR_PORTS_H
#define ISTHMUS_TRANSLATOR_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/splice.h"

struct session;

struct local {
	struct isthmus_addr addr;
	struct splice_range range;    /* given out */
	struct splice_range attached; /* the datapath's: where legs are; contains range */
	bool draining; /* no longer configured: its sessions go on, it gets no new ones */
	/* By protocol (TCP, UDP) and port, 65536 each; NULL until the first is taken. */
	struct session **owner[2];
	unsigned int used[2];
};

struct locals {
	struct local item[SPLICE_LOCALS];
	unsigned int count;
};

int locals_add(struct locals *locals, const struct isthmus_addr *addr, struct splice_range range,
	       bool draining); /* 0, -EEXIST, -ENOSPC */
void locals_free(struct locals *locals);
struct local *locals_find(const struct locals *locals, const struct isthmus_addr *addr);
struct session *locals_owner(const struct locals *locals, const struct isthmus_addr *addr,
			     uint8_t proto, uint16_t port);
bool locals_have_family(const struct locals *locals, uint8_t family);
unsigned int locals_free_ports(const struct locals *locals, uint8_t proto);

/*
 * A random free port of an address: of `addr` if it is set, else one of `family`, whose address
 * goes to addr. Where the host itself has a socket is passed over. -ENOSPC.
 */
int port_take(struct locals *locals, uint8_t family, uint8_t proto, struct session *session,
	      struct isthmus_addr *addr, uint16_t *port);
/* This very port: 0, -EEXIST if taken by a session or the host, -ERANGE if not ours, -ENOMEM. */
int port_claim(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto, uint16_t port,
	       struct session *session);
/* The same without looking at the range or the host: what the maps hold already. */
int port_restore(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto,
		 uint16_t port, struct session *session);
void port_release(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto,
		  uint16_t port);

#endif
