/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/onetime.h - the contract of the `onetime` datapath (Unified Multiplex paper; sections are
 * its own).
 *
 * A pool is a prefix whose addresses are each used for one session: as a server's Specific Service
 * Address (SSA) or as a client's Ephemeral Address (EA). The kernel takes the whole prefix as local
 * (an AnyIP route); what of it exists is in onetime_addr alone. An address without an entry is free
 * or dead: nothing answers for it.
 *
 *   map               key                  value              written by            full
 *   onetime_conf      0                    onetime_conf       loader                -
 *   onetime_pool      onetime_prefix (LPM) onetime_pool       loader                refused
 *   onetime_addr      isthmus_addr         onetime_addr       agent makes, deletes; refused
 *                                                             BPF changes
 *   onetime_listener  index (array)        onetime_listener   agent                 refused
 *   onetime_listen    index (sockmap)      a socket           agent; kernel removes refused
 *   onetime_ea6, _ea4 - (queue)            isthmus_addr       agent fills, BPF pops -
 *   onetime_udp       onetime_udp_key      onetime_udp        BPF                   LRU
 *   onetime_socket    a socket (storage)   onetime_socket     BPF; ends with it     bind fails
 *   onetime_flow      onetime_flow_key     onetime_flow       BPF                   LRU
 *   onetime_user      __u32 uid            __u32 1            loader                refused
 *   onetime_stats     onetime_reason       isthmus_count      BPF, per CPU          -
 *   onetime_told      link (array)         onetime_told       BPF                   -
 *   onetime_event     -                    onetime_event      BPF (ring buffer)     lost, counted
 *
 * States go one way (enum onetime_state), and each step is one compare-and-swap of the state: who
 * makes it owns the step. The agent makes an entry (RESERVED or PENDING), and deletes it
 * ONETIME_GRACE_S after it is over; BPF never makes or deletes one. So with the agent dead all
 * sessions and all that was given out go on. An address is never given again: the agent's generator
 * sees to that.
 *
 * A SSA's way: the first packet from whom it may be (`only`) takes it at the device's ingress
 * (PENDING, TAKING, CLAIMED); sk_lookup gives that tuple, and no other, to the listener; sockops
 * says LIVE when the connection stands and CLOSING when its socket has closed (that is at
 * FIN-WAIT-2: the peer may still send). UDP is LIVE with its first packet, until it is idle.
 * An EA's way: connect6 or sendmsg6 pops a RESERVED one: LIVE at once, CLOSING with its socket.
 *
 * Ports (III.C, table I): but for ONETIME_AWARE the session is found without them. The socket keeps
 * `port` and `peer_port`, those of the first packet, but that UDP has the listener's port; ingress
 * writes these into each packet, and egress those of the last packet that came (`wire_port`,
 * `wire_peer_port`).
 *
 * Byte order: __be16 and addresses are wire order, everything else is the host's.
 * Time: nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_coarse_ns).
 */
#ifndef ISTHMUS_MAPS_ONETIME_H
#define ISTHMUS_MAPS_ONETIME_H

#include "common.h"

#define ONETIME_ABI 1

/* A claim outlasts what a handshake may take: SYN-ACKs are repeated for 63 s (tcp(7),
 * tcp_synack_retries 5), a SYN cookie is good for two of its periods of 64 s. */
#define ONETIME_CLAIM_S	 130
#define ONETIME_LINGER_S 120 /* CLOSING: the peer's last FIN, its retransmissions */
#define ONETIME_UDP_S	 120 /* a UDP session without packets is over (RFC 4787, REQ-5) */
#define ONETIME_GRACE_S	 2   /* an entry that is over is deleted so much later */

#define ONETIME_LINKS	    8
#define ONETIME_POOLS	    64
#define ONETIME_ADDRS	    1048576
#define ONETIME_LISTENERS   1024
#define ONETIME_EAS	    65536 /* prepared, of each family */
#define ONETIME_UDPS	    65536
#define ONETIME_FLOWS	    65536
#define ONETIME_USERS	    1024
#define ONETIME_EVENT_BYTES (1 << 20)

