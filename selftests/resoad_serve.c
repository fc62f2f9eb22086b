// SPDX-License-Identifier: GPL-3.0-or-later
/* The server as a program: listeners, ports, limits, and its file of clients read anew. */
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
#include <time.h>
#include <unistd.h>

#include "lib/resoad_pair.h"

/* ---- listeners */

static uint32_t incoming(struct rc *rc, uint32_t listener)
{
	const struct ep_message *message = rc_wait(rc, listener, EP_INCOMING, RC_MS);

	assert_non_null(message);
	assert_true(message->id & EP_OF_SERVER);
	return message->id;
}

static void test_listen(void **state)
{
	uint32_t listener = next++, id;
	char bytes[16];
	int fd;

	(void)state;
	assert_int_equal(rc_listen(&alice, listener, "0.0.0.0", 80, 10), 0);
	fd = rc_dial(RC_LOCAL4, 80);
	assert_true(fd >= 0);
	id = incoming(&alice, listener);
	rc_say(&alice, id, EP_ACCEPTED, 0);
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(write(fd, "GET", 3), 3);
	assert_int_equal(rc_read(&alice, id, bytes, 3, RC_MS), 3);
	rc_data(&alice, id, "200", 3);
	rc_say(&alice, id, EP_FIN, 0);
	assert_int_equal(rc_recv(&alice, fd, bytes, 16, 0, RC_MS), 3);
	assert_int_equal(rc_recv(&alice, fd, bytes, 16, 0, RC_MS), 0);
	close(fd);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	rc_say(&alice, id, EP_CLOSE, 0);
	fd = rc_dial(RC_LOCAL4, 80); /* refused by the client */
	id = incoming(&alice, listener);
	rc_say(&alice, id, EP_RESET, 0);
	assert_int_equal(rc_recv(&alice, fd, bytes, 16, 0, RC_MS), -ECONNRESET);
	close(fd);
	rc_say(&alice, listener, EP_CLOSE, 0);
	rc_run(&alice, 50);
	assert_int_equal(rc_dial(RC_LOCAL4, 80), -ECONNREFUSED);
}

static void test_listen_both(void **state)
{
	uint32_t listener = next++;
	int four, six;

	(void)state;
	assert_int_equal(rc_listen(&alice, listener, "::", 90, 10), 0);
	four = rc_dial(RC_LOCAL4, 90);
	six = rc_dial(RC_LOCAL6, 90);
	assert_true(four >= 0 && six >= 0);
	incoming(&alice, listener);
	incoming(&alice, listener);
	assert_int_equal(rc_dial("127.0.0.1", 90), -ECONNREFUSED);
	close(four);
	close(six);
	rc_say(&alice, listener, EP_CLOSE, 0);
}

/* The peer has said all and closed before its connection is accepted by the client. */
static void test_listen_early(void **state)
{
	uint32_t listener = next++, id;
	char bytes[16];
	int fd;

	(void)state;
	assert_int_equal(rc_listen(&alice, listener, "0.0.0.0", 20100, 10), 0);
	fd = rc_dial(RC_LOCAL4, 20100);
	assert_int_equal(write(fd, "early", 5), 5);
	shutdown(fd, SHUT_WR);
	id = incoming(&alice, listener);
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT1);
	rc_say(&alice, id, EP_ACCEPTED, 0);
	rc_credit(&alice, id, 65536, 0);
	assert_int_equal(rc_read(&alice, id, bytes, 5, RC_MS), 5);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT1);
	rc_say(&alice, id, EP_DELIVERED, 5);
	rc_run(&alice, 50);
	assert_int_equal(rc_tcp_state(fd), TCP_FIN_WAIT2);
	close(fd);
	rc_say(&alice, id, EP_RESET, 0);
	rc_say(&alice, listener, EP_CLOSE, 0);
}

/* ---- ports */

static void test_port_conflicts(void **state)
{
	int own = rc_listener(RC_LOCAL4, 20200); /* the host's own program */

	(void)state;
	assert_true(own >= 0);
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, RC_LOCAL4, 20200), EADDRINUSE);
	assert_int_equal(rc_listen(&alice, next++, "0.0.0.0", 20200, 1), EADDRINUSE);
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, RC_LOCAL4, 21200), EADDRINUSE);
	assert_int_equal(rc_bind(&bob, next++, IPPROTO_TCP, RC_LOCAL4, 80), EACCES);
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, "192.0.2.9", 20201), EADDRNOTAVAIL);
	close(own);
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, RC_LOCAL4, 20200), 0);
	assert_int_equal(rc_listener(RC_LOCAL4, 20200), -EADDRINUSE);
	rc_say(&alice, next - 1, EP_CLOSE, 0);
	rc_run(&alice, 50);
	own = rc_listener(RC_LOCAL4, 20200);
	assert_true(own >= 0);
	close(own);
}

