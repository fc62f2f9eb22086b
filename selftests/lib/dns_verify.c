// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "dns_verify.h"

#define RRSIG  46
#define DNSKEY 48

/* ---- reading */

static size_t name_len(const uint8_t *name)
{
	size_t len = 0;

	while (name[len])
		len += name[len] + 1;
	return len + 1;
}

static size_t take_name(ns_msg *message, const uint8_t **at, uint8_t *to)
{
	int used = ns_name_unpack(ns_msg_base(*message), ns_msg_end(*message), *at, to, 255);
	size_t len;

	assert_true(used > 0);
	*at += used;
	len = name_len(to);
	for (size_t i = 0; i < len; i++) /* lengths are below 'A' */
		to[i] = tolower(to[i]);
	return len;
}

static void copy(struct verify_record *record, const uint8_t **at, size_t len)
{
	assert_true(record->len + len <= sizeof(record->data));
	memcpy(record->data + record->len, *at, len);
	record->len += len;
	*at += len;
}

/* RFC 4034, 6.2: of the types that the tests use. */
static void read_data(ns_msg *message, const ns_rr *rr, struct verify_record *record)
{
	const uint8_t *at = ns_rr_rdata(*rr), *end = at + ns_rr_rdlen(*rr);
	size_t before = record->type == ns_t_srv ? 6 : record->type == ns_t_mx ? 2 : 0;
	unsigned int names = 0;

	switch (record->type) {
	case ns_t_soa:
		names = 2;
		break;
	case ns_t_ns:
	case ns_t_cname:
	case ns_t_ptr:
	case ns_t_mx:
	case ns_t_srv:
		names = 1;
	}
	copy(record, &at, before);
	for (; names; names--)
		record->len += take_name(message, &at, record->data + record->len);
	copy(record, &at, end - at);
}

void verify_read(const struct dns_reply *reply, struct verify_message *message)
{
	ns_msg parsed;
	ns_rr rr;

	message->count = 0;
	assert_int_equal(ns_initparse(reply->bytes, reply->len, &parsed), 0);
	for (ns_sect section = ns_s_an; section < ns_s_max; section++) {
		for (int i = 0; i < ns_msg_count(parsed, section); i++) {
			struct verify_record *record = &message->record[message->count++];

			assert_true(message->count < VERIFY_RECORDS_MAX);
			memset(record, 0, sizeof(*record));
			assert_int_equal(ns_parserr(&parsed, section, i, &rr), 0);
			record->section = section;
			record->owner_len = verify_name(ns_rr_name(rr), record->owner);
			record->type = ns_rr_type(rr);
			record->ttl = ns_rr_ttl(rr);
			read_data(&parsed, &rr, record);
		}
	}
}

size_t verify_name(const char *text, uint8_t name[256])
{
	assert_true(ns_name_pton(text, name, 255) >= 0);
	for (size_t i = 0, len = name_len(name); i < len; i++)
		name[i] = tolower(name[i]);
	return name_len(name);
}

const struct verify_record *verify_find(const struct verify_message *message, ns_sect section,
					uint16_t type)
{
	for (unsigned int i = 0; i < message->count; i++)
		if (message->record[i].section == section && message->record[i].type == type)
			return &message->record[i];
	return NULL;
}

/* ---- keys */

uint16_t verify_tag(const uint8_t *dnskey, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? dnskey[i] : dnskey[i] << 8;
	return sum + (sum >> 16);
}

void verify_take_keys(const struct verify_message *message, struct verify_keys *keys)
{
	keys->count = 0;
	for (unsigned int i = 0; i < message->count; i++) {
		const struct verify_record *record = &message->record[i];

		if (record->type != DNSKEY)
			continue;
		assert_int_equal(record->len, 68);
		assert_memory_equal(record->data, "\x01\x01\x03\x0d", 4); /* 257 3 13 */
		memcpy(keys->dnskey[keys->count], record->data, 68);
		keys->tag[keys->count++] = verify_tag(record->data, 68);
	}
}

static EVP_PKEY *public_key(const uint8_t dnskey[68])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	char group[] = "P-256";
	EVP_PKEY *key = NULL;
	uint8_t point[65];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};

	point[0] = 4;
	memcpy(point + 1, dnskey + 4, 64);
	assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
	assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

/* ---- signatures */

/* An ASN.1 INTEGER of 32 bytes; returns what follows it. */
static uint8_t *put_integer(uint8_t *at, const uint8_t *number)
{
	size_t skip = 0;

	while (skip < 31 && !number[skip])
		skip++;
	*at++ = 2;
	*at++ = 32 - skip + (number[skip] >> 7);
	if (number[skip] & 0x80)
		*at++ = 0;
	memcpy(at, number + skip, 32 - skip);
	return at + 32 - skip;
}

