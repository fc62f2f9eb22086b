// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus-dhcp client`: one order of start-up, then an event loop. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/auth.h"
#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "host.h"
#include "serve.h"

#define MESSAGES_AT_ONCE 64

int64_t host_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

bool host_set_runs(const struct host *host, unsigned int i)
{
	return host->set[i].state != DHCP_CLIENT_STOPPED;
}

void host_schedule(struct host *host)
{
	int64_t now = host_now(), next = DHCP_NEVER;
	struct timeval wait;

	for (unsigned int i = 0; i < HOST_SETS; i++)
		if (host_set_runs(host, i) && host->set[i].next < next)
			next = host->set[i].next;
	event_del(host->timer);
	if (next == DHCP_NEVER)
		return;
	next = next > now ? next - now : 0;
	wait.tv_sec = next / 1000;
	wait.tv_usec = next % 1000 * 1000;
	event_add(host->timer, &wait);
}

/* ---- what a client asks for */

static uint32_t random_number(void)
{
	uint32_t number = 0;

	auth_random(&number, sizeof(number));
	return number;
}

static void on_send(struct dhcp_client *client, struct dhcp_frame_ends *ends, const uint8_t *bytes,
		    size_t len)
{
	struct host *host = client->arg;
	int err = dhcp_link_send(&host->link, ends, bytes, len);

	if (err)
		log_debug("%s: not sent: %s", host->link.name, strerror(-err));
}

static void save(struct host *host)
{
	int err = host_save(host);

	if (err)
		log_error("%s: %s", host->state, strerror(-err));
}

static void on_bound(struct dhcp_client *client, bool renewed)
{
	const struct dhcp_client_lease *lease = &client->lease;
	struct host *host = client->arg;
	char ip[16];

	pool_ip_text(lease->address, ip);
	if (lease->shared)
		log_line(renewed ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
			 "%s PSID %u (offset %u, length %u: %u ports) for %u s", ip,
			 lease->set.psid, lease->set.a, lease->set.k, portset_ports(&lease->set),
			 lease->seconds);
	else
		log_line(renewed ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "%s, all ports, for %u s", ip,
			 lease->seconds);
	save(host);
	hand_bound(host->hand, client, renewed);
}

static void on_lost(struct dhcp_client *client, const char *why)
{
	struct host *host = client->arg;

	hand_lost(host->hand, client, why);
}

static const struct dhcp_client_hooks hooks = { on_send, on_bound, on_lost, random_number };

/* ---- the loop */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct host *host = arg;
	int64_t now = host_now();

	(void)fd;
	(void)what;
	for (unsigned int i = 0; i < HOST_SETS; i++)
		if (host_set_runs(host, i))
			dhcp_client_timer(&host->set[i], now);
	host_schedule(host);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct host *host = arg;

	(void)fd;
	(void)what;
	host_use_watch(host);
	host_schedule(host);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct host *host = arg;
	uint8_t frame[DHCP_FRAME_MAX];
	struct dhcp_message message;
	struct dhcp_frame_ends ends;
	const uint8_t *bytes;

	(void)fd;
	(void)what;
	for (int n = 0; n < MESSAGES_AT_ONCE; n++) {
		int len = dhcp_link_receive(&host->link, frame, &ends, &bytes);

		if (len < 0 && len != -EBADMSG)
			break;
		if (len < 0 || dhcp_read(bytes, len, &message))
			continue;
		for (unsigned int i = 0; i < HOST_SETS; i++)
			if (host_set_runs(host, i))
				dhcp_client_message(&host->set[i], &message, ends.src_mac,
						    host_now());
	}
	host_schedule(host);
}

/* ---- start */

static int read_duid(struct host *host, char *error, size_t error_len)
{
	const uint8_t link_layer[4] = { 0, 3, 0, 1 }; /* DUID-LL, Ethernet (RFC 8415, 11.4) */
	int len;

	if (host->settings.duid) {
		len = pool_parse_hex(host->settings.duid, host->duid, sizeof(host->duid));
		if (len < 3) {
			snprintf(error, error_len, "duid: '%s' are no 3 to %d bytes in hex",
				 host->settings.duid, DHCP_DUID_LEN);
			return -EINVAL;
		}
		host->duid_len = len;
	} else if (!host->duid_len) {
		memcpy(host->duid, link_layer, sizeof(link_layer));
		memcpy(host->duid + sizeof(link_layer), host->link.mac, DHCP_MAC);
		host->duid_len = sizeof(link_layer) + DHCP_MAC;
	}
	return 0;
}

