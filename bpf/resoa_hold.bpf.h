/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connect of A waits in its SYN (4.2): taken at the egress of e0, where the socket that sent it
 * is still known, and kept in an event until the server has connected. TCP believes that it was
 * sent and repeats it; a repetition is no new connect, for it has the same sequence number. When
 * the daemon says PASSES, it sends the kept frame again by e0 itself.
 */
#ifndef ISTHMUS_BPF_RESOA_HOLD_H
#define ISTHMUS_BPF_RESOA_HOLD_H

#include "resoa_tell.bpf.h"

#define HOLD_FLAGS (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)
#define HOLD_LEAST (sizeof(struct iphdr) + sizeof(struct tcphdr)) /* without Ethernet */

/* A SYN with data (TCP Fast Open) may be too long. Its repetition has none. */
static __always_inline bool hold_copy(struct __sk_buff *skb, struct resoa_event *event)
{
	__u32 length = skb->len;

	if (length > RESOA_FRAME_BYTES)
		return false;
	hide_from_clang(length); /* 6.1 wants to see both bounds of the same register */
	if (length < HOLD_LEAST)
		return false;
	event->length = length;
	return !bpf_skb_load_bytes(skb, 0, event->bytes, length);
}

static __always_inline void hold_describe(struct __sk_buff *skb, const struct packet *p,
					  const struct resoa_syn *syn, struct resoa_event *event)
{
	event->family = p->ethertype == bpf_htons(ETH_P_IP) ? 4 : 6;
	event->proto = IPPROTO_TCP;
	event->cookie = bpf_get_socket_cookie(skb);
	event->names = syn->names;
	event->isn = syn->isn;
}

/* The event first: with no room for it there is nobody to wait for. */
static __always_inline enum resoa_reason hold_new(struct __sk_buff *skb, const struct packet *p,
						  const struct resoa_syn *syn)
{
	static const struct resoa_held waits = { .state = RESOA_WAITS };
	struct resoa_event *event = event_begin(RESOA_EVENT_SYN);
	long err;

	if (!event)
		return RESOA_SYN_LOST;
	hold_describe(skb, p, syn, event);
	if (!hold_copy(skb, event)) {
		bpf_ringbuf_discard(event, 0);
		return RESOA_SYN_LOST;
	}
	err = bpf_map_update_elem(&resoa_held, syn, &waits, BPF_NOEXIST);
	if (err) {
		bpf_ringbuf_discard(event, 0);
		return bpf_map_lookup_elem(&resoa_held, syn) ? RESOA_SYN_AGAIN : RESOA_SYN_LOST;
	}
	event_send(event);
	return RESOA_SYN_HELD;
}

static __always_inline enum resoa_reason hold_known(struct resoa_held *held)
{
	switch (held->state) {
	case RESOA_PASSES:
		return RESOA_SYN_PASSED;
	case RESOA_IS_SILENT:
		return RESOA_SYN_SILENT;
	default:
		__sync_fetch_and_add(&held->again, 1);
		return RESOA_SYN_AGAIN;
	}
}

/* The packet leaves A, so its source is what the socket calls local. */
static __always_inline void hold_key(const struct packet *p, struct resoa_syn *syn)
{
	const struct tcphdr *tcp = p->l4;

	syn->names.local = p->flow.remote;
	syn->names.remote = p->flow.local;
	syn->names.local_port = p->flow.remote_port;
	syn->names.remote_port = p->flow.local_port;
	syn->isn = tcp->seq;
}

/* A SYN in fragments is no kernel's, and could not be kept. */
static __always_inline enum resoa_reason hold_out(struct __sk_buff *skb)
{
	struct resoa_syn syn = {};
	struct resoa_held *held;
	struct packet p = {};

	if (likely(headers_are_plain(hook_data(skb, HOOK_TC), hook_data_end(skb, HOOK_TC))))
		return RESOA_OTHER;
	if (!parse_packet(skb, HOOK_TC, &p))
		return p.flow.proto == IPPROTO_TCP ? RESOA_MALFORMED : RESOA_OTHER;
	if (p.flow.proto != IPPROTO_TCP || (p.tcp_flags & HOLD_FLAGS) != TCP_SYN)
		return RESOA_OTHER;
	if (p.bad || p.fragment != FRAGMENT_NONE)
		return RESOA_MALFORMED;
	hold_key(&p, &syn);
	held = bpf_map_lookup_elem(&resoa_held, &syn);
	return held ? hold_known(held) : hold_new(skb, &p, &syn);
}

#endif
