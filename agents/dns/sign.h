/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DNSSEC while it is asked for (RFC 4034, 4035): keys of ECDSA P-256 with SHA-256 (RFC 6605), each
 * a key for the zone and for its data, and denial as RFC 9824 has it.
 *
 *	key set of the zone (DNSKEY, CDS, CDNSKEY)	signed by each key
 *	everything else					by one: see sign_add_key()
 *
 * Signatures of what is in the zone are kept beside it and go with it. What is made for one
 * answer (wildcards, unknown names, sets that are computed) is signed for that answer alone.
 */
#ifndef ISTHMUS_DNS_SIGN_H
#define ISTHMUS_DNS_SIGN_H

#include "wire.h"
#include "zone.h"

#define SIGN_TYPE_DS	  43
#define SIGN_TYPE_RRSIG	  46
#define SIGN_TYPE_NSEC	  47
#define SIGN_TYPE_DNSKEY  48
#define SIGN_TYPE_CDS	  59
#define SIGN_TYPE_CDNSKEY 60
#define SIGN_TYPE_NXNAME  128 /* RFC 9824: only in the types of an NSEC */

#define SIGN_ALGORITHM	13
#define SIGN_FLAGS	257 /* zone key and secure entry point */
#define SIGN_KEYS_MAX	4
#define SIGN_KEY_TTL	3600 /* of DNSKEY, CDS and CDNSKEY */
#define SIGN_BEFORE_S	3600 /* clocks differ */
#define SIGN_AFTER_S	(14 * 86400)
#define SIGN_RENEW_S	86400 /* a kept signature is made again when it is older */
#define SIGN_DNSKEY_LEN (4 + 64)
#define SIGN_DS_LEN	(4 + 32)

/* ---- keys of a zone */

struct sign;

struct sign *sign_new(const uint8_t *zone); /* its name in lower case; NULL: out of memory */
void sign_free(struct sign *sign);
/*
 * private: PKCS #8, as key.c makes it. Keys are added oldest first. A key is published at once, and
 * signs when no cache can have the zone's keys without it: SIGN_KEY_TTL after `created`. The newest
 * of these signs; if there is none, the oldest key. -EINVAL: no such key; -ENOSPC: too many.
 */
int sign_add_key(struct sign *sign, const uint8_t *private_key, size_t len, int64_t created);
unsigned int sign_key_count(const struct sign *sign);
const uint8_t *sign_dnskey(const struct sign *sign, unsigned int index); /* SIGN_DNSKEY_LEN bytes */
uint16_t sign_key_tag(const struct sign *sign, unsigned int index);
int64_t sign_key_created(const struct sign *sign, unsigned int index);
unsigned int sign_active(const struct sign *sign, int64_t now); /* index of who signs */
int sign_ds(const struct sign *sign, unsigned int index, uint8_t ds[SIGN_DS_LEN]);
/*
 * Takes `sign`: the zone is signed with it from now on and has its key sets; CDS and CDNSKEY of
 * the zone's file are left as they are. NULL: it is not signed any longer. -ENOMEM: as it was, and
 * `sign` is freed.
 */
int sign_zone(struct zone *zone, struct sign *sign);

/* ---- answers */

struct sign_counters {
	uint64_t made, failed;
};

/* One answer that is being signed. */
struct signing {
	struct wire *wire;
	struct sign *sign; /* the zone's, or NULL: nothing is signed */
	struct sign_counters *counters;
	int64_t now; /* seconds since 1970 */
};

/*
 * As wire_put(), and the signatures with it. -ENOSPC if either does not fit (of what is optional
 * the set may then be without them, RFC 4035, 3.1.1); -EIO: it cannot be signed.
 */
int sign_put(const struct signing *signing, ns_sect section, const uint8_t *owner,
	     const struct zone_set *set, uint32_t ttl, bool optional);
/*
 * The same for what is computed for this answer: any owner in the zone, and a set that was made by
 * wire_set_once(). Nothing of it is kept.
 */
int sign_put_once(const struct signing *signing, ns_sect section, const uint8_t *owner,
		  const struct wire_set *set, uint32_t ttl, bool optional);
/* Signatures of the set alone. */
int sign_put_signatures(const struct signing *signing, ns_sect section, const uint8_t *owner,
			const struct zone_set *set, uint32_t ttl);

/* What an NSEC says of its name. */
struct sign_denial {
	const uint8_t *owner;
	const struct zone_node *node; /* whose types it has; NULL: there is no such name */
	bool keep;		      /* owner is the node's own name, so others will ask too */
	const uint16_t *also;	      /* types that are computed and so in no set; not with keep */
	unsigned int also_count;
	bool no_aaaa; /* of a bound name (ZONE_BOUND) that has no IPv6 address now; not with keep */
};

/* The NSEC of RFC 9824, 3.1 to 3.4; signed if wanted. `zone` has keys. */
int sign_put_nsec(const struct signing *signing, ns_sect section, const struct zone *zone,
		  const struct sign_denial *denial, bool with_signature);

#endif
