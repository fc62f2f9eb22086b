// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * gateway - the other end of a waypoint's tunnel (AVES 3.2, 5.3; maps/gateway.h).
 *
 * A packet's way: out of the tunnel (gateway_tunnel.bpf.h) or from a LAN; its head is copied and
 * taken apart (gateway_head.bpf.h), its flow made or found (gateway_flow.bpf.h), the head changed
 * (gateway_rewrite.bpf.h, gateway_family.bpf.h) and written back; then to the responder or into the
 * tunnel. The entries at the end share all of it between XDP and tc.
 */
#include "gateway_lan.bpf.h"
#include "gateway_cut.bpf.h"
#include "gateway_finish.bpf.h"
#include "gateway_tunnel.bpf.h"

struct egress {
	__u32 ifindex;
	bool told; /* the frame is an error about the packet now, and goes out */
};

static __always_inline enum verdict gateway_verdict(enum gateway_reason reason)
{
	switch (reason) {
#define GATEWAY_VERDICT(name, verdict, text)                                                       \
	case GATEWAY_##name:                                                                       \
		return VERDICT_##verdict;
		GATEWAY_REASONS(GATEWAY_VERDICT)
#undef GATEWAY_VERDICT
	default:
		return VERDICT_DROP;
	}
}

/* Counted with the length that it came with. */
static __always_inline int finish(enum hook hook, enum gateway_reason reason, __u32 packets,
				  __u32 length, const struct egress *egress)
{
	enum verdict verdict = gateway_verdict(reason);

	count_packet(&gateway_stats, reason, packets, length);
	if (verdict != VERDICT_SEND && !egress->told)
		return verdict_code(hook, verdict);
	return bpf_redirect(egress->ifindex, 0);
}

static __always_inline const struct tunnel_link *link_of(void *ctx, enum hook hook, __u8 side)
{
	const struct gateway_conf *conf = conf_find();
	const struct tunnel_link *link;

	link = conf ? link_find(conf, hook_ifindex(ctx, hook)) : NULL;
	return link && link->side == side && frame_is_ours(ctx, hook, link) ? link : NULL;
}

/* ---- out of the tunnel */

/* The initiator hears of it by the tunnel, from the waypoint's address. */
static __always_inline void up_tell(void *ctx, enum hook hook, struct work *w, enum tell what,
				    struct egress *egress)
{
	const struct tunnel_peer *peer;
	__u32 index = w->peer, bytes;

	peer = bpf_map_lookup_elem(&gateway_peer, &index);
	if (!peer || !(peer->flags & TUNNEL_UP))
		return;
	w->to.src = w->view.dst;
	w->to.dst = w->view.src;
	bytes = tell_make(ctx, hook, w, what, w->mtu);
	if (!bytes || give_sealed(ctx, hook, peer, index, w->number, bytes) != GATEWAY_ANSWERED)
		return;
	egress->ifindex = peer->ifindex;
	egress->told = true;
}

static __always_inline enum gateway_reason up_deliver(void *ctx, enum hook hook, struct work *w,
						      struct egress *egress)
{
	enum gateway_reason reason;

	reason = host_find(w);
	if (reason != GATEWAY_GOES_ON)
		return reason;
	if (head_load(ctx, hook, w) || view_parse(w, &w->view, 0, 1) != 1)
		return GATEWAY_MALFORMED;
	w->admitted = 0;
	reason = up_translate(w);
	if (reason == GATEWAY_SPOOFED && !source_is_inside(ctx, w)) {
		w->admitted = 1;
		reason = up_translate(w);
	}
	if (reason == GATEWAY_TTL)
		up_tell(ctx, hook, w, TELL_EXCEEDED, egress);
	else if (reason == GATEWAY_TOO_LONG)
		up_tell(ctx, hook, w, TELL_TOO_LONG, egress);
	if (reason != GATEWAY_DELIVERED)
		return reason;
	if (frame_store(ctx, hook, w))
		return GATEWAY_SEND_FAILED;
	if (!frame_address(ctx, hook, w->host.dst_mac, w->host.src_mac, w->view.v6))
		return GATEWAY_SEND_FAILED;
	egress->ifindex = w->host.ifindex;
	return GATEWAY_DELIVERED;
}

static __always_inline int up_run(void *ctx, enum hook hook)
{
	__u32 packets = hook_packets(ctx, hook), length = hook_length(ctx, hook);
	enum gateway_reason reason = GATEWAY_OTHER;
	struct work *w = work_room();
	struct egress egress = {};

	if (w && link_of(ctx, hook, TUNNEL_UPLINK)) {
		w->now = bpf_ktime_get_coarse_ns();
		reason = take_sealed(ctx, hook, w);
		if (reason == GATEWAY_GOES_ON)
			reason = up_deliver(ctx, hook, w, &egress);
	}
	return finish(hook, reason, packets, length, &egress);
}

