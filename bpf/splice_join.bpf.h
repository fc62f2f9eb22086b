/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshakes (thesis 4.3 and 5.2). States of a rendezvous:
 *
 *   LISTEN --SYN of one side, stored--> SYN_LOOKUP --SYN of the other--> SYN_RCVD
 *                                       (21 s, then LISTEN again)         two legs, two SYNACKs
 *
 * Each side's SYNACK is made of the other side's SYN, so sequence numbers, timestamps and windows
 * need no translation afterwards. UDP has no SYN: first datagrams take their place.
 *
 * Admission runs at both hooks, so that XDP drops a flood; what is admitted goes on at tc.
 */
#ifndef ISTHMUS_BPF_SPLICE_JOIN_H
#define ISTHMUS_BPF_SPLICE_JOIN_H

#include "splice_synack.bpf.h"

static __always_inline enum splice_reason join_admit(const struct packet *p,
						     const struct splice_side *side, __u64 now)
{
	if (now > side->expires_ns)
		return SPLICE_EXPIRED;
	if (!side->known)
		return SPLICE_UNANNOUNCED;
	if (!splice_any_source && !address_equal(&p->flow.remote, &side->expected))
		return SPLICE_WRONG_SOURCE;
	return SPLICE_TO_TC;
}

static __noinline void join_tell(__u8 kind, const struct splice_side *side, const struct flow *flow,
				 __u32 reason, __u64 now)
{
	struct splice_event event = {
		.rendezvous = side->rendezvous,
		.time_ns = now,
		.remote = flow->remote,
		.remote_port = flow->remote_port,
		.kind = kind,
		.side = side->side,
		.reason = reason,
	};

	if (bpf_ringbuf_output(&splice_event, &event, sizeof(event), 0))
		count_packet(&splice_stats, SPLICE_EVENT_LOST, 1, 0);
}

/* Signed: another CPU's clock may be a tick ahead. */
static __always_inline bool syn_is_fresh(const struct splice_syn *syn, __u64 now,
					 __u64 half_open_ns)
{
	return syn->seen_ns && (__s64)(now - syn->seen_ns) < (__s64)half_open_ns;
}

/*
 * Stores this side's SYN. SPLICE_SYN_HELD: first, kept. SPLICE_JOINED: the other side's was there;
 * it is copied to `other`, and this CPU alone goes on to make the legs. SPLICE_SIDE_TAKEN.
 */
static __noinline enum splice_reason join_store(struct splice_join *join, __u8 mine,
						const struct splice_syn *syn,
						struct splice_syn *other, __u64 half_open_ns)
{
	enum splice_reason reason = SPLICE_SIDE_TAKEN;
	struct splice_syn *own = &join->syn[mine & 1], *theirs = &join->syn[!mine];
	bool fresh;

	bpf_spin_lock(&join->lock);
	fresh = syn_is_fresh(own, syn->seen_ns, half_open_ns);
	if (join->state != SPLICE_SYN_RCVD && (!fresh || own->remote_port == syn->remote_port)) {
		*own = *syn;
		if (syn_is_fresh(theirs, syn->seen_ns, half_open_ns)) {
			*other = *theirs;
			join->state = SPLICE_SYN_RCVD;
			join->joined_ns = syn->seen_ns;
			reason = SPLICE_JOINED;
		} else {
			join->state = SPLICE_SYN_LOOKUP;
			/* Told once: a repeated first SYN is no news. */
			reason = fresh ? SPLICE_SYN_AGAIN : SPLICE_SYN_HELD;
		}
	}
	bpf_spin_unlock(&join->lock);
	return reason;
}

/* The legs could not be made: the rendezvous waits again, for a SYN of this side. */
static __always_inline void join_undo(struct splice_join *join, __u8 mine)
{
	bpf_spin_lock(&join->lock);
	join->state = SPLICE_SYN_LOOKUP;
	join->joined_ns = 0;
	join->syn[mine & 1].seen_ns = 0;
	bpf_spin_unlock(&join->lock);
}

