/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* resoa.c's programs, at egress: a TCP segment without ACK is taken, or dropped. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} kept SEC(".maps");

static __always_inline int syn_becomes(struct __sk_buff *skb, int verdict)
{
	struct tcphdr tcp;
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &tcp, sizeof(tcp)))
		return TC_ACT_UNSPEC;
	return tcp.syn && !tcp.ack ? verdict : TC_ACT_UNSPEC;
}

SEC("tc")
int take(struct __sk_buff *skb)
{
	return syn_becomes(skb, TC_ACT_STOLEN);
}

SEC("tc")
int drop(struct __sk_buff *skb)
{
	return syn_becomes(skb, TC_ACT_SHOT);
}

char _license[] SEC("license") = "Dual BSD/GPL";
