/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which owner a packet is for, and which one it is from: by port; what has no port of a set, by
 * what it carries or by what was learned (paper III). "To" is by destination, "from" by source.
 */
#ifndef ISTHMUS_BPF_PORTARP_STEER_H
#define ISTHMUS_BPF_PORTARP_STEER_H

#include "portarp_flow.bpf.h"
#include "portarp_frag.bpf.h"

/* What a program decided besides the reason. */
struct egress {
	__u32 ifindex; /* SEND: by this device */
	__u64 flags;   /* BPF_F_INGRESS */
};

/* The owner that a port or identifier is given to, or OWNER_NOBODY. */
static __always_inline __u32 given_owner(const struct portarp_addr *addr, __u16 port)
{
	__u32 index = owner_index(addr, port);
	const struct portarp_owner *owner;

	if (index == OWNER_NOBODY)
		return OWNER_NOBODY;
	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner || owner_read(owner).owner.wait & PORTARP_OWNER_NONE)
		return OWNER_NOBODY;
	return index;
}

/* The same if it has answered; *mac is its. */
static __always_inline __u32 known_owner(const struct portarp_addr *addr, __u16 port,
					 union owner_word *word)
{
	__u32 index = owner_index(addr, port);
	const struct portarp_owner *owner;

	if (index == OWNER_NOBODY)
		return OWNER_NOBODY;
	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner)
		return OWNER_NOBODY;
	*word = owner_read(owner);
	return word->owner.wait & PORTARP_OWNER_KNOWN ? index : OWNER_NOBODY;
}

/* ---- ICMP queries without an owner */

/* By policy (RFC 6346, 5.3.2 has no answer). */
static __always_inline __u32 echo_to(const struct ticket *t, const struct portarp_addr *addr,
				     const struct portarp_conf *conf, enum portarp_reason *reason)
{
	struct portarp_flow_key key;

	if (addr->echo == PORTARP_ECHO_LOCAL) {
		*reason = PORTARP_TO_STACK;
		return OWNER_NOBODY;
	}
	*reason = PORTARP_ECHO_DENIED;
	if (addr->echo != PORTARP_ECHO_OWNER)
		return OWNER_NOBODY;
	flow_key(&key, t->dst, t->src, IPPROTO_ICMP, PORTARP_FLOW_ECHO, bpf_htonl(t->sport));
	if (flow_learn(&key, addr->echo_owner, conf->echo_ns, true) == FLOW_KEPT)
		return addr->echo_owner;
	*reason = PORTARP_FLOW_FULL;
	return OWNER_NOBODY;
}

/* Who may answer a peer's query with this identifier. */
static __always_inline __u32 echo_from(__be32 local, __be32 peer, __u16 id,
				       const struct portarp_addr *addr)
{
	__u32 index = given_owner(addr, id);
	struct portarp_flow_key key;

	if (index != OWNER_NOBODY)
		return index;
	flow_key(&key, local, peer, IPPROTO_ICMP, PORTARP_FLOW_ECHO, bpf_htonl(id));
	return flow_find(&key, 0);
}

/* ---- without ports */

/* SCTP may come from a set as TCP does: then nothing has to be learned. */
static __always_inline __u32 pseudo_port_owner(const struct ticket *t,
					       const struct portarp_addr *addr, __u16 port,
					       union owner_word *word)
{
	if (t->proto != IPPROTO_SCTP || !port)
		return OWNER_NOBODY;
	return known_owner(addr, port, word);
}

static __noinline __u32 pseudo_to(const struct ticket *t, const struct portarp_addr *addr,
				  __u64 keep_ns, bool bind)
{
	struct portarp_flow_key key;
	union owner_word word = {};
	__u32 index;

	flow_key(&key, t->dst, t->src, t->proto, PORTARP_FLOW_PROTO, t->id);
	index = t->id ? flow_find(&key, keep_ns) : OWNER_NOBODY;
	if (index == OWNER_NOBODY)
		index = pseudo_port_owner(t, addr, t->dport, &word);
	if (index != OWNER_NOBODY)
		return index;
	key.id = 0;
	index = flow_find(&key, keep_ns);
	if (index == OWNER_NOBODY || !t->id || !bind)
		return index;
	/* Another that speaks with this peer later does not get it. */
	key.id = t->id;
	flow_learn(&key, index, keep_ns, false);
	return index;
}

