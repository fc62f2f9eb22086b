// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/srv/srv.c */
/*
 * SRV records as a client takes them: parsed from bytes, and in RFC 2782's order.
 *
 *	srv client HOST SERVICE		resolves it by many threads at once (dns_story.sh runs this
 *					preloaded) and prints each "address port" once, in order
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agents/srv/srv.h"

/* ---- the order */

static uint32_t numbers[8], number_next;

static uint32_t next_number(void)
{
	return numbers[number_next++];
}

static void add(struct srv_list *list, uint16_t priority, uint16_t weight, uint16_t port)
{
	list->target[list->count++] =
		(struct srv_target){ .priority = priority, .weight = weight, .port = port };
}

static void expect_ports(const struct srv_list *list, const uint16_t *ports)
{
	for (unsigned int i = 0; i < list->count; i++)
		assert_int_equal(list->target[i].port, ports[i]);
}

static void test_priorities(void **state)
{
	static const uint16_t want[] = { 3, 4, 2, 1 };
	struct srv_list *list = calloc(1, sizeof(*list));

	(void)state;
	add(list, 30, 5, 1);
	add(list, 20, 65535, 2);
	add(list, 0, 0, 3);
	add(list, 10, 0, 4);
	srv_order(list, srv_random);
	expect_ports(list, want);
	free(list);
}

