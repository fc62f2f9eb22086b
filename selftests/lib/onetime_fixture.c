// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/onetime_fixture.c - loads the programs, fills their maps, runs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "bpf/onetime.skel.h"
#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

#define CPUS	   256
#define KEY_MAX	   64
#define FEW	   1024 /* entries of tables whose memory is taken at once */
#define RECORD_S   60
#define COOKIE_OPT 71 /* SO_NETNS_COOKIE */

static const __u8 router_mac[6] = { 2, 0, 0, 0, 1, 1 };

static const char *const names[] = {
#define NAME(name, verdict, text) #name,
	ONETIME_REASONS(NAME)
#undef NAME
};

const char *ofix_reason_name(int reason)
{
	return reason >= 0 && reason < ONETIME_REASON_COUNT ? names[reason] : "not exactly one";
}

__u64 ofix_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * OFIX_S + now.tv_nsec;
}

/* ---- maps */

int ofix_map(const struct ofix *fx, const char *name)
{
	return must(bpf_object__find_map_fd_by_name(fx->skel->obj, name));
}

void ofix_put(const struct ofix *fx, const char *map, const void *key, const void *value)
{
	must(bpf_map_update_elem(ofix_map(fx, map), key, value, BPF_ANY));
}

bool ofix_get(const struct ofix *fx, const char *map, const void *key, void *value)
{
	return !bpf_map_lookup_elem(ofix_map(fx, map), key, value);
}

int ofix_entries(const struct ofix *fx, const char *map)
{
	int fd = ofix_map(fx, map), count = 0;
	__u8 key[KEY_MAX], *from = NULL;

	while (!bpf_map_get_next_key(fd, from, key)) {
		from = key;
		count++;
	}
	return count;
}

static void empty_map(const struct ofix *fx, const char *name)
{
	int fd = ofix_map(fx, name);
	__u8 key[KEY_MAX];

	while (!bpf_map_get_next_key(fd, NULL, key))
		bpf_map_delete_elem(fd, key);
}

/* ---- pools and listeners */

void ofix_pool(const struct ofix *fx, const struct isthmus_addr *prefix, int bits, __u32 number,
	       __u8 mode, __u8 flags)
{
	bool v4 = packet_addr_v4(prefix);
	struct onetime_prefix key = { .bits = bits + (v4 ? 96 : 0), .addr = *prefix };
	struct onetime_pool pool = { .number = number,
				     .ifindex = fx->net,
				     .mode = mode,
				     .flags = flags | (v4 ? ONETIME_POOL_V4 : 0) };

	ofix_put(fx, "onetime_pool", &key, &pool);
}

static __u64 socket_cookie(int fd)
{
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	must(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len));
	return cookie;
}

static int socket_listening(__u8 proto, __u16 port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = must(socket(AF_INET6, proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, 0));

	must(bind(fd, (void *)&any, sizeof(any)));
	if (proto == IPPROTO_TCP)
		must(listen(fd, 16));
	return fd;
}

void ofix_listener(struct ofix *fx, __u32 index, __u8 proto, __u16 port, __u8 mode)
{
	struct onetime_listener listener = { .flags = ONETIME_LISTENER_USED,
					     .pid = getpid(),
					     .port = htons(port),
					     .proto = proto,
					     .mode = mode,
					     .pool = 1 };
	int fd = socket_listening(proto, port);
	__u64 value = fd;
	struct stat stat;

	must(index < OFIX_LISTENERS ? 0 : -1);
	must(fstat(fd, &stat));
	listener.cookie = socket_cookie(fd);
	listener.inode = stat.st_ino;
	listener.fd = fd;
	ofix_put(fx, "onetime_listener", &index, &listener);
	ofix_put(fx, "onetime_listen", &index, &value);
	fx->listening[index] = fd;
}

/* The kernel takes a closed socket out of the sockmap. */
static void close_listeners(struct ofix *fx)
{
	static const struct onetime_listener none;

	for (__u32 i = 0; i < OFIX_LISTENERS; i++) {
		if (fx->listening[i])
			close(fx->listening[i]);
		fx->listening[i] = 0;
		ofix_put(fx, "onetime_listener", &i, &none);
	}
}

/* ---- addresses */

struct onetime_addr ofix_record(__u8 use, __u32 state, __u8 mode, __u8 proto)
{
	bool udp = proto == IPPROTO_UDP;
	struct onetime_addr record = { .state = state,
				       .use = use,
				       .mode = mode,
				       .proto = proto,
				       .pool = 1,
				       .since_ns = ofix_now(),
				       .until_ns = ofix_now() + RECORD_S * OFIX_S };

