// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus-translator: start-up in one order, so that privileges are dropped before any network
 * byte. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "translator.h"

#define PROGRAM "isthmus-translator"

enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE };

/* A SIGHUP reads the settings again; the words of the command line stay. */
struct arguments {
	int argc;
	char **argv;
	struct translator *translator;
};

static int print_help(void)
{
	printf("usage: " PROGRAM " run --config FILE [options]\n"
	       "       " PROGRAM " status [--json] [options]\n"
	       "       " PROGRAM " help | version\n"
	       "\n"
	       "Joins the peers of an isthmus broker. The options are those of the settings file:\n"
	       "\n");
	conf_help(settings_table, settings_count);
	return EXIT_DONE;
}

static int fail(int status, const char *why)
{
	fprintf(stderr, PROGRAM ": %s\n", why);
	return status;
}

/* A relay beside an attached datapath would get no packets: only where there is none. */
static bool no_datapath(int err)
{
	return err == -ENOENT || err == -ENOTSUP || err == -EPERM || err == -EACCES;
}

/* engine = auto without a datapath. */
static int fall_back(struct translator *t, char *error, size_t error_len)
{
	char why[256], relay[192];
	int err;

	snprintf(why, sizeof(why), "%s", error);
	err = relay_start(t, relay, sizeof(relay));
	if (err) {
		snprintf(error, error_len, "%s; or, for a relay in userspace: %s", why, relay);
		return err;
	}
	snprintf(t->engine_why, sizeof(t->engine_why), "packets go through this process, for %s",
		 why);
	log_warn("engine relay: %s", t->engine_why);
	return 0;
}

static int start_engine(struct translator *t, char *error, size_t error_len)
{
	int err;

	if (!strcmp(t->settings.engine, "relay")) {
		snprintf(t->engine_why, sizeof(t->engine_why),
			 "packets go through this process, as configured");
		return relay_start(t, error, error_len);
	}
	err = kernel_start(t, error, error_len);
	if (!err)
		snprintf(t->engine_why, sizeof(t->engine_why),
			 "packets stay in the kernel (splice is attached)");
	if (!no_datapath(err) || strcmp(t->settings.engine, "auto"))
		return err;
	return fall_back(t, error, error_len);
}

/* The kernel's connections from ports in the datapath's range would be cut off. */
static void warn_of_local_ports(const struct translator *t)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned int low, high;

	if (!file)
		return;
	if (fscanf(file, "%u %u", &low, &high) != 2)
		low = high = 0;
	fclose(file);
	for (unsigned int i = 0; i < t->locals.count && low; i++) {
		const struct splice_range *range = &t->locals.item[i].range;

		if (t->locals.item[i].draining || range->low > high || range->high < low)
			continue;
		log_warn("ports %u-%u overlap net.ipv4.ip_local_port_range %u-%u: this host's own "
			 "connections may be cut off; change it or ip_local_reserved_ports",
			 range->low, range->high, low, high);
		return;
	}
}

/* Everything that needs privileges; in this order. */
static int start(struct translator *t, struct metrics **metrics, char *error, size_t error_len)
{
	bool low_ports = false;
	uint64_t keep = 1ULL << CAP_NET_ADMIN;
	int err = status_listen(t, error, error_len); /* a second one ends here */

	if (!err)
		err = start_engine(t, error, error_len);
	if (!err)
		err = probe_start(t, error, error_len);
	if (!err)
		err = control_start(t, error, error_len);
	if (!err && t->settings.metrics) {
		*metrics = metrics_listen(t->base, t->settings.metrics, status_metrics, t, error,
					  error_len);
		err = *metrics ? 0 : -EADDRINUSE;
	}
	if (err)
		return err;
	if (t->kernel)
		warn_of_local_ports(t);
	for (unsigned int i = 0; i < t->locals.count; i++)
		low_ports |= !t->locals.item[i].draining && t->locals.item[i].range.low < 1024;
	if (low_ports)
		keep |= 1ULL << CAP_NET_BIND_SERVICE;
	err = daemon_drop_privileges(t->settings.user, keep);
	if (err)
		snprintf(error, error_len, "cannot become user %s: %s",
			 t->settings.user ? t->settings.user : "root", strerror(-err));
	return err;
}