/* One direction: packets that arrive as `flow` leave as the reverse of `other`. */
static __noinline void leg_fill(struct splice_leg *leg, const struct flow *flow,
				const struct flow *other)
{
	leg->remote = flow->remote;
	leg->remote_port = flow->remote_port;
	leg->new_src = other->local;
	leg->new_dst = other->remote;
	leg->new_sport = other->local_port;
	leg->new_dport = other->remote_port;
	/* Both addresses are neighbours in both structs, and so are both ports. */
	leg->addr_delta = csum_fold(
		bpf_csum_diff((__be32 *)&flow->remote, 32, (__be32 *)&leg->new_src, 32, 0));
	leg->port_delta = 0;
	if (flow->remote_port == leg->new_sport && flow->local_port == leg->new_dport)
		leg->flags |= SPLICE_LEG_PURE;
	else
		leg->port_delta = csum_fold(bpf_csum_diff((__be32 *)&flow->remote_port, 4,
							  (__be32 *)&leg->new_sport, 4, 0));
}

static __always_inline struct splice_leg *leg_of_flow(const struct flow *flow, __u32 epoch)
{
	const struct splice_range *range = flow_range(flow, epoch);

	return range ? leg_at(range, flow) : NULL;
}

/*
 * The leg of packets from pair[from]; it is not live yet. Its hop leads to the other host: by the
 * tables, or else by the way that host's SYN came. False: the endpoint is not ours, or another
 * session's.
 */
static __noinline bool leg_make(struct __sk_buff *skb, const struct splice_conf *conf,
				struct join_pair *pair, __u32 from)
{
	const struct flow *flow = &pair->flow[from & 1], *other = &pair->flow[!(from & 1)];
	struct splice_leg *leg = leg_of_flow(flow, conf->epoch);

	if (!leg || leg->state != SPLICE_LEG_FREE)
		return false;
	leg->flags = pair->side != from ? SPLICE_LEG_PROVIDER : 0;
	leg->hop = pair->syn[!(from & 1)].hop;
	leg->epoch = conf->epoch;
	leg->rendezvous = pair->rendezvous;
	leg->checked_ns = leg->seen_ns = pair->syn[0].seen_ns;
	leg->packets = leg->bytes = 0;
	leg_fill(leg, flow, other);
	if (hop_lookup(skb, skb->ifindex, &leg->new_src, &leg->new_dst, &leg->hop) ==
	    BPF_FIB_LKUP_RET_SUCCESS)
		leg->flags |= SPLICE_LEG_ROUTED;
	return true;
}

/* A fetching atomic is a full barrier: no CPU sees the leg live before what it holds. */
static __always_inline void leg_set_live(const struct flow *flow, __u32 epoch)
{
	struct splice_leg *leg = leg_of_flow(flow, epoch);
	__u64 fence;

	if (!leg)
		return;
	fence = __sync_fetch_and_or(&leg->packets, 0);
	hide_from_clang(fence);
	*(volatile __u8 *)&leg->state = SPLICE_LEG_LIVE;
}

/* Both legs or none: join_store() lets one CPU come here, and the endpoints are this rendezvous'
 * own. */
static __always_inline enum splice_reason
legs_make(struct __sk_buff *skb, const struct splice_conf *conf, struct join_pair *pair)
{
	/* The two families are not translated into each other. */
	if (addr_is_v4(&pair->flow[0].remote) != addr_is_v4(&pair->flow[1].remote))
		return SPLICE_NO_HOP;
	if (!leg_make(skb, conf, pair, 0) || !leg_make(skb, conf, pair, 1))
		return SPLICE_SIDE_TAKEN;
	leg_set_live(&pair->flow[0], conf->epoch);
	leg_set_live(&pair->flow[1], conf->epoch);
	return SPLICE_JOINED;
}

/* The other side's flow: from the address that its probe showed, to its endpoint. */
static __always_inline bool other_flow(const struct splice_side *side,
				       const struct splice_syn *other_syn, struct flow *key)
{
	const struct splice_side *other = bpf_map_lookup_elem(&splice_side, &side->other);

	if (!other || other->rendezvous != side->rendezvous)
		return false;
	key->remote = other->expected;
	key->local = side->other.addr;
	key->remote_port = other_syn->remote_port;
	key->local_port = side->other.port;
	key->proto = side->other.proto;
	return true;
}

