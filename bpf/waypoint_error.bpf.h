/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors to an initiator, from the waypoint address that it used: host unreachable to the
 * refused (AVES 5.2), fragmentation needed (RFC 1191), packet too big (RFC 8201), time exceeded.
 * The packet, as it was received, becomes the error.
 */
#ifndef ISTHMUS_BPF_WAYPOINT_ERROR_H
#define ISTHMUS_BPF_WAYPOINT_ERROR_H

#include "waypoint_bind.bpf.h"

struct icmp_error {
	__u8 type, code;
	__be16 check;
	__be16 unused;
	__be16 mtu; /* ICMPv6 has 32 bits for it: these two together */
};

_Static_assert(sizeof(struct icmp_error) == ICMP_BYTES, "RFC 792");

/* How much of the packet is quoted; each is a constant, as bpf_csum_diff wants it of 6.1. */
#define QUOTE_LONG  128
#define QUOTE_SHORT 28 /* a header without options and eight bytes more: RFC 792 */
#define QUOTE_V6    48

#define ERROR_TTL 64

struct ip4_error {
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_error icmp;
} __attribute__((packed));

struct ip6_error {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp_error icmp;
} __attribute__((packed));

/* Not to errors, later fragments, groups, and the many addresses that are nobody (RFC 1122 3.2.2).
 */
static __always_inline bool error_is_due(void *ctx, enum hook hook, const struct ip *p)
{
	struct ethhdr *eth = hook_data(ctx, hook);
	__u8 first = p->v6 ? p->src.b[0] : p->src.b[12];

	if (p->error || p->fragment == FRAGMENT_LATER ||
	    (void *)(eth + 1) > hook_data_end(ctx, hook) || eth->h_dest[0] & 1)
		return false;
	if (p->v6)
		return first != 0xff;
	return first && first != 127 && first < 224;
}

/*
 * So many a second to one source. A penalised one gets few, but some: another may have sent what it
 * is penalised for, and without errors its own packets could be lost and it never know why.
 */
static __always_inline bool error_is_allowed(const struct ip *p, __u64 now)
{
	__be32 address = p->v6 ? *(__be32 *)&p->src.b[4] : ip_v4(&p->src);
	struct waypoint_source *source = source_of(address);
	__u32 most = WAYPOINT_ERRORS_A_S;

	if (source && source->penalty_ns > now)
		most = WAYPOINT_ERRORS_FEW;
	if (source && source->second_ns + NS_PER_S <= now) {
		source->second_ns = now;
		source->errors = 0;
	}
	if (source && source->errors < most) {
		source->errors++;
		return true;
	}
	count_packet(&waypoint_stats, WAYPOINT_ERROR_LIMITED, 1, 0);
	return false;
}

/* Cuts the frame to Ethernet and `quote` bytes and makes room for the headers before them. */
static __always_inline int error_room(void *ctx, enum hook hook, __u32 quote, __s32 room)
{
	__u32 keep = sizeof(struct ethhdr) + quote;

	if (hook == HOOK_XDP)
		return bpf_xdp_adjust_tail(ctx, (int)(keep - hook_length(ctx, hook)))
			       ?: bpf_xdp_adjust_head(ctx, -room);
	return bpf_skb_change_tail(ctx, keep, 0) ?:
		       bpf_skb_adjust_room(ctx, room, BPF_ADJ_ROOM_MAC, 0) ?:
		       bpf_skb_pull_data(ctx, 0);
}

static __always_inline void error_macs(struct ethhdr *eth, const struct ethhdr *received)
{
	__builtin_memcpy(eth->h_dest, received->h_source, 6);
	__builtin_memcpy(eth->h_source, received->h_dest, 6);
	eth->h_proto = received->h_proto;
}

