/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The handshake of a tunnel (AVES 5; docs/protocol.md, "Tunnel"): both ends as state machines that
 * know no sockets and no clock. It gives a key to each direction that nobody has had before, so no
 * sequence is ever repeated under one (maps/tunnel.h).
 *
 *	gateway					waypoint
 *	   HELLO		------->
 *		     <-------	COOKIE			keeps nothing
 *	   OPEN			------->		opens what comes under the new keys
 *		     <-------	OPENED
 *	seals under them
 *	   ALIVE		------->		seals under them, too
 *		     <-------	ALIVE-OK
 *
 * Times are milliseconds of any clock that does not go back.
 */
#ifndef ISTHMUS_AGENTS_TUNNEL_H
#define ISTHMUS_AGENTS_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/tunnel.h"

#define TUNNEL_CONTROL_BYTES 80
#define TUNNEL_SECRET_BYTES  32
#define TUNNEL_NONCE_BYTES   16
#define TUNNEL_ALIVE_MS	     15000 /* RFC 4787 REQ-5: NATs forget UDP after two minutes or more */
#define TUNNEL_RENEW_MS	     (3600 * 1000)
#define TUNNEL_SILENCE_MS    60000 /* a waypoint calls a gateway gone after this */
#define TUNNEL_OLD_MS	     10000 /* old keys open packets for so long after a handshake */
#define TUNNEL_GATEWAY_MAX   4095

enum tunnel_type {
	TUNNEL_HELLO = 1,
	TUNNEL_COOKIE,
	TUNNEL_OPEN,
	TUNNEL_OPENED_OK,
	TUNNEL_ALIVE,
	TUNNEL_ALIVE_OK,
	TUNNEL_CLOSE,
};

struct tunnel_message {
	uint8_t type;	  /* enum tunnel_type */
	uint8_t flags;	  /* TUNNEL_MAC_HEADERS, TUNNEL_STRAIGHT */
	uint16_t cpus;	  /* of the sender, 1 to TUNNEL_CPUS */
	uint32_t gateway; /* its id at the waypoint, 1 to TUNNEL_GATEWAY_MAX */
	uint32_t vni;	  /* under which the sender wants to receive */
	uint8_t nonce_gateway[TUNNEL_NONCE_BYTES];
	uint8_t nonce_waypoint[TUNNEL_NONCE_BYTES]; /* or cookie */
	uint64_t number;
};

/* key: TUNNEL_SECRET_BYTES, NULL = without (HELLO, COOKIE). 0 or -EIO (OpenSSL). */
int tunnel_write(const struct tunnel_message *message, const uint8_t *key,
		 uint8_t bytes[TUNNEL_CONTROL_BYTES]);
/* The form alone: 0 or -EINVAL. tunnel_is_from() tells whether a key's owner has made it. */
int tunnel_read(const uint8_t *bytes, size_t len, struct tunnel_message *message);
bool tunnel_is_from(const uint8_t bytes[TUNNEL_CONTROL_BYTES], const uint8_t *key);

/* What a handshake has agreed on. */
struct tunnel_session {
	uint8_t to_waypoint[16], to_gateway[16]; /* SipHash keys of each direction */
	uint8_t control[TUNNEL_SECRET_BYTES];
	uint32_t vni_waypoint, vni_gateway; /* under which that end receives */
	uint16_t cpus_waypoint, cpus_gateway;
	uint8_t flags; /* that both wish */
};

/* HKDF-SHA256 (RFC 5869) fills the three keys. 0 or -EIO. */
int tunnel_derive(const uint8_t secret[TUNNEL_SECRET_BYTES],
		  const uint8_t nonce_gateway[TUNNEL_NONCE_BYTES],
		  const uint8_t nonce_waypoint[TUNNEL_NONCE_BYTES], struct tunnel_session *session);

/* What an end's machine wants of its owner, as bits. */
#define TUNNEL_SEND                                                                                \
	0x01		 /* `out` is to be sent to where the packet came from, or to the waypoint  \
			  */
