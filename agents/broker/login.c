// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Logins. The hash is computed by the worker; the connection waits, everybody else does not. An
 * unknown name costs the same time as a wrong secret, so names cannot be tried out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "../lib/log.h"
#include "broker.h"

#define SECRET_LEN_MAX 128

/* One attempt, on its way through the worker. */
struct login {
	struct broker *broker;
	struct client *client; /* NULL once it is gone */
	json_t *request;       /* without the secret */
	enum { ENROL, LOGIN, TRANSLATOR } kind;
	struct db_user record;
	char secret[SECRET_LEN_MAX];
	char hash[AUTH_HASH_LEN]; /* to verify against */
	/* The worker's results: */
	bool verified;
	char new_secret[AUTH_TOKEN_LEN], new_hash[AUTH_HASH_LEN];
};

/* A hash of nothing that anybody has. */
static const char nobodys_hash[] =
	"scrypt$16384$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static void login_free(struct login *login)
{
	json_decref(login->request);
	OPENSSL_cleanse(login, sizeof(*login));
	free(login);
}

void login_forget(struct client *client)
{
	client->login->client = NULL;
	client->login = NULL;
}

static void run_in_worker(void *arg)
{
	struct login *login = arg;

	login->verified = auth_verify(login->secret, login->hash);
	if (login->verified && login->kind == ENROL)
		login->verified = !auth_new_token(login->new_secret) &&
				  !auth_hash(login->new_secret, login->new_hash);
}

static void refuse(struct login *login, const char *code, const char *text)
{
	struct client *client = login->client;

	login->broker->counters.logins_failed++;
	if (!client)
		return;
	log_warn("%s: login of '%s' failed: %s", msg_conn_peer(client->conn), login->record.name,
		 text);
	client->login = NULL;
	msg_reply_error(client->conn, login->request, code, "%s", text);
	msg_conn_close(client->conn, text);
}

static int become_peer(struct login *login)
{
	struct client *client = login->client;
	struct user *user = user_get(login->broker, login->record.id, login->record.name);

	if (!user)
		return -ENOMEM;
	if (user->devices >= login->broker->settings.devices) {
		user_release(login->broker, user);
		return -EUSERS;
	}
	client->role = CLIENT_PEER;
	client->user = user;
	return 0;
}

static void accept_login(struct login *login)
{
	struct client *client = login->client;
	json_t *answer = json_pack("{s:i}", "keepalive", (int)login->broker->settings.keepalive_s);
	int rc;

	if (login->kind == TRANSLATOR)
		rc = translator_connected(client, login->record.id, login->record.name,
					  login->request);
	else
		rc = become_peer(login);
	if (rc) {
		json_decref(answer);
		refuse(login, rc == -EINVAL ? "bad-message" : "limit",
		       rc == -EINVAL ? "addresses, engine or free are missing"
				     : "too many connections of this name");
		return;
	}
	if (login->kind == ENROL)
		json_object_set_new(answer, "secret", json_string(login->new_secret));
	login->broker->counters.logins_ok++;
	client->login = NULL;
	client_logged_in(client);
	log_info("%s %s logged in from %s", login->kind == TRANSLATOR ? "translator" : "user",
		 login->record.name, msg_conn_peer(client->conn));
	msg_reply(client->conn, login->request, answer);
	if (login->kind != TRANSLATOR)
		user_connected(client);
}

/* The user may have been deleted, or the token used, while the worker was busy. */
static const char *still_valid(struct login *login)
{
	enum db_kind kind = login->kind == TRANSLATOR ? DB_TRANSLATOR : DB_USER;
	struct db_user user;

	if (!login->verified)
		return login->kind == ENROL ? "wrong or used token" : "wrong name or secret";
	if (db_find(login->broker->db, kind, login->record.name, &user) ||
	    user.id != login->record.id)
		return "wrong name or secret";
	if (login->kind != ENROL) {
		db_logged_in(login->broker->db, kind, user.id); /* a date; not needed */
		return NULL;
	}
	if (user.token_expires <= time(NULL))
		return "the token has expired: ask the operator for a new one";
	return db_enrol(login->broker->db, user.id, login->hash, login->new_hash)
		       ? "wrong or used token"
		       : NULL;
}

