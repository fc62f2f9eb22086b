// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/daemon.c agents/lib/metrics.c agents/lib/address.c */
/* Privileges, readiness, signals and the metrics endpoint, each in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "agents/lib/daemon.h"
#include "agents/lib/metrics.h"

/* ---- privileges */

struct status {
	unsigned int uid, gid, no_new_privs;
	unsigned long long effective, permitted, bounding;
};

static void read_status(struct status *status)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	memset(status, 0, sizeof(*status));
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "Uid: %u", &status->uid);
		sscanf(line, "Gid: %u", &status->gid);
		sscanf(line, "NoNewPrivs: %u", &status->no_new_privs);
		sscanf(line, "CapEff: %llx", &status->effective);
		sscanf(line, "CapPrm: %llx", &status->permitted);
		sscanf(line, "CapBnd: %llx", &status->bounding);
	}
	if (file)
		fclose(file);
}

/* The child drops; what it has then comes back through a pipe. */
static int drop(const char *user, uint64_t keep, struct status *status)
{
	int fds[2], code;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (!child) {
		int rc = daemon_drop_privileges(user, keep);

		read_status(status);
		if (write(fds[1], status, sizeof(*status)) != sizeof(*status))
			_exit(255);
		_exit(-rc);
	}
	assert_int_equal(read(fds[0], status, sizeof(*status)), sizeof(*status));
	assert_int_equal(waitpid(child, &code, 0), child);
	close(fds[0]);
	close(fds[1]);
	return -WEXITSTATUS(code);
}

static void test_privileges(void **state)
{
	const uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_BPF;
	struct status status;

	(void)state;
	if (geteuid()) {
		print_message("skip: privileges can be dropped by root only\n");
		skip();
	}
	assert_int_equal(drop("nobody", 0, &status), 0);
	assert_int_equal(status.uid, 65534);
	assert_int_not_equal(status.gid, 0);
	assert_int_equal(status.no_new_privs, 1);
	assert_true(!status.effective && !status.permitted && !status.bounding);
	assert_int_equal(drop("nobody", keep, &status), 0);
	assert_int_equal(status.uid, 65534);
	assert_true(status.effective == keep && status.permitted == keep);
	assert_int_equal(drop(NULL, keep, &status), 0);
	assert_int_equal(status.uid, 0);
	assert_true(status.effective == keep && status.permitted == keep);
	assert_int_equal(drop("no-such-user", 0, &status), -ENOENT);
}

static void test_file_limit(void **state)
{
	struct rlimit before, after;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	before.rlim_cur = before.rlim_max / 2;
	setrlimit(RLIMIT_NOFILE, &before);
	daemon_raise_file_limit();
	getrlimit(RLIMIT_NOFILE, &after);
	assert_int_equal(after.rlim_cur, before.rlim_max);
}

/* ---- sd_notify(3) */

static void test_readiness(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[128] = { 0 };

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/daemon-test-%d", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	unsetenv("NOTIFY_SOCKET");
	daemon_ready("not heard");
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	daemon_ready("serving");
	daemon_stopping();
	unsetenv("NOTIFY_SOCKET");
	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "READY=1\nSTATUS=serving");
	memset(text, 0, sizeof(text));
	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "STOPPING=1");
	close(fd);
	unlink(address.sun_path);
}

/* ---- signals */

static void count_reload(void *arg)
{
	++*(int *)arg;
	kill(getpid(), SIGTERM);
}

static void test_signals(void **state)
{
	struct event_base *base = event_base_new();
	int reloads = 0;
	struct daemon_signals *signals = daemon_signals_new(base, count_reload, &reloads);

	(void)state;
	assert_non_null(signals);
	kill(getpid(), SIGPIPE);
	kill(getpid(), SIGHUP);
	assert_int_equal(event_base_dispatch(base), 0); /* ended by SIGTERM */
	assert_int_equal(reloads, 1);
	daemon_signals_free(signals);
	event_base_free(base);
}

/* ---- metrics */

static void collect(struct evbuffer *out, void *arg)
{
	(void)arg;
	metrics_write(out, "test_total", "counter", "A test", "side=\"a\"",
		      18446744073709551615ULL);
	metrics_write(out, "test_total", "counter", NULL, "side=\"b\"", 0);
	metrics_write(out, "test_gauge", "gauge", "Another", NULL, 7);
}

struct http {
	struct event_base *base;
	int fd;
	char answer[2048];
	size_t len;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	ssize_t n = read(fd, http->answer + http->len, sizeof(http->answer) - 1 - http->len);

	(void)what;
	if (n > 0)
		http->len += n;
	else
		event_base_loopbreak(http->base);
}

static void get(struct http *http, unsigned int port, const char *request)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct timeval limit = { .tv_sec = 5 };
	struct event *event;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	http->fd = socket(AF_INET, SOCK_STREAM, 0);
	http->len = 0;
	memset(http->answer, 0, sizeof(http->answer));
	assert_int_equal(connect(http->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_true(write(http->fd, request, strlen(request)) > 0);
	event = event_new(http->base, http->fd, EV_READ | EV_PERSIST, on_readable, http);
	event_add(event, &limit);
	event_base_dispatch(http->base);
	event_free(event);
	close(http->fd);
}

static void test_metrics(void **state)
{
	struct http http = { .base = event_base_new() };
	struct metrics *metrics = NULL;
	char address[64], error[200];
	unsigned int port;

	(void)state;
	for (port = 30000 + getpid() % 20000; !metrics && port < 60000; port++) {
		snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		metrics = metrics_listen(http.base, address, collect, NULL, error, sizeof(error));
	}
	assert_non_null(metrics);
	port--;
	assert_null(metrics_listen(http.base, address, collect, NULL, error, sizeof(error)));
	assert_non_null(strstr(error, "cannot listen"));
	assert_null(metrics_listen(http.base, ":80", collect, NULL, error, sizeof(error)));
	get(&http, port, "GET /metrics HTTP/1.0\r\n\r\n");
	assert_non_null(strstr(http.answer, "200 OK"));
	assert_non_null(strstr(http.answer,
			       "\n# HELP test_total A test\n# TYPE test_total counter\n"
			       "test_total{side=\"a\"} 18446744073709551615\n"
			       "test_total{side=\"b\"} 0\n"
			       "# HELP test_gauge Another\n# TYPE test_gauge gauge\n"
			       "test_gauge 7\n"));
	get(&http, port, "GET / HTTP/1.0\r\n\r\n");
	assert_non_null(strstr(http.answer, "404"));
	get(&http, port, "POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
	assert_null(strstr(http.answer, "200 OK"));
	get(&http, port, "\x16\x03\x01 garbage\r\n\r\n");
	assert_null(strstr(http.answer, "200 OK"));
	metrics_free(metrics);
	event_base_free(http.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_privileges), cmocka_unit_test(test_file_limit),
		cmocka_unit_test(test_readiness),  cmocka_unit_test(test_signals),
		cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
