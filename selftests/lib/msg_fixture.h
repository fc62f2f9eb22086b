/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Control messages over real sockets on loopback: a server and clients share one event loop. Each
 * test runs the loop until what it waits for has happened, at most 10 s; nothing is asserted
 * before.
 */
#ifndef ISTHMUS_MSG_FIXTURE_H
#define ISTHMUS_MSG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "agents/lib/msg.h"

/* What one end of a connection has seen. */
struct end {
	struct msg_conn *conn;
	unsigned int opened, messages, closed, answers, null_answers;
	char why[200], text[64];
	json_t *answer;
};

extern struct msg_fixture {
	struct event_base *base;
	struct msg_listener *listener;
	char dir[64], cert[96], key[96], path[96];
	char fingerprint[MSG_FINGERPRINT_LEN];
	char port[8];
	struct end server, client;
} f;

extern const struct msg_handler handler;

int msg_setup(void **state);
int msg_teardown(void **state);
double seconds(void);
void run_once(void);
bool run_until(const unsigned int *counter, unsigned int value);  /* false after 10 s */
void on_answer(struct msg_conn *conn, json_t *answer, void *arg); /* arg: struct end */
void on_accepted(struct msg_conn *conn, void *arg);
void listen_tls(unsigned int limit);
void connect_client(const char *fingerprint);
void connect_both(void);
json_t *echo(const char *text); /* a request that is answered with its text */

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, msg_setup, msg_teardown)

#endif
