/* SPDX-License-Identifier: GPL-3.0-or-later */
/* splice_leg is an array whose parts belong to the addresses of splice_local: both, read together.
 */
#ifndef ISTHMUS_LOADER_SPLICE_LEGS_H
#define ISTHMUS_LOADER_SPLICE_LEGS_H

#include "splice.h"

/* An address and its part of splice_leg. */
struct splice_place {
	struct isthmus_addr address;
	struct splice_range range;
};

struct splice_legs {
	struct splice_place place[SPLICE_LOCALS];
	unsigned int places;
	const struct splice_leg *leg; /* the map itself, mapped for reading */
	uint32_t count;
};

int splice_legs_open(const struct splice_pins *pins, struct splice_legs *legs);
void splice_legs_close(struct splice_legs *legs);
/* The leg of an endpoint (port in network byte order), NULL if the endpoint is not ours. */
const struct splice_leg *splice_legs_at(const struct splice_legs *legs,
					const struct isthmus_addr *address, uint16_t port_be,
					uint8_t proto);
/* Legs in use among `count` from `first` on. */
uint32_t splice_legs_live(const struct splice_legs *legs, uint32_t first, uint32_t count);

#endif
