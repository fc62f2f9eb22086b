// SPDX-License-Identifier: GPL-3.0-or-later
#include "agents/lib/lhp.h"
#include "lhp_messages.h"

static size_t length_of(uint32_t stream, uint32_t i)
{
	uint32_t mixed = (stream * 7919 + i) * 2654435761u;

	if (mixed >> 8 & 1023)
		return mixed >> 16 & 511;
	return mixed % (LHP_MESSAGE_MAX + 1);
}

size_t message_make(uint32_t stream, uint32_t i, uint8_t *bytes)
{
	size_t len = length_of(stream, i);
	uint64_t word = ((uint64_t)stream << 32 | i) * 0x9e3779b97f4a7c15ull;

	for (size_t at = 0; at < len; at++) {
		if (!(at & 7))
			word = word * 6364136223846793005ull + 1442695040888963407ull;
		bytes[at] = (uint8_t)(word >> 8 * (at & 7));
	}
	return len;
}
