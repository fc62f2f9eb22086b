// SPDX-License-Identifier: GPL-3.0-or-later
#include "service.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/msg.h"
#include "peer.h"

struct service *service_find(struct peer *peer, const char *name)
{
	struct service *service;

	TAILQ_FOREACH(service, &peer->services, link)
	if (!strcmp(service->name, name))
		return service;
	return NULL;
}

static int read_target(struct service *service, const char *target)
{
	uint16_t port;

	if (address_split(target, service->host, sizeof(service->host), &port))
		return -EINVAL;
	if (!service->host[0])
		strcpy(service->host, "localhost");
	snprintf(service->port, sizeof(service->port), "%u", port);
	return 0;
}

static int read_allow(struct service *service, const json_t *message)
{
	const json_t *list = json_object_get(message, "allow");
	const json_t *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > SERVICE_ALLOW_MAX)
		return -EINVAL;
	json_array_foreach (list, i, item) {
		if (!json_is_string(item) || !name_valid(json_string_value(item)))
			return -EINVAL;
		strcpy(service->allow[i], json_string_value(item));
	}
	service->allow_count = i;
	return 0;
}

static int read_text(struct service *service, const json_t *message)
{
	const char *text;

	if (!json_object_get(message, "text"))
		return 0;
	if (!msg_get_string(message, "text", &text) || strlen(text) >= TEXT_LEN)
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			return -EINVAL;
	strcpy(service->text, text);
	return 0;
}

static int service_read(struct service *service, const json_t *message, const char **bad)
{
	const char *text;
	int64_t limit;

	*bad = "a service's name is 1 to 32 of a-z 0-9 . _ -, not starting with - or .";
	if (!msg_get_string(message, "service", &text) || !name_valid(text))
		return -EINVAL;
	strcpy(service->name, text);
	*bad = "the protocol is tcp or udp";
	if (!msg_get_string(message, "proto", &text) || proto_parse(text) < 0)
		return -EINVAL;
	service->proto = proto_parse(text);
	*bad = "the server is HOST:PORT, [v6]:PORT or :PORT";
	if (!msg_get_string(message, "target", &text) || read_target(service, text))
		return -EINVAL;
	*bad = "--text is at most 255 bytes on one line";
	if (read_text(service, message))
		return -EINVAL;
	*bad = "--allow is a list of at most 64 users";
	if (read_allow(service, message))
		return -EINVAL;
	*bad = "--pure is for TCP";
	msg_get_bool(message, "pure", &service->pure);
	if (service->pure && service->proto != IPPROTO_TCP)
		return -EINVAL;
	*bad = "--limit is a number up to 1000000";
	if (json_object_get(message, "limit")) {
		if (!msg_get_integer(message, "limit", 0, 1000000, &limit))
			return -EINVAL;
		service->limit = limit;
	}
	return 0;
}

int service_add(struct peer *peer, const json_t *message, const char **bad)
{
	struct service *service = calloc(1, sizeof(*service)), *each;
	unsigned int count = 0;
	int error = -ENOMEM;

	*bad = "out of memory";
	if (service)
		error = service_read(service, message, bad);
	TAILQ_FOREACH(each, &peer->services, link)
	count++;
	if (!error && service_find(peer, service->name)) {
		*bad = "it is provided already: unprovide it first";
		error = -EEXIST;
	} else if (!error && count >= SERVICES_MAX) {
		*bad = "256 services are provided already";
		error = -ENOSPC;
	}
	if (error) {
		free(service);
		return error;
	}
	strcpy(service->error, "not published yet");
	TAILQ_INSERT_TAIL(&peer->services, service, link);
	return 0;
}

void service_remove(struct peer *peer, struct service *service)
{
	session_forget_service(peer, service);
	TAILQ_REMOVE(&peer->services, service, link);
	free(service);
}

json_t *service_json(const struct service *service)
{
	bool v6 = strchr(service->host, ':');
	json_t *allow = json_array();
	json_t *value = json_pack(
		"{s:s, s:s, s:o, s:s, s:b, s:i, s:o}", "service", service->name, "proto",
		proto_text(service->proto), "target",
		json_sprintf(v6 ? "[%s]:%s" : "%s:%s", service->host, service->port), "text",
		service->text, "pure", service->pure, "limit", (int)service->limit, "allow", allow);

	for (unsigned int i = 0; value && i < service->allow_count; i++)
		json_array_append_new(allow, json_string(service->allow[i]));
	return value;
}

const char *service_refusal(const struct service *service, const char *user)
{
	bool allowed = !service->allow_count;

	for (unsigned int i = 0; i < service->allow_count && !allowed; i++)
		allowed = !strcmp(service->allow[i], user);
	if (!allowed)
		return "denied";
	return service->limit && service->active >= service->limit ? "limit" : NULL;
}

bool service_try_pure(const struct service *service, const char *user)
{
	if (!service->pure)
		return false;
	for (unsigned int i = 0; i < service->impure_count; i++)
		if (!strcmp(service->impure[i], user))
			return false;
	return true;
}

/* When the list is full the oldest is tried again: it costs that user one more attempt. */
void service_note_impure(struct service *service, const char *user)
{
	if (!service_try_pure(service, user))
		return;
	if (service->impure_count == SERVICE_IMPURE_MAX) {
		memmove(service->impure[0], service->impure[1],
			sizeof(service->impure) - sizeof(service->impure[0]));
		service->impure_count--;
	}
	strcpy(service->impure[service->impure_count++], user);
}
