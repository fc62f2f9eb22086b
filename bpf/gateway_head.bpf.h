/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The head of a packet in memory: its first bytes from the IP header on are copied, read and
 * changed there, and written back once. So all that is done to them is done by functions that know
 * no hook, each verified once, and no pointer into a packet is ever out of date.
 */
#ifndef ISTHMUS_BPF_GATEWAY_HEAD_H
#define ISTHMUS_BPF_GATEWAY_HEAD_H

#include "lib/csum.bpf.h"
#include "lib/parse.bpf.h"
#include "lib/tunnel.bpf.h"
#include "gateway_maps.bpf.h"

/* An IPv6 header with extensions and TCP, or an error and the headers that it quotes. */
#define HEAD_BYTES 160
/* In the other family an error has two headers that are 28 longer. */
#define OUT_BYTES (HEAD_BYTES + 56)
#define OUT_REST  60 /* of TCP with options */

#define ICMP_BYTES	  8
#define ICMP_ECHO_ANSWER  0
#define ICMP_ECHO_ASKED	  8
#define ICMP6_ECHO_ASKED  128
#define ICMP6_ECHO_ANSWER 129

#define PROTO_ICMP6 58
#define PROTO_DCCP  33
#define PROTO_LITE  136 /* UDP-Lite */

/* A reason of no packet: go on. */
#define GATEWAY_GOES_ON GATEWAY_REASON_COUNT

enum view_kind {
	VIEW_PORTS, /* TCP, UDP */
	VIEW_ASKED, /* ICMP echo; both its ports are the identifier */
	VIEW_ANSWER,
	VIEW_ERROR, /* ICMP */
	VIEW_PLAIN, /* without ports */
	VIEW_LATER, /* fragment */
};

/* What is known of one packet in the head: the packet itself, or the one that an error quotes. */
struct view {
	struct isthmus_addr src, dst;
	__be16 sport, dport;
	__be32 id;    /* of its fragments */
	__u32 l3, l4; /* places in the head */
	__u32 bytes;  /* of the packet, as it says itself */
	__u8 v6, proto, ttl, tos;
	__u8 kind;     /* enum view_kind */
	__u8 fragment; /* enum fragment */
	__u8 tcp_flags;
	__u8 fixed;    /* not to be cut: DF, or IPv6 */
	__be16 offset; /* of a fragment, IPv4's word; its DF too */
	__u16 pad;
};

/* What a packet is to have instead. */
struct rewrite {
	struct isthmus_addr src, dst;
	__be16 sport, dport; /* an echo's identifier is `sport` */
};

/* A packet's whole state while a program works on it. One for each CPU. */
struct work {
	__u8 head[HEAD_BYTES];
	__u8 out[OUT_BYTES]; /* in the other family; before, what an error quoted */
	__u32 have;	     /* bytes of head that are the packet's */
	__u32 out_have;
	__u32 kept; /* where in head what stays behind `out` begins; 0: no family was changed */
	__u32 bytes;
	struct view view, quoted;
	struct rewrite to, to_quoted;
	struct gateway_flow_key key;
	struct gateway_mask_key mask;
	struct gateway_pair_key pair;
	struct gateway_frag_key frag;
	struct gateway_flow flow, fresh;
	struct gateway_host host;
	struct isthmus_addr inside; /* this machine's address at the responder's LAN */
	__u64 now;
	__u32 peer, number;
	__u32 mtu;	/* that what is too long is told */
	__u32 admitted; /* its source may begin flows, see gateway_source.bpf.h */
	__u32 option;	/* place of the one that is looked at */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} gateway_work SEC(".maps");

static __always_inline struct work *work_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gateway_work, &zero);
}

static __always_inline const struct gateway_conf *conf_find(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gateway_conf, &zero);
}

static __always_inline bool addr_is_v4(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !(word[0] | word[1] | (word[2] ^ bpf_htonl(0xffff)));
}

static __always_inline bool addr_is_none(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !(word[0] | word[1] | word[2] | word[3]);
}

/* Bytes [at, at + size) of the packet, if they are there and in the head. */
static __always_inline void *head_at(struct work *w, __u32 at, __u32 size)
{
	hide_from_clang(at);
	if (at > HEAD_BYTES - size || at + size > w->have)
		return NULL;
	return w->head + at;
}

/* ---- between packet and head */

