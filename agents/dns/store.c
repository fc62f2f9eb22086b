// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

#define SCHEMA_VERSION 2
#define BUSY_MS	       2000

/* schema[N] makes version N + 1 of version N. */
static const char *const schema[SCHEMA_VERSION] = {
	"CREATE TABLE records (id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
	" target TEXT NOT NULL, port INTEGER NOT NULL, priority INTEGER NOT NULL,"
	" weight INTEGER NOT NULL, ttl INTEGER NOT NULL, expires INTEGER NOT NULL,"
	" owner TEXT NOT NULL, UNIQUE (name, type, target, port)) STRICT;"
	"CREATE INDEX records_expires ON records (expires) WHERE expires > 0;"
	"CREATE INDEX records_owner ON records (owner);"
	"PRAGMA user_version = 1;",
	"CREATE TABLE keys (zone TEXT NOT NULL, tag INTEGER NOT NULL, created INTEGER NOT NULL,"
	" private BLOB NOT NULL, PRIMARY KEY (zone, tag)) STRICT;"
	"PRAGMA user_version = 2;",
};

#define KEY	"name = ?1 AND type = ?2 AND target = ?3 AND port = ?4"
#define COLUMNS "id, name, type, target, port, priority, weight, ttl, expires, owner"

enum statement {
	FIND_ONE,
	PUT_ONE,
	DELETE_ONE,
	COUNT_ALL,
	EACH,
	EACH_NAME,
	EACH_EXPIRED,
	KEY_PUT,
	KEY_DELETE,
	KEY_EACH,
	STATEMENTS
};

static const char *const texts[STATEMENTS] = {
	[FIND_ONE] = "SELECT " COLUMNS " FROM records WHERE " KEY,
	[PUT_ONE] =
		"INSERT INTO records (name, type, target, port, priority, weight, ttl, expires,"
		" owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
		" ON CONFLICT (name, type, target, port) DO UPDATE SET priority = ?5, weight = ?6,"
		" ttl = ?7, expires = ?8, owner = ?9",
	[DELETE_ONE] = "DELETE FROM records WHERE " KEY,
	[COUNT_ALL] = "SELECT count(*) FROM records",
	[EACH] = "SELECT " COLUMNS " FROM records WHERE id > ?5 AND (?2 = '' OR type = ?2)"
		 " AND (?3 = '' OR target = ?3) AND (?4 < 0 OR port = ?4)"
		 " AND (?6 = '' OR owner = ?6) ORDER BY id",
	[EACH_NAME] = "SELECT " COLUMNS " FROM records WHERE name = ?1 AND id > ?5"
		      " AND (?2 = '' OR type = ?2) AND (?3 = '' OR target = ?3)"
		      " AND (?4 < 0 OR port = ?4) AND (?6 = '' OR owner = ?6) ORDER BY id",
	[EACH_EXPIRED] = "SELECT " COLUMNS " FROM records WHERE expires > 0 AND expires <= ?1"
			 " ORDER BY expires",
	[KEY_PUT] = "INSERT INTO keys (zone, tag, created, private) VALUES (?1, ?2, ?3, ?4)",
	[KEY_DELETE] = "DELETE FROM keys WHERE zone = ?1 AND tag = ?2",
	[KEY_EACH] = "SELECT tag, created, private FROM keys WHERE zone = ?1"
		     " ORDER BY created, rowid",
};

struct store {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
};

/* ---- opening */

static int exec(struct store *store, const char *text)
{
	return sqlite3_exec(store->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int make_schema(struct store *store, char *error, size_t error_len)
{
	sqlite3_stmt *statement;
	int version = -1;

	if (exec(store, "BEGIN IMMEDIATE") ||
	    sqlite3_prepare_v2(store->handle, "PRAGMA user_version", -1, &statement, NULL))
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	if (version > SCHEMA_VERSION) {
		snprintf(error, error_len,
			 "its schema is version %d, this program knows %d: install a newer one",
			 version, SCHEMA_VERSION);
		exec(store, "ROLLBACK");
		return -EPROTO;
	}
	if (version < 0)
		return -EIO;
	for (; version < SCHEMA_VERSION; version++)
		if (exec(store, schema[version]))
			return -EIO;
	return exec(store, "COMMIT");
}

static int open_handle(struct store *store, const char *path, char *error, size_t error_len)
{
	int rc, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		snprintf(error, error_len, "%s", strerror(errno));
		return -EIO;
	}
	close(fd);
	if (sqlite3_open_v2(path, &store->handle, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return -EIO;
	sqlite3_busy_timeout(store->handle, BUSY_MS);
	/* NORMAL: a power cut may lose the last changes, which are published again. */
	rc = exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			 "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;");
	if (!rc)
		rc = make_schema(store, error, error_len);
	for (int i = 0; !rc && i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(store->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statement[i], NULL) != SQLITE_OK)
			rc = -EIO;
	return rc;
}

struct store *store_open(const char *path, char *error, size_t error_len)
{
	struct store *store = calloc(1, sizeof(*store));
	char why[200] = "";

	if (!store) {
		snprintf(error, error_len, "out of memory");
		return NULL;
	}
	if (!open_handle(store, path, why, sizeof(why)))
		return store;
	snprintf(error, error_len, "%s: %s", path, why[0] ? why : store_error(store));
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statement[i]);
	sqlite3_close(store->handle);
	free(store);
}

const char *store_error(const struct store *store)
{
	return store->handle ? sqlite3_errmsg(store->handle) : "out of memory";
}

/* ---- statements */

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static sqlite3_stmt *bind_key(struct store *store, enum statement which,
			      const struct record *record)
{
	sqlite3_stmt *statement = store->statement[which];

	bind_text(statement, 1, record->name);
	bind_text(statement, 2, record->type);
	bind_text(statement, 3, record->target);
	sqlite3_bind_int64(statement, 4, record->port);
	return statement;
}

static int finish(sqlite3_stmt *statement, int code)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : code == SQLITE_BUSY ? -EBUSY : -EIO;
}

