/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the LAN, at a gateway: who sends from a shared address must own the port (RFC 7597, 8.1),
 * and a packet from one sharer to another goes straight back to its owner.
 */
#ifndef ISTHMUS_BPF_PORTARP_LAN_H
#define ISTHMUS_BPF_PORTARP_LAN_H

#include "portarp_up.bpf.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68

/* A client's renewal: port 68 is in nobody's set, and the server judges it by the lease. */
static __always_inline bool is_dhcp(const struct ip4 *p)
{
	return p->proto == IPPROTO_UDP && p->sport == DHCP_CLIENT_PORT &&
	       p->dport == DHCP_SERVER_PORT;
}

/* The answer to it. */
static __always_inline bool is_dhcp_reply(const struct ip4 *p)
{
	return p->proto == IPPROTO_UDP && p->sport == DHCP_SERVER_PORT &&
	       p->dport == DHCP_CLIENT_PORT;
}

/* portarp_use: this port has sent. Written only if it was not set, so that CPUs do not fight. */
static __always_inline void use_mark(const struct portarp_conf *conf,
				     const struct portarp_addr *addr, const struct ip4 *p)
{
	__u32 place = (addr->use - 1) * PORTARP_USE_WORDS +
		      (conf->generation & 1) * PORTARP_USE_HALF + p->sport / 64;
	__u64 bit = 1ULL << (p->sport % 64), *word;

	if (!addr->use || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return;
	if (p->proto == IPPROTO_UDP)
		place += PORTARP_USE_HALF / 2;
	word = bpf_map_lookup_elem(&portarp_use, &place);
	if (word && !(*word & bit))
		__sync_fetch_and_or(word, bit);
}

/* CHECKED, or why the packet is dropped. */
static __always_inline enum portarp_reason source_check(void *ctx, enum hook hook,
							const struct ip4 *p,
							const struct portarp_conf *conf,
							const struct portarp_addr *addr)
{
	struct hold hold = { .kind = PORTARP_EVENT_ASK };
	const struct portarp_owner *owner;
	enum portarp_reason reason;
	union owner_word word;
	__u32 index;

	if (unlikely(is_dhcp(p)))
		return PORTARP_CHECKED;
	index = steer_from(p, conf, addr, &reason);
	if (unlikely(index == OWNER_NOBODY))
		return reason;
	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner)
		return PORTARP_SPOOFED;
	word = owner_read(owner);
	if (word.owner.wait & (PORTARP_OWNER_NONE | PORTARP_OWNER_UP))
		return PORTARP_SPOOFED;
	if (likely(word.owner.wait & PORTARP_OWNER_KNOWN)) {
		if (!mac_equal(word.owner.mac, p->eth->h_source))
			return PORTARP_SPOOFED;
		if (unlikely(p->fragment))
			frag_sent(p, conf->frag_ns, index);
		use_mark(conf, addr, p);
		return PORTARP_CHECKED;
	}
	hold.addr = p->ip->saddr;
	hold.owner = index;
	hold.ifindex = hook_ifindex(ctx, hook);
	hold.port = bpf_htons(p->sport);
	hold.proto = p->proto;
	event_tell(&hold);
	return PORTARP_UNVERIFIED;
}

/*
 * Cascade (paper III): a host below asks for a port that is beyond the uplink. This gateway is the
 * way there, so it answers for the port's set.
 */
static __always_inline enum portarp_reason lan_request(void *ctx, enum hook hook,
						       const struct portarp_conf *conf,
						       const struct portarp_link *link)
{
	struct portarp_arp *arp = arp_header(ctx, hook, true);
	const struct portarp_owner *owner;
	const struct portarp_addr *addr;
	struct portarp_mine beyond = {};
	__be32 target;
	__u32 index;
	__u16 port;

	if (!arp || !conf->up_ifindex || arp->magic != bpf_htons(PORTARP_MAGIC) ||
	    arp->version != PORTARP_VERSION || arp->sender || mac_is_group(arp->sender_mac))
		return PORTARP_ARP_OTHER;
	target = arp->target;
	port = bpf_ntohs(arp->port);
	addr = bpf_map_lookup_elem(&portarp_addr, &target);
	index = addr && portset_in_sets(addr->a, port) ? owner_index(addr, port) : OWNER_NOBODY;
	if (index == OWNER_NOBODY)
		return PORTARP_ARP_OTHER;
	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner || !(owner_read(owner).owner.wait & PORTARP_OWNER_UP))
		return PORTARP_ARP_OTHER;
	beyond.sets = 1;
	beyond.set.a = addr->a;
	beyond.set.k = addr->k;
	beyond.set.psid = portset_psid(addr->a, addr->k, port);
	arp_answer(arp, &beyond, NULL, beyond.set.psid, link->mac, conf->op_reply);
	return PORTARP_ARP_ANSWERED;
}

static __always_inline enum portarp_reason lan_arp(void *ctx, enum hook hook,
						   const struct portarp_conf *conf,
						   const struct portarp_link *link,
						   struct egress *egress)
{
	struct portarp_arp *arp = arp_header(ctx, hook, false);
	__be32 sender, target;

	egress->ifindex = link->ifindex;
	if (!arp || !frame_is_ours(arp_frame(arp), link))
		return PORTARP_ARP_OTHER;
	if (arp->operation == conf->op_reply)
		return arp_reply(ctx, hook, link);
	if (arp->operation == conf->op_request)
		return lan_request(ctx, hook, conf, link);
	sender = arp->sender;
	target = arp->target;
	/* This machine's neighbour entry of a shared address is nobody's to change. */
	if (arp->operation == bpf_htons(ARPOP_REPLY))
		return bpf_map_lookup_elem(&portarp_addr, &sender) ? PORTARP_ARP_SILENCED
								   : PORTARP_ARP_OTHER;
	if (arp->operation != bpf_htons(ARPOP_REQUEST) || mac_is_group(arp->sender_mac))
		return PORTARP_ARP_OTHER;
	if (!bpf_map_lookup_elem(&portarp_addr, &target))
		return PORTARP_ARP_OTHER;
	return arp_proxy(ctx, hook, link->mac);
}

static __always_inline enum portarp_reason lan_gateway(void *ctx, enum hook hook,
						       const struct portarp_conf *conf,
						       const struct portarp_link *link,
						       struct egress *egress)
{
	const struct portarp_addr *from, *to;
	struct ip4 p = {};
	enum ip4_result parsed = ip4_parse(ctx, hook, &p);
	enum portarp_reason reason = PORTARP_OTHER;
	__be32 address;

	if (unlikely(parsed == IP4_ARP))
		return lan_arp(ctx, hook, conf, link, egress);
	if (parsed == IP4_OTHER || !frame_is_ours(p.eth, link))
		return PORTARP_OTHER;
	address = p.ip->saddr;
	from = bpf_map_lookup_elem(&portarp_addr, &address);
	if (from) {
		if (unlikely(parsed == IP4_BAD))
			return PORTARP_MALFORMED;
		reason = source_check(ctx, hook, &p, conf, from);
		if (reason != PORTARP_CHECKED)
			return reason;
	}
	address = p.ip->daddr;
	to = bpf_map_lookup_elem(&portarp_addr, &address);
	if (!to || mac_is_group(p.eth->h_dest))
		return reason;
	if (unlikely(parsed == IP4_BAD))
		return PORTARP_MALFORMED;
	return deliver(ctx, hook, &p, conf, to, egress);
}

#endif