/* X(name, verdict, text): as in the other datapaths. NONE: counted beside another. */
#define ONETIME_REASONS(X)                                                                         \
	X(OTHER, PASS, "not of a pool")                                                            \
	X(CLAIMED, PASS, "the first packet of a session: its address is taken")                    \
	X(SESSION, PASS, "of a session")                                                           \
	X(SHARED, PASS, "for an address that many sessions may use")                               \
	X(SENT, PASS, "sent by a session")                                                         \
	X(REWRITTEN, NONE, "its ports were not the session's (port ignore)")                       \
	X(ICMP, PASS, "an ICMP error about a session's packet")                                    \
	X(FREE, DROP, "for an address that is free or dead")                                       \
	X(NOT_OURS_YET, DROP, "for an address that nobody was told of")                            \
	X(TAKEN, DROP, "for an address that is another client's")                                  \
	X(NOT_FOR, DROP, "a first packet that is not from whom the address was given to")          \
	X(NO_SYN, DROP, "not a SYN, and nobody has taken the address")                             \
	X(NO_LISTENER, DROP, "the address' listener has gone")                                     \
	X(WRONG_PORT, DROP, "not the listener's protocol or, port aware, not its port")            \
	X(EXPIRED, DROP, "given out too long ago")                                                 \
	X(ENDED, DROP, "the session has ended, and this would begin one")                          \
	X(ICMP_DROPPED, DROP, "ICMP to a pool, and no error about a session's packet")             \
	X(PROTOCOL, DROP, "to a pool, and neither TCP, UDP nor ICMP")                              \
	X(FRAGMENT, DROP, "a later fragment to an address without a session")                      \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(SPOOFED, DROP, "from outside with a source address of a pool")                           \
	X(NOT_GIVEN, DROP, "sent from an address of a pool, but not by a session of it")           \
	X(ND_DEFENDED, SEND, "duplicate address detection of an address that is ours: answered")   \
	X(ND_ANSWERED, SEND, "neighbour solicitation of an address in use: answered")              \
	X(ND_SILENT, DROP, "neighbour solicitation or ARP for any other one: not answered")        \
	X(ND_CONFLICT, DROP, "another host says that an address of a pool is its own")             \
	X(ND_BAD, DROP, "a neighbour message that RFC 4861 7.1 refuses")                           \
	X(ND_UNTOLD, NONE, "conflicts, of too many a second, that the agent was not told of")      \
	X(ARP_PASSED, PASS, "ARP for an address in use: the kernel answers")                       \
	X(LOOKED_UP, NONE, "sk_lookup: given to its listener")                                     \
	X(LOOKUP_REFUSED, NONE, "sk_lookup: no such session")                                      \
	X(REFUSED_RST, PASS, "refused by the kernel's RST or ICMP, as the pool says")              \
	X(LIVE, NONE, "connections that were established")                                         \
	X(CLOSED, NONE, "sessions whose socket has closed")                                        \
	X(EA_BOUND, NONE, "connects that got an EA")                                               \
	X(EA_KEPT, NONE, "connects of a socket that had its EA already")                           \
	X(EA_SENT, NONE, "first datagrams of an unconnected socket that got an EA")                \
	X(EA_OUTSIDE, NONE, "connects to loopback, link, multicast; no TCP or UDP: left alone")    \
	X(EA_NO_POOL, NONE, "IPv4 connects while no IPv4 pool is for clients: left alone")         \
	X(EA_SERVER, NONE, "datagrams from a port that is no automatic one: left alone")           \
	X(EA_REPLY, NONE, "datagrams of a listener: sent from the address that was asked")         \
	X(EA_EMPTY_REFUSED, NONE, "strict: connects refused, no EA is prepared")                   \
	X(EA_EMPTY_PASSED, NONE, "lenient: connects without one, no EA is prepared")               \
	X(EA_BOUND_REFUSED, NONE, "strict: connects refused, the program bound an address itself") \
	X(EA_BOUND_PASSED, NONE, "lenient: connects with the address that the program bound")      \
	X(EA_FAILED_REFUSED, NONE, "strict: connects refused, the kernel would not bind the EA")   \
	X(EA_FAILED_PASSED, NONE, "lenient: connects without, the kernel would not bind the EA")   \
	X(SEND_FAILED, DROP, "the kernel could not change or queue the packet")                    \
	X(EVENT_LOST, NONE, "events that the agent was too slow to read")

enum onetime_reason {
#define ONETIME_REASON_ENUM(name, verdict, text) ONETIME_##name,
	ONETIME_REASONS(ONETIME_REASON_ENUM)
#undef ONETIME_REASON_ENUM
		ONETIME_REASON_COUNT,
};

/* What is on a device, in the loader's words (loader/put.h). */
struct onetime_link {
	__u32 ifindex; /* 0 = no link here */
	__u8 mac[6];
	__u8 tc;       /* enum put_tc */
	__u8 allmulti; /* it takes every multicast frame because of us */
	__u32 in_handle, out_handle;
	__u16 in_priority, out_priority;
};

_Static_assert(sizeof(struct onetime_link) == 24, "onetime_link is an ABI");