/* Who sent what an error quotes. */
static __noinline __u32 pseudo_sent(const struct ticket *t, const struct portarp_addr *addr)
{
	struct portarp_flow_key key;
	union owner_word word = {};
	__u32 index;

	flow_key(&key, t->src, t->dst, t->proto,
		 t->symmetric ? PORTARP_FLOW_PROTO : PORTARP_FLOW_SENT, t->sent_id);
	index = t->sent_id ? flow_find(&key, 0) : OWNER_NOBODY;
	if (index == OWNER_NOBODY)
		index = pseudo_port_owner(t, addr, t->sport, &word);
	if (index != OWNER_NOBODY)
		return index;
	key.kind = PORTARP_FLOW_PROTO;
	key.id = 0;
	return flow_find(&key, 0);
}

/* Learns from what a sharer sends: CHECKED, or why it may not. */
static __noinline int pseudo_from(const struct ticket *t, const struct portarp_addr *addr,
				  const __u8 *mac, __u64 keep_ns)
{
	struct portarp_sharer_key who = { .addr = t->src };
	struct portarp_flow_key key;
	union owner_word word = {};
	bool goes_on;
	__u32 *owner;
	int result;

	mac_copy(who.mac, mac);
	owner = bpf_map_lookup_elem(&portarp_sharer, &who);
	if (!owner)
		return PORTARP_SPOOFED;
	if (pseudo_port_owner(t, addr, t->sport, &word) != OWNER_NOBODY)
		return mac_equal(word.owner.mac, who.mac) ? PORTARP_CHECKED : PORTARP_SPOOFED;
	flow_key(&key, t->src, t->dst, t->proto,
		 t->symmetric ? PORTARP_FLOW_PROTO : PORTARP_FLOW_SENT, t->sent_id);
	/* Who begins something new is who a new pseudo-port from the peer is for, whatever others
	 * go on to send in the meantime. */
	goes_on = t->sent_id && flow_find(&key, 0) == *owner;
	result = t->sent_id ? flow_learn(&key, *owner, keep_ns, false) : FLOW_KEPT;
	if (result == FLOW_KEPT) {
		key.kind = PORTARP_FLOW_PROTO;
		key.id = 0;
		result = flow_learn(&key, *owner, keep_ns, !goes_on);
		if (goes_on && result == FLOW_TAKEN)
			result = FLOW_KEPT;
	}
	if (result == FLOW_KEPT)
		return PORTARP_CHECKED;
	return result == FLOW_FULL ? PORTARP_FLOW_FULL : PORTARP_SPOOFED;
}

/* ---- quoted by ICMP errors */

/* The sharer that sent the quoted packet. */
static __always_inline __u32 quoted_sender(const struct ticket *t, const struct portarp_addr *addr)
{
	struct portarp_frag_key key;
	__u32 index;

	switch (t->kind) {
	case TICKET_PORTS:
	case TICKET_QUERY:
		return owner_index(addr, t->sport);
	case TICKET_ANSWER:
		return echo_from(t->src, t->dst, t->sport, addr);
	case TICKET_PSEUDO:
		return pseudo_sent(t, addr);
	case TICKET_LATER:
		frag_key(&key, t->src, t->dst, t->fragment_id, t->proto, 1);
		index = frag_find(&key, 0, false);
		if (index == OWNER_NOBODY && !proto_has_ports(t->proto) && t->proto != IPPROTO_ICMP)
			index = pseudo_sent(t, addr);
		return index;
	default:
		return OWNER_NOBODY;
	}
}

/* The sharer that got it. */
static __always_inline __u32 quoted_receiver(const struct ticket *t,
					     const struct portarp_addr *addr)
{
	struct portarp_frag_key key;

	switch (t->kind) {
	case TICKET_PORTS:
	case TICKET_ANSWER:
		return owner_index(addr, t->dport);
	case TICKET_QUERY:
		return echo_from(t->dst, t->src, t->dport, addr);
	case TICKET_PSEUDO:
		return pseudo_to(t, addr, 0, false);
	case TICKET_LATER:
		frag_key(&key, t->src, t->dst, t->fragment_id, t->proto, 0);
		return frag_find(&key, 0, false);
	default:
		return OWNER_NOBODY;
	}
}

/* An error goes to who sent what it quotes. */
static __always_inline __u32 error_to(const struct ip4 *p, struct ticket *t,
				      const struct portarp_addr *addr, enum portarp_reason *reason)
{
	__be32 local = t->dst;

	ticket_quoted(p, t);
	if (t->kind == TICKET_BAD || t->kind == TICKET_ERROR || t->src != local) {
		*reason = PORTARP_MALFORMED;
		return OWNER_NOBODY;
	}
	return quoted_sender(t, addr);
}

/* An error comes from who got what it quotes. */
static __always_inline __u32 error_from(const struct ip4 *p, struct ticket *t,
					const struct portarp_addr *addr,
					enum portarp_reason *reason)
{
	__be32 local = t->src;

