/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What outlives the broker, in SQLite (WAL): users and translators with the hashes of their
 * secrets, and the services that users have published. Commands write while the daemon runs.
 * All functions: 0 or a negative errno; -EBUSY after 2 s of another's lock, -EIO otherwise.
 */
#ifndef ISTHMUS_BROKER_DB_H
#define ISTHMUS_BROKER_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "../lib/auth.h"

#define NAME_LEN	 33  /* 1 to 32 and NUL */
#define SERVICE_TEXT_LEN 201 /* a service's description and NUL */

struct db;

struct db_user {
	int64_t id; /* never given again: a user of the same name made later is another one */
	char name[NAME_LEN];
	char secret_hash[AUTH_HASH_LEN];	    /* "" before enrolment */
	char token_hash[AUTH_HASH_LEN];		    /* "" after it */
	int64_t token_expires, created, last_login; /* seconds since 1970, 0 = never */
};

struct db_service {
	const char *user, *name, *proto, *text, *splice; /* borrowed */
};

enum db_kind { DB_USER, DB_TRANSLATOR };

bool db_name_is_valid(const char *name);

/* Makes the file (0600) and its tables if they are not there. */
struct db *db_open(const char *path, char *error, size_t error_len);
void db_close(struct db *db);
const char *db_error(const struct db *db); /* of the last failure */

/* token_hash with its expiry for a user, secret_hash for a translator. -EEXIST. */
int db_add(struct db *db, enum db_kind kind, const char *name, const char *secret_hash,
	   const char *token_hash, int64_t token_expires);
int db_delete(struct db *db, enum db_kind kind, const char *name);		       /* -ENOENT */
int db_find(struct db *db, enum db_kind kind, const char *name, struct db_user *user); /* -ENOENT */
int db_each(struct db *db, enum db_kind kind, void (*each)(const struct db_user *user, void *arg),
	    void *arg);
/* A new token for a user who has not enrolled; -ENOENT if it has. */
int db_renew_token(struct db *db, const char *name, const char *token_hash, int64_t token_expires);
/* The token is used up; -ENOENT if it was meanwhile. */
int db_enrol(struct db *db, int64_t id, const char *token_hash, const char *secret_hash);
int db_logged_in(struct db *db, enum db_kind kind, int64_t id);

int db_publish(struct db *db, int64_t user_id, const struct db_service *service);
int db_unpublish(struct db *db, int64_t user_id, const char *service);
int db_count_services(struct db *db, int64_t user_id, unsigned int *count);
/* Those whose "user/service" or text contains `match`; each returns false to stop. */
int db_each_service(struct db *db, const char *match,
		    bool (*each)(const struct db_service *service, void *arg), void *arg);

/* A number that changes when another process has written. */
int db_version(struct db *db, int64_t *version);

#endif
