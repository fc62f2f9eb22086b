/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The server's side (paper II.B, III.A): sk_lookup is delayed address setting, for the listening
 * socket gets packets for addresses that it never bound; sockops tells a session's beginning and
 * end.
 */
#ifndef ISTHMUS_BPF_ONETIME_SERVER_H
#define ISTHMUS_BPF_ONETIME_SERVER_H

#include "onetime_state.bpf.h"

/* ---- sk_lookup: runs where a listener or an unconnected UDP socket is sought */

static __always_inline void lookup_addresses(const struct bpf_sk_lookup *ctx,
					     struct isthmus_addr *local, struct isthmus_addr *peer)
{
	if (ctx->family == ONETIME_AF_INET) {
		address_map_v4(local, ctx_word(struct bpf_sk_lookup, ctx, local_ip4));
		address_map_v4(peer, ctx_word(struct bpf_sk_lookup, ctx, remote_ip4));
		return;
	}
	ctx_address(struct bpf_sk_lookup, ctx, local_ip6, local);
	ctx_address(struct bpf_sk_lookup, ctx, remote_ip6, peer);
}

static __always_inline int lookup_refuse(void)
{
	note(ONETIME_LOOKUP_REFUSED);
	return SK_DROP;
}

static __always_inline int lookup_give(struct bpf_sk_lookup *ctx, __u32 index)
{
	struct bpf_sock *sock = bpf_map_lookup_elem(&onetime_listen, &index);
	long err;

	if (!sock)
		return lookup_refuse();
	/* The address was set at this socket (paper III.A, DAS): the kernel would give it to any of
	 * those that share the port. */
	err = bpf_sk_assign(ctx, sock, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sock);
	if (err)
		return lookup_refuse();
	note(ONETIME_LOOKED_UP);
	return SK_PASS;
}

/* The guard at the device has let it pass and has set its ports: the socket's tuple, and no other.
 * Also where a packet came by a device without a guard. */
static __always_inline int server_lookup(struct bpf_sk_lookup *ctx)
{
	struct isthmus_addr local, peer;
	struct onetime_addr *addr;
	__u32 state;

	lookup_addresses(ctx, &local, &peer);
	addr = bpf_map_lookup_elem(&onetime_addr, &local);
	if (!addr)
		return pool_of(&local) ? lookup_refuse() : SK_PASS;
	state = onetime_state_at(addr, bpf_ktime_get_coarse_ns());
	if (state != ONETIME_STATE_CLAIMED && state != ONETIME_STATE_LIVE)
		return lookup_refuse();
	if (addr->proto != ctx->protocol)
		return lookup_refuse();
	if (addr->use == ONETIME_MANY)
		return lookup_give(ctx, addr->listener);
	if (!address_equal(&addr->peer, &peer) || addr->peer_port != (__be16)ctx->remote_port)
		return lookup_refuse();
	if (ctx->local_port != bpf_ntohs(addr->port) && (addr->use != ONETIME_EA || addr->port))
		return lookup_refuse();
	/* An unconnected UDP client: the kernel finds its socket. */
	if (addr->use == ONETIME_EA)
		return ctx->protocol == IPPROTO_UDP ? SK_PASS : lookup_refuse();
	return lookup_give(ctx, addr->listener);
}

/* ---- sockops */

static __always_inline bool sockops_addresses(const struct bpf_sock_ops *ops,
					      struct isthmus_addr *local, struct isthmus_addr *peer)
{
	if (ops->family == ONETIME_AF_INET) {
		address_map_v4(local, ctx_word(struct bpf_sock_ops, ops, local_ip4));
		address_map_v4(peer, ctx_word(struct bpf_sock_ops, ops, remote_ip4));
		return true;
	}
	if (ops->family != ONETIME_AF_INET6)
		return false;
	ctx_address(struct bpf_sock_ops, ops, local_ip6, local);
	ctx_address(struct bpf_sock_ops, ops, remote_ip6, peer);
	return true;
}

static __always_inline bool sockops_is_of(const struct bpf_sock_ops *ops,
					  const struct onetime_addr *addr,
					  const struct isthmus_addr *peer)
{
	/* The kernel keeps the remote port in the upper half, in wire order. */
	return address_equal(&addr->peer, peer) &&
	       addr->peer_port == bpf_htons(bpf_ntohl(ops->remote_port)) &&
	       (!addr->port || bpf_ntohs(addr->port) == ops->local_port);
}

static __always_inline void sockops_live(struct bpf_sock_ops *ops, struct onetime_addr *addr,
					 __u64 now_ns)
{
	/* Its end is to be told, too. */
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (addr->use == ONETIME_EA && !addr->port)
		addr->port = addr->wire_port = bpf_htons(ops->local_port);
	/* A claim that is over stays so: the last ACK may have come by a device without a guard. */
	if (onetime_state_at(addr, now_ns) != ONETIME_STATE_CLAIMED)
		return;
	if (!state_step(addr, ONETIME_STATE_CLAIMED, ONETIME_STATE_LIVE))
		return;
	addr->since_ns = now_ns;
	note(ONETIME_LIVE);
}

static __always_inline void server_sockops(struct bpf_sock_ops *ops)
{
	const struct onetime_conf *conf = conf_get();
	struct isthmus_addr local, peer;
	struct onetime_addr *addr;
	__u64 now_ns;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    ops->op != BPF_SOCK_OPS_TCP_CONNECT_CB && ops->op != BPF_SOCK_OPS_STATE_CB)
		return;
	if (!conf || bpf_get_netns_cookie(ops) != conf->netns_cookie ||
	    !sockops_addresses(ops, &local, &peer))
		return;
	addr = bpf_map_lookup_elem(&onetime_addr, &local);
	if (!addr || addr->use == ONETIME_MANY || !sockops_is_of(ops, addr, &peer))
		return;
	now_ns = bpf_ktime_get_coarse_ns();
	if (ops->op != BPF_SOCK_OPS_STATE_CB)
		sockops_live(ops, addr, now_ns);
	else if (ops->args[1] == BPF_TCP_CLOSE)
		state_close(addr, conf, now_ns);
}

#endif
