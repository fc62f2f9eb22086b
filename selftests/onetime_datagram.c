// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/onetime_client.c selftests/lib/onetime_client_sockets.c */
/* link: selftests/lib/assume.c */
/*
 * selftests/onetime_datagram.c - UDP with addresses of its own: connected and unconnected clients,
 * sockets that change their peer, and listeners that answer from the address that was asked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_client.h"

static int udp_socket(int family)
{
	struct timeval wait = { .tv_sec = assume_ms(1000) / 1000 };
	int fd = must(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	return fd;
}

/* The peer has `text` from *from and answers; the client has the answer. */
static void exchange(int fd, const char *text, struct isthmus_addr *from)
{
	char answer[16] = {};
	uint16_t port;

	oclient_receive(text, from, &port);
	oclient_answer("answer", from, port);
	must(recv(fd, answer, sizeof(answer) - 1, 0));
	assert_string_equal(answer, "answer");
}

static struct isthmus_addr send_and_receive(int fd, const char *text, const char *address)
{
	struct isthmus_addr from;

	assert_int_equal(oclient_sendto(fd, text, address, OCLIENT_PORT), 0);
	exchange(fd, text, &from);
	return from;
}

/* ---- connected */

static void connected(int family, const char *address)
{
	int pool = strchr(address, '.') ? AF_INET : AF_INET6, fd = udp_socket(family);
	struct isthmus_addr local, from, peer = oclient_address(address);
	struct onetime_addr value;

	oclient_prepare(pool, 2);
	assert_int_equal(oclient_connect(fd, address, OCLIENT_PORT), 0);
	local = oclient_local(fd);
	assert_int_equal(oclient_entry(&local).port, 0);
	must(write(fd, "hello", 5));
	exchange(fd, "hello", &from);
	assert_address(&from, &local);
	assert_true(oclient_is_ea(&local));
	value = oclient_entry(&local);
	assert_int_equal(value.state, ONETIME_STATE_LIVE);
	assert_int_equal(value.proto, IPPROTO_UDP);
	assert_address(&value.peer, &peer);
	assert_int_equal(value.peer_port, htons(OCLIENT_PORT));
	assert_int_not_equal(value.port, 0);
	assert_true(value.until_ns == ONETIME_UNTIL_CLOSE);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_DEAD);
	assert_int_equal(oclient_count(ONETIME_CLOSED), 1);
	oclient_counts(ONETIME_EA_BOUND, 1, END);
}

static void test_connected(void **state)
{
	(void)state;
	connected(AF_INET6, OCLIENT_PEER6);
}

static void test_connected_v4(void **state)
{
	(void)state;
	connected(AF_INET, OCLIENT_PEER4);
}

static void test_connected_mapped(void **state)
{
	(void)state;
	connected(AF_INET6, "::ffff:" OCLIENT_PEER4);
}

/* An IPv4 sockaddr at an IPv6 socket comes by connect4. */
static void test_connected_other_family(void **state)
{
	(void)state;
	connected(AF_INET6, OCLIENT_PEER4);
}

/* It has its address as long as its socket, however long it is silent. */
static void test_connected_idle(void **state)
{
	struct isthmus_addr local, from;
	int fd;

	(void)state;
	oclient_prepare(AF_INET6, 1);
	oc.conf.udp_ns = 100000000;
	oclient_put_conf();
	fd = oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6);
	local = oclient_local(fd);
	usleep(300000);
	must(write(fd, "late", 4));
	exchange(fd, "late", &from);
	assert_address(&from, &local);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_DEAD);
}

/* Without AF_UNSPEC between: the port is bound, the EA stays, its peer is the new one. */
static void test_connected_anew(void **state)
{
	struct isthmus_addr local, from, peer = oclient_address(OCLIENT_PEER7);
	int fd;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	fd = oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6);
	local = oclient_local(fd);
	must(write(fd, "one", 3));
	exchange(fd, "one", &from);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER7, OCLIENT_PORT), 0);
	must(write(fd, "two", 3));
	oclient_receive("two", &from, NULL);
	assert_address(&from, &local);
	from = oclient_entry(&local).peer;
	assert_address(&from, &peer);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER7, OCLIENT_PORT), 0);
	oclient_counts(ONETIME_EA_BOUND, 1, ONETIME_EA_KEPT, 2, END);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_DEAD);
}

