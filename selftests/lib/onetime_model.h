/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_model.h - an address' life (Unified Multiplex, II and III; maps/onetime.h)
 * as plain arrays, without keys, byte order, atomics or packets.
 *
 * Written from the paper and from what the contract says of states, modes and reasons. It shares
 * no line with the programs and has no entry twice: what an address is follows from the packets
 * that came for it.
 */
#ifndef ISTHMUS_SELFTESTS_LIB_ONETIME_MODEL_H
#define ISTHMUS_SELFTESTS_LIB_ONETIME_MODEL_H

#include <stdbool.h>

#include "maps/onetime.h"

#define OMODEL_ADDRESSES 32
#define OMODEL_PEERS	 4
#define OMODEL_NOBODY	 (-1) /* no peer, no port, no reason, no listener */

struct omodel_address {
	bool made;  /* the agent has made an entry */
	bool reset; /* its pool tells the refused */
	enum onetime_use use;
	enum onetime_state state;
	enum onetime_mode mode;
	int proto;
	bool listening; /* its listener has a socket */
	bool only[OMODEL_PEERS];
	int peer;
	int port, peer_port; /* the socket's; aware and without session: the one to be used */
	int wire_port, wire_peer_port;
	__u64 since, until;
};

struct omodel {
	__u64 claim_ns, linger_ns, udp_ns;
	struct omodel_address address[OMODEL_ADDRESSES];
};

enum omodel_kind {
	OMODEL_PORTS, /* TCP or UDP, whole */
	OMODEL_LATER, /* fragment of a datagram or segment, not the first */
	OMODEL_ECHO,  /* ICMP that is no error */
	OMODEL_ERROR, /* of ICMP, about a packet that `address` sent */
	OMODEL_OTHER, /* neither TCP, UDP nor ICMP */
};

/* `port` is that at our side, whichever way the packet goes. An error has the peer and ports of
 * the packet that it is about. */
struct omodel_packet {
	enum omodel_kind kind;
	int proto;
	bool syn, ack, fin, rst;
	int address, peer;
	int port, peer_port;
};

struct omodel_outcome {
	enum onetime_reason reason;
	int refused;	     /* REFUSED_RST: why; else OMODEL_NOBODY */
	bool rewritten;	     /* its ports become these */
	int port, peer_port; /* as it goes on */
	bool told;	     /* the agent, that the address is taken */
	__u64 least, most;   /* until when the address' state lasts now; 0 = as before */
};

/* What an entry is at a time. */
enum onetime_state omodel_state(const struct omodel_address *address, __u64 now);

/* A packet for an address of a pool, and one from it. */
struct omodel_outcome omodel_in(struct omodel *model, const struct omodel_packet *packet,
				__u64 now);
struct omodel_outcome omodel_out(struct omodel *model, const struct omodel_packet *packet,
				 __u64 now);

enum omodel_found { OMODEL_REFUSED, OMODEL_LISTENER, OMODEL_KERNEL };
/* Who gets what has no connection yet: PORTS alone. */
enum omodel_found omodel_lookup(const struct omodel *model, const struct omodel_packet *packet,
				__u64 now);

/* The kernel tells that a connection stands, that its socket has closed. */
void omodel_live(struct omodel *model, int address, __u64 now);
void omodel_closed(struct omodel *model, int address, __u64 now);

#endif
