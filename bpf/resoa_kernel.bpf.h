/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's own structures, as far as they are read: only the names of fields count, and the
 * loader finds where they are (CO-RE). Nothing here is an ABI; all of it is there from 6.1 on.
 */
#ifndef ISTHMUS_BPF_RESOA_KERNEL_H
#define ISTHMUS_BPF_RESOA_KERNEL_H

#include <stdbool.h>
#include <linux/in6.h>
#include <linux/types.h>

#define KERNEL_SOCK_DEAD 0 /* enum sock_flags: nobody has it open */
#define KERNEL_SOCK_DONE 1 /* a FIN has been received */

struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

struct net {
	__u64 net_cookie;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

typedef struct {
	__s64 counter;
} __attribute__((preserve_access_index)) atomic64_t;

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num; /* local port, host order */
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	unsigned long skc_flags;
	atomic64_t skc_cookie; /* 0: nobody has asked for it */
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	__u32 sk_max_ack_backlog;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_received; /* a FIN counts as one */
	__u32 copied_seq;     /* what the program has read next */
	__u32 rcv_nxt, rcv_wup, rcv_wnd;
	__u32 snd_una, snd_nxt, max_window;
} __attribute__((preserve_access_index));

static __always_inline const struct sock *tcp_base(const struct tcp_sock *tcp)
{
	return &tcp->inet_conn.icsk_inet.sk;
}

static __always_inline bool sock_has_flag(const struct sock *sk, int flag)
{
	return sk->__sk_common.skc_flags >> flag & 1;
}

#endif