/* With it: one EA for all destinations that nothing is sent to, another after that. */
static void test_unconnected_between(void **state)
{
	struct isthmus_addr first, second, from;
	int fd;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	fd = oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6);
	first = oclient_local(fd);
	assert_int_equal(oclient_unconnect(fd), 0);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER7, OCLIENT_PORT), 0);
	from = oclient_local(fd);
	assert_address(&from, &first);
	must(write(fd, "one", 3));
	oclient_receive("one", &from, NULL);
	assert_address(&from, &first);
	assert_int_equal(oclient_unconnect(fd), 0);
	assert_int_equal(oclient_connect(fd, OCLIENT_PEER6, OCLIENT_PORT), 0);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_DEAD);
	second = oclient_local(fd);
	must(write(fd, "two", 3));
	exchange(fd, "two", &from);
	assert_address(&from, &second);
	assert_memory_not_equal(&first, &second, sizeof(first));
	close(fd);
	assert_int_equal(oclient_state(&second), ONETIME_STATE_DEAD);
	oclient_counts(ONETIME_EA_BOUND, 2, ONETIME_EA_KEPT, 1, END);
}

/* A socket that was connected sends by its EA, and to others while it is connected, too. */
static void test_connected_sendto(void **state)
{
	struct isthmus_addr local, from, peer = oclient_address(OCLIENT_PEER6);
	int fd;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	fd = oclient_open_to(SOCK_DGRAM, OCLIENT_PEER6);
	local = oclient_local(fd);
	assert_int_equal(oclient_sendto(fd, "aside", OCLIENT_PEER7, OCLIENT_PORT), 0);
	oclient_receive("aside", &from, NULL);
	assert_address(&from, &local);
	from = oclient_entry(&local).peer;
	assert_address(&from, &peer);
	assert_int_equal(oclient_unconnect(fd), 0);
	from = send_and_receive(fd, "after", OCLIENT_PEER6);
	assert_address(&from, &local);
	assert_int_equal(oclient_sendto(fd, "other", OCLIENT_PEER7, OCLIENT_PORT), 0);
	oclient_receive("other", &from, NULL);
	assert_address(&from, &local);
	close(fd);
	assert_int_equal(oclient_state(&local), ONETIME_STATE_DEAD);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 1);
}

/* ---- unconnected */

static void unconnected(int family, const char *one, const char *other)
{
	int pool = strchr(one, '.') ? AF_INET : AF_INET6, fd = udp_socket(family);
	struct isthmus_addr first, second, from;
	struct onetime_addr value;

	oclient_prepare(pool, 3);
	first = send_and_receive(fd, "one", one);
	assert_true(oclient_is_ea(&first));
	assert_int_equal(oclient_sendto(fd, "two", other, OCLIENT_PORT), 0);
	oclient_receive("two", &second, NULL);
	assert_true(oclient_is_ea(&second));
	assert_memory_not_equal(&first, &second, sizeof(first));
	from = send_and_receive(fd, "three", one);
	assert_address(&from, &first);
	value = oclient_entry(&first);
	assert_int_equal(value.state, ONETIME_STATE_LIVE);
	assert_true(value.until_ns < oclient_now() + oc.conf.udp_ns);
	assert_true(value.until_ns > oclient_now() + oc.conf.udp_ns / 2);
	oclient_counts(ONETIME_EA_SENT, 2, END);
	close(fd);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_DEAD);
	assert_int_equal(oclient_state(&second), ONETIME_STATE_DEAD);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 1);
}