static __always_inline enum splice_reason join_refuse(const struct splice_side *side,
						      const struct flow *flow,
						      enum splice_reason reason, __u64 now)
{
	join_tell(SPLICE_EVENT_REFUSED, side, flow, reason, now);
	return reason;
}

static __always_inline enum splice_reason join_refuse_packet(const struct splice_side *side,
							     const struct packet *p,
							     enum splice_reason reason, __u64 now)
{
	const struct flow *flow = flow_in_memory(p);

	return flow ? join_refuse(side, flow, reason, now) : reason;
}

/*
 * JOINED: the clone becomes the SYNACK to the other side, the packet itself the one to its sender.
 * SYN_AGAIN: the latter only. Apart from join_tc() because it changes the packet. Returns the
 * reason.
 */
__noinline int join_answer(struct __sk_buff *skb, __u32 reason)
{
	struct join_work *work = join_work();
	const struct splice_hop *own, *other;

	if (!work)
		return SPLICE_SEND_FAILED;
	/* Growing makes the kernel forget a sum over the packet as it came (CHECKSUM_COMPLETE). */
	if (bpf_skb_change_tail(skb, skb->len + 1, 0))
		return SPLICE_SEND_FAILED;
	own = &work->pair.syn[0].hop;
	other = &work->pair.syn[1].hop;
	if (reason == SPLICE_JOINED) {
		if (synack_write(skb, 1) || tc_set_tag(skb, other))
			return SPLICE_SEND_FAILED;
		/* If this clone is lost, the other side repeats its SYN and is answered then. */
		bpf_clone_redirect(skb, other->ifindex, 0);
	}
	if (synack_write(skb, 0) || tc_set_tag(skb, own))
		return SPLICE_SEND_FAILED;
	return reason;
}

/* A SYN of an existing leg: its SYNACK was lost, or is still on its way. */
static __always_inline enum splice_reason join_again(struct splice_join *join,
						     struct join_work *work)
{
	struct splice_syn *syn = &work->pair.syn[0];
	__u8 mine = work->pair.side & 1;
	bool same;

	bpf_spin_lock(&join->lock);
	same = join->syn[mine].isn == syn->isn && join->syn[mine].remote_port == syn->remote_port;
	work->pair.syn[1] = join->syn[!mine];
	bpf_spin_unlock(&join->lock);
	/* Another ISN is another connection, and this rendezvous was for one. */
	return same ? SPLICE_SYN_AGAIN : SPLICE_SIDE_TAKEN;
}

/* A first SYN or datagram of this side. */
static __always_inline enum splice_reason
join_first(struct __sk_buff *skb, const struct splice_side *side, struct splice_join *join,
	   struct join_work *work, const struct splice_conf *conf)
{
	bool tcp = work->pair.flow[0].proto == IPPROTO_TCP;
	const struct flow *flow = &work->pair.flow[0];
	struct join_pair *pair = &work->pair;
	__u64 now = pair->syn[0].seen_ns;
	enum splice_reason reason;

	reason = join_store(join, pair->side, &pair->syn[0], &pair->syn[1], conf->half_open_ns);
	if (reason == SPLICE_SYN_HELD)
		join_tell(SPLICE_EVENT_SYN, side, flow, 0, now);
	if (reason == SPLICE_SYN_HELD || reason == SPLICE_SYN_AGAIN)
		return tcp ? SPLICE_SYN_HELD : SPLICE_UDP_HELD;
	if (reason != SPLICE_JOINED)
		return join_refuse(side, flow, reason, now);
	reason = SPLICE_EXPIRED;
	if (other_flow(side, &pair->syn[1], &pair->flow[1]))
		reason = legs_make(skb, conf, pair);
	if (reason != SPLICE_JOINED) {
		join_undo(join, pair->side);
		return join_refuse(side, flow, reason, now);
	}
	join_tell(SPLICE_EVENT_JOINED, side, flow, 0, now);
	return SPLICE_JOINED;
}

