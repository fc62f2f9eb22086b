/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to what steers it. lib/parse.bpf.h is made for flows of TCP and UDP of both
 * families; here every IPv4 packet counts, and few of its fields, so that clang keeps them in
 * registers.
 */
#ifndef ISTHMUS_BPF_PORTARP_IP_H
#define ISTHMUS_BPF_PORTARP_IP_H

#include "lib/parse.bpf.h"
#include "portarp_maps.bpf.h"

struct ip4 {
	struct ethhdr *eth;
	struct iphdr *ip;
	void *l4;	    /* of ports and ICMP 8 bytes can be read, but of a later fragment */
	void *end;	    /* of what can be read */
	__u32 linear;	    /* of the frame: what lies in [data, data_end) */
	__u32 bytes;	    /* of the IP packet, as it says itself */
	__u16 sport, dport; /* host order, of protocols with ports; else 0 */
	__u8 proto;
	__u8 fragment; /* enum fragment */
	__u8 ported;   /* sport and dport are ports that a set can hold */
	__u8 own;      /* sent by this machine: its TTL is right */
};

enum ip4_result { IP4_OTHER, IP4_ARP, IP4_BAD, IP4_GOOD };

#define IPPROTO_DCCP_PORTS 33
#define IPPROTO_LITE_PORTS 136

/* Protocols whose ports stand where TCP's do and that a host takes from its set. */
static __always_inline bool proto_has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_DCCP_PORTS ||
	       proto == IPPROTO_LITE_PORTS;
}

static __always_inline bool ip4_lengths(void *ctx, enum hook hook, const struct ip4 *p)
{
	__u32 header = p->ip->ihl * 4u;
	__u32 frame = sizeof(struct ethhdr) + p->bytes;

	if (hook == HOOK_TC && unlikely(hook_length(ctx, hook) > sizeof(struct ethhdr) + 0xffff))
		return true; /* BIG TCP says 0 */
	if (p->bytes < header)
		return false;
	return likely(frame <= p->linear) || frame <= hook_length(ctx, hook);
}

/* A datagram has at most 65535 bytes, and no later fragment writes TCP's flags (RFC 3128). */
static __always_inline bool ip4_later_good(const struct ip4 *p)
{
	__u32 offset = bpf_ntohs(p->ip->frag_off) & IP_FRAGMENT_OFFSET;

	if (p->proto == IPPROTO_TCP && offset == 1)
		return false;
	return offset * 8 + p->bytes <= 0xffff;
}

/* Ports, and whether what steers is there at all: not of a tiny first fragment (RFC 1858). */
static __always_inline enum ip4_result ip4_transport(void *ctx, enum hook hook, struct ip4 *p,
						     void *end)
{
	__u32 least = p->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : 8;
	struct udphdr *udp = p->l4;
	__u32 have = p->bytes - p->ip->ihl * 4u;

	if (unlikely(p->fragment == FRAGMENT_LATER))
		return ip4_later_good(p) ? IP4_GOOD : IP4_BAD;
	p->ported = proto_has_ports(p->proto);
	if (!p->ported && p->proto != IPPROTO_ICMP)
		return IP4_GOOD;
	if (hook == HOOK_TC && unlikely(hook_length(ctx, hook) > sizeof(struct ethhdr) + 0xffff))
		have = least;
	if (have < least || (void *)(udp + 1) > end)
		return IP4_BAD;
	if (p->ported) {
		p->sport = bpf_ntohs(udp->source);
		p->dport = bpf_ntohs(udp->dest);
	}
	return IP4_GOOD;
}

/*
 * Untagged IPv4 only: tags belong to a VLAN device, which has programs of its own. `p` must be
 * zeroed.
 */
static __always_inline enum ip4_result ip4_parse(void *ctx, enum hook hook, struct ip4 *p)
{
	void *data, *end;
	__u16 fragment;

	hook_pull_headers(ctx, hook);
	data = hook_data(ctx, hook);
	end = hook_data_end(ctx, hook);
	p->end = end;
	p->linear = end - data;
	p->eth = data;
	p->ip = (void *)(p->eth + 1);
	if ((void *)(p->eth + 1) > end ||
	    (hook == HOOK_TC && ((struct __sk_buff *)ctx)->vlan_present))
		return IP4_OTHER;
	if (unlikely(p->eth->h_proto != bpf_htons(ETH_P_IP)))
		return p->eth->h_proto == bpf_htons(ETH_P_ARP) ? IP4_ARP : IP4_OTHER;
	if ((void *)(p->ip + 1) > end || p->ip->version != 4 || p->ip->ihl < 5)
		return IP4_OTHER; /* no address can be told: the host's to drop */
	fragment = bpf_ntohs(p->ip->frag_off);
	if (unlikely(fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)))
		p->fragment = fragment & IP_FRAGMENT_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
	p->proto = p->ip->protocol;
	p->bytes = bpf_ntohs(p->ip->tot_len);
	p->l4 = likely(p->ip->ihl == 5) ? (void *)(p->ip + 1) : (void *)p->ip + p->ip->ihl * 4;
	if (!ip4_lengths(ctx, hook, p))
		return IP4_BAD;
	return ip4_transport(ctx, hook, p, end);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	__u16 *x = (__u16 *)to;
	const __u16 *y = (const __u16 *)from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
}

static __always_inline bool mac_is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

#endif
