// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/onetime_client.c selftests/lib/onetime_client_sockets.c */
/* link: selftests/lib/assume.c */
/*
 * selftests/onetime_life.c - whose an address is: cgroups in each other, users, processes that fork
 * and that are killed at every stage, unmodified programs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_client.h"

#define HTTP_PORT 8080
#define SOMEBODY  12345 /* a user */

/* ---- cgroups in each other */

/* The programs are at both: one EA, and one refusal. */
static void test_nested(void **state)
{
	struct isthmus_addr local, from;
	int inner[4], fd;

	(void)state;
	oclient_attach_clients(oc.nested_fd, false, inner);
	oclient_enter(oc.nested);
	oclient_prepare(AF_INET6, 3);
	fd = oclient_open_to(SOCK_STREAM, OCLIENT_PEER6);
	close(oclient_accept(&from));
	local = oclient_local(fd);
	assert_address(&from, &local);
	close(fd);
	fd = oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6);
	oclient_counts(ONETIME_EA_BOUND, 2, ONETIME_EA_KEPT, 2, END);
	close(fd);
	fd = must(socket(AF_INET6, SOCK_DGRAM, 0));
	assert_int_equal(oclient_sendto(fd, "x", OCLIENT_PEER6, OCLIENT_PORT), 0);
	oclient_receive("x", &from, NULL);
	assert_true(oclient_is_ea(&from));
	assert_int_equal(oclient_sendto(fd, "x", OCLIENT_PEER7, OCLIENT_PORT), EPERM);
	close(fd);
	fd = must(socket(AF_INET6, SOCK_STREAM, 0));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EPERM);
	close(fd);
	oclient_counts(ONETIME_EA_BOUND, 2, ONETIME_EA_KEPT, 2, ONETIME_EA_SENT, 1,
		       ONETIME_EA_EMPTY_REFUSED, 2, END);
	oclient_enter(oc.cgroup);
	oclient_detach(inner);
}

/* ---- by user */

/* Runs as `uid`: 0 if the peer sees an EA, 1 if the host's own address, 2 if neither. */
static int as_user(uid_t uid)
{
	struct isthmus_addr own = oclient_address(OCLIENT_HOST6), from = {};
	int status, accepted;
	pid_t pid = must(fork());

	if (!pid) {
		int fd = socket(AF_INET6, SOCK_STREAM, 0);

		if (setresuid(uid, uid, uid))
			_exit(2);
		_exit(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT) ? 3 : 0);
	}
	must(waitpid(pid, &status, 0));
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status))
		return 2;
	accepted = oclient_accept(&from);
	close(accepted);
	return oclient_is_ea(&from) ? 0 : memcmp(&from, &own, sizeof(own)) ? 2 : 1;
}

static void by_user(void)
{
	int user_links[4];
	__u32 uid = SOMEBODY, one = 1;

	oclient_attach_clients(oc.cgroup_fd, true, user_links);
	must(bpf_map_update_elem(bpf_map__fd(oc.skel->maps.onetime_user), &uid, &one, BPF_ANY));
	oclient_prepare(AF_INET6, 1);
	assert_int_equal(as_user(SOMEBODY), 0);
	oclient_counts(ONETIME_EA_BOUND, 1, END);
	assert_int_equal(oclient_leaks(), 0);
	assert_int_equal(as_user(0), 1);
	assert_int_equal(as_user(SOMEBODY + 1), 1);
	oclient_counts(ONETIME_EA_BOUND, 1, END);
	oclient_leaks();
	assert_int_equal(as_user(SOMEBODY), 2);
	oclient_counts(ONETIME_EA_BOUND, 1, ONETIME_EA_EMPTY_REFUSED, 1, END);
	oclient_detach(user_links);
}

static void test_user(void **state)
{
	(void)state;
	oclient_without_clients(by_user);
}

/* Of another namespace nothing is touched. */
static void test_namespace(void **state)
{
	int fd;

	(void)state;
	assume_ns_enter(oc.peer_ns);
	fd = oclient_open_to(SOCK_STREAM, OCLIENT_PEER6);
	close(oclient_accept(&(struct isthmus_addr){}));
	close(fd);
	close(oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6));
	assume_ns_enter(oc.ns);
	oclient_counts(END);
}

/* ---- processes */

