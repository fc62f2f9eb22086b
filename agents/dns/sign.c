// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "sign_internal.h"

#define HASH_LEN      32
#define NUMBER_LEN    32 /* r and s of a signature, x and y of a key (RFC 6605, 4) */
#define SIGNATURE_LEN (2 * NUMBER_LEN)
#define FIXED_LEN     18 /* of an RRSIG, before the signer's name */
#define RRSIG_MAX     (FIXED_LEN + WIRE_NAME_MAX + SIGNATURE_LEN)
#define DER_MAX	      80 /* a signature as OpenSSL makes it has up to 72 */

struct sign_key {
	EVP_PKEY *key;
	EVP_PKEY_CTX *context; /* ready to sign, again and again */
	int64_t created;
	uint16_t tag;
	uint8_t dnskey[SIGN_DNSKEY_LEN];
};

struct sign {
	uint8_t zone[WIRE_NAME_MAX];
	size_t zone_len;
	uint64_t number; /* what is kept names who made it by this */
	EVP_MD *md;
	EVP_MD_CTX *hash;
	struct sign_types *types;
	unsigned int count;
	struct sign_key key[SIGN_KEYS_MAX];
};

/* ---- keys */

struct sign *sign_new(const uint8_t *zone)
{
	static uint64_t numbers;
	struct sign *sign = calloc(1, sizeof(*sign));

	if (!sign)
		return NULL;
	sign->zone_len = wire_name_len(zone);
	memcpy(sign->zone, zone, sign->zone_len);
	sign->number = ++numbers;
	sign->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	sign->hash = EVP_MD_CTX_new();
	sign->types = sign_types_new();
	if (sign->md && sign->hash && sign->types)
		return sign;
	sign_free(sign);
	return NULL;
}

static void free_key(struct sign_key *key)
{
	EVP_PKEY_CTX_free(key->context);
	EVP_PKEY_free(key->key);
	*key = (struct sign_key){ 0 };
}

void sign_free(struct sign *sign)
{
	if (!sign)
		return;
	for (unsigned int i = 0; i < sign->count; i++)
		free_key(&sign->key[i]);
	sign_types_free(sign->types);
	EVP_MD_CTX_free(sign->hash);
	EVP_MD_free(sign->md);
	free(sign);
}

/* RFC 6605, 4: the point's x and y, without OpenSSL's first byte for "uncompressed". */
static bool write_dnskey(const EVP_PKEY *key, uint8_t dnskey[SIGN_DNSKEY_LEN])
{
	uint8_t point[1 + SIGNATURE_LEN];
	char group[32];
	size_t len;

	if (!EVP_PKEY_is_a(key, "EC") ||
	    !EVP_PKEY_get_group_name(key, group, sizeof(group), &len) ||
	    strcmp(group, "prime256v1") ||
	    !EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					     &len) ||
	    len != sizeof(point) || point[0] != 4)
		return false;
	dnskey[0] = SIGN_FLAGS >> 8;
	dnskey[1] = SIGN_FLAGS & 0xff;
	dnskey[2] = 3; /* RFC 4034, 2.1.2 */
	dnskey[3] = SIGN_ALGORITHM;
	memcpy(dnskey + 4, point + 1, SIGNATURE_LEN);
	return true;
}

int sign_add_key(struct sign *sign, const uint8_t *private_key, size_t len, int64_t created)
{
	struct sign_key *key = &sign->key[sign->count];

	if (sign->count == SIGN_KEYS_MAX)
		return -ENOSPC;
	key->key = d2i_AutoPrivateKey(NULL, &private_key, len);
	key->context = key->key ? EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL) : NULL;
	key->created = created;
	if (!key->context || !write_dnskey(key->key, key->dnskey) ||
	    sign_tag_of(key->dnskey, &key->tag) || EVP_PKEY_sign_init(key->context) <= 0 ||
	    EVP_PKEY_CTX_set_signature_md(key->context, sign->md) <= 0) {
		free_key(key);
		return -EINVAL;
	}
	sign->count++;
	return 0;
}

