/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How often a source may do something: token buckets in a table of fixed size. */
#ifndef ISTHMUS_TRANSLATOR_LIMIT_H
#define ISTHMUS_TRANSLATOR_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "../../maps/common.h"

struct limit;

/* A source may do `burst` at once and `rate` a second. slots: a power of two; sources that fall
 * into one slot share it, which one a source gets is random for each process. */
struct limit *limit_new(unsigned int slots, unsigned int rate, unsigned int burst);
void limit_free(struct limit *limit);
/* IPv6 sources count by their /64. */
bool limit_take(struct limit *limit, const struct isthmus_addr *source, uint64_t now_ns);

#endif
