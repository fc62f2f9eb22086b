/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_DHCP_SETTINGS_H
#define ISTHMUS_AGENTS_DHCP_SETTINGS_H

#include <stdbool.h>

#include "../lib/conf.h"

#define PROGRAM "isthmus-dhcp"

struct server_settings {
	struct conf_list device;
	char *pools, *database, *server_id;
	unsigned int lease_time, grace, decline_time, limit_mac, limit_site, rate, rate_all;
	char *prefer; /* "shared" or "full" */
	bool trust_chaddr;
	char *portarp; /* socket of isthmus-portarp, "none" */
	bool add_addresses;
	unsigned int usage_interval, grow_below, shrink_below;
	char *assignments;
	char *user, *control, *metrics, *log, *log_level;
};

struct client_settings {
	char *device, *state, *duid, *host_name;
	unsigned int size_hint, sets, grow_above, use_interval, select_time;
	bool release, print;
	char *portarp, *script;
	char *user, *control, *metrics, *log, *log_level;
};

extern const struct conf_option server_table[], client_table[];
extern const size_t server_count, client_count;

void server_settings_default(struct server_settings *settings);
void client_settings_default(struct client_settings *settings);
/* From argv after the command, and the file that it names. 0 or -EINVAL with error. */
int server_settings_read(int argc, char **argv, struct server_settings *settings, char *error,
			 size_t error_len);
int client_settings_read(int argc, char **argv, struct client_settings *settings, char *error,
			 size_t error_len);

#endif
