// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sign.h"
#include "zone.h"

#define BUCKETS_FIRST 64

/* ---- nodes */

/* Names come from the operator's files and from who may publish: no key is needed. */
static uint32_t hash_label(const struct zone_node *parent, const uint8_t *label)
{
	uint64_t hash = (uintptr_t)parent >> 4;

	for (unsigned int i = 0; i <= label[0]; i++)
		hash = (hash ^ label[i]) * 0x9e3779b97f4a7c15ULL;
	return hash >> 32;
}

static struct zone_node *find_child(const struct zone *zone, const struct zone_node *parent,
				    const uint8_t *label)
{
	uint32_t hash = hash_label(parent, label);
	struct zone_node *node = zone->buckets[hash & (zone->bucket_count - 1)];

	for (; node; node = node->chain)
		if (node->hash == hash && node->parent == parent &&
		    !memcmp(node->label, label, label[0] + 1U))
			return node;
	return NULL;
}

static int grow(struct zone *zone)
{
	unsigned int count = zone->bucket_count ? 2 * zone->bucket_count : BUCKETS_FIRST;
	struct zone_node **buckets = calloc(count, sizeof(*buckets)), *node, *next;

	if (!buckets)
		return -ENOMEM;
	for (unsigned int i = 0; i < zone->bucket_count; i++) {
		for (node = zone->buckets[i]; node; node = next) {
			next = node->chain;
			node->chain = buckets[node->hash & (count - 1)];
			buckets[node->hash & (count - 1)] = node;
		}
	}
	free(zone->buckets);
	zone->buckets = buckets;
	zone->bucket_count = count;
	return 0;
}

static struct zone_node *add_child(struct zone *zone, struct zone_node *parent,
				   const uint8_t *label)
{
	struct zone_node *node, **bucket;

	if (zone->node_count >= zone->bucket_count && grow(zone))
		return NULL;
	node = calloc(1, sizeof(*node) + label[0] + 1);
	if (!node)
		return NULL;
	memcpy(node->label, label, label[0] + 1U);
	node->parent = parent;
	node->hash = hash_label(parent, label);
	bucket = &zone->buckets[node->hash & (zone->bucket_count - 1)];
	node->chain = *bucket;
	*bucket = node;
	zone->node_count++;
	if (parent)
		parent->children++;
	return node;
}

static void unchain(struct zone *zone, const struct zone_node *node)
{
	struct zone_node **at = &zone->buckets[node->hash & (zone->bucket_count - 1)];

	while (*at != node)
		at = &(*at)->chain;
	*at = node->chain;
	zone->node_count--;
}

/* Its types are no longer what they were. */
static void forget_nsec(struct zone_node *node)
{
	zone_set_free(node->nsec);
	node->nsec = NULL;
}

static void free_node(struct zone_node *node)
{
	forget_nsec(node);
	free(node);
}

/* Nodes that neither have records nor are on the way to any do not exist. */
static void prune(struct zone *zone, struct zone_node *node)
{
	while (node != zone->apex && !node->sets && !node->children) {
		struct zone_node *parent = node->parent;

		unchain(zone, node);
		parent->children--;
		free_node(node);
		node = parent;
	}
}

/* Walks down; with `add` the nodes that are missing are made. The closest one otherwise. */
static struct zone_node *walk(struct zone *zone, const uint8_t *name, bool add,
			      unsigned int *remaining)
{
	const uint8_t *label[WIRE_LABELS_MAX];
	unsigned int left = wire_name_labels(name, label) - zone->labels;
	struct zone_node *node = zone->apex;

	for (; left; left--) {
		struct zone_node *child = find_child(zone, node, label[left - 1]);

		if (!child && add)
			child = add_child(zone, node, label[left - 1]);
		if (!child)
			break;
		node = child;
	}
	*remaining = left;
	return node;
}

/* ---- sets */

struct zone_set *zone_set_of(const struct zone_node *node, uint16_t type)
{
	struct zone_set *set = node->sets;

	while (set && wire_set_type(set->data) != type)
		set = set->next;
	return set;
}

uint8_t zone_onetime(const struct zone_node *node)
{
	const struct zone_set *set = zone_set_of(node, ZONE_ONETIME);
	uint8_t families = 0;
	uint16_t len;

	for (unsigned int i = 0; set && i < wire_set_count(set->data); i++)
		families |= wire_set_at(set->data, i, &len)[ZONE_ONETIME_LEN - 1];
	return families;
}

