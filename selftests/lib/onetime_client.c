// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_client.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct oclient oc = { .cgroup_fd = -1, .nested_fd = -1 };

static int fixed_links[4], lookup_link;

#define map_fd(name) bpf_map__fd(oc.skel->maps.name)

/* ---- the host */

static bool find_cgroup(char *path, size_t len)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char where[256] = "", kind[64] = "";

	assert_non_null(mounts);
	while (fscanf(mounts, "%*s %255s %63s %*[^\n]", where, kind) == 2)
		if (!strcmp(kind, "cgroup2"))
			break;
	fclose(mounts);
	snprintf(path, len, "%s", where);
	return !strcmp(kind, "cgroup2");
}

void oclient_enter(const char *cgroup)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = must(open(path, O_WRONLY | O_CLOEXEC));
	must(write(fd, "0", 1));
	close(fd);
}

static void make_networks(void)
{
	static const char quick[] = "sysctl -qw net.ipv6.conf.all.accept_dad=0 "
				    "net.ipv6.conf.default.accept_dad=0";

	must(unshare(CLONE_NEWNET));
	assume_run("%s", quick);
	oc.ns = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	oc.peer_ns = assume_ns_new();
	assume_ns_enter(oc.peer_ns);
	assume_run("%s", quick);
	assume_ns_enter(oc.ns);
	assume_run("ip link set lo up");
	assume_veth("eth0", "eth0", oc.peer_ns);
	assume_run("ip -6 addr add " OCLIENT_HOST6 "/64 dev eth0 nodad");
	assume_run("ip addr add " OCLIENT_HOST4 "/24 dev eth0");
	assume_run("ip -6 route add local 2001:db8:ea::/64 dev lo");
	assume_run("ip route add local 198.51.100.0/24 dev lo");
	assume_run("sysctl -qw net.ipv6.ip_nonlocal_bind=1 net.ipv4.ip_nonlocal_bind=1");
	assume_ns_enter(oc.peer_ns);
	assume_run("ip -6 addr add " OCLIENT_PEER6 "/64 dev eth0 nodad");
	assume_run("ip -6 addr add " OCLIENT_PEER7 "/64 dev eth0 nodad");
	assume_run("ip addr add " OCLIENT_PEER4 "/24 dev eth0");
	assume_run("ip addr add " OCLIENT_PEER5 "/24 dev eth0");
	assume_run("ip -6 route add 2001:db8:ea::/64 via " OCLIENT_HOST6);
	assume_run("ip route add 198.51.100.0/24 via " OCLIENT_HOST4);
	oc.capture = assume_packet_socket("eth0");
	assume_ns_enter(oc.ns);
	oc.tcp = oclient_peer_socket(SOCK_STREAM, OCLIENT_PORT);
	oc.udp = oclient_peer_socket(SOCK_DGRAM, OCLIENT_PORT);
}

int oclient_attach(struct bpf_program *program, int cgroup_fd, enum bpf_attach_type type)
{
	return must(bpf_link_create(bpf_program__fd(program), cgroup_fd, type, NULL));
}

void oclient_attach_clients(int cgroup_fd, bool by_user, int links[4])
{
	struct onetime_bpf *skel = oc.skel;

	links[0] = oclient_attach(by_user ? skel->progs.onetime_user_connect6
					  : skel->progs.onetime_connect6,
				  cgroup_fd, BPF_CGROUP_INET6_CONNECT);
	links[1] = oclient_attach(by_user ? skel->progs.onetime_user_connect4
					  : skel->progs.onetime_connect4,
				  cgroup_fd, BPF_CGROUP_INET4_CONNECT);
	links[2] = oclient_attach(by_user ? skel->progs.onetime_user_sendmsg6
					  : skel->progs.onetime_sendmsg6,
				  cgroup_fd, BPF_CGROUP_UDP6_SENDMSG);
	links[3] = oclient_attach(by_user ? skel->progs.onetime_user_sendmsg4
					  : skel->progs.onetime_sendmsg4,
				  cgroup_fd, BPF_CGROUP_UDP4_SENDMSG);
}

void oclient_detach(int links[4])
{
	for (int i = 0; i < 4; i++)
		close(links[i]);
}

static void attach_tc(struct bpf_program *program, enum bpf_tc_attach_point point)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex("eth0"),
			    .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(program));
	int err = bpf_tc_hook_create(&hook);

	assert_true(!err || err == -EEXIST);
	assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
}

