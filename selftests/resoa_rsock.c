// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/resoa/rsock.c */
/*
 * The tables of sockets (agents/resoa/rsock.c) against plain arrays: 20,000 of them are found by
 * each key, ended in any order, told to the server as they should; no rsockID is given twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../agents/resoa/resoa.h"

#define MANY 20000

/* ---- what rsock.c calls */

static struct {
	unsigned int sent, forgotten, freed;
	uint32_t id;
	uint8_t type;
	int32_t error;
} told;

int ep_send(struct lhp *lhp, uint32_t rsock, const struct ep_message *message)
{
	(void)lhp;
	told.sent++;
	told.id = rsock;
	told.type = message->type;
	told.error = message->error;
	return 0;
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	(void)lhp;
	(void)stream;
	told.forgotten++;
}

static void freed(struct rsock *rsock)
{
	rsock->state = NULL;
	told.freed++;
}

void tcp_end(struct rsock *rsock)
{
	freed(rsock);
}

void syn_free(struct rsock *rsock)
{
	freed(rsock);
}

void udp_end(struct rsock *rsock)
{
	freed(rsock);
}

/* ---- set-up */

static struct resoa daemon_of_test;

static int set_up(void **state)
{
	memset(&told, 0, sizeof(told));
	daemon_of_test = (struct resoa){ .lhp = (void *)&told, .rsocks = rsocks_new() };
	*state = &daemon_of_test;
	return daemon_of_test.rsocks ? 0 : -1;
}

static void end_one(struct rsock *rsock, void *arg)
{
	(void)arg;
	rsock_end(rsock, -1);
}

static int tear_down(void **state)
{
	struct resoa *resoa = *state;

	rsock_each(resoa, end_one, NULL);
	rsocks_free(resoa->rsocks);
	return 0;
}

static struct resoa_names names_of(unsigned int number)
{
	struct resoa_names names = { .local_port = htons(1000 + number % 50000),
				     .remote_port = htons(80) };

	memcpy(names.remote.b + 12, &number, sizeof(number));
	names.local.b[15] = 1;
	return names;
}

static struct rsock *make(struct resoa *resoa, unsigned int number)
{
	struct resoa_names names = names_of(number);
	struct rsock *rsock = rsock_new(resoa, 0, RSOCK_CONNECT);

	assert_non_null(rsock);
	rsock->proto = number % 2 ? IPPROTO_TCP : IPPROTO_UDP;
	rsock_set_names(rsock, &names);
	rsock_set_cookie(rsock, 7000000 + number);
	return rsock;
}

static void check_found(struct resoa *resoa, unsigned int number, uint32_t id, struct rsock *want)
{
	struct resoa_names names = names_of(number);
	uint8_t proto = number % 2 ? IPPROTO_TCP : IPPROTO_UDP;

	assert_ptr_equal(rsock_of_id(resoa, id), want);
	assert_ptr_equal(rsock_of_cookie(resoa, 7000000 + number), want);
	assert_ptr_equal(rsock_of_names(resoa, proto, &names), want);
	assert_null(rsock_of_names(resoa, IPPROTO_TCP + IPPROTO_UDP - proto, &names));
}

/* ---- tests */

static void count_one(struct rsock *rsock, void *arg)
{
	(void)rsock;
	++*(unsigned int *)arg;
}

static void test_many(void **state)
{
	struct resoa *resoa = *state;
	struct rsock **made = calloc(MANY, sizeof(*made));
	uint32_t *ids = calloc(MANY, sizeof(*ids));
	unsigned int count = 0, ended = 0;

	assert_non_null(made);
	assert_non_null(ids);
	for (unsigned int i = 0; i < MANY; i++) {
		made[i] = make(resoa, i);
		ids[i] = made[i]->id;
		assert_in_range(ids[i], 1, 0x7fffffff);
		assert_true(!i || ids[i] > ids[i - 1]);
	}
	rsock_each(resoa, count_one, &count);
	assert_int_equal(count, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		check_found(resoa, i, ids[i], made[i]);
	for (unsigned int step = 0; step < MANY; step++) {
		unsigned int i = step * 7919u % MANY; /* prime to MANY: each once */

		if (i % 3)
			continue;
		rsock_end(made[i], -1);
		made[i] = NULL;
		ended++;
	}
	for (unsigned int i = 0; i < MANY; i++)
		check_found(resoa, i, ids[i], made[i]);
	count = 0;
	rsock_each(resoa, count_one, &count);
	assert_int_equal(count, MANY - ended);
	assert_int_equal(told.sent, 0);
	free(made);
	free(ids);
}

static void test_end(void **state)
{
	static const struct {
		bool knows;
		int error;
		unsigned int sent, forgotten;
		uint8_t type;
	} cases[] = {
		{ true, 0, 1, 1, EP_CLOSE },	{ true, ECONNRESET, 1, 1, EP_RESET },
		{ true, -1, 0, 1, 0 },		{ false, 0, 0, 0, 0 },
		{ false, ECONNRESET, 0, 0, 0 },
	};
	struct resoa *resoa = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rsock *rsock = make(resoa, 1);
		uint32_t id = rsock->id;

		memset(&told, 0, sizeof(told));
		rsock->server_knows = cases[i].knows;
		rsock->state = &told;
		rsock_end(rsock, cases[i].error);
		assert_int_equal(told.sent, cases[i].sent);
		assert_int_equal(told.forgotten, cases[i].forgotten);
		assert_int_equal(told.type, cases[i].type);
		assert_int_equal(told.id, cases[i].sent ? id : 0);
		assert_int_equal(told.error, cases[i].sent ? cases[i].error : 0);
		assert_int_equal(told.freed, 1);
		check_found(resoa, 1, id, NULL);
	}
}

/* The server's rsockIDs: each once; after its loss they are its to give again. */
static void test_of_server(void **state)
{
	struct resoa *resoa = *state;
	struct rsock *rsock = rsock_new(resoa, EP_OF_SERVER | 5, RSOCK_INCOMING);

	assert_non_null(rsock);
	assert_null(rsock_new(resoa, EP_OF_SERVER | 5, RSOCK_INCOMING));
	rsock->server_knows = true;
	rsock_lost(rsock);
	assert_false(rsock->server_knows);
	assert_null(rsock_of_id(resoa, EP_OF_SERVER | 5));
	assert_ptr_equal(rsock_of_id(resoa, rsock->id), rsock);
	assert_non_null(rsock_new(resoa, EP_OF_SERVER | 5, RSOCK_INCOMING));
}

/* Names and cookies change; those of before find nothing. */
static void test_change(void **state)
{
	struct resoa *resoa = *state;
	struct resoa_names other = names_of(9);
	struct rsock *rsock = make(resoa, 1);
	uint32_t id = rsock->id;

	rsock_set_names(rsock, &other);
	rsock_set_cookie(rsock, 7000009);
	check_found(resoa, 9, id, rsock);
	assert_null(rsock_of_cookie(resoa, 7000001));
	rsock_set_cookie(rsock, 0);
	assert_null(rsock_of_cookie(resoa, 0));
	assert_null(rsock_of_cookie(resoa, 7000009));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_of_server, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_change, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
