/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses of many sessions (table I: U(*, *) in L2, U(*, WP) if port aware): sessions are told
 * apart by the client's address and port. But for ONETIME_AWARE the server's port is ignored: its
 * socket keeps that of the first packet.
 */
#ifndef ISTHMUS_BPF_ONETIME_MANY_H
#define ISTHMUS_BPF_ONETIME_MANY_H

#include "onetime_port.bpf.h"

/* May a packet reach the listener at all? */
static __always_inline enum onetime_reason many_may(const struct packet *p,
						    const struct onetime_addr *addr)
{
	if (p->flow.proto != addr->proto)
		return ONETIME_WRONG_PORT;
	if (p->fragment == FRAGMENT_LATER)
		return ONETIME_SHARED;
	if (addr->mode == ONETIME_AWARE && p->flow.local_port != listener_port(addr))
		return ONETIME_WRONG_PORT;
	if (is_first(p) && !listener_is_there(addr->listener))
		return ONETIME_NO_LISTENER;
	return ONETIME_SHARED;
}

/* Of a first packet. A table that is full forgets who was not seen for the longest time. */
static __always_inline void many_begin(const struct packet *p, const struct onetime_flow_key *key)
{
	struct onetime_flow flow = { .port = p->flow.local_port, .wire_port = p->flow.local_port };

	if (is_first(p))
		bpf_map_update_elem(&onetime_flow, key, &flow, BPF_NOEXIST);
}

static __always_inline int many_port_in(struct __sk_buff *skb, const struct packet *p)
{
	struct onetime_flow_key key = { .addr = p->flow.local,
					.peer = p->flow.remote,
					.peer_port = p->flow.remote_port,
					.proto = p->flow.proto };
	struct onetime_flow *flow = bpf_map_lookup_elem(&onetime_flow, &key);
	union ports came = ports_of(p), own = came;

	if (!flow) {
		many_begin(p, &key);
		return 0;
	}
	own.dest = flow->port;
	if (came.word != own.word && ports_write(skb, p, came, own))
		return -1;
	if (flow->wire_port != came.dest)
		flow->wire_port = came.dest;
	return 0;
}

static __always_inline enum onetime_reason many_in(struct __sk_buff *skb, const struct packet *p,
						   const struct onetime_addr *addr)
{
	enum onetime_reason reason = many_may(p, addr);

	if (reason != ONETIME_SHARED || p->fragment == FRAGMENT_LATER)
		return reason;
	if (p->flow.proto == IPPROTO_UDP)
		udp_peer_note(addr->listener, &p->flow);
	if (addr->mode == ONETIME_AWARE)
		return ONETIME_SHARED;
	return many_port_in(skb, p) ? ONETIME_SEND_FAILED : ONETIME_SHARED;
}

/* What the listener, or a connection of it, sends: from the port that its client has used last. */
static __always_inline int many_out(struct __sk_buff *skb, const struct packet *p,
				    const struct onetime_addr *addr)
{
	struct onetime_flow_key key = { .addr = p->flow.remote,
					.peer = p->flow.local,
					.peer_port = p->flow.local_port,
					.proto = p->flow.proto };
	union ports own = ports_of(p), wire = own;
	const struct onetime_flow *flow;

	if (p->fragment == FRAGMENT_LATER || addr->mode == ONETIME_AWARE)
		return 0;
	flow = bpf_map_lookup_elem(&onetime_flow, &key);
	if (!flow)
		return 0;
	/* An unconnected UDP socket answers from its own port, whatever it was asked at. */
	wire.source = flow->wire_port;
	if (wire.word == own.word || (flow->port != own.source && p->flow.proto == IPPROTO_TCP))
		return 0;
	return ports_write(skb, p, own, wire);
}

#endif
