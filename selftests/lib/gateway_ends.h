/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/gateway_ends.h - initiators and responders of different families on the gateway's
 * bench, and what tests of them share. Assertions are cmocka's.
 */
#ifndef ISTHMUS_SELFTESTS_GATEWAY_ENDS_H
#define ISTHMUS_SELFTESTS_GATEWAY_ENDS_H

#include "selftests/lib/gateway_fixture.h"

#define ENDS_SPORT 40000
#define ENDS_DPORT 33434
#define ENDS_ALL   4

struct ends {
	const char *name;
	int host, peer;
	bool masked, v6;				 /* v6: the initiator */
	struct isthmus_addr initiator, waypoint, router; /* outside */
	/* As the responder sees it; the gateway's own address there. */
	struct isthmus_addr seen, inside, hop, seen_router, gateway;
	__u16 mss;
};

extern const struct ends ends_all[ENDS_ALL];
extern const enum gfix_program ends_ups[2], ends_lans[2]; /* by hook: XDP, tc */

void ends_to_responder(const struct gfix *fx, const struct ends *e, struct packet *frame);
void ends_from_lan(const struct gfix *fx, struct packet *frame);
/* Port or identifier that a masked flow was given; another one's own. */
__u16 ends_port(const struct gfix *fx, const struct ends *e, __u16 sport, __u16 dport, __u8 proto);
/*
 * What a translator makes has no flow label; in IPv4 it has DF, or, if it is short, any number:
 * that of `got`. `at`: where the IP headers begin.
 */
void ends_translated(struct packet *want, size_t at, const struct packet *got, size_t got_at);

void ends_delivered(struct gfix *fx, const struct ends *e, enum gfix_program up,
		    const struct packet *in, struct gfix_result *result);
void ends_check_delivered(const struct gfix *fx, const struct ends *e, struct packet *want,
			  const struct gfix_result *result);
void ends_check_answered(struct gfix *fx, const struct ends *e, enum gfix_program lan,
			 const struct packet *in, struct packet *want);

/* One packet of each direction, as both sides have it. */
struct quote {
	struct packet outside_asked, inside_asked, outside_answer, inside_answer;
};
/* Begins a flow by the first one. */
void ends_begin(struct gfix *fx, const struct ends *e, __u8 proto, struct quote *q);

#endif
