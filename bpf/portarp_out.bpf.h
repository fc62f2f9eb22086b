/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this machine's kernel sends to the LAN, at tc egress: the kernel has one neighbour entry for
 * a shared address, the MAC of the port's owner is set here.
 */
#ifndef ISTHMUS_BPF_PORTARP_OUT_H
#define ISTHMUS_BPF_PORTARP_OUT_H

#include "portarp_up.bpf.h"

/* For a shared address on the LAN: to its owner. OTHER: for another address. */
static __always_inline enum portarp_reason out_steer(struct __sk_buff *skb, struct ip4 *p,
						     const struct portarp_conf *conf,
						     struct egress *egress)
{
	const struct portarp_addr *addr;
	union owner_word owner = {};
	enum portarp_reason reason;
	__be32 destination = p->ip->daddr;
	__u32 index;

	addr = bpf_map_lookup_elem(&portarp_addr, &destination);
	if (!addr || addr->ifindex != skb->ifindex || mac_is_group(p->eth->h_dest))
		return PORTARP_OTHER;
	index = steer_to(skb, HOOK_TC, p, conf, addr, &reason);
	if (index == OWNER_NOBODY) /* this machine's own query is not its to answer */
		return reason == PORTARP_TO_STACK ? PORTARP_ECHO_DENIED : reason;
	reason = owner_find(skb, HOOK_TC, index, p, destination, p->dport, &owner);
	if (reason != PORTARP_DELIVERED)
		return reason;
	mac_copy(p->eth->h_dest, owner.owner.mac);
	if (likely(!(owner.owner.wait & PORTARP_OWNER_UP)))
		return PORTARP_ADMITTED; /* goes on by this device */
	mac_copy(p->eth->h_source, conf->up_mac);
	egress->ifindex = conf->up_ifindex;
	return PORTARP_DELIVERED;
}

static __always_inline enum portarp_reason
out_gateway(struct __sk_buff *skb, const struct portarp_conf *conf, struct egress *egress)
{
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(skb, HOOK_TC, &p);

	p.own = 1;
	if (parsed != IP4_GOOD)
		return PORTARP_OTHER;
	return out_steer(skb, &p, conf, egress);
}

#endif
