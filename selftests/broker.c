// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c agents/lib/auth.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c selftests/lib/broker_fixture.c */
/*
 * isthmus-broker as a process, with peers and translators played by this program over real TLS
 * connections. Each refusal stands beside the same request that is served.
 */
#include "selftests/lib/broker_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agents/lib/auth.h"

static struct broker_fixture f;

static int setup(void **state)
{
	(void)state;
	broker_setup(&f);
	broker_start(&f, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	broker_teardown(&f);
	return 0;
}

static void restart_with(const char *options)
{
	broker_stop(&f);
	broker_start(&f, options);
}

/* An enrolled user's connection. */
static struct party *new_user(const char *name)
{
	char token[64];
	struct party *party = party_connect(&f);

	broker_invite(&f, "user", name, token);
	party_ok(party, json_pack("{s:s,s:s,s:s}", "op", "enrol", "user", name, "token", token));
	snprintf(party->secret, sizeof(party->secret), "%s",
		 json_string_value(json_object_get(party->answer, "secret")));
	return party;
}

static json_t *login(const char *user, const char *secret)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:s}", "op", "login", "user", user, "secret", secret,
			 "version", 1, "client", "test");
}

static json_t *translator_login(const char *name, const char *secret, const char *address, int room)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:[s],s:s,s:i}", "op", "translator", "name", name,
			 "secret", secret, "version", 1, "addresses", address, "engine", "kernel",
			 "free", room);
}

static struct party *new_translator(const char *name, const char *address)
{
	char token[64];
	struct party *party = party_connect(&f);

	broker_invite(&f, "translator", name, token);
	party_ok(party, translator_login(name, token, address, 1000));
	snprintf(party->secret, sizeof(party->secret), "%s", token);
	return party;
}

static json_t *publish(const char *service, const char *splice)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "publish", "service", service, "proto",
			 "tcp", "text", "a test", "splice", splice);
}

static json_t *negotiate(const char *user, const char *service)
{
	return json_pack("{s:s,s:s,s:s,s:[s,s]}", "op", "negotiate", "user", user, "service",
			 service, "families", "4", "6");
}

/* ---- logins */

static void test_nothing_before_login(void **state)
{
	static const char *const ops[] = { "publish", "unpublish", "list",   "watch", "negotiate",
					   "ended",   "pure-port", "joined", "load",  "nonsense" };
	struct party *party = party_connect(&f);

	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		party_error(party, json_pack("{s:s}", "op", ops[i]), "not-logged-in");
	party = new_user("alice");
	party_ok(party, json_pack("{s:s}", "op", "list"));
	party_error(party, json_pack("{s:s}", "op", "nonsense"), "unknown-op");
}

static void test_enrol_and_login(void **state)
{
	char token[64];
	struct party *first = party_connect(&f), *second = party_connect(&f);
	json_t *enrol;

	(void)state;
	broker_invite(&f, "user", "alice", token);
	enrol = json_pack("{s:s,s:s,s:s}", "op", "enrol", "user", "alice", "token", token);
	party_ok(first, json_deep_copy(enrol));
	snprintf(first->secret, sizeof(first->secret), "%s",
		 json_string_value(json_object_get(first->answer, "secret")));
	assert_int_equal(strlen(first->secret), AUTH_TOKEN_LEN - 1);
	party_error(second, enrol, "denied"); /* once only */
	assert_true(party_wait_closed(second));
	second = party_connect(&f);
	party_error(second, login("alice", token), "denied");
	second = party_connect(&f);
	party_error(second, login("mallory", first->secret), "denied");
	second = party_connect(&f);
	party_ok(second, login("alice", first->secret));
	assert_true(json_integer_value(json_object_get(second->answer, "keepalive")) > 0);
	party_error(second, login("alice", first->secret), "denied"); /* one a connection */
}

