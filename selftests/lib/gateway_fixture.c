// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/gateway_fixture.c - loads the programs, fills their maps, runs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/gateway.skel.h"
#include "selftests/lib/assume.h"
#include "selftests/lib/gateway_fixture.h"
#include "selftests/lib/seal.h"

#define SECOND_NS 1000000000ull
#define CPUS	  256
#define KEY_MAX	  64
#define WINDOWS	  4

static const char *const names[] = {
#define NAME(name, verdict, text) #name,
	GATEWAY_REASONS(NAME)
#undef NAME
};

const char *gfix_reason_name(int reason)
{
	return reason >= 0 && reason < GATEWAY_REASON_COUNT ? names[reason] : "not exactly one";
}

__u64 gfix_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ---- maps */

int gfix_map(const struct gfix *fx, const char *name)
{
	return must(bpf_object__find_map_fd_by_name(fx->skel->obj, name));
}

void gfix_put(const struct gfix *fx, const char *map, const void *key, const void *value)
{
	must(bpf_map_update_elem(gfix_map(fx, map), key, value, BPF_ANY));
}

bool gfix_get(const struct gfix *fx, const char *map, const void *key, void *value)
{
	return !bpf_map_lookup_elem(gfix_map(fx, map), key, value);
}

int gfix_entries(const struct gfix *fx, const char *map)
{
	int fd = gfix_map(fx, map), count = 0;
	__u8 key[KEY_MAX], *from = NULL;

	while (!bpf_map_get_next_key(fd, from, key)) {
		from = key;
		count++;
	}
	return count;
}

void gfix_get_conf(const struct gfix *fx, struct gateway_conf *conf)
{
	__u32 zero = 0;

	must(bpf_map_lookup_elem(gfix_map(fx, "gateway_conf"), &zero, conf));
}

void gfix_set_conf(const struct gfix *fx, const struct gateway_conf *conf)
{
	__u32 zero = 0;

	gfix_put(fx, "gateway_conf", &zero, conf);
}

static void empty_map(const struct gfix *fx, const char *name)
{
	int fd = gfix_map(fx, name);
	__u8 key[KEY_MAX];

	while (!bpf_map_get_next_key(fd, NULL, key))
		bpf_map_delete_elem(fd, key);
}

/* ---- who is there */

static const __u8 prefix64[12] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0 };

struct isthmus_addr gfix_embedded(struct isthmus_addr v4)
{
	memcpy(v4.b, prefix64, 12);
	return v4;
}

struct isthmus_addr gfix_host_addr(int host)
{
	struct isthmus_addr v4 = PACKET_V4(192, 168, 1, 0), v6 = PACKET_V6(1, 0);
	bool six = host == GFIX_PLAIN6 || host == GFIX_MASKED6;
	struct isthmus_addr addr = six ? v6 : v4;

	addr.b[15] = 16 + host;
	return addr;
}

void gfix_host_mac(int host, __u8 mac[6])
{
	const __u8 base[6] = { 2, 0, 0, 0, 1, host };

	memcpy(mac, base, 6);
}

__u32 gfix_vni(int peer)
{
	return 0x10 << 16 | peer;
}

static void fill_conf(struct gfix *fx)
{
	struct gateway_conf conf = {
		.common.abi = GATEWAY_ABI,
		.common.links = 2,
		.common.port = htons(TUNNEL_PORT),
		.icmp_ns = GATEWAY_ICMP_S * SECOND_NS,
		.udp_ns = GATEWAY_UDP_S * SECOND_NS,
		.tcp_ns = GATEWAY_TCP_S * SECOND_NS,
		.other_ns = GATEWAY_OTHER_S * SECOND_NS,
		.linger_ns = GATEWAY_LINGER_S * SECOND_NS,
		.frag_ns = GATEWAY_FRAG_S * SECOND_NS,
		.low_port = GATEWAY_LOW_PORT,
		.high_port = GATEWAY_HIGH_PORT,
	};
	struct isthmus_addr inside = GFIX_INSIDE, inside6 = GFIX_INSIDE6;
	struct tunnel_link *up = &conf.common.link[0], *lan = &conf.common.link[1];
	struct stat self;

	memcpy(conf.prefix64, prefix64, 12);
	if (!stat("/proc/self/ns/net", &self))
		conf.common.netns = self.st_ino;
	*up = (struct tunnel_link){ .ifindex = fx->up, .mtu = GFIX_MTU, .side = TUNNEL_UPLINK };
	*lan = (struct tunnel_link){ .ifindex = fx->lan, .mtu = GFIX_MTU, .side = TUNNEL_LAN };
	memcpy(up->mac, fx->up_mac, 6);
	memcpy(lan->mac, fx->lan_mac, 6);
	memcpy(&lan->inside, inside.b + 12, 4);
	lan->inside6 = inside6;
	gfix_set_conf(fx, &conf);
}

