// SPDX-License-Identifier: GPL-3.0-or-later

#include "settings.h"

#define FIELD(name)  offsetof(struct settings, name)
#define STATE_FOLDER "/var/lib/isthmus"
#define RUN_FOLDER   "/run/isthmus"
#define HOSTS	     "/etc/isthmus/gateway.hosts"

const struct conf_option settings_table[] = {
	{ "gateway", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "of `isthmus gateway attach --instance`" },
	{ "gateway", "hosts", CONF_STRING, FIELD(hosts), 0, 0, "FILE",
	  "a line for each host: NAME ADDRESS [plain|masked|aware]; default " HOSTS },
	{ "gateway", "attach", CONF_STRING, FIELD(attach), 0, 0, "MODE",
	  "put the datapath on the devices that routes lead to, if it is on none: auto, xdp, "
	  "xdp-generic, tc; default no: it must be attached" },
	{ "gateway", "behind", CONF_LIST, FIELD(behind), 0, 0, "ADDRESS",
	  "waypoint addresses that must not be used for these hosts, may be repeated" },
	{ "gateway", "straight", CONF_BOOL, FIELD(straight), 0, 0, NULL,
	  "replies may leave straight, with the waypoint's source address" },
	{ "gateway", "credentials", CONF_STRING, FIELD(credentials), 0, 0, "FILE",
	  "what `join` writes, default /var/lib/isthmus/gateway.secret" },
	{ "gateway", "state", CONF_STRING, FIELD(state), 0, 0, "FILE",
	  "numbers of hosts and waypoints, default /var/lib/isthmus/gateway.json" },
	{ "gateway", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the status command, default /run/isthmus/gateway.sock" },
	{ "gateway", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "gateway", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "gateway", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "gateway", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "gateway", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "status: print JSON" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static int fill_in(struct settings *s)
{
	int err = conf_default(&s->log, "stderr");

	if (!err)
		err = conf_default(&s->log_level, "info");
	if (!err)
		err = conf_default(&s->hosts, HOSTS);
	if (!err)
		err = conf_default_path(&s->credentials, STATE_FOLDER, "gateway", s->instance,
					"secret");
	if (!err)
		err = conf_default_path(&s->state, STATE_FOLDER, "gateway", s->instance, "json");
	return err ? err
		   : conf_default_path(&s->control, RUN_FOLDER, "gateway", s->instance, "sock");
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh = { 0 };
	int rc;

	rc = conf_load(GATEWAY_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
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

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}
