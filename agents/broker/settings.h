/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The broker's options: a file, then the command line over it. */
#ifndef ISTHMUS_BROKER_SETTINGS_H
#define ISTHMUS_BROKER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "../lib/conf.h"

#define BROKER_CONFIG "/etc/isthmus/broker.conf"
#define BROKER_STATE  "/var/lib/isthmus-broker"

struct settings {
	struct conf_list listen;
	char *database, *certificate, *key, *name, *user, *log, *log_level, *metrics;
	char *translator_file;
	bool translator_run, json;
	unsigned int keepalive_s, lifetime_s, token_hours;
	/* Limits; those of rates are a second for negotiate, a minute for the others. */
	unsigned int connections, unauthenticated, devices, services, sessions, all_sessions;
	unsigned int negotiate_rate, login_rate_user, login_rate_address;
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/*
 * Reads --config FILE (or BROKER_CONFIG if it exists) and then argv. Returns the index of the first
 * word that is no option or -EINVAL with a message in error; settings are untouched then.
 */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
void settings_free(struct settings *settings);
/* SIGHUP: what can change while running is taken from `from`. */
void settings_take_limits(struct settings *settings, const struct settings *from);

#endif
