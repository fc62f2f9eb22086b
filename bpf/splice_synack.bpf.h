/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a SYN, and turning the packet at hand into a SYNACK.
 *
 * A SYNACK to X carries what X and the other side Y both offered, with Y's values: Y's ISN, window,
 * window scale and TSval. What is not known here (MPTCP, Fast Open) is thereby left out. MD5 and AO
 * sign the addresses, so such a SYN cannot be joined.
 */
#ifndef ISTHMUS_BPF_SPLICE_SYNACK_H
#define ISTHMUS_BPF_SPLICE_SYNACK_H

#define OPT_EOL	    0
#define OPT_NOP	    1
#define OPT_MSS	    2
#define OPT_WSCALE  3
#define OPT_SACK    4
#define OPT_TS	    8
#define OPT_MD5	    19
#define OPT_AO	    29
#define OPT_BYTES   40
#define IP4_OPTIONS 40
#define WSCALE_MAX  14 /* RFC 7323, 2.3 */

struct option_walk {
	__u8 bytes[64]; /* 40 of options; the rest is zero, so an index under 64 is always good */
	__u32 at, length;
	__be32 tsval;
	__u16 mss;
	__u8 wscale, options;
	__u32 bad;
};

/* Where the packet at hand has its headers, counted from the frame's first byte. */
struct syn_place {
	__u32 l3, l4, l4_bytes;
};

/* The two hosts of a join: [0] the one whose packet is at hand, [1] the other. */
struct join_pair {
	struct flow flow[2]; /* how their packets arrive */
	struct splice_syn syn[2];
	__u64 rendezvous;
	__u32 side; /* of [0] */
};

struct synack {
	struct tcphdr tcp;
	__be32 option[5];
};

/* What the pseudo-header adds to a checksum; IPv4 addresses are the last four bytes, the rest is 0.
 */
struct pseudo {
	struct isthmus_addr src, dst;
	__be32 length;
};

/*
 * What a handshake works on. It is in a map because the verifier follows every value on the stack
 * through every branch and every round of a loop, and forgets those in a map; and because a stack
 * has 512 bytes. One CPU handles one packet at a time.
 */
struct join_work {
	struct splice_local_key key; /* where the packet at hand is going */
	struct option_walk walk;
	struct join_pair pair;
	struct syn_place place;
	struct synack synack;
	struct pseudo old_pseudo, new_pseudo;
	__u8 ip_options[2][IP4_OPTIONS]; /* as they came, and as NOPs */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct join_work);
} splice_work SEC(".maps");

static __always_inline struct join_work *join_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&splice_work, &zero);
}

/* A packet's flow where a pointer to it may be handed on (see splice_handle()). */
static __always_inline struct flow *flow_in_memory(const struct packet *p)
{
	struct join_work *work = join_work();

	if (!work)
		return NULL;
	work->pair.flow[0] = p->flow;
	return &work->pair.flow[0];
}

static __always_inline void option_take(struct option_walk *walk, __u32 at, __u8 kind, __u8 length)
{
	__u8 *b = walk->bytes;

	if (kind == OPT_MSS && length == 4) {
		walk->mss = b[(at + 2) & 63] << 8 | b[(at + 3) & 63];
		walk->options |= SPLICE_OPT_MSS;
	} else if (kind == OPT_WSCALE && length == 3) {
		walk->wscale = b[(at + 2) & 63] > WSCALE_MAX ? WSCALE_MAX : b[(at + 2) & 63];
		walk->options |= SPLICE_OPT_WSCALE;
	} else if (kind == OPT_SACK && length == 2) {
		walk->options |= SPLICE_OPT_SACK;
	} else if (kind == OPT_TS && length == 10) {
		walk->tsval = bpf_htonl((__u32)b[(at + 2) & 63] << 24 | b[(at + 3) & 63] << 16 |
					b[(at + 4) & 63] << 8 | b[(at + 5) & 63]);
		walk->options |= SPLICE_OPT_TS;
	} else if (kind == OPT_MD5 || kind == OPT_AO) {
		walk->bad = true;
	}
}

static long option_step(__u32 index, void *unused)
{
	struct join_work *work = join_work();
	struct option_walk *walk;
	__u8 kind, length;
	__u32 at;

	if (!work || work->walk.at >= work->walk.length)
		return 1;
	walk = &work->walk;
	at = walk->at;
	kind = walk->bytes[at & 63];
	if (kind == OPT_EOL)
		return 1;
	if (kind == OPT_NOP) {
		walk->at = at + 1;
		return 0;
	}
	length = walk->bytes[(at + 1) & 63];
	if (length < 2 || at + length > walk->length) {
		walk->bad = true;
		return 1;
	}
	option_take(walk, at, kind, length);
	walk->at = at + length;
	return 0;
}