static void test_unconnected(void **state)
{
	(void)state;
	unconnected(AF_INET6, OCLIENT_PEER6, OCLIENT_PEER7);
}

static void test_unconnected_v4(void **state)
{
	(void)state;
	unconnected(AF_INET, OCLIENT_PEER4, OCLIENT_PEER5);
}

static void test_unconnected_mapped(void **state)
{
	(void)state;
	unconnected(AF_INET6, "::ffff:" OCLIENT_PEER4, "::ffff:" OCLIENT_PEER5);
}

/* What is sent keeps an address, too; silence ends it, and the next datagram has another. */
static void test_unconnected_idle(void **state)
{
	struct isthmus_addr first, from;
	int fd = udp_socket(AF_INET6);
	int pause_us = assume_ms(100) * 1000;

	(void)state;
	oclient_prepare(AF_INET6, 2);
	oc.conf.udp_ns = 4000ull * pause_us;
	oclient_put_conf();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(oclient_sendto(fd, "x", OCLIENT_PEER6, OCLIENT_PORT), 0);
		oclient_receive("x", &from, NULL);
		if (!i)
			first = from;
		assert_address(&from, &first);
		usleep(pause_us);
	}
	usleep(5 * pause_us);
	assert_int_equal(oclient_state(&first), ONETIME_STATE_DEAD);
	from = send_and_receive(fd, "x", OCLIENT_PEER6);
	assert_memory_not_equal(&from, &first, sizeof(first));
	oclient_counts(ONETIME_EA_SENT, 2, END);
	close(fd);
}

/* The oldest of more than a socket's storage holds end by idleness. */
static void test_unconnected_many(void **state)
{
	int fd = udp_socket(AF_INET6);

	(void)state;
	oclient_prepare(AF_INET6, ONETIME_SOCKET_EAS + 4);
	for (int i = 0; i < ONETIME_SOCKET_EAS + 4; i++)
		assert_int_equal(oclient_sendto(fd, "x", OCLIENT_PEER6, 6000 + i), 0);
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), ONETIME_SOCKET_EAS + 4);
	close(fd);
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 4);
	oclient_counts(ONETIME_EA_SENT, ONETIME_SOCKET_EAS + 4, END);
}

static void test_empty(void **state)
{
	static const char *const rows[][2] = { { OCLIENT_PEER6, OCLIENT_HOST6 },
					       { OCLIENT_PEER4, OCLIENT_HOST4 } };
	struct isthmus_addr from, own;

	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = udp_socket(i ? AF_INET : AF_INET6);

		oclient_clear();
		assert_int_equal(oclient_sendto(fd, "x", rows[i][0], OCLIENT_PORT), EPERM);
		assert_int_equal(oclient_leaks(), 0);
		oclient_lenient();
		from = send_and_receive(fd, "x", rows[i][0]);
		own = oclient_address(rows[i][1]);
		assert_address(&from, &own);
		oclient_counts(ONETIME_EA_EMPTY_REFUSED, 1, ONETIME_EA_EMPTY_PASSED, 1, END);
		assert_int_equal(oclient_events(ONETIME_EVENT_EMPTY), 2);
		close(fd);
	}
}

/* An address that the program bound, and one that it says with the datagram. */
static void test_bound(void **state)
{
	int fd = udp_socket(AF_INET6);

	(void)state;
	oclient_prepare(AF_INET6, 1);
	oclient_bind(fd, OCLIENT_HOST6, 0);
	assert_int_equal(oclient_sendto(fd, "x", OCLIENT_PEER6, OCLIENT_PORT), EPERM);
	assert_int_equal(oclient_leaks(), 0);
	oclient_lenient();
	send_and_receive(fd, "x", OCLIENT_PEER6);
	oclient_counts(ONETIME_EA_BOUND_REFUSED, 1, ONETIME_EA_BOUND_PASSED, 1, END);
	close(fd);
}

