// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>

#include "../maps/pin.h"
#include "detach.h"
#include "loader.h"
#include "pins.h"

/* Removes what is there of one directory. */
static int detach_directory(const char *instance, const char *stem, const char *directory,
			    detach_remove remove_all)
{
	unsigned int stuck = 0;
	int err;

	if (!pins_exist(instance, directory))
		return EXIT_DONE;
	err = remove_all(instance, directory, &stuck);
	if (err)
		return complain_pins(err, instance, stem);
	if (stuck)
		return complain(
			EXIT_FAILED,
			"%s: %u device%s could not be cleared; run detach in the network "
			"namespace of the attach (`nsenter --net=/run/netns/NAME isthmus %s "
			"detach`)",
			stem, stuck, stuck == 1 ? "" : "s", stem);
	return EXIT_DONE;
}

int detach(const char *instance, const char *stem, const char *staging, detach_remove remove_all)
{
	int lock CLOSE_FD = -1;
	char path[512];
	int code;

	if (pin_path(instance, stem, NULL, path, sizeof(path)))
		return EXIT_USAGE;
	if (access(path, F_OK) && errno != ENOENT)
		return complain_pins(-errno, instance, stem);
	if (!pins_exist(instance, stem) && !pins_exist(instance, staging))
		return complain_pins(-ENOENT, instance, stem);
	lock = pin_lock(instance);
	if (lock < 0)
		return complain_pins(lock, instance, stem);
	code = detach_directory(instance, stem, stem, remove_all);
	if (code == EXIT_DONE)
		code = detach_directory(instance, stem, staging, remove_all);
	pins_remove_empty(instance);
	return code;
}
