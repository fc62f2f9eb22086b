// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>

#include "settings.h"

#define FIELD(name)  offsetof(struct settings, name)
#define STATE_FOLDER "/var/lib/isthmus"
#define RUN_FOLDER   "/run/isthmus"

const struct conf_option settings_table[] = {
	{ "resoa", "server", CONF_LIST, FIELD(servers), 0, 0, "PLACE",
	  "where isthmus-resoad is: ether:DEVICE/MAC, tls:ADDRESS:PORT, unix:PATH or "
	  "vsock:CID:PORT; several share the load" },
	{ "resoa", "key", CONF_STRING, FIELD(key), 0, 0, "FILE",
	  "the line that `isthmus-resoad client add` printed; default "
	  "/var/lib/isthmus/resoa.key" },
	{ "resoa", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the commands, default /run/isthmus/resoa.sock; with .run at its end, that of "
	  "run and shell" },
	{ "resoa", "group", CONF_STRING, FIELD(group), 0, 0, "GROUP",
	  "who may use run and shell beside root" },
	{ "resoa", "address", CONF_STRING, FIELD(address), 0, 0, "ADDRESS",
	  "ask the server for this one" },
	{ "resoa", "whole-host", CONF_BOOL, FIELD(whole_host), 0, 0, NULL,
	  "the server's addresses are in the daemon's own network namespace, for all programs "
	  "there" },
	{ "resoa", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "one of several daemons: names its files" },
	{ "resoa", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "resoa", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "resoa", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "command", "dual", CONF_BOOL, FIELD(dual), 0, 0, NULL,
	  "run, shell: the program keeps its own network, its new sockets are the server's" },
	{ "command", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "show, stats: print JSON" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static int fill_in(struct settings *s)
{
	int err = conf_default(&s->log, "stderr");

	if (!err)
		err = conf_default(&s->log_level, "info");
	if (!err)
		err = conf_default_path(&s->key, STATE_FOLDER, "resoa", s->instance, "key");
	return err ? err : conf_default_path(&s->control, RUN_FOLDER, "resoa", s->instance, "sock");
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh = { 0 };
	int rc;

	rc = conf_load(RESOA_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
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
