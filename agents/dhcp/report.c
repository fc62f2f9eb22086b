// SPDX-License-Identifier: GPL-3.0-or-later
/* What the server tells of itself. */
#include <stdio.h>
#include <time.h>

#include "../lib/metrics.h"
#include "serve.h"

#define LEASES_SHOWN 200 /* in one answer, which holds no more */

static const char *const states[LEASE_STATES] = { "",	      "offered", "bound",
						  "released", "expired", "declined" };
static const char *const types[DHCP_TYPES] = { "",    "discover", "offer",   "request", "decline",
					       "ack", "nak",	  "release", "inform" };

/* ---- counting */

struct pool_use {
	uint64_t units, bound, offered;
};

static struct pool_use use_of(const struct serve *serve, const struct pool *pool, int64_t now)
{
	struct pool_use use = { .units = pool->units };

	for (uint32_t i = 0; i < serve->server.leases.count; i++) {
		const struct lease *lease = serve->server.leases.all[i];

		if (lease->pool != pool || !lease_active(lease, now))
			continue;
		use.bound += lease->state == LEASE_BOUND;
		use.offered += lease->state == LEASE_OFFERED;
	}
	return use;
}

/* ---- status */

static json_t *pool_json(const struct serve *serve, const struct pool *pool, int64_t now)
{
	struct pool_use use = use_of(serve, pool, now);
	char low[16], high[16];
	json_t *object = json_pack("{s:s, s:s, s:b}", "low", pool_ip_text(pool->low, low), "high",
				   pool_ip_text(pool->high, high), "full", pool->full);

	if (!pool->full) {
		json_object_set_new(object, "a", json_integer(pool->a));
		json_object_set_new(object, "k", json_integer(pool->k));
	}
	json_object_set_new(object, "units", json_integer(use.units));
	json_object_set_new(object, "bound", json_integer(use.bound));
	json_object_set_new(object, "offered", json_integer(use.offered));
	return object;
}

static json_t *lease_json(const struct lease *lease, int64_t now)
{
	char ip[16], mac[18], client[2 * POOL_CLIENT_LEN + 1] = "";
	json_t *object;

	for (unsigned int i = 0; i < lease->client.id_len; i++)
		sprintf(client + 2 * i, "%02x", lease->client.id[i]);
	object = json_pack("{s:s, s:s, s:s, s:s, s:I}", "address", pool_ip_text(lease->address, ip),
			   "state", states[lease->state], "mac",
			   pool_mac_text(lease->client.mac, mac), "client", client, "seconds",
			   (json_int_t)(lease->expires - now));
	if (!lease->pool->full) {
		json_object_set_new(object, "a", json_integer(lease->set.a));
		json_object_set_new(object, "k", json_integer(lease->set.k));
		json_object_set_new(object, "psid", json_integer(lease->set.psid));
		json_object_set_new(object, "ports", json_integer(portset_ports(&lease->set)));
	}
	if (lease->used_known)
		json_object_set_new(object, "used", json_integer(lease->used));
	return object;
}

static json_t *counters_json(const struct server *server)
{
	json_t *received = json_object(), *sent = json_object(), *refused = json_object();

	for (int i = DHCP_DISCOVER; i < DHCP_TYPES; i++) {
		if (server->counters.received[i])
			json_object_set_new(received, types[i],
					    json_integer(server->counters.received[i]));
		if (server->counters.sent[i])
			json_object_set_new(sent, types[i], json_integer(server->counters.sent[i]));
	}
	for (int i = 0; i < SERVER_REFUSAL_COUNT; i++)
		if (server->counters.refused[i])
			json_object_set_new(refused, server_refusal_word(i),
					    json_integer(server->counters.refused[i]));
	return json_pack("{s:o, s:o, s:o}", "received", received, "sent", sent, "refused", refused);
}

static json_t *gateway_json(const struct feed *feed)
{
	const struct feed_counters *c = feed ? feed_counters(feed) : NULL;

	if (!feed)
		return json_pack("{s:b}", "connected", 0);
	return json_pack("{s:b, s:i, s:I, s:I, s:I, s:I}", "connected", feed_connected(feed),
			 "waiting", feed_waiting(feed), "leases", (json_int_t)c->leases, "releases",
			 (json_int_t)c->releases, "refused", (json_int_t)c->refused, "taken",
			 (json_int_t)c->taken);
}

