// SPDX-License-Identifier: GPL-3.0-or-later
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY "identity.json"
#define STATE	 "state.json"

static int store_join(const char *first, const char *second, char path[STORE_PATH_LEN])
{
	char joined[STORE_PATH_LEN];
	int n = snprintf(joined, sizeof(joined), "%s%s", first, second);

	if (n < 0 || n >= STORE_PATH_LEN)
		return -ENAMETOOLONG;
	memcpy(path, joined, sizeof(joined));
	return 0;
}

static bool is_set(const char *value)
{
	return value && *value;
}

int store_find(const char *dir, char path[STORE_PATH_LEN])
{
	const char *own = getenv("ISTHMUS_PEER_DIR"), *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (is_set(dir))
		return store_join(dir, "", path);
	if (is_set(own))
		return store_join(own, "", path);
	if (!geteuid())
		return store_join("/var/lib/isthmus-peer", "", path);
	if (is_set(state))
		return store_join(state, "/isthmus", path);
	return is_set(home) ? store_join(home, "/.local/state/isthmus", path) : -ENOENT;
}

int store_make(const char *path)
{
	char part[STORE_PATH_LEN];
	struct stat st;

	if (store_join(path, "", part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (mkdir(part, 0700) && errno != EEXIST)
		return -errno;
	if (stat(part, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

void store_file(const char *path, const char *name, char file[STORE_FILE_LEN])
{
	snprintf(file, STORE_FILE_LEN, "%s/%s", path, name);
}

int store_lock(const char *path)
{
	char file[STORE_FILE_LEN];
	int fd;

	store_file(path, "lock", file);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= n;
		}
	}
	return 0;
}

/* A new file takes the old one's place, so a crash leaves one or the other. */
static int store_replace(const char *path, const char *name, json_t *value)
{
	char file[STORE_FILE_LEN], fresh[STORE_FILE_LEN];
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
	int fd, error;

	if (!text)
		return -ENOMEM;
	store_file(path, name, file);
	snprintf(fresh, sizeof(fresh), "%s/.%s.new", path, name);
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	error = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	if (!error && (fsync(fd) || rename(fresh, file)))
		error = -errno;
	if (fd >= 0)
		close(fd);
	explicit_bzero(text, strlen(text));
	free(text);
	return error;
}

static json_t *store_load(const char *path, const char *name)
{
	char file[STORE_FILE_LEN];
	json_error_t error;
	json_t *value;
	FILE *stream;

	store_file(path, name, file);
	stream = fopen(file, "re");
	if (!stream)
		return NULL;
	value = json_loadf(stream, 0, &error);
	fclose(stream);
	if (!value)
		errno = EINVAL;
	return value;
}

static bool take(const json_t *value, const char *key, char *out, size_t len)
{
	const char *text;

	if (!msg_get_string(value, key, &text) || !*text || strlen(text) >= len)
		return false;
	strcpy(out, text);
	return true;
}

int store_read_identity(const char *path, struct identity *identity)
{
	json_t *value = store_load(path, IDENTITY);
	struct identity i = { 0 };
	bool good;

	if (!value)
		return -errno;
	good = take(value, "host", i.host, sizeof(i.host)) &&
	       take(value, "port", i.port, sizeof(i.port)) &&
	       take(value, "user", i.user, sizeof(i.user)) &&
	       take(value, "secret", i.secret, sizeof(i.secret)) &&
	       take(value, "fingerprint", i.fingerprint, sizeof(i.fingerprint));
	json_decref(value);
	if (good)
		*identity = i;
	explicit_bzero(&i, sizeof(i));
	return good ? 0 : -EINVAL;
}

int store_write_identity(const char *path, const struct identity *i)
{
	json_t *value =
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "host", i->host, "port", i->port, "user",
			  i->user, "secret", i->secret, "fingerprint", i->fingerprint);
	int error = value ? store_replace(path, IDENTITY, value) : -ENOMEM;

	json_decref(value);
	return error;
}

json_t *store_read_state(const char *path)
{
	return store_load(path, STATE);
}

int store_write_state(const char *path, json_t *state)
{
	return store_replace(path, STATE, state);
}
