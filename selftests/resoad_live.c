// SPDX-License-Identifier: GPL-3.0-or-later
/* The server as a program, told message by message what a client's daemon would tell it. */
/* link: selftests/lib/resoad_client.c selftests/lib/resoad_pair.c agents/lib/ep.c */
/* link: agents/lib/lhp.c agents/lib/lhp_key.c */
/* link: agents/lib/lhp_stream.c agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c */
/* link: agents/lib/lhp_stream_place.c */
/* link: agents/lib/address.c agents/lib/conf.c agents/lib/log.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/resoad_pair.h"

static void test_registered(void **state)
{
	(void)state;
	assert_non_null(strstr(alice.registered, "\"ports\":[20000,20999]"));
	assert_non_null(strstr(bob.registered, "\"ports\":[21000,21999]"));
	assert_non_null(strstr(alice.registered, "{\"address\":\"192.0.2.1\",\"prefix\":24}"));
	assert_non_null(strstr(alice.registered, "{\"address\":\"2001:db8:1::1\",\"prefix\":64}"));
	assert_non_null(strstr(alice.registered, "{\"to\":\"192.0.2.0/24\"}"));
	assert_non_null(strstr(alice.registered, "\"granted\":[80,90,91]"));
}

static void test_echo_of(const char *local)
{
	uint32_t id = next++;
	char bytes[64];
	int fd;

	assert_int_equal(rc_connect(&alice, id, local, 20001, local, 7000), 0);
	fd = rc_accept(peer, RC_MS);
	assert_true(fd >= 0);
	rc_data(&alice, id, "hello", 5);
	assert_int_equal(rc_recv(&alice, fd, bytes, sizeof(bytes), 0, RC_MS), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(write(fd, "world!", 6), 6);
	assert_int_equal(rc_read(&alice, id, bytes, 1, 100), 0); /* no credit yet */
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(rc_read(&alice, id, bytes, 6, RC_MS), 6);
	assert_memory_equal(bytes, "world!", 6);
	shutdown(fd, SHUT_WR);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT1);
	rc_say(&alice, id, EP_DELIVERED, 6);
	rc_run(&alice, 50);
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT2);
	rc_say(&alice, id, EP_FIN, 0);
	assert_int_equal(rc_recv(&alice, fd, bytes, sizeof(bytes), 0, RC_MS), 0);
	rc_say(&alice, id, EP_CLOSE, 0);
	close(fd);
}

static void test_echo(void **state)
{
	(void)state;
	test_echo_of(RC_LOCAL4);
}

static void test_echo6(void **state)
{
	(void)state;
	test_echo_of(RC_LOCAL6);
}

static void abort_fd(int fd)
{
	const struct linger linger = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* ---- connect */

static void test_connect_errors(void **state)
{
	(void)state;
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 20002, RC_LOCAL4, 7001),
			 ECONNREFUSED);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 20002, "203.0.113.1", 7000),
			 ENETUNREACH);
	assert_int_equal(rc_connect(&alice, next++, "192.0.2.77", 20002, RC_LOCAL4, 7000),
			 EADDRNOTAVAIL);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 21002, RC_LOCAL4, 7000), EADDRINUSE);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 22, RC_LOCAL4, 7000), EACCES);
}

/* What listens on the server's loopback trusts who can reach it. */
static void test_loopback_is_closed(void **state)
{
	static const char *const places[] = { "127.0.0.1", "127.1.2.3", "0.0.0.0" };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 20002, places[i], 7000),
				 EACCES);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL6, 20002, "::1", 7000), EACCES);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL6, 20002, "::", 7000), EACCES);
	assert_true(rc_accept(peer, 50) < 0);
}

static void test_names(void **state)
{
	const struct ep_message *answer;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	uint32_t id = next++;
	struct ep_name name;
	int fd;

	(void)state;
	rc_send(&alice, id,
		&(struct ep_message){ .type = EP_CONNECT,
				      .name = rc_name(IPPROTO_TCP, RC_LOCAL4, 20003),
				      .other = rc_name(IPPROTO_TCP, RC_LOCAL4, 7000) });
	answer = rc_wait(&alice, id, EP_RESULT, RC_MS);
	assert_non_null(answer);
	assert_int_equal(answer->error, 0);
	name = rc_name(IPPROTO_TCP, RC_LOCAL4, 20003);
	assert_true(ep_name_equal(&answer->name, &name));
	fd = rc_accept(peer, RC_MS);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&from, &len), 0);
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)&from, len, IPPROTO_TCP, true, &name),
			 0);
	assert_int_equal(ntohs(name.port), 20003);
	close(fd);
}

/* ---- data */

/* Every byte once and in order, both ways, in pieces of all sizes. */
static void fill(uint8_t *bytes, size_t len, uint64_t at)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = ((at + i) * 2654435761u) >> 13;
}

