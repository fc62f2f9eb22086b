// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * onetime - an address for every session (Unified Multiplex paper).
 *
 * A packet's way at a server: in (onetime_guard.bpf.h) lets it through if its address is its
 * session's, or takes the address for it; lookup (onetime_server.bpf.h) gives it to the listener;
 * sockops notes when the session stands and when it has ended; out sets the ports. At a client:
 * connect and sendmsg (onetime_client.bpf.h) bind an address of its own to each session, release
 * ends it. Neighbours are answered in onetime_nd.bpf.h.
 */
#include "onetime_client.bpf.h"
#include "onetime_guard.bpf.h"
#include "onetime_server.bpf.h"

static __always_inline enum verdict onetime_verdict(enum onetime_reason reason)
{
	switch (reason) {
#define ONETIME_VERDICT(name, verdict, text)                                                       \
	case ONETIME_##name:                                                                       \
		return VERDICT_##verdict;
		ONETIME_REASONS(ONETIME_VERDICT)
#undef ONETIME_VERDICT
	default:
		return VERDICT_DROP;
	}
}

/* bytes: as it came, for an answer has a length of its own. */
static __always_inline int finish(struct __sk_buff *skb, __u32 bytes, enum onetime_reason reason,
				  const struct egress *egress)
{
	enum verdict verdict = onetime_verdict(reason);

	count_packet(&onetime_stats, reason, hook_packets(skb, HOOK_TC), bytes);
	if (verdict == VERDICT_SEND)
		return bpf_redirect(egress->ifindex, egress->flags);
	return verdict_code(HOOK_TC, verdict);
}

SEC("tc")
int onetime_in(struct __sk_buff *skb)
{
	struct egress egress = { .ifindex = skb->ifindex };
	__u32 bytes = hook_length(skb, HOOK_TC);
	const struct onetime_conf *conf = conf_get();

	if (!conf)
		return TC_ACT_SHOT;
	return finish(skb, bytes, guard_in(skb, conf, &egress), &egress);
}

SEC("tc")
int onetime_out(struct __sk_buff *skb)
{
	struct egress egress = {};

	return finish(skb, hook_length(skb, HOOK_TC), guard_out(skb), &egress);
}

SEC("sk_lookup")
int onetime_lookup(struct bpf_sk_lookup *ctx)
{
	return server_lookup(ctx);
}

SEC("sockops")
int onetime_sockops(struct bpf_sock_ops *ops)
{
	server_sockops(ops);
	return 1;
}

SEC("cgroup/connect6")
int onetime_connect6(struct bpf_sock_addr *ctx)
{
	return client_connect(ctx, ONETIME_AF_INET6, false);
}

SEC("cgroup/connect4")
int onetime_connect4(struct bpf_sock_addr *ctx)
{
	return client_connect(ctx, ONETIME_AF_INET, false);
}

SEC("cgroup/sendmsg6")
int onetime_sendmsg6(struct bpf_sock_addr *ctx)
{
	return client_sendmsg(ctx, ONETIME_AF_INET6, false);
}

SEC("cgroup/sendmsg4")
int onetime_sendmsg4(struct bpf_sock_addr *ctx)
{
	return client_sendmsg(ctx, ONETIME_AF_INET, false);
}

SEC("cgroup/connect6")
int onetime_user_connect6(struct bpf_sock_addr *ctx)
{
	return client_connect(ctx, ONETIME_AF_INET6, true);
}

SEC("cgroup/connect4")
int onetime_user_connect4(struct bpf_sock_addr *ctx)
{
	return client_connect(ctx, ONETIME_AF_INET, true);
}

SEC("cgroup/sendmsg6")
int onetime_user_sendmsg6(struct bpf_sock_addr *ctx)
{
	return client_sendmsg(ctx, ONETIME_AF_INET6, true);
}

SEC("cgroup/sendmsg4")
int onetime_user_sendmsg4(struct bpf_sock_addr *ctx)
{
	return client_sendmsg(ctx, ONETIME_AF_INET, true);
}

/* The server's, always attached: a listener answers from the address that was asked. */
SEC("cgroup/sendmsg6")
int onetime_reply_sendmsg6(struct bpf_sock_addr *ctx)
{
	return client_reply(ctx, ONETIME_AF_INET6);
}

SEC("cgroup/sendmsg4")
int onetime_reply_sendmsg4(struct bpf_sock_addr *ctx)
{
	return client_reply(ctx, ONETIME_AF_INET);
}

SEC("cgroup/sock_release")
int onetime_release(struct bpf_sock *sock)
{
	return client_release(sock);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
