/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/portset.h - the port sets of RFC 7597, 5.1: which ports of a shared address one host has.
 *
 * A port is A | PSID | j, of a, k and m bits, a + k + m = 16:
 *
 *	 a bits     k bits    m bits
 *	+--------+-----------+-------+	a > 0: A = 0 belongs to nobody, so ports below 2^(16 - a)
 *are in no
 *	|   A    |   PSID    |   j   |	set. A set is then 2^a - 1 ranges of 2^m ports, 2^(16 - a)
 *apart.
 *	+--------+-----------+-------+	a = 0: a set is one range of 2^m ports.
 *
 * All numbers are in host byte order. On the wire (RFC 7618, 9; PE-ARP) a PSID stands in the k
 * leftmost bits of 16.
 */
#ifndef ISTHMUS_MAPS_PORTSET_H
#define ISTHMUS_MAPS_PORTSET_H

#include <linux/types.h>

struct portset {
	__u8 a, k; /* PSID offset and PSID length, bits */
	__u16 psid;
};

_Static_assert(sizeof(struct portset) == 4, "portset is an ABI");

/* a <= 15, k <= 16, a + k <= 16, psid < 2^k; and not the empty set that a = 16 - k = 16 would be.
 */
static inline int portset_valid(const struct portset *set)
{
	return set->a <= 15 && set->k <= 16 && set->a + set->k <= 16 &&
	       (set->k == 16 || !(set->psid >> set->k));
}

/* The PSID of a port, whatever its A. */
static inline __u32 portset_psid(__u8 a, __u8 k, __u16 port)
{
	return ((__u32)port >> ((16 - a - k) & 31)) & ((1u << (k & 31)) - 1);
}

/* Is this port in a set of an address with this a? */
static inline int portset_in_sets(__u8 a, __u16 port)
{
	return !a || (__u32)port >> ((16 - a) & 31);
}

static inline int portset_has(const struct portset *set, __u16 port)
{
	return portset_in_sets(set->a, port) && portset_psid(set->a, set->k, port) == set->psid;
}

/* A set's ranges are numbered from 0. */
static inline __u32 portset_ranges(const struct portset *set)
{
	return set->a ? (1u << set->a) - 1 : 1;
}

static inline __u32 portset_range_ports(const struct portset *set)
{
	return 1u << (16 - set->a - set->k);
}

static inline __u32 portset_ports(const struct portset *set)
{
	return portset_ranges(set) * portset_range_ports(set);
}

/* First port of range `i`. */
static inline __u16 portset_range_first(const struct portset *set, __u32 i)
{
	__u32 block = set->a ? (i + 1) << (16 - set->a) : 0;

	return block | (__u32)set->psid << (16 - set->a - set->k);
}

/* Port number `n` of the set, 0 <= n < portset_ports(). */
static inline __u16 portset_port(const struct portset *set, __u32 n)
{
	__u32 m = (16u - set->a - set->k) & 31;

	return portset_range_first(set, n >> m) | (n & ((1u << m) - 1));
}

/* The PSID field of option 159 and of PE-ARP, host order, and back. */
static inline __u16 portset_psid_to_wire(const struct portset *set)
{
	return (__u32)set->psid << (16 - set->k);
}

static inline __u16 portset_psid_from_wire(__u8 k, __u16 field)
{
	return (__u32)field >> (16 - k);
}

#endif
