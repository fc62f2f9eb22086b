/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zones' keys: made, kept in the database, shown. A private key leaves neither the process nor
 * the database.
 */
#ifndef ISTHMUS_DNS_KEY_H
#define ISTHMUS_DNS_KEY_H

#include <jansson.h>

#include "sign.h"
#include "store.h"

/* A new one for `zone`, not in the store yet. 0 or -EIO. */
int key_generate(const struct zone *zone, int64_t now, struct store_key *key);
/* The zone is signed by all keys that the store has of it, by none if there is none. */
int key_load_zone(struct store *store, struct zone *zone);
/* All zones, which were just read. On failure the reason is in error. */
int key_load(struct store *store, struct zones *zones, char *error, size_t error_len);

/* Another key for the zone, or one of them away; the zone is signed accordingly. -ENOSPC: there are
 * SIGN_KEYS_MAX; -ENOENT: it has none of that tag. */
int key_add(struct store *store, struct zone *zone, int64_t now, uint16_t *tag);
int key_delete(struct store *store, struct zone *zone, uint16_t tag);
/* What all may know: {"zone", "tag", "created", "signs", "ds", "dnskey"} of each. */
json_t *key_list(const struct zone *zone, int64_t now);

#endif
