// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What counter.c keeps on disk. In WAL mode with synchronous = FULL a transaction is on disk when
 * its COMMIT returns, which is what "before use" rests on.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "counter_db.h"

#define APPLICATION    0x69736f74 /* "isot" */
#define SCHEMA_VERSION 1
#define BUSY_MS	       2000

static const char schema[] =
	"CREATE TABLE generators (id INTEGER PRIMARY KEY CHECK (id > 0), prefix BLOB NOT NULL,"
	" bits INTEGER NOT NULL, method INTEGER NOT NULL, key BLOB NOT NULL,"
	" high INTEGER NOT NULL, UNIQUE (prefix, bits, method)) STRICT;"
	/* Who had it first; 0 is an operator. */
	"CREATE TABLE owned (address BLOB PRIMARY KEY, generator INTEGER NOT NULL,"
	" counter INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE given (address BLOB PRIMARY KEY, name TEXT NOT NULL, client TEXT NOT NULL,"
	" time INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX given_time ON given (time);"
	"PRAGMA application_id = 0x69736f74; PRAGMA user_version = 1;";

enum statement { EACH, ADD, MARK, OWNER, OWN, DISOWN, NOTE, NOTED, PRUNE, STATEMENTS };

static const char *const texts[STATEMENTS] = {
	[EACH] = "SELECT id, prefix, bits, method, key, high FROM generators",
	[ADD] = "INSERT INTO generators (prefix, bits, method, key, high)"
		" VALUES (?1, ?2, ?3, ?4, ?5)",
	[MARK] = "UPDATE generators SET high = ?2 WHERE id = ?1",
	[OWNER] = "SELECT generator, counter FROM owned WHERE address = ?1",
	[OWN] = "INSERT OR REPLACE INTO owned VALUES (?1, ?2, ?3)",
	[DISOWN] = "DELETE FROM owned WHERE address = ?1",
	[NOTE] = "INSERT OR REPLACE INTO given VALUES (?1, ?2, ?3, ?4)",
	[NOTED] = "SELECT name, client, time FROM given WHERE address = ?1",
	[PRUNE] = "DELETE FROM given WHERE address IN"
		  " (SELECT address FROM given WHERE time <= ?1 ORDER BY time LIMIT ?2)",
};

struct counter_db {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
	struct counter_note *notes; /* COUNTER_NOTES_MAX, not yet written */
	size_t note_count;
};

/* ---- open and close */

static int exec(struct counter_db *db, const char *text)
{
	return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int read_number(struct counter_db *db, const char *text, int64_t *number)
{
	sqlite3_stmt *statement;
	int err = -EIO;

	if (sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL))
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		*number = sqlite3_column_int64(statement, 0);
		err = 0;
	}
	sqlite3_finalize(statement);
	return err;
}

/* 1: there is nothing yet, 0: it is ours. */
static int read_version(struct counter_db *db)
{
	int64_t application, version, objects;

	if (read_number(db, "PRAGMA application_id", &application) ||
	    read_number(db, "PRAGMA user_version", &version) ||
	    read_number(db, "SELECT count(*) FROM sqlite_schema", &objects))
		return -EIO;
	if (!application && !version && !objects)
		return 1;
	if (application != APPLICATION || version != SCHEMA_VERSION)
		return -EPROTO;
	return 0;
}

static int make_schema(struct counter_db *db)
{
	int err = counter_db_begin(db);

	if (err)
		return err;
	err = read_version(db);
	if (err == 1)
		err = exec(db, schema);
	return counter_db_end(db, err);
}

/* A generator that was damaged would repeat itself; they are few. */
static int check_generators(struct counter_db *db)
{
	sqlite3_stmt *statement;
	int err = -EIO;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(generators)", -1, &statement, NULL))
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(statement, 0);

		err = text && !strcmp(text, "ok") ? 0 : -EBADMSG;
	}
	sqlite3_finalize(statement);
	return err;
}

/* The file must be there after a power cut: a new one in its place would begin at 0. */
static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	int err, fd;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	close(fd);
	return err;
}

static int make_file(const char *path)
{
	/* SQLite gives its -wal and -shm files the mode of this one. */
	int err, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	err = fchmod(fd, 0600) ? -errno : 0;
	close(fd);
	return err ? err : sync_folder(path);
}

