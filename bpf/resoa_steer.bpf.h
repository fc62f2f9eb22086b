/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In W every packet that no connected socket takes is for one of the daemon's four. */
#ifndef ISTHMUS_BPF_RESOA_STEER_H
#define ISTHMUS_BPF_RESOA_STEER_H

#include "resoa_tell.bpf.h"

static __always_inline __u32 steer_slot(__u32 family, __u32 protocol)
{
	if (protocol == IPPROTO_TCP)
		return family == RESOA_AF_INET ? RESOA_TCP4 : RESOA_TCP6;
	return family == RESOA_AF_INET ? RESOA_UDP4 : RESOA_UDP6;
}

/* Without a socket of the daemon it is the kernel's, which has none either. */
static __always_inline int steer_lookup(struct bpf_sk_lookup *ctx)
{
	__u32 slot = steer_slot(ctx_word(struct bpf_sk_lookup, ctx, family),
				ctx_word(struct bpf_sk_lookup, ctx, protocol));
	struct bpf_sock *sock = bpf_map_lookup_elem(&resoa_world, &slot);
	long err;

	if (!sock) {
		note(RESOA_UNSTEERED);
		return SK_PASS;
	}
	err = bpf_sk_assign(ctx, sock, 0);
	bpf_sk_release(sock);
	note(err ? RESOA_UNSTEERED : RESOA_STEERED);
	return SK_PASS;
}

#endif
