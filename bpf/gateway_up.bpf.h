/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What came out of the tunnel, on its way to the responder (AVES 3.2, step 3). */
#ifndef ISTHMUS_BPF_GATEWAY_UP_H
#define ISTHMUS_BPF_GATEWAY_UP_H

#include "gateway_flow.bpf.h"
#include "gateway_family.bpf.h"
#include "gateway_tell.bpf.h"

static __always_inline const struct tunnel_link *link_find(const struct gateway_conf *conf,
							   __u32 ifindex)
{
#pragma unroll
	for (int i = 0; i < TUNNEL_LINKS; i++)
		if (conf->common.link[i].ifindex == ifindex)
			return &conf->common.link[i];
	return NULL;
}

static __always_inline void event_ask(const struct work *w)
{
	struct gateway_event *event = event_begin(GATEWAY_EVENT_ASK, w->now);

	if (!event)
		return;
	event->addr = w->host.addr;
	event->host = w->number;
	bpf_ringbuf_submit(event, 0);
}

/* The responder's record and this machine's address at its LAN. */
int host_find(struct work *w)
{
	const struct gateway_conf *conf = conf_find();
	const struct tunnel_link *link;
	struct gateway_host *host;
	__u32 number;

	if (!w || !conf)
		return GATEWAY_NO_HOST;
	number = w->number;
	host = bpf_map_lookup_elem(&gateway_host, &number);
	if (!host || !host->ifindex)
		return GATEWAY_NO_HOST;
	w->host = *host;
	if (!(*(__u32 *)host->dst_mac | *(__u16 *)(host->dst_mac + 4))) {
		if (!host->asked) {
			host->asked = 1;
			event_ask(w);
		}
		return GATEWAY_NO_HOP;
	}
	link = link_find(conf, host->ifindex);
	__builtin_memset(&w->inside, 0, sizeof(w->inside));
	if (!link)
		return GATEWAY_GOES_ON;
	if (!addr_is_v4(&host->addr))
		w->inside = link->inside6;
	else if (link->inside)
		address_map_v4(&w->inside, link->inside);
	return GATEWAY_GOES_ON;
}

/* The MSS of an initiator's family that leaves room for the tunnel's headers. */
static __always_inline __u32 tunnel_mss(__u32 index, bool v6)
{
	const struct tunnel_peer *peer = bpf_map_lookup_elem(&gateway_peer, &index);
	__u32 headers = v6 ? 60 : 40, room;

	if (!peer)
		return 0xffff;
	room = tunnel_mtu(peer);
	return room > headers ? room - headers : 0xffff;
}

/* The packet in the head becomes w->to, and is one hop older. */
static __always_inline enum gateway_reason head_translate(struct work *w)
{
	w->kept = 0;
	if (w->view.v6 == addr_is_v4(&w->to.dst))
		return family_translate(w) ? GATEWAY_UNTRANSLATABLE : GATEWAY_GOES_ON;
	if (w->view.kind == VIEW_ERROR) {
		if (error_rewrite(w))
			return GATEWAY_MALFORMED;
	} else {
		view_rewrite(w, &w->view, &w->to);
	}
	view_age(w, &w->view);
	return GATEWAY_GOES_ON;
}

static __always_inline enum gateway_reason up_error(struct work *w)
{
	if (view_parse(w, &w->quoted, w->view.l4 + ICMP_BYTES, 0) != 1)
		return GATEWAY_MALFORMED;
	if (w->quoted.kind == VIEW_ERROR || w->quoted.v6 != w->view.v6)
		return GATEWAY_NO_FLOW;
	if (flow_of_quoted_out() != FLOW_FOUND)
		return GATEWAY_NO_FLOW;
	return head_translate(w) == GATEWAY_GOES_ON ? GATEWAY_DELIVERED : GATEWAY_UNTRANSLATABLE;
}

/*
 * w->view and the head become what the responder is sent. SPOOFED, and nothing is changed: it
 * begins a flow, and its source was not admitted to that.
 */
int up_translate(struct work *w)
{
	int result;

	if (!w)
		return GATEWAY_MALFORMED;
	if (w->view.ttl <= 1)
		return GATEWAY_TTL;
	w->mtu = w->host.mtu;
	if (w->view.v6 == addr_is_v4(&w->host.addr) && w->host.mode != GATEWAY_AWARE)
		w->mtu -= family_grow(&w->view);
	/* Without DF too: it was not, or it was already, cut for the tunnel, whose MTU is less. */
	if (w->view.bytes > w->mtu)
		return GATEWAY_TOO_LONG;
	if (w->view.kind == VIEW_ERROR)
		return up_error(w);
	result = flow_of_initiator();
	if (result == FLOW_ASKS)
		return GATEWAY_SPOOFED;
	if (result == FLOW_NO_FAMILY)
		return GATEWAY_UNTRANSLATABLE;
	if (result <= FLOW_UNKNOWN)
		return GATEWAY_FLOW_FULL;
	if (w->view.tcp_flags & TCP_SYN)
		mss_clamp(w, tunnel_mss(w->peer, w->view.v6));
	return head_translate(w) == GATEWAY_GOES_ON ? GATEWAY_DELIVERED : GATEWAY_UNTRANSLATABLE;
}

#endif
