// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * waypoint - relays initiators to the responders that they are bound to (AVES paper).
 *
 * A packet's way: tunnel_find() tells what gateways send; that is opened, held against its binding
 * and sent on to the initiator (back). The rest is for a waypoint address or not ours (ip_parse);
 * its binding is found or, in a wait state, made (waypoint_bind.bpf.h), and it is sealed for the
 * responder's gateway (out). Whoever is refused is told by ICMP (waypoint_error.bpf.h); what is too
 * long for the tunnel is cut at tc (waypoint_cut.bpf.h). The entries at the end share all of it.
 */
#include "waypoint_error.bpf.h"
#include "waypoint_finish.bpf.h"

struct egress {
	__u32 ifindex;
	__u32 bytes; /* of the frame as it came */
};

static __always_inline enum verdict waypoint_verdict(enum waypoint_reason reason)
{
	switch (reason) {
#define WAYPOINT_VERDICT(name, verdict, text)                                                      \
	case WAYPOINT_##name:                                                                      \
		return VERDICT_##verdict;
		WAYPOINT_REASONS(WAYPOINT_VERDICT)
#undef WAYPOINT_VERDICT
	default:
		return VERDICT_DROP;
	}
}

/* ---- out: from an initiator into the tunnel */

#include "waypoint_cut.bpf.h"

/* Whether, and by which error, the sender is told; the packet is dropped in any case. */
static __always_inline enum waypoint_reason out_refuse(void *ctx, enum hook hook,
						       const struct ip *p,
						       enum waypoint_reason reason, __u64 now,
						       __u16 mtu, struct egress *egress)
{
	__u8 type = ICMP_UNREACHABLE, code = 1; /* host */
	enum waypoint_reason sent = WAYPOINT_ERROR_SENT;

	if (reason == WAYPOINT_REFUSED || reason == WAYPOINT_VIOLATED) {
		sent = WAYPOINT_UNREACHABLE_SENT;
	} else if (reason == WAYPOINT_TTL) {
		type = p->v6 ? 3 : ICMP_EXCEEDED;
		code = 0;
	} else if (reason == WAYPOINT_TOO_LONG) {
		type = p->v6 ? 2 : ICMP_UNREACHABLE;
		code = p->v6 ? 0 : 4;
	} else {
		return reason;
	}
	if (!error_is_due(ctx, hook, p) || !error_is_allowed(p, now) ||
	    error_make(ctx, hook, p, type, code, mtu))
		return reason;
	count_packet(&waypoint_stats, sent, 1, 0);
	egress->ifindex = hook_ifindex(ctx, hook);
	return reason;
}

/* Sealed and ready to be sent, or why not; length and hop count have been seen to. */
static __always_inline enum waypoint_reason out_seal(void *ctx, enum hook hook, const struct ip *p,
						     __u32 bytes, const struct tunnel_peer *peer,
						     __u32 index, __u32 host, struct egress *egress)
{
	if (p->tcp_flags & TCP_SYN && p->fragment == FRAGMENT_NONE)
		mss_clamp(ctx, hook, p, tunnel_mtu(peer));
	if (!ip_age(ctx, hook, p->v6))
		return WAYPOINT_MALFORMED;
	if (tunnel_seal(ctx, hook, peer, index, &waypoint_seq, host, bytes))
		return WAYPOINT_SEND_FAILED;
	egress->ifindex = peer->ifindex;
	return WAYPOINT_SEALED;
}