static void fill_hosts(const struct gfix *fx)
{
	static const __u8 modes[GFIX_HOSTS] = {
		[GFIX_PLAIN] = GATEWAY_PLAIN,	 [GFIX_MASKED] = GATEWAY_MASKED,
		[GFIX_AWARE] = GATEWAY_AWARE,	 [GFIX_PLAIN6] = GATEWAY_PLAIN,
		[GFIX_MASKED6] = GATEWAY_MASKED, [GFIX_UNKNOWN] = GATEWAY_PLAIN,
	};

	for (__u32 i = 1; i < GFIX_HOSTS; i++) {
		struct gateway_host host = { .addr = gfix_host_addr(i),
					     .ifindex = fx->lan,
					     .mtu = GFIX_MTU,
					     .mode = modes[i] };

		if (i != GFIX_UNKNOWN)
			gfix_host_mac(i, host.dst_mac);
		memcpy(host.src_mac, fx->lan_mac, 6);
		gfix_put(fx, "gateway_host", &i, &host);
	}
}

static void fill_windows(const struct gfix *fx, __u32 vni)
{
	struct tunnel_window_key key = { .vni = vni };
	struct tunnel_window window = {};

	for (key.cpu = 0; key.cpu < WINDOWS; key.cpu++)
		gfix_put(fx, "gateway_window", &key, &window);
}

static void fill_peers(const struct gfix *fx)
{
	static const struct isthmus_addr local = PACKET_V4(203, 0, 113, 1),
					 local6 = PACKET_V6(3, 1);
	static const __u64 zeros[CPUS];

	for (__u32 i = 1; i < GFIX_PEERS; i++) {
		struct tunnel_peer peer = { .key = { 0x1111 * i, 0x2222222222ull * i },
					    .local_port = htons(TUNNEL_PORT),
					    .remote_port = htons(TUNNEL_PORT + i),
					    .vni = 0x200000 | i,
					    .ifindex = fx->up,
					    .dst_mac = { 2, 0, 0, 0, 2, i },
					    .mtu = GFIX_MTU };
		struct tunnel_key key = { .key = { 0x3333 * i, 0x4444444444ull * i },
					  .peer = i,
					  .cpus = WINDOWS };
		struct isthmus_addr remote = PACKET_V4(192, 0, 2, 0), remote6 = PACKET_V6(2, 0);
		__u32 vni = gfix_vni(i);

		peer.local = i == GFIX_W6 ? local6 : local;
		peer.remote = i == GFIX_W6 ? remote6 : remote;
		peer.remote.b[15] = i;
		memcpy(peer.src_mac, fx->up_mac, 6);
		peer.flags = i == GFIX_DOWN ? 0 : TUNNEL_UP;
		peer.flags |= i == GFIX_STRAIGHT ? TUNNEL_STRAIGHT : 0;
		peer.flags |= i == GFIX_HEADERS ? TUNNEL_MAC_HEADERS : 0;
		key.flags = i == GFIX_HEADERS ? TUNNEL_MAC_HEADERS : 0;
		gfix_put(fx, "gateway_peer", &i, &peer);
		gfix_put(fx, "gateway_key", &vni, &key);
		gfix_put(fx, "gateway_seq", &i, zeros);
		fill_windows(fx, vni);
	}
}

/* ---- opening */

