// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: files, ports, fewer privileges, database, loop, end. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "broker.h"

#define LOGIN_QUEUE_MAX 256 /* about 10 s of the worker's time */
#define SWEEP_TICKS	10
#define ERROR_LEN	512

static int listen_on(struct broker *broker, const char *where, char *error)
{
	const struct settings *settings = &broker->settings;
	struct msg_listener *listener;
	char host[ADDRESS_TEXT_LEN], port_text[8];
	uint16_t port;

	if (address_split(where, host, sizeof(host), &port)) {
		snprintf(error, ERROR_LEN, "listen '%s' is not [ADDRESS]:PORT", where);
		return -EINVAL;
	}
	snprintf(port_text, sizeof(port_text), "%u", port);
	listener =
		msg_listen_tls(broker->base, host, port_text, settings->certificate, settings->key,
			       settings->connections, client_accepted, broker, error, ERROR_LEN);
	if (!listener)
		return -EIO;
	broker->listeners[broker->listener_count++] = listener;
	log_info("listening on %s", where);
	return 0;
}

static int open_ports(struct broker *broker, struct metrics **metrics, char *error)
{
	const struct settings *settings = &broker->settings;

	if (command_prepare(settings, error, ERROR_LEN))
		return -EIO;
	for (unsigned int i = 0; i < settings->listen.count; i++)
		if (listen_on(broker, settings->listen.item[i], error))
			return -EIO;
	if (!settings->metrics)
		return 0;
	*metrics = metrics_listen(broker->base, settings->metrics, stats_collect, broker, error,
				  ERROR_LEN);
	return *metrics ? 0 : -EIO;
}

/* ---- while it runs */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct broker *broker = arg;
	char status[128];
	int64_t version;

	(void)fd;
	(void)what;
	if (!db_version(broker->db, &version) && version != broker->db_version) {
		broker->db_version = version;
		user_check_deleted(broker);
		translator_check_deleted(broker);
	}
	if (++broker->ticks % SWEEP_TICKS)
		return;
	session_sweep(broker);
	snprintf(status, sizeof(status), "%u connections of users, %u translators, %u sessions",
		 broker->peer_count, broker->translator_count, broker->session_count);
	daemon_status(status);
}

static void on_reload(void *arg)
{
	struct broker *broker = arg;
	struct settings fresh;
	char error[ERROR_LEN];

	if (settings_read(&fresh, broker->argc, broker->argv, error, sizeof(error)) < 0) {
		log_error("%s; the settings stay as they are", error);
		return;
	}
	settings_take_limits(&broker->settings, &fresh);
	if (log_open("isthmus-broker", fresh.log, fresh.log_level))
		log_error("log '%s' or log-level '%s' is unknown", fresh.log, fresh.log_level);
	settings_free(&fresh);
	child_reload(broker->child);
	log_info("limits and log level were read again");
}

static int start(struct broker *broker, char *error)
{
	const struct timeval second = { .tv_sec = 1 };
	int rc = daemon_drop_privileges(broker->settings.user, 0);

	if (rc) {
		snprintf(error, ERROR_LEN, "cannot become user '%s': %s",
			 broker->settings.user ? broker->settings.user : "root", strerror(-rc));
		return rc;
	}
	broker->db = db_open(broker->settings.database, error, ERROR_LEN);
	if (!broker->db)
		return -EIO;
	db_version(broker->db, &broker->db_version);
	broker->work = work_new(broker->base, LOGIN_QUEUE_MAX);
	broker->tick = event_new(broker->base, -1, EV_PERSIST, on_tick, broker);
	broker->by_address = limit_new();
	broker->by_user = limit_new();
	if (!broker->work || !broker->tick || !broker->by_address || !broker->by_user ||
	    event_add(broker->tick, &second)) {
		snprintf(error, ERROR_LEN, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

/* The worker ends first: nothing else may refer to a connection then. */
static void stop(struct broker *broker)
{
	for (unsigned int i = 0; i < broker->listener_count; i++)
		msg_listener_free(broker->listeners[i]);
	work_free(broker->work);
	client_free_all(broker);
	session_free_all(broker);
	limit_free(broker->by_address);
	limit_free(broker->by_user);
	if (broker->tick)
		event_free(broker->tick);
	db_close(broker->db);
}

static int run(struct broker *broker)
{
	struct daemon_signals *signals = daemon_signals_new(broker->base, on_reload, broker);
	struct metrics *metrics = NULL;
	char error[ERROR_LEN] = "out of memory";
	int rc = !signals || open_ports(broker, &metrics, error) || start(broker, error);

	if (rc) {
		log_error("%s", error);
	} else {
		child_go(broker->child);
		daemon_ready("no connections yet");
		event_base_dispatch(broker->base);
		daemon_stopping();
		log_info("ending; sessions go on without the broker");
	}
	child_free(broker->child);
	metrics_free(metrics);
	stop(broker);
	daemon_signals_free(signals);
	return rc ? 1 : 0;
}

int broker_run(int argc, char **argv, struct settings *settings)
{
	struct broker *broker = calloc(1, sizeof(*broker));
	int rc = 1;

	daemon_raise_file_limit();
	if (broker && settings->translator_run) /* before there are threads and sockets */
		broker->child = child_new(settings->translator_file);
	if (broker)
		broker->base = event_base_new();
	if (!broker || !broker->base || (settings->translator_run && !broker->child)) {
		log_error("the broker cannot start: %s", strerror(errno));
	} else {
		broker->settings = *settings;
		broker->argc = argc;
		broker->argv = argv;
		TAILQ_INIT(&broker->clients);
		rc = run(broker);
		*settings = broker->settings;
	}
	if (broker && broker->base)
		event_base_free(broker->base);
	free(broker);
	return rc;
}
