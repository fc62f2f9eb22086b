// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define FIELD(name) offsetof(struct settings, name)

const struct conf_option settings_table[] = {
	{ "portarp", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "instance given to `isthmus portarp attach`" },
	{ "portarp", "commands", CONF_STRING, FIELD(commands), 0, 0, "FILE",
	  "commands of this program, one a line, run at start and again at SIGHUP" },
	{ "portarp", "state", CONF_STRING, FIELD(state), 0, 0, "FILE",
	  "what the maps do not say, default /var/lib/isthmus/portarp.db" },
	{ "portarp", "assignments", CONF_STRING, FIELD(assignments), 0, 0, "FILE",
	  "one line for each set given or taken is added there (RFC 7422)" },
	{ "portarp", "age", CONF_UINT, FIELD(age_s), 1, 86400, "SECONDS",
	  "an owner not heard for so long is asked again, default 300" },
	{ "portarp", "use-interval", CONF_UINT, FIELD(use_s), 1, 86400, "SECONDS",
	  "used ports are counted so often, default 60" },
	{ "portarp", "alarm", CONF_UINT, FIELD(alarm), 1, 100, "PERCENT",
	  "warn when more of a set is used, default 80" },
	{ "portarp", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "portarp", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the commands, default /run/isthmus/portarp.sock" },
	{ "portarp", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "portarp", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "portarp", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

void settings_default(struct settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->log = strdup("stderr");
	settings->log_level = strdup("info");
	settings->age_s = 300;
	settings->use_s = 60;
	settings->alarm = 80;
}

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}

/* DIRECTORY/portarp[-INSTANCE].SUFFIX */
static const char *named(const struct settings *settings, const char *given, const char *directory,
			 const char *suffix, char *path, size_t len)
{
	bool has_instance = settings->instance && settings->instance[0];

	if (given)
		snprintf(path, len, "%s", given);
	else
		snprintf(path, len, "%s/portarp%s%s.%s", directory, has_instance ? "-" : "",
			 has_instance ? settings->instance : "", suffix);
	return path;
}

const char *settings_control_path(const struct settings *settings, char *path, size_t len)
{
	return named(settings, settings->control, "/run/isthmus", "sock", path, len);
}

const char *settings_state_path(const struct settings *settings, char *path, size_t len)
{
	return named(settings, settings->state, "/var/lib/isthmus", "db", path, len);
}

int settings_read(int argc, char **argv, struct settings *settings, char *error, size_t error_len)
{
	return conf_load_options(argc, argv, settings_table, settings_count, settings, error,
				 error_len);
}
