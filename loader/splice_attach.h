/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a first attach and a replacing one share. */
#ifndef ISTHMUS_LOADER_SPLICE_ATTACH_H
#define ISTHMUS_LOADER_SPLICE_ATTACH_H

#include "choose.h"
#include "device.h"
#include "splice.h"
#include "splice_legs.h"

#define SPLICE_PORT_LOW	 10000
#define SPLICE_PORT_HIGH 32767 /* Linux takes ports for its own connections above this */

struct splice_bpf;

/* One `attach`, from the words of the command line to programs on devices. */
struct splice_run {
	const struct splice_settings *wanted;
	const char *instance;
	const char *directory; /* where pins are: SPLICE_STAGING, or SPLICE_STEM to replace */
	struct device_list list;
	const struct device *device[OPTION_LIST_MAX];
	unsigned int device_count;
	enum put_hook hook;
	bool may_fall_back; /* mode auto chose native XDP; tc if a driver has none */
	struct splice_pins pins;
	struct splice_bpf *skeleton;
};

/* These return an exit code and say what failed. */

/* Loads the programs. Their maps are new, or those of run->pins with `reuse`. */
int splice_run_load(struct splice_run *run, bool reuse);
/* Puts the programs on run->device[first ..]; takes what it put off again if one fails. */
int splice_run_devices(struct splice_run *run, unsigned int first);
/* Tells the datapath of every device that is there, keeps what is noted about attached ones. */
int splice_run_fill_devices(struct splice_run *run);
/* Times of the command line into *conf. */
void splice_run_times(const struct splice_run *run, struct splice_conf *conf);

/* Makes run->directory with all maps: 0 or -errno. */
int splice_run_pin(struct splice_run *run);
void splice_run_free(struct splice_run *run);
int splice_run_map_conf(const struct splice_run *run);
/* What a device with this hook has; devices of one datapath may differ after a --replace. */
void splice_run_programs(const struct splice_run *run, enum put_hook hook,
			 struct put_programs *programs);

/* ---- parts of splice_leg (splice_places.c) */

struct splice_places {
	struct splice_place place[SPLICE_LOCALS];
	unsigned int kept, count; /* the first `kept` are there already */
};

/* Legs that the addresses and ports of the command line need. */
uint32_t splice_places_total(const struct splice_run *run);
/* A first attach: one part after the other. */
int splice_places_fill(const struct splice_run *run);
/* A replacing one: what stays, and room for what is new; changes nothing. */
int splice_places_plan(const struct splice_run *run, const struct splice_legs *legs,
		       struct splice_places *plan);
int splice_places_exchange(const struct splice_run *run, const struct splice_legs *legs,
			   const struct splice_places *plan);

/* Exchanges programs and settings of what is attached. */
int splice_replace(struct splice_run *run);

#endif
