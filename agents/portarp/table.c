// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

int table_init(struct table *table, struct maps *maps)
{
	memset(table, 0, sizeof(*table));
	TAILQ_INIT(&table->addresses);
	table->maps = maps;
	table->blocks = maps->port.count >> 16;
	table->uses = maps->use.count / PORTARP_USE_WORDS;
	/* Untouched places cost no memory. */
	table->place = calloc(maps->owner.count, sizeof(*table->place));
	table->block_used = calloc(table->blocks + 1, sizeof(bool));
	table->use_used = calloc(table->uses + 1, sizeof(bool));
	if (table->place && table->block_used && table->use_used)
		return 0;
	table_free(table);
	return -ENOMEM;
}

static void forget(struct table *table, struct shared *shared)
{
	struct grant *grant;

	while ((grant = TAILQ_FIRST(&shared->grants))) {
		TAILQ_REMOVE(&shared->grants, grant, link);
		table->grant_count--;
		free(grant);
	}
	TAILQ_REMOVE(&table->addresses, shared, link);
	table->address_count--;
	free(shared);
}

void table_free(struct table *table)
{
	struct shared *shared;

	while ((shared = TAILQ_FIRST(&table->addresses)))
		forget(table, shared);
	free(table->place);
	free(table->block_used);
	free(table->use_used);
	memset(table, 0, sizeof(*table));
	TAILQ_INIT(&table->addresses);
}

/* ---- ports */

bool ports_valid(const struct ports *ports)
{
	return ports->range ? ports->low <= ports->high : portset_valid(&ports->set);
}

bool ports_has(const struct ports *ports, uint16_t port)
{
	return ports->range ? port >= ports->low && port <= ports->high
			    : portset_has(&ports->set, port);
}

uint32_t ports_count(const struct ports *ports)
{
	return ports->range ? ports->high - ports->low + 1u : portset_ports(&ports->set);
}

uint16_t ports_nth(const struct ports *ports, uint32_t n)
{
	return ports->range ? ports->low + n : portset_port(&ports->set, n);
}

uint16_t ports_first(const struct ports *ports)
{
	return ports_nth(ports, 0);
}

/* ---- addresses */

static uint32_t places_of(const struct portarp_addr *record)
{
	return 1u << record->k;
}

struct shared *table_find(const struct table *table, uint32_t addr_be)
{
	struct shared *shared;

	TAILQ_FOREACH(shared, &table->addresses, link)
	if (shared->addr_be == addr_be)
		return shared;
	return NULL;
}

/* First free places in a row, from the start of the array: UINT32_MAX = none. */
static uint32_t find_places(const struct table *table, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < table->maps->owner.count; i++) {
		run = table->place[i].shared ? 0 : run + 1;
		if (run == count)
			return i + 1 - count;
	}
	return UINT32_MAX;
}

/* Single places are taken from the end, so that long rows stay free. */
static uint32_t find_place(const struct table *table)
{
	for (uint32_t i = table->maps->owner.count; i-- > 0;)
		if (!table->place[i].shared)
			return i;
	return UINT32_MAX;
}

static void take_place(struct table *table, struct shared *shared, uint32_t owner)
{
	memset(&table->place[owner], 0, sizeof(table->place[owner]));
	table->place[owner].shared = shared;
}

static struct shared *new_shared(struct table *table, uint32_t addr_be,
				 const struct portarp_addr *record)
{
	struct shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return NULL;
	shared->addr_be = addr_be;
	shared->record = *record;
	TAILQ_INIT(&shared->grants);
	TAILQ_INSERT_TAIL(&table->addresses, shared, link);
	table->address_count++;
	for (uint32_t i = 0; i < places_of(record); i++)
		take_place(table, shared, record->first + i);
	return shared;
}

int table_write(const struct table *table, struct shared *shared)
{
	int err = maps_put_address(table->maps, shared->addr_be, &shared->record);

	return err == -E2BIG ? -ENOSPC : err;
}

static void free_places(struct table *table, struct shared *shared)
{
	for (uint32_t i = 0; i < places_of(&shared->record); i++) {
		owner_change(table_word(table, shared->record.first + i), NULL, PORTARP_OWNER_NONE);
		table->place[shared->record.first + i].shared = NULL;
	}
	if (shared->echo_place) {
		owner_change(table_word(table, shared->echo_place - 1), NULL, PORTARP_OWNER_NONE);
		table->place[shared->echo_place - 1].shared = NULL;
	}
}

