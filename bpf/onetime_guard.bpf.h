/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * At the ingress of a pool's device: of what is for its addresses only packets of sessions pass,
 * and first packets, which take their address (paper II.A, II.B.3). All else is refused here, so
 * that no wildcard listener is reached through the AnyIP route.
 */
#ifndef ISTHMUS_BPF_ONETIME_GUARD_H
#define ISTHMUS_BPF_ONETIME_GUARD_H

#include "onetime_icmp.bpf.h"
#include "onetime_many.bpf.h"
#include "onetime_nd.bpf.h"

/* An IPv6 packet with the mapped address of an IPv4 one: it would have the key of that. The kernel
 * takes none, so none may take an address or move a session's ports. */
static __always_inline bool guard_is_mapped(const struct packet *p)
{
	const __u32 *from = (const __u32 *)p->flow.remote.b, *to = (const __u32 *)p->flow.local.b;
	__u32 mapped = bpf_htonl(0xffff);

	if (p->ethertype != bpf_htons(ETH_P_IPV6))
		return false;
	return !(from[0] | from[1] | (from[2] ^ mapped)) || !(to[0] | to[1] | (to[2] ^ mapped));
}

#define LOOPBACK_IFINDEX 1 /* in every namespace */

enum parsed { PARSED_OTHER, PARSED_PORTS, PARSED_ICMP, PARSED_PROTOCOL, PARSED_ARP, PARSED_TAGS };

static __always_inline enum parsed guard_parse(struct __sk_buff *skb, struct packet *p)
{
	const struct ipv6hdr *ip6;

	if (parse_packet(skb, HOOK_TC, p))
		return PARSED_PORTS;
	if (p->ethertype == bpf_htons(ETH_P_ARP))
		return PARSED_ARP;
	if (p->ethertype == bpf_htons(ETH_P_8021Q) || p->ethertype == bpf_htons(ETH_P_8021AD))
		return PARSED_TAGS;
	if (!p->l4)
		return PARSED_OTHER;
	/* Only where it stands right behind the IP header: errors and neighbour messages do. */
	ip6 = p->l3;
	if (p->ethertype == bpf_htons(ETH_P_IPV6) &&
	    (void *)(ip6 + 1) <= hook_data_end(skb, HOOK_TC) && ip6->nexthdr == IPPROTO_ICMPV6)
		return PARSED_ICMP;
	if (p->ethertype == bpf_htons(ETH_P_IP) && p->flow.proto == IPPROTO_ICMP && !p->fragment)
		return PARSED_ICMP;
	return PARSED_PROTOCOL;
}

/* ---- the first packet */

static __always_inline void tell_claimed(const struct packet *p, const struct onetime_addr *addr,
					 __u64 now_ns)
{
	struct onetime_event event = {
		.time_ns = now_ns,
		.kind = ONETIME_EVENT_CLAIMED,
		.addr = p->flow.local,
		.peer = p->flow.remote,
		.listener = addr->listener,
	};

	event_send(&event);
}

/* No session begins from an address of our own pools, but for one within this host. */
static __always_inline bool is_spoofed(const struct __sk_buff *skb, const struct packet *p)
{
	return skb->ifindex != LOOPBACK_IFINDEX && pool_of(&p->flow.remote);
}

static __always_inline enum onetime_reason
may_claim(const struct __sk_buff *skb, const struct packet *p, const struct onetime_addr *addr)
{
	if (p->fragment == FRAGMENT_LATER)
		return ONETIME_FRAGMENT;
	if (p->flow.proto != addr->proto)
		return ONETIME_WRONG_PORT;
	if (!is_first(p))
		return ONETIME_NO_SYN;
	if (addr->only_bits && !prefix_has(&addr->only, addr->only_bits, &p->flow.remote))
		return ONETIME_NOT_FOR;
	if (addr->mode == ONETIME_AWARE && p->flow.local_port != addr->port)
		return ONETIME_WRONG_PORT;
	if (is_spoofed(skb, p))
		return ONETIME_SPOOFED;
	return listener_is_there(addr->listener) ? ONETIME_CLAIMED : ONETIME_NO_LISTENER;
}

/*
 * A TCP session has the port that its client chose. UDP has the listener's: another socket of this
 * host could bind the client's choice at this address, and would be found before the listener.
 */
static __always_inline enum onetime_reason claim(struct __sk_buff *skb,
						 const struct onetime_conf *conf,
						 const struct packet *p, struct onetime_addr *addr,
						 __u64 now_ns)
{
	enum onetime_reason reason = may_claim(skb, p, addr);
	bool tcp = p->flow.proto == IPPROTO_TCP;

	if (reason != ONETIME_CLAIMED)
		return reason;
	if (!state_step(addr, ONETIME_STATE_PENDING, ONETIME_STATE_TAKING))
		return ONETIME_TAKEN;
	addr->peer = p->flow.remote;
	addr->peer_port = addr->wire_peer_port = p->flow.remote_port;
	addr->port = tcp ? p->flow.local_port : listener_port(addr);
	addr->wire_port = p->flow.local_port;
	addr->since_ns = now_ns;
	addr->until_ns = now_ns + (tcp ? conf->claim_ns : conf->udp_ns);
	state_taken(addr, tcp ? ONETIME_STATE_CLAIMED : ONETIME_STATE_LIVE);
	tell_claimed(p, addr, now_ns);
	if (tcp)
		return ONETIME_CLAIMED;
	udp_peer_note(addr->listener, &p->flow);
	return port_in(skb, p, addr) ? ONETIME_SEND_FAILED : ONETIME_CLAIMED;
}

