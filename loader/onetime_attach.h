/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a first attach and a replacing one share. */
#ifndef ISTHMUS_LOADER_ONETIME_ATTACH_H
#define ISTHMUS_LOADER_ONETIME_ATTACH_H

#include "choose.h"
#include "device.h"
#include "onetime.h"

struct onetime_bpf;

/* One `attach`, from the words of the command line to programs on devices. */
struct onetime_attaching {
	const struct onetime_settings *wanted;
	const char *instance;
	const char *directory; /* where pins are: ONETIME_STAGING, or ONETIME_STEM to replace */
	struct device_list list;
	const struct device *device[ONETIME_LINKS]; /* those of conf.link */
	struct onetime_conf conf;
	struct onetime_pins pins;
	struct onetime_bpf *skeleton;
};

/* These return an exit code and say what failed. */

/* Loads the programs. Their maps are new, or the pinned ones with `reuse`. */
int onetime_programs_load(struct onetime_attaching *run, bool reuse);
/* Puts them on all devices; takes them off again if one fails. */
int onetime_programs_put(struct onetime_attaching *run);
/* Those of the network namespace and of the cgroup. */
int onetime_programs_put_sockets(const struct onetime_attaching *run);
/* All that are there become the loaded ones. */
int onetime_programs_exchange(const struct onetime_attaching *run);

/* Makes run->directory with all maps, the programs of clients, and run->conf: 0 or -errno. */
int onetime_programs_pin(const struct onetime_attaching *run);
void onetime_programs_free(struct onetime_attaching *run);

#endif
