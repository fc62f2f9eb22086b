// SPDX-License-Identifier: GPL-3.0-or-later
/* Waypoints: what they have, and what they and gateways are told of each other. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "dns.h"

#define RECEIVE_BYTES (4 << 20)
#define PREFIX6_LOW   32
#define PREFIX6_HIGH  96

/* ---- the login's members */

static const char *take_addresses(struct waypoint *waypoint, const json_t *list)
{
	const json_t *text;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > WAYPOINT_ADDRESSES)
		return "addresses is an array of at most 1024";
	json_array_foreach (list, i, text) {
		if (!json_is_string(text) ||
		    inet_pton(AF_INET, json_string_value(text),
			      &waypoint->address[waypoint->address_count].address) != 1)
			return "addresses are IPv4 addresses";
		waypoint->address_count++;
	}
	return NULL;
}

static bool take_tunnel_text(struct waypoint *waypoint, const json_t *text)
{
	if (waypoint->tunnel_count == WAYPOINT_TUNNELS || !json_is_string(text) ||
	    json_string_length(text) >= sizeof(waypoint->tunnel[0]))
		return false;
	strcpy(waypoint->tunnel[waypoint->tunnel_count++], json_string_value(text));
	return true;
}

/* One text, or an array of two. */
static const char *take_tunnels(struct waypoint *waypoint, const json_t *tunnel)
{
	bool good = true;
	const json_t *text;
	size_t i;

	if (json_is_string(tunnel))
		good = take_tunnel_text(waypoint, tunnel);
	json_array_foreach (tunnel, i, text)
		good = good && take_tunnel_text(waypoint, text);
	return good && waypoint->tunnel_count ? NULL : "tunnel is one or two ADDRESS:PORT";
}

static const char *take_prefixes(struct waypoint *waypoint, const json_t *message)
{
	const json_t *text;
	const char *prefix6;
	size_t i;

	json_array_foreach (json_object_get(message, "near"), i, text) {
		if (waypoint->near_count == WAYPOINT_NEAR || !json_is_string(text) ||
		    prefix_parse(json_string_value(text), &waypoint->near[waypoint->near_count]))
			return "near is up to 16 prefixes";
		waypoint->near_count++;
	}
	if (!msg_get_string(message, "prefix6", &prefix6))
		return NULL;
	if (prefix_parse(prefix6, &waypoint->prefix6) ||
	    address_is_v4(&waypoint->prefix6.address) || waypoint->prefix6.bits < PREFIX6_LOW ||
	    waypoint->prefix6.bits > PREFIX6_HIGH)
		return "prefix6 is an IPv6 prefix of /32 to /96";
	return NULL;
}

static const char *open_socket(struct waypoint *waypoint, const char *where)
{
	char host[ADDRESS_TEXT_LEN];
	struct sockaddr_storage storage;
	struct isthmus_addr address;
	int bytes = RECEIVE_BYTES;
	socklen_t len;
	uint16_t port;

	if (address_split(where, host, sizeof(host), &port) || address_parse(host, &address))
		return "setup is ADDRESS:PORT";
	len = address_to_sockaddr(&address, htons(port), &storage);
	waypoint->fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (waypoint->fd < 0 || connect(waypoint->fd, (struct sockaddr *)&storage, len))
		return "there is no way to where its SETUPs go";
	setsockopt(waypoint->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	waypoint->inbox = setup_inbox_new(waypoint->fd);
	if (!waypoint->inbox)
		return "out of memory";
	waypoint->readable = event_new(waypoint->dns->base, waypoint->fd, EV_READ | EV_PERSIST,
				       bind_readable, waypoint);
	return waypoint->readable && !event_add(waypoint->readable, NULL) ? NULL : "out of memory";
}

static const char *take_all(struct waypoint *waypoint, const json_t *message)
{
	const char *setup, *why = take_tunnels(waypoint, json_object_get(message, "tunnel"));

	if (!why && !msg_get_string(message, "setup", &setup))
		why = "setup is needed";
	if (!why)
		why = take_addresses(waypoint, json_object_get(message, "addresses"));
	if (!why)
		why = take_prefixes(waypoint, message);
	return why ? why : open_socket(waypoint, setup);
}

/* ---- they come and go */

static uint64_t hash_name(const char *name)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 1099511628211ull;
	return hash;
}

