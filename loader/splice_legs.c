// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "splice_legs.h"
#include "walk.h"

static void place_each(const void *key, const void *value, void *arg)
{
	struct splice_legs *legs = arg;
	struct splice_place *place = &legs->place[legs->places];

	if (legs->places == SPLICE_LOCALS)
		return;
	memcpy(&place->address, key, sizeof(place->address));
	memcpy(&place->range, value, sizeof(place->range));
	/* a part that is not within the array is another version's */
	if (place->range.low <= place->range.high && place->range.first <= legs->count &&
	    splice_range_legs(&place->range) <= legs->count - place->range.first)
		legs->places++;
}

int splice_legs_open(const struct splice_pins *pins, struct splice_legs *legs)
{
	void *mapped;
	int err;

	legs->places = 0;
	err = walk_capacity(pins->leg, &legs->count);
	if (err)
		return err;
	mapped = mmap(NULL, (size_t)legs->count * sizeof(*legs->leg), PROT_READ, MAP_SHARED,
		      pins->leg, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	legs->leg = mapped;
	err = walk_map(pins->local, place_each, legs);
	if (err)
		splice_legs_close(legs);
	return err;
}

void splice_legs_close(struct splice_legs *legs)
{
	munmap((void *)legs->leg, (size_t)legs->count * sizeof(*legs->leg));
	legs->leg = NULL;
}

const struct splice_leg *splice_legs_at(const struct splice_legs *legs,
					const struct isthmus_addr *address, uint16_t port_be,
					uint8_t proto)
{
	uint16_t port = ntohs(port_be);

	for (unsigned int i = 0; i < legs->places; i++) {
		const struct splice_range *range = &legs->place[i].range;

		if (!memcmp(&legs->place[i].address, address, sizeof(*address)))
			return port < range->low || port > range->high
				       ? NULL
				       : &legs->leg[splice_leg_index(range, port, proto)];
	}
	return NULL;
}

uint32_t splice_legs_live(const struct splice_legs *legs, uint32_t first, uint32_t count)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < count; i++)
		live += legs->leg[first + i].state == SPLICE_LEG_LIVE;
	return live;
}