static void test_secrets_are_stored_as_hashes_only(void **state)
{
	struct party *party = new_user("alice");
	char bytes[1 << 16];
	size_t found = 0;

	(void)state;
	broker_stop(&f); /* everything is in the file then */
	FILE *file = fopen(f.database, "re");

	assert_non_null(file);
	size_t len = fread(bytes, 1, sizeof(bytes), file);

	fclose(file);
	assert_null(memmem(bytes, len, party->secret, strlen(party->secret)));
	found = memmem(bytes, len, "scrypt$16384$8$1$", 17) != NULL; /* the control */
	assert_int_equal(found, 1);
}

static void change_database(const char *statement)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f.database, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 2000);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_expired_token(void **state)
{
	char token[64];
	struct party *party = party_connect(&f);

	(void)state;
	broker_invite(&f, "user", "alice", token);
	change_database("UPDATE users SET token_expires = token_expires - 86401");
	party_error(party,
		    json_pack("{s:s,s:s,s:s}", "op", "enrol", "user", "alice", "token", token),
		    "denied");
	change_database("UPDATE users SET token_expires = token_expires + 86401"); /* the control */
	party = party_connect(&f);
	party_ok(party, json_pack("{s:s,s:s,s:s}", "op", "enrol", "user", "alice", "token", token));
}

static void test_login_rates(void **state)
{
	struct party *party;

	(void)state;
	restart_with("--login-rate-user 3");
	for (int i = 0; i < 3; i++)
		party_error(party_connect(&f), login("alice", "wrong"), "denied");
	party_error(party_connect(&f), login("alice", "wrong"), "rate-limited");
	party_error(party_connect(&f), login("bob", "wrong"), "denied"); /* another user is not */
	restart_with("--login-rate-address 2");
	party = new_user("carol"); /* from the same address */
	party_error(party_connect(&f), login("alice", "wrong"), "denied");
	party_error(party_connect(&f), login("carol", party->secret), "rate-limited");
}

static void test_connections_without_login(void **state)
{
	struct party *first, *idle[8];

	(void)state;
	restart_with("--unauthenticated 4");
	first = party_connect(&f);
	for (int i = 0; i < 8; i++)
		idle[i] = party_connect(&f);
	assert_true(party_wait_closed(first)); /* the oldest makes room */
	assert_true(msg_conn_is_open(idle[7]->conn));
	new_user("alice"); /* a genuine one is served */
}

static void test_deleted_user_is_disconnected(void **state)
{
	struct party *alice = new_user("alice"), *bob = new_user("bob");

	(void)state;
	assert_int_equal(broker_command(&f, "user del alice", NULL, 0), 0);
	assert_true(party_wait_closed_s(alice, 3));
	party_error(party_connect(&f), login("alice", alice->secret), "denied");
	party_ok(bob, json_pack("{s:s}", "op", "list"));
}

static void test_devices_limit(void **state)
{
	struct party *party;

	(void)state;
	restart_with("--devices 2");
	party = new_user("alice");
	party_ok(party_connect(&f), login("alice", party->secret));
	party_error(party_connect(&f), login("alice", party->secret), "limit");
}

/* ---- services */

static json_t *first_service(struct party *party, const char *match)
{
	party_ok(party, json_pack("{s:s,s:s}", "op", "list", "match", match));
	return json_array_get(json_object_get(party->answer, "services"), 0);
}

