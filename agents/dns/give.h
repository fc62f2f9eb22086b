/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions for one-time names (Unified Multiplex II.A): each is held until the name's agent has
 * given an address for it alone, and answered with that, TTL 0 (docs/protocol.md, give).
 *
 *   answer() says HELD -> give_hold() -> give -> given -> answered
 *
 * An agent that has not answered after a second does not answer: SERVFAIL. What an agent may be
 * asked for has a rate (limit.h); how many addresses a client may have that it has not used is the
 * agent's to know.
 */
#ifndef ISTHMUS_DNS_GIVE_H
#define ISTHMUS_DNS_GIVE_H

#include "hold.h"
#include "member.h"

#define GIVE_WAIT_MS 1000

/* What becomes of a question, counted; not all of them end by it. */
#define GIVE_COUNTS(X)                                                                             \
	X(ASKED, "asked")	    /* agents were asked */                                        \
	X(GIVEN, "given")	    /* answered with an address */                                 \
	X(NONE, "none")		    /* the agent has none left */                                  \
	X(LIMIT, "limit")	    /* the client has too many that it has not used */             \
	X(GONE, "gone")		    /* the agent has no such service, or another reason */         \
	X(SCARCE, "scarce")	    /* the agent's are scarce: told to ask by TCP */               \
	X(PROVE, "proven_first")    /* the agent's rate is used up: told to ask by TCP */          \
	X(LIMITED, "limited")	    /* the network's rate is used up, too */                       \
	X(REPEATED, "repeated")	    /* a copy of one that is held */                               \
	X(TIMEOUT, "timeout")	    /* the agent did not answer in time */                         \
	X(OFFLINE, "offline")	    /* no agent of the name is logged in */                        \
	X(AGENT_FULL, "agent_full") /* too many are held for the agent */                          \
	X(FULL, "full")		    /* too many are held in all, or no memory */                   \
	X(LATE, "late")		    /* answers of an agent for which nothing is held any more */   \
	X(BAD, "bad")		    /* answers of an agent that say nothing */

enum give_count {
#define X(name, word) GIVE_##name,
	GIVE_COUNTS(X)
#undef X
		GIVE_COUNT
};

int give_open(struct dns *dns);
void give_close(struct dns *dns);
/* As bind_hold(). */
bool give_hold(struct dns *dns, const struct hold_client *client, const uint8_t *question,
	       size_t len);
struct holds *give_holds(const struct dns *dns);
/* An agent's "given". */
void give_take(struct onetime *agent, const json_t *message);
/* Its connection is over. */
void give_lost(struct dns *dns, const struct onetime *agent);
json_t *give_status(const struct dns *dns);
struct evbuffer;
void give_metrics(struct evbuffer *out, const struct dns *dns);

#endif