unsigned int sign_key_count(const struct sign *sign)
{
	return sign->count;
}

const uint8_t *sign_dnskey(const struct sign *sign, unsigned int index)
{
	return sign->key[index].dnskey;
}

uint16_t sign_key_tag(const struct sign *sign, unsigned int index)
{
	return sign->key[index].tag;
}

int64_t sign_key_created(const struct sign *sign, unsigned int index)
{
	return sign->key[index].created;
}

int sign_ds(const struct sign *sign, unsigned int index, uint8_t ds[SIGN_DS_LEN])
{
	return sign_ds_of(sign->zone, sign->key[index].dnskey, ds);
}

struct sign_types *sign_types_of(const struct sign *sign)
{
	return sign->types;
}

/* *until is set to when another key will sign, if that comes before. */
static unsigned int find_active(const struct sign *sign, int64_t now, int64_t *until)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < sign->count; i++) {
		int64_t from = sign->key[i].created + SIGN_KEY_TTL;

		if (from <= now)
			best = i;
		else if (from < *until)
			*until = from;
	}
	return best;
}

unsigned int sign_active(const struct sign *sign, int64_t now)
{
	int64_t until = INT64_MAX;

	return find_active(sign, now, &until);
}

/* ---- the zone's key sets */

/* RFC 7344, 3: the parent is asked for a DS of each key. NULL: out of memory. */
static struct wire_set *key_set(const struct sign *sign, uint16_t type)
{
	struct wire_set *set = wire_set_new(type);
	uint8_t ds[SIGN_DS_LEN];
	int rc = 0;

	for (unsigned int i = 0; set && i < sign->count && !rc; i++) {
		if (type == SIGN_TYPE_CDS) {
			rc = sign_ds(sign, i, ds);
			if (!rc)
				rc = wire_set_add(set, ds, sizeof(ds));
		} else {
			rc = wire_set_add(set, sign->key[i].dnskey, SIGN_DNSKEY_LEN);
		}
	}
	if (!rc)
		return set;
	wire_set_free(set);
	return NULL;
}

int sign_zone(struct zone *zone, struct sign *sign)
{
	static const uint16_t types[] = { SIGN_TYPE_DNSKEY, SIGN_TYPE_CDS, SIGN_TYPE_CDNSKEY };
	struct zone_set *set[3] = { NULL };
	bool whole = true;

	if (sign && !sign->count) {
		sign_free(sign);
		sign = NULL;
	}
	for (int i = 0; sign && i < 3; i++) {
		struct wire_set *data = key_set(sign, types[i]);

		set[i] = data ? zone_set_new(zone->name, data, SIGN_KEY_TTL) : NULL;
		whole &= set[i] != NULL;
	}
	for (int i = 0; i < 3; i++) {
		if (whole)
			zone_put_apex(zone, types[i], set[i]);
		else
			zone_set_free(set[i]);
	}
	if (!whole) {
		sign_free(sign);
		return -ENOMEM;
	}
	sign_free(zone->sign);
	zone->sign = sign;
	return 0;
}

/* ---- signatures */

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* RFC 4034, 3.1.3: neither the root nor a leading asterisk is counted. */
static uint8_t count_labels(const uint8_t *owner)
{
	const uint8_t *label[WIRE_LABELS_MAX];
	unsigned int count = wire_name_labels(owner, label);

	return count - (owner[0] == 1 && owner[1] == '*');
}