/*
 * An admitted SYN or first datagram; join_prepare() has filled work->pair's [0]. A global function,
 * so that the verifier looks at it once. `again`: its leg exists. Returns enum splice_reason.
 */
__noinline int join_tc(struct __sk_buff *skb, __u32 again)
{
	struct join_work *work = join_work();
	const struct splice_conf *conf;
	const struct splice_side *side;
	struct splice_join *join;
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&splice_conf, &zero);
	if (!work || !conf)
		return SPLICE_SEND_FAILED;
	side = bpf_map_lookup_elem(&splice_side, &work->key);
	join = side ? bpf_map_lookup_elem(&splice_join, &side->rendezvous) : NULL;
	if (!join)
		return SPLICE_EXPIRED;
	work->pair.side = side->side & 1;
	work->pair.rendezvous = side->rendezvous;
	if (work->key.proto == IPPROTO_TCP && syn_read_tcp(skb))
		return join_refuse(side, &work->pair.flow[0], SPLICE_BAD_SYN,
				   work->pair.syn[0].seen_ns);
	if (again)
		return join_again(join, work);
	return join_first(skb, side, join, work, conf);
}

/* How the packet came, turned round. */
static __always_inline void syn_way_back(struct __sk_buff *skb, const struct packet *p,
					 struct splice_syn *syn)
{
	syn->hop.ifindex = skb->ifindex;
	__builtin_memcpy(syn->hop.dst_mac, p->eth->h_source, 6);
	__builtin_memcpy(syn->hop.src_mac, p->eth->h_dest, 6);
	if (skb->vlan_present) {
		syn->hop.vlan_proto = skb->vlan_proto;
		syn->hop.vlan_tci = bpf_htons(skb->vlan_tci);
	}
}

static __always_inline void join_prepare(struct __sk_buff *skb, const struct packet *p,
					 struct join_work *work, __u64 now)
{
	struct splice_syn *syn = &work->pair.syn[0];

	__builtin_memset(&work->pair, 0, sizeof(work->pair));
	work->pair.flow[0] = p->flow;
	syn->seen_ns = now;
	syn->remote_port = p->flow.remote_port;
	syn_way_back(skb, p, syn);
	syn_find_place(p, &work->place);
}

static __always_inline void join_key(const struct packet *p, struct splice_local_key *key)
{
	key->addr = p->flow.local;
	key->port = p->flow.local_port;
	key->proto = p->flow.proto;
	key->pad = 0;
}

/* At an endpoint of ours, and not a packet of the live leg there; or a SYN of it, again. */
static __always_inline enum splice_reason join_handle(void *ctx, enum hook hook,
						      const struct packet *p,
						      const struct splice_leg *leg, __u64 now,
						      struct splice_egress *egress)
{
	bool syn = is_syn(p), opens = syn || p->flow.proto == IPPROTO_UDP;
	bool again = syn && leg_is_of(leg, &p->flow);
	const struct splice_side *side;
	enum splice_reason reason;
	struct join_work *work;

	if (p->bad)
		return SPLICE_MALFORMED;
	if (!opens || p->fragment == FRAGMENT_LATER)
		return SPLICE_NO_SESSION;
	work = join_work();
	if (!work)
		return SPLICE_SEND_FAILED;
	join_key(p, &work->key);
	side = bpf_map_lookup_elem(&splice_side, &work->key);
	if (!side)
		return SPLICE_UNANNOUNCED;
	if (tags_too_many(p, hook))
		return SPLICE_NO_HOP;
	reason = again ? SPLICE_TO_TC : join_admit(p, side, now);
	if (reason == SPLICE_WRONG_SOURCE && hook == HOOK_TC)
		return join_refuse_packet(side, p, reason, now);
	if (reason != SPLICE_TO_TC || hook == HOOK_XDP)
		return reason;
	join_prepare(ctx, p, work, now);
	egress->ifindex = work->pair.syn[0].hop.ifindex;
	reason = join_tc(ctx, again);
	if (p->flow.proto != IPPROTO_TCP || (reason != SPLICE_JOINED && reason != SPLICE_SYN_AGAIN))
		return reason;
	egress->answered = true;
	return join_answer(ctx, reason);
}

#endif
