// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/log.h"
#include "state.h"

#define BUSY_MS 2000

/* A set has its (a, k, psid) in low and high: both are numbers below 65536 and tell themselves
 * apart by `kind`. */
static const char schema[] =
	"CREATE TABLE IF NOT EXISTS grants (address INTEGER, kind INTEGER, a INTEGER, k INTEGER,"
	" low INTEGER, high INTEGER, mac BLOB, since INTEGER, ends INTEGER,"
	" PRIMARY KEY (address, kind, a, k, low, high)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS own (address INTEGER, kind INTEGER, a INTEGER, k INTEGER,"
	" low INTEGER, high INTEGER, ends INTEGER, gateway INTEGER, prefix INTEGER, device TEXT,"
	" PRIMARY KEY (address, kind, a, k, low, high)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS saved (name TEXT PRIMARY KEY, value TEXT) STRICT;"
	"CREATE TABLE IF NOT EXISTS history (time INTEGER, address INTEGER, kind INTEGER, a "
	"INTEGER,"
	" k INTEGER, low INTEGER, high INTEGER, mac BLOB) STRICT;"
	"PRAGMA user_version = 1;";

enum statement {
	PUT_GRANT,
	DELETE_GRANT,
	ALL_GRANTS,
	PUT_OWN,
	DELETE_OWN,
	ALL_OWN,
	SAVE,
	SAVED,
	FORGET,
	ADD_HISTORY,
	CUT_HISTORY,
	STATEMENTS,
};

#define WHERE_PORTS                                                                                \
	" WHERE address = ?1 AND kind = ?2 AND a = ?3 AND k = ?4 AND low = ?5 AND high = ?6"

static const char *const texts[STATEMENTS] = {
	[PUT_GRANT] = "INSERT OR REPLACE INTO grants VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[DELETE_GRANT] = "DELETE FROM grants" WHERE_PORTS,
	[ALL_GRANTS] = "SELECT * FROM grants WHERE ?1 IN (0, address)",
	[PUT_OWN] = "INSERT OR REPLACE INTO own VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[DELETE_OWN] = "DELETE FROM own" WHERE_PORTS,
	[ALL_OWN] = "SELECT * FROM own",
	[SAVE] = "INSERT OR IGNORE INTO saved VALUES (?1, ?2)",
	[SAVED] = "SELECT value FROM saved WHERE name = ?1",
	[FORGET] = "DELETE FROM saved WHERE name = ?1",
	[ADD_HISTORY] = "INSERT INTO history VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[CUT_HISTORY] =
		"DELETE FROM history WHERE rowid <= (SELECT max(rowid) FROM history) - 65536",
};

struct state {
	sqlite3 *handle;
	sqlite3_stmt *statement[STATEMENTS];
};

