// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "translator.h"

#define FIELD(name) offsetof(struct settings, name)

const struct conf_option settings_table[] = {
	{ "translator", "broker", CONF_STRING, FIELD(broker), 0, 0, "HOST:PORT",
	  "the broker to serve" },
	{ "translator", "login-file", CONF_STRING, FIELD(login_file), 0, 0, "FILE",
	  "line printed by `isthmus-broker translator add`, mode 0600" },
	{ "translator", "address", CONF_LIST, FIELD(address), 0, 0, "ADDRESS",
	  "public address to serve on, may be repeated; default: those attached" },
	{ "translator", "ports", CONF_STRING, FIELD(ports), 0, 0, "LOW-HIGH",
	  "ports of these addresses; default: those attached" },
	{ "translator", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "instance given to `isthmus splice attach`" },
	{ "translator", "engine", CONF_STRING, FIELD(engine), 0, 0, "ENGINE",
	  "auto, kernel or relay (in userspace)" },
	{ "translator", "probe-port-udp", CONF_UINT, FIELD(probe_port_udp), 1, 65535, "PORT",
	  "where peers show their address by UDP, default 3479" },
	{ "translator", "probe-port-tcp", CONF_UINT, FIELD(probe_port_tcp), 1, 65535, "PORT",
	  "the same by TCP, default 3479; 443 passes most firewalls" },
	{ "translator", "sessions", CONF_UINT, FIELD(sessions), 1, SESSIONS_MAX, "COUNT",
	  "sessions at once, default 65536" },
	{ "translator", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "translator", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the status command, default /run/isthmus/translator.sock" },
	{ "translator", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "translator", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "translator", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "translator", "json", CONF_BOOL, FIELD(json), 0, 0, NULL,
	  "status: print JSON, all of it" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

void settings_default(struct settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->engine = strdup("auto");
	settings->log = strdup("stderr");
	settings->log_level = strdup("info");
	settings->probe_port_udp = PROBE_PORT;
	settings->probe_port_tcp = PROBE_PORT;
	settings->sessions = SESSIONS_DEFAULT;
}

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}

int settings_ports(const char *text, struct splice_range *range)
{
	unsigned int low, high;
	int end = 0;

	if (sscanf(text, "%5u-%5u%n", &low, &high, &end) != 2 || text[end] || !low || high < low ||
	    high > 65535)
		return -EINVAL;
	range->low = low;
	range->high = high;
	return 0;
}

const char *settings_control_path(const struct settings *settings, char *path, size_t len)
{
	bool named = settings->instance && settings->instance[0];

	if (settings->control)
		snprintf(path, len, "%s", settings->control);
	else
		snprintf(path, len, "/run/isthmus/translator%s%s.sock", named ? "-" : "",
			 named ? settings->instance : "");
	return path;
}

static int check(const struct settings *settings, char *error, size_t error_len)
{
	static const char *const engines[] = { "auto", "kernel", "relay" };
	struct splice_range range;

	if (settings->ports && settings_ports(settings->ports, &range)) {
		snprintf(error, error_len, "ports: '%s' is not LOW-HIGH, each from 1 to 65535",
			 settings->ports);
		return -EINVAL;
	}
	for (int i = 0; i < 3; i++)
		if (!strcmp(settings->engine, engines[i]))
			return 0;
	snprintf(error, error_len, "engine: '%s' is none of auto, kernel, relay", settings->engine);
	return -EINVAL;
}

int settings_read(int argc, char **argv, struct settings *settings, char *error, size_t error_len)
{
	int err = conf_load_options(argc, argv, settings_table, settings_count, settings, error,
				    error_len);

	return err ? err : check(settings, error, error_len);
}
