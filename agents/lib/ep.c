// SPDX-License-Identifier: GPL-3.0-or-later
/* The Export Protocol's messages, byte by byte (docs/protocol.md), and names of sockets. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ep.h"
#include "lhp.h"

#define ERRNO_MAX    4095 /* as the kernel has it */
#define NAME_BYTES   24
#define EP_ERROR_WHO 16 /* in front of an ERROR's payload */

/* What stands in a message of a type, in this order, after the four bytes that all have. */
enum field {
	F_ERROR = 1 << 0,
	F_OPTION = 1 << 1, /* level and option */
	F_ID = 1 << 2,
	F_NUMBER = 1 << 3,
	F_READ = 1 << 4,
	F_NAME = 1 << 5,
	F_OTHER = 1 << 6,
	F_BODY = 1 << 7,
	F_TTL = 1 << 8,	 /* ttl and tos, in the first four bytes */
	F_ICMP = 1 << 9, /* ICMP's type and code, there */
	F_SEMI = 1 << 10 /* may be lost */
};

struct type {
	const char *name;
	unsigned int fields; /* enum field */
	uint64_t number_max;
	size_t body_min;
};

/* Positions stay where sums of them are still numbers. */
#define POSITION_MAX ((uint64_t)INT64_MAX)

#define NAMES		     (F_NAME | F_OTHER)
#define TYPE(word, has, ...) [EP_##word] = { .name = #word, .fields = has, ##__VA_ARGS__ }
static const struct type types[EP_TYPE_END] = {
	TYPE(REGISTER, F_BODY),
	TYPE(REGISTERED, F_BODY),
	TYPE(REFUSED, F_ERROR | F_BODY),
	TYPE(CHANGED, F_BODY),
	TYPE(PING, F_NUMBER, .number_max = UINT64_MAX),
	TYPE(PONG, F_NUMBER, .number_max = UINT64_MAX),
	TYPE(BIND, F_NAME),
	TYPE(CONNECT, NAMES),
	TYPE(LISTEN, F_NAME | F_NUMBER, .number_max = UINT32_MAX),
	TYPE(RESULT, F_ERROR | F_NAME),
	TYPE(INCOMING, F_ID | NAMES),
	TYPE(ACCEPTED, 0),
	TYPE(DATA, F_BODY),
	TYPE(URGENT, F_BODY, .body_min = 1),
	TYPE(FIN, F_NUMBER, .number_max = POSITION_MAX),
	TYPE(CREDIT, F_NUMBER | F_READ, .number_max = POSITION_MAX),
	TYPE(DELIVERED, F_NUMBER, .number_max = POSITION_MAX),
	TYPE(RESET, F_ERROR),
	TYPE(CLOSE, 0),
	TYPE(OPTION, F_OPTION | F_BODY),
	TYPE(ASK, F_OPTION | F_NUMBER, .number_max = EP_BODY_MAX),
	TYPE(VALUE, F_OPTION | F_ERROR | F_BODY),
	TYPE(DATAGRAM, F_TTL | NAMES | F_BODY | F_SEMI),
	TYPE(ERROR, F_ICMP | F_ERROR | F_NUMBER | NAMES | F_BODY | F_SEMI, .number_max = UINT32_MAX,
	     .body_min = EP_ERROR_WHO),
	TYPE(GROUP, F_ID | F_NUMBER | NAMES, .number_max = 1),
	TYPE(KNOCK, F_ID | NAMES),
	TYPE(ADMIT, F_ERROR | F_ID),
};

static const struct type *type_of(uint8_t type)
{
	return type < EP_TYPE_END && types[type].name ? &types[type] : NULL;
}

const char *ep_type_name(uint8_t type)
{
	const struct type *of = type_of(type);

	return of ? of->name : "unknown";
}

/* ---- addresses */

static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

static bool is_zero(const void *bytes, size_t len)
{
	static const uint8_t zero[NAME_BYTES];

	return !memcmp(bytes, zero, len);
}

static bool is_mapped(const struct isthmus_addr *address)
{
	return !memcmp(address->b, mapped, sizeof(mapped));
}

