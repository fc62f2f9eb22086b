// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: zones, ports, fewer privileges, store, loop, end. */
#include <errno.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "dns.h"
#include "key.h"

#define STATUS_TICKS	 10
#define DESCRIPTORS_KEPT 256 /* for everything else */

int64_t dns_now(void)
{
	return time(NULL);
}

uint64_t dns_now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

int dns_read_zones(const struct settings *settings, struct zones *zones, char *error)
{
	struct zones fresh = { .count = 0 };
	int rc = 0;

	for (unsigned int i = 0; i < settings->zone.count && !rc; i++) {
		const char *text = settings->zone.item[i], *equals = strchr(text, '=');
		char name[WIRE_NAME_TEXT];

		if (!equals || !equals[1] || equals - text >= (ptrdiff_t)sizeof(name)) {
			snprintf(error, ERROR_LEN, "zone '%.100s' is not NAME=FILE", text);
			rc = -EINVAL;
			break;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
		rc = zones_read(&fresh, name, equals + 1, error, ERROR_LEN);
	}
	if (rc)
		zones_free(&fresh);
	else
		*zones = fresh;
	return rc;
}

/* Without descriptors left, accept() would fail for ever: there are fewer connections then. */
static void apply_limits(struct dns *dns)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur > 2 * DESCRIPTORS_KEPT &&
	    dns->settings.tcp_connections > limit.rlim_cur - DESCRIPTORS_KEPT) {
		dns->settings.tcp_connections = limit.rlim_cur - DESCRIPTORS_KEPT;
		log_warn("the limit of open files allows only %u TCP connections",
			 dns->settings.tcp_connections);
	}
	dns->server.udp_size = dns->settings.udp_size;
	rrl_set(dns->server.rrl, dns->settings.rate, dns->settings.slip);
}

/* Zones that cannot be read leave those that are served as they are. */
static void reload_zones(struct dns *dns, struct settings *fresh)
{
	char error[ERROR_LEN];
	struct zones zones;

	if (dns_read_zones(fresh, &zones, error)) {
		log_error("%s; zones and settings stay as they are", error);
		return;
	}
	if (key_load(dns->store, &zones, error,
		     sizeof(error))) { /* unsigned, they would be bogus */
		log_error("%s; zones and settings stay as they are", error);
		zones_free(&zones);
		return;
	}
	zones_free(&dns->zones);
	dns->zones = zones;
	settings_reload(&dns->settings, fresh);
	apply_limits(dns);
	if (dynamic_load(dns, error) || secret_load(dns, error))
		log_error("%s", error);
	members_serve(dns);
	log_info("%u zones and the limits were read again", dns->zones.count);
}

static void on_reload(void *arg)
{
	struct dns *dns = arg;
	struct settings fresh;
	char error[ERROR_LEN];

	if (settings_read(&fresh, dns->argc, dns->argv, error, sizeof(error)) < 0) {
		log_error("%s; the settings stay as they are", error);
		return;
	}
	if (log_open("isthmus-dns", fresh.log, fresh.log_level))
		log_error("log '%s' or log-level '%s' is unknown", fresh.log, fresh.log_level);
	reload_zones(dns, &fresh);
	settings_free(&fresh);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	static unsigned int ticks;
	struct dns *dns = arg;
	char status[128];

	(void)fd;
	(void)what;
	dynamic_expire(dns);
	secret_tick(dns);
	if (++ticks % STATUS_TICKS)
		return;
	snprintf(status, sizeof(status), "%u zones, %u dynamic records, %llu questions",
		 dns->zones.count, dns->record_count,
		 (unsigned long long)(dns->server.counters.udp + dns->server.counters.tcp));
	daemon_status(status);
}

static int give(const char *path, const char *suffix, const struct passwd *owner, char *error)
{
	char file[4096];

	if (snprintf(file, sizeof(file), "%s%s", path, suffix) >= (int)sizeof(file) ||
	    !lchown(file, owner->pw_uid, owner->pw_gid) || errno == ENOENT)
		return 0;
	snprintf(error, ERROR_LEN, "%.300s: %s", file, strerror(errno));
	return -EIO;
}

/*
 * The database's folder is made for whom the daemon becomes. One that is there is left as it is,
 * unless it is systemd's StateDirectory, which belongs to root again at each start.
 */
