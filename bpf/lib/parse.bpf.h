/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to its flow: Ethernet, at most two VLAN tags, IPv4 with options or IPv6 with
 * hop-by-hop, destination and fragment headers, TCP or UDP. Nothing is judged here: a packet whose
 * lengths contradict each other is marked `bad`, and who owns its flow decides.
 */
#ifndef ISTHMUS_BPF_LIB_PARSE_H
#define ISTHMUS_BPF_LIB_PARSE_H

#include <linux/if_vlan.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "hook.bpf.h"
#include "maps/common.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_ECE 0x40
#define TCP_CWR 0x80

#define IP_MORE_FRAGMENTS   0x2000
#define IP_FRAGMENT_OFFSET  0x1fff
#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_MORE_FRAGMENTS  0x0001
#define IP6_EXTENSIONS	    3 /* headers before TCP or UDP that are looked through */

struct vlan_tag {
	__be16 tci;
	__be16 next; /* EtherType of what follows */
};

struct ip6_fragment {
	__u8 next, reserved;
	__be16 offset;
	__be32 id;
};

/* The order and sizes of the datapaths' own flow keys, so that no copy is made. */
struct flow {
	struct isthmus_addr remote, local; /* source, destination */
	__be16 remote_port, local_port;
	__u8 proto;
	__u8 pad[3];
};

enum fragment { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

struct packet {
	struct flow flow;
	struct ethhdr *eth;
	void *l3;	/* iphdr or ipv6hdr */
	void *l4;	/* tcphdr or udphdr; not to be read of FRAGMENT_LATER */
	__u32 linear;	/* of the frame: what lies in [data, data_end) */
	__u32 ip_bytes; /* from the IP header on, as it says itself */
	__be32 fragment_id;
	__be16 ethertype; /* ETH_P_IP or ETH_P_IPV6, network order */
	__u8 tags;	  /* in the frame, not the one that the kernel keeps aside */
	__u8 ttl;
	__u8 tcp_flags;
	__u8 fragment; /* enum fragment */
	__u8 bad;
};

static __always_inline void address_map_v4(struct isthmus_addr *address, __be32 v4)
{
	__u32 *word = (__u32 *)address->b;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = v4;
}

static __always_inline bool address_equal(const struct isthmus_addr *a,
					  const struct isthmus_addr *b)
{
	const __u32 *x = (const __u32 *)a->b, *y = (const __u32 *)b->b;

	/* Not by &&: clang makes that a call of memcmp, which BPF has not. */
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

static __always_inline bool parse_ethernet(struct packet *p, void *data, void *end)
{
	struct vlan_tag *tag;
	__be16 type;

	p->eth = data;
	if ((void *)(p->eth + 1) > end)
		return false;
	type = p->eth->h_proto;
	tag = (void *)(p->eth + 1);
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return false;
		type = tag->next;
		tag++;
		p->tags++;
	}
	p->ethertype = type;
	p->l3 = tag;
	return true;
}

static __always_inline bool parse_ipv4(struct packet *p, void *end)
{
	struct iphdr *ip = p->l3;
	__u16 fragment;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return false;
	fragment = bpf_ntohs(ip->frag_off);
	address_map_v4(&p->flow.remote, ip->saddr);
	address_map_v4(&p->flow.local, ip->daddr);
	p->flow.proto = ip->protocol;
	p->ttl = ip->ttl;
	p->ip_bytes = bpf_ntohs(ip->tot_len);
	p->fragment_id = bpf_htonl(bpf_ntohs(ip->id));
	if (unlikely(fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)))
		p->fragment = fragment & IP_FRAGMENT_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
	p->bad = p->ip_bytes < ip->ihl * 4u;
	/* In two steps: the common length is a constant to the verifier and the processor. */
	p->l4 = likely(ip->ihl == 5) ? (void *)(ip + 1) : (void *)ip + ip->ihl * 4;
	return true;
}

static __always_inline bool parse_ipv6_extensions(struct packet *p, void *end)
{
	__u8 *header = p->l4;
	struct ip6_fragment *fragment;

#pragma unroll
	for (int i = 0; i < IP6_EXTENSIONS; i++) {
		if (likely(p->flow.proto == IPPROTO_TCP || p->flow.proto == IPPROTO_UDP))
			break;
		if ((void *)(header + 8) > end)
			return false;
		if (p->flow.proto == IPPROTO_FRAGMENT) {
			fragment = (void *)header;
			p->fragment_id = fragment->id;
			if (fragment->offset & bpf_htons(IP6_FRAGMENT_OFFSET))
				p->fragment = FRAGMENT_LATER;
			else if (fragment->offset & bpf_htons(IP6_MORE_FRAGMENTS))
				p->fragment = FRAGMENT_FIRST;
			p->flow.proto = fragment->next;
			header += sizeof(*fragment);
		} else if (p->flow.proto == IPPROTO_HOPOPTS || p->flow.proto == IPPROTO_DSTOPTS) {
			p->flow.proto = header[0];
			header += (header[1] + 1) * 8;
		} else {
			return false;
		}
		if (p->fragment == FRAGMENT_LATER)
			break;
	}
	p->l4 = header;
	return true;
}

