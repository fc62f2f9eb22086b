// SPDX-License-Identifier: GPL-3.0-or-later
/* Who has which ports: the owners of all addresses, and the one of a port. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "portarp.h"
#include "walk.h"

static void address_from_v4(__be32 v4, struct isthmus_addr *address)
{
	*address = (struct isthmus_addr){ .b = { [10] = 0xff, [11] = 0xff } };
	memcpy(&address->b[12], &v4, 4);
}

int portarp_parse_endpoint(const char *text, struct isthmus_addr *address, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	unsigned int number;
	int used = 0;

	if (!colon || colon - text >= (int)sizeof(host))
		return -EINVAL;
	memcpy(host, text, colon - text);
	host[colon - text] = 0;
	if (sscanf(colon + 1, "%5u%n", &number, &used) != 1 || colon[1 + used] ||
	    number > UINT16_MAX)
		return -EINVAL;
	*port = number;
	return address_parse(host, address) || !address_is_v4(address) ? -EINVAL : 0;
}

static int read_owner(const struct portarp_pins *pins, __u32 index, struct portarp_owner *owner)
{
	return bpf_map_lookup_elem(pins->owner, &index, owner) ? -errno : 0;
}

static __u32 block_place(const struct portarp_addr *addr, uint32_t port)
{
	return (addr->block - 1) << 16 | port;
}

/* 1 + owner's index of a single port or range, 0 = none. */
static int read_single(const struct portarp_pins *pins, const struct portarp_addr *addr,
		       uint32_t port, __u32 *single)
{
	__u32 place = block_place(addr, port);

	*single = 0;
	if (!addr->block)
		return 0;
	return bpf_map_lookup_elem(pins->port, &place, single) ? -errno : 0;
}

/* The range around a port whose entries name the same owner. */
static int widen(const struct portarp_pins *pins, const struct portarp_addr *addr, uint16_t port,
		 __u32 single, struct portarp_range *range)
{
	uint32_t low = port, high = port;
	__u32 other;
	int err = 0;

	while (!err && low) {
		err = read_single(pins, addr, low - 1, &other);
		if (err || other != single)
			break;
		low--;
	}
	while (!err && high < UINT16_MAX) {
		err = read_single(pins, addr, high + 1, &other);
		if (err || other != single)
			break;
		high++;
	}
	*range = (struct portarp_range){ .low = low, .high = high };
	return err;
}

int portarp_owner_of(const struct portarp_pins *pins, const struct isthmus_addr *address,
		     uint16_t port, struct portarp_owner_view *view)
{
	struct portarp_owner_view found = { .address = *address };
	__u32 single;
	__be32 key;
	int err;

	if (!address_is_v4(address))
		return -ENOENT;
	memcpy(&key, &address->b[12], 4);
	if (bpf_map_lookup_elem(pins->addr, &key, &found.addr))
		return -errno;
	err = read_single(pins, &found.addr, port, &single);
	if (!err && single) {
		found.ranged = true;
		err = widen(pins, &found.addr, port, single, &found.range);
		err = err ?: read_owner(pins, single - 1, &found.owner);
	} else if (!err) {
		if (!portset_in_sets(found.addr.a, port))
			return -ESRCH;
		found.set.a = found.addr.a;
		found.set.k = found.addr.k;
		found.set.psid = portset_psid(found.addr.a, found.addr.k, port);
		err = read_owner(pins, found.addr.first + found.set.psid, &found.owner);
	}
	if (!err)
		*view = found;
	return err;
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

typedef void (*owner_each)(const struct portarp_owner_view *view, void *arg);

static int each_set(const struct portarp_pins *pins, struct portarp_owner_view *view,
		    owner_each each, void *arg)
{
	view->ranged = false;
	view->set = (struct portset){ .a = view->addr.a, .k = view->addr.k };
	for (uint32_t psid = 0; psid < 1u << view->addr.k; psid++) {
		int err = read_owner(pins, view->addr.first + psid, &view->owner);

		if (err)
			return err;
		view->set.psid = psid;
		if (!(view->owner.wait & PORTARP_OWNER_NONE))
			each(view, arg);
	}
	return 0;
}

static int each_range(const struct portarp_pins *pins, struct portarp_owner_view *view,
		      owner_each each, void *arg)
{
	__u32 single, before = 0;
	int err;

	view->ranged = true;
	for (uint32_t port = 0; view->addr.block && port <= UINT16_MAX; port++) {
		err = read_single(pins, &view->addr, port, &single);
		if (err)
			return err;
		if (single && single != before) {
			err = widen(pins, &view->addr, port, single, &view->range);
			err = err ?: read_owner(pins, single - 1, &view->owner);
			if (err)
				return err;
			each(view, arg);
		}
		before = single;
	}
	return 0;
}

int portarp_owners_each(const struct portarp_pins *pins, owner_each each, void *arg)
{
	struct sorted sorted = {};
	int err = walk_map(pins->addr, sorted_add, &sorted);

	if (!err)
		err = sorted.err;
	if (!err && sorted.count)
		qsort(sorted.key, sorted.count, sizeof(*sorted.key), compare);
	for (size_t i = 0; i < sorted.count && !err; i++) {
		struct portarp_owner_view view = {};

		address_from_v4(sorted.key[i], &view.address);
		if (bpf_map_lookup_elem(pins->addr, &sorted.key[i], &view.addr))
			continue; /* removed meanwhile */
		err = each_set(pins, &view, each, arg);
		if (!err)
			err = each_range(pins, &view, each, arg);
	}
	free(sorted.key);
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

/* "1232-1235,2256-2259,...": the first ones. */
static void ranges_text(const struct portset *set, char *text, size_t len)
{
	uint32_t ranges = portset_ranges(set), each = portset_range_ports(set);
	size_t used = 0;

	for (uint32_t i = 0; i < ranges && i < 2; i++) {
		uint16_t first = portset_range_first(set, i);

		used += snprintf(text + used, len - used, each > 1 ? "%s%u-%u" : "%s%u",
				 i ? "," : "", first, first + each - 1);
	}
	if (ranges > 2)
		snprintf(text + used, len - used, ",… %u ranges", ranges);
}

void portarp_owner_print(const struct output *output, const struct portarp_owner_view *view)
{
	const __u8 *mac = view->owner.mac;
	bool known = view->owner.wait & (PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
	char text[72];

	output->record_start();
	output->address("address", &view->address);
	snprintf(text, sizeof(text), "%u/%u", view->set.a, view->set.k);
	output->text("bits", view->ranged ? NULL : text);
	snprintf(text, sizeof(text), "%u", view->set.psid);
	output->text("psid", view->ranged ? NULL : text);
	if (view->ranged)
		snprintf(text, sizeof(text), "%u-%u", view->range.low, view->range.high);
	else
		ranges_text(&view->set, text, sizeof(text));
	output->text("ports", text);
	output->number("count", view->ranged ? view->range.high - view->range.low + 1u
					     : portset_ports(&view->set));
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	output->text("mac", known ? text : NULL);
	output->text("state", state_text(&view->owner));
	output->record_end();
}
