// SPDX-License-Identifier: GPL-3.0-or-later
/* NSEC, each for the one name that was asked for (RFC 9824). */
#include <errno.h>
#include <string.h>

#include "sign_internal.h"

#define NSEC_MAX  (WIRE_NAME_MAX + SIGN_TYPES_MAX)
#define LABEL_MAX 63

/* Where no label fits before it: the same name with its last byte one higher, or less of it. */
static void increment(const uint8_t *name, const uint8_t *zone, uint8_t next[WIRE_NAME_MAX])
{
	size_t len = wire_name_len(name), label;

	while (len > wire_name_len(zone)) {
		for (label = name[0]; label && name[label] == 0xff; label--)
			;
		if (label) {
			next[0] = label;
			memcpy(next + 1, name + 1, label);
			/* Capitals are equal to small letters, so none of them follows '@'. */
			next[label] = next[label] == '@' ? 'Z' + 1 : next[label] + 1;
			memcpy(next + 1 + label, name + 1 + name[0], len - 1 - name[0]);
			return;
		}
		len -= 1 + name[0];
		name += 1 + name[0];
	}
	memcpy(next, zone, len);
}

void sign_successor(const uint8_t *name, const uint8_t *zone, uint8_t next[WIRE_NAME_MAX])
{
	size_t len = wire_name_len(name);

	if (len + 2 <= WIRE_NAME_MAX) {
		next[0] = 1;
		next[1] = 0;
		memcpy(next + 2, name, len);
	} else if (len < WIRE_NAME_MAX && name[0] < LABEL_MAX && len > wire_name_len(zone)) {
		next[0] = name[0] + 1;
		memcpy(next + 1, name + 1, name[0]);
		next[next[0]] = 0;
		memcpy(next + 1 + next[0], name + 1 + name[0], len - 1 - name[0]);
	} else {
		increment(name, zone, next);
	}
}

/* At a delegation only what the parent answers for (RFC 4035, 2.3): not its glue. */
static void add_types(struct sign_types *types, const struct zone *zone,
		      const struct sign_denial *denial)
{
	const struct zone_node *node = denial->node;
	bool cut = node && node != zone->apex && zone_set_of(node, ns_t_ns);

	sign_types_clear(types);
	sign_types_add(types, SIGN_TYPE_RRSIG);
	sign_types_add(types, SIGN_TYPE_NSEC);
	if (!node)
		sign_types_add(types, SIGN_TYPE_NXNAME);
	for (const struct zone_set *set = node ? node->sets : NULL; set; set = set->next) {
		uint16_t type = wire_set_type(set->data);
		uint8_t onetime = type == ZONE_ONETIME ? zone_onetime(node) : 0;

		if (type == ZONE_BOUND) {
			sign_types_add(types, ns_t_a);
			if (!denial->no_aaaa)
				sign_types_add(types, ns_t_aaaa);
		} else if (type == ZONE_ONETIME) {
			if (onetime & ZONE_ONETIME_4)
				sign_types_add(types, ns_t_a);
			if (onetime & ZONE_ONETIME_6)
				sign_types_add(types, ns_t_aaaa);
		} else if (!cut || type == ns_t_ns || type == SIGN_TYPE_DS) {
			sign_types_add(types, type);
		}
	}
	for (unsigned int i = 0; i < denial->also_count; i++)
		sign_types_add(types, denial->also[i]);
}

static size_t write_nsec(const struct zone *zone, const struct sign_denial *denial,
			 uint8_t data[NSEC_MAX])
{
	struct sign_types *types = sign_types_of(zone->sign);
	uint8_t lower[WIRE_NAME_MAX];
	size_t len;

	wire_name_lower(denial->owner, lower);
	sign_successor(lower, zone->name, data);
	len = wire_name_len(data);
	add_types(types, zone, denial);
	return len + sign_types_write(types, data + len);
}

/* RFC 9077, 3: as long as the absence itself may be believed. */
static uint32_t nsec_ttl(const struct zone *zone)
{
	const struct zone_set *soa = zone_set_of(zone->apex, ns_t_soa);
	uint32_t minimum = wire_soa_minimum(soa->data);

	return minimum < soa->ttl ? minimum : soa->ttl;
}

/* NULL: out of memory. */
static const struct zone_set *kept_nsec(const struct zone *zone, const struct sign_denial *denial)
{
	struct zone_node *node = (struct zone_node *)denial->node;
	uint8_t bytes[NSEC_MAX];
	struct wire_set *data;

	if (node->nsec)
		return node->nsec;
	data = wire_set_new(SIGN_TYPE_NSEC);
	if (data && wire_set_add(data, bytes, write_nsec(zone, denial, bytes))) {
		wire_set_free(data);
		return NULL;
	}
	node->nsec = data ? zone_set_new(denial->owner, data, nsec_ttl(zone)) : NULL;
	return node->nsec;
}

int sign_put_nsec(const struct signing *signing, ns_sect section, const struct zone *zone,
		  const struct sign_denial *denial, bool with_signature)
{
	struct signing plain = *signing;
	const struct zone_set *kept;
	uint8_t bytes[NSEC_MAX];
	struct wire_set *once;

	if (!with_signature)
		plain.sign = NULL;
	if (denial->keep && denial->node) {
		kept = kept_nsec(zone, denial);
		return kept ? sign_put(&plain, section, denial->owner, kept, kept->ttl, false)
			    : -EIO;
	}
	once = wire_set_once(signing->wire, SIGN_TYPE_NSEC);
	if (!once || wire_set_once_add(signing->wire, once, bytes, write_nsec(zone, denial, bytes)))
		return -EIO;
	return sign_put_once(&plain, section, denial->owner, once, nsec_ttl(zone), false);
}