uint32_t zone_set_ttl(const struct zone_set *set, int64_t now)
{
	if (!set->expires || set->expires - now >= set->ttl)
		return set->ttl;
	return set->expires > now ? set->expires - now : 0;
}

static void forget_signature(struct zone_set *set)
{
	wire_set_free(set->kept.data);
	set->kept = (struct zone_kept){ 0 };
}

void zone_set_free(struct zone_set *set)
{
	struct zone_entry *entry;

	if (!set)
		return;
	while ((entry = set->entries)) {
		set->entries = entry->next;
		free(entry);
	}
	forget_signature(set);
	wire_set_free(set->data);
	wire_set_free(set->fixed);
	free(set->owner);
	free(set);
}

struct zone_set *zone_set_new(const uint8_t *owner, struct wire_set *data, uint32_t ttl)
{
	struct zone_set *set = calloc(1, sizeof(*set));
	size_t len = wire_name_len(owner);

	if (set)
		set->owner = malloc(len);
	if (!set || !set->owner) {
		free(set);
		wire_set_free(data);
		return NULL;
	}
	memcpy(set->owner, owner, len);
	set->data = data;
	set->ttl = set->fixed_ttl = ttl;
	return set;
}

static void append_set(struct zone_node *node, struct zone_set *set)
{
	struct zone_set **last = &node->sets;

	while (*last)
		last = &(*last)->next;
	*last = set;
	forget_nsec(node);
}

static struct zone_set *add_set(struct zone_node *node, const struct wire_record *record)
{
	struct wire_set *data = wire_set_new(record->type);
	struct zone_set *set = data ? zone_set_new(record->owner, data, UINT32_MAX) : NULL;

	if (set)
		append_set(node, set);
	return set;
}

static void remove_set(struct zone_node *node, struct zone_set *set)
{
	struct zone_set **at = &node->sets;

	while (*at != set)
		at = &(*at)->next;
	*at = set->next;
	zone_set_free(set);
	forget_nsec(node);
}

void zone_put_apex(struct zone *zone, uint16_t type, struct zone_set *set)
{
	struct zone_set *old = zone_set_of(zone->apex, type);

	if (old && old->fixed) {
		zone_set_free(set);
		return;
	}
	if (old)
		remove_set(zone->apex, old);
	if (set)
		append_set(zone->apex, set);
}

/* Puts fixed records and entries together again. */
static int rebuild(struct zone_set *set)
{
	uint16_t type = wire_set_type(set->data);
	struct wire_set *data = set->fixed ? wire_set_copy(set->fixed) : wire_set_new(type);
	uint32_t ttl = set->fixed_ttl;
	int64_t expires = 0;

	for (const struct zone_entry *entry = set->entries; data && entry; entry = entry->next) {
		if (wire_set_add(data, entry->data, entry->len)) {
			wire_set_free(data);
			data = NULL;
			break;
		}
		ttl = entry->ttl < ttl ? entry->ttl : ttl;
		if (entry->expires && (!expires || entry->expires < expires))
			expires = entry->expires;
	}
	if (!data)
		return -ENOMEM;
	wire_set_free(set->data);
	forget_signature(set);
	set->data = data;
	set->ttl = ttl;
	set->expires = expires;
	return 0;
}

/* ---- reading a file */

/* Types whose meaning is more than their data, which this server would not honour. */
static const char *unserved(uint16_t type)
{
	switch (type) {
	case ns_t_dname:
		return "DNAME is not served";
	case ns_t_rrsig:
	case ns_t_nsec:
	case ns_t_nsec3:
	case ns_t_nsec3param:
	case ns_t_dnskey:
		return "signed zones are not served: leave the signatures out";
	case ZONE_BOUND:
	case ZONE_ONETIME:
		return "TYPE65533 and TYPE65534 mean something of their own to this server";
	}
	return NULL;
}

static const char *take_record(const struct wire_record *record, void *arg)
{
	struct zone *zone = arg;
	const char *why = unserved(record->type);
	uint8_t name[WIRE_NAME_MAX];
	struct zone_node *node;
	struct zone_set *set;
	unsigned int left;

	if (why)
		return why;
	wire_name_lower(record->owner, name);
	if (wire_name_below(name, zone->name) < 0)
		return "the name is outside of the zone";
	if (record->type == ns_t_soa && wire_name_below(name, zone->name))
		return "a SOA belongs to the zone's own name only";
	if (record->type == ns_t_ns && name[0] == 1 && name[1] == '*')
		return "a wildcard cannot be delegated";
	node = walk(zone, name, true, &left);
	if (left)
		return "out of memory";
	set = zone_set_of(node, record->type);
	if (!set)
		set = add_set(node, record);
	if (!set || wire_set_add(set->data, record->data, record->len))
		return "out of memory";
	if (record->ttl < set->ttl)
		set->ttl = set->fixed_ttl = record->ttl;
	zone->records++;
	return NULL;
}

