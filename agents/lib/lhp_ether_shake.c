// SPDX-License-Identifier: GPL-3.0-or-later
/* The packets of the handshake, byte by byte (docs/protocol.md). */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lhp_ether_key.h"
#include "lhp_ether_wire.h"
#include "lhp_internal.h"

#define OPEN_ID	      ETHER_HEAD
#define OPEN_SUITE    (ETHER_HEAD + 4)
#define OPEN_NAME     (ETHER_HEAD + 8)
#define OPEN_NONCE    (OPEN_NAME + LHP_NAME_MAX)
#define OPEN_POINT    (OPEN_NONCE + ETHER_NONCE)
#define OPEN_COOKIE   (OPEN_POINT + ETHER_POINT)
#define OPEN_MAC      (OPEN_COOKIE + ETHER_HASH)
#define ANSWER_NONCE  (ETHER_HEAD + 4)
#define ANSWER_POINT  (ANSWER_NONCE + ETHER_NONCE)
#define ANSWER_MAC    (ANSWER_POINT + ETHER_POINT)
#define HELLO_NONCE   (ETHER_HEAD + 8)
#define COOKIE_COOKIE (ETHER_HEAD + ETHER_NONCE)

_Static_assert(OPEN_MAC + ETHER_HASH == ETHER_OPEN_BYTES, "the MAC is last");
_Static_assert(ANSWER_MAC + ETHER_HASH == ETHER_ANSWER_BYTES, "the MAC is last");
/* Who says HELLO with another's address does not have more sent to it than it sends itself. */
_Static_assert(ETHER_COOKIE_BYTES <= ETHER_HELLO_BYTES, "no amplification");
_Static_assert(ETHER_ANSWER_BYTES <= ETHER_OPEN_BYTES, "no amplification");

/* Lengths of what follows the head; DATA and anything unknown has none of its own. */
static size_t length_of(uint8_t type)
{
	switch (type) {
	case ETHER_HELLO:
		return ETHER_HELLO_BYTES - ETHER_HEAD;
	case ETHER_COOKIE:
		return ETHER_COOKIE_BYTES - ETHER_HEAD;
	case ETHER_OPEN:
		return ETHER_OPEN_BYTES - ETHER_HEAD;
	case ETHER_ANSWER:
		return ETHER_ANSWER_BYTES - ETHER_HEAD;
	default:
		return 0;
	}
}

void ether_write_head(const struct ether_head *head, uint8_t bytes[ETHER_HEAD])
{
	bytes[0] = head->type;
	bytes[1] = ETHER_VERSION;
	put16(bytes + 2, head->length);
	put32(bytes + 4, head->id);
}

int ether_read_head(const uint8_t *bytes, size_t len, struct ether_head *head)
{
	struct ether_head read;

	if (len < ETHER_HEAD || bytes[1] != ETHER_VERSION)
		return -EINVAL;
	read.type = bytes[0];
	read.length = get16(bytes + 2);
	read.id = get32(bytes + 4);
	if (read.type < ETHER_HELLO || read.type > ETHER_GONE || read.length > len - ETHER_HEAD)
		return -EINVAL;
	if (read.type == ETHER_DATA ? read.length < 8 + ETHER_TAG
				    : read.length != length_of(read.type))
		return -EINVAL;
	*head = read;
	return 0;
}

static void begin(uint8_t *bytes, uint8_t type, uint32_t id)
{
	ether_write_head(&(struct ether_head){ type, (uint16_t)length_of(type), id }, bytes);
}

static int is(const uint8_t *bytes, size_t len, uint8_t type)
{
	struct ether_head head;

	return ether_read_head(bytes, len, &head) || head.type != type ? -EINVAL : 0;
}

void ether_write_hello(const struct ether_hello *hello, uint8_t bytes[ETHER_HELLO_BYTES])
{
	memset(bytes, 0, ETHER_HELLO_BYTES);
	begin(bytes, ETHER_HELLO, 0);
	put32(bytes + ETHER_HEAD, hello->id);
	memcpy(bytes + HELLO_NONCE, hello->nonce, ETHER_NONCE);
}

int ether_read_hello(const uint8_t *bytes, size_t len, struct ether_hello *hello)
{
	if (is(bytes, len, ETHER_HELLO) || !get32(bytes + ETHER_HEAD))
		return -EINVAL;
	hello->id = get32(bytes + ETHER_HEAD);
	memcpy(hello->nonce, bytes + HELLO_NONCE, ETHER_NONCE);
	return 0;
}

