/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A record of portarp_owner as one 64-bit word, which programs and this agent change at once
 * (maps/portarp.h). Nothing here knows more than the word.
 */
#ifndef ISTHMUS_AGENTS_PORTARP_OWNER_H
#define ISTHMUS_AGENTS_PORTARP_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/portarp.h"

union owner_word {
	uint64_t word;
	struct portarp_owner owner;
};

static inline union owner_word owner_load(const uint64_t *place)
{
	union owner_word now = { .word = __atomic_load_n(place, __ATOMIC_ACQUIRE) };

	return now;
}

static inline unsigned int owner_waiting(union owner_word now)
{
	return now.owner.wait & PORTARP_OWNER_WAIT;
}

/* Packets that no longer wait, because they were sent or dropped. */
static inline void owner_subtract(uint64_t *place, unsigned int packets)
{
	__atomic_fetch_sub(place, packets * (uint64_t)PORTARP_OWNER_ONE, __ATOMIC_ACQ_REL);
}

/*
 * The owner has answered, and `sent` packets of those that wait were sent. True if these were all:
 * then it is KNOWN by `mac`, with `flags`, and nothing waits. False: more have come.
 */
bool owner_settle(uint64_t *place, const uint8_t mac[6], uint16_t flags, unsigned int sent);

/* The same if what waits has been lost on its way here; false if the word is not `seen` any more.
 */
bool owner_settle_lost(uint64_t *place, const uint8_t mac[6], uint16_t flags, uint64_t seen);

/* Another MAC (NULL: none) and other flags; what waits stays counted. */
void owner_change(uint64_t *place, const uint8_t *mac, uint16_t flags);

/* Flags alone. */
void owner_mark(uint64_t *place, uint16_t set, uint16_t clear);

#endif
