// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c agents/lib/auth.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c */
/* link: selftests/lib/broker_fixture.c selftests/lib/broker_parties.c */
/*
 * isthmus-broker as a process, with peers and translators played by this program over real TLS
 * connections: logins, services, commands. Each refusal stands beside the same request that is
 * served.
 */
#include "selftests/lib/broker_parties.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agents/lib/auth.h"

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

static void test_all_connections(void **state)
{
	struct party *last;

	(void)state;
	restart_with("--connections 2");
	alice = new_user("alice");
	bob = new_user("bob");
	last = party_try(&f);
	assert_true(last->closed && !last->opened_conn);
	msg_conn_close(bob->conn, "gone");
	assert_true(party_wait_closed(bob));
	party_ok(alice, json_pack("{s:s}", "op", "list"));
	party_ok(party_connect(&f), login("alice", alice->secret));
}

static void test_deleted_user_is_disconnected(void **state)
{
	(void)state;
	alice = new_user("alice");
	bob = new_user("bob");
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
	json_t *row;

	(void)state;
	alice = new_user("alice");
	bob = new_user("bob");
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
	json_t *notice;

	(void)state;
	alice = new_user("alice");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_before_login),
		TEST(enrol_and_login),
		TEST(secrets_are_stored_as_hashes_only),
		TEST(expired_token),
		TEST(login_rates),
		TEST(connections_without_login),
		TEST(all_connections),
		TEST(deleted_user_is_disconnected),
		TEST(devices_limit),
		TEST(publish_list_unpublish),
		TEST(services_limit),
		TEST(watch),
		TEST(restart),
		TEST(reload),
		TEST(commands),
		TEST(translator_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
