/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is too long for the tunnel: the MSS of connections is lowered at their SYN, and packets that
 * may be cut are cut before they are sealed (AVES 5.2), at tc, which alone can copy.
 */
#ifndef ISTHMUS_BPF_WAYPOINT_CUT_H
#define ISTHMUS_BPF_WAYPOINT_CUT_H

#include "waypoint_ip.bpf.h"

/* ---- MSS */

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define MSS_OPTIONS    10 /* options that are looked through */

/* Where a SYN's MSS stands in the frame, or 0. Reads byte by byte: places depend on each other. */
static __always_inline __u32 mss_scan(void *ctx, enum hook hook, __u32 l4, __u32 tcp_bytes)
{
	__u32 at = l4 + sizeof(struct tcphdr), end = l4 + tcp_bytes;
	__u8 option[2];

	for (int i = 0; i < MSS_OPTIONS && at + 4 <= end; i++) {
		if (hook == HOOK_XDP ? bpf_xdp_load_bytes(ctx, at, option, 2)
				     : bpf_skb_load_bytes(ctx, at, option, 2))
			return 0;
		if (option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_MSS)
			return option[1] == 4 ? at + 2 : 0;
		if (option[0] != TCP_OPTION_NOP && option[1] < 2)
			return 0;
		at += option[0] == TCP_OPTION_NOP ? 1 : option[1];
	}
	return 0;
}

static __noinline __u32 mss_place_xdp(struct xdp_md *ctx, __u32 l4, __u32 tcp_bytes)
{
	return mss_scan(ctx, HOOK_XDP, l4, tcp_bytes);
}

static __noinline __u32 mss_place_tc(struct __sk_buff *skb, __u32 l4, __u32 tcp_bytes)
{
	return mss_scan(skb, HOOK_TC, l4, tcp_bytes);
}

/* The place's parity decides how its bytes lie in the sum's words. */
static __always_inline void mss_write(__u8 *mss, struct tcphdr *tcp, __u16 value, bool odd)
{
	__u16 old = (mss[0] << 8) | mss[1];
	__u32 delta = (__u16)~bpf_htons(old) + bpf_htons(value);

	if (odd)
		delta = __builtin_bswap16(csum_fold(delta));
	csum_update(&tcp->check, delta);
	mss[0] = value >> 8;
	mss[1] = value;
}

/* A SYN's MSS becomes no more than a packet of `mtu` bytes can carry. */
static __always_inline void mss_clamp(void *ctx, enum hook hook, const struct ip *p, __u32 mtu)
{
	__u32 headers = (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + 20;
	__u32 place, most = mtu > headers ? mtu - headers : 0, l4 = p->l4;
	struct tcphdr *tcp;
	__u8 *mss;

	tcp = hook_data(ctx, hook) + (l4 & 0x7f);
	if ((void *)(tcp + 1) > hook_data_end(ctx, hook))
		return;
	place = hook == HOOK_XDP ? mss_place_xdp(ctx, l4, tcp->doff * 4)
				 : mss_place_tc(ctx, l4, tcp->doff * 4);
	tcp = hook_data(ctx, hook) + (l4 & 0x7f);
	mss = hook_data(ctx, hook) + (place & 0xff);
	if (!place || (void *)(tcp + 1) > hook_data_end(ctx, hook) ||
	    (void *)(mss + 2) > hook_data_end(ctx, hook))
		return;
	if ((__u32)(mss[0] << 8 | mss[1]) > most)
		mss_write(mss, tcp, most, (place - l4) & 1);
}

/* ---- cutting */

/*
 * A packet becomes its first fragment, and a copy of the whole comes to this device again with a
 * mark that tells where the next one begins. Nobody else can set it: marks are not on the wire.
 */
#define CUT_MARK    0x57ac0000u
#define CUT_MARK_OF 0xffffe000u
#define CUT_PLACE   0x00001fffu /* in units of 8 bytes */

/* One call takes less than a page away. */
#define CUT_STEP  4088
#define CUT_STEPS 17

/* Takes `bytes` away that follow the IP header. */
static __always_inline int cut_before(struct __sk_buff *skb, __u32 bytes)
{
	for (int i = 0; i < CUT_STEPS && bytes; i++) {
		__u32 step = bytes > CUT_STEP ? CUT_STEP : bytes;

		if (bpf_skb_adjust_room(skb, -(__s32)step, BPF_ADJ_ROOM_NET, 0))
			return -1;
		bytes -= step;
	}
	return 0;
}

/* IPv4's words of a fragment, and its header's checksum from scratch. */
static __always_inline bool cut_header(struct __sk_buff *skb, __u16 bytes, __be16 frag_off)
{
	struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	ip->tot_len = bpf_htons(bytes);
	ip->frag_off = frag_off;
	ip->check = 0;
	ip->check = tunnel_ip4_check(ip);
	return true;
}

/*
 * Leaves of the packet the fragment that is this copy's to send, of at most `mtu` bytes, and sends
 * a copy for the next one. Returns its length from the IP header on, or 0. Options are not carried
 * over: a packet that has some is not cut.
 */
static __always_inline __u32 cut(struct __sk_buff *skb, const struct ip *p, __u32 mtu)
{
	const __u32 header = sizeof(struct iphdr), most = (mtu - header) & ~7u;
	__u32 place = 0, rest, have;
	__u16 word;
	struct iphdr *ip;

	if (p->l4 != sizeof(struct ethhdr) + header || mtu < header + 8)
		return 0;
	if ((skb->mark & CUT_MARK_OF) == CUT_MARK)
		place = (skb->mark & CUT_PLACE) * 8;
	ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || p->bytes <= header + place)
		return 0;
	word = bpf_ntohs(ip->frag_off);
	rest = p->bytes - header - place;
	have = rest > most ? most : rest;
	if (rest > most) {
		skb->mark = CUT_MARK | (place + most) / 8;
		if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
			return 0;
		word |= IP_MORE_FRAGMENTS;
	}
	skb->mark = 0;
	if (bpf_skb_change_tail(skb, sizeof(struct ethhdr) + header + place + have, 0))
		return 0;
	if (cut_before(skb, place))
		return 0;
	if (bpf_skb_pull_data(skb, 0) ||
	    !cut_header(skb, header + have, bpf_htons(word + place / 8)))
		return 0;
	return header + have;
}

#endif
