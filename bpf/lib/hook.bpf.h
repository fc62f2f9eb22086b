/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two hooks that one body serves. Functions take `hook` as a constant, so each entry keeps only
 * its own half. Headers are read and written through [data, data_end) on both.
 */
#ifndef ISTHMUS_BPF_LIB_HOOK_H
#define ISTHMUS_BPF_LIB_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

enum hook { HOOK_XDP, HOOK_TC };

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Hides from clang what it knows of a value, so that it leaves a check in the form that the
 * verifier of an older kernel follows: 6.1 learns a lower bound from `n < 4`, not from `n == 0`. */
#define hide_from_clang(value) asm volatile("" : "+r"(value))

/* As much of a packet as the parser may look at: Ethernet, a tag, the longest headers. */
#define HOOK_HEADERS 160

/*
 * Reads a pointer of the context in the one form that the verifier takes: from the context itself
 * at a constant offset. Clang would sometimes keep the sum of both in a register.
 */
#define hook_pointer(type, ctx, field)                                                             \
	({                                                                                         \
		void *pointer;                                                                     \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                              \
			     : "=r"(pointer)                                                       \
			     : "r"(ctx), "i"(offsetof(type, field)));                              \
		pointer;                                                                           \
	})

static __always_inline void *hook_data(void *ctx, enum hook hook)
{
	return hook == HOOK_XDP ? (void *)(long)((struct xdp_md *)ctx)->data
				: hook_pointer(struct __sk_buff, ctx, data);
}

static __always_inline void *hook_data_end(void *ctx, enum hook hook)
{
	return hook == HOOK_XDP ? (void *)(long)((struct xdp_md *)ctx)->data_end
				: hook_pointer(struct __sk_buff, ctx, data_end);
}

static __always_inline __u32 hook_ifindex(void *ctx, enum hook hook)
{
	return hook == HOOK_XDP ? ((struct xdp_md *)ctx)->ingress_ifindex
				: ((struct __sk_buff *)ctx)->ifindex;
}

/* The whole frame, link header included, also what lies beyond data_end. */
static __always_inline __u32 hook_length(void *ctx, enum hook hook)
{
	if (hook == HOOK_TC)
		return ((struct __sk_buff *)ctx)->len;
	return bpf_xdp_get_buff_len(ctx);
}

/* Packets on the wire: a GSO packet is as many as its segments. */
static __always_inline __u32 hook_packets(void *ctx, enum hook hook)
{
	__u32 segments = hook == HOOK_TC ? ((struct __sk_buff *)ctx)->gso_segs : 0;

	return segments ? segments : 1;
}

/* Longer than a wire packet because it will be cut on its way out. */
static __always_inline bool hook_is_gso(void *ctx, enum hook hook)
{
	return hook == HOOK_TC && ((struct __sk_buff *)ctx)->gso_segs > 1;
}

/*
 * tc: a NIC may leave headers in fragments; brings so many bytes of the packet where they can be
 * read, if they are not there.
 */
static __always_inline void hook_pull(void *ctx, enum hook hook, __u32 want)
{
	struct __sk_buff *skb = ctx;
	__u32 linear;

	if (hook != HOOK_TC)
		return;
	linear = hook_data_end(ctx, hook) - hook_data(ctx, hook);
	if (want > skb->len)
		want = skb->len;
	if (linear < want)
		bpf_skb_pull_data(skb, want);
}

static __always_inline void hook_pull_headers(void *ctx, enum hook hook)
{
	hook_pull(ctx, hook, HOOK_HEADERS);
}

#endif
