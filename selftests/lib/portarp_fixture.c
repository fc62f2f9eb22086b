// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/portarp_fixture.c - loads the programs, fills their maps, runs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/portarp.skel.h"
#include "selftests/lib/assume.h"
#include "selftests/lib/portarp_fixture.h"

#define SECOND_NS 1000000000ull
#define CPUS	  256
#define KEY_MAX	  64

static const char *const names[] = {
#define NAME(name, verdict, text) #name,
	PORTARP_REASONS(NAME)
#undef NAME
};

const char *pfix_reason_name(int reason)
{
	return reason >= 0 && reason < PORTARP_REASON_COUNT ? names[reason] : "not exactly one";
}

__u64 pfix_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ---- maps */

int pfix_map(const struct pfix *fx, const char *name)
{
	return must(bpf_object__find_map_fd_by_name(fx->skel->obj, name));
}

/* As the agent does after it has changed an address. */
static void raise_epoch(struct pfix *fx)
{
	struct portarp_conf conf;

	pfix_get_conf(fx, &conf);
	pfix_set_conf(fx, &conf);
}

void pfix_put(struct pfix *fx, const char *map, const void *key, const void *value)
{
	must(bpf_map_update_elem(pfix_map(fx, map), key, value, BPF_ANY));
	if (!strcmp(map, "portarp_addr"))
		raise_epoch(fx);
}

bool pfix_get(const struct pfix *fx, const char *map, const void *key, void *value)
{
	return !bpf_map_lookup_elem(pfix_map(fx, map), key, value);
}

int pfix_entries(const struct pfix *fx, const char *map)
{
	int fd = pfix_map(fx, map), count = 0;
	__u8 key[KEY_MAX], *from = NULL;

	while (!bpf_map_get_next_key(fd, from, key)) {
		from = key;
		count++;
	}
	return count;
}

void pfix_get_conf(struct pfix *fx, struct portarp_conf *conf)
{
	__u32 zero = 0;

	must(bpf_map_lookup_elem(pfix_map(fx, "portarp_conf"), &zero, conf));
}

/* Each time in an epoch of its own, so that no test finds copies of an earlier one's addresses. */
void pfix_set_conf(struct pfix *fx, const struct portarp_conf *conf)
{
	struct portarp_conf written = *conf;
	static __u32 epoch;
	__u32 zero = 0;

	written.epoch = ++epoch;
	pfix_put(fx, "portarp_conf", &zero, &written);
}

static void set_link(struct portarp_link *link, __u32 ifindex, const __u8 *mac, __u8 side)
{
	link->ifindex = ifindex;
	link->mtu = 1500;
	link->side = side;
	memcpy(link->mac, mac, 6);
}

static void fill_conf(struct pfix *fx, enum portarp_role role)
{
	struct portarp_conf conf = {
		.abi = PORTARP_ABI,
		.role = role,
		.links = 2,
		.op_request = htons(PORTARP_OP_REQUEST),
		.op_reply = htons(PORTARP_OP_REPLY),
		.echo_ns = PORTARP_ECHO_S * SECOND_NS,
		.ident_ns = PORTARP_IDENT_S * SECOND_NS,
		.proto_ns = PORTARP_PROTO_S * SECOND_NS,
		.frag_ns = PORTARP_FRAG_S * SECOND_NS,
	};
	struct stat self;

	if (!stat("/proc/self/ns/net", &self))
		conf.netns = self.st_ino;
	set_link(&conf.link[0], fx->up, fx->up_mac, PORTARP_UPLINK);
	set_link(&conf.link[1], fx->lan, fx->lan_mac, PORTARP_LAN);
	pfix_set_conf(fx, &conf);
}

static void empty_map(const struct pfix *fx, const char *name)
{
	int fd = pfix_map(fx, name);
	__u8 key[KEY_MAX];

	while (!bpf_map_get_next_key(fd, NULL, key))
		bpf_map_delete_elem(fd, key);
}