/* An RRSIG up to its signature; returns its length. */
static size_t begin_rrsig(const struct signing *signing, const struct sign_key *key,
			  const uint8_t *owner, uint16_t type, uint32_t ttl, uint8_t *rrsig)
{
	const struct sign *sign = signing->sign;

	put16(rrsig, type);
	rrsig[2] = SIGN_ALGORITHM;
	rrsig[3] = count_labels(owner);
	put32(rrsig + 4, ttl);
	put32(rrsig + 8, signing->now + SIGN_AFTER_S); /* RFC 1982's arithmetic: it may wrap */
	put32(rrsig + 12, signing->now - SIGN_BEFORE_S);
	put16(rrsig + 16, key->tag);
	memcpy(rrsig + FIXED_LEN, sign->zone, sign->zone_len);
	return FIXED_LEN + sign->zone_len;
}

/* RFC 4034, 3.1.8.1: the RRSIG without its signature, and the records; owner in lower case. */
static bool hash_set(struct sign *sign, const uint8_t *rrsig, size_t len, const uint8_t *owner,
		     const struct wire_set *set, uint8_t hash[HASH_LEN])
{
	size_t owner_len = wire_name_len(owner);
	uint8_t head[WIRE_NAME_MAX + 10];
	bool ok = EVP_DigestInit_ex2(sign->hash, sign->md, NULL) &&
		  EVP_DigestUpdate(sign->hash, rrsig, len);

	memcpy(head, owner, owner_len);
	put16(head + owner_len, wire_set_type(set));
	put16(head + owner_len + 2, ns_c_in);
	memcpy(head + owner_len + 4, rrsig + 4, 4); /* the original TTL */
	for (unsigned int i = 0; i < wire_set_count(set) && ok; i++) {
		uint16_t data_len;
		const uint8_t *data = wire_set_at(set, i, &data_len);

		put16(head + owner_len + 8, data_len);
		ok = EVP_DigestUpdate(sign->hash, head, owner_len + 10) &&
		     EVP_DigestUpdate(sign->hash, data, data_len);
	}
	return ok && EVP_DigestFinal_ex(sign->hash, hash, NULL);
}

/* RFC 6605, 4: r and s one after the other, where OpenSSL has them in ASN.1. */
static bool sign_hash(const struct sign_key *key, const uint8_t hash[HASH_LEN],
		      uint8_t signature[SIGNATURE_LEN])
{
	uint8_t der[DER_MAX];
	const uint8_t *at = der;
	size_t len = sizeof(der);
	ECDSA_SIG *parts;
	bool ok;

	if (EVP_PKEY_sign(key->context, der, &len, hash, HASH_LEN) <= 0)
		return false;
	parts = d2i_ECDSA_SIG(NULL, &at, len);
	ok = parts && BN_bn2binpad(ECDSA_SIG_get0_r(parts), signature, NUMBER_LEN) == NUMBER_LEN &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(parts), signature + NUMBER_LEN, NUMBER_LEN) ==
		     NUMBER_LEN;
	ECDSA_SIG_free(parts);
	return ok;
}

/* RFC 7344, 4.1: what tells of keys is signed by each of them, for the parent may know any. */
static bool is_of_keys(uint16_t type)
{
	return type == SIGN_TYPE_DNSKEY || type == SIGN_TYPE_CDS || type == SIGN_TYPE_CDNSKEY;
}

/* Into `to`, a set of RRSIGs, which is one of wire_set_once() with `once`. */
static int add_rrsigs(const struct signing *signing, const uint8_t *owner,
		      const struct wire_set *set, uint32_t ttl, struct wire_set *to, bool once)
{
	bool all = is_of_keys(wire_set_type(set));
	unsigned int from = all ? 0 : sign_active(signing->sign, signing->now);
	unsigned int to_key = all ? signing->sign->count : from + 1;
	uint8_t rrsig[RRSIG_MAX], lower[WIRE_NAME_MAX], hash[HASH_LEN];
	int rc = 0;

	wire_name_lower(owner, lower);
	for (unsigned int i = from; i < to_key && !rc; i++) {
		const struct sign_key *key = &signing->sign->key[i];
		size_t len = begin_rrsig(signing, key, lower, wire_set_type(set), ttl, rrsig);

		if (!hash_set(signing->sign, rrsig, len, lower, set, hash) ||
		    !sign_hash(key, hash, rrsig + len))
			return -EIO;
		len += SIGNATURE_LEN;
		rc = once ? wire_set_once_add(signing->wire, to, rrsig, len)
			  : wire_set_add(to, rrsig, len);
		signing->counters->made++;
	}
	return rc;
}