/* ---- from a LAN */

/* The responder hears of it from this machine, or, if it has no address there, from the
 * initiator's.
 */
static __always_inline void lan_tell(void *ctx, enum hook hook, struct work *w, enum tell what,
				     const struct tunnel_link *link, struct egress *egress)
{
	w->to.src = w->view.dst;
	if (w->view.v6 && !addr_is_none(&link->inside6))
		w->to.src = link->inside6;
	else if (!w->view.v6 && link->inside)
		address_map_v4(&w->to.src, link->inside);
	w->to.dst = w->view.src;
	if (!tell_make(ctx, hook, w, what, w->mtu) || !frame_turn(ctx, hook))
		return;
	egress->ifindex = link->ifindex;
	egress->told = true;
}

/* May w->view go on, whole or, if GATEWAY_CUT, as a fragment of it? */
static __always_inline enum gateway_reason lan_admit(void *ctx, enum hook hook, struct work *w,
						     const struct tunnel_peer *peer,
						     const struct tunnel_link *link,
						     struct egress *egress)
{
	enum gateway_reason reason;

	if (hook_is_gso(ctx, hook) || finish_is_missing(ctx, hook, w))
		return GATEWAY_UNFINISHED;
	reason = lan_fits(w, peer);
	if (likely(reason == GATEWAY_GOES_ON))
		return reason;
	if (reason == GATEWAY_TTL)
		lan_tell(ctx, hook, w, TELL_EXCEEDED, link, egress);
	if (reason != GATEWAY_TOO_LONG)
		return reason;
	if (w->view.fixed) {
		lan_tell(ctx, hook, w, TELL_TOO_LONG, link, egress);
		return reason;
	}
	if (hook == HOOK_XDP)
		return GATEWAY_TO_TC;
	/* In IPv6 a fragment has a header more. */
	if (!w->view.fragment && !addr_is_v4(&w->to.dst))
		w->mtu -= sizeof(struct ip6_fragment);
	return cut(ctx, w, w->mtu) ? reason : GATEWAY_CUT;
}

static __always_inline enum gateway_reason lan_send(void *ctx, enum hook hook, struct work *w,
						    const struct tunnel_link *link,
						    struct egress *egress)
{
	enum gateway_reason admitted, reason;
	const struct tunnel_peer *peer;
	__u32 index = w->flow.peer;

	peer = bpf_map_lookup_elem(&gateway_peer, &index);
	if (!peer || !(peer->flags & TUNNEL_UP))
		return GATEWAY_NO_PEER;
	admitted = lan_admit(ctx, hook, w, peer, link, egress);
	if (admitted != GATEWAY_GOES_ON && admitted != GATEWAY_CUT)
		return admitted;
	reason = lan_translate(w);
	if (reason != GATEWAY_GOES_ON)
		return reason;
	if (frame_store(ctx, hook, w) ||
	    !frame_address(ctx, hook, peer->dst_mac, peer->src_mac, w->view.v6))
		return GATEWAY_SEND_FAILED;
	egress->ifindex = peer->ifindex;
	reason = GATEWAY_STRAIGHT;
	if (!(peer->flags & TUNNEL_STRAIGHT))
		reason = give_sealed(ctx, hook, peer, index, w->flow.host, w->view.bytes);
	if (admitted == GATEWAY_CUT && reason != GATEWAY_SEND_FAILED)
		return admitted;
	return reason;
}

static __always_inline int lan_run(void *ctx, enum hook hook)
{
	__u32 packets = hook_packets(ctx, hook), length = hook_length(ctx, hook);
	enum gateway_reason reason = GATEWAY_OTHER;
	const struct tunnel_link *link;
	struct work *w = work_room();
	struct egress egress = {};

	link = link_of(ctx, hook, TUNNEL_LAN);
	if (w && link && !head_load(ctx, hook, w) && view_parse(w, &w->view, 0, 1) == 1) {
		w->now = bpf_ktime_get_coarse_ns();
		reason = lan_find(w);
		if (reason == GATEWAY_GOES_ON)
			reason = lan_send(ctx, hook, w, link, &egress);
	}
	return finish(hook, reason, packets, length, &egress);
}

SEC("xdp")
int gateway_up_xdp(struct xdp_md *ctx)
{
	return up_run(ctx, HOOK_XDP);
}

SEC("tc")
int gateway_up_tc(struct __sk_buff *skb)
{
	return up_run(skb, HOOK_TC);
}

SEC("xdp")
int gateway_lan_xdp(struct xdp_md *ctx)
{
	return lan_run(ctx, HOOK_XDP);
}

SEC("tc")
int gateway_lan_tc(struct __sk_buff *skb)
{
	return lan_run(skb, HOOK_TC);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
