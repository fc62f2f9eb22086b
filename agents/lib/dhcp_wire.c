// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "dhcp_wire.h"

#define SNAME_AT     44
#define SNAME_LEN    64
#define FILE_AT	     108
#define FILE_LEN     128
#define COOKIE_AT    236
#define OVERLOAD_LEN 3 /* bytes of option 52 */

static const uint8_t cookie[4] = { 99, 130, 83, 99 };

/* ---- reading */

struct field {
	const uint8_t *bytes;
	size_t len;
};

/* The next option of a field at *at: 1, 0 at the field's end, or -EBADMSG. */
static int next_option(const struct field *field, size_t *at, uint8_t *code, struct field *value)
{
	size_t i = *at;

	while (i < field->len && field->bytes[i] == DHCP_OPT_PAD)
		i++;
	if (i == field->len || field->bytes[i] == DHCP_OPT_END)
		return 0;
	if (field->len - i < 2 || field->len - i - 2 < field->bytes[i + 1])
		return -EBADMSG;
	*code = field->bytes[i];
	value->len = field->bytes[i + 1];
	value->bytes = field->bytes + i + 2;
	*at = i + 2 + value->len;
	return 1;
}

/* The fields that hold options, in the order in which parts are joined (RFC 3396, 5). */
static int option_fields(const uint8_t *bytes, size_t len, struct field fields[3])
{
	struct field value;
	uint8_t code, overload = 0;
	size_t at = 0;
	int more, count = 1;

	fields[0].bytes = bytes + DHCP_HEAD;
	fields[0].len = len - DHCP_HEAD;
	while ((more = next_option(&fields[0], &at, &code, &value)) > 0) {
		if (code != DHCP_OPT_OVERLOAD)
			continue;
		if (overload || value.len != 1 || value.bytes[0] < 1 || value.bytes[0] > 3)
			return -EBADMSG;
		overload = value.bytes[0];
	}
	if (overload & 1)
		fields[count++] = (struct field){ bytes + FILE_AT, FILE_LEN };
	if (overload & 2)
		fields[count++] = (struct field){ bytes + SNAME_AT, SNAME_LEN };
	return more < 0 ? more : count;
}

static int measure(const struct field *fields, int count, struct dhcp_message *message)
{
	struct field value;
	uint16_t end = 0;
	uint8_t code;
	int more = 0;

	for (int i = 0; i < count; i++) {
		size_t at = 0;

		while ((more = next_option(&fields[i], &at, &code, &value)) > 0) {
			message->len[code] += value.len;
			message->has[code / 8] |= 1 << code % 8;
		}
		if (more < 0)
			return more;
	}
	for (int i = 0; i < 256; i++) {
		message->at[i] = end;
		end += message->len[i];
	}
	return 0;
}

static void gather(const struct field *fields, int count, struct dhcp_message *message)
{
	uint16_t filled[256] = { 0 };
	struct field value;
	uint8_t code;

	for (int i = 0; i < count; i++) {
		size_t at = 0;

		while (next_option(&fields[i], &at, &code, &value) > 0) {
			memcpy(message->value + message->at[code] + filled[code], value.bytes,
			       value.len);
			filled[code] += value.len;
		}
	}
}

static void read_head(const uint8_t *bytes, struct dhcp_head *head)
{
	head->op = bytes[0];
	head->htype = bytes[1];
	head->hlen = bytes[2];
	head->hops = bytes[3];
	head->xid = get32(bytes + 4);
	head->secs = get16(bytes + 8);
	head->flags = get16(bytes + 10);
	head->ciaddr = get32(bytes + 12);
	head->yiaddr = get32(bytes + 16);
	head->siaddr = get32(bytes + 20);
	head->giaddr = get32(bytes + 24);
	memcpy(head->chaddr, bytes + 28, sizeof(head->chaddr));
}

int dhcp_read(const void *bytes, size_t len, struct dhcp_message *message)
{
	struct dhcp_message result;
	struct field fields[3];
	const uint8_t *type;
	size_t type_len;
	int count;

	if (len > DHCP_BYTES_MAX)
		return -EMSGSIZE;
	if (len < DHCP_HEAD || memcmp((const uint8_t *)bytes + COOKIE_AT, cookie, sizeof(cookie)))
		return -EBADMSG;
	memset(&result, 0, sizeof(result));
	read_head(bytes, &result.head);
	if (result.head.hlen > sizeof(result.head.chaddr) ||
	    (result.head.op != DHCP_BOOTREQUEST && result.head.op != DHCP_BOOTREPLY))
		return -EBADMSG;
	count = option_fields(bytes, len, fields);
	if (count < 0 || measure(fields, count, &result))
		return -EBADMSG;
	gather(fields, count, &result);
	type = dhcp_get(&result, DHCP_OPT_TYPE, &type_len);
	if (!type || type_len != 1 || type[0] < DHCP_DISCOVER || type[0] >= DHCP_TYPES)
		return -EBADMSG;
	result.type = type[0];
	*message = result;
	return 0;
}