static __always_inline int error4(void *ctx, enum hook hook, const struct ip *p, __u8 type,
				  __u8 code, __u16 mtu, const __u32 quote)
{
	struct ethhdr received, *eth = hook_data(ctx, hook);
	struct ip4_error *error;
	__s64 sum;

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return -1;
	received = *eth;
	if (error_room(ctx, hook, quote, sizeof(struct iphdr) + ICMP_BYTES))
		return -1;
	error = hook_data(ctx, hook);
	if ((void *)(error + 1) + quote > hook_data_end(ctx, hook))
		return -1;
	error_macs(&error->eth, &received);
	*(__be16 *)&error->ip = bpf_htons(0x45c0); /* precedence 6: RFC 1812 4.3.2.5 */
	error->ip.tot_len = bpf_htons(sizeof(struct iphdr) + ICMP_BYTES + quote);
	error->ip.id = 0;
	error->ip.frag_off = 0;
	error->ip.ttl = ERROR_TTL;
	error->ip.protocol = IPPROTO_ICMP;
	error->ip.check = 0;
	error->ip.saddr = ip_v4(&p->dst);
	error->ip.daddr = ip_v4(&p->src);
	error->ip.check = ~csum_fold(bpf_csum_diff(NULL, 0, (void *)&error->ip, 20, 0));
	error->icmp.type = type;
	error->icmp.code = code;
	error->icmp.check = 0;
	error->icmp.unused = 0;
	error->icmp.mtu = bpf_htons(mtu);
	sum = bpf_csum_diff(NULL, 0, (void *)&error->icmp, ICMP_BYTES + quote, 0);
	error->icmp.check = ~csum_fold(sum);
	return 0;
}

static __always_inline int error6(void *ctx, enum hook hook, const struct ip *p, __u8 type,
				  __u8 code, __u16 mtu, const __u32 quote)
{
	struct ethhdr received, *eth = hook_data(ctx, hook);
	struct ip6_error *error;
	__s64 sum;

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return -1;
	received = *eth;
	if (error_room(ctx, hook, quote, sizeof(struct ipv6hdr) + ICMP_BYTES))
		return -1;
	error = hook_data(ctx, hook);
	if ((void *)(error + 1) + quote > hook_data_end(ctx, hook))
		return -1;
	error_macs(&error->eth, &received);
	*(__be32 *)&error->ip = bpf_htonl(6u << 28);
	error->ip.payload_len = bpf_htons(ICMP_BYTES + quote);
	error->ip.nexthdr = IPPROTO_ICMPV6;
	error->ip.hop_limit = ERROR_TTL;
	__builtin_memcpy(&error->ip.saddr, &p->dst, 16);
	__builtin_memcpy(&error->ip.daddr, &p->src, 16);
	error->icmp.type = type;
	error->icmp.code = code;
	error->icmp.check = 0;
	error->icmp.unused = 0;
	error->icmp.mtu = bpf_htons(mtu);
	/* Both addresses and, as words, length and protocol: the pseudo-header. */
	sum = bpf_csum_diff(NULL, 0, (void *)&error->ip.saddr, 32 + ICMP_BYTES + quote, 0);
	sum = csum_fold(sum) + bpf_htons(ICMP_BYTES + quote) + bpf_htons(IPPROTO_ICMPV6);
	error->icmp.check = ~csum_fold(sum);
	return 0;
}

/*
 * Makes the packet an error for whoever sent it. 0: send it back where it came from. The sizes
 * after each other, so that each is a constant.
 */
static __always_inline int error_make(void *ctx, enum hook hook, const struct ip *p, __u8 type,
				      __u8 code, __u16 mtu)
{
	if (p->v6)
		return p->bytes >= QUOTE_LONG ? error6(ctx, hook, p, type, code, mtu, QUOTE_LONG)
		       : p->bytes >= QUOTE_V6 ? error6(ctx, hook, p, type, code, mtu, QUOTE_V6)
					      : -1;
	return p->bytes >= QUOTE_LONG	 ? error4(ctx, hook, p, type, code, mtu, QUOTE_LONG)
	       : p->bytes >= QUOTE_SHORT ? error4(ctx, hook, p, type, code, mtu, QUOTE_SHORT)
					 : -1;
}

#endif
