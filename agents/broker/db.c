// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db.h"

#define SCHEMA_VERSION 1
#define BUSY_MS	       2000

static const char schema[] =
	"CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL,"
	" secret_hash TEXT, token_hash TEXT, token_expires INTEGER, created INTEGER NOT NULL,"
	" last_login INTEGER) STRICT;"
	"CREATE TABLE translators (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL,"
	" secret_hash TEXT, token_hash TEXT, token_expires INTEGER, created INTEGER NOT NULL,"
	" last_login INTEGER) STRICT;"
	"CREATE TABLE services (user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,"
	" name TEXT NOT NULL, proto TEXT NOT NULL, text TEXT NOT NULL, splice TEXT NOT NULL,"
	" PRIMARY KEY (user_id, name)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 1;";

/* Statements are prepared once; those of a pair differ in their table. */
enum statement {
	ADD_USER,
	ADD_TRANSLATOR,
	DELETE_USER,
	DELETE_TRANSLATOR,
	FIND_USER,
	FIND_TRANSLATOR,
	ALL_USERS,
	ALL_TRANSLATORS,
	LOGIN_USER,
	LOGIN_TRANSLATOR,
	RENEW,
	ENROL,
	PUBLISH,
	UNPUBLISH,
	COUNT_SERVICES,
	SERVICES,
	DATA_VERSION,
	STATEMENTS,
};

#define COLUMNS "id, name, secret_hash, token_hash, token_expires, created, last_login"

static const char *const texts[STATEMENTS] = {
	[ADD_USER] = "INSERT INTO users (name, secret_hash, token_hash, token_expires, created)"
		     " VALUES (?1, ?2, ?3, ?4, ?5)",
	[ADD_TRANSLATOR] = "INSERT INTO translators"
			   " (name, secret_hash, token_hash, token_expires, created)"
			   " VALUES (?1, ?2, ?3, ?4, ?5)",
	[DELETE_USER] = "DELETE FROM users WHERE name = ?1",
	[DELETE_TRANSLATOR] = "DELETE FROM translators WHERE name = ?1",
	[FIND_USER] = "SELECT " COLUMNS " FROM users WHERE name = ?1",
	[FIND_TRANSLATOR] = "SELECT " COLUMNS " FROM translators WHERE name = ?1",
	[ALL_USERS] = "SELECT " COLUMNS " FROM users ORDER BY name",
	[ALL_TRANSLATORS] = "SELECT " COLUMNS " FROM translators ORDER BY name",
	[LOGIN_USER] = "UPDATE users SET last_login = ?2 WHERE id = ?1",
	[LOGIN_TRANSLATOR] = "UPDATE translators SET last_login = ?2 WHERE id = ?1",
	[RENEW] = "UPDATE users SET token_hash = ?2, token_expires = ?3"
		  " WHERE name = ?1 AND secret_hash IS NULL",
	[ENROL] = "UPDATE users SET secret_hash = ?3, token_hash = NULL, token_expires = NULL"
		  " WHERE id = ?1 AND token_hash = ?2",
	[PUBLISH] = "INSERT OR REPLACE INTO services (user_id, name, proto, text, splice)"
		    " VALUES (?1, ?2, ?3, ?4, ?5)",
	[UNPUBLISH] = "DELETE FROM services WHERE user_id = ?1 AND name = ?2",
	[COUNT_SERVICES] = "SELECT count(*) FROM services WHERE user_id = ?1",
	[SERVICES] = "SELECT u.name, s.name, s.proto, s.text, s.splice FROM services s"
		     " JOIN users u ON u.id = s.user_id"
		     " WHERE instr(u.name || '/' || s.name, ?1) OR instr(s.text, ?1)"
		     " ORDER BY u.name, s.name",
	[DATA_VERSION] = "PRAGMA data_version",
};

struct db {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
};

bool db_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len < NAME_LEN && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* ---- opening */

static int exec(struct db *db, const char *text)
{
	return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int read_integer(struct db *db, const char *text, int64_t *value)
{
	sqlite3_stmt *statement;
	int rc = -EIO;

	if (sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		*value = sqlite3_column_int64(statement, 0);
		rc = 0;
	}
	sqlite3_finalize(statement);
	return rc;
}

/* Two processes may do this at once: the second finds the tables made. */
static int make_schema(struct db *db, char *error, size_t error_len)
{
	int64_t version;
	int rc = exec(db, "BEGIN IMMEDIATE");

	if (!rc)
		rc = read_integer(db, "PRAGMA user_version", &version);
	if (!rc && version > SCHEMA_VERSION) {
		snprintf(error, error_len,
			 "its schema is version %d, this program knows %d: install a newer one",
			 (int)version, SCHEMA_VERSION);
		exec(db, "ROLLBACK");
		return -EPROTO;
	}
	if (!rc && !version)
		rc = exec(db, schema);
	if (!rc)
		rc = exec(db, "COMMIT");
	return rc;
}

static int open_handle(struct db *db, const char *path, char *error, size_t error_len)
{
	/* SQLite gives its -wal and -shm files the mode of this one. */
	int rc, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		snprintf(error, error_len, "%s", strerror(errno));
		return -EIO;
	}
	close(fd);
	if (sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return -EIO;
	sqlite3_busy_timeout(db->handle, BUSY_MS);
	/* NORMAL: a power cut may lose the last changes, never the database's integrity. */
	rc = exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		      "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;");
	if (!rc)
		rc = make_schema(db, error, error_len);
	for (int i = 0; !rc && i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(db->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->statement[i], NULL) != SQLITE_OK)
			rc = -EIO;
	return rc;
}

struct db *db_open(const char *path, char *error, size_t error_len)
{
	struct db *db = calloc(1, sizeof(*db));
	char why[200] = "";

