/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_PORTARP_HOLD_H
#define ISTHMUS_AGENTS_PORTARP_HOLD_H

#include "agent.h"

struct held {
	TAILQ_ENTRY(held) link;
	uint64_t since_ms;
	uint32_t ifindex;
	uint16_t len, port;
	bool counted; /* in the owner's word */
	bool own;     /* made or routed by this machine's kernel */
	uint8_t frame[];
};

/*
 *             HELD                     believed answer             exchange
 *   (nobody) ------> ASKING, queue -----------------> SETTLING -----------------> (gone), KNOWN
 *                      |                                 | more have come: sent, tried again
 *                      | 1 s                             | what never comes: given up after 50 ms
 *                      +----> dropped, subtracted
 */
struct waiting {
	TAILQ_ENTRY(waiting) link;
	uint32_t owner;
	TAILQ_HEAD(helds, held) queue;
	unsigned int sent; /* counted in the word, but sent already */
	uint64_t came_ms;  /* its last packet */
	uint64_t idle_ms;  /* since when its queue is empty while packets are counted */
	bool answered;
	uint8_t mac[6];
	uint16_t flags;
};

#endif
