// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/waypoint_fixture.c - loads the programs, fills their maps, runs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/waypoint.skel.h"
#include "selftests/lib/assume.h"
#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_fixture.h"

#define CPUS	256
#define KEY_MAX 64
#define WINDOWS 4
#define HOST6	7

const struct isthmus_addr wfix_w1 = WFIX_W1, wfix_w2 = WFIX_W2, wfix_w6 = WFIX_W6,
			  wfix_alice = WFIX_ALICE, wfix_bob = WFIX_BOB, wfix_carol = WFIX_CAROL,
			  wfix_six = WFIX_SIX;

static const struct isthmus_addr tunnel_local = PACKET_V4(192, 0, 2, 1),
				 tunnel_local6 = PACKET_V6(3, 1);
static const __u8 router_mac[6] = { 2, 0, 0, 0, 1, 1 };

static const char *const names[] = {
#define NAME(name, verdict, text) #name,
	WAYPOINT_REASONS(NAME)
#undef NAME
};

const char *wfix_reason_name(int reason)
{
	return reason >= 0 && reason < WAYPOINT_REASON_COUNT ? names[reason] : "not exactly one";
}

__u64 wfix_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * WFIX_S + now.tv_nsec;
}

/* ---- maps */

int wfix_map(const struct wfix *fx, const char *name)
{
	return must(bpf_object__find_map_fd_by_name(fx->skel->obj, name));
}

void wfix_put(const struct wfix *fx, const char *map, const void *key, const void *value)
{
	must(bpf_map_update_elem(wfix_map(fx, map), key, value, BPF_ANY));
}

bool wfix_get(const struct wfix *fx, const char *map, const void *key, void *value)
{
	return !bpf_map_lookup_elem(wfix_map(fx, map), key, value);
}

int wfix_entries(const struct wfix *fx, const char *map)
{
	int fd = wfix_map(fx, map), count = 0;
	__u8 key[KEY_MAX], *from = NULL;

	while (!bpf_map_get_next_key(fd, from, key)) {
		from = key;
		count++;
	}
	return count;
}

static void empty_map(const struct wfix *fx, const char *name)
{
	int fd = wfix_map(fx, name);
	__u8 key[KEY_MAX];

	while (!bpf_map_get_next_key(fd, NULL, key))
		bpf_map_delete_elem(fd, key);
}

static __be32 v4(const struct isthmus_addr *address)
{
	__be32 value;

	memcpy(&value, address->b + 12, 4);
	return value;
}

struct waypoint_pair wfix_pair(const struct isthmus_addr *initiator,
			       const struct isthmus_addr *waypoint)
{
	return (struct waypoint_pair){ .initiator = v4(initiator), .waypoint = v4(waypoint) };
}

void wfix_wait(const struct wfix *fx, __u32 number, __u32 place, const struct isthmus_addr *prefix,
	       int bits, __u32 peer, __u32 host, int ms)
{
	__be32 address = number ? v4(&wfix_w2) : v4(&wfix_w1);
	struct waypoint_wait wait = { .serial = 1000 + host, .peer = peer, .host = host };
	__u32 index = number * WAYPOINT_WAITS + place;
	struct waypoint_addr addr;

	wait.until_ns = wfix_now() + ms * 1000000ll;
	wait.mask = bits ? htonl(~0u << (32 - bits)) : 0;
	wait.prefix = prefix ? v4(prefix) & wait.mask : 0;
	wfix_put(fx, "waypoint_wait", &index, &wait);
	must(wfix_get(fx, "waypoint_addr", &address, &addr) ? 0 : -1);
	if (wait.until_ns > addr.waits_until_ns)
		addr.waits_until_ns = wait.until_ns;
	wfix_put(fx, "waypoint_addr", &address, &addr);
}

