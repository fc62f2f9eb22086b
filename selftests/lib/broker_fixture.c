// SPDX-License-Identifier: GPL-3.0-or-later
#include "selftests/lib/broker_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#define WAIT_S 15

double fixture_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void step(struct broker_fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	usleep(200);
}

/* ---- the process */

/* A port that was free a moment ago. */
static unsigned int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

void broker_setup(struct broker_fixture *f)
{
	ssize_t n;

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/broker-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->database, sizeof(f->database), "%s/state/broker.db", f->dir);
	n = readlink("/proc/self/exe", f->program, sizeof(f->program) - 64);
	assert_true(n > 0);
	f->program[n] = 0;
	*strrchr(f->program, '/') = 0; /* B/selftests/broker -> B/isthmus-broker */
	strcpy(strrchr(f->program, '/'), "/isthmus-broker");
	f->base = event_base_new();
}

static bool answers(const struct broker_fixture *f)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(f->port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool connected;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connected = !connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return connected;
}

void broker_start(struct broker_fixture *f, const char *options)
{
	const char *factor = getenv("SLOW"); /* an emulated machine (vmtest) */
	int slow = factor && atoi(factor) > 1 ? atoi(factor) : 1;
	char cert[128], command[8192];

	snprintf(f->port, sizeof(f->port), "%u", free_port());
	snprintf(f->metrics, sizeof(f->metrics), "127.0.0.1:%u", free_port());
	snprintf(command, sizeof(command),
		 "exec %s run --listen 127.0.0.1:%s --metrics %s --database %s --log-level %s %s",
		 f->program, f->port, f->metrics, f->database, getenv("V") ? "debug" : "error",
		 options ? options : "");
	f->broker = fork();
	if (!f->broker) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 * slow && !answers(f); i++)
		usleep(10000);
	snprintf(cert, sizeof(cert), "%s/state/broker.crt", f->dir);
	assert_int_equal(msg_certificate_fingerprint(cert, f->fingerprint), 0);
}

void broker_stop(struct broker_fixture *f)
{
	int status;

	if (!f->broker)
		return;
	kill(f->broker, SIGTERM);
	assert_int_equal(waitpid(f->broker, &status, 0), f->broker);
	f->broker = 0;
	assert_int_equal(status, 0); /* no crash, and no leak in a build that looks for them */
}

void broker_copy_program(struct broker_fixture *f)
{
	char command[4400];

	snprintf(command, sizeof(command), "cp %s %s/isthmus-broker", f->program, f->dir);
	assert_int_equal(system(command), 0);
	snprintf(f->program, sizeof(f->program), "%s/isthmus-broker", f->dir);
}

static void party_free(struct party *party)
{
	if (party->conn && !party->closed)
		msg_conn_free(party->conn);
	json_decref(party->answer);
	for (unsigned int i = 0; i < party->notice_count; i++)
		json_decref(party->notices[i]);
}

void broker_teardown(struct broker_fixture *f)
{
	char command[128];

	for (unsigned int i = 0; i < f->party_count; i++)
		party_free(&f->party[i]);
	broker_stop(f);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	event_base_free(f->base);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
}

int broker_command(struct broker_fixture *f, const char *words, char *out, size_t out_len)
{
	char command[8192];
	size_t len = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "%s %s --database %s %s", f->program, words, f->database,
		 getenv("V") ? "" : "2>/dev/null");
	pipe = popen(command, "r");
	assert_non_null(pipe);
	if (out)
		len = fread(out, 1, out_len - 1, pipe);
	if (out)
		out[len] = 0;
	while (fgetc(pipe) != EOF)
		;
	return WEXITSTATUS(pclose(pipe));
}

void broker_invite(struct broker_fixture *f, const char *kind, const char *name, char token[64])
{
	char words[128], line[512], expected[MSG_FINGERPRINT_LEN], found[64];

	snprintf(words, sizeof(words), "%s add %s", kind, name);
	assert_int_equal(broker_command(f, words, line, sizeof(line)), 0);
	assert_int_equal(
		sscanf(line, "isthmus1:%63[^:]:%63[^:]:%64[0-9a-f]", found, token, expected), 3);
	assert_string_equal(found, name);
	assert_string_equal(expected, f->fingerprint);
}

int64_t broker_metric(struct broker_fixture *f, const char *sample)
{
	char command[128], line[512];
	size_t len = strlen(sample);
	int64_t value = -1;
	FILE *pipe;

	snprintf(command, sizeof(command), "curl -s --max-time 5 http://%s/metrics", f->metrics);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		if (!strncmp(line, sample, len) && line[len] == ' ')
			value = atoll(line + len);
	assert_int_equal(pclose(pipe), 0);
	return value;
}