static bool holds(const uint8_t dnskey[68], const uint8_t *text, size_t len,
		  const uint8_t signature[64])
{
	uint8_t der[80] = { 0x30 },
		*end = put_integer(put_integer(der + 2, signature), signature + 32);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY *key = public_key(dnskey);
	bool good;

	der[1] = end - der - 2;
	good = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(context, der, end - der, text, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return good;
}

static int compare_data(const void *a, const void *b)
{
	const struct verify_record *one = *(const struct verify_record *const *)a;
	const struct verify_record *two = *(const struct verify_record *const *)b;
	int order = memcmp(one->data, two->data, one->len < two->len ? one->len : two->len);

	return order ? order : (one->len > two->len) - (one->len < two->len);
}

static bool in_set(const struct verify_record *record, const struct verify_record *like,
		   uint16_t type)
{
	return record->section == like->section && record->type == type &&
	       record->owner_len == like->owner_len &&
	       !memcmp(record->owner, like->owner, like->owner_len);
}

/* RFC 4034, 3.1.8.1. The set's TTL must be the signature's. */
static const char *write_set(const struct verify_message *message,
			     const struct verify_record *signature, uint8_t *text, size_t *len)
{
	const struct verify_record *set[VERIFY_RECORDS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < message->count; i++)
		if (in_set(&message->record[i], signature, ns_get16(signature->data)))
			set[count++] = &message->record[i];
	if (!count)
		return "it signs nothing";
	qsort(set, count, sizeof(set[0]), compare_data);
	for (unsigned int i = 0; i < count; i++) {
		if (set[i]->ttl != signature->ttl)
			return "its TTL is not the set's";
		if (i && !compare_data(&set[i - 1], &set[i]))
			continue;
		memcpy(text + *len, set[i]->owner, set[i]->owner_len);
		*len += set[i]->owner_len;
		ns_put16(set[i]->type, text + *len);
		ns_put16(ns_c_in, text + *len + 2);
		memcpy(text + *len + 4, signature->data + 4, 4);
		ns_put16(set[i]->len, text + *len + 8);
		memcpy(text + *len + 10, set[i]->data, set[i]->len);
		*len += 10 + set[i]->len;
	}
	return NULL;
}

static unsigned int count_labels(const uint8_t *name)
{
	unsigned int count = 0, star = name[0] == 1 && name[1] == '*';

	for (; *name; name += *name + 1)
		count++;
	return count - star;
}

const char *verify_signature(const struct verify_message *message,
			     const struct verify_record *signature, const struct verify_keys *keys,
			     int64_t now)
{
	static uint8_t text[1 << 20];
	const uint8_t *data = signature->data;
	size_t signer = name_len(data + 18), len = 18 + signer;
	const char *why;

	if (signature->len != len + 64 || data[2] != 13)
		return "algorithm or length";
	if (data[3] != count_labels(signature->owner))
		return "labels: it claims a wildcard";
	if ((int64_t)ns_get32(data + 8) <= now || (int64_t)ns_get32(data + 12) > now)
		return "it is not valid now";
	if (ns_get32(data + 4) < signature->ttl)
		return "its TTL is above the original one";
	memcpy(text, data, len);
	why = write_set(message, signature, text, &len);
	for (unsigned int i = 0; i < keys->count && !why; i++)
		if (keys->tag[i] == ns_get16(data + 16))
			return holds(keys->dnskey[i], text, len, data + 18 + signer)
				       ? NULL
				       : "the signature is wrong";
	return why ? why : "no key has its tag";
}

static bool is_signed(const struct verify_message *message, const struct verify_record *record)
{
	for (unsigned int i = 0; i < message->count; i++)
		if (in_set(&message->record[i], record, RRSIG) &&
		    ns_get16(message->record[i].data) == record->type)
			return true;
	return false;
}

unsigned int verify_all(const struct verify_message *message, const struct verify_keys *keys,
			int64_t now)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < message->count; i++) {
		const struct verify_record *record = &message->record[i];
		const char *why;

		if (record->type == RRSIG) {
			why = verify_signature(message, record, keys, now);
			if (why)
				fail_msg("record %u, type %u: %s", i, ns_get16(record->data), why);
			count++;
		} else if (record->section != ns_s_ar && record->type != ns_t_ns &&
			   !is_signed(message, record)) {
			fail_msg("record %u, type %u is not signed", i, record->type);
		}
	}
	return count;
}