static void worker_done(void *arg)
{
	struct login *login = arg;
	const char *why;

	if (login->client && !msg_conn_is_open(login->client->conn))
		login_forget(login->client);
	if (login->client) { /* a token is not used up for a connection that is gone */
		why = still_valid(login);
		if (why)
			refuse(login, "denied", why);
		else
			accept_login(login);
	}
	login_free(login);
}

/* What is to be verified: a name that is not known gets a hash that nothing fits. */
static void look_up(struct login *login, const char *name)
{
	enum db_kind kind = login->kind == TRANSLATOR ? DB_TRANSLATOR : DB_USER;
	const char *hash =
		login->kind == ENROL ? login->record.token_hash : login->record.secret_hash;

	if (!db_name_is_valid(name) || db_find(login->broker->db, kind, name, &login->record))
		memset(&login->record, 0, sizeof(login->record));
	strcpy(login->hash, hash[0] ? hash : nobodys_hash);
	if (!login->record.name[0] && db_name_is_valid(name))
		strcpy(login->record.name, name);
}

static const char *read_request(struct login *login, const char *op, json_t *message)
{
	const char *name, *secret;
	int64_t version = PROTOCOL_VERSION;

	login->kind = !strcmp(op, "enrol") ? ENROL : !strcmp(op, "login") ? LOGIN : TRANSLATOR;
	if (!msg_get_string(message, login->kind == TRANSLATOR ? "name" : "user", &name) ||
	    !msg_get_string(message, login->kind == ENROL ? "token" : "secret", &secret) ||
	    strlen(secret) >= sizeof(login->secret))
		return "bad-message";
	if (json_object_get(message, "version") &&
	    !msg_get_integer(message, "version", PROTOCOL_VERSION, PROTOCOL_VERSION, &version))
		return "unsupported";
	strcpy(login->secret, secret);
	look_up(login, name);
	login->request = json_incref(message);
	json_object_del(message, "secret");
	json_object_del(message, "token");
	return NULL;
}

static bool is_limited(struct client *client, const struct login *login)
{
	const struct settings *settings = &client->broker->settings;
	uint64_t now = limit_now_ms();
	char address[LIMIT_KEY_LEN],
		name[LIMIT_KEY_LEN] = { login->kind == TRANSLATOR ? 't' : 'u' };

	limit_address_key(msg_conn_address(client->conn), address);
	strcpy(name + 1, login->record.name);
	return !limit_take(client->broker->by_address, address, settings->login_rate_address / 60.0,
			   settings->login_rate_address, now) ||
	       !limit_take(client->broker->by_user, name, settings->login_rate_user / 60.0,
			   settings->login_rate_user, now);
}

void login_message(struct client *client, const char *op, json_t *message)
{
	struct broker *broker = client->broker;
	struct login *login;
	const char *error;

	if (client->role != CLIENT_NEW || client->login) {
		msg_reply_error(client->conn, message, "denied", "one login for a connection");
		return;
	}
	login = calloc(1, sizeof(*login));
	if (!login) {
		msg_reply_error(client->conn, message, "internal", "out of memory");
		return;
	}
	login->broker = broker;
	login->client = client;
	error = read_request(login, op, message);
	if (!error && (is_limited(client, login) ||
		       work_submit(broker->work, run_in_worker, worker_done, login)))
		error = "rate-limited";
	if (!error) {
		client->login = login;
		return;
	}
	broker->counters.logins_limited += !strcmp(error, "rate-limited");
	msg_reply_error(client->conn, message, error, "the login was not tried");
	msg_conn_close(client->conn, error);
	login_free(login);
}
