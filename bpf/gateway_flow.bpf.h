/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows (AVES 3.2, 5.3): an initiator's packet makes or refreshes one, a responder's packet and
 * both sides' errors find it. A record is read by all CPUs; it changes whole, but for `fins`,
 * `seen_ns`.
 *
 * The global functions look the room up again: to 6.1 an argument is memory, and no map's key.
 */
#ifndef ISTHMUS_BPF_GATEWAY_FLOW_H
#define ISTHMUS_BPF_GATEWAY_FLOW_H

#include "gateway_head.bpf.h"

#define FLOW_TOUCH_NS 1000000000ull
#define FLOW_PROBES   32 /* ports that are tried to mask with */

/* More than FLOW_UNKNOWN: there it is. */
#define FLOW_MADE      3
#define FLOW_TOUCHED   2
#define FLOW_FOUND     1
#define FLOW_UNKNOWN   0
#define FLOW_NO_ROOM   (-1)
#define FLOW_NO_FAMILY (-2)
#define FLOW_ASKS      (-3) /* only a source that was admitted may begin it */

static __always_inline bool flow_same(const struct gateway_flow *a, const struct gateway_flow *b)
{
	return address_equal(&a->initiator, &b->initiator) &&
	       address_equal(&a->waypoint, &b->waypoint) &&
	       a->initiator_port == b->initiator_port && a->peer == b->peer && a->host == b->host &&
	       a->mode == b->mode;
}

static __always_inline bool flow_live(const struct gateway_flow *flow, __u8 proto,
				      const struct gateway_conf *conf, __u64 now)
{
	return now <= gateway_flow_ends(flow, proto, conf);
}

