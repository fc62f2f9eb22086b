/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which waypoint address who asks was told for which host. Initiators behind a resolver are not
 * known, but one that is bound at an address to another host would be refused there (figure 6). So
 * an address that a client was told for one host is told for another only if there is no better.
 *
 * It is a memory of fixed size that forgets the oldest: what is forgotten costs at most a refusal.
 */
#ifndef ISTHMUS_DNS_ASSIGNED_H
#define ISTHMUS_DNS_ASSIGNED_H

#include <stdbool.h>
#include <stdint.h>

struct assigned;

#define ASSIGNED_NOBODY UINT64_MAX

struct assigned *assigned_new(void); /* NULL without memory */
void assigned_free(struct assigned *assigned);
/* client, host, address: well-mixed hashes of 64 bits. now_ms: of any clock that does not go back.
 */
void assigned_put(struct assigned *assigned, uint64_t client, uint64_t host, uint64_t address,
		  uint64_t now_ms);
/* The address that the client was told for the host, if it is remembered: its low 32 bits. */
bool assigned_address(const struct assigned *assigned, uint64_t client, uint64_t host,
		      uint32_t *address);
/*
 * For how long the address has been another host's for the client: milliseconds, or ASSIGNED_NOBODY
 * if it is nobody's, or this host's.
 */
uint64_t assigned_other(const struct assigned *assigned, uint64_t client, uint64_t host,
			uint64_t address, uint64_t now_ms);

#endif
