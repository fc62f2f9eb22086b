/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-2-4 with a 64-bit tag (Aumasson, Bernstein 2012) over a tunnel's headers and packet.
 *
 * Each hook has one global function, which the verifier follows once: inlined in each place, 6.1
 * would need a million instructions for it.
 */
#ifndef ISTHMUS_BPF_LIB_SIPHASH_H
#define ISTHMUS_BPF_LIB_SIPHASH_H

#include "hook.bpf.h"

/* The longest message, in steps of four words. */
#define SIPHASH_STEP	   32
#define SIPHASH_STEPS	   288
#define SIPHASH_OFFSET_MAX 256
#define SIPHASH_AT_MASK	   0x3fff /* covers both: for the verifier, which has forgotten them */

struct siphash {
	__u64 v0, v1, v2, v3;
};

/* What is asked of the functions at the end, and what they answer. */
struct siphash_job {
	__u64 key[2];
	__u64 head[3]; /* the message's first 24 bytes, as they lie in memory */
	__u64 tag;     /* out; as it lies in memory on a little-endian machine */
	__u32 offset;  /* in the frame: the message goes on there */
	__u32 length;  /* with so many bytes */
};

#define SIPHASH_HEAD_BYTES 24

static __always_inline __u64 sip_rotate(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static __always_inline void sip_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
	s->v0 = sip_rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
	s->v2 = sip_rotate(s->v2, 32);
}

static __always_inline void sip_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static __always_inline void sip_start(struct siphash *s, const struct siphash_job *job)
{
	s->v0 = job->key[0] ^ 0x736f6d6570736575ULL;
	s->v1 = job->key[1] ^ 0x646f72616e646f6dULL;
	s->v2 = job->key[0] ^ 0x6c7967656e657261ULL;
	s->v3 = job->key[1] ^ 0x7465646279746573ULL;
	sip_word(s, job->head[0]);
	sip_word(s, job->head[1]);
	sip_word(s, job->head[2]);
}

static __always_inline __u64 sip_end(struct siphash *s)
{
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Whether so many words lie in the frame. Clang would else turn it round into arithmetic on the
 * end. */
static __always_inline bool sip_there(const __u64 *word, int count, const void *end)
{
	const void *after = word + count;

	hide_from_clang(after);
	return after <= end;
}

/*
 * The word at a place of the frame. The sum is hidden: so the verifier finds all ways that lead
 * here alike, and follows one.
 */
static __always_inline const __u64 *sip_at(const void *data, __u32 at)
{
	hide_from_clang(at);
	return data + (at & SIPHASH_AT_MASK);
}

/* The words after the last whole step, then the last one with the length. */
static __always_inline bool sip_rest(struct siphash *s, const void *data, const void *end,
				     const struct siphash_job *job)
{
	__u64 last = (__u64)(job->length + SIPHASH_HEAD_BYTES) << 56;
	__u32 left = job->length % SIPHASH_STEP;
	const __u64 *word = sip_at(data, job->offset + job->length - left);

	for (int i = 0; i < 3 && left >= 8; i++) {
		if (!sip_there(word, 1, end))
			return false;
		sip_word(s, *word++);
		left -= 8;
	}
	/* What is left of a word is the upper part of the message's last eight bytes. */
	if (left) {
		word = sip_at(data, job->offset + job->length - 8);
		if (!sip_there(word, 1, end))
			return false;
		last |= *word >> (8 * (8 - left));
	}
	sip_word(s, last);
	return true;
}

/* False: the frame ends before the message does, or that is shorter than 8 bytes or too long. */
static __always_inline bool sip_frame(void *data, void *end, struct siphash_job *job)
{
	__u32 steps = job->length / SIPHASH_STEP;
	struct siphash s;
	const __u64 *word;

	if (job->offset > SIPHASH_OFFSET_MAX || job->length < 8 || steps > SIPHASH_STEPS)
		return false;
	sip_start(&s, job);
	word = sip_at(data, job->offset);
	for (__u32 i = 0; i < SIPHASH_STEPS && i < steps; i++) {
		if (!sip_there(word, 4, end))
			return false;
		sip_word(&s, word[0]);
		sip_word(&s, word[1]);
		sip_word(&s, word[2]);
		sip_word(&s, word[3]);
		word += 4;
	}
	if (!sip_rest(&s, data, end, job))
		return false;
	job->tag = sip_end(&s);
	return true;
}

/* 0, or -1: the frame is shorter than the message, or that longer than can be. */
__noinline int siphash_xdp(struct xdp_md *ctx, struct siphash_job *job)
{
	if (!job)
		return -1;
	return sip_frame((void *)(long)ctx->data, (void *)(long)ctx->data_end, job) ? 0 : -1;
}

__noinline int siphash_tc(struct __sk_buff *skb, struct siphash_job *job)
{
	if (!job)
		return -1;
	return sip_frame((void *)(long)skb->data, (void *)(long)skb->data_end, job) ? 0 : -1;
}

static __always_inline int siphash(void *ctx, enum hook hook, struct siphash_job *job)
{
	return hook == HOOK_XDP ? siphash_xdp(ctx, job) : siphash_tc(ctx, job);
}

#endif
