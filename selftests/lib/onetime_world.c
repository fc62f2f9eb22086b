// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_world.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define CPUS 256

struct oworld ow;

#define map_fd(name) bpf_map__fd(ow.skel->maps.name)

/* ---- the hosts */

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

static void enter_cgroup(const char *cgroup)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = must(open(path, O_WRONLY | O_CLOEXEC));
	must(write(fd, "0", 1));
	close(fd);
}

void oworld_sysctl(const char *name, int value)
{
	assume_run("sysctl -qw %s=%d", name, value);
}

static void join(enum oworld_dev at)
{
	char dev[8];

	snprintf(dev, sizeof(dev), "eth%d", at);
	assume_veth(dev, dev, ow.clients);
	assume_run("ip -6 addr add 2001:db8:%d::1/64 dev %s nodad", at + 1, dev);
	assume_mac(dev, ow.mac[at][0]);
	assume_ns_enter(ow.clients);
	assume_run("ip -6 addr add 2001:db8:%d::2/64 dev %s nodad", at + 1, dev);
	assume_mac(dev, ow.mac[at][1]);
	ow.packets[at] = assume_packet_socket(dev);
	assume_ns_enter(ow.ns);
}

static void make_networks(void)
{
	must(unshare(CLONE_NEWNET));
	ow.ns = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	ow.clients = assume_ns_new();
	assume_run("ip link set lo up");
	join(OWORLD_GUARDED);
	join(OWORLD_OPEN);
	assume_run("ip -6 route add local 2001:db8:100::/47 dev lo");
	assume_run("ip -6 route add 2001:db8:7::/64 via 2001:db8:1::2");
	assume_run("ip -6 route add 2001:db8:8::/64 via 2001:db8:1::2");
	oworld_sysctl("net.core.somaxconn", 65535);
	oworld_sysctl("net.ipv4.tcp_max_syn_backlog", 65535);
	assume_ns_enter(ow.clients);
	assume_run("ip -6 route add local 2001:db8:7::/64 dev lo");
	assume_run("ip -6 route add blackhole 2001:db8:8::/64");
	assume_run("ip -6 route add 2001:db8:100::/47 via 2001:db8:1::1");
	oworld_sysctl("net.ipv6.ip_nonlocal_bind", 1);
	/* Neighbours are found before anything is measured or in a hurry. */
	assume_try("ping -6 -c 1 -w 3 2001:db8:1::1");
	assume_ns_enter(ow.ns);
}

static void attach_tc(struct bpf_program *program, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex("eth0"),
		    .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(program));

	if (point == BPF_TC_INGRESS)
		must(bpf_tc_hook_create(&hook)); /* clsact has both */
	must(bpf_tc_attach(&hook, &opts));
}

static void attach(void)
{
	struct onetime_bpf *skel = ow.skel;

	ow.links[0] = must(bpf_link_create(bpf_program__fd(skel->progs.onetime_lookup), ow.ns,
					   BPF_SK_LOOKUP, NULL));
	ow.links[1] = must(bpf_link_create(bpf_program__fd(skel->progs.onetime_sockops),
					   ow.cgroup_fd, BPF_CGROUP_SOCK_OPS, NULL));
	ow.links[2] = must(bpf_link_create(bpf_program__fd(skel->progs.onetime_release),
					   ow.cgroup_fd, BPF_CGROUP_INET_SOCK_RELEASE, NULL));
	ow.links[3] = must(bpf_link_create(bpf_program__fd(skel->progs.onetime_reply_sendmsg6),
					   ow.cgroup_fd, BPF_CGROUP_UDP6_SENDMSG, NULL));
	attach_tc(skel->progs.onetime_in, BPF_TC_INGRESS);
	attach_tc(skel->progs.onetime_out, BPF_TC_EGRESS);
}

static void put_pool(bool reset)
{
	struct onetime_prefix key = { .bits = 64, .addr = oworld_ssa(reset, 0) };
	struct onetime_pool pool = {
		.number = 1 + reset,
		.ifindex = if_nametoindex("eth0"),
		.flags = ONETIME_POOL_READY | (reset ? ONETIME_POOL_RESET : 0),
	};

	must(bpf_map_update_elem(map_fd(onetime_pool), &key, &pool, BPF_ANY));
}

void oworld_put_conf(void)
{
	__u32 zero = 0;

	must(bpf_map_update_elem(map_fd(onetime_conf), &zero, &ow.conf, BPF_ANY));
}