static void test_bulk_in(void **state)
{
	enum { TOTAL = 3000000, CREDIT = 100000 };
	static uint8_t bytes[TOTAL], want[TOTAL], got[TOTAL + 65536];
	size_t sent = 0, have = 0;
	uint64_t credit = 0;
	int fd;
	uint32_t id;

	(void)state;
	id = pair_connected(20004, &fd);
	fill(want, TOTAL, 0);
	memcpy(bytes, want, TOTAL);
	for (int i = 0; i < 20000 && have < TOTAL; i++) {
		ssize_t n = send(fd, bytes + sent, TOTAL - sent, MSG_DONTWAIT);

		sent += n > 0 ? n : 0;
		/* As READ events come: also whenever all is read. */
		credit = have + CREDIT;
		rc_credit(&alice, id, credit, have);
		have += rc_read(&alice, id, got + have, 1, 20);
		assert_true(have <= credit);
	}
	assert_int_equal(have, TOTAL);
	assert_memory_equal(got, want, TOTAL);
	close(fd);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	rc_say(&alice, id, EP_RESET, 0);
}

/* The peer's window is closed as long as the program has not read, and opens as it reads (4.3). */
static void test_window(void **state)
{
	static uint8_t bytes[65536], got[1 << 20];
	size_t sent = 0, before, have;
	const int small = 65536;
	uint32_t id;
	ssize_t n;
	int fd;

	(void)state;
	id = next++;
	rc_send(&alice, id,
		&(struct ep_message){ .type = EP_OPTION,
				      .level = SOL_SOCKET,
				      .option = SO_RCVBUF,
				      .body = &small,
				      .body_len = sizeof(small) });
	assert_int_equal(rc_connect(&alice, id, RC_LOCAL4, 20005, RC_LOCAL4, 7000), 0);
	fd = rc_accept(peer, RC_MS);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	rc_credit(&alice, id, 1 << 20, 0);
	for (int i = 0; i < 40; i++) {
		while ((n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
			sent += n;
		rc_run(&alice, 10);
	}
	before = sent;
	have = rc_read(&alice, id, got, 1 << 20, 200);
	assert_true(have > 0 && have < before);
	rc_run(&alice, 50);
	assert_true(send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0); /* all came, nothing read */
	rc_credit(&alice, id, 4 << 20, have);
	rc_run(&alice, 200);
	assert_true(send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
	rc_say(&alice, id, EP_RESET, 0);
	close(fd);
}

static void test_bulk_out(void **state)
{
	enum { TOTAL = 2000000, PIECE = 30000 };
	static uint8_t want[TOTAL], got[TOTAL];
	uint64_t credit = 262144;
	size_t sent = 0, have = 0;
	const struct ep_message *message;
	uint32_t id;
	ssize_t n;
	int fd;

	(void)state;
	id = pair_connected(20006, &fd);
	fill(want, TOTAL, 7);
	for (int i = 0; i < 20000 && have < TOTAL; i++) {
		while (sent < TOTAL && sent + PIECE <= credit) {
			size_t len = TOTAL - sent < PIECE ? TOTAL - sent : PIECE;

			rc_data(&alice, id, want + sent, len);
			sent += len;
		}
		message = rc_wait(&alice, id, EP_CREDIT, 2);
		if (message)
			credit = message->number;
		assert_true(credit <= have + 262144 + 8000000);
		n = i % 3 ? recv(fd, got + have, TOTAL - have, MSG_DONTWAIT) : 0;
		have += n > 0 ? n : 0;
	}
	assert_int_equal(have, TOTAL);
	assert_memory_equal(got, want, TOTAL);
	rc_say(&alice, id, EP_CLOSE, 0);
	assert_int_equal(rc_recv(&alice, fd, got, 1, 0, RC_MS), 0);
	close(fd);
}

/* More than a window's worth is no client of ours. */
static void test_beyond_credit(void **state)
{
	static uint8_t bytes[65536];
	uint32_t id = next++;
	int fd;

	(void)state;
	assert_int_equal(rc_connect(&bob, id, RC_LOCAL4, 21006, RC_LOCAL4, 7000), 0);
	fd = rc_accept(peer, RC_MS);
	for (int i = 0; i < 200 && bob.lhp; i++) {
		rc_data(&bob, id, bytes, sizeof(bytes));
		rc_run(&bob, 5);
	}
	assert_null(bob.lhp);
	assert_non_null(alice.lhp);
	close(fd);
}

/* CLOSE comes behind bytes that the peer has not taken yet. */
static void test_close_flushes(void **state)
{
	static uint8_t bytes[60000], got[240000];
	size_t have = 0;
	uint32_t id;
	ssize_t n;
	int fd;

	(void)state;
	id = pair_connected(20007, &fd);
	for (int i = 0; i < 4; i++)
		rc_data(&alice, id, bytes, sizeof(bytes));
	rc_say(&alice, id, EP_CLOSE, 0);
	rc_run(&alice, 100);
	while ((n = rc_recv(&alice, fd, got, sizeof(got), 0, RC_MS)) > 0)
		have += n;
	assert_int_equal(n, 0);
	assert_int_equal(have, 240000);
	close(fd);
}

/* ---- urgent data */

static void test_urgent_in(void **state)
{
	const struct ep_message *message;
	char bytes[16];
	uint32_t id;
	int fd;

	(void)state;
	id = pair_connected(20008, &fd);
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(send(fd, "ab!", 3, MSG_OOB), 3);
	assert_int_equal(send(fd, "cd", 2, 0), 2);
	assert_int_equal(rc_read(&alice, id, bytes, 2, RC_MS), 2);
	assert_memory_equal(bytes, "ab", 2);
	message = rc_wait(&alice, id, EP_URGENT, RC_MS);
	assert_non_null(message);
	assert_int_equal(message->body_len, 1);
	assert_memory_equal(message->body, "!", 1);
	assert_int_equal(rc_read(&alice, id, bytes, 2, RC_MS), 2);
	assert_memory_equal(bytes, "cd", 2);
	rc_run(&alice, 20);
	assert_int_equal(send(fd, "?", 1, MSG_OOB), 1); /* alone */
	assert_non_null(rc_wait(&alice, id, EP_URGENT, RC_MS));
	close(fd);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	rc_say(&alice, id, EP_RESET, 0);
}

static void test_urgent_out(void **state)
{
	char bytes[16];
	uint32_t id;
	int fd;

	(void)state;
	id = pair_connected(20009, &fd);
	rc_send(&alice, id,
		&(struct ep_message){ .type = EP_URGENT, .body = "xy!", .body_len = 3 });
	rc_run(&alice, 50);
	assert_int_equal(rc_recv(&alice, fd, bytes, 1, MSG_OOB, RC_MS), 1);
	assert_int_equal(bytes[0], '!');
	assert_int_equal(rc_recv(&alice, fd, bytes, sizeof(bytes), 0, RC_MS), 2);
	assert_memory_equal(bytes, "xy", 2);
	rc_say(&alice, id, EP_RESET, 0);
	assert_int_equal(rc_recv(&alice, fd, bytes, 1, 0, RC_MS), -ECONNRESET);
	close(fd);
}

/* ---- ends */

static void test_reset_in(void **state)
{
	const struct ep_message *message;
	char bytes[16];
	uint32_t id;
	int fd;

	(void)state;
	id = pair_connected(20010, &fd);
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(send(fd, "last", 4, 0), 4);
	rc_run(&alice, 20);
	abort_fd(fd);
	message = rc_wait(&alice, id, EP_RESET, RC_MS);
	assert_non_null(message);
	assert_int_equal(message->error, ECONNRESET);
	assert_int_equal(rc_read(&alice, id, bytes, 4, 20), 4);
}

/* Without credit nothing can be read, and the end is seen all the same. */
static void test_reset_without_credit(void **state)
{
	uint32_t id;
	int fd;

	(void)state;
	id = pair_connected(20011, &fd);
	rc_run(&alice, 20);
	abort_fd(fd);
	assert_non_null(rc_wait(&alice, id, EP_RESET, RC_MS));
	id = pair_connected(20012, &fd);
	shutdown(fd, SHUT_WR);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT1);
	rc_say(&alice, id, EP_DELIVERED, 0);
	rc_run(&alice, 50);
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT2);
	rc_say(&alice, id, EP_RESET, 0);
	close(fd);
}

/* What was sent to the client and not read is no reason for RST: the program has ended in order. */
static void test_close_after_reading(void **state)
{
	char bytes[16];
	uint32_t id;
	int fd;

	(void)state;
	id = pair_connected(20013, &fd);
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(send(fd, "question", 8, 0), 8);
	assert_int_equal(rc_read(&alice, id, bytes, 8, RC_MS), 8);
	rc_data(&alice, id, "answer", 6);
	rc_say(&alice, id, EP_CLOSE, 0);
	assert_int_equal(rc_recv(&alice, fd, bytes, 16, 0, RC_MS), 6);
	assert_int_equal(rc_recv(&alice, fd, bytes, 16, 0, RC_MS), 0);
	close(fd);
}

/* 4.4: a connection that is not over is reset when its client has gone. */
static void test_client_gone(void **state)
{
	char bytes[16];
	uint32_t id;
	int fd, done;

	(void)state;
	id = pair_connected(20014, &done);
	shutdown(done, SHUT_WR);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	rc_data(&alice, id, "all", 3);
	rc_say(&alice, id, EP_FIN, 0);
	pair_connected(20015, &fd);
	rc_run(&alice, 50);
	rc_close(&alice);
	assert_int_equal(rc_recv(&bob, fd, bytes, 16, 0, RC_MS), -ECONNRESET);
	assert_int_equal(rc_recv(&bob, done, bytes, 16, 0, RC_MS), 3);
	assert_int_equal(rc_recv(&bob, done, bytes, 16, 0, RC_MS), 0);
	close(fd);
	close(done);
	assert_true(rc_open(&alice, &server, "alice"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registered, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_echo, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_echo6, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_connect_errors, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_loopback_is_closed, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_names, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_bulk_in, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_window, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_bulk_out, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_beyond_credit, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_close_flushes, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_urgent_in, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_urgent_out, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_reset_in, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_reset_without_credit, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_close_after_reading, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_client_gone, pair_start, pair_end),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, pair_group_start, NULL);
}
