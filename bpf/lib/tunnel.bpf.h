/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tunnel of maps/tunnel.h, at both hooks: finding a tunnel's packet, opening it, sealing one.
 * Maps are the caller's and given as pointers; nothing here knows whose they are.
 *
 * Sealing needs a packet of the wire: no GSO packet (hook_is_gso), no unfinished checksum. That is
 * for the caller to see to.
 */
#ifndef ISTHMUS_BPF_LIB_TUNNEL_H
#define ISTHMUS_BPF_LIB_TUNNEL_H

#include "siphash.bpf.h"
#include "tunnel_find.bpf.h"

/* ---- tags */

/* What the tag covers of the inner packet. */
static __always_inline __u32 tunnel_covered(__u32 inner, __u8 flags)
{
	if (flags & TUNNEL_MAC_HEADERS && inner > TUNNEL_MAC_HEADERS_BYTES)
		return TUNNEL_MAC_HEADERS_BYTES;
	return inner;
}

/*
 * The tag of the frame that lies before us, whose inner packet is `offset` bytes in; job->head is
 * the caller's. 0 or -1: out of bounds.
 */
static __always_inline int tunnel_tag(void *ctx, enum hook hook, __u32 offset, __u32 covered,
				      const __u64 *key, struct siphash_job *job)
{
	job->key[0] = key[0];
	job->key[1] = key[1];
	job->offset = offset;
	job->length = covered;
	return siphash(ctx, hook, job);
}

/* ---- opening */

/*
 * RFC 6479: a window that is moved by words. False: `counter` has come, or is older than the
 * window tells. Several CPUs may receive what one sent, so it is tested and set under the lock.
 */
static __always_inline bool tunnel_take(struct tunnel_window *window, __u64 counter, __u32 *newest)
{
	const __u64 words = TUNNEL_WINDOW / 64;
	__u64 top_word, word = counter / 64, bit = 1ULL << (counter % 64);
	bool fresh = true;

	bpf_spin_lock(&window->lock);
	top_word = window->top / 64;
	if (counter > window->top) {
		*newest = 1;
		window->top = counter;
		if (word > top_word + words)
			top_word = word - words;
		/* Words between the old top's and the new one's come into the window anew. */
		for (__u64 i = 1; i <= words; i++)
			if (top_word + i <= word)
				window->bits[(top_word + i) % words] = 0;
	} else if (word + words <= top_word) {
		fresh = false;
	}
	if (fresh && window->bits[word % words] & bit)
		fresh = false;
	if (fresh)
		window->bits[word % words] |= bit;
	bpf_spin_unlock(&window->lock);
	return fresh;
}

/* Ethernet and the inner packet are left. Packet pointers are not valid afterwards. */
static __always_inline int tunnel_strip(void *ctx, enum hook hook, const struct tunnel_found *found)
{
	struct ethhdr *eth = hook_data(ctx, hook), kept;

	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return -1;
	kept = *eth;
	/* The verifier wants to see a constant. */
	if (found->outer == TUNNEL_HEADERS_V4) {
		if (hook == HOOK_XDP
			    ? bpf_xdp_adjust_head(ctx, TUNNEL_HEADERS_V4)
			    : bpf_skb_adjust_room(ctx, -TUNNEL_HEADERS_V4, BPF_ADJ_ROOM_MAC, 0))
			return -1;
	} else {
		if (hook == HOOK_XDP
			    ? bpf_xdp_adjust_head(ctx, TUNNEL_HEADERS_V6)
			    : bpf_skb_adjust_room(ctx, -TUNNEL_HEADERS_V6, BPF_ADJ_ROOM_MAC, 0))
			return -1;
	}
	eth = hook_data(ctx, hook);
	if ((void *)(eth + 1) > hook_data_end(ctx, hook))
		return -1;
	*eth = kept;
	eth->h_proto = found->protocol;
	return 0;
}

/*
 * RFC 6040 4.2: what routers have marked on the outer header is told to the inner one. False: it
 * cannot be told, and dropping tells it.
 */
