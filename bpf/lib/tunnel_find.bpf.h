/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finding a tunnel's packet (maps/tunnel.h): its headers, of which nothing is verified here. */
#ifndef ISTHMUS_BPF_LIB_TUNNEL_FIND_H
#define ISTHMUS_BPF_LIB_TUNNEL_FIND_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "csum.bpf.h"
#include "hook.bpf.h"
#include "maps/tunnel.h"

#define TUNNEL_SEQUENCE_BITS 48
#define TUNNEL_TTL	     64
#define TUNNEL_ECN	     3 /* bits of the traffic class; all: congestion was experienced */

/* What follows the outer IP header, as one: the tag is the last. */
struct tunnel_head {
	struct udphdr udp;
	struct tunnel_geneve geneve;
	struct tunnel_option option;
} __attribute__((packed));

_Static_assert(sizeof(struct tunnel_head) == 40, "as TUNNEL_HEADERS_V4 counts");

enum tunnel_kind {
	TUNNEL_NONE,	  /* not for the port, or nothing that can be told */
	TUNNEL_DATA,	  /* well-formed; not verified yet */
	TUNNEL_AGENTS,	  /* control: the agent's */
	TUNNEL_MISFORMED, /* for the port, and its lengths or option are wrong */
};

/* A tunnel packet that was found; nothing of it is verified before tunnel_open(). */
struct tunnel_found {
	struct isthmus_addr source, destination; /* outer */
	__be16 source_port;
	__be16 protocol; /* of the inner packet: ETH_P_IP or ETH_P_IPV6 */
	__u32 vni, host;
	__u64 sequence;
	__u32 outer;  /* bytes from the outer IP header to the inner packet */
	__u32 inner;  /* bytes of the inner packet */
	__u32 newest; /* tunnel_open(): no later one of its sender's CPU has come */
	__u8 ecn;     /* of the outer header */
};

enum tunnel_opened {
	TUNNEL_OPENED,
	TUNNEL_UNKNOWN,	  /* no valid key under this VNI, or a CPU that its sender has not */
	TUNNEL_FORGED,	  /* the tag is wrong */
	TUNNEL_REPLAYED,  /* has come before, or is too old to tell */
	TUNNEL_CONGESTED, /* marked on its way, and its inner packet cannot tell it (RFC 6040) */
	TUNNEL_FAILED,	  /* the kernel could not remove the outer headers */
};

/* ---- finding */

static __always_inline void tunnel_map_v4(struct isthmus_addr *address, __be32 v4)
{
	__u32 *word = (__u32 *)address->b;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = v4;
}

/* The whole frame. An XDP program that takes frames in one piece only needs no helper to tell. */
static __always_inline __u32 tunnel_frame_length(void *ctx, enum hook hook)
{
	const void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	__u64 length;

	if (hook == HOOK_TC)
		return hook_length(ctx, hook);
	/* Else clang would take halves of pointers. */
	hide_from_clang(data);
	hide_from_clang(end);
	length = end - data;
	hide_from_clang(length);
	return length;
}

/* The head behind an outer IP header, or NULL: another protocol or port, options, a fragment. */
static __always_inline struct tunnel_head *tunnel_head4(struct iphdr *ip, void *end, __be16 port,
							struct tunnel_found *found, __u32 *ip_bytes)
{
	struct tunnel_head *head = (void *)(ip + 1);

	if ((void *)(&head->geneve + 1) > end || *(__u8 *)ip != 0x45 ||
	    ip->protocol != IPPROTO_UDP || head->udp.dest != port ||
	    ip->frag_off & bpf_htons(0x3fff))
		return NULL;
	tunnel_map_v4(&found->source, ip->saddr);
	tunnel_map_v4(&found->destination, ip->daddr);
	*ip_bytes = bpf_ntohs(ip->tot_len);
	found->ecn = ip->tos & TUNNEL_ECN;
	found->outer = sizeof(*ip) + sizeof(*head);
	return head;
}

