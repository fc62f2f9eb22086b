/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets out of the tunnel: key, tag, window, in this order, so that nobody without the key
 * changes anything; and into it (maps/tunnel.h).
 */
#ifndef ISTHMUS_BPF_GATEWAY_TUNNEL_H
#define ISTHMUS_BPF_GATEWAY_TUNNEL_H

#include "gateway_frame.bpf.h"
#include "gateway_siphash.bpf.h"
#include "gateway_tell.bpf.h"

#define TUNNEL_HEADER  32 /* Geneve and the option */
#define TUNNEL_COVERED 24 /* of it by the tag */
#define TUNNEL_COUNTER ((1ull << 48) - 1)
#define TUNNEL_TTL     64
#define TUNNEL_IP_DF   0x4000
#define WINDOW_WORDS   (TUNNEL_WINDOW / 64)

static __always_inline __u64 wire_get64(const __u8 *at)
{
	return *(const __u64 *)at;
}

/* ---- out of it */

static __always_inline bool arrival_outer4(struct iphdr *ip, void *end, struct arrival *a)
{
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return false;
	address_map_v4(&a->src, ip->saddr);
	a->header = sizeof(*ip);
	a->bytes = bpf_ntohs(ip->tot_len);
	return true;
}

static __always_inline bool arrival_outer6(struct ipv6hdr *ip, void *end, struct arrival *a)
{
	if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return false;
	__builtin_memcpy(&a->src, &ip->saddr, 16);
	a->header = sizeof(*ip);
	a->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	return true;
}

static __always_inline bool arrival_is_ours(const struct tunnel_udp *udp)
{
	return udp->geneve.version_length == (TUNNEL_HEADER - 8) / 4 &&
	       udp->option.option_class == bpf_htons(TUNNEL_OPTION_CLASS) &&
	       udp->option.type == TUNNEL_OPTION_TYPE && udp->option.length == 5;
}

/* GATEWAY_GOES_ON: a tunnel's packet, whole. OTHER: what the kernel may make of it. */
static __always_inline enum gateway_reason arrival_read(void *ctx, enum hook hook, __be16 port,
							struct arrival *a)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook), *l4;
	struct ethhdr *eth = data;
	struct tunnel_udp *udp;

	if ((void *)(eth + 1) > end)
		return GATEWAY_OTHER;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (!arrival_outer4((void *)(eth + 1), end, a))
			return GATEWAY_OTHER;
		l4 = (void *)(eth + 1) + sizeof(struct iphdr);
	} else {
		if (!arrival_outer6((void *)(eth + 1), end, a))
			return GATEWAY_OTHER;
		l4 = (void *)(eth + 1) + sizeof(struct ipv6hdr);
	}
	udp = l4;
	if (l4 + 16 > end || udp->udp.dest != port)
		return GATEWAY_OTHER;
	if (udp->geneve.flags & TUNNEL_CONTROL)
		return GATEWAY_CONTROL;
	if ((void *)(udp + 1) > end || !arrival_is_ours(udp))
		return GATEWAY_OTHER;
	a->udp = *udp;
	a->header += sizeof(*udp);
	if (a->bytes > hook_length(ctx, hook) - ETH_HLEN || a->bytes <= a->header ||
	    bpf_ntohs(udp->udp.len) != a->bytes - a->header + sizeof(*udp))
		return GATEWAY_MALFORMED;
	a->bytes -= a->header;
	return GATEWAY_GOES_ON;
}

/* Tests and sets (RFC 6479, but each sequence by itself). 0: has come, 1: late, 2: the newest. */
static __always_inline int window_pass(struct tunnel_window *window, __u64 counter)
{
	__u64 from, to, bit = 1ull << (counter & 63), mask;
	__u32 word = counter / 64 & (WINDOW_WORDS - 1), at;
	int result = 0;

	bpf_spin_lock(&window->lock);
	if (counter > window->top) {
		/* The places of what was skipped held older ones. */
		from = window->top + 1;
		if (counter - from >= TUNNEL_WINDOW)
			from = counter - TUNNEL_WINDOW + 1;
		to = counter / 64;
		for (int i = 0; i <= WINDOW_WORDS; i++) {
			if (from / 64 + i > to)
				break;
			mask = ~0ull;
			if (!i)
				mask <<= from & 63;
			if (from / 64 + i == to)
				mask &= ~0ull >> (63 - (counter & 63));
			at = (from / 64 + i) & (WINDOW_WORDS - 1);
			window->bits[at] &= ~mask;
		}
		window->top = counter;
		window->bits[word] |= bit;
		result = 2;
	} else if (window->top - counter < TUNNEL_WINDOW && !(window->bits[word] & bit)) {
		window->bits[word] |= bit;
		result = 1;
	}
	bpf_spin_unlock(&window->lock);
	return result;
}

