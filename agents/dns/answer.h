/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the bytes of a question to those of its answer; it knows no sockets. */
#ifndef ISTHMUS_DNS_ANSWER_H
#define ISTHMUS_DNS_ANSWER_H

#include "rrl.h"
#include "sign.h"
#include "wire.h"
#include "zone.h"

/* Every question ends in one of these, which are counted. */
#define ANSWER_RESULTS(X)                                                                          \
	X(DROPPED, "dropped")	   /* too short for a header, or an answer */                      \
	X(NOERROR, "noerror")	   /* with what was asked for */                                   \
	X(NODATA, "nodata")	   /* the name exists, nothing of this type */                     \
	X(NXDOMAIN, "nxdomain")	   /* no such name */                                              \
	X(REFERRAL, "referral")	   /* delegated to other servers */                                \
	X(REFUSED, "refused")	   /* not in our zones, or a transfer */                           \
	X(FORMERR, "formerr")	   /* malformed */                                                 \
	X(NOTIMP, "notimp")	   /* not a query */                                               \
	X(NOTAUTH, "notauth")	   /* signed with a key */                                         \
	X(BADVERS, "badvers")	   /* EDNS of another version */                                   \
	X(SERVFAIL, "servfail")	   /* no room for the answer */                                    \
	X(HELD, "held")		   /* set aside until a member has answered for it */              \
	X(SLIPPED, "rate-slipped") /* limited: told to ask again by TCP */                         \
	X(LIMITED, "rate-dropped") /* limited: no answer */

enum answer_result {
#define X(name, text) ANSWER_##name,
	ANSWER_RESULTS(X)
#undef X
		ANSWER_RESULT_COUNT
};

struct answer_counters {
	uint64_t results[ANSWER_RESULT_COUNT];
	uint64_t udp, tcp, truncated, transfers;
	uint64_t cookies[4]; /* enum wire_cookie */
	struct sign_counters signatures;
};

/* What a waypoint or an agent of one-time addresses has made of a question that was held. */
struct answer_binding {
	enum answer_result result; /* NOERROR, NODATA, SERVFAIL, or SLIPPED: ask by TCP */
	uint8_t address[16];	   /* of the type that was asked for */
	uint32_t ttl;
	uint8_t scope; /* bits of the query's subnet that it is for */
};

/* Of the last question, if it is HELD. */
struct answer_held {
	bool is;
	const struct wire_set *bound; /* ZONE_BOUND or ZONE_ONETIME */
	uint16_t type;		      /* A or AAAA */
	struct wire_subnet subnet;
	bool proven; /* the client gets what is sent to its address */
};

struct answer_server {
	struct zones *zones;
	struct rrl *rrl;
	struct wire *wire;
	uint16_t udp_size; /* the most that is sent by UDP, and what EDNS tells */
	uint8_t secret[2][WIRE_SECRET_LEN];
	struct answer_counters counters;
	/* of the answer at hand */
	bool compact;		 /* an NSEC tells whether there is the name (RFC 9824) */
	bool limited, unlimited; /* the rate was asked for; it need not be */
	enum rrl_verdict rate;
	struct answer_held held;
};

struct answer_client {
	const struct sockaddr *address;
	bool tcp;
	int64_t now;			      /* seconds since 1970: expiry and cookies */
	uint64_t now_ms;		      /* monotonic: rates */
	const struct answer_binding *binding; /* the second time, after it was HELD; or NULL */
};

/* Length of the answer, valid until the next call; 0 = there is none, or none yet: server->held. */
size_t answer(struct answer_server *server, const struct answer_client *client,
	      const uint8_t *question, size_t len, const uint8_t **bytes);
const char *answer_result_text(enum answer_result result);

#endif