	ticket_quoted(p, t);
	if (t->kind == TICKET_BAD || t->kind == TICKET_ERROR) {
		*reason = PORTARP_MALFORMED;
		return OWNER_NOBODY;
	}
	return t->dst == local ? quoted_receiver(t, addr) : OWNER_NOBODY;
}

/* ---- both */

/* What steer_to() does not do itself: whole packets and first fragments. */
static __noinline __u32 ticket_to(const struct ip4 *p, const struct portarp_addr *addr,
				  const struct portarp_conf *conf, int *result)
{
	enum portarp_reason reason = PORTARP_NO_OWNER;
	__u32 index = OWNER_NOBODY;
	struct ticket t;

	ticket_packet(p, &t);
	switch (t.kind) {
	case TICKET_PORTS:
	case TICKET_ANSWER:
		index = owner_index(addr, t.dport);
		break;
	case TICKET_QUERY:
		index = given_owner(addr, t.dport);
		if (index == OWNER_NOBODY)
			index = echo_to(&t, addr, conf, &reason);
		break;
	case TICKET_ERROR:
		index = error_to(p, &t, addr, &reason);
		break;
	case TICKET_PSEUDO:
		reason = PORTARP_PROTO_UNKNOWN;
		index = pseudo_to(&t, addr, conf->proto_ns, true);
		break;
	default:
		if (p->proto != IPPROTO_ICMP)
			reason = PORTARP_MALFORMED;
		break;
	}
	*result = reason;
	return index;
}

/* CHECKED without an index: the sender is known by its MAC alone. */
static __noinline __u32 ticket_from(const struct ip4 *p, const struct portarp_addr *addr,
				    const struct portarp_conf *conf, int *result)
{
	enum portarp_reason reason = PORTARP_SPOOFED;
	__u32 index = OWNER_NOBODY;
	struct ticket t;

	ticket_packet(p, &t);
	switch (t.kind) {
	case TICKET_PORTS:
	case TICKET_QUERY:
		index = owner_index(addr, t.sport);
		break;
	case TICKET_ANSWER:
		index = echo_from(t.src, t.dst, t.sport, addr);
		break;
	case TICKET_ERROR:
		index = error_from(p, &t, addr, &reason);
		break;
	case TICKET_PSEUDO:
		reason = pseudo_from(&t, addr, p->eth->h_source, conf->proto_ns);
		break;
	default:
		if (p->proto != IPPROTO_ICMP)
			reason = PORTARP_MALFORMED;
		break;
	}
	*result = reason;
	return index;
}

/* No later fragment can tell a port, so none can be spoofed: any sharer of the address. */
static __noinline int sharer_check(const struct ip4 *p)
{
	struct portarp_sharer_key who = { .addr = p->ip->saddr };

	mac_copy(who.mac, p->eth->h_source);
	return bpf_map_lookup_elem(&portarp_sharer, &who) ? PORTARP_CHECKED : PORTARP_SPOOFED;
}

/* OWNER_NOBODY leaves in *reason what becomes of the packet. */
static __always_inline __u32 steer_to(void *ctx, enum hook hook, const struct ip4 *p,
				      const struct portarp_conf *conf,
				      const struct portarp_addr *addr, enum portarp_reason *reason)
{
	int result = PORTARP_NO_OWNER;
	__u32 index;

	if (likely(p->ported && !p->fragment)) {
		*reason = PORTARP_NO_OWNER;
		return owner_index(addr, p->dport);
	}
	if (p->fragment == FRAGMENT_LATER) {
		index = frag_later(ctx, hook, p, conf->frag_ns, reason);
		if (index != PORTARP_FRAG_LOCAL)
			return index;
		*reason = PORTARP_TO_STACK;
		return OWNER_NOBODY;
	}
	index = ticket_to(p, addr, conf, &result);
	*reason = result;
	if (p->fragment && index != OWNER_NOBODY)
		frag_first(ctx, hook, p, conf->frag_ns, index);
	else if (p->fragment && result == PORTARP_TO_STACK)
		frag_first(ctx, hook, p, conf->frag_ns, PORTARP_FRAG_LOCAL);
	return index;
}

/* The same; CHECKED: it is all right, and whose exactly it is, is not told. */
static __always_inline __u32 steer_from(const struct ip4 *p, const struct portarp_conf *conf,
					const struct portarp_addr *addr,
					enum portarp_reason *reason)
{
	int result = PORTARP_SPOOFED;
	__u32 index;

	if (likely(p->ported)) {
		*reason = PORTARP_SPOOFED;
		return owner_index(addr, p->sport);
	}
	if (p->fragment == FRAGMENT_LATER) {
		*reason = sharer_check(p);
		return OWNER_NOBODY;
	}
	index = ticket_from(p, addr, conf, &result);
	*reason = result;
	return index;
}

#endif