/* Once a second is enough; a FIN or RST begins the time that the flow lingers. */
static __always_inline bool flow_touch(struct gateway_flow *flow, const struct view *v, __u64 now,
				       __u8 fin)
{
	__u8 fins = flow->fins;

	if (v->proto == IPPROTO_TCP && v->kind == VIEW_PORTS) {
		if (v->tcp_flags & TCP_FIN)
			fins |= fin;
		if (v->tcp_flags & TCP_RST)
			fins |= GATEWAY_RST;
		/* The port is used again. */
		if (fin == GATEWAY_FIN_INITIATOR && (v->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			fins = 0;
	}
	if (fins == flow->fins && now < flow->seen_ns + FLOW_TOUCH_NS)
		return false;
	flow->fins = fins;
	flow->seen_ns = now;
	return true;
}

/* ---- of an initiator's packet */

/* An IPv4 address as an IPv6 responder sees it (RFC 6052); false: no prefix is there. */
static __always_inline bool addr_embed(const struct isthmus_addr *v4, struct isthmus_addr *v6)
{
	const struct gateway_conf *conf = conf_find();
	const __u32 *prefix;

	if (!conf)
		return false;
	prefix = (const __u32 *)conf->prefix64;
	if (!(prefix[0] | prefix[1] | prefix[2]))
		return false;
	__builtin_memcpy(v6->b, conf->prefix64, 12);
	__builtin_memcpy(v6->b + 12, v4->b + 12, 4);
	return true;
}

/* An IPv6 initiator of an IPv4 responder has no other form (maps/gateway.h). */
static __always_inline __u8 flow_mode(const struct gateway_host *host, bool v6)
{
	return v6 && addr_is_v4(&host->addr) ? GATEWAY_MASKED : host->mode;
}

/*
 * Both addresses as the responder's packets have them, for what goes from `initiator` to
 * `waypoint`. False: the responder's family has no form of the initiator's.
 */
static __always_inline bool flow_ends(struct work *w, const struct isthmus_addr *initiator,
				      const struct isthmus_addr *waypoint, __u8 mode)
{
	w->key.inside = mode == GATEWAY_AWARE ? *waypoint : w->host.addr;
	if (mode == GATEWAY_MASKED) {
		w->key.outside = w->inside;
		return !addr_is_none(&w->inside);
	}
	if (addr_is_v4(initiator) && !addr_is_v4(&w->key.inside))
		return addr_embed(initiator, &w->key.outside);
	w->key.outside = *initiator;
	return addr_is_v4(initiator) == addr_is_v4(&w->key.inside);
}

/* The protocol that an ICMP message has at the responder. */
static __always_inline __u8 flow_proto(const struct view *v, const struct isthmus_addr *inside)
{
	if (!proto_is_icmp(v))
		return v->proto;
	return addr_is_v4(inside) ? IPPROTO_ICMP : PROTO_ICMP6;
}

/*
 * The last flow that an initiator began: how packets without ports are found. One that is there is
 * refreshed; another one's is replaced only by a flow that begins.
 */
static __always_inline int pair_keep(struct work *w, bool begun)
{
	struct gateway_flow *known;

	w->pair.inside = w->key.inside;
	w->pair.outside = w->key.outside;
	known = bpf_map_lookup_elem(&gateway_pair, &w->pair);
	if (known && address_equal(&known->initiator, &w->fresh.initiator) &&
	    address_equal(&known->waypoint, &w->fresh.waypoint) && known->peer == w->fresh.peer &&
	    known->host == w->fresh.host && known->mode == w->fresh.mode) {
		if (w->now >= known->seen_ns + FLOW_TOUCH_NS)
			known->seen_ns = w->now;
		return 0;
	}
	if (known && !begun)
		return 0;
	if (!w->admitted && w->fresh.mode != GATEWAY_MASKED)
		return FLOW_ASKS;
	if (w->view.kind == VIEW_LATER)
		return 0; /* it begins nothing */
	return bpf_map_update_elem(&gateway_pair, &w->pair, &w->fresh, BPF_ANY) ? FLOW_NO_ROOM : 0;
}

static __always_inline void mask_key(struct work *w, const struct isthmus_addr *initiator,
				     const struct isthmus_addr *waypoint, __be16 initiator_port,
				     __be16 waypoint_port, __u8 proto)
{
	__builtin_memset(&w->mask, 0, sizeof(w->mask));
	w->mask.initiator = *initiator;
	w->mask.waypoint = *waypoint;
	w->mask.initiator_port = initiator_port;
	w->mask.waypoint_port = waypoint_port;
	w->mask.proto = proto;
}

static __always_inline void key_set_port(struct work *w, bool echo, __be16 port)
{
	w->key.outside_port = port;
	if (echo)
		w->key.inside_port = port;
}

/* Takes a port or identifier that none of the responder's other masked flows has. */
static __always_inline int mask_take(struct work *w, const struct gateway_conf *conf, bool echo)
{
	__u32 low = conf->low_port, ports = conf->high_port - low + 1, at;
	__be16 port;

	if (conf->high_port < low)
		return FLOW_NO_ROOM;
	at = bpf_get_prandom_u32();
	for (int i = 0; i < FLOW_PROBES; i++) {
		port = bpf_htons(low + (at + i) % ports);
		key_set_port(w, echo, port);
		if (bpf_map_update_elem(&gateway_flow, &w->key, &w->fresh, BPF_NOEXIST))
			continue;
		if (!bpf_map_update_elem(&gateway_mask, &w->mask, &port, BPF_NOEXIST))
			return FLOW_MADE;
		bpf_map_delete_elem(&gateway_flow, &w->key);
		return FLOW_UNKNOWN; /* no room, or another CPU was first */
	}
	return FLOW_NO_ROOM;
}

/* The masked flow that is there, touched; FLOW_UNKNOWN: none. */
static __always_inline int mask_find(struct work *w, const struct gateway_conf *conf, bool echo)
{
	__be16 *port = bpf_map_lookup_elem(&gateway_mask, &w->mask);
	struct gateway_flow *flow;

	if (!port)
		return FLOW_UNKNOWN;
	key_set_port(w, echo, *port);
	flow = bpf_map_lookup_elem(&gateway_flow, &w->key);
	if (flow && flow_same(flow, &w->fresh) && flow_live(flow, w->key.proto, conf, w->now)) {
		return flow_touch(flow, &w->view, w->now, GATEWAY_FIN_INITIATOR) ? FLOW_TOUCHED
										 : FLOW_FOUND;
	}
	if (flow && flow_same(flow, &w->fresh))
		bpf_map_delete_elem(&gateway_flow, &w->key);
	bpf_map_delete_elem(&gateway_mask, &w->mask);
	return FLOW_UNKNOWN;
}

static __always_inline int flow_mask(struct work *w, const struct gateway_conf *conf, bool echo)
{
	int result;

	mask_key(w, &w->fresh.initiator, &w->fresh.waypoint, w->view.sport, w->view.dport,
		 w->view.proto);
	result = mask_find(w, conf, echo);
	if (result == FLOW_UNKNOWN)
		result = mask_take(w, conf, echo);
	if (result == FLOW_UNKNOWN)
		result = mask_find(w, conf, echo);
	return result > FLOW_UNKNOWN ? result : FLOW_NO_ROOM;
}

static __always_inline int flow_plain(struct work *w, const struct gateway_conf *conf)
{
	struct gateway_flow *flow;

	w->key.inside_port = w->view.dport;
	w->key.outside_port = w->view.sport;
	flow = bpf_map_lookup_elem(&gateway_flow, &w->key);
	if (flow && flow_same(flow, &w->fresh) && flow_live(flow, w->key.proto, conf, w->now)) {
		return flow_touch(flow, &w->view, w->now, GATEWAY_FIN_INITIATOR) ? FLOW_TOUCHED
										 : FLOW_FOUND;
	}
	if (!w->admitted)
		return FLOW_ASKS;
	return bpf_map_update_elem(&gateway_flow, &w->key, &w->fresh, BPF_ANY) ? FLOW_NO_ROOM
									       : FLOW_MADE;
}

static __always_inline void flow_fresh(struct work *w, const struct view *v, __u8 mode)
{
	__builtin_memset(&w->fresh, 0, sizeof(w->fresh));
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->fresh.initiator = v->src;
	w->fresh.waypoint = v->dst;
	w->fresh.initiator_port = v->sport;
	w->fresh.mode = mode;
	w->fresh.peer = w->peer;
	w->fresh.host = w->number;
	w->fresh.seen_ns = w->now;
	if (v->proto == IPPROTO_TCP && v->tcp_flags & TCP_RST)
		w->fresh.fins = GATEWAY_RST;
}

/* Makes or refreshes the flow of w->view, and says in w->to what the responder is sent. */
int flow_of_initiator(void)
{
	struct work *w = work_room();
	const struct gateway_conf *conf = conf_find();
	int result = FLOW_MADE, kept;
	bool ported, masked;
	struct view *v;

	if (!w || !conf)
		return FLOW_NO_ROOM;
	v = &w->view;
	flow_fresh(w, v, flow_mode(&w->host, v->v6));
	masked = w->fresh.mode == GATEWAY_MASKED;
	if (!flow_ends(w, &v->src, &v->dst, w->fresh.mode))
		return masked ? FLOW_NO_ROOM : FLOW_NO_FAMILY;
	w->key.proto = flow_proto(v, &w->key.inside);
	ported = v->kind == VIEW_PORTS || v->kind == VIEW_ASKED;
	w->key.inside_port = v->dport;
	if (ported)
		result = masked ? flow_mask(w, conf, v->kind == VIEW_ASKED) : flow_plain(w, conf);
	if (result > FLOW_FOUND) {
		kept = pair_keep(w, result == FLOW_MADE);
		if (kept && !ported)
			result = kept;
	}
	w->to.src = w->key.outside;
	w->to.dst = w->key.inside;
	w->to.dport = v->dport;
	w->to.sport = ported ? w->key.outside_port : v->sport;
	return result;
}

/* ---- of what a responder sends */

static __always_inline int frag_find(struct work *w, const struct gateway_conf *conf)
{
	struct gateway_flow *flow;

	flow = bpf_map_lookup_elem(&gateway_frag, &w->frag);
	if (flow && w->now <= flow->seen_ns + conf->frag_ns) {
		w->flow = *flow;
		return FLOW_FOUND;
	}
	return FLOW_UNKNOWN;
}

static __always_inline int pair_find(struct work *w, const struct gateway_conf *conf, bool masked)
{
	struct gateway_flow *flow;

	w->pair.inside = w->key.inside;
	w->pair.outside = w->key.outside;
	flow = bpf_map_lookup_elem(&gateway_pair, &w->pair);
	if (!flow || !flow_live(flow, 0, conf, w->now))
		return FLOW_UNKNOWN;
	if (flow->mode == GATEWAY_MASKED && !masked)
		return FLOW_UNKNOWN;
	w->flow = *flow;
	return FLOW_FOUND;
}

/* By w->key, which has ports. */
static __always_inline int flow_find(struct work *w, const struct gateway_conf *conf, __u8 fin)
{
	struct gateway_flow *flow = bpf_map_lookup_elem(&gateway_flow, &w->key);

	if (!flow || !flow_live(flow, w->key.proto, conf, w->now))
		return FLOW_UNKNOWN;
	if (fin)
		flow_touch(flow, &w->view, w->now, fin);
	w->flow = *flow;
	return FLOW_FOUND;
}

static __always_inline void frag_key(struct work *w, const struct view *v)
{
	w->frag.inside = v->src;
	w->frag.outside = v->dst;
	w->frag.id = v->id;
	w->frag.proto = v->proto;
}

/* The first fragment tells whose the later ones are. */
static __always_inline void frag_keep(struct work *w)
{
	frag_key(w, &w->view);
	w->fresh = w->flow;
	w->fresh.seen_ns = w->now;
	bpf_map_update_elem(&gateway_frag, &w->frag, &w->fresh, BPF_ANY);
}

/*
 * A connection that the responder begins towards an initiator whose session lives, as FTP's server
 * does in active mode: it comes from the waypoint's address too. Only a SYN, so that what the
 * machine's own NAT carries already stays there.
 */
static __always_inline int flow_begin_back(struct work *w, const struct view *v,
					   const struct gateway_conf *conf)
{
	if (v->proto != IPPROTO_TCP || (v->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return FLOW_UNKNOWN;
	if (pair_find(w, conf, false) != FLOW_FOUND)
		return FLOW_UNKNOWN;
	w->flow.initiator_port = v->dport;
	w->flow.fins = 0;
	w->flow.seen_ns = w->now;
	return bpf_map_update_elem(&gateway_flow, &w->key, &w->flow, BPF_ANY) ? FLOW_UNKNOWN
									      : FLOW_FOUND;
}

static __always_inline int flow_by_view(struct work *w, const struct view *v,
					const struct gateway_conf *conf)
{
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->key.inside = v->src;
	w->key.outside = v->dst;
	w->key.inside_port = v->sport;
	w->key.outside_port = v->dport;
	w->key.proto = v->proto;
	switch (v->kind) {
	case VIEW_PORTS:
		if (flow_find(w, conf, GATEWAY_FIN_RESPONDER) == FLOW_FOUND)
			return FLOW_FOUND;
		return flow_begin_back(w, v, conf);
	case VIEW_ANSWER:
		return flow_find(w, conf, GATEWAY_FIN_RESPONDER);
	case VIEW_LATER:
		frag_key(w, v);
		if (frag_find(w, conf) == FLOW_FOUND)
			return FLOW_FOUND;
		return pair_find(w, conf, false);
	case VIEW_PLAIN:
		return pair_find(w, conf, true);
	default:
		return FLOW_UNKNOWN; /* what else a responder begins is the kernel's */
	}
}

/* Finds the flow of w->view, and says in w->to what the initiator is sent. */
int flow_of_responder(void)
{
	struct work *w = work_room();
	const struct gateway_conf *conf = conf_find();

	if (!w || !conf)
		return FLOW_UNKNOWN;
	if (flow_by_view(w, &w->view, conf) != FLOW_FOUND)
		return FLOW_UNKNOWN;
	if (w->view.fragment == FRAGMENT_FIRST)
		frag_keep(w);
	w->to.src = w->flow.waypoint;
	w->to.dst = w->flow.initiator;
	w->to.sport = w->view.kind == VIEW_ANSWER ? w->flow.initiator_port : w->view.sport;
	w->to.dport = w->flow.initiator_port;
	return FLOW_FOUND;
}

/* ---- of what an error quotes */

/* Of an error from inside, about an initiator's packet as the responder is sent it. */
int flow_of_quoted_in(void)
{
	struct work *w = work_room();
	const struct gateway_conf *conf = conf_find();
	int result = FLOW_UNKNOWN;
	struct view *q;

	if (!w || !conf)
		return FLOW_UNKNOWN;
	q = &w->quoted;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->key.inside = q->dst;
	w->key.outside = q->src;
	w->key.inside_port = q->dport;
	w->key.outside_port = q->sport;
	w->key.proto = q->proto;
	if (q->kind == VIEW_PORTS || q->kind == VIEW_ASKED)
		result = flow_find(w, conf, 0);
	else if (q->kind == VIEW_PLAIN || q->kind == VIEW_LATER)
		result = pair_find(w, conf, true);
	if (result != FLOW_FOUND)
		return result;
	w->to_quoted.src = w->flow.initiator;
	w->to_quoted.dst = w->flow.waypoint;
	w->to_quoted.sport =
		q->kind == VIEW_PORTS || q->kind == VIEW_ASKED ? w->flow.initiator_port : q->sport;
	w->to_quoted.dport = q->dport;
	w->to.src = w->flow.waypoint;
	w->to.dst = w->flow.initiator;
	return FLOW_FOUND;
}

/* The ports of a masked flow as the responder's packet had them, from what went outside. */
static __always_inline int quoted_unmask(struct work *w, const struct view *q)
{
	bool echo = q->kind == VIEW_ANSWER;
	__be16 *port;

	mask_key(w, &q->dst, &q->src, q->dport, q->sport, q->proto);
	port = bpf_map_lookup_elem(&gateway_mask, &w->mask);
	if (!port)
		return FLOW_UNKNOWN;
	key_set_port(w, echo, *port);
	return FLOW_FOUND;
}

/* Of an error from outside, about a responder's packet as it went outside. */
int flow_of_quoted_out(void)
{
	struct work *w = work_room();
	const struct gateway_conf *conf = conf_find();
	struct view *q;
	int result;
	__u8 mode;

	if (!w || !conf)
		return FLOW_UNKNOWN;
	q = &w->quoted;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	mode = flow_mode(&w->host, q->v6);
	if (!flow_ends(w, &q->dst, &q->src, mode))
		return FLOW_NO_FAMILY;
	w->key.inside_port = q->sport;
	w->key.outside_port = q->dport;
	w->key.proto = flow_proto(q, &w->key.inside);
	if (q->kind == VIEW_PORTS || q->kind == VIEW_ANSWER) {
		if (mode == GATEWAY_MASKED && quoted_unmask(w, q) != FLOW_FOUND)
			return FLOW_UNKNOWN;
		result = flow_find(w, conf, 0);
	} else {
		result = pair_find(w, conf, true);
	}
	if (result != FLOW_FOUND || !address_equal(&w->flow.initiator, &q->dst) ||
	    !address_equal(&w->flow.waypoint, &q->src))
		return FLOW_UNKNOWN;
	w->to_quoted.src = w->key.inside;
	w->to_quoted.dst = w->key.outside;
	w->to_quoted.sport = w->key.inside_port;
	w->to_quoted.dport = w->key.outside_port;
	w->to.dst = w->key.inside;
	/* Who reports it: a router outside has no other form where flows are masked. */
	if (mode == GATEWAY_MASKED)
		w->to.src = w->inside;
	else if (addr_is_v4(&w->view.src) && !addr_is_v4(&w->key.inside))
		addr_embed(&w->view.src, &w->to.src);
	else
		w->to.src = w->view.src;
	return FLOW_FOUND;
}

#endif
