/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions that are set aside until a member has said what to answer: their memory, their numbers,
 * and the way back to who asked. Whom to ask, and for how long, is bind.c's and give.c's to know.
 *
 *   udp.c, tcp.c: answer() says HELD -> hold_question() -> bind_hold() or give_hold()
 *				     hold_begin() ... hold_find(serial) ... hold_reply() -> client
 */
#ifndef ISTHMUS_DNS_HOLD_H
#define ISTHMUS_DNS_HOLD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "answer.h"

#define HOLD_CONTROL_LEN (CMSG_SPACE(sizeof(struct in6_pktinfo)))
#define HOLD_CHAINS	 1024

struct dns;
struct listener;
struct tcp_connection;

/* Whom the answer goes to. */
struct hold_client {
	struct sockaddr_storage address;
	struct listener *listener; /* by UDP, with what came beside the packet */
	_Alignas(struct cmsghdr) uint8_t control[HOLD_CONTROL_LEN];
	size_t control_len;
	struct tcp_connection *tcp; /* by TCP; NULL = UDP */
};

/* The first member of a backend's own. */
struct held {
	TAILQ_ENTRY(held) link;
	TAILQ_ENTRY(held) same; /* of one hash: hold_repeated() */
	struct hold_client client;
	uint64_t serial; /* never 0; of the newest number of this question */
	uint64_t began_ms;
	uint32_t chain;
	uint8_t scope; /* bits of the query's subnet that the answer is for */
	uint16_t len;
	uint8_t question[WIRE_QUERY_MAX];
};

TAILQ_HEAD(held_list, held);

struct holds {
	struct dns *dns;
	struct held_list list; /* oldest first */
	struct held_list chain[HOLD_CHAINS];
	struct held **place, **spare;
	size_t size; /* of a backend's own */
	unsigned int places, count, spares, next_place;
	uint64_t counter, hash_key;
	void (*gone)(struct held *held); /* its own members are freed, or NULL */
};

/* places: a power of two, at most 65536; one less are held. size: of what begins with a held. */
struct holds *holds_new(struct dns *dns, size_t size, unsigned int places);
void holds_free(struct holds *holds);
/* NULL: there are too many, or no memory. What comes behind struct held is zero. */
struct held *hold_begin(struct holds *holds, const struct hold_client *client,
			const uint8_t *question, size_t len);
/* Another serial, under which another thing is asked. False: none is left. */
bool hold_renumber(struct holds *holds, struct held *held);
/* Nobody waits for it any more. */
void hold_end(struct holds *holds, struct held *held);
struct held *hold_find(const struct holds *holds, uint64_t serial);
/* A datagram that is held already comes again: the same bytes from the same port. */
bool hold_repeated(const struct holds *holds, const struct hold_client *client,
		   const uint8_t *question, size_t len);
/* Answers; the question is over. */
void hold_reply(struct holds *holds, struct held *held, const struct answer_binding *binding);
/* hold_reply() without an address. */
void hold_fail(struct holds *holds, struct held *held, enum answer_result result);
/* It is over without an answer, as if it had been lost on its way. */
void hold_drop(struct holds *holds, struct held *held);
/* What a resolver tells of its client (RFC 7871): one of --subnet-from, and no more than a network.
 */
bool hold_subnet_is_believed(const struct dns *dns, const struct wire_subnet *subnet,
			     const struct hold_client *client);

/* ---- for udp.c and tcp.c */

/* What answer() has just held (dns->server.held). True: an answer comes, or never. */
bool hold_question(struct dns *dns, const struct hold_client *client, const uint8_t *question,
		   size_t len);
/* Sends what has been gathered. */
void hold_flush(struct dns *dns);
/* The connection is over: nothing is sent to it any more. */
void hold_forget(struct dns *dns, const struct tcp_connection *tcp);

#endif
