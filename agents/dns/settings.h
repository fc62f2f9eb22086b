/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_DNS_SETTINGS_H
#define ISTHMUS_DNS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "../lib/conf.h"
#include "../lib/prefix.h"

#define DNS_CONFIG  "/etc/isthmus/dns.conf"
#define DNS_CONTROL "/run/isthmus/dns.sock"
#define DNS_STATE   "/var/lib/isthmus-dns/dns.db"

struct settings {
	struct conf_list listen, zone, initiators, subnet_from;
	char *database, *control, *control_group, *metrics, *user, *cookie_secret_file;
	char *log, *log_level;
	unsigned int udp_size, tcp_connections, tcp_per_address, tcp_idle_s;
	unsigned int rate, slip, records;
	char *members, *members_public;
	bool json;
	/* what `publish`, `withdraw` and `list` say about a record */
	char *type, *target, *address, *owner;
	unsigned int port, priority, weight, ttl, seconds;
	/* read from the lists */
	struct prefix initiators_list[CONF_LIST_MAX], subnet_from_list[CONF_LIST_MAX];
	unsigned int initiators_count, subnet_from_count;
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* File and command line; returns the index of the first word that is no option, or -EINVAL. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
void settings_free(struct settings *settings);
/* Takes over what a SIGHUP may change. */
void settings_reload(struct settings *settings, struct settings *from);

#endif
