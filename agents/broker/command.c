// SPDX-License-Identifier: GPL-3.0-or-later
/* `user` and `translator` commands. They work on the database; a daemon sees it within 2 s. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <pwd.h>

#include "broker.h"

#define PROGRAM "isthmus-broker"

/* ---- files and whose they are */

static int folder_of(const char *path, char *folder, size_t len)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return snprintf(folder, len, "%s", slash ? "/" : ".") < (int)len ? 0 : -EINVAL;
	return snprintf(folder, len, "%.*s", (int)(slash - path), path) < (int)len ? 0 : -EINVAL;
}

static int make_folder(const char *folder, const char *user, char *error, size_t error_len)
{
	const struct passwd *owner = user ? getpwnam(user) : NULL;

	if (user && !owner) {
		snprintf(error, error_len, "there is no user '%s' on this system", user);
		return -ENOENT;
	}
	if (mkdir(folder, 0700)) {
		int rc = -errno;

		if (rc == -EEXIST)
			return 0;
		snprintf(error, error_len, "%s: %s%s", folder, strerror(-rc),
			 rc == -EACCES ? "; be root or say --database FILE" : "");
		return rc;
	}
	if (owner && !geteuid() && chown(folder, owner->pw_uid, owner->pw_gid)) {
		snprintf(error, error_len, "%s: %s", folder, strerror(errno));
		return -errno;
	}
	return 0;
}

/* What root makes in the folder belongs to the folder's owner: the daemon may be that user. */
static void give_to_owner(const char *folder, const char *path, const char *suffix)
{
	char file[4096];
	struct stat st;

	if (geteuid() || stat(folder, &st) || !st.st_uid)
		return;
	if (snprintf(file, sizeof(file), "%s%s", path, suffix) < (int)sizeof(file) &&
	    lchown(file, st.st_uid, st.st_gid) && errno != ENOENT)
		fprintf(stderr, PROGRAM ": %s: %s\n", file, strerror(errno));
}

int command_prepare(const struct settings *settings, char *error, size_t error_len)
{
	char folder[4096];
	int rc = folder_of(settings->database, folder, sizeof(folder));

	if (rc) {
		snprintf(error, error_len, "the path of the database is too long");
		return rc;
	}
	rc = make_folder(folder, settings->user, error, error_len);
	if (rc)
		return rc;
	rc = msg_make_certificate(settings->certificate, settings->key, settings->name);
	if (rc) {
		snprintf(error, error_len, "certificate %s and key %s: %s", settings->certificate,
			 settings->key,
			 rc == -EEXIST ? "one exists without the other; remove or restore it"
				       : strerror(-rc));
		return rc;
	}
	give_to_owner(folder, settings->certificate, "");
	give_to_owner(folder, settings->key, "");
	return 0;
}

static struct db *open_database(const struct settings *settings, char *error, size_t error_len)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char folder[4096];
	struct db *db;

	if (command_prepare(settings, error, error_len))
		return NULL;
	db = db_open(settings->database, error, error_len);
	if (!db || folder_of(settings->database, folder, sizeof(folder)))
		return db;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		give_to_owner(folder, settings->database, suffixes[i]);
	return db;
}

/* ---- add */

static int store_new(struct db *db, enum db_kind kind, const char *name, const char *hash,
		     unsigned int token_hours)
{
	int64_t expires = (int64_t)time(NULL) + token_hours * 3600LL;
	int rc;

	if (kind == DB_TRANSLATOR)
		return db_add(db, kind, name, hash, NULL, 0);
	rc = db_add(db, kind, name, NULL, hash, expires);
	if (rc == -EEXIST && !db_renew_token(db, name, hash, expires))
		rc = 0; /* not enrolled yet: the earlier token is void, this one is good */
	return rc;
}