static int open_handle(struct counter_db *db, const char *path)
{
	int err = make_file(path);

	if (err)
		return err;
	db->notes = calloc(COUNTER_NOTES_MAX, sizeof(*db->notes));
	if (!db->notes)
		return -ENOMEM;
	if (sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE, NULL))
		return -EIO;
	sqlite3_busy_timeout(db->handle, BUSY_MS);
	err = exec(db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
		       "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
		       "PRAGMA synchronous = FULL");
	if (!err)
		err = make_schema(db);
	if (!err)
		err = check_generators(db);
	for (int i = 0; i < STATEMENTS && !err; i++)
		if (sqlite3_prepare_v2(db->handle, texts[i], -1, &db->statement[i], NULL))
			err = -EIO;
	return err;
}

int counter_db_open(const char *path, struct counter_db **result, char *error, size_t error_len)
{
	struct counter_db *db = calloc(1, sizeof(*db));
	int err = db ? open_handle(db, path) : -ENOMEM;

	if (!err) {
		*result = db;
		return 0;
	}
	snprintf(error, error_len, "%s: %s", path,
		 err == -EPROTO			   ? "another program's or a newer version's"
		 : err == -EBADMSG		   ? "damaged, addresses could repeat"
		 : err == -EIO && db && db->handle ? sqlite3_errmsg(db->handle)
						   : strerror(-err));
	counter_db_close(db);
	return err;
}

void counter_db_close(struct counter_db *db)
{
	if (!db)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statement[i]);
	sqlite3_close(db->handle);
	free(db->notes);
	free(db);
}

const char *counter_db_error(struct counter_db *db)
{
	return sqlite3_errmsg(db->handle);
}

/* ---- rows */

static int step(sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);

	sqlite3_reset(statement);
	return result == SQLITE_DONE ? 0 : -EIO;
}

static void bind_address(sqlite3_stmt *s, int parameter, const struct isthmus_addr *address)
{
	sqlite3_bind_blob(s, parameter, address->b, sizeof(address->b), SQLITE_STATIC);
}

int counter_db_begin(struct counter_db *db)
{
	return exec(db, "BEGIN IMMEDIATE");
}

int counter_db_end(struct counter_db *db, int err)
{
	if (!err)
		err = exec(db, "COMMIT");
	if (err)
		exec(db, "ROLLBACK"); /* SQLite may have done it already */
	return err;
}

/* Whether a blob has this length. */
static bool read_blob(sqlite3_stmt *s, int column, void *bytes, size_t len)
{
	const void *blob = sqlite3_column_blob(s, column);

	if ((size_t)sqlite3_column_bytes(s, column) != len)
		return false;
	if (len)
		memcpy(bytes, blob, len);
	return true;
}

static bool read_row(sqlite3_stmt *s, struct counter_row *row)
{
	int64_t bits = sqlite3_column_int64(s, 2), method = sqlite3_column_int64(s, 3);
	int64_t high = sqlite3_column_int64(s, 5);
	struct isthmus_addr prefix;

	if (bits < 0 || bits > 128 || method < 0 || method >= GENERATE_METHODS || high < 0 ||
	    !read_blob(s, 1, &prefix, sizeof(prefix)) ||
	    generate_pool_set(&row->pool, &prefix, bits) ||
	    !read_blob(s, 4, row->key, method == GENERATE_KEYED ? GENERATE_KEY_LEN : 0))
		return false;
	row->id = sqlite3_column_int64(s, 0);
	row->method = method;
	row->high = high;
	return true;
}

int counter_db_each(struct counter_db *db, int (*one)(const struct counter_row *row, void *arg),
		    void *arg)
{
	sqlite3_stmt *s = db->statement[EACH];
	struct counter_row row;
	int err = 0, result = SQLITE_DONE;

	while (!err && (result = sqlite3_step(s)) == SQLITE_ROW)
		err = read_row(s, &row) ? one(&row, arg) : -EBADMSG;
	sqlite3_reset(s);
	OPENSSL_cleanse(&row, sizeof(row));
	return err ? err : result == SQLITE_DONE ? 0 : -EIO;
}

