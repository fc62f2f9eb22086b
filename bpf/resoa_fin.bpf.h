/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * R10 (4.3): a peer's FIN is acknowledged when the client has all data, not when the server has.
 *
 *	OFF ──daemon──> ARMED ──FIN: position told──> HELD_BACK ──daemon: delivered──> OPEN
 *
 * While ARMED or HELD_BACK the flag is taken out of every segment at ingress, so that the kernel
 * acknowledges the data and no FIN. To open the gate the daemon sends a FIN to itself: it leaves
 * by the peer's device with RESOA_FIN_MARK, is turned round, and gets the acknowledgment number of
 * this moment.
 *
 * What the kernel would refuse must not be believed here: whoever guesses the addresses could end
 * a client's data where he likes. Such a FIN, and one whose place cannot be told, is taken away and
 * not told; if it is the peer's it comes again.
 */
#ifndef ISTHMUS_BPF_RESOA_FIN_H
#define ISTHMUS_BPF_RESOA_FIN_H

#include "lib/finish.bpf.h"
#include "resoa_kernel.bpf.h"
#include "resoa_tell.bpf.h"

#define FIN_FLAGS  (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)
#define FIN_ACK	   8  /* of TCP's header: acknowledgment number */
#define FIN_WORD   12 /* data offset and flags */
#define FIN_CHECK  16
#define FIN_NO_WAY (-1)

struct fin_segment {
	struct resoa_names names;
	struct bpf_sock_tuple tuple;
	__u32 tuple_bytes;
	__u32 link; /* bytes before the IP header */
	__u32 l4;   /* from the IP header to TCP's */
	__u32 ip_bytes;
	__u32 headers; /* IP's and TCP's */
	__u32 fin_seq; /* that of the FIN; not of a fragment */
	__u32 seq, ack;
	__be16 window, check;
	__u8 family;
	bool fragment, bad;
	bool syn; /* no FIN but a peer's SYN: resoa_knock.bpf.h */
};

/* ---- finding it: every packet comes through here, few are FINs or SYNs */

static __always_inline bool fin_load(struct __sk_buff *skb, __u32 at, void *to, __u32 length)
{
	return !bpf_skb_load_bytes_relative(skb, at, to, length, BPF_HDR_START_NET);
}

