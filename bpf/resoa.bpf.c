// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * resoa - the socket interface of one host, used by others (ReSoA paper).
 *
 * At the client: create notes each socket of A; bind4, bind6 and post_bind decide and tell of binds
 * (resoa_bind.bpf.h), setsockopt tells of options (resoa_option.bpf.h), sockops of listen(); out
 * keeps each SYN until the server has connected (resoa_hold.bpf.h); lookup gives all packets of A
 * to the daemon's sockets in W; read tells how far a program has read. At the server: fin_in takes
 * a peer's FIN away until the client has all data, fin_out turns the daemon's own round
 * (resoa_fin.bpf.h).
 */
#include "resoa_maps.bpf.h"

static __always_inline int finish(struct __sk_buff *skb, enum resoa_reason reason)
{
	count_packet(&resoa_stats, reason, hook_packets(skb, HOOK_TC), skb->len);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int resoa_out(struct __sk_buff *skb)
{
	return finish(skb, RESOA_OTHER);
}

SEC("sk_lookup")
int resoa_lookup(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

SEC("cgroup/sock_create")
int resoa_create(struct bpf_sock *sock)
{
	return 1;
}

SEC("cgroup/bind4")
int resoa_bind4(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("cgroup/bind6")
int resoa_bind6(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("cgroup/post_bind4")
int resoa_post_bind4(struct bpf_sock *sock)
{
	return 1;
}

SEC("cgroup/post_bind6")
int resoa_post_bind6(struct bpf_sock *sock)
{
	return 1;
}

SEC("cgroup/setsockopt")
int resoa_setsockopt(struct bpf_sockopt *ctx)
{
	return 1;
}

SEC("sockops")
int resoa_sockops(struct bpf_sock_ops *ops)
{
	return 1;
}

SEC("tp_btf/tcp_rcv_space_adjust")
int resoa_read(__u64 *ctx)
{
	return 0;
}

SEC("tc")
int resoa_fin_in(struct __sk_buff *skb)
{
	return finish(skb, RESOA_OTHER);
}

SEC("tc")
int resoa_fin_out(struct __sk_buff *skb)
{
	return finish(skb, RESOA_OTHER);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
