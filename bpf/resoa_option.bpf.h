/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Options of A's sockets that mean something at the server, whose sockets the peers see (4.2).
 * The kernel's own handling in A goes on as ever: it checks values, and answers getsockopt(). Of
 * one default the answer is the server's: TCP_CONGESTION of a socket that has not set it.
 */
#ifndef ISTHMUS_BPF_RESOA_OPTION_H
#define ISTHMUS_BPF_RESOA_OPTION_H

#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>

#include "resoa_tell.bpf.h"

#define OPTION_ALLOW  1
#define OPTION_BUFFER 4096 /* as much of a value as the kernel shows us */

/*
 * What is told. Left out, for it is of the local socket alone: SO_OOBINLINE, times and low water
 * marks of calls, filters, timestamps; SO_MARK and SO_BINDTODEVICE name what only A has.
 */
#define RESOA_OPTIONS(X)                                                                           \
	X(SOL_SOCKET, SO_KEEPALIVE)                                                                \
	X(SOL_SOCKET, SO_REUSEADDR)                                                                \
	X(SOL_SOCKET, SO_REUSEPORT)                                                                \
	X(SOL_SOCKET, SO_BROADCAST)                                                                \
	X(SOL_SOCKET, SO_LINGER)                                                                   \
	X(SOL_SOCKET, SO_SNDBUF)                                                                   \
	X(SOL_SOCKET, SO_RCVBUF)                                                                   \
	X(SOL_SOCKET, SO_PRIORITY)                                                                 \
	X(IPPROTO_TCP, TCP_NODELAY)                                                                \
	X(IPPROTO_TCP, TCP_MAXSEG)                                                                 \
	X(IPPROTO_TCP, TCP_CORK)                                                                   \
	X(IPPROTO_TCP, TCP_KEEPIDLE)                                                               \
	X(IPPROTO_TCP, TCP_KEEPINTVL)                                                              \
	X(IPPROTO_TCP, TCP_KEEPCNT)                                                                \
	X(IPPROTO_TCP, TCP_SYNCNT)                                                                 \
	X(IPPROTO_TCP, TCP_DEFER_ACCEPT)                                                           \
	X(IPPROTO_TCP, TCP_WINDOW_CLAMP)                                                           \
	X(IPPROTO_TCP, TCP_QUICKACK)                                                               \
	X(IPPROTO_TCP, TCP_CONGESTION)                                                             \
	X(IPPROTO_TCP, TCP_USER_TIMEOUT)                                                           \
	X(IPPROTO_TCP, TCP_NOTSENT_LOWAT)                                                          \
	X(IPPROTO_IP, IP_TOS)                                                                      \
	X(IPPROTO_IP, IP_TTL)                                                                      \
	X(IPPROTO_IP, IP_MTU_DISCOVER)                                                             \
	X(IPPROTO_IP, IP_RECVERR)                                                                  \
	X(IPPROTO_IP, IP_MULTICAST_IF)                                                             \
	X(IPPROTO_IP, IP_MULTICAST_TTL)                                                            \
	X(IPPROTO_IP, IP_MULTICAST_LOOP)                                                           \
	X(IPPROTO_IP, IP_ADD_MEMBERSHIP)                                                           \
	X(IPPROTO_IP, IP_DROP_MEMBERSHIP)                                                          \
	X(IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP)                                                    \
	X(IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP)                                                   \
	X(IPPROTO_IP, IP_BLOCK_SOURCE)                                                             \
	X(IPPROTO_IP, IP_UNBLOCK_SOURCE)                                                           \
	X(IPPROTO_IP, MCAST_JOIN_GROUP)                                                            \
	X(IPPROTO_IP, MCAST_LEAVE_GROUP)                                                           \
	X(IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP)                                                     \
	X(IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP)                                                    \
	X(IPPROTO_IP, MCAST_BLOCK_SOURCE)                                                          \
	X(IPPROTO_IP, MCAST_UNBLOCK_SOURCE)                                                        \
	X(IPPROTO_IPV6, IPV6_UNICAST_HOPS)                                                         \
	X(IPPROTO_IPV6, IPV6_MULTICAST_IF)                                                         \
	X(IPPROTO_IPV6, IPV6_MULTICAST_HOPS)                                                       \
	X(IPPROTO_IPV6, IPV6_MULTICAST_LOOP)                                                       \
	X(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP)                                                       \
	X(IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP)                                                      \
	X(IPPROTO_IPV6, IPV6_MTU_DISCOVER)                                                         \
	X(IPPROTO_IPV6, IPV6_RECVERR)                                                              \
	X(IPPROTO_IPV6, IPV6_V6ONLY)                                                               \
	X(IPPROTO_IPV6, IPV6_DONTFRAG)                                                             \
	X(IPPROTO_IPV6, IPV6_TCLASS)                                                               \
	X(IPPROTO_IPV6, MCAST_JOIN_GROUP)                                                          \
	X(IPPROTO_IPV6, MCAST_LEAVE_GROUP)                                                         \
	X(IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP)                                                   \
	X(IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP)                                                  \
	X(IPPROTO_IPV6, MCAST_BLOCK_SOURCE)                                                        \
	X(IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE)

