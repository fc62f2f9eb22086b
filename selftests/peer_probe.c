// SPDX-License-Identifier: GPL-3.0-or-later
/* A peer's probe against a translator that answers, is silent, refuses or lies. */
/* link: agents/peer/probe.c agents/lib/probe.c agents/lib/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "../agents/peer/probe.h"

#define SESSION 0x1122334455667788ULL

/* A translator on 127.0.0.1. */
struct translator {
	struct event_base *base;
	int udp, tcp, client;
	struct event *udp_event, *tcp_event, *client_event;
	struct announced announced;
	uint8_t status;
	unsigned int ignore; /* so many UDP questions get no answer */
	bool lie;	     /* the first answer is for another session */
	size_t step;	     /* the TCP answer comes in pieces of this size */
	unsigned int questions, tcp_questions;
	bool over;
	int error;
};

static void answer(const struct translator *t, const uint8_t *bytes, size_t len, bool lie,
		   uint8_t out[PROBE_BYTES])
{
	struct probe_question question;
	struct probe_answer a = { 0 };

	assert_int_equal(probe_read_question(bytes, len, &question), 0);
	assert_true(question.session == SESSION);
	assert_int_equal(question.side, AUTH_ROLE_PROVIDER);
	assert_memory_equal(question.token, t->announced.token, sizeof(question.token));
	a.session = question.session + lie;
	a.side = question.side;
	a.status = lie ? PROBE_OK : t->status;
	probe_write_answer(&a, out);
}

static void udp_question(evutil_socket_t fd, short what, void *arg)
{
	struct translator *t = arg;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	uint8_t bytes[100], out[PROBE_BYTES];
	ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);

	(void)what;
	if (n < 0 || t->questions++ < t->ignore)
		return;
	if (t->lie) {
		answer(t, bytes, n, true, out);
		sendto(fd, out, sizeof(out), 0, (struct sockaddr *)&from, len);
		sendto(fd, out, 5, 0, (struct sockaddr *)&from, len);
	}
	answer(t, bytes, n, false, out);
	sendto(fd, out, sizeof(out), 0, (struct sockaddr *)&from, len);
}

static void tcp_question(evutil_socket_t fd, short what, void *arg)
{
	struct translator *t = arg;
	uint8_t bytes[PROBE_BYTES], out[PROBE_BYTES];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	struct timespec pause = { .tv_nsec = 2000000 };

	(void)what;
	if (n != PROBE_BYTES) {
		event_del(t->client_event);
		return;
	}
	t->tcp_questions++;
	answer(t, bytes, n, false, out);
	for (size_t i = 0; i < sizeof(out); i += t->step) {
		size_t len = sizeof(out) - i < t->step ? sizeof(out) - i : t->step;

		assert_int_equal(send(fd, out + i, len, MSG_NOSIGNAL), len);
		nanosleep(&pause, NULL);
	}
}

static void tcp_client(evutil_socket_t fd, short what, void *arg)
{
	struct translator *t = arg;

	(void)what;
	t->client = accept(fd, NULL, NULL);
	t->client_event = event_new(t->base, t->client, EV_READ | EV_PERSIST, tcp_question, t);
	event_add(t->client_event, NULL);
}

static int listen_on(int type, uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	*port = ntohs(address.sin_port);
	return fd;
}

static void translator_open(struct translator *t)
{
	*t = (struct translator){ .base = event_base_new(), .client = -1, .step = PROBE_BYTES };
	t->announced.session = SESSION;
	t->announced.role = AUTH_ROLE_PROVIDER;
	memset(t->announced.token, 0x5a, sizeof(t->announced.token));
	assert_int_equal(address_parse("127.0.0.1", &t->announced.address), 0);
	t->udp = listen_on(SOCK_DGRAM, &t->announced.probe_port_udp);
	t->tcp = listen_on(SOCK_STREAM, &t->announced.probe_port_tcp);
	t->udp_event = event_new(t->base, t->udp, EV_READ | EV_PERSIST, udp_question, t);
	t->tcp_event = event_new(t->base, t->tcp, EV_READ | EV_PERSIST, tcp_client, t);
	event_add(t->udp_event, NULL);
	event_add(t->tcp_event, NULL);
}

