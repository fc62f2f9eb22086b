/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A bad wire, at tc ingress: frames are lost, come twice, or are longer than some bridge in the
 * middle lets through. One section for each; addresses are nobody's concern here.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define TWICE 0x4c48 /* skb->mark of a copy, which is not copied again */

static __always_inline int wire(struct __sk_buff *skb, __u32 lost, __u32 twice)
{
	if (skb->mark == TWICE)
		return TC_ACT_OK;
	if (bpf_get_prandom_u32() % 1000 < lost)
		return TC_ACT_SHOT;
	if (bpf_get_prandom_u32() % 1000 < twice) {
		skb->mark = TWICE;
		bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	}
	return TC_ACT_OK;
}

SEC("tc/loss1")
int loss1(struct __sk_buff *skb)
{
	return wire(skb, 10, 10);
}

SEC("tc/loss5")
int loss5(struct __sk_buff *skb)
{
	return wire(skb, 50, 10);
}

SEC("tc/plain5")
int plain5(struct __sk_buff *skb)
{
	return wire(skb, 50, 0);
}

SEC("tc/loss20")
int loss20(struct __sk_buff *skb)
{
	return wire(skb, 200, 50);
}

SEC("tc/short")
int shorter(struct __sk_buff *skb)
{
	return skb->len > 14 + 1300 ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
