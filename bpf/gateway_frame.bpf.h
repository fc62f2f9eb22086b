/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames: whose they are, their length, their addresses, the tail that they need not have. */
#ifndef ISTHMUS_BPF_GATEWAY_FRAME_H
#define ISTHMUS_BPF_GATEWAY_FRAME_H

#include "gateway_head.bpf.h"

/* An untagged IP packet to this machine's own MAC. */
static __always_inline bool frame_is_ours(void *ctx, enum hook hook, const struct tunnel_link *link)
{
	struct ethhdr *eth;
	void *end;

	if (hook == HOOK_TC && ((struct __sk_buff *)ctx)->vlan_present)
		return false;
	hook_pull_headers(ctx, hook);
	eth = hook_data(ctx, hook);
	end = hook_data_end(ctx, hook);
	if ((void *)(eth + 1) > end)
		return false;
	if (eth->h_proto != bpf_htons(ETH_P_IP) && eth->h_proto != bpf_htons(ETH_P_IPV6))
		return false;
	return *(__u32 *)eth->h_dest == *(__u32 *)link->mac &&
	       *(__u16 *)(eth->h_dest + 4) == *(__u16 *)(link->mac + 4);
}

static __always_inline bool frame_address(void *ctx, enum hook hook, const __u8 *dst_mac,
					  const __u8 *src_mac, bool v6)
{
	struct ethhdr *eth = hook_data(ctx, hook);

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return false;
	__builtin_memcpy(eth->h_dest, dst_mac, 6);
	__builtin_memcpy(eth->h_source, src_mac, 6);
	eth->h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return true;
}

/* To where it came from. */
static __always_inline bool frame_turn(void *ctx, enum hook hook)
{
	struct ethhdr *eth = hook_data(ctx, hook);
	__u8 mac[6];

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return false;
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	return true;
}

/*
 * `grow` bytes more, or less, between Ethernet and IP; Ethernet's header is kept. tc: the packet's
 * family becomes `v6` if it is not, so that the kernel knows too; change_proto() moves 20 bytes.
 */
static __always_inline int frame_grow_xdp(struct xdp_md *ctx, __s32 grow)
{
	struct ethhdr kept, *eth = hook_data(ctx, HOOK_XDP);

	if ((void *)(eth + 1) > hook_data_end(ctx, HOOK_XDP))
		return -1;
	kept = *eth;
	if (bpf_xdp_adjust_head(ctx, -grow))
		return -1;
	eth = hook_data(ctx, HOOK_XDP);
	if ((void *)(eth + 1) > hook_data_end(ctx, HOOK_XDP))
		return -1;
	*eth = kept;
	return 0;
}

static __always_inline int frame_grow_tc(struct __sk_buff *skb, __s32 grow, bool v6, __u64 flags)
{
	bool was6 = skb->protocol == bpf_htons(ETH_P_IPV6);

	/* What encapsulates says so itself, and the kernel follows. */
	if (!flags && was6 != v6) {
		if (bpf_skb_change_proto(skb, v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0))
			return -1;
		grow += v6 ? -20 : 20;
	}
	return grow ? bpf_skb_adjust_room(skb, grow, BPF_ADJ_ROOM_MAC, flags) : 0;
}

static __always_inline int frame_grow(void *ctx, enum hook hook, __s32 grow, bool v6)
{
	return hook == HOOK_XDP ? frame_grow_xdp(ctx, grow) : frame_grow_tc(ctx, grow, v6, 0);
}

/* The IP packet has `bytes`, the frame no more: Ethernet pads, and errors quote only so much. */
static __always_inline int frame_trim(void *ctx, enum hook hook, __u32 bytes)
{
	__u32 length = hook_length(ctx, hook), want = ETH_HLEN + bytes;

	if (length <= want)
		return length == want ? 0 : -1;
	if (hook == HOOK_XDP)
		return bpf_xdp_adjust_tail(ctx, (int)(want - length));
	return bpf_skb_change_tail(ctx, want, 0);
}

/* The translated head, and in the frame no more than the packet. */
static __always_inline int frame_store(void *ctx, enum hook hook, struct work *w)
{
	if (!w->kept)
		return frame_trim(ctx, hook, w->view.bytes) || head_store(ctx, hook, w) ? -1 : 0;
	if (frame_grow(ctx, hook, (__s32)w->out_have - (__s32)w->kept, w->view.v6) ||
	    frame_trim(ctx, hook, w->view.bytes))
		return -1;
	return out_store(ctx, hook, w);
}

#endif
