// SPDX-License-Identifier: GPL-3.0-or-later
/* What the commands show, and metrics. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/ask.h"
#include "../lib/metrics.h"
#include "resoad.h"

#define SHOWN_MAX 200 /* sockets: an answer is one message */

struct status {
	struct ask_server control;
	struct metrics *metrics;
};

static const char *const kinds[] = {
	[SOCK_NEW] = "new",
	[SOCK_BOUND] = "bound",
	[SOCK_CONNECTING] = "connecting",
	[SOCK_CONNECTED] = "connected",
	[SOCK_LISTENER] = "listener",
	[SOCK_UDP] = "udp",
};

static const char *reason_names[] = {
#define NAME(name, verdict, text) #name,
	RESOA_REASONS(NAME)
#undef NAME
};

/* ---- show */

struct showing {
	json_t *array;
	unsigned int count;
};

static void name_json(json_t *object, const char *key, const struct ep_name *name)
{
	char text[ADDRESS_TEXT_LEN] = "";

	if (!name->family)
		return;
	address_port_text(&name->address, name->port, text);
	json_object_set_new(object, key, json_string(text));
}

static void show_sock(struct sock *sock, void *arg)
{
	struct showing *showing = arg;
	const struct client *client = sock->client;
	json_t *object;

	if (showing->count++ >= SHOWN_MAX)
		return;
	object = json_pack("{s:s, s:I, s:s, s:s, s:s}", "client", client->conf->identity.name, "id",
			   (json_int_t)sock->id, "state", kinds[sock->kind], "proto",
			   sock->proto == IPPROTO_UDP ? "udp" : "tcp", "path",
			   lhp_provider(client->lhp));
	name_json(object, "local", &sock->local);
	name_json(object, "remote", &sock->remote);
	if (sock->kind == SOCK_CONNECTED) {
		json_object_set_new(object, "gate",
				    json_string(fin_state(client->resoad->fin, sock)));
		tcp_figures(sock, object);
	}
	json_array_append_new(showing->array, object);
}

static json_t *show(struct resoad *resoad)
{
	struct showing showing = { .array = json_array() };

	for (struct client *client = resoad->clients; client; client = client->next)
		if (client->registered)
			client_each_sock(client, show_sock, &showing);
	return json_pack("{s:o, s:i}", "sockets", showing.array, "sockets_count",
			 (int)showing.count);
}

/* ---- clients */

static struct client *find_client(const struct resoad *resoad, const struct client_conf *conf)
{
	for (struct client *client = resoad->clients; client; client = client->next)
		if (client->conf == conf && client->registered && !client->ending)
			return client;
	return NULL;
}

static void client_figures(json_t *object, const struct client *client)
{
	struct lhp_counts counts;

	lhp_count(client->lhp, &counts);
	json_object_update_new(
		object,
		json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:i, s:b}", "path",
			  lhp_provider(client->lhp), "from", lhp_peer(client->lhp), "sockets",
			  (int)client->socks, "bytes_in", (json_int_t)client->bytes_in, "bytes_out",
			  (json_int_t)client->bytes_out, "refused", (json_int_t)client->refused,
			  "repeated", (json_int_t)counts.repeated, "lost", (json_int_t)counts.lost,
			  "rtt_us", (int)counts.rtt_us, "used_up", (int)client_is_spent(client)));
}

static json_t *client_json(const struct resoad *resoad, const struct client_conf *conf)
{
	const char *mode = conf->alone			  ? "1-to-1"
			   : conf->own[0] || conf->own[1] ? "mixed"
							  : "n-to-1";
	const struct client *client = find_client(resoad, conf);
	json_t *object =
		json_pack("{s:s, s:s, s:[i,i], s:i, s:b}", "name", conf->identity.name, "mode",
			  mode, "ports", (int)conf->port_low, (int)conf->port_high, "limit",
			  (int)conf->sockets, "registered", (int)(client != NULL));

	json_object_set_new(object, "lease", lease_json(resoad, conf));
	if (client)
		client_figures(object, client);
	return object;
}

static json_t *clients(struct resoad *resoad)
{
	const struct client_conf *conf;
	json_t *array = json_array();

	for (unsigned int i = 0; (conf = registry_get(resoad->registry, i)); i++)
		if (json_array_size(array) < SHOWN_MAX)
			json_array_append_new(array, client_json(resoad, conf));
	return json_pack("{s:o}", "clients", array);
}

/* ---- stats, status */