/* onetime_conf.nonlocal: net.ipv6.ip_nonlocal_bind and net.ipv4.ip_nonlocal_bind, set by us. */
#define ONETIME_NONLOCAL_6 0x01
#define ONETIME_NONLOCAL_4 0x02

struct onetime_conf {
	__u32 abi;
	__u32 links;
	__u64 netns;	    /* inode */
	__u64 netns_cookie; /* as BPF tells it */
	__u64 claim_ns, linger_ns, udp_ns;
	__u16 port_low, port_high; /* the kernel's automatic ports: those of a UDP client */
	__u8 strict;		   /* a connect that gets no EA is refused */
	__u8 client6, client4;	   /* pools for clients (ONETIME_POOL_CLIENT) of each family */
	__u8 nonlocal;		   /* ONETIME_NONLOCAL_: to be taken back */
	struct onetime_link link[ONETIME_LINKS];
};

_Static_assert(sizeof(struct onetime_conf) == 248, "onetime_conf is an ABI");

/* ---- pools */

/* Key of the LPM trie; IPv4 is mapped, so an IPv4 prefix has 96 bits more. */
struct onetime_prefix {
	__u32 bits;
	struct isthmus_addr addr;
};

_Static_assert(sizeof(struct onetime_prefix) == 20, "onetime_prefix is an ABI");

/* Table I. How far ports tell sessions apart. */
enum onetime_mode {
	ONETIME_L0,    /* neither the server's nor the client's */
	ONETIME_L1,    /* the same; replies go to the ports of the last packet received */
	ONETIME_L2,    /* the client's alone */
	ONETIME_AWARE, /* both: the listener's real port is needed */
};

/* onetime_pool.flags */
#define ONETIME_POOL_RESET  0x01 /* the refused are told: RST, port unreachable; else silence */
#define ONETIME_POOL_V4	    0x02
#define ONETIME_POOL_CLIENT 0x04 /* EAs are made of it */
#define ONETIME_POOL_READY  0x08 /* its addresses are local: nothing is given out before */

struct onetime_pool {
	__u32 number;  /* 1 to ONETIME_POOLS: its place among onetime_addr.pool */
	__u32 ifindex; /* the device on whose link its addresses are */
	__u8 mode;     /* enum onetime_mode: of addresses unless told otherwise */
	__u8 flags;    /* ONETIME_POOL_ */
	__u8 pad[2];
};

_Static_assert(sizeof(struct onetime_pool) == 12, "onetime_pool is an ABI");

/* ---- addresses */

enum onetime_state {
	ONETIME_STATE_FREE,	/* no entry: not ours */
	ONETIME_STATE_RESERVED, /* ours, and nobody was told of it (UNCERTAIN, III.A) */
	ONETIME_STATE_PENDING,	/* given out: its first packet may come, until_ns */
	ONETIME_STATE_TAKING,	/* somebody writes into it just now */
	ONETIME_STATE_CLAIMED,	/* a first packet came; no connection yet, until_ns */
	ONETIME_STATE_LIVE,	/* a session (UDP: until_ns) */
	ONETIME_STATE_CLOSING,	/* its socket has closed; what is on its way passes, until_ns */
	ONETIME_STATE_DEAD,
};

enum onetime_use {
	ONETIME_SSA = 1, /* a server's, for one session */
	ONETIME_EA,	 /* a client's, for one session */
	ONETIME_MANY,	 /* a server's, for many sessions (table I, U(*)): always LIVE */
};

#define ONETIME_UNTIL_CLOSE (~0ull)

/* In the order of how often they are read: the first 56 bytes are all that a packet needs. */
struct onetime_addr {
	__u32 state;		/* enum onetime_state; changed by compare-and-swap alone */
	__u8 use;		/* enum onetime_use */
	__u8 mode;		/* enum onetime_mode */
	__u8 proto;		/* of the session; SSA before: what its listener is */
	__u8 only_bits;		/* SSA: who may take it is in only/only_bits; 0 = all */
	__u32 listener;		/* SSA, MANY: index of onetime_listener */
	__u32 pool;		/* onetime_pool.number */
	__be16 port, peer_port; /* the socket's; SSA before: of UDP or if aware its listener's */
	__be16 wire_port, wire_peer_port; /* of the last packet that came */
	struct isthmus_addr peer;	  /* the session's other end */
	__u64 until_ns; /* ONETIME_UNTIL_CLOSE: a connected UDP client's, until its socket closes */
	__u64 since_ns; /* it has this state since then */
	__u64 cookie;	/* EA: of its socket */
	__u64 serial;	/* the agent's own */
	struct isthmus_addr only; /* a prefix of isthmus_addr's bits */
};

