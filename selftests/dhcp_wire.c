// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/lib/dhcp_frame.c */
/* DHCP messages and frames against bytes written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agents/lib/dhcp_frame.h"
#include "agents/lib/dhcp_wire.h"

/* A message's fixed part (RFC 2131, figure 1) with options behind it. */
struct raw {
	uint8_t bytes[DHCP_BYTES_MAX + 8];
	size_t len;
};

static void raw_start(struct raw *raw)
{
	static const uint8_t head[44] = {
		1, 1,  6, 1, 0x12, 0x34, 0x56, 0x78, 0, 3,  0x80, 0, 192, 0, 2,
		1, 10, 0, 0, 2,	   10,	 0,    0,    3, 10, 0,	  0, 4,	  2, 0,
		0, 0,  0, 1, 0,	   0,	 0,    0,    0, 0,  0,	  0, 0,	  0,
	};
	static const uint8_t cookie[4] = { 0x63, 0x82, 0x53, 0x63 };

	memset(raw, 0, sizeof(*raw));
	memcpy(raw->bytes, head, sizeof(head));
	memcpy(raw->bytes + 236, cookie, sizeof(cookie));
	raw->len = 240;
}

static void raw_add(struct raw *raw, const void *bytes, size_t len)
{
	memcpy(raw->bytes + raw->len, bytes, len);
	raw->len += len;
}

#define ADD(raw, ...)                                                                              \
	do {                                                                                       \
		const uint8_t add_bytes[] = { __VA_ARGS__ };                                       \
		raw_add(raw, add_bytes, sizeof(add_bytes));                                        \
	} while (0)

static void test_head(void **state)
{
	struct dhcp_message m;
	struct raw raw;
	uint32_t value;

	(void)state;
	raw_start(&raw);
	ADD(&raw, 0, 0, 53, 1, 3, 50, 4, 198, 51, 100, 7, 255, 53, 1, 1);
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	assert_int_equal(m.type, DHCP_REQUEST); /* what is behind the end is nothing */
	assert_int_equal(m.head.op, DHCP_BOOTREQUEST);
	assert_int_equal(m.head.htype, 1);
	assert_int_equal(m.head.hlen, 6);
	assert_int_equal(m.head.hops, 1);
	assert_int_equal(m.head.xid, 0x12345678);
	assert_int_equal(m.head.secs, 3);
	assert_int_equal(m.head.flags, DHCP_FLAG_BROADCAST);
	assert_int_equal(m.head.ciaddr, 0xc0000201);
	assert_int_equal(m.head.yiaddr, 0x0a000002);
	assert_int_equal(m.head.siaddr, 0x0a000003);
	assert_int_equal(m.head.giaddr, 0x0a000004);
	assert_memory_equal(m.head.chaddr, "\2\0\0\0\0\1", 6);
	assert_true(dhcp_get_u32(&m, DHCP_OPT_REQUESTED, &value));
	assert_int_equal(value, 0xc6336407);
	assert_false(dhcp_get_u32(&m, DHCP_OPT_SERVER, &value));
	assert_false(dhcp_has(&m, DHCP_OPT_PAD));
}

/* Without an end option the field's end is the end. */
static void test_refused(void **state)
{
	struct dhcp_message m = { .type = DHCP_NAK };
	struct raw good, raw;

	(void)state;
	raw_start(&good);
	ADD(&good, 53, 1, 1);
	assert_int_equal(dhcp_read(good.bytes, good.len, &m), 0);
	m.type = DHCP_NAK;
	for (size_t len = 0; len < good.len; len++)
		assert_int_equal(dhcp_read(good.bytes, len, &m), -EBADMSG);
	for (int i = 236; i < 240; i++) { /* the cookie */
		raw = good;
		raw.bytes[i] ^= 1;
		assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	}
	raw = good;
	raw.bytes[0] = 3;
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	raw = good;
	raw.bytes[2] = 17; /* hlen */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	raw = good;
	raw.bytes[242] = 9; /* no such type */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	raw = good;
	ADD(&raw, 53, 1, 1); /* the type twice is one of two bytes */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	raw = good;
	ADD(&raw, 12, 5, 'a', 'b');
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	assert_int_equal(dhcp_read(raw.bytes, DHCP_BYTES_MAX + 1, &m), -EMSGSIZE);
	assert_int_equal(m.type, DHCP_NAK); /* untouched */
}

