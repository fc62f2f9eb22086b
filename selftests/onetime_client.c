// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/onetime_client.c selftests/lib/onetime_client_sockets.c */
/* link: selftests/lib/assume.c */
/*
 * selftests/onetime_client.c - each connect has an address of its own (paper II.A, EA): real
 * sockets, exact counters. After each test in strict mode the peer's capture must hold no packet
 * with an address of the client's host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static __u64 cookie_of(int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	must(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len));
	return cookie;
}

/* ---- TCP */

/* What the application, the peer and the table say is the same; its end ends it. */
static void tcp_session(int family, const char *address)
{
	struct isthmus_addr local, from, wanted, peer = oclient_address(address);
	int fd = must(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)), accepted;
	struct onetime_addr value;
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);
	int pool = strchr(address, '.') ? AF_INET : AF_INET6;

	oclient_prepare(pool, 2);
	wanted = oclient_ea(pool, oc.next[pool == AF_INET] - 1); /* the first of them */
	assert_int_equal(oclient_connect(fd, address, OCLIENT_PORT), 0);
	accepted = oclient_accept(&from);
	local = oclient_local(fd);
	assert_address(&local, &wanted);
	assert_address(&from, &wanted);
	value = oclient_entry(&local);
	must(getsockname(fd, (struct sockaddr *)&name, &len));
	assert_int_equal(value.state, ONETIME_STATE_LIVE);
	assert_int_equal(value.use, ONETIME_EA);
	assert_int_equal(value.mode, ONETIME_L2);
	assert_int_equal(value.proto, IPPROTO_TCP);
	assert_address(&value.peer, &peer);
	assert_int_equal(value.peer_port, htons(OCLIENT_PORT));
	assert_int_equal(value.wire_peer_port, htons(OCLIENT_PORT));
	assert_int_equal(value.port, name.sin6_port);
	assert_int_equal(value.wire_port, name.sin6_port);
	assert_true(value.cookie == cookie_of(fd));
	must(write(fd, "x", 1));
	must(write(accepted, "y", 1));
	assert_int_equal(read(fd, &(char){ 0 }, 1), 1);
	close(fd);
	close(accepted);
	assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
	value = oclient_entry(&local);
	assert_true(value.until_ns > oclient_now() + oc.conf.linger_ns - 10000000000ull);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 1);
	assert_int_equal(oclient_count(ONETIME_CLOSED), 1);
	oclient_counts(ONETIME_EA_BOUND, 1, END);
}

static void test_tcp(void **state)
{
	(void)state;
	tcp_session(AF_INET6, OCLIENT_PEER6);
}

static void test_tcp_v4(void **state)
{
	(void)state;
	tcp_session(AF_INET, OCLIENT_PEER4);
}

static void test_tcp_mapped(void **state)
{
	(void)state;
	tcp_session(AF_INET6, "::ffff:" OCLIENT_PEER4);
}

/* A refused connection ends its EA; the same socket's next try has another one. */
static void test_tcp_again(void **state)
{
	struct isthmus_addr first, second, from;
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0)), accepted;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	first = oclient_ea(AF_INET6, oc.next[0] - 1);
	second = oclient_ea(AF_INET6, oc.next[0]);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, 81), ECONNREFUSED);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_CLOSING);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	accepted = oclient_accept(&from);
	assert_address(&from, &second);
	assert_int_equal(oclient_state(&second), ONETIME_STATE_LIVE);
	close(accepted);
	close(fd);
	assert_true(oclient_becomes(&second, ONETIME_STATE_CLOSING));
	assert_int_equal(oclient_count(ONETIME_CLOSED), 2);
	oclient_counts(ONETIME_EA_BOUND, 2, END);
}

/* The agent has deleted the failed one since. */
static void test_tcp_again_later(void **state)
{
	struct isthmus_addr first, local;
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0)), accepted;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	first = oclient_ea(AF_INET6, oc.next[0] - 1);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, 81), ECONNREFUSED);
	must(bpf_map_delete_elem(bpf_map__fd(oc.skel->maps.onetime_addr), &first));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	accepted = oclient_accept(&local);
	local = oclient_local(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_LIVE);
	close(accepted);
	close(fd);
	oclient_counts(ONETIME_EA_BOUND, 2, END);
}

