// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c */
/*
 * selftests/portarp_bind.c - what programs on a sharer may bind (paper II.A): real sockets in a
 * network namespace and a cgroup of their own.
 *
 * The host has 1232-1235, 2256-2259, ... (a = 6, k = 8, PSID 0x34) and port 80 of 203.0.113.1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/portarp.skel.h"
#include "maps/portarp.h"
#include "selftests/lib/assume.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define SHARED "203.0.113.1"

static struct portarp_bpf *skel;
static char cgroup[300];
static int cgroup_fd = -1, link_fd[2];

static void find_cgroup(char *path, size_t len)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char where[256] = "", kind[64] = "";

	assert_non_null(mounts);
	while (fscanf(mounts, "%*s %255s %63s %*[^\n]", where, kind) == 2)
		if (!strcmp(kind, "cgroup2"))
			break;
	fclose(mounts);
	snprintf(path, len, "%s", strcmp(kind, "cgroup2") ? "" : where);
}

static void write_file(const char *name, const char *text)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	fd = must(open(path, O_WRONLY | O_CLOEXEC));
	must(write(fd, text, strlen(text)));
	close(fd);
}

static void put_conf(void)
{
	struct portarp_conf conf = { .abi = PORTARP_ABI, .role = PORTARP_HOST };
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	uint64_t cookie;
	socklen_t len = sizeof(cookie);
	__u32 zero = 0;

	must(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len));
	close(fd);
	conf.netns_cookie = cookie;
	conf.own[0] = inet_addr(SHARED);
	must(bpf_map_update_elem(bpf_map__fd(skel->maps.portarp_conf), &zero, &conf, BPF_ANY));
}

static void put_mine(bool live)
{
	const struct portarp_mine mine = { .set = { 6, 8, 0x34 },
					   .sets = 1,
					   .range = { { 80, 80 } },
					   .ranges = 1,
					   .expires_ns = live ? 0 : 1 };

	must(bpf_map_update_elem(bpf_map__fd(skel->maps.portarp_mine),
				 &(__be32){ inet_addr(SHARED) }, &mine, BPF_ANY));
}

static void load(void)
{
	static const char *const unneeded[] = { "portarp_up_xdp",  "portarp_up_tc",
						"portarp_lan_xdp", "portarp_lan_tc",
						"portarp_lan_out", "portarp_up_out" };

	skel = portarp_bpf__open();
	assert_non_null(skel);
	skel->rodata->portarp_role = PORTARP_HOST;
	for (size_t i = 0; i < sizeof(unneeded) / sizeof(unneeded[0]); i++)
		bpf_program__set_autoload(bpf_object__find_program_by_name(skel->obj, unneeded[i]),
					  false);
	must(portarp_bpf__load(skel));
}

static int set_up(void **state)
{
	char where[256];

	(void)state;
	find_cgroup(where, sizeof(where));
	if (!where[0])
		return 0;
	must(unshare(CLONE_NEWNET));
	must(system("ip link set lo up && ip addr add " SHARED "/32 dev lo"));
	load();
	put_conf();
	snprintf(cgroup, sizeof(cgroup), "%s/portarp-bind-%d", where, getpid());
	must(mkdir(cgroup, 0755));
	write_file("cgroup.procs", "0");
	cgroup_fd = must(open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	link_fd[0] = must(bpf_link_create(bpf_program__fd(skel->progs.portarp_bind4), cgroup_fd,
					  BPF_CGROUP_INET4_BIND, NULL));
	link_fd[1] = must(bpf_link_create(bpf_program__fd(skel->progs.portarp_bind6), cgroup_fd,
					  BPF_CGROUP_INET6_BIND, NULL));
	return 0;
}

static int tear_down(void **state)
{
	char root[400];
	int fd;

	(void)state;
	if (!skel)
		return 0;
	close(link_fd[0]);
	close(link_fd[1]);
	close(cgroup_fd);
	portarp_bpf__destroy(skel);
	snprintf(root, sizeof(root), "%s/../cgroup.procs", cgroup);
	fd = open(root, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		must(write(fd, "0", 1));
		close(fd);
	}
	rmdir(cgroup);
	return 0;
}

/* 0 or the errno of a bind; an IPv4 address is told as ::ffff:a.b.c.d to an IPv6 socket. */
static int try_bind(int family, int type, int protocol, const char *address, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = must(socket(family, type, protocol)), err;

	if (family == AF_INET) {
		assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
		err = bind(fd, (struct sockaddr *)&v4, sizeof(v4)) ? errno : 0;
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
		err = bind(fd, (struct sockaddr *)&v6, sizeof(v6)) ? errno : 0;
	}
	close(fd);
	return err;
}

