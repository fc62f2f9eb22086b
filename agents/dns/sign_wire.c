// SPDX-License-Identifier: GPL-3.0-or-later
/* Sets for one answer, and the parts of DNSSEC that libknot and libdnssec have. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libdnssec/error.h>
#include <libdnssec/key.h>
#include <libdnssec/keytag.h>
#include <libdnssec/nsec.h>
#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "sign_internal.h"
#include "wire_internal.h"

_Static_assert(SIGN_ALGORITHM == DNSSEC_KEY_ALGORITHM_ECDSA_P256_SHA256, "algorithm");

/* ---- sets */

const uint8_t *wire_set_at(const struct wire_set *set, unsigned int index, uint16_t *len)
{
	const knot_rdata_t *record = knot_rdataset_at(&set->data, index);

	*len = record->len;
	return record->data;
}

struct wire_set *wire_set_once(struct wire *wire, uint16_t type)
{
	knot_mm_t mm = wire_arena(wire);
	struct wire_set *set = mm.alloc(mm.ctx, sizeof(*set));

	if (set)
		*set = (struct wire_set){ .type = type };
	return set;
}

int wire_set_once_add(struct wire *wire, struct wire_set *set, const uint8_t *data, uint16_t len)
{
	knot_mm_t mm = wire_arena(wire);
	knot_rrset_t view;
	int rc;

	knot_rrset_init(&view, NULL, set->type, KNOT_CLASS_IN, 0);
	view.rrs = set->data;
	rc = knot_rrset_add_rdata(&view, data, len, &mm);
	set->data = view.rrs;
	return rc == KNOT_EOK ? 0 : -ENOMEM;
}

/* Names inside of the data in lower case; the set is sorted as it grows, each record once. */
static int add_canonical(struct wire_set *copy, const knot_rdata_t *record)
{
	uint8_t owner[1] = { 0 };
	knot_rrset_t one;
	int rc;

	knot_rrset_init(&one, owner, copy->type, KNOT_CLASS_IN, 0);
	rc = knot_rrset_add_rdata(&one, record->data, record->len, NULL);
	if (rc == KNOT_EOK)
		rc = knot_rrset_rr_to_canonical(&one);
	if (rc == KNOT_EOK)
		rc = wire_set_add(copy, one.rrs.rdata->data, one.rrs.rdata->len);
	knot_rdataset_clear(&one.rrs, NULL);
	return rc ? -ENOMEM : 0;
}

const struct wire_set *sign_canonical(const struct wire_set *set, struct wire_set **copy)
{
	int rc;

	*copy = NULL;
	if (!knot_rrtype_should_be_lowercased(set->type))
		return set;
	*copy = wire_set_new(set->type);
	rc = *copy ? 0 : -ENOMEM;
	for (uint16_t i = 0; i < set->data.count && !rc; i++)
		rc = add_canonical(*copy, knot_rdataset_at(&set->data, i));
	if (rc) {
		wire_set_free(*copy);
		*copy = NULL;
	}
	return *copy;
}

/* ---- types */

struct sign_types *sign_types_new(void)
{
	return (struct sign_types *)dnssec_nsec_bitmap_new();
}

static dnssec_nsec_bitmap_t *bitmap(const struct sign_types *types)
{
	return (dnssec_nsec_bitmap_t *)types;
}

void sign_types_free(struct sign_types *types)
{
	dnssec_nsec_bitmap_free(bitmap(types));
}

void sign_types_clear(struct sign_types *types)
{
	dnssec_nsec_bitmap_clear(bitmap(types));
}

void sign_types_add(struct sign_types *types, uint16_t type)
{
	dnssec_nsec_bitmap_add(bitmap(types), type);
}

size_t sign_types_write(const struct sign_types *types, uint8_t bytes[SIGN_TYPES_MAX])
{
	dnssec_nsec_bitmap_write(bitmap(types), bytes);
	return dnssec_nsec_bitmap_size(bitmap(types));
}

/* ---- keys */

int sign_tag_of(const uint8_t dnskey[SIGN_DNSKEY_LEN], uint16_t *tag)
{
	const dnssec_binary_t data = { .size = SIGN_DNSKEY_LEN, .data = (uint8_t *)dnskey };

	return dnssec_keytag(&data, tag) == DNSSEC_EOK ? 0 : -EINVAL;
}

int sign_ds_of(const uint8_t *zone, const uint8_t dnskey[SIGN_DNSKEY_LEN], uint8_t ds[SIGN_DS_LEN])
{
	const dnssec_binary_t data = { .size = SIGN_DNSKEY_LEN, .data = (uint8_t *)dnskey };
	dnssec_binary_t made = { 0 };
	dnssec_key_t *key = NULL;
	int rc = dnssec_key_new(&key);

	if (rc == DNSSEC_EOK)
		rc = dnssec_key_set_dname(key, zone);
	if (rc == DNSSEC_EOK)
		rc = dnssec_key_set_rdata(key, &data);
	if (rc == DNSSEC_EOK)
		rc = dnssec_key_create_ds(key, DNSSEC_KEY_DIGEST_SHA256, &made);
	if (rc == DNSSEC_EOK && made.size != SIGN_DS_LEN)
		rc = DNSSEC_ERROR;
	if (rc == DNSSEC_EOK)
		memcpy(ds, made.data, SIGN_DS_LEN);
	dnssec_binary_free(&made);
	dnssec_key_free(key);
	return rc == DNSSEC_EOK ? 0 : -EINVAL;
}