/* What can be seen only when all records are there. */
static const char *check_node(const struct zone_node *node, char owner[WIRE_NAME_TEXT])
{
	for (const struct zone_set *set = node->sets; set; set = set->next) {
		if (wire_set_type(set->data) != ns_t_cname)
			continue;
		wire_name_text(set->owner, owner);
		if (wire_set_count(set->data) > 1)
			return "has more than one CNAME";
		if (node->sets->next)
			return "has a CNAME and other records";
	}
	return NULL;
}

static int check_zone(const struct zone *zone, const char *path, char *error, size_t error_len)
{
	const struct zone_set *soa = zone_set_of(zone->apex, ns_t_soa);
	char owner[WIRE_NAME_TEXT] = "";
	const char *why = NULL;

	if (!soa || wire_set_count(soa->data) != 1)
		why = "the zone needs one SOA record";
	else if (!zone_set_of(zone->apex, ns_t_ns))
		why = "the zone needs an NS record for its own name";
	for (unsigned int i = 0; i < zone->bucket_count && !why; i++)
		for (struct zone_node *node = zone->buckets[i]; node && !why; node = node->chain)
			why = check_node(node, owner);
	if (!why)
		return 0;
	snprintf(error, error_len, "%s: %.300s%s%s", path, owner, owner[0] ? " " : "", why);
	return -EINVAL;
}

static int keep_fixed(struct zone *zone)
{
	for (unsigned int i = 0; i < zone->bucket_count; i++)
		for (struct zone_node *node = zone->buckets[i]; node; node = node->chain)
			for (struct zone_set *set = node->sets; set; set = set->next) {
				set->fixed = wire_set_copy(set->data);
				if (!set->fixed)
					return -ENOMEM;
			}
	return 0;
}

static void free_zone(struct zone *zone)
{
	struct zone_node *node;

	for (unsigned int i = 0; zone && i < zone->bucket_count; i++) {
		while ((node = zone->buckets[i])) {
			zone->buckets[i] = node->chain;
			while (node->sets)
				remove_set(node, node->sets);
			free_node(node);
		}
	}
	if (zone) {
		sign_free(zone->sign);
		free(zone->buckets);
	}
	free(zone);
}

static struct zone *new_zone(const uint8_t *name)
{
	static const uint8_t root[1];
	const uint8_t *label[WIRE_LABELS_MAX];
	struct zone *zone = calloc(1, sizeof(*zone));

	if (!zone)
		return NULL;
	memcpy(zone->name, name, wire_name_len(name));
	zone->labels = wire_name_labels(name, label);
	zone->apex = add_child(zone, NULL, root);
	if (zone->apex)
		return zone;
	free_zone(zone);
	return NULL;
}

int zones_read(struct zones *zones, const char *name, const char *path, char *error,
	       size_t error_len)
{
	uint8_t read[WIRE_NAME_MAX], lower[WIRE_NAME_MAX];
	char origin[WIRE_NAME_TEXT];
	struct zone *zone;
	int rc;

	if (wire_name_read(name, read)) {
		snprintf(error, error_len, "'%.100s' is no name of a zone", name);
		return -EINVAL;
	}
	wire_name_lower(read, lower);
	zone = zones_find(zones, lower);
	if (zones->count == ZONES_MAX || (zone && wire_name_equal(zone->name, lower))) {
		snprintf(error, error_len, "zone %.100s: %s", name,
			 zone ? "given twice" : "there are too many");
		return -EINVAL;
	}
	wire_name_text(read, origin);
	zone = new_zone(lower);
	rc = zone ? wire_read_zone(path, origin, take_record, zone, error, error_len) : -ENOMEM;
	if (!rc)
		rc = check_zone(zone, path, error, error_len);
	if (!rc)
		rc = keep_fixed(zone);
	if (rc == -ENOMEM)
		snprintf(error, error_len, "out of memory");
	if (rc)
		free_zone(zone);
	else
		zones->item[zones->count++] = zone;
	return rc;
}