/* No route: nothing was sent, so the socket keeps it for the next try, and its close ends it. */
static void test_tcp_no_route(void **state)
{
	struct isthmus_addr local;
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0));

	(void)state;
	oclient_prepare(AF_INET6, 2);
	assert_int_equal(oclient_connect(fd, "2001:db8:ffff::1", 80), ENETUNREACH);
	local = oclient_local(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_LIVE);
	assert_int_equal(oclient_connect(fd, "2001:db8:ffff::1", 80), ENETUNREACH);
	assert_int_equal(oclient_connect(fd, "2001:db8:ffff::2", 80), ENETUNREACH);
	oclient_counts(ONETIME_EA_BOUND, 1, ONETIME_EA_KEPT, 2, END);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_CLOSING);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 1);
}

/* A second connect of a connection that is being made does not come to the program. */
static void test_tcp_non_blocking(void **state)
{
	struct isthmus_addr local, from;
	int fd = must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)), accepted;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EINPROGRESS);
	accepted = oclient_accept(&from);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EISCONN);
	local = oclient_local(fd);
	assert_address(&from, &local);
	close(accepted);
	close(fd);
	assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
	oclient_counts(ONETIME_EA_BOUND, 1, END);
}

/* SYN-SENT: nobody answers, and the socket is closed or connected elsewhere. */
static void test_tcp_syn_sent(void **state)
{
	struct isthmus_addr first, second;
	int fd = must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));

	(void)state;
	oclient_prepare(AF_INET6, 2);
	assert_int_equal(oclient_connect(fd, "2001:db8:1::99", 80), EINPROGRESS);
	first = oclient_local(fd);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_LIVE);
	assert_int_equal(oclient_unconnect(fd), 0);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_CLOSING);
	assert_int_equal(oclient_connect(fd, "2001:db8:1::98", 80), EINPROGRESS);
	second = oclient_local(fd);
	assert_memory_not_equal(&first, &second, sizeof(first));
	assert_int_equal(oclient_state(&second), ONETIME_STATE_LIVE);
	close(fd);
	assert_int_equal(oclient_state(&second), ONETIME_STATE_CLOSING);
	oclient_counts(ONETIME_EA_BOUND, 2, END);
}

/* close() with data that the peer does not take yet: the session goes on until it has them. */
static void test_tcp_close_sends(void **state)
{
	static char data[1 << 16];
	struct isthmus_addr local, from;
	int fd, accepted, size = 4096;
	size_t sent = 0, got = 0;
	ssize_t count;

	(void)state;
	oclient_prepare(AF_INET6, 1);
	fd = must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(setsockopt(oc.tcp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EINPROGRESS);
	accepted = oclient_accept(&from);
	local = oclient_local(fd);
	for (int i = 0; i < 100 && sent < sizeof(data); i++) {
		count = write(fd, data, sizeof(data) - sent);
		sent += count > 0 ? count : 0;
		if (count < 0)
			break;
	}
	assert_true(sent > 8192);
	close(fd);
	usleep(50000);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_LIVE);
	while ((count = read(accepted, data, sizeof(data))) > 0)
		got += count;
	assert_int_equal(count, 0);
	assert_int_equal(got, sent);
	close(accepted);
	assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
	size = 131072;
	must(setsockopt(oc.tcp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
}

/* TCP_FASTOPEN_CONNECT: connect() says yes at once, the SYN goes with the first write, or never. */
static void test_tcp_fast_open(void **state)
{
	struct isthmus_addr local, from;
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0)), accepted, on = 1;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	assume_run("sysctl -qw net.ipv4.tcp_fastopen=5"); /* 4: without a cookie, too */
	must(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	must(write(fd, "x", 1));
	accepted = oclient_accept(&from);
	local = oclient_local(fd);
	assert_address(&from, &local);
	assert_true(oclient_is_ea(&local));
	close(accepted);
	close(fd);
	assert_true(oclient_becomes(&local, ONETIME_STATE_CLOSING));
	fd = must(socket(AF_INET6, SOCK_STREAM, 0));
	must(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	local = oclient_local(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_LIVE);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_CLOSING);
	oclient_counts(ONETIME_EA_BOUND, 2, END);
	assume_run("sysctl -qw net.ipv4.tcp_fastopen=1");
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct isthmus_addr));
}

#define MANY 1000

static void test_tcp_many(void **state)
{
	static struct isthmus_addr seen[MANY];
	int fd, accepted;

	(void)state;
	oclient_prepare(AF_INET6, MANY);
	for (int i = 0; i < MANY; i++) {
		fd = oclient_open_to(SOCK_STREAM, OCLIENT_PEER6);
		accepted = oclient_accept(&seen[i]);
		assert_true(oclient_is_ea(&seen[i]));
		close(fd);
		close(accepted);
	}
	for (int i = 0; i < MANY; i++)
		assert_true(oclient_becomes(&seen[i], ONETIME_STATE_CLOSING));
	qsort(seen, MANY, sizeof(*seen), compare);
	for (int i = 1; i < MANY; i++)
		assert_true(compare(&seen[i - 1], &seen[i]));
	assert_int_equal(oclient_states(ONETIME_STATE_CLOSING), MANY);
	assert_int_equal(oclient_count(ONETIME_CLOSED), MANY);
	oclient_counts(ONETIME_EA_BOUND, MANY, END);
}

