// SPDX-License-Identifier: GPL-3.0-or-later
/* Settings, state directory, then the loop. */
#include "../lib/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/conf.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "../lib/work.h"
#include "broker.h"
#include "control.h"
#include "peer.h"
#include "relay.h"

#define WORK_QUEUE 256

static const struct conf_option options[] = {
	{ "peer", "dir", CONF_STRING, offsetof(struct settings, dir), 0, 0, "DIR",
	  "state directory" },
	{ "peer", "sessions", CONF_UINT, offsetof(struct settings, sessions), 1, 65536, "N",
	  "sessions at once (4096)" },
	{ "pool", "pool", CONF_UINT, offsetof(struct settings, pool), 0, 64, "N",
	  "splices made in advance while clients come (2)" },
	{ "pool", "pool-keep", CONF_UINT, offsetof(struct settings, pool_keep), 0, 64, "N",
	  "of these, made also when no client comes (0)" },
	{ "pool", "pool-idle", CONF_UINT, offsetof(struct settings, pool_idle_s), 1, 150, "SECONDS",
	  "an unused one is closed (60)" },
	{ "udp", "udp-clients", CONF_UINT, offsetof(struct settings, udp_clients), 1, 65536, "N",
	  "source addresses of one subscription (1024)" },
	{ "log", "log", CONF_STRING, offsetof(struct settings, log), 0, 0, "TARGET",
	  "stderr or syslog" },
	{ "log", "log-level", CONF_STRING, offsetof(struct settings, log_level), 0, 0, "LEVEL",
	  "error, warn, info or debug" },
	{ "metrics", "metrics", CONF_STRING, offsetof(struct settings, metrics), 0, 0,
	  "ADDRESS:PORT", "Prometheus endpoint" },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* ---- state */

int daemon_save(struct peer *peer)
{
	json_t *services = json_array(), *subscriptions = json_array();
	json_t *state = json_pack("{s:i, s:o, s:o}", "version", 1, "services", services,
				  "subscriptions", subscriptions);
	const struct subscription *subscription;
	const struct service *service;
	int error;

	TAILQ_FOREACH(service, &peer->services, link)
	json_array_append_new(services, service_json(service));
	TAILQ_FOREACH(subscription, &peer->subscriptions, link)
	json_array_append_new(subscriptions, subscription_json(subscription));
	error = state ? store_write_state(peer->dir, state) : -ENOMEM;
	json_decref(state);
	if (error)
		log_error("%s/state.json: %s", peer->dir, strerror(-error));
	return error;
}

static int load_state(struct peer *peer)
{
	json_t *state = store_read_state(peer->dir);
	const json_t *value;
	const char *bad;
	char error[256];
	size_t i;

	if (!state && errno != ENOENT) {
		log_error("%s/state.json: %s: mend or remove it", peer->dir, strerror(errno));
		return -EINVAL;
	}
	json_array_foreach (json_object_get(state, "services"), i, value)
		if (service_add(peer, value, &bad))
			log_error("%s/state.json: service %zu: %s", peer->dir, i, bad);
	json_array_foreach (json_object_get(state, "subscriptions"), i, value)
		if (subscription_load(peer, value, error, sizeof(error)))
			log_error("%s/state.json: subscription %zu: %s", peer->dir, i, error);
	json_decref(state);
	return 0;
}

/* ---- what others see */

void daemon_show_status(const struct peer *peer)
{
	daemon_status(broker_is_ready(peer->broker) ? "connected to the broker"
						    : "not connected to the broker");
}

static void collect(struct evbuffer *out, void *arg)
{
	const struct peer *peer = arg;
	const struct totals *t = &peer->totals;
	uint64_t in = t->bytes_in, bytes_out = t->bytes_out, relayed = 0;
	const struct session *session;

	TAILQ_FOREACH(session, &peer->sessions, link)
	{
		in += session_bytes_in(session);
		bytes_out += session_bytes_out(session);
		relayed += session->state == SESSION_RELAY;
	}
	metrics_write(out, "isthmus_peer_broker_connected", "gauge",
		      "1 while logged in to the broker", NULL, broker_is_ready(peer->broker));
	metrics_write(out, "isthmus_peer_broker_reconnects_total", "counter",
		      "connections to the broker that ended", NULL, t->reconnects);
	metrics_write(out, "isthmus_peer_sessions", "gauge", "sessions now, pooled ones included",
		      NULL, peer->session_count);
	metrics_write(out, "isthmus_peer_sessions_relayed", "gauge", "sessions that carry bytes",
		      NULL, relayed);
	metrics_write(out, "isthmus_peer_sessions_total", "counter", "sessions that carried bytes",
		      NULL, t->sessions);
	metrics_write(out, "isthmus_peer_failed_total", "counter", "sessions that came to nothing",
		      NULL, t->failed);
	metrics_write(out, "isthmus_peer_unauthenticated_total", "counter",
		      "sessions whose other side did not prove itself", NULL, t->unauthenticated);
	metrics_write(out, "isthmus_peer_denied_total", "counter", "offers that were refused", NULL,
		      t->denied);
	metrics_write(out, "isthmus_peer_datagrams_dropped_total", "counter",
		      "datagrams that could not be passed on", NULL, t->datagrams_dropped);
	metrics_write(out, "isthmus_peer_bytes_total", "counter", "application bytes",
		      "direction=\"in\"", in);
	metrics_write(out, "isthmus_peer_bytes_total", NULL, NULL, "direction=\"out\"", bytes_out);
}

/* ---- start and end */

static void reload(void *arg)
{
	struct peer *peer = arg;

	log_info("reading the identity again");
	broker_reload(peer->broker);
}

static int read_settings(struct settings *settings, int argc, char **argv)
{
	char error[256];
	int index;

	*settings = (struct settings){ .pool = 2,
				       .pool_idle_s = 60,
				       .sessions = 4096,
				       .udp_clients = 1024,
				       .log = strdup("stderr"),
				       .log_level = strdup("info") };
	index = conf_load(NULL, argc, argv, options, OPTIONS, settings, error, sizeof(error));
	if (index < 0) {
		fprintf(stderr, "isthmus-peer: %s\n", error);
		return 2;
	}
	if (index < argc) {
		fprintf(stderr, "isthmus-peer: daemon takes no word '%s': see isthmus-peer help\n",
			argv[index]);
		return 2;
	}
	if (log_open("isthmus-peer", settings->log, settings->log_level)) {
		fprintf(stderr, "isthmus-peer: --log is stderr or syslog, --log-level error, warn, "
				"info or debug\n");
		return 2;
	}
	return 0;
}

/* The state directory, held by one daemon; its lock lives until the process ends. */
static int open_dir(struct peer *peer)
{
	int error = store_find(peer->settings.dir, peer->dir);

	if (error) {
		log_error("state directory: %s: say --dir DIR", strerror(-error));
		return error;
	}
	error = store_make(peer->dir);
	if (error) {
		log_error("%s: %s: say --dir DIR", peer->dir, strerror(-error));
		return error;
	}
	error = store_lock(peer->dir);
	if (error == -EWOULDBLOCK)
		log_error("%s: another daemon runs there: say --dir DIR", peer->dir);
	else if (error < 0)
		log_error("%s/lock: %s", peer->dir, strerror(-error));
	return error < 0 ? error : 0;
}

static int run(struct peer *peer)
{
	struct daemon_signals *signals = daemon_signals_new(peer->base, reload, peer);
	struct msg_listener *control = NULL;
	struct metrics *metrics = NULL;
	char error[256] = "out of memory";
	int status = 1;

	peer->work = work_new(peer->base, WORK_QUEUE);
	peer->broker = broker_new(peer);
	if (signals && peer->work && peer->broker)
		control = control_listen(peer, error, sizeof(error));
	if (!control)
		goto out;
	error[0] = 0;
	if (load_state(peer)) /* which has said why */
		goto out;
	if (peer->settings.metrics &&
	    !(metrics = metrics_listen(peer->base, peer->settings.metrics, collect, peer, error,
				       sizeof(error))))
		goto out;
	broker_reload(peer->broker);
	daemon_ready("started");
	daemon_show_status(peer);
	event_base_dispatch(peer->base);
	daemon_stopping();
	error[0] = 0;
	status = 0;
out:
	if (error[0])
		log_error("%s", error);
	peer->stopping = true;
	session_end_all(peer);
	metrics_free(metrics);
	msg_listener_free(control);
	broker_free(peer->broker);
	work_free(peer->work);
	daemon_signals_free(signals);
	return status;
}

static void forget_all(struct peer *peer)
{
	struct subscription *subscription;
	struct service *service;

	while ((subscription = TAILQ_FIRST(&peer->subscriptions)))
		subscription_remove(subscription);
	while ((service = TAILQ_FIRST(&peer->services)))
		service_remove(peer, service);
	relay_drop_pipes();
}

int daemon_main(int argc, char **argv)
{
	struct peer peer = { 0 };
	int status = read_settings(&peer.settings, argc, argv);

	TAILQ_INIT(&peer.services);
	TAILQ_INIT(&peer.subscriptions);
	TAILQ_INIT(&peer.sessions);
	if (!status)
		status = open_dir(&peer) ? 1 : 0;
	if (!status) {
		daemon_raise_file_limit();
		daemon_drop_privileges(NULL, 0);
		peer.base = event_base_new();
		status = peer.base ? run(&peer) : 1;
	}
	forget_all(&peer);
	if (peer.base)
		event_base_free(peer.base);
	conf_free(options, OPTIONS, &peer.settings);
	return status;
}

void daemon_help(void)
{
	conf_help(options, OPTIONS);
}
