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
 * A proxy asks for another station, with that one's MAC. What a server sends to that MAC may go to
 * the station itself, so answers are wanted by broadcast (2131, 4.1); and as a server sends to a
 * `ciaddr` whatever the flag says, a proxy's REBINDING asks as REBOOTING does, without one.
 *
 * Times are milliseconds of CLOCK_BOOTTIME, told by the caller.
 */
#ifndef ISTHMUS_AGENTS_DHCP_CLIENT_H
#define ISTHMUS_AGENTS_DHCP_CLIENT_H

#include "../../maps/portarp.h"
#include "dhcp_frame.h"
#include "dhcp_wire.h"

#define DHCP_NEVER	INT64_MAX
#define DHCP_CLIENT_DNS 4
#define DHCP_DUID_LEN	130 /* RFC 8415, 11.1 */

enum dhcp_client_state {
	DHCP_CLIENT_INIT,
	DHCP_CLIENT_SELECTING,
	DHCP_CLIENT_REQUESTING,
	DHCP_CLIENT_BOUND,
	DHCP_CLIENT_RENEWING,
	DHCP_CLIENT_REBINDING,
	DHCP_CLIENT_REBOOTING,
	DHCP_CLIENT_STOPPED,
};

const char *dhcp_client_state_word(enum dhcp_client_state state);

struct dhcp_client_lease {
	uint32_t address, mask, router, server;
	bool shared;
	struct portset set; /* of a shared address */
	struct portarp_range range[DHCP_RANGES];
	unsigned int ranges;
	uint32_t dns[DHCP_CLIENT_DNS];
	unsigned int dns_count;
	char domain[64];
	uint32_t seconds;
	int64_t t1, t2, expires;
	bool relayed;
	uint8_t server_mac[DHCP_MAC]; /* of the server or of the relay */
};

struct dhcp_client_counters {
	uint64_t sent[DHCP_TYPES], received[DHCP_TYPES], ignored;
};

struct dhcp_client;

struct dhcp_client_hooks {
	/* ends: destinations and source address; the rest is the link's. */
	void (*send)(struct dhcp_client *client, struct dhcp_frame_ends *ends, const uint8_t *bytes,
		     size_t len);
	/* The lease is to be used: first, renewed, or as it was before a restart. */
	void (*bound)(struct dhcp_client *client, bool renewed);
	void (*lost)(struct dhcp_client *client, const char *why);
	uint32_t (*random)(void);
};

struct dhcp_client {
	/* set by the owner */
	const struct dhcp_client_hooks *hooks;
	void *arg;
	uint8_t mac[DHCP_MAC];
	uint32_t iaid;
	uint8_t id[1 + 4 + DHCP_DUID_LEN]; /* option 61: 255, IAID, DUID */
	size_t id_len;
	const char *host_name; /* NULL = not told */
	bool proxy;	       /* not the device's own MAC */
	bool whole;	       /* shared addresses are not wanted */
	uint8_t size_hint;     /* k; 0 = any */
	unsigned int select_ms;
	/* its own */
	enum dhcp_client_state state;
	uint32_t xid;
	int64_t began, next; /* when dhcp_client_timer() is due */
	unsigned int tries, naks;
	bool has_lease, in_use; /* in_use: bound() was told and lost() was not */
	bool has_offer;
	struct dhcp_client_lease lease, offer;
	struct dhcp_client_counters counters;
};

void dhcp_client_make_id(struct dhcp_client *client, uint32_t iaid, const uint8_t *duid,
			 size_t duid_len);
/* What most clients with this MAC would say: its type and itself (RFC 2132, 9.14). */
void dhcp_client_make_mac_id(struct dhcp_client *client);
/* INIT-REBOOT if has_lease and it still runs. */
void dhcp_client_start(struct dhcp_client *client, int64_t now);
void dhcp_client_timer(struct dhcp_client *client, int64_t now);
/* from: MAC of the frame. */
void dhcp_client_message(struct dhcp_client *client, const struct dhcp_message *message,
			 const uint8_t from[DHCP_MAC], int64_t now);
/* Gives the lease back and stops. */
void dhcp_client_release(struct dhcp_client *client, int64_t now);
/* By the bound hook, the first time: another host has this address. Asks again later. */
void dhcp_client_decline(struct dhcp_client *client, int64_t now);
/* Renews before its time. */
void dhcp_client_renew(struct dhcp_client *client, int64_t now);

/* ---- dhcp_client_send.c */

void dhcp_client_send(struct dhcp_client *client, enum dhcp_type type, int64_t now);

#endif
