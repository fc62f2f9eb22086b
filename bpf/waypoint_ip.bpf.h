/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a waypoint must know of a packet: whose it is, whether it begins a connection, how long it
 * is. Tags are a VLAN device's, which has programs of its own.
 */
#ifndef ISTHMUS_BPF_WAYPOINT_IP_H
#define ISTHMUS_BPF_WAYPOINT_IP_H

#include "lib/count.bpf.h"
#include "lib/csum.bpf.h"
#include "lib/parse.bpf.h"
#include "lib/tunnel.bpf.h"
#include "waypoint_maps.bpf.h"

#define ICMP_UNREACHABLE 3
#define ICMP_QUENCH	 4
#define ICMP_REDIRECTED	 5
#define ICMP_EXCEEDED	 11
#define ICMP_PARAMETER	 12
#define ICMP_BYTES	 8
#define ICMP6_QUERIES	 128 /* RFC 4443 2.1: types below are errors */
#define HTTP_PORT	 80

enum ip_result { IP_OTHER, IP_GOOD, IP_BAD };

struct ip {
	struct isthmus_addr src, dst;
	__be32 initiator; /* IPv4: whose binding it is about; of an ICMP error, whom it quotes */
	__be16 sport, dport;
	__u32 bytes; /* from the IP header on */
	__u16 l4;    /* offset in the frame */
	__u8 v6, proto, ttl, tcp_flags;
	__u8 fragment; /* enum fragment */
	__u8 may_cut;  /* IPv4 without DF */
	__u8 error;    /* an ICMP error */
};

static __always_inline bool icmp_is_error(__u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_QUENCH || type == ICMP_REDIRECTED ||
	       type == ICMP_EXCEEDED || type == ICMP_PARAMETER;
}

/* An error is about the binding of the packet that it quotes: from `waypoint` to an initiator. */
static __always_inline enum ip_result ip_quoted(struct ip *p, const __u8 *icmp, __be32 waypoint,
						const void *end)
{
	const struct iphdr *quoted = (const void *)(icmp + ICMP_BYTES);

	if (!icmp_is_error(icmp[0]))
		return IP_GOOD;
	p->error = 1;
	if ((const void *)(quoted + 1) > end || quoted->version != 4 || quoted->saddr != waypoint)
		return IP_BAD;
	p->initiator = quoted->daddr;
	return IP_GOOD;
}

static __always_inline enum ip_result ip_transport(struct ip *p, const __u8 *l4, __be32 waypoint,
						   const void *end)
{
	const struct udphdr *udp = (const void *)l4;
	__u32 have = p->bytes + sizeof(struct ethhdr) - p->l4;

	if (p->fragment == FRAGMENT_LATER)
		return IP_GOOD;
	if (p->proto == IPPROTO_TCP) {
		if (have < sizeof(struct tcphdr) ||
		    (const void *)(l4 + sizeof(struct tcphdr)) > end)
			return IP_BAD;
		p->tcp_flags = l4[13];
	} else if (p->proto == IPPROTO_UDP || (p->proto == IPPROTO_ICMP && !p->v6)) {
		if (have < 8 || (const void *)(udp + 1) > end)
			return IP_BAD;
		if (p->proto == IPPROTO_ICMP)
			return ip_quoted(p, l4, waypoint, end);
	} else {
		if (p->proto == IPPROTO_ICMPV6 && p->v6)
			p->error =
				have < 8 || (const void *)(udp + 1) > end || l4[0] < ICMP6_QUERIES;
		return IP_GOOD;
	}
	p->sport = udp->source;
	p->dport = udp->dest;
	return IP_GOOD;
}

static __always_inline enum ip_result ip4_parse(void *ctx, enum hook hook, struct ip *p)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u16 fragment;
	__u8 *l4;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return IP_OTHER;
	address_map_v4(&p->src, ip->saddr);
	address_map_v4(&p->dst, ip->daddr);
	p->initiator = ip->saddr;
	fragment = bpf_ntohs(ip->frag_off);
	if (unlikely(fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)))
		p->fragment = fragment & IP_FRAGMENT_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
	p->may_cut = !(fragment & 0x4000);
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->bytes = bpf_ntohs(ip->tot_len);
	p->l4 = sizeof(struct ethhdr) + ip->ihl * 4;
	if (p->bytes < ip->ihl * 4u ||
	    p->bytes > tunnel_frame_length(ctx, hook) - sizeof(struct ethhdr))
		return IP_BAD;
	l4 = (void *)ip + ip->ihl * 4;
	return ip_transport(p, l4, ip->daddr, end);
}

static __always_inline enum ip_result ip6_parse(void *ctx, enum hook hook, struct ip *p)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end || ip->version != 6)
		return IP_OTHER;
	p->v6 = 1;
	__builtin_memcpy(&p->src, &ip->saddr, 16);
	__builtin_memcpy(&p->dst, &ip->daddr, 16);
	p->proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->l4 = sizeof(struct ethhdr) + sizeof(*ip);
	if (p->bytes > tunnel_frame_length(ctx, hook) - sizeof(struct ethhdr))
		return IP_BAD;
	return ip_transport(p, (void *)(ip + 1), 0, end);
}

/* `p` must be zeroed. */
static __always_inline enum ip_result ip_parse(void *ctx, enum hook hook, struct ip *p)
{
	struct ethhdr *eth = hook_data(ctx, hook);

	if ((void *)(eth + 1) > hook_data_end(ctx, hook) ||
	    (hook == HOOK_TC && ((struct __sk_buff *)ctx)->vlan_present))
		return IP_OTHER;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return ip4_parse(ctx, hook, p);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return ip6_parse(ctx, hook, p);
	return IP_OTHER;
}

static __always_inline __be32 ip_v4(const struct isthmus_addr *address)
{
	return *(const __be32 *)&address->b[12];
}

/* Figure 6: a TCP SYN, or any packet that is not TCP. Neither a later fragment nor an error. */
static __always_inline bool ip_is_new(const struct ip *p)
{
	if (p->fragment == FRAGMENT_LATER || p->error)
		return false;
	return p->proto != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* One hop less. False: out of bounds. */
static __always_inline bool ip_age(void *ctx, enum hook hook, bool v6)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct ipv6hdr *ip6 = data + sizeof(struct ethhdr);

	if (v6) {
		if ((void *)(ip6 + 1) > end)
			return false;
		ip6->hop_limit--;
		return true;
	}
	if ((void *)(ip + 1) > end)
		return false;
	ip->ttl--;
	csum_update(&ip->check, CSUM_TTL_DELTA_V4);
	return true;
}

#endif