static json_t *stats(struct resoad *resoad)
{
	struct isthmus_count counts[RESOA_REASON_COUNT];
	json_t *object = json_object();

	fin_count(resoad->fin, counts);
	for (int i = 0; i < RESOA_REASON_COUNT; i++)
		if (counts[i].packets)
			json_object_set_new(object, reason_names[i],
					    json_pack("{s:I, s:I}", "packets",
						      (json_int_t)counts[i].packets, "bytes",
						      (json_int_t)counts[i].bytes));
	return json_pack("{s:o}", "reasons", object);
}

static void totals(const struct resoad *resoad, unsigned int *registered, unsigned int *sockets)
{
	*registered = *sockets = 0;
	for (const struct client *client = resoad->clients; client; client = client->next) {
		*registered += client->registered;
		*sockets += client->socks;
	}
}

/* Of each client that has one, or waits for it. */
static json_t *leases(const struct resoad *resoad)
{
	const struct client_conf *conf;
	json_t *array = json_array(), *lease;

	for (unsigned int i = 0; (conf = registry_get(resoad->registry, i)); i++) {
		lease = lease_json(resoad, conf);
		if (!lease || json_array_size(array) == SHOWN_MAX) {
			json_decref(lease);
			continue;
		}
		json_object_set_new(lease, "client", json_string(conf->identity.name));
		json_array_append_new(array, lease);
	}
	return array;
}

static json_t *status_json(void *arg)
{
	struct resoad *resoad = arg;
	unsigned int registered, sockets;
	json_t *places = json_array();

	totals(resoad, &registered, &sockets);
	for (unsigned int i = 0; i < resoad->settings->listen.count; i++)
		json_array_append_new(places, json_string(resoad->settings->listen.item[i]));
	return json_pack("{s:o, s:[i,i], s:i, s:i, s:o}", "listen", places, "port_range",
			 (int)resoad->settings->port_low, (int)resoad->settings->port_high,
			 "registered", (int)registered, "sockets", (int)sockets, "leases",
			 leases(resoad));
}

static json_t *reload(struct resoad *resoad, struct ask_error *why)
{
	char error[512];

	if (resoad_reload(resoad, error, sizeof(error)))
		return ask_refuse(why, "bad-config", "%s", error);
	return json_object();
}

static json_t *command(const char *op, const json_t *message, struct ask_error *why, void *arg)
{
	(void)message;
	if (!strcmp(op, "show"))
		return show(arg);
	if (!strcmp(op, "clients"))
		return clients(arg);
	if (!strcmp(op, "stats"))
		return stats(arg);
	if (!strcmp(op, "reload"))
		return reload(arg, why);
	return ask_refuse(why, "unknown-op", "status, show, clients, stats and reload are known");
}

/* ---- metrics */

static void collect(struct evbuffer *out, void *arg)
{
	struct resoad *resoad = arg;
	struct isthmus_count counts[RESOA_REASON_COUNT];
	unsigned int registered, sockets;
	uint64_t in = 0, gone = 0;

	totals(resoad, &registered, &sockets);
	for (const struct client *client = resoad->clients; client; client = client->next) {
		in += client->bytes_in;
		gone += client->bytes_out;
	}
	fin_count(resoad->fin, counts);
	metrics_write(out, "isthmus_resoad_clients", "gauge", "Registered clients", NULL,
		      registered);
	metrics_write(out, "isthmus_resoad_sockets", "gauge", "Sockets of clients", NULL, sockets);
	metrics_write(out, "isthmus_resoad_leases", "gauge", "Addresses of clients by DHCP", NULL,
		      lease_count(resoad));
	metrics_write(out, "isthmus_resoad_bytes", "gauge",
		      "Payload of the clients that are registered now", "direction=\"in\"", in);
	metrics_write(out, "isthmus_resoad_bytes", "gauge", NULL, "direction=\"out\"", gone);
	metrics_write(out, "isthmus_resoad_fin_timeouts_total", "counter",
		      "FINs let in by time, not by delivery", NULL,
		      counts[RESOA_FIN_TIMEOUT].packets);
}

int status_listen(struct resoad *resoad, char *error, size_t error_len)
{
	const struct settings *settings = resoad->settings;
	struct status *status = calloc(1, sizeof(*status));
	int err;

	if (!status)
		return -ENOMEM;
	resoad->status = status;
	status->control =
		(struct ask_server){ .status = status_json, .command = command, .arg = resoad };
	err = ask_listen(&status->control, resoad->base, settings->control, error, error_len);
	if (err || !settings->metrics)
		return err;
	status->metrics =
		metrics_listen(resoad->base, settings->metrics, collect, resoad, error, error_len);
	return status->metrics ? 0 : -EINVAL;
}

void status_close(struct resoad *resoad)
{
	if (!resoad->status)
		return;
	metrics_free(resoad->status->metrics);
	ask_close(&resoad->status->control);
	free(resoad->status);
	resoad->status = NULL;
}
