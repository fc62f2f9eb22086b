// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/ep.c */
/* The Export Protocol against bytes written by hand (docs/protocol.md), and its names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/byteorder.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "agents/lib/ep.h"
#include "agents/lib/lhp.h"

/* 192.0.2.1:80, TCP */
#define NAME4 "\4\6\0\120\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\300\0\2\1"
/* [fe80::2]:53 of interface 3, UDP */
#define NAME6 "\6\21\0\65\0\0\0\3\376\200\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
/* any address, port 80, TCP */
#define ANY4	     "\4\6\0\120\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NONE	     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define PORT(number) __constant_htons(number)

#define NAME4_IS                                                                                   \
	{                                                                                          \
		.address = { { [10] = 255, 255, 192, 0, 2, 1 } }, .port = PORT(80), .family = 4,   \
		.proto = 6                                                                         \
	}
#define NAME6_IS                                                                                   \
	{                                                                                          \
		.address = { { 0xfe, 0x80, [15] = 2 } }, .port = PORT(53), .family = 6,            \
		.proto = 17, .scope = 3                                                            \
	}
#define ANY4_IS                                                                                    \
	{                                                                                          \
		.port = PORT(80), .family = 4, .proto = 6                                          \
	}
#define WHO "\0\0\0\0\0\0\0\0\0\0\377\377\306\63\144\1"

struct row {
	const char *name;
	const char *bytes;
	size_t len, head; /* all; what stands before the body */
	struct ep_message message;
};

