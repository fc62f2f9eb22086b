// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/resoa_fixture.c - loads the programs, attaches and runs them, reads what they tell.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fixture.h"

#define CPUS	   256
#define COOKIE_OPT 71 /* SO_NETNS_COOKIE */

static const char *const names[] = {
#define NAME(name, verdict, text) #name,
	RESOA_REASONS(NAME)
#undef NAME
};

const char *rfix_reason_name(int reason)
{
	return reason >= 0 && reason < RESOA_REASON_COUNT ? names[reason] : "not exactly one";
}

int rfix_verdict(int reason)
{
	enum { PASS, SEND, DROP, NONE, TAKEN };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		RESOA_REASONS(VERDICT)
#undef VERDICT
	};
	static const int codes[] = { [PASS] = TC_ACT_UNSPEC,
				     [SEND] = TC_ACT_REDIRECT,
				     [DROP] = TC_ACT_SHOT,
				     [NONE] = -2,
				     [TAKEN] = TC_ACT_STOLEN };

	return codes[verdicts[reason]];
}

/* ---- addresses */

struct isthmus_addr rfix_addr(const char *text)
{
	struct isthmus_addr address = { .b = { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, text, address.b + 12) == 1)
		return address;
	must(inet_pton(AF_INET6, text, address.b) == 1 ? 0 : -1);
	return address;
}

struct resoa_names rfix_names(const char *local, int local_port, const char *remote,
			      int remote_port)
{
	struct resoa_names made = { .local_port = htons(local_port),
				    .remote_port = htons(remote_port) };

	made.local = rfix_addr(local);
	if (remote)
		made.remote = rfix_addr(remote);
	return made;
}

static void print_name(const char *what, const struct isthmus_addr *address, __be16 port)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, address->b, text, sizeof(text));
	fprintf(stderr, "%s %s %d; ", what, text, ntohs(port));
}

bool rfix_names_are(const struct resoa_names *got, struct resoa_names want)
{
	if (!memcmp(got, &want, sizeof(want)))
		return true;
	print_name("local", &got->local, got->local_port);
	print_name("remote", &got->remote, got->remote_port);
	print_name("should be local", &want.local, want.local_port);
	print_name("remote", &want.remote, want.remote_port);
	fprintf(stderr, "\n");
	return false;
}

unsigned int rfix_sockaddr(const char *text, int port, void *address)
{
	struct sockaddr_in6 *six = address;
	struct sockaddr_in *four = address;

	memset(six, 0, sizeof(*six));
	six->sin6_port = htons(port);
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	must(inet_pton(AF_INET6, text, &six->sin6_addr) == 1 ? 0 : -1);
	return sizeof(*six);
}

/* ---- opening */

static int take_event(void *context, void *data, size_t len)
{
	struct rfix *fx = context;

	if (len != sizeof(struct resoa_event))
		return -EPROTO;
	if (fx->events < RFIX_EVENTS)
		memcpy(&fx->event[(fx->first + fx->events++) % RFIX_EVENTS], data, len);
	return 0;
}

int rfix_open(struct rfix *fx, const char *program)
{
	memset(fx, 0, sizeof(*fx));
	fx->world = fx->cgroup_fd = -1;
	assume_begin(program, false);
	fx->home = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	fx->skel = resoa_bpf__open_and_load();
	if (!fx->skel) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(errno));
		return -errno;
	}
	fx->ring = ring_buffer__new(bpf_map__fd(fx->skel->maps.resoa_event), take_event, fx, NULL);
	if (!fx->ring)
		return -errno;
	return ring_buffer__add(fx->ring, bpf_map__fd(fx->skel->maps.resoa_knock), take_event, fx);
}

static void leave_cgroup(struct rfix *fx)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/../cgroup.procs", fx->cgroup);
	fd = must(open(path, O_WRONLY | O_CLOEXEC));
	must(write(fd, "0", 1));
	close(fd);
	close(fx->cgroup_fd);
	/* The last child may be on its way out yet. */
	for (int i = 0; i < 100 && rmdir(fx->cgroup) && errno == EBUSY; i++)
		usleep(10000);
}

void rfix_close(struct rfix *fx)
{
	ring_buffer__free(fx->ring);
	resoa_bpf__destroy(fx->skel);
	if (fx->cgroup_fd >= 0)
		leave_cgroup(fx);
	if (fx->world >= 0)
		close(fx->world);
	close(fx->home);
	memset(fx, 0, sizeof(*fx));
}

