/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses, ports and identifiers of a packet in the head, and of the packet that an error quotes,
 * with their checksums (RFC 1624); its TTL; the MSS that its SYN offers.
 */
#ifndef ISTHMUS_BPF_GATEWAY_REWRITE_H
#define ISTHMUS_BPF_GATEWAY_REWRITE_H

#include "gateway_head.bpf.h"

#define TCP_OPTIONS 40
#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_MSS 2

/* The sum of ~old + new. Mapped IPv4 addresses differ in their last words alone. */
static __always_inline __u32 addr_delta(const struct isthmus_addr *from,
					const struct isthmus_addr *to)
{
	const __u32 *old = (const __u32 *)from->b, *new = (const __u32 *)to->b;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 4; i++)
		sum = csum_add(csum_sub(sum, old[i]), new[i]);
	return csum_fold(sum);
}

static __always_inline __u32 word_delta(__be16 from, __be16 to)
{
	return (__u16)~from + (__u32)to;
}

static __always_inline void view_set_addresses(struct work *w, const struct view *v,
					       const struct rewrite *to, __u32 delta)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	if (v->v6) {
		ip6 = head_at(w, v->l3, sizeof(*ip6));
		if (!ip6)
			return;
		__builtin_memcpy(&ip6->saddr, &to->src, 16);
		__builtin_memcpy(&ip6->daddr, &to->dst, 16);
		return;
	}
	ip = head_at(w, v->l3, sizeof(*ip));
	if (!ip)
		return;
	ip->saddr = *(__be32 *)&to->src.b[12];
	ip->daddr = *(__be32 *)&to->dst.b[12];
	csum_update(&ip->check, delta);
}

/* Where in its header a transport has the checksum that covers addresses too; 0: it has none. */
static __always_inline __u32 proto_check_at(const struct view *v)
{
	switch (v->proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case PROTO_LITE:
	case PROTO_DCCP:
		return 6;
	case PROTO_ICMP6:
		return v->v6 ? 2 : 0;
	default:
		return 0;
	}
}

static __always_inline void view_fix_check(struct work *w, const struct view *v, __u32 delta)
{
	__u32 at = proto_check_at(v);
	__u16 *check;

	if (!at)
		return;
	check = head_at(w, v->l4 + at, 2);
	if (!check)
		return; /* an error quotes no more */
	if (v->proto == IPPROTO_UDP)
		csum_update_udp(check, delta);
	else
		csum_update(check, delta);
}

/* Returns what that adds to a checksum over the transport's header. */
static __always_inline __u32 view_set_ports(struct work *w, const struct view *v,
					    const struct rewrite *to)
{
	__be16 *word;
	__u32 delta;

	if (v->kind == VIEW_PORTS) {
		word = head_at(w, v->l4, 4);
		if (!word)
			return 0;
		word[0] = to->sport;
		word[1] = to->dport;
		return word_delta(v->sport, to->sport) + word_delta(v->dport, to->dport);
	}
	if (v->kind != VIEW_ASKED && v->kind != VIEW_ANSWER)
		return 0;
	word = head_at(w, v->l4, 6);
	if (!word)
		return 0;
	word[2] = to->sport;
	delta = word_delta(v->sport, to->sport);
	if (!v->v6)
		csum_update(&word[1], delta);
	return delta;
}

int view_rewrite(struct work *w, const struct view *v, const struct rewrite *to)
{
	__u32 delta;

	if (!w || !v || !to)
		return -1;
	delta = csum_fold(addr_delta(&v->src, &to->src) + addr_delta(&v->dst, &to->dst));
	view_set_addresses(w, v, to, delta);
	if (v->fragment != FRAGMENT_LATER)
		view_fix_check(w, v, delta + view_set_ports(w, v, to));
	return 0;
}

/* One hop less; the caller has seen that one is left. */
static __always_inline void view_age(struct work *w, const struct view *v)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	if (v->v6) {
		ip6 = head_at(w, v->l3, sizeof(*ip6));
		if (ip6)
			ip6->hop_limit--;
		return;
	}
	ip = head_at(w, v->l3, sizeof(*ip));
	if (!ip)
		return;
	ip->ttl--;
	csum_update(&ip->check, CSUM_TTL_DELTA_V4);
}

/* An error: what it quotes, then itself. Everything behind its header may have changed. */
int error_rewrite(struct work *w)
{
	__u32 from, size;
	__u16 *check;
	__s64 sum;

	if (!w)
		return -1;
	from = w->view.l4 + ICMP_BYTES;
	hide_from_clang(from);
	if (from > HEAD_BYTES - 4)
		return -1;
	size = (HEAD_BYTES - from) & ~3u;
	__builtin_memcpy(w->out, w->head, HEAD_BYTES);
	view_rewrite(w, &w->quoted, &w->to_quoted);
	sum = bpf_csum_diff((void *)(w->out + from), size, (void *)(w->head + from), size, 0);
	check = head_at(w, w->view.l4 + 2, 2);
	if (sum < 0 || !check)
		return -1;
	csum_update(check, csum_fold(sum));
	return view_rewrite(w, &w->view, &w->to);
}

/*
 * Where a SYN's MSS stands in the head; 0: nowhere. The place is kept in memory, where the verifier
 * forgets what it knew of it, so that it follows each step once and not all ways to it.
 */
static __always_inline __u32 mss_find(struct work *w, __u32 end)
{
	volatile __u32 *place = &w->option;
	__u8 *option;
	__u32 at;

	for (int i = 0; i < TCP_OPTIONS; i++) {
		at = *place;
		if (at >= end)
			return 0;
		option = head_at(w, at, 2);
		if (!option || option[0] == TCP_OPT_END)
			return 0;
		if (option[0] == TCP_OPT_NOP) {
			*place = at + 1;
			continue;
		}
		if (option[0] == TCP_OPT_MSS)
			return option[1] == 4 && at + 4 <= end ? at + 2 : 0;
		if (option[1] < 2)
			return 0;
		*place = at + option[1];
	}
	return 0;
}

/* A SYN's MSS is at most `mss`, so that what answers it fits into the tunnel. */
int mss_clamp(struct work *w, __u32 mss)
{
	__u32 at, l4, delta;
	__be16 *value;
	__u8 *tcp;

	if (!w)
		return -1;
	l4 = w->view.l4;
	tcp = head_at(w, l4, sizeof(struct tcphdr));
	if (!tcp)
		return -1;
	w->option = l4 + sizeof(struct tcphdr);
	at = mss_find(w, l4 + (tcp[12] >> 4) * 4);
	value = head_at(w, at, 2);
	if (!at || !value || bpf_ntohs(*value) <= mss)
		return 0;
	delta = word_delta(*value, bpf_htons(mss));
	*value = bpf_htons(mss);
	/* An option may begin at an odd place, and a checksum's words do not. */
	if ((at - l4) & 1)
		delta = __builtin_bswap16(csum_fold(delta));
	view_fix_check(w, &w->view, delta);
	return 1;
}

#endif
