/* SPDX-License-Identifier: GPL-3.0-or-later */
/* counter_db.h - the database of counter.c. -EIO: counter_db_error() says what. */
#ifndef ISTHMUS_ONETIME_COUNTER_DB_H
#define ISTHMUS_ONETIME_COUNTER_DB_H

#include "counter.h"

#define COUNTER_CHOSEN 0 /* instead of a generator's id, which are from 1 */

/* A counter is a signed number in SQLite. */
#define COUNTER_MAX ((uint64_t)INT64_MAX)

struct counter_db;

/* A generator. */
struct counter_row {
	int64_t id;
	struct generate_pool pool;
	enum generate_method method;
	uint8_t key[GENERATE_KEY_LEN]; /* KEYED */
	uint64_t high;
};

struct counter_note {
	struct isthmus_addr address;
	char name[COUNTER_NAME_LEN], client[COUNTER_CLIENT_LEN];
	int64_t time; /* seconds since 1970 */
};

int counter_db_open(const char *path, struct counter_db **result, char *error, size_t error_len);
void counter_db_close(struct counter_db *db);
const char *counter_db_error(struct counter_db *db);

/* What is written between is on disk, whole, when counter_db_end() returns 0. */
int counter_db_begin(struct counter_db *db);
/* err: of what was done between; if not 0, nothing of it is kept and it is returned. */
int counter_db_end(struct counter_db *db, int err);

/* Stops at the first error of one(). -EBADMSG: a row that cannot be. */
int counter_db_each(struct counter_db *db, int (*one)(const struct counter_row *row, void *arg),
		    void *arg);
int counter_db_add(struct counter_db *db, const struct counter_row *row, int64_t *id);
/* Where the generator's mark is from now on. */
int counter_db_mark(struct counter_db *db, int64_t id, uint64_t high);

/* The record: -ENOENT if it does not have the address. */
int counter_db_owner(struct counter_db *db, const struct isthmus_addr *address, int64_t *id,
		     uint64_t *counter);
int counter_db_own(struct counter_db *db, const struct isthmus_addr *address, int64_t id,
		   uint64_t counter);
int counter_db_disown(struct counter_db *db, const struct isthmus_addr *address);

/* As counter_note() and counter_flush(). */
int counter_db_note(struct counter_db *db, const struct isthmus_addr *address, const char *name,
		    const char *client);
int counter_db_flush(struct counter_db *db);
/* -ENOENT */
int counter_db_noted(struct counter_db *db, const struct isthmus_addr *address,
		     struct counter_note *note);
/* Up to this time. Returns how many rows. */
int counter_db_prune(struct counter_db *db, int64_t time, int64_t rows);

#endif
