// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus-portarp: start-up in one order, so that privileges are dropped before any network byte.
 */
#include <errno.h>
#include <libgen.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "../../maps/pin.h"
#include "agent.h"
#include "cli.h"
#include "control.h"
#include "host.h"
#include "restore.h"
#include "state.h"

#define PROGRAM "isthmus-portarp"

enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE };

/* A SIGHUP reads the settings again; the words of the command line stay. */
struct arguments {
	int argc;
	char **argv;
	struct agent *agent;
};

static int print_help(void)
{
	printf("usage: " PROGRAM " run [OPTION]...\n"
	       "       " PROGRAM " address-add | address-del ADDRESS [OPTION]...\n"
	       "       " PROGRAM " lease | release ADDRESS --mac MAC PORTS [OPTION]...\n"
	       "       " PROGRAM " forget ADDRESS PORTS\n"
	       "       " PROGRAM " usage [ADDRESS] [--json]\n"
	       "       " PROGRAM " upstream ADDRESS PORTS --gateway-mac MAC [OPTION]...\n"
	       "       " PROGRAM " use | unuse ADDRESS PORTS [OPTION]...\n"
	       "       " PROGRAM " status [--json]\n"
	       "       " PROGRAM " help | version\n"
	       "\n"
	       "PORTS is --offset BITS --length BITS --psid NUMBER, or --ports LOW-HIGH.\n"
	       "Options of run, and in [brackets] their section of the file:\n"
	       "\n");
	conf_help(settings_table, settings_count);
	printf("\nOptions of the other commands, and for which:\n\n");
	cli_help();
	return EXIT_DONE;
}

static int fail(int status, const char *why)
{
	fprintf(stderr, PROGRAM ": %s\n", why);
	return status;
}

/* ---- start */

static int open_state(struct agent *agent, char *error, size_t error_len)
{
	char path[256], copy[256];

	settings_state_path(&agent->settings, path, sizeof(path));
	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0700) && errno != EEXIST) {
		int err = -errno;

		snprintf(error, error_len, "cannot make the folder of %s: %s", path,
			 strerror(-err));
		return err;
	}
	agent->state = state_open(path, error, error_len);
	return agent->state ? 0 : -EIO;
}

static int open_assignments(struct agent *agent, const struct settings *settings, char *error,
			    size_t error_len)
{
	FILE *file = NULL;

	if (settings->assignments) {
		file = fopen(settings->assignments, "ae");
		if (!file) {
			int err = -errno;

			snprintf(error, error_len, "%s: %s", settings->assignments, strerror(-err));
			return err;
		}
	}
	if (agent->assignments)
		fclose(agent->assignments);
	agent->assignments = file;
	return 0;
}

/* Frames go straight to the device: no qdisc delays them behind others, no tc program sees them. */
static int open_packets(struct agent *agent, char *error, size_t error_len)
{
	int one = 1;

	agent->packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent->packet_fd < 0 ||
	    setsockopt(agent->packet_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one))) {
		int err = -errno;

		snprintf(error, error_len, "cannot open a packet socket: %s", strerror(-err));
		return err;
	}
	return 0;
}

static int lock_attached(struct agent *agent, char *error, size_t error_len)
{
	int fd = pin_hold(agent->settings.instance, "portarp");

	agent->lock_fd = fd < 0 ? -1 : fd;
	if (fd >= 0 || fd == -ENOENT) /* not attached: maps_open() tells so */
		return 0;
	snprintf(error, error_len, "the portarp datapath: %s",
		 fd == -EBUSY ? "another isthmus-portarp runs for it" : strerror(-fd));
	return fd;
}

/* Everything that needs privileges; in this order. */
static int start(struct agent *agent, char *error, size_t error_len)
{
	int err = control_listen(agent, error, error_len); /* a second one ends here */

	if (!err)
		err = lock_attached(agent, error, error_len);
	if (!err)
		err = maps_open(&agent->maps, agent->settings.instance, error, error_len);
	if (!err)
		err = agent_init(agent);
	if (!err)
		err = open_state(agent, error, error_len);
	if (!err)
		err = open_assignments(agent, &agent->settings, error, error_len);
	if (!err)
		err = open_packets(agent, error, error_len);
	if (!err)
		err = lan_start(agent, error, error_len);
	if (!err)
		err = restore(agent, error, error_len);
	if (!err)
		err = events_start(agent, error, error_len);
	if (!err)
		err = use_start(agent);
	if (!err && agent->settings.commands)
		err = op_run_file(agent, agent->settings.commands, error, error_len);
	return err;
}

