/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * counter.h - which addresses were given out: none is given twice, also over a crash.
 *
 * For each pool and each method that it ever had there is a generator, with a key of its own if the
 * method is KEYED, and its high-water mark: the counter below which all are spent. The mark is
 * raised on disk by a block of counters before the first address of the block is used; what a crash
 * leaves of a block is lost. A block has COUNTER_BLOCK counters, less in small pools: a 64th of the
 * pool, so that a crash costs it no more than this. What is left of a block at counters_close() or
 * a change of method is given back.
 *
 * Recorded one by one are the addresses that cannot be computed: RANDOM's, with their block, and
 * those that an operator chose. Every address has one owner, the generator or operator who had it
 * first, whichever pools overlap and whatever their methods were: the others skip it.
 *
 * The journal is apart from this. It tells for whom an address was, is written late, by
 * counter_flush(), and pruned by age; no address becomes free by that.
 *
 * One process may have the file (a second one is refused), one thread may call. The file holds the
 * keys: mode 0600. Without the file, or with an older copy of it, addresses repeat.
 *
 * Functions return 0 or a negative errno and leave outputs untouched then. -EIO is of the database;
 * counters_error() says what.
 */
#ifndef ISTHMUS_ONETIME_COUNTER_H
#define ISTHMUS_ONETIME_COUNTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/common.h"
#include "generate.h"

#define COUNTER_BLOCK	     4096
#define COUNTER_BLOCK_RANDOM 512  /* each of its addresses is a row: about 10 ms */
#define COUNTER_POOLS_MAX    1024 /* that the file ever had */
#define COUNTER_NOTES_MAX    4096 /* not yet flushed */
#define COUNTER_NAME_LEN     256  /* with NUL: a name of the DNS as text */
#define COUNTER_CLIENT_LEN   64	  /* with NUL: an address with port as text */

struct counters;
struct counter_pool; /* lives as long as its counters */

struct counter_trace {
	bool chosen;		   /* by an operator: the next four say nothing */
	struct generate_pool pool; /* of the generator that gave the address */
	enum generate_method method;
	uint64_t counter; /* RANDOM: which of its addresses, from 0 */
	bool noted;	  /* the journal has it: the next three */
	char name[COUNTER_NAME_LEN], client[COUNTER_CLIENT_LEN];
	int64_t time; /* seconds since 1970 */
};

/*
 * Makes the file if there is none. error gets one line. -EPROTO: another program's or a newer
 * version's file. -EBADMSG: a row that we never wrote.
 */
int counters_open(const char *path, struct counters **result, char *error, size_t error_len);
/* Flushes, and gives back what is left of blocks. NULL is allowed. */
void counters_close(struct counters *counters);
const char *counters_error(struct counters *counters);

/*
 * The pool with this prefix, which uses this method from now on; generate_pool_set() has the form
 * of a prefix and its -EINVAL. A method that it had before goes on where it was. -E2BIG: too many
 * pools.
 */
int counters_pool(struct counters *counters, const struct isthmus_addr *prefix, unsigned int bits,
		  enum generate_method method, struct counter_pool **result);
/*
 * A fresh address. -ENOSPC: the pool is used up. -EAGAIN: long runs of used addresses were passed
 * over, the next call goes on (RANDOM: in a pool that is nearly full).
 */
int counter_next(struct counter_pool *pool, struct isthmus_addr *address, uint64_t *counter);
/*
 * One that an operator chose, of a pool or of none yet. It is on disk when this returns. -EEXIST:
 * it was given out before. -EADDRNOTAVAIL: reserved in a pool.
 */
int counter_take_address(struct counters *counters, const struct isthmus_addr *address);

/*
 * For whom an address is, now: name and client may be "". -ENAMETOOLONG. A full buffer is flushed
 * first; if this fails the note is lost.
 */
int counter_note(struct counters *counters, const struct isthmus_addr *address, const char *name,
		 const char *client);
/* Writes the notes, which are kept if this fails. Every second. */
int counter_flush(struct counters *counters);
/*
 * -ENOENT: never given out. After a crash the rest of a block counts as given out. Flushes first.
 */
int counter_trace(struct counters *counters, const struct isthmus_addr *address,
		  struct counter_trace *trace);
/*
 * Removes from the journal what is at least so many seconds old, at most 10,000 entries of it.
 * Returns how many: more are left if it is 10,000.
 */
int counter_prune(struct counters *counters, int64_t older_than_s);

#endif
