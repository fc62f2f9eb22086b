/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP to addresses of a pool: nothing but errors about a session's packets, so that path MTU
 * discovery works and a refused connect is told. The packet that they quote has the ports of the
 * wire; those of the socket are put there. The quoted TCP or UDP checksum is left: nobody looks at
 * it, and most quotes are cut before what it covers ends.
 */
#ifndef ISTHMUS_BPF_ONETIME_ICMP_H
#define ISTHMUS_BPF_ONETIME_ICMP_H

#include "onetime_port.bpf.h"

#define ICMP_HEADER 8
#define ICMP_CHECK  2 /* of both families: where the checksum is */

struct icmp_quote {
	struct isthmus_addr local, peer; /* source and destination: we have sent it */
	union ports ports;
	__u32 at; /* of the ports in the frame */
	__u8 proto;
};

static __always_inline bool icmp_is_error(__u8 type, bool v6)
{
	/* RFC 4443 2.1: unreachable, too big, time exceeded, parameter problem. */
	if (v6)
		return type >= 1 && type <= 4;
	/* RFC 792: the same of IPv4. No source quench (RFC 6633), no redirects. */
	return type == 3 || type == 11 || type == 12;
}

static __always_inline bool icmp_load(struct __sk_buff *skb, __u32 at, __u32 end, void *to,
				      __u32 bytes)
{
	return at + bytes <= end && !bpf_skb_load_bytes(skb, at, to, bytes);
}

/* Of extension headers a session's packets have a fragment header at most; a later fragment does
 * not tell its ports. */
static __always_inline bool icmp_quote_v6(struct __sk_buff *skb, __u32 at, __u32 end,
					  struct icmp_quote *quote)
{
	struct ip6_fragment fragment;
	struct ipv6hdr ip;

	if (!icmp_load(skb, at, end, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	__builtin_memcpy(&quote->local, &ip.saddr, 16);
	__builtin_memcpy(&quote->peer, &ip.daddr, 16);
	quote->proto = ip.nexthdr;
	quote->at = at + sizeof(ip);
	if (ip.nexthdr != IPPROTO_FRAGMENT)
		return true;
	if (!icmp_load(skb, quote->at, end, &fragment, sizeof(fragment)) ||
	    fragment.offset & bpf_htons(IP6_FRAGMENT_OFFSET))
		return false;
	quote->proto = fragment.next;
	quote->at += sizeof(fragment);
	return true;
}

static __always_inline bool icmp_quote_v4(struct __sk_buff *skb, __u32 at, __u32 end,
					  struct icmp_quote *quote)
{
	struct iphdr ip;

	if (!icmp_load(skb, at, end, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return false;
	address_map_v4(&quote->local, ip.saddr);
	address_map_v4(&quote->peer, ip.daddr);
	quote->proto = ip.protocol;
	quote->at = at + ip.ihl * 4;
	return true;
}

static __always_inline bool icmp_quote(struct __sk_buff *skb, const struct packet *p, __u32 end,
				       struct icmp_quote *quote)
{
	__u32 at = p->l4 - (void *)p->eth + ICMP_HEADER;
	bool v6 = p->ethertype == bpf_htons(ETH_P_IPV6);

	if (!(v6 ? icmp_quote_v6(skb, at, end, quote) : icmp_quote_v4(skb, at, end, quote)))
		return false;
	return icmp_load(skb, quote->at, end, &quote->ports, sizeof(quote->ports));
}

static __always_inline bool icmp_is_of_many(const struct icmp_quote *quote,
					    const struct onetime_addr *addr, union ports *own)
{
	struct onetime_flow_key key = { .addr = quote->local,
					.peer = quote->peer,
					.peer_port = quote->ports.dest,
					.proto = quote->proto };
	const struct onetime_flow *flow;

	if (addr->mode == ONETIME_AWARE)
		return quote->ports.source == listener_port(addr);
	flow = bpf_map_lookup_elem(&onetime_flow, &key);
	if (!flow)
		return false;
	own->source = flow->port;
	return quote->ports.source == flow->wire_port || quote->ports.source == flow->port;
}

/* Is the quoted packet the session's? `own` are its socket's ports then. */
static __always_inline bool icmp_is_of(const struct icmp_quote *quote,
				       const struct onetime_addr *addr, union ports *own)
{
	*own = quote->ports;
	if (quote->proto != addr->proto)
		return false;
	if (addr->use == ONETIME_MANY)
		return icmp_is_of_many(quote, addr, own);
	if (!address_equal(&quote->peer, &addr->peer))
		return false;
	own->source = addr->port;
	own->dest = addr->peer_port;
	return quote->ports.word == own->word ||
	       (addr->mode != ONETIME_AWARE &&
		quote->ports.word == *(volatile const __u32 *)&addr->wire_port);
}

/* Packet pointers are not valid afterwards. */
static __always_inline int icmp_write(struct __sk_buff *skb, const struct packet *p,
				      const struct icmp_quote *quote, union ports own)
{
	__u32 check = p->l4 - (void *)p->eth + ICMP_CHECK, from = quote->ports.word;

	if (from == own.word)
		return 0;
	/* Both families' checksum covers the quote, which begins at an even place of it. */
	if (bpf_l4_csum_replace(skb, check, from, own.word, sizeof(own.word)) ||
	    bpf_skb_store_bytes(skb, quote->at, &own.word, sizeof(own.word), 0))
		return -1;
	note(ONETIME_REWRITTEN);
	return 0;
}

static __always_inline enum onetime_reason icmp_in(struct __sk_buff *skb, const struct packet *p,
						   const struct onetime_addr *addr, __u64 now_ns)
{
	__u32 state = onetime_state_at(addr, now_ns), end = p->l3 - (void *)p->eth + p->ip_bytes;
	struct icmp_quote quote = {};
	union ports own;
	__u8 type;

	if (p->bad || end > skb->len)
		return ONETIME_MALFORMED;
	if (state != ONETIME_STATE_CLAIMED && state != ONETIME_STATE_LIVE &&
	    state != ONETIME_STATE_CLOSING)
		return ONETIME_ICMP_DROPPED;
	if (!icmp_load(skb, p->l4 - (void *)p->eth, end, &type, sizeof(type)) ||
	    !icmp_is_error(type, p->ethertype == bpf_htons(ETH_P_IPV6)))
		return ONETIME_ICMP_DROPPED;
	if (!icmp_quote(skb, p, end, &quote) || !address_equal(&quote.local, &p->flow.local) ||
	    !icmp_is_of(&quote, addr, &own))
		return ONETIME_ICMP_DROPPED;
	return icmp_write(skb, p, &quote, own) ? ONETIME_SEND_FAILED : ONETIME_ICMP;
}

#endif
