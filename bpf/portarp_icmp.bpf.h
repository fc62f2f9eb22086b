/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What steers a packet, or the packet that an ICMP error quotes (RFC 5508, REQ-3): ports, the
 * identifier of an ICMP query as if it were one (RFC 7596, 8.1), or a pseudo-port.
 */
#ifndef ISTHMUS_BPF_PORTARP_ICMP_H
#define ISTHMUS_BPF_PORTARP_ICMP_H

#include "portarp_ip.bpf.h"

#define ICMP_BYTES  8
#define QUOTE_BYTES 8 /* of a transport header, at least (RFC 792) */

#define GRE_CHECKSUM bpf_htons(0x8000)
#define GRE_ROUTING  bpf_htons(0x4000)
#define GRE_KEY	     bpf_htons(0x2000)
#define GRE_VERSION  bpf_htons(0x0007)

enum icmp_kind { ICMP_QUERY_KIND, ICMP_ANSWER_KIND, ICMP_ERROR_KIND, ICMP_OTHER_KIND };

static __always_inline enum icmp_kind icmp_kind(__u8 type)
{
	switch (type) {
	case 8:	 /* echo */
	case 13: /* timestamp */
	case 15: /* information */
	case 17: /* address mask */
		return ICMP_QUERY_KIND;
	case 0:
	case 14:
	case 16:
	case 18:
		return ICMP_ANSWER_KIND;
	case 3:	 /* unreachable, fragmentation needed */
	case 4:	 /* source quench */
	case 5:	 /* redirect */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
		return ICMP_ERROR_KIND;
	default:
		return ICMP_OTHER_KIND;
	}
}

enum ticket_kind {
	TICKET_BAD,    /* cut off, or what nothing is steered by */
	TICKET_PORTS,  /* sport, dport */
	TICKET_QUERY,  /* an ICMP query: both are its identifier */
	TICKET_ANSWER, /* of one */
	TICKET_ERROR,
	TICKET_PSEUDO, /* sent_id, id */
	TICKET_LATER,  /* only its fragment key */
};

struct ticket {
	__be32 src, dst;
	__be32 id;	    /* pseudo-port of who receives; 0 = none */
	__be32 sent_id;	    /* of who sends */
	__be16 fragment_id; /* IP's */
	__u16 sport, dport; /* host order; SCTP has them too */
	__u8 proto;
	__u8 kind;	/* enum ticket_kind */
	__u8 symmetric; /* the directions have one pseudo-port, or each its port */
	__u8 fragment;	/* enum fragment */
};

static __always_inline void ticket_icmp(struct ticket *t, const __u8 *l4)
{
	enum icmp_kind kind = icmp_kind(l4[0]);

	t->sport = bpf_ntohs(*(const __be16 *)(l4 + 4));
	t->dport = t->sport;
	if (kind == ICMP_QUERY_KIND)
		t->kind = TICKET_QUERY;
	else if (kind == ICMP_ANSWER_KIND)
		t->kind = TICKET_ANSWER;
	else if (kind == ICMP_ERROR_KIND)
		t->kind = TICKET_ERROR;
}

/* RFC 2890: a key behind a checksum. PPTP (RFC 2637): the receiver's call. */
static __always_inline void ticket_gre(struct ticket *t, const __u8 *l4, const void *end)
{
	__be16 flags;

	if ((const void *)(l4 + 4) > end)
		return;
	t->kind = TICKET_PSEUDO;
	flags = *(const __be16 *)l4;
	t->symmetric = !(flags & GRE_VERSION);
	if (!(flags & GRE_KEY))
		return;
	t->kind = TICKET_BAD;
	if (flags & (GRE_CHECKSUM | GRE_ROUTING))
		l4 += 4;
	if ((const void *)(l4 + 8) > end)
		return;
	t->kind = TICKET_PSEUDO;
	t->id = t->symmetric ? *(const __be32 *)(l4 + 4) : *(const __be16 *)(l4 + 6);
	t->sent_id = t->id;
}

static __always_inline void ticket_pseudo(struct ticket *t, const __u8 *l4, const void *end)
{
	t->kind = TICKET_PSEUDO;
	if (t->proto == IPPROTO_GRE) {
		t->kind = TICKET_BAD;
		ticket_gre(t, l4, end);
		return;
	}
	if (t->proto != IPPROTO_ESP && t->proto != IPPROTO_AH && t->proto != IPPROTO_SCTP)
		return;
	if ((const void *)(l4 + 8) > end) {
		t->kind = TICKET_BAD;
	} else if (t->proto == IPPROTO_SCTP) {
		t->symmetric = 1;
		t->sport = bpf_ntohs(*(const __be16 *)l4);
		t->dport = bpf_ntohs(*(const __be16 *)(l4 + 2));
		t->sent_id = bpf_htonl(t->sport);
		t->id = bpf_htonl(t->dport);
	} else {
		t->id = *(const __be32 *)(t->proto == IPPROTO_AH ? l4 + 4 : l4);
		t->sent_id = t->id;
	}
}

/* `t` must be zeroed; `end` bounds what may be read. */
static __always_inline void ticket_read(struct ticket *t, const struct iphdr *ip, const __u8 *l4,
					const void *end)
{
	__u16 fragment = bpf_ntohs(ip->frag_off);

	t->src = ip->saddr;
	t->dst = ip->daddr;
	t->fragment_id = ip->id;
	t->proto = ip->protocol;
	if (fragment & IP_FRAGMENT_OFFSET) {
		t->fragment = FRAGMENT_LATER;
		t->kind = TICKET_LATER;
		return;
	}
	if (fragment & IP_MORE_FRAGMENTS)
		t->fragment = FRAGMENT_FIRST;
	if (!proto_has_ports(t->proto) && t->proto != IPPROTO_ICMP) {
		ticket_pseudo(t, l4, end);
		return;
	}
	if ((const void *)(l4 + QUOTE_BYTES) > end)
		return;
	if (t->proto == IPPROTO_ICMP) {
		ticket_icmp(t, l4);
		return;
	}
	t->kind = TICKET_PORTS;
	t->sport = bpf_ntohs(*(const __be16 *)l4);
	t->dport = bpf_ntohs(*(const __be16 *)(l4 + 2));
}

/* Ethernet's padding is no part of a packet: does the packet itself reach as far as `bytes`? */
static __always_inline bool ip4_reaches(const struct ip4 *p, const void *to)
{
	return (__u32)(to - (const void *)p->ip) <= p->bytes;
}

/* The packet's own ticket. */
static __noinline void ticket_packet(const struct ip4 *p, struct ticket *t)
{
	__builtin_memset(t, 0, sizeof(*t));
	if ((void *)(p->ip + 1) > p->end)
		return;
	ticket_read(t, p->ip, p->l4, p->end);
	/* ip4_parse() has checked ports and ICMP; the longest pseudo-port ends at byte 12. */
	if (t->kind == TICKET_PSEUDO && t->id && p->bytes < p->ip->ihl * 4u + 8)
		t->kind = TICKET_BAD;
}

/* That of the packet which an ICMP error quotes. */
static __noinline void ticket_quoted(const struct ip4 *p, struct ticket *t)
{
	const struct iphdr *ip = p->l4 + ICMP_BYTES;
	const __u8 *l4;

	__builtin_memset(t, 0, sizeof(*t));
	if ((void *)(ip + 1) > p->end || ip->version != 4 || ip->ihl < 5)
		return;
	l4 = (const __u8 *)ip + ip->ihl * 4;
	if (!ip4_reaches(p, l4 + QUOTE_BYTES))
		return;
	ticket_read(t, ip, l4, p->end);
}

#endif
