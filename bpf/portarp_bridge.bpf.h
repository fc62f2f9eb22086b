/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Between a router that knows nothing of PE-ARP and the sharers (paper II.E). The devices are ports
 * of a Linux bridge: here MACs are changed and the bridge forwards, so everything else, tagged
 * frames and IPv6 included, is as without us. To the router each shared address is one host with
 * one MAC, portarp_addr.src_mac.
 */
#ifndef ISTHMUS_BPF_PORTARP_BRIDGE_H
#define ISTHMUS_BPF_PORTARP_BRIDGE_H

#include "portarp_lan.bpf.h"

/* Ordinary ARP for a shared address, from either side: it is at the address' own MAC. */
static __always_inline enum portarp_reason bridge_arp(void *ctx, enum hook hook,
						      const struct portarp_conf *conf,
						      const struct portarp_link *link,
						      struct egress *egress)
{
	struct portarp_arp *arp = arp_header(ctx, hook, false);
	const struct portarp_addr *addr;
	__be32 target;

	egress->ifindex = link->ifindex;
	if (!arp)
		return PORTARP_ARP_OTHER;
	if (arp->operation == conf->op_reply && link->side == PORTARP_LAN)
		return arp_reply(ctx, hook, link);
	if (arp->operation != bpf_htons(ARPOP_REQUEST) || mac_is_group(arp->sender_mac))
		return PORTARP_ARP_OTHER;
	target = arp->target;
	addr = bpf_map_lookup_elem(&portarp_addr, &target);
	return addr ? arp_proxy(ctx, hook, addr->src_mac) : PORTARP_ARP_OTHER;
}

/* With one device on the LAN side the owner is where the frame came from: a bridge would not send
 * it back. */
static __always_inline bool one_lan(const struct portarp_conf *conf)
{
	int lans = 0;

	for (int i = 0; i < PORTARP_LINKS; i++)
		lans += conf->link[i].ifindex && conf->link[i].side == PORTARP_LAN;
	return lans == 1;
}

/* A frame to a shared address' MAC: the owner's is set, the bridge knows its port. */
static __always_inline enum portarp_reason bridge_steer(void *ctx, enum hook hook, struct ip4 *p,
							const struct portarp_conf *conf,
							const struct portarp_link *link,
							const struct portarp_addr *addr,
							struct egress *egress)
{
	union owner_word owner = {};
	enum portarp_reason reason;
	__u32 index;

	p->own = 1; /* no hop: TTL stays */
	index = steer_to(ctx, hook, p, conf, addr, &reason);
	if (index == OWNER_NOBODY)
		return reason;
	reason = owner_find(ctx, hook, index, p, p->ip->daddr, p->dport, &owner);
	if (reason != PORTARP_DELIVERED)
		return reason;
	mac_copy(p->eth->h_dest, owner.owner.mac);
	if (link->side == PORTARP_UPLINK || !one_lan(conf))
		return PORTARP_STEERED;
	/* Not the sender's: the switches of the LAN would look for it here from now on. */
	mac_copy(p->eth->h_source, addr->src_mac);
	egress->ifindex = link->ifindex;
	return PORTARP_DELIVERED;
}

static __always_inline enum portarp_reason bridge(void *ctx, enum hook hook,
						  const struct portarp_conf *conf,
						  const struct portarp_link *link,
						  struct egress *egress)
{
	enum portarp_reason reason = PORTARP_OTHER;
	const struct portarp_addr *from, *to;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(ctx, hook, &p);
	__be32 address;

	if (unlikely(parsed == IP4_ARP))
		return bridge_arp(ctx, hook, conf, link, egress);
	if (parsed == IP4_OTHER)
		return PORTARP_OTHER;
	address = p.ip->saddr;
	from = link->side == PORTARP_LAN ? bpf_map_lookup_elem(&portarp_addr, &address) : NULL;
	if (from) {
		if (unlikely(parsed == IP4_BAD))
			return PORTARP_MALFORMED;
		reason = source_check(ctx, hook, &p, conf, from);
		if (reason != PORTARP_CHECKED)
			return reason;
	}
	address = p.ip->daddr;
	to = bpf_map_lookup_elem(&portarp_addr, &address);
	if (!to || !mac_equal(p.eth->h_dest, to->src_mac))
		return reason;
	if (unlikely(parsed == IP4_BAD))
		return PORTARP_MALFORMED;
	return bridge_steer(ctx, hook, &p, conf, link, to, egress);
}

/* At tc egress of the uplink: the router sees one host. Not before the bridge, which learns from
 * it. */
static __always_inline enum portarp_reason bridge_out(struct __sk_buff *skb)
{
	const struct portarp_addr *addr;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(skb, HOOK_TC, &p);
	__be32 source;

	if (parsed != IP4_GOOD)
		return PORTARP_OTHER;
	source = p.ip->saddr;
	addr = bpf_map_lookup_elem(&portarp_addr, &source);
	if (!addr)
		return PORTARP_OTHER;
	mac_copy(p.eth->h_source, addr->src_mac);
	return PORTARP_ADMITTED;
}

#endif