/* Files that root has made and that are opened again later belong to the user. */
static void give_files(const struct settings *settings, const char *user)
{
	static const char *const of_state[] = { "", "-wal", "-shm" };
	const struct passwd *entry = getpwnam(user);
	char path[256], name[270];

	if (!entry)
		return;
	settings_state_path(settings, path, sizeof(path));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, of_state[i]);
		if (chown(name, entry->pw_uid, entry->pw_gid) && errno != ENOENT)
			log_warn("%s: not given to %s: %s", name, user, strerror(errno));
	}
	if (settings->assignments && chown(settings->assignments, entry->pw_uid, entry->pw_gid))
		log_warn("%s: not given to %s: %s", settings->assignments, user, strerror(errno));
}

static int drop(struct agent *agent, char *error, size_t error_len)
{
	uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW | 1ULL << CAP_BPF;
	int err;

	if (agent->settings.user)
		give_files(&agent->settings, agent->settings.user);
	err = daemon_drop_privileges(agent->settings.user, keep);
	if (err)
		snprintf(error, error_len, "cannot become user %s: %s",
			 agent->settings.user ? agent->settings.user : "root", strerror(-err));
	return err;
}

static void reload(void *arg)
{
	struct arguments *arguments = arg;
	struct agent *agent = arguments->agent;
	struct settings next;
	char error[512];

	settings_default(&next);
	if (settings_read(arguments->argc, arguments->argv, &next, error, sizeof(error)) ||
	    open_assignments(agent, &next, error, sizeof(error))) {
		log_error("settings stay as they are: %s", error);
		settings_free(&next);
		return;
	}
	if (log_open(PROGRAM, next.log, next.log_level))
		log_error("log target or level is unknown: %s, %s", next.log, next.log_level);
	settings_free(&agent->settings);
	agent->settings = next;
	if (next.commands && op_run_file(agent, next.commands, error, sizeof(error)))
		log_error("%s; what comes after it was not done", error);
	log_info("settings read again: commands, assignments, age, alarm and log; the rest needs a "
		 "restart");
}

/* What is known stays in the maps, and own addresses stay: packets go on. */
static void stop(struct agent *agent, struct metrics *metrics)
{
	metrics_free(metrics);
	control_free(agent);
	events_free(agent);
	use_free(agent);
	agent_free(agent);
	lan_free(agent);
	state_close(agent->state);
	if (agent->assignments)
		fclose(agent->assignments);
	if (agent->packet_fd >= 0)
		close(agent->packet_fd);
	if (agent->lock_fd >= 0)
		close(agent->lock_fd);
	maps_close(&agent->maps);
}

static const char *role_status(const struct agent *agent, char *text, size_t len)
{
	static const char *const roles[] = { "", "gateway", "bridge", "host" };

	snprintf(text, len, "%s: %u shared addresses, %u sets", roles[agent->role],
		 agent->table.address_count, agent->table.grant_count);
	return text;
}

static int run(struct agent *agent, struct arguments *arguments)
{
	struct daemon_signals *signals = NULL;
	struct metrics *metrics = NULL;
	char error[512] = "out of memory", status[64];
	int err;

	daemon_raise_file_limit();
	memset(agent->maps.fd, -1, sizeof(agent->maps.fd));
	agent->packet_fd = agent->lock_fd = -1;
	agent->base = event_base_new();
	err = agent->base ? start(agent, error, sizeof(error)) : -ENOMEM;
	if (!err && agent->settings.metrics) {
		metrics = metrics_listen(agent->base, agent->settings.metrics, status_metrics,
					 agent, error, sizeof(error));
		err = metrics ? 0 : -EADDRINUSE;
	}
	if (!err)
		err = drop(agent, error, sizeof(error));
	if (!err)
		signals = daemon_signals_new(agent->base, reload, arguments);
	if (signals) {
		log_info("%s", role_status(agent, status, sizeof(status)));
		daemon_ready(status);
		event_base_dispatch(agent->base);
		daemon_stopping();
	}
	stop(agent, metrics);
	daemon_signals_free(signals);
	if (agent->base)
		event_base_free(agent->base);
	return signals ? EXIT_DONE : fail(EXIT_FAILED, error);
}

static int run_command(int argc, char **argv)
{
	static struct agent agent;
	struct arguments arguments = { argc, argv, &agent };
	char error[512];
	int status;

	settings_default(&agent.settings);
	if (settings_read(argc, argv, &agent.settings, error, sizeof(error)))
		status = fail(EXIT_USAGE, error);
	else if (log_open(PROGRAM, agent.settings.log, agent.settings.log_level))
		status = fail(EXIT_USAGE, "log is stderr or syslog, log-level error, warn, info or "
					  "debug");
	else
		status = run(&agent, &arguments);
	settings_free(&agent.settings);
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
	if (!strcmp(command, "run"))
		return run_command(argc - 1, argv + 1);
	if (cli_knows(command))
		return cli_main(argc - 1, argv + 1);
	return fail(EXIT_USAGE,
		    "one of run, address-add, address-del, lease, release, forget, usage, use, "
		    "unuse, upstream, status, help, version is needed; see --help");
}
