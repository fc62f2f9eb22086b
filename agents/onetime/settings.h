/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_ONETIME_SETTINGS_H
#define ISTHMUS_ONETIME_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/conf.h"
#include "../lib/prefix.h"
#include "generate.h"

#define ONETIME_CONFIG "/etc/isthmus/onetime.conf"
#define SETTINGS_MODE  4 /* enum onetime_mode, or this: the pool's */

struct settings {
	char *instance;
	char *state, *control, *metrics, *user, *log, *log_level;
	bool json;
	/* pools */
	char *method;
	struct conf_list method_of;
	unsigned int eas, journal_days;
	/* limits */
	unsigned int pending, pending_listener, pending_client;
	/* the name server */
	char *credentials, *dns_only;
	unsigned int dns_ttl_s, dns_pending;
	/* of commands */
	unsigned int port, fd, auto_set, ttl_s;
	char *mode, *for_prefix, *name;
	bool many, das_required, del;
	/* read from the above */
	enum generate_method method_is;
	bool dns_only_is; /* client-subnet */
	struct {
		struct prefix prefix;
		enum generate_method method;
	} pool_method[CONF_LIST_MAX];
};

#define SETTINGS_NO_FD 0xffffffffu

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* File and command line; returns the index of the first word that is no option, or -EINVAL. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
/* What `run` needs beyond that. 0 or -EINVAL. */
int settings_check(struct settings *settings, char *error, size_t error_len);
void settings_free(struct settings *settings);
/* How the addresses of a pool are made. */
enum generate_method settings_method(const struct settings *settings, const struct prefix *pool);
const char *settings_method_name(enum generate_method method);
/* "l0", "l1", "l2", "aware": enum onetime_mode, or -EINVAL. */
int settings_mode(const char *text);
const char *settings_mode_name(uint8_t mode);

#endif