static __always_inline bool syn_read_options(struct __sk_buff *skb, __u32 offset, __u32 length,
					     struct join_work *work)
{
	struct splice_syn *syn = &work->pair.syn[0];
	struct option_walk *walk = &work->walk;

	hide_from_clang(length);
	if (length < 4) /* a word at least */
		return true;
	__builtin_memset(walk, 0, sizeof(*walk));
	if (length > OPT_BYTES || bpf_skb_load_bytes(skb, offset, walk->bytes, length))
		return false;
	walk->length = length;
	bpf_loop(OPT_BYTES, option_step, NULL, 0);
	if (walk->bad)
		return false;
	syn->mss = walk->mss;
	syn->wscale = walk->wscale;
	syn->tsval = walk->tsval;
	syn->options |= walk->options;
	return true;
}

struct sum_walk {
	struct __sk_buff *skb;
	__u32 offset, left, sum;
};

#define SUM_STEP 32

static long sum_step(__u32 index, struct sum_walk *walk)
{
	__u32 words[SUM_STEP / 4] = {}, n = walk->left;

	if (!n)
		return 1;
	if (n > SUM_STEP)
		n = SUM_STEP;
	hide_from_clang(n);
	n = ((n - 1) & (SUM_STEP - 1)) + 1; /* no change: n is 1 to 64 */
	if (bpf_skb_load_bytes(walk->skb, walk->offset, words, n))
		return 1;
	walk->sum = bpf_csum_diff(NULL, 0, words, sizeof(words), walk->sum);
	walk->offset += n;
	walk->left -= n;
	return 0;
}

/* The Internet sum of packet bytes, a whole TCP segment at most. */
static __always_inline int packet_sum(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 *sum)
{
	struct sum_walk walk = { .skb = skb, .offset = offset, .left = length };

	bpf_loop(0x10000 / SUM_STEP, sum_step, &walk, 0);
	*sum = walk.sum;
	return walk.left ? -1 : 0;
}

static __always_inline void syn_find_place(const struct packet *p, struct syn_place *place)
{
	place->l3 = p->l3 - (void *)p->eth;
	place->l4 = p->l4 - (void *)p->eth;
	place->l4_bytes = p->ip_bytes - (place->l4 - place->l3);
}

static __always_inline int pseudo_read(struct __sk_buff *skb, const struct syn_place *place,
				       bool v4, struct pseudo *pseudo)
{
	__builtin_memset(pseudo, 0, sizeof(*pseudo));
	pseudo->length = bpf_htonl(place->l4_bytes);
	if (!v4)
		return bpf_skb_load_bytes(skb, place->l3 + offsetof(struct ipv6hdr, saddr), pseudo,
					  32);
	if (bpf_skb_load_bytes(skb, place->l3 + offsetof(struct iphdr, saddr), &pseudo->src.b[12],
			       4))
		return -1;
	return bpf_skb_load_bytes(skb, place->l3 + offsetof(struct iphdr, daddr),
				  &pseudo->dst.b[12], 4);
}

static __always_inline void pseudo_fill(const struct flow *to_flow, bool v4, __u32 l4_bytes,
					struct pseudo *pseudo)
{
	pseudo->length = bpf_htonl(l4_bytes);
	pseudo->src = to_flow->local;
	pseudo->dst = to_flow->remote;
	if (v4) {
		__builtin_memset(&pseudo->src, 0, 12);
		__builtin_memset(&pseudo->dst, 0, 12);
	}
}

/*
 * A damaged SYN must not be stored: its ISN would be the session's. The checksum is good, or it is
 * the pseudo-header's sum alone, as a sender on this host leaves it to be finished
 * (CHECKSUM_PARTIAL).
 */
static __always_inline bool syn_is_intact(struct __sk_buff *skb, struct join_work *work)
{
	bool v4 = addr_is_v4(&work->pair.flow[0].remote);
	struct pseudo *pseudo = &work->old_pseudo;
	__u32 sum, whole;
	__u16 check;

	if (pseudo_read(skb, &work->place, v4, pseudo) ||
	    packet_sum(skb, work->place.l4, work->place.l4_bytes, &whole) ||
	    bpf_skb_load_bytes(skb, work->place.l4 + offsetof(struct tcphdr, check), &check, 2))
		return false;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)pseudo, sizeof(*pseudo), bpf_htons(IPPROTO_TCP));
	return csum_fold(csum_add(sum, whole)) == 0xffff || csum_fold(sum) == check;
}

