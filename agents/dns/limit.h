/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How much is given away. Each thing that is given (a responder, an agent's addresses) has a rate,
 * so that nobody can use all of it up. Who spends it must not thereby be the one who decides that
 * nobody gets it any more: above it, who has not shown that its address is its own is told to come
 * by TCP, and who has shown it has a rate of its network's own.
 */
#ifndef ISTHMUS_DNS_LIMIT_H
#define ISTHMUS_DNS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

enum limit_verdict {
	LIMIT_GO,
	LIMIT_PROVE,  /* the thing's rate is used up: by TCP, or with a cookie */
	LIMIT_REFUSE, /* and so is the network's */
};

struct limit_rates {
	unsigned int thing, thing_burst; /* a second, and at once */
	unsigned int network, network_burst;
	/* So many may be asked for in vain: who does not stop has to wait for longer. */
	unsigned int debt;
};

struct limits;

struct limits *limits_new(const struct limit_rates *rates); /* NULL without memory */
void limits_free(struct limits *limits);
/* thing: a well-mixed hash. proven: the client gets what is sent to its address. */
enum limit_verdict limits_take(struct limits *limits, uint64_t thing,
			       const struct isthmus_addr *client, bool proven, uint64_t now_ms);

#endif