static void free_waypoint(struct waypoint *waypoint)
{
	if (waypoint->readable)
		event_free(waypoint->readable);
	setup_inbox_free(waypoint->inbox);
	if (waypoint->fd >= 0)
		close(waypoint->fd);
	setup_key_free(waypoint->key);
	free(waypoint);
}

static void end_earlier(struct members *members, const char *name)
{
	for (unsigned int i = 0; i < members->waypoint_count; i++) {
		struct member_conn *before = members->waypoint[i]->conn;

		if (strcmp(members->waypoint[i]->name, name))
			continue;
		msg_conn_close(before->conn, "the waypoint logged in again");
		waypoint_lost(before);
		return;
	}
}

/* A new one, and as text for the waypoint. */
static const char *make_key(struct waypoint *waypoint, char text[AUTH_TOKEN_LEN])
{
	uint8_t bytes[SETUP_KEY_BYTES];

	if (auth_random(bytes, sizeof(bytes)) ||
	    !auth_base64(bytes, sizeof(bytes), text, AUTH_TOKEN_LEN))
		return "no randomness";
	waypoint->key = setup_key_new(bytes);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return waypoint->key ? NULL : "out of memory";
}

const char *waypoint_login(struct member_conn *member, const char *name, const json_t *message,
			   json_t *answer)
{
	struct members *members = member->dns->members;
	struct waypoint *waypoint;
	char key[AUTH_TOKEN_LEN];
	const char *why;

	end_earlier(members, name);
	if (members->waypoint_count == WAYPOINTS_MAX)
		return "there are too many waypoints";
	waypoint = calloc(1, sizeof(*waypoint));
	if (!waypoint)
		return "out of memory";
	waypoint->fd = -1;
	waypoint->dns = member->dns;
	waypoint->conn = member;
	waypoint->hash = hash_name(name);
	snprintf(waypoint->name, sizeof(waypoint->name), "%s", name);
	why = take_all(waypoint, message);
	if (!why)
		why = make_key(waypoint, key);
	if (why) {
		free_waypoint(waypoint);
		return why;
	}
	json_object_set_new(answer, "key", json_string(key));
	OPENSSL_cleanse(key, sizeof(key));
	members->waypoint[members->waypoint_count++] = waypoint;
	member->waypoint = waypoint;
	return NULL;
}

void waypoint_lost(struct member_conn *member)
{
	struct members *members = member->dns->members;
	struct waypoint *waypoint = member->waypoint;

	bind_waypoint_lost(member->dns, waypoint);
	for (unsigned int i = 0; i < members->waypoint_count; i++)
		if (members->waypoint[i] == waypoint)
			members->waypoint[i] = members->waypoint[--members->waypoint_count];
	free_waypoint(waypoint);
	member->waypoint = NULL;
}

/* ---- what they tell */

bool waypoint_is_up(const struct waypoint *waypoint, uint32_t gateway)
{
	return waypoint->up[gateway / 8] & 1 << gateway % 8;
}

static void take_tunnel(struct waypoint *waypoint, const json_t *message)
{
	bool up = false;
	int64_t id;

	if (!msg_get_integer(message, "gateway", 1, GATEWAYS - 1, &id))
		return;
	msg_get_bool(message, "up", &up);
	if (up)
		waypoint->up[id / 8] |= (uint8_t)(1 << id % 8);
	else
		waypoint->up[id / 8] &= (uint8_t) ~(1 << id % 8);
}

void waypoint_message(struct member_conn *member, const char *op, const json_t *message)
{
	struct waypoint *waypoint = member->waypoint;
	int64_t room, ms;

	if (!waypoint)
		return;
	if (!strcmp(op, "tunnel"))
		take_tunnel(waypoint, message);
	else if (!strcmp(op, "load") && msg_get_integer(message, "free", 0, INT64_MAX, &room))
		waypoint->full = !room;
	else if (!strcmp(op, "bound") && msg_get_integer(message, "ms", 0, INT32_MAX, &ms))
		bind_took(member->dns, (unsigned int)ms);
}