/* ---- opening */

static int take_event(void *context, void *data, size_t len)
{
	struct pfix *fx = context;
	struct pfix_event *to = &fx->event[fx->events];

	if (fx->events == PFIX_EVENTS)
		return 0; /* the first ones are kept */
	memset(to, 0, sizeof(*to));
	if (len < sizeof(to->event))
		return -EPROTO;
	memcpy(&to->event, data, sizeof(to->event));
	if (len != sizeof(to->event) + to->event.length || to->event.length > PACKET_MAX)
		return -EPROTO;
	to->frame.len = to->event.length;
	memcpy(to->frame.b, (__u8 *)data + sizeof(to->event), to->frame.len);
	fx->events++;
	return 0;
}

static void resize(const struct pfix *fx, const char *map, __u32 entries)
{
	must(bpf_map__set_max_entries(bpf_object__find_map_by_name(fx->skel->obj, map), entries));
}

static void *map_memory(const struct pfix *fx, const char *name, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pfix_map(fx, name), 0);

	must(at == MAP_FAILED ? -1 : 0);
	return at;
}

static int load(struct pfix *fx, enum portarp_role role)
{
	fx->skel = portarp_bpf__open();
	if (!fx->skel)
		return -errno;
	fx->skel->rodata->portarp_role = role;
	resize(fx, "portarp_owner", PFIX_OWNERS);
	resize(fx, "portarp_port", PFIX_BLOCKS << 16);
	resize(fx, "portarp_use", PORTARP_USE_WORDS);
	resize(fx, "portarp_flow", 64);
	resize(fx, "portarp_addr", 64);
	if (portarp_bpf__load(fx->skel))
		return -errno;
	fx->program[PFIX_UP_XDP] = bpf_program__fd(fx->skel->progs.portarp_up_xdp);
	fx->program[PFIX_UP_TC] = bpf_program__fd(fx->skel->progs.portarp_up_tc);
	fx->program[PFIX_LAN_XDP] = bpf_program__fd(fx->skel->progs.portarp_lan_xdp);
	fx->program[PFIX_LAN_TC] = bpf_program__fd(fx->skel->progs.portarp_lan_tc);
	fx->program[PFIX_OUT] = bpf_program__fd(fx->skel->progs.portarp_lan_out);
	fx->owner = map_memory(fx, "portarp_owner", PFIX_OWNERS * sizeof(*fx->owner));
	fx->port = map_memory(fx, "portarp_port", (PFIX_BLOCKS << 16) * sizeof(*fx->port));
	fx->use = map_memory(fx, "portarp_use", PORTARP_USE_WORDS * sizeof(*fx->use));
	fx->ring = ring_buffer__new(pfix_map(fx, "portarp_event"), take_event, fx, NULL);
	return fx->ring ? 0 : -errno;
}

static void open_devices(struct pfix *fx)
{
	int here = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)), far = assume_ns_new();

	assume_veth("uplink", "up_far", far);
	assume_veth("lan", "lan_far", far);
	fx->up = if_nametoindex("uplink");
	fx->lan = if_nametoindex("lan");
	assume_mac("uplink", fx->up_mac);
	assume_mac("lan", fx->lan_mac);
	assume_ns_enter(far);
	assume_run("ip link set up_far arp off");
	assume_run("ip link set lan_far arp off");
	fx->up_far = assume_packet_socket("up_far");
	fx->lan_far = assume_packet_socket("lan_far");
	assume_ns_enter(here);
	close(here);
	close(far);
}

int pfix_open(struct pfix *fx, enum portarp_role role)
{
	int err;

	memset(fx, 0, sizeof(*fx));
	assume_begin("portarp", false);
	open_devices(fx);
	err = load(fx, role);
	if (err) {
		fprintf(stderr, "the bench cannot be set up: %s\n", strerror(-err));
		return err;
	}
	fill_conf(fx, role);
	pfix_clear(fx);
	return 0;
}

