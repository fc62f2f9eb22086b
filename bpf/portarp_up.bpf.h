/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the uplink to the owner (paper II.C): the common packet needs three look-ups, a MAC and a
 * TTL.
 */
#ifndef ISTHMUS_BPF_PORTARP_UP_H
#define ISTHMUS_BPF_PORTARP_UP_H

#include "lib/csum.bpf.h"
#include "portarp_arp.bpf.h"
#include "portarp_steer.bpf.h"

static __always_inline void deliver_rewrite(struct ip4 *p, const __u8 *from, const __u8 *to)
{
	mac_copy(p->eth->h_dest, to);
	mac_copy(p->eth->h_source, from);
	csum_update(&p->ip->check, CSUM_TTL_DELTA_V4);
	p->ip->ttl--;
}

/* Longer than the LAN takes, and not cut to size on its way out. */
static __always_inline bool too_big(void *ctx, enum hook hook, const struct ip4 *p, __u16 mtu)
{
	const __u8 *l4 = p->l4;
	__u32 headers = p->ip->ihl * 4 + sizeof(struct udphdr);

	if (likely(p->bytes <= mtu) && !hook_is_gso(ctx, hook))
		return false;
	if (!hook_is_gso(ctx, hook))
		return true;
	if (p->proto == IPPROTO_TCP && (void *)(l4 + sizeof(struct tcphdr)) <= p->end)
		headers = p->ip->ihl * 4 + (l4[12] >> 4) * 4;
	return headers + ((struct __sk_buff *)ctx)->gso_size > mtu;
}

/* What only the kernel does: it comes again to portarp_lan_out. */
static __always_inline bool not_ours(void *ctx, enum hook hook, const struct ip4 *p,
				     const struct portarp_addr *addr, enum portarp_reason *reason)
{
	if (unlikely(p->ip->ttl <= 1))
		*reason = PORTARP_TTL;
	else if (unlikely(p->ip->ihl != 5))
		*reason = PORTARP_TO_STACK; /* options may want to be answered */
	else if (unlikely(too_big(ctx, hook, p, addr->mtu)))
		*reason = PORTARP_TOO_BIG;
	else
		return false;
	return true;
}

/* A packet for a shared address goes on to its owner, as a router forwards it. */
static __always_inline enum portarp_reason deliver(void *ctx, enum hook hook, struct ip4 *p,
						   const struct portarp_conf *conf,
						   const struct portarp_addr *addr,
						   struct egress *egress)
{
	union owner_word owner = {};
	enum portarp_reason reason;
	__u32 index;

	if (unlikely(not_ours(ctx, hook, p, addr, &reason)))
		return reason;
	index = steer_to(ctx, hook, p, conf, addr, &reason);
	if (unlikely(index == OWNER_NOBODY))
		return reason;
	reason = owner_find(ctx, hook, index, p, p->ip->daddr, p->dport, &owner);
	if (unlikely(reason != PORTARP_DELIVERED))
		return reason;
	if (unlikely(owner.owner.wait & PORTARP_OWNER_UP)) {
		egress->ifindex = conf->up_ifindex;
		deliver_rewrite(p, conf->up_mac, owner.owner.mac);
		return PORTARP_DELIVERED;
	}
	egress->ifindex = addr->ifindex;
	deliver_rewrite(p, addr->src_mac, owner.owner.mac);
	return PORTARP_DELIVERED;
}

static __always_inline enum portarp_reason up_arp(void *ctx, enum hook hook,
						  const struct portarp_conf *conf,
						  const struct portarp_link *link,
						  struct egress *egress)
{
	struct portarp_arp *arp = arp_header(ctx, hook, true);

	egress->ifindex = link->ifindex;
	if (!arp || !frame_is_ours(arp_frame(arp), link))
		return PORTARP_ARP_OTHER;
	if (arp->operation == conf->op_request)
		return arp_request(ctx, hook, conf, link);
	return PORTARP_ARP_OTHER;
}

static __always_inline enum portarp_reason up_gateway(void *ctx, enum hook hook,
						      const struct portarp_conf *conf,
						      const struct portarp_link *link,
						      struct egress *egress)
{
	const struct portarp_addr *addr;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(ctx, hook, &p);
	__be32 destination;

	if (unlikely(parsed == IP4_ARP))
		return up_arp(ctx, hook, conf, link, egress);
	if (parsed == IP4_OTHER)
		return PORTARP_OTHER;
	destination = p.ip->daddr;
	addr = bpf_map_lookup_elem(&portarp_addr, &destination);
	if (!addr || !mac_equal(p.eth->h_dest, link->mac))
		return PORTARP_OTHER;
	if (unlikely(parsed == IP4_BAD))
		return PORTARP_MALFORMED;
	return deliver(ctx, hook, &p, conf, addr, egress);
}

#endif
