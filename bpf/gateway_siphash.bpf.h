/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-2-4 over 24 bytes and then what lies in a packet. One global function a hook: inlined at
 * each use it would cost the verifier the loop again.
 */
#ifndef ISTHMUS_BPF_GATEWAY_SIPHASH_H
#define ISTHMUS_BPF_GATEWAY_SIPHASH_H

#include "gateway_head.bpf.h"

static __always_inline __u64 rotate(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static __always_inline void sip_round(__u64 v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static __always_inline void sip_word(__u64 v[4], __u64 word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static __always_inline void sip_begin(__u64 v[4], const struct tag_input *in)
{
	v[0] = in->key[0] ^ 0x736f6d6570736575ull;
	v[1] = in->key[1] ^ 0x646f72616e646f6dull;
	v[2] = in->key[0] ^ 0x6c7967656e657261ull;
	v[3] = in->key[1] ^ 0x7465646279746573ull;
	sip_word(v, in->header[0]);
	sip_word(v, in->header[1]);
	sip_word(v, in->header[2]);
}

static __always_inline __u64 sip_end(__u64 v[4], __u64 last)
{
	sip_word(v, last);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The last word: what is left of the bytes, and how many there were. */
static __always_inline int sip_last(const struct tag_input *in, void *data, void *end, __u64 *last)
{
	__u32 rest = in->bytes % 8, at = in->bytes & ~7u;
	void *next;

	if (at > TAG_WORDS * 8)
		return -1;
	data += at;
	*last = (__u64)(in->bytes + sizeof(in->header)) << 56;
	for (__u32 i = 0; i < 7; i++) {
		if (i >= rest)
			break;
		next = data + 1;
		hide_from_clang(next); /* it would move `end` instead */
		if (next > end)
			return -1;
		*last |= (__u64) * (__u8 *)data << (8 * i);
		data = next;
	}
	return 0;
}

/*
 * All of [at, at + bytes) must be in [data, end). The last word comes first: so nothing but `v` is
 * left when the loop ends, and the verifier follows what is behind it once.
 */
static __always_inline int tag_packet(struct tag_input *in, void *data, void *end)
{
	__u32 words = in->bytes / 8, at = in->at;
	__u64 v[4], last;
	void *next;

	if (at > 0xff)
		return -1;
	data += at;
	if (sip_last(in, data, end, &last))
		return -1;
	sip_begin(v, in);
	for (__u32 i = 0; i < TAG_WORDS; i++) {
		if (i >= words)
			break;
		next = data + 8;
		hide_from_clang(next);
		if (next > end)
			return -1;
		sip_word(v, *(__u64 *)data);
		data = next;
	}
	in->tag = sip_end(v, last);
	return 0;
}

int tag_xdp(struct xdp_md *ctx, struct tag_input *in)
{
	if (!in)
		return -1;
	return tag_packet(in, hook_data(ctx, HOOK_XDP), hook_data_end(ctx, HOOK_XDP));
}

int tag_tc(struct __sk_buff *skb, struct tag_input *in)
{
	__u32 need;

	if (!in)
		return -1;
	need = in->at + in->bytes;
	if (need > skb->len || bpf_skb_pull_data(skb, need))
		return -1;
	return tag_packet(in, hook_data(skb, HOOK_TC), hook_data_end(skb, HOOK_TC));
}

static __always_inline int tag_make(void *ctx, enum hook hook, struct tag_input *in)
{
	return hook == HOOK_XDP ? tag_xdp(ctx, in) : tag_tc(ctx, in);
}

#endif