static __always_inline bool fin_find4(struct __sk_buff *skb, struct fin_segment *s)
{
	struct iphdr ip;

	if (!fin_load(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
	    ip.frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return false;
	s->family = 4;
	s->l4 = ip.ihl * 4;
	s->ip_bytes = bpf_ntohs(ip.tot_len);
	s->fragment = ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS);
	s->bad = ip.ihl < 5;
	s->tuple.ipv4.saddr = ip.saddr;
	s->tuple.ipv4.daddr = ip.daddr;
	address_map_v4(&s->names.remote, ip.saddr);
	address_map_v4(&s->names.local, ip.daddr);
	return true;
}

/* The next header behind `type`, and how long this one is; 0: not one that may stand before TCP. */
static __always_inline __u32 fin_extension(struct __sk_buff *skb, __u32 at, __u8 *type,
					   struct fin_segment *s)
{
	struct ip6_fragment header; /* `reserved` is where others have their length */

	if (!fin_load(skb, at, &header, sizeof(header)))
		return 0;
	if (*type == IPPROTO_FRAGMENT) {
		if (header.offset & bpf_htons(IP6_FRAGMENT_OFFSET))
			return 0;
		s->fragment = header.offset & bpf_htons(IP6_MORE_FRAGMENTS);
		*type = header.next;
		return sizeof(header);
	}
	if (*type != IPPROTO_HOPOPTS && *type != IPPROTO_DSTOPTS && *type != IPPROTO_ROUTING)
		return 0;
	*type = header.next;
	return (header.reserved + 1) * 8;
}

static __always_inline bool fin_find6(struct __sk_buff *skb, struct fin_segment *s)
{
	struct ipv6hdr ip;
	__u32 more;
	__u8 type;

	if (!fin_load(skb, 0, &ip, sizeof(ip)))
		return false;
	s->family = 6;
	s->l4 = sizeof(ip);
	s->ip_bytes = sizeof(ip) + bpf_ntohs(ip.payload_len);
	type = ip.nexthdr;
	for (int i = 0; i < IP6_EXTENSIONS && type != IPPROTO_TCP; i++) {
		more = fin_extension(skb, s->l4, &type, s);
		if (!more)
			return false;
		s->l4 += more;
	}
	__builtin_memcpy(&s->names.remote, &ip.saddr, 16);
	__builtin_memcpy(&s->names.local, &ip.daddr, 16);
	__builtin_memcpy(s->tuple.ipv6.saddr, &ip.saddr, 16);
	__builtin_memcpy(s->tuple.ipv6.daddr, &ip.daddr, 16);
	return type == IPPROTO_TCP;
}

/* A device has a link header of Ethernet's length, or none: where the frame goes on as the packet
 * does. */
static __always_inline int fin_link(struct __sk_buff *skb)
{
	__u32 net[5], frame[5];

	if (!fin_load(skb, 0, net, sizeof(net)))
		return FIN_NO_WAY;
#pragma unroll
	for (int at = ETH_HLEN; at >= 0; at -= ETH_HLEN) {
		if (bpf_skb_load_bytes(skb, at, frame, sizeof(frame)))
			continue;
		if (!((net[0] ^ frame[0]) | (net[1] ^ frame[1]) | (net[2] ^ frame[2]) |
		      (net[3] ^ frame[3]) | (net[4] ^ frame[4])))
			return at;
	}
	return FIN_NO_WAY;
}

static __always_inline void fin_ports(struct fin_segment *s, const struct tcphdr *tcp)
{
	s->names.remote_port = tcp->source;
	s->names.local_port = tcp->dest;
	if (s->family == 4) {
		s->tuple.ipv4.sport = tcp->source;
		s->tuple.ipv4.dport = tcp->dest;
		s->tuple_bytes = sizeof(s->tuple.ipv4);
	} else {
		s->tuple.ipv6.sport = tcp->source;
		s->tuple.ipv6.dport = tcp->dest;
		s->tuple_bytes = sizeof(s->tuple.ipv6);
	}
}

/* Lengths, judged when the segment is known to be a FIN. Longer than IP can say: BIG TCP. */
static __always_inline void fin_lengths(struct __sk_buff *skb, struct fin_segment *s,
					const struct tcphdr *tcp)
{
	__u32 length = skb->len - s->link;

	if (length > 0xffff)
		s->ip_bytes = length;
	s->headers = s->l4 + tcp->doff * 4;
	s->bad |= tcp->doff < 5 || s->ip_bytes < s->headers || s->ip_bytes > length;
	s->seq = bpf_ntohl(tcp->seq);
	s->ack = bpf_ntohl(tcp->ack_seq);
	s->fin_seq = s->seq + s->ip_bytes - s->headers;
	s->window = tcp->window;
	s->check = tcp->check;
}

/* False: neither FIN nor SYN, or none that the kernel would look at. */
static __always_inline bool fin_find(struct __sk_buff *skb, struct fin_segment *s)
{
	struct tcphdr tcp;
	__u8 flags;
	int link;

	parse_pull(skb, HOOK_TC);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!fin_find4(skb, s))
			return false;
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) || !fin_find6(skb, s)) {
		return false;
	}
	if (!fin_load(skb, s->l4, &tcp, sizeof(tcp)))
		return false;
	flags = ((__u8 *)&tcp)[13] & FIN_FLAGS;
	s->syn = flags == TCP_SYN;
	if (!s->syn && flags != (TCP_FIN | TCP_ACK))
		return false;
	link = fin_link(skb);
	if (link < 0)
		return false;
	s->link = link;
	fin_ports(s, &tcp);
	fin_lengths(skb, s, &tcp);
	return true;
}

