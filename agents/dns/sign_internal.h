/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What signing needs of libknot and libdnssec; only sign_wire.c includes them. */
#ifndef ISTHMUS_DNS_SIGN_INTERNAL_H
#define ISTHMUS_DNS_SIGN_INTERNAL_H

#include "sign.h"

/* Windows of 256 types, each of at most 32 bytes. */
#define SIGN_TYPES_MAX (256 * 34)

/*
 * In canonical form and order (RFC 4034, 6): `set` itself if it is, else *copy, which is to be
 * freed. NULL: out of memory.
 */
const struct wire_set *sign_canonical(const struct wire_set *set, struct wire_set **copy);

/* RFC 4034, 4.1.2. Types in any order, each as often as one likes. */
struct sign_types;

struct sign_types *sign_types_new(void);
void sign_types_free(struct sign_types *types);
void sign_types_clear(struct sign_types *types);
void sign_types_add(struct sign_types *types, uint16_t type);
size_t sign_types_write(const struct sign_types *types, uint8_t bytes[SIGN_TYPES_MAX]);

int sign_tag_of(const uint8_t dnskey[SIGN_DNSKEY_LEN], uint16_t *tag); /* RFC 4034, B */
int sign_ds_of(const uint8_t *zone, const uint8_t dnskey[SIGN_DNSKEY_LEN],
	       uint8_t ds[SIGN_DS_LEN]); /* RFC 4509 */

/* The name that follows next in canonical order (RFC 4471, 3.1.1), at most the zone's own. */
void sign_successor(const uint8_t *name, const uint8_t *zone, uint8_t next[WIRE_NAME_MAX]);

struct sign_types *sign_types_of(const struct sign *sign); /* one for all answers */

#endif