static void test_bind_then_listen(void **state)
{
	uint32_t bound = next++, listener = next++;
	int fd;

	(void)state;
	assert_int_equal(rc_bind(&alice, bound, IPPROTO_TCP, "0.0.0.0", 91), 0);
	assert_int_equal(rc_dial(RC_LOCAL4, 91), -ECONNREFUSED);
	assert_int_equal(rc_listen(&alice, listener, "0.0.0.0", 91, 5), 0);
	fd = rc_dial(RC_LOCAL4, 91);
	assert_true(fd >= 0);
	incoming(&alice, listener);
	close(fd);
	rc_say(&alice, listener, EP_CLOSE, 0);
	rc_say(&alice, bound, EP_CLOSE, 0);
	rc_run(&alice, 50);
	/* The connection is still there: whether that matters the program's own kernel has said. */
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, "0.0.0.0", 91), 0);
}

/* A program that wants IPv4 and IPv6 gets what there is. */
static int alone_start(void **state)
{
	(void)state;
	rc_server_start(&server,
			"[client alice]\n" KEY_ALICE "mode = 1-to-1\naddress = " RC_LOCAL4 "\n",
			NULL);
	assert_true(rc_open(&alice, &server, "alice"));
	return 0;
}

static int alone_end(void **state)
{
	(void)state;
	rc_close(&alice);
	rc_server_stop(&server, SIGTERM);
	return 0;
}

static void test_one_family(void **state)
{
	uint32_t six = next++, four = next++, listener = next++;
	int fd;

	(void)state;
	assert_null(strstr(alice.registered, "2001:db8"));
	assert_int_equal(rc_bind(&alice, six, IPPROTO_TCP, "::", 93), 0);
	assert_int_equal(rc_bind(&alice, four, IPPROTO_TCP, "0.0.0.0", 93), 0);
	assert_int_equal(rc_listen(&alice, listener, "::", 93, 5), 0);
	fd = rc_dial(RC_LOCAL4, 93);
	assert_true(fd >= 0);
	incoming(&alice, listener);
	assert_int_equal(rc_dial(RC_LOCAL6, 93), -ECONNREFUSED);
	close(fd);
	rc_say(&alice, six, EP_CLOSE, 0);
	rc_say(&alice, four, EP_CLOSE, 0);
	rc_say(&alice, listener, EP_CLOSE, 0);
	rc_run(&alice, 50);
	assert_int_equal(rc_connect(&alice, next++, "::", 0, RC_LOCAL6, 7000), EAFNOSUPPORT);
}

static void test_bind_then_connect(void **state)
{
	uint32_t bound = next++, id = next++;
	int fd;

	(void)state;
	assert_int_equal(rc_bind(&alice, bound, IPPROTO_TCP, RC_LOCAL4, 20300), 0);
	assert_int_equal(rc_connect(&alice, id, RC_LOCAL4, 20300, RC_LOCAL4, 7000), 0);
	fd = rc_accept(peer, RC_MS);
	assert_true(fd >= 0);
	close(fd);
}

/* ---- limits */

static void test_socket_limit(void **state)
{
	const struct ep_message *message;
	uint32_t id[3], more = next++;
	int fd[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		id[i] = next++;
		assert_int_equal(rc_connect(&bob, id[i], RC_LOCAL4, 21001 + i, RC_LOCAL4, 7000), 0);
		fd[i] = rc_accept(peer, RC_MS);
	}
	rc_send(&bob, more,
		&(struct ep_message){ .type = EP_CONNECT,
				      .name = rc_name(IPPROTO_TCP, RC_LOCAL4, 21010),
				      .other = rc_name(IPPROTO_TCP, RC_LOCAL4, 7000) });
	message = rc_wait(&bob, more, EP_RESET, RC_MS);
	assert_non_null(message);
	assert_int_equal(message->error, ENOBUFS);
	rc_say(&bob, id[0], EP_CLOSE, 0);
	rc_run(&bob, 20);
	assert_int_equal(rc_connect(&bob, next++, RC_LOCAL4, 21011, RC_LOCAL4, 7000), 0);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(rc_accept(peer, RC_MS));
}

