/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Dynamic records and keys over restarts, in SQLite (WAL), readable by nobody else. 0 or a negative
 * errno; -EBUSY after 2 s of another's lock, -EIO otherwise.
 */
#ifndef ISTHMUS_DNS_STORE_H
#define ISTHMUS_DNS_STORE_H

#include "record.h"

struct store;

struct store *store_open(const char *path, char *error, size_t error_len);
void store_close(struct store *store);
const char *store_error(const struct store *store);

/* What is kept under the same name, type, target and port; -ENOENT. */
int store_find(struct store *store, const struct record *like, struct record *found);
int store_put(struct store *store, const struct record *record);
int store_delete(struct store *store, const struct record *record); /* -ENOENT */
int store_count(struct store *store, unsigned int *count);

/* "" and port -1 for what does not matter; expires_before 0: whenever. */
struct store_match {
	const char *name, *type, *target, *owner;
	int port;
	int64_t expires_before, after; /* after: only ids above it */
};

/* `each` gets the id too and returns false to stop; it must not change the store. */
int store_each(struct store *store, const struct store_match *match,
	       bool (*each)(const struct record *record, int64_t id, void *arg), void *arg);

/* ---- private keys of zones */

#define STORE_KEY_MAX 256

struct store_key {
	char zone[WIRE_NAME_TEXT]; /* lower case, with final dot */
	uint16_t tag;
	int64_t created;
	size_t len;
	uint8_t bytes[STORE_KEY_MAX]; /* PKCS #8 */
};

/* Is on the disk when it returns. -EEXIST: the zone has one of that tag. */
int store_key_put(struct store *store, const struct store_key *key);
int store_key_delete(struct store *store, const char *zone, uint16_t tag); /* -ENOENT */
/* Of a zone, oldest first. `each` returns false to stop; it must not change the store. */
int store_key_each(struct store *store, const char *zone,
		   bool (*each)(const struct store_key *key, void *arg), void *arg);

#endif