void rfix_conf(struct rfix *fx, __u64 client, __u32 open_binds)
{
	struct resoa_conf conf = { .abi = RESOA_ABI, .open_binds = open_binds, .client = client };
	__u32 zero = 0;

	must(bpf_map_update_elem(bpf_map__fd(fx->skel->maps.resoa_conf), &zero, &conf, BPF_ANY));
}

static __u64 option64(int fd, int name)
{
	__u64 value = 0;
	socklen_t len = sizeof(value);

	must(getsockopt(fd, SOL_SOCKET, name, &value, &len));
	return value;
}

__u64 rfix_netns_cookie(void)
{
	int fd = must(socket(AF_INET6, SOCK_DGRAM, 0));
	__u64 cookie = option64(fd, COOKIE_OPT);

	close(fd);
	return cookie;
}

__u64 rfix_socket_cookie(int fd)
{
	return option64(fd, SO_COOKIE);
}

/* ---- places */

static void make_world_routes(void)
{
	assume_run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.w0.rp_filter=0 "
		   "net.ipv4.tcp_syncookies=0 net.ipv4.conf.w0.accept_local=1");
	assume_run("ip route add " RFIX_A4 "/32 dev w0");
	assume_run("ip -6 route add " RFIX_A6 "/128 dev w0");
	assume_run("ip route add local 0.0.0.0/0 dev lo table 100");
	assume_run("ip rule add iif w0 lookup 100 pref 10");
	assume_run("ip -6 route add local ::/0 dev lo table 100");
	assume_run("ip -6 rule add iif w0 lookup 100 pref 10");
}

void rfix_world(struct rfix *fx)
{
	static const char quiet[] = "sysctl -qw net.ipv6.conf.%s.accept_dad=0 "
				    "net.ipv6.conf.%s.router_solicitations=0";

	fx->world = assume_ns_new();
	assume_run("ip link add e0 address 02:00:00:00:00:0a arp off type veth "
		   "peer name w0 address 02:00:00:00:00:0a arp off netns %s",
		   assume_ns_name(fx->world));
	assume_run(quiet, "e0", "e0");
	assume_run("ip link set e0 up");
	assume_ns_enter(fx->world);
	assume_run(quiet, "w0", "w0");
	assume_run("ip link set w0 up");
	make_world_routes();
	assume_ns_enter(fx->home);
	assume_run("ip addr add " RFIX_A4 "/32 dev e0");
	assume_run("ip -6 addr add " RFIX_A6 "/128 dev e0 nodad");
	assume_run("ip route add default dev e0 src " RFIX_A4);
	assume_run("ip -6 route add default dev e0 src " RFIX_A6);
	assume_mac("e0", fx->mac);
}

static bool find_cgroup(char *path, size_t len)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char where[256] = "", kind[64] = "";

	must(mounts ? 0 : -1);
	while (fscanf(mounts, "%*s %255s %63s %*[^\n]", where, kind) == 2)
		if (!strcmp(kind, "cgroup2"))
			break;
	fclose(mounts);
	snprintf(path, len, "%s", where);
	return !strcmp(kind, "cgroup2");
}

bool rfix_cgroup(struct rfix *fx)
{
	char where[256], procs[400];
	int fd;

	if (!find_cgroup(where, sizeof(where)))
		return false;
	snprintf(fx->cgroup, sizeof(fx->cgroup), "%s/resoa-test-%d", where, getpid());
	must(mkdir(fx->cgroup, 0755));
	fx->cgroup_fd = must(open(fx->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", fx->cgroup);
	fd = must(open(procs, O_WRONLY | O_CLOEXEC));
	must(write(fd, "0", 1));
	close(fd);
	return true;
}

void rfix_attach_tc(struct bpf_program *program, const char *dev, enum bpf_tc_attach_point point)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(dev),
			    .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(program));
	libbpf_print_fn_t print = libbpf_set_print(NULL); /* it may be there already */
	int err = bpf_tc_hook_create(&hook);

	libbpf_set_print(print);
	must(err && err != -EEXIST ? -1 : 0);
	must(bpf_tc_attach(&hook, &opts));
}

