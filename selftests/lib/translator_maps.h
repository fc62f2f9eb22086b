/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pinned maps of `splice` as `isthmus splice attach` leaves them, but without programs. */
#ifndef ISTHMUS_SELFTESTS_TRANSLATOR_MAPS_H
#define ISTHMUS_SELFTESTS_TRANSLATOR_MAPS_H

#include "../../maps/splice.h"

/* One address with ports [low, high]. Idle times of a few seconds: a leg's last packet cannot be
 * older than the machine. Fails the test. */
void maps_pin(const char *instance, const struct isthmus_addr *addr, __u16 low, __u16 high,
	      __u32 rendezvous);
void maps_unpin(const char *instance);

#endif
