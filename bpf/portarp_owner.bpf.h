/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose a port is, and what becomes of a packet whose owner is not known yet (maps/portarp.h tells
 * how waiting works without a lock).
 */
#ifndef ISTHMUS_BPF_PORTARP_OWNER_H
#define ISTHMUS_BPF_PORTARP_OWNER_H

#include "lib/count.bpf.h"
#include "portarp_ip.bpf.h"

#define OWNER_NOBODY 0xffffffffu

/* A record read as one word: MAC and flags belong together. */
union owner_word {
	__u64 word;
	struct portarp_owner owner;
};

static __always_inline union owner_word owner_read(const struct portarp_owner *owner)
{
	union owner_word read = { .word = *(const volatile __u64 *)owner };

	return read;
}

/* The second and third look-up but for the owner's record itself. */
static __always_inline __u32 owner_index(const struct portarp_addr *addr, __u16 port)
{
	__u32 place, *single;

	if (addr->block) {
		place = (addr->block - 1) << 16 | port;
		single = bpf_map_lookup_elem(&portarp_port, &place);
		if (single && *single)
			return *single - 1;
	}
	if (!portset_in_sets(addr->a, port))
		return OWNER_NOBODY;
	return addr->first + portset_psid(addr->a, addr->k, port);
}

/* ---- events */

struct hold {
	struct portarp_frag_key frag;
	__be32 addr;
	__u32 owner;   /* index */
	__u32 ifindex; /* where the frame came from */
	__be16 port;
	__u8 proto;
	__u8 kind;  /* enum portarp_event_kind */
	__u64 word; /* the owner, if it has become known meanwhile */
};

/* Copies the frame behind the event and hands it over: false if it is too long or the ring is full.
 */
static __always_inline bool event_frame(void *ctx, enum hook hook, struct event_room *room)
{
	__u32 length = hook_length(ctx, hook);
	long err;

	/* Two checks, each as it stands: 6.1 follows no other form. */
	if (length < ETH_HLEN)
		return false;
	hide_from_clang(length);
	if (length > PORTARP_EVENT_FRAME)
		return false;
	err = hook == HOOK_XDP ? bpf_xdp_load_bytes(ctx, 0, room->frame, length)
			       : bpf_skb_load_bytes(ctx, 0, room->frame, length);
	if (err)
		return false;
	room->event.length = length;
	if (!bpf_ringbuf_output(&portarp_event, room, sizeof(room->event) + length, 0))
		return true;
	count_packet(&portarp_stats, PORTARP_EVENT_LOST, 1, 0);
	return false;
}

static __always_inline struct event_room *event_room(const struct hold *hold, __u16 number)
{
	__u32 zero = 0;
	struct event_room *room = bpf_map_lookup_elem(&portarp_room, &zero);

	if (!room)
		return NULL;
	__builtin_memset(&room->event, 0, sizeof(room->event));
	room->event.time_ns = bpf_ktime_get_coarse_ns();
	room->event.frag = hold->frag;
	room->event.addr = hold->addr;
	room->event.owner = hold->owner;
	room->event.ifindex = hold->ifindex;
	room->event.port = hold->port;
	room->event.proto = hold->proto;
	room->event.kind = hold->kind;
	room->event.number = number;
	return room;
}

/* An event without a frame. Questions leave half of the ring to packets that wait. */
static __noinline void event_tell(const struct hold *hold)
{
	struct event_room *room = event_room(hold, 0);

	if (hold->kind == PORTARP_EVENT_ASK &&
	    bpf_ringbuf_query(&portarp_event, BPF_RB_AVAIL_DATA) >
		    bpf_ringbuf_query(&portarp_event, BPF_RB_RING_SIZE) / 2)
		count_packet(&portarp_stats, PORTARP_EVENT_LOST, 1, 0);
	else if (room && bpf_ringbuf_output(&portarp_event, &room->event, sizeof(room->event), 0))
		count_packet(&portarp_stats, PORTARP_EVENT_LOST, 1, 0);
}

/* ---- waiting */

static __always_inline __u64 owner_add(struct portarp_owner *owner, __u64 n)
{
	return __sync_fetch_and_add((__u64 *)owner, n);
}

/*
 * Hands the frame to the agent. PORTARP_HELD; PORTARP_DELIVERED: the owner has become known and the
 * frame can be sent; else the reason why it is dropped.
 */
static __always_inline int owner_hold(void *ctx, enum hook hook, struct hold *hold)
{
	__u32 index = hold->owner;
	struct portarp_owner *owner = bpf_map_lookup_elem(&portarp_owner, &index);
	union owner_word before;
	struct event_room *room;
	int reason;

	if (!owner)
		return PORTARP_NO_OWNER;
	if (hook_length(ctx, hook) > PORTARP_EVENT_FRAME)
		return PORTARP_HELD_LONG;
	before.word = owner_add(owner, PORTARP_OWNER_ONE);
	if (before.owner.wait & PORTARP_OWNER_KNOWN) {
		hold->word = before.word;
		reason = PORTARP_DELIVERED;
	} else if (before.owner.wait & PORTARP_OWNER_NONE) {
		reason = PORTARP_NO_OWNER;
	} else if ((before.owner.wait & PORTARP_OWNER_WAIT) >= PORTARP_HOLD) {
		reason = PORTARP_HELD_FULL;
	} else {
		room = event_room(hold, (before.owner.wait & PORTARP_OWNER_WAIT) + 1);
		if (room && event_frame(ctx, hook, room))
			return PORTARP_HELD;
		reason = PORTARP_HELD_FULL;
	}
	owner_add(owner, -PORTARP_OWNER_ONE);
	return reason;
}

/* Once for each hook: these are long, and called from several places. */
static __noinline int owner_hold_xdp(struct xdp_md *ctx, struct hold *hold)
{
	return owner_hold(ctx, HOOK_XDP, hold);
}

static __noinline int owner_hold_tc(struct __sk_buff *ctx, struct hold *hold)
{
	return owner_hold(ctx, HOOK_TC, hold);
}

/*
 * The MAC of an owner, for a frame that is to be sent to it: PORTARP_DELIVERED and *word, or what
 * becomes of the frame instead.
 */
static __always_inline enum portarp_reason owner_find(void *ctx, enum hook hook, __u32 index,
						      const struct ip4 *p, __be32 addr, __u16 port,
						      union owner_word *word)
{
	struct portarp_owner *owner;
	struct hold hold;
	int reason;

	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner)
		return PORTARP_NO_OWNER;
	*word = owner_read(owner);
	if (likely(word->owner.wait & PORTARP_OWNER_KNOWN))
		return PORTARP_DELIVERED;
	if (word->owner.wait & PORTARP_OWNER_NONE)
		return PORTARP_NO_OWNER;
	__builtin_memset(&hold, 0, sizeof(hold));
	hold.addr = addr;
	hold.owner = index;
	hold.ifindex = hook_ifindex(ctx, hook);
	hold.port = bpf_htons(port);
	hold.proto = p->proto;
	hold.kind = p->own ? PORTARP_EVENT_HELD_OWN : PORTARP_EVENT_HELD;
	reason = hook == HOOK_XDP ? owner_hold_xdp(ctx, &hold) : owner_hold_tc(ctx, &hold);
	if (reason == PORTARP_DELIVERED)
		word->word = hold.word;
	return reason;
}

#endif