	if (use == ONETIME_EA)
		return record;
	record.listener = udp ? OFIX_UDP : OFIX_TCP;
	record.port = htons(udp ? OFIX_UDP_PORT : OFIX_TCP_PORT);
	return record;
}

struct onetime_addr ofix_session(__u8 use, __u32 state, __u8 mode, __u8 proto,
				 const struct isthmus_addr *peer, __u16 peer_port, __u16 port)
{
	struct onetime_addr record = ofix_record(use, state, mode, proto);

	record.peer = *peer;
	record.peer_port = record.wire_peer_port = htons(peer_port);
	record.port = record.wire_port = htons(port);
	return record;
}

void ofix_addr_put(const struct ofix *fx, const struct isthmus_addr *address,
		   const struct onetime_addr *record)
{
	ofix_put(fx, "onetime_addr", address, record);
}

struct onetime_addr ofix_addr(const struct ofix *fx, const struct isthmus_addr *address)
{
	struct onetime_addr record = {};

	ofix_get(fx, "onetime_addr", address, &record);
	return record;
}

/* ---- opening */

static int take_event(void *context, void *data, size_t len)
{
	struct ofix *fx = context;

	if (len != sizeof(struct onetime_event))
		return -EPROTO;
	if (fx->events < OFIX_EVENTS)
		memcpy(&fx->event[fx->events++], data, len);
	return 0;
}

static int load(struct ofix *fx)
{
	static const char *const few[] = { "onetime_ea6", "onetime_ea4", "onetime_udp",
					   "onetime_flow" };

	fx->skel = onetime_bpf__open();
	if (!fx->skel)
		return -errno;
	for (size_t i = 0; i < sizeof(few) / sizeof(*few); i++)
		must(bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, few[i]),
					      FEW));
	if (onetime_bpf__load(fx->skel))
		return -errno;
	fx->program[OFIX_IN] = bpf_program__fd(fx->skel->progs.onetime_in);
	fx->program[OFIX_OUT] = bpf_program__fd(fx->skel->progs.onetime_out);
	fx->ring = ring_buffer__new(ofix_map(fx, "onetime_event"), take_event, fx, NULL);
	return fx->ring ? 0 : -errno;
}

int ofix_open(struct ofix *fx)
{
	int err;

	memset(fx, 0, sizeof(*fx));
	assume_begin("onetime", false);
	fx->far = assume_ns_new();
	assume_veth("net", "net_far", fx->far);
	fx->net = if_nametoindex("net");
	assume_mac("net", fx->mac);
	err = load(fx);
	if (err) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(-err));
		return err;
	}
	ofix_clear(fx);
	return 0;
}

void ofix_close(struct ofix *fx)
{
	close_listeners(fx);
	ring_buffer__free(fx->ring);
	onetime_bpf__destroy(fx->skel);
	close(fx->far);
	memset(fx, 0, sizeof(*fx));
}

static __u64 netns_cookie(void)
{
	int fd = must(socket(AF_INET6, SOCK_DGRAM, 0));
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	must(getsockopt(fd, SOL_SOCKET, COOKIE_OPT, &cookie, &len));
	close(fd);
	return cookie;
}

static void fill_conf(const struct ofix *fx)
{
	struct onetime_conf conf = {
		.abi = ONETIME_ABI,
		.links = 1,
		.netns_cookie = netns_cookie(),
		.claim_ns = ONETIME_CLAIM_S * OFIX_S,
		.linger_ns = ONETIME_LINGER_S * OFIX_S,
		.udp_ns = ONETIME_UDP_S * OFIX_S,
		.port_low = 32768,
		.port_high = 60999,
		.strict = 1,
		.link = { { .ifindex = fx->net } },
	};
	struct stat stat_;
	__u32 zero = 0;

	must(stat("/proc/self/ns/net", &stat_));
	conf.netns = stat_.st_ino;
	memcpy(conf.link[0].mac, fx->mac, 6);
	ofix_put(fx, "onetime_conf", &zero, &conf);
}

/* ---- counters */

