// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"
#include "wire.h"

#define FIELD(name) offsetof(struct settings, name)

const struct conf_option settings_table[] = {
	{ "dns", "listen", CONF_LIST, FIELD(listen), 0, 0, "ADDRESS:PORT",
	  "where to serve, may be repeated; default :53, all addresses" },
	{ "dns", "zone", CONF_LIST, FIELD(zone), 0, 0, "NAME=FILE",
	  "zone and its file, may be repeated" },
	{ "dns", "database", CONF_STRING, FIELD(database), 0, 0, "FILE",
	  "dynamic records, default " DNS_STATE },
	{ "dns", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the commands, default " DNS_CONTROL },
	{ "dns", "control-group", CONF_STRING, FIELD(control_group), 0, 0, "GROUP",
	  "group that may use it too" },
	{ "dns", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "dns", "user", CONF_STRING, FIELD(user), 0, 0, "USER", "user to become after start-up" },
	{ "dns", "udp-size", CONF_UINT, FIELD(udp_size), WIRE_UDP_MIN, WIRE_UDP_MAX, "BYTES",
	  "longest answer by UDP, default 1232" },
	{ "dns", "tcp-connections", CONF_UINT, FIELD(tcp_connections), 1, 100000, "COUNT",
	  "TCP connections at once, default 1000" },
	{ "dns", "tcp-per-address", CONF_UINT, FIELD(tcp_per_address), 1, 100000, "COUNT",
	  "of these from one address, default 50" },
	{ "dns", "tcp-idle", CONF_UINT, FIELD(tcp_idle_s), 1, 3600, "SECONDS",
	  "end a connection without a whole question for so long, default 10" },
	{ "dns", "rate", CONF_UINT, FIELD(rate), 0, 1000000, "COUNT",
	  "answers a second to one network about what does not exist, 0 = no limit, default 20" },
	{ "dns", "slip", CONF_UINT, FIELD(slip), 0, 100, "COUNT",
	  "one of so many limited answers is sent truncated, 0 = none, default 2" },
	{ "dns", "records", CONF_UINT, FIELD(records), 0, 10000000, "COUNT",
	  "dynamic records, default 100000" },
	{ "dns", "cookie-secret-file", CONF_STRING, FIELD(cookie_secret_file), 0, 0, "FILE",
	  "32 hex digits, mode 0600, for servers that share an address; default: random" },
	{ "dns", "members", CONF_STRING, FIELD(members), 0, 0, "ADDRESS:PORT",
	  "where waypoints, gateways and isthmus-onetime log in, as :3481; default: none do" },
	{ "dns", "members-public", CONF_STRING, FIELD(members_public), 0, 0, "HOST:PORT",
	  "how they reach that, for the lines that `gateway add` and the like print" },
	{ "dns", "initiators", CONF_LIST, FIELD(initiators), 0, 0, "PREFIX",
	  "clients that are initiators themselves, not resolvers (IPv4), may be repeated" },
	{ "dns", "subnet-from", CONF_LIST, FIELD(subnet_from), 0, 0, "PREFIX",
	  "resolvers whose EDNS client subnets are believed, may be repeated" },
	{ "dns", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "dns", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "dns", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "list, status: print JSON" },
	{ "record", "type", CONF_STRING, FIELD(type), 0, 0, "TYPE",
	  "SRV, A or AAAA; default: A or AAAA with --address, else SRV" },
	{ "record", "target", CONF_STRING, FIELD(target), 0, 0, "HOST", "host of the service" },
	{ "record", "port", CONF_UINT, FIELD(port), 0, 65535, "PORT", "its port there" },
	{ "record", "priority", CONF_UINT, FIELD(priority), 0, 65535, "NUMBER",
	  "lower ones are tried first, default 0" },
	{ "record", "weight", CONF_UINT, FIELD(weight), 0, 65535, "NUMBER",
	  "share among those of one priority, default 0" },
	{ "record", "address", CONF_STRING, FIELD(address), 0, 0, "ADDRESS",
	  "of an A or AAAA record" },
	{ "record", "ttl", CONF_UINT, FIELD(ttl), 0, 604800, "SECONDS",
	  "how long resolvers may keep it, default 60" },
	{ "record", "seconds", CONF_UINT, FIELD(seconds), 0, 2147483647, "SECONDS",
	  "it ends by itself unless published again, 0 = never, default 0" },
	{ "record", "owner", CONF_STRING, FIELD(owner), 0, 0, "NAME",
	  "who publishes it; nobody else can change it" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static void set_defaults(struct settings *settings)
{
	*settings = (struct settings){
		.udp_size = 1232, /* fits in every IPv6 path's packets: never fragmented */
		.tcp_connections = 1000,
		.tcp_per_address = 50,
		.tcp_idle_s = 10,
		.rate = 20,
		.slip = 2,
		.records = 100000,
		.ttl = 60,
	};
}

static int fill_in(struct settings *settings)
{
	if (!settings->listen.count) {
		settings->listen.item[0] = strdup(":53");
		settings->listen.count = settings->listen.item[0] ? 1 : 0;
	}
	return !settings->listen.count || conf_default(&settings->database, DNS_STATE) ||
			       conf_default(&settings->control, DNS_CONTROL) ||
			       conf_default(&settings->log, "stderr") ||
			       conf_default(&settings->log_level, "info")
		       ? -ENOMEM
		       : 0;
}

static int read_prefixes(const struct conf_list *list, struct prefix *prefixes, unsigned int *count,
			 const char *option, char *error, size_t error_len)
{
	*count = 0;
	for (unsigned int i = 0; i < list->count; i++, ++*count)
		if (prefix_parse(list->item[i], &prefixes[i])) {
			snprintf(error, error_len, "%s '%.60s' is no prefix, as 192.0.2.0/24",
				 option, list->item[i]);
			return -EINVAL;
		}
	return 0;
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh;
	int rc;

	set_defaults(&fresh);
	rc = conf_load(DNS_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
		       error_len);
	if (rc >= 0 && fill_in(&fresh))
		rc = conf_no_memory(error, error_len);
	if (rc >= 0 && (read_prefixes(&fresh.initiators, fresh.initiators_list,
				      &fresh.initiators_count, "initiators", error, error_len) ||
			read_prefixes(&fresh.subnet_from, fresh.subnet_from_list,
				      &fresh.subnet_from_count, "subnet-from", error, error_len)))
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

void settings_reload(struct settings *settings, struct settings *from)
{
	struct conf_list zone = settings->zone;

	settings->zone = from->zone;
	from->zone = zone; /* and goes with it */
	memcpy(settings->initiators_list, from->initiators_list, sizeof(from->initiators_list));
	memcpy(settings->subnet_from_list, from->subnet_from_list, sizeof(from->subnet_from_list));
	settings->initiators_count = from->initiators_count;
	settings->subnet_from_count = from->subnet_from_count;
	settings->udp_size = from->udp_size;
	settings->tcp_connections = from->tcp_connections;
	settings->tcp_per_address = from->tcp_per_address;
	settings->tcp_idle_s = from->tcp_idle_s;
	settings->rate = from->rate;
	settings->slip = from->slip;
	settings->records = from->records;
}
