/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a first attach and a replacing one share. */
#ifndef ISTHMUS_LOADER_PORTARP_ATTACH_H
#define ISTHMUS_LOADER_PORTARP_ATTACH_H

#include "choose.h"
#include "device.h"
#include "portarp.h"

struct portarp_bpf;

/* One `attach`, from the words of the command line to programs on devices. */
struct portarp_run {
	const struct portarp_settings *wanted;
	const char *instance;
	const char *directory; /* where pins are: PORTARP_STAGING, or PORTARP_STEM to replace */
	struct device_list list;
	const struct device *device[PORTARP_LINKS]; /* those of conf.link */
	enum put_hook hook;
	bool may_fall_back; /* mode auto chose native XDP; tc if a driver has none */
	struct portarp_conf conf;
	struct portarp_pins pins;
	struct portarp_bpf *skeleton;
};

/* These return an exit code and say what failed. */

/* Loads the programs that the role needs. Their maps are new, or the pinned ones with `reuse`. */
int portarp_run_load(struct portarp_run *run, bool reuse);
/* Puts the programs on all devices; takes them off again if one fails. */
int portarp_run_devices(struct portarp_run *run);
/* A host: whose binds are checked. */
int portarp_run_bind(const struct portarp_run *run);

/* These return 0 or -errno. */

/* Makes run->directory with all maps and run->conf. */
int portarp_run_pin(const struct portarp_run *run);
/* One device's programs, and the host's, become the loaded ones. */
int portarp_run_exchange(const struct portarp_run *run, const struct portarp_link *link);
int portarp_run_exchange_bind(const struct portarp_run *run);
void portarp_run_free(struct portarp_run *run);

/* Exchanges the programs of what is attached. */
int portarp_replace(struct portarp_run *run);

#endif