static void test_publish_list_unpublish(void **state)
{
	struct party *alice = new_user("alice"), *bob = new_user("bob");
	json_t *row;

	(void)state;
	party_error(alice, publish("no good", "passive"), "bad-message");
	party_ok(alice, publish("web", "passive"));
	row = first_service(bob, "lice/we");
	assert_non_null(row);
	assert_string_equal(json_string_value(json_object_get(row, "user")), "alice");
	assert_string_equal(json_string_value(json_object_get(row, "text")), "a test");
	assert_true(json_is_true(json_object_get(row, "online")));
	assert_null(first_service(bob, "nothing like it"));
	msg_conn_close(alice->conn, "gone");
	assert_true(party_wait_closed(alice));
	party_until(bob, 100);
	row = first_service(bob, "web"); /* kept, but offline */
	assert_true(json_is_false(json_object_get(row, "online")));
	alice = party_connect(&f);
	party_ok(alice, login("alice", f.party[0].secret));
	party_ok(alice, json_pack("{s:s,s:s}", "op", "unpublish", "service", "web"));
	party_error(alice, json_pack("{s:s,s:s}", "op", "unpublish", "service", "web"),
		    "not-found");
	assert_null(first_service(bob, "web"));
}

static void test_services_limit(void **state)
{
	struct party *alice;

	(void)state;
	restart_with("--services 2");
	alice = new_user("alice");
	party_ok(alice, publish("a", "passive"));
	party_ok(alice, publish("b", "passive"));
	party_ok(alice, publish("b", "passive"));
	party_error(alice, publish("c", "passive"), "limit");
	party_ok(alice, json_pack("{s:s,s:s}", "op", "unpublish", "service", "a"));
	party_ok(alice, publish("c", "passive"));
}

static void test_watch(void **state)
{
	struct party *alice = new_user("alice"), *bob;
	json_t *notice;

	(void)state;
	party_ok(alice, json_pack("{s:s,s:b}", "op", "watch", "on", 1));
	bob = new_user("bob");
	notice = party_notice(alice, "presence");
	assert_string_equal(json_string_value(json_object_get(notice, "user")), "bob");
	assert_true(json_is_true(json_object_get(notice, "online")));
	party_ok(bob, publish("web", "passive"));
	notice = party_notice(alice, "service");
	assert_string_equal(json_string_value(json_object_get(notice, "service")), "web");
	msg_conn_close(bob->conn, "gone");
	notice = party_notice(alice, "service");
	assert_true(json_is_false(json_object_get(notice, "online")));
	notice = party_notice(alice, "presence");
	assert_true(json_is_false(json_object_get(notice, "online")));
}

/* ---- sessions */

/* A subscriber, a provider of "web", and a translator. */
static struct party *alice, *bob, *relay;

static void make_parties(const char *splice)
{
	alice = new_user("alice");
	bob = new_user("bob");
	relay = new_translator("relay", "192.0.2.9");
	party_ok(bob, publish("web", splice));
}

static void test_negotiate(void **state)
{
	json_t *offer, *open, *splice;
	const char *session;

	(void)state;
	make_parties("passive");
	party_ok(alice, negotiate("bob", "web"));
	offer = party_notice(bob, "offer");
	open = party_notice(relay, "open");
	splice = party_notice(bob, "splice");
	session = json_string_value(json_object_get(alice->answer, "session"));
	assert_string_equal(json_string_value(json_object_get(offer, "from")), "alice");
	assert_string_equal(json_string_value(json_object_get(offer, "session")), session);
	assert_string_equal(json_string_value(json_object_get(open, "session")), session);
	assert_string_equal(json_string_value(json_object_get(open, "family")), "4");
	assert_string_equal(json_string_value(json_object_get(open, "mode")), "passive");
	assert_string_equal(json_string_value(json_object_get(splice, "session")), session);
	assert_true(json_equal(json_object_get(splice, "secret"),
			       json_object_get(alice->answer, "secret")));
	assert_int_equal(json_integer_value(json_object_get(alice->answer, "role")), 0);
	assert_int_equal(json_integer_value(json_object_get(splice, "role")), 1);
	assert_int_equal(json_integer_value(json_object_get(alice->answer, "port")), 40000);
	assert_int_equal(json_integer_value(json_object_get(splice, "port")), 40001);
	assert_string_equal(json_string_value(json_object_get(alice->answer, "token")), "token-0");
	assert_string_equal(json_string_value(json_object_get(splice, "token")), "token-1");
}

