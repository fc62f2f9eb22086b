/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The common packet by itself, at XDP: IPv4 without options, tag or fragments, of a live leg whose
 * next hop is known. It does what splice_handle() would do with it, by the same functions, but
 * without a struct packet, whose forty bytes of flow clang cannot keep in registers: 10 ns of 63 at
 * the relay. Whatever is not plain is left, unchanged, to splice_run().
 */
#ifndef ISTHMUS_BPF_SPLICE_PLAIN_H
#define ISTHMUS_BPF_SPLICE_PLAIN_H

/* EtherType; version 4, five words: one word of the frame. DSCP is anything. */
#define PLAIN_TYPE    bpf_htonl(0x08004500)
#define PLAIN_TYPE_OF bpf_htonl(0xffffff00)
#define PLAIN_BYTES   (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))

static __always_inline bool address_is_v4(const struct isthmus_addr *address, __be32 v4)
{
	const __u32 *word = (const __u32 *)address->b;

	return word[3] == v4 && word[2] == bpf_htonl(0xffff);
}

static __always_inline bool plain_ip4(const struct ethhdr *eth, const struct iphdr *ip, __u32 frame)
{
	__u32 bytes = bpf_ntohs(ip->tot_len);
	/* Not by its name: clang reads a field of a packed struct byte by byte. */
	const __u32 *type = (const void *)eth + offsetof(struct ethhdr, h_proto);

	return (*type & PLAIN_TYPE_OF) == PLAIN_TYPE &&
	       !(ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)) && ip->ttl > 1 &&
	       bytes <= frame - sizeof(*eth);
}

/* Lengths that agree; for TCP no SYN, which may be a repeated one. */
static __always_inline bool plain_l4(const struct iphdr *ip, const struct udphdr *udp)
{
	__u32 bytes = bpf_ntohs(ip->tot_len);
	const __u8 *tcp = (const __u8 *)udp;

	if (ip->protocol == IPPROTO_UDP)
		return bpf_ntohs(udp->len) >= sizeof(*udp) &&
		       bpf_ntohs(udp->len) + sizeof(*ip) <= bytes;
	return ip->protocol == IPPROTO_TCP && !(tcp[13] & TCP_SYN) && tcp[12] >> 4 >= 5 &&
	       sizeof(*ip) + (tcp[12] >> 4) * 4 <= bytes;
}

static __always_inline struct splice_leg *
plain_leg(const struct iphdr *ip, const struct udphdr *udp, __u32 epoch, struct splice_near *near)
{
	__u16 port = bpf_ntohs(udp->dest);
	struct splice_leg *leg;
	__u32 index;

	if (near->epoch != epoch || !address_is_v4(&near->addr, ip->daddr) ||
	    port < near->range.low || port > near->range.high)
		return NULL;
	index = splice_leg_index(&near->range, port, ip->protocol);
	leg = bpf_map_lookup_elem(&splice_leg, &index);
	/* What comes to an IPv4 endpoint is from IPv4: its last word is all that differs. */
	if (!leg || leg->state != SPLICE_LEG_LIVE || leg->remote_port != udp->source ||
	    *(const __be32 *)&leg->remote.b[12] != ip->saddr)
		return NULL;
	return leg;
}

/*
 * The coarse clock, asked once for each tick: it changes at ticks only, and jiffies are a load
 * where the clock is a call, 2 ns of 13 that splice takes beyond a redirect. At most one tick late.
 */
static __always_inline __u64 near_clock(struct splice_near *near)
{
	__u64 tick = bpf_jiffies64();

	if (unlikely(near->tick != tick)) {
		near->tick = tick;
		near->now_ns = bpf_ktime_get_coarse_ns();
	}
	return near->now_ns;
}

/* The program's code, or -1: not plain. */
static __always_inline int splice_plain(struct xdp_md *ctx)
{
	void *data = hook_data(ctx, HOOK_XDP), *end = hook_data_end(ctx, HOOK_XDP);
	__u32 frame = end - data, zero = 0;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	const struct splice_conf *conf;
	struct splice_near *near;
	struct splice_leg *leg;
	__u64 now;

	/* TCP's header fits, and the shortest frame on Ethernet is longer anyway. */
	if (data + PLAIN_BYTES > end || !plain_ip4(eth, ip, frame) || !plain_l4(ip, udp))
		return -1;
	conf = bpf_map_lookup_elem(&splice_conf, &zero);
	if (!conf)
		return -1;
	near = near_slot(bpf_ntohl(ip->daddr), 0xff);
	if (!near)
		return -1;
	leg = plain_leg(ip, udp, conf->epoch, near);
	if (!leg)
		return -1;
	now = near_clock(near);
	if (hop_is_due(leg, conf, now) || !leg->hop.ifindex || leg->hop.vlan_proto)
		return -1;

	leg_count(leg, 1, bpf_ntohs(ip->tot_len), now);
	rewrite_macs(eth, leg);
	if (ip->protocol == IPPROTO_TCP) {
		leg_mark_tcp(leg, ((__u8 *)udp)[13]);
		rewrite_tcp((struct tcphdr *)udp, leg, HOOK_XDP);
	} else {
		rewrite_udp(udp, leg, HOOK_XDP);
	}
	rewrite_ip4(ip, leg);
	count_packet(&splice_stats, SPLICE_FORWARDED, 1, frame);
	return splice_send(ctx, HOOK_XDP, leg->hop.ifindex);
}

#endif
