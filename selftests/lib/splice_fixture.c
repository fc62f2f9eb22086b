// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/splice_fixture.c - loads the programs, fills their maps, runs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>

#include "bpf/splice.skel.h"
#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_wire.h"

#define DEFAULT_LEGS		   4096
#define FIXTURE_EPOCH		   7
#define TEST_SKB_CHECKSUM_COMPLETE (1u << 2) /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE of Linux 6.15 */
#define HOUR_NS			   3600000000000ull
#define SECOND_NS		   1000000000ull

const struct isthmus_addr fixture_local[2] = { PACKET_V4(203, 0, 113, 1), PACKET_V6(0xff, 1) };
const struct isthmus_addr fixture_remote[2][2] = {
	{ PACKET_V4(192, 0, 2, 10), PACKET_V6(0xa, 0x10) },
	{ PACKET_V4(198, 51, 100, 20), PACKET_V6(0xb, 0x20) },
};

const char *splice_reason_name(int reason)
{
	static const char *const names[] = {
#define NAME(name, verdict, text) #name,
		SPLICE_REASONS(NAME)
#undef NAME
	};

	return reason >= 0 && reason < SPLICE_REASON_COUNT ? names[reason] : "not exactly one";
}

__u64 splice_fixture_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

__u32 splice_fixture_slow(void)
{
	const char *slow = getenv("SLOW");
	int times = slow ? atoi(slow) : 1;

	return times > 1 ? times : 1;
}

int splice_fixture_map(const struct splice_fixture *fx, const char *name)
{
	return bpf_object__find_map_fd_by_name(fx->skel->obj, name);
}

void splice_fixture_put(const struct splice_fixture *fx, const char *map, const void *key,
			const void *value)
{
	if (bpf_map_update_elem(splice_fixture_map(fx, map), key, value, BPF_ANY)) {
		fprintf(stderr, "cannot write %s: %s\n", map, strerror(errno));
		abort();
	}
}

void splice_fixture_get_conf(struct splice_fixture *fx, struct splice_conf *conf)
{
	__u32 zero = 0;

	if (bpf_map_lookup_elem(splice_fixture_map(fx, "splice_conf"), &zero, conf))
		abort();
}

void splice_fixture_set_conf(struct splice_fixture *fx, const struct splice_conf *conf)
{
	__u32 zero = 0;

	splice_fixture_put(fx, "splice_conf", &zero, conf);
}

void splice_fixture_own(struct splice_fixture *fx, const struct isthmus_addr *addr, __u16 low,
			__u16 high)
{
	struct fixture_range *range = &fx->range[fx->ranges++];

	range->addr = *addr;
	range->ports.low = low;
	range->ports.high = high;
	range->ports.first = fx->legs;
	fx->legs += 2 * (high - low + 1);
	if (fx->ranges > FIXTURE_RANGES || fx->legs > FIXTURE_LEGS)
		abort();
	splice_fixture_put(fx, "splice_local", addr, &range->ports);
}

static void fill_conf(struct splice_fixture *fx)
{
	struct splice_conf conf = {
		.half_open_ns = SPLICE_HALF_OPEN_S * SECOND_NS,
		.recheck_ns = HOUR_NS, /* a test that wants hops looked up again says so */
		.frag_ns = SPLICE_FRAG_S * SECOND_NS,
		.epoch = FIXTURE_EPOCH,
		.abi = SPLICE_ABI,
	};
	struct stat self;

	if (!stat("/proc/self/ns/net", &self))
		conf.netns = self.st_ino;
	splice_fixture_set_conf(fx, &conf);
	splice_fixture_own(fx, &fixture_local[0], FIXTURE_LOW, FIXTURE_HIGH);
	splice_fixture_own(fx, &fixture_local[1], FIXTURE_LOW, FIXTURE_HIGH);
	for (int i = 0; i < 2; i++) {
		struct splice_dev dev = { .ifindex = fx->ifindex[i], .hook = SPLICE_HOOK_TC };

		splice_fixture_put(fx, "splice_dev", &fx->ifindex[i], &dev);
	}
}

static int take_event(void *context, void *data, size_t len)
{
	struct splice_fixture *fx = context;

	if (len != sizeof(fx->event))
		return -EPROTO;
	memcpy(&fx->event, data, len);
	fx->events++;
	return 0;
}

