// SPDX-License-Identifier: GPL-3.0-or-later
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "setup.h"

/* Offsets of docs/protocol.md, "SETUP". */
#define AT_TYPE	     4
#define AT_MODE	     5
#define AT_LENGTH    6
#define AT_WHY	     7
#define AT_SERIAL    8
#define AT_WAYPOINT  16
#define AT_INITIATOR 20
#define AT_GATEWAY   24
#define AT_HOST	     28
#define AT_MS	     32
#define AT_RESOLVER  36
#define AT_ZERO	     40
#define AT_MAC	     56
#define MAC_BYTES    16

_Static_assert(AT_MAC + MAC_BYTES == SETUP_BYTES, "the MAC is last");

static const char magic[4] = { 'I', 'S', 'W', '1' };

struct setup_key {
	EVP_MAC_CTX *context; /* has the key: it is begun anew for each datagram */
};

struct setup_key *setup_key_new(const uint8_t bytes[SETUP_KEY_BYTES])
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256",
								 0),
				OSSL_PARAM_construct_end() };
	struct setup_key *key = calloc(1, sizeof(*key));
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	if (key)
		key->context = EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	if (key && key->context && EVP_MAC_init(key->context, bytes, SETUP_KEY_BYTES, params))
		return key;
	setup_key_free(key);
	return NULL;
}

void setup_key_free(struct setup_key *key)
{
	if (key)
		EVP_MAC_CTX_free(key->context);
	free(key);
}

static int mac_of(const uint8_t *bytes, struct setup_key *key, uint8_t *mac)
{
	uint8_t whole[32];
	size_t len;

	if (!EVP_MAC_init(key->context, NULL, 0, NULL) ||
	    !EVP_MAC_update(key->context, bytes, AT_MAC) ||
	    !EVP_MAC_final(key->context, whole, &len, sizeof(whole)))
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

int setup_write(const struct setup *setup, struct setup_key *key, uint8_t bytes[SETUP_BYTES])
{
	uint64_t serial = htobe64(setup->serial);
	uint8_t made[SETUP_BYTES] = { 0 };
	int err;

	memcpy(made, magic, sizeof(magic));
	made[AT_TYPE] = setup->type;
	made[AT_MODE] = setup->mode;
	made[AT_LENGTH] = setup->prefix_len;
	made[AT_WHY] = setup->why;
	memcpy(made + AT_SERIAL, &serial, sizeof(serial));
	memcpy(made + AT_WAYPOINT, &setup->waypoint, 4);
	memcpy(made + AT_INITIATOR, &setup->initiator, 4);
	put32(made + AT_GATEWAY, setup->gateway);
	put32(made + AT_HOST, setup->host);
	put32(made + AT_MS, setup->ms);
	memcpy(made + AT_RESOLVER, &setup->resolver, 4);
	err = mac_of(made, key, made + AT_MAC);
	if (!err)
		memcpy(bytes, made, SETUP_BYTES);
	return err;
}

/* Is everything within what the document allows? Bits behind a prefix are none of it. */
static int check(const struct setup *setup)
{
	uint32_t mask = setup->prefix_len ? ~0u << (32 - setup->prefix_len) : 0;

	if (setup->type < SETUP_ASK || setup->type > SETUP_REJECT || setup->mode < SETUP_KNOWN ||
	    setup->mode > SETUP_DELAYED)
		return -EINVAL;
	if (setup->type == SETUP_REJECT ? !setup->why || setup->why > SETUP_TOO_MANY : setup->why)
		return -EINVAL;
	if (setup->mode == SETUP_KNOWN && setup->prefix_len != 32)
		return -EINVAL;
	if (be32toh(setup->initiator) & ~mask)
		return -EINVAL;
	return setup->gateway && setup->gateway <= SETUP_GATEWAY_MAX ? 0 : -EINVAL;
}

int setup_read(const uint8_t *bytes, size_t len, struct setup_key *key, struct setup *setup)
{
	static const uint8_t zeros[AT_MAC - AT_ZERO];
	struct setup read = { 0 };
	uint8_t mac[MAC_BYTES];
	uint64_t serial;
	int err;

	if (len != SETUP_BYTES || memcmp(bytes, magic, sizeof(magic)))
		return -EINVAL;
	if (mac_of(bytes, key, mac) || CRYPTO_memcmp(mac, bytes + AT_MAC, MAC_BYTES))
		return -EBADMSG;
	if (bytes[AT_LENGTH] > 32 || memcmp(bytes + AT_ZERO, zeros, sizeof(zeros)))
		return -EINVAL;
	read.type = bytes[AT_TYPE];
	read.mode = bytes[AT_MODE];
	read.prefix_len = bytes[AT_LENGTH];
	read.why = bytes[AT_WHY];
	memcpy(&serial, bytes + AT_SERIAL, sizeof(serial));
	read.serial = be64toh(serial);
	memcpy(&read.waypoint, bytes + AT_WAYPOINT, 4);
	memcpy(&read.initiator, bytes + AT_INITIATOR, 4);
	read.gateway = get32(bytes + AT_GATEWAY);
	read.host = get32(bytes + AT_HOST);
	read.ms = get32(bytes + AT_MS);
	memcpy(&read.resolver, bytes + AT_RESOLVER, 4);
	err = check(&read);
	if (!err)
		*setup = read;
	return err;
}
