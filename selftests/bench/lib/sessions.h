/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sessions that the generator sends and `fill` makes: number i is one formula, so neither needs
 * a list. Each has an endpoint of the relay to itself on either side.
 *
 *   subscriber 10.128.0.2 + i, port 1024 + 7 i mod 60000, at 10.1.0.1 + i / 50000, port 10000 + i
 * mod 50000 provider   10.144.0.2 + i, the same port,              at 10.2.0.1 + i / 50000, the
 * same port
 */
#ifndef ISTHMUS_SELFTESTS_BENCH_SESSIONS_H
#define ISTHMUS_SELFTESTS_BENCH_SESSIONS_H

#include <linux/types.h>

#define SESSIONS_MAX	    1000000
#define SESSIONS_SUBSCRIBER 0x0a800002 /* 10.128.0.2, host order */
#define SESSIONS_PROVIDER   0x0a900002 /* 10.144.0.2 */
#define SESSIONS_RELAY_A    0x0a010001 /* 10.1.0.1: the relay towards subscribers */
#define SESSIONS_RELAY_B    0x0a020001 /* 10.2.0.1: towards providers */
#define SESSIONS_ADDRESS    50000      /* sessions of one address */
#define SESSIONS_PORT	    10000      /* first of the relay's ports */

/*
 * The sharers of portarp: number i has PSID i mod 256 of 100.64.0.0 + i / 256, with 6 offset bits
 * and 8 of PSID, so 63 ranges of 4 ports.
 */
#define SHARERS_ADDRESS 0x64400000 /* 100.64.0.0, host order */
#define SHARERS_OFFSET	6
#define SHARERS_LENGTH	8
#define SHARERS_EACH	(1 << SHARERS_LENGTH) /* of one address */
#define SHARERS_RANGES	((1 << SHARERS_OFFSET) - 1)

/* gen_settings.to */
enum gen_to {
	GEN_TO_RELAY,	 /* sessions of splice, at the relay's addresses */
	GEN_TO_PROVIDER, /* straight to the far host: forwarding */
	GEN_TO_SHARER,	 /* ports of sharers */
};

/* What gen.bpf.c is told: the one variable of its .rodata. */
struct gen_settings {
	__u32 device;	/* sends from here */
	__u32 sessions; /* or sharers: one of so many, at random */
	__u32 to;	/* enum gen_to */
	__u32 macs[3];	/* destination, source; as in a frame */
	__u32 payload;	/* bytes of a datagram */
};

_Static_assert(sizeof(struct gen_settings) == 28, "as .rodata");

/* Ports are in host order. */
static inline __u16 session_remote_port(__u32 i)
{
	return 1024 + i * 7u % 60000u;
}

/* Range `range` of sharer i, port `port` of four in it. */
static inline __u16 sharer_port(__u32 i, __u32 range, __u32 port)
{
	return (range + 1) << (16 - SHARERS_OFFSET) | i % SHARERS_EACH << 2 | port;
}

static inline __u16 session_local_port(__u32 i)
{
	return SESSIONS_PORT + i % SESSIONS_ADDRESS;
}

#endif
