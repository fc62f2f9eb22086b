// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/lhp_stream.c */
/* link: agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c agents/lib/lhp_stream_place.c */
/* link: agents/lib/conf.c agents/lib/address.c selftests/lib/lhp_ends.c */
/* Messages over the stream providers, room, ends, and being freed from inside callbacks. */
#include "selftests/lib/lhp_ends.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agents/lib/lhp_stream.h"

#define MANY 10000

/* ---- messages */

static bool all_came(void)
{
	return ends.client.received == ends.server.to_send &&
	       ends.server.received == ends.client.to_send;
}

static void exchange(const char *provider)
{
	struct lhp_counts client, server;

	ends_listen(provider);
	ends.client.to_send = ends.server.to_send = MANY;
	ends_connect(ENDS_NAME, ENDS_KEY);
	assert_true(ends_run(all_came));
	assert_string_equal(lhp_provider(ends.client.lhp), provider);
	assert_string_equal(lhp_provider(ends.server.lhp), provider);
	assert_string_equal(lhp_name(ends.client.lhp), ENDS_NAME);
	assert_string_equal(lhp_name(ends.server.lhp), ENDS_NAME);
	lhp_count(ends.client.lhp, &client);
	lhp_count(ends.server.lhp, &server);
	assert_int_equal(client.sent, MANY);
	assert_int_equal(client.received, MANY);
	assert_int_equal(server.sent, MANY);
	assert_int_equal(server.received, MANY);
	assert_int_equal(client.bytes_sent, server.bytes_received);
	assert_int_equal(client.bytes_sent, ends.server.bytes);
	assert_int_equal(server.bytes_sent, client.bytes_received);
	assert_int_equal(server.bytes_sent, ends.client.bytes);
	assert_int_equal(client.lost + client.refused + client.repeated, 0);
	/* There was more than room for, so both had to wait for it. */
	assert_true(ends.client.writables > 10 && ends.server.writables > 10);
	assert_int_equal(ends.client.closed + ends.server.closed, 0);
	assert_int_equal(lhp_listener_refused(ends.listener), 0);
	if (!strcmp(provider, "tls"))
		assert_true(client.rtt_us > 0 && client.rtt_us < 1000000);
	else
		assert_int_equal(client.rtt_us, 0);
}

static void test_many_tls(void **state)
{
	(void)state;
	exchange("tls");
	assert_string_equal(lhp_peer(ends.client.lhp), ends.place + 4);
	assert_memory_equal(lhp_peer(ends.server.lhp), "127.0.0.1:", 10);
	ends_close();
}

static void test_many_unix(void **state)
{
	(void)state;
	exchange("unix");
	assert_string_equal(lhp_peer(ends.client.lhp), "unix");
	assert_string_equal(lhp_peer(ends.server.lhp), "unix");
	ends_close();
}

/* 0, or the errno of a vsock connection to oneself: many kernels have no such loopback. */
static int try_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL };
	socklen_t len = sizeof(address);
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1, rc = 0;

	address.svm_port = VMADDR_PORT_ANY;
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &len))
		rc = errno;
	if (!rc)
		fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!rc && connect(fd, (struct sockaddr *)&address, len))
		rc = errno;
	if (fd >= 0)
		close(fd);
	if (listener >= 0)
		close(listener);
	return rc;
}

static void test_many_vsock(void **state)
{
	(void)state;
	if (try_vsock()) {
		printf("no vsock to oneself: %s\n", strerror(errno));
		skip();
	}
	exchange("vsock");
	assert_memory_equal(lhp_peer(ends.client.lhp), "vsock 1:", 8);
	assert_memory_equal(lhp_peer(ends.server.lhp), "vsock 1:", 8);
	ends_close();
}

/* A new key after many records: the other end follows. */
static void test_key_update(void **state)
{
	(void)state;
	ends_open("unix");
	ends.client.to_send = ends.server.to_send = 2000;
	((struct stream *)ends.client.lhp)->records = (1u << 22) - 3;
	((struct stream *)ends.server.lhp)->records = (1u << 22) - 50;
	end_pump(&ends.client);
	end_pump(&ends.server);
	assert_true(ends_run(all_came));
	assert_true(((struct stream *)ends.client.lhp)->records < 1u << 21);
	assert_true(((struct stream *)ends.server.lhp)->records < 1u << 21);
	ends_close();
}

