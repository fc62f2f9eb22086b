/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a packet's checksum is still to be finished by a device that it never came to: so do
 * packets of this machine's containers and guests look. It cannot be sealed: the tag would cover it
 * as it is.
 */
#ifndef ISTHMUS_BPF_GATEWAY_FINISH_H
#define ISTHMUS_BPF_GATEWAY_FINISH_H

#include "lib/finish.bpf.h"
#include "gateway_rewrite.bpf.h"

/* The pseudo-header's sum, which stands in the place of a checksum that is to be finished. */
static __always_inline __u16 finish_pseudo(const struct view *v, __u32 l4_bytes)
{
	const __u32 *src = (const __u32 *)v->src.b, *dst = (const __u32 *)v->dst.b;
	__u32 sum = bpf_htons(v->proto) + bpf_htons(l4_bytes);

	/* That of a mapped IPv4 address is its last word's: 0xffff counts as nothing. */
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum = csum_add(sum, csum_add(src[i], dst[i]));
	return csum_fold(sum);
}

/*
 * At tc. That a finished checksum has the same value is rare, and then the whole packet's sum
 * tells. XDP has no unfinished ones: attaching sees to that.
 */
static __always_inline bool finish_is_missing(void *ctx, enum hook hook, struct work *w)
{
	const struct view *v = &w->view;
	__u32 l4_bytes = v->bytes - v->l4;
	__u16 pseudo, *stored;
	int sum;

	if (hook != HOOK_TC || v->fragment || v->kind != VIEW_PORTS)
		return false;
	stored = head_at(w, v->l4 + proto_check_at(v), 2);
	if (!stored)
		return true;
	pseudo = finish_pseudo(v, l4_bytes);
	if (likely(csum_fold((__u16) ~*stored + pseudo) != 0xffff))
		return false;
	if (v->proto == IPPROTO_UDP && !*stored)
		return false;
	sum = finish_sum(ctx, ETH_HLEN + v->l4, l4_bytes);
	return sum < 0 || csum_fold((__u32)sum + pseudo) != 0xffff;
}

#endif
