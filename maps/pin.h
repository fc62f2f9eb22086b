/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/pin.h - the one way to reach pinned state: /sys/fs/bpf/isthmus[/INSTANCE]/<stem>/.
 *
 * INSTANCE is NULL or "" for the default one; else 1 to 32 of a-z A-Z 0-9 _ -.
 */
#ifndef ISTHMUS_MAPS_PIN_H
#define ISTHMUS_MAPS_PIN_H

#include <stddef.h>

#include "common.h"

/* Writes ROOT[/INSTANCE][/stem][/name]; stem and name may be NULL. -EINVAL: bad instance,
 * -ENAMETOOLONG. */
int pin_path(const char *instance, const char *stem, const char *name, char *path, size_t len);

/* Makes the directories down to the instance and takes an exclusive lock on it; waits 5 s at most.
 * Returns a descriptor to close (which unlocks), -EBUSY, -ENOTSUP (no bpffs there), -EPERM, .... */
int pin_lock(const char *instance);

/*
 * For an agent: one for what is attached, for two would share its events. One that is just ending
 * is waited for, 3 s at most. Returns a descriptor to close, -ENOENT: not attached, -EBUSY, ....
 */
int pin_hold(const char *instance, const char *stem);

/*
 * Opens a pinned map and checks its sizes. Returns its descriptor; -ENOENT: not attached; -EPERM;
 * -EPROTO: the sizes are of another version.
 */
int pin_open_map(const char *instance, const char *stem, const char *name, size_t key_size,
		 size_t value_size);

#endif
