/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The server without its sockets: a message comes in, at most one goes out (RFC 2131, 4.3; RFC
 * 7618, 8). Time is told by the caller, so that tests can let leases end.
 */
#ifndef ISTHMUS_AGENTS_DHCP_SERVER_H
#define ISTHMUS_AGENTS_DHCP_SERVER_H

#include "lease.h"
#include "settings.h"
#include "../lib/dhcp_wire.h"

#define SERVER_OFFER_S	   60	/* an offer is kept for so long */
#define SERVER_RATE_PLACES 4096 /* MACs share these places, by hash */

/* Why a message got no answer, or a client not what it wants: counted. */
#define SERVER_REFUSALS(X)                                                                         \
	X(MALFORMED, "malformed", "no DHCP message, or one whose parts contradict each other")     \
	X(NOT_ETHERNET, "not-ethernet", "hardware address of another kind than Ethernet's")        \
	X(FOREIGN_MAC, "foreign-mac", "chaddr is not the MAC that sent the frame")                 \
	X(RATE, "rate", "too many messages of one MAC, or of all")                                 \
	X(NOT_ASKED, "not-asked", "only shared addresses are free, and option 159 was not asked")  \
	X(NO_POOL, "no-pool", "no pool serves this link")                                          \
	X(EXHAUSTED, "exhausted", "no set or address is free")                                     \
	X(LIMIT_MAC, "limit-mac", "the MAC has as many leases as it may")                          \
	X(LIMIT_SITE, "limit-site", "the circuit has as many leases as it may")                    \
	X(NOT_NEEDED, "not-needed", "another set, although those it has are hardly used")          \
	X(WITHHELD, "withheld", "renewal of a set that its host no longer needs")                  \
	X(OTHER_SERVER, "other-server", "the client has chosen another server")                    \
	X(UNKNOWN, "unknown", "about a lease that this server does not know")                      \
	X(DATABASE, "database", "the lease could not be written to disk")

enum server_refusal {
#define SERVER_REFUSAL_ENUM(name, word, text) SERVER_##name,
	SERVER_REFUSALS(SERVER_REFUSAL_ENUM)
#undef SERVER_REFUSAL_ENUM
		SERVER_REFUSAL_COUNT,
};

const char *server_refusal_word(enum server_refusal refusal);

enum server_target {
	SERVER_NOTHING,
	SERVER_TO_RELAY,  /* by UDP to ip */
	SERVER_TO_CLIENT, /* a frame to mac and ip; both may be broadcast */
};

struct server_reply {
	enum server_target target;
	enum dhcp_type type;
	uint32_t ip;
	uint8_t mac[DHCP_MAC];
	size_t len;
	uint8_t bytes[DHCP_BYTES_MAX];
};

/* What becomes of a lease, told to gateway and log. */
enum server_change { SERVER_ASSIGNED, SERVER_RENEWED, SERVER_FREED };

struct server {
	struct server_settings settings;
	uint32_t id; /* option 54 */
	struct pools pools;
	struct leases leases;
	void (*changed)(enum server_change change, struct lease *lease, void *arg);
	void *arg;
	struct {
		uint64_t received[DHCP_TYPES], sent[DHCP_TYPES], refused[SERVER_REFUSAL_COUNT];
		uint64_t assigned, renewed, freed;
	} counters;
	struct {
		int64_t second;
		uint32_t count;
	} rate[SERVER_RATE_PLACES + 1]; /* the last one is everybody's */
};

/* from: the MAC of the frame, NULL if a relay sent it. The reply's target says if there is one. */
void server_message(struct server *server, const struct dhcp_message *message, const uint8_t *from,
		    int64_t now, struct server_reply *reply);
void server_refuse(struct server *server, enum server_refusal why);
/* Ends what is over; every second. */
void server_tick(struct server *server, int64_t now);

/* ---- allot.c: what a client gets (RFC 7618, 8) */

struct request {
	const struct dhcp_message *message;
	struct lease_client client;
	struct lease_site site;
	const struct pool_host *host;
	uint32_t link; /* relay that stands for the client's link; 0 = ours */
	bool shared;   /* may be given a shared address */
	bool has_set;  /* `set` is in the message */
	struct portset set;
	uint32_t address; /* requested, 0 = none */
};

/* 0 with pool and unit, or -1 with the reason in why. */
int allot(struct server *server, const struct request *request, int64_t now, struct pool **pool,
	  uint32_t *unit, enum server_refusal *why);

/* ---- policy.c: sets grow and shrink with use (paper, V) */

/* May this client have one more set? Not while the host's others are hardly used. */
bool policy_may_grow(const struct server *server, const struct lease_client *client, int64_t now);
/* Does the host of this lease do without it? Then it is not renewed. */
bool policy_withholds(const struct server *server, const struct lease *lease, int64_t now);

/* ---- reply.c */

void reply_lease(struct server *server, const struct request *request, enum dhcp_type type,
		 const struct lease *lease, uint32_t seconds, struct server_reply *reply);
void reply_nak(struct server *server, const struct request *request, const char *why,
	       struct server_reply *reply);
void reply_inform(struct server *server, const struct request *request, struct server_reply *reply);

#endif