	if (!db) {
		snprintf(error, error_len, "out of memory");
		return NULL;
	}
	if (!open_handle(db, path, why, sizeof(why)))
		return db;
	snprintf(error, error_len, "%s: %s", path, why[0] ? why : db_error(db));
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statement[i]);
	sqlite3_close(db->handle);
	free(db);
}

const char *db_error(const struct db *db)
{
	return db->handle ? sqlite3_errmsg(db->handle) : "out of memory";
}

/* ---- statements */

/* types: i = int64_t, s = const char * (NULL is NULL). */
static sqlite3_stmt *bind(struct db *db, enum statement which, const char *types, ...)
{
	sqlite3_stmt *statement = db->statement[which];
	va_list args;

	va_start(args, types);
	for (int i = 1; *types; types++, i++) {
		if (*types == 'i')
			sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
		else
			sqlite3_bind_text(statement, i, va_arg(args, const char *), -1,
					  SQLITE_STATIC);
	}
	va_end(args);
	return statement;
}

static void done(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

/* Runs a statement that writes; -ENOENT if it changed nothing. */
static int change(struct db *db, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	int rc = 0;

	if (code == SQLITE_CONSTRAINT)
		rc = -EEXIST;
	else if (code == SQLITE_BUSY)
		rc = -EBUSY;
	else if (code != SQLITE_DONE)
		rc = -EIO;
	else if (!sqlite3_changes(db->handle))
		rc = -ENOENT;
	done(statement);
	return rc;
}

static void copy_text(char *to, size_t len, sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	snprintf(to, len, "%s", text ? text : "");
}

static void read_user(sqlite3_stmt *statement, struct db_user *user)
{
	user->id = sqlite3_column_int64(statement, 0);
	copy_text(user->name, sizeof(user->name), statement, 1);
	copy_text(user->secret_hash, sizeof(user->secret_hash), statement, 2);
	copy_text(user->token_hash, sizeof(user->token_hash), statement, 3);
	user->token_expires = sqlite3_column_int64(statement, 4);
	user->created = sqlite3_column_int64(statement, 5);
	user->last_login = sqlite3_column_int64(statement, 6);
}

int db_add(struct db *db, enum db_kind kind, const char *name, const char *secret_hash,
	   const char *token_hash, int64_t token_expires)
{
	return change(db, bind(db, kind == DB_USER ? ADD_USER : ADD_TRANSLATOR, "sssii", name,
			       secret_hash, token_hash, token_expires, (int64_t)time(NULL)));
}

int db_delete(struct db *db, enum db_kind kind, const char *name)
{
	return change(db, bind(db, kind == DB_USER ? DELETE_USER : DELETE_TRANSLATOR, "s", name));
}

int db_find(struct db *db, enum db_kind kind, const char *name, struct db_user *user)
{
	sqlite3_stmt *statement =
		bind(db, kind == DB_USER ? FIND_USER : FIND_TRANSLATOR, "s", name);
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		read_user(statement, user);
	done(statement);
	return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : -EIO;
}

int db_each(struct db *db, enum db_kind kind, void (*each)(const struct db_user *user, void *arg),
	    void *arg)
{
	sqlite3_stmt *statement = bind(db, kind == DB_USER ? ALL_USERS : ALL_TRANSLATORS, "");
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct db_user user;

		read_user(statement, &user);
		each(&user, arg);
	}
	done(statement);
	return code == SQLITE_DONE ? 0 : -EIO;
}

int db_renew_token(struct db *db, const char *name, const char *token_hash, int64_t token_expires)
{
	return change(db, bind(db, RENEW, "ssi", name, token_hash, token_expires));
}

int db_enrol(struct db *db, int64_t id, const char *token_hash, const char *secret_hash)
{
	return change(db, bind(db, ENROL, "iss", id, token_hash, secret_hash));
}

int db_logged_in(struct db *db, enum db_kind kind, int64_t id)
{
	return change(db, bind(db, kind == DB_USER ? LOGIN_USER : LOGIN_TRANSLATOR, "ii", id,
			       (int64_t)time(NULL)));
}

/* ---- services */

int db_publish(struct db *db, int64_t user_id, const struct db_service *service)
{
	return change(db, bind(db, PUBLISH, "issss", user_id, service->name, service->proto,
			       service->text, service->splice));
}

int db_unpublish(struct db *db, int64_t user_id, const char *service)
{
	return change(db, bind(db, UNPUBLISH, "is", user_id, service));
}

static int step_integer(sqlite3_stmt *statement, int64_t *value)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		*value = sqlite3_column_int64(statement, 0);
	done(statement);
	return code == SQLITE_ROW ? 0 : -EIO;
}

int db_count_services(struct db *db, int64_t user_id, unsigned int *count)
{
	int64_t value;
	int rc = step_integer(bind(db, COUNT_SERVICES, "i", user_id), &value);

	if (!rc)
		*count = value;
	return rc;
}

int db_each_service(struct db *db, const char *match,
		    bool (*each)(const struct db_service *service, void *arg), void *arg)
{
	sqlite3_stmt *statement = bind(db, SERVICES, "s", match);
	bool more = true;
	int code = SQLITE_DONE;

	while (more && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct db_service service = {
			.user = (const char *)sqlite3_column_text(statement, 0),
			.name = (const char *)sqlite3_column_text(statement, 1),
			.proto = (const char *)sqlite3_column_text(statement, 2),
			.text = (const char *)sqlite3_column_text(statement, 3),
			.splice = (const char *)sqlite3_column_text(statement, 4),
		};

		more = each(&service, arg);
	}
	done(statement);
	return !more || code == SQLITE_DONE ? 0 : -EIO;
}

int db_version(struct db *db, int64_t *version)
{
	return step_integer(bind(db, DATA_VERSION, ""), version);
}
