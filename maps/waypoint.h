/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/waypoint.h - the contract of the `waypoint` datapath (AVES paper; sections are its own).
 *
 * An initiator's packets to one of our waypoint addresses are for the responder that this initiator
 * is bound to: they are sealed (maps/tunnel.h) for the responder's gateway. What comes back is
 * opened and sent on to the initiator.
 *
 *   map              key                 value             written by          full
 *   waypoint_conf    0                   waypoint_conf     loader, agent       -
 *   waypoint_addr    __be32              waypoint_addr     agent               refused
 *   waypoint_wait    index (array)       waypoint_wait     agent; BPF counts   SETUP rejected
 *   waypoint_bind    waypoint_pair       waypoint_bind     BPF, agent          refused, counted
 *   waypoint_reject  waypoint_pair       waypoint_reject   BPF; agent expires  not recorded
 *   waypoint_conn    waypoint_conn_key   waypoint_conn     BPF; agent expires  not tracked
 *   waypoint_source  __be32              waypoint_source   BPF                 LRU
 *   waypoint_host6   isthmus_addr        waypoint_host6    agent               refused
 *   waypoint_peer    index (array)       tunnel_peer       agent               refused
 *   waypoint_key     __u32 VNI           tunnel_key        agent               refused
 *   waypoint_window  tunnel_window_key   tunnel_window     agent makes, BPF    refused
 *   waypoint_seq     index (array), CPU  __u64             BPF                 -
 *   waypoint_stats   waypoint_reason     isthmus_count     BPF, per CPU        -
 *   waypoint_event   -                   waypoint_event    BPF (ring buffer)   lost, counted
 *
 * Delayed binding (figure 6). A new connection is a TCP SYN or any packet that is not TCP; later
 * fragments and ICMP errors are none. One that finds a wait of its address, whose prefix has the
 * initiator in it, binds: waypoint_bind is made with BPF_NOEXIST. An initiator that is bound to
 * another responder already violates: its packet is dropped and waypoint_reject says from when (the
 * wait's end) until when (180 s later) its new connections are refused. The wait's end is fixed
 * when it is entered. The agent enters waits and answers a SETUP whose prefix overlaps a running
 * one with REJECT; it never ends one early.
 *
 * A binding is over, for BPF as for the agent, when waypoint_bind_ends() has passed; the agent only
 * clears away. With the agent dead nothing that is bound stops, and no new wait is entered.
 *
 * Byte order: __be16/__be32 and addresses are wire order, everything else is the host's.
 * Time: nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_coarse_ns).
 */
#ifndef ISTHMUS_MAPS_WAYPOINT_H
#define ISTHMUS_MAPS_WAYPOINT_H

#include "tunnel.h"

#define WAYPOINT_ABI 1

#define WAYPOINT_WAIT_MS       2000 /* 5.2: T_wait; the agent may be told another */
#define WAYPOINT_REJECT_S      180  /* 5.2: T_reject */
#define WAYPOINT_ICMP_S	       60   /* 5.2: idle times by what a binding has carried */
#define WAYPOINT_UDP_S	       (15 * 60)
#define WAYPOINT_TCP_S	       (30 * 60)
#define WAYPOINT_MIXED_S       (15 * 60)
#define WAYPOINT_HTTP_S	       (20 * 60) /* port 80: FINs do not end it */
#define WAYPOINT_LINGER_S      120 /* after the last FIN; resolvers and browsers ignore TTL 0 */
#define WAYPOINT_FRESH_S       120 /* a binding lives at least so long after it was made or renewed */
#define WAYPOINT_EXEMPT_S      (20 * 60)  /* a source bound within this is never penalised */
#define WAYPOINT_PENALTY_S     (3 * 3600) /* 6.2 */
#define WAYPOINT_SCANS	       20 /* new connections to nobody before a source is penalised */
#define WAYPOINT_PENALTY_GAP_S 10 /* a penalised source binds at most once in this time */
#define WAYPOINT_ERRORS_A_S    10 /* ICMP errors a second to one source */
#define WAYPOINT_ERRORS_FEW    1  /* to a penalised one: it may not be who it seems */

#define WAYPOINT_ADDRS	     1024
#define WAYPOINT_WAITS	     8 /* of one address, whose prefixes are disjoint */
#define WAYPOINT_BINDS	     131072
#define WAYPOINT_REJECTS     65536
#define WAYPOINT_CONNS	     262144
#define WAYPOINT_SOURCES     65536
#define WAYPOINT_HOSTS6	     65536
#define WAYPOINT_EVENT_BYTES (1 << 20)