/* Global functions are verified once, not at each call. 0, or -1: flags or options are not a SYN's.
 */
__noinline int syn_read_tcp(struct __sk_buff *skb)
{
	struct join_work *work = join_work();
	struct splice_syn *syn;
	struct tcphdr tcp;
	__u32 offset, length;
	__u8 flags;

	if (!work || !syn_is_intact(skb, work))
		return -1;
	syn = &work->pair.syn[0];
	offset = work->place.l4;
	if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
		return -1;
	flags = ((__u8 *)&tcp)[13];
	if (flags & (TCP_FIN | TCP_RST))
		return -1;
	syn->isn = tcp.seq;
	syn->window = tcp.window;
	if ((flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR))
		syn->options |= SPLICE_OPT_ECN;
	length = tcp.doff * 4 - sizeof(tcp); /* at least 5 words: parse_l4() */
	return syn_read_options(skb, offset + sizeof(tcp), length & 63, work) ? 0 : -1;
}

/* Options in the order that Linux sends them, each padded to a word. Returns words. */
static __always_inline __u32 synack_options(__be32 *option, const struct splice_syn *to,
					    const struct splice_syn *from)
{
	__u8 both = to->options & from->options;
	__u32 n = 0;

	if (both & SPLICE_OPT_MSS)
		option[n++] = bpf_htonl(OPT_MSS << 24 | 4 << 16 |
					(to->mss < from->mss ? to->mss : from->mss));
	if (both & SPLICE_OPT_TS) {
		option[n++] = both & SPLICE_OPT_SACK
				      ? bpf_htonl(OPT_SACK << 24 | 2 << 16 | OPT_TS << 8 | 10)
				      : bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TS << 8 | 10);
		option[n++] = from->tsval;
		option[n++] = to->tsval;
	} else if (both & SPLICE_OPT_SACK) {
		option[n++] = bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 | 2);
	}
	if (both & SPLICE_OPT_WSCALE)
		option[n++] = bpf_htonl(OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | from->wscale);
	return n;
}

/* All but the checksum. `to_flow`: how the receiver's own packets arrive here. Returns its length.
 */
static __always_inline __u32 synack_build(struct synack *synack, const struct flow *to_flow,
					  const struct splice_syn *to,
					  const struct splice_syn *from)
{
	__u8 flags = TCP_SYN | TCP_ACK;
	__u32 length;

	__builtin_memset(synack, 0, sizeof(*synack));
	/* RFC 3168, 6.1.1: a SYNACK agrees to ECN by ECE alone. */
	if (to->options & from->options & SPLICE_OPT_ECN)
		flags |= TCP_ECE;
	length = sizeof(struct tcphdr) + 4 * synack_options(synack->option, to, from);
	synack->tcp.source = to_flow->local_port;
	synack->tcp.dest = to_flow->remote_port;
	synack->tcp.seq = from->isn;
	synack->tcp.ack_seq = bpf_htonl(bpf_ntohl(to->isn) + 1);
	((__u8 *)synack)[12] = length / 4 << 4;
	((__u8 *)synack)[13] = flags;
	synack->tcp.window = from->window;
	return length;
}

#define SYNACK_TTL 64

/* IP options of a SYN are not for its answer; they become NOPs, so that TCP stays where it is. */
static __always_inline int synack_clear_options(struct __sk_buff *skb, struct join_work *work,
						__u32 offset, __u32 length, __u32 *sum)
{
	__u8 *old = work->ip_options[0], *nop = work->ip_options[1];

	hide_from_clang(length);
	if (length < 4)
		return 0;
	if (length > IP4_OPTIONS || bpf_skb_load_bytes(skb, offset, old, length))
		return -1;
	__builtin_memset(nop, OPT_NOP, IP4_OPTIONS);
	if (bpf_skb_store_bytes(skb, offset, nop, length, 0))
		return -1;
	*sum = bpf_csum_diff((__be32 *)old, length, (__be32 *)nop, length, *sum);
	return 0;
}