static void reload(void *arg)
{
	struct arguments *arguments = arg;
	struct translator *t = arguments->translator;
	struct settings next;
	char error[512];

	settings_default(&next);
	if (settings_read(arguments->argc, arguments->argv, &next, error, sizeof(error))) {
		log_error("settings stay as they are: %s", error);
		settings_free(&next);
		return;
	}
	if (log_open(PROGRAM, next.log, next.log_level))
		log_error("log target or level is unknown: %s, %s", next.log, next.log_level);
	t->table.limit = next.sessions;
	settings_free(&t->settings);
	t->settings = next;
	control_reload(t);
	log_info("settings read again: broker, login file, sessions and log; the rest needs a "
		 "restart");
}

static void stop_session(struct session *s, void *arg)
{
	rendezvous_end(arg, s, END_STOPPED);
}

static void stop(struct translator *t, struct metrics *metrics)
{
	/* The kernel's sessions go on without us; the relay's cannot. */
	if (t->engine && !t->kernel && t->notify)
		table_each(t, stop_session, t);
	metrics_free(metrics);
	probe_free(t);
	control_free(t);
	if (t->engine)
		t->engine->stop(t);
	status_unlisten();
	table_free(t);
	locals_free(&t->locals);
}

static int run(struct translator *t, struct arguments *arguments)
{
	struct daemon_signals *signals = NULL;
	struct metrics *metrics = NULL;
	char error[512] = "out of memory";
	int err;

	daemon_raise_file_limit();
	t->base = event_base_new();
	err = t->base ? table_init(t, t->settings.sessions) : -ENOMEM;
	if (!err)
		err = start(t, &metrics, error, sizeof(error));
	if (!err)
		signals = daemon_signals_new(t->base, reload, arguments);
	if (signals) {
		log_info("engine %s: %s; %u sessions free", t->engine->name, t->engine_why,
			 rendezvous_free(t));
		daemon_ready(t->engine_why);
		event_base_dispatch(t->base);
		daemon_stopping();
	}
	stop(t, metrics);
	daemon_signals_free(signals);
	if (t->base)
		event_base_free(t->base);
	return signals ? EXIT_DONE : fail(EXIT_FAILED, error);
}

static int run_command(int argc, char **argv, const char *command)
{
	static struct translator translator;
	struct arguments arguments = { argc, argv, &translator };
	struct settings *settings = &translator.settings;
	char error[512], path[256];
	int status;

	translator.started_ns = now_ns();
	settings_default(settings);
	if (settings_read(argc, argv, settings, error, sizeof(error))) {
		status = fail(EXIT_USAGE, error);
	} else if (!strcmp(command, "status")) {
		settings_control_path(settings, path, sizeof(path));
		status = status_command(path, settings->json);
	} else if (log_open(PROGRAM, settings->log, settings->log_level)) {
		status = fail(EXIT_USAGE, "log is stderr or syslog, log-level error, warn, info or "
					  "debug");
	} else {
		status = run(&translator, &arguments);
	}
	settings_free(settings);
	return status;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help"))
			return print_help();
	if (!strcmp(command, "help"))
		return print_help();
	if (!strcmp(command, "version") || !strcmp(command, "--version")) {
		printf(PROGRAM " " ISTHMUS_VERSION "\n");
		return EXIT_DONE;
	}
	if (!strcmp(command, "run") || !strcmp(command, "status"))
		return run_command(argc - 1, argv + 1, command);
	return fail(EXIT_USAGE, "one of run, status, help, version is needed; see --help");
}