static int add(struct db *db, enum db_kind kind, const char *name, const struct settings *settings)
{
	const char *word = kind == DB_USER ? "user" : "translator";
	char token[AUTH_TOKEN_LEN], hash[AUTH_HASH_LEN], fingerprint[MSG_FINGERPRINT_LEN];
	int rc = msg_certificate_fingerprint(settings->certificate, fingerprint);

	if (rc) {
		fprintf(stderr, PROGRAM ": certificate %s: %s\n", settings->certificate,
			strerror(-rc));
		return 1;
	}
	rc = auth_new_token(token) || auth_hash(token, hash) ? -EIO : 0;
	if (!rc)
		rc = store_new(db, kind, name, hash, settings->token_hours);
	if (rc == -EEXIST)
		fprintf(stderr, PROGRAM ": %s '%s' exists; '%s del %s' removes it\n", word, name,
			word, name);
	else if (rc)
		fprintf(stderr, PROGRAM ": %s '%s' was not added: %s\n", word, name, db_error(db));
	else
		printf("isthmus1:%s:%s:%s\n", name, token, fingerprint);
	OPENSSL_cleanse(token, sizeof(token));
	return rc ? 1 : 0;
}

/* ---- del */

static int del(struct db *db, enum db_kind kind, const char *name)
{
	const char *word = kind == DB_USER ? "user" : "translator";
	int rc = db_delete(db, kind, name);

	if (rc == -ENOENT)
		fprintf(stderr, PROGRAM ": no %s '%s'; '%s list' shows them\n", word, name, word);
	else if (rc)
		fprintf(stderr, PROGRAM ": %s '%s' was not deleted: %s\n", word, name,
			db_error(db));
	return rc ? 1 : 0;
}

/* ---- list */

static void time_text(int64_t seconds, char text[32])
{
	time_t value = seconds;
	struct tm parts;

	if (seconds && gmtime_r(&value, &parts))
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
	else
		strcpy(text, "-");
}

static const char *state_of(const struct db_user *user)
{
	if (user->secret_hash[0])
		return "enrolled";
	return user->token_expires > time(NULL) ? "invited" : "expired";
}

static void print_row(const struct db_user *user, void *arg)
{
	char created[32], login[32];

	(void)arg;
	time_text(user->created, created);
	time_text(user->last_login, login);
	printf("%-32s %-9s %-20s %s\n", user->name, state_of(user), created, login);
}

static void add_row(const struct db_user *user, void *arg)
{
	json_t *row = json_pack("{s:s, s:s, s:I, s:I}", "name", user->name, "state", state_of(user),
				"created", (json_int_t)user->created, "last_login",
				(json_int_t)user->last_login);

	json_array_append_new(arg, row);
}

static int list(struct db *db, enum db_kind kind, bool json)
{
	const char *key = kind == DB_USER ? "users" : "translators";
	json_t *rows = json_array(), *all = json_pack("{s:O}", key, rows);
	int rc;

	if (!json)
		printf("%-32s %-9s %-20s %s\n", "NAME", "STATE", "CREATED", "LAST LOGIN");
	rc = db_each(db, kind, json ? add_row : print_row, rows);
	if (rc)
		fprintf(stderr, PROGRAM ": the %s cannot be read: %s\n", key, db_error(db));
	else if (json && json_dumpf(all, stdout, JSON_INDENT(2)) == 0)
		printf("\n");
	json_decref(rows);
	json_decref(all);
	return rc ? 1 : 0;
}

int command_users(enum db_kind kind, int argc, char **argv, const struct settings *settings)
{
	const char *verb = argc ? argv[0] : "";
	bool named = !strcmp(verb, "add") || !strcmp(verb, "del");
	char error[512];
	struct db *db;
	int rc;

	if ((!named && strcmp(verb, "list")) || argc != (named ? 2 : 1)) {
		fprintf(stderr, PROGRAM ": expected add NAME, del NAME or list; see --help\n");
		return 2;
	}
	if (named && !db_name_is_valid(argv[1])) {
		fprintf(stderr,
			PROGRAM ": '%.64s' is no name: 1 to 32 of a-z 0-9 . _ -, not starting with "
				"- or .\n",
			argv[1]);
		return 2;
	}
	db = open_database(settings, error, sizeof(error));
	if (!db) {
		fprintf(stderr, PROGRAM ": %s\n", error);
		return 1;
	}
	if (!named)
		rc = list(db, kind, settings->json);
	else
		rc = !strcmp(verb, "add") ? add(db, kind, argv[1], settings)
					  : del(db, kind, argv[1]);
	db_close(db);
	return rc;
}
