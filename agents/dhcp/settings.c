// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define SERVER(name) offsetof(struct server_settings, name)
#define CLIENT(name) offsetof(struct client_settings, name)

const struct conf_option server_table[] = {
	{ "server", "device", CONF_LIST, SERVER(device), 0, 0, "DEVICE",
	  "serve clients and relays there, may be repeated" },
	{ "server", "pools", CONF_STRING, SERVER(pools), 0, 0, "FILE",
	  "addresses and sets to give: sections [pool] and [host]" },
	{ "server", "database", CONF_STRING, SERVER(database), 0, 0, "FILE",
	  "leases, default /var/lib/isthmus/dhcp.db" },
	{ "server", "server-id", CONF_STRING, SERVER(server_id), 0, 0, "ADDRESS",
	  "our address for clients; default: that of the first device" },
	{ "server", "lease-time", CONF_UINT, SERVER(lease_time), 4, 0x7fffffff, "SECONDS",
	  "lease where the pool tells none, default 3600" },
	{ "server", "grace", CONF_UINT, SERVER(grace), 0, 86400, "SECONDS",
	  "an expired lease is kept from others for so long, default 30" },
	{ "server", "decline-time", CONF_UINT, SERVER(decline_time), 0, 86400, "SECONDS",
	  "what a client has declined is not given for so long, default 600" },
	{ "server", "prefer", CONF_STRING, SERVER(prefer), 0, 0, "KIND",
	  "who asks for option 159 gets: shared (default) or full, while there is any" },
	{ "server", "limit-mac", CONF_UINT, SERVER(limit_mac), 0, 65535, "COUNT",
	  "leases of one MAC, default 4; 0 = no limit" },
	{ "server", "limit-site", CONF_UINT, SERVER(limit_site), 0, 1000000, "COUNT",
	  "leases of one relay's circuit; default 0 = no limit" },
	{ "server", "rate", CONF_UINT, SERVER(rate), 0, 100000, "COUNT",
	  "messages a second of one MAC, default 20; 0 = no limit" },
	{ "server", "rate-all", CONF_UINT, SERVER(rate_all), 0, 1000000, "COUNT",
	  "messages a second of all, default 2000; 0 = no limit" },
	{ "server", "trust-chaddr", CONF_BOOL, SERVER(trust_chaddr), 0, 0, NULL,
	  "the client's MAC need not be the frame's" },
	{ "server", "portarp", CONF_STRING, SERVER(portarp), 0, 0, "SOCKET",
	  "gateway to tell, default /run/isthmus/portarp.sock; none = nobody" },
	{ "server", "add-addresses", CONF_BOOL, SERVER(add_addresses), 0, 0, NULL,
	  "tell the gateway shared addresses that it does not know" },
	{ "server", "usage-interval", CONF_UINT, SERVER(usage_interval), 0, 86400, "SECONDS",
	  "ask the gateway for the use of sets so often, default 60; 0 = never" },
	{ "server", "grow-below", CONF_UINT, SERVER(grow_below), 0, 100, "PERCENT",
	  "no further set to a host that uses less of its ports, default 50; 0 = always" },
	{ "server", "shrink-below", CONF_UINT, SERVER(shrink_below), 0, 100, "PERCENT",
	  "an unused set ends if the host uses less of its others, default 0 = never" },
	{ "server", "assignments", CONF_STRING, SERVER(assignments), 0, 0, "FILE",
	  "log of who had which ports" },
	{ "server", "user", CONF_STRING, SERVER(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "server", "control", CONF_STRING, SERVER(control), 0, 0, "PATH",
	  "socket of the status command, default /run/isthmus/dhcp-server.sock" },
	{ "server", "metrics", CONF_STRING, SERVER(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "server", "log", CONF_STRING, SERVER(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "server", "log-level", CONF_STRING, SERVER(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
};

const struct conf_option client_table[] = {
	{ "client", "device", CONF_STRING, CLIENT(device), 0, 0, "DEVICE",
	  "device to get an address for" },
	{ "client", "state", CONF_STRING, CLIENT(state), 0, 0, "FILE",
	  "leases over restarts, default /var/lib/isthmus/dhcp-DEVICE.json" },
	{ "client", "duid", CONF_STRING, CLIENT(duid), 0, 0, "HEX",
	  "our DUID (RFC 4361); default: made of the device's MAC, then kept" },
	{ "client", "host-name", CONF_STRING, CLIENT(host_name), 0, 0, "NAME",
	  "name to tell the server" },
	{ "client", "size-hint", CONF_UINT, CLIENT(size_hint), 0, 16, "K",
	  "wanted PSID length: one of 2^K sets; default 0 = any" },
	{ "client", "sets", CONF_UINT, CLIENT(sets), 1, 8, "COUNT",
	  "sets at once at most, default 1" },
	{ "client", "grow-above", CONF_UINT, CLIENT(grow_above), 1, 100, "PERCENT",
	  "ask for one more set when so many ports are in use, default 80" },
	{ "client", "use-interval", CONF_UINT, CLIENT(use_interval), 1, 3600, "SECONDS",
	  "count ports in use so often, default 10" },
	{ "client", "select-time", CONF_UINT, CLIENT(select_time), 0, 60000, "MS",
	  "wait for better offers, default 500" },
	{ "client", "release", CONF_BOOL, CLIENT(release), 0, 0, NULL,
	  "give everything back at the end" },
	{ "client", "portarp", CONF_STRING, CLIENT(portarp), 0, 0, "SOCKET",
	  "isthmus-portarp of this host, default /run/isthmus/portarp.sock; none = nobody" },
	{ "client", "script", CONF_STRING, CLIENT(script), 0, 0, "FILE",
	  "run it when a lease begins, goes on or ends" },
	{ "client", "print", CONF_BOOL, CLIENT(print), 0, 0, NULL,
	  "print the same as lines of JSON" },
	{ "client", "user", CONF_STRING, CLIENT(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "client", "control", CONF_STRING, CLIENT(control), 0, 0, "PATH",
	  "control socket, default /run/isthmus/dhcp-client-DEVICE.sock" },
	{ "client", "metrics", CONF_STRING, CLIENT(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "client", "log", CONF_STRING, CLIENT(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "client", "log-level", CONF_STRING, CLIENT(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
};

const size_t server_count = sizeof(server_table) / sizeof(server_table[0]);
const size_t client_count = sizeof(client_table) / sizeof(client_table[0]);

void server_settings_default(struct server_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->database = strdup("/var/lib/isthmus/dhcp.db");
	s->lease_time = 3600;
	s->grace = 30;
	s->decline_time = 600;
	s->prefer = strdup("shared");
	s->limit_mac = 4;
	s->rate = 20;
	s->rate_all = 2000;
	s->portarp = strdup("/run/isthmus/portarp.sock");
	s->usage_interval = 60;
	s->grow_below = 50;
	s->log = strdup("stderr");
	s->log_level = strdup("info");
}

void client_settings_default(struct client_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->sets = 1;
	s->grow_above = 80;
	s->use_interval = 10;
	s->select_time = 500;
	s->portarp = strdup("/run/isthmus/portarp.sock");
	s->log = strdup("stderr");
	s->log_level = strdup("info");
}

int server_settings_read(int argc, char **argv, struct server_settings *s, char *error,
			 size_t error_len)
{
	int err = conf_load_options(argc, argv, server_table, server_count, s, error, error_len);

	if (err)
		return err;
	if (strcmp(s->prefer, "shared") && strcmp(s->prefer, "full")) {
		snprintf(error, error_len, "prefer: '%s' is neither shared nor full", s->prefer);
		return -EINVAL;
	}
	return 0;
}

int client_settings_read(int argc, char **argv, struct client_settings *s, char *error,
			 size_t error_len)
{
	int err = conf_load_options(argc, argv, client_table, client_count, s, error, error_len);

	if (!err && !s->device) {
		snprintf(error, error_len, "--device DEVICE is needed");
		return -EINVAL;
	}
	return err;
}
