// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/tunnel.c agents/lib/tunnel_ends.c agents/lib/auth.c */
/*
 * selftests/tunnel.c - control packets of a tunnel, byte for byte as docs/protocol.md, "Tunnel",
 * has them; its keys, computed here from SHA-256 alone (RFC 2104, RFC 5869); one handshake, step by
 * step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <openssl/sha.h>

#include "agents/lib/tunnel.h"

#define HASH   32
#define BLOCK  64
#define MAC_AT 64
#define ID     0xabc
#define VNI_G  0x00a1b2c3
#define VNI_W  0x00d4e5f6

/* ---- references */

/* RFC 2104 over SHA-256; all keys here are shorter than a block. */
static void hmac(const uint8_t *key, size_t key_len, const uint8_t *text, size_t len,
		 uint8_t out[HASH])
{
	uint8_t inner[BLOCK + 1024], outer[BLOCK + HASH];

	assert_true(key_len <= BLOCK && len <= 1024);
	memset(inner, 0x36, BLOCK);
	memset(outer, 0x5c, BLOCK);
	for (size_t i = 0; i < key_len; i++) {
		inner[i] ^= key[i];
		outer[i] ^= key[i];
	}
	if (len)
		memcpy(inner + BLOCK, text, len);
	SHA256(inner, BLOCK + len, outer + BLOCK);
	SHA256(outer, BLOCK + HASH, out);
}

/* RFC 5869 2.2, 2.3. */
static void hkdf(const uint8_t *secret, size_t secret_len, const uint8_t *salt, size_t salt_len,
		 const uint8_t *info, size_t info_len, uint8_t *key, size_t len)
{
	uint8_t prk[HASH], text[HASH + 256 + 1], block[HASH];
	size_t have = 0, done = 0;

	hmac(salt, salt_len, secret, secret_len, prk);
	for (uint8_t n = 1; done < len; n++) {
		size_t take = len - done < HASH ? len - done : HASH;

		memcpy(text + have, info, info_len);
		text[have + info_len] = n;
		hmac(prk, HASH, text, have + info_len + 1, block);
		memcpy(text, block, HASH);
		have = HASH;
		memcpy(key + done, block, take);
		done += take;
	}
}

static void put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t)value;
}

/* docs/protocol.md's table, behind Geneve's header with O (RFC 8926 3.4). */
static void encode(const struct tunnel_message *message, const uint8_t *key,
		   uint8_t bytes[TUNNEL_CONTROL_BYTES])
{
	uint8_t mac[HASH];

	memset(bytes, 0, 80);
	bytes[1] = 0x80;
	memcpy(bytes + 8, "IST1", 4);
	bytes[12] = message->type;
	bytes[13] = message->flags;
	put(bytes + 14, message->cpus, 2);
	put(bytes + 16, message->gateway, 4);
	put(bytes + 20, message->vni, 4);
	memcpy(bytes + 24, message->nonce_gateway, 16);
	memcpy(bytes + 40, message->nonce_waypoint, 16);
	put(bytes + 56, message->number, 8);
	if (!key)
		return;
	hmac(key, 32, bytes, MAC_AT, mac);
	memcpy(bytes + MAC_AT, mac, 16);
}

static const uint8_t secret[TUNNEL_SECRET_BYTES] = "a secret of 32 bytes for a pair.";
static const uint8_t other[TUNNEL_SECRET_BYTES] = "a secret of 32 bytes for a pair,";

static struct tunnel_message example(void)
{
	struct tunnel_message message = {
		.type = TUNNEL_OPEN,
		.flags = TUNNEL_MAC_HEADERS | TUNNEL_STRAIGHT,
		.cpus = 0x0100,
		.gateway = ID,
		.vni = VNI_G,
		.number = 0x0102030405060708,
	};

	memcpy(message.nonce_gateway, "nonce of gateway", 16);
	memcpy(message.nonce_waypoint, "WAYPOINT's nonce", 16);
	return message;
}

