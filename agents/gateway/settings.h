/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_GATEWAY_SETTINGS_H
#define ISTHMUS_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "../lib/conf.h"

#define GATEWAY_CONFIG "/etc/isthmus/gateway.conf"

struct settings {
	char *instance, *hosts, *attach;
	struct conf_list behind;
	char *credentials, *state, *control, *metrics, *user, *log, *log_level;
	bool straight, json;
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* File and command line; returns the index of the first word that is no option, or -EINVAL. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
void settings_free(struct settings *settings);

#endif
