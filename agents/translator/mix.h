/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_TRANSLATOR_MIX_H
#define ISTHMUS_TRANSLATOR_MIX_H

#include <stdint.h>

/* Every bit of the result depends on every bit of x (the finalizer of splitmix64). */
static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

#endif
