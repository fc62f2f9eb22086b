/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments in any order (RFC 7597, 8.3.2): only the first one tells whose a datagram is. It leaves
 * that for the later ones, which before it are handed to the agent. A record's owner and whether it
 * is known are one word, so that a first fragment always learns whether others wait: it exchanges
 * the word, they set it only from what they have seen.
 */
#ifndef ISTHMUS_BPF_PORTARP_FRAG_H
#define ISTHMUS_BPF_PORTARP_FRAG_H

#include "portarp_icmp.bpf.h"
#include "portarp_owner.bpf.h"

#define FRAG_AGAIN 0xfffffffdu

/* The second half of struct portarp_frag. */
union frag_word {
	__u64 word;
	struct {
		__u32 owner;
		__u8 known;
		__u8 pad[3];
	} is;
};

_Static_assert(offsetof(struct portarp_frag, owner) == 8, "owner and known are one word");

static __always_inline void frag_key(struct portarp_frag_key *key, __be32 src, __be32 dst,
				     __be16 id, __u8 proto, __u8 sent)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->src = src;
	key->dst = dst;
	key->id = id;
	key->proto = proto;
	key->sent = sent;
}

/* From the first fragment on the owner is known. True: later ones wait at the agent. */
static __noinline bool frag_learn(const struct portarp_frag_key *key, __u32 owner, __u64 keep_ns)
{
	union frag_word word = { .is = { .owner = owner, .known = 1 } }, before;
	__u64 expires = bpf_ktime_get_coarse_ns() + keep_ns;
	struct portarp_frag fresh = { .expires_ns = expires, .owner = owner, .known = 1 };
	struct portarp_frag *frag = bpf_map_lookup_elem(&portarp_frag, key);

	if (!frag) {
		if (!bpf_map_update_elem(&portarp_frag, key, &fresh, BPF_NOEXIST))
			return false;
		frag = bpf_map_lookup_elem(&portarp_frag, key);
		if (!frag)
			return false;
	}
	frag->expires_ns = expires;
	before.word = __sync_lock_test_and_set((__u64 *)&frag->owner, word.word);
	return !before.is.known;
}

/* One look: FRAG_AGAIN if another CPU has changed the record in between. */
static __always_inline __u32 frag_look(const struct portarp_frag_key *key,
				       const struct portarp_frag *fresh, __u64 now, bool wait)
{
	union frag_word seen, unknown = {};
	struct portarp_frag *frag = bpf_map_lookup_elem(&portarp_frag, key);

	if (!frag) {
		if (!wait || !bpf_map_update_elem(&portarp_frag, key, fresh, BPF_NOEXIST))
			return OWNER_NOBODY;
		return FRAG_AGAIN;
	}
	seen.word = *(volatile __u64 *)&frag->owner;
	if (now <= frag->expires_ns)
		return seen.is.known ? seen.is.owner : OWNER_NOBODY;
	if (!wait)
		return OWNER_NOBODY;
	/* An older datagram's. */
	if (__sync_val_compare_and_swap((__u64 *)&frag->owner, seen.word, unknown.word) !=
	    seen.word)
		return FRAG_AGAIN;
	frag->expires_ns = fresh->expires_ns;
	return OWNER_NOBODY;
}

/* Whose a later fragment is; OWNER_NOBODY: its first one has not come. Only `wait` changes records.
 */
static __noinline __u32 frag_find(const struct portarp_frag_key *key, __u64 keep_ns, bool wait)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct portarp_frag fresh = { .expires_ns = now + keep_ns };
	__u32 owner;

	/* No loop: 6.1 takes none whose end is a call. */
	owner = frag_look(key, &fresh, now, wait);
	if (owner == FRAG_AGAIN)
		owner = frag_look(key, &fresh, now, wait);
	if (owner == FRAG_AGAIN)
		owner = frag_look(key, &fresh, now, wait);
	return owner == FRAG_AGAIN ? OWNER_NOBODY : owner;
}

/* Hands a later fragment to the agent. */
static __always_inline int frag_hold(void *ctx, enum hook hook, const struct hold *hold, bool own)
{
	struct event_room *room = event_room(hold, own);

	return room && event_frame(ctx, hook, room) ? PORTARP_FRAG_HELD : PORTARP_FRAG_UNKNOWN;
}

static __noinline int frag_hold_xdp(struct xdp_md *ctx, const struct hold *hold)
{
	return frag_hold(ctx, HOOK_XDP, hold, false);
}

static __noinline int frag_hold_tc(struct __sk_buff *ctx, const struct hold *hold, bool own)
{
	return frag_hold(ctx, HOOK_TC, hold, own);
}

/* What events about a packet's fragments say. */
static __always_inline void frag_event(struct hold *hold, void *ctx, enum hook hook,
				       const struct portarp_frag_key *key, __u8 kind, __u32 owner)
{
	__builtin_memset(hold, 0, sizeof(*hold));
	hold->frag = *key;
	hold->addr = key->dst;
	hold->owner = owner;
	hold->ifindex = hook_ifindex(ctx, hook);
	hold->proto = key->proto;
	hold->kind = kind;
}

/* A later fragment's owner, or OWNER_NOBODY and in *reason what has become of it. */
static __always_inline __u32 frag_later(void *ctx, enum hook hook, const struct ip4 *p,
					__u64 keep_ns, enum portarp_reason *reason)
{
	struct portarp_frag_key key;
	struct hold hold;
	__u32 owner;

	frag_key(&key, p->ip->saddr, p->ip->daddr, p->ip->id, p->proto, 0);
	owner = frag_find(&key, keep_ns, true);
	if (owner != OWNER_NOBODY)
		return owner;
	frag_event(&hold, ctx, hook, &key, PORTARP_EVENT_FRAG, 0);
	*reason = hook == HOOK_XDP ? frag_hold_xdp(ctx, &hold) : frag_hold_tc(ctx, &hold, p->own);
	return OWNER_NOBODY;
}

/* A first fragment's owner is kept for the later ones, and the agent told if some wait. */
static __always_inline void frag_first(void *ctx, enum hook hook, const struct ip4 *p,
				       __u64 keep_ns, __u32 owner)
{
	struct portarp_frag_key key;
	struct hold hold;

	frag_key(&key, p->ip->saddr, p->ip->daddr, p->ip->id, p->proto, 0);
	if (!frag_learn(&key, owner, keep_ns))
		return;
	frag_event(&hold, ctx, hook, &key, PORTARP_EVENT_FRAG_KNOWN, owner);
	event_tell(&hold);
}

/* A checked first fragment from a sharer: for errors that quote a later one. */
static __always_inline void frag_sent(const struct ip4 *p, __u64 keep_ns, __u32 owner)
{
	struct portarp_frag_key key;

	frag_key(&key, p->ip->saddr, p->ip->daddr, p->ip->id, p->proto, 1);
	frag_learn(&key, owner, keep_ns);
}

#endif
