// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "owner.h"

static bool exchange(uint64_t *place, uint64_t seen, uint64_t next)
{
	return __atomic_compare_exchange_n(place, &seen, next, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static uint64_t word_of(const uint8_t *mac, uint16_t wait)
{
	union owner_word made = { .word = 0 };

	if (mac)
		memcpy(made.owner.mac, mac, 6);
	made.owner.wait = wait;
	return made.word;
}

bool owner_settle(uint64_t *place, const uint8_t mac[6], uint16_t flags, unsigned int sent)
{
	for (;;) {
		union owner_word now = owner_load(place);
		unsigned int waiting = owner_waiting(now), left;

		/* A count on a KNOWN word is another's that is about to be taken back. */
		if (waiting > sent && !(now.owner.wait & PORTARP_OWNER_KNOWN))
			return false;
		left = waiting > sent ? waiting - sent : 0;
		if (exchange(place, now.word, word_of(mac, PORTARP_OWNER_KNOWN | flags | left)))
			return true;
	}
}

bool owner_settle_lost(uint64_t *place, const uint8_t mac[6], uint16_t flags, uint64_t seen)
{
	return exchange(place, seen, word_of(mac, PORTARP_OWNER_KNOWN | flags));
}

void owner_change(uint64_t *place, const uint8_t *mac, uint16_t flags)
{
	union owner_word now;

	do {
		now = owner_load(place);
	} while (!exchange(place, now.word, word_of(mac, flags | owner_waiting(now))));
}

void owner_mark(uint64_t *place, uint16_t set, uint16_t clear)
{
	union owner_word now, next;

	do {
		now = owner_load(place);
		next = now;
		next.owner.wait = (now.owner.wait & ~clear) | set;
	} while (!exchange(place, now.word, next.word));
}