/* After the handshake the client's key is nowhere in a connection. */
static void test_key_wiped(void **state)
{
	static const uint8_t zero[sizeof(struct lhp_identity)];

	(void)state;
	ends_open("unix");
	for (int i = 0; i < 2; i++) {
		struct lhp *lhp = i ? ends.server.lhp : ends.client.lhp;
		const struct stream *stream = (struct stream *)lhp;
		uint8_t key[LHP_KEY_BYTES] = { 1 };

		assert_memory_equal(&stream->identity, zero, sizeof(zero));
		assert_int_equal(
			SSL_SESSION_get_master_key(SSL_get_session(stream->ssl), key, sizeof(key)),
			sizeof(key));
		assert_memory_equal(key, zero, sizeof(key));
	}
	ends_close();
}

static int option(const struct lhp *lhp, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(((const struct stream *)lhp)->fd, level, name, &value, &len),
			 0);
	return value;
}

/* A peer that is gone without a word is found within 30 s, by both ends. */
static void test_alive(void **state)
{
	(void)state;
	ends_open("tls");
	for (int i = 0; i < 2; i++) {
		struct lhp *lhp = i ? ends.server.lhp : ends.client.lhp;

		assert_int_equal(option(lhp, IPPROTO_TCP, TCP_NODELAY), 1);
		assert_int_equal(option(lhp, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_true(option(lhp, IPPROTO_TCP, TCP_KEEPIDLE) +
				    option(lhp, IPPROTO_TCP, TCP_KEEPINTVL) *
					    option(lhp, IPPROTO_TCP, TCP_KEEPCNT) <=
			    30);
		assert_int_equal(option(lhp, IPPROTO_TCP, TCP_USER_TIMEOUT), 20000);
	}
	ends_close();
}

static void test_lengths(void **state)
{
	static uint8_t bytes[LHP_MESSAGE_MAX + 1];
	const struct iovec parts[] = { { bytes, LHP_MESSAGE_MAX }, { bytes, 1 } };

	(void)state;
	ends_open("unix");
	assert_int_equal(end_send(&ends.client, 1, LHP_RELIABLE, bytes, sizeof(bytes)), -EMSGSIZE);
	assert_int_equal(lhp_send(ends.client.lhp, 1, LHP_RELIABLE, parts, 2), -EMSGSIZE);
	assert_int_equal(lhp_best(ends.client.lhp), 16384 - 8);
	ends_close();
}

/* ---- room */

static bool server_has_all(void)
{
	return ends.server.received == ends.client.sent;
}

static bool server_closed(void)
{
	return ends.server.closed;
}

static bool client_closed(void)
{
	return ends.client.closed;
}

static uint64_t semis;

static void count_semis(struct end *end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	(void)end;
	(void)bytes;
	(void)len;
	semis += stream == 5;
}

static void nothing(struct end *end)
{
	(void)end;
}

/* The server's loop stands still: the client sends until there is no room. */
static void fill_up(void)
{
	static const uint8_t bytes[16376];

	ends.client.on_writable = nothing;
	ends.server.on_message = count_semis;
	semis = 0;
	for (int i = 0; i < 1000 && lhp_room(ends.client.lhp); i++) {
		assert_int_equal(
			end_send(&ends.client, 1, LHP_RELIABLE, bytes, lhp_best(ends.client.lhp)),
			0);
		ends.client.sent++;
		event_base_loop(ends.client.base, EVLOOP_NONBLOCK);
	}
	assert_false(lhp_room(ends.client.lhp));
}

static void room(const char *provider)
{
	struct lhp_counts counts;

	ends_open(provider);
	fill_up();
	assert_int_equal(ends.client.writables, 0);
	/* Semi-reliable messages are dropped now, reliable ones are not. */
	assert_int_equal(end_send(&ends.client, 5, LHP_SEMI, "lost", 4), 0);
	assert_int_equal(end_send(&ends.client, 6, LHP_RELIABLE, "kept", 4), 0);
	ends.client.sent++;
	lhp_count(ends.client.lhp, &counts);
	assert_int_equal(counts.lost, 1);
	assert_int_equal(counts.sent, ends.client.sent);
	assert_true(ends_run(server_has_all));
	ends_turn(5);
	assert_int_equal(semis, 0);
	assert_int_equal(ends.client.writables, 1);
	assert_true(lhp_room(ends.client.lhp));
	assert_int_equal(end_send(&ends.client, 5, LHP_SEMI, "sent", 4), 0);
	ends.client.sent++;
	assert_true(ends_run(server_has_all));
	assert_int_equal(semis, 1);
	assert_int_equal(ends.client.writables, 1);
	ends_close();
}

static void test_room_tls(void **state)
{
	(void)state;
	room("tls");
}

static void test_room_unix(void **state)
{
	(void)state;
	room("unix");
}

/* 8 MiB that nobody takes are the end. */
static void test_takes_nothing(void **state)
{
	static const uint8_t bytes[65536];
	int rc = 0, i;

	(void)state;
	ends_open("unix");
	fill_up();
	for (i = 0; i < 1000 && !rc; i++)
		rc = end_send(&ends.client, 1, LHP_RELIABLE, bytes, sizeof(bytes));
	assert_int_equal(rc, -ENOBUFS);
	assert_in_range(i, 120, 132);
	assert_int_equal(ends.client.closed, 0);
	assert_int_equal(end_send(&ends.client, 1, LHP_RELIABLE, bytes, 1), -ENOTCONN);
	assert_false(lhp_room(ends.client.lhp));
	assert_true(ends_run(client_closed));
	assert_string_equal(ends.client.why, "the peer takes nothing any more");
	assert_true(ends_run(server_closed));
	ends_close();
}

/* ---- the end */

/* What was sent just before the end arrives, and then the end. */
static void test_last_words(void **state)
{
	(void)state;
	ends_open("tls");
	ends.client.on_message = count_semis;
	ends.client.to_send = 40;
	end_pump(&ends.client);
	assert_int_equal(ends.client.sent, 40);
	/* What it has not read must not make the server lose what it was sent. */
	assert_int_equal(end_send(&ends.server, 1, LHP_RELIABLE, "unread", 6), 0);
	event_base_loop(ends.server.base, EVLOOP_NONBLOCK);
	ends_turn(0);
	ends.client.to_send = 60;
	end_pump(&ends.client);
	lhp_free(ends.client.lhp);
	ends.client.lhp = NULL;
	assert_true(ends_run(server_closed));
	assert_int_equal(ends.server.received, 60);
	assert_string_equal(ends.server.why, "ended by the peer");
	assert_int_equal(ends.client.closed, 0);
	ends_close();
}

/* A client in another process, which is killed while it sends. */
static void child_sends(void)
{
	alarm(20);
	ends.client.to_send = UINT64_MAX;
	ends_connect(ENDS_NAME, ENDS_KEY);
	event_base_dispatch(ends.client.base);
	_exit(1);
}

static bool server_has_100(void)
{
	return ends.server.received >= 100;
}

static void killed(const char *provider)
{
	int status;
	pid_t child;

	ends_listen(provider);
	child = fork();
	if (!child)
		child_sends();
	assert_true(ends_run(server_has_100));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_true(ends_run(server_closed));
	assert_string_not_equal(ends.server.why, "ended by the peer");
	ends_close();
}

static void test_killed_tls(void **state)
{
	(void)state;
	killed("tls");
}

static void test_killed_unix(void **state)
{
	(void)state;
	killed("unix");
}

/* ---- freed inside callbacks; the sanitizer sees what is used after */

static void free_both(struct end *end)
{
	struct lhp *client = ends.client.lhp, *server = ends.server.lhp;

	(void)end;
	ends.client.lhp = ends.server.lhp = NULL;
	lhp_free(client);
	lhp_free(server);
}

static void free_on_message(struct end *end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	(void)stream;
	(void)bytes;
	(void)len;
	free_both(end);
}

static void free_self(struct end *end)
{
	lhp_free(end->lhp); /* it would be freed anyway */
}

static void free_on_accepted(struct ends *both)
{
	lhp_listener_free(both->listener);
	both->listener = NULL;
	free_both(NULL);
}

static bool nobody_there(void)
{
	return !ends.client.lhp && !ends.server.lhp;
}

static void test_freed_in_accepted(void **state)
{
	(void)state;
	ends_listen("unix");
	ends.on_accepted = free_on_accepted;
	ends_connect(ENDS_NAME, ENDS_KEY);
	ends_turn(50);
	assert_int_equal(ends.accepted, 1);
	assert_int_equal(ends.server.opened, 0);
	assert_int_equal(ends.server.closed + ends.client.closed, 0);
	ends_close();
}

static void test_freed_in_opened(void **state)
{
	(void)state;
	ends_listen("unix");
	ends.server.on_opened = free_both;
	ends_connect(ENDS_NAME, ENDS_KEY);
	assert_true(ends_run(nobody_there));
	ends_turn(20);
	assert_int_equal(ends.server.closed + ends.client.closed, 0);
	ends_close();
}

static void test_freed_in_message(void **state)
{
	(void)state;
	ends_open("unix");
	ends.client.to_send = 20;
	ends.server.on_message = free_on_message;
	end_pump(&ends.client);
	ends.client.to_send = 0;
	while (ends.server.lhp)
		event_base_loop(ends.client.base, EVLOOP_NONBLOCK),
			event_base_loop(ends.server.base, EVLOOP_NONBLOCK);
	ends_turn(20);
	assert_int_equal(ends.server.received, 1);
	assert_int_equal(ends.server.closed + ends.client.closed, 0);
	ends_close();
}

static void test_freed_in_writable(void **state)
{
	(void)state;
	ends_open("unix");
	fill_up();
	ends.client.on_writable = free_both;
	assert_true(ends_run(nobody_there));
	ends_turn(20);
	assert_int_equal(ends.server.closed + ends.client.closed, 0);
	ends_close();
}

static void test_freed_in_closed(void **state)
{
	(void)state;
	ends_open("unix");
	ends.server.on_closed = free_self;
	lhp_free(ends.client.lhp);
	ends.client.lhp = NULL;
	assert_true(ends_run(server_closed));
	ends_turn(20);
	assert_int_equal(ends.server.closed, 1);
	ends_close();
}

/* Before its loop has turned, and while it shakes hands. */
static void test_freed_early(void **state)
{
	(void)state;
	ends_listen("tls");
	lhp_free(ends_connect(ENDS_NAME, ENDS_KEY));
	for (int i = 0; i < 3; i++) {
		ends_connect(ENDS_NAME, ENDS_KEY);
		assert_int_equal(end_send(&ends.client, 1, LHP_RELIABLE, "early", 5), -ENOTCONN);
		for (int j = 0; j < i; j++)
			event_base_loop(ends.client.base, EVLOOP_NONBLOCK);
		lhp_free(ends.client.lhp);
	}
	ends_turn(50);
	ends.client.lhp = NULL;
	assert_int_equal(ends.client.closed + ends.server.closed + ends.accepted, 0);
	ends_close();
}

/* Connections stay when their listener is gone; handshakes do not. */
static void test_listener_gone(void **state)
{
	(void)state;
	ends_open("unix");
	lhp_listener_free(ends.listener);
	ends.listener = NULL;
	assert_int_equal(access(ends.place + 5, F_OK), -1);
	ends.client.to_send = ends.server.to_send = 100;
	end_pump(&ends.client);
	end_pump(&ends.server);
	assert_true(ends_run(all_came));
	ends_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_tls),	  cmocka_unit_test(test_many_unix),
		cmocka_unit_test(test_many_vsock),	  cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_key_wiped),	  cmocka_unit_test(test_alive),
		cmocka_unit_test(test_lengths),		  cmocka_unit_test(test_room_tls),
		cmocka_unit_test(test_room_unix),	  cmocka_unit_test(test_takes_nothing),
		cmocka_unit_test(test_last_words),	  cmocka_unit_test(test_killed_tls),
		cmocka_unit_test(test_killed_unix),	  cmocka_unit_test(test_freed_in_accepted),
		cmocka_unit_test(test_freed_in_opened),	  cmocka_unit_test(test_freed_in_message),
		cmocka_unit_test(test_freed_in_writable), cmocka_unit_test(test_freed_in_closed),
		cmocka_unit_test(test_freed_early),	  cmocka_unit_test(test_listener_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
