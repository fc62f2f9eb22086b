/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The common packet by itself, at XDP: untagged IPv4 without options or fragments, TCP or UDP, to a
 * known owner. It does what up_gateway() would do with it, but keeps all in registers, asks the
 * kernel for nothing but the look-ups, and writes nothing before all is decided. Whatever is not
 * plain is left, unchanged, to up_run().
 */
#ifndef ISTHMUS_BPF_PORTARP_PLAIN_H
#define ISTHMUS_BPF_PORTARP_PLAIN_H

#include "portarp_up.bpf.h"

/* Each word is compared as it lies in the frame. */
#define PLAIN_TYPE     bpf_htonl(0x08004500) /* EtherType; version 4, five words; DSCP */
#define PLAIN_TYPE_OF  bpf_htonl(0xffffff00)
#define PLAIN_FRAGMENT bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)
#define PLAIN_BYTES    (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))

/*
 * An address's record as it was at an epoch of the configuration: with a thousand addresses the
 * hash look-up costs 30 ns, as much as all the rest. The agent raises the epoch after each change.
 */
struct portarp_near {
	__be32 address;
	__u32 epoch;
	struct portarp_addr record; /* an empty slot's has MTU 0, which no packet fits in */
};

#define NEAR_SLOTS PORTARP_ADDRS

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEAR_SLOTS);
	__type(key, __u32);
	__type(value, struct portarp_near);
} portarp_near SEC(".maps");

static __always_inline const struct portarp_addr *near_addr(__be32 address, __u32 epoch)
{
	__u32 slot = bpf_ntohl(address) % NEAR_SLOTS;
	struct portarp_near *near = bpf_map_lookup_elem(&portarp_near, &slot);
	const struct portarp_addr *addr;

	if (!near)
		return NULL;
	if (likely(near->address == address && near->epoch == epoch))
		return &near->record;
	addr = bpf_map_lookup_elem(&portarp_addr, &address);
	if (!addr)
		return NULL;
	near->epoch = epoch;
	near->address = address;
	near->record = *addr;
	return addr;
}

static __always_inline bool plain_packet(const struct iphdr *ip, __u32 bytes)
{
	if (ip->frag_off & PLAIN_FRAGMENT || ip->ttl <= 1)
		return false;
	if (ip->protocol == IPPROTO_TCP)
		return bytes >= sizeof(*ip) + sizeof(struct tcphdr);
	return ip->protocol == IPPROTO_UDP && bytes >= sizeof(*ip) + sizeof(struct udphdr);
}

/* One less, RFC 1141: the sum grows by what the word shrinks. */
static __always_inline void plain_ttl(struct iphdr *ip)
{
	__u32 check = ip->check + bpf_htons(0x0100);

	ip->check = check + (check >= 0xffff);
	ip->ttl--;
}

/* The program's code, or -1: not plain. */
static __always_inline int up_plain(struct xdp_md *ctx, const struct portarp_conf *conf,
				    const struct portarp_link *link)
{
	void *data = hook_data(ctx, HOOK_XDP), *end = hook_data_end(ctx, HOOK_XDP);
	__u32 frame = end - data, bytes, index;
	const struct portarp_owner *owner;
	const struct portarp_addr *addr;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *l4 = (void *)(ip + 1);
	/* Not by its name: clang reads a field of a packed struct byte by byte. */
	const __u32 *type = data + offsetof(struct ethhdr, h_proto);
	union owner_word word;

	/* TCP's header fits, and the shortest frame on Ethernet is longer anyway. */
	if (data + PLAIN_BYTES > end)
		return -1;
	bytes = bpf_ntohs(ip->tot_len);
	if ((*type & PLAIN_TYPE_OF) != PLAIN_TYPE || bytes > frame - sizeof(*eth) ||
	    !plain_packet(ip, bytes) || !mac_equal(eth->h_dest, link->mac))
		return -1;
	addr = near_addr(ip->daddr, conf->epoch);
	if (!addr || bytes > addr->mtu)
		return -1;
	index = owner_index(addr, bpf_ntohs(l4->dest));
	owner = bpf_map_lookup_elem(&portarp_owner, &index);
	if (!owner)
		return -1;
	word = owner_read(owner);
	if ((word.owner.wait & (PORTARP_OWNER_KNOWN | PORTARP_OWNER_NONE | PORTARP_OWNER_UP)) !=
	    PORTARP_OWNER_KNOWN)
		return -1;

	/* The MAC and two bytes more, which are the next one's. */
	*(__u64 *)eth->h_dest = word.word;
	mac_copy(eth->h_source, addr->src_mac);
	plain_ttl(ip);
	count_packet(&portarp_stats, PORTARP_DELIVERED, 1, frame);
	return bpf_redirect(addr->ifindex, 0);
}

#endif