/* ---- what gets none */

/* Each kind, by each family, refused in strict and let through in lenient mode. */
static void refused_and_passed(int type, const char *address, enum onetime_reason refused)
{
	struct isthmus_addr own =
		oclient_address(strchr(address, '.') ? OCLIENT_HOST4 : OCLIENT_HOST6);
	int fd = must(socket(strchr(address, ':') ? AF_INET6 : AF_INET, type, 0));
	struct isthmus_addr local;

	assert_int_equal(oclient_connect(fd, address, OCLIENT_PORT), EPERM);
	oclient_counts(refused, 1, END);
	assert_int_equal(oclient_leaks(), 0);
	oclient_lenient();
	assert_int_equal(oclient_connect(fd, address, OCLIENT_PORT), 0);
	local = oclient_local(fd);
	assert_address(&local, &own);
	oclient_counts(refused, 1, refused + 1, 1, END);
	if (type == SOCK_STREAM)
		close(oclient_accept(&local));
	else
		must(write(fd, "seen", 4));
	assert_int_not_equal(oclient_leaks(), 0); /* the capture sees what there is */
	if (type == SOCK_DGRAM)
		oclient_receive("seen", &local, NULL);
	close(fd);
}

static void test_empty(void **state)
{
	static const char *const addresses[] = { OCLIENT_PEER6, OCLIENT_PEER4,
						 "::ffff:" OCLIENT_PEER4 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		oclient_clear();
		refused_and_passed(SOCK_STREAM, addresses[i], ONETIME_EA_EMPTY_REFUSED);
		assert_int_equal(oclient_events(ONETIME_EVENT_EMPTY), 2);
		oclient_clear();
		refused_and_passed(SOCK_DGRAM, addresses[i], ONETIME_EA_EMPTY_REFUSED);
	}
}

/* Queued, and taken back since: skipped, no matter what became of them. */
static void test_stale(void **state)
{
	static const __u32 became[] = { ONETIME_STATE_DEAD, ONETIME_STATE_LIVE,
					ONETIME_STATE_PENDING };
	struct isthmus_addr addr, local, last;
	struct onetime_addr value;
	int fd;

	(void)state;
	oclient_prepare(AF_INET6, 5);
	for (int i = 0; i < 4; i++) {
		addr = oclient_ea(AF_INET6, oc.next[0] - 4 + i);
		value = oclient_entry(&addr);
		if (i < 3)
			value.state = became[i];
		else
			value.use = ONETIME_SSA;
		must(bpf_map_update_elem(bpf_map__fd(oc.skel->maps.onetime_addr), &addr, &value,
					 BPF_ANY));
	}
	last = oclient_ea(AF_INET6, oc.next[0]);
	fd = oclient_open_to(SOCK_STREAM, OCLIENT_PEER6);
	local = oclient_local(fd);
	assert_address(&local, &last);
	close(oclient_accept(&local));
	close(fd);
	oclient_counts(ONETIME_EA_BOUND, 1, END);
}

/* The program bound an address, a port, or `::` and nothing. */
static void test_bound(void **state)
{
	static const struct {
		const char *address, *peer;
		uint16_t port;
	} rows[] = {
		{ "::", OCLIENT_PEER6, 0 },
		{ "::", OCLIENT_PEER6, 20000 },
		{ OCLIENT_HOST6, OCLIENT_PEER6, 0 },
		{ OCLIENT_HOST6, OCLIENT_PEER6, 20001 },
		{ "0.0.0.0", OCLIENT_PEER4, 0 },
		{ OCLIENT_HOST4, OCLIENT_PEER4, 20002 },
		{ "2001:db8:ea::ffff", OCLIENT_PEER6, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
			int fd = must(
				socket(strchr(rows[i].peer, ':') ? AF_INET6 : AF_INET, type, 0));

			oclient_clear();
			oclient_prepare(AF_INET6, 1);
			oclient_prepare(AF_INET, 1);
			oclient_bind(fd, rows[i].address, rows[i].port);
			assert_int_equal(oclient_connect(fd, rows[i].peer, OCLIENT_PORT), EPERM);
			assert_int_equal(oclient_leaks(), 0);
			oclient_counts(ONETIME_EA_BOUND_REFUSED, 1, END);
			oclient_lenient();
			if (i == 6) /* the guard lets nobody answer */
				must(fcntl(fd, F_SETFL, O_NONBLOCK));
			oclient_connect(fd, rows[i].peer, OCLIENT_PORT);
			oclient_counts(ONETIME_EA_BOUND_REFUSED, 1, ONETIME_EA_BOUND_PASSED, 1,
				       END);
			assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 2);
			if (type == SOCK_STREAM && i != 6)
				close(oclient_accept(&(struct isthmus_addr){}));
			close(fd);
		}
}

