/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which hook suits a device, and what would silently fail there. */
#ifndef ISTHMUS_LOADER_CHOOSE_H
#define ISTHMUS_LOADER_CHOOSE_H

#include "device.h"

/* Largest MTU whose frames are one page, with XDP's headroom and the kernel's tail. */
#define CHOOSE_XDP_MTU 3400

/* NULL if native XDP may be tried; else why tc is right for this device. */
const char *choose_why_tc(const struct device *device);

/* 0, or EXIT_FAILED with a message: only Ethernet devices carry what the programs parse. */
int choose_check(const struct device *device);

struct choose_use {
	bool native_xdp;
	bool v4, v6; /* families of the addresses */
};

/* Warnings on standard error, with the remedy. */
void choose_warn(const struct device_list *list, const struct device *device,
		 const struct choose_use *use);

/* Why XDP was refused, and what to try, into `text`. */
void choose_explain_xdp(const struct device *device, int err, char *text, size_t len);

#endif