static int make_folder(const struct settings *settings, char *error)
{
	const struct passwd *owner = settings->user ? getpwnam(settings->user) : NULL;
	const char *state = getenv("STATE_DIRECTORY");
	char copy[4096], *folder;
	int rc;

	snprintf(copy, sizeof(copy), "%s", settings->database);
	folder = dirname(copy);
	if (mkdir(folder, 0700)) {
		if (errno == EEXIST && (!state || strcmp(state, folder)))
			return 0;
		if (errno != EEXIST) {
			snprintf(error, ERROR_LEN, "%s: %s", folder, strerror(errno));
			return -EIO;
		}
	}
	if (!owner || geteuid())
		return 0;
	rc = give(folder, "", owner, error);
	if (!rc)
		rc = give(settings->database, "", owner, error);
	if (!rc)
		rc = give(settings->database, "-wal", owner, error);
	if (!rc)
		rc = give(settings->database, "-shm", owner, error);
	if (!rc)
		rc = give(folder, "/members.crt", owner, error);
	return rc ? rc : give(folder, "/members.key", owner, error);
}

static int open_ports(struct dns *dns, char *error)
{
	const struct settings *settings = &dns->settings;
	int rc = control_listen(dns, error); /* a second one ends here */

	for (unsigned int i = 0; i < settings->listen.count && !rc; i++)
		rc = listen_on(dns, settings->listen.item[i], error);
	if (rc || !settings->metrics)
		return rc;
	dns->metrics =
		metrics_listen(dns->base, settings->metrics, stats_collect, dns, error, ERROR_LEN);
	return dns->metrics ? 0 : -EIO;
}

static int start(struct dns *dns, char *error)
{
	const struct timeval second = { .tv_sec = 1 };
	int rc = make_folder(&dns->settings, error);

	if (rc)
		return rc;
	rc = daemon_drop_privileges(dns->settings.user, 0);
	if (rc) {
		snprintf(error, ERROR_LEN, "cannot become user '%s': %s",
			 dns->settings.user ? dns->settings.user : "root", strerror(-rc));
		return rc;
	}
	dns->store = store_open(dns->settings.database, error, ERROR_LEN);
	rc = dns->store ? dynamic_load(dns, error) : -EIO;
	if (!rc)
		rc = key_load(dns->store, &dns->zones, error, ERROR_LEN);
	if (!rc)
		rc = secret_load(dns, error);
	if (!rc)
		rc = members_open(dns, error);
	if (rc)
		return rc;
	dns->tick = event_new(dns->base, -1, EV_PERSIST, on_tick, dns);
	return dns->tick && !event_add(dns->tick, &second) ? 0 : -ENOMEM;
}

static int prepare(struct dns *dns, char *error)
{
	daemon_raise_file_limit();
	dns->base = event_base_new();
	dns->batch = udp_batch_new();
	dns->server.wire = wire_new();
	dns->server.rrl = rrl_new();
	dns->server.zones = &dns->zones;
	dns->started = dns_now();
	TAILQ_INIT(&dns->connections);
	if (!dns->base || !dns->batch || !dns->server.wire || !dns->server.rrl)
		return -ENOMEM;
	apply_limits(dns);
	if (!dns->settings.zone.count)
		log_warn("no zone is given: every question is refused");
	return dns_read_zones(&dns->settings, &dns->zones, error);
}

static void stop(struct dns *dns)
{
	listen_close(dns);
	tcp_close_all(dns);
	control_close(dns);
	members_close(dns);
	metrics_free(dns->metrics);
	if (dns->tick)
		event_free(dns->tick);
	store_close(dns->store);
	zones_free(&dns->zones);
	rrl_free(dns->server.rrl);
	wire_free(dns->server.wire);
	free(dns->batch);
	free(dns->late);
}

int dns_run(int argc, char **argv, struct settings *settings)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";
	int rc;

	if (!dns)
		return 1;
	dns->settings = *settings;
	dns->argc = argc;
	dns->argv = argv;
	rc = prepare(dns, error);
	if (!rc)
		rc = open_ports(dns, error);
	if (!rc)
		rc = start(dns, error);
	if (!rc)
		signals = daemon_signals_new(dns->base, on_reload, dns);
	if (signals) {
		log_info("%u zones, %u dynamic records", dns->zones.count, dns->record_count);
		daemon_ready("serving");
		event_base_dispatch(dns->base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(dns);
	daemon_signals_free(signals);
	if (dns->base)
		event_base_free(dns->base);
	*settings = dns->settings;
	free(dns);
	return signals ? 0 : 1;
}
