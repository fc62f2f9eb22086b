/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What isthmus-resoad is told: a file, then the command line. */
#ifndef ISTHMUS_RESOAD_SETTINGS_H
#define ISTHMUS_RESOAD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "../lib/conf.h"

#define RESOAD_CONFIG "/etc/isthmus/resoad.conf"

struct settings {
	struct conf_list listen; /* places of lhp.h */
	struct conf_list device; /* where peers' packets come in: R10's programs are there */
	char *clients;		 /* file of the clients: registry.c */
	char *control;
	char *address4,
		*address6; /* the server's own that clients share; NULL = its first global ones */
	char *dhcp_device; /* where addresses are leased and put; NULL = the first of `device` */
	char *port_range;  /* LOW-HIGH, leased to clients in blocks */
	char *metrics;
	char *user;
	char *log, *log_level;
	char *instance;
	unsigned int block;   /* ports of one client */
	unsigned int sockets; /* of a client, at most, unless its section says otherwise */
	unsigned int fin_s;   /* a gate is opened after so many seconds */
	bool json;
	/* Of port_range. */
	uint16_t port_low, port_high;
};

extern const struct conf_option settings_table[];
extern const size_t settings_count;

/* The index of the first word that is no option, or -EINVAL with a message in error. */
int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len);
void settings_free(struct settings *settings);
/* "LOW-HIGH" or one number, 1 to 65535. 0 or -EINVAL. */
int settings_ports(const char *text, uint16_t *low, uint16_t *high);

#endif
