/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A dynamic record as it is published, kept and shown. */
#ifndef ISTHMUS_DNS_RECORD_H
#define ISTHMUS_DNS_RECORD_H

#include <jansson.h>
#include <stdint.h>

#include "wire.h"
#include "zone.h"

#define RECORD_OWNER_LEN 65 /* 64 and NUL */
#define RECORD_TTL_MAX	 604800

struct record {
	/* What it is: no two are the same in all of these. Names in lower case, with final dot. */
	char name[WIRE_NAME_TEXT];
	char type[8];		     /* "SRV", "A" or "AAAA" */
	char target[WIRE_NAME_TEXT]; /* of an SRV; else the address */
	unsigned int port;	     /* of an SRV; else 0 */
	/* What may change. */
	unsigned int priority, weight, ttl;
	int64_t expires; /* seconds since 1970, 0 = never */
	char owner[RECORD_OWNER_LEN];
};

/* A message's members as a record. NULL, or what is wrong. `now` gives `expires`. */
const char *record_from_json(const json_t *message, int64_t now, struct record *record);
json_t *record_to_json(const struct record *record, int64_t now);
/* A name as it is kept: lower case, escaped, with final dot. 0 or -EINVAL. */
int record_name(const char *text, char name[WIRE_NAME_TEXT]);
bool record_owner_is_valid(const char *owner);

/* Into or out of what is answered; -EINVAL and as zones_add(). */
int record_serve(const struct record *record, struct zones *zones);
void record_unserve(const struct record *record, struct zones *zones);

#endif
