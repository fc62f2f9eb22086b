/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prefixes of pools: as keys of onetime_pool, and as an operator writes and reads them. */
#ifndef ISTHMUS_LOADER_ONETIME_PREFIX_H
#define ISTHMUS_LOADER_ONETIME_PREFIX_H

#include <stdbool.h>
#include <stddef.h>

#include "../maps/onetime.h"

#define ONETIME_PREFIX_TEXT 48

/* rtm_protocol of our local routes: nobody else's of /etc/iproute2/rt_protos. */
#define ONETIME_ROUTE_PROTOCOL 0x69

/*
 * "2001:db8:1::/64", "192.0.2.0/28": 0, or -EINVAL with the reason, and what to write instead, in
 * `error`.
 */
int onetime_prefix_parse(const char *text, struct onetime_prefix *prefix, char *error, size_t len);
void onetime_prefix_text(const struct onetime_prefix *prefix, char text[ONETIME_PREFIX_TEXT]);
bool onetime_prefix_is_v4(const struct onetime_prefix *prefix);
/* Of its own family: 28, not 124. */
unsigned int onetime_prefix_length(const struct onetime_prefix *prefix);
/* Is the second one, with all its addresses, in the first? Also if they are the same. */
bool onetime_prefix_holds(const struct onetime_prefix *prefix, const struct onetime_prefix *inner);
bool onetime_prefix_overlaps(const struct onetime_prefix *one, const struct onetime_prefix *other);
/* As the kernel tells one: bytes of an address of that family, and a length. */
void onetime_prefix_of(struct onetime_prefix *prefix, int family, const void *address,
		       unsigned int length);

#endif