static void test_end_is_told_to_both(void **state)
{
	json_t *closed;

	(void)state;
	make_parties("passive");
	party_ok(alice, negotiate("bob", "web"));
	party_send(relay, json_pack("{s:s,s:O}", "op", "joined", "session",
				    json_object_get(alice->answer, "session")));
	party_send(relay, json_pack("{s:s,s:O,s:s,s:i}", "op", "ended", "session",
				    json_object_get(alice->answer, "session"), "why", "idle",
				    "bytes_up", 12345));
	closed = party_notice(alice, "closed");
	assert_string_equal(json_string_value(json_object_get(closed, "why")), "idle");
	party_notice(bob, "closed");
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions"), 0);
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions_joined_total"), 1);
	assert_int_equal(broker_metric(&f, "isthmus_broker_bytes_total{direction=\"up\"}"), 12345);
}

static void test_unauthenticated_is_closed(void **state)
{
	json_t *session;

	(void)state;
	make_parties("passive");
	party_ok(alice, negotiate("bob", "web"));
	session = json_incref(json_object_get(alice->answer, "session"));
	/* Somebody else's session cannot be ended. */
	party_error(new_user("mallory"),
		    json_pack("{s:s,s:O,s:s}", "op", "ended", "session", session, "why", "refused"),
		    "not-found");
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions"), 1);
	party_send(bob, json_pack("{s:s,s:o,s:s}", "op", "ended", "session", session, "why",
				  "unauthenticated"));
	party_notice(relay, "close");
	party_notice(alice, "closed");
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions"), 0);
}

static void test_negotiate_is_refused(void **state)
{
	(void)state;
	alice = new_user("alice");
	bob = new_user("bob");
	party_error(alice, negotiate("nobody", "web"), "not-found");
	party_error(alice, negotiate("bob", "web"), "offline");
	party_error(alice,
		    json_pack("{s:s,s:s,s:s}", "op", "negotiate", "user", "bob", "service", "web"),
		    "bad-message");
	party_ok(bob, publish("web", "passive"));
	party_error(alice, negotiate("bob", "web"), "no-translator");
	party_notice(bob, "closed");
	relay = new_translator("relay", "192.0.2.9");
	bob->refuse = "denied";
	party_error(alice, negotiate("bob", "web"), "denied");
	bob->refuse = "limit";
	party_error(alice, negotiate("bob", "web"), "limit");
	bob->refuse = NULL;
	party_ok(alice, negotiate("bob", "web"));
}

/* Ten seconds, for a login and for a provider's answer. */
static void test_deadlines(void **state)
{
	struct party *idle;
	double start;

	(void)state;
	make_parties("passive");
	idle = party_connect(&f);
	start = fixture_seconds();
	bob->silent = true;
	party_error(alice, negotiate("bob", "web"), "timeout");
	assert_true(fixture_seconds() - start > 9);
	assert_true(party_wait_closed_s(idle, 2));
	assert_true(fixture_seconds() - start < 13);
	assert_true(msg_conn_is_open(bob->conn));
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions"), 0);
}

static void test_provider_vanishes(void **state)
{
	(void)state;
	make_parties("passive");
	bob->vanish = true;
	party_error(alice, negotiate("bob", "web"), "offline");
	assert_true(party_wait_closed(bob));
	party_until(alice, 50);
	party_error(alice, negotiate("bob", "web"), "offline");
	assert_int_equal(relay->opened, 0);
}

/* What was opened for a subscriber that is gone is closed again, and the provider knows. */
static void test_subscriber_vanishes(void **state)
{
	(void)state;
	make_parties("passive");
	relay->silent = true;
	party_send(alice, json_pack("{s:s,s:s,s:s,s:[s],s:i}", "op", "negotiate", "user", "bob",
				    "service", "web", "families", "4", "id", 999));
	json_t *open = party_notice(relay, "open");

	msg_conn_close(alice->conn, "gone");
	assert_true(party_wait_closed(alice));
	party_until(relay, 100);
	relay->silent = false;
	party_answer(relay, open);
	party_notice(relay, "close");
	party_notice(bob, "closed");
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions"), 0);
}

