/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From one family to the other (RFC 7915, for W13 and W19). The new headers are laid out in w->out;
 * what is behind them, `kept` in the head, stays where it is in the packet but for its ports and
 * checksum. Not done, and counted as UNTRANSLATABLE: UDP over IPv4 without a checksum, fragmented
 * echoes, ICMP that is neither echo nor error.
 */
#ifndef ISTHMUS_BPF_GATEWAY_FAMILY_H
#define ISTHMUS_BPF_GATEWAY_FAMILY_H

#include "gateway_icmp.bpf.h"
#include "gateway_rewrite.bpf.h"

#define FAMILY_SMALL 1260 /* IPv4 that short may be cut again (RFC 7915, 5.1) */

static __always_inline void *out_at(struct work *w, __u32 at, __u32 size)
{
	hide_from_clang(at);
	return at > OUT_BYTES - size ? NULL : w->out + at;
}

static __always_inline __u8 proto_other(const struct view *v)
{
	if (!proto_is_icmp(v))
		return v->proto;
	return v->v6 ? IPPROTO_ICMP : PROTO_ICMP6;
}

/* Bytes of the header that a packet of this view has in the other family. */
static __always_inline __u32 family_header(const struct view *v)
{
	if (v->v6)
		return sizeof(struct iphdr);
	return sizeof(struct ipv6hdr) + (v->fragment ? sizeof(struct ip6_fragment) : 0);
}

static __always_inline __u32 family_payload(const struct view *v)
{
	return v->bytes - (v->l4 - v->l3);
}

/* How much longer the packet will be; of an error's payload see family_error(). */
static __always_inline __s32 family_grow(const struct view *v)
{
	return (__s32)family_header(v) - (__s32)(v->l4 - v->l3);
}

/* ---- IP headers */

static __always_inline int family_to6(struct work *w, __u32 at, const struct view *v,
				      const struct rewrite *to, __u8 hops)
{
	__u32 payload = family_payload(v) + (v->fragment ? sizeof(struct ip6_fragment) : 0);
	struct ipv6hdr *ip = out_at(w, at, sizeof(*ip) + sizeof(struct ip6_fragment));
	struct ip6_fragment *fragment;
	__u16 offset = bpf_ntohs(v->offset);

	if (!ip)
		return -1;
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)v->tos << 20);
	ip->payload_len = bpf_htons(payload);
	ip->nexthdr = v->fragment ? IPPROTO_FRAGMENT : proto_other(v);
	ip->hop_limit = hops;
	__builtin_memcpy(&ip->saddr, &to->src, 16);
	__builtin_memcpy(&ip->daddr, &to->dst, 16);
	if (!v->fragment)
		return 0;
	fragment = (void *)(ip + 1);
	fragment->next = proto_other(v);
	fragment->reserved = 0;
	fragment->offset = bpf_htons((offset & IP_FRAGMENT_OFFSET) << 3 |
				     (offset & IP_MORE_FRAGMENTS ? IP6_MORE_FRAGMENTS : 0));
	fragment->id = v->id;
	return 0;
}

static __always_inline int family_to4(struct work *w, __u32 at, const struct view *v,
				      const struct rewrite *to, __u8 ttl)
{
	__u32 bytes = sizeof(struct iphdr) + family_payload(v), sum = 0;
	struct iphdr *ip = out_at(w, at, sizeof(*ip));
	__u16 *word = (void *)ip;

	if (!ip)
		return -1;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = v->tos;
	ip->tot_len = bpf_htons(bytes);
	ip->id = bpf_htons(bpf_ntohl(v->id));
	ip->frag_off = v->offset;
	if (!v->fragment && !v->id) {
		ip->id = bytes > FAMILY_SMALL ? 0 : bpf_get_prandom_u32();
		ip->frag_off = bytes > FAMILY_SMALL ? bpf_htons(0x4000) : 0;
	}
	ip->ttl = ttl;
	ip->protocol = proto_other(v);
	ip->check = 0;
	ip->saddr = *(__be32 *)&to->src.b[12];
	ip->daddr = *(__be32 *)&to->dst.b[12];
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	ip->check = ~csum_fold(sum);
	return 0;
}

static __always_inline int family_ip(struct work *w, __u32 at, const struct view *v,
				     const struct rewrite *to, __u8 ttl)
{
	return v->v6 ? family_to4(w, at, v, to, ttl) : family_to6(w, at, v, to, ttl);
}

/* ---- what it carries */

/* The sum of an ICMPv6 message's pseudo-header, whose ends are in `ends`. */
static __always_inline __u32 family_pseudo(const struct isthmus_addr *src,
					   const struct isthmus_addr *dst, __u32 length)
{
	const __u16 *a = (const __u16 *)src->b, *b = (const __u16 *)dst->b;
	__u32 sum = bpf_htons(length) + bpf_htons(PROTO_ICMP6);

#pragma unroll
	for (int i = 0; i < 8; i++)
		sum += a[i] + b[i];
	return csum_fold(sum);
}

/* What a pseudo-header that comes or goes adds to an ICMP checksum. */
static __always_inline __u32 family_pseudo_delta(const struct view *v, const struct rewrite *to,
						 __u32 length)
{
	if (v->v6)
		return (__u16)~family_pseudo(&v->src, &v->dst, family_payload(v));
	return family_pseudo(&to->src, &to->dst, length);
}