#define ROW(name, head_bytes, body_bytes, ...)                                                     \
	{                                                                                          \
		name, head_bytes body_bytes, sizeof(head_bytes body_bytes) - 1,                    \
			sizeof(head_bytes) - 1,                                                    \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct row rows[] = {
	ROW("REGISTER", "\1\0\0\0", "{}", .type = EP_REGISTER),
	ROW("REGISTERED", "\2\0\0\0", "{\"version\":1}", .type = EP_REGISTERED),
	ROW("REFUSED", "\3\0\0\0\0\0\0\15", "no", .type = EP_REFUSED, .error = EACCES),
	ROW("CHANGED", "\4\0\0\0", "{}", .type = EP_CHANGED),
	ROW("PING", "\5\0\0\0\1\2\3\4\5\6\7\10", "", .type = EP_PING, .number = 0x0102030405060708),
	ROW("PONG", "\6\0\0\0\377\377\377\377\377\377\377\377", "", .type = EP_PONG,
	    .number = UINT64_MAX),
	ROW("BIND", "\7\0\0\0" NAME6, "", .type = EP_BIND, .name = NAME6_IS),
	ROW("CONNECT", "\10\0\0\0" NONE NAME4, "", .type = EP_CONNECT, .other = NAME4_IS),
	ROW("LISTEN", "\11\0\0\0\0\0\0\0\0\0\0\200" ANY4, "", .type = EP_LISTEN, .number = 128,
	    .name = ANY4_IS),
	ROW("RESULT", "\12\0\0\0\0\0\0\157" NAME4, "", .type = EP_RESULT, .error = ECONNREFUSED,
	    .name = NAME4_IS),
	ROW("INCOMING", "\13\0\0\0\200\0\0\7" NAME4 NAME6, "", .type = EP_INCOMING,
	    .id = EP_OF_SERVER | 7, .name = NAME4_IS, .other = NAME6_IS),
	ROW("ACCEPTED", "\14\0\0\0", "", .type = EP_ACCEPTED),
	ROW("DATA", "\15\0\0\0", "bytes", .type = EP_DATA),
	ROW("URGENT", "\16\0\0\0", "!", .type = EP_URGENT),
	ROW("FIN", "\17\0\0\0\0\0\0\1\0\0\0\0", "", .type = EP_FIN, .number = 1ull << 32),
	ROW("CREDIT", "\20\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\0\0", "", .type = EP_CREDIT,
	    .number = 131072, .read = 65536),
	ROW("DELIVERED", "\21\0\0\0\177\377\377\377\377\377\377\377", "", .type = EP_DELIVERED,
	    .number = INT64_MAX),
	ROW("RESET", "\22\0\0\0\0\0\0\150", "", .type = EP_RESET, .error = ECONNRESET),
	ROW("CLOSE", "\23\0\0\0", "", .type = EP_CLOSE),
	ROW("OPTION", "\24\0\0\0\0\0\0\51\377\377\377\377", "\1\0\0\0", .type = EP_OPTION,
	    .level = 41, .option = -1),
	ROW("ASK", "\25\0\0\0\0\0\0\6\0\0\0\13\0\0\0\0\0\0\0\150", "", .type = EP_ASK, .level = 6,
	    .option = 11, .number = 104),
	ROW("VALUE", "\26\0\0\0\0\0\0\134\0\0\0\6\0\0\0\13", "", .type = EP_VALUE,
	    .error = ENOPROTOOPT, .level = 6, .option = 11),
	ROW("DATAGRAM", "\27\100\270\0" NAME6 NAME4, "payload", .type = EP_DATAGRAM, .ttl = 64,
	    .tos = 184, .name = NAME6_IS, .other = NAME4_IS),
	ROW("ERROR", "\30\3\4\0\0\0\0\132\0\0\0\0\0\0\5\170" NAME6 NAME4, WHO "pay",
	    .type = EP_ERROR, .error = EMSGSIZE, .icmp_type = 3, .icmp_code = 4, .number = 1400,
	    .name = NAME6_IS, .other = NAME4_IS),
	ROW("GROUP", "\31\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1" NAME6 NONE, "", .type = EP_GROUP, .id = 2,
	    .number = 1, .name = NAME6_IS),
	ROW("KNOCK", "\32\0\0\0\0\0\0\7" NAME4 NAME6, "", .type = EP_KNOCK, .id = 7,
	    .name = NAME4_IS, .other = NAME6_IS),
	ROW("ADMIT", "\33\0\0\0\0\0\0\13\0\0\0\7", "", .type = EP_ADMIT, .error = EAGAIN, .id = 7),
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* In place of an LHP: what was sent. */
static struct {
	uint8_t bytes[EP_HEAD_MAX + EP_BODY_MAX];
	size_t len;
	uint32_t stream;
	enum lhp_class class;
	int calls;
} sent;

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count)
{
	(void)lhp;
	sent.len = 0;
	sent.stream = stream;
	sent.class = class;
	sent.calls++;
	for (int i = 0; i < count; i++) {
		memcpy(sent.bytes + sent.len, parts[i].iov_base, parts[i].iov_len);
		sent.len += parts[i].iov_len;
	}
	return 0;
}

static void assert_same(const struct ep_message *a, const struct ep_message *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->ttl, b->ttl);
	assert_int_equal(a->tos, b->tos);
	assert_int_equal(a->icmp_type, b->icmp_type);
	assert_int_equal(a->icmp_code, b->icmp_code);
	assert_int_equal(a->error, b->error);
	assert_int_equal(a->level, b->level);
	assert_int_equal(a->option, b->option);
	assert_int_equal(a->id, b->id);
	assert_true(a->number == b->number);
	assert_true(a->read == b->read);
	assert_true(ep_name_equal(&a->name, &b->name));
	assert_true(ep_name_equal(&a->other, &b->other));
}

static void test_all_types_have_a_row(void **state)
{
	(void)state;
	assert_int_equal(ROWS, EP_TYPE_END - 1);
	for (size_t i = 0; i < ROWS; i++) {
		assert_int_equal(rows[i].message.type, i + 1);
		assert_string_equal(ep_type_name(i + 1), rows[i].name);
	}
	assert_string_equal(ep_type_name(0), "unknown");
	assert_string_equal(ep_type_name(EP_TYPE_END), "unknown");
}

