/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's side (paper II.A): each connect gets an EA, which ends with its socket. */
#ifndef ISTHMUS_BPF_ONETIME_CLIENT_H
#define ISTHMUS_BPF_ONETIME_CLIENT_H

#include "onetime_state.bpf.h"

#define CLIENT_ALLOW  1
#define CLIENT_REFUSE 0

/* family: AF_INET or AF_INET6, a constant. by_user: only of users in onetime_user. */
static __always_inline int client_connect(struct bpf_sock_addr *ctx, int family, bool by_user)
{
	return CLIENT_ALLOW;
}

static __always_inline int client_sendmsg(struct bpf_sock_addr *ctx, int family, bool by_user)
{
	return CLIENT_ALLOW;
}

/* Of listeners alone. */
static __always_inline int client_reply(struct bpf_sock_addr *ctx, int family)
{
	return CLIENT_ALLOW;
}

static __always_inline int client_release(struct bpf_sock *sock)
{
	return CLIENT_ALLOW;
}

#endif
