// SPDX-License-Identifier: GPL-3.0-or-later
/* From a one-time line to a file of credentials. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "conf.h"
#include "member.h"

#define ENROL_MS    15000
#define PREFIX	    "isthmus2"
#define LINE_LENGTH 1024 /* its parts have 711 at most */

/* ---- the line */

static int take_word(const char **line, char *word, size_t len)
{
	size_t have = strcspn(*line, ": \t\r\n");

	if (!have || have >= len || (*line)[have] != ':')
		return -EINVAL;
	memcpy(word, *line, have);
	word[have] = 0;
	*line += have + 1;
	return 0;
}

int member_parse(const char *line, struct member_credentials *credentials)
{
	struct member_credentials read = { 0 };
	char prefix[sizeof(PREFIX)], where[280];
	size_t len;
	uint16_t port;

	if (take_word(&line, prefix, sizeof(prefix)) || strcmp(prefix, PREFIX) ||
	    take_word(&line, read.name, sizeof(read.name)) ||
	    take_word(&line, read.secret, sizeof(read.secret)) ||
	    take_word(&line, read.fingerprint, sizeof(read.fingerprint)) ||
	    strlen(read.fingerprint) != MSG_FINGERPRINT_LEN - 1 ||
	    strspn(read.fingerprint, "0123456789abcdef") != MSG_FINGERPRINT_LEN - 1)
		return -EINVAL;
	len = strcspn(line, " \t\r\n");
	if (len >= sizeof(where) || line[len + strspn(line + len, " \t\r\n")])
		return -EINVAL;
	memcpy(where, line, len);
	where[len] = 0;
	if (address_split(where, read.host, sizeof(read.host), &port) || !read.host[0] ||
	    strpbrk(read.host, "[]"))
		return -EINVAL;
	snprintf(read.port, sizeof(read.port), "%u", port);
	*credentials = read;
	explicit_bzero(&read, sizeof(read));
	return 0;
}

/* ---- the file: one line as the first, with the secret in the token's place */

static int write_all(int fd, const char *text)
{
	ssize_t len = write(fd, text, strlen(text));

	if (len >= 0 && len != (ssize_t)strlen(text))
		return -ENOSPC;
	return len < 0 || fsync(fd) ? -errno : 0;
}

static int write_file(const char *path, const struct member_credentials *credentials)
{
	char fresh[4096], line[LINE_LENGTH];
	bool v6 = strchr(credentials->host, ':') != NULL;
	int fd, err;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh) ||
	    snprintf(line, sizeof(line), PREFIX ":%s:%s:%s:%s%s%s:%s\n", credentials->name,
		     credentials->secret, credentials->fingerprint, v6 ? "[" : "",
		     credentials->host, v6 ? "]" : "", credentials->port) >= (int)sizeof(line))
		return -ENAMETOOLONG;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, line);
	explicit_bzero(line, sizeof(line));
	close(fd);
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

int member_read(const char *path, struct member_credentials *credentials)
{
	char line[LINE_LENGTH];
	int err = conf_read_secret(path, line, sizeof(line));

	if (!err)
		err = member_parse(line, credentials);
	explicit_bzero(line, sizeof(line));
	return err;
}

/* ---- joining */

struct joining {
	struct event_base *base;
	struct member_credentials credentials;
	char error[192];
	bool done;
};

/* The first reason is the one to tell. */
static void fail(struct joining *joining, const char *text)
{
	if (!joining->error[0])
		snprintf(joining->error, sizeof(joining->error), "%s", text);
}

static void on_enrolled(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct joining *joining = arg;
	const char *secret = "", *text = "the name server did not answer";
	bool ok = false;

	if (answer) {
		msg_get_bool(answer, "ok", &ok);
		msg_get_string(answer, "text", &text);
	}
	if (ok && msg_get_string(answer, "secret", &secret) && *secret &&
	    strlen(secret) < sizeof(joining->credentials.secret)) {
		strcpy(joining->credentials.secret, secret);
		joining->done = true;
	} else {
		fail(joining, ok ? "the name server gave no secret" : text);
	}
	msg_conn_close(conn, "answered");
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct joining *joining = arg;
	json_t *message =
		json_pack("{s:s, s:s, s:s}", "op", "enrol", "name", joining->credentials.name,
			  "token", joining->credentials.secret);

	if (msg_request(conn, message, ENROL_MS, on_enrolled, joining))
		msg_conn_close(conn, "the token could not be sent");
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn, (void)message, (void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct joining *joining = arg;

	(void)conn;
	fail(joining, why);
	event_base_loopbreak(joining->base);
}

static void enrol(struct joining *joining)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	const struct member_credentials *to = &joining->credentials;

	joining->base = event_base_new();
	if (!joining->base)
		return;
	if (msg_connect_tls(joining->base, to->host, to->port, to->fingerprint, &handler, joining,
			    joining->error, sizeof(joining->error)))
		event_base_dispatch(joining->base);
	event_base_free(joining->base);
}

/* Before the token is used up: can the file be written? */
static int make_folder(const char *path)
{
	char copy[4096];
	const char *folder;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	if (mkdir(folder, 0700) && errno != EEXIST)
		return -errno;
	return access(folder, W_OK) ? -errno : 0;
}

int member_join(const char *line, const char *path, char *error, size_t error_len)
{
	struct joining joining = { 0 };
	int err = member_parse(line, &joining.credentials);

	if (err) {
		snprintf(error, error_len,
			 "not a line isthmus2:NAME:TOKEN:FINGERPRINT:HOST:PORT, as isthmus-dns "
			 "prints it");
		return -1;
	}
	err = make_folder(path);
	if (err) {
		snprintf(error, error_len, "the folder of %s: %s", path, strerror(-err));
		return -1;
	}
	enrol(&joining);
	if (!joining.done) {
		snprintf(error, error_len, "%s:%s: %s", joining.credentials.host,
			 joining.credentials.port, joining.error[0] ? joining.error : "no memory");
	} else {
		err = write_file(path, &joining.credentials);
		if (err)
			snprintf(error, error_len,
				 "%s: %s: the token is used up, ask for another one", path,
				 strerror(-err));
	}
	explicit_bzero(&joining.credentials, sizeof(joining.credentials));
	return joining.done && !err ? 0 : -1;
}

int member_join_command(const char *program, const char *given, const char *path)
{
	char line[LINE_LENGTH], error[512];
	int err = 0;

	if (given && strcmp(given, "-"))
		snprintf(line, sizeof(line), "%s", given);
	else
		err = conf_read_secret("-", line, sizeof(line));
	if (err)
		snprintf(error, sizeof(error), "%s", strerror(-err));
	else
		err = member_join(line, path, error, sizeof(error));
	explicit_bzero(line, sizeof(line));
	if (err) {
		fprintf(stderr, "%s: %s\n", program, error);
		return 1;
	}
	printf("joined; the secret is in %s\n", path);
	return 0;
}
