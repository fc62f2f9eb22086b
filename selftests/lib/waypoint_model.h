/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/waypoint_model.h - what a waypoint should do with whom, in plain C.
 *
 * Written from the AVES paper (figure 6, 5.2, 6.2) and maps/waypoint.h, without a line of bpf/. It
 * knows no bytes: parties are numbers, a packet is what matters of it. Times are absolute and the
 * caller's; none of the functions reads a clock.
 *
 * An entry of the translation table, E in figure 6, is (initiator, waypoint) -> responder. The set
 * X of violators is `reject`: each is one until its reject time is over.
 */
#ifndef ISTHMUS_SELFTESTS_WAYPOINT_MODEL_H
#define ISTHMUS_SELFTESTS_WAYPOINT_MODEL_H

#include <stdbool.h>

#include "maps/waypoint.h"

#define WMODEL_INITIATORS 5
#define WMODEL_WAYPOINTS  3
#define WMODEL_PEERS	  8
#define WMODEL_PORTS	  2 /* of an initiator; of a waypoint address: 0 is no HTTP, 1 is */

struct wmodel_responder {
	__u32 peer, host;
};

struct wmodel_conn {
	bool open;
	bool fin_out, fin_in;
	__u64 seen;
};

struct wmodel_entry {
	bool made;
	struct wmodel_responder to;
	__u64 seen, fresh;
	bool icmp, udp, tcp, other, http; /* what it has carried */
	bool ended;
	int hop; /* where the initiator's last packet came from; -1 = none has come */
	struct wmodel_conn conn[WMODEL_PORTS][WMODEL_PORTS];
};

struct wmodel_wait {
	bool made;
	__u64 until;
	__u64 serial;
	__u32 prefix, mask; /* host order */
	struct wmodel_responder to;
	__u32 bound;
};

struct wmodel_reject {
	bool made;
	__u64 from, until;
};

struct wmodel_source {
	bool made;
	__u64 bound, second, penalty;
	__u32 errors, unsolicited;
};

struct wmodel {
	/* What it is told before anything comes. */
	__u64 icmp_ns, udp_ns, tcp_ns, mixed_ns, http_ns, linger_ns, fresh_ns, reject_ns;
	__u32 address[WMODEL_INITIATORS]; /* host order */
	bool up[WMODEL_PEERS];
	bool straight[WMODEL_PEERS];
	int room; /* entries that there may be */

	struct wmodel_entry entry[WMODEL_INITIATORS][WMODEL_WAYPOINTS];
	struct wmodel_reject reject[WMODEL_INITIATORS][WMODEL_WAYPOINTS];
	struct wmodel_wait wait[WMODEL_WAYPOINTS][WAYPOINT_WAITS];
	struct wmodel_source source[WMODEL_INITIATORS];
};

enum wmodel_kind {
	WMODEL_TCP,
	WMODEL_UDP,
	WMODEL_ECHO,
	WMODEL_OTHER, /* protocol */
	WMODEL_LATER, /* fragment, of a UDP datagram */
	WMODEL_ERROR, /* of ICMP, about a packet of the other direction */
};

struct wmodel_packet {
	enum wmodel_kind kind;
	bool syn, ack, fin, rst;
	int initiator, waypoint;
	int initiator_port, waypoint_port; /* below WMODEL_PORTS; -1 = one that no SYN has */
	bool last_hop;			   /* out: TTL 1 */
	int hop;			   /* out: from where */
	struct wmodel_responder from;	   /* back */
};

struct wmodel_outcome {
	enum waypoint_reason reason;
	bool told;			 /* its sender gets an ICMP error */
	bool limited;			 /* it does not, for it has had too many */
	struct wmodel_responder to;	 /* of what is sent to a gateway */
	const struct wmodel_wait *bound; /* in this wait */
	const struct wmodel_wait *violated;
};

/* A new connection, as figure 6 means it. */
bool wmodel_is_new(const struct wmodel_packet *packet);
/* An initiator's packet to a waypoint address, and a packet that came out of a tunnel. */
struct wmodel_outcome wmodel_out(struct wmodel *model, const struct wmodel_packet *packet,
				 __u64 now);
struct wmodel_outcome wmodel_back(struct wmodel *model, const struct wmodel_packet *packet,
				  __u64 now);

/* SETUP for any initiator of a prefix. Returns its place; -1: REJECT. */
int wmodel_enter(struct wmodel *model, int waypoint, const struct wmodel_wait *wait, __u64 now);
/* SETUP for a known initiator (3.3.1). False: REJECT. */
bool wmodel_know(struct wmodel *model, int initiator, int waypoint, struct wmodel_responder to,
		 __u64 now);
/* Forgets what is over: entries, rejects. */
void wmodel_sweep(struct wmodel *model, __u64 now);

bool wmodel_is_live(const struct wmodel *model, const struct wmodel_entry *entry, __u64 now);
int wmodel_open_conns(const struct wmodel_entry *entry);

/* The first time after `now` at which anything ends or begins; ~0 = never. */
__u64 wmodel_next(const struct wmodel *model, __u64 now);
/* As if all had been `by` earlier; what would be before 1 is 1, 0 (never) stays. */
__u64 wmodel_earlier(__u64 time, __u64 by);
void wmodel_shift(struct wmodel *model, __u64 by);

#endif
