/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a server may give: pools of addresses, shared or full, and what is reserved for hosts.
 *
 *	[pool 192.0.2.1-192.0.2.4]	[pool 192.0.2.100-192.0.2.150]	[host alice]
 *	offset = 6			full = yes			mac = 02:00:00:00:00:0a
 *	length = 8							address = 192.0.2.1
 *	exclude = 0-3, 17						psid = 52
 *	prefix = 24							ports = 80, 443, 8000-8099
 *	router = 192.0.2.254
 *
 * All addresses are in host byte order.
 */
#ifndef ISTHMUS_AGENTS_DHCP_POOL_H
#define ISTHMUS_AGENTS_DHCP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/portarp.h"
#include "../lib/dhcp_wire.h"

#define POOL_MAX	256
#define POOL_UNITS_MAX	(1u << 20) /* sets of one pool */
#define POOL_ADDRESSES	8	   /* routers, DNS servers, relays of a pool */
#define POOL_HOSTS_MAX	4096
#define POOL_CLIENT_LEN 256 /* bytes of a client identifier */
#define POOL_NO_UNIT	UINT32_MAX

struct pool_addresses {
	uint32_t item[POOL_ADDRESSES];
	unsigned int count;
};

/* A unit is what one lease is for: a set of an address, or a full address. */
struct pool {
	uint32_t low, high; /* addresses */
	bool full;	    /* one lease an address, all its ports */
	bool well_known;    /* sets with ports below 1024 may be given */
	bool has_a, has_k;
	uint8_t a, k;
	uint8_t prefix;
	uint32_t lease_s; /* 0 = the server's */
	struct pool_addresses router, dns, relay;
	char domain[64];
	uint8_t *excluded; /* a bit for each PSID, or NULL */
	uint32_t units;
	uint32_t next;	      /* where the search for a free one begins */
	uint8_t *reserved;    /* a bit for each unit: a [host] has it */
	struct lease **lease; /* of each unit; lease.c */
};

/* A [host]: known by its MAC or its client identifier. */
struct pool_host {
	char name[64];
	bool has_mac, has_psid;
	uint8_t mac[DHCP_MAC];
	uint8_t client[POOL_CLIENT_LEN];
	size_t client_len;
	uint32_t address; /* 0 = any */
	uint16_t psid;
	struct portarp_range range[DHCP_RANGES]; /* single ports too; told to the gateway */
	unsigned int ranges;
};

struct pools {
	struct pool *pool;
	unsigned int count;
	struct pool_host *host;
	unsigned int hosts;
};

/* 0, or -EINVAL, -ENOENT … with "file:line: what" in error; outputs untouched on failure. */
int pools_read(const char *path, struct pools *pools, char *error, size_t error_len);
void pools_free(struct pools *pools);

/* The pool that has this address, or NULL. */
struct pool *pools_find(const struct pools *pools, uint32_t address);
/* POOL_NO_UNIT if the pool has no such set or address. set NULL: a full address. */
uint32_t pool_unit(const struct pool *pool, uint32_t address, const struct portset *set);
uint32_t pool_unit_address(const struct pool *pool, uint32_t unit);
/* May the unit be given at all? Not if it is excluded or has well-known ports that may not be. */
bool pool_unit_allowed(const struct pool *pool, uint32_t unit);
struct portset pool_unit_set(const struct pool *pool, uint32_t unit);
/* Is the pool for messages of this relay (0: of the link itself)? */
bool pool_serves(const struct pool *pool, uint32_t relay);
/* Is the address of another network than all pools that serve this link? */
bool pools_foreign(const struct pools *pools, uint32_t relay, uint32_t address);
uint32_t pool_mask(const struct pool *pool);

const struct pool_host *pools_host(const struct pools *pools, const uint8_t *mac,
				   const uint8_t *client, size_t client_len);

/* "02:00:00:00:00:01"; hex digits with or without colons, at most `max` bytes: their number. */
bool pool_parse_mac(const char *text, uint8_t mac[DHCP_MAC]);
int pool_parse_hex(const char *text, uint8_t *bytes, size_t max);
bool pool_parse_ip(const char *text, uint32_t *address);
char *pool_ip_text(uint32_t address, char text[16]);
char *pool_mac_text(const uint8_t mac[DHCP_MAC], char text[18]);

#endif
