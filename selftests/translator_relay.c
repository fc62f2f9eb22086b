// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * isthmus-translator with its relay engine, a stub broker and peers on the loopback:
 *
 *	subscriber 127.0.0.1 ---- translator 127.0.0.1 ---- provider 127.0.0.3
 *	                               |                     stranger 127.0.0.2
 *	                          stub broker
 */
/* link: selftests/lib/translator_stub.c agents/lib/auth.c agents/lib/probe.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_socket.c */
/* link: agents/lib/msg_tls.c agents/lib/address.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/translator_stub.h"

#define SUBSCRIBER 1
#define STRANGER   2
#define PROVIDER   3
#define LIMIT	   "6"

static const char *const relay_arguments[] = { "--engine",   "relay",	"--address",
					       "127.0.0.1",  "--ports", "21000-29999",
					       "--sessions", LIMIT,	"--log-level",
					       "error",	     NULL };
static struct stub stub;
static uint64_t next_session = 0x1000;

static int start(void **state)
{
	(void)state;
	stub_start(&stub, relay_arguments);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	stub_stop(&stub);
	return 0;
}

static void expect_ended(uint64_t session, const char *why, int64_t up, int64_t down)
{
	json_t *notice = stub_notice(&stub, "ended", session, STUB_WAIT_MS);
	int64_t bytes_up = -1, bytes_down = -1;
	const char *text = "";

	assert_non_null(notice);
	msg_get_string(notice, "why", &text);
	msg_get_integer(notice, "bytes_up", 0, INT64_MAX, &bytes_up);
	msg_get_integer(notice, "bytes_down", 0, INT64_MAX, &bytes_down);
	assert_string_equal(text, why);
	assert_int_equal(bytes_up, up);
	assert_int_equal(bytes_down, down);
	json_decref(notice);
}

static void expect_error(json_t *answer, const char *code)
{
	const char *error = "";
	bool ok = true;

	assert_true(msg_get_bool(answer, "ok", &ok));
	assert_false(ok);
	msg_get_string(answer, "error", &error);
	assert_string_equal(error, code);
	json_decref(answer);
}

/* Opens, probes both sides and connects them: fd[0] subscriber, fd[1] provider. */
static uint64_t join(const char *proto, int fd[2])
{
	int type = strcmp(proto, "tcp") ? SOCK_DGRAM : SOCK_STREAM;
	uint64_t session = next_session++;
	struct stub_side side[2] = { 0 };

	stub_open(&stub, session, proto, 30, side);
	assert_int_equal(stub_probe(&stub, session, 0, side[0].token, SOCK_DGRAM, SUBSCRIBER),
			 PROBE_OK);
	assert_int_equal(stub_probe(&stub, session, 1, side[1].token, SOCK_STREAM, PROVIDER),
			 PROBE_OK);
	fd[0] = stub_connect(&side[0], type, SUBSCRIBER);
	fd[1] = stub_connect(&side[1], type, PROVIDER);
	assert_true(fd[0] >= 0 && fd[1] >= 0);
	return session;
}

static void expect_joined(uint64_t session)
{
	json_t *notice = stub_notice(&stub, "joined", session, STUB_WAIT_MS);

	assert_non_null(notice);
	json_decref(notice);
}

static void login_names_the_engine(void **state)
{
	const char *word = "";
	int64_t room = 0;

	(void)state;
	assert_true(msg_get_string(stub.login, "name", &word));
	assert_string_equal(word, "stub");
	assert_true(msg_get_string(stub.login, "secret", &word));
	assert_string_equal(word, STUB_SECRET);
	assert_true(msg_get_string(stub.login, "engine", &word));
	assert_string_equal(word, "relay");
	assert_true(msg_get_integer(stub.login, "free", 1, 100, &room));
	assert_int_equal(room, atoi(LIMIT));
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(stub.login, "addresses"), 0)),
		"127.0.0.1");
}

/* A half-close travels as FIN: the other direction goes on, and every byte is counted. */
static void tcp_half_close(void **state)
{
	uint64_t session;
	int fd[2];

	(void)state;
	session = join("tcp", fd);
	expect_joined(session);
	assert_int_equal(send(fd[0], "question", 8, 0), 8);
	stub_expect(fd[1], "question", 8);
	shutdown(fd[0], SHUT_WR);
	stub_expect(fd[1], NULL, 0);
	assert_int_equal(send(fd[1], "a longer answer", 15, 0), 15);
	stub_expect(fd[0], "a longer answer", 15);
	close(fd[1]);
	stub_expect(fd[0], NULL, 0);
	close(fd[0]);
	expect_ended(session, "done", 8, 15);
}

