/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* clone.c's programs, at ingress: what leaves a clone alone, and what lets a packet grow. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/clone.h"

#define L4   (ETH_HLEN + sizeof(struct iphdr))
#define GROW 12 /* a timestamp option and two NOPs */

struct clone_state state;

/* Sends the clone, then the packet itself with another destination port and other last bytes. */
SEC("tc")
int clone_then_write(struct __sk_buff *skb)
{
	__be16 port = bpf_htons(4444);
	__u8 bytes[8] = { 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8 };

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_clone_redirect(skb, state.out, 0))
		state.failed |= 1;
	if (bpf_skb_store_bytes(skb, L4 + offsetof(struct tcphdr, dest), &port, sizeof(port), 0))
		state.failed |= 2;
	if (bpf_skb_store_bytes(skb, skb->len - sizeof(bytes), bytes, sizeof(bytes), 0))
		state.failed |= 4;
	return bpf_redirect(state.out, 0);
}

/* A SYN becomes GROW bytes longer: NOPs at its end, lengths and checksums as they should be. */
SEC("tc")
int grow_syn(struct __sk_buff *skb)
{
	__u8 nops[GROW] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	__be16 old_len, new_len, old_off, new_off;
	__u32 end = skb->len;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_skb_change_tail(skb, end + GROW, 0))
		state.failed |= 1;
	if (bpf_skb_store_bytes(skb, end, nops, sizeof(nops), 0))
		state.failed |= 2;
	bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, tot_len), &old_len, 2);
	new_len = bpf_htons(bpf_ntohs(old_len) + GROW);
	bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), old_len, new_len, 2);
	bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, tot_len), &new_len, 2, 0);
	bpf_skb_load_bytes(skb, L4 + 12, &old_off, 2);
	new_off = bpf_htons(bpf_ntohs(old_off) + (GROW / 4 << 12));
	bpf_skb_store_bytes(skb, L4 + 12, &new_off, 2, 0);
	/* The pseudo-header's length counts in every checksum, the rest only in finished ones. */
	bpf_l4_csum_replace(skb, L4 + offsetof(struct tcphdr, check), bpf_htons(end - L4),
			    bpf_htons(end - L4 + GROW), BPF_F_PSEUDO_HDR | 2);
	bpf_l4_csum_replace(skb, L4 + offsetof(struct tcphdr, check), old_off, new_off, 2);
	bpf_l4_csum_replace(skb, L4 + offsetof(struct tcphdr, check), 0,
			    bpf_csum_diff(NULL, 0, (__be32 *)nops, sizeof(nops), 0), 0);
	return bpf_redirect(state.out, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
