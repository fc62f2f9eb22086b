/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ARP: PE-ARP (paper II.B) is answered here for this machine's own ports and handed to the agent
 * where it is an answer; ordinary ARP for a shared address is answered by a gateway or bridge
 * alone.
 */
#ifndef ISTHMUS_BPF_PORTARP_ARP_H
#define ISTHMUS_BPF_PORTARP_ARP_H

#include "portarp_owner.bpf.h"

#define ARP_ETHERNET  1
#define ARPOP_REQUEST 1 /* linux/if_arp.h includes what BPF has not */
#define ARPOP_REPLY   2
#define ARP_BYTES     28 /* of ordinary ARP; a PE-ARP trailer follows */

/* Of ordinary length and form: others' ARP is left alone. */
static __always_inline struct portarp_arp *arp_header(void *ctx, enum hook hook, bool trailer)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	struct portarp_arp *arp = data + sizeof(struct ethhdr);

	if ((void *)arp + (trailer ? sizeof(*arp) : ARP_BYTES) > end)
		return NULL;
	if (arp->hardware != bpf_htons(ARP_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != 6 || arp->protocol_len != 4)
		return NULL;
	return arp;
}

/* By the same pointer, so that the verifier knows its bounds. */
static __always_inline struct ethhdr *arp_frame(struct portarp_arp *arp)
{
	return (void *)arp - sizeof(struct ethhdr);
}

/* To this machine, or to all: a switch may flood others' frames. */
static __always_inline bool frame_is_ours(const struct ethhdr *eth, const struct portarp_link *link)
{
	return mac_is_group(eth->h_dest) || mac_equal(eth->h_dest, link->mac);
}

/* The range of this machine's that holds the port, in *range; false: none. */
static __always_inline bool mine_range(const struct portarp_mine *mine, __u16 port,
				       struct portarp_range *range)
{
#pragma unroll
	for (int i = 0; i < PORTARP_RANGES; i++) {
		if (i >= mine->ranges)
			break;
		if (port >= mine->range[i].low && port <= mine->range[i].high) {
			*range = mine->range[i];
			return true;
		}
	}
	return false;
}

static __always_inline bool mine_live(const struct portarp_mine *mine, __u64 now)
{
	return !mine->expires_ns || now <= mine->expires_ns;
}

/* The PSID of the set that holds the port, -1: none does. */
static __always_inline int mine_set(const struct portarp_mine *mine, __u16 port)
{
	__u16 psid = portset_psid(mine->set.a, mine->set.k, port);

	if (!mine->sets || !portset_in_sets(mine->set.a, port))
		return -1;
	if (psid == mine->set.psid)
		return psid;
#pragma unroll
	for (int i = 1; i < PORTARP_SETS; i++)
		if (i < mine->sets && psid == mine->further[i - 1])
			return psid;
	return -1;
}

/* Is the port this machine's? Not inlined: many ask, and the loop is long. */
static __noinline int mine_has(const struct portarp_mine *mine, __u32 port)
{
	struct portarp_range range;

	if (!mine || !mine_live(mine, bpf_ktime_get_coarse_ns()))
		return 0;
	return mine_set(mine, port) >= 0 || mine_range(mine, port, &range);
}

/* The request becomes its answer, in place: back to who asked, with all that the sender has. */
static __always_inline void arp_answer(struct portarp_arp *arp, const struct portarp_mine *mine,
				       const struct portarp_range *range, int psid, const __u8 *mac,
				       __be16 operation)
{
	struct ethhdr *eth = arp_frame(arp);
	struct portset set = mine->set;

	mac_copy(eth->h_dest, arp->sender_mac);
	mac_copy(eth->h_source, mac);
	arp->operation = operation;
	mac_copy(arp->target_mac, arp->sender_mac);
	mac_copy(arp->sender_mac, mac);
	arp->sender = 0;
	arp->flags = (mine->sets ? PORTARP_ARP_SET : 0) | (range ? PORTARP_ARP_RANGE : 0);
	arp->a = mine->sets ? mine->set.a : 0;
	arp->k = mine->sets ? mine->set.k : 0;
	set.psid = psid >= 0 ? psid : set.psid;
	arp->psid = mine->sets ? bpf_htons(portset_psid_to_wire(&set)) : 0;
	arp->low = range ? bpf_htons(range->low) : 0;
	arp->high = range ? bpf_htons(range->high) : 0;
	arp->lifetime_s = bpf_htons(mine->lifetime_s);
}

/* Who has port p of address x? Silence unless this machine has it. */
static __always_inline enum portarp_reason arp_request(void *ctx, enum hook hook,
						       const struct portarp_conf *conf,
						       const struct portarp_link *link)
{
	struct portarp_arp *arp = arp_header(ctx, hook, true);
	struct portarp_range range = {};
	struct portarp_mine *mine;
	__be32 target;
	__u16 port;
	bool ranged;
	int psid;

	if (!arp || arp->magic != bpf_htons(PORTARP_MAGIC) || arp->version != PORTARP_VERSION ||
	    arp->sender || mac_is_group(arp->sender_mac))
		return PORTARP_ARP_OTHER;
	target = arp->target;
	port = bpf_ntohs(arp->port);
	mine = bpf_map_lookup_elem(&portarp_mine, &target);
	if (!mine || mine->ifindex != link->ifindex || !mine_live(mine, bpf_ktime_get_coarse_ns()))
		return PORTARP_ARP_OTHER;
	ranged = mine_range(mine, port, &range);
	psid = mine_set(mine, port);
	if (!ranged && psid < 0)
		return PORTARP_ARP_OTHER;
	arp_answer(arp, mine, ranged ? &range : NULL, psid, link->mac, conf->op_reply);
	return PORTARP_ARP_ANSWERED;
}

/* An answer or announcement: whether it is believed, the agent knows. */
static __always_inline enum portarp_reason arp_reply(void *ctx, enum hook hook,
						     const struct portarp_link *link)
{
	struct portarp_arp *arp = arp_header(ctx, hook, true);
	struct hold hold = { .kind = PORTARP_EVENT_ARP, .ifindex = link->ifindex };
	struct event_room *room;

	if (!arp || arp->magic != bpf_htons(PORTARP_MAGIC) || arp->version != PORTARP_VERSION ||
	    arp->sender || mac_is_group(arp->sender_mac))
		return PORTARP_ARP_OTHER;
	hold.addr = arp->target;
	hold.port = arp->port;
	room = event_room(&hold, 0);
	if (!room || !event_frame(ctx, hook, room))
		return PORTARP_SEND_FAILED;
	return PORTARP_ARP_LEARNED;
}

/* An ordinary request for a shared address: the gateway and the bridge stand for all its hosts. */
static __always_inline enum portarp_reason arp_proxy(void *ctx, enum hook hook, const __u8 *mac)
{
	struct portarp_arp *arp = arp_header(ctx, hook, false);
	struct ethhdr *eth;
	__be32 sender, target;

	if (!arp)
		return PORTARP_ARP_OTHER;
	eth = arp_frame(arp);
	sender = arp->sender;
	target = arp->target;
	/* A probe (RFC 5227, sender 0.0.0.0) is answered too: the address is in use. */
	mac_copy(eth->h_dest, arp->sender_mac);
	mac_copy(eth->h_source, mac);
	arp->operation = bpf_htons(ARPOP_REPLY);
	mac_copy(arp->target_mac, arp->sender_mac);
	mac_copy(arp->sender_mac, mac);
	arp->sender = target;
	arp->target = sender;
	return PORTARP_ARP_PROXIED;
}

#endif