static void choose_use(struct table *table, struct portarp_addr *record)
{
	record->use = 0;
	for (unsigned int i = 0; i < table->uses && !record->use; i++) {
		if (table->use_used[i])
			continue;
		table->use_used[i] = true;
		memset(&table->maps->use.word[(size_t)i * PORTARP_USE_WORDS], 0,
		       PORTARP_USE_WORDS * sizeof(uint64_t));
		record->use = i + 1;
	}
}

int table_add(struct table *table, uint32_t addr_be, const struct portarp_addr *wanted,
	      struct shared **added)
{
	struct portarp_addr record = *wanted;
	struct shared *shared;
	int err;

	if (table_find(table, addr_be))
		return -EEXIST;
	record.block = 0;
	record.first = find_places(table, places_of(&record));
	if (record.first == UINT32_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < places_of(&record); i++)
		owner_change(table_word(table, record.first + i), NULL,
			     record.flags & PORTARP_ADDR_OPEN ? 0 : PORTARP_OWNER_NONE);
	choose_use(table, &record);
	shared = new_shared(table, addr_be, &record);
	if (!shared) {
		if (record.use)
			table->use_used[record.use - 1] = false;
		return -ENOMEM;
	}
	err = table_write(table, shared);
	if (err) {
		table_remove(table, shared);
		return err;
	}
	*added = shared;
	return 0;
}

int table_adopt(struct table *table, uint32_t addr_be, const struct portarp_addr *record,
		struct shared **adopted)
{
	struct shared *shared;

	if (record->a + record->k > 16 || record->block > table->blocks ||
	    record->use > table->uses ||
	    (uint64_t)record->first + places_of(record) > table->maps->owner.count)
		return -EPROTO;
	for (uint32_t i = 0; i < places_of(record); i++)
		if (table->place[record->first + i].shared)
			return -EPROTO;
	shared = new_shared(table, addr_be, record);
	if (!shared)
		return -ENOMEM;
	if (record->block)
		table->block_used[record->block - 1] = true;
	if (record->use)
		table->use_used[record->use - 1] = true;
	*adopted = shared;
	return 0;
}

int table_set_echo(struct table *table, struct shared *shared, const uint8_t mac[6])
{
	uint32_t owner = shared->echo_place ? shared->echo_place - 1 : find_place(table);

	if (owner == UINT32_MAX)
		return -ENOSPC;
	if (!shared->echo_place)
		take_place(table, shared, owner);
	shared->echo_place = owner + 1;
	memcpy(shared->echo_mac, mac, 6);
	owner_change(table_word(table, owner), mac, PORTARP_OWNER_KNOWN);
	shared->record.echo = PORTARP_ECHO_OWNER;
	shared->record.echo_owner = owner;
	return table_write(table, shared);
}

void table_remove(struct table *table, struct shared *shared)
{
	struct grant *grant;

	maps_delete_address(table->maps, shared->addr_be);
	while ((grant = TAILQ_FIRST(&shared->grants)))
		table_take(table, grant);
	free_places(table, shared);
	if (shared->record.block)
		table->block_used[shared->record.block - 1] = false;
	if (shared->record.use)
		table->use_used[shared->record.use - 1] = false;
	forget(table, shared);
}

/* ---- look-up */

uint32_t table_owner_of(const struct table *table, const struct shared *shared, uint16_t port)
{
	const struct portarp_addr *record = &shared->record;
	uint32_t single = record->block ? port_entry(table->maps, record->block, port) : 0;

	if (single)
		return single - 1;
	if (!portset_in_sets(record->a, port))
		return UINT32_MAX;
	return record->first + portset_psid(record->a, record->k, port);
}

static bool is_of_set(const struct shared *shared, uint32_t owner, uint16_t port)
{
	const struct portarp_addr *record = &shared->record;

	return portset_in_sets(record->a, port) &&
	       record->first + portset_psid(record->a, record->k, port) == owner;
}

uint32_t table_owner_now(const struct table *table, const struct shared *shared, uint32_t owner,
			 uint16_t port)
{
	return is_of_set(shared, owner, port) ? table_owner_of(table, shared, port) : owner;
}

uint16_t table_port_of(const struct table *table, uint32_t owner, uint16_t port)
{
	const struct place *place = &table->place[owner];
	const struct portarp_addr *record;
	struct portset set;

	if (place->grant)
		return ports_has(&place->grant->ports, port) ? port
							     : ports_first(&place->grant->ports);
	if (!place->shared || is_of_set(place->shared, owner, port))
		return port;
	record = &place->shared->record;
	if (owner - record->first >= 1u << record->k)
		return port;
	set = (struct portset){ record->a, record->k, owner - record->first };
	return portset_range_first(&set, 0);
}

