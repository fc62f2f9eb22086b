/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What has no port that tells its owner (paper III): who began last with a peer, and whose a
 * pseudo-port is, learned from what sharers send, with an expiry. A full table learns no more; what
 * is live is never taken from its owner.
 */
#ifndef ISTHMUS_BPF_PORTARP_FLOW_H
#define ISTHMUS_BPF_PORTARP_FLOW_H

#include "portarp_owner.bpf.h"

enum flow_result { FLOW_KEPT, FLOW_TAKEN, FLOW_FULL };

static __always_inline void flow_key(struct portarp_flow_key *key, __be32 addr, __be32 peer,
				     __u8 proto, __u8 kind, __be32 id)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->addr = addr;
	key->peer = peer;
	key->id = id;
	key->proto = proto;
	key->kind = kind;
}

/* Whose it is, or OWNER_NOBODY. Live for `keep_ns` more from now on, if that is not 0. */
static __noinline __u32 flow_find(const struct portarp_flow_key *key, __u64 keep_ns)
{
	struct portarp_flow *flow = bpf_map_lookup_elem(&portarp_flow, key);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!flow || now > flow->expires_ns)
		return OWNER_NOBODY;
	if (keep_ns)
		flow->expires_ns = now + keep_ns;
	return flow->owner;
}

/* It is this owner's from now on; `take` also from another one. */
static __noinline int flow_learn(const struct portarp_flow_key *key, __u32 owner, __u64 keep_ns,
				 bool take)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct portarp_flow fresh = { .owner = owner, .expires_ns = now + keep_ns };
	struct portarp_flow *flow = bpf_map_lookup_elem(&portarp_flow, key);

	if (!flow) {
		if (!bpf_map_update_elem(&portarp_flow, key, &fresh, BPF_NOEXIST))
			return FLOW_KEPT;
		flow = bpf_map_lookup_elem(&portarp_flow, key);
		if (!flow)
			return FLOW_FULL;
	}
	if (!take && flow->owner != owner && now <= flow->expires_ns)
		return FLOW_TAKEN;
	flow->owner = owner;
	flow->expires_ns = now + keep_ns;
	return FLOW_KEPT;
}

#endif
