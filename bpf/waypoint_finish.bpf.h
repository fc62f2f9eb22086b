/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a packet's checksum is still to be finished by a device that it never came to: so do
 * packets of this machine's containers and guests look. The tag would cover it as it is, and the
 * next device would write it anew, where the outer packet says nothing of it.
 */
#ifndef ISTHMUS_BPF_WAYPOINT_FINISH_H
#define ISTHMUS_BPF_WAYPOINT_FINISH_H

#include "lib/finish.bpf.h"
#include "waypoint_ip.bpf.h"

/* The pseudo-header's sum, which stands in the place of a checksum that is to be finished. */
static __always_inline __u16 finish_pseudo(const struct ip *p, __u32 l4_bytes)
{
	const __u32 *source = (const __u32 *)p->src.b, *destination = (const __u32 *)p->dst.b;
	__u32 sum = csum_add(source[3], destination[3]);

	if (p->v6) {
#pragma unroll
		for (int i = 0; i < 3; i++)
			sum = csum_add(sum, csum_add(source[i], destination[i]));
	}
	return csum_fold(csum_add(sum, bpf_htons(p->proto) + bpf_htons(l4_bytes)));
}

/*
 * At tc. That a finished checksum has the same value is rare, and then the whole packet's sum
 * tells. XDP has no unfinished ones: attaching sees to that.
 */
static __always_inline bool finish_is_missing(void *ctx, enum hook hook, const struct ip *p)
{
	__u32 l4_bytes = p->bytes + sizeof(struct ethhdr) - p->l4;
	__u8 *l4 = hook_data(ctx, hook) + (p->l4 & 0x7f);
	__u16 pseudo, stored;
	int sum;

	if (hook != HOOK_TC || p->fragment || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return false;
	l4 += p->proto == IPPROTO_TCP ? offsetof(struct tcphdr, check)
				      : offsetof(struct udphdr, check);
	if ((void *)(l4 + 2) > hook_data_end(ctx, hook))
		return true;
	stored = *(__u16 *)l4;
	pseudo = finish_pseudo(p, l4_bytes);
	if (likely(stored != pseudo) || (p->proto == IPPROTO_UDP && !stored))
		return false;
	sum = finish_sum(ctx, p->l4, l4_bytes);
	return sum < 0 || csum_fold((__u32)sum + pseudo) != 0xffff;
}

#endif
