// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * portarp - many hosts, one IPv4 address, no translation (PE-ARP paper; RFC 7597, 7618).
 *
 * One machine has one role: gateway, bridge (portarp_bridge.bpf.h) or host (portarp_host.bpf.h, and
 * portarp_bind.bpf.h for what its programs may bind). A packet's way at a gateway: ip4_parse()
 * finds its addresses and ports; up (portarp_up.bpf.h) sends what comes for a shared address to the
 * MAC of the port's owner; lan (portarp_lan.bpf.h) lets from a shared address only its owners'
 * packets through; out (portarp_out.bpf.h) sets the owner's MAC in what the kernel sends by itself.
 * The entries at the end share all of it between XDP and tc.
 */
#include "portarp_lan.bpf.h"
#include "portarp_out.bpf.h"
#include "portarp_plain.bpf.h"
#include "portarp_host.bpf.h"
#include "portarp_bind.bpf.h"
#include "portarp_bridge.bpf.h"

/* Set before loading: programs keep only their role's half. */
const volatile __u8 portarp_role = PORTARP_GATEWAY;

static __always_inline enum verdict portarp_verdict(enum portarp_reason reason)
{
	switch (reason) {
#define PORTARP_VERDICT(name, verdict, text)                                                       \
	case PORTARP_##name:                                                                       \
		return VERDICT_##verdict;
		PORTARP_REASONS(PORTARP_VERDICT)
#undef PORTARP_VERDICT
	default:
		return VERDICT_DROP;
	}
}

/* The place of a device in the configuration; few, and the first ones carry most traffic. */
static __always_inline const struct portarp_link *link_of(const struct portarp_conf *conf,
							  __u32 ifindex)
{
#pragma unroll
	for (int i = 0; i < PORTARP_LINKS; i++)
		if (conf->link[i].ifindex == ifindex)
			return &conf->link[i];
	return NULL;
}

static __always_inline int finish(void *ctx, enum hook hook, enum portarp_reason reason,
				  const struct egress *egress)
{
	enum verdict verdict = portarp_verdict(reason);

	count_packet(&portarp_stats, reason, hook_packets(ctx, hook), hook_length(ctx, hook));
	if (verdict != VERDICT_SEND)
		return verdict_code(hook, verdict);
	return bpf_redirect(egress->ifindex, egress->flags);
}

static __always_inline int up_run(void *ctx, enum hook hook)
{
	const struct portarp_link *link;
	const struct portarp_conf *conf;
	struct egress egress = {};
	__u32 zero = 0;
	int code;

	conf = bpf_map_lookup_elem(&portarp_conf, &zero);
	link = conf ? link_of(conf, hook_ifindex(ctx, hook)) : NULL;
	if (!link)
		return finish(ctx, hook, PORTARP_OTHER, &egress);
	if (hook == HOOK_XDP && portarp_role == PORTARP_GATEWAY) {
		code = up_plain(ctx, conf, link);
		if (likely(code >= 0))
			return code;
	}
	if (portarp_role == PORTARP_BRIDGE)
		return finish(ctx, hook, bridge(ctx, hook, conf, link, &egress), &egress);
	return finish(ctx, hook, up_gateway(ctx, hook, conf, link, &egress), &egress);
}

static __always_inline int lan_run(void *ctx, enum hook hook)
{
	const struct portarp_link *link;
	const struct portarp_conf *conf;
	struct egress egress = {};
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&portarp_conf, &zero);
	link = conf ? link_of(conf, hook_ifindex(ctx, hook)) : NULL;
	if (!link)
		return finish(ctx, hook, PORTARP_OTHER, &egress);
	if (portarp_role == PORTARP_BRIDGE)
		return finish(ctx, hook, bridge(ctx, hook, conf, link, &egress), &egress);
	if (portarp_role == PORTARP_HOST)
		return finish(ctx, hook, lan_host(ctx, hook, conf, link, &egress), &egress);
	return finish(ctx, hook, lan_gateway(ctx, hook, conf, link, &egress), &egress);
}

static __always_inline int out_run(struct __sk_buff *skb)
{
	const struct portarp_link *link;
	const struct portarp_conf *conf;
	struct egress egress = {};
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&portarp_conf, &zero);
	link = conf ? link_of(conf, skb->ifindex) : NULL;
	if (!link)
		return finish(skb, HOOK_TC, PORTARP_OTHER, &egress);
	if (portarp_role == PORTARP_HOST)
		return finish(skb, HOOK_TC, out_host(skb, conf, link, &egress), &egress);
	return finish(skb, HOOK_TC, out_gateway(skb, conf, &egress), &egress);
}

SEC("xdp")
int portarp_up_xdp(struct xdp_md *ctx)
{
	return up_run(ctx, HOOK_XDP);
}

SEC("tc")
int portarp_up_tc(struct __sk_buff *skb)
{
	return up_run(skb, HOOK_TC);
}

SEC("xdp")
int portarp_lan_xdp(struct xdp_md *ctx)
{
	return lan_run(ctx, HOOK_XDP);
}

SEC("tc")
int portarp_lan_tc(struct __sk_buff *skb)
{
	return lan_run(skb, HOOK_TC);
}

SEC("tc")
int portarp_lan_out(struct __sk_buff *skb)
{
	return out_run(skb);
}

SEC("tc")
int portarp_up_out(struct __sk_buff *skb)
{
	struct egress egress = {};

	return finish(skb, HOOK_TC, bridge_out(skb), &egress);
}

SEC("cgroup/bind4")
int portarp_bind4(struct bpf_sock_addr *ctx)
{
	return bind_check(ctx, ctx->user_ip4);
}

SEC("cgroup/bind6")
int portarp_bind6(struct bpf_sock_addr *ctx)
{
	return bind_mapped(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
