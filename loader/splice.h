/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The datapath `splice` in the loader: what its files share. */
#ifndef ISTHMUS_LOADER_SPLICE_H
#define ISTHMUS_LOADER_SPLICE_H

#include "../maps/pin.h"
#include "../maps/splice.h"
#include "loader.h"
#include "put.h"

#define SPLICE_STEM    "splice"
#define SPLICE_STAGING "splice@new" /* '@' is in no stem's and no instance's name */

/* Numbers are 0 when not given. */
struct splice_settings {
	struct common_settings common;
	struct option_devices devices;
	struct option_addresses addresses;
	struct option_ports ports;
	unsigned int mode; /* enum choose_mode */
	uint32_t rendezvous;
	uint32_t tcp_idle, udp_idle, half_open; /* seconds */
	bool clsact, replace;
};

/* Verbs. */
int splice_attach(const void *settings, const struct output *output);
int splice_detach(const void *settings, const struct output *output);
int splice_show(const void *settings, const struct output *output);
int splice_list(const void *settings, const struct output *output);
int splice_rendezvous(const void *settings, const struct output *output);
int splice_stats(const void *settings, const struct output *output);

int splice_status(const char *instance, const struct output *output);

/* ---- pinned state (splice_pins.c) */

struct splice_pins {
	int conf, local, side, join, leg, frag, dev, stats;
};

#define SPLICE_PINS_NONE                                                                           \
	{                                                                                          \
		-1, -1, -1, -1, -1, -1, -1, -1                                                     \
	}

/*
 * Opens all maps of a directory (SPLICE_STEM or SPLICE_STAGING). -ENOENT: not attached; -EPROTO:
 * another ABI. On failure nothing is open.
 */
int splice_pins_open(const char *instance, const char *directory, struct splice_pins *pins);
void splice_pins_close(struct splice_pins *pins);
int splice_conf_read(const struct splice_pins *pins, struct splice_conf *conf);

/* What stands on a device, and where: 0 or -errno. */
int splice_put_read(const struct splice_pins *pins, uint32_t ifindex, struct put *put);
int splice_put_note(const struct splice_pins *pins, uint32_t ifindex, const struct put *put);
int splice_put_place(const char *instance, const char *directory, const struct splice_pins *pins,
		     uint32_t ifindex, struct put_place *place);

/*
 * Takes our programs off one device and forgets it: 0 or -errno; -EXDEV: a clsact filter is in
 * another namespace.
 */
int splice_device_remove(const char *instance, const char *directory,
			 const struct splice_pins *pins, uint32_t ifindex);
/* Takes everything off and removes the directory. *stuck: devices that splice_device_remove()
 * failed for. */
int splice_remove(const char *instance, const char *directory, unsigned int *stuck);

#endif
