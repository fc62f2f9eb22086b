/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_PORTARP_RESTORE_H
#define ISTHMUS_AGENTS_PORTARP_RESTORE_H

#include "agent.h"

/* What the agent before this one knew: from the maps, then from the state file. */
int restore(struct agent *agent, char *error, size_t error_len);
/* Leases of a new address that the state file has from before. */
void restore_leases(struct agent *agent, struct shared *shared);
/* Cascade: does the state file say that this address comes from above? */
void restore_upstream(struct agent *agent, struct shared *shared);

#endif
