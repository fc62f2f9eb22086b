// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/msg.h"
#include "settings.h"

#define FIELD(name) offsetof(struct settings, name)

const struct conf_option settings_table[] = {
	{ "broker", "listen", CONF_LIST, FIELD(listen), 0, 0, "[ADDR]:PORT",
	  "where agents connect; several allowed (:" MSG_BROKER_PORT ")" },
	{ "broker", "database", CONF_STRING, FIELD(database), 0, 0, "FILE",
	  "users, translators, services (" BROKER_STATE "/broker.db)" },
	{ "broker", "certificate", CONF_STRING, FIELD(certificate), 0, 0, "FILE",
	  "made if absent (broker.crt beside the database)" },
	{ "broker", "key", CONF_STRING, FIELD(key), 0, 0, "FILE",
	  "its private key (broker.key beside the database)" },
	{ "broker", "name", CONF_STRING, FIELD(name), 0, 0, "HOST",
	  "name in a certificate that is made (this host's)" },
	{ "broker", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "system user to become once the ports are bound" },
	{ "broker", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDR:PORT",
	  "Prometheus endpoint (none)" },
	{ "broker", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog (stderr)" },
	{ "broker", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug (info)" },
	{ "broker", "keepalive", CONF_UINT, FIELD(keepalive_s), 1, 3600, "SECONDS",
	  "silence after which a connection is tested (30)" },
	{ "broker", "lifetime", CONF_UINT, FIELD(lifetime_s), 5, 3600, "SECONDS",
	  "time that both sides have to meet at a translator (30)" },
	{ "broker", "token-hours", CONF_UINT, FIELD(token_hours), 1, 8760, "HOURS",
	  "how long an enrolment token is good (24)" },
	{ "limits", "connections", CONF_UINT, FIELD(connections), 1, 1000000, "N",
	  "all connections (10000)" },
	{ "limits", "unauthenticated", CONF_UINT, FIELD(unauthenticated), 1, 100000, "N",
	  "connections before their login (256)" },
	{ "limits", "devices", CONF_UINT, FIELD(devices), 1, 10000, "N",
	  "connections of one user (16)" },
	{ "limits", "services", CONF_UINT, FIELD(services), 0, 10000, "N",
	  "services of one user (64)" },
	{ "limits", "sessions", CONF_UINT, FIELD(sessions), 0, 1000000, "N",
	  "sessions of one user, in either role (8192)" },
	{ "limits", "all-sessions", CONF_UINT, FIELD(all_sessions), 0, 10000000, "N",
	  "sessions of all users (262144)" },
	{ "limits", "negotiate-rate", CONF_UINT, FIELD(negotiate_rate), 1, 100000, "N",
	  "negotiations of one user a second, 4 s of them at once (1000)" },
	{ "limits", "login-rate-user", CONF_UINT, FIELD(login_rate_user), 1, 100000, "N",
	  "logins of one user a minute (30)" },
	{ "limits", "login-rate-address", CONF_UINT, FIELD(login_rate_address), 1, 100000, "N",
	  "logins from one address a minute (120)" },
	{ "translator", "run", CONF_BOOL, FIELD(translator_run), 0, 0, NULL,
	  "run isthmus-translator on this host too" },
	{ "translator", "file", CONF_STRING, FIELD(translator_file), 0, 0, "FILE",
	  "its configuration (/etc/isthmus/translator.conf)" },
	{ "broker", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "list commands print JSON" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static void set_defaults(struct settings *settings)
{
	*settings = (struct settings){
		.keepalive_s = 30,
		.lifetime_s = 30,
		.token_hours = 24,
		.connections = 10000,
		.unauthenticated = 256,
		.devices = 16,
		.services = 64,
		.sessions = 8192,
		.all_sessions = 262144,
		.negotiate_rate = 1000,
		.login_rate_user = 30,
		.login_rate_address = 120,
	};
}

static int give(char **field, const char *value)
{
	if (!*field)
		*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char *result;

	if (asprintf(&result, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name) < 0)
		return NULL;
	return result;
}

static int fill_in(struct settings *settings)
{
	char host[256] = "isthmus-broker";

	gethostname(host, sizeof(host) - 1);
	if (give(&settings->database, BROKER_STATE "/broker.db"))
		return -ENOMEM;
	if (!settings->certificate)
		settings->certificate = beside(settings->database, "broker.crt");
	if (!settings->key)
		settings->key = beside(settings->database, "broker.key");
	if (!settings->listen.count)
		settings->listen.item[settings->listen.count++] = strdup(":" MSG_BROKER_PORT);
	if (!settings->certificate || !settings->key || !settings->listen.item[0])
		return -ENOMEM;
	return give(&settings->name, host) || give(&settings->log, "stderr") ||
			       give(&settings->log_level, "info") ||
			       give(&settings->translator_file, "/etc/isthmus/translator.conf")
		       ? -ENOMEM
		       : 0;
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh;
	int rc;

	set_defaults(&fresh);
	rc = conf_load(BROKER_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
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

void settings_take_limits(struct settings *settings, const struct settings *from)
{
	settings->keepalive_s = from->keepalive_s;
	settings->lifetime_s = from->lifetime_s;
	settings->connections = from->connections;
	settings->unauthenticated = from->unauthenticated;
	settings->devices = from->devices;
	settings->services = from->services;
	settings->sessions = from->sessions;
	settings->all_sessions = from->all_sessions;
	settings->negotiate_rate = from->negotiate_rate;
	settings->login_rate_user = from->login_rate_user;
	settings->login_rate_address = from->login_rate_address;
}
