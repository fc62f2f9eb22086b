/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tc.c's programs: both count and let the next one see the packet. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/hook.h"

struct hook_state state;

static __always_inline int count(struct __sk_buff *skb, enum hook_program which)
{
	if (skb->protocol == bpf_htons(HOOK_TYPE))
		__sync_fetch_and_add(&state.seen[which], 1);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_first(struct __sk_buff *skb)
{
	return count(skb, HOOK_FIRST);
}

SEC("tc")
int tc_second(struct __sk_buff *skb)
{
	return count(skb, HOOK_SECOND);
}

char _license[] SEC("license") = "Dual BSD/GPL";