static void test_family_choice(void **state)
{
	struct party *six;

	(void)state;
	make_parties("passive");
	bob->only_family = "6";
	party_error(alice, negotiate("bob", "web"), "no-translator"); /* it has IPv4 only */
	six = new_translator("six", "2001:db8::9");
	party_ok(alice, negotiate("bob", "web"));
	assert_string_equal(json_string_value(json_object_get(party_notice(six, "open"), "family")),
			    "6");
	bob->only_family = "4";
	party_ok(alice, negotiate("bob", "web"));
	assert_string_equal(
		json_string_value(json_object_get(party_notice(relay, "open"), "family")), "4");
}

static void test_next_translator_is_tried(void **state)
{
	struct party *second;

	(void)state;
	make_parties("passive");
	second = new_translator("second", "192.0.2.10");
	relay->refuse = "full";
	for (int i = 0; i < 4; i++)
		party_ok(alice, negotiate("bob", "web"));
	assert_int_equal(second->opened, 4);
	relay->refuse = NULL;
	second->refuse = "full";
	party_ok(alice, negotiate("bob", "web"));
	relay->refuse = "full";
	party_error(alice, negotiate("bob", "web"), "no-translator");
}

static void test_least_loaded_translator(void **state)
{
	struct party *second;

	(void)state;
	make_parties("passive");
	second = new_translator("second", "192.0.2.10");
	for (int i = 0; i < 10; i++)
		party_ok(alice, negotiate("bob", "web"));
	assert_int_equal(relay->opened, 5);
	assert_int_equal(second->opened, 5);
	party_send(relay, json_pack("{s:s,s:i,s:i}", "op", "load", "sessions", 5, "free", 0));
	party_until(relay, 50);
	for (int i = 0; i < 4; i++)
		party_ok(alice, negotiate("bob", "web"));
	assert_int_equal(relay->opened, 5); /* it has no room */
	msg_conn_close(second->conn, "gone");
	assert_true(party_wait_closed(second));
	party_until(relay, 50);
	party_error(alice, negotiate("bob", "web"), "no-translator");
	party_send(relay, json_pack("{s:s,s:i,s:i}", "op", "load", "sessions", 5, "free", 9));
	party_until(relay, 50);
	party_ok(alice, negotiate("bob", "web"));
}

static void test_translator_vanishes_while_asked(void **state)
{
	struct party *second;

	(void)state;
	make_parties("passive");
	relay->vanish = true;
	second = new_translator("second", "192.0.2.10");
	party_send(second, json_pack("{s:s,s:i,s:i}", "op", "load", "sessions", 500, "free", 9));
	party_until(second, 50);
	party_ok(alice, negotiate("bob", "web"));
	assert_int_equal(second->opened, 1);
	assert_true(party_wait_closed(relay));
}

static void test_sessions_limit(void **state)
{
	json_t *session;

	(void)state;
	restart_with("--sessions 2");
	make_parties("passive");
	party_ok(alice, negotiate("bob", "web"));
	party_ok(alice, negotiate("bob", "web"));
	session = json_incref(json_object_get(alice->answer, "session"));
	party_error(alice, negotiate("bob", "web"), "limit");
	party_send(relay,
		   json_pack("{s:s,s:o,s:s}", "op", "ended", "session", session, "why", "idle"));
	party_notice(alice, "closed");
	party_ok(alice, negotiate("bob", "web"));
}

