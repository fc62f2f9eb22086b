// SPDX-License-Identifier: GPL-3.0-or-later
#include <event2/buffer.h>

#include "../lib/metrics.h"
#include "broker.h"

#define PREFIX "isthmus_broker_"

static void gauge(struct evbuffer *out, const char *name, const char *help, uint64_t value)
{
	metrics_write(out, name, "gauge", help, NULL, value);
}

static unsigned int count_services(const struct broker *broker)
{
	const struct service *service;
	const struct user *user;
	unsigned int count = 0;

	for (unsigned int i = 0; i < USER_BUCKETS; i++)
		LIST_FOREACH(user, &broker->users[i], link)
	LIST_FOREACH(service, &user->services, link)
	count++;
	return count;
}

static unsigned int count_online(const struct broker *broker)
{
	const struct user *user;
	unsigned int count = 0;

	for (unsigned int i = 0; i < USER_BUCKETS; i++)
		LIST_FOREACH(user, &broker->users[i], link)
	count += user->devices > 0;
	return count;
}

static void collect_translators(struct evbuffer *out, const struct broker *broker)
{
	static const char help[] = "Sessions that a connected translator can still open";
	const struct translator *translator;
	unsigned int connected = 0;
	char label[80];

	LIST_FOREACH(translator, &broker->translators, link)
	{
		if (!translator->client)
			continue;
		snprintf(label, sizeof(label), "name=\"%s\",engine=\"%s\"", translator->name,
			 translator->relay ? "relay" : "kernel");
		metrics_write(out, PREFIX "translator_free", "gauge", connected++ ? NULL : help,
			      label, translator->free > 0 ? translator->free : 0);
	}
	gauge(out, PREFIX "translators", "Translators connected", connected);
}

void stats_collect(struct evbuffer *out, void *arg)
{
	const struct broker *broker = arg;

	gauge(out, PREFIX "users_online", "Users with a connection", count_online(broker));
	gauge(out, PREFIX "devices", "Connections of users", broker->peer_count);
	gauge(out, PREFIX "connections", "Connections, those before a login too",
	      broker->client_count);
	gauge(out, PREFIX "services_online", "Services of users online", count_services(broker));
	gauge(out, PREFIX "sessions", "Sessions negotiated and not ended", broker->session_count);
	collect_translators(out, broker);
#define WRITE_COUNTER(field, name, labels, help)                                                   \
	metrics_write(out, PREFIX name, "counter", help, labels, broker->counters.field);
	BROKER_COUNTERS(WRITE_COUNTER)
#undef WRITE_COUNTER
}