static int sign_into(const struct signing *signing, const uint8_t *owner,
		     const struct wire_set *set, uint32_t ttl, struct wire_set *to, bool once)
{
	struct wire_set *copy = NULL;
	const struct wire_set *canonical = to ? sign_canonical(set, &copy) : NULL;
	int rc = canonical ? add_rrsigs(signing, owner, canonical, ttl, to, once) : -ENOMEM;

	wire_set_free(copy);
	if (rc)
		signing->counters->failed++;
	return rc;
}

/* NULL if it cannot be signed. */
static const struct wire_set *sign_once(const struct signing *signing, const uint8_t *owner,
					const struct wire_set *set, uint32_t ttl)
{
	struct wire_set *made = wire_set_once(signing->wire, SIGN_TYPE_RRSIG);

	return sign_into(signing, owner, set, ttl, made, true) ? NULL : made;
}

/*
 * The TTL that is signed is the set's, whatever of it this answer tells: the kept signature serves
 * all (RFC 4034, 3.1.4).
 */
static const struct wire_set *sign_kept(const struct signing *signing, const uint8_t *owner,
					const struct zone_set *set)
{
	struct zone_kept *kept = (struct zone_kept *)&set->kept;
	int64_t until = signing->now + SIGN_RENEW_S;
	struct wire_set *made;

	if (kept->data && kept->by == signing->sign->number && kept->from <= signing->now &&
	    signing->now < kept->until)
		return kept->data;
	made = wire_set_new(SIGN_TYPE_RRSIG);
	if (sign_into(signing, owner, set->data, set->ttl, made, false)) {
		wire_set_free(made);
		return NULL;
	}
	find_active(signing->sign, signing->now, &until);
	wire_set_free(kept->data);
	*kept = (struct zone_kept){ made, signing->sign->number, signing->now, until };
	return made;
}

/* ---- answers */

static int put_rrsigs(const struct signing *signing, ns_sect section, const uint8_t *owner,
		      const struct wire_set *rrsigs, uint32_t ttl, bool optional)
{
	if (!rrsigs)
		return -EIO;
	return wire_put(signing->wire, section, owner, rrsigs, ttl, optional);
}

int sign_put_signatures(const struct signing *signing, ns_sect section, const uint8_t *owner,
			const struct zone_set *set, uint32_t ttl)
{
	bool own = wire_name_equal(owner, set->owner); /* or it stands for a wildcard */

	return put_rrsigs(signing, section, owner,
			  own ? sign_kept(signing, owner, set)
			      : sign_once(signing, owner, set->data, set->ttl),
			  ttl, false);
}

int sign_put(const struct signing *signing, ns_sect section, const uint8_t *owner,
	     const struct zone_set *set, uint32_t ttl, bool optional)
{
	bool own;
	int rc = wire_put(signing->wire, section, owner, set->data, ttl, optional);

	if (rc || !signing->sign)
		return rc;
	own = wire_name_equal(owner, set->owner);
	return put_rrsigs(signing, section, owner,
			  own ? sign_kept(signing, owner, set)
			      : sign_once(signing, owner, set->data, set->ttl),
			  ttl, optional);
}

int sign_put_once(const struct signing *signing, ns_sect section, const uint8_t *owner,
		  const struct wire_set *set, uint32_t ttl, bool optional)
{
	int rc = wire_put(signing->wire, section, owner, set, ttl, optional);

	if (rc || !signing->sign)
		return rc;
	return put_rrsigs(signing, section, owner, sign_once(signing, owner, set, ttl), ttl,
			  optional);
}
