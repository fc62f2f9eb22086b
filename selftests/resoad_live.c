// SPDX-License-Identifier: GPL-3.0-or-later
/* The server as a program, told message by message what a client's daemon would tell it. */
/* link: selftests/lib/resoad_client.c agents/lib/ep.c agents/lib/lhp.c agents/lib/lhp_key.c */
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

#include "lib/resoad_client.h"

#define KEY(letter)                                                                                \
	"key = " letter letter letter letter letter letter letter letter letter letter letter      \
		letter letter letter letter letter letter letter letter letter letter letter       \
			letter letter letter letter letter letter letter letter letter letter "\n"
#define A KEY("61")
#define C KEY("62")

static const char both[] = "[client alice]\n" A "granted = 80, 90, 91\n"
			   "[client bob]\n" C "sockets = 3\ndeny = tcp 192.0.2.0/24:1-1023\n";

static struct rc_server server;
static struct rc alice, bob;
static int peer; /* a listener at 7000 */
static uint32_t next = 1;

static int start(void **state)
{
	(void)state;
	rc_server_start(&server, both, NULL);
	assert_true(rc_open(&alice, &server, "alice"));
	assert_true(rc_open(&bob, &server, "bob"));
	return 0;
}

static int end(void **state)
{
	(void)state;
	rc_close(&alice);
	rc_close(&bob);
	rc_server_stop(&server, SIGTERM);
	return 0;
}

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

/* A connection of alice's from `port`, and its peer's end. */
static uint32_t connected(uint16_t port, int *fd)
{
	uint32_t id = next++;

	assert_int_equal(rc_connect(&alice, id, RC_LOCAL4, port, RC_LOCAL4, 7000), 0);
	*fd = rc_accept(peer, RC_MS);
	assert_true(*fd >= 0);
	return id;
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
	id = connected(20004, &fd);
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
	id = connected(20006, &fd);
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
	id = connected(20007, &fd);
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
	id = connected(20008, &fd);
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
	id = connected(20009, &fd);
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
	id = connected(20010, &fd);
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
	id = connected(20011, &fd);
	rc_run(&alice, 20);
	abort_fd(fd);
	assert_non_null(rc_wait(&alice, id, EP_RESET, RC_MS));
	id = connected(20012, &fd);
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
	id = connected(20013, &fd);
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
	id = connected(20014, &done);
	shutdown(done, SHUT_WR);
	assert_non_null(rc_wait(&alice, id, EP_FIN, RC_MS));
	rc_data(&alice, id, "all", 3);
	rc_say(&alice, id, EP_FIN, 0);
	connected(20015, &fd);
	rc_run(&alice, 50);
	rc_close(&alice);
	assert_int_equal(rc_recv(&bob, fd, bytes, 16, 0, RC_MS), -ECONNRESET);
	assert_int_equal(rc_recv(&bob, done, bytes, 16, 0, RC_MS), 3);
	assert_int_equal(rc_recv(&bob, done, bytes, 16, 0, RC_MS), 0);
	close(fd);
	close(done);
	assert_true(rc_open(&alice, &server, "alice"));
}

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
	close(fd);
	rc_say(&alice, listener, EP_CLOSE, 0);
	rc_say(&alice, bound, EP_CLOSE, 0);
	rc_run(&alice, 50);
	/* The connection is still there, and the program has not said SO_REUSEADDR. */
	assert_int_equal(rc_bind(&alice, next++, IPPROTO_TCP, "0.0.0.0", 91), EADDRINUSE);
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

static void test_rate(void **state)
{
	static const char slow[] = "[client alice]\n" A "rate = 200k\n[client bob]\n" C;
	static uint8_t bytes[400000], got[500000];
	size_t have = 0, sent;
	uint32_t id;
	int fd;

	(void)state;
	rc_server_rewrite(&server, slow);
	rc_run(&alice, 100);
	id = connected(20040, &fd);
	rc_credit(&alice, id, 1 << 20, 0);
	sent = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	assert_int_equal(sent, sizeof(bytes));
	for (int i = 0; i < 50; i++) { /* a second: the burst, and 200 kB */
		rc_run(&alice, 20);
		have += rc_read(&alice, id, got + have, sizeof(got), 0);
		rc_credit(&alice, id, 1 << 20, have);
	}
	assert_in_range(have, 200000, 390000);
	close(fd);
}

/* ---- the file of clients, read anew */

static void test_reload(void **state)
{
	char bytes[16];
	int a, b;

	(void)state;
	connected(20050, &a);
	assert_int_equal(rc_connect(&bob, next++, RC_LOCAL4, 21050, RC_LOCAL4, 7000), 0);
	b = rc_accept(peer, RC_MS);
	rc_server_rewrite(&server, "[client alice]\n" A "nonsense = 1\n");
	rc_run(&alice, 100);
	rc_run(&bob, 20);
	assert_non_null(bob.lhp); /* a file with a mistake changes nothing */
	rc_server_rewrite(&server, "[client alice]\n" A "[client carol]\n" C);
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

static int group_start(void **state)
{
	(void)state;
	rc_network();
	peer = rc_listener("::", 7000);
	return peer < 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registered, start, end),
		cmocka_unit_test_setup_teardown(test_echo, start, end),
		cmocka_unit_test_setup_teardown(test_echo6, start, end),
		cmocka_unit_test_setup_teardown(test_connect_errors, start, end),
		cmocka_unit_test_setup_teardown(test_loopback_is_closed, start, end),
		cmocka_unit_test_setup_teardown(test_names, start, end),
		cmocka_unit_test_setup_teardown(test_bulk_in, start, end),
		cmocka_unit_test_setup_teardown(test_window, start, end),
		cmocka_unit_test_setup_teardown(test_bulk_out, start, end),
		cmocka_unit_test_setup_teardown(test_beyond_credit, start, end),
		cmocka_unit_test_setup_teardown(test_close_flushes, start, end),
		cmocka_unit_test_setup_teardown(test_urgent_in, start, end),
		cmocka_unit_test_setup_teardown(test_urgent_out, start, end),
		cmocka_unit_test_setup_teardown(test_reset_in, start, end),
		cmocka_unit_test_setup_teardown(test_reset_without_credit, start, end),
		cmocka_unit_test_setup_teardown(test_close_after_reading, start, end),
		cmocka_unit_test_setup_teardown(test_client_gone, start, end),
		cmocka_unit_test_setup_teardown(test_listen, start, end),
		cmocka_unit_test_setup_teardown(test_listen_both, start, end),
		cmocka_unit_test_setup_teardown(test_listen_early, start, end),
		cmocka_unit_test_setup_teardown(test_port_conflicts, start, end),
		cmocka_unit_test_setup_teardown(test_bind_then_listen, start, end),
		cmocka_unit_test_setup_teardown(test_bind_then_connect, start, end),
		cmocka_unit_test_setup_teardown(test_socket_limit, start, end),
		cmocka_unit_test_setup_teardown(test_accept_at_limit, start, end),
		cmocka_unit_test_setup_teardown(test_rules, start, end),
		cmocka_unit_test_setup_teardown(test_rate, start, end),
		cmocka_unit_test_setup_teardown(test_reload, start, end),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, group_start, NULL);
}