#define TUNNEL_TAKE 0x02 /* `session` is new: open what comes under it */
#define TUNNEL_USE  0x04 /* `session` is what to seal under from now on; older keys end soon */
#define TUNNEL_LIVE 0x08 /* verified, and the newest: the gateway is where this came from */
#define TUNNEL_GONE 0x10 /* no tunnel any more */

/* ---- the gateway's end, which begins */

enum tunnel_phase { TUNNEL_IDLE, TUNNEL_ASKING, TUNNEL_OPENING };

struct tunnel_gateway {
	enum tunnel_phase phase;
	bool up; /* `session` is in use; it stays so while a new handshake runs */
	uint32_t id, vni;
	uint16_t cpus;
	uint8_t flags;
	uint8_t secret[TUNNEL_SECRET_BYTES], nonce[TUNNEL_NONCE_BYTES], cookie[TUNNEL_NONCE_BYTES];
	uint64_t due_ms, began_ms, heard_ms;
	uint64_t opens;		   /* handshakes that were begun: OPEN's number */
	uint64_t number, answered; /* of the newest ALIVE, of the newest ALIVE-OK */
	unsigned int tries;
	struct tunnel_session session;
};

/*
 * A handshake under `secret`; an earlier session stays in use until it is done. `vni` must be one
 * that nothing is received under.
 */
void tunnel_gateway_begin(struct tunnel_gateway *gateway, const uint8_t secret[TUNNEL_SECRET_BYTES],
			  uint32_t vni, uint64_t now_ms);
/* When `due_ms` has passed. Bits of TUNNEL_SEND, TUNNEL_GONE. `vni` as above, if one is needed. */
int tunnel_gateway_tick(struct tunnel_gateway *gateway, uint32_t vni, uint64_t now_ms,
			uint8_t out[TUNNEL_CONTROL_BYTES]);
/* A control packet from the waypoint. Bits: SEND, TAKE with USE, LIVE; 0 = not for us, or wrong. */
int tunnel_gateway_take(struct tunnel_gateway *gateway, const uint8_t *bytes, size_t len,
			uint64_t now_ms, uint8_t out[TUNNEL_CONTROL_BYTES]);

/* ---- the waypoint's end: one for each gateway */

struct tunnel_waypoint {
	bool up, opening;
	uint16_t cpus;
	uint8_t flags;
	uint8_t secret[TUNNEL_SECRET_BYTES];
	uint8_t nonce_gateway[TUNNEL_NONCE_BYTES], nonce_waypoint[TUNNEL_NONCE_BYTES]; /* opening */
	uint8_t opened_secret[TUNNEL_SECRET_BYTES]; /* under which `opened` was counted */
	uint64_t opened; /* number of the newest OPEN: what is not newer is a copy, or late */
	uint64_t number, heard_ms;
	struct tunnel_session session, next; /* in use; in the handshake */
};

/* HELLO's answer, which needs no state: `secret` is the waypoint's own, `from` the source address
 * and port in any form. 0 or -EIO. */
int tunnel_cookie(const uint8_t secret[TUNNEL_SECRET_BYTES], const void *from, size_t from_len,
		  const struct tunnel_message *hello, uint8_t cookie[TUNNEL_NONCE_BYTES]);
int tunnel_answer_hello(const struct tunnel_message *hello,
			const uint8_t cookie[TUNNEL_NONCE_BYTES],
			uint8_t out[TUNNEL_CONTROL_BYTES]);
/*
 * OPEN, whose cookie the caller has compared, ALIVE or CLOSE, which are verified here. `vni` is one
 * that nothing is received under, for an OPEN. Bits: SEND, TAKE (`next`), USE (`session`), LIVE,
 * GONE; 0 = wrong or old.
 */
int tunnel_waypoint_take(struct tunnel_waypoint *waypoint, const uint8_t *bytes,
			 const struct tunnel_message *message, uint32_t vni, uint64_t now_ms,
			 uint8_t out[TUNNEL_CONTROL_BYTES]);
/* Has it been silent for too long? */
bool tunnel_waypoint_silent(const struct tunnel_waypoint *waypoint, uint64_t now_ms);

#endif
