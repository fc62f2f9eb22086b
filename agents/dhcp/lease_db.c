// SPDX-License-Identifier: GPL-3.0-or-later
/* Leases on disk. One row is the present or last lease of a unit. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lease.h"

#define SCHEMA_VERSION 1
#define BUSY_MS	       2000
#define FULL_PSID      (-1) /* psid of a full address */

static const char schema[] =
	"CREATE TABLE leases (address INTEGER NOT NULL, psid INTEGER NOT NULL, a INTEGER NOT NULL,"
	" k INTEGER NOT NULL, state INTEGER NOT NULL, client BLOB NOT NULL, mac BLOB NOT NULL,"
	" relay INTEGER NOT NULL, circuit BLOB NOT NULL, started INTEGER NOT NULL,"
	" expires INTEGER NOT NULL, told INTEGER NOT NULL,"
	" PRIMARY KEY (address, psid)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 1;";

enum statement { WRITE, DELETE, EACH, STATEMENTS };

static const char *const texts[STATEMENTS] = {
	[WRITE] = "INSERT OR REPLACE INTO leases VALUES"
		  " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[DELETE] = "DELETE FROM leases WHERE address = ?1 AND psid = ?2",
	[EACH] = "SELECT address, psid, a, k, state, client, mac, relay, circuit, started, expires,"
		 " told FROM leases",
};

struct lease_db {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
};

static int exec(struct lease_db *db, const char *text)
{
	return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int read_version(struct lease_db *db, int *version)
{
	sqlite3_stmt *statement;
	int err = -EIO;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &statement, NULL))
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		*version = sqlite3_column_int(statement, 0);
		err = 0;
	}
	sqlite3_finalize(statement);
	return err;
}

static int make_schema(struct lease_db *db)
{
	int version, err = exec(db, "BEGIN IMMEDIATE");

	if (!err)
		err = read_version(db, &version);
	if (!err && version > SCHEMA_VERSION)
		err = -EPROTO;
	if (!err && !version)
		err = exec(db, schema);
	if (!err)
		return exec(db, "COMMIT");
	exec(db, "ROLLBACK");
	return err;
}

/* Only one server may have it: two would give one set to two clients. */
static int open_handle(struct lease_db *db, const char *path)
{
	/* SQLite gives its -wal and -shm files the mode of this one. */
	int err, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	if (sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE, NULL))
		return -EIO;
	sqlite3_busy_timeout(db->handle, BUSY_MS);
	err = exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
		       "PRAGMA synchronous = FULL");
	if (!err)
		err = make_schema(db);
	for (int i = 0; i < STATEMENTS && !err; i++)
		if (sqlite3_prepare_v2(db->handle, texts[i], -1, &db->statement[i], NULL))
			err = -EIO;
	return err;
}

int lease_db_open(const char *path, struct lease_db **result, char *error, size_t error_len)
{
	struct lease_db *db = calloc(1, sizeof(*db));
	int err = db ? open_handle(db, path) : -ENOMEM;

	if (!err) {
		*result = db;
		return 0;
	}
	if (err == -EPROTO)
		snprintf(error, error_len, "%s: its schema is a newer program's", path);
	else
		snprintf(error, error_len, "%s: %s", path,
			 err == -EIO && db && db->handle ? sqlite3_errmsg(db->handle)
							 : strerror(-err));
	lease_db_close(db);
	return err;
}

void lease_db_close(struct lease_db *db)
{
	if (!db)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statement[i]);
	sqlite3_close(db->handle);
	free(db);
}

static int step(sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);

	sqlite3_reset(statement);
	return result == SQLITE_DONE ? 0 : -EIO;
}

int lease_db_write(struct lease_db *db, const struct lease_row *row)
{
	sqlite3_stmt *s = db->statement[WRITE];

	sqlite3_bind_int64(s, 1, row->address);
	sqlite3_bind_int(s, 2, row->full ? FULL_PSID : row->set.psid);
	sqlite3_bind_int(s, 3, row->set.a);
	sqlite3_bind_int(s, 4, row->set.k);
	sqlite3_bind_int(s, 5, row->state);
	sqlite3_bind_blob(s, 6, row->client.id, row->client.id_len, SQLITE_STATIC);
	sqlite3_bind_blob(s, 7, row->client.mac, DHCP_MAC, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, row->site.relay);
	sqlite3_bind_blob(s, 9, row->site.circuit, row->site.circuit_len, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, row->started);
	sqlite3_bind_int64(s, 11, row->expires);
	sqlite3_bind_int(s, 12, row->told);
	return step(s);
}

int lease_db_delete(struct lease_db *db, uint32_t address, const struct portset *set)
{
	sqlite3_stmt *s = db->statement[DELETE];

	sqlite3_bind_int64(s, 1, address);
	sqlite3_bind_int(s, 2, set ? set->psid : FULL_PSID);
	return step(s);
}

/* A blob of at most max bytes; a longer one, which we never write, counts as empty. */
static size_t read_blob(sqlite3_stmt *s, int column, uint8_t *bytes, size_t max)
{
	const void *blob = sqlite3_column_blob(s, column);
	size_t len = sqlite3_column_bytes(s, column);

	if (!blob || len > max)
		return 0;
	memcpy(bytes, blob, len);
	return len;
}

static bool read_row(sqlite3_stmt *s, struct lease_row *row)
{
	int psid = sqlite3_column_int(s, 1);

	memset(row, 0, sizeof(*row));
	row->address = sqlite3_column_int64(s, 0);
	row->full = psid == FULL_PSID;
	row->set.a = sqlite3_column_int(s, 2);
	row->set.k = sqlite3_column_int(s, 3);
	row->set.psid = row->full ? 0 : psid;
	row->state = sqlite3_column_int(s, 4);
	row->client.id_len = read_blob(s, 5, row->client.id, sizeof(row->client.id));
	row->site.relay = sqlite3_column_int64(s, 7);
	row->site.circuit_len = read_blob(s, 8, row->site.circuit, sizeof(row->site.circuit));
	row->started = sqlite3_column_int64(s, 9);
	row->expires = sqlite3_column_int64(s, 10);
	row->told = sqlite3_column_int(s, 11);
	return read_blob(s, 6, row->client.mac, DHCP_MAC) == DHCP_MAC && row->client.id_len &&
	       row->state > LEASE_OFFERED && row->state < LEASE_STATES &&
	       (row->full || portset_valid(&row->set));
}

int lease_db_each(struct lease_db *db, void (*one)(const struct lease_row *row, void *arg),
		  void *arg)
{
	sqlite3_stmt *s = db->statement[EACH];
	struct lease_row row;
	int result;

	while ((result = sqlite3_step(s)) == SQLITE_ROW)
		if (read_row(s, &row))
			one(&row, arg);
	sqlite3_reset(s);
	return result == SQLITE_DONE ? 0 : -EIO;
}