/* ---- later ones */

/* Does it come from the session's other end? Of its ports, those that the mode looks at: an EA's
 * own one is the client's, a SSA's own one the server's (table I). */
static __always_inline enum onetime_reason is_of(const struct packet *p,
						 const struct onetime_addr *addr)
{
	bool aware = addr->mode == ONETIME_AWARE, ea = addr->use == ONETIME_EA;

	if (!address_equal(&addr->peer, &p->flow.remote) || addr->proto != p->flow.proto)
		return ONETIME_TAKEN;
	if (p->fragment == FRAGMENT_LATER || addr->mode < ONETIME_L2)
		return ONETIME_SESSION;
	if ((aware || !ea) && addr->peer_port != p->flow.remote_port)
		return ONETIME_TAKEN;
	if ((aware || ea) && addr->port && addr->port != p->flow.local_port)
		return ONETIME_WRONG_PORT;
	return ONETIME_SESSION;
}

/* Written once in a while: other CPUs read the same line with each packet. */
static __always_inline void keep_udp(struct onetime_addr *addr, const struct onetime_conf *conf,
				     __u64 now_ns)
{
	if (addr->proto == IPPROTO_UDP && addr->state == ONETIME_STATE_LIVE &&
	    addr->until_ns < now_ns + conf->udp_ns - conf->udp_ns / 8)
		addr->until_ns = now_ns + conf->udp_ns;
}

/* Who sends may get no answers. */
static __always_inline void keep_sending(struct onetime_addr *addr)
{
	const struct onetime_conf *conf = conf_get();
	__u64 now_ns = bpf_ktime_get_coarse_ns();

	if (conf && onetime_state_at(addr, now_ns) == ONETIME_STATE_LIVE)
		keep_udp(addr, conf, now_ns);
}

static __always_inline enum onetime_reason session(struct __sk_buff *skb,
						   const struct onetime_conf *conf,
						   const struct packet *p,
						   struct onetime_addr *addr, __u64 now_ns)
{
	enum onetime_reason reason = is_of(p, addr);

	if (reason != ONETIME_SESSION)
		return reason;
	keep_udp(addr, conf, now_ns);
	return port_in(skb, p, addr) ? ONETIME_SEND_FAILED : ONETIME_SESSION;
}

static __always_inline enum onetime_reason guard_ports(struct __sk_buff *skb,
						       const struct onetime_conf *conf,
						       const struct packet *p,
						       struct onetime_addr *addr, __u64 now_ns)
{
	if (p->bad)
		return ONETIME_MALFORMED;
	switch (onetime_state_at(addr, now_ns)) {
	case ONETIME_STATE_RESERVED:
		return ONETIME_NOT_OURS_YET;
	case ONETIME_STATE_PENDING:
		return claim(skb, conf, p, addr, now_ns);
	case ONETIME_STATE_TAKING:
		return ONETIME_TAKEN;
	case ONETIME_STATE_CLOSING:
		/* A new SYN would wake the kernel's TIME-WAIT. */
		if (p->flow.proto == IPPROTO_TCP && p->tcp_flags & TCP_SYN)
			return ONETIME_ENDED;
		return session(skb, conf, p, addr, now_ns);
	case ONETIME_STATE_CLAIMED:
	case ONETIME_STATE_LIVE:
		if (addr->use == ONETIME_MANY)
			return is_first(p) && is_spoofed(skb, p) ? ONETIME_SPOOFED
								 : many_in(skb, p, addr);
		return session(skb, conf, p, addr, now_ns);
	default:
		return addr->state == ONETIME_STATE_PENDING ? ONETIME_EXPIRED : ONETIME_FREE;
	}
}

/* ---- the whole */

/*
 * Reset: the kernel answers, for sk_lookup refuses the packet too. Never where a socket may be that
 * is found before sk_lookup is asked: in TIME-WAIT, or one that outlived its session. `addr` is
 * NULL where there is no entry.
 */
static __always_inline enum onetime_reason
refuse(const struct packet *p, const struct onetime_addr *addr, enum onetime_reason reason)
{
	const struct onetime_pool *pool;

	switch (reason) {
	case ONETIME_FREE:
		if (addr && address_equal(&addr->peer, &p->flow.remote))
			return reason;
	case ONETIME_NOT_OURS_YET:
	case ONETIME_TAKEN:
	case ONETIME_NOT_FOR:
	case ONETIME_NO_SYN:
	case ONETIME_NO_LISTENER:
	case ONETIME_WRONG_PORT:
	case ONETIME_EXPIRED:
		pool = pool_of(&p->flow.local);
		if (!pool || !(pool->flags & ONETIME_POOL_RESET))
			return reason;
		note(reason);
		return ONETIME_REFUSED_RST;
	default:
		return reason;
	}
}

