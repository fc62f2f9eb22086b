// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "key.h"

#define TRIES 8 /* two keys of a zone have the same tag once in 65536 times */

/* ---- new keys */

static int write_private(EVP_PKEY *pair, struct store_key *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
	uint8_t *at = key->bytes;
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;

	if (len > 0 && len <= STORE_KEY_MAX)
		key->len = i2d_PKCS8_PRIV_KEY_INFO(info, &at);
	PKCS8_PRIV_KEY_INFO_free(info);
	return len > 0 && len <= STORE_KEY_MAX ? 0 : -EIO;
}

static int find_tag(const struct zone *zone, struct store_key *key)
{
	struct sign *sign = sign_new(zone->name);
	int rc = sign ? sign_add_key(sign, key->bytes, key->len, key->created) : -ENOMEM;

	if (!rc)
		key->tag = sign_key_tag(sign, 0);
	sign_free(sign);
	return rc;
}

int key_generate(const struct zone *zone, int64_t now, struct store_key *key)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	int rc;

	wire_name_text(zone->name, key->zone);
	key->created = now;
	rc = pair ? write_private(pair, key) : -EIO;
	EVP_PKEY_free(pair);
	return !rc && find_tag(zone, key) ? -EIO : rc;
}

/* ---- keys of zones */

struct loading {
	struct sign *sign;
	int rc;
};

static bool load_one(const struct store_key *key, void *arg)
{
	struct loading *loading = arg;

	loading->rc = sign_add_key(loading->sign, key->bytes, key->len, key->created);
	return !loading->rc;
}

int key_load_zone(struct store *store, struct zone *zone)
{
	struct loading loading = { .sign = sign_new(zone->name) };
	char name[WIRE_NAME_TEXT];
	int rc;

	if (!loading.sign)
		return -ENOMEM;
	wire_name_text(zone->name, name);
	rc = store_key_each(store, name, load_one, &loading);
	if (rc || loading.rc) {
		sign_free(loading.sign);
		return rc ? rc : loading.rc;
	}
	return sign_zone(zone, loading.sign);
}

int key_load(struct store *store, struct zones *zones, char *error, size_t error_len)
{
	char name[WIRE_NAME_TEXT];
	int rc = 0;

	for (unsigned int i = 0; i < zones->count && !rc; i++) {
		rc = key_load_zone(store, zones->item[i]);
		if (!rc)
			continue;
		wire_name_text(zones->item[i]->name, name);
		snprintf(error, error_len, "keys of %.300s: %s", name,
			 rc == -EIO || rc == -EBUSY ? store_error(store) : strerror(-rc));
	}
	return rc;
}

int key_add(struct store *store, struct zone *zone, int64_t now, uint16_t *tag)
{
	struct store_key key;
	int rc = -EEXIST;

	if (zone->sign && sign_key_count(zone->sign) == SIGN_KEYS_MAX)
		return -ENOSPC;
	for (int i = 0; i < TRIES && rc == -EEXIST; i++) {
		rc = key_generate(zone, now, &key);
		if (!rc)
			rc = store_key_put(store, &key);
	}
	if (!rc)
		*tag = key.tag;
	explicit_bzero(&key, sizeof(key));
	return rc ? rc : key_load_zone(store, zone);
}

int key_delete(struct store *store, struct zone *zone, uint16_t tag)
{
	char name[WIRE_NAME_TEXT];
	int rc;

	wire_name_text(zone->name, name);
	rc = store_key_delete(store, name, tag);
	return rc ? rc : key_load_zone(store, zone);
}

/* ---- what all may know */

static void ds_text(const struct sign *sign, unsigned int index, const char *name, char *text,
		    size_t len)
{
	uint8_t ds[SIGN_DS_LEN];
	size_t at;

	text[0] = 0;
	if (sign_ds(sign, index, ds))
		return;
	at = snprintf(text, len, "%s IN DS %u %u %u ", name, sign_key_tag(sign, index), ds[2],
		      ds[3]);
	for (size_t i = 4; i < sizeof(ds) && at < len; i++)
		at += snprintf(text + at, len - at, "%02X", ds[i]);
}

static void dnskey_text(const struct sign *sign, unsigned int index, const char *name, char *text,
			size_t len)
{
	uint8_t base64[4 * SIGN_DNSKEY_LEN / 3 + 4];
	const uint8_t *key = sign_dnskey(sign, index);

	EVP_EncodeBlock(base64, key + 4, SIGN_DNSKEY_LEN - 4);
	snprintf(text, len, "%s %u IN DNSKEY %u %u %u %s", name, SIGN_KEY_TTL, SIGN_FLAGS, key[2],
		 key[3], (char *)base64);
}

json_t *key_list(const struct zone *zone, int64_t now)
{
	char name[WIRE_NAME_TEXT], ds[WIRE_NAME_TEXT + 128], dnskey[WIRE_NAME_TEXT + 160];
	json_t *keys = json_array();

	wire_name_text(zone->name, name);
	for (unsigned int i = 0; zone->sign && i < sign_key_count(zone->sign); i++) {
		ds_text(zone->sign, i, name, ds, sizeof(ds));
		dnskey_text(zone->sign, i, name, dnskey, sizeof(dnskey));
		json_array_append_new(keys,
				      json_pack("{s:s, s:i, s:I, s:b, s:s, s:s}", "zone", name,
						"tag", sign_key_tag(zone->sign, i), "created",
						(json_int_t)sign_key_created(zone->sign, i),
						"signs", sign_active(zone->sign, now) == i, "ds",
						ds, "dnskey", dnskey));
	}
	return keys;
}