static void test_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct ep_message message = rows[i].message;
		uint8_t head[EP_HEAD_MAX];

		memset(head, 0xaa, sizeof(head));
		assert_int_equal(ep_write_head(&message, head), rows[i].head);
		assert_memory_equal(head, rows[i].bytes, rows[i].head);

		message.body = rows[i].bytes + rows[i].head;
		message.body_len = rows[i].len - rows[i].head;
		assert_int_equal(ep_send(NULL, 77, &message), 0);
		assert_int_equal(sent.len, rows[i].len);
		assert_memory_equal(sent.bytes, rows[i].bytes, rows[i].len);
		assert_int_equal(sent.stream, 77);
		assert_int_equal(sent.class, message.type == EP_DATAGRAM || message.type == EP_ERROR
						     ? LHP_SEMI
						     : LHP_RELIABLE);
	}
}

/* Fields that a type has not are not written: what was left in the struct does not travel. */
static void test_written_without_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct ep_message message;
		uint8_t head[EP_HEAD_MAX], bytes[EP_HEAD_MAX];
		size_t len;

		memset(&message, 1, sizeof(message));
		message.type = rows[i].message.type;
		message.name.family = message.other.family = 0;
		len = ep_write_head(&message, head);
		memset(&message, 2, sizeof(message));
		message.type = rows[i].message.type;
		message.name.family = message.other.family = 0;
		assert_int_equal(ep_write_head(&message, bytes), len);
		assert_int_equal(len, rows[i].head);
		assert_memory_equal(head, rows[i].bytes, 1);
		assert_int_equal(head[3], 0);
	}
}

static void test_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const uint8_t *bytes = (const uint8_t *)rows[i].bytes;
		struct ep_message read;

		memset(&read, 0xaa, sizeof(read));
		assert_int_equal(ep_parse(bytes, rows[i].len, &read), 0);
		assert_same(&read, &rows[i].message);
		assert_int_equal(read.body_len, rows[i].len - rows[i].head);
		if (read.body_len)
			assert_ptr_equal(read.body, bytes + rows[i].head);
	}
}

/* Least length of a body, and whether there is one. */
static size_t body_min(uint8_t type)
{
	return type == EP_URGENT ? 1 : type == EP_ERROR ? 16 : 0;
}

static bool has_body(uint8_t type)
{
	return type == EP_REGISTER || type == EP_REGISTERED || type == EP_REFUSED ||
	       type == EP_CHANGED || type == EP_DATA || type == EP_URGENT || type == EP_OPTION ||
	       type == EP_VALUE || type == EP_DATAGRAM || type == EP_ERROR;
}

static void test_lengths(void **state)
{
	static uint8_t bytes[EP_HEAD_MAX + EP_BODY_MAX + 1];
	struct ep_message read, before;

	(void)state;
	memset(&before, 0x55, sizeof(before));
	for (size_t i = 0; i < ROWS; i++) {
		uint8_t type = rows[i].message.type;
		size_t least = rows[i].head + body_min(type);
		size_t most = rows[i].head + (has_body(type) ? EP_BODY_MAX : 0);

		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, rows[i].bytes, rows[i].len);
		for (size_t len = 0; len <= sizeof(bytes); len += len < 256 ? 1 : 97) {
			int rc = len >= least && len <= most ? 0 : -EINVAL;

			read = before;
			assert_int_equal(ep_parse(bytes, len, &read), rc);
			if (rc)
				assert_memory_equal(&read, &before, sizeof(read));
		}
		assert_int_equal(ep_parse(bytes, most, &read), 0);
		assert_int_equal(ep_parse(bytes, most + 1, &read), -EINVAL);
	}
}

struct wrong {
	const char *what;
	uint8_t type;
	unsigned int at;
	uint8_t byte;
};