static void test_negotiation_rate(void **state)
{
	unsigned int served = 0, limited = 0;

	(void)state;
	restart_with("--negotiate-rate 5");
	make_parties("passive");
	for (int i = 0; i < 20; i++) {
		party_request(alice, negotiate("bob", "web"));
		if (json_is_true(json_object_get(alice->answer, "ok")))
			served++;
		else if (!strcmp(json_string_value(json_object_get(alice->answer, "error")),
				 "rate-limited"))
			limited++;
	}
	assert_true(served >= 5 && served < 20);
	assert_int_equal(served + limited, 20);
	party_ok(bob, json_pack("{s:s}", "op", "list")); /* others are not limited */
}

/* Thesis figure 4.7: the subscriber's source port becomes the provider's destination port. */
static void test_pure_splice(void **state)
{
	json_t *open, *splice, *port;

	(void)state;
	make_parties("pure");
	bob->source_port = 5555;
	party_ok(alice, negotiate("bob", "web"));
	open = party_notice(relay, "open");
	assert_string_equal(json_string_value(json_object_get(open, "mode")), "pure");
	assert_int_equal(json_integer_value(json_object_get(open, "source_port")), 5555);
	assert_int_equal(json_integer_value(json_object_get(open, "source_side")), 1);
	splice = party_notice(bob, "splice");
	assert_int_equal(json_integer_value(json_object_get(splice, "source_port")), 5555);
	assert_int_equal(json_integer_value(json_object_get(splice, "port")), 0);
	assert_null(json_object_get(alice->answer, "source_port"));
	party_send(relay,
		   json_pack("{s:s,s:O,s:i,s:i}", "op", "side-syn", "session",
			     json_object_get(alice->answer, "session"), "side", 0, "port", 6666));
	open = party_notice(relay, "pure-open");
	assert_int_equal(json_integer_value(json_object_get(open, "side")), 1);
	assert_int_equal(json_integer_value(json_object_get(open, "port")), 6666);
	port = party_notice(bob, "pure-port");
	assert_int_equal(json_integer_value(json_object_get(port, "port")), 6666);
}

/* ---- the process */

static void test_restart(void **state)
{
	json_t *session;

	(void)state;
	make_parties("passive");
	party_ok(alice, negotiate("bob", "web"));
	session = json_incref(json_object_get(alice->answer, "session"));
	restart_with(NULL);
	assert_true(party_wait_closed(alice) && party_wait_closed(bob) && party_wait_closed(relay));
	struct party *again = party_connect(&f);

	party_ok(again, translator_login("relay", relay->secret, "192.0.2.9", 10));
	party_send(again,
		   json_pack("{s:s,s:o,s:i}", "op", "ended", "session", session, "bytes_up", 7));
	party_until(again, 100);
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions_unknown_total"), 1);
	assert_int_equal(broker_metric(&f, "isthmus_broker_bytes_total{direction=\"up\"}"), 7);
	again = party_connect(&f);
	party_ok(again, login("alice", alice->secret));
}

static void test_reload(void **state)
{
	FILE *file;
	char path[128], option[160];

	(void)state;
	snprintf(path, sizeof(path), "%s/broker.conf", f.dir);
	snprintf(option, sizeof(option), "--config %s", path);
	file = fopen(path, "we");
	fprintf(file, "[limits]\nservices = 1\n");
	fclose(file);
	restart_with(option);
	alice = new_user("alice");
	party_ok(alice, publish("a", "passive"));
	party_error(alice, publish("b", "passive"), "limit");
	file = fopen(path, "we");
	fprintf(file, "[limits]\nservices = 2\n");
	fclose(file);
	kill(f.broker, SIGHUP);
	party_until(alice, 200);
	party_ok(alice, publish("b", "passive"));
	file = fopen(path, "we");
	fprintf(file, "[limits]\nservices = many\n");
	fclose(file);
	kill(f.broker, SIGHUP); /* a bad file changes nothing and ends nothing */
	party_until(alice, 200);
	party_error(alice, publish("c", "passive"), "limit");
	unlink(path);
}