static __always_inline int family_echo(struct work *w, const struct view *v,
				       const struct rewrite *to)
{
	__be16 *icmp = head_at(w, v->l4, ICMP_BYTES);
	__be16 type;
	__u32 delta;

	if (!icmp || v->fragment)
		return -1;
	if (v->v6)
		type = v->kind == VIEW_ASKED ? bpf_htons(ICMP_ECHO_ASKED << 8)
					     : bpf_htons(ICMP_ECHO_ANSWER << 8);
	else
		type = v->kind == VIEW_ASKED ? bpf_htons(ICMP6_ECHO_ASKED << 8)
					     : bpf_htons(ICMP6_ECHO_ANSWER << 8);
	delta = word_delta(icmp[0], type) + word_delta(icmp[2], to->sport) +
		family_pseudo_delta(v, to, family_payload(v));
	icmp[0] = type;
	icmp[2] = to->sport;
	csum_update((__u16 *)&icmp[1], delta);
	return 0;
}

static __always_inline int family_ports(struct work *w, const struct view *v,
					const struct rewrite *to)
{
	__be16 *udp;
	__u32 delta;

	if (v->proto == IPPROTO_UDP && !v->v6) {
		udp = head_at(w, v->l4, 8);
		if (!udp || !udp[3])
			return -1;
	}
	delta = csum_fold(addr_delta(&v->src, &to->src) + addr_delta(&v->dst, &to->dst));
	view_fix_check(w, v, delta + view_set_ports(w, v, to));
	return 0;
}

/* The transport's part that is in the head. -1: it has no other form. */
static __always_inline int family_l4(struct work *w, const struct view *v, const struct rewrite *to)
{
	switch (v->kind) {
	case VIEW_ASKED:
	case VIEW_ANSWER:
		return family_echo(w, v, to);
	case VIEW_PORTS:
		return family_ports(w, v, to);
	case VIEW_LATER:
		return 0;
	case VIEW_PLAIN:
		if (proto_is_icmp(v))
			return -1;
		return family_ports(w, v, to);
	default:
		return -1;
	}
}

/* ---- */

static __always_inline __s64 head_sum(struct work *w, __u32 at)
{
	hide_from_clang(at);
	if (at > HEAD_BYTES - 4)
		return 0;
	return bpf_csum_diff(NULL, 0, (void *)(w->head + at), (HEAD_BYTES - at) & ~3u, 0);
}

/* An error: both its headers, its own, and what it quotes. */
static __always_inline int family_error(struct work *w)
{
	const struct view *v = &w->view, *q = &w->quoted;
	__u32 first = family_header(v), second = family_header(q), payload;
	__u32 old, at = first + ICMP_BYTES;
	struct icmp_form form;
	__be16 *icmp;

	if (v->fragment || icmp_other(w, v, &form))
		return -1;
	/* Beyond the packet's end nothing counts. */
	for (__u32 i = 0; i < HEAD_BYTES; i++)
		if (i >= w->have)
			w->head[i] = 0;
	old = csum_fold(head_sum(w, v->l4));
	if (family_l4(w, q, &w->to_quoted) || family_ip(w, at, q, &w->to_quoted, q->ttl))
		return -1;
	payload = family_payload(v) + second - (q->l4 - q->l3);
	icmp = out_at(w, first, ICMP_BYTES);
	if (!icmp)
		return -1;
	icmp[0] = form.type_code;
	icmp[1] = 0;
	*(__be32 *)&icmp[2] = form.rest;
	old = (__u16)~old + csum_fold(head_sum(w, q->l4)) + family_pseudo_delta(v, &w->to, payload);
	hide_from_clang(first);
	if (first > sizeof(struct ipv6hdr) + 8)
		return -1;
	old += csum_fold(
		bpf_csum_diff(NULL, 0, (void *)(w->out + first), (ICMP_BYTES + second) & 0x3c, 0));
	icmp = out_at(w, first, ICMP_BYTES);
	if (!icmp)
		return -1;
	icmp[1] = ~csum_fold(old);
	w->kept = q->l4;
	w->out_have = at + second;
	w->view.bytes += second - (q->l4 - q->l3);
	return 0;
}

/* Its own header vouches for an IPv4 packet; in IPv6 nothing would tell any more that it was
 * damaged. */
static __always_inline bool family_header_good(struct work *w)
{
	__u32 size = w->view.l4;

	hide_from_clang(size);
	if (w->view.v6)
		return true;
	if (size > 60)
		return false;
	return csum_fold(bpf_csum_diff(NULL, 0, (void *)w->head, size & 0x3c, 0)) == 0xffff;
}

/* w->view becomes w->to in the other family: w->out, w->kept, and w->view.bytes as it will be. */
int family_translate(struct work *w)
{
	if (!w || !family_header_good(w))
		return -1;
	w->kept = w->view.l4;
	w->out_have = family_header(&w->view);
	if (w->view.kind == VIEW_ERROR ? family_error(w) : family_l4(w, &w->view, &w->to))
		return -1;
	if (family_ip(w, 0, &w->view, &w->to, w->view.ttl - 1))
		return -1;
	w->view.bytes = family_payload(&w->view) + family_header(&w->view);
	w->view.v6 = !w->view.v6;
	return 0;
}

#endif
