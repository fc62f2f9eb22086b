/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A host's echo identifiers. A ping socket's is the kernel's choice and no hook can ask for
 * another, so it is mapped into the host's ports on the way out and back on the way in (RFC
 * 7597, 8.2).
 *
 * An identifier and the checksum beside it change by opposite sums: what covers both, an ICMP
 * error's own checksum or the one that a NIC has computed, stays right.
 */
#ifndef ISTHMUS_BPF_PORTARP_IDENT_H
#define ISTHMUS_BPF_PORTARP_IDENT_H

#include "lib/csum.bpf.h"
#include "portarp_arp.bpf.h"
#include "portarp_icmp.bpf.h"

#define IDENT_TRIES 8

struct echo {
	__u8 type, code;
	__u16 check;
	__be16 id, sequence;
};

static __always_inline void ident_write(struct echo *echo, __be16 id)
{
	csum_update(&echo->check, (__u32)(__u16)~echo->id + id);
	echo->id = id;
}

static __always_inline void ident_key(struct portarp_ident_key *key, __be32 addr, __be32 peer,
				      __be16 id, __u8 way)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->addr = addr;
	key->peer = peer;
	key->id = id;
	key->way = way;
}

/* Port number `n` of all that a host has, round and round. */
static __always_inline __u16 mine_port(const struct portarp_mine *mine, __u32 n)
{
	struct portarp_range range = mine->range[0];

	if (mine->sets)
		return portset_port(&mine->set, n & (portset_ports(&mine->set) - 1));
	return range.low + n % (range.high - range.low + 1u);
}

/* Takes `id` on the network's side for the socket's: false if another has it. */
static __always_inline bool ident_take(const struct portarp_ident_key *key,
				       const struct portarp_ident *ident, __u64 now)
{
	const struct portarp_ident *other;

	if (!bpf_map_update_elem(&portarp_ident, key, ident, BPF_NOEXIST))
		return true;
	other = bpf_map_lookup_elem(&portarp_ident, key);
	if (!other || (now <= other->expires_ns && other->id != ident->id))
		return false;
	return !bpf_map_update_elem(&portarp_ident, key, ident, BPF_EXIST);
}

/*
 * What the network sees of a socket's identifier towards this peer; host order. -1: none is free.
 * The socket's own is kept where it is one of this host's ports.
 */
static __noinline int ident_out(__be32 addr, __be32 peer, __u32 id, const struct portarp_mine *mine,
				__u64 keep_ns)
{
	struct portarp_ident_key inner, outer;
	struct portarp_ident *known, ident = {};
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 start = bpf_get_prandom_u32();

	if (!mine)
		return -1;
	ident_key(&inner, addr, peer, bpf_htons(id), PORTARP_IDENT_OUT);
	ident.expires_ns = now + keep_ns;
	known = bpf_map_lookup_elem(&portarp_ident, &inner);
	if (known && now <= known->expires_ns) {
		known->expires_ns = ident.expires_ns;
		ident_key(&outer, addr, peer, known->id, PORTARP_IDENT_IN);
		ident.id = bpf_htons(id);
		bpf_map_update_elem(&portarp_ident, &outer, &ident, BPF_ANY);
		return bpf_ntohs(known->id);
	}
#pragma unroll
	for (int i = 0; i < IDENT_TRIES; i++) {
		__u16 candidate = i || !mine_has(mine, id) ? mine_port(mine, start + i) : id;

		ident_key(&outer, addr, peer, bpf_htons(candidate), PORTARP_IDENT_IN);
		ident.id = bpf_htons(id);
		if (!ident_take(&outer, &ident, now))
			continue;
		ident.id = bpf_htons(candidate);
		if (!bpf_map_update_elem(&portarp_ident, &inner, &ident, BPF_ANY))
			return candidate;
		bpf_map_delete_elem(&portarp_ident, &outer);
		return -1;
	}
	return -1;
}

/* The socket's identifier for what the network shows; host order. -1: not mapped. */
static __noinline int ident_in(__be32 addr, __be32 peer, __u32 id)
{
	const struct portarp_ident *known;
	struct portarp_ident_key key;

	ident_key(&key, addr, peer, bpf_htons(id), PORTARP_IDENT_IN);
	known = bpf_map_lookup_elem(&portarp_ident, &key);
	if (!known || bpf_ktime_get_coarse_ns() > known->expires_ns)
		return -1;
	return bpf_ntohs(known->id);
}

/*
 * Another sharer asks: its answer would find nobody by the identifier, which is the one of who is
 * asked. So the MAC is remembered.
 */
static __noinline void ident_asked(__be32 addr, __be32 peer, __be16 id, const __u8 *mac,
				   __u64 keep_ns)
{
	struct portarp_ident ident = {};
	struct portarp_ident_key key;

	ident_key(&key, addr, peer, id, PORTARP_IDENT_ASKED);
	ident.expires_ns = bpf_ktime_get_coarse_ns() + keep_ns;
	mac_copy(ident.mac, mac);
	bpf_map_update_elem(&portarp_ident, &key, &ident, BPF_ANY);
}

#endif
