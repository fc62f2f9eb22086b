/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rate limits: token buckets, one for each key (an address, a user), in a bounded table. When a
 * set of the table is full, the bucket that has recovered most is forgotten: its owner loses
 * nothing, and a flood of keys cannot refill the bucket of one that is being limited.
 */
#ifndef ISTHMUS_BROKER_LIMIT_H
#define ISTHMUS_BROKER_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LIMIT_KEY_LEN 40

struct bucket {
	double tokens;
	uint64_t filled_ms; /* when tokens was right */
};

/* rate: tokens a second; burst: most that are kept. A bucket of zeros is full. */
bool bucket_take(struct bucket *bucket, double rate, double burst, uint64_t now_ms);

struct limit_table;

struct limit_table *limit_new(void);
void limit_free(struct limit_table *table);
bool limit_take(struct limit_table *table, const char *key, double rate, double burst,
		uint64_t now_ms);
/* One key for each IPv4 address or IPv6 /64, which is what one host has (RFC 4291, 2.5.4). */
void limit_address_key(const struct sockaddr *address, char key[LIMIT_KEY_LEN]);

uint64_t limit_now_ms(void); /* CLOCK_MONOTONIC */

#endif