/* X(name, verdict, text): as in the other datapaths. */
#define WAYPOINT_REASONS(X)                                                                        \
	X(OTHER, PASS, "neither for a waypoint address nor of a tunnel")                           \
	X(SEALED, SEND, "sealed and sent to the responder's gateway")                              \
	X(BOUND, SEND, "the same, and it bound its initiator")                                     \
	X(OPENED, SEND, "opened and sent to the initiator")                                        \
	X(CONTROL, PASS, "the tunnel's handshake: to the agent")                                   \
	X(CUT, SEND, "fragments of a packet too long for the tunnel")                              \
	X(TO_TC, PASS, "left to the tc program, which may cut it")                                 \
	X(TO_STACK, PASS, "for the agent or the kernel of this machine")                           \
	X(VIOLATED, DROP, "bound to another responder while its address waits (figure 6)")         \
	X(REFUSED, DROP, "a new connection within the reject time")                                \
	X(UNSOLICITED, DROP, "a new connection, and nobody waits for it")                          \
	X(UNBOUND, DROP, "not a new connection, and its initiator is not bound")                   \
	X(PENALISED, DROP, "too soon after another one of a penalised source")                     \
	X(BIND_FULL, DROP, "the table of bindings is full")                                        \
	X(TOO_LONG, DROP, "too long for the tunnel with DF; its sender was told")                  \
	X(TTL, DROP, "TTL ended here; its sender was told")                                        \
	X(NO_PEER, DROP, "the gateway has no tunnel now")                                          \
	X(NO_HOP, DROP, "no way to the initiator is known")                                        \
	X(VNI_UNKNOWN, DROP, "a tunnel packet under no key that is valid here")                    \
	X(FORGED, DROP, "a tunnel packet whose tag is wrong")                                      \
	X(REPLAYED, DROP, "a tunnel packet that has come before, or is too old to tell")           \
	X(FOREIGN, DROP, "a reply of a gateway to whom it is not bound")                           \
	X(UNFINISHED, DROP, "a GSO packet or an unfinished checksum: it cannot be sealed")         \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(SEND_FAILED, DROP, "the kernel could not change or queue the packet")                    \
	X(UNREACHABLE_SENT, NONE, "ICMP host unreachable sent to the refused")                     \
	X(ERROR_SENT, NONE, "ICMP frag needed, packet too big or time exceeded sent")              \
	X(ERROR_LIMITED, NONE, "ICMP errors not sent: too many a second")                          \
	X(EVENT_LOST, NONE, "events that the agent was too slow to read")

enum waypoint_reason {
#define WAYPOINT_REASON_ENUM(name, verdict, text) WAYPOINT_##name,
	WAYPOINT_REASONS(WAYPOINT_REASON_ENUM)
#undef WAYPOINT_REASON_ENUM
		WAYPOINT_REASON_COUNT,
};

struct waypoint_conf {
	struct tunnel_conf common;
	/* Idle times, nanoseconds: WAYPOINT_*_S unless told. */
	__u64 icmp_ns, udp_ns, tcp_ns, mixed_ns, http_ns, linger_ns, fresh_ns, reject_ns;
};

_Static_assert(sizeof(struct waypoint_conf) == 432, "waypoint_conf is an ABI");

/* A waypoint address. */
struct waypoint_addr {
	__u32 number; /* its waits: waypoint_wait[number * WAYPOINT_WAITS ...] */
	__u32 pad;
	__u64 waits_until_ns; /* the latest end of its waits: later none need be looked at */
};

_Static_assert(sizeof(struct waypoint_addr) == 16, "waypoint_addr is an ABI");

/* A wait state of one address. Written by the agent when the place is free: `until_ns` last. */
struct waypoint_wait {
	__u64 until_ns;	     /* over, and the place free, when this has passed */
	__u64 serial;	     /* of the SETUP */
	__be32 prefix, mask; /* initiators that it is for; 0, 0 = all */
	__u32 peer;	     /* whom to bind to: index of waypoint_peer */
	__u32 host;	     /* and the responder's number there */
	__u32 bound;	     /* initiators that it has bound; BPF counts */
	__u32 pad;
};

_Static_assert(sizeof(struct waypoint_wait) == 40, "waypoint_wait is an ABI");

struct waypoint_pair {
	__be32 initiator, waypoint;
};

_Static_assert(sizeof(struct waypoint_pair) == 8, "waypoint_pair is an ABI");

