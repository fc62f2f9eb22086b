// SPDX-License-Identifier: GPL-3.0-or-later
/* What the client tells of itself, and what one may ask of it. */
#include <stdio.h>
#include <string.h>

#include "../lib/metrics.h"
#include "host.h"

static json_t *status(const struct host *host)
{
	json_t *sets = json_array();
	char mac[18];

	for (unsigned int i = 0; i < HOST_SETS; i++) {
		const struct dhcp_client *c = &host->set[i];
		json_t *set;

		if (!host_set_runs(host, i))
			continue;
		set = c->in_use ? hand_lease(c) : json_object();
		json_object_set_new(set, "state", json_string(dhcp_client_state_word(c->state)));
		if (c->in_use && c->lease.shared) {
			json_object_set_new(set, "ports",
					    json_integer(portset_ports(&c->lease.set)));
			json_object_set_new(set, "used", json_integer(host->used[i]));
		}
		json_array_append_new(sets, set);
	}
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:o}", "device", host->link.name, "mac",
			 pool_mac_text(host->link.mac, mac), "portarp", hand_connected(host->hand),
			 "grown", (json_int_t)host->grown, "shrunk", (json_int_t)host->shrunk,
			 "sets", sets);
}

json_t *host_answer(const char *op, const json_t *request, void *arg)
{
	const struct timeval until = { .tv_usec = 200000 }; /* the answer, and `unuse`, leave */
	struct host *host = arg;
	int64_t now = host_now();

	(void)request;
	if (!strcmp(op, "status"))
		return status(host);
	if (!strcmp(op, "renew")) {
		for (unsigned int i = 0; i < HOST_SETS; i++)
			dhcp_client_renew(&host->set[i], now);
		host_schedule(host);
		return json_object();
	}
	if (strcmp(op, "release"))
		return NULL;
	for (unsigned int i = 0; i < HOST_SETS; i++)
		dhcp_client_release(&host->set[i], now);
	host_save(host);
	event_base_loopexit(host->base, &until);
	return json_object();
}

void host_metrics(struct evbuffer *out, void *arg)
{
	static const char *const types[DHCP_TYPES] = { "",	  "discover", "offer",
						       "request", "decline",  "ack",
						       "nak",	  "release",  "inform" };
	const struct host *host = arg;
	uint64_t bound = 0, ports = 0, used = 0, ignored = 0;
	char label[64];

	for (unsigned int i = 0; i < HOST_SETS; i++) {
		const struct dhcp_client *c = &host->set[i];

		ignored += c->counters.ignored;
		if (!c->in_use)
			continue;
		bound++;
		ports += c->lease.shared ? portset_ports(&c->lease.set) : 0;
		used += host->used[i];
	}
	metrics_write(out, "isthmus_dhcp_client_leases", "gauge", "Leases in use.", NULL, bound);
	metrics_write(out, "isthmus_dhcp_client_ports", "gauge", "Ports of all sets.", NULL, ports);
	metrics_write(out, "isthmus_dhcp_client_ports_used", "gauge", "Those in use.", NULL, used);
	metrics_write(out, "isthmus_dhcp_client_ignored_total", "counter",
		      "Messages of servers that contradict themselves or the offer.", NULL,
		      ignored);
	for (int type = DHCP_DISCOVER; type < DHCP_TYPES; type++) {
		uint64_t sent = 0;

		for (unsigned int i = 0; i < HOST_SETS; i++)
			sent += host->set[i].counters.sent[type];
		snprintf(label, sizeof(label), "type=\"%s\"", types[type]);
		metrics_write(out, "isthmus_dhcp_client_sent_total", "counter",
			      type > DHCP_DISCOVER ? NULL : "Messages sent.", label, sent);
	}
}