/* 6.1 learns from a comparison with a number that it knows and clang does not, see lib/hook. */
static __always_inline bool length_good(__u32 length, __u32 most)
{
	__u32 least = 1;

	hide_from_clang(least);
	return length >= least && length <= most;
}

static __always_inline int head_load(void *ctx, enum hook hook, struct work *w)
{
	__u32 length = hook_length(ctx, hook);

	if (length <= ETH_HLEN)
		return -1;
	length -= ETH_HLEN;
	w->bytes = length;
	if (length > HEAD_BYTES)
		length = HEAD_BYTES;
	w->have = length;
	hide_from_clang(length);
	if (!length_good(length, HEAD_BYTES))
		return -1;
	if (hook == HOOK_XDP)
		return bpf_xdp_load_bytes(ctx, ETH_HLEN, w->head, length);
	return bpf_skb_load_bytes(ctx, ETH_HLEN, w->head, length);
}

static __always_inline int head_store(void *ctx, enum hook hook, struct work *w)
{
	__u32 length = w->have;

	hide_from_clang(length);
	if (!length_good(length, HEAD_BYTES))
		return -1;
	if (hook == HOOK_XDP)
		return bpf_xdp_store_bytes(ctx, ETH_HLEN, w->head, length);
	return bpf_skb_store_bytes(ctx, ETH_HLEN, w->head, length, BPF_F_RECOMPUTE_CSUM);
}

