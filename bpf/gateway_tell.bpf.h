/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors of this machine's own, at most GATEWAY_ERRORS_A_S a second to one address. */
#ifndef ISTHMUS_BPF_GATEWAY_TELL_H
#define ISTHMUS_BPF_GATEWAY_TELL_H

#include "lib/count.bpf.h"
#include "gateway_frame.bpf.h"

#define SECOND_NS 1000000000ull

/* May one more be sent to this address in this second? */
static __always_inline bool tell_allowed(const struct isthmus_addr *to, __u64 now)
{
	const __u32 *word = (const __u32 *)to->b;
	__u32 key = word[0] ^ word[1] ^ word[2] ^ word[3];
	__u64 second = now / SECOND_NS << 32, fresh = second | 1, *known;

	known = bpf_map_lookup_elem(&gateway_source, &key);
	if (!known)
		return !bpf_map_update_elem(&gateway_source, &key, &fresh, BPF_ANY);
	if ((*known ^ second) >> 32) {
		*known = fresh;
		return true;
	}
	return (__u32)__sync_fetch_and_add(known, 1) < GATEWAY_ERRORS_A_S;
}

/* An event to fill and submit; NULL: lost. */
static __always_inline struct gateway_event *event_begin(__u8 kind, __u64 now)
{
	struct gateway_event *event = bpf_ringbuf_reserve(&gateway_event, sizeof(*event), 0);

	if (!event) {
		count_packet(&gateway_stats, GATEWAY_EVENT_LOST, 1, 0);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->kind = kind;
	return event;
}

/* ---- the error itself */

#define TELL_QUOTED 128 /* bytes of the packet that it is about */
#define TELL_TTL    64

enum tell { TELL_NOTHING, TELL_EXCEEDED, TELL_TOO_LONG };

/* No error is about an error or a later fragment (RFC 1122, 3.2.2; RFC 4443, 2.4). */
static __always_inline bool tell_may(const struct view *v)
{
	return v->kind != VIEW_ERROR && v->fragment != FRAGMENT_LATER;
}

static __always_inline __u32 tell_quoted(const struct view *v)
{
	return v->bytes < TELL_QUOTED ? v->bytes : TELL_QUOTED;
}

/* The sum of what is quoted; the head's rest is made zeros. */
static __always_inline __u32 tell_sum(struct work *w, __u32 quoted, __u32 seed)
{
	__s64 sum;

	for (__u32 i = 0; i < 4; i++)
		if (quoted + i < HEAD_BYTES)
			w->head[quoted + i] = 0;
	quoted = (quoted + 3) & ~3u;
	hide_from_clang(quoted);
	if (quoted > TELL_QUOTED)
		return 0;
	sum = bpf_csum_diff(NULL, 0, (void *)w->head, quoted, seed);
	return csum_fold(sum);
}

static __always_inline void tell_icmp4(struct work *w, enum tell what, __u32 mtu)
{
	__u32 quoted = tell_quoted(&w->view);
	struct iphdr *ip = (void *)w->out;
	__u16 *icmp = (void *)(ip + 1), *word = (void *)ip;
	__u32 sum = 0;

	__builtin_memset(w->out, 0, 28);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(28 + quoted);
	ip->ttl = TELL_TTL;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = *(__be32 *)&w->to.src.b[12];
	ip->daddr = *(__be32 *)&w->to.dst.b[12];
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	ip->check = ~csum_fold(sum);
	icmp[0] = what == TELL_EXCEEDED ? bpf_htons(11 << 8) : bpf_htons(3 << 8 | 4);
	icmp[3] = what == TELL_EXCEEDED ? 0 : bpf_htons(mtu);
	icmp[1] = ~tell_sum(w, quoted, icmp[0] + icmp[3]);
}

static __always_inline void tell_icmp6(struct work *w, enum tell what, __u32 mtu)
{
	__u32 quoted = tell_quoted(&w->view), length = 8 + quoted, sum = 0;
	struct ipv6hdr *ip = (void *)w->out;
	__u16 *icmp = (void *)(ip + 1), *word = (void *)&ip->saddr;

	__builtin_memset(w->out, 0, 48);
	ip->version = 6;
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = PROTO_ICMP6;
	ip->hop_limit = TELL_TTL;
	__builtin_memcpy(&ip->saddr, &w->to.src, 16);
	__builtin_memcpy(&ip->daddr, &w->to.dst, 16);
#pragma unroll
	for (int i = 0; i < 16; i++)
		sum += word[i];
	icmp[0] = what == TELL_EXCEEDED ? bpf_htons(3 << 8) : bpf_htons(2 << 8);
	icmp[3] = what == TELL_EXCEEDED ? 0 : bpf_htons(mtu);
	sum += bpf_htons(length) + bpf_htons(PROTO_ICMP6) + icmp[0] + icmp[3];
	icmp[1] = ~tell_sum(w, quoted, sum);
}

/* Lays it out from w->to.src to w->to.dst, about w->view, which the head still holds. Its length.
 */
int tell_build(struct work *w, int what, __u32 mtu)
{
	if (!w)
		return 0;
	if (w->view.v6)
		tell_icmp6(w, what, mtu);
	else
		tell_icmp4(w, what, mtu);
	return (w->view.v6 ? 48 : 28) + tell_quoted(&w->view);
}

static __always_inline int tell_store(void *ctx, enum hook hook, struct work *w)
{
	__u32 length = w->view.v6 ? 48 : 28;

	if (hook == HOOK_XDP)
		return bpf_xdp_store_bytes(ctx, ETH_HLEN, w->out, length);
	return bpf_skb_store_bytes(ctx, ETH_HLEN, w->out, length, BPF_F_RECOMPUTE_CSUM);
}

/* The frame's packet becomes the error about it. Bytes of it; 0: there is none. */
static __always_inline __u32 tell_make(void *ctx, enum hook hook, struct work *w, enum tell what,
				       __u32 mtu)
{
	int bytes;

	if (!tell_may(&w->view))
		return 0;
	if (!tell_allowed(&w->to.dst, w->now)) {
		count_packet(&gateway_stats, GATEWAY_ERROR_LIMITED, 1, 0);
		return 0;
	}
	bytes = tell_build(w, what, mtu);
	if (frame_trim(ctx, hook, tell_quoted(&w->view)) ||
	    frame_grow(ctx, hook, w->view.v6 ? 48 : 28, w->view.v6) || tell_store(ctx, hook, w))
		return 0;
	count_packet(&gateway_stats, GATEWAY_ERROR_SENT, 1, ETH_HLEN + bytes);
	return bytes;
}

#endif