static void test_bound_by_message(void **state)
{
	struct isthmus_addr own = oclient_address(OCLIENT_HOST6), ea;
	struct isthmus_addr peer = oclient_address(OCLIENT_PEER6);
	int fd = udp_socket(AF_INET6);

	(void)state;
	oclient_prepare(AF_INET6, 2);
	ea = oclient_ea(AF_INET6, oc.next[0]); /* it is not asked to choose one */
	assert_int_equal(oclient_send_from(fd, "x", &own, &peer, OCLIENT_PORT), EPERM);
	assert_int_equal(oclient_send_from(fd, "x", &ea, &peer, OCLIENT_PORT), EPERM);
	oclient_counts(ONETIME_EA_BOUND_REFUSED, 2, END);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 2);
	close(fd);
}

/* A port that is no automatic one is a server's. Of `::` and an automatic one is a client's. */
static void test_ports(void **state)
{
	struct isthmus_addr from, own = oclient_address(OCLIENT_HOST6);
	int fd = udp_socket(AF_INET6);

	(void)state;
	oclient_prepare(AF_INET6, 1);
	oclient_bind(fd, "::", oc.conf.port_high);
	from = send_and_receive(fd, "x", OCLIENT_PEER6);
	assert_true(oclient_is_ea(&from));
	oclient_counts(ONETIME_EA_SENT, 1, END);
	close(fd);
	assert_int_equal(oclient_leaks(), 0);
	oc.may_leak = true;
	fd = udp_socket(AF_INET6);
	oclient_bind(fd, "::", oc.conf.port_high + 1);
	from = send_and_receive(fd, "x", OCLIENT_PEER6);
	assert_address(&from, &own);
	oclient_counts(ONETIME_EA_SENT, 1, ONETIME_EA_SERVER, 1, END);
	close(fd);
}

static void test_outside(void **state)
{
	static const char *const rows[] = { "::1",	   "fe80::1",	  "ff02::fb", "127.0.0.1",
					    "169.254.1.1", "224.0.0.251", "0.0.0.0" };

	(void)state;
	oc.may_leak = true;
	oclient_prepare(AF_INET6, 1);
	oclient_prepare(AF_INET, 1);
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(*rows)); i++) {
		int fd = udp_socket(strchr(rows[i], ':') ? AF_INET6 : AF_INET);

		oclient_sendto(fd, "x", rows[i], 9);
		oclient_counts(ONETIME_EA_OUTSIDE, i + 1, END);
		close(fd);
	}
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 2);
}

/* ---- a listener */

#define SERVICE 5353

static struct isthmus_addr give_ssa(int listener, __u8 proto)
{
	struct isthmus_addr ssa = oclient_ea(AF_INET6, 0x800000 + ++oc.next[0]);
	struct onetime_listener value = { .flags = ONETIME_LISTENER_USED,
					  .port = htons(SERVICE),
					  .proto = proto,
					  .mode = ONETIME_L2,
					  .pool = 1 };
	struct onetime_addr addr = {
		.state = ONETIME_STATE_PENDING,
		.use = ONETIME_SSA,
		.mode = ONETIME_L2,
		.proto = proto,
		.pool = 1,
		.until_ns = oclient_now() + 60000000000ull,
	};
	uint64_t cookie, fd = listener;
	socklen_t len = sizeof(cookie);
	__u32 zero = 0;

	must(getsockopt(listener, SOL_SOCKET, SO_COOKIE, &cookie, &len));
	value.cookie = cookie;
	must(bpf_map_update_elem(bpf_map__fd(oc.skel->maps.onetime_listener), &zero, &value,
				 BPF_ANY));
	must(bpf_map_update_elem(bpf_map__fd(oc.skel->maps.onetime_listen), &zero, &fd, BPF_ANY));
	must(bpf_map_update_elem(bpf_map__fd(oc.skel->maps.onetime_addr), &ssa, &addr, BPF_ANY));
	return ssa;
}

/* A server that answers by sendto(), of a throw-away address: the client has its answer from the
 * address that it asked. Also twice, and by a client that asks two. */
