/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_states.h - every state that an address may have, and what becomes of those
 * who ask for it, or say that it is their own.
 */
#ifndef ISTHMUS_SELFTESTS_ONETIME_STATES_H
#define ISTHMUS_SELFTESTS_ONETIME_STATES_H

#include "selftests/lib/neighbour.h"
#include "selftests/lib/onetime_fixture.h"

struct ostate {
	const char *name;
	__u32 state; /* FREE = no entry */
	__u8 use, proto;
	bool expired;
	bool answers, defends; /* resolution, detection */
	__u32 is, claimed;     /* what it counts as; what it is after a claim */
};

#define OSTATES	    17
#define OSTATE_LIVE 6

extern const struct ostate ostates[OSTATES];

void ostate_put(struct ofix *fx, const struct ostate *row, const struct isthmus_addr *addr);
/* Nothing but its state and the time of that may have changed. */
void ostate_check(struct ofix *fx, const struct ostate *row, const struct isthmus_addr *addr,
		  bool claimed);

enum oasked { ASKED_NOTHING, ASKED_WHERE, ASKED_WHETHER, ASKED_CLAIM, ASKED_SILENT };

struct oexpected {
	const struct isthmus_addr *about, *from;
	const __u8 *mac;
	enum oasked asked;
};

int ostate_reason(const struct ostate *row, enum oasked asked, bool arp);
bool ostate_is_told(const struct ostate *row, enum oasked asked);

/* The frame, with the address in each state: reason, bytes, answer, event, entry. */
void ostates_run(struct ofix *fx, const char *what, const struct packet *in, bool arp,
		 const struct oexpected *expected);
void ostates_forget_told(struct ofix *fx);

#endif