bool dhcp_has(const struct dhcp_message *message, uint8_t code)
{
	return message->has[code / 8] & 1 << code % 8;
}

const uint8_t *dhcp_get(const struct dhcp_message *message, uint8_t code, size_t *len)
{
	if (!dhcp_has(message, code))
		return NULL;
	*len = message->len[code];
	return message->value + message->at[code];
}

bool dhcp_get_u32(const struct dhcp_message *message, uint8_t code, uint32_t *value)
{
	size_t len;
	const uint8_t *bytes = dhcp_get(message, code, &len);

	if (!bytes || len != 4)
		return false;
	*value = get32(bytes);
	return true;
}

bool dhcp_get_u16(const struct dhcp_message *message, uint8_t code, uint16_t *value)
{
	size_t len;
	const uint8_t *bytes = dhcp_get(message, code, &len);

	if (!bytes || len != 2)
		return false;
	*value = get16(bytes);
	return true;
}

bool dhcp_asks(const struct dhcp_message *message, uint8_t code)
{
	size_t len;
	const uint8_t *list = dhcp_get(message, DHCP_OPT_PARAMETERS, &len);

	return list && memchr(list, code, len);
}

const uint8_t *dhcp_relay_part(const struct dhcp_message *message, uint8_t code, size_t *len)
{
	size_t total, at = 0;
	const uint8_t *bytes = dhcp_get(message, DHCP_OPT_RELAY, &total);

	/* Sub-options have no pad and no end (RFC 3046, 2.0). */
	while (bytes && total - at >= 2 && bytes[at + 1] <= total - at - 2) {
		if (bytes[at] == code) {
			*len = bytes[at + 1];
			return bytes + at + 2;
		}
		at += 2 + bytes[at + 1];
	}
	return NULL;
}

int dhcp_get_portset(const struct dhcp_message *message, struct portset *set)
{
	struct portset result;
	const uint8_t *bytes;
	uint16_t field;
	size_t len;

	bytes = dhcp_get(message, DHCP_OPT_PORTPARAMS, &len);
	if (!bytes)
		return -ENOENT;
	if (len != 4 || bytes[0] > 15 || bytes[1] > 16 || bytes[0] + bytes[1] > 16)
		return -EBADMSG;
	result.a = bytes[0];
	result.k = bytes[1];
	field = get16(bytes + 2);
	result.psid = result.k ? portset_psid_from_wire(result.k, field) : 0;
	if (result.k && portset_psid_to_wire(&result) != field)
		return -EBADMSG;
	*set = result;
	return 0;
}

/* ---- writing */

void dhcp_put(struct dhcp_writer *writer, uint8_t code, const void *bytes, size_t len)
{
	if (writer->count == DHCP_PUT_MAX || len > DHCP_BYTES_MAX) {
		writer->failed = true;
		return;
	}
	writer->option[writer->count].bytes = bytes;
	writer->option[writer->count].len = len;
	writer->option[writer->count++].code = code;
}

/* Room for a number that lives as long as the writer. */
static uint8_t *small(struct dhcp_writer *writer, size_t len)
{
	uint8_t *room = writer->small + writer->small_len;

	if (sizeof(writer->small) - writer->small_len < len) {
		writer->failed = true;
		return NULL;
	}
	writer->small_len += len;
	return room;
}

void dhcp_put_u32(struct dhcp_writer *writer, uint8_t code, uint32_t value)
{
	dhcp_put_addresses(writer, code, &value, 1);
}

void dhcp_put_u16(struct dhcp_writer *writer, uint8_t code, uint16_t value)
{
	uint8_t *bytes = small(writer, 2);

	if (!bytes)
		return;
	put16(bytes, value);
	dhcp_put(writer, code, bytes, 2);
}

void dhcp_put_addresses(struct dhcp_writer *writer, uint8_t code, const uint32_t *address,
			unsigned int count)
{
	uint8_t *bytes = small(writer, 4 * (size_t)count);

	if (!bytes)
		return;
	for (unsigned int i = 0; i < count; i++)
		put32(bytes + 4 * i, address[i]);
	dhcp_put(writer, code, bytes, 4 * (size_t)count);
}