static int load(struct splice_fixture *fx, const struct splice_fixture_options *options)
{
	fx->skel = splice_bpf__open();
	if (!fx->skel)
		return -errno;
	bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, "splice_leg"),
				 FIXTURE_LEGS);
	fx->skel->rodata->splice_any_source = options->any_source;
	fx->skel->rodata->splice_xdp_tx = !options->no_tx;
	/* Hash maps are made when loaded; large defaults would cost each test seconds. */
	bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, "splice_side"), 1024);
	bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, "splice_join"), 1024);
	if (splice_bpf__load(fx->skel))
		return -errno;
	fx->program[FIXTURE_XDP] = bpf_program__fd(fx->skel->progs.splice_xdp);
	fx->program[FIXTURE_TC] = bpf_program__fd(fx->skel->progs.splice_tc);
	fx->leg = mmap(NULL, FIXTURE_LEGS * sizeof(*fx->leg), PROT_READ | PROT_WRITE, MAP_SHARED,
		       splice_fixture_map(fx, "splice_leg"), 0);
	if (fx->leg == MAP_FAILED) {
		fx->leg = NULL;
		return -errno;
	}
	fx->ring = ring_buffer__new(splice_fixture_map(fx, "splice_event"), take_event, fx, NULL);
	return fx->ring ? 0 : -errno;
}

int splice_fixture_open(struct splice_fixture *fx, const struct splice_fixture_options *options)
{
	static const struct splice_fixture_options none;
	int err;

	memset(fx, 0, sizeof(*fx));
	fx->far[0] = fx->far[1] = -1;
	err = splice_wire_open(fx);
	if (!err)
		err = load(fx, options ? options : &none);
	if (err) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(-err));
		splice_fixture_close(fx);
		return err;
	}
	fill_conf(fx);
	splice_fixture_clear(fx);
	return 0;
}

void splice_fixture_close(struct splice_fixture *fx)
{
	ring_buffer__free(fx->ring);
	fx->ring = NULL;
	if (fx->leg)
		munmap(fx->leg, FIXTURE_LEGS * sizeof(*fx->leg));
	fx->leg = NULL;
	splice_bpf__destroy(fx->skel);
	fx->skel = NULL;
	splice_wire_close(fx);
}

static void empty_map(const struct splice_fixture *fx, const char *name)
{
	int map = splice_fixture_map(fx, name);
	__u8 key[64];

	while (!bpf_map_get_next_key(map, NULL, key))
		bpf_map_delete_elem(map, key);
}

void splice_fixture_count(const struct splice_fixture *fx, __u32 reason, struct isthmus_count *sum)
{
	static int cpus;
	struct isthmus_count each[256];

	cpus = cpus ? cpus : libbpf_num_possible_cpus();
	if (cpus > 256 ||
	    bpf_map_lookup_elem(splice_fixture_map(fx, "splice_stats"), &reason, each))
		abort();
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < cpus; i++) {
		sum->packets += each[i].packets;
		sum->bytes += each[i].bytes;
	}
}

/* Adds what was counted since the last call to `add`, which may be NULL. */
static void read_counts(struct splice_fixture *fx, struct isthmus_count *add)
{
	for (__u32 reason = 0; reason < SPLICE_REASON_COUNT; reason++) {
		struct isthmus_count sum;

		splice_fixture_count(fx, reason, &sum);
		if (add) {
			add[reason].packets = sum.packets - fx->seen[reason].packets;
			add[reason].bytes = sum.bytes - fx->seen[reason].bytes;
		}
		fx->seen[reason] = sum;
	}
}

void splice_fixture_clear(struct splice_fixture *fx)
{
	memset(fx->leg, 0, fx->legs * sizeof(*fx->leg));
	empty_map(fx, "splice_side");
	empty_map(fx, "splice_join");
	empty_map(fx, "splice_frag");
	read_counts(fx, NULL);
	ring_buffer__consume(fx->ring);
	for (int i = 0; i < 2; i++)
		while (!splice_fixture_silent(fx, i))
			;
}