/* More than all buffers hold, to a reader that does not read yet. */
static void tcp_slow_reader(void **state)
{
	enum { BYTES = 24 << 20 };
	unsigned char *bytes = malloc(BYTES);
	uint64_t session;
	pid_t writer;
	int fd[2];

	(void)state;
	assert_non_null(bytes);
	for (int i = 0; i < BYTES; i++)
		bytes[i] = i * 2654435761u >> 24;
	session = join("tcp", fd);
	expect_joined(session);
	writer = fork();
	if (!writer) {
		for (size_t at = 0; at < BYTES;) {
			ssize_t n = send(fd[1], bytes + at, BYTES - at, 0);

			if (n <= 0)
				_exit(1);
			at += n;
		}
		_exit(0);
	}
	close(fd[1]);
	usleep(300000);
	stub_expect(fd[0], bytes, BYTES);
	stub_expect(fd[0], NULL, 0);
	close(fd[0]);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	expect_ended(session, "done", 0, BYTES);
	free(bytes);
}

static void tcp_abort_is_a_reset(void **state)
{
	struct linger linger = { 1, 0 };
	uint64_t session;
	char byte;
	int fd[2];

	(void)state;
	session = join("tcp", fd);
	expect_joined(session);
	setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd[0]);
	assert_int_equal(recv(fd[1], &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd[1]);
	expect_ended(session, "reset", 0, 0);
}

/* The stranger gets nothing; the announced host, who comes after it, is served. */
static void stranger_is_refused(void **state)
{
	uint64_t session = next_session++;
	struct stub_side side[2] = { 0 };
	const char *reason = "";
	json_t *notice;
	char byte;
	int fd[2];

	(void)state;
	stub_open(&stub, session, "tcp", 30, side);
	fd[0] = stub_connect(&side[0], SOCK_STREAM, SUBSCRIBER); /* not probed yet */
	assert_int_equal(recv(fd[0], &byte, 1, 0), -1);
	close(fd[0]);
	assert_int_equal(stub_probe(&stub, session, 0, side[0].token, SOCK_DGRAM, SUBSCRIBER), 0);
	assert_int_equal(stub_probe(&stub, session, 1, side[1].token, SOCK_DGRAM, PROVIDER), 0);
	fd[0] = stub_connect(&side[0], SOCK_STREAM, STRANGER);
	assert_int_equal(recv(fd[0], &byte, 1, 0), -1);
	close(fd[0]);
	json_decref(stub_notice(&stub, "refused", session, STUB_WAIT_MS));
	notice = stub_notice(&stub, "refused", session, STUB_WAIT_MS);
	assert_non_null(notice);
	msg_get_string(notice, "reason", &reason);
	assert_string_equal(reason, "wrong-source");
	json_decref(notice);
	fd[0] = stub_connect(&side[0], SOCK_STREAM, SUBSCRIBER);
	fd[1] = stub_connect(&side[1], SOCK_STREAM, PROVIDER);
	expect_joined(session);
	assert_int_equal(send(fd[0], "x", 1, 0), 1);
	stub_expect(fd[1], "x", 1);
	close(fd[0]);
	close(fd[1]);
	expect_ended(session, "done", 1, 0);
}

static void probe_needs_the_token(void **state)
{
	uint8_t wrong[PROBE_TOKEN_BYTES];
	uint64_t session = next_session++;
	struct stub_side side[2] = { 0 };

	(void)state;
	stub_open(&stub, session, "tcp", 30, side);
	memcpy(wrong, side[0].token, sizeof(wrong));
	wrong[15] ^= 1;
	for (int i = 0; i < 2; i++) {
		int type = i ? SOCK_STREAM : SOCK_DGRAM;

		assert_int_equal(stub_probe(&stub, session, 0, wrong, type, 1), PROBE_UNKNOWN);
		assert_int_equal(stub_probe(&stub, session, 1, side[0].token, type, 1),
				 PROBE_UNKNOWN);
		assert_int_equal(stub_probe(&stub, session + 1000, 0, side[0].token, type, 1),
				 PROBE_UNKNOWN);
		assert_int_equal(stub_probe(&stub, session, 0, side[0].token, type, 1), PROBE_OK);
	}
	json_decref(stub_ask(
		&stub, json_pack("{s:s, s:o}", "op", "close", "session", msg_json_id(session))));
	expect_ended(session, "closed", 0, 0);
	assert_int_equal(stub_probe(&stub, session, 0, side[0].token, SOCK_DGRAM, 1),
			 PROBE_UNKNOWN);
}

/* The first datagram of each side only opens the way, as in the kernel; all later ones arrive. */
static void udp_forwards(void **state)
{
	uint64_t session;
	int fd[2];

	(void)state;
	session = join("udp", fd);
	assert_int_equal(send(fd[0], "first", 5, 0), 5);
	usleep(100000);
	assert_int_equal(send(fd[1], "second", 6, 0), 6);
	expect_joined(session);
	stub_expect(fd[0], "second", 6);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(fd[0], &i, sizeof(i), 0), sizeof(i));
		stub_expect(fd[1], &i, sizeof(i));
	}
	json_decref(stub_ask(
		&stub, json_pack("{s:s, s:o}", "op", "close", "session", msg_json_id(session))));
	expect_ended(session, "closed", 400, 6);
	close(fd[0]);
	close(fd[1]);
}

static json_t *open_message(uint64_t session, const char *proto, const char *family, int lifetime)
{
	return json_pack("{s:s, s:o, s:s, s:s, s:s, s:i}", "op", "open", "session",
			 msg_json_id(session), "proto", proto, "family", family, "mode", "passive",
			 "lifetime", lifetime);
}