static void fill_conf(void)
{
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	socklen_t len = sizeof(ow.conf.netns_cookie);

	must(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &ow.conf.netns_cookie, &len));
	close(fd);
	ow.conf.abi = ONETIME_ABI;
	ow.conf.claim_ns = ONETIME_CLAIM_S * OWORLD_S;
	ow.conf.linger_ns = ONETIME_LINGER_S * OWORLD_S;
	ow.conf.udp_ns = ONETIME_UDP_S * OWORLD_S;
	ow.conf.port_low = 32768;
	ow.conf.port_high = 60999;
	ow.conf.links = 1;
	ow.conf.link[0].ifindex = if_nametoindex("eth0");
	memcpy(ow.conf.link[0].mac, ow.mac[OWORLD_GUARDED][0], 6);
	oworld_put_conf();
}

int oworld_open(void)
{
	char where[256];

	if (!find_cgroup(where, sizeof(where)))
		return -1;
	make_networks();
	ow.skel = onetime_bpf__open_and_load();
	assert_non_null(ow.skel);
	snprintf(ow.cgroup, sizeof(ow.cgroup), "%s/onetime-world-%d", where, getpid());
	must(mkdir(ow.cgroup, 0755));
	ow.cgroup_fd = must(open(ow.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	enter_cgroup(ow.cgroup);
	ow.listener = -1;
	attach();
	put_pool(false);
	put_pool(true);
	return 0;
}

void oworld_close(void)
{
	char root[400];

	if (!ow.skel)
		return;
	for (size_t i = 0; i < sizeof(ow.links) / sizeof(*ow.links); i++)
		close(ow.links[i]);
	close(ow.cgroup_fd);
	close(ow.listener);
	onetime_bpf__destroy(ow.skel);
	snprintf(root, sizeof(root), "%s/..", ow.cgroup);
	enter_cgroup(root);
	rmdir(ow.cgroup);
}

static __u64 counted(enum onetime_reason reason)
{
	struct isthmus_count counts[CPUS] = {};
	__u32 key = reason;
	__u64 sum = 0;

	must(libbpf_num_possible_cpus() <= CPUS ? 0 : -1);
	must(bpf_map_lookup_elem(map_fd(onetime_stats), &key, counts));
	for (int i = 0; i < CPUS; i++)
		sum += counts[i].packets;
	return sum;
}

/* From one to the next: to begin anew each time would go over a million empty places. */
static void no_addresses(void)
{
	int fd = map_fd(onetime_addr);
	struct isthmus_addr key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		bpf_map_delete_elem(fd, &key);
	}
}

void oworld_clear(void)
{
	no_addresses();
	if (ow.listener >= 0)
		close(ow.listener);
	ow.listener = oworld_listening(OWORLD_LISTENER, 4096, false, false);
	must(oworld_listener_put(0, ow.listener, OWORLD_LISTENER, IPPROTO_TCP) ? 0 : -1);
	fill_conf();
	oworld_flush();
	for (int i = 0; i < ONETIME_REASON_COUNT; i++)
		ow.begun[i] = counted(i);
}

/* ---- addresses */

struct isthmus_addr oworld_address(__u16 site, __u32 number)
{
	struct isthmus_addr address = PACKET_V6(site, 0);

	packet_put32(address.b + 12, number);
	return address;
}

struct isthmus_addr oworld_ssa(bool reset, __u32 number)
{
	return oworld_address(0x100 + reset, number);
}

__u64 oworld_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* the programs' */
	return now.tv_sec * OWORLD_S + now.tv_nsec;
}

struct onetime_addr oworld_pending(enum onetime_mode mode, __u32 listener)
{
	return (struct onetime_addr){ .state = ONETIME_STATE_PENDING,
				      .use = ONETIME_SSA,
				      .mode = mode,
				      .proto = IPPROTO_TCP,
				      .listener = listener,
				      .port = htons(mode == ONETIME_AWARE ? OWORLD_PORT : 0),
				      .pool = 1,
				      .since_ns = oworld_now(),
				      .until_ns = oworld_now() + 600 * OWORLD_S };
}

void oworld_put(const struct isthmus_addr *address, const struct onetime_addr *record)
{
	must(bpf_map_update_elem(map_fd(onetime_addr), address, record, BPF_ANY));
}

