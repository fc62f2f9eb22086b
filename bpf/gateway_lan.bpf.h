/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a responder sends, on its way into the tunnel (AVES 3.2, steps 4 and 5). */
#ifndef ISTHMUS_BPF_TUNNEL_LAN_H
#define ISTHMUS_BPF_TUNNEL_LAN_H

#include "gateway_up.bpf.h"

static __always_inline enum gateway_reason lan_error(struct work *w)
{
	if (view_parse(w, &w->quoted, w->view.l4 + ICMP_BYTES, 0) != 1)
		return GATEWAY_OTHER;
	if (w->quoted.kind == VIEW_ERROR || w->quoted.v6 != w->view.v6)
		return GATEWAY_OTHER;
	return flow_of_quoted_in() == FLOW_FOUND ? GATEWAY_GOES_ON : GATEWAY_OTHER;
}

/* Is it of a flow? w->flow and w->to say which and what becomes of it. */
int lan_find(struct work *w)
{
	if (!w)
		return GATEWAY_OTHER;
	if (w->view.kind == VIEW_ERROR)
		return lan_error(w);
	return flow_of_responder() == FLOW_FOUND ? GATEWAY_GOES_ON : GATEWAY_OTHER;
}

/* TTL and length, before anything is changed. */
static __always_inline enum gateway_reason lan_fits(struct work *w, const struct tunnel_peer *peer)
{
	const struct gateway_conf *conf = conf_find();
	const struct tunnel_link *link;

	if (w->view.ttl <= 1)
		return GATEWAY_TTL;
	w->mtu = tunnel_mtu(peer);
	if (peer->flags & TUNNEL_STRAIGHT) {
		link = conf ? link_find(conf, peer->ifindex) : NULL;
		w->mtu = link ? link->mtu : peer->mtu;
	}
	if (w->view.v6 == addr_is_v4(&w->to.dst))
		w->mtu -= family_grow(&w->view);
	return w->view.bytes > w->mtu ? GATEWAY_TOO_LONG : GATEWAY_GOES_ON;
}

/* w->view and the head become what the initiator is sent. */
int lan_translate(struct work *w)
{
	if (!w)
		return GATEWAY_MALFORMED;
	if (w->view.kind != VIEW_ERROR && w->view.tcp_flags & TCP_SYN)
		mss_clamp(w, tunnel_mss(w->flow.peer, !addr_is_v4(&w->flow.initiator)));
	return head_translate(w);
}

#endif
