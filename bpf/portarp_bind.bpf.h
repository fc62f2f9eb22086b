/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a program on a sharer may bind (paper II.A): of a shared address, and of all addresses at
 * once, only the host's ports. Automatic ports are restricted by sysctl, which the agent sets.
 */
#ifndef ISTHMUS_BPF_PORTARP_BIND_H
#define ISTHMUS_BPF_PORTARP_BIND_H

#include "portarp_arp.bpf.h"

#define BIND_ALLOWED 1
#define BIND_DENIED  0
#define EACCES_BIND  13

static __always_inline bool bind_proto(__u32 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_LITE_PORTS;
}

/* 1: a live shared address, and the port is ours there; 0: it is not ours; -1: no shared address.
 */
static __noinline int bind_address(__be32 address, __u32 port)
{
	const struct portarp_mine *mine = bpf_map_lookup_elem(&portarp_mine, &address);

	return mine ? mine_has(mine, port) : -1;
}

static __always_inline bool bind_any(const struct portarp_conf *conf, __u16 port)
{
	bool shares = false;
	int has;

#pragma unroll
	for (int i = 0; i < PORTARP_OWN; i++) {
		if (!conf->own[i])
			break;
		has = bind_address(conf->own[i], port);
		if (has > 0)
			return true;
		shares |= !has;
	}
	return !shares;
}

static __always_inline int bind_check(struct bpf_sock_addr *ctx, __be32 address)
{
	const struct portarp_conf *conf;
	__u16 port = bpf_ntohs(ctx->user_port);
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&portarp_conf, &zero);
	if (!conf || !port || !bind_proto(ctx->protocol) ||
	    bpf_get_netns_cookie(ctx) != conf->netns_cookie)
		return BIND_ALLOWED;
	if (address ? bind_address(address, port) != 0 : bind_any(conf, port))
		return BIND_ALLOWED;
	count_packet(&portarp_stats, PORTARP_BIND_DENIED, 1, 0);
	bpf_set_retval(-EACCES_BIND);
	return BIND_DENIED;
}

/* ::ffff:a.b.c.d alone: what :: receives of IPv4 is refused at the device. */
static __always_inline int bind_mapped(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip6[0] || ctx->user_ip6[1] || ctx->user_ip6[2] != bpf_htonl(0xffff))
		return BIND_ALLOWED;
	return bind_check(ctx, ctx->user_ip6[3]);
}

#endif
