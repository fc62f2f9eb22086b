// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which part of splice_leg each address has. The array's size is fixed when it is made, and a part
 * may not move while sessions are in it: a replacing attach keeps the parts of addresses that stay
 * and gives new addresses what is free.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "address.h"
#include "splice_attach.h"
#include "splice_legs.h"

static struct splice_range wanted_range(const struct splice_run *run)
{
	struct splice_range range = { .low = SPLICE_PORT_LOW, .high = SPLICE_PORT_HIGH };

	if (run->wanted->ports.low) {
		range.low = run->wanted->ports.low;
		range.high = run->wanted->ports.high;
	}
	return range;
}

uint32_t splice_places_total(const struct splice_run *run)
{
	const struct splice_range range = wanted_range(run);

	return run->wanted->addresses.count * splice_range_legs(&range);
}

static int place_write(const struct splice_run *run, const struct isthmus_addr *address,
		       const struct splice_range *range)
{
	if (bpf_map_update_elem(run->pins.local, address, range, BPF_ANY))
		return complain(EXIT_FAILED, "splice_local: %s; at most %d addresses",
				strerror(errno), SPLICE_LOCALS);
	return EXIT_DONE;
}

int splice_places_fill(const struct splice_run *run)
{
	const struct option_addresses *addresses = &run->wanted->addresses;
	struct splice_range range = wanted_range(run);

	for (unsigned int i = 0; i < addresses->count; i++) {
		if (place_write(run, &addresses->item[i], &range) != EXIT_DONE)
			return EXIT_FAILED;
		range.first += splice_range_legs(&range);
	}
	return EXIT_DONE;
}

/* ---- replacing */

static const struct splice_place *place_of(const struct splice_legs *legs,
					   const struct isthmus_addr *address)
{
	for (unsigned int i = 0; i < legs->places; i++)
		if (!memcmp(&legs->place[i].address, address, sizeof(*address)))
			return &legs->place[i];
	return NULL;
}

static bool is_wanted(const struct splice_run *run, const struct isthmus_addr *address)
{
	const struct option_addresses *addresses = &run->wanted->addresses;

	for (unsigned int i = 0; i < addresses->count; i++)
		if (!memcmp(&addresses->item[i], address, sizeof(*address)))
			return true;
	return !addresses->count; /* not given: they stay */
}

static int check_ports(const struct splice_run *run, const struct splice_legs *legs)
{
	const struct splice_range range = wanted_range(run);

	for (unsigned int i = 0; i < legs->places && run->wanted->ports.low; i++) {
		const struct splice_place *place = &legs->place[i];
		char text[ADDRESS_TEXT];

		if (!is_wanted(run, &place->address) ||
		    (place->range.low == range.low && place->range.high == range.high))
			continue;
		address_text(&place->address, text);
		return complain(EXIT_FAILED,
				"%s: --replace keeps its ports %u-%u; detach and attach again to "
				"change them (sessions end)",
				text, place->range.low, place->range.high);
	}
	return EXIT_DONE;
}

/* End of the first part in `taken` that overlaps [first, first + count), 0 if none does. */
static uint32_t overlap_end(const struct splice_place *taken, unsigned int takens, uint32_t first,
			    uint32_t count)
{
	for (unsigned int i = 0; i < takens; i++) {
		uint32_t end = taken[i].range.first + splice_range_legs(&taken[i].range);

		if (first < end && taken[i].range.first < first + count)
			return end;
	}
	return 0;
}

/* A place among those taken, and without live legs of an address that went before. */
static int find_room(const struct splice_legs *legs, const struct splice_place *taken,
		     unsigned int takens, struct splice_range *range)
{
	uint32_t count = splice_range_legs(range);
	uint32_t first = 0, end;

	while (count <= legs->count && first <= legs->count - count) {
		end = overlap_end(taken, takens, first, count);
		if (!end && !splice_legs_live(legs, first, count)) {
			range->first = first;
			return 0;
		}
		first = end ? end : first + count;
	}
	return -ENOSPC;
}

int splice_places_plan(const struct splice_run *run, const struct splice_legs *legs,
		       struct splice_places *plan)
{
	const struct option_addresses *addresses = &run->wanted->addresses;

	*plan = (struct splice_places){};
	for (unsigned int i = 0; i < legs->places; i++)
		if (is_wanted(run, &legs->place[i].address))
			plan->place[plan->kept++] = legs->place[i];
	plan->count = plan->kept;
	for (unsigned int i = 0; i < addresses->count; i++) {
		struct splice_range range = wanted_range(run);
		char text[ADDRESS_TEXT];

		if (place_of(legs, &addresses->item[i]))
			continue;
		address_text(&addresses->item[i], text);
		if (plan->count == SPLICE_LOCALS ||
		    find_room(legs, plan->place, plan->count, &range))
			return complain(
				EXIT_FAILED,
				"%s: no room for its ports %u-%u: --replace keeps the session "
				"table; detach and attach again (sessions end)",
				text, range.low, range.high);
		plan->place[plan->count++] = (struct splice_place){ addresses->item[i], range };
	}
	return check_ports(run, legs);
}

int splice_places_exchange(const struct splice_run *run, const struct splice_legs *legs,
			   const struct splice_places *plan)
{
	for (unsigned int i = 0; i < legs->places; i++)
		if (!is_wanted(run, &legs->place[i].address))
			bpf_map_delete_elem(run->pins.local, &legs->place[i].address);
	for (unsigned int i = plan->kept; i < plan->count; i++)
		if (place_write(run, &plan->place[i].address, &plan->place[i].range) != EXIT_DONE)
			return EXIT_FAILED;
	return EXIT_DONE;
}
