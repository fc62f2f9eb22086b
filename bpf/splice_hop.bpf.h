/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops of legs. One is looked up when its leg is made, again after a change of routes or
 * neighbours (splice_conf.epoch) and every recheck_ns, never for each packet.
 */
#ifndef ISTHMUS_BPF_SPLICE_HOP_H
#define ISTHMUS_BPF_SPLICE_HOP_H

#include "lib/parse.bpf.h"
#include "splice_maps.bpf.h"

#define SPLICE_AF_INET	    2
#define SPLICE_AF_INET6	    10
#define SPLICE_HOP_RETRY_NS (100 * 1000 * 1000ull) /* after a look-up that found no neighbour */

static __always_inline bool addr_is_v4(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !word[0] && !word[1] && word[2] == bpf_htonl(0xffff);
}

static __always_inline void hop_from_fib(struct splice_hop *hop, const struct bpf_fib_lookup *fib)
{
	__u32 ifindex = fib->ifindex;
	struct splice_dev *dev = bpf_map_lookup_elem(&splice_dev, &ifindex);

	hop->ifindex = dev ? dev->ifindex : ifindex;
	hop->vlan_proto = dev ? dev->vlan_proto : 0;
	hop->vlan_tci = dev ? dev->vlan_tci : 0;
	__builtin_memcpy(hop->dst_mac, fib->dmac, 6);
	__builtin_memcpy(hop->src_mac, fib->smac, 6);
}

/*
 * Asks the kernel's tables for the way from `src` to `dst`. Returns BPF_FIB_LKUP_RET_*; `hop` is
 * changed by a success only. Packets came in by `ifindex`, whose forwarding sysctl must be on.
 */
static __noinline int hop_lookup(void *ctx, __u32 ifindex, const struct isthmus_addr *src,
				 const struct isthmus_addr *dst, struct splice_hop *hop)
{
	struct bpf_fib_lookup fib = { .ifindex = ifindex };
	int result;

	if (addr_is_v4(dst)) {
		fib.family = SPLICE_AF_INET;
		fib.ipv4_src = *(__be32 *)&src->b[12];
		fib.ipv4_dst = *(__be32 *)&dst->b[12];
	} else {
		fib.family = SPLICE_AF_INET6;
		__builtin_memcpy(fib.ipv6_src, src, 16);
		__builtin_memcpy(fib.ipv6_dst, dst, 16);
	}
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result == BPF_FIB_LKUP_RET_SUCCESS)
		hop_from_fib(hop, &fib);
	return result;
}

/* The kernel has routes and says that none leads there (no route at all is NOT_FWDED). */
static __always_inline bool hop_is_gone(int result)
{
	return result >= BPF_FIB_LKUP_RET_BLACKHOLE && result <= BPF_FIB_LKUP_RET_NOT_FWDED;
}

static __always_inline bool hop_equal(const struct splice_hop *a, const struct splice_hop *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 differ = 0;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*a) / 4); i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

/*
 * Looks a leg's next hop up again. A neighbour that is being resolved keeps its last address; a
 * route that is gone stops the leg until one is back. A leg whose hop was never the tables' (the
 * way its SYN came) keeps it.
 */
static __noinline void hop_refresh(void *ctx, __u32 ifindex, struct splice_leg *leg,
				   const struct splice_conf *conf, __u64 now)
{
	struct splice_hop hop = leg->hop;
	int result = hop_lookup(ctx, ifindex, &leg->new_src, &leg->new_dst, &hop);

	leg->epoch = conf->epoch;
	leg->checked_ns = now;
	if (result == BPF_FIB_LKUP_RET_SUCCESS) {
		leg->flags |= SPLICE_LEG_ROUTED;
	} else if (result != BPF_FIB_LKUP_RET_FWD_DISABLED) {
		leg->checked_ns = now - conf->recheck_ns + SPLICE_HOP_RETRY_NS;
		if (hop_is_gone(result) && leg->flags & SPLICE_LEG_ROUTED)
			hop.ifindex = 0;
	}
	/* Another CPU may be reading: written only when changed, so at worst one packet of a
	 * moving neighbour carries a mix of both addresses. */
	if (!hop_equal(&hop, &leg->hop))
		leg->hop = hop;
}

#endif