/* The socket is the child's, too: its EA lives until both have closed. */
static void test_fork(void **state)
{
	struct isthmus_addr local, from;
	int fd, accepted, status, go[2];
	char byte;
	pid_t pid;

	(void)state;
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		oclient_prepare(AF_INET6, 1);
		fd = oclient_open_to(type, OCLIENT_PEER6);
		local = oclient_local(fd);
		accepted = type == SOCK_STREAM ? oclient_accept(&from) : -1;
		must(pipe(go));
		pid = must(fork());
		if (!pid) {
			close(accepted);
			close(go[1]);
			_exit(read(go[0], &byte, 1) != 1 || write(fd, "child", 5) != 5);
		}
		close(fd);
		usleep(20000);
		assert_int_equal(oclient_state(&local), ONETIME_STATE_LIVE);
		must(write(go[1], "g", 1));
		must(waitpid(pid, &status, 0));
		assert_int_equal(status, 0);
		close(go[0]);
		close(go[1]);
		if (type == SOCK_STREAM) {
			assert_int_equal(read(accepted, &byte, 1), 1);
			close(accepted);
			assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
		} else {
			oclient_receive("child", &from, NULL);
			assert_address(&from, &local);
			assert_int_equal(oclient_state(&local), ONETIME_STATE_DEAD);
		}
	}
	oclient_counts(ONETIME_EA_BOUND, 2, END);
}

enum stage {
	NO_ROUTE,
	SYN_SENT,
	ESTABLISHED,
	UNREAD,
	HALF_CLOSED,
	UDP_BOUND,
	UDP_USED,
	UDP_UNCONNECTED,
	STAGES,
};

/* The child comes to a stage and waits there for its end. */
static void reach(enum stage stage, int tell)
{
	int udp = stage >= UDP_BOUND;
	int fd = socket(AF_INET6, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);

	if (stage == NO_ROUTE)
		oclient_connect(fd, "2001:db8:ffff::1", 80);
	else if (stage == SYN_SENT)
		oclient_connect(fd, "2001:db8:1::99", 80);
	else if (stage == UDP_UNCONNECTED)
		oclient_sendto(fd, "x", OCLIENT_PEER6, OCLIENT_PORT);
	else
		oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT);
	if (stage == UDP_USED && write(fd, "x", 1) != 1)
		_exit(1);
	if (stage == HALF_CLOSED) {
		usleep(20000);
		shutdown(fd, SHUT_WR);
	}
	if (write(tell, "t", 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

static void test_killed(void **state)
{
	struct isthmus_addr ea, from;
	int tell[2], accepted, status;
	char byte;
	pid_t pid;

	(void)state;
	for (enum stage stage = 0; stage < STAGES; stage++) {
		bool connects = stage >= ESTABLISHED && stage <= HALF_CLOSED;

		oclient_prepare(AF_INET6, 1);
		ea = oclient_ea(AF_INET6, oc.next[0]);
		must(pipe(tell));
		pid = must(fork());
		if (!pid)
			reach(stage, tell[1]);
		close(tell[1]);
		assert_int_equal(read(tell[0], &byte, 1), 1);
		accepted = connects ? oclient_accept(&from) : -1;
		if (stage == UNREAD) {
			must(write(accepted, "unread", 6));
			usleep(20000);
		}
		assert_int_equal(oclient_entry(&ea).state, ONETIME_STATE_LIVE);
		must(kill(pid, SIGKILL));
		must(waitpid(pid, &status, 0));
		assert_true(WIFSIGNALED(status));
		assert_true(oclient_becomes(&ea, stage >= UDP_BOUND ? ONETIME_STATE_DEAD
								    : ONETIME_STATE_CLOSING));
		close(tell[0]);
		if (connects)
			close(accepted);
	}
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
	assert_int_equal(oclient_count(ONETIME_CLOSED), STAGES);
}

/* ---- unmodified programs */

static void tell_address(int fd)
{
	char text[INET6_ADDRSTRLEN], request[2048], reply[200];
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	getpeername(fd, (struct sockaddr *)&name, &len);
	inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof(text));
	if (read(fd, request, sizeof(request)) > 0) {
		snprintf(reply, sizeof(reply), "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n%s\n",
			 strlen(text) + 1, text);
		if (write(fd, reply, strlen(reply)) < 0)
			perror("write");
	}
	close(fd);
}

/* The peer's HTTP server, until it is killed. */
static pid_t serve(void)
{
	struct pollfd wait = { .fd = oclient_peer_socket(SOCK_STREAM, HTTP_PORT),
			       .events = POLLIN };
	pid_t pid = must(fork());

	while (!pid) {
		if (poll(&wait, 1, 60000) < 1)
			_exit(1);
		tell_address(accept(wait.fd, NULL, NULL));
	}
	close(wait.fd);
	return pid;
}

/* Runs it five times: each time the peer has seen another EA. */
static void run_program(const char *name, const char *command)
{
	struct isthmus_addr seen[5];
	char text[100];

	if (assume_try("command -v %s", name)) {
		printf("%s is not installed\n", name);
		return;
	}
	oclient_clear();
	oclient_prepare(AF_INET6, 20);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "%s", assume_read("%s", command));
		if (text[0] != '2')
			fail_msg("%s: %s", name, text);
		seen[i] = oclient_address(text);
		if (!oclient_is_ea(&seen[i]))
			fail_msg("%s came from %s", name, text);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(&seen[i], &seen[j], sizeof(seen[i]));
	}
	assert_int_equal(oclient_leaks(), 0);
	for (int i = 0; i < 5; i++)
		assert_true(oclient_becomes(&seen[i], ONETIME_STATE_CLOSING));
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
}