static __always_inline struct tunnel_head *tunnel_head6(struct ipv6hdr *ip, void *end, __be16 port,
							struct tunnel_found *found, __u32 *ip_bytes)
{
	struct tunnel_head *head = (void *)(ip + 1);

	if ((void *)(&head->geneve + 1) > end || ip->nexthdr != IPPROTO_UDP ||
	    head->udp.dest != port)
		return NULL;
	__builtin_memcpy(&found->source, &ip->saddr, 16);
	__builtin_memcpy(&found->destination, &ip->daddr, 16);
	*ip_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	found->ecn = ((__u8 *)ip)[1] >> 4 & TUNNEL_ECN;
	found->outer = sizeof(*ip) + sizeof(*head);
	return head;
}

static __always_inline struct tunnel_head *tunnel_outer(void *data, void *end, __be16 port,
							struct tunnel_found *found, __u32 *ip_bytes)
{
	struct ethhdr *eth = data;
	struct tunnel_head *head = NULL;

	if ((void *)(eth + 1) > end)
		return NULL;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		head = tunnel_head4((void *)(eth + 1), end, port, found, ip_bytes);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		head = tunnel_head6((void *)(eth + 1), end, port, found, ip_bytes);
	if (head)
		found->source_port = head->udp.source;
	return head;
}

static __always_inline bool tunnel_option_good(const struct tunnel_head *head)
{
	return head->geneve.version_length == sizeof(struct tunnel_option) / 4 &&
	       head->geneve.flags == TUNNEL_CRITICAL &&
	       head->option.option_class == bpf_htons(TUNNEL_OPTION_CLASS) &&
	       head->option.type == TUNNEL_OPTION_TYPE &&
	       head->option.length == sizeof(struct tunnel_option) / 4 - 1;
}

static __always_inline __u64 tunnel_be64(const __u8 *byte)
{
	__u64 value;

	__builtin_memcpy(&value, byte, 8);
	return bpf_be64_to_cpu(value);
}

/*
 * Is this frame a tunnel's, to UDP port `port`? A tagged one is its VLAN device's. `found` must be
 * zeroed; it is filled for DATA, its outer half for AGENTS and MISFORMED.
 */
static __always_inline enum tunnel_kind tunnel_find(void *ctx, enum hook hook, __be16 port,
						    struct tunnel_found *found)
{
	struct tunnel_head *head;
	__u32 ip_bytes = 0;
	void *end;

	if (hook == HOOK_TC && ((struct __sk_buff *)ctx)->vlan_present)
		return TUNNEL_NONE;
	hook_pull_headers(ctx, hook);
	end = hook_data_end(ctx, hook);
	head = tunnel_outer(hook_data(ctx, hook), end, port, found, &ip_bytes);
	if (!head)
		return TUNNEL_NONE;
	if (head->geneve.flags & TUNNEL_CONTROL)
		return TUNNEL_AGENTS;
	if ((void *)(head + 1) > end || !tunnel_option_good(head) ||
	    ip_bytes < found->outer + sizeof(struct iphdr) ||
	    ip_bytes > tunnel_frame_length(ctx, hook) - sizeof(struct ethhdr))
		return TUNNEL_MISFORMED;
	found->inner = ip_bytes - found->outer;
	if (bpf_ntohs(head->udp.len) != sizeof(*head) + found->inner)
		return TUNNEL_MISFORMED;
	found->protocol = head->geneve.protocol;
	found->vni = head->geneve.vni[0] << 16 | head->geneve.vni[1] << 8 | head->geneve.vni[2];
	found->sequence = tunnel_be64(head->option.sequence);
	found->host = bpf_ntohl(head->option.host);
	if (found->protocol != bpf_htons(ETH_P_IP) && found->protocol != bpf_htons(ETH_P_IPV6))
		return TUNNEL_MISFORMED;
	return TUNNEL_DATA;
}

#endif