/* ---- the references are right */

/* RFC 5869 A.1, A.3 (there the salt is empty, as one of zeros is). */
static void test_hkdf_vectors(void **state)
{
	static const uint8_t okm1[42] = "\x3c\xb2\x5f\x25\xfa\xac\xd5\x7a\x90\x43\x4f\x64\xd0\x36"
					"\x2f\x2a\x2d\x2d\x0a\x90\xcf\x1a\x5a\x4c\x5d\xb0\x2d\x56"
					"\xec\xc4\xc5\xbf\x34\x00\x72\x08\xd5\xb8\x87\x18\x58\x65";
	static const uint8_t okm3[42] = "\x8d\xa4\xe7\x75\xa5\x63\xc1\x8f\x71\x5f\x80\x2a\x06\x3c"
					"\x5a\x31\xb8\xa1\x1f\x5c\x5e\xe1\x87\x9e\xc3\x45\x4e\x5f"
					"\x3c\x73\x8d\x2d\x9d\x20\x13\x95\xfa\xa4\xb6\x1a\x96\xc8";
	uint8_t ikm[22], salt[13], info[10], key[42];

	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	for (int i = 0; i < 13; i++)
		salt[i] = (uint8_t)i;
	for (int i = 0; i < 10; i++)
		info[i] = (uint8_t)(0xf0 + i);
	hkdf(ikm, sizeof(ikm), salt, sizeof(salt), info, sizeof(info), key, sizeof(key));
	assert_memory_equal(key, okm1, sizeof(key));
	hkdf(ikm, sizeof(ikm), NULL, 0, info, 0, key, sizeof(key));
	assert_memory_equal(key, okm3, sizeof(key));
}

/* ---- bytes */

static void test_bytes(void **state)
{
	uint8_t want[TUNNEL_CONTROL_BYTES], bytes[TUNNEL_CONTROL_BYTES];

	(void)state;
	for (int type = TUNNEL_HELLO; type <= TUNNEL_CLOSE; type++) {
		for (int keyed = 0; keyed < 2; keyed++) {
			struct tunnel_message message = example(), read = { 0 };

			message.type = (uint8_t)type;
			encode(&message, keyed ? secret : NULL, want);
			assert_int_equal(tunnel_write(&message, keyed ? secret : NULL, bytes), 0);
			assert_memory_equal(bytes, want, sizeof(want));
			assert_int_equal(tunnel_read(bytes, sizeof(bytes), &read), 0);
			assert_memory_equal(&read, &message, sizeof(read));
			assert_int_equal(tunnel_is_from(bytes, secret), keyed);
			assert_false(tunnel_is_from(bytes, other));
		}
	}
}

/* The first 16 bytes are compared, and every bit of the packet is in what they are of. */
static void test_every_bit(void **state)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES];
	struct tunnel_message message = example(), read;

	(void)state;
	encode(&message, secret, bytes);
	for (int bit = 0; bit < TUNNEL_CONTROL_BYTES * 8; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_false(tunnel_is_from(bytes, secret));
		if (bit < 12 * 8)
			assert_int_equal(tunnel_read(bytes, sizeof(bytes), &read), -EINVAL);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	assert_true(tunnel_is_from(bytes, secret));
}