void pfix_close(struct pfix *fx)
{
	ring_buffer__free(fx->ring);
	if (fx->owner)
		munmap(fx->owner, PFIX_OWNERS * sizeof(*fx->owner));
	if (fx->port)
		munmap(fx->port, (PFIX_BLOCKS << 16) * sizeof(*fx->port));
	if (fx->use)
		munmap(fx->use, PORTARP_USE_WORDS * sizeof(*fx->use));
	portarp_bpf__destroy(fx->skel);
	memset(fx, 0, sizeof(*fx));
}

/* ---- counters and events */

void pfix_count(const struct pfix *fx, __u32 reason, struct isthmus_count *sum)
{
	struct isthmus_count each[CPUS];
	int cpus = libbpf_num_possible_cpus();

	must(cpus <= CPUS ? 0 : -1);
	must(bpf_map_lookup_elem(pfix_map(fx, "portarp_stats"), &reason, each));
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < cpus; i++) {
		sum->packets += each[i].packets;
		sum->bytes += each[i].bytes;
	}
}

/* Adds what was counted since the last call to `add`, which may be NULL. */
static void read_counts(struct pfix *fx, struct isthmus_count *add)
{
	for (__u32 reason = 0; reason < PORTARP_REASON_COUNT; reason++) {
		struct isthmus_count sum;

		pfix_count(fx, reason, &sum);
		if (add) {
			add[reason].packets = sum.packets - fx->seen[reason].packets;
			add[reason].bytes = sum.bytes - fx->seen[reason].bytes;
		}
		fx->seen[reason] = sum;
	}
}

static int counted_reason(struct pfix *fx, size_t len)
{
	struct isthmus_count add[PORTARP_REASON_COUNT];
	__u32 packets = fx->gso_segments ? fx->gso_segments : 1;
	int reason = -1, reasons = 0;

	read_counts(fx, add);
	for (int i = 0; i < PORTARP_REASON_COUNT; i++) {
		if (i == PORTARP_EVENT_LOST || (!add[i].packets && !add[i].bytes))
			continue;
		reasons++;
		if (add[i].packets == packets && add[i].bytes == len)
			reason = i;
		else
			fprintf(stderr, "%s counted %llu packets, %llu bytes of a frame of %zu\n",
				pfix_reason_name(i), add[i].packets, add[i].bytes, len);
	}
	return reasons == 1 ? reason : -1;
}

void pfix_events_clear(struct pfix *fx)
{
	fx->events = 0;
}

int pfix_events_read(struct pfix *fx)
{
	must(ring_buffer__consume(fx->ring));
	return fx->events;
}

void pfix_clear(struct pfix *fx)
{
	static const char *const maps[] = { "portarp_addr", "portarp_sharer", "portarp_mine",
					    "portarp_flow", "portarp_ident",  "portarp_frag" };

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		empty_map(fx, maps[i]);
	raise_epoch(fx);
	fx->gso_size = fx->gso_segments = 0;
	memset(fx->owner, 0, PFIX_OWNERS * sizeof(*fx->owner));
	memset(fx->port, 0, (PFIX_BLOCKS << 16) * sizeof(*fx->port));
	memset(fx->use, 0, PORTARP_USE_WORDS * sizeof(*fx->use));
	read_counts(fx, NULL);
	do
		pfix_events_clear(fx);
	while (pfix_events_read(fx));
}

/* ---- addresses and owners */

void pfix_address(struct pfix *fx, __be32 addr, __u8 a, __u8 k, __u32 first, __u32 block,
		  struct portarp_addr *record)
{
	memset(record, 0, sizeof(*record));
	record->first = first;
	record->block = block;
	record->ifindex = fx->lan;
	memcpy(record->src_mac, fx->lan_mac, 6);
	record->mtu = 1500;
	record->a = a;
	record->k = k;
	pfix_put(fx, "portarp_addr", &addr, record);
}

