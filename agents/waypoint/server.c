// SPDX-License-Identifier: GPL-3.0-or-later
/* What isthmus-dns tells, and what it is told (docs/protocol.md). */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>

#include <linux/bpf.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "waypoint.h"

/* ---- what it is told */

static json_t *list_of(const struct conf_list *list)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->item[i]));
	return array;
}

static json_t *addresses_of(const struct waypoint *w)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < w->address_count; i++) {
		char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &w->address[i].address, text, sizeof(text));
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *tunnels_of(const struct waypoint *w)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < w->settings.tunnel.count; i++) {
		char text[ADDRESS_TEXT_LEN];

		address_port_text(&w->settings.tunnel_address[i], tunnel_peers_conf(w->peers)->port,
				  text);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *login(void *arg)
{
	struct waypoint *w = arg;
	char setup[ADDRESS_TEXT_LEN];
	json_t *message;

	address_port_text(&w->settings.setup_address, htons(w->settings.setup_port), setup);
	message = json_pack("{s:o, s:o, s:s, s:i}", "addresses", addresses_of(w), "tunnel",
			    tunnels_of(w), "setup", setup, "wait", (int)w->settings.wait_ms);
	if (w->settings.prefix6)
		json_object_set_new(message, "prefix6", json_string(w->settings.prefix6));
	if (w->settings.near.count)
		json_object_set_new(message, "near", list_of(&w->settings.near));
	return message;
}

void server_tunnel(struct waypoint *w, uint32_t gateway, bool up)
{
	member_tell(w->member, json_pack("{s:s, s:i, s:b}", "op", "tunnel", "gateway", (int)gateway,
					 "up", (int)up));
}

void server_bound(struct waypoint *w, uint64_t serial, __be32 initiator, uint32_t ms)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &initiator, text, sizeof(text));
	member_tell(w->member, json_pack("{s:s, s:o, s:s, s:i}", "op", "bound", "serial",
					 msg_json_id(serial), "initiator", text, "ms", (int)ms));
}

void server_load(struct waypoint *w)
{
	uint32_t room = w->binds_max > w->binds ? w->binds_max - w->binds : 0;

	member_tell(w->member, json_pack("{s:s, s:I, s:I}", "op", "load", "binds",
					 (json_int_t)w->binds, "free", (json_int_t)room));
}

/* ---- what it tells */

static void take_gateway(struct waypoint *w, const json_t *message)
{
	uint8_t secret[TUNNEL_SECRET_BYTES];
	const char *name, *text;
	int64_t id;

	if (!msg_get_integer(message, "id", 1, GATEWAYS - 1, &id) ||
	    !msg_get_string(message, "name", &name) || !msg_get_string(message, "secret", &text) ||
	    auth_unbase64(text, secret, sizeof(secret)) != sizeof(secret)) {
		log_warn("the name server told of a gateway without id, name or secret");
		return;
	}
	end_add(w, (uint32_t)id, name, secret);
	explicit_bzero(secret, sizeof(secret));
}

/* ---- hosts' own addresses (W13) */

/* All, or those of a gateway. */
static void drop_hosts6(struct waypoint *w, const uint32_t *id)
{
	struct isthmus_addr address, next;
	struct waypoint_host6 record;
	int rc = bpf_map_get_next_key(w->map[MAP_HOST6], NULL, &next);

	for (int i = 0; i < WAYPOINT_HOSTS6 && !rc; i++) {
		address = next;
		rc = bpf_map_get_next_key(w->map[MAP_HOST6], &address, &next);
		if (!bpf_map_lookup_elem(w->map[MAP_HOST6], &address, &record) &&
		    (!id || record.peer == *id))
			bpf_map_delete_elem(w->map[MAP_HOST6], &address);
	}
}

static void take_host6(struct waypoint *w, const json_t *message)
{
	struct waypoint_host6 record;
	struct isthmus_addr address;
	const char *text;
	int64_t id, host;
	bool gone = false;
	int err;

	if (!msg_get_integer(message, "id", 1, GATEWAYS - 1, &id) ||
	    !msg_get_integer(message, "host", 0, UINT16_MAX, &host) ||
	    !msg_get_string(message, "address", &text) || address_parse(text, &address))
		return;
	msg_get_bool(message, "gone", &gone);
	if (gone) {
		bpf_map_delete_elem(w->map[MAP_HOST6], &address);
		return;
	}
	record = (struct waypoint_host6){ (__u32)id, (__u32)host };
	err = bpf_map_update_elem(w->map[MAP_HOST6], &address, &record, BPF_ANY);
	if (err)
		log_error("the address %s cannot be served: %s", text, strerror(-err));
}

static void take_gone(struct waypoint *w, const json_t *message)
{
	uint32_t gateway;
	int64_t id;

	if (!msg_get_integer(message, "id", 1, GATEWAYS - 1, &id))
		return;
	gateway = (uint32_t)id;
	drop_hosts6(w, &gateway);
	end_remove(w, gateway);
}

static void take_message(json_t *message, void *arg)
{
	struct waypoint *w = arg;
	const char *op = "";

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "gateway"))
		take_gateway(w, message);
	else if (!strcmp(op, "gateway-gone"))
		take_gone(w, message);
	else if (!strcmp(op, "host6"))
		take_host6(w, message);
	else
		log_debug("the name server said '%.40s', which is unknown here", op);
}

/* Gateways are told anew after a login, with fresh secrets. */
static void logged_in(const json_t *answer, void *arg)
{
	uint8_t key[SETUP_KEY_BYTES];
	struct waypoint *w = arg;
	const char *text;

	if (!msg_get_string(answer, "key", &text) ||
	    auth_unbase64(text, key, sizeof(key)) != sizeof(key)) {
		log_error("the name server gave no key for SETUPs: nothing is bound");
		return;
	}
	asks_key(w, key);
	drop_hosts6(w, NULL); /* they are told anew, without those that are gone */
	explicit_bzero(key, sizeof(key));
	for (uint32_t id = 1; id < GATEWAYS; id++)
		w->gateway[id].told_up = false;
	server_load(w);
}

/* Tunnels stay, and so does what is bound. */
static void lost(void *arg)
{
	asks_key(arg, NULL);
}

int server_start(struct waypoint *w)
{
	static const struct member_handler handler = { login, logged_in, take_message, lost };

	w->member = member_new(w->base, "waypoint", &w->credentials, &handler, w);
	return w->member ? 0 : -1;
}
