/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What wire.c and sign_wire.c share: the library's side of sets and messages. */
#ifndef ISTHMUS_DNS_WIRE_INTERNAL_H
#define ISTHMUS_DNS_WIRE_INTERNAL_H

#include <libknot/cookies.h>
#include <libknot/mm_ctx.h>
#include <libknot/packet/pkt.h>

#include "wire.h"

#define ARENA_BYTES (512 << 10)

struct wire_set {
	uint16_t type;
	knot_rdataset_t data;
};

struct wire {
	struct wire_query query;
	knot_pkt_t *in, *out;
	uint16_t reserved; /* of out, for the OPT */
	uint16_t in_id;
	bool authoritative;
	uint8_t scope; /* bits of the query's subnet that the answer is for */
	unsigned int rcode;
	knot_rrset_t opt;
	knot_edns_cookie_t client_cookie, server_cookie, answer_cookie; /* len 0: none */
	size_t used;
	uint8_t bytes[WIRE_QUERY_MAX];
	_Alignas(16) uint8_t arena[ARENA_BYTES];
};

/* Memory of the message at hand: it is given back by the next wire_parse(). */
knot_mm_t wire_arena(struct wire *wire);

#endif
