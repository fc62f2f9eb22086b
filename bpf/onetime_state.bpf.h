/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs of `onetime` share: its tables, steps of an address' state, events. */
#ifndef ISTHMUS_BPF_ONETIME_STATE_H
#define ISTHMUS_BPF_ONETIME_STATE_H

#include "lib/count.bpf.h"
#include "lib/ctx.bpf.h"
#include "lib/parse.bpf.h"
#include "onetime_maps.bpf.h"

/* As the kernel numbers families. */
#define ONETIME_AF_INET	 2
#define ONETIME_AF_INET6 10

/* A SEND goes back out of the device that it came from, unless told otherwise. */
struct egress {
	__u32 ifindex, flags;
};

static __always_inline const struct onetime_conf *conf_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&onetime_conf, &zero);
}

/* Counted beside what becomes of the packet, or where there is none. */
static __always_inline void note(enum onetime_reason reason)
{
	count_packet(&onetime_stats, reason, 1, 0);
}

/* Whose reasons are: the pool that an address is of, or NULL. */
static __always_inline const struct onetime_pool *pool_of(const struct isthmus_addr *addr)
{
	struct onetime_prefix key = { .bits = 128, .addr = *addr };

	return bpf_map_lookup_elem(&onetime_pool, &key);
}

/* One step of an address. False: somebody else was first. */
static __always_inline bool state_step(struct onetime_addr *addr, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&addr->state, from, to) == from;
}

/* Ends the writing that a step to TAKING began: what was written is seen before the state is. */
static __always_inline void state_taken(struct onetime_addr *addr, __u32 to)
{
	__sync_val_compare_and_swap(&addr->state, ONETIME_STATE_TAKING, to);
}

/*
 * The socket of a session has closed: only what is on its way still passes. The time is written
 * before the step, so no packet sees CLOSING without it; of a LIVE TCP session nobody reads it.
 */
static __always_inline void state_close(struct onetime_addr *addr, const struct onetime_conf *conf,
					__u64 now_ns)
{
	if (addr->state != ONETIME_STATE_LIVE)
		return;
	addr->until_ns = now_ns + (addr->proto == IPPROTO_TCP ? conf->linger_ns : 0);
	if (!state_step(addr, ONETIME_STATE_LIVE, ONETIME_STATE_CLOSING))
		return;
	addr->since_ns = now_ns;
	note(ONETIME_CLOSED);
}

static __always_inline bool prefix_has(const struct isthmus_addr *prefix, __u32 bits,
				       const struct isthmus_addr *addr)
{
	const __u32 *a = (const __u32 *)prefix->b, *b = (const __u32 *)addr->b;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 left = bits > i * 32u ? bits - i * 32 : 0;
		__u32 mask = left >= 32 ? ~0u : left ? ~0u << (32 - left) : 0;

		if ((a[i] ^ b[i]) & bpf_htonl(mask))
			return false;
	}
	return true;
}

/* ---- listeners */

static __always_inline bool listener_is_there(__u32 index)
{
	struct bpf_sock *sock = bpf_map_lookup_elem(&onetime_listen, &index);

	if (!sock)
		return false;
	bpf_sk_release(sock);
	return true;
}

/* Where clients must go if port aware; of UDP the port of its sessions. */
static __always_inline __be16 listener_port(const struct onetime_addr *addr)
{
	__u32 index = addr->listener;
	const struct onetime_listener *listener;

	if (addr->port)
		return addr->port;
	listener = bpf_map_lookup_elem(&onetime_listener, &index);
	return listener ? listener->port : 0;
}

/* Does a packet begin something? */
static __always_inline bool is_first(const struct packet *p)
{
	return p->flow.proto == IPPROTO_UDP ||
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* Replies of an unconnected UDP listener are to come from the address that was asked. */
static __always_inline void udp_peer_note(__u32 index, const struct flow *flow)
{
	struct onetime_udp_key key = { .peer = flow->remote, .peer_port = flow->remote_port };
	const struct onetime_listener *listener = bpf_map_lookup_elem(&onetime_listener, &index);
	const struct onetime_udp *known;

	if (!listener)
		return;
	key.cookie = listener->cookie;
	known = bpf_map_lookup_elem(&onetime_udp, &key);
	if (!known || !address_equal(&known->addr, &flow->local))
		bpf_map_update_elem(&onetime_udp, &key, &flow->local, BPF_ANY);
}

/* The agent reads at its own pace, so that a flood of claims does not wake it each time. */
static __always_inline void event_send(const struct onetime_event *event)
{
	if (bpf_ringbuf_output(&onetime_event, (void *)event, sizeof(*event), BPF_RB_NO_WAKEUP))
		note(ONETIME_EVENT_LOST);
}

#endif
