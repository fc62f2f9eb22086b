/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a frame that waited needs before it is sent. */
#ifndef ISTHMUS_AGENTS_PORTARP_FRAME_H
#define ISTHMUS_AGENTS_PORTARP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/portarp.h"

struct frame_turn {
	bool ttl; /* one less, with the header's checksum */
};

/*
 * A gateway routes what comes from another machine; what this machine's kernel made or has routed
 * (`own`) has its TTL already. A bridge is no hop.
 */
struct frame_turn frame_turn(enum portarp_role role, bool own);

/*
 * Turns a frame of the wire (from its Ethernet header) towards `mac`, from `source`. A checksum
 * that its sender left to a device (CHECKSUM_PARTIAL) is finished. -EINVAL: no IPv4, or too short;
 * -ETIME: TTL ends.
 */
int frame_prepare(uint8_t *frame, size_t len, struct frame_turn turn, const uint8_t mac[6],
		  const uint8_t source[6]);

/* Sum of 16-bit words as in RFC 1071, folded, not complemented. */
uint16_t frame_sum(const void *bytes, size_t len, uint32_t sum);

#endif