void splice_fixture_session(const struct splice_fixture *fx, bool v6, __u8 proto, bool pure,
			    struct splice_session *session)
{
	memset(session, 0, sizeof(*session));
	session->id = 0x1122334455667788ull;
	session->proto = proto;
	session->pure = pure;
	for (int i = 0; i < 2; i++) {
		struct splice_end *end = &session->end[i];

		end->link = i;
		end->remote = fixture_remote[i][v6];
		end->local = fixture_local[v6];
		end->hop.ifindex = fx->ifindex[i];
		memcpy(end->hop.dst_mac, fx->host_mac[i], 6);
		memcpy(end->hop.src_mac, fx->mac[i], 6);
	}
	/* Figure 4.7: pure, each side's source port is the other's destination port. */
	session->end[0].remote_port = pure ? 20501 : 40001;
	session->end[0].local_port = 20001;
	session->end[1].remote_port = pure ? 20001 : 51234;
	session->end[1].local_port = pure ? 20501 : 20002;
}

void splice_fixture_spec(const struct splice_fixture *fx, const struct splice_session *session,
			 int from, struct packet_spec *spec)
{
	const struct splice_end *end = &session->end[from];

	memcpy(spec->dst_mac, fx->mac[end->link], 6);
	memcpy(spec->src_mac, fx->host_mac[end->link], 6);
	spec->src = end->remote;
	spec->dst = end->local;
	spec->sport = end->remote_port;
	spec->dport = end->local_port;
	spec->proto = session->proto;
}

static void local_key(const struct splice_session *session, int side, struct splice_local_key *key)
{
	memset(key, 0, sizeof(*key));
	key->addr = session->end[side].local;
	key->port = htons(session->end[side].local_port);
	key->proto = session->proto;
}

void splice_fixture_side(const struct splice_session *session, int side,
			 struct splice_local_key *key, struct splice_side *value)
{
	memset(value, 0, sizeof(*value));
	local_key(session, side, key);
	value->rendezvous = session->id;
	value->expires_ns = splice_fixture_now() + HOUR_NS;
	value->expected = session->end[side].remote;
	local_key(session, !side, &value->other);
	value->side = side;
	value->known = 1;
}

void splice_fixture_announce(struct splice_fixture *fx, const struct splice_session *session)
{
	struct splice_join join = { .state = SPLICE_LISTEN };
	struct splice_local_key key;
	struct splice_side side;

	splice_fixture_set_join(fx, session, &join);
	for (int i = 0; i < 2; i++) {
		splice_fixture_side(session, i, &key, &side);
		splice_fixture_put(fx, "splice_side", &key, &side);
	}
}

void splice_fixture_get_join(struct splice_fixture *fx, const struct splice_session *session,
			     struct splice_join *value)
{
	if (bpf_map_lookup_elem(splice_fixture_map(fx, "splice_join"), &session->id, value))
		abort();
}

void splice_fixture_set_join(struct splice_fixture *fx, const struct splice_session *session,
			     const struct splice_join *value)
{
	splice_fixture_put(fx, "splice_join", &session->id, value);
}

/* Where packets of this side find their leg: by address, protocol and port (maps/splice.h). */
static struct splice_leg *leg_of(struct splice_fixture *fx, const struct splice_session *session,
				 int from)
{
	const struct splice_end *end = &session->end[from];

	for (int i = 0; i < fx->ranges; i++) {
		const struct splice_range *ports = &fx->range[i].ports;
		__u32 index = ports->first + end->local_port - ports->low;

		if (memcmp(&fx->range[i].addr, &end->local, sizeof(end->local)) ||
		    end->local_port < ports->low || end->local_port > ports->high)
			continue;
		if (session->proto == IPPROTO_UDP)
			index += ports->high - ports->low + 1;
		return &fx->leg[index];
	}
	fprintf(stderr, "a session whose endpoint is not owned\n");
	abort();
}

/* ~old + new over the words of both (RFC 1624), as the words lie in memory. */
static __u32 delta_of(const void *old, const void *new, size_t len)
{
	return (__u16)~packet_sum(old, len, 0) + packet_sum(new, len, 0);
}

