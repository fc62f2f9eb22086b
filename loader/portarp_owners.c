// SPDX-License-Identifier: GPL-3.0-or-later
/* Who has which ports: the owners of all addresses, and the one of a port. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "address.h"
#include "portarp.h"
#include "walk.h"

void portarp_address(__be32 v4, struct isthmus_addr *address)
{
	*address = (struct isthmus_addr){ .b = { [10] = 0xff, [11] = 0xff } };
	memcpy(&address->b[12], &v4, 4);
}

int portarp_parse_endpoint(const char *text, struct isthmus_addr *address, uint16_t *port)
{
	const char *colon = strchr(text, ':');
	struct isthmus_addr parsed;
	uint32_t number;
	char host[64];

	if (!colon || colon - text >= (int)sizeof(host))
		return -EINVAL;
	memcpy(host, text, colon - text);
	host[colon - text] = 0;
	if (options_number(colon + 1, 0, UINT16_MAX, &number) || address_parse(host, &parsed))
		return -EINVAL;
	*address = parsed;
	*port = number;
	return 0;
}

/* ---- the arrays, mapped for reading */

static int table_map(int fd, size_t size, const void **table, uint32_t *count)
{
	void *mapped;
	int err = walk_capacity(fd, count);

	if (err)
		return err;
	mapped = mmap(NULL, *count * size, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	*table = mapped;
	return 0;
}

static void table_unmap(const void *table, size_t size, uint32_t count)
{
	if (table)
		munmap((void *)table, count * size);
}

void portarp_tables_close(struct portarp_tables *tables)
{
	table_unmap(tables->owner, sizeof(*tables->owner), tables->owners);
	table_unmap(tables->port, sizeof(*tables->port), tables->ports);
	*tables = (struct portarp_tables){};
}

int portarp_tables_open(const struct portarp_pins *pins, struct portarp_tables *tables)
{
	struct portarp_tables opened = { .addr_fd = pins->addr };
	int err = table_map(pins->owner, sizeof(*opened.owner), (const void **)&opened.owner,
			    &opened.owners);

	if (!err)
		err = table_map(pins->port, sizeof(*opened.port), (const void **)&opened.port,
				&opened.ports);
	if (err)
		portarp_tables_close(&opened);
	else
		*tables = opened;
	return err;
}

/* A place outside of its array is another version's. */
static bool is_sound(const struct portarp_tables *tables, const struct portarp_addr *addr)
{
	return addr->k <= 16 && addr->a <= 15 && addr->a + addr->k <= 16 &&
	       addr->first <= tables->owners && 1u << addr->k <= tables->owners - addr->first &&
	       addr->block <= tables->ports >> 16;
}

static int read_addr(const struct portarp_tables *tables, __be32 key, struct portarp_addr *addr)
{
	if (bpf_map_lookup_elem(tables->addr_fd, &key, addr))
		return -errno;
	return is_sound(tables, addr) ? 0 : -EPROTO;
}

/* Agents and programs change an owner as one word. */
static struct portarp_owner read_owner(const struct portarp_tables *tables, uint32_t index)
{
	const uint64_t *word = (const uint64_t *)&tables->owner[index];
	uint64_t value = __atomic_load_n(word, __ATOMIC_RELAXED);
	struct portarp_owner owner;

	memcpy(&owner, &value, sizeof(owner));
	return owner;
}

/* The block of single ports and ranges of an address, NULL if it has none. */
static const struct portarp_slot *block_of(const struct portarp_tables *tables,
					   const struct portarp_addr *addr)
{
	return addr->block ? tables->port + ((size_t)(addr->block - 1) << 16) : NULL;
}

/* The range around a port whose entries name the same owner. */
static struct portarp_range widen(const struct portarp_slot *block, uint16_t port)
{
	uint32_t low = port, high = port;

	while (low && block[low - 1].owner == block[port].owner)
		low--;
	while (high < UINT16_MAX && block[high + 1].owner == block[port].owner)
		high++;
	return (struct portarp_range){ .low = low, .high = high };
}

/* ---- of a port */

int portarp_owner_of(const struct portarp_tables *tables, const struct isthmus_addr *address,
		     uint16_t port, struct portarp_owner_view *view)
{
	struct portarp_owner_view found = { .address = *address };
	const struct portarp_slot *block;
	__u32 index;
	__be32 key;
	int err;

	if (!address_is_v4(address))
		return -ENOENT;
	memcpy(&key, &address->b[12], 4);
	err = read_addr(tables, key, &found.addr);
	if (err)
		return err;
	block = block_of(tables, &found.addr);
	if (block && block[port].owner) {
		found.ranged = true;
		found.range = widen(block, port);
		index = block[port].owner - 1;
	} else {
		if (!portset_in_sets(found.addr.a, port))
			return -ESRCH;
		found.set.a = found.addr.a;
		found.set.k = found.addr.k;
		found.set.psid = portset_psid(found.addr.a, found.addr.k, port);
		index = found.addr.first + found.set.psid;
	}
	if (index >= tables->owners)
		return -EPROTO;
	found.owner = read_owner(tables, index);
	*view = found;
	return 0;
}

/* ---- all of them */

struct sorted {
	__be32 *key;
	size_t count, room;
	int err;
};

static void sorted_add(const void *key, const void *value, void *arg)
{
	struct sorted *sorted = arg;

	(void)value;
	if (sorted->count == sorted->room) {
		size_t room = sorted->room ? 2 * sorted->room : 256;
		__be32 *grown = reallocarray(sorted->key, room, sizeof(*grown));

		if (!grown) {
			sorted->err = -ENOMEM;
			return;
		}
		sorted->key = grown;
		sorted->room = room;
	}
	memcpy(&sorted->key[sorted->count++], key, sizeof(*sorted->key));
}

static int compare(const void *a, const void *b)
{
	uint32_t x = ntohl(*(const __be32 *)a), y = ntohl(*(const __be32 *)b);

	return x < y ? -1 : x > y;
}

static void each_set(const struct portarp_tables *tables, struct portarp_owner_view *view,
		     portarp_owner_each each, void *arg)
{
	view->ranged = false;
	view->set = (struct portset){ .a = view->addr.a, .k = view->addr.k };
	for (uint32_t psid = 0; psid < 1u << view->addr.k; psid++) {
		view->set.psid = psid;
		view->owner = read_owner(tables, view->addr.first + psid);
		if (!(view->owner.wait & PORTARP_OWNER_NONE))
			each(view, arg);
	}
}

static void each_range(const struct portarp_tables *tables, struct portarp_owner_view *view,
		       portarp_owner_each each, void *arg)
{
	const struct portarp_slot *block = block_of(tables, &view->addr);

	view->ranged = true;
	for (uint32_t port = 0; block && port <= UINT16_MAX; port++) {
		if (!block[port].owner || block[port].owner > tables->owners)
			continue;
		view->range = widen(block, port);
		view->owner = read_owner(tables, block[port].owner - 1);
		each(view, arg);
		port = view->range.high;
	}
}

int portarp_owners_each(const struct portarp_tables *tables, portarp_owner_each each, void *arg)
{
	struct sorted sorted = {};
	int err = walk_map(tables->addr_fd, sorted_add, &sorted);

	if (!err)
		err = sorted.err;
	if (!err && sorted.count)
		qsort(sorted.key, sorted.count, sizeof(*sorted.key), compare);
	for (size_t i = 0; i < sorted.count && !err; i++) {
		struct portarp_owner_view view = {};

		portarp_address(sorted.key[i], &view.address);
		err = read_addr(tables, sorted.key[i], &view.addr);
		if (err == -ENOENT) { /* removed meanwhile */
			err = 0;
			continue;
		}
		if (err)
			break;
		each_set(tables, &view, each, arg);
		each_range(tables, &view, each, arg);
	}
	free(sorted.key);
	return err;
}

struct singles {
	const struct portarp_tables *tables;
	uint8_t *seen; /* a bit for each place */
	uint32_t count;
};

static void singles_add(const void *key, const void *value, void *arg)
{
	const struct portarp_addr *addr = value;
	struct singles *singles = arg;
	const struct portarp_slot *block =
		is_sound(singles->tables, addr) ? block_of(singles->tables, addr) : NULL;

	(void)key;
	for (uint32_t port = 0; block && port <= UINT16_MAX; port++) {
		uint32_t place = block[port].owner - 1; /* 0: none */
		uint8_t bit = 1 << place % 8;

		if (place >= singles->tables->owners || singles->seen[place / 8] & bit)
			continue;
		singles->seen[place / 8] |= bit;
		singles->count++;
	}
}

int portarp_singles(const struct portarp_pins *pins, uint32_t *count)
{
	struct portarp_tables tables;
	struct singles singles = { .tables = &tables };
	int err = portarp_tables_open(pins, &tables);

	if (err)
		return err;
	singles.seen = calloc(1, tables.owners / 8 + 1);
	err = singles.seen ? walk_map(pins->addr, singles_add, &singles) : -ENOMEM;
	free(singles.seen);
	portarp_tables_close(&tables);
	if (!err)
		*count = singles.count;
	return err;
}

/* ---- as an operator reads it */

static const char *state_text(const struct portarp_owner *owner)
{
	if (owner->wait & PORTARP_OWNER_UP)
		return "uplink";
	if (owner->wait & PORTARP_OWNER_NONE)
		return "none";
	if (owner->wait & PORTARP_OWNER_STALE)
		return "stale";
	if (owner->wait & PORTARP_OWNER_KNOWN)
		return "known";
	return owner->wait & PORTARP_OWNER_WAIT ? "waiting" : "unknown";
}

void portarp_mac_text(const __u8 mac[6], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}

unsigned int portarp_set_ranges(const struct portset *set, struct output_range *range)
{
	unsigned int count = portset_ranges(set);

	for (unsigned int i = 0; i < count; i++) {
		range[i].low = portset_range_first(set, i);
		range[i].high = range[i].low + portset_range_ports(set) - 1;
	}
	return count;
}

static void print_set(const struct output *output, const struct portset *set)
{
	struct output_range *range = calloc(portset_ranges(set), sizeof(*range));

	output->ranges("ports", range, range ? portarp_set_ranges(set, range) : 0);
	free(range);
}

static void print_ports(const struct output *output, const struct portarp_owner_view *view)
{
	const struct output_range range = { view->range.low, view->range.high };

	if (view->ranged) {
		output->text("offset_bits", NULL);
		output->text("psid_bits", NULL);
		output->text("psid", NULL);
		output->number("count", view->range.high - view->range.low + 1u);
		output->ranges("ports", &range, 1);
		return;
	}
	output->number("offset_bits", view->set.a);
	output->number("psid_bits", view->set.k);
	output->number("psid", view->set.psid);
	output->number("count", portset_ports(&view->set));
	print_set(output, &view->set);
}

void portarp_owner_print(const struct output *output, const struct portarp_owner_view *view)
{
	bool known = view->owner.wait & (PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
	char mac[18];

	portarp_mac_text(view->owner.mac, mac);
	output->record_start();
	output->address("address", &view->address);
	output->text("mac", known ? mac : NULL);
	output->text("state", state_text(&view->owner));
	output->number("waiting", view->owner.wait & PORTARP_OWNER_WAIT);
	print_ports(output, view);
	output->record_end();
}
