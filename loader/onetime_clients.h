/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What `client` and `run` share. */
#ifndef ISTHMUS_LOADER_ONETIME_CLIENTS_H
#define ISTHMUS_LOADER_ONETIME_CLIENTS_H

#include "onetime.h"

/* Names of the cgroups that `run` makes: this and its pid. */
#define ONETIME_RUN_CGROUP "isthmus-onetime-"

/* Takes the lock and opens the maps: an exit code, with a message; on failure nothing is open. */
int onetime_clients_open(const char *instance, int *lock, struct onetime_pins *pins);
/* Programs may bind addresses that no device has: an exit code, with a message. */
int onetime_clients_allow(const struct onetime_pins *pins, struct onetime_conf *conf);
/* Removes links of cgroups that have ended, and cgroups of `run` whose last process has. */
void onetime_clients_sweep(const char *instance);

#endif
