/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What isthmus-waypoint is without its tunnels and its name server: on pinned maps, without
 * programs. Helpers fail the test.
 */
#ifndef ISTHMUS_SELFTESTS_WAYPOINT_AGENT_H
#define ISTHMUS_SELFTESTS_WAYPOINT_AGENT_H

#include "../../agents/waypoint/waypoint.h"

#define BINDS	   4
#define WAIT_MS	   2000
#define W1	   "203.0.113.80"
#define W2	   "203.0.113.81"
#define W3	   "203.0.113.82"
#define ALICE	   "198.51.100.7"
#define GATEWAY	   5   /* has a tunnel */
#define GATEWAY2   6   /* the same */
#define NO_TUNNEL  7   /* known */
#define STRANGER   8   /* not even that */
#define LATE_MS	   500 /* that a machine may be slow between two looks at the clock */
#define COUNT(all) (sizeof(all) / sizeof((all)[0]))

extern struct waypoint *w; /* the agent */
extern const struct waypoint_conf wagent_conf;
extern char wagent_state[64]; /* its database */

/* Maps of their own, and an agent with W1 and W2. */
int wagent_set_up(void **state);
int wagent_tear_down(void **state);
/* The maps stay as they are, as if it had been killed. */
void wagent_end(void);
void wagent_start(const char *const *addresses, unsigned int count);

__be32 v4(const char *text);
struct waypoint_wait read_wait(const char *address, uint32_t place);
bool read_bind(const char *initiator, const char *address, struct waypoint_bind *bind);
void put_bind(const char *initiator, const char *address, const struct waypoint_bind *bind);
struct setup ask_of(uint8_t mode, const char *initiator, uint8_t bits, uint32_t gateway,
		    uint32_t host);

#endif