json_t *report_status(const struct serve *serve, uint32_t skip)
{
	const struct leases *leases = &serve->server.leases;
	json_t *pools = json_array(), *list = json_array();
	int64_t now = time(NULL);
	uint32_t more;
	char ip[16];

	for (unsigned int i = 0; i < serve->server.pools.count; i++)
		json_array_append_new(pools, pool_json(serve, &serve->server.pools.pool[i], now));
	if (skip > leases->count)
		skip = leases->count;
	for (uint32_t i = skip; i < leases->count && json_array_size(list) < LEASES_SHOWN; i++)
		json_array_append_new(list, lease_json(leases->all[i], now));
	more = leases->count - skip - json_array_size(list);
	return json_pack("{s:s, s:o, s:i, s:o, s:i, s:o, s:o}", "server_id",
			 pool_ip_text(serve->server.id, ip), "pools", pools, "known", leases->count,
			 "leases", list, "more", more, "gateway", gateway_json(serve->feed),
			 "counters", counters_json(&serve->server));
}

/* ---- metrics */

static void metric_pools(const struct serve *serve, struct evbuffer *out)
{
	int64_t now = time(NULL);
	char label[96], ip[16];

	for (unsigned int i = 0; i < serve->server.pools.count; i++) {
		const struct pool *pool = &serve->server.pools.pool[i];
		struct pool_use use = use_of(serve, pool, now);

		snprintf(label, sizeof(label), "pool=\"%s\"", pool_ip_text(pool->low, ip));
		metrics_write(out, "isthmus_dhcp_pool_units", "gauge",
			      i ? NULL : "Sets and addresses of a pool.", label, use.units);
	}
	for (unsigned int i = 0; i < serve->server.pools.count; i++) {
		const struct pool *pool = &serve->server.pools.pool[i];
		struct pool_use use = use_of(serve, pool, now);

		snprintf(label, sizeof(label), "pool=\"%s\"", pool_ip_text(pool->low, ip));
		metrics_write(out, "isthmus_dhcp_pool_bound", "gauge",
			      i ? NULL : "Those that are leased.", label, use.bound);
	}
}

static void metric_messages(const struct server *server, struct evbuffer *out)
{
	char label[64];

	for (int i = DHCP_DISCOVER; i < DHCP_TYPES; i++) {
		snprintf(label, sizeof(label), "type=\"%s\"", types[i]);
		metrics_write(out, "isthmus_dhcp_received_total", "counter",
			      i > DHCP_DISCOVER ? NULL : "Messages received.", label,
			      server->counters.received[i]);
	}
	for (int i = DHCP_DISCOVER; i < DHCP_TYPES; i++) {
		snprintf(label, sizeof(label), "type=\"%s\"", types[i]);
		metrics_write(out, "isthmus_dhcp_sent_total", "counter",
			      i > DHCP_DISCOVER ? NULL : "Messages sent.", label,
			      server->counters.sent[i]);
	}
	for (int i = 0; i < SERVER_REFUSAL_COUNT; i++) {
		snprintf(label, sizeof(label), "reason=\"%s\"", server_refusal_word(i));
		metrics_write(out, "isthmus_dhcp_refused_total", "counter",
			      i ? NULL : "Messages that led to nothing.", label,
			      server->counters.refused[i]);
	}
}

void report_metrics(struct evbuffer *out, void *arg)
{
	const struct serve *serve = arg;
	const struct server *server = &serve->server;

	metric_pools(serve, out);
	metric_messages(server, out);
	metrics_write(out, "isthmus_dhcp_assigned_total", "counter", "Leases given.", NULL,
		      server->counters.assigned);
	metrics_write(out, "isthmus_dhcp_renewed_total", "counter", "Leases renewed.", NULL,
		      server->counters.renewed);
	metrics_write(out, "isthmus_dhcp_freed_total", "counter",
		      "Leases released, declined or expired.", NULL, server->counters.freed);
	metrics_write(out, "isthmus_dhcp_send_failed_total", "counter",
		      "Replies that the kernel did not take.", NULL, serve->send_failed);
	metrics_write(out, "isthmus_dhcp_gateway_connected", "gauge",
		      "1 while the gateway is told of leases.", NULL, feed_connected(serve->feed));
	metrics_write(out, "isthmus_dhcp_gateway_waiting", "gauge",
		      "Changes that the gateway has not acknowledged.", NULL,
		      feed_waiting(serve->feed));
}
