/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is served: zones from files, each a tree of labels, and dynamic records hung into them.
 *
 *	apex -- "web" -- "_tcp" -- "_http"	a node for each label; "_tcp" without records is an
 *	     \- "*"				empty non-terminal: it exists (RFC 4592, 2.2.2)
 *
 * A look-up walks down from the apex, one hash look-up a label, and so meets zone cuts first and
 * ends at the closest encloser, below which RFC 4592's wildcard is looked for.
 *
 * Names given to these functions are in lower case; those of records keep their spelling.
 */
#ifndef ISTHMUS_DNS_ZONE_H
#define ISTHMUS_DNS_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define ZONES_MAX 16

/*
 * A type of ours (RFC 6895: private use) that is never answered: the name's A and AAAA come from a
 * waypoint (bind.c). Data: id of the gateway and number of the host there, big endian, 4 bytes
 * each.
 */
#define ZONE_BOUND     65534
#define ZONE_BOUND_LEN 8

/*
 * The same of names whose every answer is an address for one session (give.c). Data: number of the
 * agent here and of its service, big endian, 4 bytes each, and the families that it has, a byte.
 */
#define ZONE_ONETIME	 65533
#define ZONE_ONETIME_LEN 9
#define ZONE_ONETIME_4	 0x01
#define ZONE_ONETIME_6	 0x02

static inline bool zone_is_marker(uint16_t type)
{
	return type == ZONE_BOUND || type == ZONE_ONETIME;
}

struct sign;

/* A dynamic record; those of files are not kept one by one. */
struct zone_entry {
	struct zone_entry *next;
	int64_t expires; /* seconds since 1970, 0 = never */
	uint32_t ttl;
	uint16_t len;
	uint8_t data[];
};

/* A signature beside what it signs: sign.c makes it and knows whether it still is the right one. */
struct zone_kept {
	struct wire_set *data; /* NULL: none */
	uint64_t by;	       /* whose keys */
	int64_t from, until;   /* seconds since 1970 */
};

struct zone_set {
	struct zone_set *next;
	uint8_t *owner;	       /* as it was spelled first */
	struct wire_set *data; /* what is answered: fixed and entries together */
	struct wire_set *fixed;
	struct zone_entry *entries;
	uint32_t ttl, fixed_ttl; /* the smallest: RFC 2181, 5.2 */
	int64_t expires;	 /* of the entry that goes first, 0 = never */
	struct zone_kept kept;
};

struct zone_node {
	struct zone_node *chain, *parent;
	struct zone_set *sets;
	struct zone_set *nsec; /* that tells which sets there are, or NULL; sign_deny.c makes it */
	unsigned int children;
	uint32_t hash;
	uint8_t label[]; /* length and bytes, lower case */
};

struct zone {
	uint8_t name[WIRE_NAME_MAX]; /* lower case */
	unsigned int labels;
	struct zone_node *apex;
	struct zone_node **buckets;
	unsigned int bucket_count, node_count; /* bucket_count: a power of two */
	unsigned int records;		       /* from the file */
	struct sign *sign;		       /* its keys; NULL: it is not signed */
};

struct zones {
	struct zone *item[ZONES_MAX];
	unsigned int count;
};

struct zone_lookup {
	const struct zone_node *node; /* the name's, or its closest encloser's */
	const struct zone_node *wildcard;
	const struct zone_node *cut; /* the topmost delegation on the way: nothing below was seen */
	bool exact;
};

/* NAME=FILE or -EINVAL etc. with the reason in error. The zones that are there stay as they are. */
int zones_read(struct zones *zones, const char *name, const char *path, char *error,
	       size_t error_len);
void zones_free(struct zones *zones);
/* The zone with the most labels that `name` is in, or NULL. */
struct zone *zones_find(const struct zones *zones, const uint8_t *name);

void zone_lookup(const struct zone *zone, const uint8_t *name, struct zone_lookup *lookup);
/* Without wildcards and regardless of cuts (glue). */
const struct zone_node *zone_exact(const struct zone *zone, const uint8_t *name);
/* Which of A (ZONE_ONETIME_4) and AAAA agents may give for the name. */
uint8_t zone_onetime(const struct zone_node *node);
struct zone_set *zone_set_of(const struct zone_node *node, uint16_t type);
uint32_t zone_set_ttl(const struct zone_set *set, int64_t now);

/* A set of its own; takes `data`, and frees it where there is no memory: NULL. */
struct zone_set *zone_set_new(const uint8_t *owner, struct wire_set *data, uint32_t ttl);
void zone_set_free(struct zone_set *set);
/* Takes `set` for the zone's own name, instead of the one of that type unless the file has it; NULL
 * for none. */
void zone_put_apex(struct zone *zone, uint16_t type, struct zone_set *set);

/*
 * A dynamic record beside those of the file. -ENOENT: no zone has the name; -EPERM: it is
 * delegated; -EEXIST: a CNAME is in the way. The same data again changes ttl and expiry.
 */
int zones_add(struct zones *zones, const struct wire_record *record, int64_t expires);
void zones_remove(struct zones *zones, const struct wire_record *record);

#endif