/* The kernel would not bind it: it is spent, and strict lets nothing out. */
static void test_bind_fails(void **state)
{
	struct isthmus_addr addr;
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0));

	(void)state;
	oclient_prepare(AF_INET6, 2);
	addr = oclient_ea(AF_INET6, oc.next[0] - 1);
	assume_run("sysctl -qw net.ipv6.ip_nonlocal_bind=0");
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EPERM);
	assert_int_equal(oclient_entry(&addr).state, ONETIME_STATE_DEAD);
	assert_int_equal(oclient_leaks(), 0);
	oclient_counts(ONETIME_EA_FAILED_REFUSED, 1, END);
	oclient_lenient();
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	close(oclient_accept(&addr));
	oclient_counts(ONETIME_EA_FAILED_REFUSED, 1, ONETIME_EA_FAILED_PASSED, 1, END);
	assert_int_equal(oclient_states(ONETIME_STATE_DEAD), 2);
	close(fd);
	assume_run("sysctl -qw net.ipv6.ip_nonlocal_bind=1");
}

/* IPv4 without ip_nonlocal_bind: the AnyIP route is enough. */
static void test_v4_by_route(void **state)
{
	(void)state;
	assume_run("sysctl -qw net.ipv4.ip_nonlocal_bind=0");
	tcp_session(AF_INET, OCLIENT_PEER4);
	assume_run("sysctl -qw net.ipv4.ip_nonlocal_bind=1");
}

static void test_outside(void **state)
{
	static const char *const rows[] = { "::1",	   "::",	  "fe80::1",
					    "febf::1",	   "ff02::fb",	  "ff0e::1",
					    "127.0.0.1",   "127.8.9.9",	  "0.0.0.0",
					    "169.254.1.1", "224.0.0.251", "::ffff:127.0.0.1" };
	const int count = sizeof(rows) / sizeof(*rows);

	(void)state;
	oc.may_leak = true;
	oclient_prepare(AF_INET6, 1);
	oclient_prepare(AF_INET, 1);
	for (int i = 0; i < count; i++) {
		int fd = must(socket(strchr(rows[i], ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));

		oclient_connect(fd, rows[i], 9);
		close(fd);
		fd = must(socket(strchr(rows[i], ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
		fcntl(fd, F_SETFL, O_NONBLOCK);
		oclient_connect(fd, rows[i], 9);
		close(fd);
		oclient_counts(ONETIME_EA_OUTSIDE, 2 * i + 2, END);
	}
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 2);
}

/* Without IPv4 pools nothing is promised for IPv4. */
static void test_no_v4_pool(void **state)
{
	struct isthmus_addr own = oclient_address(OCLIENT_HOST4), local;
	int fd;

	(void)state;
	oc.may_leak = true;
	oc.conf.client4 = 0;
	oclient_put_conf();
	fd = oclient_open_to(SOCK_STREAM, OCLIENT_PEER4);
	close(oclient_accept(&local));
	assert_address(&local, &own);
	close(fd);
	close(oclient_open_to(SOCK_DGRAM, "::ffff:" OCLIENT_PEER4));
	oclient_counts(ONETIME_EA_NO_POOL, 2, END);
	fd = must(socket(AF_INET6, SOCK_STREAM, 0));
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), EPERM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		oclient_test(test_tcp),
		oclient_test(test_tcp_v4),
		oclient_test(test_tcp_mapped),
		oclient_test(test_tcp_again),
		oclient_test(test_tcp_again_later),
		oclient_test(test_tcp_no_route),
		oclient_test(test_tcp_non_blocking),
		oclient_test(test_tcp_syn_sent),
		oclient_test(test_tcp_close_sends),
		oclient_test(test_tcp_fast_open),
		oclient_test(test_tcp_many),
		oclient_test(test_empty),
		oclient_test(test_stale),
		oclient_test(test_bound),
		oclient_test(test_bind_fails),
		oclient_test(test_v4_by_route),
		oclient_test(test_outside),
		oclient_test(test_no_v4_pool),
	};

	return cmocka_run_group_tests(tests, oclient_set_up, oclient_tear_down);
}