static int prepare(struct host *host, char *error, size_t error_len)
{
	const struct client_settings *s = &host->settings;
	const uint8_t *mac = host->link.mac;
	uint32_t iaid = (uint32_t)mac[2] << 24 | mac[3] << 16 | mac[4] << 8 | mac[5];
	int err;

	if (s->state)
		snprintf(host->state, sizeof(host->state), "%s", s->state);
	else
		snprintf(host->state, sizeof(host->state), "/var/lib/isthmus/dhcp-%s.json",
			 host->link.name);
	err = host_load(host, error, error_len);
	if (err && err != -ENOENT)
		return err;
	err = read_duid(host, error, error_len);
	for (unsigned int i = 0; i < HOST_SETS && !err; i++) {
		struct dhcp_client *c = &host->set[i];

		c->hooks = &hooks;
		c->arg = host;
		c->host_name = s->host_name;
		c->size_hint = s->size_hint;
		c->select_ms = s->select_time;
		c->state = DHCP_CLIENT_STOPPED;
		c->next = DHCP_NEVER;
		memcpy(c->mac, mac, DHCP_MAC);
		dhcp_client_make_id(c, iaid + i, host->duid, host->duid_len);
	}
	return err;
}

static int start_events(struct host *host)
{
	const struct timeval interval = { .tv_sec = host->settings.use_interval };

	host->timer = event_new(host->base, -1, 0, on_timer, host);
	host->readable =
		event_new(host->base, host->link.fd, EV_READ | EV_PERSIST, on_readable, host);
	host->watch = event_new(host->base, -1, EV_PERSIST, on_watch, host);
	host->hand = hand_new(host);
	if (!host->timer || !host->readable || !host->watch || !host->hand ||
	    event_add(host->readable, NULL) || event_add(host->watch, &interval))
		return -ENOMEM;
	return 0;
}

/* Everything that needs privileges; in this order. */
static int start(struct host *host, struct control **control, struct metrics **metrics, char *error,
		 size_t error_len)
{
	const struct client_settings *s = &host->settings;
	char path[256];
	int err;

	control_path(s->control, "client", s->device, path, sizeof(path));
	*control = control_listen(host->base, path, host_answer, host, error, error_len);
	err = *control ? 0 : -EADDRINUSE; /* a second one ends here */
	if (!err)
		err = dhcp_link_open(s->device, DHCP_CLIENT_PORT, &host->link, error, error_len);
	if (!err)
		err = prepare(host, error, error_len);
	if (!err && s->metrics) {
		*metrics = metrics_listen(host->base, s->metrics, host_metrics, host, error,
					  error_len);
		err = *metrics ? 0 : -EADDRINUSE;
	}
	if (!err)
		err = start_events(host);
	if (err)
		return err;
	/* A script configures the device; nothing else needs a capability any more. */
	err = daemon_drop_privileges(s->user, s->script ? 1ULL << CAP_NET_ADMIN : 0);
	if (err)
		snprintf(error, error_len, "cannot become user %s: %s", s->user ? s->user : "root",
			 strerror(-err));
	return err;
}

static void start_sets(struct host *host)
{
	int64_t now = host_now();

	for (unsigned int i = 0; i < HOST_SETS; i++) {
		struct dhcp_client *c = &host->set[i];

		if (!i || (c->has_lease && i < host->settings.sets && c->lease.expires > now))
			dhcp_client_start(c, now);
	}
	host_schedule(host);
}

static void stop(struct host *host)
{
	for (unsigned int i = 0; i < HOST_SETS && host->settings.release; i++)
		if (host->set[i].hooks && host->hand)
			dhcp_client_release(&host->set[i], host_now());
	if (host->settings.release && host->hand)
		save(host);
	/* What was told to isthmus-portarp last leaves with the loop. */
	if (host->settings.release && hand_connected(host->hand))
		event_base_loop(host->base, EVLOOP_NONBLOCK);
	hand_free(host->hand);
	if (host->timer)
		event_free(host->timer);
	if (host->readable)
		event_free(host->readable);
	if (host->watch)
		event_free(host->watch);
	dhcp_link_close(&host->link);
}

static int run(struct host *host)
{
	struct daemon_signals *signals = NULL;
	struct control *control = NULL;
	struct metrics *metrics = NULL;
	char error[512] = "out of memory";
	int err;

	host->link.fd = host->link.udp = -1;
	host->base = event_base_new();
	err = host->base ? start(host, &control, &metrics, error, sizeof(error)) : -ENOMEM;
	if (!err)
		signals = daemon_signals_new(host->base, NULL, NULL);
	if (signals) {
		start_sets(host);
		daemon_ready("asks for an address");
		event_base_dispatch(host->base);
		daemon_stopping();
	} else {
		fprintf(stderr, PROGRAM ": %s\n", error);
	}
	stop(host);
	control_free(control);
	metrics_free(metrics);
	daemon_signals_free(signals);
	if (host->base)
		event_base_free(host->base);
	return signals ? 0 : 1;
}

int host_run(int argc, char **argv)
{
	struct host *host = calloc(1, sizeof(*host));
	struct client_settings *settings;
	char error[512] = "out of memory";
	int status = 2;

	if (!host)
		return 1;
	settings = &host->settings;
	client_settings_default(settings);
	if (client_settings_read(argc, argv, settings, error, sizeof(error)))
		fprintf(stderr, PROGRAM ": %s\n", error);
	else if (log_open(PROGRAM, settings->log, settings->log_level))
		fprintf(stderr, PROGRAM ": log is stderr or syslog, log-level error, warn, info or "
					"debug\n");
	else
		status = run(host);
	conf_free(client_table, client_count, settings);
	free(host);
	return status;
}