static __always_inline int synack_write_ip4(struct __sk_buff *skb, struct join_work *work,
					    const struct syn_place *place,
					    const struct flow *to_flow)
{
	__u32 l3 = place->l3, header = place->l4 - place->l3;
	struct iphdr old, new;
	__u32 sum = 0;

	if (bpf_skb_load_bytes(skb, l3, &old, sizeof(old)))
		return -1;
	new = old;
	new.tos = 0;
	new.tot_len = bpf_htons(header + place->l4_bytes);
	new.id = 0;
	new.frag_off = bpf_htons(0x4000); /* DF */
	new.ttl = SYNACK_TTL;
	new.saddr = *(__be32 *)&to_flow->local.b[12];
	new.daddr = *(__be32 *)&to_flow->remote.b[12];
	if (synack_clear_options(skb, work, l3 + sizeof(old), (header - sizeof(old)) & 63, &sum))
		return -1;
	sum = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), sum);
	csum_update(&new.check, csum_fold(sum));
	return bpf_skb_store_bytes(skb, l3, &new, sizeof(new), 0);
}

static __always_inline int synack_write_ip6(struct __sk_buff *skb, const struct syn_place *place,
					    const struct flow *to_flow)
{
	__u32 l3 = place->l3, header = place->l4 - place->l3;
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)))
		return -1;
	*(__be32 *)&ip = bpf_htonl(0x60000000); /* no traffic class, no flow label */
	ip.payload_len = bpf_htons(header - sizeof(ip) + place->l4_bytes);
	ip.hop_limit = SYNACK_TTL;
	__builtin_memcpy(&ip.saddr, &to_flow->local, 16);
	__builtin_memcpy(&ip.daddr, &to_flow->remote, 16);
	return bpf_skb_store_bytes(skb, l3, &ip, sizeof(ip), 0);
}

/* Ethernet's addresses are the hop's, turned round when the SYN was read. */
static __always_inline int synack_write_eth(struct __sk_buff *skb, const struct splice_hop *hop)
{
	__u8 macs[12];

	__builtin_memcpy(macs, hop->dst_mac, sizeof(macs));
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

static __always_inline int synack_write_tcp(struct __sk_buff *skb, struct join_work *work,
					    __u32 bytes)
{
	if (bpf_skb_change_tail(skb, work->place.l4 + bytes, 0))
		return -1;
	work->place.l4_bytes = bytes;
	if (bytes < sizeof(struct tcphdr) || bytes > sizeof(struct synack))
		return -1;
	return bpf_skb_store_bytes(skb, work->place.l4, &work->synack, bytes, 0);
}

/*
 * Makes the packet at hand a SYNACK to host `to` of the pair, from the other one. It may be the SYN
 * itself or a SYNACK already written. The checksum is changed by differences, in two parts, because
 * only the kernel knows whether it is finished or CHECKSUM_PARTIAL. Packet pointers are not valid
 * afterwards.
 */
__noinline int synack_write(struct __sk_buff *skb, __u32 to)
{
	struct join_work *work = join_work();
	const struct flow *to_flow;
	__u32 bytes, sum, check_at;
	bool v4;

	if (!work || to > 1)
		return -1;
	to_flow = &work->pair.flow[to];
	v4 = addr_is_v4(&to_flow->remote);
	check_at = work->place.l4 + offsetof(struct tcphdr, check);
	bytes = synack_build(&work->synack, to_flow, &work->pair.syn[to], &work->pair.syn[1 - to]);
	pseudo_fill(to_flow, v4, bytes, &work->new_pseudo);
	if (pseudo_read(skb, &work->place, v4, &work->old_pseudo))
		return -1;
	/* The old checksum stays in both sums, and so in neither. */
	if (bpf_skb_load_bytes(skb, check_at, &work->synack.tcp.check, 2) ||
	    packet_sum(skb, work->place.l4, work->place.l4_bytes, &sum))
		return -1;
	sum = csum_sub(bpf_csum_diff(NULL, 0, (__be32 *)&work->synack, sizeof(work->synack), 0),
		       sum);
	if (synack_write_tcp(skb, work, bytes))
		return -1;
	if (v4 ? synack_write_ip4(skb, work, &work->place, to_flow)
	       : synack_write_ip6(skb, &work->place, to_flow))
		return -1;
	if (bpf_l4_csum_replace(skb, check_at, 0, csum_fold(sum), 0))
		return -1;
	sum = bpf_csum_diff((__be32 *)&work->old_pseudo, sizeof(struct pseudo),
			    (__be32 *)&work->new_pseudo, sizeof(struct pseudo), 0);
	if (bpf_l4_csum_replace(skb, check_at, 0, csum_fold(sum), BPF_F_PSEUDO_HDR))
		return -1;
	return synack_write_eth(skb, &work->pair.syn[to].hop);
}

#endif
