/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Networks, of either family, as addresses of 128 bits (maps/common.h). */
#ifndef ISTHMUS_AGENTS_PREFIX_H
#define ISTHMUS_AGENTS_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

struct prefix {
	struct isthmus_addr address;
	uint8_t bits; /* of 128: an IPv4 /24 has 120 */
};

/* "192.0.2.0/24", "2001:db8::/32", or one address: 0 or -EINVAL. */
int prefix_parse(const char *text, struct prefix *prefix);
bool prefix_has(const struct prefix *prefix, const struct isthmus_addr *address);
/* Host bits become 0, so that one network has one form. */
void prefix_mask(struct prefix *prefix);
bool prefix_any_has(const struct prefix *list, unsigned int count,
		    const struct isthmus_addr *address);

#endif