/* "Any" of IPv4 has one form, so that names can be compared. */
static bool is_mapped_any(const struct isthmus_addr *address)
{
	return is_mapped(address) && is_zero(address->b + 12, 4);
}

/* ---- fields, written */

static uint8_t *put(uint8_t *at, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = value >> 8 * (len - 1 - i);
	return at + len;
}

static uint8_t *put_name(uint8_t *at, const struct ep_name *name)
{
	memset(at, 0, NAME_BYTES);
	if (name->family) {
		at[0] = name->family;
		at[1] = name->proto;
		memcpy(at + 2, &name->port, 2);
		if (name->family == 6)
			put(at + 4, name->scope, 4);
		if (name->family == 6 || !is_mapped_any(&name->address))
			memcpy(at + 8, name->address.b, 16);
	}
	return at + NAME_BYTES;
}

size_t ep_write_head(const struct ep_message *message, uint8_t head[EP_HEAD_MAX])
{
	const struct type *type = type_of(message->type);
	unsigned int fields = type ? type->fields : 0;
	uint8_t *at = head;

	at = put(at, message->type, 1);
	at = put(at, fields & F_TTL ? message->ttl : fields & F_ICMP ? message->icmp_type : 0, 1);
	at = put(at, fields & F_TTL ? message->tos : fields & F_ICMP ? message->icmp_code : 0, 1);
	at = put(at, 0, 1);
	if (fields & F_ERROR)
		at = put(at, message->error, 4);
	if (fields & F_OPTION) {
		at = put(at, message->level, 4);
		at = put(at, message->option, 4);
	}
	if (fields & F_ID)
		at = put(at, message->id, 4);
	if (fields & F_NUMBER)
		at = put(at, message->number, 8);
	if (fields & F_READ)
		at = put(at, message->read, 8);
	if (fields & F_NAME)
		at = put_name(at, &message->name);
	if (fields & F_OTHER)
		at = put_name(at, &message->other);
	return at - head;
}

/* ---- fields, read */

static uint64_t get(const uint8_t **at, size_t len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | *(*at)++;
	return value;
}

/* The length of all that stands before the body. */
static size_t head_len(unsigned int fields)
{
	size_t len = 4;

	len += fields & F_ERROR ? 4 : 0;
	len += fields & F_OPTION ? 8 : 0;
	len += fields & F_ID ? 4 : 0;
	len += fields & F_NUMBER ? 8 : 0;
	len += fields & F_READ ? 8 : 0;
	len += fields & F_NAME ? NAME_BYTES : 0;
	return len + (fields & F_OTHER ? NAME_BYTES : 0);
}

static int get_name(const uint8_t **at, struct ep_name *name)
{
	const uint8_t *bytes = *at;

	*at += NAME_BYTES;
	if (!bytes[0])
		return is_zero(bytes, NAME_BYTES) ? 0 : -EINVAL;
	name->family = bytes[0];
	name->proto = bytes[1];
	memcpy(&name->port, bytes + 2, 2);
	memcpy(name->address.b, bytes + 8, 16);
	bytes += 4;
	name->scope = get(&bytes, 4);
	if (name->proto != IPPROTO_TCP && name->proto != IPPROTO_UDP)
		return -EINVAL;
	if (name->family == 6)
		return 0;
	if (name->family != 4 || name->scope || is_mapped_any(&name->address))
		return -EINVAL;
	return is_mapped(&name->address) || is_zero(name->address.b, 16) ? 0 : -EINVAL;
}

static int get_numbers(const uint8_t **at, const struct type *type, struct ep_message *message)
{
	if (type->fields & F_ERROR)
		message->error = get(at, 4);
	if (type->fields & F_OPTION) {
		message->level = get(at, 4);
		message->option = get(at, 4);
	}
	if (type->fields & F_ID)
		message->id = get(at, 4);
	if (type->fields & F_NUMBER)
		message->number = get(at, 8);
	if (type->fields & F_READ)
		message->read = get(at, 8);
	if (message->error < 0 || message->error > ERRNO_MAX)
		return -EINVAL;
	if (message->number > type->number_max || message->read > POSITION_MAX)
		return -EINVAL;
	/* An INCOMING names a connection of the server's, a GROUP an ifindex. */
	if (message->type == EP_INCOMING)
		return message->id & EP_OF_SERVER ? 0 : -EINVAL;
	return message->id <= INT32_MAX ? 0 : -EINVAL;
}

