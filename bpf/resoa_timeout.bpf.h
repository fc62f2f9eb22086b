/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection that ended at the server because nobody answered. No packet says that to one of A:
 * it ends by its own timers, which the daemon has run down. W is silent by then, so what is not
 * acknowledged is repeated once; where nothing is, a keepalive probe is sent. When the timer fires
 * again TCP_USER_TIMEOUT is long over, and the kernel ends the socket as it does on any host, with
 * ETIMEDOUT or what ICMP has said before.
 *
 * An iterator, for only a program may set options of a socket whose descriptor is another's.
 */
#ifndef ISTHMUS_BPF_RESOA_TIMEOUT_H
#define ISTHMUS_BPF_RESOA_TIMEOUT_H

#include <asm/socket.h>
#include <linux/in.h>
#include <linux/tcp.h>

#include "resoa_read.bpf.h"

struct bpf_iter__tcp {
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

static __always_inline void timeout_set(struct tcp_sock *tcp, int level, int name, int value)
{
	bpf_setsockopt(tcp, level, name, &value, sizeof(value));
}

/* Setting TCP_KEEPIDLE starts the timer again, for what is left of this second. */
static __always_inline void timeout_look(struct sock_common *common)
{
	struct tcp_sock *tcp = common ? bpf_skc_to_tcp_sock(common) : NULL;
	struct resoa_names names = {};
	__u32 *seen;

	if (!tcp)
		return;
	read_names(common, &names);
	seen = bpf_map_lookup_elem(&resoa_timeout, &names);
	if (!seen)
		return;
	timeout_set(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, 1);
	timeout_set(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
	timeout_set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	*seen += 1;
}

#endif
