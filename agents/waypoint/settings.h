/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_WAYPOINT_SETTINGS_H
#define ISTHMUS_WAYPOINT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/common.h"
#include "../lib/conf.h"

#define SETTINGS_ADDRESSES 1024 /* WAYPOINT_ADDRS */
#define WAYPOINT_CONFIG	   "/etc/isthmus/waypoint.conf"

struct settings {
	char *instance;
	struct conf_list address, near, tunnel;
	char *prefix6, *setup;
	char *credentials, *state, *control, *metrics, *user, *log, *log_level;
	unsigned int wait_ms, straight;
	bool json;
	/* read from the above */
	__be32 addresses[SETTINGS_ADDRESSES];
	unsigned int address_count;
	struct isthmus_addr tunnel_address[2],
		setup_address; /* tunnel: one of each family at most */
	uint16_t setup_port;
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* File and command line; returns the index of the first word that is no option, or -EINVAL. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
/* What `run` needs beyond that: addresses. 0 or -EINVAL. */
int settings_check(struct settings *settings, char *error, size_t error_len);
void settings_free(struct settings *settings);

#endif
