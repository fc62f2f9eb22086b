/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp.c's programs: redirect the test's packets, send them back, or count and pass. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/hook.h"

struct hook_state state;

static __always_inline struct ethhdr *ours(struct xdp_md *xdp)
{
	struct ethhdr *eth = (void *)(long)xdp->data;

	if ((void *)(eth + 1) > (void *)(long)xdp->data_end)
		return NULL;
	if (eth->h_proto != bpf_htons(HOOK_TYPE))
		return NULL;
	__sync_fetch_and_add(&state.seen[HOOK_FIRST], 1);
	return eth;
}

SEC("xdp")
int xdp_redirect(struct xdp_md *xdp)
{
	return ours(xdp) ? bpf_redirect(state.out, 0) : XDP_PASS;
}

SEC("xdp")
int xdp_back(struct xdp_md *xdp)
{
	struct ethhdr *eth = ours(xdp);
	__u8 mac[ETH_ALEN];

	if (!eth)
		return XDP_PASS;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

SEC("xdp")
int xdp_look(struct xdp_md *xdp)
{
	ours(xdp);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