/* The chosen number is from 0 to the sum: 0 takes one of weight 0, the sum takes the last. */
static void test_weights(void **state)
{
	static const struct {
		uint32_t numbers[3];
		uint16_t want[4];
	} rows[] = {
		{ { 0, 0, 0 }, { 4, 1, 2, 3 } },   /* weight 0 first */
		{ { 1, 0, 0 }, { 1, 4, 2, 3 } },   /* 1: in the first one's share */
		{ { 10, 0, 0 }, { 1, 4, 2, 3 } },  /* 10: the end of it */
		{ { 11, 20, 0 }, { 2, 3, 4, 1 } }, /* 11: in the second one's; then 20 of 70 */
		{ { 30, 0, 0 }, { 2, 4, 1, 3 } },  { { 31, 0, 30 }, { 3, 4, 2, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct srv_list *list = calloc(1, sizeof(*list));

		add(list, 1, 10, 1);
		add(list, 1, 20, 2);
		add(list, 1, 60, 3);
		add(list, 1, 0, 4);
		memcpy(numbers, rows[i].numbers, sizeof(rows[i].numbers));
		number_next = 0;
		srv_order(list, next_number);
		for (int j = 0; j < 4; j++)
			if (list->target[j].port != rows[i].want[j])
				fail_msg("row %zu: place %d has %u", i, j, list->target[j].port);
		free(list);
	}
}

static void test_shares(void **state)
{
	unsigned int first[4] = { 0 };
	struct srv_list *list = calloc(1, sizeof(*list));

	(void)state;
	for (int i = 0; i < 20000; i++) {
		list->count = 0;
		add(list, 1, 1, 1);
		add(list, 1, 3, 2);
		add(list, 2, 65535, 3);
		srv_order(list, srv_random);
		first[list->target[0].port]++;
	}
	assert_int_equal(first[3], 0);
	/* Of the five numbers 0 to 4 the first two are the first one's: 8000 of 20000. */
	assert_in_range(first[1], 7600, 8400);
	free(list);
}

/* ---- answers */

static const uint8_t answer[] = {
	0x12, 0x34, 0x81, 0x80, 0, 1,	 0,   2,   0,	0,  0,	 0,		  /* header */
	3,    '_',  's',  'x',	4, '_',	 't', 'c', 'p', 1,  'h', 0, 0, 33, 0,  1, /* question */
	0xc0, 12,   0,	  33,	0, 1,	 0,   0,   0,	60, 0,	 9, 0, 1,  0,  2,
	0x9c, 0x40, 1,	  'a',	0, 0xc0, 12,  0,   33,	0,  1,	 0, 0, 0,  60, 0,
	9,    0,    3,	  0,	4, 0,	 80,  1,   'b', 0,
};

static void test_parse(void **state)
{
	struct srv_list *list = calloc(1, sizeof(*list));
	uint8_t bytes[sizeof(answer)];

	(void)state;
	assert_int_equal(srv_parse(answer, sizeof(answer), list), 0);
	assert_int_equal(list->count, 2);
	assert_int_equal(list->target[0].priority, 1);
	assert_int_equal(list->target[0].weight, 2);
	assert_int_equal(list->target[0].port, 40000);
	assert_string_equal(list->target[0].host, "a");
	assert_string_equal(list->target[1].host, "b");
	for (size_t len = 0; len < sizeof(answer); len++) {
		assert_int_equal(srv_parse(answer, len, list), -EBADMSG);
		assert_int_equal(list->count, 0);
	}
	memcpy(bytes, answer, sizeof(bytes));
	bytes[39] = 6; /* a record's data without a target */
	assert_int_equal(srv_parse(bytes, sizeof(bytes), list), -EBADMSG);
	free(list);
}

/* "." alone: there is no such service. */
static void test_unavailable(void **state)
{
	static const uint8_t none[] = {
		0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0,  0, 0, 1, 'h', 0, 0, 33, 0, 1,
		0xc0, 12,   0,	  33,	0, 1, 0, 0, 0, 60, 0, 7, 0, 0,	 0, 0, 0,  0, 0,
	};
	struct srv_list *list = calloc(1, sizeof(*list));

	(void)state;
	assert_int_equal(srv_parse(none, sizeof(none), list), 0);
	assert_true(list->unavailable);
	assert_int_equal(list->count, 0);
	free(list);
}

static void test_service_names(void **state)
{
	static const struct {
		const char *service, *protocol;
		bool numeric;
		const char *name;
	} rows[] = {
		{ "http", "tcp", true, "http" }, { "80", "tcp", true, "http" },
		{ "www", "tcp", true, "http" },	 { "22", "tcp", true, "ssh" },
		{ "80", "tcp", false, NULL },	 { "http", "tcp", false, "http" },
		{ "59999", "tcp", true, NULL },	 { "65616", "tcp", true, NULL },
		{ "53", "udp", true, "domain" }, { "imaginary", "tcp", true, "imaginary" },
		{ "a.b", "tcp", true, NULL },	 { "", "tcp", true, NULL },
		{ "80x", "tcp", true, "80x" },	 { "-1", "tcp", true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[64] = "";
		bool found = srv_service_name(rows[i].service, rows[i].protocol, rows[i].numeric,
					      name, sizeof(name));

		if (found != (rows[i].name != NULL) || (found && strcmp(name, rows[i].name)))
			fail_msg("'%s' is '%s'", rows[i].service, found ? name : "none");
	}
}

/* ---- the client */

#define THREADS 8
#define ROUNDS	25

static const char *client_host, *client_service;

static void print_list(const struct addrinfo *list, char *text, size_t len)
{
	for (; list; list = list->ai_next) {
		char host[64], port[16];

		if (getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof(host), port,
				sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
			abort();
		snprintf(text + strlen(text), len - strlen(text), "%s %s\n", host, port);
	}
}

/* NULL, or text that the thread found first. All rounds must find as much. */
static void *client_thread(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char *first = NULL;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		char *text = calloc(1, 4096);
		struct addrinfo *list;
		int rc;

		errno = 4242;
		rc = getaddrinfo(client_host, client_service, &hints, &list);
		if (rc || errno != 4242) {
			fprintf(stderr, "%s, errno %d\n", gai_strerror(rc), errno);
			exit(1);
		}
		print_list(list, text, 4096);
		freeaddrinfo(list);
		if (first && strlen(first) != strlen(text)) {
			fprintf(stderr, "once\n%sand once\n%s", first, text);
			exit(1);
		}
		if (first)
			free(text);
		else
			first = text;
	}
	return first;
}

static int client(void)
{
	pthread_t thread[THREADS];
	void *text;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, client_thread, NULL))
			abort();
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &text);
		if (!i)
			fputs(text, stdout);
		free(text);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_priorities),  cmocka_unit_test(test_weights),
		cmocka_unit_test(test_shares),	    cmocka_unit_test(test_parse),
		cmocka_unit_test(test_unavailable), cmocka_unit_test(test_service_names),
	};

	if (argc == 4 && !strcmp(argv[1], "client")) {
		client_host = argv[2];
		client_service = argv[3];
		return client();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
