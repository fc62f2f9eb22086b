/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bind() and listen() of A (4.2). What may be bound is in resoa_port, which the daemon fills as the
 * server grants; nothing else could bind, by whatever system call or io_uring. What was bound, and
 * what listens, is told by events.
 *
 * A socket of :: that is not IPV6_V6ONLY takes the port of IPv4 too: its key is that of IPv6, and
 * the daemon writes both. An address that is IPv4 mapped is IPv4.
 */
#ifndef ISTHMUS_BPF_RESOA_BIND_H
#define ISTHMUS_BPF_RESOA_BIND_H

#include "resoa_kernel.bpf.h"
#include "resoa_tell.bpf.h"

#define BIND_ALLOW	1
#define BIND_REFUSE	0
#define BIND_EADDRINUSE 98
#define BIND_STREAM	1 /* SOCK_STREAM, SOCK_DGRAM */
#define BIND_DGRAM	2

/* Raw sockets, too, may have these protocols. */
static __always_inline bool bind_is_ours(__u32 type, __u32 protocol)
{
	return (type == BIND_STREAM && protocol == IPPROTO_TCP) ||
	       (type == BIND_DGRAM && protocol == IPPROTO_UDP);
}

/* ---- sockets that are made */

static __always_inline void bind_create(struct bpf_sock *sock)
{
	struct resoa_socket new = {};

	if (!is_client(bpf_get_netns_cookie(sock)) ||
	    !bind_is_ours(ctx_word(struct bpf_sock, sock, type),
			  ctx_word(struct bpf_sock, sock, protocol)))
		return;
	new.cookie = bpf_get_socket_cookie(sock);
	bpf_sk_storage_get(&resoa_socket, sock, &new, BPF_SK_STORAGE_GET_F_CREATE);
}

/* ---- bind() */

static __always_inline __u8 bind_family(struct bpf_sock_addr *ctx, int family)
{
	struct isthmus_addr address;

	if (family == RESOA_AF_INET)
		return 4;
	ctx_address(struct bpf_sock_addr, ctx, user_ip6, &address);
	return address_family(&address);
}

static __always_inline bool bind_granted(const struct resoa_port_key *key)
{
	const struct resoa_conf *conf = conf_get();
	const __u32 *count = bpf_map_lookup_elem(&resoa_port, key);

	return count ? *count : conf && conf->open_binds;
}

static __always_inline int bind_decide(struct bpf_sock_addr *ctx, int family)
{
	struct resoa_port_key key = {};

	/* One of another program's may have refused it before. */
	if (!is_client(bpf_get_netns_cookie(ctx)) ||
	    !bind_is_ours(ctx_word(struct bpf_sock_addr, ctx, type),
			  ctx_word(struct bpf_sock_addr, ctx, protocol)) ||
	    bpf_get_retval() < 0)
		return BIND_ALLOW;
	key.port = ctx_word(struct bpf_sock_addr, ctx, user_port);
	if (!key.port) {
		note(RESOA_BIND_AUTO);
		return BIND_ALLOW;
	}
	key.proto = ctx_word(struct bpf_sock_addr, ctx, protocol);
	key.family = bind_family(ctx, family);
	if (bind_granted(&key)) {
		note(RESOA_BIND_GRANTED);
		return BIND_ALLOW;
	}
	note(RESOA_BIND_REFUSED);
	bpf_set_retval(-BIND_EADDRINUSE);
	return BIND_REFUSE;
}

static __always_inline void bind_tell(struct bpf_sock *sock, int family)
{
	struct resoa_event *event;

	if (!is_client(bpf_get_netns_cookie(sock)) ||
	    !bind_is_ours(ctx_word(struct bpf_sock, sock, type),
			  ctx_word(struct bpf_sock, sock, protocol)))
		return;
	note(RESOA_BOUND);
	event = event_begin(RESOA_EVENT_BOUND);
	if (!event)
		return;
	if (family == RESOA_AF_INET)
		address_map_v4(&event->names.local, ctx_word(struct bpf_sock, sock, src_ip4));
	else
		ctx_address(struct bpf_sock, sock, src_ip6, &event->names.local);
	event->family = address_family(&event->names.local);
	event->proto = ctx_word(struct bpf_sock, sock, protocol);
	event->names.local_port = bpf_htons(ctx_word(struct bpf_sock, sock, src_port));
	event->cookie = bpf_get_socket_cookie(sock);
	event->pid = current_pid();
	event_send(event);
}

/* ---- listen() */

static __always_inline __u32 listen_backlog(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tcp ? tcp_base(tcp)->sk_max_ack_backlog : 0;
}

/* Of a socket that listens no more. Those that it has accepted are called for, too: the flags are
 * one for all programs of a socket, so they are left as they are. */
static __always_inline void unlisten_tell(struct bpf_sock_ops *ops)
{
	struct resoa_event *event;

	if (ops->args[0] != BPF_TCP_LISTEN)
		return;
	event = event_begin(RESOA_EVENT_UNLISTEN);
	if (!event)
		return;
	event->proto = IPPROTO_TCP;
	event->cookie = bpf_get_socket_cookie(ops);
	event->pid = current_pid();
	event_send(event);
}

/* In the call, before it returns: no SYN has come yet. A second listen() with another number is not
 * told. */
static __always_inline void listen_tell(struct bpf_sock_ops *ops)
{
	struct resoa_event *event;

	if (ops->op != BPF_SOCK_OPS_STATE_CB && ops->op != BPF_SOCK_OPS_TCP_LISTEN_CB)
		return;
	if (!is_client(bpf_get_netns_cookie(ops)))
		return;
	if (ops->op == BPF_SOCK_OPS_STATE_CB) {
		unlisten_tell(ops);
		return;
	}
	note(RESOA_LISTEN);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	event = event_begin(RESOA_EVENT_LISTEN);
	if (!event)
		return;
	if (ctx_word(struct bpf_sock_ops, ops, family) == RESOA_AF_INET)
		address_map_v4(&event->names.local, ctx_word(struct bpf_sock_ops, ops, local_ip4));
	else
		ctx_address(struct bpf_sock_ops, ops, local_ip6, &event->names.local);
	event->family = address_family(&event->names.local);
	event->proto = IPPROTO_TCP;
	event->names.local_port = bpf_htons(ctx_word(struct bpf_sock_ops, ops, local_port));
	event->number = listen_backlog(ops);
	event->cookie = bpf_get_socket_cookie(ops);
	event->pid = current_pid();
	event_send(event);
}

#endif