/* ---- whether the kernel would take it */

static __always_inline bool fin_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* RFC 9293, 3.10.7.4, as the kernel has it; the FIN itself must lie within the window. */
static __always_inline bool fin_acceptable(const struct fin_segment *s, const struct tcp_sock *tcp)
{
	__u32 edge = tcp->rcv_wup + tcp->rcv_wnd, next = tcp->rcv_nxt;

	if (fin_before(edge, next))
		edge = next;
	return !fin_before(s->fin_seq, next) && !fin_before(edge, s->fin_seq) &&
	       !fin_before(tcp->snd_nxt, s->ack) &&
	       !fin_before(s->ack, tcp->snd_una - tcp->max_window);
}

/*
 * Verified by a device, by GRO or never made (it comes from this machine, and only the sum of the
 * pseudo-header stands there); else it must be right. A mapped address has the sum of its last four
 * bytes.
 */
static __always_inline bool fin_checksum_good(struct __sk_buff *skb, struct fin_segment *s)
{
	__u32 length = s->ip_bytes - s->l4;
	__be32 rest[2] = { bpf_htonl(IPPROTO_TCP), bpf_htonl(length) };
	__s64 pseudo;
	int sum;

	if (hook_is_gso(skb, HOOK_TC) || bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
		return true;
	pseudo = bpf_csum_diff(NULL, 0, (__be32 *)&s->names, 32, 0);
	pseudo = csum_fold(bpf_csum_diff(NULL, 0, rest, sizeof(rest), pseudo));
	if (s->check == pseudo)
		return true;
	sum = finish_sum(skb, s->link + s->l4, length);
	return sum >= 0 && csum_fold(pseudo + sum) == 0xffff;
}

/* ---- what becomes of it */

/* Its cookie is 0 if nobody has asked the socket for it: it waits to be accepted. */
static __always_inline struct resoa_event *fin_event(const struct fin_segment *s,
						     const struct tcp_sock *tcp, __u64 at)
{
	struct resoa_event *event = event_begin(RESOA_EVENT_FIN);

	if (!event)
		return NULL;
	event->family = s->family;
	event->proto = IPPROTO_TCP;
	event->names = s->names;
	event->cookie = tcp_base(tcp)->__sk_common.skc_cookie.counter;
	event->number = at;
	return event;
}

/*
 * Where it is. The kernel changes bytes_received and rcv_nxt one after the other, maybe just now on
 * another CPU; their difference never changes, so it is read twice, as far apart as can be.
 */
static __always_inline enum resoa_reason fin_first(struct __sk_buff *skb, struct fin_segment *s,
						   struct resoa_fin *fin,
						   const struct tcp_sock *tcp)
{
	__u64 at = tcp->bytes_received + (__u32)(s->fin_seq - tcp->rcv_nxt);
	struct resoa_event *event;

	if (s->fragment || !fin_acceptable(s, tcp) || !fin_checksum_good(skb, s))
		return RESOA_FIN_EARLY;
	if (at != tcp->bytes_received + (__u32)(s->fin_seq - tcp->rcv_nxt))
		return RESOA_FIN_EARLY;
	event = fin_event(s, tcp, at);
	if (!event)
		return RESOA_FIN_EARLY;
	fin->fin_seq = s->fin_seq;
	fin->at = at;
	fin->window = s->window;
	fin->ifindex = skb->ifindex;
	if (__sync_val_compare_and_swap(&fin->state, RESOA_FIN_ARMED, RESOA_FIN_HELD_BACK) !=
	    RESOA_FIN_ARMED) {
		bpf_ringbuf_discard(event, 0);
		return RESOA_FIN_AGAIN;
	}
	event_send(event);
	return RESOA_FIN_HELD;
}

static __always_inline enum resoa_reason
fin_again(struct __sk_buff *skb, const struct fin_segment *s, struct resoa_fin *fin)
{
	if (!s->fragment && s->fin_seq == fin->fin_seq) {
		fin->window = s->window;
		fin->ifindex = skb->ifindex;
	}
	__sync_fetch_and_add(&fin->again, 1);
	return RESOA_FIN_AGAIN;
}

static __always_inline enum resoa_reason fin_judge(struct __sk_buff *skb, struct fin_segment *s,
						   struct bpf_sock *sk)
{
	struct resoa_fin *fin = bpf_sk_storage_get(&resoa_fin, sk, NULL, 0);
	const struct tcp_sock *tcp;

	if (!fin || fin->state == RESOA_FIN_OFF)
		return RESOA_OTHER;
	if (s->bad)
		return RESOA_MALFORMED;
	tcp = bpf_skc_to_tcp_sock(sk);
	/* A closed socket has no client any more: its FIN_WAIT2 ends as ever. */
	if (!tcp || fin->state == RESOA_FIN_OPEN ||
	    sock_has_flag(tcp_base(tcp), KERNEL_SOCK_DEAD)) {
		if (!tcp || skb->mark != RESOA_FIN_MARK)
			return RESOA_FIN_PASSED;
		s->ack = tcp->snd_una;
		return RESOA_FIN_OPENED;
	}
	/* A connection that does not stand yet is its listener's. */
	if (sk->state == BPF_TCP_LISTEN || sk->state == BPF_TCP_SYN_SENT)
		return RESOA_FIN_EARLY;
	return fin->state == RESOA_FIN_ARMED ? fin_first(skb, s, fin, tcp) : fin_again(skb, s, fin);
}

static __always_inline void fin_clear(struct __sk_buff *skb, const struct fin_segment *s)
{
	__u32 at = s->link + s->l4;
	__be16 old, new;

	if (bpf_skb_load_bytes(skb, at + FIN_WORD, &old, sizeof(old)))
		return;
	new = old & ~bpf_htons(TCP_FIN);
	bpf_l4_csum_replace(skb, at + FIN_CHECK, old, new, sizeof(new));
	bpf_skb_store_bytes(skb, at + FIN_WORD, &new, sizeof(new), 0);
}

static __always_inline void fin_acknowledge(struct __sk_buff *skb, const struct fin_segment *s)
{
	__u32 at = s->link + s->l4;
	__be32 old, new = bpf_htonl(s->ack);

	skb->mark = 0;
	if (bpf_skb_load_bytes(skb, at + FIN_ACK, &old, sizeof(old)))
		return;
	bpf_l4_csum_replace(skb, at + FIN_CHECK, old, new, sizeof(new));
	bpf_skb_store_bytes(skb, at + FIN_ACK, &new, sizeof(new), 0);
}

static __always_inline enum resoa_reason fin_in(struct __sk_buff *skb, struct fin_segment *s)
{
	enum resoa_reason reason;
	struct bpf_sock *sk;

	sk = bpf_sk_lookup_tcp(skb, &s->tuple, s->tuple_bytes, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return RESOA_OTHER;
	reason = fin_judge(skb, s, sk);
	bpf_sk_release(sk);
	if (reason == RESOA_FIN_HELD || reason == RESOA_FIN_AGAIN || reason == RESOA_FIN_EARLY)
		fin_clear(skb, s);
	else if (reason == RESOA_FIN_OPENED)
		fin_acknowledge(skb, s);
	return reason;
}

/* The daemon's own goes round: it comes in as the peer's. A SYN has been counted before. */
static __always_inline enum resoa_reason fin_out(const struct __sk_buff *skb)
{
	return skb->mark == RESOA_FIN_MARK ? RESOA_FIN_SENT : RESOA_OTHER;
}

#endif
