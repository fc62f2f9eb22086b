// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * resoa - the socket interface of one host, used by others (ReSoA paper).
 *
 * At the client: create notes each socket of A; bind4, bind6 and post_bind decide and tell of binds
 * (resoa_bind.bpf.h), setsockopt tells of options, getsockopt answers for the server
 * (resoa_option.bpf.h), sockops tells of listen(); out
 * keeps each SYN until the server has connected (resoa_hold.bpf.h); lookup gives all packets of A
 * to the daemon's sockets in W; read tells how far a program has read; time_out ends what timed out
 * at the server (resoa_timeout.bpf.h). At the server: fin_in takes a peer's FIN away until the
 * client has all data (resoa_fin.bpf.h), and its SYN until the client was asked
 * (resoa_knock.bpf.h); fin_out turns the daemon's own round.
 */
#include "resoa_bind.bpf.h"
#include "resoa_fin.bpf.h"
#include "resoa_hold.bpf.h"
#include "resoa_knock.bpf.h"
#include "resoa_option.bpf.h"
#include "resoa_read.bpf.h"
#include "resoa_steer.bpf.h"
#include "resoa_timeout.bpf.h"

static __always_inline enum verdict resoa_verdict(enum resoa_reason reason)
{
	switch (reason) {
#define RESOA_VERDICT(name, verdict, text)                                                         \
	case RESOA_##name:                                                                         \
		return VERDICT_##verdict;
		RESOA_REASONS(RESOA_VERDICT)
#undef RESOA_VERDICT
	default:
		return VERDICT_DROP;
	}
}

/* SEND: round, to come in by the device that it was to leave by. TAKEN is unknown to TCX, where it
 * would pass: out is attached to clsact. */
static __always_inline int finish(struct __sk_buff *skb, enum resoa_reason reason)
{
	enum verdict verdict = resoa_verdict(reason);

	count_packet(&resoa_stats, reason, hook_packets(skb, HOOK_TC), skb->len);
	if (verdict == VERDICT_SEND)
		return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
	if (verdict == VERDICT_TAKEN)
		return TC_ACT_STOLEN;
	return verdict_code(HOOK_TC, verdict);
}

SEC("tc")
int resoa_out(struct __sk_buff *skb)
{
	return finish(skb, hold_out(skb));
}

SEC("sk_lookup")
int resoa_lookup(struct bpf_sk_lookup *ctx)
{
	return steer_lookup(ctx);
}

SEC("cgroup/sock_create")
int resoa_create(struct bpf_sock *sock)
{
	bind_create(sock);
	return 1;
}

SEC("cgroup/bind4")
int resoa_bind4(struct bpf_sock_addr *ctx)
{
	return bind_decide(ctx, RESOA_AF_INET);
}

SEC("cgroup/bind6")
int resoa_bind6(struct bpf_sock_addr *ctx)
{
	return bind_decide(ctx, RESOA_AF_INET6);
}

SEC("cgroup/post_bind4")
int resoa_post_bind4(struct bpf_sock *sock)
{
	bind_tell(sock, RESOA_AF_INET);
	return 1;
}

SEC("cgroup/post_bind6")
int resoa_post_bind6(struct bpf_sock *sock)
{
	bind_tell(sock, RESOA_AF_INET6);
	return 1;
}

SEC("cgroup/setsockopt")
int resoa_setsockopt(struct bpf_sockopt *ctx)
{
	return option_set(ctx);
}

SEC("cgroup/getsockopt")
int resoa_getsockopt(struct bpf_sockopt *ctx)
{
	return option_get(ctx);
}

SEC("sockops")
int resoa_sockops(struct bpf_sock_ops *ops)
{
	listen_tell(ops);
	return 1;
}

SEC("tp_btf/tcp_rcv_space_adjust")
int resoa_read(__u64 *ctx)
{
	read_tell((struct sock *)ctx[0]);
	return 0;
}

SEC("iter/tcp")
int resoa_time_out(struct bpf_iter__tcp *ctx)
{
	timeout_look(ctx->sk_common);
	return 0;
}

SEC("tc")
int resoa_fin_in(struct __sk_buff *skb)
{
	struct fin_segment s = {};

	if (likely(!fin_find(skb, &s)))
		return finish(skb, RESOA_OTHER);
	return finish(skb, s.syn ? knock_in(skb, &s) : fin_in(skb, &s));
}

SEC("tc")
int resoa_fin_out(struct __sk_buff *skb)
{
	return finish(skb, fin_out(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