static const struct {
	const char *name;
	uint8_t option[6]; /* as it stands in the message; anchors 1.1, RFC 7618, 9 */
	int err;
	struct portset set;
	uint16_t first; /* port of the set */
} sets[] = {
	{ "RFC 7597 A.1", { 159, 4, 6, 8, 0x34, 0 }, 0, { 6, 8, 0x34 }, 1232 },
	{ "1024-2047", { 159, 4, 0, 6, 4, 0 }, 0, { 0, 6, 1 }, 1024 },
	{ "odhcp6c 176", { 159, 4, 6, 3, 0x40, 0 }, 0, { 6, 3, 2 }, 1280 },
	{ "Kea 63", { 159, 4, 0, 4, 0, 0 }, 0, { 0, 4, 0 }, 0 },
	{ "OpenWrt 14449", { 159, 4, 6, 6, 0x44, 0 }, 0, { 6, 6, 0x11 }, 1296 },
	{ "one port", { 159, 4, 0, 16, 0, 80 }, 0, { 0, 16, 80 }, 80 },
	{ "size only", { 159, 4, 0, 0, 0xff, 0xff }, 0, { 0, 0, 0 }, 0 },
	{ "right-justified", { 159, 4, 6, 8, 0, 0x34 }, -EBADMSG, { 0 }, 0 },
	{ "padding not 0", { 159, 4, 6, 8, 0x34, 1 }, -EBADMSG, { 0 }, 0 },
	{ "a 16", { 159, 4, 16, 0, 0, 0 }, -EBADMSG, { 0 }, 0 },
	{ "k 17", { 159, 4, 0, 17, 0, 0 }, -EBADMSG, { 0 }, 0 },
	{ "a + k 17", { 159, 4, 9, 8, 0, 0 }, -EBADMSG, { 0 }, 0 },
	{ "3 bytes", { 159, 3, 6, 8, 0x34, 0 }, -EBADMSG, { 0 }, 0 },
	{ "none", { 12, 4, 'a', 'b', 'c', 'd' }, -ENOENT, { 0 }, 0 },
};

static void test_portset(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct portset set = { 1, 1, 1 };
		struct dhcp_message m;
		struct raw raw;

		raw_start(&raw);
		ADD(&raw, 53, 1, 1);
		raw_add(&raw, sets[i].option, 2u + sets[i].option[1]);
		assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
		if (dhcp_get_portset(&m, &set) != sets[i].err)
			fail_msg("%s", sets[i].name);
		if (sets[i].err) {
			assert_int_equal(set.a, 1); /* untouched */
			continue;
		}
		if (memcmp(&set, &sets[i].set, sizeof(set)) ||
		    (set.k && portset_range_first(&set, 0) != sets[i].first))
			fail_msg("%s: a %u k %u psid %u", sets[i].name, set.a, set.k, set.psid);
	}
}

static void test_write_portset(void **state)
{
	const struct dhcp_head head = { .op = 1, .htype = 1, .hlen = 6 };

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		uint8_t bytes[DHCP_BYTES_MAX];
		struct dhcp_writer w;

		if (sets[i].err || !sets[i].set.k)
			continue;
		dhcp_start(&w, &head, DHCP_OFFER);
		dhcp_put_portset(&w, &sets[i].set);
		assert_int_equal(dhcp_write(&w, bytes), DHCP_BYTES_MIN);
		assert_memory_equal(bytes + 240, "\x35\x01\x02", 3);
		assert_memory_equal(bytes + 243, sets[i].option, 6);
		assert_int_equal(bytes[249], 255);
	}
}

/* RFC 3396: parts in the options field, then in `file`, then in `sname`. */
static void test_long_and_overload(void **state)
{
	static const uint8_t file[] = { 12, 2, 'c', 'd', 255 },
			     sname[] = { 12, 1, 'e', 15, 1, 'x' };
	struct dhcp_message m;
	const uint8_t *value;
	struct raw raw;
	size_t len;

	(void)state;
	raw_start(&raw);
	ADD(&raw, 53, 1, 1, 12, 2, 'a', 'b', 52, 1, 3, 255);
	memcpy(raw.bytes + 108, file, sizeof(file));
	memcpy(raw.bytes + 44, sname, sizeof(sname));
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	value = dhcp_get(&m, DHCP_OPT_HOST_NAME, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(value, "abcde", 5);
	raw.bytes[raw.len - 2] = 1; /* only file */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	dhcp_get(&m, DHCP_OPT_HOST_NAME, &len);
	assert_int_equal(len, 4);
	assert_false(dhcp_has(&m, DHCP_OPT_DOMAIN));
	raw.bytes[raw.len - 2] = 2; /* only sname */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	dhcp_get(&m, DHCP_OPT_HOST_NAME, &len);
	assert_int_equal(len, 3);
	raw.bytes[raw.len - 2] = 4;
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
	raw.bytes[raw.len - 2] = 1;
	raw.bytes[108 + 1] = 200; /* runs out of `file` */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), -EBADMSG);
}

