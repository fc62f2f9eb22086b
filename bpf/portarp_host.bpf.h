/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A sharer. In: PE-ARP for its ports is answered, ordinary ARP for its address is not (RFC
 * 7618, 7.1), and only what is for its ports gets in. Out (tc egress): only from its ports, never
 * with the shared address as ARP sender, and to another sharer by the MAC of the port's owner.
 */
#ifndef ISTHMUS_BPF_PORTARP_HOST_H
#define ISTHMUS_BPF_PORTARP_HOST_H

#include "portarp_ident.bpf.h"
#include "portarp_lan.bpf.h"
#include "portarp_out.bpf.h"

static __always_inline const struct portarp_mine *mine_of(__be32 address)
{
	return bpf_map_lookup_elem(&portarp_mine, &address);
}

/* ---- in */

/* Nobody hears from this host that the address is its, and it hears from nobody that it is not. */
static __always_inline enum portarp_reason host_arp(void *ctx, enum hook hook,
						    const struct portarp_conf *conf,
						    const struct portarp_link *link,
						    struct egress *egress)
{
	struct portarp_arp *arp = arp_header(ctx, hook, false);

	egress->ifindex = link->ifindex;
	if (!arp)
		return PORTARP_ARP_OTHER;
	if (arp->operation == conf->op_request)
		return arp_request(ctx, hook, conf, link);
	if (arp->operation == conf->op_reply)
		return arp_reply(ctx, hook, link);
	if (mine_of(arp->target) || mine_of(arp->sender))
		return PORTARP_ARP_SILENCED;
	return PORTARP_ARP_OTHER;
}

static __always_inline struct echo *echo_header(const struct ip4 *p)
{
	struct echo *echo = p->l4;

	return (void *)(echo + 1) > p->end ? NULL : echo;
}

/* An error about what this host sent: its port, or the identifier as the socket knows it. */
static __always_inline enum portarp_reason host_error(const struct ip4 *p,
						      const struct portarp_mine *mine)
{
	struct iphdr *ip = p->l4 + ICMP_BYTES;
	struct ticket t;
	struct echo *echo;
	int id;

	ticket_quoted(p, &t);
	if (t.src != p->ip->daddr || t.kind == TICKET_BAD || t.kind == TICKET_ERROR)
		return PORTARP_NOT_MINE;
	if (t.kind == TICKET_PORTS)
		return mine_has(mine, t.sport) ? PORTARP_ADMITTED : PORTARP_NOT_MINE;
	if (t.kind != TICKET_QUERY)
		return PORTARP_ADMITTED;
	id = ident_in(t.src, t.dst, t.sport);
	if (id < 0)
		return PORTARP_ADMITTED;
	if ((void *)(ip + 1) > p->end)
		return PORTARP_MALFORMED;
	echo = (void *)ip + ip->ihl * 4;
	if ((void *)(echo + 1) > p->end)
		return PORTARP_MALFORMED;
	ident_write(echo, bpf_htons(id));
	return PORTARP_ECHO_MAPPED;
}

static __always_inline enum portarp_reason
host_icmp(const struct ip4 *p, const struct portarp_mine *mine, const struct portarp_conf *conf)
{
	struct echo *echo = echo_header(p);
	__be32 source = p->ip->saddr;
	int id;

	if (!echo)
		return PORTARP_MALFORMED;
	switch (icmp_kind(echo->type)) {
	case ICMP_ERROR_KIND:
		return host_error(p, mine);
	case ICMP_ANSWER_KIND:
		id = ident_in(p->ip->daddr, source, bpf_ntohs(echo->id));
		if (id < 0)
			return PORTARP_ADMITTED;
		ident_write(echo, bpf_htons(id));
		return PORTARP_ECHO_MAPPED;
	case ICMP_QUERY_KIND:
		if (bpf_map_lookup_elem(&portarp_addr, &source))
			ident_asked(p->ip->daddr, source, echo->id, p->eth->h_source,
				    conf->ident_ns);
		return PORTARP_ADMITTED;
	default:
		return PORTARP_ADMITTED;
	}
}