void pfix_mac(int n, __u8 mac[6])
{
	mac[0] = 2;
	mac[1] = 0x5a;
	packet_put32(mac + 2, n);
}

void pfix_owner(struct pfix *fx, __u32 index, int n, __u16 flags)
{
	struct portarp_owner owner = { .wait = flags };

	pfix_mac(n, owner.mac);
	fx->owner[index] = owner;
}

void pfix_sharer(struct pfix *fx, __be32 addr, int n, __u32 index)
{
	struct portarp_sharer_key key = { .addr = addr };

	pfix_mac(n, key.mac);
	pfix_put(fx, "portarp_sharer", &key, &index);
}

void pfix_fill_gateway(struct pfix *fx, struct portarp_addr *one, struct portarp_addr *two)
{
	pfix_clear(fx);
	pfix_address(fx, PFIX_ONE, 6, 8, 0, 0, one);
	pfix_address(fx, PFIX_TWO, 0, 4, PFIX_TWO_FIRST, 1, two);
	for (int i = 0; i < 256; i++)
		pfix_owner(fx, i, i, PORTARP_OWNER_KNOWN);
	for (int i = 0; i < 16; i++)
		pfix_owner(fx, PFIX_TWO_FIRST + i, 0x1000 + i, PORTARP_OWNER_KNOWN);
	pfix_owner(fx, PFIX_NOBODY, PFIX_NOBODY, PORTARP_OWNER_NONE);
	pfix_owner(fx, PFIX_STALE, PFIX_STALE, PORTARP_OWNER_KNOWN | PORTARP_OWNER_STALE);
	pfix_owner(fx, PFIX_ASKED, 0, 0);
	pfix_owner(fx, PFIX_WEB, 0x2000, PORTARP_OWNER_KNOWN);
	fx->port[80].owner = 1 + PFIX_WEB;
	pfix_owner(fx, PFIX_UP, 0x3000, PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
	fx->port[90].owner = 1 + PFIX_UP;
}

/* ---- running */

static bool is_xdp(enum pfix_program program)
{
	return program == PFIX_UP_XDP || program == PFIX_LAN_XDP;
}

int pfix_run_uncounted(struct pfix *fx, enum pfix_program program, const struct packet *in,
		       struct packet *out)
{
	__u32 ifindex = program == PFIX_UP_XDP || program == PFIX_UP_TC ? fx->up : fx->lan;
	struct xdp_md xdp = { .data_end = in->len, .ingress_ifindex = ifindex };
	struct __sk_buff skb = { .ifindex = ifindex,
				 .gso_size = fx->gso_size,
				 .gso_segs = fx->gso_segments };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->b, .data_size_in = in->len,
		    .data_out = out->b, .data_size_out = PACKET_MAX, .repeat = 1);

	opts.ctx_in = is_xdp(program) ? (void *)&xdp : (void *)&skb;
	opts.ctx_size_in = is_xdp(program) ? sizeof(xdp) : sizeof(skb);
	must(bpf_prog_test_run_opts(fx->program[program], &opts));
	out->len = opts.data_size_out;
	return opts.retval;
}

void pfix_run(struct pfix *fx, enum pfix_program program, const struct packet *in,
	      struct pfix_result *result)
{
	pfix_events_clear(fx);
	memset(&result->out, 0, sizeof(result->out));
	result->verdict = pfix_run_uncounted(fx, program, in, &result->out);
	result->reason = counted_reason(fx, in->len);
	result->events = pfix_events_read(fx);
}

int pfix_verdict(enum pfix_program program, int reason)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		PORTARP_REASONS(VERDICT)
#undef VERDICT
	};
	bool xdp = is_xdp(program);

	if (reason < 0 || reason >= PORTARP_REASON_COUNT)
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

/* ---- frames */

