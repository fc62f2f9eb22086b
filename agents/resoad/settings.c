// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define FIELD(name) offsetof(struct settings, name)
#define RUN_FOLDER  "/run/isthmus"

const struct conf_option settings_table[] = {
	{ "resoad", "listen", CONF_LIST, FIELD(listen), 0, 0, "PLACE",
	  "where clients come in, may be repeated: ether:DEVICE, tls:ADDRESS:PORT, unix:PATH, "
	  "vsock:CID:PORT" },
	{ "resoad", "clients", CONF_STRING, FIELD(clients), 0, 0, "FILE",
	  "of the clients, default /etc/isthmus/resoad-clients.conf" },
	{ "resoad", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "of several on one host: names the control socket" },
	{ "resoad", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the commands, default /run/isthmus/resoad.sock" },
	{ "resoad", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "resoad", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "resoad", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "resoad", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "resoad", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "commands: print JSON" },
	{ "network", "device", CONF_LIST, FIELD(device), 0, 0, "DEVICE",
	  "where peers' packets come in, may be repeated; lo is always one" },
	{ "network", "address4", CONF_STRING, FIELD(address4), 0, 0, "ADDRESS",
	  "IPv4 address that clients share; default: the first global one of the devices" },
	{ "network", "address6", CONF_STRING, FIELD(address6), 0, 0, "ADDRESS",
	  "the same for IPv6" },
	{ "network", "dhcp-device", CONF_STRING, FIELD(dhcp_device), 0, 0, "DEVICE",
	  "where addresses of clients with address = dhcp are leased, and put; default: the first "
	  "device" },
	{ "network", "port-range", CONF_STRING, FIELD(port_range), 0, 0, "LOW-HIGH",
	  "ports that are leased to clients, default 20000-31999; servers that share an address "
	  "have ranges that do not overlap" },
	{ "network", "block", CONF_UINT, FIELD(block), 1, 65535, "COUNT",
	  "ports of one client, default 1000" },
	{ "limit", "sockets", CONF_UINT, FIELD(sockets), 1, 1000000, "COUNT",
	  "of a client at one time, unless its section says otherwise; default 1024" },
	{ "limit", "fin-seconds", CONF_UINT, FIELD(fin_s), 1, 3600, "SECONDS",
	  "a peer's FIN is let in after this time even if the client has not read; default 60" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static int read_port(const char *text, char **end, uint16_t *port)
{
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, end, 10);
	if (errno || !value || value > 65535)
		return -EINVAL;
	*port = value;
	return 0;
}

int settings_ports(const char *text, uint16_t *low, uint16_t *high)
{
	uint16_t from, to;
	char *end;

	if (read_port(text, &end, &from))
		return -EINVAL;
	to = from;
	if (*end == '-' && read_port(end + 1, &end, &to))
		return -EINVAL;
	if (*end || to < from)
		return -EINVAL;
	*low = from;
	*high = to;
	return 0;
}

static int fill_in(struct settings *s)
{
	int err = conf_default(&s->log, "stderr");

	if (!err)
		err = conf_default(&s->log_level, "info");
	if (!err)
		err = conf_default(&s->clients, "/etc/isthmus/resoad-clients.conf");
	if (!err)
		err = conf_default(&s->port_range, "20000-31999");
	return err ? err
		   : conf_default_path(&s->control, RUN_FOLDER, "resoad", s->instance, "sock");
}

static int check(struct settings *s, char *error, size_t error_len)
{
	if (!settings_ports(s->port_range, &s->port_low, &s->port_high))
		return 0;
	snprintf(error, error_len, "port-range: '%.100s' is not LOW-HIGH, of 1 to 65535",
		 s->port_range);
	return -EINVAL;
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh = { .block = 1000, .sockets = 1024, .fin_s = 60 };
	int rc;

	rc = conf_load(RESOAD_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
		       error_len);
	if (rc >= 0 && fill_in(&fresh))
		rc = conf_no_memory(error, error_len);
	if (rc >= 0 && check(&fresh, error, error_len))
		rc = -EINVAL;
	if (rc < 0) {
		settings_free(&fresh);
		return rc;
	}
	*settings = fresh;
	return rc;
}

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}