static const struct wrong wrongs[] = {
	{ "no type", EP_CLOSE, 0, 0 },
	{ "a type that is none", EP_CLOSE, 0, EP_TYPE_END },
	{ "the last type of all", EP_CLOSE, 0, 255 },
	{ "bytes 1 to 3 are 0", EP_CLOSE, 1, 1 },
	{ "bytes 1 to 3 are 0", EP_CLOSE, 2, 1 },
	{ "bytes 1 to 3 are 0", EP_CLOSE, 3, 1 },
	{ "byte 3 is 0", EP_DATAGRAM, 3, 1 },
	{ "byte 3 is 0", EP_ERROR, 3, 1 },
	{ "an errno above 4095", EP_RESET, 6, 0x10 },
	{ "a negative errno", EP_RESULT, 4, 0x80 },
	{ "a position above 2^63", EP_FIN, 4, 0x80 },
	{ "a position above 2^63", EP_CREDIT, 4, 0x80 },
	{ "read above 2^63", EP_CREDIT, 12, 0x80 },
	{ "a position above 2^63", EP_DELIVERED, 4, 0x80 },
	{ "a backlog of more than 32 bits", EP_LISTEN, 7, 1 },
	{ "room for more than a body", EP_ASK, 17, 2 },
	{ "a group joined twice", EP_GROUP, 15, 2 },
	{ "a negative ifindex", EP_GROUP, 4, 0x80 },
	{ "INCOMING of the client's", EP_INCOMING, 4, 0 },
	{ "KNOCK's id above 2^31", EP_KNOCK, 4, 0x80 },
	{ "ADMIT's id above 2^31", EP_ADMIT, 8, 0x80 },
	{ "family 5", EP_BIND, 4, 5 },
	{ "no family but a port", EP_BIND, 4, 0 },
	{ "protocol 1", EP_BIND, 5, 1 },
	{ "IPv4 with a scope", EP_RESULT, 8 + 7, 1 },
	{ "IPv4 that is not mapped", EP_RESULT, 8 + 8, 1 },
	{ "IPv4 that is not mapped", EP_RESULT, 8 + 18, 0 },
	{ "any with a port of no family", EP_CONNECT, 4 + 3, 1 },
	{ "the other of family 7", EP_CONNECT, 4 + 24, 7 },
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct row *row = &rows[wrongs[i].type - 1];
		uint8_t bytes[256];
		struct ep_message read;

		memcpy(bytes, row->bytes, row->len);
		assert_int_equal(ep_parse(bytes, row->len, &read), 0);
		bytes[wrongs[i].at] = wrongs[i].byte;
		if (!ep_parse(bytes, row->len, &read))
			fail_msg("taken: %s", wrongs[i].what);
	}
}

/* "Any" of IPv4 has one form on the wire. */
static void test_any(void **state)
{
	struct ep_message message = { .type = EP_BIND, .name = ANY4_IS };
	uint8_t head[EP_HEAD_MAX];
	struct ep_message read;

	(void)state;
	message.name.address.b[10] = message.name.address.b[11] = 255;
	assert_int_equal(ep_write_head(&message, head), 28);
	assert_memory_equal(head + 4, ANY4, 24);
	assert_int_equal(ep_parse(head, 28, &read), 0);
	head[4 + 8 + 10] = head[4 + 8 + 11] = 255;
	assert_int_equal(ep_parse(head, 28, &read), -EINVAL);
}

static void test_send_refused(void **state)
{
	static const uint8_t body[EP_BODY_MAX + 1];
	struct ep_message message = { .type = EP_DATA, .body = body };

	(void)state;
	sent.calls = 0;
	message.body_len = EP_BODY_MAX + 1;
	assert_int_equal(ep_send(NULL, 1, &message), -EMSGSIZE);
	message.type = EP_CLOSE;
	message.body_len = 1;
	assert_int_equal(ep_send(NULL, 1, &message), -EINVAL);
	message.type = EP_TYPE_END;
	message.body_len = 0;
	assert_int_equal(ep_send(NULL, 1, &message), -EINVAL);
	assert_int_equal(sent.calls, 0);
	message.type = EP_DATA;
	message.body_len = EP_BODY_MAX;
	assert_int_equal(ep_send(NULL, 1, &message), 0);
	assert_int_equal(sent.calls, 1);
	assert_int_equal(sent.len, 4 + EP_BODY_MAX);
}

