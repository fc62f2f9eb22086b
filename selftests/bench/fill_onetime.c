/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill_onetime - makes addresses of a listener in an attached datapath, as its agent would.
 *
 *	fill_onetime INSTANCE PREFIX FIRST COUNT LISTENER PORT [ONLY]
 *
 * Addresses FIRST and on (lib/onetime_numbers.h) become PENDING for an hour. LISTENER is its index,
 * PORT the one that it listens at. ONLY: a /64 of clients that they are for.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/onetime_numbers.h"
#include "maps/onetime.h"
#include "maps/pin.h"

/* link: maps/pin.c */

#define BATCH 4096

static struct isthmus_addr keys[BATCH];
static struct onetime_addr values[BATCH];

static int fill(int fd, const struct isthmus_addr *prefix, uint64_t first, uint64_t count,
		const struct onetime_addr *value)
{
	while (count) {
		uint32_t part = count < BATCH ? count : BATCH;

		for (uint32_t i = 0; i < part; i++) {
			keys[i] = numbered(prefix, first + i);
			values[i] = *value;
		}
		if (bpf_map_update_batch(fd, keys, values, &part, NULL))
			return -errno;
		first += part;
		count -= part;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct isthmus_addr prefix;
	struct onetime_addr value;
	int fd, err;

	if (argc < 7 || argc > 8 || numbered_prefix(argv[2], &prefix)) {
		fprintf(stderr,
			"usage: fill_onetime INSTANCE PREFIX FIRST COUNT LISTENER PORT [ONLY]\n");
		return 2;
	}
	fd = pin_open_map(argv[1], "onetime", "onetime_addr", sizeof(prefix), sizeof(value));
	value = numbered_pending(strtoul(argv[5], NULL, 10), strtoul(argv[6], NULL, 10));
	if (argc == 8 && !numbered_prefix(argv[7], &value.only))
		value.only_bits = 64;
	err = fd < 0 ? fd
		     : fill(fd, &prefix, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
			    &value);
	if (err)
		fprintf(stderr, "fill_onetime: %s\n", strerror(-err));
	return err ? 1 : 0;
}