void wfix_bind(const struct wfix *fx, const struct isthmus_addr *initiator,
	       const struct isthmus_addr *waypoint, __u32 peer, __u32 host)
{
	struct waypoint_bind bind = { .peer = peer, .host = host, .seen_ns = wfix_now() };
	struct waypoint_pair pair = wfix_pair(initiator, waypoint);

	bind.fresh_ns = bind.seen_ns + WAYPOINT_FRESH_S * WFIX_S;
	wfix_put(fx, "waypoint_bind", &pair, &bind);
}

static void fill_conf(const struct wfix *fx)
{
	struct waypoint_conf conf = {
		.common.abi = WAYPOINT_ABI,
		.common.links = 1,
		.common.port = htons(TUNNEL_PORT),
		.icmp_ns = WAYPOINT_ICMP_S * WFIX_S,
		.udp_ns = WAYPOINT_UDP_S * WFIX_S,
		.tcp_ns = WAYPOINT_TCP_S * WFIX_S,
		.mixed_ns = WAYPOINT_MIXED_S * WFIX_S,
		.http_ns = WAYPOINT_HTTP_S * WFIX_S,
		.linger_ns = WAYPOINT_LINGER_S * WFIX_S,
		.fresh_ns = WAYPOINT_FRESH_S * WFIX_S,
		.reject_ns = WAYPOINT_REJECT_S * WFIX_S,
		.common.link = { { .ifindex = fx->net, .mtu = 1500 } },
	};
	struct waypoint_host6 host6 = { .peer = WFIX_G1, .host = HOST6 };
	struct waypoint_addr first = { .number = 0 }, second = { .number = 1 };
	__be32 one = v4(&wfix_w1), two = v4(&wfix_w2);
	__u32 zero = 0;

	wfix_put(fx, "waypoint_conf", &zero, &conf);
	wfix_put(fx, "waypoint_addr", &one, &first);
	wfix_put(fx, "waypoint_addr", &two, &second);
	wfix_put(fx, "waypoint_host6", &wfix_w6, &host6);
}

static void fill_windows(const struct wfix *fx, __u32 vni)
{
	struct tunnel_window_key key = { .vni = vni };
	struct tunnel_window window = {};

	for (key.cpu = 0; key.cpu < WINDOWS; key.cpu++)
		wfix_put(fx, "waypoint_window", &key, &window);
}

__u32 wfix_vni(int peer)
{
	return 0x300000 | peer;
}

static struct isthmus_addr gateway_address(int peer)
{
	struct isthmus_addr remote = PACKET_V4(203, 0, 113, 0), remote6 = PACKET_V6(2, 0);
	struct isthmus_addr address = peer == WFIX_G6 ? remote6 : remote;

	address.b[15] = 100 + peer;
	return address;
}

static struct tunnel_peer peer_record(const struct wfix *fx, int i)
{
	struct tunnel_peer peer = { .key = { 0x1111 * i, 0x2222222222ull * i },
				    .local = i == WFIX_G6 ? tunnel_local6 : tunnel_local,
				    .remote = gateway_address(i),
				    .local_port = htons(TUNNEL_PORT),
				    .remote_port = htons(40000 + i),
				    .vni = 0x200000 | i,
				    .ifindex = fx->net,
				    .dst_mac = { 2, 0, 0, 0, 2, i },
				    .mtu = WFIX_MTU,
				    .flags = i == WFIX_DOWN ? 0 : TUNNEL_UP };

	memcpy(peer.src_mac, fx->mac, 6);
	peer.flags |= i == WFIX_STRAIGHT ? TUNNEL_STRAIGHT : 0;
	peer.flags |= i == WFIX_HEADERS ? TUNNEL_MAC_HEADERS : 0;
	return peer;
}

static struct tunnel_key key_record(int i)
{
	return (struct tunnel_key){ .key = { 0x3333 * i, 0x4444444444ull * i },
				    .peer = i,
				    .cpus = WINDOWS,
				    .flags = i == WFIX_HEADERS ? TUNNEL_MAC_HEADERS : 0 };
}