static void attach_fixed(void)
{
	struct onetime_bpf *skel = oc.skel;

	fixed_links[0] =
		oclient_attach(skel->progs.onetime_sockops, oc.cgroup_fd, BPF_CGROUP_SOCK_OPS);
	fixed_links[1] = oclient_attach(skel->progs.onetime_release, oc.cgroup_fd,
					BPF_CGROUP_INET_SOCK_RELEASE);
	fixed_links[2] = oclient_attach(skel->progs.onetime_reply_sendmsg6, oc.cgroup_fd,
					BPF_CGROUP_UDP6_SENDMSG);
	fixed_links[3] = oclient_attach(skel->progs.onetime_reply_sendmsg4, oc.cgroup_fd,
					BPF_CGROUP_UDP4_SENDMSG);
	lookup_link = must(bpf_link_create(bpf_program__fd(skel->progs.onetime_lookup), oc.ns,
					   BPF_SK_LOOKUP, NULL));
	attach_tc(skel->progs.onetime_in, BPF_TC_INGRESS);
	attach_tc(skel->progs.onetime_out, BPF_TC_EGRESS);
}

static void put_pool(const char *address, __u32 bits, __u8 flags, __u32 number)
{
	struct onetime_prefix key = { .bits = bits, .addr = oclient_address(address) };
	struct onetime_pool pool = {
		.number = number,
		.ifindex = if_nametoindex("eth0"),
		.mode = ONETIME_L2,
		.flags = flags | ONETIME_POOL_CLIENT,
	};

	must(bpf_map_update_elem(map_fd(onetime_pool), &key, &pool, BPF_ANY));
}

void oclient_put_conf(void)
{
	__u32 zero = 0;

	must(bpf_map_update_elem(map_fd(onetime_conf), &zero, &oc.conf, BPF_ANY));
}

static __u64 netns_cookie(void)
{
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	must(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len));
	close(fd);
	return cookie;
}

