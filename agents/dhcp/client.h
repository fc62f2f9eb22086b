/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client without its sockets: RFC 2131, figure 5, with RFC 7618, 6 and 7.
 *
 *	        lease known                     no answer, the lease still runs
 *	start ─────────────> REBOOTING ──ACK──────────────┐
 *	  │                      │NAK                     v        T1            T2
 *	  └──> INIT <────────────┴──NAK, lease over─── BOUND ──> RENEWING ──> REBINDING
 *	         │DISCOVER                               ^  <──ACK───┴────ACK─────┘
 *	         v        OFFER           REQUEST        │
 *	     SELECTING ────────────> REQUESTING ──ACK────┘
 *
 * Each set is a client of its own to the server: one DUID, another IAID (RFC 4361).
 *
 * Port 68 is rarely one of a shared address's own ports, so nothing is ever sent from that address:
 * requests leave as 0.0.0.0, to the server's MAC, or by broadcast if a relay is in between (its
 * answer then comes through the relay). Nothing probes a shared address (RFC 7618, 7.1).
 *
 * Times are milliseconds of CLOCK_BOOTTIME, told by the caller.
 */
#ifndef ISTHMUS_AGENTS_DHCP_CLIENT_H
#define ISTHMUS_AGENTS_DHCP_CLIENT_H

#include "frame.h"
#include "pool.h"
#include "wire.h"

#define CLIENT_NEVER	INT64_MAX
#define CLIENT_DNS	4
#define CLIENT_DUID_LEN 130 /* RFC 8415, 11.1 */

enum client_state {
	CLIENT_INIT,
	CLIENT_SELECTING,
	CLIENT_REQUESTING,
	CLIENT_BOUND,
	CLIENT_RENEWING,
	CLIENT_REBINDING,
	CLIENT_REBOOTING,
	CLIENT_STOPPED,
};

const char *client_state_word(enum client_state state);

struct client_lease {
	uint32_t address, mask, router, server;
	bool shared;
	struct portset set; /* of a shared address */
	struct portarp_range range[POOL_RANGES];
	unsigned int ranges;
	uint32_t dns[CLIENT_DNS];
	unsigned int dns_count;
	char domain[64];
	uint32_t seconds;
	int64_t t1, t2, expires;
	bool relayed;
	uint8_t server_mac[DHCP_MAC]; /* of the server or of the relay */
};

struct client_counters {
	uint64_t sent[DHCP_TYPES], received[DHCP_TYPES], ignored;
};

struct client;

struct client_hooks {
	/* ends: destinations and source address; the rest is the link's. */
	void (*send)(struct client *client, struct frame_ends *ends, const uint8_t *bytes,
		     size_t len);
	/* The lease is to be used: first, renewed, or as it was before a restart. */
	void (*bound)(struct client *client, bool renewed);
	void (*lost)(struct client *client, const char *why);
	uint32_t (*random)(void);
};

struct client {
	/* set by the owner */
	const struct client_hooks *hooks;
	void *arg;
	uint8_t mac[DHCP_MAC];
	uint32_t iaid;
	uint8_t id[1 + 4 + CLIENT_DUID_LEN]; /* option 61: 255, IAID, DUID */
	size_t id_len;
	const char *host_name; /* NULL = not told */
	uint8_t size_hint;     /* k; 0 = any */
	unsigned int select_ms;
	/* its own */
	enum client_state state;
	uint32_t xid;
	int64_t began, next; /* when client_timer() is due */
	unsigned int tries, naks;
	bool has_lease, in_use; /* in_use: bound() was told and lost() was not */
	bool has_offer;
	struct client_lease lease, offer;
	struct client_counters counters;
};

void client_make_id(struct client *client, uint32_t iaid, const uint8_t *duid, size_t duid_len);
/* INIT-REBOOT if has_lease and it still runs. */
void client_start(struct client *client, int64_t now);
void client_timer(struct client *client, int64_t now);
/* from: MAC of the frame. */
void client_message(struct client *client, const struct dhcp_message *message,
		    const uint8_t from[DHCP_MAC], int64_t now);
/* Gives the lease back and stops. */
void client_release(struct client *client, int64_t now);
/* Renews before its time. */
void client_renew(struct client *client, int64_t now);

/* ---- client_send.c */

void client_send(struct client *client, enum dhcp_type type, int64_t now);

#endif