static __always_inline enum waypoint_reason out_tunnel(void *ctx, enum hook hook,
						       const struct ip *p, __u32 index, __u32 host,
						       __u64 now, struct egress *egress)
{
	const struct tunnel_peer *peer = bpf_map_lookup_elem(&waypoint_peer, &index);
	__u32 mtu, bytes = p->bytes;

	if (p->ttl <= 1)
		return out_refuse(ctx, hook, p, WAYPOINT_TTL, now, 0, egress);
	if (!peer || !(peer->flags & TUNNEL_UP))
		return WAYPOINT_NO_PEER;
	mtu = tunnel_mtu(peer);
	if (likely(bytes <= mtu))
		return out_seal(ctx, hook, p, bytes, peer, index, host, egress);
	if (!p->may_cut)
		return out_refuse(ctx, hook, p, WAYPOINT_TOO_LONG, now, mtu, egress);
	if (hook == HOOK_XDP)
		return WAYPOINT_TO_TC;
	bytes = cut(ctx, p, mtu);
	if (!bytes)
		return WAYPOINT_SEND_FAILED;
	if (out_seal(ctx, hook, p, bytes, peer, index, host, egress) != WAYPOINT_SEALED)
		return WAYPOINT_SEND_FAILED;
	return WAYPOINT_CUT;
}

/* Replies go back to where this came from. */
static __always_inline void bind_hop(void *ctx, enum hook hook, struct waypoint_bind *bind)
{
	struct ethhdr *eth = hook_data(ctx, hook);
	__u32 ifindex = hook_ifindex(ctx, hook);
	const __u32 *from;
	__u32 *to = (__u32 *)bind->hop_mac;

	_Static_assert(offsetof(struct waypoint_bind, our_mac) ==
			       offsetof(struct waypoint_bind, hop_mac) + 6,
		       "as in an Ethernet header");
	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return;
	if (bind->ifindex != ifindex)
		bind->ifindex = ifindex;
	from = (const __u32 *)eth; /* ours, theirs */
	if ((from[0] ^ *(__u32 *)bind->our_mac) |
	    (*(__u16 *)(from + 1) ^ *(__u16 *)(bind->our_mac + 4)))
		__builtin_memcpy(bind->our_mac, eth->h_dest, 6);
	if (*(__u32 *)eth->h_source != to[0] || *(__u16 *)(eth->h_source + 4) != *(__u16 *)(to + 1))
		__builtin_memcpy(bind->hop_mac, eth->h_source, 6);
}

/* A packet of its initiator keeps a binding, and may begin or end a connection in it. */
static __always_inline void out_mark(void *ctx, enum hook hook, const struct ip *p,
				     struct waypoint_bind *bind, const struct waypoint_pair *pair,
				     __u64 now)
{
	struct waypoint_conn_key key = { .pair = *pair,
					 .initiator_port = p->sport,
					 .waypoint_port = p->dport };
	const struct tunnel_peer *peer;
	__u32 index = bind->peer;

	bind_hop(ctx, hook, bind);
	bind_touch(bind, p, p->proto == IPPROTO_TCP && p->dport == bpf_htons(HTTP_PORT), now);
	if (likely(!(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))))
		return;
	peer = bpf_map_lookup_elem(&waypoint_peer, &index);
	conn_track(bind, &key, p->tcp_flags, WAYPOINT_FIN_OUT,
		   peer && peer->flags & TUNNEL_STRAIGHT, now);
}

static __always_inline enum waypoint_reason out4(void *ctx, enum hook hook, const struct ip *p,
						 const struct waypoint_addr *addr,
						 const struct waypoint_conf *conf, __u64 now,
						 struct egress *egress)
{
	struct waypoint_pair pair = { .initiator = p->initiator, .waypoint = ip_v4(&p->dst) };
	struct waypoint_bind *bind = bpf_map_lookup_elem(&waypoint_bind, &pair);
	enum waypoint_reason reason = WAYPOINT_SEALED, sent;

	if (ip_is_new(p)) {
		reason = bind_admit(&pair, addr, bind, conf, now);
		if (reason != WAYPOINT_SEALED && reason != WAYPOINT_BOUND)
			return out_refuse(ctx, hook, p, reason, now, 0, egress);
		if (!bind_is_live(bind, conf, now))
			bind = bpf_map_lookup_elem(&waypoint_bind, &pair);
	} else if (!bind_is_live(bind, conf, now)) {
		return WAYPOINT_UNBOUND;
	}
	if (!bind)
		return WAYPOINT_UNBOUND;
	if (!p->error)
		out_mark(ctx, hook, p, bind, &pair, now);
	sent = out_tunnel(ctx, hook, p, bind->peer, bind->host, now, egress);
	return sent == WAYPOINT_SEALED ? reason : sent;
}