void zones_free(struct zones *zones)
{
	while (zones->count)
		free_zone(zones->item[--zones->count]);
}

/* ---- look-ups */

struct zone *zones_find(const struct zones *zones, const uint8_t *name)
{
	struct zone *best = NULL;

	for (unsigned int i = 0; i < zones->count; i++) {
		struct zone *zone = zones->item[i];

		if ((!best || zone->labels > best->labels) &&
		    wire_name_below(name, zone->name) >= 0)
			best = zone;
	}
	return best;
}

void zone_lookup(const struct zone *zone, const uint8_t *name, struct zone_lookup *lookup)
{
	static const uint8_t star[] = { 1, '*' };
	const uint8_t *label[WIRE_LABELS_MAX];
	unsigned int left = wire_name_labels(name, label) - zone->labels;
	const struct zone_node *node = zone->apex, *child;

	*lookup = (struct zone_lookup){ 0 };
	for (; left; left--, node = child) {
		child = find_child(zone, node, label[left - 1]);
		if (!child)
			break;
		if (zone_set_of(child, ns_t_ns)) {
			lookup->cut = child;
			node = child;
			left--;
			break;
		}
	}
	lookup->node = node;
	lookup->exact = !left;
	if (left && !lookup->cut)
		lookup->wildcard = find_child(zone, node, star);
}

const struct zone_node *zone_exact(const struct zone *zone, const uint8_t *name)
{
	unsigned int left;
	const struct zone_node *node = walk((struct zone *)zone, name, false, &left);

	return left ? NULL : node;
}

/* ---- dynamic records */

static struct zone_entry **find_entry(struct zone_set *set, const struct wire_record *record)
{
	struct zone_entry **at = &set->entries;

	while (*at && ((*at)->len != record->len || memcmp((*at)->data, record->data, record->len)))
		at = &(*at)->next;
	return at;
}

static int add_entry(struct zone_set *set, const struct wire_record *record, int64_t expires)
{
	struct zone_entry **at = find_entry(set, record), *entry = *at;
	int rc;

	if (!entry) {
		entry = calloc(1, sizeof(*entry) + record->len);
		if (!entry)
			return -ENOMEM;
		entry->len = record->len;
		memcpy(entry->data, record->data, record->len);
		*at = entry;
	}
	entry->ttl = record->ttl;
	entry->expires = expires;
	rc = rebuild(set);
	if (rc) {
		*at = entry->next;
		free(entry);
	}
	return rc;
}

int zones_add(struct zones *zones, const struct wire_record *record, int64_t expires)
{
	uint8_t name[WIRE_NAME_MAX];
	struct zone_lookup lookup;
	struct zone_node *node;
	struct zone_set *set;
	unsigned int left;
	struct zone *zone;
	int rc;

	wire_name_lower(record->owner, name);
	zone = zones_find(zones, name);
	if (!zone)
		return -ENOENT;
	zone_lookup(zone, name, &lookup);
	if (lookup.cut)
		return -EPERM;
	if (lookup.exact && zone_set_of(lookup.node, ns_t_cname))
		return -EEXIST;
	node = walk(zone, name, true, &left);
	set = left ? NULL : zone_set_of(node, record->type);
	if (!left && !set)
		set = add_set(node, record);
	rc = set ? add_entry(set, record, expires) : -ENOMEM;
	if (record->type == ZONE_ONETIME) /* of which the data tell types */
		forget_nsec(node);
	if (set && rc && !set->fixed && !set->entries)
		remove_set(node, set);
	prune(zone, node);
	return rc;
}

void zones_remove(struct zones *zones, const struct wire_record *record)
{
	uint8_t name[WIRE_NAME_MAX];
	struct zone_entry **at, *entry;
	struct zone_node *node;
	struct zone_set *set;
	unsigned int left;
	struct zone *zone;

	wire_name_lower(record->owner, name);
	zone = zones_find(zones, name);
	node = zone ? walk(zone, name, false, &left) : NULL;
	set = node && !left ? zone_set_of(node, record->type) : NULL;
	if (!set)
		return;
	at = find_entry(set, record);
	entry = *at;
	if (!entry)
		return;
	*at = entry->next;
	free(entry);
	if (record->type == ZONE_ONETIME)
		forget_nsec(node);
	if (!set->entries && !set->fixed)
		remove_set(node, set);
	else
		rebuild(set); /* without memory the record is answered until the next change */
	prune(zone, node);
}