void dhcp_put_portset(struct dhcp_writer *writer, const struct portset *set)
{
	uint8_t *bytes = small(writer, 4);

	if (!bytes)
		return;
	bytes[0] = set->a;
	bytes[1] = set->k;
	put16(bytes + 2, portset_psid_to_wire(set));
	dhcp_put(writer, DHCP_OPT_PORTPARAMS, bytes, 4);
}

void dhcp_start(struct dhcp_writer *writer, const struct dhcp_head *head, enum dhcp_type type)
{
	uint8_t *bytes;

	memset(writer, 0, sizeof(*writer));
	writer->head = *head;
	writer->limit = DHCP_PLAIN_MAX;
	bytes = small(writer, 1);
	bytes[0] = type;
	dhcp_put(writer, DHCP_OPT_TYPE, bytes, 1);
}

static void write_head(const struct dhcp_head *head, uint8_t *bytes)
{
	memset(bytes, 0, DHCP_HEAD);
	bytes[0] = head->op;
	bytes[1] = head->htype;
	bytes[2] = head->hlen;
	bytes[3] = head->hops;
	put32(bytes + 4, head->xid);
	put16(bytes + 8, head->secs);
	put16(bytes + 10, head->flags);
	put32(bytes + 12, head->ciaddr);
	put32(bytes + 16, head->yiaddr);
	put32(bytes + 20, head->siaddr);
	put32(bytes + 24, head->giaddr);
	memcpy(bytes + 28, head->chaddr, sizeof(head->chaddr));
	memcpy(bytes + COOKIE_AT, cookie, sizeof(cookie));
}

/* Where options go: the options field, then `file`, then `sname`; each keeps a byte for its end. */
struct area {
	uint8_t *bytes;
	size_t room, used;
};

/* One option whole, or in parts of at most 255 bytes; goes on to the next area, never back. */
static int write_option(struct area *area, int *at, uint8_t code, const uint8_t *bytes, size_t len)
{
	do {
		size_t part = len > 255 ? 255 : len;
		struct area *here = &area[*at];

		/* A part as long as it can be if the option has several anyway. */
		if (len > 255 && here->room - here->used > 2 && here->room - here->used - 2 < part)
			part = here->room - here->used - 2;
		if (here->room - here->used < 2 + part) {
			if (++*at == 3)
				return -EMSGSIZE;
			continue;
		}
		here->bytes[here->used] = code;
		here->bytes[here->used + 1] = part;
		if (part)
			memcpy(here->bytes + here->used + 2, bytes, part);
		here->used += 2 + part;
		bytes += part;
		len -= part;
		if (!len)
			return 0;
	} while (1);
}

static int write_options(const struct dhcp_writer *writer, struct area area[3])
{
	int at = 0, err = 0;

	for (unsigned int i = 0; i < writer->count && !err; i++)
		err = write_option(area, &at, writer->option[i].code, writer->option[i].bytes,
				   writer->option[i].len);
	return err ? err : at;
}

int dhcp_write(struct dhcp_writer *writer, uint8_t bytes[DHCP_BYTES_MAX])
{
	static const uint8_t overload[3] = { 0, 1, 3 };
	uint8_t result[DHCP_BYTES_MAX] = { 0 };
	size_t limit = writer->limit > DHCP_BYTES_MAX ? DHCP_BYTES_MAX : writer->limit;
	struct area area[3] = {
		{ result + DHCP_HEAD, limit - DHCP_HEAD - OVERLOAD_LEN - 1, 0 },
		{ result + FILE_AT, FILE_LEN - 1, 0 },
		{ result + SNAME_AT, SNAME_LEN - 1, 0 },
	};
	size_t len;
	int used;

	if (writer->failed || limit < DHCP_BYTES_MIN)
		return -EMSGSIZE;
	write_head(&writer->head, result);
	used = write_options(writer, area);
	if (used < 0)
		return used;
	for (int i = 1; i <= used; i++)
		area[i].bytes[area[i].used] = DHCP_OPT_END;
	if (used) {
		const uint8_t option[OVERLOAD_LEN] = { DHCP_OPT_OVERLOAD, 1, overload[used] };

		memcpy(area[0].bytes + area[0].used, option, sizeof(option));
		area[0].used += sizeof(option);
	}
	area[0].bytes[area[0].used++] = DHCP_OPT_END;
	len = DHCP_HEAD + area[0].used;
	memcpy(bytes, result, sizeof(result));
	return len < DHCP_BYTES_MIN ? DHCP_BYTES_MIN : (int)len;
}