static int get_first(const uint8_t **at, const struct type *type, struct ep_message *message)
{
	const uint8_t *bytes = *at;

	*at += 4;
	message->type = bytes[0];
	if (type->fields & F_TTL) {
		message->ttl = bytes[1];
		message->tos = bytes[2];
	} else if (type->fields & F_ICMP) {
		message->icmp_type = bytes[1];
		message->icmp_code = bytes[2];
	} else if (bytes[1] || bytes[2]) {
		return -EINVAL;
	}
	return bytes[3] ? -EINVAL : 0;
}

int ep_parse(const uint8_t *bytes, size_t len, struct ep_message *message)
{
	const struct type *type = len ? type_of(bytes[0]) : NULL;
	struct ep_message read = { 0 };
	size_t head;

	if (!type)
		return -EINVAL;
	head = head_len(type->fields);
	if (len < head + type->body_min || len - head > (type->fields & F_BODY ? EP_BODY_MAX : 0))
		return -EINVAL;
	read.body_len = len - head;
	read.body = type->fields & F_BODY ? bytes + head : NULL;
	if (get_first(&bytes, type, &read) || get_numbers(&bytes, type, &read))
		return -EINVAL;
	if (type->fields & F_NAME && get_name(&bytes, &read.name))
		return -EINVAL;
	if (type->fields & F_OTHER && get_name(&bytes, &read.other))
		return -EINVAL;
	*message = read;
	return 0;
}

int ep_send(struct lhp *lhp, uint32_t rsock, const struct ep_message *message)
{
	const struct type *type = type_of(message->type);
	uint8_t head[EP_HEAD_MAX];
	struct iovec parts[2] = { { head, 0 }, { (void *)message->body, message->body_len } };

	if (!type || (message->body_len && !(type->fields & F_BODY)))
		return -EINVAL;
	if (message->body_len > EP_BODY_MAX)
		return -EMSGSIZE;
	parts[0].iov_len = ep_write_head(message, head);
	return lhp_send(lhp, rsock, type->fields & F_SEMI ? LHP_SEMI : LHP_RELIABLE, parts,
			message->body_len ? 2 : 1);
}

/* ---- the kernel's names */

socklen_t ep_to_sockaddr(const struct ep_name *name, struct sockaddr_storage *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (name->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = name->port;
		memcpy(&in->sin_addr, name->address.b + 12, 4);
		return sizeof(*in);
	}
	if (name->family != 6)
		return 0;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = name->port;
	in6->sin6_scope_id = name->scope;
	memcpy(&in6->sin6_addr, name->address.b, 16);
	return sizeof(*in6);
}

static void from_v4(const void *address, struct ep_name *name)
{
	name->family = 4;
	if (is_zero(address, 4))
		return;
	memcpy(name->address.b, mapped, sizeof(mapped));
	memcpy(name->address.b + 12, address, 4);
}

int ep_from_sockaddr(const struct sockaddr *address, socklen_t len, uint8_t proto, bool unmap,
		     struct ep_name *name)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	struct ep_name read = { .proto = proto };

	if (len >= sizeof(*in) && address->sa_family == AF_INET) {
		read.port = in->sin_port;
		from_v4(&in->sin_addr, &read);
	} else if (len >= sizeof(*in6) && address->sa_family == AF_INET6) {
		read.port = in6->sin6_port;
		memcpy(read.address.b, &in6->sin6_addr, 16);
		read.family = 6;
		if (!unmap || !is_mapped(&read.address)) {
			read.scope = in6->sin6_scope_id;
		} else {
			memset(&read.address, 0, sizeof(read.address));
			from_v4(in6->sin6_addr.s6_addr + 12, &read);
		}
	} else {
		return -EAFNOSUPPORT;
	}
	*name = read;
	return 0;
}

bool ep_name_equal(const struct ep_name *a, const struct ep_name *b)
{
	return a->family == b->family && a->proto == b->proto && a->port == b->port &&
	       a->scope == b->scope && !memcmp(&a->address, &b->address, sizeof(a->address));
}