static void full_refuses_and_live_go_on(void **state)
{
	struct stub_side side[2] = { 0 };
	uint64_t session, first = next_session;
	int fd[2];

	(void)state;
	session = join("tcp", fd);
	expect_joined(session);
	for (int i = 1; i < atoi(LIMIT); i++)
		stub_open(&stub, next_session++, "tcp", 1, side);
	expect_error(stub_ask(&stub, open_message(next_session, "tcp", "4", 30)), "full");
	assert_int_equal(send(fd[0], "live", 4, 0), 4);
	stub_expect(fd[1], "live", 4);
	for (int i = 1; i < atoi(LIMIT); i++)
		expect_ended(first + i, "expired", 0, 0);
	stub_open(&stub, next_session, "tcp", 1, side);
	expect_ended(next_session++, "expired", 0, 0);
	close(fd[0]);
	close(fd[1]);
	expect_ended(session, "done", 4, 0);
}

static void bad_requests(void **state)
{
	struct stub_side side[2] = { 0 };
	uint64_t session = next_session++;

	(void)state;
	expect_error(stub_ask(&stub, json_pack("{s:s}", "op", "nonsense")), "unknown-op");
	expect_error(stub_ask(&stub, json_pack("{s:s}", "op", "open")), "bad-message");
	expect_error(stub_ask(&stub, open_message(session, "sctp", "4", 30)), "bad-message");
	expect_error(stub_ask(&stub, open_message(session, "tcp", "5", 30)), "bad-message");
	expect_error(stub_ask(&stub, open_message(session, "tcp", "4", 0)), "bad-message");
	expect_error(stub_ask(&stub, open_message(session, "tcp", "6", 30)), "unsupported");
	expect_error(stub_ask(&stub, json_pack("{s:s, s:o}", "op", "close", "session",
					       msg_json_id(session))),
		     "not-found");
	stub_open(&stub, session, "tcp", 1, side);
	expect_error(stub_ask(&stub, open_message(session, "tcp", "4", 30)), "exists");
	expect_ended(session, "expired", 0, 0);
}

/* A session outlives the connection to the broker, and its end is told afterwards. */
static void broker_restart(void **state)
{
	unsigned int logins = stub.logins;
	uint64_t session;
	int fd[2];

	(void)state;
	session = join("tcp", fd);
	expect_joined(session);
	msg_conn_free(stub.conn);
	stub.conn = NULL;
	assert_int_equal(send(fd[0], "alone", 5, 0), 5);
	stub_expect(fd[1], "alone", 5);
	close(fd[0]);
	close(fd[1]);
	stub_wait_login(&stub, logins + 1);
	expect_ended(session, "done", 5, 0);
}

static json_t *read_status(void)
{
	char command[512];
	json_error_t why;
	json_t *status;
	FILE *pipe;

	snprintf(command, sizeof(command), "%s/isthmus-translator status --json --control %s",
		 getenv("B") ? getenv("B") : "build", stub.control);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	status = json_loadf(pipe, 0, &why);
	assert_int_equal(pclose(pipe), 0);
	assert_non_null(status);
	return status;
}

/* Without a datapath: the relay, and status says why. */
static void auto_falls_back(void **state)
{
	static const char *const arguments[] = { "--engine", "auto",	    "--instance",
						 "nowhere",  "--address",   "127.0.0.1",
						 "--ports",  "21000-29999", "--log-level",
						 "error",    NULL };
	json_t *status;

	(void)state;
	assert_int_equal(stub_end_translator(&stub, SIGTERM), 0);
	stub_spawn(&stub, arguments);
	status = read_status();
	assert_string_equal(json_string_value(json_object_get(status, "engine")), "relay");
	assert_non_null(strstr(json_string_value(json_object_get(status, "engine_why")),
			       "splice_conf is not pinned"));
	json_decref(status);
}

static void status_says_what_and_why(void **state)
{
	json_t *status = read_status();
	int64_t unknown =
		json_integer_value(json_object_get(json_object_get(status, "probes"), "unknown"));

	(void)state;
	assert_string_equal(json_string_value(json_object_get(status, "engine")), "relay");
	assert_non_null(
		strstr(json_string_value(json_object_get(status, "engine_why")), "as configured"));
	assert_true(json_is_true(json_object_get(status, "connected")));
	assert_int_equal(json_integer_value(json_object_get(status, "joined")), 0);
	assert_true(unknown >= 6);
	json_decref(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(login_names_the_engine),
		cmocka_unit_test(tcp_half_close),
		cmocka_unit_test(tcp_slow_reader),
		cmocka_unit_test(tcp_abort_is_a_reset),
		cmocka_unit_test(stranger_is_refused),
		cmocka_unit_test(probe_needs_the_token),
		cmocka_unit_test(udp_forwards),
		cmocka_unit_test(full_refuses_and_live_go_on),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(broker_restart),
		cmocka_unit_test(status_says_what_and_why),
		cmocka_unit_test(auto_falls_back),
	};

	return cmocka_run_group_tests_name("translator_relay", tests, start, stop);
}
