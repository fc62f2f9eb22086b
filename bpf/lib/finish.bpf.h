/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sum of a packet's bytes at tc, for the rare packet whose checksum looks as if a device had
 * still to finish it.
 */
#ifndef ISTHMUS_BPF_LIB_FINISH_H
#define ISTHMUS_BPF_LIB_FINISH_H

#include "csum.bpf.h"
#include "hook.bpf.h"

#define FINISH_CHUNK  64
#define FINISH_CHUNKS 1024

/* The folded sum of `length` bytes from `at`, or -1. Rarely called: it needs not be fast. */
__noinline int finish_sum(struct __sk_buff *skb, __u32 at, __u32 length)
{
	__u32 chunk[FINISH_CHUNK / 4], left;
	__s64 sum = 0;

	for (int i = 0; i < FINISH_CHUNKS && length >= FINISH_CHUNK; i++) {
		if (bpf_skb_load_bytes(skb, at, chunk, FINISH_CHUNK))
			return -1;
		sum = bpf_csum_diff(NULL, 0, chunk, FINISH_CHUNK, sum);
		at += FINISH_CHUNK;
		length -= FINISH_CHUNK;
	}
	left = length & (FINISH_CHUNK - 1);
	__builtin_memset(chunk, 0, sizeof(chunk));
	if (left) {
		hide_from_clang(left); /* 6.1 wants to see that it is not 0 */
		if (bpf_skb_load_bytes(skb, at, chunk, ((left - 1) & (FINISH_CHUNK - 1)) + 1))
			return -1;
	}
	return csum_fold(bpf_csum_diff(NULL, 0, chunk, FINISH_CHUNK, sum));
}

#endif