static int take_event(void *context, void *data, size_t len)
{
	struct gfix *fx = context;

	if (fx->events == GFIX_EVENTS)
		return 0;
	if (len != sizeof(struct gateway_event))
		return -EPROTO;
	memcpy(&fx->event[fx->events++], data, len);
	return 0;
}

static int load(struct gfix *fx)
{
	static const char *const few[] = { "gateway_flow", "gateway_pair", "gateway_mask",
					   "gateway_peer", "gateway_seq" };

	fx->skel = gateway_bpf__open();
	if (!fx->skel)
		return -errno;
	for (size_t i = 0; i < sizeof(few) / sizeof(*few); i++)
		must(bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, few[i]),
					      64));
	if (gateway_bpf__load(fx->skel))
		return -errno;
	fx->program[GFIX_UP_XDP] = bpf_program__fd(fx->skel->progs.gateway_up_xdp);
	fx->program[GFIX_UP_TC] = bpf_program__fd(fx->skel->progs.gateway_up_tc);
	fx->program[GFIX_LAN_XDP] = bpf_program__fd(fx->skel->progs.gateway_lan_xdp);
	fx->program[GFIX_LAN_TC] = bpf_program__fd(fx->skel->progs.gateway_lan_tc);
	fx->ring = ring_buffer__new(gfix_map(fx, "gateway_event"), take_event, fx, NULL);
	return fx->ring ? 0 : -errno;
}

int gfix_open(struct gfix *fx)
{
	cpu_set_t first;
	int err;

	memset(fx, 0, sizeof(*fx));
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	must(sched_setaffinity(0, sizeof(first), &first)); /* sequences name it */
	assume_begin("gateway", false);
	fx->far = assume_ns_new();
	assume_veth("uplink", "up_far", fx->far);
	assume_veth("lan", "lan_far", fx->far);
	fx->up = if_nametoindex("uplink");
	fx->lan = if_nametoindex("lan");
	assume_mac("uplink", fx->up_mac);
	assume_mac("lan", fx->lan_mac);
	err = load(fx);
	if (err) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(-err));
		return err;
	}
	gfix_clear(fx);
	return 0;
}

void gfix_close(struct gfix *fx)
{
	ring_buffer__free(fx->ring);
	gateway_bpf__destroy(fx->skel);
	close(fx->far);
	memset(fx, 0, sizeof(*fx));
}

/* ---- counters */

void gfix_count(const struct gfix *fx, __u32 reason, struct isthmus_count *sum)
{
	struct isthmus_count each[CPUS];
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= CPUS ? 0 : -1);
	must(bpf_map_lookup_elem(gfix_map(fx, "gateway_stats"), &reason, each));
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < cpus; i++) {
		sum->packets += each[i].packets;
		sum->bytes += each[i].bytes;
	}
}

/* Adds what was counted since the last call to `add`, which may be NULL. */
static void read_counts(struct gfix *fx, struct isthmus_count *add)
{
	for (__u32 reason = 0; reason < GATEWAY_REASON_COUNT; reason++) {
		struct isthmus_count sum;

		gfix_count(fx, reason, &sum);
		if (add) {
			add[reason].packets = sum.packets - fx->seen[reason].packets;
			add[reason].bytes = sum.bytes - fx->seen[reason].bytes;
		}
		fx->seen[reason] = sum;
	}
}

static void counted(struct gfix *fx, size_t len, struct gfix_result *result)
{
	struct isthmus_count add[GATEWAY_REASON_COUNT];
	__u32 packets = fx->gso_segments ? fx->gso_segments : 1;
	int reasons = 0;

	read_counts(fx, add);
	result->reason = -1;
	result->told = add[GATEWAY_ERROR_SENT].packets;
	for (int i = 0; i < GATEWAY_REASON_COUNT; i++) {
		if (i >= GATEWAY_ERROR_SENT || (!add[i].packets && !add[i].bytes))
			continue;
		reasons++;
		if (add[i].packets == packets && add[i].bytes == len)
			result->reason = i;
		else
			fprintf(stderr, "%s counted %llu packets, %llu bytes of a frame of %zu\n",
				gfix_reason_name(i), add[i].packets, add[i].bytes, len);
	}
	if (reasons != 1)
		result->reason = -1;
}

