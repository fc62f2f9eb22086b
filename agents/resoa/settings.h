/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What isthmus-resoa is told: a file, then the command line. */
#ifndef ISTHMUS_RESOA_SETTINGS_H
#define ISTHMUS_RESOA_SETTINGS_H

#include <stdbool.h>

#include "../lib/conf.h"

#define RESOA_CONFIG "/etc/isthmus/resoa.conf"

struct settings {
	struct conf_list servers; /* places of lhp.h: tried in turn, load is shared */
	char *key;		  /* file of NAME:KEY */
	char *control;		  /* socket of show; with ".run" at its end: of run, shell */
	char *group;		  /* who may use `run` beside root; NULL = nobody */
	char *address;		  /* asked for at registration: NULL = what the server gives */
	char *metrics;
	char *log, *log_level;
	char *instance;
	bool whole_host; /* A is the namespace of the daemon itself */
	bool json;	 /* commands: print JSON */
	bool dual;	 /* run, shell: the program stays in its network, its sockets are A's */
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* The index of the first word that is no option, or -EINVAL with a message in error. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
void settings_free(struct settings *settings);

#endif