static int open_handle(struct state *state, const char *path)
{
	int rc, fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (path && fd < 0)
		return -errno;
	if (fd >= 0)
		close(fd);
	rc = sqlite3_open_v2(path ? path : ":memory:", &state->handle,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY * !path, NULL);
	if (rc != SQLITE_OK)
		return -EIO;
	sqlite3_busy_timeout(state->handle, BUSY_MS);
	/* NORMAL: a power cut may lose the last changes, never the file's integrity. */
	rc = sqlite3_exec(state->handle,
			  "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			  "PRAGMA trusted_schema = OFF;",
			  NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(state->handle, schema, NULL, NULL, NULL);
	for (int i = 0; rc == SQLITE_OK && i < STATEMENTS; i++)
		rc = sqlite3_prepare_v3(state->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
					&state->statement[i], NULL);
	return rc == SQLITE_OK ? 0 : -EIO;
}

struct state *state_open(const char *path, char *error, size_t error_len)
{
	struct state *state = calloc(1, sizeof(*state));
	int err = state ? open_handle(state, path) : -ENOMEM;

	if (!err)
		return state;
	snprintf(error, error_len, "%s: %s", path ? path : "state",
		 err == -EIO && state->handle ? sqlite3_errmsg(state->handle) : strerror(-err));
	state_close(state);
	return NULL;
}

void state_close(struct state *state)
{
	if (!state)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(state->statement[i]);
	sqlite3_close(state->handle);
	free(state);
}

/* ---- statements */

static void bind_ports(sqlite3_stmt *s, uint32_t addr_be, const struct ports *ports)
{
	sqlite3_bind_int64(s, 1, addr_be);
	sqlite3_bind_int(s, 2, ports->range);
	sqlite3_bind_int(s, 3, ports->range ? 0 : ports->set.a);
	sqlite3_bind_int(s, 4, ports->range ? 0 : ports->set.k);
	sqlite3_bind_int(s, 5, ports->range ? ports->low : ports->set.psid);
	sqlite3_bind_int(s, 6, ports->range ? ports->high : 0);
}

static void read_ports(sqlite3_stmt *s, uint32_t *addr_be, struct ports *ports)
{
	memset(ports, 0, sizeof(*ports));
	*addr_be = sqlite3_column_int64(s, 0);
	ports->range = sqlite3_column_int(s, 1);
	if (ports->range) {
		ports->low = sqlite3_column_int(s, 4);
		ports->high = sqlite3_column_int(s, 5);
	} else {
		ports->set.a = sqlite3_column_int(s, 2);
		ports->set.k = sqlite3_column_int(s, 3);
		ports->set.psid = sqlite3_column_int(s, 4);
	}
}

static void run(struct state *state, sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE)
		log_error("the state file was not written: %s", sqlite3_errmsg(state->handle));
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

/* ---- grants */

static void add_history(struct state *state, const struct grant *grant)
{
	sqlite3_stmt *s = state->statement[ADD_HISTORY];

	bind_ports(s, grant->shared->addr_be, &grant->ports);
	sqlite3_bind_blob(s, 7, grant->mac, 6, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, grant->since_s);
	run(state, s);
	run(state, state->statement[CUT_HISTORY]);
}

void state_put_grant(struct state *state, const struct grant *grant)
{
	sqlite3_stmt *s;

	if (!state)
		return;
	s = state->statement[PUT_GRANT];
	bind_ports(s, grant->shared->addr_be, &grant->ports);
	sqlite3_bind_blob(s, 7, grant->mac, 6, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, grant->since_s);
	sqlite3_bind_int64(s, 9, grant->ends_s);
	run(state, s);
}

/* The MAC that had it is remembered. */
void state_delete_grant(struct state *state, const struct grant *grant)
{
	if (!state)
		return;
	bind_ports(state->statement[DELETE_GRANT], grant->shared->addr_be, &grant->ports);
	run(state, state->statement[DELETE_GRANT]);
	add_history(state, grant);
}

void state_grants(struct state *state, uint32_t addr_be,
		  void (*each)(const struct state_grant *grant, void *arg), void *arg)
{
	sqlite3_stmt *s = state ? state->statement[ALL_GRANTS] : NULL;

	if (!s)
		return;
	sqlite3_bind_int64(s, 1, addr_be);
	while (sqlite3_step(s) == SQLITE_ROW) {
		struct state_grant grant = { 0 };
		const void *mac = sqlite3_column_blob(s, 6);

		if (!mac || sqlite3_column_bytes(s, 6) != 6)
			continue;
		read_ports(s, &grant.addr_be, &grant.ports);
		memcpy(grant.mac, mac, 6);
		grant.since_s = sqlite3_column_int64(s, 7);
		grant.ends_s = sqlite3_column_int64(s, 8);
		each(&grant, arg);
	}
	sqlite3_reset(s);
}

/* ---- own ports */

void state_put_own(struct state *state, const struct state_own *own)
{
	sqlite3_stmt *s;

	if (!state)
		return;
	s = state->statement[PUT_OWN];
	bind_ports(s, own->addr_be, &own->ports);
	sqlite3_bind_int64(s, 7, own->ends_s);
	sqlite3_bind_int64(s, 8, own->gateway_be);
	sqlite3_bind_int(s, 9, own->prefix);
	sqlite3_bind_text(s, 10, own->device, -1, SQLITE_STATIC);
	run(state, s);
}

void state_delete_own(struct state *state, uint32_t addr_be, const struct ports *ports)
{
	if (!state)
		return;
	bind_ports(state->statement[DELETE_OWN], addr_be, ports);
	run(state, state->statement[DELETE_OWN]);
}

void state_owns(struct state *state, void (*each)(const struct state_own *own, void *arg),
		void *arg)
{
	sqlite3_stmt *s = state ? state->statement[ALL_OWN] : NULL;

	while (s && sqlite3_step(s) == SQLITE_ROW) {
		struct state_own own = { 0 };
		const char *device = (const char *)sqlite3_column_text(s, 9);

		read_ports(s, &own.addr_be, &own.ports);
		own.ends_s = sqlite3_column_int64(s, 6);
		own.gateway_be = sqlite3_column_int64(s, 7);
		own.prefix = sqlite3_column_int(s, 8);
		snprintf(own.device, sizeof(own.device), "%s", device ? device : "");
		each(&own, arg);
	}
	if (s)
		sqlite3_reset(s);
}

/* ---- saved values */

void state_save(struct state *state, const char *name, const char *value)
{
	sqlite3_bind_text(state->statement[SAVE], 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(state->statement[SAVE], 2, value, -1, SQLITE_STATIC);
	run(state, state->statement[SAVE]);
}

bool state_saved(struct state *state, const char *name, char *value, size_t len)
{
	sqlite3_stmt *s = state->statement[SAVED];
	bool found;

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	found = sqlite3_step(s) == SQLITE_ROW;
	if (found)
		snprintf(value, len, "%s", (const char *)sqlite3_column_text(s, 0));
	sqlite3_reset(s);
	return found;
}

void state_forget(struct state *state, const char *name)
{
	sqlite3_bind_text(state->statement[FORGET], 1, name, -1, SQLITE_STATIC);
	run(state, state->statement[FORGET]);
}
