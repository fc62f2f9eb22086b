// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * splice - joins two hosts that both connect to this one (p2p-broker thesis, chapters 4 and 5).
 *
 * A packet's way: parse_packet() finds its flow; splice_leg tells what an established session's
 * packet becomes (splice_forward, one look-up); else splice_side tells whether a rendezvous waits
 * at its destination (splice_join.bpf.h, at tc only, because a join needs a clone). The two entries
 * at the end share all of it.
 */
#include "lib/count.bpf.h"
#include "lib/csum.bpf.h"
#include "lib/parse.bpf.h"
#include "splice_maps.bpf.h"
#include "splice_hop.bpf.h"

/* For tests only, set before loading: admits any source, so that a test of the check can fail. */
const volatile __u8 splice_any_source;

/*
 * Set by the loader when every device of the datapath is a NIC: a packet that leaves by the device
 * it came from may then go back through the same queue. On veth such frames wait until the peer's
 * NAPI wakes, which without a program at the peer may be never; a redirect wakes it.
 */
const volatile __u8 splice_xdp_tx;

static __always_inline bool is_syn(const struct packet *p)
{
	return p->flow.proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* By an address's last byte and the one that tells IPv4 (mapped: 0xff) from most of IPv6. */
static __always_inline struct splice_near *near_slot(__u8 last, __u8 family)
{
	__u32 slot = (last ^ family) % SPLICE_NEARS;

	return bpf_map_lookup_elem(&splice_near, &slot);
}

/* The range of an address of ours, or NULL. */
static __always_inline const struct splice_range *addr_range(const struct isthmus_addr *addr,
							     __u32 epoch)
{
	const struct splice_range *range;
	struct splice_near *near = near_slot(addr->b[15], addr->b[10]);

	if (!near)
		return NULL;
	if (likely(near->epoch == epoch && address_equal(&near->addr, addr)))
		return &near->range;
	near->addr = *addr;
	near->epoch = 0;
	range = bpf_map_lookup_elem(&splice_local, &near->addr);
	if (!range)
		return NULL;
	near->range = *range;
	near->epoch = epoch;
	return &near->range;
}

/* The ports of ours at a flow's destination, or NULL: it is not for us. */
static __always_inline const struct splice_range *flow_range(const struct flow *flow, __u32 epoch)
{
	const struct splice_range *range = addr_range(&flow->local, epoch);
	__u16 port = bpf_ntohs(flow->local_port);

	return range && port >= range->low && port <= range->high ? range : NULL;
}

/* The leg at a flow's destination, whoever's it is. */
static __always_inline struct splice_leg *leg_at(const struct splice_range *range,
						 const struct flow *flow)
{
	__u32 index = splice_leg_index(range, bpf_ntohs(flow->local_port), flow->proto);

	return bpf_map_lookup_elem(&splice_leg, &index);
}

static __always_inline bool leg_is_of(const struct splice_leg *leg, const struct flow *flow)
{
	return leg->state == SPLICE_LEG_LIVE && leg->remote_port == flow->remote_port &&
	       address_equal(&leg->remote, &flow->remote);
}

struct splice_egress {
	__u32 ifindex;
	bool answered; /* the packet has become a SYNACK */
};

/* TCP's marks on a leg, thesis figure 5.2: who has answered, finished or reset. */
static __always_inline void leg_mark_tcp(struct splice_leg *leg, __u8 tcp_flags)
{
	__u8 flags = leg->flags;

	if (tcp_flags & TCP_ACK)
		flags |= SPLICE_LEG_ACKED;
	if (unlikely(tcp_flags & TCP_FIN))
		flags |= SPLICE_LEG_FIN;
	if (unlikely(tcp_flags & TCP_RST))
		flags |= SPLICE_LEG_RST;
	else
		flags &= ~SPLICE_LEG_RST; /* this side goes on: the RST was not its own */
	if (unlikely(flags != leg->flags))
		leg->flags = flags;
}

static __always_inline void leg_count(struct splice_leg *leg, __u32 packets, __u32 ip_bytes,
				      __u64 now)
{
	/* Not atomic, which would cost 9 ns of 71: one direction of a flow stays on one CPU (RSS).
	 */
	leg->seen_ns = now;
	leg->packets += packets;
	leg->bytes += ip_bytes;
}

static __always_inline void rewrite_ip4(struct iphdr *ip, const struct splice_leg *leg)
{
	ip->saddr = *(__be32 *)&leg->new_src.b[12];
	ip->daddr = *(__be32 *)&leg->new_dst.b[12];
	ip->ttl--;
	csum_update(&ip->check, leg->addr_delta + CSUM_TTL_DELTA_V4);
}

/* The bounds are those that the parser found; the verifier wants them where it sees the writing. */
static __always_inline bool rewrite_addresses(struct packet *p, const struct splice_leg *leg,
					      void *end)
{
	struct ipv6hdr *ip6 = p->l3;
	struct iphdr *ip = p->l3;

	if (p->ethertype == bpf_htons(ETH_P_IP)) {
		if ((void *)(ip + 1) > end)
			return false;
		rewrite_ip4(ip, leg);
	} else {
		if ((void *)(ip6 + 1) > end)
			return false;
		__builtin_memcpy(&ip6->saddr, &leg->new_src, 16);
		__builtin_memcpy(&ip6->daddr, &leg->new_dst, 16);
		ip6->hop_limit--;
	}
	return true;
}

/* TCP and UDP have their ports at the same place. */
static __always_inline void rewrite_ports(struct udphdr *l4, const struct splice_leg *leg)
{
	if (leg->flags & SPLICE_LEG_PURE)
		return;
	l4->source = leg->new_sport;
	l4->dest = leg->new_dport;
}

static __always_inline void rewrite_tcp(struct tcphdr *tcp, const struct splice_leg *leg,
					enum hook hook)
{
	rewrite_ports((struct udphdr *)tcp, leg);
	if (hook == HOOK_XDP)
		csum_update(&tcp->check, (__u32)leg->addr_delta + leg->port_delta);
}

static __always_inline void rewrite_udp(struct udphdr *udp, const struct splice_leg *leg,
					enum hook hook)
{
	rewrite_ports(udp, leg);
	if (hook == HOOK_XDP)
		csum_update_udp(&udp->check, (__u32)leg->addr_delta + leg->port_delta);
}

static __always_inline __u32 l4_check_offset(const struct packet *p)
{
	return p->flow.proto == IPPROTO_TCP ? offsetof(struct tcphdr, check)
					    : offsetof(struct udphdr, check);
}

/*
 * At tc only the kernel knows whether the checksum is finished (CHECKSUM_PARTIAL holds no more than
 * the pseudo-header), so it is told both differences. IPv6: it takes the addresses' difference off
 * skb->csum as well, although the header changed by the same amount; that is given back.
 */
static __always_inline int rewrite_check_tc(struct __sk_buff *skb, const struct packet *p,
					    const struct splice_leg *leg)
{
	__u32 offset = p->l4 - (void *)p->eth + l4_check_offset(p);
	__u64 udp = p->flow.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	bool v6 = p->ethertype == bpf_htons(ETH_P_IPV6);
	__u32 addr_delta = leg->addr_delta, port_delta = leg->port_delta;

	if (bpf_l4_csum_replace(skb, offset, 0, addr_delta, BPF_F_PSEUDO_HDR | udp))
		return -1;
	if (port_delta && bpf_l4_csum_replace(skb, offset, 0, port_delta, udp))
		return -1;
	if (v6)
		bpf_csum_update(skb, csum_add(addr_delta, CSUM_HOP_DELTA_V6));
	return 0;
}

static __always_inline void rewrite_macs(struct ethhdr *eth, const struct splice_leg *leg)
{
	_Static_assert(offsetof(struct splice_hop, src_mac) ==
			       offsetof(struct splice_hop, dst_mac) + 6,
		       "as in an Ethernet header");
	const __u32 *from = (const __u32 *)leg->hop.dst_mac;
	__u32 *to = (__u32 *)eth;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

/* At tc the kernel keeps the outer tag aside. Packet pointers are not valid afterwards. */
static __always_inline int tc_set_tag(struct __sk_buff *skb, const struct splice_hop *hop)
{
	if (skb->vlan_present) {
		if (skb->vlan_tci == bpf_ntohs(hop->vlan_tci) && skb->vlan_proto == hop->vlan_proto)
			return 0;
		if (bpf_skb_vlan_pop(skb))
			return -1;
	}
	if (!hop->vlan_proto)
		return 0;
	return bpf_skb_vlan_push(skb, hop->vlan_proto, bpf_ntohs(hop->vlan_tci));
}

/* A hop has one tag. XDP sees it in the frame, tc beside it; what is left is an inner one (QinQ).
 */
static __always_inline bool tags_too_many(const struct packet *p, enum hook hook)
{
	return p->tags > (hook == HOOK_XDP ? 1 : 0);
}

/* XDP changes a tag in place; one that comes or goes is tc's. */
static __always_inline bool xdp_set_tag(struct packet *p, const struct splice_hop *hop)
{
	struct vlan_tag *tag = (void *)(p->eth + 1);

	if (likely(!p->tags))
		return !hop->vlan_proto;
	if (!hop->vlan_proto)
		return false;
	p->eth->h_proto = hop->vlan_proto;
	tag->tci = hop->vlan_tci;
	return true;
}

/* False: out of bounds, which the parser has ruled out; the verifier wants to see it. */
static __always_inline bool rewrite_headers(struct packet *p, struct splice_leg *leg,
					    enum hook hook, void *end)
{
	struct tcphdr *tcp = p->l4;
	struct udphdr *udp = p->l4;

	rewrite_macs(p->eth, leg);
	if (!rewrite_addresses(p, leg, end))
		return false;
	if (p->fragment == FRAGMENT_LATER)
		return true;
	if (p->flow.proto == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return false;
		leg_mark_tcp(leg, p->tcp_flags);
		rewrite_tcp(tcp, leg, hook);
	} else {
		if ((void *)(udp + 1) > end)
			return false;
		rewrite_udp(udp, leg, hook);
	}
	return true;
}

static __always_inline bool hop_is_due(const struct splice_leg *leg, const struct splice_conf *conf,
				       __u64 now)
{
	return leg->epoch != conf->epoch ||
	       (__s64)(now - leg->checked_ns) > (__s64)conf->recheck_ns;
}

/* A packet of an established session: everything that is changed is known beforehand. */
static __always_inline enum splice_reason splice_forward(void *ctx, enum hook hook,
							 struct packet *p, struct splice_leg *leg,
							 const struct splice_conf *conf, __u64 now,
							 struct splice_egress *egress)
{
	if (unlikely(p->bad))
		return SPLICE_MALFORMED;
	if (unlikely(p->ttl <= 1))
		return SPLICE_TTL;
	if (unlikely(hop_is_due(leg, conf, now)))
		hop_refresh(ctx, hook_ifindex(ctx, hook), leg, conf, now);
	if (unlikely(!leg->hop.ifindex || tags_too_many(p, hook)))
		return SPLICE_NO_HOP;
	if (hook == HOOK_XDP && unlikely(!xdp_set_tag(p, &leg->hop)))
		return SPLICE_TO_TC;

	leg_count(leg, hook_packets(ctx, hook), p->ip_bytes, now);
	egress->ifindex = leg->hop.ifindex;
	if (!rewrite_headers(p, leg, hook, hook_data_end(ctx, hook)))
		return SPLICE_MALFORMED;
	if (hook == HOOK_XDP)
		return SPLICE_FORWARDED;
	if (p->fragment != FRAGMENT_LATER && rewrite_check_tc(ctx, p, leg))
		return SPLICE_SEND_FAILED;
	return tc_set_tag(ctx, &leg->hop) ? SPLICE_SEND_FAILED : SPLICE_FORWARDED;
}

#include "splice_join.bpf.h"
#include "splice_frag.bpf.h"

/*
 * No helper and no function apart is given a pointer into `p`: then clang keeps its fields in
 * registers, which is 10 ns of 50. Who needs one in memory, off the common way, copies it.
 */
static __always_inline enum splice_reason splice_handle(void *ctx, enum hook hook, struct packet *p,
							struct splice_egress *egress)
{
	const struct splice_range *range;
	const struct splice_conf *conf;
	enum splice_reason reason;
	struct splice_leg *leg;
	bool joined = false;
	__u32 zero = 0;
	__u64 now;

	conf = bpf_map_lookup_elem(&splice_conf, &zero);
	if (!parse_packet(ctx, hook, p) || !conf)
		return SPLICE_OTHER;
	now = bpf_ktime_get_coarse_ns();
	if (p->fragment == FRAGMENT_LATER) {
		reason = frag_track(p, now);
		if (reason != SPLICE_FORWARDED)
			return reason;
	}
	range = flow_range(&p->flow, conf->epoch);
	if (!range)
		return SPLICE_OTHER;
	leg = leg_at(range, &p->flow);
	if (!leg)
		return SPLICE_OTHER;
	if (unlikely(!leg_is_of(leg, &p->flow) || is_syn(p))) {
		reason = join_handle(ctx, hook, p, leg, now, egress);
		if (reason != SPLICE_JOINED || egress->answered)
			return reason;
		joined = true; /* a second first datagram: it is its new leg's first packet */
	}
	if (unlikely(p->fragment == FRAGMENT_FIRST))
		frag_keep(p, now + conf->frag_ns);
	reason = splice_forward(ctx, hook, p, leg, conf, now, egress);
	return joined && reason == SPLICE_FORWARDED ? SPLICE_JOINED : reason;
}

static __always_inline enum verdict splice_verdict(enum splice_reason reason)
{
	switch (reason) {
#define SPLICE_VERDICT(name, verdict, text)                                                        \
	case SPLICE_##name:                                                                        \
		return VERDICT_##verdict;
		SPLICE_REASONS(SPLICE_VERDICT)
#undef SPLICE_VERDICT
	default:
		return VERDICT_DROP;
	}
}

static __always_inline int splice_send(void *ctx, enum hook hook, __u32 ifindex)
{
	if (hook == HOOK_XDP && splice_xdp_tx && ifindex == hook_ifindex(ctx, hook))
		return XDP_TX;
	return bpf_redirect(ifindex, 0);
}

#include "splice_plain.bpf.h"

static __always_inline int splice_run(void *ctx, enum hook hook)
{
	__u32 packets = hook_packets(ctx, hook),
	      bytes = hook == HOOK_TC ? hook_length(ctx, hook) : 0;
	struct splice_egress egress = {};
	struct packet p = {};
	enum splice_reason reason = splice_handle(ctx, hook, &p, &egress);
	enum verdict verdict = splice_verdict(reason);

	/* At XDP the length is a call, so only a frame that may be in several buffers asks. */
	if (hook == HOOK_XDP)
		bytes = likely(reason == SPLICE_FORWARDED && p.ip_bytes <= p.linear)
				? p.linear
				: hook_length(ctx, hook);
	count_packet(&splice_stats, reason, packets, bytes);
	if (verdict != VERDICT_SEND)
		return verdict_code(hook, verdict);
	return splice_send(ctx, hook, egress.ifindex);
}

SEC("xdp")
int splice_xdp(struct xdp_md *ctx)
{
	int code = splice_plain(ctx);

	return likely(code >= 0) ? code : splice_run(ctx, HOOK_XDP);
}

SEC("tc")
int splice_tc(struct __sk_buff *skb)
{
	return splice_run(skb, HOOK_TC);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
