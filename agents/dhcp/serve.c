// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus-dhcp server`: start-up in one order, so that privileges are dropped before any network
 * byte. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "../lib/msg.h"
#include "serve.h"

#define MESSAGES_AT_ONCE 64

static void send_reply(struct serve *serve, const struct dhcp_link *link,
		       const struct server_reply *reply)
{
	struct dhcp_frame_ends ends = { .src = serve->server.id,
					.dst = reply->ip,
					.dport = DHCP_CLIENT_PORT };
	int err;

	if (!reply->target)
		return;
	memcpy(ends.dst_mac, reply->mac, DHCP_MAC);
	if (reply->target == SERVER_TO_RELAY)
		err = dhcp_link_send_udp(link, reply->ip, DHCP_SERVER_PORT, reply->bytes,
					 reply->len);
	else
		err = dhcp_link_send(link, &ends, reply->bytes, reply->len);
	if (!err)
		return;
	serve->send_failed++;
	log_debug("%s: a reply was not sent: %s", link->name, strerror(-err));
}

static void take_message(struct serve *serve, const struct dhcp_link *link,
			 const struct dhcp_frame_ends *ends, const uint8_t *bytes, size_t len)
{
	struct dhcp_message message;
	struct server_reply reply;

	/* Replies of other servers to a relay on this port, and what is for another machine. */
	if (ends->dst != DHCP_ANY_IP && ends->dst_mac[0] != 0xff &&
	    memcmp(ends->dst_mac, link->mac, DHCP_MAC))
		return;
	if (dhcp_read(bytes, len, &message)) {
		server_refuse(&serve->server, SERVER_MALFORMED);
		return;
	}
	if (message.head.op != DHCP_BOOTREQUEST)
		return;
	server_message(&serve->server, &message, ends->src_mac, time(NULL), &reply);
	send_reply(serve, link, &reply);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct serve *serve = arg;
	uint8_t frame[DHCP_FRAME_MAX];
	struct dhcp_frame_ends ends;
	const uint8_t *message;
	struct dhcp_link *link = NULL;

	(void)what;
	for (unsigned int i = 0; i < serve->links; i++)
		if (serve->link[i].fd == fd)
			link = &serve->link[i];
	for (int i = 0; i < MESSAGES_AT_ONCE && link; i++) {
		int len = dhcp_link_receive(link, frame, &ends, &message);

		if (len == -EBADMSG)
			server_refuse(&serve->server, SERVER_MALFORMED);
		else if (len < 0)
			return;
		else
			take_message(serve, link, &ends, message, len);
	}
}

static void on_changed(enum server_change change, struct lease *lease, void *arg)
{
	static const char *const words[] = { "assigned", "renewed", "freed" };
	struct serve *serve = arg;
	char ip[16], mac[18];

	pool_ip_text(lease->address, ip);
	pool_mac_text(lease->client.mac, mac);
	if (lease->pool->full)
		log_debug("%s %s to %s", words[change], ip, mac);
	else
		log_debug("%s %s PSID %u (a %u, k %u) to %s", words[change], ip, lease->set.psid,
			  lease->set.a, lease->set.k, mac);
	assignments_note(serve, change, lease);
	if (serve->feed)
		feed_changed(serve->feed, change, lease);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct serve *serve = arg;

	(void)fd;
	(void)what;
	server_tick(&serve->server, time(NULL));
}

static json_t *on_asked(const char *op, const json_t *request, void *arg)
{
	int64_t skip = 0;

	msg_get_integer(request, "skip", 0, UINT32_MAX, &skip);
	return strcmp(op, "status") ? NULL : report_status(arg, skip);
}

/* ---- settings read again */

static int read_pools(struct serve *serve, struct pools *pools, char *error, size_t error_len)
{
	if (!serve->server.settings.pools) {
		snprintf(error, error_len, "--pools FILE is needed; see " PROGRAM "(8)");
		return -EINVAL;
	}
	return pools_read(serve->server.settings.pools, pools, error, error_len);
}

/* Offers are lost with it: their clients ask again. */
static void reload(void *arg)
{
	struct serve *serve = arg;
	struct server *server = &serve->server;
	struct pools next, old = server->pools;
	unsigned int dropped = 0;
	char error[512];

	assignments_open(serve);
	if (read_pools(serve, &next, error, sizeof(error))) {
		log_error("pools stay as they are: %s", error);
		return;
	}
	server->pools = next;
	if (leases_reload(&server->leases, &server->pools, &dropped))
		log_error("leases could not be read again");
	pools_free(&old);
	if (serve->feed)
		feed_replay(serve->feed);
	log_info("pools read again: %u pools, %u leases, %u that fit no pool any more",
		 server->pools.count, server->leases.count, dropped);
}

/* ---- start */

static int open_links(struct serve *serve, char *error, size_t error_len)
{
	const struct conf_list *devices = &serve->server.settings.device;
	int err = 0;

	if (!devices->count) {
		snprintf(error, error_len, "--device DEVICE is needed");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < devices->count && !err; i++) {
		struct dhcp_link *link = &serve->link[i];

		err = dhcp_link_open(devices->item[i], DHCP_SERVER_PORT, link, error, error_len);
		if (err)
			return err;
		serve->links++;
		err = dhcp_link_open_udp(link, error, error_len);
		serve->readable[i] =
			event_new(serve->base, link->fd, EV_READ | EV_PERSIST, on_readable, serve);
		if (!err && (!serve->readable[i] || event_add(serve->readable[i], NULL)))
			err = -ENOMEM;
	}
	return err;
}