void gfix_clear(struct gfix *fx)
{
	static const char *const maps[] = { "gateway_flow",  "gateway_pair",   "gateway_mask",
					    "gateway_frag",  "gateway_source", "gateway_key",
					    "gateway_window" };

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		empty_map(fx, maps[i]);
	fx->sequence = 1;
	fx->gso_size = fx->gso_segments = fx->mark = 0;
	fill_conf(fx);
	fill_hosts(fx);
	fill_peers(fx);
	read_counts(fx, NULL);
	must(ring_buffer__consume(fx->ring));
	fx->events = 0;
}

/* ---- running */

static bool is_xdp(enum gfix_program program)
{
	return program == GFIX_UP_XDP || program == GFIX_LAN_XDP;
}

void gfix_run(struct gfix *fx, enum gfix_program program, const struct packet *in,
	      struct gfix_result *result)
{
	bool up = program == GFIX_UP_XDP || program == GFIX_UP_TC;
	struct xdp_md xdp = { .data_end = in->len, .ingress_ifindex = up ? fx->up : fx->lan };
	struct __sk_buff skb = { .ifindex = xdp.ingress_ifindex,
				 .mark = fx->mark,
				 .gso_size = fx->gso_size,
				 .gso_segs = fx->gso_segments };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = result->out.b, .data_size_out = PACKET_MAX, .repeat = 1);

	memset(result, 0, sizeof(*result));
	opts.ctx_in = is_xdp(program) ? (void *)&xdp : (void *)&skb;
	opts.ctx_size_in = is_xdp(program) ? sizeof(xdp) : sizeof(skb);
	must(bpf_prog_test_run_opts(fx->program[program], &opts));
	result->out.len = opts.data_size_out;
	result->verdict = opts.retval;
	counted(fx, in->len, result);
	fx->events = 0;
	must(ring_buffer__consume(fx->ring));
}

int gfix_verdict(enum gfix_program program, int reason)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		GATEWAY_REASONS(VERDICT)
#undef VERDICT
	};
	bool xdp = is_xdp(program);

	if (reason < 0 || reason >= GATEWAY_REASON_COUNT)
		return -2;
	switch (verdicts[reason]) {
	case PASS:
		return xdp ? XDP_PASS : TC_ACT_UNSPEC;
	case SEND:
		return xdp ? XDP_REDIRECT : TC_ACT_REDIRECT;
	default:
		return xdp ? XDP_DROP : TC_ACT_SHOT;
	}
}

static bool becomes(struct gfix *fx, enum gfix_program program, const struct packet *in, int reason,
		    int verdict, bool told, const struct packet *want)
{
	struct gfix_result result;

	gfix_run(fx, program, in, &result);
	if (result.reason == reason && result.verdict == verdict && result.told == told)
		return !want || gfix_same(&result.out, want);
	fprintf(stderr, "program %d: %s, verdict %d%s; should be %s, %d%s\n", program,
		gfix_reason_name(result.reason), result.verdict, result.told ? ", told" : "",
		gfix_reason_name(reason), verdict, told ? ", told" : "");
	return false;
}

bool gfix_becomes(struct gfix *fx, enum gfix_program program, const struct packet *in, int reason,
		  const struct packet *want)
{
	return becomes(fx, program, in, reason, gfix_verdict(program, reason), false, want);
}

bool gfix_tells(struct gfix *fx, enum gfix_program program, const struct packet *in, int reason,
		const struct packet *want)
{
	return becomes(fx, program, in, reason, is_xdp(program) ? XDP_REDIRECT : TC_ACT_REDIRECT,
		       true, want);
}

/* ---- frames */

void gfix_frame(struct packet *frame, const __u8 dst_mac[6], const __u8 src_mac[6])
{
	memcpy(frame->b, dst_mac, 6);
	memcpy(frame->b + 6, src_mac, 6);
}

bool gfix_same(const struct packet *got, const struct packet *want)
{
	bool same = got->len == want->len && !memcmp(got->b, want->b, want->len);

	if (!same)
		packet_print_diff(got, want);
	return same;
}