/* An IPv6 initiator needs no binding: the address is one responder's. */
static __always_inline enum waypoint_reason out6(void *ctx, enum hook hook, const struct ip *p,
						 enum ip_result result, __u64 now,
						 struct egress *egress)
{
	const struct waypoint_host6 *host6 = bpf_map_lookup_elem(&waypoint_host6, &p->dst);

	if (!host6)
		return WAYPOINT_OTHER;
	if (result == IP_BAD)
		return WAYPOINT_MALFORMED;
	if (hook_is_gso(ctx, hook) || finish_is_missing(ctx, hook, p))
		return WAYPOINT_UNFINISHED;
	return out_tunnel(ctx, hook, p, host6->peer, host6->host, now, egress);
}

static __always_inline enum waypoint_reason
out(void *ctx, enum hook hook, const struct waypoint_conf *conf, __u64 now, struct egress *egress)
{
	const struct waypoint_addr *addr;
	struct ip p = {};
	enum ip_result result = ip_parse(ctx, hook, &p);
	__be32 waypoint = ip_v4(&p.dst);

	if (result == IP_OTHER)
		return WAYPOINT_OTHER;
	if (p.v6)
		return out6(ctx, hook, &p, result, now, egress);
	addr = bpf_map_lookup_elem(&waypoint_addr, &waypoint);
	if (!addr)
		return WAYPOINT_OTHER;
	if (result == IP_BAD)
		return WAYPOINT_MALFORMED;
	if (hook_is_gso(ctx, hook) || finish_is_missing(ctx, hook, &p))
		return WAYPOINT_UNFINISHED;
	return out4(ctx, hook, &p, addr, conf, now, egress);
}

/* ---- back: from the tunnel to an initiator */

