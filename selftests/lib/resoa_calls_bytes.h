/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What both ends of resoa_calls share: bytes that they make and check by position (FNV-1a). */
#ifndef ISTHMUS_SELFTESTS_RESOA_CALLS_BYTES_H
#define ISTHMUS_SELFTESTS_RESOA_CALLS_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A limit of time; longer on a slow machine ($SLOW). */
static inline int slowly(int limit)
{
	const char *slow = getenv("SLOW");
	int factor = slow ? atoi(slow) : 1;

	return factor > 1 && factor <= 100 ? limit * factor : limit;
}

#define BYTES_HASH 0xcbf29ce484222325ULL /* of no bytes */

static inline uint64_t bytes_hash(uint64_t hash, const uint8_t *bytes, size_t len)
{
	while (len--)
		hash = (hash ^ *bytes++) * 0x100000001b3ULL;
	return hash;
}

/* Those from position `at` on. */
static inline void bytes_make(uint8_t *bytes, uint64_t at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = 'a' + (at + i + (at + i) / 251) % 26;
}

#endif