int rfix_attach_cgroup(struct rfix *fx, struct bpf_program *program, enum bpf_attach_type type)
{
	return must(bpf_link_create(bpf_program__fd(program), fx->cgroup_fd, type, NULL));
}

/* ---- what is told */

const struct resoa_event *rfix_event(struct rfix *fx, int ms)
{
	static struct resoa_event taken;
	__u64 end = assume_now_ms() + ms;

	must(ring_buffer__consume(fx->ring));
	while (!fx->events && assume_now_ms() < end)
		must(ring_buffer__poll(fx->ring, 10));
	if (!fx->events)
		return NULL;
	taken = fx->event[fx->first];
	fx->first = (fx->first + 1) % RFIX_EVENTS;
	fx->events--;
	return &taken;
}

static struct isthmus_count read_count(struct rfix *fx, __u32 reason)
{
	struct isthmus_count each[CPUS], sum = {};
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= CPUS ? 0 : -1);
	must(bpf_map_lookup_elem(bpf_map__fd(fx->skel->maps.resoa_stats), &reason, each));
	for (int i = 0; i < cpus; i++) {
		sum.packets += each[i].packets;
		sum.bytes += each[i].bytes;
	}
	return sum;
}

__u64 rfix_counted(struct rfix *fx, int reason)
{
	return read_count(fx, reason).packets - fx->seen[reason].packets;
}

bool rfix_counts_are(struct rfix *fx, const struct rfix_count *want)
{
	__u64 expected[RESOA_REASON_COUNT] = {};
	bool same = true;

	for (; want->reason != RFIX_NONE; want++)
		expected[want->reason] = want->packets;
	for (int reason = RESOA_OTHER + 1; reason < RESOA_REASON_COUNT; reason++) {
		if (rfix_counted(fx, reason) == expected[reason])
			continue;
		fprintf(stderr, "%s: %llu, should be %llu\n", names[reason],
			rfix_counted(fx, reason), expected[reason]);
		same = false;
	}
	return same;
}

static void forget_held(struct rfix *fx)
{
	int fd = bpf_map__fd(fx->skel->maps.resoa_held);
	struct resoa_syn syn;

	while (!bpf_map_get_next_key(fd, NULL, &syn))
		bpf_map_delete_elem(fd, &syn);
}

void rfix_clear(struct rfix *fx)
{
	forget_held(fx);
	must(ring_buffer__consume(fx->ring));
	fx->events = 0;
	for (int reason = 0; reason < RESOA_REASON_COUNT; reason++)
		fx->seen[reason] = read_count(fx, reason);
}

/* ---- running */

bool rfix_same(const struct packet *got, const struct packet *want)
{
	if (got->len == want->len && !memcmp(got->b, want->b, want->len))
		return true;
	packet_print_diff(got, want);
	return false;
}

/* The one reason that has counted these bytes. */
static int reason_of(struct rfix *fx, const struct isthmus_count *before, size_t len)
{
	int found = RFIX_NONE, reasons = 0;

	for (int reason = 0; reason < RESOA_REASON_COUNT; reason++) {
		struct isthmus_count now = read_count(fx, reason);

		if (now.bytes == before[reason].bytes)
			continue;
		found = reason;
		reasons++;
		if (now.packets != before[reason].packets + 1 ||
		    now.bytes != before[reason].bytes + len)
			reasons++;
	}
	return reasons == 1 ? found : RFIX_NONE;
}

void rfix_run(struct rfix *fx, struct bpf_program *program, const char *dev, __u32 mark,
	      const struct packet *in, struct rfix_result *result)
{
	struct isthmus_count before[RESOA_REASON_COUNT];
	struct __sk_buff skb = { .ifindex = if_nametoindex(dev), .mark = mark }, after = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = result->out.b, .data_size_out = PACKET_MAX, .repeat = 1,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .ctx_out = &after,
		    .ctx_size_out = sizeof(after));

	for (int reason = 0; reason < RESOA_REASON_COUNT; reason++)
		before[reason] = read_count(fx, reason);
	memset(result, 0, sizeof(*result));
	must(bpf_prog_test_run_opts(bpf_program__fd(program), &opts));
	result->out.len = opts.data_size_out;
	result->verdict = (int)opts.retval;
	result->mark = after.mark;
	result->reason = reason_of(fx, before, in->len);
}
