/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may be an initiator: nobody whose address is inside. What comes out of the tunnel goes past
 * the kernel's reverse path filter, so it is done here, for the first packet of each flow (RFC
 * 2827).
 */
#ifndef ISTHMUS_BPF_GATEWAY_SOURCE_H
#define ISTHMUS_BPF_GATEWAY_SOURCE_H

#include "gateway_head.bpf.h"

#define GATEWAY_AF_INET	 2
#define GATEWAY_AF_INET6 10

/* Loopback, multicast, broadcast, none. */
static __always_inline bool source_is_martian(const struct isthmus_addr *src)
{
	const __u32 *word = (const __u32 *)src->b;

	if (addr_is_v4(src))
		return !src->b[12] || src->b[12] == 127 || src->b[12] >= 224;
	return src->b[0] == 0xff || !(word[0] | word[1] | word[2] | (word[3] & ~bpf_htonl(1)));
}

static __always_inline bool link_is_lan(const struct gateway_conf *conf, __u32 ifindex)
{
#pragma unroll
	for (int i = 0; i < TUNNEL_LINKS; i++)
		if (conf->common.link[i].ifindex == ifindex)
			return conf->common.link[i].side == TUNNEL_LAN;
	return false;
}

/* Does the way to the source lead to a LAN? Asked as a packet that a LAN sends there would be. */
static __always_inline bool source_is_inside(void *ctx, const struct work *w)
{
	struct bpf_fib_lookup fib = { .ifindex = w->host.ifindex };
	const struct gateway_conf *conf = conf_find();
	const struct isthmus_addr *src = &w->view.src;
	long result;

	if (source_is_martian(src))
		return true;
	if (addr_is_v4(src)) {
		fib.family = GATEWAY_AF_INET;
		fib.ipv4_dst = *(__be32 *)&src->b[12];
	} else {
		fib.family = GATEWAY_AF_INET6;
		__builtin_memcpy(fib.ipv6_dst, src, 16);
	}
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return false;
	return conf && link_is_lan(conf, fib.ifindex);
}

#endif