static __always_inline bool tunnel_ecn(void *ctx, enum hook hook, __u8 outer)
{
	__u8 *ip = hook_data(ctx, hook) + sizeof(struct ethhdr);
	__u8 inner, place, after;
	__u16 *word, old;

	if (likely(!outer))
		return true;
	if ((void *)ip + sizeof(struct iphdr) > hook_data_end(ctx, hook))
		return false;
	place = ip[0] >> 4 == 4 ? 0 : 4;
	inner = ip[1] >> place & TUNNEL_ECN;
	if (!inner)
		return outer != TUNNEL_ECN;
	after = inner | (outer == TUNNEL_ECN ? TUNNEL_ECN : 0);
	if (outer == 1 && inner == 2) /* ECT(1) over ECT(0) */
		after = 1;
	if (after == inner)
		return true;
	word = (__u16 *)ip;
	old = *word;
	ip[1] = (ip[1] & ~(TUNNEL_ECN << place)) | after << place;
	if (!place)
		csum_update(&((struct iphdr *)ip)->check, (__u16)~old + *word);
	return true;
}

/* The whole packet where it can be read and written: the tag covers it all. */
static __always_inline int tunnel_pull(void *ctx, enum hook hook)
{
	struct __sk_buff *skb = ctx;

	return hook == HOOK_TC ? bpf_skb_pull_data(skb, skb->len) : 0;
}

/* Whether the packet carries the tag that it should; compared as one word, in constant time. */
static __always_inline bool tunnel_is_genuine(void *ctx, enum hook hook, __u32 geneve,
					      __u32 covered, const __u64 *key)
{
	void *data = hook_data(ctx, hook), *end = hook_data_end(ctx, hook);
	struct siphash_job job;
	__u64 *head, carried;

	hide_from_clang(geneve);
	geneve &= SIPHASH_OFFSET_MAX - 1; /* for the verifier, which may have forgotten it */
	head = data + geneve;
	if ((void *)(head + 4) > end)
		return false;
	__builtin_memcpy(job.head, head, sizeof(job.head));
	carried = head[3];
	return !tunnel_tag(ctx, hook, geneve + 32, covered, key, &job) && job.tag == carried;
}

/*
 * Verifies what tunnel_find() has found and removes the outer headers. `keys` and `windows` are the
 * stem's maps, `now` the clock; `peer` is whose it is, when OPENED.
 */
static __always_inline enum tunnel_opened tunnel_open(void *ctx, enum hook hook,
						      struct tunnel_found *found, void *keys,
						      void *windows, __u64 now, __u32 *peer)
{
	__u32 geneve = sizeof(struct ethhdr) + found->outer - sizeof(struct tunnel_geneve) -
		       sizeof(struct tunnel_option);
	__u64 counter = found->sequence & ((1ULL << TUNNEL_SEQUENCE_BITS) - 1);
	struct tunnel_window_key place = { .vni = found->vni };
	struct tunnel_window *window;
	struct tunnel_key *key;

	key = bpf_map_lookup_elem(keys, &place.vni);
	place.cpu = found->sequence >> TUNNEL_SEQUENCE_BITS;
	if (!key || place.cpu >= key->cpus || (key->until_ns && key->until_ns < now))
		return TUNNEL_UNKNOWN;
	window = bpf_map_lookup_elem(windows, &place);
	if (!window)
		return TUNNEL_UNKNOWN;
	if (tunnel_pull(ctx, hook))
		return TUNNEL_FAILED;
	if (!tunnel_is_genuine(ctx, hook, geneve, tunnel_covered(found->inner, key->flags),
			       key->key))
		return TUNNEL_FORGED;
	if (!counter || !tunnel_take(window, counter, &found->newest))
		return TUNNEL_REPLAYED;
	*peer = key->peer;
	if (tunnel_strip(ctx, hook, found))
		return TUNNEL_FAILED;
	return tunnel_ecn(ctx, hook, found->ecn) ? TUNNEL_OPENED : TUNNEL_CONGESTED;
}

/* ---- sealing */

static __always_inline bool tunnel_is_v6(const struct tunnel_peer *peer)
{
	const __u32 *word = (const __u32 *)peer->remote.b;

	return word[0] | word[1] | (word[2] ^ bpf_htonl(0xffff));
}

