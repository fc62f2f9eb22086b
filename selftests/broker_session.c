// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/address.c agents/lib/auth.c */
/* link: agents/lib/msg_tls.c agents/lib/msg_socket.c */
/* link: selftests/lib/broker_fixture.c selftests/lib/broker_parties.c */
/* How isthmus-broker makes sessions, and what becomes of them; see broker.c. */
#include "selftests/lib/broker_parties.h"

#include <string.h>

/* ---- sessions */

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
	json_incref(session);
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
	/* Its end is counted once: when the translator tells it. */
	party_send(relay,
		   json_pack("{s:s,s:o,s:s}", "op", "ended", "session", session, "why", "closed"));
	party_until(relay, 100);
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions_ended_total"), 1);
	assert_int_equal(broker_metric(&f, "isthmus_broker_sessions_unknown_total"), 0);
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
	restart_with("--negotiate-rate 2");
	make_parties("passive");
	for (int i = 0; i < 20; i++) {
		party_request(alice, negotiate("bob", "web"));
		if (json_is_true(json_object_get(alice->answer, "ok")))
			served++;
		else if (!strcmp(json_string_value(json_object_get(alice->answer, "error")),
				 "rate-limited"))
			limited++;
	}
	assert_true(served >= 8 && served < 20);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
