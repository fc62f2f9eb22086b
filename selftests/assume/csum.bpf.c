/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* csum.c's program: rewrites addresses and ports both ways, whatever state the checksum is in. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/csum.h"

#define L4 (ETH_HLEN + sizeof(struct iphdr))

struct csum_state state;

static __always_inline void rewrite(struct __sk_buff *skb, __u32 at, __u32 check, __u64 flags,
				    const void *new, __u32 size)
{
	__u32 old = 0, value = 0;

	bpf_skb_load_bytes(skb, at, &old, size & 7);
	__builtin_memcpy(&value, new, size);
	if (bpf_l4_csum_replace(skb, check, old, value, flags | size))
		state.failed |= 1;
	if (flags & BPF_F_PSEUDO_HDR &&
	    bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), old, value, size))
		state.failed |= 2;
	if (bpf_skb_store_bytes(skb, at, new, size, 0))
		state.failed |= 4;
}

SEC("tc")
int csum_rewrite(struct __sk_buff *skb)
{
	struct csum_way *way = &state.way[skb->ingress_ifindex == state.server_dev];
	__u64 mangled = 0;
	__u8 proto = 0;
	__u32 check;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &proto, 1);
	if (proto == IPPROTO_TCP) {
		check = L4 + offsetof(struct tcphdr, check);
	} else if (proto == IPPROTO_UDP) {
		check = L4 + offsetof(struct udphdr, check);
		mangled = BPF_F_MARK_MANGLED_0;
	} else {
		return 0;
	}
	__sync_fetch_and_add(&state.packets, 1);
	if (skb->gso_segs > 1)
		__sync_fetch_and_add(&state.gso, 1);
	rewrite(skb, ETH_HLEN + offsetof(struct iphdr, saddr), check, BPF_F_PSEUDO_HDR | mangled,
		&way->new_src, 4);
	rewrite(skb, ETH_HLEN + offsetof(struct iphdr, daddr), check, BPF_F_PSEUDO_HDR | mangled,
		&way->new_dst, 4);
	if (way->new_sport)
		rewrite(skb, L4, check, mangled, &way->new_sport, 2);
	if (way->new_dport)
		rewrite(skb, L4 + 2, check, mangled, &way->new_dport, 2);
	bpf_skb_store_bytes(skb, 0, way->dst_mac, 6, 0);
	bpf_skb_store_bytes(skb, 6, way->src_mac, 6, 0);
	return bpf_redirect(way->out, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