static void read_counts(struct ofix *fx, struct isthmus_count *add)
{
	struct isthmus_count each[CPUS];
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= CPUS ? 0 : -1);
	for (__u32 reason = 0; reason < ONETIME_REASON_COUNT; reason++) {
		struct isthmus_count sum = {};

		must(bpf_map_lookup_elem(ofix_map(fx, "onetime_stats"), &reason, each));
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

static void counted(struct ofix *fx, size_t len, struct ofix_result *result)
{
	struct isthmus_count add[ONETIME_REASON_COUNT];
	__u32 packets = fx->gso_segments ? fx->gso_segments : 1;
	int reasons = 0;

	read_counts(fx, add);
	result->reason = -1;
	for (int i = 0; i < ONETIME_REASON_COUNT; i++) {
		if (!add[i].bytes) {
			result->beside[i] = add[i].packets;
			continue;
		}
		reasons++;
		result->reason = i;
		if (add[i].packets != packets)
			reasons = 2;
	}
	if (reasons != 1)
		result->reason = -1;
	/* What is sent in answer may have another length. */
	if (result->reason >= 0 && add[result->reason].bytes != len &&
	    add[result->reason].bytes != result->out.len)
		result->reason = -1;
}

void ofix_clear(struct ofix *fx)
{
	static const char *const maps[] = { "onetime_addr", "onetime_pool", "onetime_udp",
					    "onetime_flow", "onetime_user" };
	const struct isthmus_addr six = OFIX_POOL6, four = OFIX_POOL4, rst6 = OFIX_RST_POOL6,
				  rst4 = OFIX_RST_POOL4;

	close_listeners(fx);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		empty_map(fx, maps[i]);
	fx->gso_size = fx->gso_segments = 0;
	fill_conf(fx);
	ofix_pool(fx, &six, 64, 1, ONETIME_L0, 0);
	ofix_pool(fx, &four, 24, 2, ONETIME_L0, 0);
	ofix_pool(fx, &rst6, 64, 3, ONETIME_L0, ONETIME_POOL_RESET);
	ofix_pool(fx, &rst4, 24, 4, ONETIME_L0, ONETIME_POOL_RESET);
	ofix_listener(fx, OFIX_TCP, IPPROTO_TCP, OFIX_TCP_PORT, ONETIME_L0);
	ofix_listener(fx, OFIX_UDP, IPPROTO_UDP, OFIX_UDP_PORT, ONETIME_L0);
	read_counts(fx, NULL);
	must(ring_buffer__consume(fx->ring));
	fx->events = 0;
}

/* ---- running */

void ofix_run(struct ofix *fx, enum ofix_hook hook, const struct packet *in,
	      struct ofix_result *result)
{
	struct __sk_buff skb = { .ifindex = fx->net,
				 .gso_size = fx->gso_size,
				 .gso_segs = fx->gso_segments };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = result->out.b, .data_size_out = PACKET_MAX, .repeat = 1,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	memset(result, 0, sizeof(*result));
	must(bpf_prog_test_run_opts(fx->program[hook], &opts));
	result->out.len = opts.data_size_out;
	result->verdict = (int)opts.retval;
	counted(fx, in->len, result);
	fx->events = 0;
	must(ring_buffer__consume(fx->ring));
}

static int verdict_of(int reason)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		ONETIME_REASONS(VERDICT)
#undef VERDICT
	};

	switch (verdicts[reason]) {
	case PASS:
		return TC_ACT_UNSPEC;
	case SEND:
		return TC_ACT_REDIRECT;
	default:
		return TC_ACT_SHOT;
	}
}

static bool beside_is(const struct ofix_result *result, int beside)
{
	bool same = true;

	for (int i = 0; i < ONETIME_REASON_COUNT; i++) {
		if (result->beside[i] == (i == beside))
			continue;
		fprintf(stderr, "beside it %s counted %llu\n", ofix_reason_name(i),
			result->beside[i]);
		same = false;
	}
	return same;
}

bool ofix_becomes(struct ofix *fx, enum ofix_hook hook, const struct packet *in, int reason,
		  int beside, const struct packet *want)
{
	struct ofix_result result;
	bool same;

	ofix_run(fx, hook, in, &result);
	same = result.reason == reason && result.verdict == verdict_of(reason);
	if (!same)
		fprintf(stderr, "hook %d: %s, verdict %d; should be %s, %d\n", hook,
			ofix_reason_name(result.reason), result.verdict, ofix_reason_name(reason),
			verdict_of(reason));
	if (!beside_is(&result, beside))
		same = false;
	if (!ofix_same(&result.out, want ? want : in))
		same = false;
	return same;
}