static __always_inline enum onetime_reason
guard_stranger(const struct __sk_buff *skb, const struct packet *p, enum parsed parsed)
{
	if (pool_of(&p->flow.local)) {
		if (parsed == PARSED_PORTS)
			return refuse(p, NULL, p->bad ? ONETIME_MALFORMED : ONETIME_FREE);
		return parsed == PARSED_ICMP ? ONETIME_ICMP_DROPPED : ONETIME_PROTOCOL;
	}
	return is_spoofed(skb, p) ? ONETIME_SPOOFED : ONETIME_OTHER;
}

static __always_inline enum onetime_reason
guard_in(struct __sk_buff *skb, const struct onetime_conf *conf, struct egress *egress)
{
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	enum onetime_reason reason;
	struct onetime_addr *addr;
	struct packet p = {};
	enum parsed parsed = guard_parse(skb, &p);

	if (parsed == PARSED_ARP)
		return arp_in(skb, &p, now_ns);
	/* The kernel takes off any number of tags of VLAN 0, and would see what we have not. */
	if (parsed == PARSED_TAGS)
		return ONETIME_MALFORMED;
	if (parsed == PARSED_OTHER)
		return ONETIME_OTHER;
	p.bad |= guard_is_mapped(&p);
	if (parsed == PARSED_ICMP && p.ethertype == bpf_htons(ETH_P_IPV6)) {
		reason = nd_in(skb, &p, conf, egress, now_ns);
		if (reason != ONETIME_OTHER)
			return reason;
	}
	addr = bpf_map_lookup_elem(&onetime_addr, &p.flow.local);
	if (!addr)
		return guard_stranger(skb, &p, parsed);
	if (parsed == PARSED_ICMP)
		return icmp_in(skb, &p, addr, now_ns);
	if (parsed == PARSED_PROTOCOL)
		return ONETIME_PROTOCOL;
	return refuse(&p, addr, guard_ports(skb, conf, &p, addr, now_ns));
}

/* The kernel chooses an EA's port after connect6 has run: it is seen in its first packet. */
static __always_inline void ea_port_note(const struct packet *p, struct onetime_addr *addr)
{
	if (addr->use != ONETIME_EA || addr->port || p->fragment == FRAGMENT_LATER)
		return;
	if (p->flow.proto != addr->proto || !address_equal(&p->flow.local, &addr->peer) ||
	    p->flow.local_port != addr->peer_port)
		return;
	addr->port = addr->wire_port = p->flow.remote_port;
}

/*
 * Every user of this host can bind any local address, and all of a pool are: he would be taken for
 * whose the address was (trace), or would use one again. The kernel's reset of what was refused is
 * of no session and goes as it is.
 */
static __always_inline enum onetime_reason guard_out_stranger(const struct packet *p)
{
	if (p->flow.proto == IPPROTO_TCP && p->tcp_flags & TCP_RST)
		return ONETIME_OTHER;
	return pool_of(&p->flow.remote) ? ONETIME_NOT_GIVEN : ONETIME_OTHER;
}

/* A connected UDP socket may send to somebody else, too (sendto). It gets no answer, and its EA
 * keeps its peer. */
static __always_inline bool ea_is_aside(const struct packet *p, const struct onetime_addr *addr)
{
	if (addr->use != ONETIME_EA || addr->state != ONETIME_STATE_LIVE ||
	    addr->proto != IPPROTO_UDP || p->flow.proto != IPPROTO_UDP)
		return false;
	return p->fragment == FRAGMENT_LATER || !addr->port || addr->port == p->flow.remote_port;
}

/* What leaves: of a session, with the ports that the other end looks for. */
static __always_inline enum onetime_reason guard_out(struct __sk_buff *skb)
{
	struct onetime_addr *addr;
	struct packet p = {};

	if (!parse_packet(skb, HOOK_TC, &p))
		return ONETIME_OTHER;
	/* This packet's source is `remote` to the parser, and ours. */
	addr = bpf_map_lookup_elem(&onetime_addr, &p.flow.remote);
	if (!addr)
		return guard_out_stranger(&p);
	if (addr->use == ONETIME_MANY)
		return many_out(skb, &p, addr) ? ONETIME_SEND_FAILED : ONETIME_SENT;
	ea_port_note(&p, addr);
	if (!port_is_sockets(&p, addr))
		return ea_is_aside(&p, addr) ? ONETIME_OTHER : guard_out_stranger(&p);
	if (addr->proto == IPPROTO_UDP)
		keep_sending(addr);
	return port_out(skb, &p, addr) ? ONETIME_SEND_FAILED : ONETIME_SENT;
}

#endif