static __always_inline bool parse_ipv6(struct packet *p, void *end)
{
	struct ipv6hdr *ip = p->l3;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return false;
	__builtin_memcpy(&p->flow.remote, &ip->saddr, 16);
	__builtin_memcpy(&p->flow.local, &ip->daddr, 16);
	p->flow.proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->ip_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->l4 = ip + 1;
	return parse_ipv6_extensions(p, end);
}

static __always_inline bool parse_l4(struct packet *p, void *end)
{
	struct udphdr *udp = p->l4; /* TCP has its ports at the same place */
	__u32 before = p->l4 - p->l3;
	__u8 *tcp = p->l4;

	if (p->fragment == FRAGMENT_LATER)
		return true;
	if (p->flow.proto == IPPROTO_TCP) {
		if ((void *)(tcp + sizeof(struct tcphdr)) > end)
			return false;
		p->tcp_flags = tcp[13];
		p->bad |= tcp[12] >> 4 < 5 || p->ip_bytes < before + (tcp[12] >> 4) * 4u;
	} else {
		if ((void *)(udp + 1) > end)
			return false;
		p->bad |= p->ip_bytes < before + sizeof(*udp);
		if (p->fragment == FRAGMENT_NONE)
			p->bad |= bpf_ntohs(udp->len) < sizeof(*udp) ||
				  bpf_ntohs(udp->len) > p->ip_bytes - before;
	}
	p->flow.remote_port = udp->source;
	p->flow.local_port = udp->dest;
	return true;
}

/*
 * The frame is as long as its IP header says, or longer (Ethernet pads). A GSO packet of more than
 * 65535 bytes (BIG TCP) says 0.
 */
static __always_inline void parse_check_length(void *ctx, enum hook hook, struct packet *p,
					       void *end)
{
	__u32 linear = end - p->l3, before = p->l3 - (void *)p->eth;

	if (hook == HOOK_TC && unlikely(hook_length(ctx, hook) > before + 0xffff)) {
		p->ip_bytes = hook_length(ctx, hook) - before;
		return;
	}
	if (unlikely(p->ip_bytes > linear))
		p->bad |= p->ip_bytes > hook_length(ctx, hook) - before;
}

/* No more than these headers has to be read: IPv4 without options, or IPv6, and TCP but for SYNs,
 * or UDP. */
static __always_inline bool headers_are_plain(const void *data, const void *end)
{
	const struct ethhdr *eth = data;
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct ipv6hdr *ip6 = (const void *)ip;
	const __u8 *tcp = (const void *)(ip + 1);
	__u8 proto;

	if ((const void *)(tcp + sizeof(struct tcphdr)) > end)
		return false;
	proto = ip->protocol;
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		proto = ip6->nexthdr;
		tcp = (const void *)(ip6 + 1);
		if ((const void *)(tcp + sizeof(struct tcphdr)) > end)
			return false;
	} else if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5) {
		return false;
	}
	return proto == IPPROTO_UDP || (proto == IPPROTO_TCP && !(tcp[13] & TCP_SYN));
}

/*
 * Pulling more than the headers that must be read cost 7 % of a bulk transfer: it copies the head
 * of each of TCP's packets.
 */
static __always_inline void parse_pull(void *ctx, enum hook hook)
{
	if (hook != HOOK_TC)
		return;
	hook_pull(ctx, hook, sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr));
	if (!headers_are_plain(hook_data(ctx, hook), hook_data_end(ctx, hook)))
		hook_pull(ctx, hook, HOOK_HEADERS);
}

/* False: not TCP or UDP over IP, or cut off before that could be told. `p` must be zeroed. */
static __always_inline bool parse_packet(void *ctx, enum hook hook, struct packet *p)
{
	void *data, *end;

	parse_pull(ctx, hook);
	data = hook_data(ctx, hook);
	end = hook_data_end(ctx, hook);
	p->linear = end - data;
	if (!parse_ethernet(p, data, end))
		return false;
	if (p->ethertype == bpf_htons(ETH_P_IP)) {
		if (!parse_ipv4(p, end))
			return false;
	} else if (p->ethertype == bpf_htons(ETH_P_IPV6)) {
		if (!parse_ipv6(p, end))
			return false;
	} else {
		return false;
	}
	if (p->flow.proto != IPPROTO_TCP && p->flow.proto != IPPROTO_UDP)
		return false;
	parse_check_length(ctx, hook, p, end);
	return parse_l4(p, end);
}

#endif
