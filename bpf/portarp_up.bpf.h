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

/*
 * A packet for a shared address goes on to its owner, as a router forwards it. What the kernel has
 * to answer (TTL, MTU) or to cut passes to it, and comes again to portarp_lan_out.
 */
static __always_inline enum portarp_reason deliver(void *ctx, enum hook hook, struct ip4 *p,
						   const struct portarp_conf *conf,
						   const struct portarp_addr *addr,
						   struct egress *egress)
{
	union owner_word owner = {};
	enum portarp_reason reason;
	__u32 index;

	if (unlikely(p->ip->ttl <= 1))
		return PORTARP_TTL;
	if (unlikely(p->bytes > addr->mtu) && !hook_is_gso(ctx, hook))
		return PORTARP_TOO_BIG;
	index = steer_to(ctx, hook, p, addr, &reason);
	if (unlikely(index == OWNER_NOBODY))
		return reason;
	reason =
		owner_find(ctx, hook, index, p, p->ip->daddr, p->dport, PORTARP_EVENT_HELD, &owner);
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
	if (!arp)
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