static void test_lengths(void **state)
{
	uint8_t bytes[TUNNEL_CONTROL_BYTES + 16] = { 0 };
	struct tunnel_message message = example(), read = { 0 }, untouched = { 0 };

	(void)state;
	encode(&message, secret, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		if (len != TUNNEL_CONTROL_BYTES)
			assert_int_equal(tunnel_read(bytes, len, &read), -EINVAL);
	assert_memory_equal(&read, &untouched, sizeof(read));
	assert_int_equal(tunnel_read(bytes, TUNNEL_CONTROL_BYTES, &read), 0);
}

/* Signed by who has the key, and still wrong; `at` is behind Geneve's header, as in the table. */
static void test_forms(void **state)
{
	static const struct {
		const char *what;
		uint8_t at, len;
		uint32_t value;
		int result;
	} rows[] = {
		{ "as it is", 4, 1, TUNNEL_OPEN, 0 },
		{ "another magic", 3, 1, '2', -EINVAL },
		{ "no type", 4, 1, 0, -EINVAL },
		{ "the last type", 4, 1, TUNNEL_CLOSE, 0 },
		{ "an eighth type", 4, 1, 8, -EINVAL },
		{ "no flags", 5, 1, 0, 0 },
		{ "both flags", 5, 1, 6, 0 },
		{ "UP is not wished", 5, 1, 1, -EINVAL },
		{ "an unknown flag", 5, 1, 8, -EINVAL },
		{ "no CPU", 6, 2, 0, -EINVAL },
		{ "256 CPUs", 6, 2, 256, 0 },
		{ "257 CPUs", 6, 2, 257, -EINVAL },
		{ "no gateway", 8, 4, 0, -EINVAL },
		{ "the last gateway", 8, 4, 4095, 0 },
		{ "one beyond it", 8, 4, 4096, -EINVAL },
		{ "a gateway in the top byte", 8, 4, 0x01000001, -EINVAL },
		{ "no VNI", 12, 4, 0, -EINVAL },
		{ "the last VNI", 12, 4, 0xffffff, 0 },
		{ "a VNI of 25 bits", 12, 4, 0x1000000, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t bytes[TUNNEL_CONTROL_BYTES], mac[HASH];
		struct tunnel_message message = example(), read;
		int result;

		encode(&message, NULL, bytes);
		put(bytes + 8 + rows[i].at, rows[i].value, rows[i].len);
		hmac(secret, 32, bytes, MAC_AT, mac);
		memcpy(bytes + MAC_AT, mac, 16);
		result = tunnel_read(bytes, sizeof(bytes), &read);
		if (result != rows[i].result)
			fail_msg("%s: %d", rows[i].what, result);
	}
}

/* ---- keys */

static void derive(const uint8_t *from, const uint8_t *nonce_g, const uint8_t *nonce_w,
		   const char *info, uint8_t *key, size_t len)
{
	uint8_t salt[32];

	memcpy(salt, nonce_g, 16);
	memcpy(salt + 16, nonce_w, 16);
	hkdf(from, 32, salt, 32, (const uint8_t *)info, strlen(info), key, len);
}

static void check_keys(const uint8_t *from, const uint8_t *nonce_g, const uint8_t *nonce_w,
		       const struct tunnel_session *session)
{
	uint8_t key[32];

	derive(from, nonce_g, nonce_w, "isthmus tunnel 1 to waypoint", key, 16);
	assert_memory_equal(session->to_waypoint, key, 16);
	derive(from, nonce_g, nonce_w, "isthmus tunnel 1 to gateway", key, 16);
	assert_memory_equal(session->to_gateway, key, 16);
	derive(from, nonce_g, nonce_w, "isthmus tunnel 1 control", key, 32);
	assert_memory_equal(session->control, key, 32);
}

static void test_keys(void **state)
{
	struct tunnel_message message = example();
	struct tunnel_session session = { 0 }, again = { 0 };
	uint8_t nonce[16];

	(void)state;
	assert_int_equal(
		tunnel_derive(secret, message.nonce_gateway, message.nonce_waypoint, &session), 0);
	check_keys(secret, message.nonce_gateway, message.nonce_waypoint, &session);
	assert_memory_not_equal(session.to_waypoint, session.to_gateway, 16);
	assert_memory_not_equal(session.to_waypoint, session.control, 16);
	assert_memory_not_equal(session.to_gateway, session.control, 16);
	for (int i = 0; i < 3; i++) { /* either nonce, or the secret, changed by a bit */
		memcpy(nonce, i == 1 ? message.nonce_waypoint : message.nonce_gateway, 16);
		nonce[15] ^= i < 2;
		assert_int_equal(tunnel_derive(i == 2 ? other : secret,
					       i == 1 ? message.nonce_gateway : nonce,
					       i == 1 ? nonce : message.nonce_waypoint, &again),
				 0);
		assert_memory_not_equal(session.to_waypoint, again.to_waypoint, 16);
		assert_memory_not_equal(session.to_gateway, again.to_gateway, 16);
		assert_memory_not_equal(session.control, again.control, 32);
	}
}

/* Whose source, nonce or gateway is another, of whose the cookie is not. */
static void test_cookie(void **state)
{
	uint8_t from[18] = "where HELLO came.", cookie[16], again[16], out[TUNNEL_CONTROL_BYTES];
	uint8_t want[TUNNEL_CONTROL_BYTES];
	struct tunnel_message hello = example(), changed, answer;

	(void)state;
	hello.type = TUNNEL_HELLO;
	assert_int_equal(tunnel_cookie(secret, from, sizeof(from), &hello, cookie), 0);
	assert_int_equal(tunnel_cookie(secret, from, sizeof(from), &hello, again), 0);
	assert_memory_equal(cookie, again, 16);
	for (size_t bit = 0; bit < sizeof(from) * 8; bit++) {
		from[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(tunnel_cookie(secret, from, sizeof(from), &hello, again), 0);
		assert_memory_not_equal(cookie, again, 16);
		from[bit / 8] ^= 1 << bit % 8;
	}
	changed = hello;
	changed.nonce_gateway[0] ^= 1;
	assert_int_equal(tunnel_cookie(secret, from, sizeof(from), &changed, again), 0);
	assert_memory_not_equal(cookie, again, 16);
	changed = hello;
	changed.gateway ^= 1;
	assert_int_equal(tunnel_cookie(secret, from, sizeof(from), &changed, again), 0);
	assert_memory_not_equal(cookie, again, 16);
	assert_int_equal(tunnel_cookie(other, from, sizeof(from), &hello, again), 0);
	assert_memory_not_equal(cookie, again, 16);
	/* What is neither nonce nor gateway comes back as it was, with the cookie. */
	answer = hello;
	answer.type = TUNNEL_COOKIE;
	memcpy(answer.nonce_waypoint, cookie, 16);
	encode(&answer, NULL, want);
	assert_int_equal(tunnel_answer_hello(&hello, cookie, out), 0);
	assert_memory_equal(out, want, sizeof(want));
}

/* ---- one handshake, each message against the encoder */

static struct tunnel_gateway gateway;
static struct tunnel_waypoint waypoint;
static uint8_t out[TUNNEL_CONTROL_BYTES], back[TUNNEL_CONTROL_BYTES];
static struct tunnel_message seen;

static void expect(const uint8_t *bytes, const struct tunnel_message *message, const uint8_t *key)
{
	uint8_t want[TUNNEL_CONTROL_BYTES];

	encode(message, key, want);
	assert_memory_equal(bytes, want, sizeof(want));
	assert_int_equal(tunnel_read(bytes, TUNNEL_CONTROL_BYTES, &seen), 0);
}

static void check_hello_and_open(struct tunnel_message *open)
{
	struct tunnel_message message = { .type = TUNNEL_HELLO,
					  .flags = TUNNEL_STRAIGHT | TUNNEL_MAC_HEADERS,
					  .cpus = 3,
					  .gateway = ID,
					  .vni = VNI_G };
	uint8_t cookie[16];

	tunnel_gateway_begin(&gateway, secret, VNI_G, 1000);
	assert_int_equal(tunnel_gateway_tick(&gateway, 1, 999, out), 0);
	assert_int_equal(tunnel_gateway_tick(&gateway, 1, 1000, out), TUNNEL_SEND);
	memcpy(message.nonce_gateway, gateway.nonce, 16);
	expect(out, &message, NULL);
	assert_int_equal(tunnel_cookie(other, "here", 4, &seen, cookie), 0);
	assert_int_equal(tunnel_answer_hello(&seen, cookie, back), 0);
	assert_int_equal(tunnel_gateway_take(&gateway, back, sizeof(back), 1010, out), TUNNEL_SEND);
	message.type = TUNNEL_OPEN;
	memcpy(message.nonce_waypoint, cookie, 16);
	tunnel_read(out, sizeof(out), open);
	message.number = 1; /* the first under its secret */
	expect(out, &message, secret);
}

static void check_alive(uint64_t number, uint64_t now, int bits)
{
	struct tunnel_message message = { .type = TUNNEL_ALIVE,
					  .flags = TUNNEL_STRAIGHT | TUNNEL_MAC_HEADERS,
					  .cpus = 3,
					  .gateway = ID,
					  .vni = VNI_G,
					  .number = number };

	expect(out, &message, gateway.session.control);
	assert_int_equal(tunnel_waypoint_take(&waypoint, out, &seen, 0, now, back), bits);
	message.type = TUNNEL_ALIVE_OK;
	message.cpus = 5;
	message.vni = VNI_W;
	expect(back, &message, gateway.session.control);
	assert_int_equal(tunnel_gateway_take(&gateway, back, sizeof(back), now + 10, out),
			 TUNNEL_LIVE);
}

static void test_handshake(void **state)
{
	struct tunnel_message open, message = { .type = TUNNEL_OPENED_OK,
						.flags = TUNNEL_STRAIGHT,
						.cpus = 5,
						.gateway = ID,
						.vni = VNI_W };

	(void)state;
	memset(&waypoint, 0, sizeof(waypoint));
	gateway = (struct tunnel_gateway){ .id = ID,
					   .cpus = 3,
					   .flags = TUNNEL_STRAIGHT | TUNNEL_MAC_HEADERS };
	waypoint.cpus = 5;
	waypoint.flags = TUNNEL_STRAIGHT;
	memcpy(waypoint.secret, secret, 32);
	check_hello_and_open(&open);
	assert_int_equal(tunnel_waypoint_take(&waypoint, out, &open, VNI_W, 1020, back),
			 TUNNEL_SEND | TUNNEL_TAKE);
	memcpy(message.nonce_gateway, open.nonce_gateway, 16);
	memcpy(message.nonce_waypoint, waypoint.nonce_waypoint, 16);
	expect(back, &message, secret);
	check_keys(secret, open.nonce_gateway, seen.nonce_waypoint, &waypoint.next);
	assert_false(waypoint.up);
	assert_int_equal(tunnel_gateway_take(&gateway, back, sizeof(back), 1030, out),
			 TUNNEL_SEND | TUNNEL_TAKE | TUNNEL_USE);
	assert_memory_equal(&gateway.session, &waypoint.next, sizeof(gateway.session));
	assert_int_equal(gateway.session.vni_gateway, VNI_G);
	assert_int_equal(gateway.session.vni_waypoint, VNI_W);
	assert_int_equal(gateway.session.cpus_gateway, 3);
	assert_int_equal(gateway.session.cpus_waypoint, 5);
	assert_int_equal(gateway.session.flags, TUNNEL_STRAIGHT);
	check_alive(1, 1040, TUNNEL_SEND | TUNNEL_USE | TUNNEL_LIVE);
	assert_memory_equal(&gateway.session, &waypoint.session, sizeof(gateway.session));
	/* RFC 4787 REQ-5: after a quarter of a minute again. */
	assert_int_equal(tunnel_gateway_tick(&gateway, 1, 1050 + TUNNEL_ALIVE_MS - 1, out), 0);
	assert_int_equal(tunnel_gateway_tick(&gateway, 1, 1050 + TUNNEL_ALIVE_MS, out),
			 TUNNEL_SEND);
	check_alive(2, 1050 + TUNNEL_ALIVE_MS, TUNNEL_SEND | TUNNEL_LIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hkdf_vectors), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_every_bit),    cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_forms),	     cmocka_unit_test(test_keys),
		cmocka_unit_test(test_cookie),	     cmocka_unit_test(test_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
