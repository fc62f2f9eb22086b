// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../maps/waypoint.h"
#include "../lib/address.h"
#include "settings.h"

#define FIELD(name)  offsetof(struct settings, name)
#define SETUP_PORT   3482
#define STATE_FOLDER "/var/lib/isthmus"
#define RUN_FOLDER   "/run/isthmus"

_Static_assert(SETTINGS_ADDRESSES == WAYPOINT_ADDRS, "as many as the map has");

const struct conf_option settings_table[] = {
	{ "waypoint", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "of `isthmus waypoint attach --instance`" },
	{ "waypoint", "address", CONF_LIST, FIELD(address), 0, 0, "ADDRESS[/BITS]",
	  "waypoint addresses (IPv4), may be repeated; they are routed here and used for nothing "
	  "else" },
	{ "waypoint", "prefix6", CONF_STRING, FIELD(prefix6), 0, 0, "PREFIX/64",
	  "IPv6 initiators reach each host by an address of its own from it" },
	{ "waypoint", "near", CONF_LIST, FIELD(near), 0, 0, "PREFIX",
	  "networks that this waypoint is near to, may be repeated" },
	{ "waypoint", "tunnel", CONF_LIST, FIELD(tunnel), 0, 0, "ADDRESS",
	  "outer address of the tunnels, by which gateways reach this waypoint; one of each family "
	  "may be given" },
	{ "waypoint", "setup", CONF_STRING, FIELD(setup), 0, 0, "ADDRESS:PORT",
	  "where the name server's SETUPs come to, default: the tunnel's address, port 3482" },
	{ "waypoint", "wait", CONF_UINT, FIELD(wait_ms), 100, 60000, "MS",
	  "how long an initiator is waited for, default 2000" },
	{ "waypoint", "straight", CONF_UINT, FIELD(straight), 0, 1, "0|1",
	  "1: gateways that can may send replies straight to initiators, default 0" },
	{ "waypoint", "credentials", CONF_STRING, FIELD(credentials), 0, 0, "FILE",
	  "what `join` writes, default /var/lib/isthmus/waypoint.secret" },
	{ "waypoint", "state", CONF_STRING, FIELD(state), 0, 0, "FILE",
	  "bindings over restarts, default /var/lib/isthmus/waypoint.db" },
	{ "waypoint", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the status command, default /run/isthmus/waypoint.sock" },
	{ "waypoint", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "waypoint", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "waypoint", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "waypoint", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "waypoint", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "status: print JSON" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static int fill_in(struct settings *s)
{
	int err = conf_default(&s->log, "stderr");

	if (!err)
		err = conf_default(&s->log_level, "info");
	if (!err)
		err = conf_default_path(&s->credentials, STATE_FOLDER, "waypoint", s->instance,
					"secret");
	if (!err)
		err = conf_default_path(&s->state, STATE_FOLDER, "waypoint", s->instance, "db");
	return err ? err
		   : conf_default_path(&s->control, RUN_FOLDER, "waypoint", s->instance, "sock");
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh = { .wait_ms = WAYPOINT_WAIT_MS };
	int rc;

	rc = conf_load(WAYPOINT_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
		       error_len);
	if (rc >= 0 && fill_in(&fresh))
		rc = conf_no_memory(error, error_len);
	if (rc < 0) {
		settings_free(&fresh);
		return rc;
	}
	*settings = fresh;
	return rc;
}

/* "203.0.113.80" or "203.0.113.80/28": each address of it. */
static int add_addresses(struct settings *settings, const char *text)
{
	char copy[64], *slash;
	struct in_addr address;
	uint32_t first, count, bits = 32;
	int end = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash) {
		*slash++ = 0;
		if (sscanf(slash, "%2u%n", &bits, &end) != 1 || slash[end] || bits > 32 ||
		    bits < 22)
			return -EINVAL;
	}
	if (inet_pton(AF_INET, copy, &address) != 1)
		return -EINVAL;
	first = ntohl(address.s_addr);
	count = 1u << (32 - bits);
	if (first & (count - 1))
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (settings->address_count == SETTINGS_ADDRESSES)
			return -ENOSPC;
		settings->addresses[settings->address_count++] = htonl(first + i);
	}
	return 0;
}

static int check_tunnel(struct settings *settings)
{
	struct isthmus_addr *address = settings->tunnel_address;

	if (!settings->tunnel.count || settings->tunnel.count > 2)
		return -EINVAL;
	for (unsigned int i = 0; i < settings->tunnel.count; i++)
		if (address_parse(settings->tunnel.item[i], &address[i]))
			return -EINVAL;
	return settings->tunnel.count == 2 &&
			       address_is_v4(&address[0]) == address_is_v4(&address[1])
		       ? -EINVAL
		       : 0;
}

static int check_setup(struct settings *settings)
{
	char host[ADDRESS_TEXT_LEN];

	settings->setup_address = settings->tunnel_address[0];
	settings->setup_port = SETUP_PORT;
	if (!settings->setup)
		return 0;
	if (address_split(settings->setup, host, sizeof(host), &settings->setup_port))
		return -EINVAL;
	return host[0] ? address_parse(host, &settings->setup_address) : 0;
}

int settings_check(struct settings *settings, char *error, size_t error_len)
{
	settings->address_count = 0;
	for (unsigned int i = 0; i < settings->address.count; i++)
		if (add_addresses(settings, settings->address.item[i])) {
			snprintf(error, error_len,
				 "address '%.100s' is no IPv4 address or prefix of /22 to /32, or "
				 "there are more than %d",
				 settings->address.item[i], SETTINGS_ADDRESSES);
			return -EINVAL;
		}
	if (!settings->address_count && !settings->prefix6) {
		snprintf(error, error_len, "an address or prefix6 is needed: --address ADDRESS");
		return -EINVAL;
	}
	if (check_tunnel(settings)) {
		snprintf(error, error_len,
			 "tunnel is the address by which gateways reach this waypoint, at most one "
			 "of each family");
		return -EINVAL;
	}
	if (check_setup(settings)) {
		snprintf(error, error_len, "setup '%.100s' is not ADDRESS:PORT", settings->setup);
		return -EINVAL;
	}
	return 0;
}

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}