struct grant *table_grant_of(const struct table *table, const struct shared *shared, uint16_t port)
{
	uint32_t owner = table_owner_of(table, shared, port);

	return owner == UINT32_MAX ? NULL : table->place[owner].grant;
}

struct grant *table_grant_find(const struct table *table, const struct shared *shared,
			       const struct ports *ports)
{
	struct grant *grant;

	if (!ports->range)
		return ports->set.a == shared->record.a && ports->set.k == shared->record.k
			       ? table->place[shared->record.first + ports->set.psid].grant
			       : NULL;
	grant = table_grant_of(table, shared, ports->low);
	return grant && grant->ports.range && grant->ports.low == ports->low &&
			       grant->ports.high == ports->high
		       ? grant
		       : NULL;
}

static bool range_overlaps(const struct table *table, const struct shared *shared,
			   const struct ports *ports)
{
	for (uint32_t port = ports->low; shared->record.block && port <= ports->high; port++)
		if (port_entry(table->maps, shared->record.block, port))
			return true;
	return false;
}

int table_check(const struct table *table, const struct shared *shared, const struct ports *ports,
		const uint8_t mac[6], struct grant **same)
{
	struct grant *grant;

	if (!ports_valid(ports) || (!ports->range && (ports->set.a != shared->record.a ||
						      ports->set.k != shared->record.k)))
		return -EINVAL;
	grant = table_grant_find(table, shared, ports);
	if (grant && memcmp(grant->mac, mac, 6))
		return -EEXIST;
	if (!grant && ports->range && range_overlaps(table, shared, ports))
		return -EADDRINUSE;
	*same = grant;
	return 0;
}

/* ---- sharers */

static int sharer_put(const struct table *table, const struct grant *grant)
{
	struct portarp_sharer_key key = { .addr = grant->shared->addr_be };
	uint32_t owner = grant->owner;
	int err;

	memcpy(key.mac, grant->mac, 6);
	err = map_put(table->maps, MAP_SHARER, &key, &owner);
	return err == -E2BIG ? -ENOSPC : err;
}

/* The MAC loses this grant; if it has another of the address, that one stands for it. */
static void sharer_drop(const struct table *table, const struct grant *lost)
{
	struct portarp_sharer_key key = { .addr = lost->shared->addr_be };
	const struct grant *grant;

	TAILQ_FOREACH(grant, &lost->shared->grants, link)
	{
		if (grant != lost && !memcmp(grant->mac, lost->mac, 6)) {
			sharer_put(table, grant);
			return;
		}
	}
	memcpy(key.mac, lost->mac, 6);
	map_delete(table->maps, MAP_SHARER, &key);
}

/* ---- ranges */

static int need_block(struct table *table, struct shared *shared)
{
	unsigned int i;

	if (shared->record.block)
		return 0;
	for (i = 0; i < table->blocks && table->block_used[i]; i++)
		;
	if (i == table->blocks)
		return -ENOSPC;
	for (uint32_t port = 0; port < 65536; port++)
		port_entry_set(table->maps, i + 1, port, 0);
	table->block_used[i] = true;
	shared->record.block = i + 1;
	return table_write(table, shared);
}

static void leave_block(struct table *table, struct shared *shared)
{
	if (!shared->record.block || shared->ranges)
		return;
	table->block_used[shared->record.block - 1] = false;
	shared->record.block = 0;
	table_write(table, shared);
}

static void write_range(struct table *table, const struct shared *shared, const struct ports *ports,
			uint32_t value)
{
	for (uint32_t port = ports->low; port <= ports->high; port++)
		port_entry_set(table->maps, shared->record.block, port, value);
}

static int give_range(struct table *table, struct shared *shared, const struct ports *ports,
		      uint32_t *owner)
{
	uint32_t place = find_place(table);
	int err;

	if (place == UINT32_MAX)
		return -ENOSPC;
	err = need_block(table, shared);
	if (err)
		return err;
	take_place(table, shared, place);
	owner_change(table_word(table, place), NULL, 0);
	write_range(table, shared, ports, place + 1);
	shared->ranges++;
	*owner = place;
	return 0;
}

static void take_range(struct table *table, struct shared *shared, const struct ports *ports,
		       uint32_t owner)
{
	write_range(table, shared, ports, 0);
	shared->ranges--;
	owner_change(table_word(table, owner), NULL, PORTARP_OWNER_NONE);
	table->place[owner].shared = NULL;
	leave_block(table, shared);
}

/* ---- grants */