static uint64_t denied(void)
{
	struct isthmus_count counts[256] = {};
	__u32 reason = PORTARP_BIND_DENIED;
	uint64_t sum = 0;

	must(bpf_map_lookup_elem(bpf_map__fd(skel->maps.portarp_stats), &reason, counts));
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += counts[i].packets;
	return sum;
}

struct row {
	const char *address;
	uint16_t port;
	int err;
};

static void run_rows(int family, const struct row *rows, size_t count)
{
	static const struct {
		int type, protocol;
	} kinds[] = { { SOCK_STREAM, 0 }, { SOCK_DGRAM, 0 }, { SOCK_DGRAM, IPPROTO_UDPLITE } };

	for (size_t i = 0; i < count; i++)
		for (int k = 0; k < 3; k++) {
			uint64_t before = denied();
			int err = try_bind(family, kinds[k].type, kinds[k].protocol,
					   rows[i].address, rows[i].port);

			if (err != rows[i].err)
				fail_msg("%s:%u, kind %d: %s", rows[i].address, rows[i].port, k,
					 strerror(err));
			assert_int_equal(denied() - before, rows[i].err == EACCES);
		}
}

static void need_cgroup(void)
{
	if (skel)
		return;
	puts("no cgroup2 is mounted");
	skip();
}

static const struct row v4_rows[] = {
	{ SHARED, 1232, 0 },	  { SHARED, 2259, 0 },	     { SHARED, 80, 0 },
	{ SHARED, 1236, EACCES }, { SHARED, 81, EACCES },    { SHARED, 40000, EACCES },
	{ "0.0.0.0", 1233, 0 },	  { "0.0.0.0", 80, 0 },	     { "0.0.0.0", 443, EACCES },
	{ "127.0.0.1", 443, 0 },  { "127.0.0.1", 40000, 0 }, { SHARED, 0, 0 },
	{ "0.0.0.0", 0, 0 },
};

static void test_v4(void **state)
{
	(void)state;
	need_cgroup();
	put_mine(true);
	run_rows(AF_INET, v4_rows, sizeof(v4_rows) / sizeof(v4_rows[0]));
}

static void test_mapped(void **state)
{
	static const struct row rows[] = {
		{ "::ffff:" SHARED, 1232, 0 },
		{ "::ffff:" SHARED, 1236, EACCES },
		{ "::ffff:127.0.0.1", 443, 0 },
		{ "::", 443, 0 },
		{ "::1", 443, 0 },
	};

	(void)state;
	need_cgroup();
	put_mine(true);
	run_rows(AF_INET6, rows, sizeof(rows) / sizeof(rows[0]));
}

/* Of a lease that is over no port is the host's; without any, nothing is restricted. */
static void test_lease_over(void **state)
{
	static const struct row over[] = { { SHARED, 1232, EACCES }, { "0.0.0.0", 1232, EACCES } };
	static const struct row none[] = { { SHARED, 1236, 0 }, { "0.0.0.0", 443, 0 } };

	(void)state;
	need_cgroup();
	put_mine(false);
	run_rows(AF_INET, over, 2);
	must(bpf_map_delete_elem(bpf_map__fd(skel->maps.portarp_mine),
				 &(__be32){ inet_addr(SHARED) }));
	run_rows(AF_INET, none, 2);
}

static void test_other_namespace(void **state)
{
	int ours;

	(void)state;
	need_cgroup();
	put_mine(true);
	ours = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	must(unshare(CLONE_NEWNET));
	must(system("ip link set lo up && ip addr add " SHARED "/32 dev lo"));
	assert_int_equal(try_bind(AF_INET, SOCK_STREAM, 0, SHARED, 1236), 0);
	must(setns(ours, CLONE_NEWNET));
	assert_int_equal(try_bind(AF_INET, SOCK_STREAM, 0, SHARED, 1236), EACCES);
	close(ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_lease_over),
		cmocka_unit_test(test_other_namespace),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