bool ofix_spec_becomes(struct ofix *fx, enum ofix_hook hook, struct packet_spec spec, int reason,
		       int beside)
{
	struct packet in;

	ofix_frame(fx, hook, &spec, &in);
	return ofix_becomes(fx, hook, &in, reason, beside, NULL);
}

/* ---- rows */

const struct isthmus_addr ofix_ssa[2][2] = { { OFIX_SSA6(9), OFIX_SSA4(9) },
					     { OFIX_RST6(9), OFIX_RST4(9) } },
			  ofix_alice[2] = { OFIX_ALICE6, OFIX_ALICE4 },
			  ofix_bob[2] = { OFIX_BOB6, OFIX_BOB4 };
const __u8 ofix_protos[2] = { IPPROTO_TCP, IPPROTO_UDP };

struct packet_spec ofix_spec(const struct isthmus_addr *from, const struct isthmus_addr *to,
			     __u8 proto, __u16 flags)
{
	return (struct packet_spec){ .src = *from,
				     .dst = *to,
				     .proto = proto,
				     .sport = OFIX_PEER,
				     .dport = OFIX_OWN,
				     .flags = flags,
				     .data_len = 20 };
}

/* Reasons that a pool may answer by the kernel's RST. */
static bool is_told(int reason)
{
	switch (reason) {
	case ONETIME_FREE:
	case ONETIME_NOT_OURS_YET:
	case ONETIME_TAKEN:
	case ONETIME_NOT_FOR:
	case ONETIME_NO_SYN:
	case ONETIME_NO_LISTENER:
	case ONETIME_WRONG_PORT:
	case ONETIME_EXPIRED:
		return true;
	default:
		return false;
	}
}

void ofix_refuses(struct ofix *fx, int reset, struct packet_spec spec, int reason)
{
	struct onetime_addr was = ofix_addr(fx, &spec.dst), now;
	bool told = reset && is_told(reason);

	if (!ofix_spec_becomes(fx, OFIX_IN, spec, told ? ONETIME_REFUSED_RST : reason,
			       told ? reason : OFIX_ALONE))
		fail_msg("reset %d, proto %d, flags %x", reset, spec.proto, spec.flags);
	assert_int_equal(fx->events, 0);
	now = ofix_addr(fx, &spec.dst);
	assert_memory_equal(&now, &was, sizeof(now));
}

/* UDP: the port that the session, or the address before it, has (maps/onetime.h), whichever was
 * asked. */
static __u16 port_of(struct ofix *fx, const struct packet_spec *spec, int reason)
{
	bool ours = reason == ONETIME_CLAIMED || reason == ONETIME_SESSION;

	if (!ours || spec->proto != IPPROTO_UDP)
		return spec->dport;
	return ntohs(ofix_addr(fx, &spec->dst).port);
}

void ofix_passes(struct ofix *fx, struct packet_spec spec, int reason)
{
	__u16 asked = spec.dport, port = port_of(fx, &spec, reason);
	struct packet in, want;

	ofix_frame(fx, OFIX_IN, &spec, &in);
	spec.dport = port;
	ofix_frame(fx, OFIX_IN, &spec, &want);
	if (!ofix_becomes(fx, OFIX_IN, &in, reason, port == asked ? OFIX_ALONE : ONETIME_REWRITTEN,
			  &want))
		fail_msg("proto %d, flags %x", spec.proto, spec.flags);
}

/* ---- frames */

bool ofix_same(const struct packet *got, const struct packet *want)
{
	bool same = got->len == want->len && !memcmp(got->b, want->b, want->len);

	if (!same)
		packet_print_diff(got, want);
	return same;
}

void ofix_frame(const struct ofix *fx, enum ofix_hook hook, const struct packet_spec *spec,
		struct packet *frame)
{
	packet_build(spec, frame);
	memcpy(frame->b, hook == OFIX_IN ? fx->mac : router_mac, 6);
	memcpy(frame->b + 6, hook == OFIX_IN ? router_mac : fx->mac, 6);
}

__u16 ofix_icmp6_check(const struct packet *frame, size_t l3, size_t l4, size_t end)
{
	__u32 sum = packet_sum(frame->b + l3 + 8, 32, IPPROTO_ICMPV6 + (__u32)(end - l4));

	sum = packet_sum(frame->b + l4, 2, sum); /* the field itself is left out */
	return ~packet_sum(frame->b + l4 + 4, end - l4 - 4, sum);
}