/* What does not fit goes to file and sname, an option of more than 255 bytes in parts. */
static void test_write_long(void **state)
{
	const struct dhcp_head head = { .op = 2, .htype = 1, .hlen = 6 };
	uint8_t bytes[DHCP_BYTES_MAX], text[600], id[90];
	struct dhcp_message m;
	struct dhcp_writer w;
	const uint8_t *value;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i * 7;
	memset(id, 0x5a, sizeof(id));
	dhcp_start(&w, &head, DHCP_ACK);
	w.limit = DHCP_BYTES_MAX;
	dhcp_put(&w, DHCP_OPT_MESSAGE, text, sizeof(text));
	assert_int_equal(dhcp_write(&w, bytes), 240 + 3 + 257 + 257 + 92 + 1);
	assert_int_equal(bytes[243], DHCP_OPT_MESSAGE);
	assert_int_equal(bytes[244], 255);
	assert_int_equal(bytes[500], DHCP_OPT_MESSAGE);
	assert_int_equal(bytes[501], 255);
	assert_int_equal(bytes[757], DHCP_OPT_MESSAGE);
	assert_int_equal(bytes[758], 90);
	dhcp_start(&w, &head, DHCP_ACK);
	dhcp_put(&w, DHCP_OPT_MESSAGE, text, 250);
	dhcp_put(&w, DHCP_OPT_CLIENT_ID, id, sizeof(id)); /* does not fit behind it */
	dhcp_put_u32(&w, DHCP_OPT_SERVER, 0x0a000001);
	assert_int_equal(dhcp_write(&w, bytes), 240 + 3 + 252 + 3 + 1);
	assert_memory_equal(bytes + 495, "\x34\x01\x01\xff", 4);
	assert_memory_equal(bytes + 108, "\x3d\x5a\x5a", 3);
	assert_memory_equal(bytes + 108 + 92, "\x36\x04\x0a\x00\x00\x01\xff", 7);
	assert_int_equal(dhcp_read(bytes, 499, &m), 0);
	value = dhcp_get(&m, DHCP_OPT_MESSAGE, &len);
	assert_int_equal(len, 250);
	assert_memory_equal(value, text, 250);
	dhcp_start(&w, &head, DHCP_ACK);
	dhcp_put(&w, DHCP_OPT_MESSAGE, text, sizeof(text));
	assert_int_equal(dhcp_write(&w, bytes), -EMSGSIZE); /* 548 bytes hold no such message */
}

static void test_relay_part(void **state)
{
	struct dhcp_message m;
	const uint8_t *part;
	struct raw raw;
	size_t len;

	(void)state;
	raw_start(&raw);
	ADD(&raw, 53, 1, 1, 82, 9, 1, 2, 'p', '1', 2, 3, 'x', 'y', 'z');
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	part = dhcp_relay_part(&m, 2, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(part, "xyz", 3);
	assert_null(dhcp_relay_part(&m, 5, &len));
	raw.bytes[raw.len - 4] = 4; /* one byte too long */
	assert_int_equal(dhcp_read(raw.bytes, raw.len, &m), 0);
	assert_null(dhcp_relay_part(&m, 2, &len));
}

/* "hello" from 10.0.0.1:67 to 255.255.255.255:68; checksums by scapy. */
static const uint8_t frame_bytes[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0,  0,    0,	  0,   1,   0x08, 0x00, 0x45, 0,
	0,    33,   0,	  0,	0,    0,    64,	  17, 0x70, 0xcc, 10,  0,   0,	  1,	0xff, 0xff,
	0xff, 0xff, 0,	  67,	0,    68,   0,	  13, 0xb1, 0x7a, 'h', 'e', 'l',  'l',	'o',
};

static void test_frame(void **state)
{
	struct dhcp_frame_ends ends = { .src = 0x0a000001, .dst = ~0u, .sport = 67, .dport = 68 },
			       read;
	uint8_t frame[DHCP_FRAME_MAX], wrong[sizeof(frame_bytes)];
	const uint8_t *message = NULL;
	size_t len = 0;

	(void)state;
	memset(ends.dst_mac, 0xff, 6);
	memcpy(ends.src_mac, "\2\0\0\0\0\1", 6);
	assert_int_equal(dhcp_frame_write(&ends, "hello", 5, frame), sizeof(frame_bytes));
	assert_memory_equal(frame, frame_bytes, sizeof(frame_bytes));
	assert_int_equal(dhcp_frame_read(frame, sizeof(frame_bytes), true, &read, &message, &len),
			 0);
	assert_int_equal(len, 5);
	assert_ptr_equal(message, frame + 42);
	assert_memory_equal(&read, &ends, sizeof(read));
	for (size_t i = 0; i < sizeof(frame_bytes); i++) {
		memcpy(wrong, frame_bytes, sizeof(wrong));
		wrong[i] ^= 0x04;
		assert_int_equal(dhcp_frame_read(wrong, sizeof(wrong), true, &read, &message, &len),
				 i < 12 ? 0 : -EBADMSG);
		assert_int_equal(dhcp_frame_read(frame_bytes, i, true, &read, &message, &len),
				 -EBADMSG);
	}
	memcpy(wrong, frame_bytes, sizeof(wrong));
	wrong[44] ^= 1;
	assert_int_equal(dhcp_frame_read(wrong, sizeof(wrong), false, &read, &message, &len), 0);
	wrong[40] = wrong[41] = 0; /* the sender has made no sum */
	assert_int_equal(dhcp_frame_read(wrong, sizeof(wrong), true, &read, &message, &len), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_portset),
		cmocka_unit_test(test_write_portset),
		cmocka_unit_test(test_long_and_overload),
		cmocka_unit_test(test_write_long),
		cmocka_unit_test(test_relay_part),
		cmocka_unit_test(test_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