static __always_inline enum portarp_reason lan_host(void *ctx, enum hook hook,
						    const struct portarp_conf *conf,
						    const struct portarp_link *link,
						    struct egress *egress)
{
	const struct portarp_mine *mine;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(ctx, hook, &p);

	if (unlikely(parsed == IP4_ARP))
		return host_arp(ctx, hook, conf, link, egress);
	if (parsed == IP4_OTHER)
		return PORTARP_OTHER;
	mine = mine_of(p.ip->daddr);
	if (!mine || !frame_is_ours(p.eth, link))
		return PORTARP_OTHER;
	if (unlikely(parsed == IP4_BAD))
		return PORTARP_MALFORMED;
	if (!mine_live(mine, bpf_ktime_get_coarse_ns()))
		return PORTARP_NOT_MINE;
	if (p.fragment == FRAGMENT_LATER)
		return PORTARP_ADMITTED; /* of no use without the first one */
	if (p.ported)
		return mine_has(mine, p.dport) || is_dhcp_reply(&p) ? PORTARP_ADMITTED
								    : PORTARP_NOT_MINE;
	return p.proto == IPPROTO_ICMP ? host_icmp(&p, mine, conf) : PORTARP_ADMITTED;
}

/* ---- out */

static __always_inline enum portarp_reason host_arp_out(struct __sk_buff *skb,
							const struct portarp_conf *conf)
{
	struct portarp_arp *arp = arp_header(skb, HOOK_TC, false);

	if (!arp || arp->operation == conf->op_request || arp->operation == conf->op_reply)
		return PORTARP_ARP_OTHER;
	if (!mine_of(arp->sender))
		return !arp->sender && mine_of(arp->target) ? PORTARP_ARP_SILENCED
							    : PORTARP_ARP_OTHER;
	if (arp->operation != bpf_htons(ARPOP_REQUEST) || arp->target == arp->sender)
		return PORTARP_ARP_SILENCED;
	arp->sender = 0;
	return PORTARP_ARP_CLEARED;
}

/* What an error of ours quotes must have been for us. */
static __always_inline enum portarp_reason host_error_out(const struct ip4 *p,
							  const struct portarp_mine *mine)
{
	struct ticket t;

	ticket_quoted(p, &t);
	if (t.kind == TICKET_PORTS && !mine_has(mine, t.dport))
		return PORTARP_PORT_DENIED;
	return PORTARP_ADMITTED;
}

/* A ping. One to a shared address says by its identifier which host is meant. */
static __always_inline enum portarp_reason host_query_out(const struct ip4 *p, struct echo *echo,
							  const struct portarp_mine *mine,
							  const struct portarp_conf *conf)
{
	__be32 peer = p->ip->daddr;
	int id;

	if (bpf_map_lookup_elem(&portarp_addr, &peer))
		return PORTARP_ADMITTED;
	id = ident_out(p->ip->saddr, peer, bpf_ntohs(echo->id), mine, conf->ident_ns);
	if (id < 0)
		return PORTARP_ECHO_FULL;
	if (echo->id == bpf_htons(id))
		return PORTARP_ADMITTED;
	ident_write(echo, bpf_htons(id));
	return PORTARP_ECHO_MAPPED;
}

/* May this packet leave with the shared address as its source? */
static __always_inline enum portarp_reason
host_source(const struct ip4 *p, const struct portarp_mine *mine, const struct portarp_conf *conf)
{
	struct echo *echo;

	if (!mine_live(mine, bpf_ktime_get_coarse_ns()))
		return PORTARP_PORT_DENIED;
	if (p->fragment == FRAGMENT_LATER)
		return PORTARP_ADMITTED;
	if (p->ported)
		return mine_has(mine, p->sport) || is_dhcp(p) ? PORTARP_ADMITTED
							      : PORTARP_PORT_DENIED;
	if (p->proto != IPPROTO_ICMP)
		return PORTARP_ADMITTED;
	echo = echo_header(p);
	if (!echo)
		return PORTARP_MALFORMED;
	switch (icmp_kind(echo->type)) {
	case ICMP_QUERY_KIND:
		return host_query_out(p, echo, mine, conf);
	case ICMP_ERROR_KIND:
		return host_error_out(p, mine);
	default:
		return PORTARP_ADMITTED;
	}
}

