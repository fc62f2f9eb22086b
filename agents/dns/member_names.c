// SPDX-License-Identifier: GPL-3.0-or-later
/* The names that members have in our zones, and how they tell them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "dns.h"

int member_absolute_name(const char *member, const char *text, uint8_t name[WIRE_NAME_MAX])
{
	char joined[WIRE_NAME_TEXT];
	uint8_t read[WIRE_NAME_MAX];
	int len = !strcmp(text, "@") ? snprintf(joined, sizeof(joined), "%s", member)
				     : snprintf(joined, sizeof(joined), "%s.%s", text, member);

	if (len >= (int)sizeof(joined) || strcspn(text, "\\*") != strlen(text) ||
	    wire_name_read(joined, read))
		return -EINVAL;
	wire_name_lower(read, name);
	return 0;
}

void member_tell_refused(struct member_conn *conn, const char *member, const uint8_t *name)
{
	char text[WIRE_NAME_TEXT];

	wire_name_text(name, text);
	log_warn("%s: %.200s: the name is delegated, an alias, or in no zone", member, text);
	if (conn)
		msg_send(conn->conn, json_pack("{s:s, s:s}", "op", "refused", "name", text));
}

int member_take_page(json_t **kept, const json_t *message, const char *key, size_t most,
		     json_t **whole)
{
	json_t *list = *kept ? *kept : json_array();
	bool more = false;

	*kept = *whole = NULL;
	msg_get_bool(message, "more", &more);
	if (json_array_extend(list, json_object_get(message, key)) ||
	    json_array_size(list) > most) {
		json_decref(list);
		return -EINVAL;
	}
	*(more ? kept : whole) = list;
	return !more;
}
