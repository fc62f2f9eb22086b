/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A datapath's programs on one device: put there, exchanged, taken off. What stands where is noted
 * by the datapath in a map of its own, so the numbers here are in pinned maps.
 */
#ifndef ISTHMUS_LOADER_PUT_H
#define ISTHMUS_LOADER_PUT_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "output.h"

/* As enum splice_hook and enum portarp_hook. */
enum put_hook { PUT_HOOK_NONE, PUT_HOOK_TC, PUT_HOOK_XDP, PUT_HOOK_XDP_GENERIC };

/* How the tc programs stand: filters, TCX links, or filters in a qdisc that we made. */
enum put_tc { PUT_CLSACT, PUT_TCX, PUT_CLSACT_MADE };

/* One device, and where its links are pinned. */
struct put_place {
	const char *instance, *directory;
	uint32_t ifindex;
	int map_fd;	/* a map of every program of the datapath: tells our filters from others' */
	uint64_t netns; /* inode of the namespace that the datapath is attached in */
};

/* Descriptors; -1: the datapath has no program there. */
struct put_programs {
	int xdp, tc, out; /* out: tc egress */
};

/* A clsact filter; handle 0: there is none. */
struct put_filter {
	uint32_t handle;
	uint16_t priority;
};

/* What stands on a device. */
struct put {
	uint8_t hook; /* enum put_hook */
	uint8_t tc;   /* enum put_tc */
	struct put_filter in, out;
};

struct put_how {
	enum put_hook hook;
	bool clsact;	    /* though the kernel has TCX */
	bool may_fall_back; /* a refused XDP is no failure yet: said as a notice */
};

const char *put_hook_text(unsigned int hook);

/* Puts them on: an exit code, with a message; on failure nothing of it stays. */
int put_on(const struct put_place *place, const struct put_programs *programs,
	   const struct put_how *how, const struct device *device, struct put *put);
/* Each link and filter takes the new program between two packets: 0 or -errno. */
int put_exchange(const struct put_place *place, const struct put_programs *programs,
		 const struct put *put);
/* Takes all off: 0 or -errno. -EXDEV: there is a filter, and this is another network namespace. */
int put_off(const struct put_place *place, const struct put *put);
/* A record for each program that stands there; filters are seen only in their own namespace. */
void put_print(const struct output *output, const struct put_place *place, const struct put *put,
	       bool here);

#endif
