// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/*
 * selftests/resoa_choice.c - getsockopt() of TCP_CONGESTION in A: the server's default, or what the
 * program has chosen. The calls are real, made by this process in a cgroup of its own.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
static int links[3], other; /* other: a namespace that is not A */

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_choice"))
		return -1;
	if (!rfix_cgroup(&fx)) {
		fprintf(stderr, "there is no cgroup2\n");
		return -1;
	}
	other = assume_ns_new();
	links[0] =
		rfix_attach_cgroup(&fx, fx.skel->progs.resoa_create, BPF_CGROUP_INET_SOCK_CREATE);
	links[1] = rfix_attach_cgroup(&fx, fx.skel->progs.resoa_setsockopt, BPF_CGROUP_SETSOCKOPT);
	links[2] = rfix_attach_cgroup(&fx, fx.skel->progs.resoa_getsockopt, BPF_CGROUP_GETSOCKOPT);
	rfix_conf(&fx, rfix_netns_cookie(), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		close(links[i]);
	close(other);
	rfix_close(&fx);
	return 0;
}

#define OF_SERVER "of-the-server"

static int make_socket(void)
{
	return must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const char *congestion_of(int fd, socklen_t room)
{
	static char name[8192];

	memset(name, 0, sizeof(name));
	must(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &room));
	return name;
}

static int set_congestion(int fd, const char *name)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)) ? errno : 0;
}

static void conf_congestion(const char *own)
{
	struct resoa_conf conf = { .abi = RESOA_ABI,
				   .client = rfix_netns_cookie(),
				   .congestion = OF_SERVER };
	__u32 zero = 0;

	memcpy(conf.congestion_a, own, strlen(own));
	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_conf), &zero, &conf, BPF_ANY));
}

/* Of a connection that a listener of this choice accepts. */
static void run_accepted(const char *choice, const char *want)
{
	int listener = make_socket(), fd = make_socket(), accepted;
	struct sockaddr_in to;
	socklen_t len = sizeof(to);

	if (choice)
		assert_int_equal(set_congestion(listener, choice), 0);
	must(listen(listener, 1));
	must(getsockname(listener, (void *)&to, &len));
	must(connect(fd, (void *)&to, len));
	accepted = must(accept(listener, NULL, NULL));
	assert_string_equal(congestion_of(accepted, 16), want);
	close(accepted);
	close(fd);
	close(listener);
}

/* The server's default, until the program has chosen; whatever A's default is. */
static void run_congestion(const char *own, const char *another)
{
	int fd = make_socket();

	conf_congestion(own);
	assert_string_equal(congestion_of(fd, 16), OF_SERVER);
	assert_string_equal(congestion_of(fd, 8192), OF_SERVER);
	assert_string_equal(congestion_of(fd, 3), "of-");
	assert_int_equal(set_congestion(fd, "nothing"), ENOENT);
	assert_string_equal(congestion_of(fd, 16), OF_SERVER);
	assert_int_equal(set_congestion(fd, another), 0);
	assert_string_equal(congestion_of(fd, 16), another);
	assert_int_equal(set_congestion(fd, own), 0);
	assert_string_equal(congestion_of(fd, 16), own);
	close(fd);
	run_accepted(NULL, OF_SERVER);
	run_accepted(own, own);
	run_accepted(another, another);
}

static void test_congestion(void **unused)
{
	socklen_t len = sizeof(int);
	int fd = make_socket(), value = 0;
	char own[16];

	(void)unused;
	strcpy(own, congestion_of(fd, sizeof(own)));
	run_congestion(own, strcmp(own, "reno") ? "reno" : "cubic");
	assume_run("sysctl -qw net.ipv4.tcp_congestion_control=reno");
	run_congestion("reno", strcmp(own, "reno") ? own : "cubic");
	must(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, &len));
	assert_true(value > 0 && value < 1500);
	close(fd);
	assume_ns_enter(other);
	fd = make_socket();
	assert_string_not_equal(congestion_of(fd, 16), OF_SERVER);
	close(fd);
	assume_ns_enter(fx.home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_congestion),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
