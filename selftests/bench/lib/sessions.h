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

/* What gen.bpf.c is told: the one variable of its .rodata. */
struct gen_settings {
	__u32 device;	   /* sends from here */
	__u32 sessions;	   /* one of so many, at random */
	__u32 to_provider; /* straight there, not to the relay's address: forwarding */
	__u32 macs[3];	   /* destination, source; as in a frame */
};

_Static_assert(sizeof(struct gen_settings) == 24, "as .rodata");

/* Ports are in host order. */
static inline __u16 session_remote_port(__u32 i)
{
	return 1024 + i * 7u % 60000u;
}

static inline __u16 session_local_port(__u32 i)
{
	return SESSIONS_PORT + i % SESSIONS_ADDRESS;
}

#endif