void gfix_icmp_build(const struct gfix_icmp *icmp, struct packet *packet)
{
	bool v4 = packet_addr_v4(&icmp->src);
	__u8 body[8 + PACKET_MAX] = { icmp->type, icmp->code };
	size_t len = 8 + icmp->data_len;
	struct packet_spec spec = { .src = icmp->src,
				    .dst = icmp->dst,
				    .ttl = icmp->ttl,
				    .proto = v4 ? 1 : 58,
				    .icmp_type = icmp->type,
				    .icmp_code = icmp->code,
				    .icmp_rest = icmp->rest,
				    .data = v4 ? icmp->data : body,
				    .data_len = v4 ? icmp->data_len : len };
	__u8 ends[40] = { 0 };

	if (v4) {
		packet_build(&spec, packet);
		return;
	}
	packet_put32(body + 4, icmp->rest);
	memcpy(body + 8, icmp->data, icmp->data_len);
	memcpy(ends, icmp->src.b, 16);
	memcpy(ends + 16, icmp->dst.b, 16);
	packet_put32(ends + 32, len);
	ends[39] = 58;
	packet_put16(body + 2, ~packet_sum(body, len, packet_sum(ends, sizeof(ends), 0)));
	packet_build(&spec, packet);
}

void gfix_seal(struct gfix *fx, int peer, __u32 host, const struct packet *inner,
	       struct packet *frame)
{
	struct seal seal = { .vni = gfix_vni(peer), .sequence = fx->sequence++, .host = host };
	__u32 index = peer;
	struct tunnel_peer record;
	struct tunnel_key key;

	must(gfix_get(fx, "gateway_peer", &index, &record) ? 0 : -1);
	must(gfix_get(fx, "gateway_key", &seal.vni, &key) ? 0 : -1);
	memcpy(seal.key, key.key, 16);
	seal.headers_only = key.flags & TUNNEL_MAC_HEADERS;
	seal.src = record.remote;
	seal.dst = record.local;
	seal.sport = ntohs(record.remote_port);
	seal.dport = TUNNEL_PORT;
	seal_packet(&seal, inner, frame);
	gfix_frame(frame, fx->up_mac, record.dst_mac);
}

void gfix_answer(const struct gfix *fx, int peer, __u32 host, __u64 sequence,
		 const struct packet *inner, struct packet *frame)
{
	struct seal seal = { .sequence = sequence, .host = host };
	__u32 index = peer;
	struct tunnel_peer record;

	must(gfix_get(fx, "gateway_peer", &index, &record) ? 0 : -1);
	memcpy(seal.key, record.key, 16);
	seal.vni = record.vni;
	seal.headers_only = record.flags & TUNNEL_MAC_HEADERS;
	seal.src = record.local;
	seal.dst = record.remote;
	seal.sport = ntohs(record.local_port);
	seal.dport = ntohs(record.remote_port);
	seal_packet(&seal, inner, frame);
	gfix_frame(frame, record.dst_mac, record.src_mac);
}

/* ---- attaching */

static int attach_tc(__u32 ifindex, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program);
	int err = bpf_tc_hook_create(&at);

	return err ?: bpf_tc_attach(&at, &options);
}

int gfix_attach(struct gfix *fx, bool xdp)
{
	int err = attach_tc(fx->up, fx->program[GFIX_UP_TC]);

	err = err ?: attach_tc(fx->lan, fx->program[GFIX_LAN_TC]);
	if (!xdp)
		return err;
	err = err ?: bpf_xdp_attach(fx->up, fx->program[GFIX_UP_XDP], XDP_FLAGS_SKB_MODE, NULL);
	return err ?: bpf_xdp_attach(fx->lan, fx->program[GFIX_LAN_XDP], XDP_FLAGS_SKB_MODE, NULL);
}

void gfix_detach(struct gfix *fx)
{
	const __u32 ifindex[2] = { fx->up, fx->lan };

	for (int i = 0; i < 2; i++) {
		LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = ifindex[i],
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_xdp_detach(ifindex[i], XDP_FLAGS_SKB_MODE, NULL);
		bpf_tc_hook_destroy(&at);
	}
}
