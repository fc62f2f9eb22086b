// SPDX-License-Identifier: GPL-3.0-or-later
/* What isthmus-dns tells, and what it is told (docs/protocol.md). */
#include <arpa/inet.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "gateway.h"

/* A page of the hosts, from *next on; all but the last have "more". */
static json_t *page(const struct gateway *g, uint32_t *next)
{
	json_t *behind = json_array(), *message, *hosts = hosts_json(g, next);

	for (unsigned int i = 0; i < g->settings.behind.count; i++)
		json_array_append_new(behind, json_string(g->settings.behind.item[i]));
	message = json_pack("{s:o, s:o}", "hosts", hosts, "behind", behind);
	if (*next < GATEWAY_HOSTS)
		json_object_set_new(message, "more", json_true());
	return message;
}

static json_t *login(void *arg)
{
	struct gateway *g = arg;

	g->told = 0;
	return page(g, &g->told);
}

/* What is left of the list. */
static void tell_rest(struct gateway *g)
{
	while (g->told < GATEWAY_HOSTS) {
		json_t *message = page(g, &g->told);

		json_object_set_new(message, "op", json_string("hosts"));
		member_tell(g->member, message);
	}
}

void server_hosts(struct gateway *g)
{
	if (!member_is_logged_in(g->member))
		return; /* the login tells them */
	g->told = 0;
	tell_rest(g);
}

/* "tunnel": ["192.0.2.1:6081", "[2001:db8::1]:6081"]. Returns how many there are. */
static unsigned int read_tunnels(const json_t *list, struct tunnel_place place[TUNNEL_FROM])
{
	unsigned int count = 0;
	const json_t *text;
	size_t i;

	json_array_foreach (list, i, text) {
		char host[ADDRESS_TEXT_LEN];
		uint16_t port;

		if (count == TUNNEL_FROM || !json_is_string(text) ||
		    address_split(json_string_value(text), host, sizeof(host), &port) ||
		    address_parse(host, &place[count].address))
			return 0;
		place[count++].port = htons(port);
	}
	return count;
}

static void take_waypoint(struct gateway *g, const json_t *message)
{
	uint8_t secret[TUNNEL_SECRET_BYTES];
	struct tunnel_place place[TUNNEL_FROM];
	unsigned int places = read_tunnels(json_object_get(message, "tunnel"), place);
	const char *name, *text;
	int64_t id;

	if (!places || !msg_get_integer(message, "id", 1, TUNNEL_GATEWAY_MAX, &id) ||
	    !msg_get_string(message, "name", &name) || strlen(name) >= MEMBER_NAME_LEN ||
	    !msg_get_string(message, "secret", &text) ||
	    auth_unbase64(text, secret, sizeof(secret)) != sizeof(secret)) {
		log_warn("the name server told of a waypoint without name, tunnel or secret");
		return;
	}
	end_add(g, name, (uint32_t)id, place, places, secret);
	explicit_bzero(secret, sizeof(secret));
}

static void take_message(json_t *message, void *arg)
{
	const char *op = "", *name = "";
	struct gateway *g = arg;

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "waypoint"))
		take_waypoint(g, message);
	else if (!strcmp(op, "waypoint-gone") && msg_get_string(message, "name", &name))
		end_remove(g, name);
	else if (!strcmp(op, "refused") && msg_get_string(message, "name", &name))
		log_error("the name server does not serve '%.100s'", name);
	else
		log_debug("the name server said '%.40s', which is unknown here", op);
}

/* Waypoints are told anew, with fresh secrets; tunnels stay until then, and without a server. */
static void logged_in(const json_t *answer, void *arg)
{
	(void)answer;
	tell_rest(arg);
}

static void lost(void *arg)
{
	(void)arg;
}

int server_start(struct gateway *g)
{
	static const struct member_handler handler = { login, logged_in, take_message, lost };

	g->member = member_new(g->base, "gateway", &g->credentials, &handler, g);
	return g->member ? 0 : -1;
}