/* Both as one number, for one switch. */
#define OPTION_KEY(level, name) ((__u64)(level) << 32 | (__u32)(name))

static __always_inline bool option_is_told(__s32 level, __s32 name)
{
	switch (OPTION_KEY(level, name)) {
#define OPTION_CASE(level, name) case OPTION_KEY(level, name):
		RESOA_OPTIONS(OPTION_CASE)
#undef OPTION_CASE
		return true;
	default:
		return false;
	}
}

static __always_inline void option_names(struct bpf_sock *sk, struct resoa_event *event)
{
	bool v4 = ctx_word(struct bpf_sock, sk, family) == RESOA_AF_INET;
	struct resoa_names *names = &event->names;

	event->family = v4 ? 4 : 6;
	names->remote_port = ctx_word(struct bpf_sock, sk, dst_port);
	if (!names->remote_port)
		return;
	names->local_port = bpf_htons(ctx_word(struct bpf_sock, sk, src_port));
	if (v4) {
		address_map_v4(&names->local, ctx_word(struct bpf_sock, sk, src_ip4));
		address_map_v4(&names->remote, ctx_word(struct bpf_sock, sk, dst_ip4));
		return;
	}
	ctx_address(struct bpf_sock, sk, src_ip6, &names->local);
	ctx_address(struct bpf_sock, sk, dst_ip6, &names->remote);
	event->family = address_family(&names->remote);
}

/* The value lies in a buffer of the kernel's. Of a longer one its beginning is told. */
static __always_inline bool option_value(struct bpf_sockopt *ctx, struct resoa_event *event)
{
	void *value = ctx->optval;
	__u32 length = ctx->optlen;

	if (length > RESOA_OPTION_BYTES)
		length = RESOA_OPTION_BYTES;
	event->length = length;
	return !bpf_probe_read_kernel(event->bytes, length, value);
}

static __always_inline void option_tell(struct bpf_sockopt *ctx, __u64 cookie)
{
	struct resoa_event *event = event_begin(RESOA_EVENT_OPTION);

	if (!event)
		return;
	if (!option_value(ctx, event)) {
		bpf_ringbuf_discard(event, 0);
		return;
	}
	option_names(ctx->sk, event);
	event->proto = ctx_word(struct bpf_sock, ctx->sk, protocol);
	event->cookie = cookie;
	event->level = ctx->level;
	event->name = ctx->optname;
	event->pid = current_pid();
	event_send(event);
	note(RESOA_OPTION);
}

/* 0: the kernel takes the caller's own value, of which we had only the beginning; and its own
 * answer stands. */
static __always_inline int option_done(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > OPTION_BUFFER)
		ctx->optlen = 0;
	return OPTION_ALLOW;
}

static __always_inline bool option_is_congestion(const struct bpf_sockopt *ctx)
{
	return ctx->level == IPPROTO_TCP && ctx->optname == TCP_CONGESTION;
}

/* A value that is set may be without its 0; one that is asked for may be cut. */
static __always_inline bool option_is_name(struct bpf_sockopt *ctx, const char *name, bool cut)
{
	const char *value = ctx->optval, *end = ctx->optval_end;
	__s32 length = ctx->optlen;

	for (int i = 0; i < RESOA_NAME_BYTES; i++) {
		if (i >= length || value + i + 1 > end)
			return cut || !name[i];
		if (value[i] != name[i])
			return false;
		if (!value[i])
			return true;
	}
	return true;
}

/* bpf_get_socket_cookie() is refused here: it was kept when the socket was made. */
static __always_inline struct resoa_socket *option_socket(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&resoa_socket, sk, NULL, 0) : NULL;
}

static __always_inline int option_set(struct bpf_sockopt *ctx)
{
	const struct resoa_conf *conf = conf_get();
	struct resoa_socket *socket = NULL;

	if (conf && option_is_told(ctx->level, ctx->optname))
		socket = option_socket(ctx);
	if (socket)
		option_tell(ctx, socket->cookie);
	/* The kernel refuses nobody its own default. */
	if (socket && option_is_congestion(ctx) && option_is_name(ctx, conf->congestion_a, false))
		socket->chosen = 1;
	return option_done(ctx);
}

static __always_inline void option_put_name(struct bpf_sockopt *ctx, const char *name)
{
	char *value = ctx->optval, *end = ctx->optval_end;
	__s32 length = ctx->optlen;

	for (int i = 0; i < RESOA_NAME_BYTES && i < length && value + i + 1 <= end; i++)
		value[i] = name[i];
}

/* After the kernel has answered. */
static __always_inline int option_get(struct bpf_sockopt *ctx)
{
	const struct resoa_conf *conf = conf_get();
	struct resoa_socket *socket = NULL;

	if (conf && conf->congestion[0] && option_is_congestion(ctx) && !ctx->retval)
		socket = option_socket(ctx);
	if (socket && !socket->chosen && option_is_name(ctx, conf->congestion_a, true))
		option_put_name(ctx, conf->congestion);
	return option_done(ctx);
}

#endif
