// SPDX-License-Identifier: GPL-3.0-or-later
#include "selftests/lib/broker_parties.h"

#include <stdio.h>
#include <string.h>

struct broker_fixture f;

int broker_test_setup(void **state)
{
	(void)state;
	broker_setup(&f);
	broker_start(&f, NULL);
	return 0;
}

int broker_test_teardown(void **state)
{
	(void)state;
	broker_teardown(&f);
	return 0;
}

void restart_with(const char *options)
{
	broker_stop(&f);
	broker_start(&f, options);
}

/* An enrolled user's connection. */
struct party *new_user(const char *name)
{
	char token[64];
	struct party *party = party_connect(&f);

	broker_invite(&f, "user", name, token);
	party_ok(party, json_pack("{s:s,s:s,s:s}", "op", "enrol", "user", name, "token", token));
	snprintf(party->secret, sizeof(party->secret), "%s",
		 json_string_value(json_object_get(party->answer, "secret")));
	return party;
}

json_t *login(const char *user, const char *secret)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:s}", "op", "login", "user", user, "secret", secret,
			 "version", 1, "client", "test");
}

json_t *translator_login(const char *name, const char *secret, const char *address, int room)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:[s],s:s,s:i}", "op", "translator", "name", name,
			 "secret", secret, "version", 1, "addresses", address, "engine", "kernel",
			 "free", room);
}

struct party *new_translator(const char *name, const char *address)
{
	char token[64];
	struct party *party = party_connect(&f);

	broker_invite(&f, "translator", name, token);
	party_ok(party, translator_login(name, token, address, 1000));
	snprintf(party->secret, sizeof(party->secret), "%s", token);
	return party;
}

json_t *publish(const char *service, const char *splice)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "publish", "service", service, "proto",
			 "tcp", "text", "a test", "splice", splice);
}

json_t *negotiate(const char *user, const char *service)
{
	return json_pack("{s:s,s:s,s:s,s:[s,s]}", "op", "negotiate", "user", user, "service",
			 service, "families", "4", "6");
}

/* A subscriber, a provider of "web", and a translator. */
struct party *alice, *bob, *relay;

void make_parties(const char *splice)
{
	alice = new_user("alice");
	bob = new_user("bob");
	relay = new_translator("relay", "192.0.2.9");
	party_ok(bob, publish("web", splice));
}
