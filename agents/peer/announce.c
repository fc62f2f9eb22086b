// SPDX-License-Identifier: GPL-3.0-or-later
#include "announce.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/msg.h"

#define LIFETIME_MAX_S 3600

bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len < NAME_LEN && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int reference_split(const char *text, char user[NAME_LEN], char service[NAME_LEN])
{
	const char *slash = strchr(text, '/');
	char first[NAME_LEN];

	if (!slash || slash - text >= NAME_LEN || strlen(slash + 1) >= NAME_LEN)
		return -EINVAL;
	memcpy(first, text, slash - text);
	first[slash - text] = 0;
	if (!name_valid(first) || !name_valid(slash + 1))
		return -EINVAL;
	strcpy(user, first);
	strcpy(service, slash + 1);
	return 0;
}

int proto_parse(const char *text)
{
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	return strcmp(text, "udp") ? -EINVAL : IPPROTO_UDP;
}

const char *proto_text(int proto)
{
	return proto == IPPROTO_UDP ? "udp" : "tcp";
}

static bool get_port(const json_t *message, const char *key, bool required, uint16_t *port)
{
	int64_t value;

	*port = 0;
	if (!required && !json_object_get(message, key))
		return true;
	if (!msg_get_integer(message, key, 0, 65535, &value))
		return false;
	*port = value;
	return true;
}

static bool get_bytes(const json_t *message, const char *key, uint8_t *bytes, int len)
{
	uint8_t decoded[64];
	const char *text;
	bool good = msg_get_string(message, key, &text) &&
		    auth_unbase64(text, decoded, sizeof(decoded)) == len;

	if (good)
		memcpy(bytes, decoded, len);
	explicit_bzero(decoded, sizeof(decoded));
	return good;
}

static bool get_ports(const json_t *message, struct announced *a, const char **bad)
{
	return get_port(message, *bad = "port", true, &a->port) &&
	       get_port(message, *bad = "probe_port_udp", false, &a->probe_port_udp) &&
	       get_port(message, *bad = "probe_port_tcp", false, &a->probe_port_tcp) &&
	       get_port(message, *bad = "source_port", false, &a->source_port);
}

static bool get_kind(const json_t *message, struct announced *a, const char **bad)
{
	const char *text;
	int64_t role;

	*bad = "proto";
	if (!msg_get_string(message, "proto", &text) || proto_parse(text) < 0)
		return false;
	a->proto = proto_parse(text);
	*bad = "role";
	if (!msg_get_integer(message, "role", 0, 1, &role))
		return false;
	a->role = role;
	*bad = "mode";
	if (!msg_get_string(message, "mode", &text) ||
	    (strcmp(text, "pure") && strcmp(text, "passive")))
		return false;
	a->pure = !strcmp(text, "pure");
	return true;
}

int announce_read(const json_t *message, struct announced *announced, const char **bad)
{
	struct announced a = { 0 };
	const char *text;
	int64_t lifetime;
	int error = -EINVAL;

	*bad = "session";
	if (!msg_get_id(message, "session", &a.session))
		return -EINVAL;
	*bad = "address";
	if (!msg_get_string(message, "address", &text) || address_parse(text, &a.address))
		return -EINVAL;
	*bad = "lifetime";
	if (!msg_get_integer(message, "lifetime", 1, LIFETIME_MAX_S, &lifetime))
		return -EINVAL;
	a.lifetime_s = lifetime;
	if (get_kind(message, &a, bad) && get_ports(message, &a, bad) &&
	    get_bytes(message, *bad = "token", a.token, sizeof(a.token)) &&
	    get_bytes(message, *bad = "secret", a.secret, sizeof(a.secret))) {
		*bad = "port";
		error = !a.port && (!a.pure || a.role == AUTH_ROLE_SUBSCRIBER) ? -EINVAL : 0;
	}
	if (!error)
		*announced = a;
	explicit_bzero(&a, sizeof(a));
	return error;
}
