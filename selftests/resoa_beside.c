// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/*
 * selftests/resoa_beside.c - resoa's sockops beside another owner's (resoa_beside.bpf.c) on one
 * cgroup: each is told what it asked for, of A's sockets and of others. The kernel has one set of
 * callback flags for a socket, so one program can take them from all.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fixture.h"

static struct rfix fx;
static const char *program; /* argv[0] */
static struct bpf_object *beside;
static int other; /* a namespace that is not A */

/* It comes after resoa's, so it finds what that has left. */
static int attach_beside(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s.bpf.o", program);
	beside = bpf_object__open(path);
	if (!beside || bpf_object__load(beside)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	rfix_attach_cgroup(&fx, bpf_object__find_program_by_name(beside, "beside"),
			   BPF_CGROUP_SOCK_OPS);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_beside"))
		return -1;
	if (!rfix_cgroup(&fx)) {
		fprintf(stderr, "there is no cgroup2\n");
		return -1;
	}
	other = assume_ns_new();
	assume_ns_enter(other);
	assume_run("ip link set lo up");
	assume_ns_enter(fx.home);
	rfix_attach_cgroup(&fx, fx.skel->progs.resoa_sockops, BPF_CGROUP_SOCK_OPS);
	return attach_beside();
}

static int tear_down(void **state)
{
	(void)state;
	bpf_object__close(beside);
	close(other);
	rfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	int fd = bpf_object__find_map_fd_by_name(beside, "told");
	__u64 none = 0;

	(void)state;
	assume_ns_enter(fx.home);
	for (__u32 i = 0; i < 2; i++)
		must(bpf_map_update_elem(fd, &i, &none, BPF_ANY));
	rfix_conf(&fx, rfix_netns_cookie(), 0);
	rfix_clear(&fx);
	return 0;
}

static __u64 told(__u32 which)
{
	__u64 count;

	must(bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(beside, "told"), &which, &count));
	return count;
}

/* A listener, a connection of it, and their ends. The accepted socket was established before
 * accept() returns, and the listener's end is told in close(). */
static void run_connection(const char *address)
{
	struct sockaddr_in6 name;
	socklen_t len = rfix_sockaddr(address, 0, &name);
	int listener = must(socket(name.sin6_family, SOCK_STREAM, 0)), client, accepted;

	must(listen(listener, 1));
	must(getsockname(listener, (void *)&name, &len));
	len = rfix_sockaddr(address, ntohs(name.sin6_port), &name);
	client = must(socket(name.sin6_family, SOCK_STREAM, 0));
	must(connect(client, (void *)&name, len));
	accepted = must(accept(listener, NULL, NULL));
	assert_true(told(0) >= 1);
	close(client);
	close(accepted);
	close(listener);
	assert_true(told(0) >= 2);
	assert_int_equal(told(1), 0);
}

static void test_elsewhere(void **unused)
{
	(void)unused;
	assume_ns_enter(other);
	run_connection("127.0.0.1");
	clear(NULL);
	assume_ns_enter(other);
	run_connection("::1");
	assert_null(rfix_event(&fx, 0));
	assert_true(rfix_counts(&fx, { RFIX_NONE, 0 }));
}

static bool next_is(int type)
{
	const struct resoa_event *event = rfix_event(&fx, 0);

	return event && event->type == type && event->pid == (__u32)getpid();
}

static void run_of_client(const char *address)
{
	clear(NULL);
	run_connection(address);
	assert_true(next_is(RESOA_EVENT_LISTEN));
	assert_true(next_is(RESOA_EVENT_UNLISTEN));
	assert_null(rfix_event(&fx, 0));
	assert_true(rfix_counts(&fx, { RESOA_LISTEN, 1 }));
}

static void test_of_client(void **unused)
{
	(void)unused;
	run_of_client("127.0.0.1");
	run_of_client("::1");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_elsewhere, clear),
		cmocka_unit_test_setup(test_of_client, clear),
	};

	(void)argc;
	program = argv[0];
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
