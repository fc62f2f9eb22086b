/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions that are set aside until a waypoint has accepted them (AVES 3.3, 5.1).
 *
 *   answer() says HELD -> bind_hold() -> choose() -> SETUP -> ACCEPT -> answered
 *			       ^                      |-> REJECT: the next waypoint address
 *			       +- all of them wait ---+
 *
 * A SETUP without answer is sent again after 200, 600 and 1400 ms; after 3 s the question is
 * forgotten, as if it had been lost on its way.
 */
#ifndef ISTHMUS_DNS_BIND_H
#define ISTHMUS_DNS_BIND_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/util.h>
#include <jansson.h>

#include "hold.h"
#include "member.h"

#define CANDIDATES 8

struct bind_limits;
struct bindings;
struct dns;

int bind_open(struct dns *dns);
void bind_close(struct dns *dns);
/* What answer() has just held (dns->server.held). True: an answer comes, or never. */
bool bind_hold(struct dns *dns, const struct hold_client *client, const uint8_t *question,
	       size_t len);
struct holds *bind_holds(const struct dns *dns);
/* Sends the SETUPs that bind_hold() has gathered. */
void bind_flush(struct dns *dns);
void bind_waypoint_lost(struct dns *dns, const struct waypoint *waypoint);
void bind_readable(evutil_socket_t fd, short what, void *waypoint);
/* An initiator took so long to come, from its wait's beginning. */
void bind_took(struct dns *dns, unsigned int ms);
json_t *bind_status(struct dns *dns);

/* ---- choose.c: which waypoint addresses are asked, in which order */

struct wanted {
	const struct wire_set *bound; /* gateways and hosts of the name */
	struct isthmus_addr client;   /* the initiator, its subnet, or its resolver */
	__be32 prefix, mask;	      /* initiators that it is for */
	bool known;		      /* mode 1: `prefix` is the initiator */
	bool v6;		      /* an address of prefix6 is wanted */
	uint64_t name_hash, now_ms;
};

struct candidate {
	struct waypoint *waypoint;
	unsigned int address; /* index; v6: none */
	uint32_t gateway, host;
};

struct chosen {
	struct candidate candidate[CANDIDATES];
	unsigned int count;
	uint64_t retry_ms; /* 0, or when the first of those that wait now is free */
};

void choose(const struct members *members, const struct wanted *wanted, struct chosen *chosen);
/* The candidate has accepted, and the client is told its address. */
void choose_assigned(const struct members *members, const struct wanted *wanted,
		     const struct candidate *candidate);
/* A wait was accepted: others are not sent into it. */
void choose_note(struct waypoint_address *address, const struct busy *busy, uint64_t now_ms);

/* ---- bind_limit.c: how many wait states there may be */

enum bind_verdict {
	BIND_GO,
	BIND_PROVE,	    /* addresses are scarce: by TCP, or with a cookie */
	BIND_PROVE_LIMITED, /* the responder's rate is used up: the same */
	BIND_LIMITED,	    /* and so is the client's */
};

struct bind_limits *bind_limits_new(void);
void bind_limits_free(struct bind_limits *limits);
enum bind_verdict bind_limits_check(struct bind_limits *limits, const struct members *members,
				    const struct wanted *wanted, bool proven);

#endif