/* Zeroed; NULL: the agent is too slow. */
static __always_inline struct waypoint_event *back_event(__u8 kind, __u32 peer, __u64 now)
{
	struct waypoint_event *event = bpf_ringbuf_reserve(&waypoint_event, sizeof(*event), 0);

	if (!event) {
		count_packet(&waypoint_stats, WAYPOINT_EVENT_LOST, 1, 0);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->kind = kind;
	event->peer = peer;
	return event;
}

static __always_inline void back_moved(const struct tunnel_found *found, __u32 index, __u64 now)
{
	const struct tunnel_peer *peer = bpf_map_lookup_elem(&waypoint_peer, &index);
	struct waypoint_event *event;

	if (!found->newest || !peer ||
	    (peer->remote_port == found->source_port &&
	     address_equal(&peer->remote, &found->source)))
		return;
	event = back_event(WAYPOINT_EVENT_MOVED, index, now);
	if (!event)
		return;
	event->addr = found->source;
	event->port = found->source_port;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline bool back_send(void *ctx, enum hook hook, const __u8 *to, const __u8 *from)
{
	struct ethhdr *eth = hook_data(ctx, hook);

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return false;
	__builtin_memcpy(eth->h_dest, to, 6);
	__builtin_memcpy(eth->h_source, from, 6);
	return true;
}

static __always_inline enum waypoint_reason back4(void *ctx, enum hook hook, const struct ip *p,
						  const struct waypoint_conf *conf, __u32 peer,
						  __u32 host, __u64 now, struct egress *egress)
{
	struct waypoint_pair pair = { .initiator = ip_v4(&p->dst), .waypoint = ip_v4(&p->src) };
	struct waypoint_bind *bind = bpf_map_lookup_elem(&waypoint_bind, &pair);
	struct waypoint_conn_key key = { .pair = pair,
					 .initiator_port = p->dport,
					 .waypoint_port = p->sport };

	if (!bind_is_live(bind, conf, now) || bind->peer != peer || bind->host != host)
		return WAYPOINT_FOREIGN;
	if (!bind->ifindex)
		return WAYPOINT_NO_HOP;
	bind_touch(bind, p, p->proto == IPPROTO_TCP && p->sport == bpf_htons(HTTP_PORT), now);
	if (unlikely(p->tcp_flags & (TCP_FIN | TCP_RST)))
		conn_track(bind, &key, p->tcp_flags, WAYPOINT_FIN_IN, false, now);
	if (!back_send(ctx, hook, bind->hop_mac, bind->our_mac))
		return WAYPOINT_MALFORMED;
	egress->ifindex = bind->ifindex;
	return WAYPOINT_OPENED;
}

/* The agent makes the kernel look for the neighbour. */
static __always_inline void back_asks(const struct isthmus_addr *address, __u32 peer, __u32 host,
				      __u64 now)
{
	struct waypoint_event *event = back_event(WAYPOINT_EVENT_NO_HOP, peer, now);

	if (!event)
		return;
	event->addr = *address;
	event->host = host;
	bpf_ringbuf_submit(event, 0);
}

/* An IPv6 initiator has no binding; the kernel's tables know the way. */
static __always_inline enum waypoint_reason back6(void *ctx, enum hook hook, const struct ip *p,
						  __u32 peer, __u32 host, __u64 now,
						  struct egress *egress)
{
	const struct waypoint_host6 *host6 = bpf_map_lookup_elem(&waypoint_host6, &p->src);
	struct bpf_fib_lookup fib = { .family = 10, .ifindex = hook_ifindex(ctx, hook) };
	long result;

	if (!host6 || host6->peer != peer || host6->host != host)
		return WAYPOINT_FOREIGN;
	__builtin_memcpy(fib.ipv6_src, &p->src, 16);
	__builtin_memcpy(fib.ipv6_dst, &p->dst, 16);
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result == BPF_FIB_LKUP_RET_NO_NEIGH)
		back_asks(&p->dst, peer, host, now);
	if (result != BPF_FIB_LKUP_RET_SUCCESS)
		return WAYPOINT_NO_HOP;
	if (!back_send(ctx, hook, fib.dmac, fib.smac))
		return WAYPOINT_MALFORMED;
	egress->ifindex = fib.ifindex;
	return WAYPOINT_OPENED;
}

/*
 * To a tunnel's port, and of no tunnel of ours: to this machine it is dropped for `reason`; others'
 * pass a waypoint that is a router.
 */
static __always_inline enum waypoint_reason back_unknown(void *ctx, enum hook hook,
							 const struct tunnel_found *found,
							 enum waypoint_reason reason)
{
	struct bpf_fib_lookup fib = { .ifindex = hook_ifindex(ctx, hook) };
	const __u32 *word = (const __u32 *)found->destination.b;

	if (!word[0] && !word[1] && word[2] == bpf_htonl(0xffff)) {
		fib.family = 2;
		fib.ipv4_src = ip_v4(&found->source);
		fib.ipv4_dst = ip_v4(&found->destination);
	} else {
		fib.family = 10;
		__builtin_memcpy(fib.ipv6_src, &found->source, 16);
		__builtin_memcpy(fib.ipv6_dst, &found->destination, 16);
	}
	return bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS
		       ? WAYPOINT_OTHER
		       : reason;
}

static __always_inline enum waypoint_reason back(void *ctx, enum hook hook,
						 struct tunnel_found *found,
						 const struct waypoint_conf *conf, __u64 now,
						 struct egress *egress)
{
	enum waypoint_reason reason;
	struct ip p = {};
	__u32 peer = 0;

	if (hook_is_gso(ctx, hook))
		return WAYPOINT_UNFINISHED;
	switch (tunnel_open(ctx, hook, found, &waypoint_key, &waypoint_window, now, &peer)) {
	case TUNNEL_OPENED:
		break;
	case TUNNEL_UNKNOWN:
		return back_unknown(ctx, hook, found, WAYPOINT_VNI_UNKNOWN);
	case TUNNEL_FORGED:
		return WAYPOINT_FORGED;
	case TUNNEL_REPLAYED:
		return WAYPOINT_REPLAYED;
	case TUNNEL_CONGESTED:
		return WAYPOINT_MALFORMED;
	default:
		return WAYPOINT_SEND_FAILED;
	}
	back_moved(found, peer, now);
	if (ip_parse(ctx, hook, &p) != IP_GOOD && !p.error)
		return WAYPOINT_MALFORMED;
	if (p.ttl <= 1)
		return WAYPOINT_TTL;
	reason = p.v6 ? back6(ctx, hook, &p, peer, found->host, now, egress)
		      : back4(ctx, hook, &p, conf, peer, found->host, now, egress);
	if (reason == WAYPOINT_OPENED && !ip_age(ctx, hook, p.v6))
		return WAYPOINT_MALFORMED;
	return reason;
}

/* ---- entries */

/* A frame to this machine alone; a bridge's port sees others'. */
static __always_inline bool frame_is_ours(void *ctx, enum hook hook)
{
	struct ethhdr *eth = hook_data(ctx, hook);

	if (hook == HOOK_TC)
		return ((struct __sk_buff *)ctx)->pkt_type == 0; /* PACKET_HOST */
	return (void *)(eth + 1) <= hook_data_end(ctx, hook) && !(eth->h_dest[0] & 1);
}

/*
 * To the tunnel's port of a waypoint address, and under no key of ours: an initiator's packet, who
 * talks to such a port of its responder.
 */
static __always_inline bool found_is_initiators(const struct tunnel_found *found)
{
	__be32 waypoint = ip_v4(&found->destination);

	if (found->vni && bpf_map_lookup_elem(&waypoint_key, &found->vni))
		return false;
	return bpf_map_lookup_elem(&waypoint_addr, &waypoint) ||
	       bpf_map_lookup_elem(&waypoint_host6, &found->destination);
}

static __always_inline enum waypoint_reason waypoint_handle(void *ctx, enum hook hook,
							    struct egress *egress)
{
	struct tunnel_found found = {};
	const struct waypoint_conf *conf;
	enum tunnel_kind kind;
	__u32 zero = 0;
	__u64 now;

	conf = bpf_map_lookup_elem(&waypoint_conf, &zero);
	if (!conf || !frame_is_ours(ctx, hook))
		return WAYPOINT_OTHER;
	now = bpf_ktime_get_coarse_ns();
	kind = tunnel_find(ctx, hook, conf->common.port, &found);
	if (unlikely(kind != TUNNEL_NONE) && kind != TUNNEL_AGENTS && found_is_initiators(&found))
		kind = TUNNEL_NONE;
	switch (kind) {
	case TUNNEL_DATA:
		return back(ctx, hook, &found, conf, now, egress);
	case TUNNEL_AGENTS:
		return WAYPOINT_CONTROL;
	case TUNNEL_MISFORMED:
		return back_unknown(ctx, hook, &found, WAYPOINT_MALFORMED);
	default:
		return out(ctx, hook, conf, now, egress);
	}
}

static __always_inline int waypoint_run(void *ctx, enum hook hook)
{
	struct egress egress = { .bytes = tunnel_frame_length(ctx, hook) };
	__u32 packets = hook_packets(ctx, hook);
	enum waypoint_reason reason = waypoint_handle(ctx, hook, &egress);
	enum verdict verdict = waypoint_verdict(reason);

	count_packet(&waypoint_stats, reason, packets, egress.bytes);
	/* A dropped packet that has become an error for its sender has a way too. */
	if (!egress.ifindex || verdict == VERDICT_PASS)
		return verdict_code(hook, verdict);
	return bpf_redirect(egress.ifindex, 0);
}

SEC("xdp")
int waypoint_xdp(struct xdp_md *ctx)
{
	return waypoint_run(ctx, HOOK_XDP);
}

SEC("tc")
int waypoint_tc(struct __sk_buff *skb)
{
	return waypoint_run(skb, HOOK_TC);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