/* Bytes that sealing adds. */
static __always_inline __u32 tunnel_headers(const struct tunnel_peer *peer)
{
	return tunnel_is_v6(peer) ? TUNNEL_HEADERS_V6 : TUNNEL_HEADERS_V4;
}

/* The longest inner packet. */
static __always_inline __u32 tunnel_mtu(const struct tunnel_peer *peer)
{
	__u32 headers = tunnel_headers(peer);

	return peer->mtu > headers ? peer->mtu - headers : 0;
}

static __always_inline __u16 tunnel_ip4_check(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return ~csum_fold(sum);
}

/*
 * Headers are made in registers and written in words as large as those that the tag is computed
 * from: a processor waits for small writes before it reads them as one.
 */
static __always_inline void tunnel_write_ip4(struct iphdr *ip, const struct tunnel_peer *peer,
					     __u32 bytes, __u8 tos)
{
	__be32 source = *(const __be32 *)&peer->local.b[12];
	__be32 destination = *(const __be32 *)&peer->remote.b[12];
	__u32 *word = (__u32 *)ip;
	__u32 first = bpf_htonl(0x45000000 | (__u32)tos << 16 | bytes);
	/* TTL and protocol; identification is 0, DF is set: its length was seen to. */
	__u32 second = bpf_htonl(0x4000), third = bpf_htonl(TUNNEL_TTL << 24 | IPPROTO_UDP << 16);
	__u64 sum = (__u64)first + second + third + source + destination;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	word[0] = first;
	word[1] = second;
	/* The checksum is the low half in network order, the high one of a little-endian word. */
	word[2] = third | (__u32)(__u16)~csum_fold(sum) << 16;
	word[3] = source;
	word[4] = destination;
}

static __always_inline void tunnel_write_ip6(struct ipv6hdr *ip, const struct tunnel_peer *peer,
					     __u32 bytes, __u8 tos)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)tos << 20);
	ip->payload_len = bpf_htons(bytes - sizeof(*ip));
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&ip->saddr, &peer->local, 16);
	__builtin_memcpy(&ip->daddr, &peer->remote, 16);
}

/*
 * Words of Geneve and its option, as they lie in memory, without the tag: as maps/tunnel.h has the
 * bytes, on a little-endian machine.
 */
static __always_inline void tunnel_head_words(__u64 *word, const struct tunnel_peer *peer,
					      __be16 protocol, __u64 sequence, __u32 host)
{
	__u64 wire = bpf_cpu_to_be64(sequence);
	__u32 option = bpf_htonl((__u32)TUNNEL_OPTION_CLASS << 16 | TUNNEL_OPTION_TYPE << 8 |
				 (sizeof(struct tunnel_option) / 4 - 1));

	word[0] = sizeof(struct tunnel_option) / 4 | TUNNEL_CRITICAL << 8 | (__u32)protocol << 16 |
		  (__u64)bpf_htonl(peer->vni << 8) << 32;
	word[1] = option | wire << 32;
	word[2] = wire >> 32 | (__u64)bpf_htonl(host) << 32;
}

/* UDP's checksum is 0: the tag does more (RFC 6935 allows it to a tunnel over IPv6). */
static __always_inline void tunnel_write_head(struct tunnel_head *head,
					      const struct tunnel_peer *peer, __u32 inner,
					      const __u64 *words)
{
	__u16 length = bpf_htons(sizeof(*head) + inner);
	__u64 *to = (__u64 *)head;

	to[0] = (__u64)peer->local_port | (__u64)peer->remote_port << 16 | (__u64)length << 32;
	to[1] = words[0];
	to[2] = words[1];
	to[3] = words[2];
}

/* CPU and counter, which begins at 1. 0: the map has no such peer. */
static __always_inline __u64 tunnel_sequence(void *sequences, __u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(sequences, &index);

	if (!counter)
		return 0;
	++*counter;
	return (__u64)bpf_get_smp_processor_id() << TUNNEL_SEQUENCE_BITS |
	       (*counter & ((1ULL << TUNNEL_SEQUENCE_BITS) - 1));
}

