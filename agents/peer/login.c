// SPDX-License-Identifier: GPL-3.0-or-later
/* Enrolment: the one-time line becomes a secret in the state directory (docs/protocol.md). */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/msg.h"
#include "cli.h"

#define DEFAULT_PORT "3480"
#define LINE_MAX_LEN 512
#define ENROL_MS     30000 /* scrypt at the broker may have a queue */
#define LINE_PREFIX  "isthmus1:"

struct login {
	struct event_base *base;
	struct identity identity;
	char token[STORE_SECRET_LEN];
	char error[192];
	bool done;
};

/* The first reason is the one to tell. */
static void login_fail(struct login *login, const char *text)
{
	if (!login->error[0])
		snprintf(login->error, sizeof(login->error), "%s", text);
}

static void enrolled(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct login *login = arg;
	const char *secret = "", *text = "the broker did not answer";
	bool ok = false;

	if (answer) {
		msg_get_bool(answer, "ok", &ok);
		msg_get_string(answer, "text", &text);
	}
	if (ok && msg_get_string(answer, "secret", &secret) && *secret &&
	    strlen(secret) < sizeof(login->identity.secret)) {
		strcpy(login->identity.secret, secret);
		login->done = true;
	} else {
		login_fail(login, ok ? "the broker gave no secret" : text);
	}
	msg_conn_close(conn, "answered");
}

static void login_opened(struct msg_conn *conn, void *arg)
{
	struct login *login = arg;
	json_t *message = json_pack("{s:s, s:s, s:s}", "op", "enrol", "user", login->identity.user,
				    "token", login->token);

	if (msg_request(conn, message, ENROL_MS, enrolled, login))
		msg_conn_close(conn, "the token could not be sent");
}

static void login_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn, (void)message, (void)arg;
}

static void login_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct login *login = arg;

	(void)conn;
	login_fail(login, why);
	event_base_loopbreak(login->base);
}

static const struct msg_handler handler = { login_opened, login_message, login_closed };

/* "isthmus1:NAME:TOKEN:FINGERPRINT" */
static int parse_line(char *line, struct login *login)
{
	char *save, *name, *token, *fingerprint;

	if (strncmp(line, LINE_PREFIX, strlen(LINE_PREFIX)))
		return -EINVAL;
	name = strtok_r(line + strlen(LINE_PREFIX), ":", &save);
	token = strtok_r(NULL, ":", &save);
	fingerprint = strtok_r(NULL, ":", &save);
	if (!fingerprint || strtok_r(NULL, ":", &save) || !name_valid(name) ||
	    strlen(token) >= sizeof(login->token) ||
	    strlen(fingerprint) != MSG_FINGERPRINT_LEN - 1 ||
	    strspn(fingerprint, "0123456789abcdef") != MSG_FINGERPRINT_LEN - 1)
		return -EINVAL;
	strcpy(login->identity.user, name);
	strcpy(login->token, token);
	strcpy(login->identity.fingerprint, fingerprint);
	return 0;
}

/* HOST, HOST:PORT, v6 or [v6]:PORT */
static int parse_broker(const char *text, struct identity *identity)
{
	struct isthmus_addr address;
	uint16_t port;

	strcpy(identity->port, DEFAULT_PORT);
	if (!address_parse(text, &address) || !strchr(text, ':')) {
		if (!*text || strlen(text) >= sizeof(identity->host))
			return -EINVAL;
		address_parse(text, &address) ? (void)strcpy(identity->host, text)
					      : address_text(&address, identity->host);
		return 0;
	}
	if (address_split(text, identity->host, sizeof(identity->host), &port) ||
	    !identity->host[0])
		return -EINVAL;
	snprintf(identity->port, sizeof(identity->port), "%u", port);
	return 0;
}

static int read_line(const struct cli *cli, struct login *login)
{
	const char *file = cli->token_file ? cli->token_file : "-";
	char line[LINE_MAX_LEN];
	int error = conf_read_secret(file, line, sizeof(line));

	if (error == -EPERM)
		fprintf(stderr, "isthmus-peer: %s: others may read it: chmod 600\n", file);
	else if (error)
		fprintf(stderr, "isthmus-peer: %s: %s\n", file, strerror(-error));
	else if ((error = parse_line(line, login)))
		fprintf(stderr,
			"isthmus-peer: %s: not a line isthmus1:NAME:TOKEN:FINGERPRINT, as "
			"isthmus-broker user add prints it\n",
			file);
	explicit_bzero(line, sizeof(line));
	return error;
}

static void enrol(struct login *login)
{
	const struct identity *identity = &login->identity;

	login->base = event_base_new();
	if (!login->base)
		return;
	if (msg_connect_tls(login->base, identity->host, identity->port, identity->fingerprint,
			    &handler, login, login->error, sizeof(login->error)))
		event_base_dispatch(login->base);
	event_base_free(login->base);
}

static int login_store(const struct cli *cli, const struct login *login)
{
	int error = store_write_identity(cli->path, &login->identity);

	if (error) {
		fprintf(stderr,
			"isthmus-peer: %s/identity.json: %s: the token is used up, ask for "
			"another one\n",
			cli->path, strerror(-error));
		return 1;
	}
	json_decref(cli_ask(cli, json_pack("{s:s}", "op", "reload"), true));
	printf("logged in to %s:%s as %s\n", login->identity.host, login->identity.port,
	       login->identity.user);
	return 0;
}

int login_run(struct cli *cli)
{
	struct login login = { 0 };
	int status = 1, error;

	if (parse_broker(cli->argv[0], &login.identity)) {
		fprintf(stderr, "isthmus-peer: '%s' is not BROKER[:PORT]\n", cli->argv[0]);
		return 2;
	}
	error = store_make(cli->path);
	if (error) {
		fprintf(stderr, "isthmus-peer: %s: %s: say --dir DIR\n", cli->path,
			strerror(-error));
		return 1;
	}
	if (read_line(cli, &login))
		return 1;
	enrol(&login);
	if (login.done)
		status = login_store(cli, &login);
	else
		fprintf(stderr, "isthmus-peer: %s:%s: %s\n", login.identity.host,
			login.identity.port, login.error);
	explicit_bzero(&login, sizeof(login));
	return status;
}