static __always_inline int arrival_window(__u32 vni, const struct tunnel_key *key, __u64 sequence)
{
	struct tunnel_window_key at = { .vni = vni, .cpu = sequence >> 48 };
	struct tunnel_window *window;

	sequence &= TUNNEL_COUNTER;
	if (!sequence || at.cpu >= key->cpus)
		return 0;
	window = bpf_map_lookup_elem(&gateway_window, &at);
	return window ? window_pass(window, sequence) : 0;
}

static __always_inline void event_moved(const struct arrival *a, __u32 index, __u64 now)
{
	const struct tunnel_peer *peer = bpf_map_lookup_elem(&gateway_peer, &index);
	struct gateway_event *event;

	if (!peer ||
	    (address_equal(&peer->remote, &a->src) && peer->remote_port == a->udp.udp.source))
		return;
	if (!tell_allowed(&a->src, now))
		return;
	event = event_begin(GATEWAY_EVENT_MOVED, now);
	if (!event)
		return;
	event->addr = a->src;
	event->port = a->udp.udp.source;
	event->peer = index;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline enum gateway_reason arrival_verify(void *ctx, enum hook hook,
							  struct arrival *a, struct work *w)
{
	const __u8 *vni3 = a->udp.geneve.vni;
	__u32 vni = vni3[0] << 16 | vni3[1] << 8 | vni3[2];
	struct tag_input *in = &w->tag;
	struct tunnel_key *key;
	__u64 tag;
	int passed;

	key = bpf_map_lookup_elem(&gateway_key, &vni);
	if (!key || (key->until_ns && w->now > key->until_ns))
		return GATEWAY_VNI_UNKNOWN;
	in->key[0] = key->key[0];
	in->key[1] = key->key[1];
	__builtin_memcpy(in->header, &a->udp.geneve, TUNNEL_COVERED);
	in->at = ETH_HLEN + a->header;
	in->bytes = a->bytes;
	if (key->flags & TUNNEL_MAC_HEADERS && in->bytes > TUNNEL_MAC_HEADERS_BYTES)
		in->bytes = TUNNEL_MAC_HEADERS_BYTES;
	if (tag_make(ctx, hook, in))
		return GATEWAY_MALFORMED;
	__builtin_memcpy(&tag, a->udp.option.tag, sizeof(tag));
	if (tag ^ in->tag)
		return GATEWAY_FORGED;
	passed = arrival_window(vni, key, bpf_be64_to_cpu(wire_get64(a->udp.option.sequence)));
	if (!passed)
		return GATEWAY_REPLAYED;
	w->peer = key->peer;
	w->number = bpf_ntohl(a->udp.option.host);
	if (passed == 2)
		event_moved(a, w->peer, w->now);
	return GATEWAY_GOES_ON;
}

/* Verifies a tunnel packet and leaves its inner one in the frame. */
static __always_inline enum gateway_reason tunnel_take(void *ctx, enum hook hook, struct work *w)
{
	const struct gateway_conf *conf = conf_find();
	enum gateway_reason reason;
	struct arrival *a = &w->arrival;
	bool v6;

	if (!conf)
		return GATEWAY_OTHER;
	reason = arrival_read(ctx, hook, conf->port, a);
	if (reason != GATEWAY_GOES_ON)
		return reason;
	if (hook_is_gso(ctx, hook))
		return GATEWAY_UNFINISHED;
	reason = arrival_verify(ctx, hook, a, w);
	if (reason != GATEWAY_GOES_ON)
		return reason;
	v6 = a->udp.geneve.protocol == bpf_htons(ETH_P_IPV6);
	if (!v6 && a->udp.geneve.protocol != bpf_htons(ETH_P_IP))
		return GATEWAY_MALFORMED;
	if (frame_grow(ctx, hook, -(__s32)a->header, v6))
		return GATEWAY_MALFORMED;
	return frame_trim(ctx, hook, a->bytes) ? GATEWAY_SEND_FAILED : GATEWAY_GOES_ON;
}

/* ---- into it */

static __always_inline void departure_tunnel(struct tunnel_udp *udp, const struct tunnel_peer *peer,
					     __u32 host, __u64 sequence, __u32 bytes, bool v6)
{
	__be32 vni = bpf_htonl(peer->vni << 8);
	__be64 wire = bpf_cpu_to_be64(sequence);

	udp->udp.source = peer->local_port;
	udp->udp.dest = peer->remote_port;
	udp->udp.len = bpf_htons(sizeof(*udp) + bytes);
	udp->geneve.version_length = (TUNNEL_HEADER - 8) / 4;
	udp->geneve.flags = TUNNEL_CRITICAL;
	udp->geneve.protocol = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__builtin_memcpy(udp->geneve.vni, &vni, 4);
	udp->option.option_class = bpf_htons(TUNNEL_OPTION_CLASS);
	udp->option.type = TUNNEL_OPTION_TYPE;
	udp->option.length = 5;
	__builtin_memcpy(udp->option.sequence, &wire, sizeof(wire));
	udp->option.host = bpf_htonl(host);
}

static __always_inline void departure_outer4(struct iphdr *ip, const struct tunnel_peer *peer,
					     __u32 bytes)
{
	__u16 *word = (__u16 *)ip;
	__u32 sum = 0;

	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(bytes);
	ip->frag_off = bpf_htons(TUNNEL_IP_DF);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = *(__be32 *)&peer->local.b[12];
	ip->daddr = *(__be32 *)&peer->remote.b[12];
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	ip->check = ~csum_fold(sum);
}

static __always_inline void departure_outer6(struct ipv6hdr *ip, const struct tunnel_peer *peer,
					     __u32 bytes)
{
	ip->version = 6;
	ip->payload_len = bpf_htons(bytes - sizeof(*ip));
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&ip->saddr, &peer->local, 16);
	__builtin_memcpy(&ip->daddr, &peer->remote, 16);
}