static void fill_peers(const struct wfix *fx)
{
	static const __u64 zeros[CPUS];

	for (__u32 i = 1; i < WFIX_PEERS; i++) {
		struct tunnel_peer peer = peer_record(fx, i);
		struct tunnel_key key = key_record(i);
		__u32 vni = wfix_vni(i);

		wfix_put(fx, "waypoint_peer", &i, &peer);
		wfix_put(fx, "waypoint_key", &vni, &key);
		wfix_put(fx, "waypoint_seq", &i, zeros);
		fill_windows(fx, vni);
	}
}

/* ---- opening */

static int take_event(void *context, void *data, size_t len)
{
	struct wfix *fx = context;

	if (len != sizeof(struct waypoint_event))
		return -EPROTO;
	if (fx->events < WFIX_EVENTS)
		memcpy(&fx->event[fx->events++], data, len);
	return 0;
}

static int load(struct wfix *fx)
{
	static const char *const few[] = { "waypoint_bind", "waypoint_reject", "waypoint_conn",
					   "waypoint_peer", "waypoint_seq",    "waypoint_source" };

	fx->skel = waypoint_bpf__open();
	if (!fx->skel)
		return -errno;
	for (size_t i = 0; i < sizeof(few) / sizeof(*few); i++)
		must(bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, few[i]),
					      64));
	if (waypoint_bpf__load(fx->skel))
		return -errno;
	fx->program[WFIX_XDP] = bpf_program__fd(fx->skel->progs.waypoint_xdp);
	fx->program[WFIX_TC] = bpf_program__fd(fx->skel->progs.waypoint_tc);
	fx->ring = ring_buffer__new(wfix_map(fx, "waypoint_event"), take_event, fx, NULL);
	return fx->ring ? 0 : -errno;
}

int wfix_open(struct wfix *fx)
{
	cpu_set_t first;
	int err;

	memset(fx, 0, sizeof(*fx));
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	must(sched_setaffinity(0, sizeof(first), &first)); /* sequences name it */
	assume_begin("waypoint", false);
	fx->far = assume_ns_new();
	assume_veth("net", "net_far", fx->far);
	fx->net = if_nametoindex("net");
	assume_mac("net", fx->mac);
	err = load(fx);
	if (err) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(-err));
		return err;
	}
	wfix_clear(fx);
	return 0;
}

void wfix_close(struct wfix *fx)
{
	ring_buffer__free(fx->ring);
	waypoint_bpf__destroy(fx->skel);
	close(fx->far);
	memset(fx, 0, sizeof(*fx));
}

/* ---- counters */

/* Adds what was counted since the last call to `add`, which may be NULL. */
static void read_counts(struct wfix *fx, struct isthmus_count *add)
{
	struct isthmus_count each[CPUS];
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= CPUS ? 0 : -1);
	for (__u32 reason = 0; reason < WAYPOINT_REASON_COUNT; reason++) {
		struct isthmus_count sum = {};

		must(bpf_map_lookup_elem(wfix_map(fx, "waypoint_stats"), &reason, each));
		for (int i = 0; i < cpus; i++) {
			sum.packets += each[i].packets;
			sum.bytes += each[i].bytes;
		}
		if (add) {
			add[reason].packets = sum.packets - fx->seen[reason].packets;
			add[reason].bytes = sum.bytes - fx->seen[reason].bytes;
		}
		fx->seen[reason] = sum;
	}
}

static void counted(struct wfix *fx, size_t len, struct wfix_result *result)
{
	struct isthmus_count add[WAYPOINT_REASON_COUNT];
	__u32 packets = fx->gso_segments ? fx->gso_segments : 1;
	int reasons = 0;

	read_counts(fx, add);
	result->reason = -1;
	result->told = add[WAYPOINT_ERROR_SENT].packets;
	result->unreachable = add[WAYPOINT_UNREACHABLE_SENT].packets;
	result->limited = add[WAYPOINT_ERROR_LIMITED].packets;
	for (int i = 0; i < WAYPOINT_UNREACHABLE_SENT; i++) {
		if (!add[i].packets && !add[i].bytes)
			continue;
		reasons++;
		if (add[i].packets == packets && add[i].bytes == len)
			result->reason = i;
		else
			fprintf(stderr, "%s counted %llu packets, %llu bytes of a frame of %zu\n",
				wfix_reason_name(i), add[i].packets, add[i].bytes, len);
	}
	if (reasons != 1)
		result->reason = -1;
}

