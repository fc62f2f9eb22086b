// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../agents/lib/auth.h"
#include "translator_stub.h"

static int slow(void)
{
	const char *factor = getenv("SLOW");

	return factor && atoi(factor) > 0 ? atoi(factor) : 1;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void turn(struct stub *stub)
{
	const struct timeval moment = { 0, 20000 };

	event_base_loopexit(stub->base, &moment);
	event_base_dispatch(stub->base);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	struct stub *stub = arg;
	const char *op;

	assert_true(msg_get_string(message, "op", &op));
	if (!strcmp(op, "translator")) {
		json_decref(stub->login);
		stub->login = json_incref(message);
		stub->conn = conn;
		stub->logins++;
		msg_reply(conn, message, json_pack("{s:i}", "keepalive", 30));
		return;
	}
	json_array_append(stub->notices, message);
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct stub *stub = arg;

	(void)why;
	if (stub->conn == conn)
		stub->conn = NULL;
}

static void on_accepted(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_message, on_closed };

	msg_conn_set_handler(conn, &handler, arg);
}

/* A port that nobody has now: bound, read, given back. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void write_login(const struct stub *stub, const char *fingerprint)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/login", stub->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	fprintf(file, "isthmus1:stub:%s:%s\n", STUB_SECRET, fingerprint);
	fclose(file);
}

static void run_translator(const struct stub *stub, const char *const *arguments)
{
	char program[256], broker[32], login[96], probe[8];
	const char *build = getenv("B") ? getenv("B") : "build";
	const char *argv[40] = { program,
				 "run",
				 "--broker",
				 broker,
				 "--login-file",
				 login,
				 "--probe-port-udp",
				 probe,
				 "--probe-port-tcp",
				 probe,
				 "--control",
				 stub->control };
	int count = 12;

	snprintf(program, sizeof(program), "%s/isthmus-translator", build);
	snprintf(broker, sizeof(broker), "127.0.0.1:%s", stub->port);
	snprintf(login, sizeof(login), "%s/login", stub->dir);
	snprintf(probe, sizeof(probe), "%u", stub->probe_port);
	while (*arguments && count < 39)
		argv[count++] = *arguments++;
	execv(program, (char **)argv);
	_exit(127);
}

void stub_spawn(struct stub *stub, const char *const *arguments)
{
	unsigned int logins = stub->logins;

	stub->pid = fork();
	assert_true(stub->pid >= 0);
	if (!stub->pid)
		run_translator(stub, arguments);
	stub_wait_login(stub, logins + 1);
}

void stub_start(struct stub *stub, const char *const *arguments)
{
	char certificate[96], key[96], fingerprint[MSG_FINGERPRINT_LEN], error[256];

	memset(stub, 0, sizeof(*stub));
	signal(SIGPIPE, SIG_IGN);
	strcpy(stub->dir, "/tmp/isthmus-translator-XXXXXX");
	assert_non_null(mkdtemp(stub->dir));
	snprintf(stub->control, sizeof(stub->control), "%s/control", stub->dir);
	snprintf(certificate, sizeof(certificate), "%s/certificate", stub->dir);
	snprintf(key, sizeof(key), "%s/key", stub->dir);
	assert_int_equal(msg_make_certificate(certificate, key, "stub"), 0);
	assert_int_equal(msg_certificate_fingerprint(certificate, fingerprint), 0);
	write_login(stub, fingerprint);
	stub->base = event_base_new();
	stub->notices = json_array();
	stub->probe_port = free_port();
	snprintf(stub->port, sizeof(stub->port), "%u", free_port());
	stub->listener = msg_listen_tls(stub->base, "127.0.0.1", stub->port, certificate, key, 8,
					on_accepted, stub, error, sizeof(error));
	if (!stub->listener)
		fail_msg("%s", error);
	stub_spawn(stub, arguments);
}

int stub_end_translator(struct stub *stub, int signal)
{
	int status = 0;

	if (stub->pid > 0) {
		kill(stub->pid, signal);
		assert_int_equal(waitpid(stub->pid, &status, 0), stub->pid);
	}
	stub->pid = 0;
	return status;
}

void stub_stop(struct stub *stub)
{
	static const char *const names[] = { "certificate", "key", "login", "control" };
	char path[96];

	assert_int_equal(stub_end_translator(stub, SIGTERM), 0);
	if (stub->conn)
		msg_conn_free(stub->conn);
	msg_listener_free(stub->listener);
	event_base_free(stub->base);
	json_decref(stub->login);
	json_decref(stub->notices);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", stub->dir, names[i]);
		unlink(path);
	}
	rmdir(stub->dir);
}

void stub_wait_login(struct stub *stub, unsigned int logins)
{
	long end = now_ms() + (long)STUB_WAIT_MS * slow();

	while (stub->logins < logins && now_ms() < end)
		turn(stub);
	if (stub->logins < logins)
		fail_msg("the translator did not log in");
}

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct stub *stub = arg;

	(void)conn;
	stub->answered = true;
	stub->answer = answer ? json_incref(answer) : NULL;
	event_base_loopbreak(stub->base);
}

json_t *stub_ask(struct stub *stub, json_t *message)
{
	stub->answered = false;
	assert_non_null(message);
	assert_non_null(stub->conn);
	assert_int_equal(msg_request(stub->conn, message, STUB_WAIT_MS * slow(), on_answer, stub),
			 0);
	while (!stub->answered)
		turn(stub);
	assert_non_null(stub->answer);
	return stub->answer;
}

json_t *stub_notice(struct stub *stub, const char *op, uint64_t session, int timeout_ms)
{
	long end = now_ms() + (long)timeout_ms * slow();

	do {
		json_t *message;
		size_t i;

		json_array_foreach (stub->notices, i, message) {
			const char *word = "";
			uint64_t id = 0;

			msg_get_string(message, "op", &word);
			msg_get_id(message, "session", &id);
			if (strcmp(word, op) || id != session)
				continue;
			json_incref(message);
			json_array_remove(stub->notices, i);
			return message;
		}
		turn(stub);
	} while (now_ms() < end);
	return NULL;
}

void stub_open(struct stub *stub, uint64_t session, const char *proto, int lifetime,
	       struct stub_side side[2])
{
	json_t *answer =
		stub_ask(stub, json_pack("{s:s, s:o, s:s, s:s, s:s, s:i}", "op", "open", "session",
					 msg_json_id(session), "proto", proto, "family", "4",
					 "mode", "passive", "lifetime", lifetime));
	int64_t port;
	bool ok;

	assert_true(msg_get_bool(answer, "ok", &ok));
	assert_true(ok);
	for (int i = 0; i < 2; i++) {
		json_t *object = json_array_get(json_object_get(answer, "sides"), i);
		const char *address, *token;

		assert_true(msg_get_string(object, "address", &address));
		assert_true(msg_get_string(object, "token", &token));
		assert_true(msg_get_integer(object, "port", 1, 65535, &port));
		assert_int_equal(auth_unbase64(token, side[i].token, PROBE_TOKEN_BYTES),
				 PROBE_TOKEN_BYTES);
		side[i].address.sin_family = AF_INET;
		side[i].address.sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, address, &side[i].address.sin_addr), 1);
	}
	json_decref(answer);
}

static int connect_from(const struct sockaddr_in *to, int type, int last)
{
	const struct timeval limit = { 3L * slow(), 0 };
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(0x7f000000 | last) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	if (!connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		return fd;
	close(fd);
	return -1;
}

int stub_connect(const struct stub_side *side, int type, int last)
{
	return connect_from(&side->address, type, last);
}

int stub_probe(struct stub *stub, uint64_t session, int side, const uint8_t *token, int type,
	       int last)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(stub->probe_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct probe_question question = { .session = session, .side = side };
	struct probe_answer answer;
	uint8_t bytes[PROBE_BYTES];
	int fd = connect_from(&to, type, last);
	ssize_t len;

	assert_true(fd >= 0);
	memcpy(question.token, token, PROBE_TOKEN_BYTES);
	probe_write_question(&question, bytes);
	assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	len = recv(fd, bytes, sizeof(bytes), MSG_WAITALL);
	close(fd);
	if (len != PROBE_BYTES)
		return -1;
	assert_int_equal(probe_read_answer(bytes, len, &answer), 0);
	assert_int_equal(answer.session, session);
	assert_int_equal(answer.side, side);
	assert_int_equal(answer.seen.b[15], last);
	return answer.status;
}

void stub_expect(int fd, const void *bytes, size_t len)
{
	char *have = malloc(len + 1);
	size_t got = 0;

	assert_non_null(have);
	while (got < len) {
		ssize_t n = recv(fd, have + got, len - got, 0);

		if (n <= 0)
			fail_msg("%zu of %zu bytes, then %zd: %s", got, len, n, strerror(errno));
		got += n;
	}
	if (!len)
		assert_int_equal(recv(fd, have, 1, 0), 0);
	assert_memory_equal(have, bytes, len);
	free(have);
}