static int choose_id(struct serve *serve, char *error, size_t error_len)
{
	const char *told = serve->server.settings.server_id;

	if (told && !pool_parse_ip(told, &serve->server.id)) {
		snprintf(error, error_len, "server-id: '%s' is no IPv4 address", told);
		return -EINVAL;
	}
	if (!told)
		serve->server.id = serve->link[0].address;
	if (!serve->server.id) {
		snprintf(error, error_len,
			 "device %s has no IPv4 address: give --server-id ADDRESS",
			 serve->link[0].name);
		return -EINVAL;
	}
	return 0;
}

static int open_leases(struct serve *serve, char *error, size_t error_len)
{
	struct server *server = &serve->server;
	unsigned int dropped = 0;
	int err = read_pools(serve, &server->pools, error, error_len);

	if (!err)
		err = leases_open(&server->leases, server->settings.database, &server->pools,
				  server->settings.grace, &dropped, error, error_len);
	if (!err && dropped)
		log_warn("%u leases fit no pool any more and are left alone", dropped);
	return err;
}

static int start_gateway(struct serve *serve, char *error, size_t error_len)
{
	if (!strcmp(serve->server.settings.portarp, "none"))
		return 0;
	serve->feed = feed_new(serve->base, &serve->server);
	if (!serve->feed)
		snprintf(error, error_len, "out of memory");
	return serve->feed ? 0 : -ENOMEM;
}

static int start_timer(struct serve *serve)
{
	const struct timeval second = { .tv_sec = 1 };

	serve->second = event_new(serve->base, -1, EV_PERSIST, on_second, serve);
	return serve->second && !event_add(serve->second, &second) ? 0 : -ENOMEM;
}

/* Everything that needs privileges; in this order. */
static int start(struct serve *serve, struct control **control, struct metrics **metrics,
		 char *error, size_t error_len)
{
	const struct server_settings *settings = &serve->server.settings;
	char path[256];
	int err;

	control_path(settings->control, "server", NULL, path, sizeof(path));
	*control = control_listen(serve->base, path, on_asked, serve, error, error_len);
	err = *control ? 0 : -EADDRINUSE; /* a second one ends here */
	if (!err)
		err = open_links(serve, error, error_len);
	if (!err)
		err = choose_id(serve, error, error_len);
	if (!err)
		err = open_leases(serve, error, error_len);
	if (!err && settings->metrics) {
		*metrics = metrics_listen(serve->base, settings->metrics, report_metrics, serve,
					  error, error_len);
		err = *metrics ? 0 : -EADDRINUSE;
	}
	if (!err) {
		assignments_open(serve);
		err = start_gateway(serve, error, error_len);
	}
	if (!err)
		err = start_timer(serve);
	if (err)
		return err;
	/* The packet sockets are open; root without capabilities still opens the gateway's socket.
	 */
	err = daemon_drop_privileges(settings->user, 0);
	if (err)
		snprintf(error, error_len, "cannot become user %s: %s",
			 settings->user ? settings->user : "root", strerror(-err));
	return err;
}

static void stop(struct serve *serve)
{
	feed_free(serve->feed);
	if (serve->second)
		event_free(serve->second);
	for (unsigned int i = 0; i < serve->links; i++) {
		if (serve->readable[i])
			event_free(serve->readable[i]);
		dhcp_link_close(&serve->link[i]);
	}
	if (serve->server.leases.db)
		leases_close(&serve->server.leases);
	pools_free(&serve->server.pools);
	if (serve->assignments >= 0)
		close(serve->assignments);
}

static int run(struct serve *serve)
{
	struct daemon_signals *signals = NULL;
	struct control *control = NULL;
	struct metrics *metrics = NULL;
	char error[512] = "out of memory";
	int err;

	serve->base = event_base_new();
	err = serve->base ? start(serve, &control, &metrics, error, sizeof(error)) : -ENOMEM;
	if (!err)
		signals = daemon_signals_new(serve->base, reload, serve);
	if (signals) {
		log_info("%u pools, %u leases known", serve->server.pools.count,
			 serve->server.leases.count);
		daemon_ready("serves");
		event_base_dispatch(serve->base);
		daemon_stopping();
	} else {
		fprintf(stderr, PROGRAM ": %s\n", error);
	}
	control_free(control);
	metrics_free(metrics);
	stop(serve);
	daemon_signals_free(signals);
	if (serve->base)
		event_base_free(serve->base);
	return signals ? 0 : 1;
}

int serve_run(int argc, char **argv)
{
	struct serve *serve = calloc(1, sizeof(*serve));
	struct server_settings *settings;
	char error[512] = "out of memory";
	int status = 2;

	if (!serve)
		return 1;
	settings = &serve->server.settings;
	serve->assignments = -1;
	serve->server.changed = on_changed;
	serve->server.arg = serve;
	server_settings_default(settings);
	if (server_settings_read(argc, argv, settings, error, sizeof(error)))
		fprintf(stderr, PROGRAM ": %s\n", error);
	else if (log_open(PROGRAM, settings->log, settings->log_level))
		fprintf(stderr, PROGRAM ": log is stderr or syslog, log-level error, warn, info or "
					"debug\n");
	else
		status = run(serve);
	conf_free(server_table, server_count, settings);
	free(serve);
	return status;
}