void wfix_clear(struct wfix *fx)
{
	static const char *const maps[] = { "waypoint_addr",   "waypoint_bind", "waypoint_reject",
					    "waypoint_conn",   "waypoint_key",	"waypoint_source",
					    "waypoint_window", "waypoint_host6" };
	static const struct waypoint_wait none;

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		empty_map(fx, maps[i]);
	for (__u32 i = 0; i < 2 * WAYPOINT_WAITS; i++)
		wfix_put(fx, "waypoint_wait", &i, &none);
	fx->sequence = 1;
	fx->gso_size = fx->gso_segments = 0;
	fill_conf(fx);
	fill_peers(fx);
	read_counts(fx, NULL);
	must(ring_buffer__consume(fx->ring));
	fx->events = 0;
}

/* ---- running */

void wfix_run(struct wfix *fx, enum wfix_hook hook, const struct packet *in,
	      struct wfix_result *result)
{
	struct xdp_md xdp = { .data_end = in->len, .ingress_ifindex = fx->net };
	struct __sk_buff skb = { .ifindex = fx->net,
				 .gso_size = fx->gso_size,
				 .gso_segs = fx->gso_segments };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = result->out.b, .data_size_out = PACKET_MAX, .repeat = 1);

	memset(result, 0, sizeof(*result));
	opts.ctx_in = hook == WFIX_XDP ? (void *)&xdp : (void *)&skb;
	opts.ctx_size_in = hook == WFIX_XDP ? sizeof(xdp) : sizeof(skb);
	must(bpf_prog_test_run_opts(fx->program[hook], &opts));
	result->out.len = opts.data_size_out;
	result->verdict = opts.retval;
	counted(fx, in->len, result);
	fx->events = 0;
	must(ring_buffer__consume(fx->ring));
}

static int verdict_of(enum wfix_hook hook, int reason)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		WAYPOINT_REASONS(VERDICT)
#undef VERDICT
	};

	switch (verdicts[reason]) {
	case PASS:
		return hook == WFIX_XDP ? XDP_PASS : TC_ACT_UNSPEC;
	case SEND:
		return hook == WFIX_XDP ? XDP_REDIRECT : TC_ACT_REDIRECT;
	default:
		return hook == WFIX_XDP ? XDP_DROP : TC_ACT_SHOT;
	}
}

static bool becomes(struct wfix *fx, enum wfix_hook hook, const struct packet *in, int reason,
		    int verdict, bool told, const struct packet *want)
{
	struct wfix_result result;
	bool was_told;

	wfix_run(fx, hook, in, &result);
	was_told = result.told + result.unreachable == 1;
	if (result.reason == reason && result.verdict == verdict && was_told == told)
		return !want || wfix_same(&result.out, want);
	fprintf(stderr, "hook %d: %s, verdict %d%s; should be %s, %d%s\n", hook,
		wfix_reason_name(result.reason), result.verdict, was_told ? ", told" : "",
		wfix_reason_name(reason), verdict, told ? ", told" : "");
	return false;
}

bool wfix_becomes(struct wfix *fx, enum wfix_hook hook, const struct packet *in, int reason,
		  const struct packet *want)
{
	return becomes(fx, hook, in, reason, verdict_of(hook, reason), false, want);
}

bool wfix_tells(struct wfix *fx, enum wfix_hook hook, const struct packet *in, int reason,
		const struct packet *want)
{
	return becomes(fx, hook, in, reason, hook == WFIX_XDP ? XDP_REDIRECT : TC_ACT_REDIRECT,
		       true, want);
}

