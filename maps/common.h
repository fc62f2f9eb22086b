/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/common.h - what every datapath's map contract shares.
 *
 * Included by BPF programs, the loader, the agents and the tests, so it holds fixed-width types
 * only.
 */
#ifndef ISTHMUS_MAPS_COMMON_H
#define ISTHMUS_MAPS_COMMON_H

#include <linux/types.h>

/* Where pinned state lives: ISTHMUS_PIN_ROOT[/INSTANCE]/<stem>/. */
#define ISTHMUS_PIN_ROOT "/sys/fs/bpf/isthmus"

/*
 * An address of either family in network byte order. IPv4 is kept as the IPv4-mapped IPv6 address
 * ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so one key serves both families and a session may have one
 * of each.
 */
struct isthmus_addr {
	__u8 b[16];
} __attribute__((aligned(4)));

_Static_assert(sizeof(struct isthmus_addr) == 16, "isthmus_addr is an ABI");

/* One reason's share of a datapath's traffic. Per-CPU; a reader adds the CPUs. */
struct isthmus_count {
	__u64 packets; /* wire packets: a GSO packet counts its segments */
	__u64 bytes;   /* as received, link-layer header included */
};

_Static_assert(sizeof(struct isthmus_count) == 16, "isthmus_count is an ABI");

#endif