/* New headers, then what of the head stays behind them: a transport's header at most. */
static __always_inline int out_store(void *ctx, enum hook hook, struct work *w)
{
	__u32 kept = w->kept, length = w->out_have, at = ETH_HLEN + length, rest = w->have - kept;

	hide_from_clang(length);
	hide_from_clang(kept);
	if (!length_good(length, OUT_BYTES) || kept > HEAD_BYTES)
		return -1;
	if (hook == HOOK_XDP
		    ? bpf_xdp_store_bytes(ctx, ETH_HLEN, w->out, length)
		    : bpf_skb_store_bytes(ctx, ETH_HLEN, w->out, length, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (rest > OUT_REST)
		rest = OUT_REST;
	hide_from_clang(rest);
	if (!length_good(rest, OUT_REST))
		return 0;
	if (hook == HOOK_XDP)
		return bpf_xdp_store_bytes(ctx, at, w->head + kept, rest);
	return bpf_skb_store_bytes(ctx, at, w->head + kept, rest, BPF_F_RECOMPUTE_CSUM);
}

/* ---- what it is */

static __always_inline bool proto_is_icmp(const struct view *v)
{
	return v->proto == (v->v6 ? PROTO_ICMP6 : IPPROTO_ICMP);
}

static __always_inline __u8 view_icmp_kind(const struct view *v, __u8 type)
{
	if (v->v6) {
		if (type == ICMP6_ECHO_ASKED)
			return VIEW_ASKED;
		if (type == ICMP6_ECHO_ANSWER)
			return VIEW_ANSWER;
		return type && type < 5 ? VIEW_ERROR : VIEW_PLAIN;
	}
	if (type == ICMP_ECHO_ASKED)
		return VIEW_ASKED;
	if (type == ICMP_ECHO_ANSWER)
		return VIEW_ANSWER;
	/* Unreachable, source quench, time exceeded, parameter problem. */
	return type == 3 || type == 4 || type == 11 || type == 12 ? VIEW_ERROR : VIEW_PLAIN;
}

static __always_inline bool view_v4(struct work *w, struct view *v)
{
	struct iphdr *ip = head_at(w, v->l3, sizeof(*ip));
	__u16 fragment;
	__u32 header;

	if (!ip)
		return false;
	header = ip->ihl * 4;
	if (header < sizeof(*ip))
		return false;
	address_map_v4(&v->src, ip->saddr);
	address_map_v4(&v->dst, ip->daddr);
	v->proto = ip->protocol;
	v->ttl = ip->ttl;
	v->tos = ip->tos;
	v->bytes = bpf_ntohs(ip->tot_len);
	v->id = bpf_htonl(bpf_ntohs(ip->id));
	v->offset = ip->frag_off;
	fragment = bpf_ntohs(ip->frag_off);
	v->fixed = !!(fragment & 0x4000);
	if (fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		v->fragment = fragment & IP_FRAGMENT_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
	v->l4 = v->l3 + header;
	return v->bytes >= header;
}

static __always_inline bool proto_is_extension(__u8 proto)
{
	return proto == IPPROTO_FRAGMENT || proto == IPPROTO_HOPOPTS || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_ROUTING;
}

static __always_inline void view_fragment6(struct view *v, const struct ip6_fragment *fragment)
{
	v->id = fragment->id;
	v->offset = bpf_htons(bpf_ntohs(fragment->offset) >> 3);
	if (fragment->offset & bpf_htons(IP6_MORE_FRAGMENTS))
		v->offset |= bpf_htons(IP_MORE_FRAGMENTS);
	if (fragment->offset & bpf_htons(IP6_FRAGMENT_OFFSET))
		v->fragment = FRAGMENT_LATER;
	else if (v->offset)
		v->fragment = FRAGMENT_FIRST;
}

/*
 * Looks through the headers before the transport's. False: too many, or a way that is still to be
 * gone: then the checksum covers another destination.
 */
static __always_inline bool view_extensions(struct work *w, struct view *v)
{
	__u8 *header;

#pragma unroll
	for (int i = 0; i < IP6_EXTENSIONS; i++) {
		if (!proto_is_extension(v->proto))
			break;
		header = head_at(w, v->l4, 8);
		if (!header || (v->proto == IPPROTO_ROUTING && header[3]))
			return false;
		if (v->proto == IPPROTO_FRAGMENT) {
			view_fragment6(v, (void *)header);
			v->l4 += 8;
		} else {
			v->l4 += (header[1] + 1) * 8;
		}
		v->proto = header[0];
		if (v->fragment == FRAGMENT_LATER)
			return true;
	}
	return !proto_is_extension(v->proto);
}

static __always_inline bool view_v6(struct work *w, struct view *v)
{
	struct ipv6hdr *ip = head_at(w, v->l3, sizeof(*ip));

	if (!ip)
		return false;
	__builtin_memcpy(&v->src, &ip->saddr, 16);
	__builtin_memcpy(&v->dst, &ip->daddr, 16);
	v->v6 = 1;
	v->fixed = 1;
	v->proto = ip->nexthdr;
	v->ttl = ip->hop_limit;
	v->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	v->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	v->l4 = v->l3 + sizeof(*ip);
	return view_extensions(w, v);
}

/* `whole`: not what an error quotes, of which 8 bytes are enough (RFC 792). */
static __always_inline bool view_l4(struct work *w, struct view *v, bool whole)
{
	__u8 *l4;

	v->kind = VIEW_LATER;
	if (v->fragment == FRAGMENT_LATER)
		return true;
	v->kind = VIEW_PLAIN;
	if (v->proto != IPPROTO_TCP && v->proto != IPPROTO_UDP && !proto_is_icmp(v))
		return true;
	l4 = head_at(w, v->l4, 8);
	if (!l4)
		return false;
	if (proto_is_icmp(v)) {
		v->kind = view_icmp_kind(v, l4[0]);
		if (v->kind == VIEW_ASKED || v->kind == VIEW_ANSWER)
			v->sport = v->dport = *(__be16 *)(l4 + 4);
		return true;
	}
	v->kind = VIEW_PORTS;
	v->sport = *(__be16 *)l4;
	v->dport = *(__be16 *)(l4 + 2);
	if (v->proto != IPPROTO_TCP || !whole)
		return true;
	l4 = head_at(w, v->l4, sizeof(struct tcphdr));
	if (!l4)
		return false;
	v->tcp_flags = l4[13];
	return l4[12] >> 4 >= 5;
}

/* 1: good, 0: not IP, -1: lengths or headers contradict each other. */
int view_parse(struct work *w, struct view *v, __u32 at, int whole)
{
	__u8 *first;

	if (!w || !v)
		return -1;
	__builtin_memset(v, 0, sizeof(*v));
	v->l3 = at;
	first = head_at(w, at, 1);
	if (!first)
		return -1;
	if (*first >> 4 == 4 ? !view_v4(w, v) : *first >> 4 == 6 ? !view_v6(w, v) : 1)
		return -1;
	if (v->l4 - v->l3 > v->bytes || (whole && v->bytes > w->bytes))
		return -1;
	/* Padding is no part of it. */
	if (whole && w->have > v->bytes)
		w->have = v->bytes;
	return view_l4(w, v, whole) ? 1 : -1;
}

#endif
