/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who has which ports: shared addresses, and the sets, ranges and single ports given of them. The
 * maps are kept as these tables say; nothing here sends or logs.
 *
 *	shared address --> 2^k places of portarp_owner, one a set; place[first + PSID].grant
 *	               --> a block of portarp_port once it has a range; each range has its own place
 *
 * A grant is `leased` (given by an operator or a DHCP server) or was claimed on an open address.
 */
#ifndef ISTHMUS_AGENTS_PORTARP_TABLE_H
#define ISTHMUS_AGENTS_PORTARP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "maps.h"
#include "owner.h"

struct shared;
struct waiting;

/* Ports that one message or grant is about. */
struct ports {
	bool range;	    /* else a set */
	struct portset set; /* of a range: its low and high instead */
	uint16_t low, high;
};

struct grant {
	TAILQ_ENTRY(grant) link;
	struct shared *shared;
	struct ports ports;
	uint32_t owner;
	uint8_t mac[6];
	bool leased;
	bool alarmed;		 /* its use is above the threshold */
	int64_t since_s, ends_s; /* CLOCK_REALTIME; ends 0 = never */
	uint32_t used_tcp, used_udp;
};

struct shared {
	TAILQ_ENTRY(shared) link;
	uint32_t addr_be;
	struct portarp_addr record;
	TAILQ_HEAD(grants, grant) grants;
	unsigned int grant_count, ranges;
	uint32_t echo_place; /* 1 + a place of its own for the echo owner */
	uint8_t echo_mac[6];
	bool up;	/* cascade: what is not ours is beyond the uplink */
	bool neighbour; /* a neighbour entry and, if `routed`, a host route are ours */
	bool routed;
};

/* What the agent knows of a place of portarp_owner beside the word itself. */
struct place {
	struct shared *shared; /* NULL: free */
	struct grant *grant;
	struct waiting *waiting; /* packets for it are held here */
	uint32_t confirmed_s;	 /* CLOCK_MONOTONIC: it has answered */
	uint32_t asked_s;	 /* a question of age is open since */
	uint64_t asked_ms;	 /* the last question of any kind */
	uint8_t tries;
};

struct table {
	struct maps *maps;
	struct place *place; /* of maps->owner.count */
	TAILQ_HEAD(shareds, shared) addresses;
	unsigned int address_count, grant_count;
	bool *block_used; /* of `blocks` */
	bool *use_used;	  /* of `uses` */
	unsigned int blocks, uses;
	int64_t next_end_s; /* 0: nothing ends */
};

int table_init(struct table *table, struct maps *maps);
void table_free(struct table *table);

static inline uint64_t *table_word(const struct table *table, uint32_t owner)
{
	return &table->maps->owner.word[owner];
}

struct shared *table_find(const struct table *table, uint32_t addr_be);

/*
 * A new address: `record` holds a, k, echo, flags, ifindex, src_mac and mtu. Its places are NONE,
 * or unknown if it is open. -EEXIST, -ENOSPC (no 2^k places in a row), -ENOMEM.
 */
int table_add(struct table *table, uint32_t addr_be, const struct portarp_addr *record,
	      struct shared **added);
/* One that the maps have already: taken up as it is. -EPROTO if it contradicts others. */
int table_adopt(struct table *table, uint32_t addr_be, const struct portarp_addr *record,
		struct shared **adopted);
/* Its grants go with it. */
void table_remove(struct table *table, struct shared *shared);
int table_write(const struct table *table, struct shared *shared); /* its record, to the map */
/* Echo requests without an owner go to this MAC. */
int table_set_echo(struct table *table, struct shared *shared, const uint8_t mac[6]);

/* Whose is the port? UINT32_MAX: in no set. */
uint32_t table_owner_of(const struct table *table, const struct shared *shared, uint16_t port);
/* Of a packet that came for `owner`: a range with its port may have been claimed in between. */
uint32_t table_owner_now(const struct table *table, const struct shared *shared, uint32_t owner,
			 uint16_t port);
/* A port to ask the owner about: this one if it is the owner's (an ICMP error's is none), else one
 * of its set. */
uint16_t table_port_of(const struct table *table, uint32_t owner, uint16_t port);
struct grant *table_grant_of(const struct table *table, const struct shared *shared, uint16_t port);
/* The grant of exactly these ports. */
struct grant *table_grant_find(const struct table *table, const struct shared *shared,
			       const struct ports *ports);

/* 0, -EINVAL: not ports of this address, -EEXIST: the same ports are another's, -EADDRINUSE: a
 * range overlaps another MAC's. */
int table_check(const struct table *table, const struct shared *shared, const struct ports *ports,
		const uint8_t mac[6], struct grant **same);

/*
 * Gives the ports, which must be free or the MAC's already. The owner's word is not touched but for
 * a new range, whose place is unknown. -ENOSPC, -ENOMEM.
 */
int table_give(struct table *table, struct shared *shared, const struct ports *ports,
	       const uint8_t mac[6], bool leased, struct grant **given);
/* A grant that the maps have already, after a restart: nothing is written. -ENOENT: they have not.
 */
int table_adopt_grant(struct table *table, struct shared *shared, const struct ports *ports,
		      const uint8_t mac[6], bool leased, struct grant **adopted);
/* Takes them back: nobody's, or unknown on an open address. */
void table_take(struct table *table, struct grant *grant);
/* Another MAC for a grant: the words of the sharer map follow. */
int table_move(struct table *table, struct grant *grant, const uint8_t mac[6]);
void table_set_end(struct table *table, struct grant *grant, int64_t ends_s);
/* Calls each for what has ended by now, which takes it. */
void table_expire(struct table *table, int64_t now_s, void (*each)(struct grant *grant, void *arg),
		  void *arg);

bool ports_valid(const struct ports *ports);
bool ports_has(const struct ports *ports, uint16_t port);
uint32_t ports_count(const struct ports *ports);
uint16_t ports_first(const struct ports *ports);
uint16_t ports_nth(const struct ports *ports, uint32_t n);

#endif
