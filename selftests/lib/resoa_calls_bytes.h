/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes that both ends of resoa_calls can make and check by position (FNV-1a). */
#ifndef ISTHMUS_SELFTESTS_RESOA_CALLS_BYTES_H
#define ISTHMUS_SELFTESTS_RESOA_CALLS_BYTES_H

#include <stddef.h>
#include <stdint.h>

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
