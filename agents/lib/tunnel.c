// SPDX-License-Identifier: GPL-3.0-or-later
/* Bytes and keys of the tunnel's control packets. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

#include "tunnel.h"

/* Offsets of docs/protocol.md, "Tunnel", behind Geneve's 8 bytes. */
#define GENEVE	    8
#define AT_TYPE	    (GENEVE + 4)
#define AT_FLAGS    (GENEVE + 5)
#define AT_CPUS	    (GENEVE + 6)
#define AT_GATEWAY  (GENEVE + 8)
#define AT_VNI	    (GENEVE + 12)
#define AT_NONCE_G  (GENEVE + 16)
#define AT_NONCE_W  (GENEVE + 32)
#define AT_NUMBER   (GENEVE + 48)
#define AT_MAC	    (GENEVE + 56)
#define MAC_BYTES   16
#define FLAGS	    (TUNNEL_MAC_HEADERS | TUNNEL_STRAIGHT)
#define KEYS_BYTES  16
#define LABEL_BYTES 48

_Static_assert(AT_MAC + MAC_BYTES == TUNNEL_CONTROL_BYTES, "the MAC is last");

/* Geneve with O, no options, no protocol, VNI 0; then our magic. */
static const uint8_t head[GENEVE + 4] = { 0, TUNNEL_CONTROL, 0, 0, 0, 0, 0, 0, 'I', 'S', 'T', '1' };

static int mac_of(const uint8_t *bytes, const uint8_t *key, uint8_t mac[MAC_BYTES])
{
	uint8_t whole[32];

	if (!HMAC(EVP_sha256(), key, TUNNEL_SECRET_BYTES, bytes, AT_MAC, whole, NULL))
		return -EIO;
	memcpy(mac, whole, MAC_BYTES);
	return 0;
}

static void put32(uint8_t *at, uint32_t value)
{
	uint32_t wire = htobe32(value);

	memcpy(at, &wire, sizeof(wire));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t wire;

	memcpy(&wire, at, sizeof(wire));
	return be32toh(wire);
}

int tunnel_write(const struct tunnel_message *message, const uint8_t *key,
		 uint8_t bytes[TUNNEL_CONTROL_BYTES])
{
	uint8_t made[TUNNEL_CONTROL_BYTES] = { 0 };
	uint64_t number = htobe64(message->number);
	int err = 0;

	memcpy(made, head, sizeof(head));
	made[AT_TYPE] = message->type;
	made[AT_FLAGS] = message->flags;
	made[AT_CPUS] = message->cpus >> 8;
	made[AT_CPUS + 1] = (uint8_t)message->cpus;
	put32(made + AT_GATEWAY, message->gateway);
	put32(made + AT_VNI, message->vni);
	memcpy(made + AT_NONCE_G, message->nonce_gateway, TUNNEL_NONCE_BYTES);
	memcpy(made + AT_NONCE_W, message->nonce_waypoint, TUNNEL_NONCE_BYTES);
	memcpy(made + AT_NUMBER, &number, sizeof(number));
	if (key)
		err = mac_of(made, key, made + AT_MAC);
	if (!err)
		memcpy(bytes, made, sizeof(made));
	return err;
}

static int check(const struct tunnel_message *message)
{
	if (message->type < TUNNEL_HELLO || message->type > TUNNEL_CLOSE || message->flags & ~FLAGS)
		return -EINVAL;
	if (!message->cpus || message->cpus > TUNNEL_CPUS)
		return -EINVAL;
	if (!message->gateway || message->gateway > TUNNEL_GATEWAY_MAX)
		return -EINVAL;
	return message->vni && message->vni <= TUNNEL_VNI_MAX ? 0 : -EINVAL;
}