static void copy_text(char *to, size_t len, sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	snprintf(to, len, "%s", text ? text : "");
}

static void read_row(sqlite3_stmt *statement, struct record *record)
{
	copy_text(record->name, sizeof(record->name), statement, 1);
	copy_text(record->type, sizeof(record->type), statement, 2);
	copy_text(record->target, sizeof(record->target), statement, 3);
	record->port = sqlite3_column_int(statement, 4);
	record->priority = sqlite3_column_int(statement, 5);
	record->weight = sqlite3_column_int(statement, 6);
	record->ttl = sqlite3_column_int(statement, 7);
	record->expires = sqlite3_column_int64(statement, 8);
	copy_text(record->owner, sizeof(record->owner), statement, 9);
}

int store_find(struct store *store, const struct record *like, struct record *found)
{
	sqlite3_stmt *statement = bind_key(store, FIND_ONE, like);
	int code = sqlite3_step(statement), rc;

	if (code == SQLITE_ROW)
		read_row(statement, found);
	rc = finish(statement, code);
	return !rc && code == SQLITE_DONE ? -ENOENT : rc;
}

int store_put(struct store *store, const struct record *record)
{
	sqlite3_stmt *statement = bind_key(store, PUT_ONE, record);

	sqlite3_bind_int64(statement, 5, record->priority);
	sqlite3_bind_int64(statement, 6, record->weight);
	sqlite3_bind_int64(statement, 7, record->ttl);
	sqlite3_bind_int64(statement, 8, record->expires);
	bind_text(statement, 9, record->owner);
	return finish(statement, sqlite3_step(statement));
}

int store_delete(struct store *store, const struct record *record)
{
	sqlite3_stmt *statement = bind_key(store, DELETE_ONE, record);
	int rc = finish(statement, sqlite3_step(statement));

	return !rc && !sqlite3_changes(store->handle) ? -ENOENT : rc;
}

int store_count(struct store *store, unsigned int *count)
{
	sqlite3_stmt *statement = store->statement[COUNT_ALL];
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		*count = sqlite3_column_int(statement, 0);
	return finish(statement, code);
}

static sqlite3_stmt *bind_match(struct store *store, const struct store_match *match)
{
	sqlite3_stmt *statement;

	if (match->expires_before) {
		statement = store->statement[EACH_EXPIRED];
		sqlite3_bind_int64(statement, 1, match->expires_before);
		return statement;
	}
	statement = store->statement[match->name[0] ? EACH_NAME : EACH];
	if (match->name[0])
		bind_text(statement, 1, match->name);
	bind_text(statement, 2, match->type);
	bind_text(statement, 3, match->target);
	sqlite3_bind_int64(statement, 4, match->port);
	sqlite3_bind_int64(statement, 5, match->after);
	bind_text(statement, 6, match->owner);
	return statement;
}

int store_each(struct store *store, const struct store_match *match,
	       bool (*each)(const struct record *record, int64_t id, void *arg), void *arg)
{
	sqlite3_stmt *statement = bind_match(store, match);
	int code = SQLITE_DONE;
	bool more = true;

	while (more && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct record record;

		read_row(statement, &record);
		more = each(&record, sqlite3_column_int64(statement, 0), arg);
	}
	return finish(statement, code);
}

/* ---- keys */

/* Into the file itself: a power cut must not lose a key that a parent knows, nor leave a deleted
 * one in the log. */
static int settle(struct store *store, int rc)
{
	return rc ? rc : exec(store, "PRAGMA wal_checkpoint(TRUNCATE)");
}

int store_key_put(struct store *store, const struct store_key *key)
{
	sqlite3_stmt *statement = store->statement[KEY_PUT];
	int code;

	bind_text(statement, 1, key->zone);
	sqlite3_bind_int64(statement, 2, key->tag);
	sqlite3_bind_int64(statement, 3, key->created);
	sqlite3_bind_blob(statement, 4, key->bytes, key->len, SQLITE_STATIC);
	code = sqlite3_step(statement);
	if (code == SQLITE_CONSTRAINT) {
		finish(statement, code);
		return -EEXIST;
	}
	return settle(store, finish(statement, code));
}

int store_key_delete(struct store *store, const char *zone, uint16_t tag)
{
	sqlite3_stmt *statement = store->statement[KEY_DELETE];
	int rc;

	bind_text(statement, 1, zone);
	sqlite3_bind_int64(statement, 2, tag);
	rc = finish(statement, sqlite3_step(statement));
	if (!rc && !sqlite3_changes(store->handle))
		return -ENOENT;
	return settle(store, rc);
}

int store_key_each(struct store *store, const char *zone,
		   bool (*each)(const struct store_key *key, void *arg), void *arg)
{
	sqlite3_stmt *statement = store->statement[KEY_EACH];
	struct store_key key = { .len = 0 };
	bool more = true;
	int code;

	bind_text(statement, 1, zone);
	snprintf(key.zone, sizeof(key.zone), "%s", zone);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW && more) {
		size_t len = sqlite3_column_bytes(statement, 2);

		key.tag = sqlite3_column_int(statement, 0);
		key.created = sqlite3_column_int64(statement, 1);
		key.len = len < sizeof(key.bytes) ? len : sizeof(key.bytes);
		memcpy(key.bytes, sqlite3_column_blob(statement, 2), key.len);
		more = each(&key, arg);
	}
	explicit_bzero(&key, sizeof(key));
	return finish(statement, code);
}