/* DSCP and ECN go along (RFC 6040, normal mode). 0 also for what is no IP. */
static __always_inline __u8 tunnel_tos(const void *ip, const void *end)
{
	const __u8 *byte = ip;

	if ((const void *)(byte + 2) > end)
		return 0;
	return byte[0] >> 4 == 4 ? byte[1] : (__u8)(byte[0] << 4 | byte[1] >> 4);
}

static __always_inline int tunnel_grow(void *ctx, enum hook hook, bool v6)
{
	if (v6)
		return hook == HOOK_XDP
			       ? bpf_xdp_adjust_head(ctx, -TUNNEL_HEADERS_V6)
			       : bpf_skb_adjust_room(ctx, TUNNEL_HEADERS_V6, BPF_ADJ_ROOM_MAC, 0);
	return hook == HOOK_XDP ? bpf_xdp_adjust_head(ctx, -TUNNEL_HEADERS_V4)
				: bpf_skb_adjust_room(ctx, TUNNEL_HEADERS_V4, BPF_ADJ_ROOM_MAC, 0);
}

/*
 * Seals the frame's IP packet, which is `inner` bytes from the IP header on, for `peer`, number
 * `index` of the stem's peers; Ethernet pads are cut off. 0: the frame is ready for
 * bpf_redirect(peer->ifindex). Packet pointers are not valid afterwards.
 */
static __always_inline int tunnel_seal(void *ctx, enum hook hook, const struct tunnel_peer *peer,
				       __u32 index, void *sequences, __u32 host, __u32 inner)
{
	struct ethhdr *eth = hook_data(ctx, hook);
	void *end = hook_data_end(ctx, hook);
	__u32 frame = tunnel_frame_length(ctx, hook), offset;
	bool v6 = tunnel_is_v6(peer);
	struct siphash_job job;
	struct tunnel_head *head;
	__u64 sequence;
	__be16 protocol;
	__u8 tos;

	if ((void *)(eth + 1) > end || frame < sizeof(*eth) + inner)
		return -1;
	protocol = eth->h_proto;
	tos = tunnel_tos(eth + 1, end);
	if (frame > sizeof(*eth) + inner &&
	    (hook == HOOK_XDP ? bpf_xdp_adjust_tail(ctx, (int)(sizeof(*eth) + inner - frame))
			      : bpf_skb_change_tail(ctx, sizeof(*eth) + inner, 0)))
		return -1;
	sequence = tunnel_sequence(sequences, index);
	if (!sequence || tunnel_grow(ctx, hook, v6) || tunnel_pull(ctx, hook))
		return -1;

	eth = hook_data(ctx, hook);
	end = hook_data_end(ctx, hook);
	if ((void *)eth + sizeof(*eth) + TUNNEL_HEADERS_V4 > end)
		return -1;
	__builtin_memcpy(eth->h_dest, peer->dst_mac, 6);
	__builtin_memcpy(eth->h_source, peer->src_mac, 6);
	if (v6) {
		if ((void *)eth + sizeof(*eth) + TUNNEL_HEADERS_V6 > end)
			return -1;
		eth->h_proto = bpf_htons(ETH_P_IPV6);
		tunnel_write_ip6((void *)(eth + 1), peer, TUNNEL_HEADERS_V6 + inner, tos);
		head = (void *)(eth + 1) + sizeof(struct ipv6hdr);
		offset = sizeof(*eth) + TUNNEL_HEADERS_V6;
	} else {
		eth->h_proto = bpf_htons(ETH_P_IP);
		tunnel_write_ip4((void *)(eth + 1), peer, TUNNEL_HEADERS_V4 + inner, tos);
		head = (void *)(eth + 1) + sizeof(struct iphdr);
		offset = sizeof(*eth) + TUNNEL_HEADERS_V4;
	}
	tunnel_head_words(job.head, peer, protocol, sequence, host);
	tunnel_write_head(head, peer, inner, job.head);
	if (tunnel_tag(ctx, hook, offset, tunnel_covered(inner, peer->flags), peer->key, &job))
		return -1;
	*(__u64 *)head->option.tag = job.tag;
	return 0;
}

#endif