int oclient_open(void)
{
	char where[256];

	if (!find_cgroup(where, sizeof(where)))
		return -1;
	make_networks();
	oc.skel = onetime_bpf__open_and_load();
	assert_non_null(oc.skel);
	snprintf(oc.cgroup, sizeof(oc.cgroup), "%s/onetime-client-%d", where, getpid());
	snprintf(oc.nested, sizeof(oc.nested), "%s/nested", oc.cgroup);
	must(mkdir(oc.cgroup, 0755));
	must(mkdir(oc.nested, 0755));
	oc.cgroup_fd = must(open(oc.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	oc.nested_fd = must(open(oc.nested, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	oclient_enter(oc.cgroup);
	oc.conf.abi = ONETIME_ABI;
	oc.conf.netns_cookie = netns_cookie();
	attach_fixed();
	put_pool("2001:db8:ea::", 64, 0, 1);
	put_pool("198.51.100.0", 96 + 24, ONETIME_POOL_V4, 2);
	return 0;
}

void oclient_close(void)
{
	char root[400];

	if (!oc.skel)
		return;
	oclient_detach(fixed_links);
	close(lookup_link);
	close(oc.cgroup_fd);
	close(oc.nested_fd);
	onetime_bpf__destroy(oc.skel);
	snprintf(root, sizeof(root), "%s/..", oc.cgroup);
	oclient_enter(root);
	/* The last child may be on its way out yet. */
	for (int i = 0; i < 100 && rmdir(oc.nested) && errno == EBUSY; i++)
		usleep(10000);
	for (int i = 0; i < 100 && rmdir(oc.cgroup) && errno == EBUSY; i++)
		usleep(10000);
}

/* ---- tables */

static void clear_map(int fd, size_t key_size)
{
	char key[64], next[64];
	bool more = !bpf_map_get_next_key(fd, NULL, next);

	while (more) {
		memcpy(key, next, key_size);
		more = !bpf_map_get_next_key(fd, key, next);
		bpf_map_delete_elem(fd, key);
	}
}

static void zero_stats(void)
{
	static struct isthmus_count none[256];

	for (__u32 reason = 0; reason < ONETIME_REASON_COUNT; reason++)
		must(bpf_map_update_elem(map_fd(onetime_stats), &reason, none, BPF_ANY));
}

void oclient_clear(void)
{
	struct isthmus_addr queued;

	clear_map(map_fd(onetime_addr), sizeof(struct isthmus_addr));
	clear_map(map_fd(onetime_udp), sizeof(struct onetime_udp_key));
	clear_map(map_fd(onetime_user), sizeof(__u32));
	while (!bpf_map_lookup_and_delete_elem(map_fd(onetime_ea6), NULL, &queued))
		;
	while (!bpf_map_lookup_and_delete_elem(map_fd(onetime_ea4), NULL, &queued))
		;
	while (recv(oc.udp, &queued, sizeof(queued), MSG_DONTWAIT) >= 0)
		;
	oclient_events(0);
	oc.conf.claim_ns = 130000000000ull;
	oc.conf.linger_ns = 120000000000ull;
	oc.conf.udp_ns = 120000000000ull;
	oc.conf.port_low = 32768;
	oc.conf.port_high = 60999;
	oc.conf.strict = oc.conf.client6 = oc.conf.client4 = 1;
	oclient_put_conf();
	oc.may_leak = false;
	oclient_leaks();
	zero_stats();
}

struct isthmus_addr oclient_ea(int family, __u64 number)
{
	struct isthmus_addr addr =
		oclient_address(family == AF_INET ? "198.51.100.0" : "2001:db8:ea::");

	addr.b[15] = number;
	if (family == AF_INET6) {
		addr.b[14] = number >> 8;
		addr.b[13] = number >> 16;
	}
	return addr;
}

void oclient_prepare(int family, int count)
{
	struct onetime_addr value = {
		.state = ONETIME_STATE_RESERVED,
		.use = ONETIME_EA,
		.mode = ONETIME_L2,
		.pool = family == AF_INET ? 2 : 1,
	};
	int queue = family == AF_INET ? map_fd(onetime_ea4) : map_fd(onetime_ea6);

	while (count--) {
		struct isthmus_addr addr = oclient_ea(family, ++oc.next[family == AF_INET]);

		must(bpf_map_update_elem(map_fd(onetime_addr), &addr, &value, BPF_ANY));
		must(bpf_map_update_elem(queue, NULL, &addr, BPF_ANY));
	}
}

bool oclient_get(const struct isthmus_addr *addr, struct onetime_addr *value)
{
	return !bpf_map_lookup_elem(map_fd(onetime_addr), addr, value);
}

__u64 oclient_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

__u32 oclient_state(const struct isthmus_addr *addr)
{
	struct onetime_addr value;

	return oclient_get(addr, &value) ? onetime_state_at(&value, oclient_now())
					 : (__u32)ONETIME_STATE_DEAD;
}

__u32 oclient_states(__u32 state)
{
	struct isthmus_addr key, next;
	bool more = !bpf_map_get_next_key(map_fd(onetime_addr), NULL, &next);
	__u32 count = 0;

	while (more) {
		key = next;
		count += oclient_state(&key) == state;
		more = !bpf_map_get_next_key(map_fd(onetime_addr), &key, &next);
	}
	return count;
}

bool oclient_becomes(const struct isthmus_addr *addr, __u32 state)
{
	for (int i = 0; i < assume_ms(100); i++) {
		if (oclient_state(addr) == state)
			return true;
		usleep(10000);
	}
	return false;
}

__u64 oclient_count(enum onetime_reason reason)
{
	struct isthmus_count counts[256] = {};
	__u32 key = reason;
	__u64 sum = 0;

	must(bpf_map_lookup_elem(map_fd(onetime_stats), &key, counts));
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += counts[i].packets;
	return sum;
}

void oclient_counts(int reason, ...)
{
#define OCLIENT_NAME(name, verdict, text) #name,
	static const char *const names[] = { ONETIME_REASONS(OCLIENT_NAME) };
#undef OCLIENT_NAME
	__u64 wanted[ONETIME_REASON_COUNT] = {};
	va_list args;

	va_start(args, reason);
	for (; reason >= 0; reason = va_arg(args, int))
		wanted[reason] = va_arg(args, int);
	va_end(args);
	for (int i = ONETIME_EA_BOUND; i <= ONETIME_EA_FAILED_PASSED; i++)
		if (oclient_count(i) != wanted[i])
			fail_msg("%s is %llu, not %llu", names[i],
				 (unsigned long long)oclient_count(i),
				 (unsigned long long)wanted[i]);
}

static int count_event(void *counts, void *data, size_t len)
{
	const struct onetime_event *event = data;

	assert_int_equal(len, sizeof(*event));
	((int *)counts)[event->kind % 8]++;
	return 0;
}

int oclient_events(enum onetime_event_kind kind)
{
	int counts[8] = {};
	struct ring_buffer *ring =
		ring_buffer__new(map_fd(onetime_event), count_event, counts, NULL);

	assert_non_null(ring);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
	return counts[kind];
}