void pfix_forwarded(const struct packet *in, const __u8 *src_mac, const __u8 *dst_mac,
		    struct packet *out)
{
	struct packet_view view = { .l3 = 14 };

	*out = *in;
	memcpy(out->b, dst_mac, 6);
	memcpy(out->b + 6, src_mac, 6);
	out->b[14 + 8]--;
	packet_put16(out->b + 14 + 10, packet_ip_check(out, &view));
}

bool pfix_same(const struct packet *got, const struct packet *want)
{
	bool same = got->len == want->len && !memcmp(got->b, want->b, want->len);

	if (!same)
		packet_print_diff(got, want);
	return same;
}

static void put_trailer(const struct pfix_arp *arp, __u8 *at)
{
	__u8 whole[16];

	packet_put16(whole, arp->magic ? arp->magic : 0x5045);
	whole[2] = arp->version ? arp->version : 1;
	whole[3] = arp->flags;
	packet_put16(whole + 4, arp->port);
	whole[6] = arp->a;
	whole[7] = arp->k;
	packet_put16(whole + 8, arp->psid);
	packet_put16(whole + 10, arp->low);
	packet_put16(whole + 12, arp->high);
	packet_put16(whole + 14, arp->lifetime);
	memcpy(at, whole, arp->trailer_bytes ? arp->trailer_bytes : 16);
}

void pfix_arp_build(const struct pfix_arp *arp, struct packet *packet)
{
	__u8 *at = packet->b;

	memset(packet, 0, sizeof(*packet));
	memcpy(at, arp->dst_mac, 6);
	memcpy(at + 6, arp->src_mac, 6);
	packet_put16(at + 12, 0x0806);
	at += 14;
	packet_put16(at, arp->hardware ? arp->hardware : 1);
	packet_put16(at + 2, arp->protocol ? arp->protocol : 0x0800);
	at[4] = arp->hardware_len ? arp->hardware_len : 6;
	at[5] = arp->protocol_len ? arp->protocol_len : 4;
	packet_put16(at + 6, arp->op ? arp->op : 1);
	memcpy(at + 8, arp->sender_mac, 6);
	memcpy(at + 14, arp->sender, 4);
	memcpy(at + 18, arp->target_mac, 6);
	memcpy(at + 24, arp->target, 4);
	if (arp->op >= 24)
		put_trailer(arp, at + 28);
	packet->len = arp->len ? arp->len : 60;
}

/* ---- real traffic */

static int attach_tc(__u32 ifindex, int program, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program);

	return bpf_tc_attach(&at, &options);
}

static int make_qdisc(__u32 ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	return bpf_tc_hook_create(&at);
}

int pfix_attach(struct pfix *fx, bool xdp)
{
	int err = make_qdisc(fx->up) ?: make_qdisc(fx->lan);

	err = err ?: attach_tc(fx->lan, fx->program[PFIX_OUT], BPF_TC_EGRESS);
	if (!xdp) {
		err = err ?: attach_tc(fx->up, fx->program[PFIX_UP_TC], BPF_TC_INGRESS);
		return err ?: attach_tc(fx->lan, fx->program[PFIX_LAN_TC], BPF_TC_INGRESS);
	}
	err = err ?: bpf_xdp_attach(fx->up, fx->program[PFIX_UP_XDP], XDP_FLAGS_SKB_MODE, NULL);
	return err ?: bpf_xdp_attach(fx->lan, fx->program[PFIX_LAN_XDP], XDP_FLAGS_SKB_MODE, NULL);
}

void pfix_detach(struct pfix *fx)
{
	__u32 ifindex[2] = { fx->up, fx->lan };

	for (int i = 0; i < 2; i++) {
		LIBBPF_OPTS(bpf_tc_hook, at, .ifindex = ifindex[i],
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_xdp_detach(ifindex[i], XDP_FLAGS_SKB_MODE, NULL);
		bpf_tc_hook_destroy(&at);
	}
}