int tunnel_read(const uint8_t *bytes, size_t len, struct tunnel_message *message)
{
	struct tunnel_message read = { 0 };
	uint64_t number;
	int err;

	if (len != TUNNEL_CONTROL_BYTES || memcmp(bytes, head, sizeof(head)))
		return -EINVAL;
	read.type = bytes[AT_TYPE];
	read.flags = bytes[AT_FLAGS];
	read.cpus = (uint16_t)(bytes[AT_CPUS] << 8 | bytes[AT_CPUS + 1]);
	read.gateway = get32(bytes + AT_GATEWAY);
	read.vni = get32(bytes + AT_VNI);
	memcpy(read.nonce_gateway, bytes + AT_NONCE_G, TUNNEL_NONCE_BYTES);
	memcpy(read.nonce_waypoint, bytes + AT_NONCE_W, TUNNEL_NONCE_BYTES);
	memcpy(&number, bytes + AT_NUMBER, sizeof(number));
	read.number = be64toh(number);
	err = check(&read);
	if (!err)
		*message = read;
	return err;
}

bool tunnel_is_from(const uint8_t bytes[TUNNEL_CONTROL_BYTES], const uint8_t *key)
{
	uint8_t mac[MAC_BYTES];

	return !mac_of(bytes, key, mac) && !CRYPTO_memcmp(mac, bytes + AT_MAC, MAC_BYTES);
}

/* ---- keys */

static int expand(const uint8_t *secret, const uint8_t *salt, const char *what, uint8_t *key,
		  size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	static const char label[] = "isthmus tunnel 1 ";
	char info[LABEL_BYTES];
	size_t info_len = sizeof(label) - 1 + strlen(what);
	bool ok;

	memcpy(info, label, sizeof(label) - 1);
	memcpy(info + sizeof(label) - 1, what, strlen(what));
	ok = ctx && EVP_PKEY_derive_init(ctx) > 0 &&
	     EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) > 0 &&
	     EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, 2 * TUNNEL_NONCE_BYTES) > 0 &&
	     EVP_PKEY_CTX_set1_hkdf_key(ctx, secret, TUNNEL_SECRET_BYTES) > 0 &&
	     EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)info, (int)info_len) > 0 &&
	     EVP_PKEY_derive(ctx, key, &len) > 0;
	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : -EIO;
}

int tunnel_derive(const uint8_t secret[TUNNEL_SECRET_BYTES],
		  const uint8_t nonce_gateway[TUNNEL_NONCE_BYTES],
		  const uint8_t nonce_waypoint[TUNNEL_NONCE_BYTES], struct tunnel_session *session)
{
	uint8_t salt[2 * TUNNEL_NONCE_BYTES];
	int err;

	memcpy(salt, nonce_gateway, TUNNEL_NONCE_BYTES);
	memcpy(salt + TUNNEL_NONCE_BYTES, nonce_waypoint, TUNNEL_NONCE_BYTES);
	err = expand(secret, salt, "to waypoint", session->to_waypoint, KEYS_BYTES);
	if (!err)
		err = expand(secret, salt, "to gateway", session->to_gateway, KEYS_BYTES);
	if (!err)
		err = expand(secret, salt, "control", session->control, TUNNEL_SECRET_BYTES);
	return err;
}

int tunnel_cookie(const uint8_t secret[TUNNEL_SECRET_BYTES], const void *from, size_t from_len,
		  const struct tunnel_message *hello, uint8_t cookie[TUNNEL_NONCE_BYTES])
{
	uint8_t text[64], whole[32];
	size_t len = from_len < 32 ? from_len : 32;

	memcpy(text, from, len);
	memcpy(text + len, hello->nonce_gateway, TUNNEL_NONCE_BYTES);
	put32(text + len + TUNNEL_NONCE_BYTES, hello->gateway);
	len += TUNNEL_NONCE_BYTES + 4;
	if (!HMAC(EVP_sha256(), secret, TUNNEL_SECRET_BYTES, text, len, whole, NULL))
		return -EIO;
	memcpy(cookie, whole, TUNNEL_NONCE_BYTES);
	return 0;
}