void oworld_give(const struct isthmus_addr *address, enum onetime_mode mode)
{
	struct onetime_addr record = oworld_pending(mode, 0);

	oworld_put(address, &record);
}

struct onetime_addr oworld_get(const struct isthmus_addr *address)
{
	struct onetime_addr record = {};

	bpf_map_lookup_elem(map_fd(onetime_addr), address, &record);
	return record;
}

__u32 oworld_state(const struct isthmus_addr *address)
{
	struct onetime_addr record = oworld_get(address);

	return onetime_state_at(&record, oworld_now());
}

bool oworld_becomes(const struct isthmus_addr *address, __u32 state)
{
	for (int i = 0; i < assume_ms(1000); i++) {
		if (oworld_state(address) == state)
			return true;
		usleep(1000);
	}
	return false;
}

__u64 oworld_count(enum onetime_reason reason)
{
	return counted(reason) - ow.begun[reason];
}

void oworld_counted(enum onetime_reason reason, __u64 times)
{
	static const char *const names[] = {
#define NAME(name, verdict, text) #name,
		ONETIME_REASONS(NAME)
#undef NAME
	};

	if (oworld_count(reason) != times)
		fail_msg("%s counted %llu, not %llu", names[reason],
			 (unsigned long long)oworld_count(reason), (unsigned long long)times);
}

/* ---- sockets */

static struct sockaddr_in6 sockaddr_of(const struct isthmus_addr *address, __u16 port)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(&to.sin6_addr, address, 16);
	return to;
}

int oworld_socket(int protocol)
{
	int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1;
	int fd = must(socket(AF_INET6, type | SOCK_CLOEXEC, protocol));

	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	return fd;
}

/* At the loopback address, as a server that waits for its addresses, or at any. */
int oworld_listening(__u16 port, int backlog, bool any, bool group)
{
	static const struct isthmus_addr none, loopback = { { [15] = 1 } };
	struct sockaddr_in6 at = sockaddr_of(any ? &none : &loopback, port);
	int fd = oworld_socket(IPPROTO_TCP), one = 1;

	if (group)
		must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)));
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	must(listen(fd, backlog));
	return fd;
}

bool oworld_listener_put(__u32 index, int fd, __u16 port, __u8 proto)
{
	struct onetime_listener listener = { .flags = ONETIME_LISTENER_USED,
					     .pid = getpid(),
					     .port = htons(port),
					     .proto = proto,
					     .pool = 1,
					     .fd = fd };
	socklen_t len = sizeof(listener.cookie);
	__u64 value = fd;
	int err;

	must(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &listener.cookie, &len));
	must(bpf_map_update_elem(map_fd(onetime_listener), &index, &listener, BPF_ANY));
	err = bpf_map_update_elem(map_fd(onetime_listen), &index, &value, BPF_ANY);
	errno = -err;
	return !err;
}

bool oworld_readable(int fd, int ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, ms) == 1;
}

int oworld_accept(int listener, const struct isthmus_addr *local, __u16 port,
		  const struct isthmus_addr *peer, __u16 peer_port)
{
	struct sockaddr_in6 ours, theirs;
	socklen_t len = sizeof(theirs);
	int fd;

	assert_true(oworld_readable(listener, assume_ms(1000)));
	fd = must(accept4(listener, (struct sockaddr *)&theirs, &len, SOCK_CLOEXEC));
	len = sizeof(ours);
	must(getsockname(fd, (struct sockaddr *)&ours, &len));
	assert_memory_equal(&theirs.sin6_addr, peer, 16);
	assert_memory_equal(&ours.sin6_addr, local, 16);
	assert_int_equal(ntohs(ours.sin6_port), port);
	if (peer_port)
		assert_int_equal(ntohs(theirs.sin6_port), peer_port);
	return fd;
}

bool oworld_nobody(int listener)
{
	return !oworld_readable(listener, OWORLD_QUIET_MS);
}

int oworld_client(__u32 number, int type)
{
	struct isthmus_addr address = oworld_address(7, number);
	struct sockaddr_in6 from = sockaddr_of(&address, 0);
	int fd;

	assume_ns_enter(ow.clients);
	fd = must(socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	must(bind(fd, (struct sockaddr *)&from, sizeof(from)));
	assume_ns_enter(ow.ns);
	return fd;
}

int oworld_connect(int fd, const struct isthmus_addr *to, __u16 port, int ms)
{
	struct sockaddr_in6 there = sockaddr_of(to, port);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int err = 0;

	if (!connect(fd, (struct sockaddr *)&there, sizeof(there)))
		return 0;
	if (errno != EINPROGRESS && errno != EALREADY)
		return errno;
	if (poll(&wait, 1, ms) != 1)
		return ETIMEDOUT;
	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len));
	return err;
}

