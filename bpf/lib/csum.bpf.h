/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Internet checksum, incrementally (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')). A "delta" is
 * the folded 16-bit sum of ~m + m' over all words that change, in memory order.
 */
#ifndef ISTHMUS_BPF_LIB_CSUM_H
#define ISTHMUS_BPF_LIB_CSUM_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

/* A TTL or hop limit one less: it is the high byte of its IPv4 word, the low byte of the IPv6 one.
 */
#define CSUM_TTL_DELTA_V4 bpf_htons((__u16)~0x0100)
#define CSUM_HOP_DELTA_V6 bpf_htons((__u16)~0x0001)

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32 csum_add(__u32 a, __u32 b)
{
	__u32 sum = a + b;

	return sum + (sum < a);
}

static __always_inline __u32 csum_sub(__u32 a, __u32 b)
{
	return csum_add(a, ~b);
}

static __always_inline void csum_update(__u16 *check, __u32 delta)
{
	*check = ~csum_fold((__u16) ~*check + delta);
}

/* UDP: 0 means "no checksum" and stays; a computed 0 is sent as 0xffff (RFC 768). */
static __always_inline void csum_update_udp(__u16 *check, __u32 delta)
{
	if (!*check)
		return;
	csum_update(check, delta);
	if (!*check)
		*check = 0xffff;
}

#endif
