/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A database of agents/onetime/counter.c for each test, and the set of all addresses that it gave
 * out. Assertions are cmocka's.
 */
#ifndef ISTHMUS_SELFTESTS_ONETIME_COUNTERS_H
#define ISTHMUS_SELFTESTS_ONETIME_COUNTERS_H

#include <limits.h>
#include <stddef.h>

#include "../../agents/onetime/counter.h"

extern char path[PATH_MAX];  /* of the database */
extern char saved[PATH_MAX]; /* for a copy of it: removed with it */
extern struct counters *counters;

int counters_group_setup(void **state);
int counters_group_teardown(void **state);
int counters_setup(void **state); /* no file, nothing given */
int counters_teardown(void **state);
void open_counters(void);
void reopen(void);
void query(const char *text); /* while it is closed */

struct isthmus_addr parse(const char *text);
struct counter_pool *use(const char *prefix, unsigned int bits, enum generate_method method);
struct isthmus_addr next(struct counter_pool *pool);
size_t drain(struct counter_pool *pool); /* all that is left: how many */

extern struct isthmus_addr *given; /* in no order */
extern size_t given_count;
void give(const struct isthmus_addr *address);
size_t repeats(void);

#endif