/* waypoint_bind.carried */
#define WAYPOINT_CARRIED_ICMP  0x01
#define WAYPOINT_CARRIED_UDP   0x02
#define WAYPOINT_CARRIED_TCP   0x04
#define WAYPOINT_CARRIED_OTHER 0x08
#define WAYPOINT_CARRIED_HTTP  0x10

/* A session: what an initiator's packets to a waypoint address become. */
struct waypoint_bind {
	__u32 peer, host;
	__u64 seen_ns;	/* last packet of either direction */
	__u64 fresh_ns; /* not over before this: a DNS answer told of it */
	__s32 conns;	/* open TCP connections that were seen to begin; atomic */
	__u8 carried;	/* WAYPOINT_CARRIED_ */
	__u8 ended;	/* its last TCP connection has ended: over linger_ns after seen_ns */
	__u16 number;	/* not that of the pair's last binding: tells its connections from that's */
	/* Where the initiator's last packet came from: replies go back there, without a look-up. */
	__u32 ifindex; /* 0 = none has come yet */
	__u8 hop_mac[6], our_mac[6];
};

_Static_assert(sizeof(struct waypoint_bind) == 48, "waypoint_bind is an ABI");

/* When a binding is over (5.2), and may be another's. */
static inline __u64 waypoint_bind_ends(const struct waypoint_bind *bind,
				       const struct waypoint_conf *conf)
{
	__u64 idle = conf->mixed_ns, ends;

	if (bind->carried == WAYPOINT_CARRIED_TCP)
		idle = bind->ended ? conf->linger_ns : conf->tcp_ns;
	else if (bind->carried & WAYPOINT_CARRIED_HTTP)
		idle = conf->http_ns;
	else if (bind->carried == WAYPOINT_CARRIED_UDP)
		idle = conf->udp_ns;
	else if (bind->carried == WAYPOINT_CARRIED_ICMP)
		idle = conf->icmp_ns;
	else if (!bind->carried)
		idle = 0;
	ends = bind->seen_ns + idle;
	return ends > bind->fresh_ns ? ends : bind->fresh_ns;
}

/* New connections of the pair are refused from `from_ns` until `until_ns`. */
struct waypoint_reject {
	__u64 from_ns, until_ns;
};

/* A TCP connection, from its SYN until both FINs or a RST. */
struct waypoint_conn_key {
	struct waypoint_pair pair;
	__be16 initiator_port, waypoint_port;
};

_Static_assert(sizeof(struct waypoint_conn_key) == 12, "waypoint_conn_key is an ABI");

#define WAYPOINT_FIN_OUT 0x01 /* the initiator's */
#define WAYPOINT_FIN_IN	 0x02 /* the responder's; only seen where replies come this way */

struct waypoint_conn {
	__u64 seen_ns; /* of its last SYN, FIN or RST */
	__u32 fins;    /* WAYPOINT_FIN_ */
	__u32 number;  /* of its binding; one of an earlier binding is none */
};

/*
 * What an IPv4 source has done: limits of ICMP errors to it, and of new connections to nobody
 * (6.2). Sources can be forged, so it costs at most a delay, and never one that was bound of late.
 */
struct waypoint_source {
	__u64 bound_ns;	  /* when it last bound; 0 = never */
	__u64 second_ns;  /* errors: the second that they are counted in */
	__u64 penalty_ns; /* penalised until; 0 = not */
	__u32 errors;
	__u32 unsolicited; /* since it was last bound or penalised */
};

_Static_assert(sizeof(struct waypoint_source) == 32, "waypoint_source is an ABI");

/* A responder's own address for IPv6 initiators: no binding is needed (W13). */
struct waypoint_host6 {
	__u32 peer, host;
};

enum waypoint_event_kind {
	WAYPOINT_EVENT_BOUND = 1, /* an initiator was bound in the wait `serial` */
	WAYPOINT_EVENT_REJECTED,  /* an initiator violated it */
	WAYPOINT_EVENT_MOVED,  /* a verified, newest packet of `peer` came from another address */
	WAYPOINT_EVENT_NO_HOP, /* no neighbour is known for what should be sent to `addr` */
};

struct waypoint_event {
	__u64 time_ns;
	__u64 serial;
	struct waypoint_pair pair;
	struct isthmus_addr addr; /* MOVED: outer source */
	__be16 port;		  /* MOVED */
	__u8 kind;
	__u8 pad;
	__u32 peer, host;
	__u32 pad2;
};

_Static_assert(sizeof(struct waypoint_event) == 56, "waypoint_event is an ABI");

#endif