int counter_db_add(struct counter_db *db, const struct counter_row *row, int64_t *id)
{
	sqlite3_stmt *s = db->statement[ADD];
	int err;

	bind_address(s, 1, &row->pool.prefix);
	sqlite3_bind_int(s, 2, (int)row->pool.bits);
	sqlite3_bind_int(s, 3, row->method);
	sqlite3_bind_blob(s, 4, row->key, row->method == GENERATE_KEYED ? GENERATE_KEY_LEN : 0,
			  SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, (int64_t)row->high);
	err = step(s);
	sqlite3_clear_bindings(s);
	if (!err)
		*id = sqlite3_last_insert_rowid(db->handle);
	return err;
}

int counter_db_mark(struct counter_db *db, int64_t id, uint64_t high)
{
	sqlite3_stmt *s = db->statement[MARK];
	int err;

	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_int64(s, 2, (int64_t)high);
	err = step(s);
	return err || sqlite3_changes(db->handle) == 1 ? err : -EIO;
}

int counter_db_owner(struct counter_db *db, const struct isthmus_addr *address, int64_t *id,
		     uint64_t *counter)
{
	sqlite3_stmt *s = db->statement[OWNER];
	int result;

	bind_address(s, 1, address);
	result = sqlite3_step(s);
	if (result == SQLITE_ROW) {
		*id = sqlite3_column_int64(s, 0);
		*counter = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	return result == SQLITE_ROW ? 0 : result == SQLITE_DONE ? -ENOENT : -EIO;
}

int counter_db_own(struct counter_db *db, const struct isthmus_addr *address, int64_t id,
		   uint64_t counter)
{
	sqlite3_stmt *s = db->statement[OWN];

	bind_address(s, 1, address);
	sqlite3_bind_int64(s, 2, id);
	sqlite3_bind_int64(s, 3, (int64_t)counter);
	return step(s);
}

int counter_db_disown(struct counter_db *db, const struct isthmus_addr *address)
{
	sqlite3_stmt *s = db->statement[DISOWN];

	bind_address(s, 1, address);
	return step(s);
}

/* ---- the journal */

int counter_db_note(struct counter_db *db, const struct isthmus_addr *address, const char *name,
		    const char *client)
{
	struct counter_note *note;
	int err = 0;

	if (strlen(name) >= sizeof(note->name) || strlen(client) >= sizeof(note->client))
		return -ENAMETOOLONG;
	if (db->note_count == COUNTER_NOTES_MAX)
		err = counter_db_flush(db);
	if (err)
		return err;
	note = &db->notes[db->note_count++];
	note->address = *address;
	strcpy(note->name, name);
	strcpy(note->client, client);
	note->time = time(NULL);
	return 0;
}

static int write_note(struct counter_db *db, const struct counter_note *note)
{
	sqlite3_stmt *s = db->statement[NOTE];

	bind_address(s, 1, &note->address);
	sqlite3_bind_text(s, 2, note->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, note->client, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, note->time);
	return step(s);
}

int counter_db_flush(struct counter_db *db)
{
	int err;

	if (!db->note_count)
		return 0;
	err = counter_db_begin(db);
	if (err)
		return err;
	for (size_t i = 0; i < db->note_count && !err; i++)
		err = write_note(db, &db->notes[i]);
	err = counter_db_end(db, err);
	if (!err)
		db->note_count = 0;
	return err;
}

int counter_db_noted(struct counter_db *db, const struct isthmus_addr *address,
		     struct counter_note *note)
{
	sqlite3_stmt *s = db->statement[NOTED];
	int result;

	bind_address(s, 1, address);
	result = sqlite3_step(s);
	if (result == SQLITE_ROW) {
		note->address = *address;
		snprintf(note->name, sizeof(note->name), "%s", sqlite3_column_text(s, 0));
		snprintf(note->client, sizeof(note->client), "%s", sqlite3_column_text(s, 1));
		note->time = sqlite3_column_int64(s, 2);
	}
	sqlite3_reset(s);
	return result == SQLITE_ROW ? 0 : result == SQLITE_DONE ? -ENOENT : -EIO;
}

int counter_db_prune(struct counter_db *db, int64_t time, int64_t rows)
{
	sqlite3_stmt *s = db->statement[PRUNE];
	int err;

	sqlite3_bind_int64(s, 1, time);
	sqlite3_bind_int64(s, 2, rows);
	err = step(s);
	return err ? err : sqlite3_changes(db->handle);
}