static void test_commands(void **state)
{
	char out[4096];

	(void)state;
	assert_int_equal(broker_command(&f, "user add alice", NULL, 0), 0);
	assert_int_equal(broker_command(&f, "user add alice", NULL, 0), 0); /* invited again */
	change_database("UPDATE users SET secret_hash = 'x'");
	assert_int_equal(broker_command(&f, "user add alice", NULL, 0), 1);
	assert_int_equal(broker_command(&f, "user del nobody", NULL, 0), 1);
	assert_int_equal(broker_command(&f, "user add -x", NULL, 0), 2);
	assert_int_equal(broker_command(&f, "user add Alice", NULL, 0), 2);
	assert_int_equal(broker_command(&f, "frob", NULL, 0), 2);
	assert_int_equal(broker_command(&f, "user list --json", out, sizeof(out)), 0);
	json_t *list = json_loads(out, 0, NULL);

	assert_int_equal(json_array_size(json_object_get(list, "users")), 1);
	json_decref(list);
	assert_int_equal(broker_command(&f, "help", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "--negotiate-rate"));
	change_database("PRAGMA user_version = 99");
	assert_int_equal(broker_command(&f, "user list", NULL, 0), 1); /* a newer schema */
	change_database("PRAGMA user_version = 1");
}

static pid_t read_pid(const char *path)
{
	FILE *file = fopen(path, "re");
	int pid = 0;

	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

static pid_t wait_for_pid(const char *path, pid_t other_than)
{
	for (int i = 0; i < 500; i++) {
		pid_t pid = read_pid(path);

		if (pid && pid != other_than)
			return pid;
		usleep(10000);
	}
	return 0;
}

/* A script in the place of isthmus-translator tells its process number. */
static void test_translator_beside(void **state)
{
	char path[160], pid_path[160], options[256];
	pid_t first, second;
	FILE *file;

	(void)state;
	broker_stop(&f);
	broker_copy_program(&f);
	snprintf(path, sizeof(path), "%s/isthmus-translator", f.dir);
	snprintf(pid_path, sizeof(pid_path), "%s/pid", f.dir);
	file = fopen(path, "we");
	fprintf(file,
		"#!/bin/sh\n[ \"$*\" = 'run --config /x/y' ] || exit 1\n"
		"echo $$ >%s\nexec sleep 60\n",
		pid_path);
	fchmod(fileno(file), 0700);
	fclose(file);
	snprintf(options, sizeof(options), "--run --file /x/y");
	broker_start(&f, options);
	first = wait_for_pid(pid_path, 0);
	assert_true(first > 0);
	kill(first, SIGKILL); /* started again */
	second = wait_for_pid(pid_path, first);
	assert_true(second > 0);
	kill(f.broker, SIGKILL); /* ends with the broker, however that ends */
	waitpid(f.broker, NULL, 0);
	f.broker = 0;
	for (int i = 0; i < 500 && !kill(second, 0); i++)
		usleep(10000);
	assert_int_equal(kill(second, 0), -1);
	unlink(path);
	unlink(pid_path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_before_login),
		TEST(enrol_and_login),
		TEST(secrets_are_stored_as_hashes_only),
		TEST(expired_token),
		TEST(login_rates),
		TEST(connections_without_login),
		TEST(deleted_user_is_disconnected),
		TEST(devices_limit),
		TEST(publish_list_unpublish),
		TEST(services_limit),
		TEST(watch),
		TEST(negotiate),
		TEST(end_is_told_to_both),
		TEST(unauthenticated_is_closed),
		TEST(negotiate_is_refused),
		TEST(deadlines),
		TEST(provider_vanishes),
		TEST(subscriber_vanishes),
		TEST(family_choice),
		TEST(next_translator_is_tried),
		TEST(least_loaded_translator),
		TEST(translator_vanishes_while_asked),
		TEST(sessions_limit),
		TEST(negotiation_rate),
		TEST(pure_splice),
		TEST(restart),
		TEST(reload),
		TEST(commands),
		TEST(translator_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
