/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PE-ARP frames (maps/portarp.h, struct portarp_arp): made and read. */
#ifndef ISTHMUS_AGENTS_PORTARP_ARP_H
#define ISTHMUS_AGENTS_PORTARP_ARP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/portarp.h"

#define ARP_FRAME_BYTES 60 /* Ethernet's least; ours need 58 */

struct arp_message {
	uint8_t from[6];    /* the sender's MAC */
	uint8_t to[6];	    /* all zero: to everyone */
	uint32_t addr_be;   /* the shared address */
	uint16_t port;	    /* host order, as all below */
	uint8_t flags;	    /* PORTARP_ARP_ */
	struct portset set; /* valid with PORTARP_ARP_SET */
	uint16_t low, high; /* valid with PORTARP_ARP_RANGE */
	uint16_t lifetime_s;
};

void arp_build(const struct arp_message *message, uint16_t operation_be,
	       uint8_t frame[ARP_FRAME_BYTES]);

/*
 * A reply or announcement. -EINVAL: no PE-ARP of this operation, or its parts contradict each
 * other: another Ethernet sender, a group MAC, a set or range that is none, or that lacks `port`.
 */
int arp_parse(const uint8_t *frame, size_t len, uint16_t operation_be, struct arp_message *message);

static inline bool mac_is_zero(const uint8_t mac[6])
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

#endif
