/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which hook suits a device, and what would silently fail there. */
#ifndef ISTHMUS_LOADER_CHOOSE_H
#define ISTHMUS_LOADER_CHOOSE_H

#include "device.h"
#include "put.h"

/* Largest MTU whose frames are one page, with XDP's headroom and the kernel's tail. */
#define CHOOSE_XDP_MTU 3400

/* NULL if native XDP may be tried; else why tc is right for this device. */
const char *choose_why_tc(const struct device *device);

/* What --mode may be, in the order of enum choose_mode; NULL at the end. */
extern const char *const choose_modes[];

enum choose_mode { CHOOSE_AUTO = 1, CHOOSE_XDP, CHOOSE_XDP_GENERIC, CHOOSE_TC };

/* The hook that a mode other than auto names. */
enum put_hook choose_by_mode(unsigned int mode);
/*
 * The hook for a set of devices: what --mode says (0: auto), or what suits all of them, with a
 * notice for each. *may_fall_back: auto chose native XDP, which a driver may not have.
 */
enum put_hook choose_hook(unsigned int mode, const struct device *const *device, unsigned int count,
			  bool *may_fall_back);

/*
 * The device of a name: an exit code, with a message if there is none, or if it is not Ethernet,
 * which is all that the programs parse.
 */
int choose_device(const struct device_list *list, const char *name, const struct device **device);
/* The loopback device, whose packets have Ethernet headers too, is taken as well. */
int choose_device_or_loopback(const struct device_list *list, const char *name,
			      const struct device **device);

struct choose_use {
	bool native_xdp;
	bool v4, v6;		 /* families that are forwarded */
	const char *unforwarded; /* what comes of it if the kernel forwards them not */
};

/* Warnings on standard error, with the remedy. */
void choose_warn(const struct device_list *list, const struct device *device,
		 const struct choose_use *use);

/* Why XDP was refused, and what to try, into `text`. */
void choose_explain_xdp(const struct device *device, int err, char *text, size_t len);

#endif