static const struct ep_name name4 = NAME4_IS, name6 = NAME6_IS, any4 = ANY4_IS;

static void test_sockaddr4(void **state)
{
	struct sockaddr_storage address;
	const struct sockaddr_in *in = (struct sockaddr_in *)&address;
	struct ep_name read;

	(void)state;
	assert_int_equal(ep_to_sockaddr(&name4, &address), sizeof(*in));
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(in->sin_port, htons(80));
	assert_int_equal(in->sin_addr.s_addr, htonl(0xc0000201));
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)in, sizeof(*in), 6, true, &read), 0);
	assert_true(ep_name_equal(&read, &name4));

	assert_int_equal(ep_to_sockaddr(&any4, &address), sizeof(*in));
	assert_int_equal(in->sin_addr.s_addr, 0);
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)in, sizeof(*in), 6, false, &read), 0);
	assert_true(ep_name_equal(&read, &any4));
}

static void test_sockaddr6(void **state)
{
	struct sockaddr_storage address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
	struct ep_name read;

	(void)state;
	assert_int_equal(ep_to_sockaddr(&name6, &address), sizeof(*in6));
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_int_equal(in6->sin6_port, htons(53));
	assert_int_equal(in6->sin6_scope_id, 3);
	assert_memory_equal(&in6->sin6_addr, name6.address.b, 16);
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)in6, sizeof(*in6), 17, true, &read),
			 0);
	assert_true(ep_name_equal(&read, &name6));

	/* ::ffff:192.0.2.1 of an IPv6 socket */
	in6->sin6_port = htons(80);
	in6->sin6_scope_id = 0;
	memcpy(&in6->sin6_addr, name4.address.b, 16);
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)in6, sizeof(*in6), 6, true, &read), 0);
	assert_true(ep_name_equal(&read, &name4));
	assert_int_equal(ep_from_sockaddr((struct sockaddr *)in6, sizeof(*in6), 6, false, &read),
			 0);
	assert_int_equal(read.family, 6);
	assert_memory_equal(&read.address, &name4.address, 16);
}

static void test_sockaddr_refused(void **state)
{
	const struct ep_name none = { .port = 1 };
	struct sockaddr_storage address = { .ss_family = AF_INET };
	const struct sockaddr *any = (struct sockaddr *)&address;
	struct ep_name read = name6;

	(void)state;
	assert_int_equal(ep_from_sockaddr(any, sizeof(struct sockaddr_in) - 1, 6, true, &read),
			 -EAFNOSUPPORT);
	address.ss_family = AF_INET6;
	assert_int_equal(ep_from_sockaddr(any, sizeof(struct sockaddr_in6) - 1, 6, true, &read),
			 -EAFNOSUPPORT);
	address.ss_family = AF_UNIX;
	assert_int_equal(ep_from_sockaddr(any, sizeof(address), 6, true, &read), -EAFNOSUPPORT);
	assert_true(ep_name_equal(&read, &name6));
	assert_int_equal(ep_to_sockaddr(&none, &address), 0);
}

static void test_name_equal(void **state)
{
	struct ep_name other = name6;

	(void)state;
	assert_true(ep_name_equal(&other, &name6));
	other.scope++;
	assert_false(ep_name_equal(&other, &name6));
	other = name6;
	other.proto = 6;
	assert_false(ep_name_equal(&other, &name6));
	other = name6;
	other.port++;
	assert_false(ep_name_equal(&other, &name6));
	other = name6;
	other.address.b[15]++;
	assert_false(ep_name_equal(&other, &name6));
	assert_false(ep_name_equal(&name4, &any4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types_have_a_row),
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_written_without_others),
		cmocka_unit_test(test_parsed),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_send_refused),
		cmocka_unit_test(test_sockaddr4),
		cmocka_unit_test(test_sockaddr6),
		cmocka_unit_test(test_sockaddr_refused),
		cmocka_unit_test(test_name_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