static void serve(const char *bound)
{
	int fd = udp_socket(AF_INET6);
	struct isthmus_addr ssa[2], from;
	struct isthmus_addr peer = oclient_address(OCLIENT_PEER6);
	struct sockaddr_in6 client;
	socklen_t len = sizeof(client);
	char text[8] = {};
	uint16_t port;

	oclient_bind(fd, bound, SERVICE);
	ssa[0] = give_ssa(fd, IPPROTO_UDP);
	ssa[1] = give_ssa(fd, IPPROTO_UDP);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(oclient_send_from(oc.udp, "ask", &peer, &ssa[i % 2], SERVICE), 0);
		len = sizeof(client);
		must(recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&client, &len));
		assert_string_equal(text, "ask");
		if (i == 2) {
			/* It says the other one itself. */
			assert_int_equal(oclient_send_from(fd, "x", &ssa[0], &peer, OCLIENT_PORT),
					 0);
			oclient_receive("x", &from, &port);
		} else {
			must(sendto(fd, "told", 4, 0, (struct sockaddr *)&client, len));
			oclient_receive("told", &from, &port);
		}
		assert_address(&from, &ssa[i % 2]);
		assert_int_equal(port, SERVICE);
	}
	oclient_counts(ONETIME_EA_REPLY, 3, END);
	close(fd);
}

static void serve_both(void)
{
	oclient_clear();
	serve("::");
	oclient_clear();
	serve("::1");
}

static void test_listener(void **state)
{
	(void)state;
	serve_both();
	oclient_without_clients(serve_both);
}

/* ---- the library */

static const char hosts[] = "2001:db8:1::2 one.test\n2001:db8:1::3 one.test\n"
			    "192.0.2.2 one.test\n192.0.2.3 one.test\n";

/* Returns how many addresses it told, in a process of its own: it has its own /etc/hosts. */
static int resolve(void)
{
	struct addrinfo hint = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	char path[] = "/tmp/isthmus-hosts-XXXXXX";
	int fd = mkstemp(path), count = 0;

	if (fd < 0 || write(fd, hosts, sizeof(hosts) - 1) < 0 || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(path, "/etc/hosts", NULL, MS_BIND, NULL))
		return 99;
	unlink(path);
	if (getaddrinfo("one.test", "80", &hint, &list))
		return 98;
	for (struct addrinfo *at = list; at; at = at->ai_next)
		count++;
	freeaddrinfo(list);
	return count;
}

/* It asks for the source of each address by connect() with AF_UNSPEC between: one EA a family. */
static void test_getaddrinfo(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	oclient_prepare(AF_INET6, 8);
	oclient_prepare(AF_INET, 8);
	pid = must(fork());
	if (!pid)
		_exit(resolve());
	must(waitpid(pid, &status, 0));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 4);
	oclient_counts(ONETIME_EA_BOUND, 2, ONETIME_EA_KEPT, 2, END);
	assert_int_equal(oclient_states(ONETIME_STATE_LIVE), 0);
	assert_int_equal(oclient_states(ONETIME_STATE_RESERVED), 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		oclient_test(test_connected),
		oclient_test(test_connected_v4),
		oclient_test(test_connected_mapped),
		oclient_test(test_connected_other_family),
		oclient_test(test_connected_idle),
		oclient_test(test_connected_anew),
		oclient_test(test_unconnected_between),
		oclient_test(test_connected_sendto),
		oclient_test(test_unconnected),
		oclient_test(test_unconnected_v4),
		oclient_test(test_unconnected_mapped),
		oclient_test(test_unconnected_idle),
		oclient_test(test_unconnected_many),
		oclient_test(test_empty),
		oclient_test(test_bound),
		oclient_test(test_bound_by_message),
		oclient_test(test_ports),
		oclient_test(test_outside),
		oclient_test(test_listener),
		oclient_test(test_getaddrinfo),
	};

	return cmocka_run_group_tests(tests, oclient_set_up, oclient_tear_down);
}