/* ---- frames */

bool wfix_same(const struct packet *got, const struct packet *want)
{
	bool same = got->len == want->len && !memcmp(got->b, want->b, want->len);

	if (!same)
		packet_print_diff(got, want);
	return same;
}

void wfix_macs(const struct wfix *fx, bool in, struct packet *frame)
{
	memcpy(frame->b, in ? fx->mac : router_mac, 6);
	memcpy(frame->b + 6, in ? router_mac : fx->mac, 6);
}

void wfix_frame(const struct wfix *fx, const struct packet_spec *spec, struct packet *frame)
{
	packet_build(spec, frame);
	wfix_macs(fx, true, frame);
}

void wfix_sealed(const struct wfix *fx, int peer, __u32 host, __u64 sequence,
		 const struct packet *inner, struct packet *frame)
{
	struct tunnel_peer record = peer_record(fx, peer);
	struct seal seal = { .src = record.local,
			     .dst = record.remote,
			     .sport = TUNNEL_PORT,
			     .dport = 40000 + peer,
			     .vni = record.vni,
			     .host = host,
			     .sequence = sequence,
			     .headers_only = peer == WFIX_HEADERS };

	memcpy(seal.key, record.key, 16);
	seal_packet(&seal, inner, frame);
	memcpy(frame->b, record.dst_mac, 6);
	memcpy(frame->b + 6, fx->mac, 6);
}

void wfix_from_gateway(struct wfix *fx, int peer, __u32 host, const struct packet *inner,
		       struct packet *frame)
{
	struct tunnel_key record = key_record(peer);
	struct seal seal = { .src = gateway_address(peer),
			     .dst = peer == WFIX_G6 ? tunnel_local6 : tunnel_local,
			     .sport = 40000 + peer,
			     .dport = TUNNEL_PORT,
			     .vni = wfix_vni(peer),
			     .host = host,
			     .sequence = fx->sequence++,
			     .headers_only = peer == WFIX_HEADERS };

	memcpy(seal.key, record.key, 16);
	seal_packet(&seal, inner, frame);
	wfix_macs(fx, true, frame);
}

/* ---- rows */

struct packet_spec wfix_spec(const struct isthmus_addr *from, const struct isthmus_addr *to,
			     __u8 proto, __u16 flags)
{
	return (struct packet_spec){ .src = *from,
				     .dst = *to,
				     .proto = proto,
				     .sport = 40000,
				     .dport = 22,
				     .flags = flags,
				     .icmp_type = proto == 1 ? 8 : 0,
				     .data_len = 100 };
}

void wfix_aged(const struct wfix *fx, struct packet_spec spec, struct packet *packet)
{
	spec.trailer = 0;
	spec.ttl = (spec.ttl ? spec.ttl : 64) - 1;
	wfix_frame(fx, &spec, packet);
}

bool wfix_seals(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason, int peer,
		__u32 host)
{
	struct packet in, inner, want;
	struct wfix_result result;

	wfix_frame(fx, &spec, &in);
	wfix_aged(fx, spec, &inner);
	wfix_run(fx, hook, &in, &result);
	if (result.reason != reason) {
		fprintf(stderr, "%s, should be %s\n", wfix_reason_name(result.reason),
			wfix_reason_name(reason));
		return false;
	}
	wfix_sealed(fx, peer, host, seal_sequence(&result.out), &inner, &want);
	return wfix_same(&result.out, &want);
}

bool wfix_spec_becomes(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason)
{
	struct packet in;

	wfix_frame(fx, &spec, &in);
	return wfix_becomes(fx, hook, &in, reason, NULL);
}

bool wfix_spec_tells(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason)
{
	struct packet in;

	wfix_frame(fx, &spec, &in);
	return wfix_tells(fx, hook, &in, reason, NULL);
}