/* ---- by hand */

struct oworld_hand oworld_hand(__u32 number, const struct isthmus_addr *ssa)
{
	return (struct oworld_hand){ .me = oworld_address(8, number),
				     .ssa = *ssa,
				     .port = 40000,
				     .ssa_port = OWORLD_PORT,
				     .seq = 1000 + number * 7919 };
}

void oworld_frame(const struct oworld_hand *hand, __u16 flags, const char *data,
		  struct packet *frame)
{
	struct packet_spec spec = { .src = hand->me,
				    .dst = hand->ssa,
				    .sport = hand->port,
				    .dport = hand->ssa_port,
				    .flags = flags,
				    .seq = hand->seq,
				    .ack = flags & PACKET_ACK ? hand->ack : 0,
				    .data = data,
				    .data_len = data ? strlen(data) : 0 };

	memcpy(spec.dst_mac, ow.mac[hand->dev][0], 6);
	memcpy(spec.src_mac, ow.mac[hand->dev][1], 6);
	packet_build(&spec, frame);
}

void oworld_send(const struct oworld_hand *hand, __u16 flags, const char *data)
{
	static struct packet frame;

	oworld_frame(hand, flags, data, &frame);
	assume_packet_send(ow.packets[hand->dev], &frame);
}

static bool is_for(const struct packet *frame, const struct oworld_hand *hand,
		   struct oworld_seen *seen)
{
	struct packet_view view;
	const __u8 *tcp;

	if (!packet_parse(frame, &view) || !view.v6 || view.proto != IPPROTO_TCP ||
	    memcmp(frame->b + view.l3 + 8, &hand->ssa, 16) ||
	    memcmp(frame->b + view.l3 + 24, &hand->me, 16))
		return false;
	tcp = frame->b + view.l4;
	seen->ssa_port = packet_get16(tcp);
	seen->port = packet_get16(tcp + 2);
	seen->seq = packet_get32(tcp + 4);
	seen->ack = packet_get32(tcp + 8);
	seen->flags = tcp[13];
	seen->data = view.end - view.l4 - (tcp[12] >> 4) * 4;
	return true;
}

/* Replies go by the guarded device, whichever way a segment came. */
bool oworld_receive(const struct oworld_hand *hand, struct oworld_seen *seen, int ms)
{
	__u64 end = assume_now_ms() + ms;
	static struct packet frame;
	__s64 left;

	do {
		left = end - assume_now_ms();
		if (!assume_packet_receive(ow.packets[OWORLD_GUARDED], &frame, left > 0 ? left : 0))
			return false;
	} while (!is_for(&frame, hand, seen));
	return true;
}

bool oworld_sees(const struct oworld_hand *hand, __u16 flags, struct oworld_seen *seen)
{
	while (oworld_receive(hand, seen, assume_ms(1000)))
		if ((seen->flags & ~PACKET_PSH) == flags)
			return true;
	return false;
}

bool oworld_hears_nothing(const struct oworld_hand *hand)
{
	struct oworld_seen seen;

	return !oworld_receive(hand, &seen, OWORLD_QUIET_MS);
}

int oworld_establish(struct oworld_hand *hand)
{
	struct oworld_seen seen;

	oworld_send(hand, PACKET_SYN, NULL);
	assert_true(oworld_sees(hand, PACKET_SYN | PACKET_ACK, &seen));
	assert_int_equal(seen.ack, hand->seq + 1);
	assert_int_equal(seen.port, hand->port);
	assert_int_equal(seen.ssa_port, hand->ssa_port);
	hand->seq++;
	hand->ack = seen.seq + 1;
	oworld_send(hand, PACKET_ACK, NULL);
	return oworld_accept(ow.listener, &hand->ssa, hand->ssa_port, &hand->me, hand->port);
}

void oworld_flush(void)
{
	static struct packet frame;

	for (int i = 0; i < OWORLD_DEVS; i++)
		while (recv(ow.packets[i], frame.b, sizeof(frame.b), MSG_DONTWAIT) >= 0)
			;
}