/* ---- pairs */

static json_t *tunnels_of(const struct waypoint *waypoint)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < waypoint->tunnel_count; i++)
		json_array_append_new(list, json_string(waypoint->tunnel[i]));
	return list;
}

static void tell_pair(const char *secret, struct waypoint *waypoint, struct gateway *gateway)
{
	msg_send(waypoint->conn->conn,
		 json_pack("{s:s, s:i, s:s, s:s}", "op", "gateway", "id", (int)gateway->id, "name",
			   gateway->name, "secret", secret));
	msg_send(gateway->conn->conn, json_pack("{s:s, s:s, s:i, s:o, s:s}", "op", "waypoint",
						"name", waypoint->name, "id", (int)gateway->id,
						"tunnel", tunnels_of(waypoint), "secret", secret));
}

void waypoint_pair(struct waypoint *waypoint, struct gateway *gateway)
{
	uint8_t secret[32];
	char text[AUTH_TOKEN_LEN];

	waypoint_tell_hosts6(waypoint, gateway);
	if (!gateway->conn || auth_random(secret, sizeof(secret)) ||
	    !auth_base64(secret, sizeof(secret), text, sizeof(text)))
		return;
	tell_pair(text, waypoint, gateway);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(text, sizeof(text));
}

void waypoint_unpair(struct waypoint *waypoint, const struct gateway *gateway)
{
	waypoint->up[gateway->id / 8] &= (uint8_t) ~(1 << gateway->id % 8);
	msg_send(waypoint->conn->conn,
		 json_pack("{s:s, s:i}", "op", "gateway-gone", "id", (int)gateway->id));
}

/* ---- hosts' own IPv6 addresses (W13) */

/* From a key of ours and the names, so it stays the same and nobody can guess another host's. */
bool waypoint_address6(const struct waypoint *waypoint, const struct gateway *gateway,
		       uint32_t host, struct isthmus_addr *address)
{
	const struct members *members = waypoint->dns->members;
	const struct prefix *prefix = &waypoint->prefix6;
	char text[2 * MEMBER_NAME_MAX + 32];
	uint8_t mac[32];
	int len;

	if (!prefix->bits)
		return false;
	len = snprintf(text, sizeof(text), "%s\n%s\n%u", waypoint->name, gateway->name, host);
	if (!HMAC(EVP_sha256(), members->host6_key, sizeof(members->host6_key),
		  (const uint8_t *)text, (size_t)len, mac, NULL))
		return false;
	*address = prefix->address;
	for (unsigned int bit = prefix->bits; bit < 128; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		address->b[bit / 8] =
			(uint8_t)((address->b[bit / 8] & ~mask) | (mac[bit / 8] & mask));
	}
	return true;
}

static void tell_host6(struct waypoint *waypoint, const struct gateway *gateway, uint32_t host,
		       bool gone)
{
	struct isthmus_addr address;
	char text[ADDRESS_TEXT_LEN];
	json_t *message;

	if (!waypoint_address6(waypoint, gateway, host, &address))
		return;
	address_text(&address, text);
	message = json_pack("{s:s, s:i, s:i, s:s}", "op", "host6", "id", (int)gateway->id, "host",
			    (int)host, "address", text);
	if (gone)
		json_object_set_new(message, "gone", json_true());
	msg_send(waypoint->conn->conn, message);
}

void waypoint_tell_hosts6(struct waypoint *waypoint, const struct gateway *gateway)
{
	for (uint32_t host = 0; host < GATEWAY_HOSTS_MAX && waypoint->prefix6.bits; host++)
		if (gateway->host[host].taken)
			tell_host6(waypoint, gateway, host, false);
}

void waypoint_tell_gone6(struct waypoint *waypoint, const struct gateway *gateway, uint32_t host)
{
	tell_host6(waypoint, gateway, host, true);
}