/* ---- who talks to it */

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct party *party = arg;

	(void)conn;
	party->opened_conn = 1;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct party *party = arg;

	(void)conn;
	(void)why;
	party->closed = 1;
}

static void answer_offer(struct party *party, json_t *message)
{
	json_t *body;

	if (party->only_family)
		body = json_pack("{s:[s]}", "families", party->only_family);
	else
		body = json_pack("{s:[s,s]}", "families", "4", "6");
	if (party->source_port)
		json_object_set_new(body, "source_port", json_integer(party->source_port));
	msg_reply(party->conn, message, body);
}

static void answer_open(struct party *party, json_t *message)
{
	bool pure = !strcmp(json_string_value(json_object_get(message, "mode")), "pure");

	party->opened++;
	msg_reply(party->conn, message,
		  json_pack("{s:[{s:s,s:i,s:s},{s:s,s:i,s:s}],s:i,s:i,s:O}", "sides", "address",
			    "192.0.2.9", "port", 40000, "token", "token-0", "address", "192.0.2.9",
			    "port", pure ? 0 : 40001, "token", "token-1", "probe_port_udp", 3479,
			    "probe_port_tcp", 3479, "mode", json_object_get(message, "mode")));
}

void party_answer(struct party *party, json_t *message)
{
	const char *op = json_string_value(json_object_get(message, "op"));

	if (party->vanish)
		msg_conn_close(party->conn, "vanished");
	else if (party->refuse)
		msg_reply_error(party->conn, message, party->refuse, "as the test wants it");
	else if (!strcmp(op, "offer"))
		answer_offer(party, message);
	else
		answer_open(party, message);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	const char *op = json_string_value(json_object_get(message, "op"));
	struct party *party = arg;

	if (party->notice_count < NOTICES_MAX)
		party->notices[party->notice_count++] = json_incref(message);
	if (party->silent)
		return;
	if (!strcmp(op, "offer") || !strcmp(op, "open"))
		party_answer(party, message);
	else
		msg_reply(conn, message, NULL);
}

static const struct msg_handler handler = { on_opened, on_message, on_closed };

struct party *party_try(struct broker_fixture *f)
{
	double end = fixture_seconds() + WAIT_S;
	struct party *party = &f->party[f->party_count++];
	char error[200] = "";

	assert_true(f->party_count <= PARTIES_MAX);
	party->fixture = f;
	party->conn = msg_connect_tls(f->base, "127.0.0.1", f->port, f->fingerprint, &handler,
				      party, error, sizeof(error));
	assert_non_null(party->conn);
	while (!party->opened_conn && !party->closed && fixture_seconds() < end)
		step(f);
	return party;
}

struct party *party_connect(struct broker_fixture *f)
{
	struct party *party = party_try(f);

	assert_true(party->opened_conn);
	return party;
}

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct party *party = arg;

	(void)conn;
	json_decref(party->answer);
	party->answer = json_incref(answer);
	party->answered = true;
}

void party_request(struct party *party, json_t *message)
{
	party->answered = false;
	assert_int_equal(msg_request(party->conn, message, WAIT_S * 1000, on_answer, party), 0);
	while (!party->answered)
		step(party->fixture);
}

void party_ok(struct party *party, json_t *message)
{
	party_request(party, message);
	if (!json_is_true(json_object_get(party->answer, "ok")))
		fail_msg("refused: %s",
			 party->answer ? json_string_value(json_object_get(party->answer, "error"))
				       : "no answer");
}

void party_error(struct party *party, json_t *message, const char *code)
{
	party_request(party, message);
	assert_non_null(party->answer);
	assert_true(json_is_false(json_object_get(party->answer, "ok")));
	assert_string_equal(json_string_value(json_object_get(party->answer, "error")), code);
}

void party_send(struct party *party, json_t *message)
{
	assert_int_equal(msg_send(party->conn, message), 0);
}

void party_until(struct party *party, unsigned int ms)
{
	double end = fixture_seconds() + ms / 1000.0;

	while (fixture_seconds() < end)
		step(party->fixture);
}

json_t *party_notice(struct party *party, const char *op)
{
	double end = fixture_seconds() + WAIT_S;

	while (fixture_seconds() < end) {
		while (party->notice_taken < party->notice_count) {
			json_t *notice = party->notices[party->notice_taken++];

			if (!strcmp(json_string_value(json_object_get(notice, "op")), op))
				return notice;
		}
		step(party->fixture);
	}
	fail_msg("'%s' was not told", op);
	return NULL;
}

bool party_wait_closed_s(struct party *party, double limit_s)
{
	double end = fixture_seconds() + limit_s;

	while (!party->closed && fixture_seconds() < end)
		step(party->fixture);
	return party->closed;
}

bool party_wait_closed(struct party *party)
{
	return party_wait_closed_s(party, WAIT_S);
}
