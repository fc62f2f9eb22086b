// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Bindings over a restart of the machine (W17): the map is lost with it, resolvers and browsers
 * keep what they were told. Written every half minute and at the end, all of them at once.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "../lib/log.h"
#include "../lib/work.h"
#include "waypoint.h"

#define SCHEMA_VERSION 1
#define PARTS_MAX      100000

static const char schema[] =
	"CREATE TABLE binds (initiator INTEGER NOT NULL, waypoint INTEGER NOT NULL,"
	" gateway INTEGER NOT NULL, host INTEGER NOT NULL, carried INTEGER NOT NULL,"
	" ended INTEGER NOT NULL, seen INTEGER NOT NULL, fresh INTEGER NOT NULL,"
	" PRIMARY KEY (initiator, waypoint)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 1;";

/* seen, fresh: milliseconds since 1970 */
static const char put_text[] =
	"INSERT OR REPLACE INTO binds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
static const char all_text[] = "SELECT initiator, waypoint, gateway, host, carried, ended, seen,"
			       " fresh FROM binds";

struct state {
	sqlite3 *handle;
	sqlite3_stmt *put;
	struct work *work; /* NULL until it is first needed */
	int64_t offset_ms; /* of the wall clock, to the maps' */
	bool failed;
};

static int exec(struct state *state, const char *text)
{
	return sqlite3_exec(state->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int make_schema(struct state *state)
{
	sqlite3_stmt *statement;
	int version = -1;

	if (sqlite3_prepare_v2(state->handle, "PRAGMA user_version", -1, &statement, NULL))
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	if (version > SCHEMA_VERSION)
		return -EPROTO;
	return version ? 0 : exec(state, schema);
}

static int open_handle(struct state *state, const char *path)
{
	int err, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	if (sqlite3_open_v2(path, &state->handle, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return -EIO;
	err = exec(state, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			  "PRAGMA trusted_schema = OFF;");
	if (!err)
		err = make_schema(state);
	if (!err && sqlite3_prepare_v2(state->handle, put_text, -1, &state->put, NULL) != SQLITE_OK)
		err = -EIO;
	return err;
}

int state_open(struct waypoint *w, char *error)
{
	struct state *state = calloc(1, sizeof(*state));
	char copy[4096];
	int err;

	if (!state)
		return -ENOMEM;
	w->state = state;
	snprintf(copy, sizeof(copy), "%s", w->settings.state);
	if (mkdir(dirname(copy), 0700) && errno != EEXIST) {
		snprintf(error, ERROR_LEN, "the folder of %s: %s", w->settings.state,
			 strerror(errno));
		return -EIO;
	}
	err = open_handle(state, w->settings.state);
	if (err)
		snprintf(error, ERROR_LEN, "%s: %s", w->settings.state,
			 err == -EPROTO	 ? "made by a newer version"
			 : state->handle ? sqlite3_errmsg(state->handle)
					 : strerror(-err));
	return err;
}

/* Milliseconds since 1970 less those of the maps' clock. */
static int64_t clock_offset(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000 -
	       (int64_t)(waypoint_now_ns() / NS_PER_MS);
}

/* ---- restore */

static uint64_t to_map(int64_t wall_ms, int64_t offset)
{
	int64_t ms = wall_ms - offset;

	return ms > 0 ? (uint64_t)ms * NS_PER_MS : 0;
}

static void restore_row(struct waypoint *w, sqlite3_stmt *row, int64_t offset)
{
	struct waypoint_pair pair = { htobe32((uint32_t)sqlite3_column_int64(row, 0)),
				      htobe32((uint32_t)sqlite3_column_int64(row, 1)) };
	struct waypoint_bind bind = {
		.peer = (uint32_t)sqlite3_column_int(row, 2),
		.host = (uint32_t)sqlite3_column_int(row, 3),
		.carried = (uint8_t)sqlite3_column_int(row, 4),
		.ended = (uint8_t)sqlite3_column_int(row, 5),
		.seen_ns = to_map(sqlite3_column_int64(row, 6), offset),
		.fresh_ns = to_map(sqlite3_column_int64(row, 7), offset),
	};
	uint64_t now = waypoint_now_ns();

	if (bind.peer >= GATEWAYS || bind.seen_ns > now || bind.fresh_ns > now + w->conf.fresh_ns ||
	    waypoint_bind_ends(&bind, &w->conf) < now)
		return;
	bind_restore(w, &pair, &bind);
}

/* What the map has is newer. */
void state_restore(struct waypoint *w)
{
	int64_t offset = clock_offset();
	sqlite3_stmt *row;

	if (sqlite3_prepare_v2(w->state->handle, all_text, -1, &row, NULL) != SQLITE_OK)
		return;
	while (sqlite3_step(row) == SQLITE_ROW)
		restore_row(w, row, offset);
	sqlite3_finalize(row);
	if (w->counters.restored)
		log_info("%llu bindings restored", (unsigned long long)w->counters.restored);
}

/* ---- save */

static bool save_bind(const void *key, const void *value, void *arg)
{
	struct waypoint *w = arg;
	const struct waypoint_pair *pair = key;
	const struct waypoint_bind *bind = value;
	sqlite3_stmt *put = w->state->put;

	if (waypoint_bind_ends(bind, &w->conf) < waypoint_now_ns())
		return false;
	sqlite3_bind_int64(put, 1, be32toh(pair->initiator));
	sqlite3_bind_int64(put, 2, be32toh(pair->waypoint));
	sqlite3_bind_int64(put, 3, bind->peer);
	sqlite3_bind_int64(put, 4, bind->host);
	sqlite3_bind_int64(put, 5, bind->carried);
	sqlite3_bind_int64(put, 6, bind->ended);
	sqlite3_bind_int64(put, 7, (int64_t)(bind->seen_ns / NS_PER_MS) + w->state->offset_ms);
	sqlite3_bind_int64(put, 8, (int64_t)(bind->fresh_ns / NS_PER_MS) + w->state->offset_ms);
	w->state->failed |= sqlite3_step(put) != SQLITE_DONE;
	sqlite3_reset(put);
	return false;
}

/* Nothing: what went wrong was told. */
static void saved(void *arg)
{
	(void)arg;
}

static void stop_worker(struct state *state)
{
	if (state->work)
		work_free(state->work);
	state->work = NULL;
}

static void save(void *arg)
{
	struct waypoint *w = arg;
	struct map_sweep *walk;
	int rc = 0;

	walk = map_sweep_new(w->map[MAP_BIND], sizeof(struct waypoint_pair),
			     sizeof(struct waypoint_bind), save_bind, w);
	if (!walk)
		return;
	w->state->offset_ms = clock_offset();
	w->state->failed = exec(w->state, "BEGIN; DELETE FROM binds;") != 0;
	for (int i = 0; i < PARTS_MAX && !rc && !w->state->failed; i++)
		rc = map_sweep_step(walk);
	map_sweep_free(walk);
	if (exec(w->state, rc == 1 && !w->state->failed ? "COMMIT" : "ROLLBACK") || rc != 1 ||
	    w->state->failed)
		log_warn("%s: bindings were not saved: %s", w->settings.state,
			 sqlite3_errmsg(w->state->handle));
}

/* By the worker: it may take a second, in which SETUPs are answered. */
void state_save_later(struct waypoint *w)
{
	if (!w->state->work)
		w->state->work = work_new(w->base, 1);
	if (w->state->work)
		work_submit(w->state->work, save, saved, w);
}

/* The last time. */
void state_save(struct waypoint *w)
{
	if (!w->state || !w->state->put)
		return;
	stop_worker(w->state);
	save(w);
}

void state_close(struct waypoint *w)
{
	if (!w->state)
		return;
	stop_worker(w->state);
	sqlite3_finalize(w->state->put);
	sqlite3_close(w->state->handle);
	free(w->state);
	w->state = NULL;
}
