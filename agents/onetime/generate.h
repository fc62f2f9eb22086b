/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * generate.h - addresses of a pool, and the counters they come from (O10).
 *
 * A pool is a prefix. Its addresses differ in the n host bits that follow: n = 128 - length of the
 * prefix, where IPv4 is IPv4-mapped and 192.0.2.0/28 has the length 124. A prefix shorter than /64
 * uses its last 64 bits only, and those between the prefix and them stay 0: an address is made of a
 * counter of 64 bits, and nobody gives out 2^64.
 *
 * SEQUENTIAL  host part = counter.
 * KEYED       host part = a permutation of the counter under a key: who has no key can tell neither
 *             the next address nor the order of two; who has it finds the counter of an address.
 * RANDOM      host part = generate_draw(), which may repeat; to know what it was is the caller's.
 *
 * Nothing here knows what was given out: counter.h. 0 or a negative errno, outputs untouched then.
 */
#ifndef ISTHMUS_ONETIME_GENERATE_H
#define ISTHMUS_ONETIME_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

#define GENERATE_KEY_LEN 32

/* Kept on disk: numbers do not change. */
enum generate_method { GENERATE_SEQUENTIAL, GENERATE_KEYED, GENERATE_RANDOM, GENERATE_METHODS };

struct generate_pool {
	struct isthmus_addr prefix;
	unsigned int bits; /* length of the prefix in the form of 128 bits */
};

struct generate;

/*
 * -EINVAL: bits above 128, a prefix with host bits set (a pool has one name), or one with IPv4 and
 * IPv6 addresses.
 */
int generate_pool_set(struct generate_pool *pool, const struct isthmus_addr *prefix,
		      unsigned int bits);
bool generate_contains(const struct generate_pool *pool, const struct isthmus_addr *address);
/*
 * An address of the pool that is never given out. IPv4: the network's and the broadcast address,
 * but of a /31 (RFC 3021) and a /32 none. IPv6: the pool's subnet-router anycast address (RFC 4291,
 * 2.6.1; not of a /127, RFC 6164, nor of a /128), and the reserved interface identifiers (RFC 5453
 * and its IANA registry), for pools of every length: all unicast addresses outside of ::/3 have an
 * interface identifier of 64 bits (RFC 4291, 2.5.1).
 */
bool generate_is_reserved(const struct generate_pool *pool, const struct isthmus_addr *address);
/* The greatest counter, which is also the mask of the host bits: 2^n - 1. */
uint64_t generate_last(const struct generate_pool *pool);
/* A host part by the kernel's random numbers, 0 to generate_last(). -errno of getrandom(2). */
int generate_draw(const struct generate_pool *pool, uint64_t *host);

/* key: GENERATE_KEY_LEN bytes, for KEYED only; it is not kept. -EINVAL, -ENOMEM, -EIO. */
int generate_new(const struct generate_pool *pool, enum generate_method method, const uint8_t *key,
		 struct generate **result);
void generate_free(struct generate *generate);
/* RANDOM takes a host part for counter. -ENOSPC: the pool has no such counter. -EIO: OpenSSL. */
int generate_address(struct generate *generate, uint64_t counter, struct isthmus_addr *address);
/* Its inverse. -ERANGE: no counter has this address. -EIO. */
int generate_counter(struct generate *generate, const struct isthmus_addr *address,
		     uint64_t *counter);

#endif