void ether_write_cookie(const struct ether_hello *hello, const uint8_t cookie[ETHER_HASH],
			uint8_t bytes[ETHER_COOKIE_BYTES])
{
	begin(bytes, ETHER_COOKIE, hello->id);
	memcpy(bytes + ETHER_HEAD, hello->nonce, ETHER_NONCE);
	memcpy(bytes + COOKIE_COOKIE, cookie, ETHER_HASH);
}

int ether_read_cookie(const uint8_t *bytes, size_t len, const struct ether_hello *hello,
		      uint8_t cookie[ETHER_HASH])
{
	if (is(bytes, len, ETHER_COOKIE))
		return -EINVAL;
	if (get32(bytes + 4) != hello->id || memcmp(bytes + ETHER_HEAD, hello->nonce, ETHER_NONCE))
		return -EBADMSG;
	memcpy(cookie, bytes + COOKIE_COOKIE, ETHER_HASH);
	return 0;
}

int ether_write_open(const struct ether_open *open, const uint8_t key[LHP_KEY_BYTES],
		     uint8_t bytes[ETHER_OPEN_BYTES])
{
	memset(bytes, 0, ETHER_OPEN_BYTES);
	begin(bytes, ETHER_OPEN, 0);
	put32(bytes + OPEN_ID, open->client.id);
	bytes[OPEN_SUITE] = open->suite;
	memcpy(bytes + OPEN_NAME, open->name, strnlen(open->name, LHP_NAME_MAX));
	memcpy(bytes + OPEN_NONCE, open->client.nonce, ETHER_NONCE);
	memcpy(bytes + OPEN_POINT, open->client.point, ETHER_POINT);
	memcpy(bytes + OPEN_COOKIE, open->cookie, ETHER_HASH);
	return ether_open_mac(key, bytes, OPEN_MAC, bytes + OPEN_MAC);
}

static bool name_ok(const uint8_t name[LHP_NAME_MAX])
{
	size_t len = strnlen((const char *)name, LHP_NAME_MAX);

	for (size_t i = len; i < LHP_NAME_MAX; i++)
		if (name[i])
			return false;
	return lhp_name_valid((const char *)name, len);
}

int ether_read_open(const uint8_t *bytes, size_t len, struct ether_open *open)
{
	if (is(bytes, len, ETHER_OPEN) || !get32(bytes + OPEN_ID) || !name_ok(bytes + OPEN_NAME))
		return -EINVAL;
	if (bytes[OPEN_SUITE] != ETHER_AES_128_GCM && bytes[OPEN_SUITE] != ETHER_CHACHA20_POLY1305)
		return -EINVAL;
	memset(open, 0, sizeof(*open));
	open->client.id = get32(bytes + OPEN_ID);
	open->suite = bytes[OPEN_SUITE];
	memcpy(open->name, bytes + OPEN_NAME, LHP_NAME_MAX);
	memcpy(open->client.nonce, bytes + OPEN_NONCE, ETHER_NONCE);
	memcpy(open->client.point, bytes + OPEN_POINT, ETHER_POINT);
	memcpy(open->cookie, bytes + OPEN_COOKIE, ETHER_HASH);
	return 0;
}

int ether_check_open(const uint8_t bytes[ETHER_OPEN_BYTES], const uint8_t key[LHP_KEY_BYTES])
{
	uint8_t mac[ETHER_HASH];

	if (ether_open_mac(key, bytes, OPEN_MAC, mac))
		return -EIO;
	return CRYPTO_memcmp(mac, bytes + OPEN_MAC, ETHER_HASH) ? -EBADMSG : 0;
}

void ether_begin_answer(const struct ether_half *server, uint32_t client_id,
			uint8_t bytes[ETHER_ANSWER_BYTES])
{
	memset(bytes, 0, ETHER_ANSWER_BYTES);
	begin(bytes, ETHER_ANSWER, client_id);
	put32(bytes + ETHER_HEAD, server->id);
	memcpy(bytes + ANSWER_NONCE, server->nonce, ETHER_NONCE);
	memcpy(bytes + ANSWER_POINT, server->point, ETHER_POINT);
}

int ether_read_answer(const uint8_t *bytes, size_t len, struct ether_half *server)
{
	if (is(bytes, len, ETHER_ANSWER) || !get32(bytes + ETHER_HEAD))
		return -EINVAL;
	server->id = get32(bytes + ETHER_HEAD);
	memcpy(server->nonce, bytes + ANSWER_NONCE, ETHER_NONCE);
	memcpy(server->point, bytes + ANSWER_POINT, ETHER_POINT);
	return 0;
}