/* Back to this host itself: the kernel routes its own shared address to the LAN like another's. */
static __always_inline enum portarp_reason host_loop(struct __sk_buff *skb, struct ip4 *p,
						     const struct portarp_link *link,
						     struct egress *egress)
{
	mac_copy(p->eth->h_dest, link->mac);
	egress->ifindex = link->ifindex;
	egress->flags = BPF_F_INGRESS;
	return PORTARP_LOOPED;
}

/* The port or identifier that says whom a packet for our own address is for; -1: none does. */
static __always_inline int host_target(const struct ip4 *p)
{
	const struct echo *echo;

	if (p->ported)
		return p->dport;
	if (p->proto != IPPROTO_ICMP || p->fragment == FRAGMENT_LATER)
		return -1;
	echo = echo_header(p);
	return echo && icmp_kind(echo->type) == ICMP_QUERY_KIND ? bpf_ntohs(echo->id) : -1;
}

/* The answer to another sharer's ping: to who has asked. */
static __always_inline bool host_answer(struct ip4 *p)
{
	const struct portarp_ident *asked;
	const struct echo *echo;
	struct portarp_ident_key key;

	if (p->proto != IPPROTO_ICMP || p->fragment == FRAGMENT_LATER)
		return false;
	echo = echo_header(p);
	if (!echo || icmp_kind(echo->type) != ICMP_ANSWER_KIND)
		return false;
	ident_key(&key, p->ip->saddr, p->ip->daddr, echo->id, PORTARP_IDENT_ASKED);
	asked = bpf_map_lookup_elem(&portarp_ident, &key);
	if (!asked || bpf_ktime_get_coarse_ns() > asked->expires_ns)
		return false;
	mac_copy(p->eth->h_dest, asked->mac);
	return true;
}

static __always_inline enum portarp_reason host_destination(struct __sk_buff *skb, struct ip4 *p,
							    const struct portarp_conf *conf,
							    const struct portarp_link *link,
							    struct egress *egress)
{
	const struct portarp_mine *mine = mine_of(p->ip->daddr);
	enum portarp_reason reason;
	int target = host_target(p);

	if (host_answer(p))
		return PORTARP_ADMITTED;
	if (mine && target >= 0 && mine_has(mine, target)) {
		if (p->fragment)
			frag_first(skb, HOOK_TC, p, conf->frag_ns, PORTARP_FRAG_LOCAL);
		return host_loop(skb, p, link, egress);
	}
	reason = out_steer(skb, p, conf, egress);
	/* A later fragment of what was looped. */
	return reason == PORTARP_TO_STACK ? host_loop(skb, p, link, egress) : reason;
}

static __always_inline enum portarp_reason out_host(struct __sk_buff *skb,
						    const struct portarp_conf *conf,
						    const struct portarp_link *link,
						    struct egress *egress)
{
	enum portarp_reason checked = PORTARP_OTHER, reason;
	const struct portarp_mine *mine;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(skb, HOOK_TC, &p);

	if (parsed == IP4_ARP)
		return host_arp_out(skb, conf);
	if (parsed != IP4_GOOD)
		return PORTARP_OTHER;
	p.own = 1;
	mine = mine_of(p.ip->saddr);
	if (mine) {
		checked = host_source(&p, mine, conf);
		if (checked != PORTARP_ADMITTED && checked != PORTARP_ECHO_MAPPED)
			return checked;
	}
	reason = host_destination(skb, &p, conf, link, egress);
	return reason == PORTARP_OTHER ? checked : reason;
}

#endif
