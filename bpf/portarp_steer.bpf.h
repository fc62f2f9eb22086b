/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which owner a packet is for, and which one it is from: by port; what has no port of a set, by
 * what it carries or by what was learned (paper III).
 */
#ifndef ISTHMUS_BPF_PORTARP_STEER_H
#define ISTHMUS_BPF_PORTARP_STEER_H

#include "portarp_owner.bpf.h"

/* What a program decided besides the reason. */
struct egress {
	__u32 ifindex; /* SEND: by this device */
	__u64 flags;   /* BPF_F_INGRESS */
};

/* OWNER_NOBODY leaves in *reason why. */
static __always_inline __u32 steer_to(void *ctx, enum hook hook, const struct ip4 *p,
				      const struct portarp_addr *addr, enum portarp_reason *reason)
{
	*reason = PORTARP_NO_OWNER;
	if (likely(p->ported))
		return owner_index(addr, p->dport);
	return OWNER_NOBODY;
}

static __always_inline __u32 steer_from(void *ctx, enum hook hook, const struct ip4 *p,
					const struct portarp_addr *addr,
					enum portarp_reason *reason)
{
	*reason = PORTARP_SPOOFED;
	if (likely(p->ported))
		return owner_index(addr, p->sport);
	return OWNER_NOBODY;
}

#endif
