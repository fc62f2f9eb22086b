/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The leases of a server, keyed by (address, set) as RFC 7618, 8 wants it. SQLite (WAL,
 *synchronous) is the truth and is written before a client is told; memory holds the same and,
 *besides, offers, which no restart keeps.
 *
 *            offer            bind           expires + grace, or end
 *	free ───────> OFFERED ───────> BOUND ─────────────────────────> EXPIRED, RELEASED: free for
 *	  ^             │ hold is over   │ ^ bind                           all, but the last client
 *	  └─────────────┘                v │                                gets it back if it can
 *	                               DECLINED: nobody's for a while
 *
 * A client is its identifier (option 61, or the hardware address) at its MAC: what the gateway
 * steers to is the MAC, so another MAC with the same identifier takes no lease over.
 *
 * Times are seconds of CLOCK_REALTIME, told by the caller.
 */
#ifndef ISTHMUS_AGENTS_DHCP_LEASE_H
#define ISTHMUS_AGENTS_DHCP_LEASE_H

#include "pool.h"

#define LEASE_CIRCUIT_LEN 64

enum lease_state {
	LEASE_OFFERED = 1,
	LEASE_BOUND,
	LEASE_RELEASED,
	LEASE_EXPIRED,
	LEASE_DECLINED,
	LEASE_STATES,
};

struct lease_client {
	uint8_t mac[DHCP_MAC];
	uint8_t id[POOL_CLIENT_LEN];
	uint16_t id_len;
};

/* The site that a request comes from: relay and its circuit (option 82.1), cut to
 * LEASE_CIRCUIT_LEN. */
struct lease_site {
	uint32_t relay;
	uint8_t circuit[LEASE_CIRCUIT_LEN];
	uint8_t circuit_len;
};

struct lease {
	struct pool *pool;
	uint32_t unit;
	uint32_t address;
	struct portset set; /* of a shared address */
	enum lease_state state;
	struct lease_client client;
	struct lease_site site;
	int64_t started, expires;
	bool told;	 /* the gateway knows this state */
	bool used_known; /* `used` was told by the gateway */
	uint32_t used;	 /* ports of the set in use, the larger of TCP's and UDP's */
	struct lease *next_client, *next_mac, *next_site; /* chains */
	uint32_t index;					  /* in leases.all */
};

#define LEASE_BUCKETS 16384

struct lease_db;

struct leases {
	struct pools *pools; /* borrowed */
	struct lease_db *db;
	uint32_t grace_s; /* an expired lease is kept from others for so long */
	struct lease **all;
	uint32_t count, room;
	uint32_t sweep; /* where leases_sweep() goes on */
	struct lease *by_client[LEASE_BUCKETS], *by_mac[LEASE_BUCKETS], *by_site[LEASE_BUCKETS];
};

/* Opens the database and takes up what fits the pools; what no longer does is told in `dropped`. */
int leases_open(struct leases *leases, const char *path, struct pools *pools, uint32_t grace_s,
		unsigned int *dropped, char *error, size_t error_len);
void leases_close(struct leases *leases);
/* Other pools (SIGHUP): everything is read again from the database. */
int leases_reload(struct leases *leases, struct pools *pools, unsigned int *dropped);

struct lease *leases_get(const struct leases *leases, uint32_t address, const struct portset *set);
/* Valid for its client now? */
bool lease_active(const struct lease *lease, int64_t now);
/* May `client` have this unit? (Not whether the pool may give it at all.) */
bool leases_unit_free(const struct leases *leases, const struct pool *pool, uint32_t unit,
		      const struct lease_client *client, int64_t now);
bool lease_is_of(const struct lease *lease, const struct lease_client *client);
/* The client's active lease; else the one it had last that is free now. NULL if none. */
struct lease *leases_current(const struct leases *leases, const struct lease_client *client,
			     int64_t now);
struct lease *leases_previous(const struct leases *leases, const struct lease_client *client,
			      int64_t now);
/* Another bound lease of the same client. */
struct lease *leases_other(const struct leases *leases, const struct lease *lease, int64_t now);
/* The client's lease at this address, the active one first. */
struct lease *leases_at(const struct leases *leases, const struct lease_client *client,
			uint32_t address);
/* Chains to walk: lease->next_mac, lease->next_site; entries of others are among them. */
struct lease *leases_of_mac(const struct leases *leases, const uint8_t mac[DHCP_MAC]);
unsigned int leases_count_mac(const struct leases *leases, const struct lease_client *but,
			      int64_t now);
unsigned int leases_count_site(const struct leases *leases, const struct lease_site *site,
			       const struct lease_client *but, int64_t now);

/* All three: 0 or a negative errno, then nothing has changed. The unit must be free. */
int leases_offer(struct leases *leases, struct pool *pool, uint32_t unit,
		 const struct lease_client *client, const struct lease_site *site, int64_t until,
		 struct lease **lease);
int leases_bind(struct leases *leases, struct lease *lease, int64_t now, uint32_t seconds);
int leases_end(struct leases *leases, struct lease *lease, enum lease_state state, int64_t now,
	       int64_t until);
/* Notes that the gateway knows; on disk too. */
int leases_told(struct leases *leases, struct lease *lease);

/* Looks at up to `most` leases and ends those that are over, calling ended() for each bound one. */
void leases_sweep(struct leases *leases, int64_t now, uint32_t most,
		  void (*ended)(struct lease *lease, void *arg), void *arg);

/* ---- lease_db.c */

struct lease_row {
	uint32_t address;
	struct portset set;
	bool full;
	enum lease_state state;
	struct lease_client client;
	struct lease_site site;
	int64_t started, expires;
	bool told;
};

int lease_db_open(const char *path, struct lease_db **db, char *error, size_t error_len);
void lease_db_close(struct lease_db *db);
/* On disk when it returns 0. */
int lease_db_write(struct lease_db *db, const struct lease_row *row);
int lease_db_delete(struct lease_db *db, uint32_t address, const struct portset *set);
int lease_db_each(struct lease_db *db, void (*one)(const struct lease_row *row, void *arg),
		  void *arg);

#endif