_Static_assert(sizeof(struct onetime_addr) == 88, "onetime_addr is an ABI");

/* What an address is at a time: states whose time has passed are DEAD. */
static inline __u32 onetime_state_at(const struct onetime_addr *addr, __u64 now_ns)
{
	__u32 state = *(volatile const __u32 *)&addr->state;

	switch (state) {
	case ONETIME_STATE_PENDING:
	case ONETIME_STATE_CLAIMED:
	case ONETIME_STATE_CLOSING:
		return now_ns < addr->until_ns ? state : ONETIME_STATE_DEAD;
	case ONETIME_STATE_LIVE:
		/* 17 = IPPROTO_UDP, whose end nobody tells */
		return addr->use == ONETIME_MANY || addr->proto != 17 || now_ns < addr->until_ns
			       ? state
			       : ONETIME_STATE_DEAD;
	default:
		return state;
	}
}

/* ---- listeners */

/* onetime_listener.flags: III.A, attributes of a backlog. */
#define ONETIME_LISTENER_USED	  0x01 /* the place is taken */
#define ONETIME_LISTENER_AUTO_SET 0x02 /* the agent keeps `backlog` addresses prepared */
#define ONETIME_LISTENER_DAS	  0x04 /* DAS required: only those that `das` sets */

#define ONETIME_NAME 32

struct onetime_listener {
	__u32 flags;
	__u32 pid;
	__u64 started;		 /* of the process, clock ticks after boot: pids come again */
	__u64 cookie;		 /* of the socket */
	__u64 inode;		 /* of the socket, as in /proc/PID/fd */
	__be16 port;		 /* its own; aware: what clients must use */
	__u8 proto;		 /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 mode;		 /* enum onetime_mode of its addresses */
	__u32 pool;		 /* that its addresses are of */
	__u32 backlog;		 /* AUTO_SET */
	__u32 fd;		 /* in the process */
	char name[ONETIME_NAME]; /* that clients ask for (DNSO), "" = none */
	char command[16];	 /* of the process */
};

_Static_assert(sizeof(struct onetime_listener) == 96, "onetime_listener is an ABI");

/* ---- UDP without connect: which address of ours a socket uses towards a peer */

struct onetime_udp_key {
	__u64 cookie; /* of the socket */
	struct isthmus_addr peer;
	__be16 peer_port;
	__u16 pad[3];
};

_Static_assert(sizeof(struct onetime_udp_key) == 32, "onetime_udp_key is an ABI");

struct onetime_udp {
	struct isthmus_addr addr;
};

/* ---- a client's socket: what its end ends */

#define ONETIME_SOCKET_EAS 16 /* the oldest one of more ends by idleness alone */

struct onetime_socket {
	struct isthmus_addr bound; /* by us, not by the program; zero = none */
	struct isthmus_addr ea[ONETIME_SOCKET_EAS];
	__u32 next;
};

_Static_assert(sizeof(struct onetime_socket) == 276, "onetime_socket is an ABI");

/* ---- sessions of ONETIME_MANY: ports are ignored there, too */

struct onetime_flow_key {
	struct isthmus_addr addr, peer;
	__be16 peer_port;
	__u8 proto;
	__u8 pad;
};

_Static_assert(sizeof(struct onetime_flow_key) == 36, "onetime_flow_key is an ABI");

struct onetime_flow {
	__be16 port, wire_port; /* the socket's; of the last packet that came */
};

/* ---- events */

enum onetime_event_kind {
	ONETIME_EVENT_CLAIMED = 1, /* the agent prepares another one for the listener */
	ONETIME_EVENT_CONFLICT,	   /* another host, `mac`, says or asks whether `addr` is its own */
	ONETIME_EVENT_EMPTY,	   /* no EA was left */
};

struct onetime_event {
	__u64 time_ns;
	__u8 kind;
	__u8 state; /* CONFLICT: enum onetime_state of before, FREE = no entry */
	__u8 mac[6];
	struct isthmus_addr addr, peer;
	__u32 listener;
	__u32 ifindex;
};

_Static_assert(sizeof(struct onetime_event) == 56, "onetime_event is an ABI");

/* How many conflicts a link told in this second: a flood of neighbour messages is to cost the agent
 * nothing. Those about addresses with an entry do not wait for those about free ones. */
#define ONETIME_CONFLICTS 16

struct onetime_told {
	__u64 since_ns[2]; /* free or dead, others */
	__u32 told[2];
};

_Static_assert(sizeof(struct onetime_told) == 24, "onetime_told is an ABI");

#endif
