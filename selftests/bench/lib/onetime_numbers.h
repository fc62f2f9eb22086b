/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses of a /64 by number, so that who fills tables and who connects need no list, and what an
 * agent makes of one that is given out. They are scattered as an agent's are: the factor is odd, so
 * no two numbers have one address.
 */
#ifndef ISTHMUS_SELFTESTS_BENCH_ONETIME_NUMBERS_H
#define ISTHMUS_SELFTESTS_BENCH_ONETIME_NUMBERS_H

#include <arpa/inet.h>
#include <endian.h>
#include <stdint.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "maps/onetime.h"

#define NUMBERED_FOR_NS 3600000000000ULL /* how long it waits for its client */

static inline int numbered_prefix(const char *text, struct isthmus_addr *prefix)
{
	return inet_pton(AF_INET6, text, prefix->b) == 1 ? 0 : -1;
}

static inline struct isthmus_addr numbered(const struct isthmus_addr *prefix, uint64_t number)
{
	uint64_t host = htobe64((number + 1) * 0x9e3779b97f4a7c15ULL);
	struct isthmus_addr address = *prefix;

	memcpy(address.b + 8, &host, sizeof(host));
	return address;
}

static inline struct onetime_addr numbered_pending(uint32_t listener, uint16_t port)
{
	struct timespec time;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC, &time);
	now_ns = time.tv_sec * 1000000000ULL + time.tv_nsec;
	return (struct onetime_addr){
		.state = ONETIME_STATE_PENDING,
		.use = ONETIME_SSA,
		.mode = ONETIME_L1,
		.proto = IPPROTO_TCP,
		.pool = 1,
		.listener = listener,
		.port = htons(port),
		.since_ns = now_ns,
		.until_ns = now_ns + NUMBERED_FOR_NS,
	};
}

#endif