void splice_fixture_leg(const struct splice_session *session, int from, struct splice_leg *leg)
{
	const struct splice_end *in = &session->end[from], *out = &session->end[!from];
	__be16 old[2] = { htons(in->remote_port), htons(in->local_port) };
	__be16 new[2] = { htons(out->local_port), htons(out->remote_port) };
	__u32 addresses;

	memset(leg, 0, sizeof(*leg));
	leg->remote = in->remote;
	leg->remote_port = old[0];
	leg->new_src = out->local;
	leg->new_dst = out->remote;
	leg->new_sport = new[0];
	leg->new_dport = new[1];
	addresses = delta_of(&in->remote, &out->local, 16) + delta_of(&in->local, &out->remote, 16);
	leg->addr_delta = htons(packet_sum(NULL, 0, addresses));
	if (!session->pure)
		leg->port_delta = htons(packet_sum(NULL, 0, delta_of(old, new, 4)));
	leg->state = SPLICE_LEG_LIVE;
	leg->flags = (session->pure ? SPLICE_LEG_PURE : 0) | (from ? SPLICE_LEG_PROVIDER : 0);
	leg->hop = out->hop;
	leg->epoch = FIXTURE_EPOCH;
	leg->rendezvous = session->id;
	leg->checked_ns = splice_fixture_now();
	leg->seen_ns = leg->checked_ns;
}

void splice_fixture_put_leg(struct splice_fixture *fx, const struct splice_session *session,
			    int from, const struct splice_leg *leg)
{
	*leg_of(fx, session, from) = *leg;
}

void splice_fixture_legs(struct splice_fixture *fx, const struct splice_session *session)
{
	struct splice_leg leg;

	for (int from = 0; from < 2; from++) {
		splice_fixture_leg(session, from, &leg);
		splice_fixture_put_leg(fx, session, from, &leg);
	}
}

void splice_fixture_end(struct splice_fixture *fx, const struct splice_session *session)
{
	for (int from = 0; from < 2; from++)
		leg_of(fx, session, from)->state = SPLICE_LEG_FREE;
}

bool splice_fixture_get_leg(struct splice_fixture *fx, const struct splice_session *session,
			    int from, struct splice_leg *leg)
{
	*leg = *leg_of(fx, session, from);
	return leg->state == SPLICE_LEG_LIVE;
}

int splice_fixture_live_legs(const struct splice_fixture *fx)
{
	int live = 0;

	for (__u32 i = 0; i < FIXTURE_LEGS; i++)
		live += fx->leg[i].state != SPLICE_LEG_FREE;
	return live;
}

/* The one reason that was counted, for one packet (or its segments) of this length; else -1. */
static int counted_reason(struct splice_fixture *fx, size_t len)
{
	struct isthmus_count add[SPLICE_REASON_COUNT];
	__u32 packets = fx->gso_segments ? fx->gso_segments : 1;
	int reason = -1, reasons = 0;

	read_counts(fx, add);
	for (int i = 0; i < SPLICE_REASON_COUNT; i++) {
		if (!add[i].packets && !add[i].bytes)
			continue;
		reasons++;
		if (add[i].packets == packets && add[i].bytes == len)
			reason = i;
		else
			fprintf(stderr, "%s counted %llu packets, %llu bytes of a frame of %zu\n",
				splice_reason_name(i), add[i].packets, add[i].bytes, len);
	}
	return reasons == 1 ? reason : -1;
}

/* bpf/splice_maps.bpf.h: the programs' own, which the loader never sees. */
#define FIXTURE_CPUS 256

struct near {
	struct isthmus_addr addr;
	struct splice_range range;
	__u32 epoch, pad;
	__u64 tick, now_ns;
};

/*
 * As after a first packet to each IPv4 address, on every CPU: the plain way of XDP is open for all
 * packets, not for those alone that follow another one. The general way has the rows at tc.
 */
static void warm(struct splice_fixture *fx)
{
	struct bpf_map *map = bpf_object__find_map_by_name(fx->skel->obj, "splice_near");
	struct near near[FIXTURE_CPUS];
	struct splice_conf conf;
	int cpus = libbpf_num_possible_cpus();

	splice_fixture_get_conf(fx, &conf);
	if (cpus > FIXTURE_CPUS || bpf_map__value_size(map) != sizeof(near[0]))
		abort();
	for (int i = 0; i < fx->ranges; i++) {
		const __u8 *b = fx->range[i].addr.b;
		__u32 slot = (b[15] ^ b[10]) % bpf_map__max_entries(map);

		if (b[10] != 0xff) /* the plain way is IPv4's */
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			near[cpu] = (struct near){ .addr = fx->range[i].addr,
						   .range = fx->range[i].ports,
						   .epoch = conf.epoch };
		if (bpf_map_update_elem(bpf_map__fd(map), &slot, near, BPF_ANY))
			abort();
	}
}

