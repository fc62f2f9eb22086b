// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/auth.h"
#include "member.h"

#define BUSY_MS 2000

static const char schema[] =
	"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
	"CREATE TABLE IF NOT EXISTS members (id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" kind INTEGER NOT NULL, name TEXT NOT NULL, token BLOB NOT NULL,"
	" token_expires INTEGER NOT NULL, secret BLOB, hosts TEXT, UNIQUE (kind, name)) STRICT;"
	"CREATE TABLE IF NOT EXISTS member_key (id INTEGER PRIMARY KEY CHECK (id = 1),"
	" key BLOB NOT NULL) STRICT;";

#define COLUMNS "id, kind, name, token, token_expires, secret, hosts"

enum statement {
	FIND_ONE,
	ADD_ONE,
	ENROL_ONE,
	SET_HOSTS,
	DELETE_ONE,
	EACH_ONE,
	GET_KEY,
	PUT_KEY,
	STATEMENTS
};

static const char *const texts[STATEMENTS] = {
	[FIND_ONE] = "SELECT " COLUMNS " FROM members WHERE kind = ?1 AND name = ?2",
	[ADD_ONE] = "INSERT INTO members (kind, name, token, token_expires) VALUES (?1, ?2, ?3, ?4)"
		    " ON CONFLICT (kind, name) DO UPDATE SET token = ?3, token_expires = ?4",
	[ENROL_ONE] =
		"UPDATE members SET secret = ?2, token = x'', token_expires = 0 WHERE id = ?1",
	[SET_HOSTS] = "UPDATE members SET hosts = ?2 WHERE id = ?1",
	[DELETE_ONE] = "DELETE FROM members WHERE kind = ?1 AND name = ?2",
	[EACH_ONE] = "SELECT " COLUMNS " FROM members ORDER BY id",
	[GET_KEY] = "SELECT key FROM member_key",
	[PUT_KEY] = "INSERT INTO member_key (id, key) VALUES (1, ?1)",
};

struct member_db {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
};

struct member_db *member_db_open(const char *path, char *error, size_t error_len)
{
	struct member_db *db = calloc(1, sizeof(*db));
	int rc;

	if (!db)
		return NULL;
	rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db->handle, BUSY_MS);
		rc = sqlite3_exec(db->handle, schema, NULL, NULL, NULL);
	}
	for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(db->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
					&db->statement[i], NULL);
	if (rc == SQLITE_OK)
		return db;
	snprintf(error, error_len, "%s: %s", path, sqlite3_errmsg(db->handle));
	member_db_close(db);
	return NULL;
}

void member_db_close(struct member_db *db)
{
	if (!db)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statement[i]);
	sqlite3_close(db->handle);
	free(db);
}

static int finish(sqlite3_stmt *statement, int code)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : -EIO;
}

static bool copy_hash(sqlite3_stmt *row, int column, uint8_t hash[MEMBER_HASH])
{
	memset(hash, 0, MEMBER_HASH);
	if (sqlite3_column_bytes(row, column) != MEMBER_HASH)
		return false;
	memcpy(hash, sqlite3_column_blob(row, column), MEMBER_HASH);
	return true;
}

static void read_row(sqlite3_stmt *from, struct member_row *row)
{
	const char *hosts = (const char *)sqlite3_column_text(from, 6);

	memset(row, 0, sizeof(*row));
	row->id = (uint32_t)sqlite3_column_int64(from, 0);
	row->kind = (enum member_kind)sqlite3_column_int(from, 1);
	snprintf(row->name, sizeof(row->name), "%s", (const char *)sqlite3_column_text(from, 2));
	if (copy_hash(from, 3, row->token))
		row->token_expires = sqlite3_column_int64(from, 4);
	row->enrolled = copy_hash(from, 5, row->secret);
	row->hosts = hosts ? strdup(hosts) : NULL;
}

void member_row_free(struct member_row *row)
{
	free(row->hosts);
	explicit_bzero(row, sizeof(*row));
}

static sqlite3_stmt *bind_name(struct member_db *db, enum statement which, enum member_kind kind,
			       const char *name)
{
	sqlite3_stmt *statement = db->statement[which];

	sqlite3_bind_int(statement, 1, kind);
	sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
	return statement;
}

int member_db_find(struct member_db *db, enum member_kind kind, const char *name,
		   struct member_row *row)
{
	sqlite3_stmt *statement = bind_name(db, FIND_ONE, kind, name);
	int code = sqlite3_step(statement), rc;

	if (code == SQLITE_ROW)
		read_row(statement, row);
	rc = finish(statement, code);
	return !rc && code == SQLITE_DONE ? -ENOENT : rc;
}

int member_db_add(struct member_db *db, enum member_kind kind, const char *name,
		  const uint8_t token[MEMBER_HASH], int64_t token_expires)
{
	sqlite3_stmt *statement = bind_name(db, ADD_ONE, kind, name);
	struct member_row row;
	int rc;

	sqlite3_bind_blob(statement, 3, token, MEMBER_HASH, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 4, token_expires);
	rc = finish(statement, sqlite3_step(statement));
	if (!rc)
		rc = member_db_find(db, kind, name, &row);
	if (rc)
		return rc;
	/* Numbers of gateways are 12 bits in tunnels, and none is given twice. */
	if (kind == MEMBER_GATEWAY && row.id > SETUP_GATEWAY_MAX) {
		member_db_delete(db, kind, name);
		rc = -ENOSPC;
	}
	member_row_free(&row);
	return rc;
}

int member_db_enrol(struct member_db *db, uint32_t id, const uint8_t secret[MEMBER_HASH])
{
	sqlite3_stmt *statement = db->statement[ENROL_ONE];

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_blob(statement, 2, secret, MEMBER_HASH, SQLITE_STATIC);
	return finish(statement, sqlite3_step(statement));
}

int member_db_set_hosts(struct member_db *db, uint32_t id, const char *hosts)
{
	sqlite3_stmt *statement = db->statement[SET_HOSTS];

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_text(statement, 2, hosts, -1, SQLITE_STATIC);
	return finish(statement, sqlite3_step(statement));
}

int member_db_delete(struct member_db *db, enum member_kind kind, const char *name)
{
	sqlite3_stmt *statement = bind_name(db, DELETE_ONE, kind, name);
	int rc = finish(statement, sqlite3_step(statement));

	return !rc && !sqlite3_changes(db->handle) ? -ENOENT : rc;
}

int member_db_each(struct member_db *db, void (*each)(const struct member_row *row, void *arg),
		   void *arg)
{
	sqlite3_stmt *statement = db->statement[EACH_ONE];
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct member_row row;

		read_row(statement, &row);
		each(&row, arg);
		member_row_free(&row);
	}
	return finish(statement, code);
}

int member_db_key(struct member_db *db, uint8_t key[32])
{
	sqlite3_stmt *statement = db->statement[GET_KEY];
	uint8_t fresh[32];
	bool there = sqlite3_step(statement) == SQLITE_ROW && copy_hash(statement, 0, fresh);
	int rc = 0;

	finish(statement, SQLITE_DONE);
	if (!there)
		rc = auth_random(fresh, sizeof(fresh));
	if (!there && !rc) {
		statement = db->statement[PUT_KEY];
		sqlite3_bind_blob(statement, 1, fresh, sizeof(fresh), SQLITE_STATIC);
		rc = finish(statement, sqlite3_step(statement));
	}
	if (!rc)
		memcpy(key, fresh, sizeof(fresh));
	return rc;
}
