/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port ignore (paper II.B.2, III.C): the ports of a session's packets are those of its socket when
 * they come in, and those of the last packet that came when they go out.
 */
#ifndef ISTHMUS_BPF_ONETIME_PORT_H
#define ISTHMUS_BPF_ONETIME_PORT_H

#include "onetime_state.bpf.h"

/* A packet of the session has come: -1 if its ports could not be set. */
static __always_inline int port_in(struct __sk_buff *skb, const struct packet *p,
				   struct onetime_addr *addr)
{
	return 0;
}

/* The same of what goes out. */
static __always_inline int port_out(struct __sk_buff *skb, const struct packet *p,
				    const struct onetime_addr *addr)
{
	return 0;
}

/* The same for an address of many sessions, each of which is known by the client's port. */
static __always_inline enum onetime_reason
port_many_in(struct __sk_buff *skb, const struct packet *p, const struct onetime_addr *addr)
{
	return ONETIME_SHARED;
}

/* An ICMP message to an address of a pool: passes only as an error about a packet of its session,
 * whose ports in it become the socket's. */
static __always_inline enum onetime_reason port_icmp(struct __sk_buff *skb, const struct packet *p,
						     const struct onetime_addr *addr, __u64 now_ns)
{
	return ONETIME_ICMP_DROPPED;
}

#endif
