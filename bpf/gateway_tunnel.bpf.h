/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets out of the tunnel and into it, by lib/tunnel.bpf.h and this stem's maps. */
#ifndef ISTHMUS_BPF_GATEWAY_TUNNEL_H
#define ISTHMUS_BPF_GATEWAY_TUNNEL_H

#include "gateway_frame.bpf.h"
#include "gateway_source.bpf.h"
#include "gateway_tell.bpf.h"

/* A verified packet, the newest, came from where its peer was not before. */
static __always_inline void event_moved(const struct work *w, const struct tunnel_found *found)
{
	struct gateway_event *event;
	const struct tunnel_peer *peer;
	__u32 index = w->peer;

	peer = bpf_map_lookup_elem(&gateway_peer, &index);
	if (!peer || (address_equal(&peer->remote, &found->source) &&
		      peer->remote_port == found->source_port))
		return;
	if (!tell_allowed(&found->source, w->now))
		return;
	event = event_begin(GATEWAY_EVENT_MOVED, w->now);
	if (!event)
		return;
	event->addr = found->source;
	event->port = found->source_port;
	event->peer = index;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline enum gateway_reason tunnel_reason(enum tunnel_opened opened)
{
	switch (opened) {
	case TUNNEL_OPENED:
		return GATEWAY_GOES_ON;
	case TUNNEL_UNKNOWN:
		return GATEWAY_VNI_UNKNOWN;
	case TUNNEL_FORGED:
		return GATEWAY_FORGED;
	case TUNNEL_REPLAYED:
		return GATEWAY_REPLAYED;
	case TUNNEL_CONGESTED:
		return GATEWAY_MALFORMED;
	default:
		return GATEWAY_SEND_FAILED;
	}
}

/*
 * To the tunnel's port, and of no tunnel of ours: to this machine it is dropped for `reason`;
 * others' pass through a gateway that is their router too.
 */
static __always_inline enum gateway_reason
others_pass(void *ctx, enum hook hook, const struct tunnel_found *found, enum gateway_reason reason)
{
	struct bpf_fib_lookup fib = { .ifindex = hook_ifindex(ctx, hook) };

	if (addr_is_v4(&found->destination)) {
		fib.family = GATEWAY_AF_INET;
		fib.ipv4_src = *(__be32 *)&found->source.b[12];
		fib.ipv4_dst = *(__be32 *)&found->destination.b[12];
	} else {
		fib.family = GATEWAY_AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &found->source, 16);
		__builtin_memcpy(fib.ipv6_dst, &found->destination, 16);
	}
	return bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS ? GATEWAY_OTHER
										     : reason;
}

/* Verifies a tunnel packet and leaves its inner one in the frame. */
static __always_inline enum gateway_reason take_sealed(void *ctx, enum hook hook, struct work *w)
{
	const struct gateway_conf *conf = conf_find();
	struct tunnel_found room = {}, *found = &room;
	enum gateway_reason reason;
	enum tunnel_kind kind;

	if (!conf)
		return GATEWAY_OTHER;
	kind = tunnel_find(ctx, hook, conf->common.port, found);
	if (kind == TUNNEL_NONE)
		return GATEWAY_OTHER;
	if (kind == TUNNEL_AGENTS)
		return GATEWAY_CONTROL;
	if (kind != TUNNEL_DATA)
		return others_pass(ctx, hook, found, GATEWAY_MALFORMED);
	if (hook_is_gso(ctx, hook))
		return GATEWAY_UNFINISHED;
	reason = tunnel_reason(
		tunnel_open(ctx, hook, found, &gateway_key, &gateway_window, w->now, &w->peer));
	if (reason == GATEWAY_VNI_UNKNOWN)
		return others_pass(ctx, hook, found, reason);
	if (reason != GATEWAY_GOES_ON)
		return reason;
	w->number = found->host;
	if (found->newest)
		event_moved(w, found);
	return frame_trim(ctx, hook, found->inner) ? GATEWAY_SEND_FAILED : GATEWAY_GOES_ON;
}

/* Seals the IP packet of `bytes` that the frame holds. */
static __always_inline enum gateway_reason give_sealed(void *ctx, enum hook hook,
						       const struct tunnel_peer *peer, __u32 index,
						       __u32 host, __u32 bytes)
{
	if (tunnel_seal(ctx, hook, peer, index, &gateway_seq, host, bytes))
		return GATEWAY_SEND_FAILED;
	return GATEWAY_ANSWERED;
}

#endif
