// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../maps/onetime.h"
#include "settings.h"

#define FIELD(name)  offsetof(struct settings, name)
#define STATE_FOLDER "/var/lib/isthmus"
#define RUN_FOLDER   "/run/isthmus"

const struct conf_option settings_table[] = {
	{ "onetime", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "of `isthmus onetime attach --instance`" },
	{ "onetime", "state", CONF_STRING, FIELD(state), 0, 0, "FILE",
	  "which addresses were given out, and keys; default /var/lib/isthmus/onetime.db" },
	{ "onetime", "control", CONF_STRING, FIELD(control), 0, 0, "PATH",
	  "socket of the commands, default /run/isthmus/onetime.sock" },
	{ "onetime", "metrics", CONF_STRING, FIELD(metrics), 0, 0, "ADDRESS:PORT",
	  "serve Prometheus metrics there" },
	{ "onetime", "user", CONF_STRING, FIELD(user), 0, 0, "USER",
	  "user to become after start-up" },
	{ "onetime", "log", CONF_STRING, FIELD(log), 0, 0, "TARGET", "stderr or syslog" },
	{ "onetime", "log-level", CONF_STRING, FIELD(log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "onetime", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "commands: print JSON" },
	{ "pool", "method", CONF_STRING, FIELD(method), 0, 0, "METHOD",
	  "how addresses are made: keyed, sequential or random; default keyed" },
	{ "pool", "method-of", CONF_LIST, FIELD(method_of), 0, 0, "PREFIX=METHOD",
	  "the same for one pool, may be repeated" },
	{ "pool", "eas", CONF_UINT, FIELD(eas), 16, ONETIME_EAS, "COUNT",
	  "addresses kept prepared for connects, of each family; at most those of `isthmus onetime "
	  "attach --eas`; default 4096" },
	{ "pool", "journal-days", CONF_UINT, FIELD(journal_days), 0, 36500, "DAYS",
	  "how long `trace` can tell for whom an address was, default 30" },
	{ "limit", "pending", CONF_UINT, FIELD(pending), 1, ONETIME_ADDRS, "COUNT",
	  "addresses given out that nobody has used yet, default 262144" },
	{ "limit", "pending-of-listener", CONF_UINT, FIELD(pending_listener), 1, ONETIME_ADDRS,
	  "COUNT", "of these for one listener, default 4096" },
	{ "limit", "pending-of-client", CONF_UINT, FIELD(pending_client), 1, ONETIME_ADDRS, "COUNT",
	  "of these for one client prefix, default 64" },
	{ "dns", "credentials", CONF_STRING, FIELD(credentials), 0, 0, "FILE",
	  "what `join` writes, default /var/lib/isthmus/onetime.secret; without it no name server "
	  "is told" },
	{ "dns", "dns-ttl", CONF_UINT, FIELD(dns_ttl_s), 5, 86400, "SECONDS",
	  "an address told to the name server is dead if nobody has used it then, default 60" },
	{ "dns", "dns-only", CONF_STRING, FIELD(dns_only), 0, 0, "WHO",
	  "who may use it: anyone, or client-subnet, where the name server knows that; default "
	  "anyone" },
	{ "dns", "dns-pending", CONF_UINT, FIELD(dns_pending), 1, ONETIME_ADDRS, "COUNT",
	  "unused ones of one client or resolver, then its oldest is told again; default 256" },
	{ "command", "port", CONF_UINT, FIELD(port), 1, 65535, "PORT",
	  "das, listen: the process' socket with this port" },
	{ "command", "fd", CONF_UINT, FIELD(fd), 0, 0x7fffffff, "NUMBER",
	  "das, listen: the process' socket with this descriptor" },
	{ "command", "mode", CONF_STRING, FIELD(mode), 0, 0, "MODE",
	  "das, listen: which ports tell sessions apart, l0, l1, l2 or aware; default: the "
	  "pool's" },
	{ "command", "for", CONF_STRING, FIELD(for_prefix), 0, 0, "PREFIX",
	  "das, give: only these clients may use the address" },
	{ "command", "ttl", CONF_UINT, FIELD(ttl_s), 1, 31536000, "SECONDS",
	  "das, give: the address is dead if nobody has used it then; default: 86400 for "
	  "das, 600 for give" },
	{ "command", "many", CONF_BOOL, FIELD(many), 0, 0, NULL,
	  "das: for many sessions, until the listener ends" },
	{ "command", "auto", CONF_UINT, FIELD(auto_set), 1, 65536, "COUNT",
	  "listen: keep so many addresses prepared, default 128" },
	{ "command", "das-required", CONF_BOOL, FIELD(das_required), 0, 0, NULL,
	  "listen: only addresses that das sets" },
	{ "command", "name", CONF_STRING, FIELD(name), 0, 0, "NAME",
	  "listen: that clients ask for" },
	{ "command", "del", CONF_BOOL, FIELD(del), 0, 0, NULL, "listen: no more" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static const char *const methods[GENERATE_METHODS] = {
	[GENERATE_SEQUENTIAL] = "sequential",
	[GENERATE_KEYED] = "keyed",
	[GENERATE_RANDOM] = "random",
};

static const char *const modes[] = {
	[ONETIME_L0] = "l0",
	[ONETIME_L1] = "l1",
	[ONETIME_L2] = "l2",
	[ONETIME_AWARE] = "aware",
};

#define MODES (int)(sizeof(modes) / sizeof(modes[0]))

const char *settings_method_name(enum generate_method method)
{
	return method < GENERATE_METHODS ? methods[method] : "?";
}

int settings_mode(const char *text)
{
	for (int i = 0; i < MODES; i++)
		if (!strcasecmp(text, modes[i]))
			return i;
	return -EINVAL;
}

const char *settings_mode_name(uint8_t mode)
{
	return mode < MODES ? modes[mode] : "?";
}

static int fill_in(struct settings *s)
{
	int err = conf_default(&s->log, "stderr");

	if (!err)
		err = conf_default(&s->log_level, "info");
	if (!err)
		err = conf_default(&s->method, "keyed");
	if (!err)
		err = conf_default(&s->dns_only, "anyone");
	if (!err)
		err = conf_default_path(&s->credentials, STATE_FOLDER, "onetime", s->instance,
					"secret");
	if (!err)
		err = conf_default_path(&s->state, STATE_FOLDER, "onetime", s->instance, "db");
	return err ? err
		   : conf_default_path(&s->control, RUN_FOLDER, "onetime", s->instance, "sock");
}

int settings_read(struct settings *settings, int argc, char **argv, char *error, size_t error_len)
{
	struct settings fresh = {
		.eas = 4096,
		.journal_days = 30,
		.pending = 262144,
		.pending_listener = 4096,
		.pending_client = 64,
		.dns_ttl_s = 60,
		.dns_pending = 256,
		.fd = SETTINGS_NO_FD,
	};
	int rc;

	rc = conf_load(ONETIME_CONFIG, argc, argv, settings_table, settings_count, &fresh, error,
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

static int find_method(const char *text, enum generate_method *method)
{
	for (int i = 0; i < GENERATE_METHODS; i++)
		if (!strcasecmp(text, methods[i])) {
			*method = (enum generate_method)i;
			return 0;
		}
	return -EINVAL;
}

/* "2001:db8::/64=sequential" */
static int check_pool_method(struct settings *settings, unsigned int i)
{
	const char *text = settings->method_of.item[i], *equals = strchr(text, '=');
	char prefix[64];

	if (!equals || equals - text >= (ptrdiff_t)sizeof(prefix))
		return -EINVAL;
	memcpy(prefix, text, equals - text);
	prefix[equals - text] = 0;
	if (prefix_parse(prefix, &settings->pool_method[i].prefix))
		return -EINVAL;
	return find_method(equals + 1, &settings->pool_method[i].method);
}

int settings_check(struct settings *settings, char *error, size_t error_len)
{
	if (find_method(settings->method, &settings->method_is)) {
		snprintf(error, error_len, "method '%.100s' is none of keyed, sequential, random",
			 settings->method);
		return -EINVAL;
	}
	settings->dns_only_is = !strcmp(settings->dns_only, "client-subnet");
	if (!settings->dns_only_is && strcmp(settings->dns_only, "anyone")) {
		snprintf(error, error_len, "dns-only '%.100s' is none of anyone, client-subnet",
			 settings->dns_only);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < settings->method_of.count; i++)
		if (check_pool_method(settings, i)) {
			snprintf(error, error_len,
				 "method-of '%.100s' is not PREFIX=keyed, sequential or random",
				 settings->method_of.item[i]);
			return -EINVAL;
		}
	return 0;
}

enum generate_method settings_method(const struct settings *settings, const struct prefix *pool)
{
	for (unsigned int i = 0; i < settings->method_of.count; i++) {
		const struct prefix *prefix = &settings->pool_method[i].prefix;

		if (prefix->bits == pool->bits && prefix_has(prefix, &pool->address))
			return settings->pool_method[i].method;
	}
	return settings->method_is;
}

void settings_free(struct settings *settings)
{
	conf_free(settings_table, settings_count, settings);
}