/* dig binds `::` and port 0 before it connects: strict refuses that, lenient cannot help it. */
static void refuse_dig(void)
{
	static const char dig[] = "dig +tries=1 +time=1 -p 5300 @2001:db8:1::2 a.test AAAA";

	if (assume_try("command -v dig"))
		return;
	oclient_clear();
	oclient_prepare(AF_INET6, 1);
	assert_int_not_equal(assume_try("%s", dig), 0);
	assert_int_not_equal(oclient_count(ONETIME_EA_BOUND_REFUSED), 0);
	assert_int_equal(oclient_leaks(), 0);
	oclient_lenient();
	assume_try("%s", dig);
	assert_int_not_equal(oclient_count(ONETIME_EA_BOUND_PASSED), 0);
	assert_int_not_equal(oclient_leaks(), 0);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 1);
}

/* ssh gets its EA though nobody there speaks its protocol. Of ping the UDP socket by which it asks
 * for its source has one; what it sends is ICMP, which is not covered. */
static void run_others(void)
{
	if (!assume_try("command -v ssh")) {
		oclient_clear();
		oclient_prepare(AF_INET6, 2);
		assume_try(
			"ssh -F none -o BatchMode=yes -o ConnectTimeout=20 -p 8080 2001:db8:1::2");
		oclient_counts(ONETIME_EA_BOUND, 1, END);
		assert_int_equal(oclient_leaks(), 0);
		assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
	}
	if (!assume_try("command -v ping")) {
		oclient_clear();
		oclient_prepare(AF_INET6, 2);
		assert_int_equal(assume_try("ping -6 -n -c 1 -W 20 2001:db8:1::2"), 0);
		assert_int_equal(oclient_leaks(), 0);
		assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
	}
}

static void test_programs(void **state)
{
	pid_t pid = serve();

	(void)state;
	run_program("curl", "curl -s --max-time 20 http://[2001:db8:1::2]:8080/");
	run_program("python3",
		    "python3 -c 'import urllib.request as u; "
		    "print(u.urlopen(\"http://[2001:db8:1::2]:8080/\").read().decode())'");
	refuse_dig();
	run_others();
	must(kill(pid, SIGKILL));
	must(waitpid(pid, NULL, 0));
}

/* MPTCP connects by TCP sockets of its own; the programs see them. */
static void test_mptcp(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
	struct isthmus_addr local, from;

	(void)state;
	if (fd < 0) {
		printf("this kernel has no MPTCP\n");
		skip();
	}
	oclient_prepare(AF_INET6, 2);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	local = oclient_local(fd);
	close(oclient_accept(&from));
	assert_address(&from, &local);
	assert_true(oclient_is_ea(&local));
	close(fd);
	assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		oclient_test(test_nested), oclient_test(test_user),   oclient_test(test_namespace),
		oclient_test(test_fork),   oclient_test(test_killed), oclient_test(test_programs),
		oclient_test(test_mptcp),
	};

	return cmocka_run_group_tests(tests, oclient_set_up, oclient_tear_down);
}
