// SPDX-License-Identifier: GPL-3.0-or-later
/* Keys by the control socket. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/log.h"
#include "../lib/msg.h"
#include "dns.h"
#include "key.h"

/* Who may publish (a group, see control.c) may not take a zone's keys away. */
bool control_is_root(struct msg_conn *conn)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(msg_conn_fd(conn), SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (!peer.uid || peer.uid == geteuid());
}

static struct zone *find_zone(struct dns *dns, const json_t *message)
{
	uint8_t read[WIRE_NAME_MAX], lower[WIRE_NAME_MAX];
	const char *text;
	struct zone *zone;

	if (!msg_get_string(message, "zone", &text) || wire_name_read(text, read))
		return NULL;
	wire_name_lower(read, lower);
	zone = zones_find(&dns->zones, lower);
	return zone && wire_name_equal(zone->name, lower) ? zone : NULL;
}

static void reply_keys(struct msg_conn *conn, json_t *message, const struct zone *zone)
{
	msg_reply(conn, message, json_pack("{s:o}", "keys", key_list(zone, dns_now())));
}

static void add(struct dns *dns, struct msg_conn *conn, json_t *message, struct zone *zone)
{
	char name[WIRE_NAME_TEXT];
	uint16_t tag;
	int rc = key_add(dns->store, zone, dns_now(), &tag);

	if (rc == -ENOSPC) {
		msg_reply_error(conn, message, "full", "the zone has %d keys, more are not allowed",
				SIGN_KEYS_MAX);
		return;
	}
	if (rc) {
		msg_reply_error(conn, message, "failed", "no key was added: %s",
				rc == -EIO ? store_error(dns->store) : strerror(-rc));
		return;
	}
	wire_name_text(zone->name, name);
	log_info("zone %.300s: key %u was added", name, tag);
	reply_keys(conn, message, zone);
}

/* The tag may be left out where there is one key. */
static bool find_tag(const json_t *message, const struct zone *zone, uint16_t *tag)
{
	int64_t number;

	if (json_object_get(message, "tag")) {
		if (!msg_get_integer(message, "tag", 0, UINT16_MAX, &number))
			return false;
		*tag = number;
		return true;
	}
	if (!zone->sign || sign_key_count(zone->sign) != 1)
		return false;
	*tag = sign_key_tag(zone->sign, 0);
	return true;
}

static void remove_key(struct dns *dns, struct msg_conn *conn, json_t *message, struct zone *zone)
{
	char name[WIRE_NAME_TEXT];
	uint16_t tag;
	int rc;

	if (!find_tag(message, zone, &tag)) {
		msg_reply_error(conn, message, "unknown-key",
				"the zone has not just one key: which is meant is told by its tag");
		return;
	}
	rc = key_delete(dns->store, zone, tag);
	if (rc) {
		msg_reply_error(conn, message, rc == -ENOENT ? "unknown-key" : "failed", "%s",
				rc == -ENOENT ? "the zone has no key of this tag"
					      : store_error(dns->store));
		return;
	}
	wire_name_text(zone->name, name);
	log_info("zone %.300s: key %u was removed%s", name, tag,
		 zone->sign ? "" : "; the zone is not signed any longer");
	reply_keys(conn, message, zone);
}

void key_message(struct dns *dns, struct msg_conn *conn, const char *op, json_t *message)
{
	struct zone *zone = find_zone(dns, message);
	bool shows = !strcmp(op, "key-show");

	if (!shows && strcmp(op, "key-add") && strcmp(op, "key-del"))
		msg_reply_error(conn, message, "unknown-op", "key-add, key-show and key-del");
	else if (!shows && !control_is_root(conn))
		msg_reply_error(conn, message, "forbidden", "only root may change keys");
	else if (!zone)
		msg_reply_error(conn, message, "unknown-zone", "none of the zones has this name");
	else if (shows)
		reply_keys(conn, message, zone);
	else if (!strcmp(op, "key-add"))
		add(dns, conn, message, zone);
	else
		remove_key(dns, conn, message, zone);
}