void splice_fixture_run_uncounted(struct splice_fixture *fx, enum fixture_hook hook, int link,
				  const struct packet *in, struct splice_result *result)
{
	struct xdp_md xdp = { .data_end = in->len, .ingress_ifindex = fx->ifindex[link] };
	struct __sk_buff skb = { .ifindex = fx->ifindex[link],
				 .gso_size = fx->gso_size,
				 .gso_segs = fx->gso_segments };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = result->out.b, .data_size_out = PACKET_MAX, .repeat = 1);
	int err;

	if (hook == FIXTURE_XDP)
		warm(fx);
	opts.ctx_in = hook == FIXTURE_XDP ? (void *)&xdp : (void *)&skb;
	opts.ctx_size_in = hook == FIXTURE_XDP ? sizeof(xdp) : sizeof(skb);
	opts.flags = fx->complete && hook == FIXTURE_TC ? TEST_SKB_CHECKSUM_COMPLETE : 0;
	err = bpf_prog_test_run_opts(fx->program[hook], &opts);
	result->verdict = err;
	if (err && fx->complete)
		return;
	if (err) {
		fprintf(stderr, "test run of %zu bytes: %s\n", in->len, strerror(-err));
		abort();
	}
	result->out.len = opts.data_size_out;
	result->verdict = opts.retval;
}

void splice_fixture_run(struct splice_fixture *fx, enum fixture_hook hook, int link,
			const struct packet *in, struct splice_result *result)
{
	splice_fixture_run_uncounted(fx, hook, link, in, result);
	result->reason = counted_reason(fx, in->len);
	fx->events = 0;
	ring_buffer__consume(fx->ring);
	result->events = fx->events;
	result->event = fx->event;
}

int splice_fixture_verdict(enum fixture_hook hook, int reason, bool same_link)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		SPLICE_REASONS(VERDICT)
#undef VERDICT
	};

	if (reason < 0 || reason >= SPLICE_REASON_COUNT)
		return -2;
	if (verdicts[reason] == PASS)
		return hook == FIXTURE_XDP ? XDP_PASS : TC_ACT_UNSPEC;
	if (verdicts[reason] == DROP)
		return hook == FIXTURE_XDP ? XDP_DROP : TC_ACT_SHOT;
	if (hook == FIXTURE_XDP)
		return same_link ? XDP_TX : XDP_REDIRECT;
	return TC_ACT_REDIRECT;
}

void splice_fixture_run_both(struct splice_fixture *fx, int link, const struct packet *in,
			     struct splice_result *result)
{
	splice_fixture_run(fx, FIXTURE_XDP, link, in, result);
	if (result->reason == SPLICE_TO_TC)
		splice_fixture_run(fx, FIXTURE_TC, link, in, result);
}

static int attach_link(struct splice_fixture *fx, int link, enum fixture_hook hook)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = fx->ifindex[link], .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = fx->program[FIXTURE_TC]);
	int err;

	err = bpf_tc_hook_create(&at);
	if (!err || err == -EEXIST)
		err = bpf_tc_attach(&at, &options);
	if (!err && hook == FIXTURE_XDP)
		err = bpf_xdp_attach(fx->ifindex[link], fx->program[FIXTURE_XDP],
				     XDP_FLAGS_SKB_MODE, NULL);
	return err;
}

int splice_fixture_attach(struct splice_fixture *fx, enum fixture_hook hook)
{
	int err;

	fx->attached = true;
	err = attach_link(fx, 0, hook);
	return err ? err : attach_link(fx, 1, hook);
}

void splice_fixture_detach(struct splice_fixture *fx)
{
	for (int i = 0; i < 2 && fx->attached; i++) {
		LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = fx->ifindex[i],
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_xdp_detach(fx->ifindex[i], XDP_FLAGS_SKB_MODE, NULL);
		bpf_tc_hook_destroy(&at);
	}
	fx->attached = false;
}