static void translator_close(struct translator *t)
{
	if (t->client >= 0) {
		event_free(t->client_event);
		close(t->client);
	}
	event_free(t->udp_event);
	event_free(t->tcp_event);
	close(t->udp);
	close(t->tcp);
	event_base_free(t->base);
}

static void finished(int error, void *arg)
{
	struct translator *t = arg;

	assert_false(t->over);
	t->over = true;
	t->error = error;
	event_base_loopbreak(t->base);
}

/* The probe's result; whether it came by TCP is checked, too. */
static int run(struct translator *t, bool by_tcp, bool expect_tcp)
{
	const struct timeval patience = { .tv_sec = 15 };
	struct probe *probe = probe_new(t->base, &t->announced, by_tcp, finished, t);

	assert_non_null(probe);
	event_base_loopexit(t->base, &patience);
	event_base_dispatch(t->base);
	assert_true(t->over);
	assert_int_equal(probe_was_tcp(probe), expect_tcp);
	probe_free(probe);
	return t->error;
}

static void answered(void **state)
{
	struct translator t;

	(void)state;
	translator_open(&t);
	assert_int_equal(run(&t, false, false), 0);
	assert_int_equal(t.questions, 1);
	translator_close(&t);
}

static void a_lost_question_is_repeated(void **state)
{
	struct translator t;

	(void)state;
	translator_open(&t);
	t.ignore = 2;
	assert_int_equal(run(&t, false, false), 0);
	assert_int_equal(t.questions, 3);
	translator_close(&t);
}

static void another_sessions_answer_is_ignored(void **state)
{
	struct translator t;

	(void)state;
	translator_open(&t);
	t.lie = true;
	t.status = PROBE_EXPIRED;
	assert_int_equal(run(&t, false, false), -EACCES);
	translator_close(&t);
}

static void refusals(void **state)
{
	static const struct {
		uint8_t status;
		int error;
	} rows[] = { { PROBE_UNKNOWN, -EACCES },
		     { PROBE_EXPIRED, -EACCES },
		     { PROBE_FAMILY, -EAFNOSUPPORT } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int by_tcp = 0; by_tcp < 2; by_tcp++) {
			struct translator t;

			translator_open(&t);
			t.status = rows[i].status;
			assert_int_equal(run(&t, by_tcp, by_tcp), rows[i].error);
			translator_close(&t);
		}
	}
}

static void tcp_after_four(void **state)
{
	struct translator t;

	(void)state;
	translator_open(&t);
	t.ignore = 100;
	t.step = 7;
	assert_int_equal(run(&t, false, true), 0);
	assert_int_equal(t.questions, 4);
	assert_int_equal(t.tcp_questions, 1);
	translator_close(&t);
}

static void tcp_at_once_where_udp_is_refused(void **state)
{
	struct translator t;
	struct timespec before, after;

	(void)state;
	translator_open(&t);
	event_del(t.udp_event);
	close(t.udp);
	t.udp = dup(t.tcp);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(run(&t, false, true), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(after.tv_sec - before.tv_sec, 0, 1);
	translator_close(&t);
}

static void nobody_answers(void **state)
{
	struct translator t;

	(void)state;
	translator_open(&t);
	t.ignore = 100;
	t.announced.probe_port_tcp = 0;
	assert_int_equal(run(&t, false, false), -ETIMEDOUT);
	assert_int_equal(t.questions, 4);
	translator_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered),
		cmocka_unit_test(a_lost_question_is_repeated),
		cmocka_unit_test(another_sessions_answer_is_ignored),
		cmocka_unit_test(refusals),
		cmocka_unit_test(tcp_after_four),
		cmocka_unit_test(tcp_at_once_where_udp_is_refused),
		cmocka_unit_test(nobody_answers),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