/* At the limit who comes waits in the kernel's backlog, and is told when a socket has ended. */
static void test_accept_at_limit(void **state)
{
	uint32_t listener = next++, id;
	int fd[3];

	(void)state;
	assert_int_equal(rc_listen(&bob, listener, "0.0.0.0", 21020, 10), 0);
	for (int i = 0; i < 3; i++)
		assert_true((fd[i] = rc_dial(RC_LOCAL4, 21020)) >= 0);
	id = incoming(&bob, listener);
	incoming(&bob, listener);
	assert_null(rc_wait(&bob, listener, EP_INCOMING, 200));
	rc_say(&bob, id, EP_RESET, 0);
	incoming(&bob, listener);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

static void test_rules(void **state)
{
	int low = rc_listener(RC_LOCAL4, 1000);

	(void)state;
	assert_true(low >= 0);
	assert_int_equal(rc_connect(&bob, next++, RC_LOCAL4, 21030, RC_LOCAL4, 1000), EACCES);
	assert_int_equal(rc_connect(&alice, next++, RC_LOCAL4, 20030, RC_LOCAL4, 1000), 0);
	close(low);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_rate(void **state)
{
	static const char slow[] =
		"[client alice]\n" KEY_ALICE "rate = 200k\n[client bob]\n" KEY_BOB;
	static uint8_t bytes[400000], got[500000];
	uint64_t began, took;
	size_t have = 0, sent;
	uint32_t id;
	int fd;

	(void)state;
	rc_server_rewrite(&server, slow);
	rc_run(&alice, 100);
	began = now_ms();
	id = pair_connected(20040, &fd);
	rc_credit(&alice, id, 1 << 20, 0);
	sent = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	assert_int_equal(sent, sizeof(bytes));
	do {
		rc_run(&alice, 20);
		have += rc_read(&alice, id, got + have, sizeof(got) - have, 0);
		rc_credit(&alice, id, 1 << 20, have);
		took = now_ms() - began;
	} while (took < 1000);
	/* In a second the burst, and 200 kB; a slow machine takes longer. */
	assert_in_range(have, 200000, 131072 + 200 * took + 16384);
	close(fd);
}

/* ---- the file of clients, read anew */

static void test_reload(void **state)
{
	char bytes[16];
	int a, b;

	(void)state;
	pair_connected(20050, &a);
	assert_int_equal(rc_connect(&bob, next++, RC_LOCAL4, 21050, RC_LOCAL4, 7000), 0);
	b = rc_accept(peer, RC_MS);
	rc_server_rewrite(&server, "[client alice]\n" KEY_ALICE "nonsense = 1\n");
	rc_run(&alice, 100);
	rc_run(&bob, 20);
	assert_non_null(bob.lhp); /* a file with a mistake changes nothing */
	/* Nor one that the server has no right for any more. */
	rc_server_rewrite(&server, "[client alice]\n" KEY_ALICE "[client carol]\n" KEY_BOB
				   "mode = 1-to-1\naddress = dhcp\nmac = 02:00:00:00:00:0b\n");
	rc_run(&alice, 100);
	rc_run(&bob, 20);
	assert_non_null(bob.lhp);
	rc_server_rewrite(&server, "[client alice]\n" KEY_ALICE "[client carol]\n" KEY_BOB);
	rc_run(&alice, 100);
	rc_run(&bob, 20);
	assert_null(bob.lhp);
	assert_int_equal(rc_recv(&alice, b, bytes, 16, 0, RC_MS), -ECONNRESET);
	assert_int_equal(rc_recv(&alice, a, bytes, 16, 0, 50), -EAGAIN);
	assert_non_null(alice.lhp);
	rc_close(&bob);
	assert_false(rc_open(&bob, &server, "bob"));
	close(a);
	close(b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_listen, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_listen_both, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_listen_early, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_port_conflicts, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_bind_then_listen, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_one_family, alone_start, alone_end),
		cmocka_unit_test_setup_teardown(test_bind_then_connect, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_socket_limit, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_accept_at_limit, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_rules, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_rate, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_reload, pair_start, pair_end),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, pair_group_start, NULL);
}
