/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a responder sends without DF and is too long for the tunnel is cut before it is sealed (AVES
 * 5.2), at tc, which alone can copy. The packet becomes one fragment; a copy of the whole comes in
 * by the same device again, with a mark that tells where the next fragment begins. So its flow is
 * found by its ports each time. Marks are not on the wire: nobody outside can set it.
 */
#ifndef ISTHMUS_BPF_GATEWAY_CUT_H
#define ISTHMUS_BPF_GATEWAY_CUT_H

#include "gateway_frame.bpf.h"

#define CUT_MARK    0x6a7e0000u
#define CUT_MARK_OF 0xffffe000u
#define CUT_PLACE   0x00001fffu /* in units of 8 bytes */

static __always_inline __u32 cut_place(const struct __sk_buff *skb)
{
	return (skb->mark & CUT_MARK_OF) == CUT_MARK ? (skb->mark & CUT_PLACE) * 8 : 0;
}

/* The fragment's header, from the whole one's in the head. */
static __always_inline int cut_header(struct __sk_buff *skb, struct work *w, __u32 bytes,
				      __u32 place, bool more)
{
	struct iphdr *ip = (void *)w->head;
	__u16 *word = (void *)ip;
	__u32 sum = 0;

	ip->tot_len = bpf_htons(bytes);
	ip->frag_off = bpf_htons(bpf_ntohs(ip->frag_off) + place / 8);
	if (more)
		ip->frag_off |= bpf_htons(IP_MORE_FRAGMENTS);
	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	ip->check = ~csum_fold(sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Leaves of w->view the fragment that is this copy's to send, of at most `mtu` bytes, and reads its
 * head and view again. Options are not carried over: a packet that has some is not cut.
 */
static __always_inline int cut(struct __sk_buff *skb, struct work *w, __u32 mtu)
{
	const __u32 header = sizeof(struct iphdr);
	__u32 place = cut_place(skb), most = (mtu - header) & ~7u, rest;
	bool more;

	if (w->view.v6 || w->view.l4 != header || mtu < header + 8 ||
	    w->view.bytes <= header + place)
		return -1;
	rest = w->view.bytes - header - place;
	more = rest > most;
	if (more) {
		skb->mark = CUT_MARK | (place + most) / 8;
		if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
			return -1;
		rest = most;
	}
	skb->mark = 0;
	if (bpf_skb_change_tail(skb, ETH_HLEN + header + place + rest, 0))
		return -1;
	if (place && bpf_skb_adjust_room(skb, -(__s32)place, BPF_ADJ_ROOM_NET, 0))
		return -1;
	if (cut_header(skb, w, header + rest, place, more))
		return -1;
	if (head_load(skb, HOOK_TC, w) || view_parse(w, &w->view, 0, 1) != 1)
		return -1;
	return 0;
}

#endif
