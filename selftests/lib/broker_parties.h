/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Users and translators of one broker under test, and what they say. */
#ifndef ISTHMUS_BROKER_PARTIES_H
#define ISTHMUS_BROKER_PARTIES_H

#include "selftests/lib/broker_fixture.h"

extern struct broker_fixture f;
/* Of make_parties(): a subscriber, a provider of "web", a translator. */
extern struct party *alice, *bob, *relay;

int broker_test_setup(void **state);
int broker_test_teardown(void **state);
void restart_with(const char *options);
struct party *new_user(const char *name); /* enrolled; its secret is kept in it */
struct party *new_translator(const char *name, const char *address);
void make_parties(const char *splice);

json_t *login(const char *user, const char *secret);
json_t *translator_login(const char *name, const char *secret, const char *address, int room);
json_t *publish(const char *service, const char *splice);
json_t *negotiate(const char *user, const char *service);

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(test_##name, broker_test_setup, broker_test_teardown)

#endif
