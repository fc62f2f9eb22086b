/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pinned maps of `portarp` as `isthmus portarp attach` leaves them, but without programs. */
#ifndef ISTHMUS_SELFTESTS_PORTARP_MAPS_H
#define ISTHMUS_SELFTESTS_PORTARP_MAPS_H

#include "../../maps/portarp.h"

/* conf: role and links; ABI, operations and namespace are filled in. Fails the test. */
void portarp_maps_pin(const char *instance, const struct portarp_conf *conf);
void portarp_maps_unpin(const char *instance);

#endif
