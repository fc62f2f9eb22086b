/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a session of the maps has ended: a pure function of its two legs (thesis 5.2). */
#ifndef ISTHMUS_TRANSLATOR_DECIDE_H
#define ISTHMUS_TRANSLATOR_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/splice.h"

/* Both FINs and this long nothing: the broker is told, TIME-WAIT goes on without it. */
#define DECIDE_FINISHED_NS 2000000000ULL

enum verdict {
	VERDICT_KEEP,
	VERDICT_FINISHED,  /* both FINs: report the end, free the endpoints, keep the legs */
	VERDICT_TIME_WAIT, /* both FINs and TIME-WAIT is over: remove */
	VERDICT_RESET,
	VERDICT_HALF_OPEN,
	VERDICT_IDLE,
};

struct leg_view {
	uint8_t flags;	  /* SPLICE_LEG_ */
	uint64_t seen_ns; /* last packet */
};

enum verdict decide_session(uint8_t proto, struct leg_view a, struct leg_view b, uint64_t now_ns,
			    const struct splice_conf *conf);
/* False: whatever the other leg is, the session goes on; so it need not be looked up. */
bool decide_may_end(uint8_t proto, struct leg_view leg, uint64_t now_ns,
		    const struct splice_conf *conf);

#endif