/* Sequences of this CPU to this peer; 0: no such peer. */
static __always_inline __u64 departure_sequence(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&gateway_seq, &index);

	if (!counter)
		return 0;
	return (__u64)bpf_get_smp_processor_id() << 48 | (++*counter & TUNNEL_COUNTER);
}

static __always_inline int departure_grow(void *ctx, enum hook hook, bool outer6)
{
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	__s32 header = outer6 ? TUNNEL_HEADERS_V6 : TUNNEL_HEADERS_V4;

	if (hook == HOOK_XDP)
		return frame_grow_xdp(ctx, header);
	flags |= outer6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	return frame_grow_tc(ctx, header, outer6, flags);
}

static __always_inline int departure_write(void *ctx, enum hook hook,
					   const struct tunnel_peer *peer,
					   const struct tunnel_udp *udp, __u32 bytes)
{
	bool outer6 = !addr_is_v4(&peer->remote);
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	void *l3, *end;

	if (!frame_address(ctx, hook, peer->dst_mac, peer->src_mac, outer6))
		return -1;
	l3 = hook_data(ctx, hook) + ETH_HLEN;
	end = hook_data_end(ctx, hook);
	if (outer6) {
		ip6 = l3;
		if ((void *)(ip6 + 1) + sizeof(*udp) > end)
			return -1;
		__builtin_memset(ip6, 0, sizeof(*ip6));
		departure_outer6(ip6, peer, bytes + TUNNEL_HEADERS_V6);
		__builtin_memcpy(ip6 + 1, udp, sizeof(*udp));
		return 0;
	}
	ip = l3;
	if ((void *)(ip + 1) + sizeof(*udp) > end)
		return -1;
	__builtin_memset(ip, 0, sizeof(*ip));
	departure_outer4(ip, peer, bytes + TUNNEL_HEADERS_V4);
	__builtin_memcpy(ip + 1, udp, sizeof(*udp));
	return 0;
}

/* Seals the IP packet of `bytes` that the frame holds. */
static __always_inline enum gateway_reason tunnel_give(void *ctx, enum hook hook, struct work *w,
						       const struct tunnel_peer *peer, __u32 index,
						       __u32 host, __u32 bytes, bool v6)
{
	struct tunnel_udp *udp = &w->arrival.udp;
	struct tag_input *in = &w->tag;
	__u64 sequence;

	sequence = departure_sequence(index);
	if (!sequence)
		return GATEWAY_NO_PEER;
	__builtin_memset(udp, 0, sizeof(*udp));
	departure_tunnel(udp, peer, host, sequence, bytes, v6);
	in->key[0] = peer->key[0];
	in->key[1] = peer->key[1];
	__builtin_memcpy(in->header, &udp->geneve, TUNNEL_COVERED);
	in->at = ETH_HLEN;
	in->bytes = bytes;
	if (peer->flags & TUNNEL_MAC_HEADERS && bytes > TUNNEL_MAC_HEADERS_BYTES)
		in->bytes = TUNNEL_MAC_HEADERS_BYTES;
	if (tag_make(ctx, hook, in))
		return GATEWAY_SEND_FAILED;
	__builtin_memcpy(udp->option.tag, &in->tag, sizeof(in->tag));
	if (departure_grow(ctx, hook, !addr_is_v4(&peer->remote)) ||
	    departure_write(ctx, hook, peer, udp, bytes))
		return GATEWAY_SEND_FAILED;
	return GATEWAY_ANSWERED;
}

#endif