static struct grant *new_grant(struct table *table, struct shared *shared,
			       const struct ports *ports, const uint8_t mac[6], uint32_t owner)
{
	struct grant *grant = calloc(1, sizeof(*grant));

	if (!grant)
		return NULL;
	grant->shared = shared;
	grant->ports = *ports;
	grant->owner = owner;
	memcpy(grant->mac, mac, 6);
	TAILQ_INSERT_TAIL(&shared->grants, grant, link);
	shared->grant_count++;
	table->grant_count++;
	table->place[owner].grant = grant;
	return grant;
}

static void free_grant(struct table *table, struct grant *grant)
{
	TAILQ_REMOVE(&grant->shared->grants, grant, link);
	grant->shared->grant_count--;
	table->grant_count--;
	table->place[grant->owner].grant = NULL;
	free(grant);
}

int table_give(struct table *table, struct shared *shared, const struct ports *ports,
	       const uint8_t mac[6], bool leased, struct grant **given)
{
	struct grant *grant = NULL;
	uint32_t owner = shared->record.first + ports->set.psid;
	int err = table_check(table, shared, ports, mac, &grant);

	if (!err && !grant && ports->range)
		err = give_range(table, shared, ports, &owner);
	if (err)
		return err;
	if (!grant)
		grant = new_grant(table, shared, ports, mac, owner);
	if (!grant) {
		if (ports->range)
			take_range(table, shared, ports, owner);
		return -ENOMEM;
	}
	grant->leased |= leased;
	err = sharer_put(table, grant);
	if (err) {
		table_take(table, grant);
		return err;
	}
	*given = grant;
	return 0;
}

static int adopt_range(struct table *table, struct shared *shared, const struct ports *ports,
		       uint32_t *owner)
{
	uint32_t entry = shared->record.block
				 ? port_entry(table->maps, shared->record.block, ports->low)
				 : 0;

	for (uint32_t port = ports->low; port <= ports->high; port++)
		if (!entry || port_entry(table->maps, shared->record.block, port) != entry)
			return -ENOENT;
	if (entry > table->maps->owner.count || table->place[entry - 1].shared)
		return -ENOENT;
	take_place(table, shared, entry - 1);
	shared->ranges++;
	*owner = entry - 1;
	return 0;
}

int table_adopt_grant(struct table *table, struct shared *shared, const struct ports *ports,
		      const uint8_t mac[6], bool leased, struct grant **adopted)
{
	uint32_t owner = shared->record.first + ports->set.psid;
	struct grant *grant;
	int err = 0;

	if (!ports_valid(ports) || (!ports->range && (ports->set.a != shared->record.a ||
						      ports->set.k != shared->record.k)))
		return -EINVAL;
	if (ports->range)
		err = adopt_range(table, shared, ports, &owner);
	else if (table->place[owner].grant)
		err = -EEXIST;
	if (err)
		return err;
	grant = new_grant(table, shared, ports, mac, owner);
	if (!grant)
		return -ENOMEM;
	grant->leased = leased;
	*adopted = grant;
	return sharer_put(table, grant);
}

void table_take(struct table *table, struct grant *grant)
{
	struct shared *shared = grant->shared;
	uint16_t nobody = shared->record.flags & PORTARP_ADDR_OPEN ? 0 : PORTARP_OWNER_NONE;

	sharer_drop(table, grant);
	if (grant->ports.range)
		take_range(table, shared, &grant->ports, grant->owner);
	else
		owner_change(table_word(table, grant->owner), NULL, nobody);
	free_grant(table, grant);
}

int table_move(struct table *table, struct grant *grant, const uint8_t mac[6])
{
	sharer_drop(table, grant);
	memcpy(grant->mac, mac, 6);
	return sharer_put(table, grant);
}

void table_set_end(struct table *table, struct grant *grant, int64_t ends_s)
{
	grant->ends_s = ends_s;
	if (ends_s && (!table->next_end_s || ends_s < table->next_end_s))
		table->next_end_s = ends_s;
}

void table_expire(struct table *table, int64_t now_s, void (*each)(struct grant *grant, void *arg),
		  void *arg)
{
	struct shared *shared;
	int64_t next = 0;

	if (!table->next_end_s || now_s < table->next_end_s)
		return;
	TAILQ_FOREACH(shared, &table->addresses, link)
	{
		struct grant *grant, *after;

		for (grant = TAILQ_FIRST(&shared->grants); grant; grant = after) {
			after = TAILQ_NEXT(grant, link);
			if (grant->ends_s && grant->ends_s <= now_s)
				each(grant, arg);
			else if (grant->ends_s && (!next || grant->ends_s < next))
				next = grant->ends_s;
		}
	}
	table->next_end_s = next;
}
