/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A peer's SYN at the server waits until the client was asked (4.2): so nobody's connect succeeds
 * where the program listens no more, or where its backlog is full. The daemon keeps the SYN and
 * sends it again, by the way of its own FINs, with RESOA_FIN_MARK; nothing is kept here, and a
 * repetition is told as the first was.
 *
 * Handshakes are the kernel's as ever, and SYNs beyond a pace are let in unasked: so a flood is the
 * kernel's to bear, with SYN cookies, not the daemons'.
 */
#ifndef ISTHMUS_BPF_RESOA_KNOCK_H
#define ISTHMUS_BPF_RESOA_KNOCK_H

#include "resoa_fin.bpf.h"
#include "resoa_hold.bpf.h"

#define KNOCK_LO 1 /* the loopback device's ifindex, in every namespace */

/* Two CPUs may begin a unit of time at once: one more or less does not matter. */
static __always_inline bool knock_is_flood(void)
{
	__u64 time = bpf_ktime_get_ns() >> RESOA_PACE_BITS;
	struct resoa_pace *pace;
	__u32 zero = 0;

	pace = bpf_map_lookup_elem(&resoa_pace, &zero);
	if (!pace)
		return true;
	if (pace->time != time) {
		pace->time = time;
		pace->count = 0;
	}
	if (pace->count >= RESOA_PACE)
		return true;
	__sync_fetch_and_add(&pace->count, 1);
	return false;
}

/* What comes by lo has its route with it, and cannot be sent again; a tag that the device took is
 * not in the frame. Too long: TCP Fast Open. */
static __always_inline enum resoa_reason
knock_keep(struct __sk_buff *skb, const struct fin_segment *s, const struct tcp_sock *tcp)
{
	struct resoa_event *event;

	if (skb->ifindex == KNOCK_LO || skb->vlan_present || knock_is_flood())
		return RESOA_KNOCK_UNASKED;
	event = bpf_ringbuf_reserve(&resoa_knock, sizeof(*event), 0);
	if (!event)
		return RESOA_KNOCK_UNASKED;
	__builtin_memset(event, 0, sizeof(*event));
	if (!hold_copy(skb, event)) {
		bpf_ringbuf_discard(event, 0);
		return RESOA_KNOCK_UNASKED;
	}
	event->type = RESOA_EVENT_KNOCK;
	event->family = s->family;
	event->proto = IPPROTO_TCP;
	event->names = s->names;
	event->isn = bpf_htonl(s->seq);
	event->cookie = tcp_base(tcp)->__sk_common.skc_cookie.counter;
	event->number = skb->ifindex;
	event->level = s->link + s->l4;
	event->name = s->ip_bytes - s->l4;
	event_send(event);
	return RESOA_KNOCK_HELD;
}

/* A closed listener is none: what is left of a kept SYN is the kernel's to refuse. */
static __always_inline enum resoa_reason
knock_judge(struct __sk_buff *skb, const struct fin_segment *s, struct bpf_sock *sk)
{
	const struct resoa_fin *record = bpf_sk_storage_get(&resoa_fin, sk, NULL, 0);
	const struct tcp_sock *tcp;

	if (!record || !record->asks || sk->state != BPF_TCP_LISTEN || s->bad || s->fragment)
		return RESOA_OTHER;
	tcp = bpf_skc_to_tcp_sock(sk);
	return tcp ? knock_keep(skb, s, tcp) : RESOA_OTHER;
}

static __always_inline enum resoa_reason knock_in(struct __sk_buff *skb, struct fin_segment *s)
{
	enum resoa_reason reason;
	struct bpf_sock *sk;

	if (skb->mark == RESOA_FIN_MARK) {
		skb->mark = 0;
		return RESOA_KNOCK_LET_IN;
	}
	sk = bpf_sk_lookup_tcp(skb, &s->tuple, s->tuple_bytes, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return RESOA_OTHER;
	reason = knock_judge(skb, s, sk);
	bpf_sk_release(sk);
	return reason;
}

#endif
